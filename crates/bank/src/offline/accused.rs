//! Whoever answered twice: the opening that two answers bring to light, the accusation, what account and collateral pay.

use std::sync::Arc;

use feiqian_crypto::share_tree::{Opening, VerifiedPiece, identify};
use feiqian_crypto::{Digest, Id16, Transcript};
use feiqian_ledger::book;
use feiqian_ledger::store::{Row, StoreError, StoreExt, Tx, Value};
use feiqian_money::{Amount, Minor};
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::accusation::{Accusation, CustomerAccusation};
use feiqian_offline_cash::chain::Hop;
use feiqian_offline_cash::keyset::Keys;
use feiqian_offline_cash::register::Mark;
use feiqian_wire::Timestamp;
use feiqian_wire::error::{Code, Fault};
use serde::{Deserialize, Serialize};

use super::identity::IdentityRow;
use super::sessions;
use super::tables::{ACCUSATION, EXPOSED, LINE};
use crate::Bank;
use crate::chart::{Event, Post, along, id};
use crate::refusal::{Refusal, from_blob, to_blob};

/// A stored accusation of a customer.
#[derive(Debug, Clone)]
pub(crate) struct AccusationRow {
    pub(crate) digest: Digest,
    pub(crate) account: Id16,
    pub(crate) coin: Digest,
    pub(crate) accusation: CustomerAccusation,
    pub(crate) at: u64,
}

impl AccusationRow {
    pub(crate) fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            digest: row.digest(0)?,
            account: row.id(1)?,
            coin: row.digest(2)?,
            accusation: from_blob(row.blob(3)?)?,
            at: row.unsigned(4)?,
        })
    }

    /// Is it about this account's withdrawal, signed with its key, and the opening that of a line?
    pub(crate) fn is_sound(&self, signing_key: Option<&[u8; 32]>) -> bool {
        let CustomerAccusation { opening, index, withdrawal, identity } = &self.accusation;
        let line = withdrawal.statement.lines.get(usize::from(*index));
        let opened = line.is_some_and(|line| {
            opening.verify(&identity.identity.record.identity, &line.commitment, &line.nu).is_ok()
        });
        opened
            && self.digest == accusation_digest(&self.accusation)
            && withdrawal.statement.account.as_str() == self.account.to_string()
            && signing_key.is_some_and(|key| withdrawal.verify(key).is_ok())
    }
}

/// An accusation as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccusationLine {
    /// Names it.
    pub id: String,
    /// The account's name.
    pub customer: String,
    /// Its token.
    pub account: String,
    /// *m* of the coin or blank that answered twice.
    pub coin: String,
    /// What the customer was charged, major units.
    pub amount: String,
    /// What account and collateral paid of it, major units.
    pub covered: String,
    /// What is still owed, major units.
    pub unpaid: String,
    /// When it was made, Unix seconds.
    pub at: u64,
}

/// `D("bank/offline-accusation"; bank, account, session, index, R, L1, ν)`: one for each coin that was answered for twice.
pub(crate) fn accusation_digest(accusation: &CustomerAccusation) -> Digest {
    let statement = &accusation.withdrawal.statement;
    Transcript::new("bank/offline-accusation")
        .text(statement.bank.as_str())
        .text(statement.account.as_str())
        .digest(&statement.session)
        .integer(accusation.index.into())
        .encoded_scalar(&accusation.opening.r)
        .encoded_scalar(&accusation.opening.identity_secret)
        .encoded_scalar(&accusation.opening.nu)
        .into_digest()
}

/// What two answers of one coin or blank bring to light. The earlier one is verified anew: only then is extracted.
pub(super) fn extract(
    keys: &dyn Keys,
    answer: &VerifiedPiece,
    earlier: &Hop,
    before: &Mark,
) -> Result<Opening, Refusal> {
    let corrupt = |what: &str| Refusal::from(StoreError::Corrupt(format!("offline_chain: {what}")));
    let challenge = before.challenge.decode().map_err(|_| corrupt("challenge"))?;
    let key = keys.key(&earlier.key)?;
    let piece =
        earlier.piece.verify(&key.public, &challenge).map_err(|_| corrupt("a piece does not verify"))?;
    let opening = identify(&[answer, &piece]).map_err(|_| corrupt("pieces of two coins"))?;
    opening.ok_or_else(|| corrupt("two answers that do not overlap"))
}

/// The customer behind an opening, accused and closed from now on; `None` when no withdrawal of this bank has it.
pub(super) fn accuse(
    tx: &mut dyn Tx,
    opening: Opening,
    coin: &Digest,
    now: Timestamp,
) -> Result<Option<(IdentityRow, AccusationRow)>, Refusal> {
    let commitment = opening.commitment().map_err(|_| Rejection::AccusationInvalid("opening"))?;
    let Some(line) = tx.find(&LINE, &[commitment.to_bytes().into()])? else { return Ok(None) };
    let session = sessions::find(tx, &line.digest(1)?)?.ok_or(StoreError::Missing("offline_session"))?;
    let answer = session.answer.ok_or(StoreError::Missing("offline_session"))?;
    let mut row = IdentityRow::find(tx, session.account)?.ok_or(StoreError::Missing("offline_identity"))?;
    let attested = row.attested.clone().ok_or(StoreError::Missing("offline_identity"))?;
    let accusation = CustomerAccusation::new(opening, answer.withdrawal, attested)?;
    let digest = accusation_digest(&accusation);
    let known = AccusationRow { digest, account: row.account, coin: *coin, accusation, at: now.seconds() };
    if tx.find(&ACCUSATION, &[digest.into()])?.is_none() {
        metrics::counter!("feiqian_bank_offline_accusations_total").increment(1);
        let body = to_blob(&known.accusation)?;
        let at = Value::unsigned(now.seconds())?;
        tx.insert(&ACCUSATION, &[digest.into(), row.account.into(), (*coin).into(), body.into(), at])?;
    }
    if row.closed.is_none() {
        row.closed = Some(now.seconds());
        row.update(tx)?;
    }
    Ok(Some((row, known)))
}

