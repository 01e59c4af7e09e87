//! What a center remembers.

use feiqian_ledger::store::{Column, Step, Table};

use crate::housekeeping::{PRUNE_MARK, PRUNED};

/// The history of these tables: none of version 1 has been laid out otherwise yet.
pub const STEPS: &[Step] = &[];

/// All tables of a center, those of its book included.
pub const TABLES: &[&Table] = &{
    let [account, transfer, resolution, due, journal] = BOOK;
    [
        &ROOT,
        &BANK,
        &INVITATION,
        &PIN,
        &OFFLINE_PIN,
        &IDENTITY,
        &EXPOSED,
        &FUNDING,
        &PRESENTMENT,
        &OBLIGATION,
        &CYCLE,
        &NOTICE,
        &REVOKED,
        &CRL,
        &PRUNED,
        &PRUNE_MARK,
        account,
        transfer,
        resolution,
        due,
        journal,
    ]
};

const BOOK: [&Table; 5] = match feiqian_ledger::TABLES {
    [a, b, c, d, e] => [*a, *b, *c, *d, *e],
    _ => panic!("the book has five tables"),
};

/// The root certificate that everything in this store was checked against: one row.
pub static ROOT: Table = Table {
    name: "center_root",
    columns: &[Column::integer("id"), Column::blob("certificate")],
    key: 1,
    constraints: &["CHECK (id = 0)"],
    indexes: &[],
};

/// Members. `chain`: of the bank's authority. `signer`: document-signing chain, empty until registered.
pub static BANK: Table = Table {
    name: "center_bank",
    columns: &[
        Column::text("name"),
        Column::text("currency"),
        Column::blob("authority_key"),
        Column::blob("chain"),
        Column::text("url"),
        Column::blob("signer"),
        Column::integer("admitted"),
    ],
    key: 1,
    constraints: &["CHECK (length(authority_key) = 32)"],
    indexes: &[],
};

/// Invitation codes, by digest. Used once.
pub static INVITATION: Table = Table {
    name: "center_invitation",
    columns: &[
        Column::blob("code"),
        Column::text("bank"),
        Column::integer("created"),
        Column::integer("used"),
    ],
    key: 1,
    constraints: &["CHECK (length(code) = 32)", "CHECK (used IN (0, 1))"],
    indexes: &[],
};

/// The log of pinned keysets, numbered from 0 without gaps. One keyset a bank, epoch and currency.
pub static PIN: Table = Table {
    name: "center_pin",
    columns: &[
        Column::integer("number"),
        Column::text("bank"),
        Column::integer("epoch"),
        Column::text("currency"),
        Column::blob("digest"),
        Column::blob("seen"),
        Column::blob("entry"),
    ],
    key: 1,
    constraints: &["UNIQUE (bank, epoch, currency)", "UNIQUE (digest)", "CHECK (number >= 0)"],
    indexes: &[],
};

/// The log of pinned offline keysets, numbered from 0 without gaps. One keyset a bank, epoch and currency.
pub static OFFLINE_PIN: Table = Table {
    name: "center_offline_pin",
    columns: &[
        Column::integer("number"),
        Column::text("bank"),
        Column::integer("epoch"),
        Column::text("currency"),
        Column::blob("digest"),
        Column::blob("entry"),
    ],
    key: 1,
    constraints: &["UNIQUE (bank, epoch, currency)", "UNIQUE (digest)", "CHECK (number >= 0)"],
    indexes: &[],
};

/// Offline identities, for ever. `owner`: bank and account, with a slash between. `record`: the digest of the record that
/// the customer signed. `attested`: with the center's signature.
pub static IDENTITY: Table = Table {
    name: "center_identity",
    columns: &[
        Column::blob("identity"),
        Column::blob("signing_key"),
        Column::text("owner"),
        Column::blob("record"),
        Column::blob("attested"),
    ],
    key: 1,
    constraints: &[
        "UNIQUE (signing_key)",
        "UNIQUE (owner)",
        "UNIQUE (record)",
        "CHECK (length(identity) = 32)",
        "CHECK (length(signing_key) = 32)",
    ],
    indexes: &[],
};

/// Each bank's latest list of exposed coins, as it signed it.
pub static EXPOSED: Table = Table {
    name: "center_exposed",
    columns: &[Column::text("bank"), Column::integer("as_of"), Column::blob("list")],
    key: 1,
    constraints: &["CHECK (as_of >= 0)"],
    indexes: &[],
};

/// Base money put on settlement accounts.
pub static FUNDING: Table = Table {
    name: "center_funding",
    columns: &[
        Column::blob("id"),
        Column::text("bank"),
        Column::integer("number"),
        Column::integer("amount"),
        Column::text("currency"),
        Column::integer("booked"),
    ],
    key: 1,
    constraints: &["UNIQUE (bank, number)", "CHECK (length(id) = 16)", "CHECK (amount > 0)"],
    indexes: &[],
};

