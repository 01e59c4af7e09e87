//! What the store keeps of offline cash.
//!
//! | table | a row is |
//! |---|---|
//! | `offline_pin` | an entry of the center's log of offline keysets |
//! | `offline_exposed` | a bank's list of exposed coins |
//! | `offline_session` | a withdrawal of coins or blanks, from plan to coins |
//! | `offline_coin` | a coin, or a blank and what it took; kept also when it is spent |
//! | `offline_answer` | what a coin or blank answered, ever: **the rule** is that no two overlap |
//! | `offline_payment` | a payment, a transfer or a deposit, with its bytes |
//! | `offline_offer` | an offer of our own |
//! | `offline_expect` | somebody's commitment to an offer, and our nonce for it |
//! | `offline_claim` | a claim on value that was never deposited |

use feiqian_ledger::store::{Column, Table};

/// Entries of the center's log in order, from 0.
pub static OFFLINE_PIN: Table = Table {
    name: "offline_pin",
    columns: &[Column::integer("number"), Column::blob("entry")],
    key: 1,
    constraints: &[],
    indexes: &[],
};

/// The newest list of exposed coins of each bank.
pub static OFFLINE_EXPOSED: Table = Table {
    name: "offline_exposed",
    columns: &[Column::text("bank"), Column::blob("list")],
    key: 1,
    constraints: &[],
    indexes: &[],
};

/// Withdrawals by request id: `planned` → `committed` → `signed` → `done`, or `void`; `restored` when the bank had
/// answered a session that this store knew nothing of.
pub static OFFLINE_SESSION: Table = Table {
    name: "offline_session",
    columns: &[
        Column::blob("request"),
        Column::text("kind"),
        Column::integer("amount"),
        Column::blob("outputs"),
        Column::blob("salt").optional(),
        Column::blob("session").optional(),
        Column::blob("commitments").optional(),
        Column::blob("announced").optional(),
        Column::blob("finish").optional(),
        Column::text("state"),
        Column::integer("created"),
        Column::blob("intent").optional(),
        Column::integer("reported"),
    ],
    key: 1,
    constraints: &[
        "CHECK (kind IN ('coins', 'blanks'))",
        "CHECK (state IN ('planned', 'committed', 'signed', 'done', 'restored', 'void'))",
        "CHECK (state <> 'planned' OR commitments IS NULL)",
        "CHECK (state NOT IN ('signed', 'done') OR (announced IS NOT NULL AND finish IS NOT NULL))",
    ],
    indexes: &["(state)"],
};

/// Coins and blanks by *m*. `secret`: sealed, see [`mod@crate::sealed_rows`]; `worth`: of a coin its value, of a blank what it took; `rest`: less all that was answered.
/// `chain`: how the value came to a blank; `offer`: the one that lists the blank. Of a `restored` one no share is
/// given, ever.
pub static OFFLINE_COIN: Table = Table {
    name: "offline_coin",
    columns: &[
        Column::blob("message"),
        Column::text("kind"),
        Column::blob("key_id"),
        Column::blob("session"),
        Column::integer("place"),
        Column::integer("worth"),
        Column::integer("rest"),
        Column::blob("secret").optional(),
        Column::blob("chain").optional(),
        Column::blob("offer").optional(),
        Column::text("state"),
        Column::integer("created"),
    ],
    key: 1,
    constraints: &[
        "CHECK (kind IN ('value', 'blank'))",
        "CHECK (rest >= 0 AND rest <= worth)",
        "CHECK (kind = 'blank' OR (chain IS NULL AND offer IS NULL AND worth > 0))",
        "CHECK (kind = 'value' OR (chain IS NULL) = (worth = 0))",
        "CHECK (state IN ('good', 'restored'))",
        "CHECK (state = 'restored' OR secret IS NOT NULL)",
        "UNIQUE (session, place)",
    ],
    indexes: &["(rest)", "(offer)"],
};

/// Answers by *m* and node. `owner`: the payment's request, or the transfer's offer.
pub static OFFLINE_ANSWER: Table = Table {
    name: "offline_answer",
    columns: &[
        Column::blob("message"),
        Column::integer("node"),
        Column::blob("challenge"),
        Column::blob("owner"),
    ],
    key: 2,
    constraints: &["CHECK (node BETWEEN 1 AND 127)"],
    indexes: &["(owner)"],
};

/// What was given away, by the digest of the request or offer that it is for; `body`: the message as it leaves, the same
/// bytes however often. `item`: of a deposit, request and payment.
pub static OFFLINE_PAYMENT: Table = Table {
    name: "offline_payment",
    columns: &[
        Column::blob("owner"),
        Column::blob("payment"),
        Column::text("kind"),
        Column::integer("amount"),
        Column::blob("body"),
        Column::blob("item").optional(),
        Column::text("state"),
        Column::blob("outcome").optional(),
        Column::integer("created"),
        Column::blob("intent").optional(),
        Column::integer("reported"),
    ],
    key: 1,
    constraints: &[
        "CHECK (kind IN ('pay', 'pass', 'deposit'))",
        "CHECK (state IN ('given', 'open', 'done', 'refused'))",
        "CHECK ((kind = 'deposit') = (state <> 'given'))",
        "CHECK ((kind = 'deposit') = (item IS NOT NULL))",
    ],
    indexes: &["(state)"],
};

/// Offers of our own. `dice`: what the nonce is drawn from, sealed; `payer`: the one nonce that it was opened to; `transfer`: the
/// one that was taken.
pub static OFFLINE_OFFER: Table = Table {
    name: "offline_offer",
    columns: &[
        Column::blob("offer"),
        Column::integer("amount"),
        Column::blob("body"),
        Column::blob("dice"),
        Column::text("state"),
        Column::blob("payer").optional(),
        Column::blob("transfer").optional(),
        Column::integer("created"),
    ],
    key: 1,
    constraints: &[
        "CHECK (state IN ('committed', 'opened', 'taken', 'void'))",
        "CHECK (state <> 'opened' OR payer IS NOT NULL)",
        "CHECK ((state = 'taken') = (transfer IS NOT NULL))",
    ],
    indexes: &["(state)"],
};

/// Others' commitments that got our nonce. `dice`: what it is drawn from, sealed.
pub static OFFLINE_EXPECT: Table = Table {
    name: "offline_expect",
    columns: &[Column::blob("commitment"), Column::blob("dice"), Column::integer("created")],
    key: 1,
    constraints: &[],
    indexes: &[],
};

/// Claims by *m* of the coin or blank; `body`: as it is sent, the same bytes however often.
pub static OFFLINE_CLAIM: Table = Table {
    name: "offline_claim",
    columns: &[
        Column::blob("message"),
        Column::integer("amount"),
        Column::blob("body"),
        Column::text("state"),
        Column::integer("decided_at").optional(),
        Column::integer("paid").optional(),
        Column::integer("created"),
    ],
    key: 1,
    constraints: &[
        "CHECK (state IN ('open', 'filed', 'decided', 'refused'))",
        "CHECK ((state = 'decided') = (paid IS NOT NULL))",
    ],
    indexes: &["(state)"],
};
