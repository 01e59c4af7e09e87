//! Items on their way to the center: stored before they are sent, sent until they are answered, settled once.

use std::sync::Arc;
use std::time::Duration;

use feiqian_clearing::presentment::{ItemKind, Presented, Presentment};
use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::book;
use feiqian_ledger::store::{Row, StoreError, StoreExt, Tx, Value};
use feiqian_money::Minor;
use feiqian_node::network::call_within;
use feiqian_node::{Backoff, Caller, Carrier, Paths, Shutdown, present_together};
use feiqian_online_cash::deposit::{CashItem, Outcome, Receipt};
use feiqian_online_cash::refund::{RefundItem, RefundOutcome};
use feiqian_wire::Timestamp;
use feiqian_wire::error::{Code, Fault};

use crate::Bank;
use crate::accounts::count;
use crate::chart::{Event, Post, along, id, reserve_along, resolve};
use crate::offline::{book_claim_outcome, take_back_part};
use crate::refusal::{Refusal, from_blob, to_blob};
use crate::remittance::close_transfer;
use crate::tables::PRESENTMENT;

/// The center's calls for payments.
const PAYMENTS: Paths = Paths { one: "/v1/present/payment", many: "/v1/present/payments" };
/// How long one attempt waits for the center.
const PATIENCE: Duration = Duration::from_secs(15);
/// How many pending items of one issuing bank one round takes.
const ROUND: u32 = 256;
/// After how many failures a round gives an issuing bank up: a bank that hangs costs [`PATIENCE`] each time.
const FAILURES: u32 = 3;

/// How long an item is left to the process that tried it last, seconds, where several run on one store. Two that try it at
/// once do no harm: the center answers both alike, and one books.
const CLAIM: u64 = 5;

/// Where a presentment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Pending = 0,
    /// Paid to this presentment, or booked.
    Done = 1,
    Refused = 2,
    /// A cheque that was paid; the leg between the banks is not final.
    Unsettled = 3,
}

/// A presentment as stored.
#[derive(Debug, Clone)]
pub(crate) struct PresentmentRow {
    pub(crate) id: Digest,
    pub(crate) kind: ItemKind,
    pub(crate) account: Id16,
    /// The payment, or the refund's id: one presentment each.
    pub(crate) reference: Digest,
    /// The issuing bank.
    pub(crate) bank: String,
    pub(crate) amount: Minor,
    pub(crate) expires: Timestamp,
    pub(crate) body: Vec<u8>,
    pub(crate) state: State,
    pub(crate) outcome: Option<Vec<u8>>,
    pub(crate) created: u64,
    /// When the outbox last tried it; 0 before.
    pub(crate) tried: u64,
}

/// How soon after a failed round an item's news may start the next.
const WAKE_PAUSE: Duration = Duration::from_secs(1);

const KINDS: [(ItemKind, i64); 7] = [
    (ItemKind::Payment, 0),
    (ItemKind::Refund, 1),
    (ItemKind::Cheque, 2),
    (ItemKind::Transfer, 3),
    (ItemKind::Holding, 4),
    (ItemKind::Claim, 5),
    (ItemKind::Part, 6),
];

fn kind_number(kind: ItemKind) -> i64 {
    KINDS.into_iter().find(|(known, _)| *known == kind).map_or(-1, |(_, number)| number)
}

fn kind_of(number: i64) -> Option<ItemKind> {
    KINDS.into_iter().find(|(_, known)| *known == number).map(|(kind, _)| kind)
}

impl PresentmentRow {
    pub(crate) fn from_row(row: &Row) -> Result<Self, StoreError> {
        let corrupt = |what: &str| StoreError::Corrupt(format!("presentment: unknown {what}"));
        Ok(Self {
            id: row.digest(0)?,
            kind: kind_of(row.integer(1)?).ok_or_else(|| corrupt("kind"))?,
            account: row.id(2)?,
            reference: row.digest(3)?,
            bank: row.text(4)?.to_owned(),
            amount: row.minor(5)?,
            expires: Timestamp::new(row.unsigned(6)?),
            body: row.blob(7)?.to_vec(),
            state: match row.integer(8)? {
                0 => State::Pending,
                1 => State::Done,
                2 => State::Refused,
                3 => State::Unsettled,
                _ => return Err(corrupt("state")),
            },
            outcome: row.optional_blob(9)?.map(<[u8]>::to_vec),
            created: row.unsigned(10)?,
            tried: row.unsigned(11)?,
        })
    }

