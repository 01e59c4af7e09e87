//! How many request ids the lost wallets used: counted for each generation, bank, kind of caller and epoch apart.
//!
//! A number that was drawn may never have reached the bank, so a number counts as the last one when the [`GAP`] after it
//! are unknown. It is looked for in steps that double, then by halving: a logarithmic number of questions. Their order and
//! the numbers say nothing, since ids are hashed with a key of the words.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreExt, Tx, Value};
use feiqian_node::CallError;
use feiqian_online_cash::seed::CallerKind;
use feiqian_wire::error::{Code, Fault};

use super::tables::{RESTORE_COUNT, RESTORE_REQUEST};
use super::{Pace, Watch};
use crate::failure::Result;
use crate::wallet::Wallet;

/// So many unknown numbers in a row end a count.
pub(crate) const GAP: u64 = 20;

/// What is counted apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Counter {
    generation: [u8; 16],
    bank: String,
    caller: CallerKind,
    epoch: u64,
}

impl Counter {
    fn key(&self) -> Result<[Value; 4]> {
        let epoch = Value::unsigned(self.epoch)?;
        Ok([self.generation.to_vec().into(), self.bank.as_str().into(), self.caller.as_str().into(), epoch])
    }
}

/// The number after the last used one. `first_known(from, count)`: the first known number of so many.
async fn used<F, Asking>(mut first_known: F) -> Result<u64>
where
    F: FnMut(u64, u64) -> Asking,
    Asking: Future<Output = Result<Option<u64>>>,
{
    let Some(mut last) = first_known(0, GAP).await? else { return Ok(0) };
    let mut step = GAP;
    // From `beyond` on, GAP numbers are unknown.
    let mut beyond = loop {
        let at = last.saturating_add(step);
        match first_known(at, GAP).await? {
            Some(known) => last = known,
            None => break at,
        }
        step = step.saturating_mul(2);
    };
    while beyond > last.saturating_add(1) {
        let between = beyond.saturating_sub(last).saturating_sub(1);
        let middle = last.saturating_add(1).saturating_add(between >> 1);
        let count = GAP.min(beyond.saturating_sub(middle));
        match first_known(middle, count).await? {
            Some(known) => last = known,
            None => beyond = middle,
        }
    }
    Ok(last.saturating_add(1))
}

impl Wallet {
    /// Counts what has not been counted yet, and writes down every id that was used.
    pub(super) async fn find_sessions(self: &Arc<Self>, pace: Pace, watch: &Watch) -> Result<Vec<Fault>> {
        let generations = match self.tell_generation().await {
            Ok(generations) => generations,
            Err(crate::failure::Failure::Fault(fault)) => return Ok(vec![fault]),
            Err(store) => return Err(store),
        };
        let counters = self.counters(&generations).await?;
        let work = |counter: Counter| Arc::clone(self).count(counter);
        self.each((pace, watch, "looking for sessions"), counters, work).await
    }

    async fn counters(&self, generations: &[[u8; 16]]) -> Result<Vec<Counter>> {
        let (view, now, currency) = (self.view(), self.now(), self.config.currency);
        let mut counters = Vec::new();
        for keyset in view.pins.keysets() {
            let keyset = &keyset.keyset;
            if keyset.currency != currency || now >= keyset.grace_until {
                continue;
            }
            let own = keyset.bank == self.config.bank;
            let callers = [own.then_some(CallerKind::Account), Some(CallerKind::Anonymous)];
            for generation in generations {
                counters.extend(callers.iter().flatten().map(|caller| Counter {
                    generation: *generation,
                    bank: keyset.bank.as_str().to_owned(),
                    caller: *caller,
                    epoch: keyset.epoch.0,
                }));
            }
        }
        let counted = move |tx: &mut dyn Tx| {
            let mut left = Vec::new();
            for counter in &counters {
                if tx.find(&RESTORE_COUNT, &counter.key()?)?.is_none() {
                    left.push(counter.clone());
                }
            }
            Ok(left)
        };
        self.seams.store.read(counted).await
    }

