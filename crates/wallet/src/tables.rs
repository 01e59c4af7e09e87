//! What the store keeps.
//!
//! | table | a row is |
//! |---|---|
//! | `setting` | generation, directory of banks, where a restore stands |
//! | `revocation_list` | the newest revocation list seen of an authority |
//! | `pin` | an entry of the center's log of keysets |
//! | `counter` | the next number for request ids or payee keys |
//! | `seen` | a session id or a commitment that a bank has shown |
//! | `issue_session` | an issuance, from plan to coins |
//! | `coin` | a coin, kept also when it is spent: refunds are claimed with its key |
//! | `signed_statement`, `contribution` | what was signed away, and of which coin how much |
//! | `payment` | a payment or a deposit on the own account |
//! | `payee_request` | a request of our own |
//! | `received` | a payment made out to us |
//! | `evidence` | a double spend that a bank claims to show |
//! | `history` | what the owner did |
//! | `act` | a call that changes something at a bank, written before it is made |
//! | `cheque_leaf` | a leaf of the own cheque book, and the cheque drawn on it |
//! | `cheque_received` | a cheque made out or endorsed to us |
//!
//! Those of offline cash stand in [`crate::offline::tables`], those of a restore in [`crate::restore::tables`].

use feiqian_ledger::store::{Column, Rebuilt, Row, Step, StoreError, Table, Value};
use feiqian_online_cash::deposit::CashItem;
use feiqian_wire::codec::{self, Limit};

use crate::offline::tables::{
    OFFLINE_ANSWER, OFFLINE_CLAIM, OFFLINE_COIN, OFFLINE_EXPECT, OFFLINE_EXPOSED, OFFLINE_OFFER,
    OFFLINE_PAYMENT, OFFLINE_PIN, OFFLINE_SESSION,
};
use crate::refund::refund_until;
use crate::restore::tables::{RESTORE_COIN, RESTORE_COUNT, RESTORE_REFUND, RESTORE_REQUEST};

/// Named values: `generation`, `generation-told` (to the own bank), `directory`, `restore` (`open` or `done`; absent where the
/// wallet was not made from words), `sealed` (there since the secrets in this store are).
pub static SETTING: Table = Table {
    name: "setting",
    columns: &[Column::text("name"), Column::blob("body")],
    key: 1,
    constraints: &[],
    indexes: &[],
};

/// The newest revocation list seen of each authority, by the authority's key: an older one never takes its place.
pub static REVOCATION_LIST: Table = Table {
    name: "revocation_list",
    columns: &[Column::blob("authority"), Column::blob("list")],
    key: 1,
    constraints: &["CHECK (length(authority) = 32)"],
    indexes: &[],
};

/// Entries of the center's log in order, from 0.
pub static PIN: Table = Table {
    name: "pin",
    columns: &[Column::integer("number"), Column::blob("entry")],
    key: 1,
    constraints: &[],
    indexes: &[],
};

/// Counters per bank, kind and epoch.
pub static COUNTER: Table = Table {
    name: "counter",
    columns: &[
        Column::text("bank"),
        Column::text("kind"),
        Column::integer("epoch"),
        Column::integer("next_number"),
    ],
    key: 3,
    constraints: &[],
    indexes: &[],
};

/// Session ids (32 bytes), commitments *A, B* (64 bytes) and digests of offline announcements (32 bytes) seen so far.
pub static SEEN: Table = Table {
    name: "seen",
    columns: &[Column::blob("item"), Column::blob("request")],
    key: 1,
    constraints: &[],
    indexes: &[],
};

/// Issuances by request id.
pub static SESSION: Table = Table {
    name: "issue_session",
    columns: &[
        Column::blob("request"),
        Column::text("purpose"),
        Column::text("bank"),
        Column::integer("amount"),
        Column::blob("design"),
        Column::blob("offer").optional(),
        Column::blob("finish").optional(),
        Column::text("state"),
        Column::integer("created"),
        Column::blob("intent").optional(),
        Column::integer("reported"),
    ],
    key: 1,
    constraints: &["CHECK (state IN ('planned', 'offered', 'signed', 'done', 'void'))", "CHECK (amount > 0)"],
    // Neither has a row of a session that has ended and been told.
    indexes: &[
        "(created, request) WHERE state IN ('planned', 'offered', 'signed')",
        "(intent, created, request) WHERE reported = 0 AND intent IS NOT NULL",
    ],
};

/// Coins by (denomination, key). `secret`: sealed, see [`mod@crate::sealed_rows`]; `rest`: value less all that was signed away and not released.
pub static COIN: Table = Table {
    name: "coin",
    columns: &[
        Column::blob("denomination"),
        Column::blob("coin_key"),
        Column::blob("secret"),
        Column::blob("signature"),
        Column::text("bank"),
        Column::text("currency"),
        Column::integer("worth"),
        Column::integer("rest"),
        Column::text("state"),
        Column::blob("session"),
    ],
    key: 2,
    constraints: &[
        "CHECK (worth > 0)",
        "CHECK (rest >= 0 AND rest <= worth)",
        "CHECK (state IN ('good', 'suspect', 'refused'))",
    ],
    // What choosing and counting coins need, of each that is not spent.
    indexes: &["(denomination, coin_key, bank, worth, rest, state) WHERE rest > 0"],
};

