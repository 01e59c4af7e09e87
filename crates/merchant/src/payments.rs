//! Taking payments and depositing them.
//!
//! ```text
//! verify ─▶ claim (durable) ─▶ deposit at the bank ─▶ final? ─▶ record, sign the receipt
//!                                   └ unknown: pending, asked again until final
//! ```

use feiqian_clearing::presentment::{ItemKind, presentment_id};
use feiqian_crypto::Digest;
use feiqian_ledger::store::{Row, StoreExt, Tx, Value};
use feiqian_money::Amount;
use feiqian_node::{CallError, Caller, MemberView, call_within};
use feiqian_online_cash::Rejection;
use feiqian_online_cash::account::DepositResponse;
use feiqian_online_cash::deposit::{CashItem, Outcome, PayResponse, PayeeReceipt, Receipt};
use feiqian_online_cash::payment::{Checker, Payment};
use feiqian_online_cash::signed::DocumentSignature;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Limit, Name, codec};
use std::time::Duration;

use crate::failure::Failure;
use crate::sales::find_sale;
use crate::service::Merchant;
use crate::tables::{CLAIM, PAYMENT};

/// How long the bank may take: less than a payer waits for us.
const DEPOSIT_TIMEOUT: Duration = Duration::from_secs(25);
/// The most payments resumed in one round.
const ROUND: u32 = 64;

/// Where a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Pending = 0,
    Paid = 1,
    Refused = 2,
}

impl State {
    pub(crate) fn from_number(number: i64) -> Result<Self, Failure> {
        match number {
            0 => Ok(Self::Pending),
            1 => Ok(Self::Paid),
            2 => Ok(Self::Refused),
            _ => Err(corrupt("state")),
        }
    }
}

/// A payment as stored.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) payment: Digest,
    pub(crate) request: Digest,
    pub(crate) amount: Amount,
    pub(crate) item: CashItem,
    pub(crate) state: State,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) receipt: Option<PayeeReceipt>,
    accepted: u64,
    tried: u64,
}

pub(crate) fn corrupt(what: &str) -> Failure {
    Failure(Fault::new(Code::Internal, format!("a stored row is unreadable: {what}")))
}

impl Taken {
    pub(crate) fn from_row(row: &Row) -> Result<Self, Failure> {
        let outcome = row.optional_blob(6)?.map(|bytes| codec::decode(bytes, Limit::Large)).transpose()?;
        let receipt = row.optional_blob(7)?.map(|bytes| codec::decode(bytes, Limit::Medium)).transpose()?;
        Ok(Self {
            payment: row.digest(0)?,
            request: row.digest(1)?,
            amount: Amount::new(row.minor(2)?, row.parse(3)?),
            item: codec::decode(row.blob(4)?, Limit::Large)?,
            state: State::from_number(row.integer(5)?)?,
            outcome,
            receipt,
            accepted: row.unsigned(8)?,
            tried: row.unsigned(9)?,
        })
    }

    fn values(&self) -> Result<[Value; 10], Failure> {
        Ok([
            self.payment.into(),
            self.request.into(),
            self.amount.minor.into(),
            self.amount.currency.code().into(),
            codec::encode(&self.item)?.into(),
            Value::Integer(self.state as i64),
            self.outcome.as_ref().map(codec::encode).transpose()?.into(),
            self.receipt.as_ref().map(codec::encode).transpose()?.into(),
            Value::unsigned(self.accepted)?,
            Value::unsigned(self.tried)?,
        ])
    }

    fn answer(&self) -> PayResponse {
        match (&self.receipt, &self.outcome) {
            (Some(receipt), _) => PayResponse::Paid(receipt.clone()),
            (None, Some(outcome)) => PayResponse::Refused(outcome.clone()),
            (None, None) => PayResponse::Pending,
        }
    }
}

pub(crate) fn find_payment(tx: &mut dyn Tx, payment: &Digest) -> Result<Option<Taken>, Failure> {
    tx.find(&PAYMENT, &[(*payment).into()])?.map(|row| Taken::from_row(&row)).transpose()
}

