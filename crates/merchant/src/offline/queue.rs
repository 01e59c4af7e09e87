//! Depositing what was accepted: the bank is asked until it says what became of it.

use std::time::Duration;

use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreExt, Tx};
use feiqian_money::{Amount, Currency};
use feiqian_node::{Caller, MemberView, call_within};
use feiqian_offline_cash::deposit::{Outcome, Receipt};
use feiqian_offline_cash::keyset::Keys as _;
use feiqian_offline_cash::messages::{DepositRequest, DepositResponse};
use feiqian_wire::Name;
use feiqian_wire::error::{Code, Fault};
use serde::Serialize;

use super::rows::{Held, Standing};
use super::tables::OFFLINE_PAYMENT;
use crate::failure::Failure;
use crate::payments::{corrupt, unsound};
use crate::service::Merchant;

/// How long the bank may take over one payment.
const TIMEOUT: Duration = Duration::from_secs(25);
/// The most payments of one round in the background.
pub(crate) const ROUND: u32 = 64;
/// The most payments of one command.
const ALL: u32 = 10_000;
/// The most payments that are listed.
const LISTED: u32 = 1000;

/// A payment that was accepted, as an operator sees it.
#[derive(Debug, Serialize)]
struct Line {
    payment: Digest,
    order: String,
    amount: String,
    currency: Currency,
    state: &'static str,
    paid: String,
    unpaid: String,
    deposit_by: u64,
    reason: Option<String>,
}

impl Line {
    fn of(held: &Held) -> Result<Self, Failure> {
        let currency = held.amount.currency;
        let (paid, unpaid) = held.sums()?;
        let reason = match (&held.outcome, held.state) {
            (Some(Outcome::Refused(fault)), _) => Some(fault.to_string()),
            (Some(_), Standing::Refused) => Some("redeemed by another presentment".to_owned()),
            _ => None,
        };
        Ok(Self {
            payment: held.payment,
            order: held.item.request.request.order.as_str().to_owned(),
            amount: held.amount.to_string(),
            currency,
            state: held.state.as_str(),
            paid: Amount::new(paid, currency).to_string(),
            unpaid: Amount::new(unpaid, currency).to_string(),
            deposit_by: held.deposit_by,
            reason,
        })
    }
}

/// Answer to a walk through the queue.
#[derive(Debug, Serialize)]
pub(crate) struct Queue {
    /// How many became final in this walk.
    finished: usize,
    /// How many are left.
    queued: usize,
    /// Why the walk ended early, or the last reason why one is left.
    waiting: Option<String>,
    /// The newest, whatever their state.
    payments: Vec<Line>,
}

/// What a walk did.
#[derive(Debug, Default)]
struct Walk {
    tried: usize,
    finished: usize,
    waiting: Option<String>,
}

impl Merchant {
    /// Tries everything in the queue now, and lists the newest payments.
    pub(crate) async fn deposit_queue(&self) -> Result<Queue, Fault> {
        let walk = self.walk_queue(ALL).await?;
        let read = |tx: &mut dyn Tx| -> Result<_, Failure> {
            let left = format!("SELECT count(*) FROM {} WHERE state = 0", OFFLINE_PAYMENT.name);
            let left = tx.select(&left, &[])?.first().map_or(Ok(0), |row| row.small(0))?;
            let newest = Held::select(tx, "ORDER BY accepted DESC, payment LIMIT ?1", &[LISTED.into()])?;
            Ok((left, newest.iter().map(Line::of).collect::<Result<Vec<_>, _>>()?))
        };
        let (queued, payments) = self.seams.store.read(read).await?;
        Ok(Queue { finished: walk.finished, queued, waiting: walk.waiting, payments })
    }

    /// One round in the background. Answers whether one became final or none is left.
    pub(crate) async fn resume_offline(&self) -> Result<bool, Fault> {
        let walk = self.walk_queue(ROUND).await?;
        Ok(walk.tried == 0 || walk.finished > 0)
    }

    /// Those first that were not tried for longest: payments that stay keep no others waiting.
    async fn walk_queue(&self, most: u32) -> Result<Walk, Fault> {
        let list = move |tx: &mut dyn Tx| -> Result<Vec<Digest>, Failure> {
            let sql = format!(
                "SELECT payment FROM {} WHERE state = 0 ORDER BY tried, accepted, payment LIMIT ?1",
                OFFLINE_PAYMENT.name
            );
            tx.select(&sql, &[most.into()])?.iter().map(|row| Ok(row.digest(0)?)).collect()
        };
        let mut walk = Walk::default();
        for payment in self.seams.store.read(list).await? {
            let Some(held) = self.note_offline_try(payment).await? else { continue };
            walk.tried = walk.tried.saturating_add(1);
            match self.deposit_offline(held).await {
                Ok(_) => walk.finished = walk.finished.saturating_add(1),
                Err(fault) => {
                    tracing::debug!(%payment, %fault, "an offline deposit waits");
                    walk.waiting = Some(fault.to_string());
                    if fault.code == Code::NodeUnreachable {
                        break;
                    }
                }
            }
        }
        Ok(walk)
    }