    pub(crate) fn values(&self) -> Result<[Value; 12], StoreError> {
        Ok([
            self.id.into(),
            kind_number(self.kind).into(),
            self.account.into(),
            self.reference.into(),
            self.bank.as_str().into(),
            self.amount.into(),
            Value::Integer(i64::try_from(self.expires.seconds()).unwrap_or(i64::MAX)),
            self.body.clone().into(),
            Value::Integer(self.state as i64),
            self.outcome.clone().into(),
            Value::unsigned(self.created)?,
            Value::unsigned(self.tried)?,
        ])
    }

    pub(crate) fn find(tx: &mut dyn Tx, id: &Digest) -> Result<Option<Self>, StoreError> {
        tx.find(&PRESENTMENT, &[(*id).into()])?.map(|row| Self::from_row(&row)).transpose()
    }

    /// Adds the row unless it is there.
    pub(crate) fn insert_new(&self, tx: &mut dyn Tx) -> Result<(), Refusal> {
        if Self::find(tx, &self.id)?.is_some() {
            return Ok(());
        }
        match tx.insert(&PRESENTMENT, &self.values()?) {
            Err(StoreError::Exists(_)) => {
                Err(Fault::new(Code::Conflict, "the id was used for another item").into())
            }
            other => Ok(other?),
        }
    }

    /// The outcome of a payment.
    pub(crate) fn payment_outcome(&self) -> Result<Outcome, Fault> {
        let stored = self
            .outcome
            .as_deref()
            .ok_or_else(|| Fault::new(Code::Internal, "a final presentment has no outcome"))?;
        Ok(from_blob(stored).map_err(Refusal::from)?)
    }

    /// The outcome of a refund.
    pub(crate) fn refund_outcome(&self) -> Result<RefundOutcome, Fault> {
        let stored = self
            .outcome
            .as_deref()
            .ok_or_else(|| Fault::new(Code::Internal, "a final presentment has no outcome"))?;
        Ok(from_blob(stored).map_err(Refusal::from)?)
    }

    /// The transfers that reserve a refund's amount until the center has answered.
    pub(crate) fn refund_reserve(&self) -> Vec<book::Transfer> {
        let path = [self.account, id(Post::DueToClearing), id(Post::Settlement)];
        reserve_along(Event::RefundSend, &self.id, &path, self.amount)
    }
}

impl Bank {
    /// Presents a stored item at the center and settles what comes of it. `Some` when it is final.
    ///
    /// # Errors
    /// Whatever kept the center from answering: the item stays pending.
    pub(crate) async fn forward(
        self: &Arc<Self>,
        presentment: Digest,
    ) -> Result<Option<PresentmentRow>, Fault> {
        let row = self
            .seams
            .store
            .read(move |tx: &mut dyn Tx| Ok::<_, Refusal>(PresentmentRow::find(tx, &presentment)?))
            .await?;
        match row {
            Some(row) => self.forward_row(row).await,
            None => Ok(None),
        }
    }

    /// The same for a stored item that was just read.
    pub(crate) async fn forward_row(
        self: &Arc<Self>,
        row: PresentmentRow,
    ) -> Result<Option<PresentmentRow>, Fault> {
        if row.state != State::Pending {
            return Ok(Some(row));
        }
        let (state, outcome) = match row.kind {
            ItemKind::Refund => self.ask_refund(&row).await?,
            ItemKind::Cheque => self.ask_cheque(&row).await?,
            ItemKind::Transfer => self.ask_transfer(&row).await?,
            ItemKind::Holding => self.ask_holding(&row).await?,
            ItemKind::Claim => self.ask_claim(&row).await?,
            ItemKind::Part => self.ask_part(&row).await?,
            _ => self.ask_payment(&row).await?,
        };
        self.settle(row, state, outcome).await.map(Some)
    }

