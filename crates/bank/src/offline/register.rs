//! The deposit register and the sums of every key, as rows.
//!
//! A coin can be forked as often as its holder likes, and every deposit of it is taken. What is read to settle one is
//! therefore marks alone, page by page, and kept of them is one chain for each place at which the new one leaves the
//! stored ones and each interval; a body, up to some hundred KiB, is read where evidence is made of it.

use std::collections::BTreeMap;

use feiqian_crypto::Digest;
use feiqian_ledger::store::{Row, StoreError, Tx, Value};
use feiqian_money::Minor;
use feiqian_offline_cash::MAX_HOPS;
use feiqian_offline_cash::chain::{Hop, Paid, Place, START, chain_digest};
use feiqian_offline_cash::interval::Interval;
use feiqian_offline_cash::register::{Deposited, Mark};
use feiqian_wire::Bounded;

use super::tables::{CHAIN, TOTAL};
use crate::refusal::{Refusal, from_blob, to_blob};

/// A deposited chain as stored.
#[derive(Debug, Clone)]
pub(crate) struct ChainRow {
    pub(crate) coin: Digest,
    pub(crate) chain: Digest,
    pub(crate) interval: Interval,
    /// The id of the value coin's key.
    pub(crate) key: Digest,
    pub(crate) payment: Digest,
    pub(crate) piece: u32,
    pub(crate) marks: Bounded<Mark, MAX_HOPS>,
    /// How many of its minor units circulation paid.
    pub(crate) circulation: Minor,
    /// As it was deposited.
    pub(crate) body: Vec<u8>,
}

impl ChainRow {
    pub(crate) fn from_row(row: &Row) -> Result<Self, StoreError> {
        let corrupt = |_| StoreError::Corrupt("offline_chain: interval".to_owned());
        Ok(Self {
            coin: row.digest(0)?,
            chain: row.digest(2)?,
            interval: Interval::new(row.unsigned(1)?, row.unsigned(3)?).map_err(corrupt)?,
            key: row.digest(4)?,
            payment: row.digest(5)?,
            piece: row.small(6)?,
            marks: from_blob(row.blob(7)?)?,
            circulation: row.minor(8)?,
            body: row.blob(9)?.to_vec(),
        })
    }

    pub(crate) fn values(&self) -> Result<[Value; 10], StoreError> {
        Ok([
            self.coin.into(),
            Value::unsigned(self.interval.start())?,
            self.chain.into(),
            Value::unsigned(self.interval.length())?,
            self.key.into(),
            self.payment.into(),
            self.piece.into(),
            to_blob(&self.marks)?.into(),
            self.circulation.into(),
            self.body.clone().into(),
        ])
    }

    /// As the charging rule sees it, on a coin of this value.
    pub(crate) fn deposited(&self, value: Minor) -> Result<Deposited, Refusal> {
        deposited(value, &self.marks, self.interval)
    }

    /// As it was deposited.
    pub(crate) fn paid(&self) -> Result<Paid, StoreError> {
        from_blob(&self.body)
    }
}

/// The hop of a chain at a place.
pub(crate) fn hop_at(chain: &Paid, place: usize) -> Option<&Hop> {
    match chain.links.get(place) {
        Some(link) => Some(&link.hop),
        None => (place == chain.links.len()).then_some(&chain.last),
    }
}

fn deposited(value: Minor, marks: &[Mark], interval: Interval) -> Result<Deposited, Refusal> {
    let deposited = Deposited::new(value, marks.to_vec())?;
    if deposited.interval() == interval {
        return Ok(deposited);
    }
    Err(StoreError::Corrupt("offline_chain: the marks cover another interval".to_owned()).into())
}

/// The digest of a chain of these marks, *previous* of the hop after them.
pub(crate) fn chain_of(marks: &[Mark]) -> Option<Digest> {
    marks.iter().try_fold(START, |previous, mark| {
        let place = Place { previous, message: mark.message, node: mark.node };
        Some(chain_digest(&place, &mark.challenge.decode().ok()?))
    })
}

/// A deposited chain as settling needs it: without its body.
#[derive(Debug, Clone)]
pub(crate) struct MarkedRow {
    coin: Digest,
    pub(crate) chain: Digest,
    pub(crate) interval: Interval,
    pub(crate) payment: Digest,
    pub(crate) marks: Bounded<Mark, MAX_HOPS>,
}

