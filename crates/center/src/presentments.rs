//! A presentment's way through the center: verify, reserve, forward, settle or release.
//!
//! Each step is durable before the next begins, and each is idempotent by the presentment's id. A forwarded
//! presentment is asked about until its issuing bank answers, also after a restart.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use feiqian_clearing::gross::{Event, State};
use feiqian_clearing::presentment::{ItemKind, Presented, Presentment};
use feiqian_crypto::Digest;
use feiqian_ledger::LedgerError;
use feiqian_ledger::book;
use feiqian_ledger::store::{Row, StoreExt, Tx, Value};
use feiqian_money::Amount;
use feiqian_node::{Backoff, CallError, Caller, Shutdown, call_within};
use feiqian_online_cash::deposit::CashItem;
use feiqian_online_cash::refund::RefundItem;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Limit, codec};
use tokio::task::JoinSet;

use crate::failure::Failure;
use crate::items::{Item, Verdict, is_verdict};
use crate::service::Center;
use crate::settlement::Owed;
use crate::tables::{OBLIGATION, PRESENTMENT};

/// How long an issuing bank may take: a collecting bank waits 15 s for us, and our own steps come on top.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(12);
/// The most presentments of one bank resumed in one round.
const ROUND: u32 = 64;

/// A presentment as stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) id: Digest,
    pub(crate) kind: ItemKind,
    pub(crate) collecting: String,
    pub(crate) issuing: Option<String>,
    pub(crate) amount: Amount,
    pub(crate) body: Vec<u8>,
    pub(crate) state: State,
    pub(crate) outcome: Option<Vec<u8>>,
    received: u64,
}

fn kind_number(kind: ItemKind) -> i64 {
    i64::from(kind == ItemKind::Refund)
}

fn corrupt(what: &str) -> Failure {
    Failure(Fault::new(Code::Internal, format!("a stored presentment is unreadable: {what}")))
}

impl Stored {
    fn new<I: Item>(presentment: &Presentment<I>, issuing: Option<String>, now: u64) -> Result<Self, Fault> {
        Ok(Self {
            id: presentment.id,
            kind: I::KIND,
            collecting: presentment.collecting_bank.as_str().to_owned(),
            issuing,
            amount: presentment.amount,
            body: codec::encode(presentment)?,
            state: State::Received,
            outcome: None,
            received: now,
        })
    }

    pub(crate) fn from_row(row: &Row) -> Result<Self, Failure> {
        Ok(Self {
            id: row.digest(0)?,
            kind: if row.boolean(1)? { ItemKind::Refund } else { ItemKind::Payment },
            collecting: row.text(2)?.to_owned(),
            issuing: row.optional_text(3)?.map(str::to_owned),
            amount: Amount::new(row.minor(4)?, row.parse(5)?),
            body: row.blob(6)?.to_vec(),
            state: State::from_number(row.integer(7)?).ok_or_else(|| corrupt("state"))?,
            outcome: row.optional_blob(8)?.map(<[u8]>::to_vec),
            received: row.unsigned(9)?,
        })
    }

    fn values(&self, now: u64) -> Result<[Value; 11], Failure> {
        Ok([
            self.id.into(),
            kind_number(self.kind).into(),
            self.collecting.as_str().into(),
            self.issuing.clone().into(),
            self.amount.minor.into(),
            self.amount.currency.code().into(),
            self.body.as_slice().into(),
            self.state.number().into(),
            self.outcome.clone().into(),
            Value::unsigned(self.received)?,
            Value::unsigned(now)?,
        ])
    }

    fn step(&mut self, event: Event) -> Result<(), Failure> {
        self.state = self.state.after(event).map_err(|error| corrupt(&error.to_string()))?;
        Ok(())
    }

    pub(crate) fn presentment<I: Item>(&self) -> Result<Presentment<I>, Failure> {
        Ok(codec::decode(&self.body, Limit::Large)?)
    }

    /// The answer, once there is one.
    fn answer<I: Item>(&self) -> Result<Option<Presented<I::Outcome>>, Failure> {
        let Some(outcome) = &self.outcome else { return Ok(None) };
        Ok(Some(Presented { id: self.id, outcome: codec::decode(outcome, Limit::Large)? }))
    }

    /// The same id with other bytes is a conflict.
    fn check_same(&self, other: &Self) -> Result<(), Fault> {
        if self.body == other.body {
            return Ok(());
        }
        Err(Fault::new(Code::Conflict, "this presentment id was used with other content"))
    }
}

pub(crate) fn find(tx: &mut dyn Tx, id: &Digest) -> Result<Option<Stored>, Failure> {
    tx.find(&PRESENTMENT, &[(*id).into()])?.map(|row| Stored::from_row(&row)).transpose()
}