    async fn count(self: Arc<Self>, counter: Counter) -> Result<()> {
        let answered: std::sync::Mutex<BTreeMap<u64, bool>> = std::sync::Mutex::default();
        let used = used(|from, count| self.first_known(&counter, from, count, &answered)).await?;
        let ids: BTreeSet<Digest> = (0..used).map(|number| self.old_id(&counter, number)).collect();
        let keep = move |tx: &mut dyn Tx| {
            let key = counter.key()?;
            if tx.find(&RESTORE_COUNT, &key)?.is_some() {
                return Ok(());
            }
            let mut values = key.to_vec();
            values.push(Value::unsigned(used)?);
            tx.insert(&RESTORE_COUNT, &values)?;
            for id in &ids {
                let values = [
                    (*id).into(),
                    counter.bank.as_str().into(),
                    counter.caller.as_str().into(),
                    0_u32.into(),
                ];
                tx.insert(&RESTORE_REQUEST, &[&values[..], &["open".into()]].concat())?;
            }
            Ok(())
        };
        self.seams.store.commit("wallet.restore.count", keep).await
    }

    fn old_id(&self, counter: &Counter, number: u64) -> Digest {
        self.seed.request_id(&counter.generation, &counter.bank, counter.caller, counter.epoch, number)
    }

    /// The first of `count` numbers that the bank knows; what it has said before is not asked again.
    async fn first_known(
        &self,
        counter: &Counter,
        from: u64,
        count: u64,
        answered: &std::sync::Mutex<BTreeMap<u64, bool>>,
    ) -> Result<Option<u64>> {
        let lock = || answered.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let to = self.bank_target(&counter.bank).await?;
        for number in from..from.saturating_add(count) {
            let before = lock().get(&number).copied();
            let known = match before {
                Some(known) => known,
                None => match self.call_recover(&to, counter.caller, self.old_id(counter, number)).await {
                    Ok(_) => true,
                    Err(CallError::Fault(fault)) if fault.code == Code::SessionUnknown => false,
                    Err(error) => return Err(error.into()),
                },
            };
            lock().insert(number, known);
            if known {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure fails the test")]

    use std::cell::Cell;

    use super::*;

    /// How many were used, and how many questions that took.
    async fn counted(known: impl Fn(u64) -> bool) -> (u64, u64) {
        let asked = Cell::new(0_u64);
        let found = used(|from, count| {
            let mut found = None;
            for number in from..from.saturating_add(count) {
                asked.set(asked.get().saturating_add(1));
                if known(number) {
                    found = Some(number);
                    break;
                }
            }
            std::future::ready(Ok(found))
        });
        (found.await.unwrap(), asked.get())
    }

    #[tokio::test]
    async fn every_count_is_found() {
        for last in 0..700_u64 {
            assert_eq!(counted(|number| number < last).await.0, last);
        }
        assert_eq!(counted(|_| false).await, (0, GAP));
    }

    #[tokio::test]
    async fn gaps_of_numbers_that_never_arrived_do_not_end_it() {
        for gap in 1..GAP {
            let period = gap.saturating_add(1);
            let known = |number: u64| number < 1_000 && number % period == gap;
            let last = (0..1_000).rev().find(|number| known(*number)).unwrap();
            assert_eq!(counted(known).await.0, last.saturating_add(1), "gap {gap}");
        }
        // A longer one ends it.
        assert_eq!(counted(|number| number == 0 || (100..110).contains(&number)).await.0, 1);
    }

    #[tokio::test]
    async fn the_questions_grow_with_the_logarithm() {
        let (found, asked) = counted(|number| number < 1_000_000).await;
        assert_eq!(found, 1_000_000);
        assert!(asked < 600, "{asked} questions");
    }
}
