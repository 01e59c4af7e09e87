//! What a bank that came from a backup does before it serves anybody: it asks the center what was cleared since.
//!
//! | the center's record | what is done with it |
//! |---|---|
//! | a payment with coins of this bank, paid | the coins are spent here too, under the receipt that this bank signed then |
//! | a payment presented by this bank, with online or offline coins | it is in the outbox again: the center answers under the same id what it answered then, and the account is credited |
//! | any other item that is not on record here | it is left to the operator, and counted |
//!
//! Everything is idempotent: killed anywhere, it begins again at the next start, until it came to its end once.
//!
//! # Security
//! The center cannot make coins spent: a receipt counts only if this bank signed it. Nor can it have an account credited with
//! what nobody paid: an item goes into the outbox only as it was presented, and its issuing bank's receipt decides. It can hide items; what it hides it
//! has settled nevertheless, and the audit of both homes shows that.

use std::sync::Arc;
use std::time::Duration;

use feiqian_clearing::cleared::{Cleared, ClearedRequest, ClearedResponse, Cursor};
use feiqian_clearing::presentment::{ItemKind, Presentment};
use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::LedgerError;
use feiqian_ledger::book;
use feiqian_ledger::store::{StoreError, StoreExt, Tx, Value};
use feiqian_money::Minor;
use feiqian_node::{Caller, call_within, check_redeemed};
use feiqian_offline_cash::pay::CashItem as HoldingItem;
use feiqian_online_cash::deposit::{CashItem, Outcome, Receipt};
use feiqian_online_cash::request::Route;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Limit, Timestamp, codec};

use crate::Bank;
use crate::chart::{Event, Post, along, id};
use crate::outbox::{PresentmentRow, State};
use crate::payments::PaymentRow;
use crate::refusal::{Refusal, to_blob};
use crate::register::{Side, Spending, Sums, add, add_totals};
use crate::restored::Restored;
use crate::tables::TOTAL;

/// How long the center may take for one answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// How far the clocks of bank and center may be apart, and how long an item may be under way, seconds.
const MARGIN: u64 = 3_600;

/// What became of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// It was on record.
    Known,
    /// Its coins are spent now, and it is booked.
    Spent,
    /// Its coins are spent now; the book has no coins in circulation that it could take them from.
    Unbooked,
    /// It is in the outbox.
    Asked,
    /// It is not on record, and nothing was done.
    Left,
}

impl Found {
    fn as_str(self) -> &'static str {
        match self {
            Self::Known => "on record",
            Self::Spent => "spent",
            Self::Unbooked => "spent and not booked",
            Self::Asked => "asked",
            Self::Left => "left to the operator",
        }
    }
}

/// Counts what was done with an item, in the transaction that does it: no death of the bank between counts it twice or never.
fn count(tx: &mut dyn Tx, found: Found) -> Result<Found, Refusal> {
    let mut restored = Restored::find(tx)?.ok_or(StoreError::Missing("restored"))?;
    let sum = match found {
        Found::Spent => &mut restored.spent,
        Found::Asked => &mut restored.asked,
        Found::Unbooked => &mut restored.unbooked,
        // Nothing was written: these are counted when all is done.
        Found::Known | Found::Left => return Ok(found),
    };
    *sum = sum.saturating_add(1);
    restored.update(tx)?;
    Ok(found)
}

fn read<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    Ok(codec::decode(bytes, Limit::Large)?)
}

impl Bank {
    /// Brings a restored store to what the center knows; answers what was found, `None` when the store came from no backup
    /// or this was done before.
    ///
    /// # Errors
    /// `UNAVAILABLE` or `NODE_UNREACHABLE` while the center does not answer: the bank must not serve before. The store's.
    pub async fn reconcile(self: &Arc<Self>) -> Result<Option<Restored>, Fault> {
        let read = |tx: &mut dyn Tx| Ok::<_, Refusal>(Restored::find(tx)?);
        let Some(restored) = self.seams.store.read(read).await?.filter(|found| found.done_at.is_none())
        else {
            return Ok(None);
        };
        let waits = |fault: Fault| {
            fault.hint(
                "a restored bank first asks the center what was cleared since the backup: start the center",
            )
        };
        self.sync().await.map_err(waits)?;
        let backup = Timestamp::new(restored.backup_of);
        let since = Timestamp::new(restored.backup_of.saturating_sub(MARGIN));
        // Nothing is written for what is left, so that each run counts it anew.
        let (mut after, mut left) = (None, 0_u64);
        loop {
            let request = ClearedRequest { since, after };
            let network = &*self.seams.network;
            let page: ClearedResponse =
                call_within(network, &self.center, Caller::Certified, "/v1/cleared", &request, PATIENCE)
                    .await
                    .map_err(|error| waits(error.into()))?;
            let Some(last) = page.items.last().map(|item| item.cursor) else { break };
            for item in page.items.into_vec() {
                let (id, kind, changed) = (item.cursor.id, item.kind, item.cursor.changed);
                let found = self.take_cleared(item).await?;
                match found {
                    Found::Known => continue,
                    Found::Left if changed < backup => continue,
                    Found::Left => left = left.saturating_add(1),
                    Found::Spent | Found::Asked | Found::Unbooked => {}
                }
                tracing::warn!(presentment = %id, kind = kind.as_str(), what = found.as_str(), "since the backup");
            }
            if after.is_some_and(|before: Cursor| (last.changed, last.id) <= (before.changed, before.id)) {
                return Err(Fault::new(Code::Internal, "the center lists the same items again"));
            }
            after = Some(last);
        }
        let now = self.now().seconds();
        let done = move |tx: &mut dyn Tx| {
            let mut restored = Restored::find(tx)?.ok_or(StoreError::Missing("restored"))?;
            (restored.left, restored.done_at) = (left, Some(now));
            restored.update(tx)?;
            Ok::<_, Refusal>(restored)
        };
        let restored = self.seams.store.commit("bank.restore.done", done).await?;
        self.outbox.notify_one();
        Ok(Some(restored))
    }