/// The payment that claims a request.
pub(crate) fn claimant(tx: &mut dyn Tx, request: &Digest) -> Result<Option<Taken>, Failure> {
    match tx.find(&CLAIM, &[(*request).into()])? {
        Some(row) => find_payment(tx, &row.digest(1)?),
        None => Ok(None),
    }
}

/// Claims the request for this payment, unless another one holds it that was not finally refused.
fn claim(tx: &mut dyn Tx, fresh: &Taken) -> Result<Taken, Failure> {
    if let Some(known) = find_payment(tx, &fresh.payment)? {
        return Ok(known);
    }
    let values = [fresh.request.into(), fresh.payment.into()];
    match claimant(tx, &fresh.request)? {
        None => tx.insert(&CLAIM, &values)?,
        Some(other) if other.state == State::Refused => tx.update(&CLAIM, &values)?,
        Some(_) => {
            return Err(Fault::new(Code::RequestAlreadyPaid, "another payment paid this request").into());
        }
    }
    tx.insert(&PAYMENT, &fresh.values()?)?;
    Ok(fresh.clone())
}

/// A word of the bank that does not hold: nobody may act on it.
pub(crate) fn unsound(what: impl AsRef<str>) -> Fault {
    Fault::new(Code::Unavailable, what)
}

/// The bank whose coins a payment gives.
fn issuing_bank<'a>(taken: &Taken, view: &'a MemberView) -> Result<&'a Name, Fault> {
    let coin = taken.item.payment.coins.first().ok_or_else(|| unsound("a payment without coins"))?;
    Ok(&view.pins.key(&coin.share.coin.denomination)?.key.bank)
}

/// Does this code say for ever that the item was not taken? The bank answers what it took before from its store, so
/// a verdict about the item means that it was not; codes of transport, access, load and of the account's own state say
/// nothing about it.
pub(crate) fn is_verdict(code: Code) -> bool {
    matches!(
        code,
        Code::Expired
            | Code::InsufficientFunds
            | Code::WrongBank
            | Code::WrongCurrency
            | Code::WrongRoute
            | Code::KeyExpired
            | Code::SignatureInvalid
            | Code::PossessionInvalid
            | Code::RequestInvalid
            | Code::RequestMismatch
            | Code::RequestAlreadyPaid
            | Code::ContributionInvalid
            | Code::CoinRepeated
            | Code::AmountMismatch
            | Code::RefundExceeded
            | Code::RefundUnknown
            | Code::LimitExceeded
    )
}

impl Merchant {
    /// Takes a payment, or answers what became of it.
    pub(crate) async fn pay(&self, payment: Payment) -> Result<PayResponse, Fault> {
        let (request, digest) = (payment.request, payment.digest());
        let find = move |tx: &mut dyn Tx| -> Result<_, Failure> {
            Ok((find_sale(tx, &request)?, find_payment(tx, &digest)?))
        };
        let (sale, known) = self.seams.store.read(find).await?;
        let sale = sale.ok_or_else(|| Fault::new(Code::RequestMismatch, "no such request was made here"))?;
        let taken = match known {
            Some(known) => known,
            None => {
                let item = CashItem { request: sale.signed, payment };
                self.accept(item, digest, sale.amount).await?
            }
        };
        if taken.state != State::Pending {
            return Ok(taken.answer());
        }
        match self.deposit(taken).await {
            Ok(done) => Ok(done.answer()),
            Err(fault) => {
                tracing::info!(payment = %digest, %fault, "the deposit is not final yet");
                self.pending.notify_one();
                Ok(PayResponse::Pending)
            }
        }
    }

    /// Verifies and claims, durably, before anything is deposited.
    async fn accept(&self, item: CashItem, payment: Digest, amount: Amount) -> Result<Taken, Fault> {
        let mut checked = self.check(&item);
        let unknown = matches!(
            checked,
            Err(Rejection::DenominationUnknown(_) | Rejection::CertificateInvalid(_) | Rejection::KeyExpired)
        );
        // A bank may have joined or a keyset been pinned since we last looked; without news nothing is refused.
        if unknown {
            self.sync().await?;
            checked = self.check(&item);
        }
        checked?;
        let accepted = self.seams.clock.now().seconds();
        let request = item.payment.request;
        let state = State::Pending;
        let fresh = Taken {
            payment,
            request,
            amount,
            item,
            state,
            outcome: None,
            receipt: None,
            accepted,
            tried: accepted,
        };
        let work = move |tx: &mut dyn Tx| claim(tx, &fresh);
        Ok(self.seams.store.commit("merchant.pay.accept", work).await?)
    }

