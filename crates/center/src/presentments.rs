//! A presentment's way through the center: verify, reserve, forward, settle or release.
//!
//! Each step is durable before the next begins, and each is idempotent by the presentment's id. A forwarded
//! presentment is asked about until its issuing bank answers, also after a restart.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use feiqian_cheque::messages::ChequeItem;
use feiqian_clearing::gross::{Event, State};
use feiqian_clearing::presentment::{ItemKind, Presented, Presentment};
use feiqian_clearing::remittance::TransferItem;
use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreExt, Tx};
use feiqian_money::Amount;
use feiqian_node::{Backoff, CallError, MemberView, Shutdown};
use feiqian_offline_cash::claim::ClaimItem;
use feiqian_offline_cash::messages::PartItem;
use feiqian_offline_cash::pay::CashItem as HoldingItem;
use feiqian_online_cash::deposit::CashItem;
use feiqian_online_cash::refund::RefundItem;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Timestamp, codec};
use tokio::task::JoinSet;

use crate::cycles::open_cycle;
use crate::failure::Failure;
use crate::items::{Bench, Checked, Item, Verdict};
use crate::notices::is_anything_untold;
use crate::obligations::{Booked, Due, book_all};
use crate::queue::{self, Policy};
use crate::service::Center;
use crate::settlement::Owed;
use crate::stored::{Stored, corrupt, find, put, select};
use crate::tables::{OBLIGATION, PRESENTMENT};

/// The most presentments of one bank resumed in one round.
const ROUND: u32 = 64;

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
fn check_shape<I: Item>(caller: &str, presentment: &Presentment<I>, bench: &Bench<'_>) -> Result<(), Fault> {
    if presentment.collecting_bank.as_str() != caller {
        return Err(Fault::new(Code::Forbidden, format!("bank {caller} presents for itself only")));
    }
    if !presentment.is_consistent(I::KIND, &presentment.item.digest()?) {
        return Err(Fault::new(Code::Malformed, "the presentment id is not that of bank, account and item"));
    }
    let stated = presentment.item.stated(bench)?;
    let own = |(bank, account): &(String, String)| {
        (bank.as_str(), account.as_str()) == (caller, presentment.account.as_str())
    };
    if stated.route.as_ref().is_some_and(|route| !own(route)) {
        return Err(Fault::new(Code::WrongRoute, "the item is for another account"));
    }
    if stated.amount != presentment.amount || stated.amount.minor.is_zero() {
        return Err(Fault::new(Code::AmountMismatch, "the presentment is not of the item's amount"));
    }
    Ok(())
}

impl Center {
    /// At what items are judged now.
    pub(crate) fn bench<'a>(&'a self, view: &'a MemberView) -> Bench<'a> {
        Bench {
            view,
            keys: &self.keys,
            cash: &self.cash,
            entropy: &*self.seams.entropy,
            answer_seconds: self.config.answer_seconds,
            now: self.seams.clock.now(),
        }
    }

    pub(crate) fn policy(&self) -> Policy {
        Policy::of(&self.config)
    }

    /// Takes a presentment of `caller`, or answers what became of it.
    pub(crate) async fn present<I: Item>(
        &self,
        caller: &str,
        presentment: Presentment<I>,
    ) -> Result<Presented<I::Outcome>, Fault> {
        let view = self.members.snapshot();
        let bench = self.bench(&view);
        check_shape(caller, &presentment, &bench)?;
        let id = presentment.id;
        let mut fresh = Stored::new(&presentment, None, bench.now.seconds())?;
        let checked = I::check(&presentment, &bench).await;
        // A sound item goes on to where it is admitted, which finds what is known of it. Any other may be one that was
        // taken before, when it was sound.
        if !matches!(checked, Checked::Good(_))
            && let Some(known) = self.seams.store.read(move |tx: &mut dyn Tx| find(tx, &id)).await?
        {
            known.check_same(&fresh)?;
            if known.state.is_final() {
                return self.answer::<I>(&known).await;
            }
            if known.state == State::Forwarded {
                return Ok(self.forward(known, presentment).await?);
            }
        }
        match checked {
            Checked::Good(issuing) => fresh.issuing = Some(issuing),
            Checked::Refused(outcome) => return self.refuse::<I>(fresh, outcome).await,
            Checked::Later(fault) => return Err(fault),
        }
        if fresh.issuing.as_deref() == Some(caller) {
            return Err(Fault::new(Code::WrongRoute, "an item of the bank's own is not cleared here"));
        }
        let failed = codec::encode(&I::failed(&presentment, None, &bench)?)?;
        let stored = self.admit::<I>(fresh, &presentment, failed).await?;
        match stored.state {
            State::Received => Err(no_cover(&stored)),
            State::Forwarded => Ok(self.forward(stored, presentment).await?),
            _ => self.answer::<I>(&stored).await,
        }
    }

