//! Everything a bank's store says, recomputed from primary rows: read-only, in one snapshot.
//!
//! | invariant | what is recomputed |
//! |---|---|
//! | 1, 2, 7 | the book from its journal, the check of every row ([`feiqian_ledger::audit`]) |
//! | 2 | a payment is redeemed once, a released one never; a session's funding acted once |
//! | 3 | per epoch and denomination: issued from answered sessions, redeemed from spends; per coin: spends ≤ value; circulation |
//! | 3 | offline: issued, redeemed and reclaimed of every key, circulation pays every unit once, claims and parts, collateral |
//! | 7 | offline: customers' signed withdrawals, receipts, accusations, decisions on claims |
//! | 3 | what rows said before they were deleted is in the sums that remain, of epochs that have ended alone |
//! | 4 | a cheque is paid to one presentment, Σ paid = Σ drawer debits, states agree with the book, reserves are pending |
//! | 4 | every transfer booked for a cheque or a remittance is one that a row calls for, in every field |
//! | 5 | the clearing accounts hold what is paid and not settled |
//! | 7 | transfers are numbered without gaps, account statements chain and agree with the journal |
//! | 7 | the register holds the numbers of the cheque books; orders, boxes, mandates and certificates are what they name |
//! | 7 | every stored statement's digest from its body, receipts, withdrawals' signatures, answers against commitments |

mod answers;
mod cheques;
mod claims;
mod documents;
mod money;
mod offline;
mod pruned;
mod sessions;
mod spends;
mod transfers;

use std::collections::{BTreeMap, BTreeSet};

use feiqian_crypto::Digest;
use feiqian_ledger::audit::{Report, check_book, check_rows};
use feiqian_ledger::store::{Row, StoreError, Table, Tx, Value};
use feiqian_online_cash::keyset::{Keyset, VerifiedKey};
use rand_core::CryptoRng;

use crate::refusal::from_blob;
use crate::tables::TABLES;

pub use cheques::ChequeSums;
pub use feiqian_ledger::audit::Finding;
pub use offline::OfflineSums;

const PAGE: u32 = 512;

/// Whose books are audited.
#[derive(Debug, Clone)]
pub struct Audited {
    /// The bank.
    pub bank: String,
    /// Its document-signing key, for receipts and keysets.
    pub signer: [u8; 32],
}

/// Issued and redeemed of one denomination of one epoch, minor units, recomputed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Circulation {
    /// Value of one coin.
    pub value: u64,
    /// Σ value of coins signed in answered sessions.
    pub issued: u128,
    /// Σ contributions.
    pub redeemed: u128,
    /// Σ (value − spent) over coins seen by the bank.
    pub seen_rest: u128,
}

/// What a statement takes of all its coins, minor units.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Taken {
    /// As its body says.
    pub(crate) sum: u64,
    /// How much of that is booked in spends, less those the walk over all spends has met; the rest is of epochs that have ended.
    pub(crate) unmet: u64,
    /// Whether a session or payment stands for it.
    pub(crate) is_accounted: bool,
}

/// What an audit saw.
#[derive(Debug, Clone)]
pub struct BankAudit {
    /// What disagrees; empty when all is well.
    pub findings: Vec<Finding>,
    /// The book.
    pub book: Report,
    /// By epoch and denomination id.
    pub circulation: BTreeMap<(u64, Digest), Circulation>,
    /// How many coins the bank has seen.
    pub coins: u64,
    /// How many sessions it has answered.
    pub answered: u64,
    /// How many payments it has redeemed.
    pub payments: u64,
    /// Refunded and not claimed, minor units.
    pub refunds_open: u128,
    /// Presentments without an outcome.
    pub pending_presentments: u64,
    /// Epochs below this have ended: of their rows only sums may be left.
    pub ended: u64,
    /// What the cheques' rows say.
    pub cheques: ChequeSums,
    /// What the offline rows say.
    pub offline: OfflineSums,
}

impl BankAudit {
    /// Σ issued − Σ redeemed: what the bank owes to all holders of its coins, minor units.
    #[must_use]
    pub fn in_circulation(&self) -> i128 {
        let signed = |value: u128| i128::try_from(value).unwrap_or(i128::MAX);
        self.circulation.values().fold(0_i128, |sum, each| {
            sum.saturating_add(signed(each.issued)).saturating_sub(signed(each.redeemed))
        })
    }
}

/// The audit while it runs.
pub(crate) struct Auditor<'a> {
    pub(crate) audited: &'a Audited,
    pub(crate) keys: BTreeMap<Digest, VerifiedKey>,
    pub(crate) out: BankAudit,
    /// Recomputed: Σ claims of each payment.
    pub(crate) claims: BTreeMap<Digest, u128>,
    /// Recomputed: withdrawn and deposited of each account.
    pub(crate) accounts: BTreeMap<feiqian_crypto::Id16, (u128, u128)>,
    /// Statements by digest: what grows with the payments.
    pub(crate) statements: BTreeMap<Digest, Taken>,
    /// Transfers for cheques and remittances that rows call for.
    pub(crate) explained: BTreeSet<feiqian_crypto::Id16>,
}