    async fn take_cleared(self: &Arc<Self>, item: Cleared) -> Result<Found, Fault> {
        let taken = match (item.kind, item.collecting == self.config.name) {
            // The center names it only.
            _ if item.presentment.is_empty() => Ok(Found::Left),
            (ItemKind::Payment | ItemKind::Holding, true) => self.present_again(&item).await,
            (ItemKind::Payment, false) => self.spend_again(&item).await,
            _ => Ok(Found::Left),
        };
        match taken {
            Ok(Found::Left) if self.is_on_record(item.cursor.id).await? => Ok(Found::Known),
            Err(fault) if fault.is_definitive() => {
                tracing::error!(%fault, presentment = %item.cursor.id, "a cleared item does not hold here");
                Ok(Found::Left)
            }
            taken => taken,
        }
    }

    /// Whether any table of this bank knows a presentment.
    async fn is_on_record(&self, presentment: Digest) -> Result<bool, Fault> {
        let known = move |tx: &mut dyn Tx| {
            let sql = "SELECT 1 FROM presentment WHERE id = ?1 UNION ALL SELECT 1 FROM payment WHERE presentment = ?1 \
                       UNION ALL SELECT 1 FROM refused WHERE presentment = ?1 \
                       UNION ALL SELECT 1 FROM refund WHERE presentment = ?1 \
                       UNION ALL SELECT 1 FROM cheque_presentment WHERE id = ?1 \
                       UNION ALL SELECT 1 FROM offline_payment WHERE presentment = ?1 LIMIT 1";
            Ok::<_, Refusal>(!tx.select(sql, &[presentment.into()])?.is_empty())
        };
        Ok(self.seams.store.read(known).await?)
    }

    /// Puts an item that this bank presented into the outbox, if it is not there.
    async fn present_again(self: &Arc<Self>, item: &Cleared) -> Result<Found, Fault> {
        let Some(issuing) = &item.issuing else { return Ok(Found::Left) };
        let bytes: &[u8] = &item.presentment;
        let (presentment, account, amount, reference, expires, body) = if item.kind == ItemKind::Payment {
            let told: Presentment<CashItem> = read(bytes)?;
            let reference = told.item.payment.digest();
            self.check_presented(&told, item, &reference)?;
            let request = &told.item.request.request;
            let route = Route::Account { bank: self.config.name.clone(), account: told.account.clone() };
            if request.route != route || request.amount != told.amount {
                return Err(Fault::new(Code::Conflict, "a cleared payment is not for its request"));
            }
            let (body, expires) = (to_blob(&told).map_err(Refusal::from)?, request.expires);
            (told.id, told.account, told.amount, reference, expires, body)
        } else {
            let told: Presentment<HoldingItem> = read(bytes)?;
            let reference = told.item.digest()?;
            self.check_presented(&told, item, &reference)?;
            let body = to_blob(&told).map_err(Refusal::from)?;
            (told.id, told.account, told.amount, reference, Timestamp::MAX, body)
        };
        let account: Id16 = account.as_str().parse().map_err(|_| {
            Fault::new(Code::AccountUnknown, "the account of a cleared item is none of this bank")
        })?;
        let row = PresentmentRow {
            id: presentment,
            kind: item.kind,
            account,
            reference,
            bank: issuing.as_str().to_owned(),
            amount: amount.minor,
            expires,
            body,
            state: State::Pending,
            outcome: None,
            created: self.now().seconds(),
            tried: 0,
        };
        let work = move |tx: &mut dyn Tx| {
            if PresentmentRow::find(tx, &row.id)?.is_some() {
                return Ok(Found::Known);
            }
            // An account that was opened after the backup: its holder is not known here.
            if book::account(tx, row.account)?.is_none() {
                return Ok(Found::Left);
            }
            row.insert_new(tx)?;
            count(tx, Found::Asked)
        };
        Ok(self.seams.store.commit("bank.restore.asked", work).await?)
    }

