//! What a bank remembers about cheques, certificates, transfers and account statements.

use feiqian_ledger::store::{Column, Table};

/// Who may sign cheques on an account, where it is not its holder alone.
pub(crate) static MANDATE: Table = Table {
    name: "mandate",
    columns: &[Column::blob("account"), Column::blob("body")],
    key: 1,
    constraints: &[],
    indexes: &[],
};

/// Allotted cheque books, by the customer's request.
pub(crate) static CHEQUE_BOOK: Table = Table {
    name: "cheque_book",
    columns: &[
        Column::blob("account"),
        Column::blob("request"),
        Column::integer("first"),
        Column::integer("leaves"),
        Column::integer("at"),
    ],
    key: 2,
    constraints: &["UNIQUE (account, first)", "CHECK (first > 0 AND leaves > 0)"],
    indexes: &[],
};

/// The register: one row a cheque, from its allotment on. `entry` decides; `state`, `reserved` and `good_until` repeat
/// it for queries.
pub(crate) static CHEQUE: Table = Table {
    name: "cheque",
    columns: &[
        Column::blob("account"),
        Column::integer("number"),
        Column::blob("id").optional(),
        Column::integer("state"),
        Column::integer("reserved"),
        Column::text("good_until").optional(),
        Column::integer("amount").optional(),
        Column::blob("entry"),
        Column::blob("notice").optional(),
        Column::blob("document").optional(),
        Column::blob("holder").optional(),
        Column::blob("endorsed").optional(),
        Column::integer("endorsements"),
        Column::integer("reserves"),
        Column::text("paid").optional(),
    ],
    key: 2,
    constraints: &[
        "UNIQUE (id)",
        "CHECK (state BETWEEN 0 AND 11)",
        "CHECK (reserved IN (0, 1))",
        "CHECK ((id IS NULL) = (state = 0))",
        "CHECK (amount IS NULL OR amount > 0)",
    ],
    indexes: &["(state, good_until)", "(account, paid)"],
};

/// Customers' orders about cheques: each acts once.
pub(crate) static CHEQUE_ORDER: Table = Table {
    name: "cheque_order",
    columns: &[
        Column::blob("account"),
        Column::blob("id"),
        Column::integer("number"),
        Column::blob("action"),
        Column::integer("at"),
    ],
    key: 2,
    constraints: &[],
    indexes: &[],
};

/// Presentments of own cheques and what was answered: state 0 returned, 1 paid, 2 settled, 3 unwound.
pub(crate) static CHEQUE_PRESENTMENT: Table = Table {
    name: "cheque_presentment",
    columns: &[
        Column::blob("id"),
        Column::blob("cheque"),
        Column::blob("file"),
        Column::text("bank"),
        Column::text("account"),
        Column::integer("amount"),
        Column::integer("state"),
        Column::blob("outcome"),
        Column::integer("at"),
    ],
    key: 1,
    constraints: &["CHECK (state BETWEEN 0 AND 3)", "CHECK (amount > 0)"],
    indexes: &["(cheque)"],
};

/// What was answered to presentments of cheques and transfers that left no row elsewhere: refused, or returned without
/// a trace in the register. `content` tells two bodies under one id apart.
pub(crate) static DECLINED: Table = Table {
    name: "declined",
    columns: &[
        Column::blob("presentment"),
        Column::blob("content"),
        Column::blob("body"),
        Column::integer("at"),
    ],
    key: 2,
    constraints: &[],
    indexes: &[],
};

/// Cheques that others sent to accounts of this bank.
pub(crate) static CHEQUE_BOX: Table = Table {
    name: "cheque_box",
    columns: &[
        Column::blob("account"),
        Column::blob("file"),
        Column::integer("received"),
        Column::blob("body"),
    ],
    key: 2,
    constraints: &[],
    indexes: &["(received)"],
};

/// Certificates issued to account holders. `signing`: 1 for documents, 0 for connections.
pub(crate) static CERTIFICATE: Table = Table {
    name: "certificate",
    columns: &[
        Column::blob("serial"),
        Column::blob("account"),
        Column::integer("signing"),
        Column::blob("key"),
        Column::blob("fingerprint"),
        Column::integer("not_before"),
        Column::integer("not_after"),
        Column::blob("chain"),
    ],
    key: 1,
    constraints: &["CHECK (signing IN (0, 1))"],
    indexes: &["(account, not_before)"],
};

/// What the authority's revocation list says.
pub(crate) static REVOKED: Table = Table {
    name: "revoked",
    columns: &[Column::blob("serial"), Column::integer("at"), Column::blob("reason")],
    key: 1,
    constraints: &[],
    indexes: &[],
};

/// Transfers: each is kept once as sent and once as received. Outcome is absent while it is on its way.
pub(crate) static TRANSFER_ORDER: Table = Table {
    name: "transfer_order",
    columns: &[
        Column::blob("presentment"),
        Column::integer("incoming"),
        Column::blob("account"),
        Column::blob("reference"),
        Column::integer("sequence"),
        Column::integer("amount"),
        Column::integer("at"),
        Column::blob("body"),
        Column::blob("outcome").optional(),
    ],
    key: 2,
    constraints: &[
        "UNIQUE (incoming, account, reference)",
        "CHECK (incoming IN (0, 1))",
        "CHECK (amount > 0)",
    ],
    indexes: &["(account, at)", "(incoming, sequence)"],
};

/// Account statements: what the account held before and after the journal numbers they cover.
pub(crate) static ACCOUNT_STATEMENT: Table = Table {
    name: "account_statement",
    columns: &[
        Column::blob("account"),
        Column::integer("number"),
        Column::integer("from_seq"),
        Column::integer("to_seq"),
        Column::integer("opening"),
        Column::integer("closing"),
        Column::integer("lines"),
        Column::integer("at"),
    ],
    key: 2,
    constraints: &["CHECK (from_seq <= to_seq)", "CHECK (opening >= 0 AND closing >= 0)"],
    indexes: &[],
};