    fn check(&self, item: &CashItem) -> Result<(), Rejection> {
        let (view, now) = (self.view(), self.seams.clock.now());
        let checker = Checker { pins: &view.pins, authorities: &*view, now };
        let payment = checker.verify(item, &mut self.seams.entropy.rng())?;
        payment.request.check_open(now)
    }

    /// Asks the bank and records a final outcome.
    async fn deposit(&self, taken: Taken) -> Result<Taken, Fault> {
        let (network, bank) = (&*self.seams.network, self.bank());
        let path = "/v1/deposit";
        let called = call_within(network, &bank, Caller::Certified, path, &taken.item, DEPOSIT_TIMEOUT).await;
        let outcome = match called {
            Ok(DepositResponse::Final(outcome)) => outcome,
            Ok(DepositResponse::Pending { .. }) => {
                return Err(unsound("the bank has the deposit on its way"));
            }
            Err(CallError::Fault(fault)) if is_verdict(fault.code) => Outcome::Refused(fault),
            Err(error) => return Err(error.into()),
        };
        let mut view = self.view();
        let mut state = self.judge(&taken, &outcome, &view);
        if state.is_err() && self.sync().await.is_ok() {
            view = self.view();
            state = self.judge(&taken, &outcome, &view);
        }
        let state = state.inspect_err(
            |fault| tracing::error!(payment = %taken.payment, %fault, "the bank's outcome does not hold"),
        )?;
        let receipt = match (&outcome, state) {
            (Outcome::Paid(receipt) | Outcome::AlreadyPaid(receipt), State::Paid) => {
                Some(self.sign(receipt)?)
            }
            _ => None,
        };
        let payment = taken.payment;
        let work = move |tx: &mut dyn Tx| -> Result<Taken, Failure> {
            let mut taken = find_payment(tx, &payment)?.ok_or_else(|| corrupt("it is gone"))?;
            if taken.state == State::Pending {
                (taken.state, taken.outcome, taken.receipt) = (state, Some(outcome.clone()), receipt.clone());
                tx.update(&PAYMENT, &taken.values()?)?;
            }
            Ok(taken)
        };
        let done = self.seams.store.commit("merchant.pay.outcome", work).await?;
        if let Err(fault) = self.write_evidence(&done) {
            // It stands in the store; the next start writes it.
            tracing::warn!(%fault, "evidence could not be written");
        }
        Ok(done)
    }

    fn sign(&self, receipt: &Receipt) -> Result<PayeeReceipt, Fault> {
        let signature = DocumentSignature::sign(&self.keys.signer, &receipt.digest())?;
        Ok(PayeeReceipt { receipt: receipt.clone(), signature })
    }

    /// What an outcome makes of a payment; an error when it does not hold.
    fn judge(&self, taken: &Taken, outcome: &Outcome, view: &MemberView) -> Result<State, Fault> {
        match outcome {
            Outcome::Paid(receipt) | Outcome::AlreadyPaid(receipt) => {
                self.check_receipt(taken, receipt, view)?;
                let ours = receipt.presentment == self.presentment(&taken.payment);
                match outcome {
                    Outcome::Paid(_) if !ours => Err(unsound("a receipt of another presentment")),
                    _ if ours => Ok(State::Paid),
                    // Redeemed, but not to this account.
                    _ => Ok(State::Refused),
                }
            }
            Outcome::DoubleSpent(evidence) => {
                let finding = evidence.verify(view.root()).map_err(|error| unsound(error.to_string()))?;
                let coins = &taken.item.payment.coins;
                let issuing = issuing_bank(taken, view)?;
                if finding.bank != issuing.as_str()
                    || !coins.iter().any(|coin| coin.share.coin == finding.coin)
                {
                    return Err(unsound("the evidence is about another coin"));
                }
                // True evidence of what others gave of the coin says nothing about this payment.
                if !finding.statements.contains(&taken.payment) {
                    return Err(unsound("the evidence is about other payments"));
                }
                Ok(State::Refused)
            }
            Outcome::Refused(_) => Ok(State::Refused),
        }
    }

