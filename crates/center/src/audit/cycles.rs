//! Cycles against their obligations, transfers and notices.

use feiqian_clearing::gross::State;
use feiqian_clearing::net::{Obligation, Positions};
use feiqian_ledger::book::Transfer;
use feiqian_ledger::store::{StoreError, Tx, Value};

use super::{Audit, every_row, move_by, place};
use crate::cycles::{Cycle, Stage};
use crate::failure::Failure;
use crate::obligations::{Booked, Due, Legs};
use crate::tables::{CYCLE, NOTICE};

impl Audit {
    /// An obligation of a cheque: settled only with a cycle, and both banks are told of its end.
    pub(super) fn deferred_obligation(
        &mut self,
        tx: &mut dyn Tx,
        place: &str,
        booked: &Booked,
        state: State,
    ) -> Result<(), StoreError> {
        let fits = match booked.due {
            Due::Open | Due::Settled => state == State::Settled,
            Due::Unwound => state == State::Refused,
        };
        if !fits {
            self.add(4, place, format!("its presentment is {state:?}"));
        }
        if booked.transfer.is_some() {
            self.add(5, place, "it is settled by itself and not with others");
        }
        for bank in [&booked.debtor, &booked.creditor] {
            let key: [Value; 2] = [bank.as_str().into(), booked.presentment.into()];
            let told = tx.find(&NOTICE, &key)?.map(|row| row.boolean(3)).transpose()?;
            let wanted = match booked.due {
                Due::Open => None,
                Due::Settled => Some(true),
                Due::Unwound => Some(false),
            };
            if told != wanted {
                self.add(8, place, format!("bank {bank} is told something else"));
            }
        }
        if let Some(cycle) = booked.cycle
            && tx.find(&CYCLE, &[Value::unsigned(cycle)?])?.is_none()
        {
            self.add(4, place, format!("there is no cycle {cycle}"));
        }
        Ok(())
    }

    pub(super) fn cycles(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let mut last = 0_u64;
        every_row(tx, &CYCLE, |tx, row| {
            let number = row.unsigned(0)?;
            let place = place(&CYCLE, number);
            if number != last.saturating_add(1) {
                self.add(8, &place, format!("number {} is missing", last.saturating_add(1)));
            }
            last = number;
            let checked = Cycle::from_row(row).and_then(|cycle| self.cycle(tx, &place, &cycle));
            checked.or_else(|Failure(fault)| {
                self.add(7, &place, fault.to_string());
                Ok(())
            })
        })
    }

    /// Every word to a bank is about an obligation of its own, with the cycle that it ended in.
    pub(super) fn notices(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let sql = format!("SELECT bank, presentment, cycle FROM {} ORDER BY bank, presentment", NOTICE.name);
        for row in &tx.select(&sql, &[])? {
            let (bank, presentment, told) = (row.text(0)?, row.digest(1)?, row.unsigned(2)?);
            let place = format!("{} {bank} {presentment}", NOTICE.name);
            let booked = match Booked::find(tx, &presentment) {
                Ok(Some(booked)) => booked,
                Ok(None) => {
                    self.add(8, place, "there is no obligation of it");
                    continue;
                }
                Err(Failure(fault)) => {
                    self.add(7, place, fault.to_string());
                    continue;
                }
            };
            if booked.debtor.as_str() != bank && booked.creditor.as_str() != bank {
                self.add(8, &place, "the bank has no part in it");
            }
            let group = match booked.cycle {
                Some(number) => tx.find(&CYCLE, &[Value::unsigned(number)?])?,
                None => None,
            };
            let is_group = group.map(|row| row.boolean(2)).transpose()?.unwrap_or(true);
            let expected = if is_group { 0 } else { booked.cycle.unwrap_or(0) };
            if told != expected {
                self.add(8, place, format!("it is told as of cycle {told}, it ended in {expected}"));
            }
        }
        Ok(())
    }

    fn cycle(&mut self, tx: &mut dyn Tx, place: &str, cycle: &Cycle) -> Result<(), Failure> {
        let booked = cycle.obligations(tx)?;
        let open = booked.iter().filter(|it| it.due == Due::Open).count();
        let expected = if cycle.stage == Stage::Final { 0 } else { booked.len() };
        if open != expected {
            self.add(4, place, format!("{open} of its {} obligations are open", booked.len()));
        }
        if booked.iter().any(|it| it.amount.currency != cycle.currency) {
            self.add(5, place, "obligations of another currency");
        }
        let obligations: Vec<Obligation> = booked.iter().map(Booked::plain).collect();
        let broken = |error: feiqian_money::MoneyError| Failure(error.into());
        let sum = Positions::of(&obligations).map_err(broken)?.sum();
        if sum != 0 {
            self.add(5, place, format!("its positions sum to {sum}, not to zero"));
        }
        let legs = Legs::of(cycle.number, cycle.currency, &obligations).map_err(broken)?;
        self.legs(tx, place, &legs.reserve, cycle.stage >= Stage::Reserved)?;
        self.legs(tx, place, &legs.commit, cycle.stage == Stage::Final)?;
        if cycle.stage == Stage::Reserved {
            for transfer in &legs.reserve {
                let amount = i128::from(transfer.amount.value());
                move_by(&mut self.announced, cycle.currency, amount);
            }
        }
        Ok(())
    }

    /// Are all of these booked, or none?
    fn legs(&mut self, tx: &mut dyn Tx, place: &str, legs: &[Transfer], wanted: bool) -> Result<(), Failure> {
        for leg in legs {
            if self.transfer(tx, place, leg)? != wanted {
                let word = if wanted { "missing" } else { "booked too early" };
                self.add(8, place, format!("transfer {} is {word}", leg.id));
            }
        }
        Ok(())
    }
}