/// Everything signed with coins' keys, by digest. `owner`: the payment's request digest or the session's request id;
/// `number`: the order of signing.
pub static STATEMENT: Table = Table {
    name: "signed_statement",
    columns: &[
        Column::blob("digest"),
        Column::text("kind"),
        Column::text("bank"),
        Column::blob("owner"),
        Column::text("state"),
        Column::integer("signed_at"),
        Column::integer("number"),
    ],
    key: 1,
    constraints: &[
        "CHECK (kind IN ('payment', 'refresh'))",
        "CHECK (state IN ('open', 'effective', 'void'))",
        "UNIQUE (number)",
    ],
    indexes: &["(digest) WHERE state = 'void'"],
};

/// What a statement takes of a coin, and the statement that released it.
pub static CONTRIBUTION: Table = Table {
    name: "contribution",
    columns: &[
        Column::blob("denomination"),
        Column::blob("coin_key"),
        Column::blob("digest"),
        Column::integer("amount"),
        Column::blob("released_by").optional(),
    ],
    key: 3,
    constraints: &["CHECK (amount > 0)"],
    indexes: &["(digest)"],
};

/// Payments by the request they pay. `refund_until`: until when its payee may give of it back, 0 where it cannot.
pub static PAYMENT: Table = Table {
    name: "payment",
    columns: &[
        Column::blob("request"),
        Column::blob("payment"),
        Column::text("kind"),
        Column::text("bank"),
        Column::integer("amount"),
        Column::integer("expires"),
        Column::blob("item"),
        Column::blob("parcel").optional(),
        Column::text("file").optional(),
        Column::text("state"),
        Column::blob("receipt").optional(),
        Column::integer("created"),
        Column::blob("intent").optional(),
        Column::integer("reported"),
        Column::integer("refund_until"),
    ],
    key: 1,
    constraints: &[
        "CHECK (kind IN ('pay', 'deposit'))",
        "CHECK (state IN ('signed', 'taken', 'delivered', 'paid', 'refused', 'lapsed'))",
    ],
    // What has been paid is in no index by its state, or that would be looked through for what can be refunded.
    indexes: &[
        "(created, request) WHERE state IN ('signed', 'taken', 'delivered', 'refused')",
        "(payment)",
        "(intent, created, request) WHERE reported = 0 AND intent IS NOT NULL",
        "(refund_until, created, request, payment, state, kind) WHERE state = 'paid' AND kind = 'pay'",
    ],
};

/// As it was in version 2: until when each could be refunded stood in its item only.
static PAYMENT_2: Table = Table {
    name: "payment",
    columns: &[
        Column::blob("request"),
        Column::blob("payment"),
        Column::text("kind"),
        Column::text("bank"),
        Column::integer("amount"),
        Column::integer("expires"),
        Column::blob("item"),
        Column::blob("parcel").optional(),
        Column::text("file").optional(),
        Column::text("state"),
        Column::blob("receipt").optional(),
        Column::integer("created"),
        Column::blob("intent").optional(),
        Column::integer("reported"),
    ],
    key: 1,
    constraints: PAYMENT.constraints,
    indexes: &["(state)"],
};

fn with_refund_until(row: &Row, _: i64) -> Result<Vec<Value>, StoreError> {
    let corrupt = |error: &dyn std::fmt::Display| StoreError::Corrupt(format!("payment: {error}"));
    let item: CashItem = codec::decode(row.blob(6)?, Limit::Large).map_err(|error| corrupt(&error))?;
    let until = Value::unsigned(refund_until(&item.request.request).seconds())?;
    Ok([row.0.as_slice(), &[until]].concat())
}

/// Our own requests for payment.
pub static PAYEE_REQUEST: Table = Table {
    name: "payee_request",
    columns: &[
        Column::blob("request"),
        Column::integer("number"),
        Column::blob("body"),
        Column::integer("expires"),
        Column::text("state"),
    ],
    key: 1,
    constraints: &["CHECK (state IN ('open', 'paid'))"],
    indexes: &[],
};

/// Payments made out to us.
pub static RECEIVED: Table = Table {
    name: "received",
    columns: &[
        Column::blob("payment"),
        Column::blob("request"),
        Column::text("bank"),
        Column::integer("amount"),
        Column::blob("item"),
        Column::text("state"),
        Column::integer("reported"),
        Column::integer("created"),
    ],
    key: 1,
    constraints: &["CHECK (state IN ('taken', 'done', 'refused'))"],
    indexes: &["(request)", "(created, payment) WHERE state = 'taken' OR reported = 0"],
};