impl Auditor<'_> {
    pub(crate) fn find(&mut self, invariant: u8, place: impl Into<String>, detail: impl Into<String>) {
        self.out.findings.push(Finding::new(invariant, place, detail));
    }
}

/// Audits a bank's store. Holds one entry a statement in memory, and one for each payment with a refund, each cheque and each
/// transfer.
///
/// `rng`: weights of the batch check of stored answers.
///
/// # Errors
/// [`StoreError`] when a table cannot be read at all; what disagrees is a finding.
pub fn audit(tx: &mut dyn Tx, audited: &Audited, rng: &mut impl CryptoRng) -> Result<BankAudit, StoreError> {
    let book = check_book(tx)?;
    let mut findings = book.findings.clone();
    findings.extend(check_rows(tx, TABLES)?);
    let out = BankAudit {
        findings,
        book,
        circulation: BTreeMap::new(),
        coins: 0,
        answered: 0,
        payments: 0,
        refunds_open: 0,
        pending_presentments: 0,
        ended: 0,
        cheques: ChequeSums::default(),
        offline: OfflineSums::default(),
    };
    let mut auditor = Auditor {
        audited,
        keys: BTreeMap::new(),
        out,
        claims: BTreeMap::new(),
        accounts: BTreeMap::new(),
        statements: BTreeMap::new(),
        explained: BTreeSet::new(),
    };
    auditor.keysets(tx)?;
    auditor.pruned(tx)?;
    auditor.statements(tx)?;
    auditor.spends(tx)?;
    auditor.sessions(tx, rng)?;
    auditor.payments(tx)?;
    auditor.presentments(tx)?;
    auditor.cheques(tx)?;
    auditor.transfers(tx)?;
    auditor.unexplained(tx)?;
    auditor.account_statements(tx)?;
    auditor.documents(tx)?;
    auditor.totals(tx)?;
    auditor.balances(tx)?;
    auditor.cheque_pendings(tx)?;
    auditor.offline(tx)?;
    Ok(auditor.out)
}

impl Auditor<'_> {
    fn keysets(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let rows = tx.select("SELECT epoch, digest, body FROM keyset ORDER BY epoch", &[])?;
        for row in &rows {
            let place = format!("keyset ({})", row.integer(0)?);
            let keyset: Keyset = match row.blob(2).and_then(from_blob) {
                Ok(keyset) => keyset,
                Err(error) => {
                    self.find(7, place, error.to_string());
                    continue;
                }
            };
            if keyset.bank.as_str() != self.audited.bank
                || Ok(keyset.epoch.0) != row.unsigned(0)
                || Ok(keyset.digest()) != row.digest(1)
            {
                self.find(7, place.as_str(), "bank, epoch or digest is not the keyset's");
            }
            match keyset.verify(&self.audited.signer) {
                Ok(verified) => self.keys.extend(verified.keys.into_iter().map(|key| (key.id, key))),
                Err(error) => self.find(7, place, error.to_string()),
            }
        }
        Ok(())
    }

    /// Calls `each` for every row of a table in key order; a row that does not decode is a finding.
    pub(crate) fn walk(
        &mut self,
        tx: &mut dyn Tx,
        table: &Table,
        mut each: impl FnMut(&mut Self, &mut dyn Tx, &Row) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let (columns, keys) = (table.column_list(), table.key_list());
        let marks: Vec<String> = (1..=table.key).map(|number| format!("?{number}")).collect();
        let next = format!("WHERE ({keys}) > ({})", marks.join(", "));
        let mut after: Vec<Value> = Vec::new();
        loop {
            let behind = if after.is_empty() { "" } else { next.as_str() };
            let sql = format!("SELECT {columns} FROM {} {behind} ORDER BY {keys} LIMIT {PAGE}", table.name);
            let rows = match tx.select(&sql, &after) {
                // Already found by the check of rows.
                Err(StoreError::Corrupt(text)) => {
                    self.find(7, table.name, text);
                    return Ok(());
                }
                other => other?,
            };
            let Some(last) = rows.last() else { return Ok(()) };
            let behind_last = last.0.get(..table.key).unwrap_or_default().to_vec();
            if behind_last == after {
                return Ok(());
            }
            after = behind_last;
            for row in &rows {
                match each(self, tx, row) {
                    Err(StoreError::Corrupt(text)) => self.find(7, place(table, row), text),
                    other => other?,
                }
            }
        }
    }
}

/// A row's table and key, as a person can look it up.
pub(crate) fn place(table: &Table, row: &Row) -> String {
    let keys: Vec<String> = row
        .0
        .iter()
        .take(table.key)
        .map(|value| match value {
            Value::Null => "null".to_owned(),
            Value::Integer(number) => number.to_string(),
            Value::Text(text) => text.clone(),
            Value::Blob(bytes) => hex::encode(bytes),
        })
        .collect();
    format!("{} ({})", table.name, keys.join(", "))
}
