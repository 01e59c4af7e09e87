//! What a bank remembers about offline cash.

use feiqian_ledger::store::{Column, Table};

/// The bank's own offline keysets. Their secrets are elsewhere.
pub(crate) static KEYSET: Table = Table {
    name: "offline_keyset",
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

/// The center's log of pinned offline keysets as received.
pub(crate) static MEMBER_PIN: Table = Table {
    name: "offline_member_pin",
    columns: &[Column::integer("number"), Column::blob("body")],
    key: 1,
    constraints: &[],
    indexes: &[],
};

/// Customers' offline identities. `signed` is what the customer sent, `attested` the center's answer; `held` is what is left
/// of the collateral, `closed` when the identity was closed for withdrawal and transfer.
pub(crate) static IDENTITY: Table = Table {
    name: "offline_identity",
    columns: &[
        Column::blob("account"),
        Column::blob("identity"),
        Column::blob("signing_key"),
        Column::blob("signed"),
        Column::blob("attested").optional(),
        Column::integer("collateral"),
        Column::integer("held"),
        Column::integer("opened"),
        Column::integer("closed").optional(),
    ],
    key: 1,
    constraints: &["UNIQUE (identity)", "UNIQUE (signing_key)", "CHECK (held >= 0 AND held <= collateral)"],
    indexes: &[],
};

/// What each identity drew of each epoch.
pub(crate) static DRAWN: Table = Table {
    name: "offline_drawn",
    columns: &[
        Column::blob("account"),
        Column::integer("epoch"),
        Column::integer("withdrawn"),
        Column::integer("reclaimed"),
        Column::integer("blanks"),
    ],
    key: 2,
    constraints: &["CHECK (reclaimed >= 0 AND reclaimed <= withdrawn AND blanks >= 0)"],
    indexes: &[],
};

/// Withdrawal sessions. State 0 open, 1 answered, 2 void.
pub(crate) static SESSION: Table = Table {
    name: "offline_session",
    columns: &[
        Column::blob("session"),
        Column::blob("request"),
        Column::blob("account"),
        Column::blob("outputs"),
        Column::integer("amount"),
        Column::blob("instance"),
        Column::integer("expires"),
        Column::integer("state"),
        Column::blob("withdrawal").optional(),
        Column::blob("answered").optional(),
    ],
    key: 1,
    constraints: &[
        "UNIQUE (request)",
        "CHECK (state IN (0, 1, 2))",
        "CHECK ((state = 1) = (answered IS NOT NULL))",
        "CHECK ((withdrawal IS NULL) = (answered IS NULL))",
    ],
    indexes: &["(state, expires)"],
};

/// Which line of which session a commitment *C* stands in: how an opening finds its withdrawal.
pub(crate) static LINE: Table = Table {
    name: "offline_line",
    columns: &[Column::blob("commitment"), Column::blob("session"), Column::integer("place")],
    key: 1,
    constraints: &["UNIQUE (session, place)"],
    indexes: &[],
};

/// Coins, and minor units issued, redeemed from circulation and reclaimed, of every key of every epoch.
pub(crate) static TOTAL: Table = Table {
    name: "offline_total",
    columns: &[
        Column::integer("epoch"),
        Column::blob("key_id"),
        Column::integer("coins"),
        Column::integer("issued"),
        Column::integer("redeemed"),
        Column::integer("reclaimed"),
    ],
    key: 2,
    constraints: &["CHECK (redeemed >= 0 AND reclaimed >= 0 AND redeemed + reclaimed <= issued)"],
    indexes: &[],
};

/// Payments with coins of this bank that were taken. A request is redeemed for one.
pub(crate) static PAYMENT: Table = Table {
    name: "offline_payment",
    columns: &[
        Column::blob("payment"),
        Column::blob("request"),
        Column::text("bank"),
        Column::text("account"),
        Column::integer("amount"),
        Column::integer("unpaid"),
        Column::blob("presentment"),
        Column::blob("receipt"),
        Column::integer("taken"),
    ],
    key: 1,
    constraints: &["UNIQUE (request)", "CHECK (amount > 0 AND unpaid >= 0 AND unpaid <= amount)"],
    indexes: &[],
};

/// The deposit register: one row for each chain, with the minor units of its value coin that it covers and how many of
/// them circulation paid.
pub(crate) static CHAIN: Table = Table {
    name: "offline_chain",
    columns: &[
        Column::blob("coin"),
        Column::integer("start"),
        Column::blob("chain"),
        Column::integer("length"),
        Column::blob("key_id"),
        Column::blob("payment"),
        Column::integer("piece"),
        Column::blob("marks"),
        Column::integer("circulation"),
        Column::blob("body"),
    ],
    key: 3,
    constraints: &[
        "UNIQUE (payment, piece)",
        "CHECK (start >= 0 AND length > 0 AND circulation >= 0 AND circulation <= length)",
    ],
    indexes: &[],
};

/// Accusations of this bank's customers.
pub(crate) static ACCUSATION: Table = Table {
    name: "offline_accusation",
    columns: &[
        Column::blob("digest"),
        Column::blob("account"),
        Column::blob("coin"),
        Column::blob("body"),
        Column::integer("at"),
    ],
    key: 1,
    constraints: &[],
    indexes: &["(account)"],
};

/// What somebody who answered twice owes for a payment: a customer of this bank (`account`), this bank itself, or another
/// bank (`debtor`). `issuer` is the bank that claims: this one for payments with its own coins, else the one to which the
/// `outcome` was told, by this bank or, when that did not answer in time, by the center. `presentment` is that of the deposit, or of the claim of the other bank;
/// where a reclaim lost to a fork, `payment` and `presentment` are both its *m*.
pub(crate) static CLAIM: Table = Table {
    name: "offline_claim",
    columns: &[
        Column::blob("claim"),
        Column::text("issuer"),
        Column::text("debtor"),
        Column::blob("account").optional(),
        Column::blob("accusation").optional(),
        Column::blob("payment"),
        Column::blob("presentment"),
        Column::blob("coin"),
        Column::integer("amount"),
        Column::integer("paid"),
        Column::integer("due"),
        Column::blob("outcome").optional(),
    ],
    key: 1,
    constraints: &["CHECK (amount > 0 AND paid >= 0 AND paid <= amount)"],
    indexes: &["(debtor, due)", "(payment)"],
};

/// What was paid of a claim: number 0 at once (`source` 0), the later parts from 1: `source` 1 from account and collateral,
/// 2 by the debtor's bank, 3 by this bank itself; 4 was refused by the bank that claims, and counts for nothing.
pub(crate) static CLAIM_PART: Table = Table {
    name: "offline_claim_part",
    columns: &[
        Column::blob("claim"),
        Column::integer("number"),
        Column::integer("amount"),
        Column::integer("source"),
        Column::integer("at"),
    ],
    key: 2,
    constraints: &["CHECK (amount > 0)", "CHECK (source IN (0, 1, 2, 3, 4))"],
    indexes: &[],
};

/// Parts that other banks paid, for accounts here or for claims of this bank, by presentment.
pub(crate) static PART: Table = Table {
    name: "offline_part",
    columns: &[
        Column::blob("presentment"),
        Column::blob("claim"),
        Column::integer("amount"),
        Column::integer("at"),
    ],
    key: 1,
    constraints: &["CHECK (amount > 0)"],
    indexes: &[],
};

/// Coins of which two spends are known: payees refuse them until `until`.
pub(crate) static EXPOSED: Table = Table {
    name: "offline_exposed",
    columns: &[Column::blob("coin"), Column::integer("until"), Column::integer("at")],
    key: 1,
    constraints: &[],
    indexes: &["(until)"],
};

/// Claims on value that was never deposited: by session and place, also by *m*. Decided at `due`; `paid` then says how much.
pub(crate) static RECLAIM: Table = Table {
    name: "offline_reclaim",
    columns: &[
        Column::blob("session"),
        Column::integer("place"),
        Column::blob("message"),
        Column::blob("account"),
        Column::blob("coin"),
        Column::blob("key_id"),
        Column::integer("due"),
        Column::blob("body"),
        Column::blob("standing"),
        Column::integer("filed"),
        Column::integer("paid").optional(),
    ],
    key: 2,
    constraints: &["UNIQUE (message)", "CHECK (paid IS NULL OR paid >= 0)"],
    indexes: &["(due)", "(coin)"],
};

/// All of them.
pub(crate) const TABLES: [&Table; 15] = [
    &KEYSET,
    &MEMBER_PIN,
    &IDENTITY,
    &DRAWN,
    &SESSION,
    &LINE,
    &TOTAL,
    &PAYMENT,
    &CHAIN,
    &ACCUSATION,
    &CLAIM,
    &CLAIM_PART,
    &PART,
    &EXPOSED,
    &RECLAIM,
];