    /// The answer to a final presentment. What is paid and waits in the queue is not answered yet.
    async fn answer<I: Item>(&self, stored: &Stored) -> Result<Presented<I::Outcome>, Fault> {
        if I::DEFERRED && stored.state == State::Settled {
            let id = stored.id;
            let booked = self.seams.store.read(move |tx: &mut dyn Tx| Booked::find(tx, &id)).await?;
            if booked.is_some_and(|booked| booked.due == Due::Open && booked.cycle.is_none()) {
                return Err(no_cover(stored));
            }
        }
        stored.answer::<I>()?.ok_or_else(|| corrupt("no outcome").0)
    }

    /// Reserves the payer's cover, or counts the item against its cap, and notes that it is about to be forwarded.
    /// Cash without cover stays received; a transfer without cover and what exceeds a cap are answered with `failed`.
    async fn admit<I: Item>(
        &self,
        fresh: Stored,
        presentment: &Presentment<I>,
        failed: Vec<u8>,
    ) -> Result<Stored, Fault> {
        let issuing = fresh.issuing.clone().unwrap_or_default();
        let owed = I::owed(presentment, &issuing);
        let (now, policy) = (self.seams.clock.now().seconds(), self.policy());
        let work = move |tx: &mut dyn Tx| -> Result<Stored, Failure> {
            let known = find(tx, &fresh.id)?;
            let mut stored = fresh.clone();
            if known.is_none() {
                Self::check_not_pruned(tx, &fresh.id)?;
            }
            if let Some(known) = &known {
                known.check_same(&fresh)?;
                if known.state != State::Received {
                    return Ok(known.clone());
                }
                stored.received = known.received;
            }
            if !I::DEFERRED {
                queue::reserve(tx, &mut stored, &owed, policy, now)?;
                // A transfer that waited would hold the customer's money with no end in sight; it may be ordered again.
                if I::KIND == ItemKind::Transfer && stored.state == State::Received {
                    stored.step(Event::Refuse)?;
                    stored.outcome = Some(failed.clone());
                }
            } else if queue::is_within_cap(tx, &owed, policy)? {
                stored.step(Event::Reserve)?;
            } else {
                stored.step(Event::Refuse)?;
                stored.outcome = Some(failed.clone());
            }
            put(tx, known.is_some(), &stored, now)?;
            Ok(stored)
        };
        Ok(self.seams.store.commit("center.present.reserve", work).await?)
    }

    /// Records that the center itself refuses the item.
    async fn refuse<I: Item>(
        &self,
        fresh: Stored,
        outcome: I::Outcome,
    ) -> Result<Presented<I::Outcome>, Fault> {
        let outcome = codec::encode(&outcome)?;
        let (now, policy) = (self.seams.clock.now().seconds(), self.policy());
        let work = move |tx: &mut dyn Tx| -> Result<Stored, Failure> {
            let known = find(tx, &fresh.id)?;
            if known.is_none() {
                Self::check_not_pruned(tx, &fresh.id)?;
            }
            let mut stored = known.clone().unwrap_or_else(|| fresh.clone());
            stored.check_same(&fresh)?;
            if stored.state == State::Received {
                stored.step(Event::Refuse)?;
                stored.outcome = Some(outcome.clone());
                put(tx, known.is_some(), &stored, now)?;
                // It may have kept others waiting.
                queue::drain(tx, stored.amount.currency, policy, now)?;
            }
            Ok(stored)
        };
        let stored = self.seams.store.commit("center.present.refuse", work).await?;
        self.wake_if_untold().await;
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
        let (outcome, verdict) = match self.judged(&issuing, &presentment).await {
            Ok(judged) => judged,
            Err(waits) => {
                let view = self.members.snapshot();
                let asked_at = Timestamp::new(stored.changed);
                let Some(outcome) = I::overdue(&presentment, asked_at, &self.bench(&view))? else {
                    return Err(waits);
                };
                tracing::error!(bank = %issuing, presentment = %stored.id, "not answered in time");
                let verdict = I::verdict(&presentment, &outcome);
                (outcome, verdict)
            }
        };
        let conclusion = Conclusion {
            id: stored.id,
            owed: I::owed(&presentment, &issuing),
            verdict,
            deferred: I::DEFERRED,
            tell_payer: I::is_news_to_payer(&outcome),
            outcome: codec::encode(&outcome).map_err(Failure::from)?,
            policy: self.policy(),
            now: self.seams.clock.now().seconds(),
        };
        let work = move |tx: &mut dyn Tx| Ok::<_, Failure>((conclusion.book(tx)?, is_anything_untold(tx)?));
        let (done, untold) = self.seams.store.commit("center.present.outcome", work).await?;
        if untold {
            self.untold.notify_one();
        }
        Ok(self.answer::<I>(&done).await?)
    }

    /// The issuing bank's outcome, if it holds.
    async fn judged<I: Item>(
        &self,
        issuing: &str,
        presentment: &Presentment<I>,
    ) -> Result<(I::Outcome, Verdict), Waits> {
        let outcome = self.ask(issuing, presentment).await?;
        let view = self.members.snapshot();
        let verdict = I::judge(presentment, issuing, &outcome, &self.bench(&view)).inspect_err(
            |fault| tracing::error!(bank = %issuing, presentment = %presentment.id, %fault, "an outcome does not hold"),
        )?;
        Ok((outcome, verdict))
    }

