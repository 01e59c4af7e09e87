//! What a merchant remembers.

use feiqian_ledger::store::{Column, Table};

use crate::housekeeping::CLOSED;
use crate::offline::tables::{
    OFFLINE_COIN, OFFLINE_EXPOSED, OFFLINE_PAYMENT, OFFLINE_PIN, OFFLINE_SALE, OFFLINE_SEEN,
};

/// All tables of a merchant.
pub const TABLES: &[&Table] = &[
    &SALE,
    &CLAIM,
    &PAYMENT,
    &REFUND,
    &CHEQUE,
    &MEMBER_ENTRY,
    &MEMBER_DIRECTORY,
    &MEMBER_LIST,
    &OFFLINE_SALE,
    &OFFLINE_PAYMENT,
    &OFFLINE_COIN,
    &OFFLINE_PIN,
    &OFFLINE_EXPOSED,
    &OFFLINE_SEEN,
    &CLOSED,
];

/// What was asked for. `body`: the signed request.
pub static SALE: Table = Table {
    name: "merchant_sale",
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

/// Which payment a request is paid by: one.
pub static CLAIM: Table = Table {
    name: "merchant_claim",
    columns: &[Column::blob("request"), Column::blob("payment")],
    key: 1,
    constraints: &["UNIQUE (payment)"],
    indexes: &[],
};

/// Payments taken. `state`: 0 pending, 1 paid, 2 refused. `receipt`: ours, for a paid one. `tried`: when the bank was
/// last asked.
pub static PAYMENT: Table = Table {
    name: "merchant_payment",
    columns: &[
        Column::blob("payment"),
        Column::blob("request"),
        Column::integer("amount"),
        Column::text("currency"),
        Column::blob("item"),
        Column::integer("state"),
        Column::blob("outcome").optional(),
        Column::blob("receipt").optional(),
        Column::integer("accepted"),
        Column::integer("tried"),
    ],
    key: 1,
    constraints: &[
        "CHECK (length(payment) = 32)",
        "CHECK (amount > 0)",
        "CHECK (state BETWEEN 0 AND 2)",
        "CHECK ((state >= 1) = (outcome IS NOT NULL))",
        "CHECK ((state = 1) = (receipt IS NOT NULL))",
    ],
    indexes: &["(tried) WHERE state = 0", "(request)"],
};

/// Refunds ordered. `state`: 0 pending, 1 booked, 2 refused. `body`: what is sent to the bank. `tried`: when it was
/// last asked.
pub static REFUND: Table = Table {
    name: "merchant_refund",
    columns: &[
        Column::blob("refund"),
        Column::blob("payment"),
        Column::integer("amount"),
        Column::text("currency"),
        Column::blob("body"),
        Column::integer("state"),
        Column::blob("outcome").optional(),
        Column::integer("created"),
        Column::integer("tried"),
    ],
    key: 1,
    constraints: &[
        "CHECK (length(refund) = 32)",
        "CHECK (amount > 0)",
        "CHECK (state BETWEEN 0 AND 2)",
        "CHECK ((state >= 1) = (outcome IS NOT NULL))",
    ],
    indexes: &["(payment)", "(tried) WHERE state = 0"],
};

/// Deposits of cheques. `state`: 0 pending, 1 paid, 2 returned, 3 refused. `body`: what the drawer signed; `file`: what
/// is sent to the bank.
pub static CHEQUE: Table = Table {
    name: "merchant_cheque",
    columns: &[
        Column::blob("presentment"),
        Column::blob("cheque"),
        Column::blob("body"),
        Column::blob("file"),
        Column::integer("state"),
        Column::blob("outcome").optional(),
        Column::integer("accepted"),
    ],
    key: 1,
    constraints: &[
        "CHECK (length(presentment) = 32)",
        "CHECK (length(cheque) = 32)",
        "CHECK (state BETWEEN 0 AND 3)",
        "CHECK ((state >= 1) = (outcome IS NOT NULL))",
    ],
    indexes: &["(cheque)", "(accepted) WHERE state = 0"],
};

/// The center's log of pinned keysets as far as it was seen.
pub static MEMBER_ENTRY: Table = Table {
    name: "merchant_member_entry",
    columns: &[Column::integer("number"), Column::blob("entry")],
    key: 1,
    constraints: &["CHECK (number >= 0)"],
    indexes: &[],
};

/// The center's directory as last seen: one row.
pub static MEMBER_DIRECTORY: Table = Table {
    name: "merchant_member_directory",
    columns: &[Column::integer("id"), Column::blob("directory")],
    key: 1,
    constraints: &["CHECK (id = 0)"],
    indexes: &[],
};

/// The newest revocation list seen of each authority, by the authority's key: an older one never takes its place.
pub static MEMBER_LIST: Table = Table {
    name: "merchant_member_list",
    columns: &[Column::blob("authority"), Column::blob("list")],
    key: 1,
    constraints: &["CHECK (length(authority) = 32)"],
    indexes: &[],
};
