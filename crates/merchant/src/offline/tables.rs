//! What a merchant remembers of offline cash.

use feiqian_ledger::store::{Column, Table};

/// What was asked for. `body`: the signed request.
pub static OFFLINE_SALE: Table = Table {
    name: "merchant_offline_sale",
    columns: &[
        Column::blob("request"),
        Column::text("reference"),
        Column::integer("amount"),
        Column::text("currency"),
        Column::integer("expires"),
        Column::blob("body"),
        Column::integer("created"),
    ],
    key: 1,
    constraints: &["UNIQUE (reference)", "CHECK (length(request) = 32)", "CHECK (amount > 0)"],
    indexes: &["(created)"],
};

/// Payments accepted: the queue. `payment`: the set that names it. `presentment`: under which the bank credits it.
/// `deposit_by`: the earliest `deposit_until` of its keys. `state`: 0 queued, 1 settled, 2 refused. `tried`: when the
/// bank was last asked.
pub static OFFLINE_PAYMENT: Table = Table {
    name: "merchant_offline_payment",
    columns: &[
        Column::blob("payment"),
        Column::blob("request"),
        Column::integer("amount"),
        Column::text("currency"),
        Column::blob("item"),
        Column::blob("presentment"),
        Column::integer("deposit_by"),
        Column::integer("state"),
        Column::blob("outcome").optional(),
        Column::integer("accepted"),
        Column::integer("tried"),
    ],
    key: 1,
    constraints: &[
        "UNIQUE (request)",
        "UNIQUE (presentment)",
        "CHECK (length(payment) = 32)",
        "CHECK (length(presentment) = 32)",
        "CHECK (amount > 0)",
        "CHECK (state BETWEEN 0 AND 2)",
        "CHECK ((state >= 1) = (outcome IS NOT NULL))",
    ],
    indexes: &["(tried) WHERE state = 0", "(accepted)"],
};

/// The coins and blanks of accepted payments, every hop: what a new payment is compared with.
pub static OFFLINE_COIN: Table = Table {
    name: "merchant_offline_coin",
    columns: &[Column::blob("message"), Column::blob("payment")],
    key: 2,
    constraints: &["CHECK (length(message) = 32)"],
    indexes: &["(payment)"],
};

/// The center's log of pinned offline keysets as far as it was seen.
pub static OFFLINE_PIN: Table = Table {
    name: "merchant_offline_pin",
    columns: &[Column::integer("number"), Column::blob("entry")],
    key: 1,
    constraints: &["CHECK (number >= 0)"],
    indexes: &[],
};

/// The banks' lists of exposed coins as last seen.
pub static OFFLINE_EXPOSED: Table = Table {
    name: "merchant_offline_exposed",
    columns: &[Column::text("bank"), Column::blob("list")],
    key: 1,
    constraints: &[],
    indexes: &[],
};

/// When the center last showed the exposed coins: one row.
pub static OFFLINE_SEEN: Table = Table {
    name: "merchant_offline_seen",
    columns: &[Column::integer("id"), Column::integer("as_of")],
    key: 1,
    constraints: &["CHECK (id = 0)"],
    indexes: &[],
};