    /// Whether this bank presented that item for that account and amount, and the center lists it as it was presented: what
    /// the center says besides is not believed, since the account is credited with what is written down here.
    fn check_presented<I>(
        &self,
        told: &Presentment<I>,
        item: &Cleared,
        reference: &Digest,
    ) -> Result<(), Fault> {
        let fits = told.is_consistent(item.kind, reference)
            && told.collecting_bank == self.config.name
            && told.id == item.cursor.id
            && told.amount == item.amount
            && told.amount.currency == self.config.currency;
        if fits {
            Ok(())
        } else {
            Err(Fault::new(Code::Conflict, "a cleared item is not as it was presented"))
        }
    }

    /// Spends the coins of a payment that this bank paid, as it did then.
    async fn spend_again(self: &Arc<Self>, item: &Cleared) -> Result<Found, Fault> {
        let Some(outcome) = &item.outcome else { return Ok(Found::Left) };
        let Outcome::Paid(receipt) = read(outcome)? else { return Ok(Found::Left) };
        let presentment: Presentment<CashItem> = read(&item.presentment)?;
        let digest = presentment.item.payment.digest();
        if self.redeemed(digest).await?.is_some() {
            return Ok(Found::Known);
        }
        self.check_own_receipt(&presentment, &receipt).await?;
        // As of then, by this bank's own word: keys and certificates may have ended since.
        let view = self.members.snapshot();
        let payment =
            check_redeemed(&view, &presentment.item, receipt.paid_at, &mut self.seams.entropy.rng())?;
        if payment.issuing_bank != self.config.name {
            return Err(Fault::new(Code::Conflict, "the coins of a cleared payment are of another bank"));
        }
        let now = self.now();
        let mut redemption = self.redemption(&presentment.item, &payment, presentment.id, now)?;
        // Redeemed in time, by the receipt.
        (redemption.receipt, redemption.expires) = (receipt, Timestamp::MAX);
        let reference = presentment.id;
        let work = move |tx: &mut dyn Tx| {
            if PaymentRow::find(tx, &digest)?.is_some() {
                return Ok(Found::Known);
            }
            let unissued = issue_missing(tx, &redemption.spending)?;
            let _ = redemption.redeem(tx, &view, now)?;
            if unissued {
                return count(tx, Found::Unbooked);
            }
            let path = [id(Post::Circulation), id(Post::DueToClearing), id(Post::Settlement)];
            let transfers = along(Event::Redeem, &reference, &path, redemption.receipt.amount.minor);
            match book::transfer(tx, &transfers, now.seconds()) {
                Ok(_) => count(tx, Found::Spent),
                // Coins of a withdrawal that is lost: they are not to be spent twice for that.
                Err(LedgerError::LimitExceeded(_)) => count(tx, Found::Unbooked),
                Err(error) => Err(Refusal::from(error)),
            }
        };
        Ok(self.seams.store.commit("bank.restore.spent", work).await?)
    }

    /// Whether this bank gave that receipt for that presentment.
    async fn check_own_receipt(
        self: &Arc<Self>,
        presentment: &Presentment<CashItem>,
        receipt: &Receipt,
    ) -> Result<(), Fault> {
        let fits = receipt.bank == self.config.name
            && receipt.presentment == presentment.id
            && receipt.payment == presentment.item.payment.digest()
            && receipt.request == presentment.item.payment.request
            && receipt.route == presentment.item.request.request.route
            && receipt.amount == presentment.amount;
        if !fits {
            return Err(Fault::new(Code::SignatureInvalid, "the receipt is for another payment"));
        }
        self.verify_receipt(receipt).await
    }
}

/// Raises the totals of what was issued to what these coins take, where a withdrawal is lost: no coin is spent that was not
/// issued. Answers whether any lacked.
fn issue_missing(tx: &mut dyn Tx, spending: &Spending) -> Result<bool, Refusal> {
    let (mut taken, mut missing) = (Sums::new(), Sums::new());
    for taking in &spending.takings {
        add(&mut taken, (taking.epoch, taking.coin.denomination), taking.contribution)?;
    }
    for (key, sum) in &taken {
        let row = tx.find(&TOTAL, &[Value::unsigned(key.0)?, key.1.into()])?;
        let (issued, redeemed) = match &row {
            Some(row) => (row.minor(2)?, row.minor(3)?),
            None => (Minor::ZERO, Minor::ZERO),
        };
        if let Ok(lacks) = redeemed.checked_add(*sum)?.checked_sub(issued)
            && !lacks.is_zero()
        {
            add(&mut missing, *key, lacks)?;
        }
    }
    add_totals(tx, &missing, Side::Issued)?;
    Ok(!missing.is_empty())
}