/// Presentments. `kind`: 0 payment, 1 refund, 2 cheque, 3 transfer, 4 holding, 5 claim, 6 part. `state`: 0 received, 1
/// forwarded, 2 paid, 3 refused, undone or nothing paid; `outcome` is set when final. What is paid is settled, too,
/// except for cheques: of them the obligation says. Of a holding or claim less than `amount` may be paid.
pub static PRESENTMENT: Table = Table {
    name: "center_presentment",
    columns: &[
        Column::blob("id"),
        Column::integer("kind"),
        Column::text("collecting"),
        Column::text("issuing").optional(),
        Column::integer("amount"),
        Column::text("currency"),
        Column::blob("body"),
        Column::integer("state"),
        Column::blob("outcome").optional(),
        Column::integer("received"),
        Column::integer("changed"),
    ],
    key: 1,
    constraints: &[
        "CHECK (length(id) = 32)",
        "CHECK (kind BETWEEN 0 AND 6)",
        "CHECK (amount > 0)",
        "CHECK (state BETWEEN 0 AND 3)",
        "CHECK ((state >= 2) = (outcome IS NOT NULL))",
        "CHECK (state = 3 OR issuing IS NOT NULL)",
        "CHECK (issuing IS NULL OR issuing <> collecting)",
    ],
    indexes: &["(issuing, received) WHERE state = 1", "(received, id) WHERE state = 0", "(changed, id)"],
};

/// What banks owe each other for paid items, numbered from 1 in the order of booking. `state`: 0 open, 1 settled, 2
/// unwound. Settled either by a `transfer` of its own or with its `cycle`.
pub static OBLIGATION: Table = Table {
    name: "center_obligation",
    columns: &[
        Column::blob("presentment"),
        Column::text("debtor"),
        Column::text("creditor"),
        Column::integer("amount"),
        Column::text("currency"),
        Column::blob("transfer").optional(),
        Column::integer("booked"),
        Column::integer("number"),
        Column::integer("cycle").optional(),
        Column::integer("state"),
    ],
    key: 1,
    constraints: &[
        "UNIQUE (transfer)",
        "UNIQUE (number)",
        "CHECK (amount > 0)",
        "CHECK (debtor <> creditor)",
        "CHECK (state BETWEEN 0 AND 2)",
        "CHECK (transfer IS NULL OR (cycle IS NULL AND state = 1))",
        "CHECK (state = 0 OR transfer IS NOT NULL OR cycle IS NOT NULL)",
    ],
    indexes: &["(currency, number) WHERE state = 0", "(cycle, number) WHERE cycle IS NOT NULL"],
};

/// Obligations that are settled together, numbered from 1. `kind`: 0 a cycle of net settlement, 1 a release of the
/// queue of gross settlement. `state`: 0 open, 1 closed, 2 reserved, 3 final.
pub static CYCLE: Table = Table {
    name: "center_cycle",
    columns: &[
        Column::integer("number"),
        Column::text("currency"),
        Column::integer("kind"),
        Column::integer("state"),
        Column::integer("opened"),
        Column::integer("changed"),
    ],
    key: 1,
    constraints: &[
        "CHECK (number > 0)",
        "CHECK (kind IN (0, 1))",
        "CHECK (state BETWEEN 0 AND 3)",
        "CHECK (kind = 0 OR state = 3)",
    ],
    indexes: &["(currency) WHERE state < 3"],
};

/// What each bank of a settled or unwound cheque is told until it answers. `cycle` is 0 for a release of
/// the queue. Likewise the bank that did not answer a claim in time, and has paid it.
pub static NOTICE: Table = Table {
    name: "center_notice",
    columns: &[
        Column::text("bank"),
        Column::blob("presentment"),
        Column::integer("cycle"),
        Column::integer("settled"),
        Column::integer("told"),
    ],
    key: 2,
    constraints: &["CHECK (settled IN (0, 1))", "CHECK (told IN (0, 1))"],
    indexes: &["(bank, cycle) WHERE told = 0", "(presentment)"],
};

/// Bank authorities that the root has revoked.
pub static REVOKED: Table = Table {
    name: "center_revoked",
    columns: &[
        Column::blob("serial"),
        Column::text("bank"),
        Column::integer("revoked"),
        Column::text("reason"),
    ],
    key: 1,
    constraints: &[],
    indexes: &[],
};

/// The newest revocation list of each authority, by its key; `number` counts the root's own.
pub static CRL: Table = Table {
    name: "center_crl",
    columns: &[Column::blob("authority"), Column::integer("number"), Column::blob("list")],
    key: 1,
    constraints: &["CHECK (length(authority) = 32)", "CHECK (number >= 0)"],
    indexes: &[],
};
