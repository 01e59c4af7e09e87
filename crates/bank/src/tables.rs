//! What a bank remembers.

use feiqian_ledger::store::{Column, Rebuilt, Row, Step, StoreError, Table, Value};

use crate::cheques::tables::{
    ACCOUNT_STATEMENT, CERTIFICATE, CHEQUE, CHEQUE_BOOK, CHEQUE_BOX, CHEQUE_ORDER, CHEQUE_PRESENTMENT,
    DECLINED, MANDATE, REVOKED, TRANSFER_ORDER,
};
use crate::housekeeping::tables::{PRUNE_MARK, PRUNED_ACCOUNT, PRUNED_TOTAL};
use crate::instances::{EPOCH_SECRET, INSTANCE, LIST_DATE};

/// Customers' and merchants' accounts; the id is the ledger's, its hex the token in certificates.
pub static ACCOUNT: Table = Table {
    name: "account",
    columns: &[
        Column::blob("id"),
        Column::text("name"),
        Column::text("role"),
        Column::integer("opened"),
        Column::integer("closed").optional(),
        Column::integer("withdrawn"),
        Column::integer("deposited"),
    ],
    key: 1,
    constraints: &["UNIQUE (name)", "CHECK (withdrawn >= 0 AND deposited >= 0)"],
    indexes: &[],
};

/// The keys an account's holder enrolled, the newest with the highest number.
pub static HOLDER: Table = Table {
    name: "holder",
    columns: &[
        Column::blob("account"),
        Column::integer("number"),
        Column::blob("signing_key"),
        Column::blob("transport_key"),
        Column::integer("enrolled"),
    ],
    key: 2,
    constraints: &[],
    indexes: &["(transport_key)"],
};

/// Generations of the wallets that an account's holder made from words, in the order of their making.
pub static GENERATION: Table = Table {
    name: "generation",
    columns: &[Column::blob("account"), Column::integer("number"), Column::blob("generation")],
    key: 2,
    constraints: &["CHECK (length(generation) = 16)", "UNIQUE (account, generation)"],
    indexes: &[],
};

/// Enrolment codes, hashed, with what they were redeemed for.
pub static ENROLMENT: Table = Table {
    name: "enrolment",
    columns: &[
        Column::blob("code"),
        Column::blob("account"),
        Column::integer("expires"),
        Column::blob("body").optional(),
        Column::blob("response").optional(),
    ],
    key: 1,
    constraints: &[],
    indexes: &["(account)"],
};

/// The bank's own keysets. Their secrets are elsewhere.
pub static KEYSET: Table = Table {
    name: "keyset",
    columns: &[
        Column::integer("epoch"),
        Column::blob("digest"),
        Column::blob("body"),
        Column::integer("created"),
    ],
    key: 1,
    constraints: &["UNIQUE (digest)"],
    indexes: &[],
};

/// The center's log of pinned keysets as received.
pub static MEMBER_PIN: Table = Table {
    name: "member_pin",
    columns: &[Column::integer("number"), Column::blob("body")],
    key: 1,
    constraints: &[],
    indexes: &[],
};

/// The center's directory as received: one row for each bank.
pub static MEMBER: Table = Table {
    name: "member",
    columns: &[Column::text("name"), Column::blob("body")],
    key: 1,
    constraints: &[],
    indexes: &[],
};

/// The newest revocation list of each authority that the center showed, by the authority's key.
pub static MEMBER_LIST: Table = Table {
    name: "member_list",
    columns: &[Column::blob("authority"), Column::blob("der")],
    key: 1,
    constraints: &[],
    indexes: &[],
};

/// Issue sessions. State 0 open, 1 answered, 2 void.
pub static SESSION: Table = Table {
    name: "session",
    columns: &[
        Column::blob("session"),
        Column::blob("request"),
        Column::blob("account").optional(),
        Column::blob("outputs"),
        Column::integer("amount"),
        Column::blob("instance"),
        Column::integer("expires"),
        Column::blob("commitments"),
        Column::integer("state"),
        Column::blob("challenges").optional(),
        Column::blob("answers").optional(),
        Column::integer("funding").optional(),
        Column::blob("reference").optional(),
        Column::blob("proof").optional(),
    ],
    key: 1,
    constraints: &[
        "UNIQUE (request)",
        "CHECK (state IN (0, 1, 2))",
        "CHECK ((state = 1) = (answers IS NOT NULL))",
    ],
    indexes: &["(state, expires)", "(reference) WHERE funding = 3"],
};

