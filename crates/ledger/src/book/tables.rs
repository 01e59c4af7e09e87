//! The tables of the book.

use crate::{
    journal::JOURNAL,
    store::{Column, Table},
};

/// All tables of the ledger, to be given to the store that keeps it.
pub const TABLES: &[&Table] = &[&ACCOUNT, &TRANSFER, &RESOLUTION, &DUE, &JOURNAL];

/// Accounts with their balances. `limited`: 0 none, 1 debits not above credits, 2 credits not above debits.
pub(crate) static ACCOUNT: Table = Table {
    name: "ledger_account",
    columns: &[
        Column::blob("id"),
        Column::text("currency"),
        Column::integer("code"),
        Column::integer("limited"),
        Column::integer("debits_pending"),
        Column::integer("debits_posted"),
        Column::integer("credits_pending"),
        Column::integer("credits_posted"),
        Column::integer("opened"),
        Column::integer("seq"),
    ],
    key: 1,
    constraints: &[
        "UNIQUE (seq)",
        "CHECK (length(id) = 16)",
        "CHECK (limited IN (0, 1, 2))",
        "CHECK (debits_pending >= 0)",
        "CHECK (debits_posted >= 0)",
        "CHECK (credits_pending >= 0)",
        "CHECK (credits_posted >= 0)",
        "CONSTRAINT debits_not_above_credits CHECK (limited <> 1 OR debits_posted <= credits_posted - debits_pending)",
        "CONSTRAINT credits_not_above_debits CHECK (limited <> 2 OR credits_posted <= debits_posted - credits_pending)",
    ],
    indexes: &[],
};

/// Transfers, never changed. `kind`: 0 posted, 1 pending, 2 post, 3 void, 4 expire. `pending` is set for 2 to 4.
pub(crate) static TRANSFER: Table = Table {
    name: "ledger_transfer",
    columns: &[
        Column::blob("id"),
        Column::blob("debit"),
        Column::blob("credit"),
        Column::integer("amount"),
        Column::integer("code"),
        Column::integer("kind"),
        Column::integer("expires").optional(),
        Column::blob("pending").optional(),
        Column::integer("booked"),
        Column::integer("seq"),
    ],
    key: 1,
    constraints: &[
        "UNIQUE (seq)",
        "CHECK (length(id) = 16)",
        "CHECK (amount > 0)",
        "CHECK (debit <> credit)",
        "CHECK (kind BETWEEN 0 AND 4)",
        "CHECK ((kind >= 2) = (pending IS NOT NULL))",
        "CHECK (kind = 1 OR expires IS NULL)",
    ],
    indexes: &["(debit, seq)", "(credit, seq)"],
};

/// Which transfer resolved a pending one: the key makes a second resolution impossible.
pub(crate) static RESOLUTION: Table = Table {
    name: "ledger_resolution",
    columns: &[Column::blob("pending"), Column::blob("transfer")],
    key: 1,
    constraints: &["UNIQUE (transfer)", "CHECK (pending <> transfer)"],
    indexes: &[],
};

/// Unresolved pending transfers that expire, by time.
pub(crate) static DUE: Table = Table {
    name: "ledger_due",
    columns: &[Column::integer("expires"), Column::blob("pending")],
    key: 2,
    constraints: &[],
    indexes: &[],
};