/// Puts a coin or blank that was answered for twice on the exposed list, until its epoch is over.
pub(super) fn expose(
    tx: &mut dyn Tx,
    coin: &Digest,
    until: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    if tx.find(&EXPOSED, &[(*coin).into()])?.is_some() {
        return Ok(());
    }
    tx.insert(&EXPOSED, &[(*coin).into(), Value::unsigned(until.seconds())?, Value::unsigned(now.seconds())?])
}

/// What account and collateral of an identity still have.
pub(super) fn means(tx: &mut dyn Tx, row: &IdentityRow) -> Result<(Minor, Minor), Refusal> {
    let state = book::account(tx, row.account)?.ok_or(StoreError::Missing("ledger_account"))?;
    Ok((state.available_to_debit(), row.held))
}

/// Pays as much of an amount as the account has, then the collateral, to where `to` leads. Returns how much.
///
/// Who is to be paid from its own account has the money already.
pub(super) fn cover(
    tx: &mut dyn Tx,
    row: &mut IdentityRow,
    reference: &Digest,
    amount: Minor,
    to: &[Id16],
    now: Timestamp,
) -> Result<Minor, Refusal> {
    let (available, held) = means(tx, row)?;
    let from_account = available.min(amount);
    let rest = amount.checked_sub(from_account)?;
    let from_held = held.min(rest);
    let sources = [
        (Event::OfflineCharge, row.account, from_account),
        (Event::OfflineSeize, id(Post::Collateral), from_held),
    ];
    for (event, from, part) in sources {
        if part.is_zero() || to.first() == Some(&from) {
            continue;
        }
        let path: Vec<Id16> = std::iter::once(from).chain(to.iter().copied()).collect();
        let _ = book::transfer(tx, &along(event, reference, &path, part), now.seconds())?;
    }
    if !from_held.is_zero() {
        row.held = held.checked_sub(from_held)?;
        row.update(tx)?;
    }
    Ok(from_account.checked_add(from_held)?)
}

impl Bank {
    /// All accusations, the newest first, at most 1000.
    pub(crate) async fn accusations(self: &Arc<Self>) -> Result<Vec<AccusationLine>, Fault> {
        let currency = self.config.currency;
        let work = move |tx: &mut dyn Tx| {
            let columns: Vec<String> =
                ACCUSATION.columns.iter().map(|column| format!("x.{}", column.name)).collect();
            let sql = format!(
                "SELECT {}, a.name FROM offline_accusation AS x JOIN account AS a ON a.id = x.account \
                 ORDER BY x.at DESC, x.digest LIMIT 1000",
                columns.join(", ")
            );
            let rows = tx.select(&sql, &[])?;
            let mut lines = Vec::with_capacity(rows.len());
            for row in &rows {
                let known = AccusationRow::from_row(row)?;
                let sql = "SELECT coalesce(sum(amount), 0), coalesce(sum(paid), 0) FROM offline_claim \
                           WHERE accusation = ?1";
                let sums = tx.select(sql, &[known.digest.into()])?;
                let sums = sums.first().map(|row| Ok::<_, StoreError>((row.minor(0)?, row.minor(1)?)));
                let (amount, covered) = sums.transpose()?.unwrap_or((Minor::ZERO, Minor::ZERO));
                let major = |minor: Minor| Amount::new(minor, currency).to_string();
                lines.push(AccusationLine {
                    id: known.digest.to_string(),
                    customer: row.text(ACCUSATION.columns.len())?.to_owned(),
                    account: known.account.to_string(),
                    coin: known.coin.to_string(),
                    amount: major(amount),
                    covered: major(covered),
                    unpaid: major(amount.checked_sub(covered)?),
                    at: known.at,
                });
            }
            Ok::<_, Refusal>(lines)
        };
        Ok(self.seams.store.read(work).await?)
    }

    /// A stored accusation as a document that anybody can check against the root.
    ///
    /// # Errors
    /// The store's; `NOT_FOUND` when `digest` names none.
    pub async fn accusation(&self, digest: Digest) -> Result<Accusation, Fault> {
        let work = move |tx: &mut dyn Tx| {
            let row = tx.find(&ACCUSATION, &[digest.into()])?;
            Ok::<_, Refusal>(row.map(|row| AccusationRow::from_row(&row)).transpose()?)
        };
        let row = self.seams.store.read(work).await?;
        let row = row.ok_or_else(|| Fault::new(Code::NotFound, "no such accusation"))?;
        Ok(Accusation::Customer(row.accusation))
    }
}