    async fn ask_payment(self: &Arc<Self>, row: &PresentmentRow) -> Result<(State, Vec<u8>), Fault> {
        let presentment: Presentment<CashItem> = from_blob(&row.body).map_err(Refusal::from)?;
        let presented = self.carrier(&row.bank).ask(presentment.clone(), row.body.len(), PATIENCE).await?;
        if presented.id != row.id {
            return Err(Fault::new(Code::Conflict, "the center answered for another presentment"));
        }
        let outcome = match presented.outcome {
            Outcome::Paid(receipt) | Outcome::AlreadyPaid(receipt) => {
                self.check_receipt(row, &presentment, &receipt).await?;
                // Credited only on its own presentment id: the receipt decides, not the word that came with it.
                if receipt.presentment == row.id {
                    Outcome::Paid(receipt)
                } else {
                    Outcome::AlreadyPaid(receipt)
                }
            }
            Outcome::DoubleSpent(evidence) => {
                let finding = evidence.verify(&self.root)?;
                // True evidence about other coins is no answer.
                if finding.bank != row.bank || !finding.statements.contains(&row.reference) {
                    return Err(Fault::new(Code::SignatureInvalid, "the evidence is about another payment"));
                }
                Outcome::DoubleSpent(evidence)
            }
            Outcome::Refused(fault) => Outcome::Refused(fault),
        };
        let state = if matches!(outcome, Outcome::Paid(_)) { State::Done } else { State::Refused };
        Ok((state, to_blob(&outcome).map_err(Refusal::from)?))
    }

    /// What carries payments with coins of `bank` to the center.
    fn carrier(&self, bank: &String) -> Arc<Carrier<Presentment<CashItem>, Presented<Outcome>>> {
        self.carriers.to(bank, || {
            let (network, center) = (Arc::clone(&self.seams.network), self.center.clone());
            Carrier::new(move |items| {
                let (network, center) = (Arc::clone(&network), center.clone());
                async move { present_together(&*network, &center, PAYMENTS, items, PATIENCE).await }
            })
        })
    }

    async fn check_receipt(
        self: &Arc<Self>,
        row: &PresentmentRow,
        presentment: &Presentment<CashItem>,
        receipt: &Receipt,
    ) -> Result<(), Fault> {
        let fits = receipt.bank.as_str() == row.bank
            && receipt.payment == row.reference
            && receipt.request == presentment.item.payment.request
            && receipt.route == presentment.item.request.request.route
            && receipt.amount == presentment.amount;
        if !fits {
            return Err(Fault::new(Code::SignatureInvalid, "the receipt is for another payment"));
        }
        self.verify_receipt(receipt).await
    }

    /// Checks a receipt's signature; asks the center for news once when the signer is not known here.
    pub(crate) async fn verify_receipt(self: &Arc<Self>, receipt: &Receipt) -> Result<(), Fault> {
        let check = |bank: &Self| {
            if receipt.bank == bank.config.name {
                return Ok(receipt.verify(&bank.signing_key())?);
            }
            let key =
                bank.members.snapshot().receipt_signer(receipt.bank.as_str(), receipt.paid_at, bank.now())?;
            Ok::<(), Fault>(receipt.verify(&key)?)
        };
        match check(self) {
            // The key may be newer than what is known here.
            Err(_) if self.sync().await.is_ok() => check(self),
            verdict => verdict,
        }
    }

    async fn ask_refund(self: &Arc<Self>, row: &PresentmentRow) -> Result<(State, Vec<u8>), Fault> {
        let presentment: Presentment<RefundItem> = from_blob(&row.body).map_err(Refusal::from)?;
        let presented: Presented<RefundOutcome> = self.present("/v1/present/refund", &presentment).await?;
        if presented.id != row.id {
            return Err(Fault::new(Code::Conflict, "the center answered for another presentment"));
        }
        let state =
            if matches!(presented.outcome, RefundOutcome::Booked) { State::Done } else { State::Refused };
        Ok((state, to_blob(&presented.outcome).map_err(Refusal::from)?))
    }

