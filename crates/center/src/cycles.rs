//! Cycles of net settlement.
//!
//! ```text
//!        first obligation          close             reserve all net debits        commit
//! (none) ────────────────▶ Open ─────────▶ Closed ─────────────────────▶ Reserved ────────▶ Final
//!                                               └ defaulters' last items are unwound
//! ```
//!
//! Reserving and committing are two durable steps: after the first nothing can fail any more. Between them the hub
//! is still empty; the second empties it again in itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use feiqian_cheque::messages::ChequeItem;
use feiqian_clearing::gridlock;
use feiqian_clearing::net::{Obligation, Positions};
use feiqian_clearing::presentment::ItemKind;
use feiqian_ledger::store::{Row, StoreExt, Tx, Value};
use feiqian_money::Currency;
use feiqian_wire::codec;
use feiqian_wire::error::{Code, Fault};

use crate::failure::Failure;
use crate::items::{Bench, Item};
use crate::obligations::{Booked, Due, Legs, book_all, next_number};
use crate::queue::{self, covers};
use crate::service::Center;
use crate::stored::{Stored, corrupt, find, put};
use crate::tables::CYCLE;

/// How far a cycle has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Open = 0,
    Closed = 1,
    Reserved = 2,
    Final = 3,
}

/// A cycle as stored.
#[derive(Debug, Clone)]
pub(crate) struct Cycle {
    pub(crate) number: u64,
    pub(crate) currency: Currency,
    /// A release of the queue rather than a cycle of net settlement.
    pub(crate) is_group: bool,
    pub(crate) stage: Stage,
    opened: u64,
}

impl Cycle {
    pub(crate) fn from_row(row: &Row) -> Result<Self, Failure> {
        Ok(Self {
            number: row.unsigned(0)?,
            currency: row.parse(1)?,
            is_group: row.boolean(2)?,
            stage: match row.integer(3)? {
                0 => Stage::Open,
                1 => Stage::Closed,
                2 => Stage::Reserved,
                3 => Stage::Final,
                _ => return Err(Fault::new(Code::Internal, "a cycle of no known state").into()),
            },
            opened: row.unsigned(4)?,
        })
    }

    fn values(&self, now: u64) -> Result<[Value; 6], Failure> {
        Ok([
            Value::unsigned(self.number)?,
            self.currency.code().into(),
            self.is_group.into(),
            Value::Integer(self.stage as i64),
            Value::unsigned(self.opened)?,
            Value::unsigned(now)?,
        ])
    }

    /// Cycles of net settlement that are not final, oldest first.
    pub(crate) fn unfinished(tx: &mut dyn Tx) -> Result<Vec<Self>, Failure> {
        let sql =
            format!("SELECT {} FROM {} WHERE state < 3 ORDER BY number", CYCLE.column_list(), CYCLE.name);
        tx.select(&sql, &[])?.iter().map(Self::from_row).collect()
    }

    fn find(tx: &mut dyn Tx, number: u64) -> Result<Self, Failure> {
        let row = tx.find(&CYCLE, &[Value::unsigned(number)?])?;
        Self::from_row(&row.ok_or_else(|| Fault::new(Code::NotFound, "no such cycle"))?)
    }

    fn enter(&mut self, tx: &mut dyn Tx, stage: Stage, now: u64) -> Result<(), Failure> {
        self.stage = stage;
        Ok(tx.update(&CYCLE, &self.values(now)?)?)
    }

    /// Its obligations that are not unwound, in the order of booking.
    pub(crate) fn obligations(&self, tx: &mut dyn Tx) -> Result<Vec<Booked>, Failure> {
        let condition = "cycle = ?1 AND state < 2 ORDER BY number";
        Booked::select(tx, condition, &[Value::unsigned(self.number)?])
    }
}

fn plain(booked: &[Booked]) -> Vec<Obligation> {
    booked.iter().map(Booked::plain).collect()
}

/// The open cycle of a currency; the first obligation opens it.
pub(crate) fn open_cycle(tx: &mut dyn Tx, currency: Currency, now: u64) -> Result<u64, Failure> {
    let known = Cycle::unfinished(tx)?;
    if let Some(open) = known.iter().find(|it| it.currency == currency && it.stage == Stage::Open) {
        return Ok(open.number);
    }
    let number = next_number(tx, CYCLE.name)?;
    let cycle = Cycle { number, currency, is_group: false, stage: Stage::Open, opened: now };
    tx.insert(&CYCLE, &cycle.values(now)?)?;
    Ok(number)
}

/// What settling one cycle came to.
#[derive(Debug, Clone)]
pub(crate) struct Settled {
    pub(crate) cycle: Cycle,
    pub(crate) items: usize,
    pub(crate) unwound: usize,
}

/// What the operator is shown of a cycle.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) cycle: Cycle,
    pub(crate) positions: Positions,
    pub(crate) items: usize,
}

impl Center {
    /// Closes every open cycle: what is paid from now on enters the next one.
    pub(crate) async fn close_cycles(&self) -> Result<Vec<Shown>, Fault> {
        let now = self.seams.clock.now().seconds();
        let work = move |tx: &mut dyn Tx| -> Result<Vec<Shown>, Failure> {
            let mut closed = Vec::new();
            for mut cycle in Cycle::unfinished(tx)?.into_iter().filter(|it| it.stage == Stage::Open) {
                cycle.enter(tx, Stage::Closed, now)?;
                closed.push(show(tx, cycle)?);
            }
            Ok(closed)
        };
        Ok(self.seams.store.commit("center.cycle.close", work).await?)
    }

