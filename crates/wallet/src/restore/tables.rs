//! What a restore keeps, so that it goes on after being killed anywhere.

use feiqian_ledger::store::{Column, Table};

/// Ids are counted for each generation, bank, kind of caller and epoch apart. `used`: how many numbers were used, once
/// that has been found out.
pub static RESTORE_COUNT: Table = Table {
    name: "restore_count",
    columns: &[
        Column::blob("generation"),
        Column::text("bank"),
        Column::text("caller"),
        Column::integer("epoch"),
        Column::integer("used"),
    ],
    key: 4,
    constraints: &["CHECK (length(generation) = 16)", "CHECK (used >= 0)"],
    indexes: &[],
};

/// Request ids whose sessions are asked for. `done`: with coins, `none`: there are none, `foreign`: what the bank answered
/// was not made with these words.
pub static RESTORE_REQUEST: Table = Table {
    name: "restore_request",
    columns: &[
        Column::blob("request"),
        Column::text("bank"),
        Column::text("caller"),
        Column::integer("coins"),
        Column::text("state"),
    ],
    key: 1,
    constraints: &["CHECK (state IN ('open', 'done', 'none', 'foreign'))"],
    indexes: &["(state)"],
};

/// Coins that the answers give. `secret`: sealed as the wallet's coins are; `rest`: what it still had when its bank was asked.
/// `found`: what it has given is not known yet; `spent`: all; `kept`: it was put with the wallet's coins, to be refreshed.
pub static RESTORE_COIN: Table = Table {
    name: "restore_coin",
    columns: &[
        Column::blob("denomination"),
        Column::blob("coin_key"),
        Column::blob("secret"),
        Column::blob("signature"),
        Column::text("bank"),
        Column::integer("worth"),
        Column::integer("rest"),
        Column::text("state"),
        Column::blob("request"),
    ],
    key: 2,
    constraints: &[
        "CHECK (worth > 0 AND rest >= 0 AND rest <= worth)",
        "CHECK (state IN ('found', 'spent', 'kept'))",
        "CHECK ((state = 'spent') = (rest = 0))",
    ],
    indexes: &["(state)"],
};

/// Refunds of payments that the lost wallet made. `coins`: of the payment, in its order.
pub static RESTORE_REFUND: Table = Table {
    name: "restore_refund",
    columns: &[
        Column::blob("payment"),
        Column::text("bank"),
        Column::integer("amount"),
        Column::blob("coins"),
        Column::text("state"),
    ],
    key: 1,
    constraints: &["CHECK (amount > 0)", "CHECK (state IN ('open', 'done'))"],
    indexes: &[],
};
