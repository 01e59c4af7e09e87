//! What remains of what was deleted.

use feiqian_ledger::store::{Column, Table};

/// Issued and redeemed of each denomination of an epoch, minor units, as far as the rows that said so are deleted. With the
/// rows that are left it makes up the totals at every moment.
pub(crate) static PRUNED_TOTAL: Table = Table {
    name: "pruned_total",
    columns: &[
        Column::integer("epoch"),
        Column::blob("denomination"),
        Column::integer("issued"),
        Column::integer("redeemed"),
    ],
    key: 2,
    constraints: &["CHECK (issued >= 0 AND redeemed >= 0)"],
    indexes: &[],
};

/// Withdrawn and deposited of each account, minor units, as far as the rows that said so are deleted.
pub(crate) static PRUNED_ACCOUNT: Table = Table {
    name: "pruned_account",
    columns: &[Column::blob("account"), Column::integer("withdrawn"), Column::integer("deposited")],
    key: 1,
    constraints: &["CHECK (withdrawn >= 0 AND deposited >= 0)"],
    indexes: &[],
};

/// Where deletion stands, by a name for each mark; none ever goes back, whatever clocks do.
///
/// `epochs`: those below it have ended, nothing acts on their coins, and their rows may be gone. `presented`: items made up
/// to then may be gone from the outbox.
pub(crate) static PRUNE_MARK: Table = Table {
    name: "prune_mark",
    columns: &[Column::text("name"), Column::integer("mark")],
    key: 1,
    constraints: &["CHECK (mark >= 0)"],
    indexes: &[],
};