    /// The cycles that are not final, with their positions.
    pub(crate) async fn cycles(&self) -> Result<Vec<Shown>, Fault> {
        let work = |tx: &mut dyn Tx| -> Result<Vec<Shown>, Failure> {
            Cycle::unfinished(tx)?.into_iter().map(|cycle| show(tx, cycle)).collect()
        };
        Ok(self.seams.store.read(work).await?)
    }

    /// Settles every closed cycle, oldest first; goes on with one that was interrupted.
    pub(crate) async fn settle_cycles(self: &Arc<Self>) -> Result<Vec<Settled>, Fault> {
        let read = |tx: &mut dyn Tx| Cycle::unfinished(tx);
        let cycles: Vec<Cycle> = self.seams.store.read(read).await?;
        let mut settled = Vec::new();
        for cycle in cycles.into_iter().filter(|it| it.stage > Stage::Open) {
            let number = cycle.number;
            let (center, now) = (Arc::clone(self), self.seams.clock.now().seconds());
            let work = move |tx: &mut dyn Tx| center.reserve_cycle(tx, number, now);
            self.seams.store.commit("center.cycle.reserve", work).await?;
            settled.push(self.finish_cycle(number).await?);
        }
        Ok(settled)
    }

    /// Goes on with cycles that were reserved when the center stopped.
    pub(crate) async fn finish_cycles(&self) -> Result<(), Fault> {
        let read = |tx: &mut dyn Tx| Cycle::unfinished(tx);
        let cycles: Vec<Cycle> = self.seams.store.read(read).await?;
        for cycle in cycles.into_iter().filter(|it| it.stage == Stage::Reserved) {
            self.finish_cycle(cycle.number).await?;
        }
        Ok(())
    }

    async fn finish_cycle(&self, number: u64) -> Result<Settled, Fault> {
        let (policy, now) = (self.policy(), self.seams.clock.now().seconds());
        let work = move |tx: &mut dyn Tx| -> Result<Settled, Failure> {
            let done = commit_cycle(tx, number, now)?;
            queue::drain(tx, done.cycle.currency, policy, now)?;
            Ok(done)
        };
        Ok(self.seams.store.commit("center.cycle.settle", work).await?)
    }

    /// Unwinds what its debtors cannot cover and reserves the net debits of the rest. Once reserved, nothing changes.
    fn reserve_cycle(&self, tx: &mut dyn Tx, number: u64, now: u64) -> Result<(), Failure> {
        let mut cycle = Cycle::find(tx, number)?;
        if cycle.stage != Stage::Closed {
            return Ok(());
        }
        let booked = cycle.obligations(tx)?;
        let obligations = plain(&booked);
        let covers = covers(tx, cycle.currency, &obligations)?;
        // The greatest set that leaves no bank below zero: the last items of whoever cannot pay fall out first.
        let kept: BTreeSet<usize> = gridlock::resolve(&covers, &obligations).into_iter().collect();
        let mut rest = Vec::with_capacity(kept.len());
        for (index, booked) in booked.into_iter().enumerate() {
            if kept.contains(&index) {
                rest.push(booked);
            } else {
                self.unwind(tx, booked, number, now)?;
            }
        }
        let legs = Legs::of(number, cycle.currency, &plain(&rest)).map_err(Fault::from)?;
        book_all(tx, &legs.reserve, now)?;
        cycle.enter(tx, Stage::Reserved, now)
    }

    /// Takes a payment back with `SETTLEMENT_FAILED`.
    fn unwind(&self, tx: &mut dyn Tx, mut booked: Booked, cycle: u64, now: u64) -> Result<(), Failure> {
        let mut stored = find(tx, &booked.presentment)?.ok_or_else(|| corrupt("it is gone"))?;
        let view = self.members.snapshot();
        let bench = self.bench(&view);
        if stored.kind != ItemKind::Cheque {
            return Err(corrupt("only cheques are settled by cycles"));
        }
        let outcome = failed::<ChequeItem>(&stored, &bench)?;
        stored.undo(outcome)?;
        put(tx, true, &stored, now)?;
        booked.end(tx, Due::Unwound, cycle)
    }
}

fn failed<I: Item>(stored: &Stored, bench: &Bench<'_>) -> Result<Vec<u8>, Failure> {
    let outcome = stored.outcome::<I>()?;
    Ok(codec::encode(&I::failed(&stored.presentment::<I>()?, outcome.as_ref(), bench)?)?)
}

fn show(tx: &mut dyn Tx, cycle: Cycle) -> Result<Shown, Failure> {
    let obligations = plain(&cycle.obligations(tx)?);
    let positions = Positions::of(&obligations).map_err(Fault::from)?;
    Ok(Shown { cycle, positions, items: obligations.len() })
}

fn commit_cycle(tx: &mut dyn Tx, number: u64, now: u64) -> Result<Settled, Failure> {
    let mut cycle = Cycle::find(tx, number)?;
    let mut booked = cycle.obligations(tx)?;
    if cycle.stage == Stage::Reserved {
        let legs = Legs::of(number, cycle.currency, &plain(&booked)).map_err(Fault::from)?;
        book_all(tx, &legs.commit, now)?;
        for booked in &mut booked {
            booked.end(tx, Due::Settled, number)?;
        }
        cycle.enter(tx, Stage::Final, now)?;
    }
    let unwound = Booked::select(tx, "cycle = ?1 AND state = 2", &[Value::unsigned(number)?])?.len();
    Ok(Settled { cycle, items: booked.len(), unwound })
}
