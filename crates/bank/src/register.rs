//! The spent register: what each coin has given, by which signed statement, and the sums of every denomination.

use std::collections::BTreeMap;

use feiqian_crypto::Digest;
use feiqian_crypto::snowblind::Signature;
use feiqian_ledger::store::{Row, StoreError, Tx, Value};
use feiqian_money::Minor;
use feiqian_node::MemberView;
use feiqian_online_cash::Rejection;
use feiqian_online_cash::coin::CoinId;
use feiqian_online_cash::evidence::{Evidence, MAX_STATEMENTS, Statement};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, Limit, Timestamp, codec};

use crate::housekeeping::Mark;
use crate::refusal::{Refusal, from_blob, to_blob};
use crate::tables::{COIN, EVIDENCE, SPEND, STATEMENT, TOTAL};

/// What the messages around an evidence may add to it: every hop wraps it, and its readers see JSON.
const WRAPPING: usize = 8192;

/// One coin and what a statement takes from it; everything about it was checked.
#[derive(Debug, Clone)]
pub(crate) struct Taking {
    pub(crate) coin: CoinId,
    pub(crate) contribution: Minor,
    pub(crate) value: Minor,
    pub(crate) epoch: u64,
    pub(crate) signature: Signature,
}

/// A statement about to take effect.
#[derive(Debug)]
pub(crate) struct Spending {
    pub(crate) bank: String,
    pub(crate) digest: Digest,
    pub(crate) statement: Statement,
    pub(crate) takings: Vec<Taking>,
}

impl Spending {
    /// Takes every contribution, or none: all coins are looked at before the first row is written. A payment's statement
    /// is kept by its own row, not here.
    pub(crate) fn book(&self, tx: &mut dyn Tx, view: &MemberView) -> Result<(), Refusal> {
        let mut takings: Vec<&Taking> = self.takings.iter().collect();
        // One order for all transactions, whatever the order in the statement.
        takings.sort_by_key(|taking| taking.coin);
        let mut rows: Vec<(Option<Row>, &Taking, Minor)> = Vec::with_capacity(takings.len());
        // Rows of epochs that have ended are deleted, perhaps by another process of this bank: a coin without one is not new.
        let ended = Mark::Epochs.read(tx)?;
        for taking in takings {
            let known = tx.find(&COIN, &key_of(&taking.coin))?;
            if known.is_none() && taking.epoch < ended {
                return Err(Rejection::KeyExpired.into());
            }
            let before = known.as_ref().map_or(Ok(Minor::ZERO), |row| row.minor(4))?;
            let after = before.checked_add(taking.contribution)?;
            if after > taking.value {
                return Err(self.refuse(tx, view, taking));
            }
            rows.push((known, taking, after));
        }
        for (known, taking, spent) in &rows {
            self.take(tx, known.as_ref(), taking, *spent)?;
        }
        if let Statement::Refresh { .. } = self.statement {
            tx.insert(&STATEMENT, &[self.digest.into(), true.into(), to_blob(&self.statement)?.into()])?;
        }
        let mut redeemed = BTreeMap::new();
        for (_, taking, _) in &rows {
            add(&mut redeemed, (taking.epoch, taking.coin.denomination), taking.contribution)?;
        }
        add_totals(tx, &redeemed, Side::Redeemed)?;
        Ok(())
    }

    /// Writes down what is taken from one coin, which then has given `spent`.
    fn take(
        &self,
        tx: &mut dyn Tx,
        known: Option<&Row>,
        taking: &Taking,
        spent: Minor,
    ) -> Result<(), StoreError> {
        let [denomination, key] = key_of(&taking.coin);
        let epoch = Value::unsigned(taking.epoch)?;
        let values = |only: Option<Digest>| {
            [denomination.clone(), key.clone(), taking.value.into(), epoch, spent.into(), only.into()]
        };
        let Some(known) = known else { return tx.insert(&COIN, &values(Some(self.digest))) };
        let mut spend = |statement: Digest, contribution: Minor| {
            tx.insert(&SPEND, &[denomination.clone(), key.clone(), statement.into(), contribution.into()])
        };
        if let Some(first) = known.optional_digest(5)? {
            spend(first, known.minor(4)?)?;
        }
        spend(self.digest, taking.contribution)?;
        tx.update(&COIN, &values(None))
    }

    fn refuse(&self, tx: &mut dyn Tx, view: &MemberView, taking: &Taking) -> Refusal {
        match self.evidence(tx, view, taking) {
            Ok(evidence) => Refusal::DoubleSpent(Box::new(evidence)),
            Err(refusal) => refusal,
        }
    }