    pub(crate) async fn present<I, O>(
        &self,
        path: &str,
        presentment: &Presentment<I>,
    ) -> Result<Presented<O>, Fault>
    where
        I: serde::Serialize + Sync + 'static,
        O: serde::de::DeserializeOwned,
    {
        Ok(call_within(&*self.seams.network, &self.center, Caller::Certified, path, presentment, PATIENCE)
            .await?)
    }

    /// Writes the outcome down and books it, once.
    async fn settle(
        self: &Arc<Self>,
        row: PresentmentRow,
        state: State,
        outcome: Vec<u8>,
    ) -> Result<PresentmentRow, Fault> {
        let now = self.now();
        let (point, id) = match row.kind {
            ItemKind::Refund => ("bank.refund.outcome", row.id),
            ItemKind::Cheque => ("bank.cheque.outcome", row.id),
            ItemKind::Transfer => ("bank.transfer.outcome", row.id),
            ItemKind::Holding => ("bank.offline.outcome", row.id),
            ItemKind::Claim => ("bank.offline.claim", row.id),
            ItemKind::Part => ("bank.offline.part", row.id),
            _ => ("bank.deposit.outcome", row.id),
        };
        let bank = Arc::clone(self);
        let work = move |tx: &mut dyn Tx| {
            let mut row = PresentmentRow::find(tx, &id)?.ok_or(StoreError::Missing("presentment"))?;
            if row.state != State::Pending {
                return Ok(row);
            }
            row.state = state;
            row.outcome = Some(outcome.clone());
            tx.update(&PRESENTMENT, &row.values()?)?;
            match row.kind {
                ItemKind::Claim => book_claim_outcome(tx, &bank, &row, now)?,
                _ => book_outcome(tx, &row, now)?,
            }
            Ok::<_, Refusal>(row)
        };
        Ok(self.seams.store.commit(point, work).await?)
    }