    /// The presentment under which the bank credits this merchant for a payment.
    pub(crate) fn presentment(&self, payment: &Digest) -> Digest {
        presentment_id(&self.config.bank, &self.config.account, ItemKind::Payment, payment)
    }

    fn check_receipt(&self, taken: &Taken, receipt: &Receipt, view: &MemberView) -> Result<(), Fault> {
        let issuing = issuing_bank(taken, view)?;
        let key = view.receipt_signer(issuing, receipt.paid_at, self.seams.clock.now())?;
        receipt.verify(&key).map_err(|error| unsound(error.to_string()))?;
        let same = receipt.bank == *issuing
            && receipt.payment == taken.payment
            && receipt.request == taken.request
            && receipt.amount == taken.amount;
        if same { Ok(()) } else { Err(unsound("a receipt of another payment")) }
    }

    /// Goes on with pending deposits, those first that were not tried for longest: deposits that stay pending keep no
    /// others waiting. Answers whether one became final or none is left.
    pub(crate) async fn resume_deposits(&self) -> Result<bool, Fault> {
        let sql = format!(
            "SELECT {} FROM {} WHERE state = 0 ORDER BY tried, accepted, payment LIMIT ?1",
            PAYMENT.column_list(),
            PAYMENT.name
        );
        let read = move |tx: &mut dyn Tx| -> Result<Vec<Taken>, Failure> {
            tx.select(&sql, &[ROUND.into()])?.iter().map(Taken::from_row).collect()
        };
        let waiting: Vec<Taken> = self.seams.store.read(read).await?;
        let mut progress = waiting.is_empty();
        for taken in waiting {
            let payment = taken.payment;
            self.note_try(payment).await?;
            match self.deposit(taken).await {
                Ok(_) => progress = true,
                Err(fault) if fault.code == Code::NodeUnreachable => break,
                Err(fault) => tracing::debug!(%payment, %fault, "a deposit waits"),
            }
        }
        Ok(progress)
    }

    async fn note_try(&self, payment: Digest) -> Result<(), Fault> {
        let now = self.seams.clock.now().seconds();
        let work = move |tx: &mut dyn Tx| -> Result<(), Failure> {
            let mut taken = find_payment(tx, &payment)?.ok_or_else(|| corrupt("it is gone"))?;
            taken.tried = now;
            Ok(tx.update(&PAYMENT, &taken.values()?)?)
        };
        Ok(self.seams.store.commit("merchant.pay.try", work).await?)
    }

    /// Writes the evidence of a double spend beside the settings.
    fn write_evidence(&self, taken: &Taken) -> Result<(), Fault> {
        let (Some(home), Some(Outcome::DoubleSpent(evidence))) = (&self.home, &taken.outcome) else {
            return Ok(());
        };
        let text = serde_json::to_vec_pretty(evidence)
            .map_err(|error| Fault::new(Code::Internal, error.to_string()))?;
        home.write(&evidence_file(&taken.payment), &text)
    }

    /// Writes evidence that a crash kept from being written.
    pub(crate) async fn write_missing_evidence(&self) -> Result<(), Fault> {
        let Some(home) = &self.home else { return Ok(()) };
        let mut after = Digest::ZERO;
        loop {
            let sql = format!(
                "SELECT {} FROM {} WHERE state = 2 AND payment > ?1 ORDER BY payment LIMIT ?2",
                PAYMENT.column_list(),
                PAYMENT.name
            );
            let read = move |tx: &mut dyn Tx| -> Result<Vec<Taken>, Failure> {
                tx.select(&sql, &[after.into(), ROUND.into()])?.iter().map(Taken::from_row).collect()
            };
            let refused: Vec<Taken> = self.seams.store.read(read).await?;
            let Some(last) = refused.last() else { return Ok(()) };
            after = last.payment;
            for taken in &refused {
                if !home.path(&evidence_file(&taken.payment)).exists() {
                    self.write_evidence(taken)?;
                }
            }
        }
    }
}

/// The name of an evidence file.
fn evidence_file(payment: &Digest) -> String {
    format!("evidence-{payment}.json")
}