/// Writes the row as it now is.
fn put(tx: &mut dyn Tx, known: bool, stored: &Stored, now: u64) -> Result<(), Failure> {
    let values = stored.values(now)?;
    let written = if known { tx.update(&PRESENTMENT, &values) } else { tx.insert(&PRESENTMENT, &values) };
    Ok(written?)
}

/// Removes its id from those being forwarded, also when the caller hangs up.
struct Forwarding<'a>(&'a Center, Digest);

impl<'a> Forwarding<'a> {
    /// Marks a presentment as being forwarded; `BUSY` when somebody forwards it now.
    fn start(center: &'a Center, id: Digest) -> Result<Self, Fault> {
        if !center.forwarding.lock().unwrap_or_else(PoisonError::into_inner).insert(id) {
            return Err(Fault::new(Code::Busy, "the presentment is being forwarded")
                .hint("present it again in a moment to learn its outcome"));
        }
        Ok(Self(center, id))
    }
}

impl Drop for Forwarding<'_> {
    fn drop(&mut self) {
        self.0.forwarding.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// Why a presentment stays forwarded.
enum Waits {
    /// Its issuing bank does not answer: nor would it for the next.
    Bank(Fault),
    /// For a reason of its own.
    Item(Fault),
}

impl From<Waits> for Fault {
    fn from(waits: Waits) -> Self {
        let (Waits::Bank(fault) | Waits::Item(fault)) = waits;
        fault
    }
}

impl From<Fault> for Waits {
    fn from(fault: Fault) -> Self {
        Self::Item(fault)
    }
}

impl From<Failure> for Waits {
    fn from(failure: Failure) -> Self {
        Self::Item(failure.0)
    }
}

/// Refuses what is no presentment of this caller at all; nothing is remembered of it.
fn check_shape<I: Item>(caller: &str, presentment: &Presentment<I>) -> Result<(), Fault> {
    if presentment.collecting_bank.as_str() != caller {
        return Err(Fault::new(Code::Forbidden, format!("bank {caller} presents for itself only")));
    }
    if !presentment.is_consistent(I::KIND, &presentment.item.digest()) {
        return Err(Fault::new(Code::Malformed, "the presentment id is not that of bank, account and item"));
    }
    let (amount, bank, account) = presentment.item.stated()?;
    if (bank, account) != (caller, presentment.account.as_str()) {
        return Err(Fault::new(Code::WrongRoute, "the item is for another account"));
    }
    if amount != presentment.amount || amount.minor.is_zero() {
        return Err(Fault::new(Code::AmountMismatch, "the presentment is not of the item's amount"));
    }
    Ok(())
}

impl Center {
    /// Takes a presentment of `caller`, or answers what became of it.
    pub(crate) async fn present<I: Item>(
        &self,
        caller: &str,
        presentment: Presentment<I>,
    ) -> Result<Presented<I::Outcome>, Fault> {
        check_shape(caller, &presentment)?;
        let id = presentment.id;
        let mut fresh = Stored::new(&presentment, None, self.seams.clock.now().seconds())?;
        let known = self.seams.store.read(move |tx: &mut dyn Tx| find(tx, &id)).await?;
        if let Some(known) = &known {
            known.check_same(&fresh)?;
            if let Some(answer) = known.answer::<I>()? {
                return Ok(answer);
            }
            if known.state == State::Forwarded {
                return Ok(self.forward(known.clone(), presentment).await?);
            }
        }
        let now = self.seams.clock.now();
        let view = self.members.snapshot();
        match I::check(&presentment, &view, now, &mut self.seams.entropy.rng()) {
            Ok(issuing) => fresh.issuing = Some(issuing),
            Err(fault) if fault.is_definitive() => return self.refuse::<I>(fresh, fault).await,
            Err(fault) => return Err(fault),
        }
        if fresh.issuing.as_deref() == Some(caller) {
            return Err(Fault::new(Code::WrongRoute, "an item of the bank's own is not cleared here"));
        }
        let stored = self.reserve::<I>(fresh, &presentment).await?;
        match stored.answer::<I>()? {
            Some(answer) => Ok(answer),
            None if stored.state == State::Received => Err(no_cover(&stored)),
            None => Ok(self.forward(stored, presentment).await?),
        }
    }

    /// Reserves the payer's cover and notes that the item is about to be forwarded. Without cover it stays received.
    async fn reserve<I: Item>(&self, fresh: Stored, presentment: &Presentment<I>) -> Result<Stored, Fault> {
        let issuing = fresh.issuing.clone().unwrap_or_default();
        let owed = I::owed(presentment, &issuing);
        let now = self.seams.clock.now().seconds();
        let work = move |tx: &mut dyn Tx| reserve_once(tx, &fresh, &owed, now);
        Ok(self.seams.store.commit("center.present.reserve", work).await?)
    }

    /// Records that the center itself refuses the item.
    async fn refuse<I: Item>(&self, fresh: Stored, fault: Fault) -> Result<Presented<I::Outcome>, Fault> {
        let outcome = codec::encode(&I::refused(fault))?;
        let now = self.seams.clock.now().seconds();
        let work = move |tx: &mut dyn Tx| -> Result<Stored, Failure> {
            let known = find(tx, &fresh.id)?;
            let mut stored = known.clone().unwrap_or_else(|| fresh.clone());
            stored.check_same(&fresh)?;
            if stored.state == State::Received {
                stored.step(Event::Refuse)?;
                stored.outcome = Some(outcome.clone());
                put(tx, known.is_some(), &stored, now)?;
            }
            Ok(stored)
        };
        let stored = self.seams.store.commit("center.present.refuse", work).await?;
        stored.answer::<I>()?.ok_or_else(|| Fault::new(Code::Busy, "the presentment is being worked on"))
    }

    /// Asks the issuing bank and records its outcome.
    async fn forward<I: Item>(
        &self,
        stored: Stored,
        presentment: Presentment<I>,
    ) -> Result<Presented<I::Outcome>, Waits> {
        let issuing = stored.issuing.clone().unwrap_or_default();
        let _forwarding = Forwarding::start(self, stored.id)?;
        let outcome = self.ask(&issuing, &presentment).await?;
        let view = self.members.snapshot();
        let verdict = I::judge(&presentment, &issuing, &outcome, &view, self.seams.clock.now()).inspect_err(
            |fault| tracing::error!(bank = %issuing, presentment = %stored.id, %fault, "an outcome does not hold"),
        )?;
        let owed = I::owed(&presentment, &issuing);
        let (id, encoded) = (stored.id, codec::encode(&outcome).map_err(Failure::from)?);
        let now = self.seams.clock.now().seconds();
        let work = move |tx: &mut dyn Tx| conclude(tx, &id, &owed, verdict, &encoded, now);
        let done = self.seams.store.commit("center.present.outcome", work).await?;
        done.answer::<I>()?.ok_or_else(|| corrupt("no outcome").into())
    }

    async fn ask<I: Item>(&self, issuing: &str, presentment: &Presentment<I>) -> Result<I::Outcome, Waits> {
        let bank = self.members.snapshot().target(issuing).map_err(Waits::Bank)?;
        let network = &*self.seams.network;
        let called =
            call_within(network, &bank, Caller::Certified, I::FORWARD, presentment, FORWARD_TIMEOUT).await;
        let later = |reason: String| {
            Fault::new(Code::Unavailable, format!("bank {issuing} has not answered: {reason}"))
                .hint("the item is on its way; present it again to learn its outcome")
        };
        let presented: Presented<I::Outcome> = match called {
            Ok(presented) => presented,
            Err(CallError::Fault(fault)) if is_verdict(fault.code) => return Ok(I::refused(fault)),
            Err(error @ CallError::Fault(_)) => return Err(later(error.to_string()).into()),
            Err(error) => return Err(Waits::Bank(later(error.to_string()))),
        };
        if presented.id != presentment.id {
            return Err(later("its answer is about another presentment".to_owned()).into());
        }
        Ok(presented.outcome)
    }

    /// Goes on with forwarded presentments until shutdown, and follows the store with the view.
    pub(crate) async fn resume_until(self: Arc<Self>, shutdown: Shutdown) {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        let mut rng = self.seams.entropy.rng();
        loop {
            match Arc::clone(&self).resume().await {
                // With nothing left the pauses grow: whatever comes to wait here later is also asked for by the bank
                // that presented it.
                Ok(true) if self.anything_waits().await => backoff.reset(),
                Ok(_) => {}
                Err(fault) => tracing::warn!(%fault, "presentments could not be resumed"),
            }
            if !shutdown.pause(backoff.next_pause(&mut rng)).await {
                return;
            }
        }
    }

    /// One round over everything that is forwarded and that nobody is working on. Answers whether anything was
    /// concluded or nothing is left.
    ///
    /// # Errors
    /// `UNAVAILABLE` or `INTERNAL` when the store fails.
    pub async fn resume(self: Arc<Self>) -> Result<bool, Fault> {
        {
            let changing = self.changing.lock().await;
            self.reload(&changing).await?;
        }
        let sql =
            format!("SELECT DISTINCT issuing FROM {} WHERE state = 1 ORDER BY issuing", PRESENTMENT.name);
        let read = move |tx: &mut dyn Tx| -> Result<Vec<String>, Failure> {
            tx.select(&sql, &[])?.iter().map(|row| Ok(row.text(0)?.to_owned())).collect()
        };
        let banks: Vec<String> = self.seams.store.read(read).await?;
        let mut rounds = JoinSet::new();
        let mut progress = banks.is_empty();
        for bank in banks {
            let center = Arc::clone(&self);
            rounds.spawn(async move { center.resume_bank(bank).await });
        }
        while let Some(done) = rounds.join_next().await {
            progress |= done.is_ok_and(|concluded| concluded);
        }
        Ok(progress)
    }

    /// Whether any presentment is forwarded and not concluded; yes where the store does not tell.
    async fn anything_waits(&self) -> bool {
        let sql = format!("SELECT 1 FROM {} WHERE state = 1 LIMIT 1", PRESENTMENT.name);
        let work = move |tx: &mut dyn Tx| Ok::<_, Failure>(!tx.select(&sql, &[])?.is_empty());
        self.seams.store.read(work).await.unwrap_or(true)
    }

    /// The oldest presentments of one bank, until it does not answer. One that waits for a reason of its own holds up
    /// no other.
    async fn resume_bank(&self, bank: String) -> bool {
        let sql = format!(
            "SELECT {} FROM {} WHERE state = 1 AND issuing = ?1 ORDER BY received, id LIMIT ?2",
            PRESENTMENT.column_list(),
            PRESENTMENT.name
        );
        let name = bank.clone();
        let read = move |tx: &mut dyn Tx| -> Result<Vec<Stored>, Failure> {
            tx.select(&sql, &[name.as_str().into(), ROUND.into()])?.iter().map(Stored::from_row).collect()
        };
        let waiting = match self.seams.store.read(read).await {
            Ok(waiting) => waiting,
            Err(Failure(fault)) => {
                tracing::warn!(%bank, %fault, "waiting presentments are unreadable");
                return false;
            }
        };
        let mut progress = false;
        for stored in waiting {
            match self.resume_one(stored).await {
                Ok(()) => progress = true,
                Err(Waits::Item(fault)) => tracing::debug!(%bank, %fault, "a presentment waits"),
                Err(Waits::Bank(fault)) => {
                    tracing::debug!(%bank, %fault, "presentments wait");
                    break;
                }
            }
        }
        progress
    }

    async fn resume_one(&self, stored: Stored) -> Result<(), Waits> {
        match stored.kind {
            ItemKind::Refund => {
                let presentment = stored.presentment::<RefundItem>()?;
                self.forward(stored, presentment).await.map(|_| ())
            }
            _ => {
                let presentment = stored.presentment::<CashItem>()?;
                self.forward(stored, presentment).await.map(|_| ())
            }
        }
    }
}

fn no_cover(stored: &Stored) -> Fault {
    Fault::new(
        Code::SettlementFailed,
        format!("the payer's settlement account does not cover {}", stored.amount),
    )
    .hint("present it again when the payer's bank has been funded")
}

fn reserve_once(tx: &mut dyn Tx, fresh: &Stored, owed: &Owed, now: u64) -> Result<Stored, Failure> {
    let known = find(tx, &fresh.id)?;
    if let Some(known) = &known {
        known.check_same(fresh)?;
        if known.state != State::Received {
            return Ok(known.clone());
        }
    }
    let mut stored =
        Stored { received: known.as_ref().map_or(fresh.received, |known| known.received), ..fresh.clone() };
    match book::transfer(tx, &[owed.reserve(&stored.id)], now) {
        Ok(_) => stored.step(Event::Reserve)?,
        Err(LedgerError::LimitExceeded(_)) => {}
        Err(error) => return Err(error.into()),
    }
    put(tx, known.is_some(), &stored, now)?;
    Ok(stored)
}

/// Post or void, obligation, outcome: one transaction. Who comes second gets what the first recorded.
fn conclude(
    tx: &mut dyn Tx,
    id: &Digest,
    owed: &Owed,
    verdict: Verdict,
    outcome: &[u8],
    now: u64,
) -> Result<Stored, Failure> {
    let mut stored = find(tx, id)?.ok_or_else(|| corrupt("it is gone"))?;
    if stored.state.is_final() {
        return Ok(stored);
    }
    let (event, transfer) = match verdict {
        Verdict::Settle => (Event::Pay, owed.settle(id)),
        Verdict::Release => (Event::Refuse, owed.release(id)),
    };
    stored.step(event)?;
    let _ = book::transfer(tx, std::slice::from_ref(&transfer), now)?;
    if verdict == Verdict::Settle {
        let values = [
            (*id).into(),
            owed.debtor.as_str().into(),
            owed.creditor.as_str().into(),
            owed.amount.minor.into(),
            owed.amount.currency.code().into(),
            transfer.id.into(),
            Value::unsigned(now)?,
        ];
        tx.insert(&OBLIGATION, &values)?;
    }
    stored.outcome = Some(outcome.to_vec());
    put(tx, true, &stored, now)?;
    Ok(stored)
}