    /// Keeps presenting what is pending, with growing pauses while the center does not answer.
    pub(crate) async fn run_outbox(self: Arc<Self>, shutdown: Shutdown) {
        let mut rng = self.seams.entropy.rng();
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(60));
        let idle = Duration::from_secs(self.config.sync_seconds);
        while !shutdown.is_triggered() {
            let pause = match self.drain_outbox(&shutdown).await {
                Ok(true) => {
                    backoff.reset();
                    idle
                }
                Ok(false) => backoff.next_pause(&mut rng),
                Err(fault) => {
                    tracing::warn!(%fault, "outbox");
                    backoff.next_pause(&mut rng)
                }
            };
            // While the center does not answer, news of one item is a reason to try again, but not to hammer it.
            let woken = async {
                if pause != idle {
                    tokio::time::sleep(WAKE_PAUSE).await;
                }
                self.outbox.notified().await;
            };
            tokio::select! {
                biased;
                go_on = shutdown.pause(pause) => if !go_on { return },
                () = woken => {}
            }
        }
    }

    /// Presents pending items once, those not tried for longest first, the issuing banks side by side: one that hangs keeps
    /// no other waiting for more than a round. Answers whether none is left.
    ///
    /// # Errors
    /// The store's.
    pub async fn drain_outbox(self: &Arc<Self>, shutdown: &Shutdown) -> Result<bool, Fault> {
        let banks = self
            .seams
            .store
            .read(|tx: &mut dyn Tx| {
                let rows =
                    tx.select("SELECT DISTINCT bank FROM presentment WHERE state = 0 ORDER BY bank", &[])?;
                rows.iter().map(|row| Ok(row.text(0)?.to_owned())).collect::<Result<Vec<String>, Refusal>>()
            })
            .await?;
        let mut tasks = tokio::task::JoinSet::new();
        for bank in banks {
            let (this, shutdown) = (Arc::clone(self), shutdown.clone());
            tasks.spawn(async move { this.drain_bank(bank, &shutdown).await });
        }
        let mut all = true;
        while let Some(done) = tasks.join_next().await {
            let done = done.map_err(|error| Fault::new(Code::Internal, format!("outbox: {error}")))?;
            all &= done?;
        }
        Ok(all)
    }

    /// The part of one issuing bank.
    async fn drain_bank(self: &Arc<Self>, bank: String, shutdown: &Shutdown) -> Result<bool, Fault> {
        let pending = self
            .seams
            .store
            .read(move |tx: &mut dyn Tx| {
                let rows = tx.select(
                    "SELECT id, tried FROM presentment WHERE state = 0 AND bank = ?1 \
                     ORDER BY tried, created, id LIMIT ?2",
                    &[bank.as_str().into(), ROUND.into()],
                )?;
                rows.iter()
                    .map(|row| Ok((row.digest(0)?, row.unsigned(1)?)))
                    .collect::<Result<Vec<(Digest, u64)>, Refusal>>()
            })
            .await?;
        let (mut failures, mut left) = (0_u32, false);
        for (id, tried) in pending {
            if shutdown.is_triggered() {
                return Ok(true);
            }
            if self.is_claimed(tried) || !self.note_try(id).await? {
                left = true;
                continue;
            }
            if let Err(fault) = self.forward(id).await {
                tracing::debug!(%fault, presentment = %id, "still pending");
                failures = failures.saturating_add(1);
                if failures >= FAILURES {
                    break;
                }
            }
        }
        Ok(failures == 0 && !left)
    }

    /// Whether another process of this bank may be at work on an item tried then.
    fn is_claimed(&self, tried: u64) -> bool {
        self.is_shared() && self.now().seconds() < tried.saturating_add(CLAIM)
    }

    /// Puts an item behind those that were tried less recently; false when another process was faster.
    async fn note_try(self: &Arc<Self>, id: Digest) -> Result<bool, Fault> {
        let (now, bank) = (self.now().seconds(), Arc::clone(self));
        let work = move |tx: &mut dyn Tx| {
            if let Some(mut row) = PresentmentRow::find(tx, &id)?
                && row.state == State::Pending
            {
                if bank.is_claimed(row.tried) {
                    return Ok(false);
                }
                row.tried = row.tried.max(now);
                tx.update(&PRESENTMENT, &row.values()?)?;
            }
            Ok::<_, Refusal>(true)
        };
        Ok(self.seams.store.commit("bank.outbox.try", work).await?)
    }
}

fn book_outcome(tx: &mut dyn Tx, row: &PresentmentRow, at: Timestamp) -> Result<(), Refusal> {
    let now = at.seconds();
    match (row.kind, row.state) {
        (ItemKind::Refund, state) => {
            let _ = book::transfer(tx, &resolve(&row.refund_reserve(), state == State::Done), now)?;
        }
        (ItemKind::Cheque, State::Unsettled) => {
            let _ = book::transfer(tx, &row.cheque_credit(), now)?;
        }
        (ItemKind::Transfer, state) => {
            let _ = book::transfer(tx, &resolve(&row.transfer_reserve(), state == State::Done), now)?;
            close_transfer(tx, row)?;
        }
        (ItemKind::Part, state) => {
            let _ = book::transfer(tx, &resolve(&row.part_reserve(), state == State::Done), now)?;
            if state == State::Refused {
                take_back_part(tx, row)?;
            }
        }
        (ItemKind::Holding, State::Done) => row.book_holding(tx, at)?,
        (ItemKind::Payment, State::Done) => {
            let path = [id(Post::Settlement), id(Post::DueFromClearing), row.account];
            let _ = book::transfer(tx, &along(Event::Collect, &row.id, &path, row.amount), now)?;
            count(tx, row.account, Minor::ZERO, row.amount)?;
        }
        _ => {}
    }
    Ok(())
}