impl MarkedRow {
    const COLUMNS: &str = "coin, start, chain, length, payment, marks";

    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let corrupt = |_| StoreError::Corrupt("offline_chain: interval".to_owned());
        Ok(Self {
            coin: row.digest(0)?,
            chain: row.digest(2)?,
            interval: Interval::new(row.unsigned(1)?, row.unsigned(3)?).map_err(corrupt)?,
            payment: row.digest(4)?,
            marks: from_blob(row.blob(5)?)?,
        })
    }

    /// As the charging rule sees it, on a coin of this value.
    pub(crate) fn deposited(&self, value: Minor) -> Result<Deposited, Refusal> {
        deposited(value, &self.marks, self.interval)
    }

    /// The chain as it was deposited, read now.
    pub(crate) fn paid(&self, tx: &mut dyn Tx) -> Result<Paid, StoreError> {
        let at = [self.coin.into(), Value::unsigned(self.interval.start())?, self.chain.into()];
        let row = tx.find(&CHAIN, &at)?.ok_or(StoreError::Missing("offline_chain"))?;
        ChainRow::from_row(&row)?.paid()
    }

    /// How many hops it shares with a chain.
    pub(crate) fn shared(&self, marks: &[Mark]) -> usize {
        self.marks.iter().zip(marks).take_while(|(one, other)| one == other).count()
    }
}

/// Rows read at a time.
const PAGE: u32 = 256;

/// Shows every chain that was deposited on a coin and shares a unit with an interval, by interval.
pub(crate) fn each_overlapping(
    tx: &mut dyn Tx,
    coin: &Digest,
    interval: Interval,
    mut show: impl FnMut(MarkedRow),
) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT {} FROM offline_chain WHERE coin = ?1 AND start < ?2 AND start + length > ?3 \
         AND (start > ?4 OR (start = ?4 AND chain > ?5)) ORDER BY start, chain LIMIT ?6",
        MarkedRow::COLUMNS
    );
    let (end, start) = (Value::unsigned(interval.end())?, Value::unsigned(interval.start())?);
    let mut after = [Value::Integer(-1), START.into()];
    loop {
        let [from, chain] = after;
        let bounds = [(*coin).into(), end.clone(), start.clone(), from, chain, PAGE.into()];
        let rows = tx.select(&sql, &bounds)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = [last.value(1)?.clone(), last.value(2)?.clone()];
        for row in &rows {
            show(MarkedRow::from_row(row)?);
        }
    }
}

/// Of the chains deposited on a coin that share a unit with an interval those that decide who pays a chain of these marks
/// on it: of all that leave it at the same hop and cover the same units the one whose mark there sorts first, as
/// [`settle`](feiqian_offline_cash::register::settle) prefers it.
pub(crate) fn deciding(
    tx: &mut dyn Tx,
    coin: &Digest,
    interval: Interval,
    marks: &[Mark],
) -> Result<Vec<MarkedRow>, StoreError> {
    let mut kept: BTreeMap<(usize, Interval), MarkedRow> = BTreeMap::new();
    each_overlapping(tx, coin, interval, |row| {
        let shared = row.shared(marks);
        let at = |row: &MarkedRow| (row.marks.get(shared).copied(), row.chain);
        let known = kept.get(&(shared, row.interval));
        if known.is_none_or(|known| at(&row) < at(known)) {
            kept.insert((shared, row.interval), row);
        }
    })?;
    Ok(kept.into_values().collect())
}

/// The units of a coin that were deposited.
pub(crate) fn deposited_units(tx: &mut dyn Tx, coin: &Digest) -> Result<Vec<Interval>, StoreError> {
    let rows = tx.select("SELECT start, length FROM offline_chain WHERE coin = ?1", &[(*coin).into()])?;
    let corrupt = |_| StoreError::Corrupt("offline_chain: interval".to_owned());
    rows.iter().map(|row| Interval::new(row.unsigned(0)?, row.unsigned(1)?).map_err(corrupt)).collect()
}

/// Coins and minor units by epoch and key.
pub(crate) type Sums = BTreeMap<(u64, Digest), (u64, Minor)>;

/// Which of a key's totals grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Totals {
    Issued,
    Redeemed,
    Reclaimed,
}

/// Adds to the totals.
pub(crate) fn add_totals(tx: &mut dyn Tx, sums: &Sums, which: Totals) -> Result<(), Refusal> {
    for ((epoch, key), (coins, amount)) in sums {
        let at = [Value::unsigned(*epoch)?, (*key).into()];
        let known = tx.find(&TOTAL, &at)?;
        let read = |row: &Row| {
            Ok::<_, StoreError>((row.unsigned(2)?, [row.minor(3)?, row.minor(4)?, row.minor(5)?]))
        };
        let (mut count, [mut issued, mut redeemed, mut reclaimed]) =
            known.as_ref().map_or(Ok((0, [Minor::ZERO; 3])), read)?;
        let target = match which {
            Totals::Issued => &mut issued,
            Totals::Redeemed => &mut redeemed,
            Totals::Reclaimed => &mut reclaimed,
        };
        *target = target.checked_add(*amount)?;
        count = count.saturating_add(*coins);
        let [epoch, key] = at;
        let values = [epoch, key, Value::unsigned(count)?, issued.into(), redeemed.into(), reclaimed.into()];
        tx.put(&TOTAL, &values)?;
    }
    Ok(())
}