/// The spent register: what each coin has given. As long as one statement took it all, its digest stands here; else what
/// each took is in [`SPEND`].
pub static COIN: Table = Table {
    name: "coin",
    columns: &[
        Column::blob("denomination"),
        Column::blob("coin_key"),
        Column::integer("amount"),
        Column::integer("epoch"),
        Column::integer("spent"),
        Column::blob("statement").optional(),
    ],
    key: 2,
    constraints: &["CHECK (spent > 0 AND spent <= amount)"],
    indexes: &[],
};

/// Signed statements that took effect: refreshes (1), and payments (0) that were redeemed before version 3. Other payments'
/// stand in their own rows.
pub static STATEMENT: Table = Table {
    name: "statement",
    columns: &[Column::blob("digest"), Column::integer("kind"), Column::blob("body")],
    key: 1,
    constraints: &["CHECK (kind IN (0, 1))"],
    indexes: &[],
};

/// What each statement took from a coin that more than one took of.
pub static SPEND: Table = Table {
    name: "spend",
    columns: &[
        Column::blob("denomination"),
        Column::blob("coin_key"),
        Column::blob("statement"),
        Column::integer("contribution"),
    ],
    key: 3,
    constraints: &["CHECK (contribution > 0)"],
    indexes: &[],
};

/// Issued and redeemed of each denomination of each epoch, minor units.
pub static TOTAL: Table = Table {
    name: "total",
    columns: &[
        Column::integer("epoch"),
        Column::blob("denomination"),
        Column::integer("issued"),
        Column::integer("redeemed"),
    ],
    key: 2,
    constraints: &["CHECK (redeemed >= 0 AND redeemed <= issued)"],
    indexes: &[],
};

/// Redeemed payments, numbered so that new rows stand together whatever their digests are, with their signed statements.
/// A request is paid once.
pub static PAYMENT: Table = Table {
    name: "payment",
    columns: &[
        Column::integer("number"),
        Column::blob("digest"),
        Column::blob("request"),
        Column::integer("amount"),
        Column::text("bank").optional(),
        Column::text("account").optional(),
        Column::blob("presentment"),
        Column::blob("receipt"),
        Column::integer("refunded"),
        Column::integer("claimed"),
        Column::blob("statement").optional(),
    ],
    key: 1,
    constraints: &[
        "UNIQUE (digest)",
        "UNIQUE (request)",
        "CHECK (claimed >= 0 AND claimed <= refunded AND refunded <= amount)",
        "CHECK ((bank IS NULL) = (account IS NULL))",
    ],
    indexes: &[],
};

/// Expired payments that a refresh released: refused for ever.
pub static RELEASED: Table = Table {
    name: "released",
    columns: &[Column::blob("digest"), Column::integer("expires")],
    key: 1,
    constraints: &[],
    indexes: &["(expires)"],
};

/// One row: until when payments that expire are refused for ever, because one was called expired then.
pub static RELEASE_MARK: Table = Table {
    name: "release_mark",
    columns: &[Column::integer("id"), Column::integer("until")],
    key: 1,
    constraints: &["CHECK (id = 0)"],
    indexes: &[],
};

/// Presentments of other banks that were refused for ever, with the fault they were answered with and the newest epoch of
/// then: when that has ended, nothing could be paid to them any more. Those of offline payments outlive every epoch.
pub static REFUSED: Table = Table {
    name: "refused",
    columns: &[Column::blob("presentment"), Column::blob("body"), Column::integer("epoch")],
    key: 1,
    constraints: &[],
    indexes: &["(epoch)"],
};

/// Refunds booked on payments of this bank's coins.
pub static REFUND: Table = Table {
    name: "refund",
    columns: &[
        Column::blob("payment"),
        Column::blob("refund"),
        Column::blob("order_digest"),
        Column::integer("amount"),
        Column::blob("presentment"),
        Column::blob("body"),
    ],
    key: 2,
    constraints: &["CHECK (amount > 0)"],
    indexes: &[],
};