    /// The smallest sufficient set: this statement, which is always needed, and the largest earlier ones.
    fn evidence(&self, tx: &mut dyn Tx, view: &MemberView, taking: &Taking) -> Result<Evidence, Refusal> {
        let limit = u32::try_from(MAX_STATEMENTS).unwrap_or(u32::MAX);
        let mut sum = taking.contribution;
        let mut statements = vec![self.statement.clone()];
        for (digest, contribution) in spends(tx, &key_of(&taking.coin), limit)? {
            if sum > taking.value {
                break;
            }
            sum = sum.checked_add(contribution)?;
            statements.push(statement(tx, &digest)?.ok_or(StoreError::Missing("statement"))?);
        }
        let unprovable = |why: &str| {
            Refusal::Fault(Fault::new(Code::DoubleSpent, format!("a coin is spent beyond its value; {why}")))
        };
        if sum <= taking.value {
            return Err(unprovable("the evidence has too many parts to be shown"));
        }
        let statements = Bounded::new(statements)
            .map_err(|_| unprovable("the evidence has too many parts to be shown"))?;
        let entry = view.entries().iter().find(|entry| {
            entry.keyset.bank.as_str() == self.bank
                && entry.keyset.epoch.0 == taking.epoch
                && entry.keyset.keys.iter().any(|key| key.id() == taking.coin.denomination)
        });
        let entry = entry.ok_or_else(|| unprovable("its keyset is not in the center's log as known here"))?;
        let evidence = Evidence {
            coin: taking.coin,
            signature: taking.signature,
            statements,
            keyset: entry.keyset.clone(),
            pinned_at: entry.pinned_at,
            signer: entry.signer.clone(),
        };
        match codec::encode_json(&evidence) {
            Ok(text) if text.len() <= Limit::Large.bytes().saturating_sub(WRAPPING) => Ok(evidence),
            _ => Err(unprovable("the evidence is larger than a message")),
        }
    }
}

/// Keeps the evidence of a refused statement for the operator: the first of each coin, so that repeats add nothing.
pub(crate) fn keep_evidence(
    tx: &mut dyn Tx,
    statement: &Digest,
    evidence: &Evidence,
    now: Timestamp,
) -> Result<(), StoreError> {
    let [denomination, key] = key_of(&evidence.coin);
    if tx.find(&EVIDENCE, &[denomination.clone(), key.clone()])?.is_some() {
        return Ok(());
    }
    let at = Value::unsigned(now.seconds())?;
    tx.insert(&EVIDENCE, &[denomination, key, (*statement).into(), to_blob(evidence)?.into(), at])
}

/// A stored statement.
pub(crate) fn statement(tx: &mut dyn Tx, digest: &Digest) -> Result<Option<Statement>, StoreError> {
    let sql = "SELECT statement FROM payment WHERE digest = ?1 AND statement IS NOT NULL \
               UNION ALL SELECT body FROM statement WHERE digest = ?1";
    let rows = tx.select(sql, &[(*digest).into()])?;
    rows.first().map(|row| from_blob(row.blob(0)?)).transpose()
}

/// The statements that took from a coin and what each took, the largest first, at most so many.
pub(crate) fn spends(
    tx: &mut dyn Tx,
    coin: &[Value; 2],
    limit: u32,
) -> Result<Vec<(Digest, Minor)>, StoreError> {
    let sql = "SELECT statement, spent FROM coin \
               WHERE denomination = ?1 AND coin_key = ?2 AND statement IS NOT NULL \
               UNION ALL SELECT statement, contribution FROM spend WHERE denomination = ?1 AND coin_key = ?2 \
               ORDER BY 2 DESC, 1 LIMIT ?3";
    let [denomination, key] = coin.clone();
    let rows = tx.select(sql, &[denomination, key, limit.into()])?;
    rows.iter().map(|row| Ok((row.digest(0)?, row.minor(1)?))).collect()
}

/// What a statement took from a coin.
pub(crate) fn spend(
    tx: &mut dyn Tx,
    coin: &[Value; 2],
    statement: &Digest,
) -> Result<Option<Minor>, StoreError> {
    let Some(row) = tx.find(&COIN, coin)? else { return Ok(None) };
    match row.optional_digest(5)? {
        Some(only) => Ok((only == *statement).then_some(row.minor(4)?)),
        None => {
            let [denomination, key] = coin.clone();
            let row = tx.find(&SPEND, &[denomination, key, (*statement).into()])?;
            row.map(|row| row.minor(3)).transpose()
        }
    }
}

/// The register's key of a coin.
pub(crate) fn key_of(coin: &CoinId) -> [Value; 2] {
    [coin.denomination.into(), coin.key.to_bytes().into()]
}

/// Sums by epoch and denomination.
pub(crate) type Sums = BTreeMap<(u64, Digest), Minor>;

/// Adds to a sum.
pub(crate) fn add(
    sums: &mut Sums,
    key: (u64, Digest),
    amount: Minor,
) -> Result<(), feiqian_money::MoneyError> {
    let sum = sums.entry(key).or_insert(Minor::ZERO);
    *sum = sum.checked_add(amount)?;
    Ok(())
}

/// Which side of a denomination's totals grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Issued,
    Redeemed,
}

/// Adds to the totals.
pub(crate) fn add_totals(tx: &mut dyn Tx, sums: &Sums, side: Side) -> Result<(), Refusal> {
    for ((epoch, denomination), amount) in sums {
        let key = [Value::unsigned(*epoch)?, (*denomination).into()];
        let known = tx.find(&TOTAL, &key)?;
        let read = |row: &Row| Ok::<_, StoreError>((row.minor(2)?, row.minor(3)?));
        let (mut issued, mut redeemed) = known.as_ref().map_or(Ok((Minor::ZERO, Minor::ZERO)), read)?;
        let target = if side == Side::Issued { &mut issued } else { &mut redeemed };
        *target = target.checked_add(*amount)?;
        let [epoch, denomination] = key;
        let values = [epoch, denomination, issued.into(), redeemed.into()];
        if known.is_some() { tx.update(&TOTAL, &values)? } else { tx.insert(&TOTAL, &values)? }
    }
    Ok(())
}