/// Double spends shown to us, by payment.
pub static EVIDENCE: Table = Table {
    name: "evidence",
    columns: &[Column::blob("payment"), Column::blob("body"), Column::integer("shown_at")],
    key: 1,
    constraints: &[],
    indexes: &[],
};

/// What happened, oldest first.
pub static HISTORY: Table = Table {
    name: "history",
    columns: &[
        Column::integer("number"),
        Column::integer("happened"),
        Column::text("kind"),
        Column::integer("amount"),
        Column::text("bank"),
        Column::text("reference"),
    ],
    key: 1,
    constraints: &[],
    indexes: &[],
};

/// Calls that change something at a bank: the row first, then the call, then what it answered. The same id acts once.
pub static ACT: Table = Table {
    name: "act",
    columns: &[
        Column::blob("id"),
        Column::text("kind"),
        Column::blob("intent"),
        Column::blob("body"),
        Column::text("state"),
        Column::blob("answer").optional(),
        Column::integer("reported"),
        Column::integer("number"),
        Column::integer("created"),
    ],
    key: 1,
    constraints: &[
        "CHECK (length(id) = 32)",
        "CHECK (kind IN ('book', 'order', 'endorse', 'deposit', 'send', 'transfer'))",
        "CHECK (state IN ('open', 'done', 'refused'))",
        "CHECK ((state = 'open') = (answer IS NULL))",
        "UNIQUE (number)",
    ],
    indexes: &["(state)", "(intent)"],
};

/// Leaves of the own cheque book by number. A leaf is `torn` out before anything is signed on it, and never goes back:
/// `free` → `torn` → (`drawn`, while joint drawers sign) → `signed` → `issued`, or `refused` by the bank.
pub static LEAF: Table = Table {
    name: "cheque_leaf",
    columns: &[
        Column::integer("number"),
        Column::blob("book"),
        Column::text("state"),
        Column::blob("terms").optional(),
        Column::blob("cheque").optional(),
        Column::blob("file").optional(),
        Column::blob("notice").optional(),
        Column::blob("line").optional(),
        Column::blob("refusal").optional(),
        Column::blob("intent").optional(),
        Column::integer("reported"),
        Column::integer("torn_at"),
    ],
    key: 1,
    constraints: &[
        "CHECK (number > 0)",
        "CHECK (state IN ('free', 'torn', 'drawn', 'signed', 'issued', 'refused'))",
        "CHECK ((state = 'free') = (terms IS NULL))",
        "CHECK ((state IN ('free', 'torn')) = (file IS NULL))",
        "CHECK ((file IS NULL) = (cheque IS NULL))",
        "CHECK ((state = 'refused') = (refusal IS NOT NULL))",
        "UNIQUE (cheque)",
    ],
    indexes: &["(state)"],
};

/// Cheques that came to us, by id. `body`: what the first drawer signed; `file`: its newest version.
pub static CHEQUE_RECEIVED: Table = Table {
    name: "cheque_received",
    columns: &[
        Column::blob("cheque"),
        Column::blob("body"),
        Column::blob("file"),
        Column::text("state"),
        Column::text("code").optional(),
        Column::integer("created"),
    ],
    key: 1,
    constraints: &[
        "CHECK (length(cheque) = 32)",
        "CHECK (state IN ('held', 'endorsed', 'deposited', 'paid', 'returned'))",
        "CHECK ((state = 'returned') = (code IS NOT NULL))",
    ],
    indexes: &[],
};

/// How a store of an older version comes to these tables. From version 2 on secrets are sealed, which the first opening does
/// (it takes the seed); a program of before would not know them and refuses the store. Version 3: until when a payment may be
/// refunded stands in a column.
pub static STEPS: &[Step] = &[
    Step { to: 2, rebuilt: &[], dropped: &[] },
    Step {
        to: 3,
        rebuilt: &[Rebuilt { before: &PAYMENT_2, after: &PAYMENT, carry: with_refund_until }],
        dropped: &[],
    },
];

/// All of them.
pub static TABLES: &[&Table] = &[
    &SETTING,
    &REVOCATION_LIST,
    &PIN,
    &COUNTER,
    &SEEN,
    &SESSION,
    &COIN,
    &STATEMENT,
    &CONTRIBUTION,
    &PAYMENT,
    &PAYEE_REQUEST,
    &RECEIVED,
    &EVIDENCE,
    &HISTORY,
    &ACT,
    &LEAF,
    &CHEQUE_RECEIVED,
    &OFFLINE_PIN,
    &OFFLINE_EXPOSED,
    &OFFLINE_SESSION,
    &OFFLINE_COIN,
    &OFFLINE_ANSWER,
    &OFFLINE_PAYMENT,
    &OFFLINE_OFFER,
    &OFFLINE_EXPECT,
    &OFFLINE_CLAIM,
    &RESTORE_COUNT,
    &RESTORE_REQUEST,
    &RESTORE_COIN,
    &RESTORE_REFUND,
];