    /// The payment, unless somebody else has finished it.
    async fn note_offline_try(&self, payment: Digest) -> Result<Option<Held>, Fault> {
        let now = self.seams.clock.now().seconds();
        let work = move |tx: &mut dyn Tx| -> Result<Option<Held>, Failure> {
            let mut held = Held::find(tx, &payment)?.ok_or_else(|| corrupt("it is gone"))?;
            if held.state != Standing::Queued {
                return Ok(None);
            }
            held.tried = now;
            tx.update(&OFFLINE_PAYMENT, &held.values()?)?;
            Ok(Some(held))
        };
        Ok(self.seams.store.commit("merchant.offline.try", work).await?)
    }

    /// Asks the bank and records what is final.
    async fn deposit_offline(&self, held: Held) -> Result<Held, Fault> {
        let (network, bank, path) = (&*self.seams.network, self.bank(), "/v1/account/offline/deposit");
        let request = DepositRequest { item: held.item.clone() };
        let outcome = match call_within(network, &bank, Caller::Certified, path, &request, TIMEOUT).await {
            Ok(DepositResponse::Final(outcome)) => outcome,
            Ok(DepositResponse::Pending { .. }) => return Err(unsound("the bank has it on its way")),
            // The goods are gone: only the bank's own final word ends a deposit, no fault of a call does.
            Err(error) => return Err(error.into()),
        };
        let mut state = self.judge_offline(&held, &outcome, &self.view());
        if state.is_err() && self.sync().await.is_ok() {
            state = self.judge_offline(&held, &outcome, &self.view());
        }
        let state = state.inspect_err(
            |fault| tracing::error!(payment = %held.payment, %fault, "the bank's outcome does not hold"),
        )?;
        let payment = held.payment;
        let work = move |tx: &mut dyn Tx| -> Result<Held, Failure> {
            let mut held = Held::find(tx, &payment)?.ok_or_else(|| corrupt("it is gone"))?;
            if held.state == Standing::Queued {
                (held.state, held.outcome) = (state, Some(outcome.clone()));
                tx.update(&OFFLINE_PAYMENT, &held.values()?)?;
            }
            Ok(held)
        };
        Ok(self.seams.store.commit("merchant.offline.outcome", work).await?)
    }

    /// What an outcome makes of a payment; an error when it does not hold.
    fn judge_offline(&self, held: &Held, outcome: &Outcome, view: &MemberView) -> Result<Standing, Fault> {
        let receipt = match outcome {
            Outcome::Settled(receipt) | Outcome::Before(receipt) => receipt,
            Outcome::Refused(_) => return Ok(Standing::Refused),
        };
        self.check_offline_receipt(held, receipt, view)?;
        let ours = receipt.terms.presentment == held.presentment;
        match outcome {
            _ if ours => Ok(Standing::Settled),
            Outcome::Settled(_) => Err(unsound("a receipt of another presentment")),
            // Redeemed, but not by this till.
            _ => Ok(Standing::Refused),
        }
    }

    fn check_offline_receipt(&self, held: &Held, receipt: &Receipt, view: &MemberView) -> Result<(), Fault> {
        let (terms, issuing) = (&receipt.terms, issuing_bank(held, view)?);
        let key = view.receipt_signer(issuing, terms.at, self.seams.clock.now())?;
        receipt.verify(&key).map_err(|error| unsound(error.to_string()))?;
        let same = terms.bank == *issuing
            && terms.payment == held.payment
            && terms.request == held.request
            && terms.amount == held.amount
            && terms.collecting_bank == self.config.bank
            && terms.account == self.config.account;
        if same { Ok(()) } else { Err(unsound("a receipt of another payment")) }
    }
}

/// The bank whose coins a payment gives.
fn issuing_bank<'a>(held: &Held, view: &'a MemberView) -> Result<&'a Name, Fault> {
    let chain = held.item.payment.chains.first().ok_or_else(|| unsound("a payment without pieces"))?;
    let first = chain.links.first().map_or(&chain.last, |link| &link.hop);
    Ok(&view.offline_keys().key(&first.key)?.bank)
}