/// Items this bank presents at the center: kind 0 payment, 1 refund, 2 cheque, 3 transfer, 4 offline
/// payment, 5 claim for a charge, 6 part of one; state 0 pending, 1 paid
/// or booked, for good, 2 refused or returned, 3 a cheque paid and not settled.
pub static PRESENTMENT: Table = Table {
    name: "presentment",
    columns: &[
        Column::blob("id"),
        Column::integer("kind"),
        Column::blob("account"),
        Column::blob("reference"),
        Column::text("bank"),
        Column::integer("amount"),
        Column::integer("expires"),
        Column::blob("body"),
        Column::integer("state"),
        Column::blob("outcome").optional(),
        Column::integer("created"),
        Column::integer("tried"),
    ],
    key: 1,
    constraints: &[
        "UNIQUE (kind, account, reference)",
        "CHECK (state IN (0, 1, 2, 3))",
        "CHECK (kind IN (0, 1, 2, 3, 4, 5, 6))",
    ],
    indexes: &["(state, bank, tried)", "(created, id) WHERE state IN (1, 2)"],
};

/// Sealed messages in drop boxes.
pub static DROP_MESSAGE: Table = Table {
    name: "drop_message",
    columns: &[
        Column::blob("payee"),
        Column::blob("digest"),
        Column::integer("received"),
        Column::integer("keep_until"),
        Column::integer("size"),
        Column::blob("body"),
    ],
    key: 2,
    constraints: &[],
    indexes: &["(keep_until)"],
};

/// Bytes in all drop boxes: one row.
pub static DROP_USAGE: Table = Table {
    name: "drop_usage",
    columns: &[Column::integer("id"), Column::integer("size")],
    key: 1,
    constraints: &["CHECK (size >= 0)"],
    indexes: &[],
};

/// Double spends that were refused, with the evidence and the refused statement's digest: the first of each coin.
pub static EVIDENCE: Table = Table {
    name: "evidence",
    columns: &[
        Column::blob("denomination"),
        Column::blob("coin_key"),
        Column::blob("statement"),
        Column::blob("body"),
        Column::integer("at"),
    ],
    key: 2,
    constraints: &[],
    indexes: &[],
};

const ONLINE_TABLES_COUNT: usize = ONLINE_TABLES.len();
const OWN_TABLES_COUNT: usize = OWN_TABLES.len();

/// The bank's own tables.
#[allow(clippy::indexing_slicing, reason = "evaluated when compiling: a wrong index would not compile")]
pub const OWN_TABLES: &[&Table] = &{
    const OFFLINE: usize = crate::offline::tables::TABLES.len();
    let mut all: [&Table; ONLINE_TABLES_COUNT + OFFLINE] = [&ACCOUNT; ONLINE_TABLES_COUNT + OFFLINE];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < ONLINE_TABLES_COUNT {
            ONLINE_TABLES[at]
        } else {
            crate::offline::tables::TABLES[at - ONLINE_TABLES_COUNT]
        };
        at += 1;
    }
    all
};

/// That this store came from a backup, and what the center knew of since: see [`crate::restored`]. One row with id 0.
pub static RESTORED: Table = Table {
    name: "restored",
    columns: &[
        Column::integer("id"),
        Column::integer("backup_of"),
        Column::integer("done_at").optional(),
        Column::integer("spent"),
        Column::integer("asked"),
        Column::integer("unbooked"),
        Column::integer("left_over"),
    ],
    key: 1,
    constraints: &["CHECK (id = 0)"],
    indexes: &[],
};