    async fn ask<I: Item>(&self, issuing: &str, presentment: &Presentment<I>) -> Result<I::Outcome, Waits> {
        let bank = self.members.snapshot().target(issuing).map_err(Waits::Bank)?;
        let called = I::send(self, &bank, presentment).await;
        let later = |reason: String| {
            Fault::new(Code::Unavailable, format!("bank {issuing} has not answered: {reason}"))
                .hint("the item is on its way; present it again to learn its outcome")
        };
        let presented: Presented<I::Outcome> = match called {
            Ok(presented) => presented,
            Err(CallError::Fault(fault)) if I::ends(fault.code) => return Ok(I::refused(fault)),
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
            if let Err(fault) = self.tell_banks().await {
                tracing::warn!(%fault, "banks could not be told");
            }
            tokio::select! {
                biased;
                running = shutdown.pause(backoff.next_pause(&mut rng)) => if !running { return },
                () = self.untold.notified() => backoff.reset(),
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
            // What another process of this center took.
            self.restore_lists().await?;
            self.restore_exposed().await?;
        }
        self.finish_cycles().await?;
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
        let name = bank.clone();
        let condition = "state = 1 AND issuing = ?1 ORDER BY received, id LIMIT ?2";
        let read = move |tx: &mut dyn Tx| select(tx, condition, &[name.as_str().into(), ROUND.into()]);
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
            ItemKind::Refund => self.resume_as::<RefundItem>(stored).await,
            ItemKind::Cheque => self.resume_as::<ChequeItem>(stored).await,
            ItemKind::Transfer => self.resume_as::<TransferItem>(stored).await,
            ItemKind::Holding => self.resume_as::<HoldingItem>(stored).await,
            ItemKind::Claim => self.resume_as::<ClaimItem>(stored).await,
            ItemKind::Part => self.resume_as::<PartItem>(stored).await,
            _ => self.resume_as::<CashItem>(stored).await,
        }
    }

    async fn resume_as<I: Item>(&self, stored: Stored) -> Result<(), Waits> {
        let presentment = stored.presentment::<I>()?;
        match self.forward(stored, presentment).await {
            // Concluded; only its settlement waits.
            Err(Waits::Item(fault)) if fault.code == Code::SettlementFailed => Ok(()),
            other => other.map(|_| ()),
        }
    }
}

fn no_cover(stored: &Stored) -> Fault {
    Fault::new(
        Code::SettlementFailed,
        format!("the payer's settlement account does not cover {} yet: it waits in the queue", stored.amount),
    )
    .hint("it goes on by itself when the payer's bank has cover; present it again to learn its outcome")
}

/// An issuing bank's outcome that holds, and what it takes to book it.
struct Conclusion {
    id: Digest,
    owed: Owed,
    verdict: Verdict,
    deferred: bool,
    tell_payer: bool,
    outcome: Vec<u8>,
    policy: Policy,
    now: u64,
}

impl Conclusion {
    /// Transfer, obligation, outcome: one transaction. Who comes second gets what the first recorded.
    fn book(&self, tx: &mut dyn Tx) -> Result<Stored, Failure> {
        let mut stored = find(tx, &self.id)?.ok_or_else(|| corrupt("it is gone"))?;
        if stored.state.is_final() {
            return Ok(stored);
        }
        let paid = self.verdict.paid(self.owed.amount.minor);
        stored.step(if paid.is_some() { Event::Pay } else { Event::Refuse })?;
        stored.outcome = Some(self.outcome.clone());
        put(tx, true, &stored, self.now)?;
        match (paid, self.deferred) {
            (Some(paid), false) => {
                let transfer = self.owed.settle(&self.id, paid);
                let owed = Owed { amount: Amount::new(paid, self.owed.amount.currency), ..self.owed.clone() };
                let mut booked = Booked::open(tx, self.id, &owed, None, self.now)?;
                (booked.transfer, booked.due) = (Some(transfer.id), Due::Settled);
                book_all(tx, &[transfer], self.now)?;
                tx.insert(&OBLIGATION, &booked.values()?)?;
                if self.tell_payer {
                    booked.note(tx, &booked.debtor, 0)?;
                }
            }
            (None, false) => book_all(tx, &[self.owed.release(&self.id)], self.now)?,
            (Some(_), true) => {
                let currency = self.owed.amount.currency;
                let cycle =
                    if self.policy.is_net() { Some(open_cycle(tx, currency, self.now)?) } else { None };
                let booked = Booked::open(tx, self.id, &self.owed, cycle, self.now)?;
                tx.insert(&OBLIGATION, &booked.values()?)?;
            }
            (None, true) => {}
        }
        queue::drain(tx, self.owed.amount.currency, self.policy, self.now)?;
        Ok(stored)
    }
}
