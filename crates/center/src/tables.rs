//! What a center remembers.

use feiqian_ledger::store::{Column, Table};

/// All tables of a center, those of its book included.
pub const TABLES: &[&Table] = &{
    let [account, transfer, resolution, due, journal] = BOOK;
    let own = [&ROOT, &BANK, &INVITATION, &PIN, &FUNDING, &PRESENTMENT, &OBLIGATION];
    let [root, bank, invitation, pin, funding, presentment, obligation] = own;
    [
        root,
        bank,
        invitation,
        pin,
        funding,
        presentment,
        obligation,
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

/// Presentments. `state`: 0 received, 1 forwarded, 2 settled, 3 refused; `outcome` is set when final.
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
        "CHECK (kind IN (0, 1))",
        "CHECK (amount > 0)",
        "CHECK (state BETWEEN 0 AND 3)",
        "CHECK ((state >= 2) = (outcome IS NOT NULL))",
        "CHECK (state = 3 OR issuing IS NOT NULL)",
        "CHECK (issuing IS NULL OR issuing <> collecting)",
    ],
    indexes: &["(issuing, received) WHERE state = 1"],
};

/// What banks owed each other for settled items, with the transfer that settled it.
pub static OBLIGATION: Table = Table {
    name: "center_obligation",
    columns: &[
        Column::blob("presentment"),
        Column::text("debtor"),
        Column::text("creditor"),
        Column::integer("amount"),
        Column::text("currency"),
        Column::blob("transfer"),
        Column::integer("booked"),
    ],
    key: 1,
    constraints: &["UNIQUE (transfer)", "CHECK (amount > 0)", "CHECK (debtor <> creditor)"],
    indexes: &[],
};