const ONLINE_TABLES: &[&Table] = &[
    &ACCOUNT,
    &HOLDER,
    &GENERATION,
    &ENROLMENT,
    &KEYSET,
    &MEMBER_PIN,
    &MEMBER,
    &MEMBER_LIST,
    &SESSION,
    &COIN,
    &STATEMENT,
    &SPEND,
    &TOTAL,
    &PAYMENT,
    &RELEASED,
    &RELEASE_MARK,
    &REFUSED,
    &REFUND,
    &PRESENTMENT,
    &DROP_MESSAGE,
    &DROP_USAGE,
    &EVIDENCE,
    &MANDATE,
    &CHEQUE_BOOK,
    &CHEQUE,
    &CHEQUE_ORDER,
    &CHEQUE_PRESENTMENT,
    &DECLINED,
    &CHEQUE_BOX,
    &CERTIFICATE,
    &REVOKED,
    &TRANSFER_ORDER,
    &ACCOUNT_STATEMENT,
    &INSTANCE,
    &EPOCH_SECRET,
    &LIST_DATE,
    &PRUNED_TOTAL,
    &PRUNED_ACCOUNT,
    &PRUNE_MARK,
    &RESTORED,
];

const BOOK: &[&Table] = feiqian_ledger::TABLES;

/// [`REFUSED`] in version 1.
static REFUSED_1: Table = Table {
    name: "refused",
    columns: &[Column::blob("presentment"), Column::blob("body")],
    key: 1,
    constraints: &[],
    indexes: &[],
};

/// Nobody knows which epoch was the newest then, nor later which of them are of offline payments: the row is kept for ever.
fn refused_for_ever(row: &Row, _: i64) -> Result<Vec<Value>, StoreError> {
    Ok(vec![row.value(0)?.clone(), row.value(1)?.clone(), Value::Integer(i64::MAX)])
}

/// [`COIN`] before version 3.
static COIN_2: Table = Table {
    name: "coin",
    columns: &[
        Column::blob("denomination"),
        Column::blob("coin_key"),
        Column::integer("amount"),
        Column::integer("epoch"),
        Column::integer("spent"),
    ],
    key: 2,
    constraints: &["CHECK (spent > 0 AND spent <= amount)"],
    indexes: &[],
};

/// What was taken of it stays in [`SPEND`].
fn coin_with_spends(row: &Row, _: i64) -> Result<Vec<Value>, StoreError> {
    Ok([row.0.as_slice(), &[Value::Null]].concat())
}

/// [`PAYMENT`] before version 3.
static PAYMENT_2: Table = Table {
    name: "payment",
    columns: &[
        Column::blob("digest"),
        Column::blob("request"),
        Column::integer("amount"),
        Column::text("bank").optional(),
        Column::text("account").optional(),
        Column::blob("presentment"),
        Column::blob("receipt"),
        Column::integer("refunded"),
        Column::integer("claimed"),
    ],
    key: 1,
    constraints: &[
        "UNIQUE (request)",
        "CHECK (claimed >= 0 AND claimed <= refunded AND refunded <= amount)",
        "CHECK ((bank IS NULL) = (account IS NULL))",
    ],
    indexes: &[],
};

/// Its statement stays in [`STATEMENT`].
fn numbered(row: &Row, number: i64) -> Result<Vec<Value>, StoreError> {
    Ok([&[number.into()], row.0.as_slice(), &[Value::Null]].concat())
}

/// The history of these tables. Version 2: when a refused presentment may be forgotten. Version 3: a deposit writes to
/// fewer places, and a refused offline payment is never forgotten.
pub static STEPS: &[Step] = &[
    Step {
        to: 2,
        rebuilt: &[Rebuilt { before: &REFUSED_1, after: &REFUSED, carry: refused_for_ever }],
        dropped: &[],
    },
    Step {
        to: 3,
        rebuilt: &[
            Rebuilt { before: &COIN_2, after: &COIN, carry: coin_with_spends },
            Rebuilt { before: &PAYMENT_2, after: &PAYMENT, carry: numbered },
            Rebuilt { before: &REFUSED, after: &REFUSED, carry: refused_for_ever },
        ],
        dropped: &[],
    },
];

/// Every table of a bank's store, those of the book included.
#[allow(clippy::indexing_slicing, reason = "evaluated when compiling: a wrong index would not compile")]
pub static TABLES: &[&Table] = &{
    let mut all: [&Table; OWN_TABLES_COUNT + BOOK.len()] = [&ACCOUNT; OWN_TABLES_COUNT + BOOK.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < OWN_TABLES_COUNT { OWN_TABLES[at] } else { BOOK[at - OWN_TABLES_COUNT] };
        at += 1;
    }
    all
};
