//! The kinds of item that are cleared, and what the center checks of each before and after it is forwarded.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use feiqian_clearing::presentment::{ItemKind, Presented, Presentment};
use feiqian_crypto::Digest;
use feiqian_money::{Amount, Minor};
use feiqian_node::{
    CallError, Caller, Carrier, CashLane, Entropy, MemberView, Paths, Target, call_within, present_together,
};
use feiqian_online_cash::deposit::{CashItem, Outcome, Receipt};
use feiqian_online_cash::refund::{RefundItem, RefundOutcome};
use feiqian_online_cash::request::Route;
use feiqian_pki::{Purpose, Revocation, validate};
use feiqian_wire::Timestamp;
use feiqian_wire::error::{Code, Fault};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::certificate;
use crate::keys::Keys;
use crate::service::Center;
use crate::settlement::{self, Owed};

/// How long an issuing bank may take: a collecting bank waits 15 s for us, and our own steps come on top.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(12);
/// An issuing bank's calls for payments.
const PAYMENTS: Paths = Paths { one: CashItem::FORWARD, many: "/v1/pay/payments" };
/// The most bytes of a request in a message, and of a coin.
const REQUEST_BYTES: usize = 6144;
const COIN_BYTES: usize = 256;

/// Whether an outcome takes the reserve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Settle,
    /// Less than all of it, but not nothing.
    Partly(Minor),
    Release,
}

impl Verdict {
    /// Of an outcome that pays so much of an amount.
    pub(crate) fn paying(paid: Minor, amount: Minor) -> Self {
        match paid {
            Minor::ZERO => Self::Release,
            paid if paid < amount => Self::Partly(paid),
            _ => Self::Settle,
        }
    }

    /// How much of an amount it takes; `None`: nothing.
    pub(crate) fn paid(self, amount: Minor) -> Option<Minor> {
        match self {
            Self::Settle => Some(amount),
            Self::Partly(paid) => Some(paid),
            Self::Release => None,
        }
    }
}

/// At what items are judged.
#[derive(Clone, Copy)]
pub(crate) struct Bench<'a> {
    pub(crate) view: &'a MemberView,
    /// Sign what the center itself says about an item.
    pub(crate) keys: &'a Keys,
    /// Checks payments with coins, many at a time.
    pub(crate) cash: &'a Arc<CashLane>,
    pub(crate) entropy: &'a dyn Entropy,
    /// How long a bank may take to name its customer.
    pub(crate) answer_seconds: u64,
    pub(crate) now: Timestamp,
}

/// What an item says of itself.
pub(crate) struct Stated {
    pub(crate) amount: Amount,
    /// The bank that presents it and the account there; `None` when the item does not get so far as to say.
    pub(crate) route: Option<(String, String)>,
}

/// What the center's own check of an item finds.
pub(crate) enum Checked<O> {
    /// It goes to this bank.
    Good(String),
    /// Refused for ever.
    Refused(O),
    /// It cannot be judged now.
    Later(Fault),
}

impl<O> Checked<O> {
    pub(crate) fn of(checked: Result<String, Fault>, refused: impl FnOnce(Fault) -> O) -> Self {
        match checked {
            Ok(issuing) => Self::Good(issuing),
            Err(fault) if fault.is_definitive() => Self::Refused(refused(fault)),
            Err(fault) => Self::Later(fault),
        }
    }
}

/// An item of value between a collecting bank and the bank it is forwarded to.
pub(crate) trait Item: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    type Outcome: Serialize + DeserializeOwned + Clone + Send + Sync + 'static;

    const KIND: ItemKind;
    /// The issuing bank's call.
    const FORWARD: &'static str;
    /// Whether it is settled after it was paid, with others; else its cover is reserved before it is forwarded, and
    /// what is paid is settled in the same moment.
    const DEFERRED: bool;

    /// What the presentment id is made of; a fault when the item is none.
    fn digest(&self) -> Result<Digest, Fault>;

    /// Amount and route of the item as it says itself; `WRONG_ROUTE` when it is not for an account.
    fn stated(&self, bench: &Bench<'_>) -> Result<Stated, Fault>;

    /// Checks every signature and proof; answers with the issuing bank.
    fn check(
        presentment: &Presentment<Self>,
        bench: &Bench<'_>,
    ) -> impl Future<Output = Checked<Self::Outcome>> + Send;

    /// Sends it to its issuing bank.
    fn send(
        center: &Center,
        bank: &Target,
        presentment: &Presentment<Self>,
    ) -> impl Future<Output = Result<Presented<Self::Outcome>, CallError>> + Send {
        async move {
            let network = &*center.seams.network;
            call_within(network, bank, Caller::Certified, Self::FORWARD, presentment, FORWARD_TIMEOUT).await
        }
    }

    /// Who owes whom.
    fn owed(presentment: &Presentment<Self>, issuing: &str) -> Owed;

    /// Judges the issuing bank's outcome; an error when it does not hold, and so is none.
    fn judge(
        presentment: &Presentment<Self>,
        issuing: &str,
        outcome: &Self::Outcome,
        bench: &Bench<'_>,
    ) -> Result<Verdict, Fault>;

    /// What the outcome says by itself, for audits: its signatures were checked when it was recorded.
    fn verdict(presentment: &Presentment<Self>, outcome: &Self::Outcome) -> Verdict;

    fn refused(fault: Fault) -> Self::Outcome;

    /// Does this code of an issuing bank end the item for ever? See [`is_verdict`].
    fn ends(code: Code) -> bool {
        is_verdict(code)
    }

    /// What ends an item that was forwarded at `asked_at` and has no sound answer; `None`: it waits on.
    fn overdue(
        _presentment: &Presentment<Self>,
        _asked_at: Timestamp,
        _bench: &Bench<'_>,
    ) -> Result<Option<Self::Outcome>, Fault> {
        Ok(None)
    }

    /// Is this an outcome that the payer's bank did not give itself? Then it is told.
    fn is_news_to_payer(_outcome: &Self::Outcome) -> bool {
        false
    }

    /// What is answered when the banks cannot settle it: before it was paid, or (with its outcome) afterwards.
    fn failed(
        presentment: &Presentment<Self>,
        outcome: Option<&Self::Outcome>,
        bench: &Bench<'_>,
    ) -> Result<Self::Outcome, Fault>;
}

fn account_route(route: &Route) -> Result<(&str, &str), Fault> {
    match route {
        Route::Account { bank, account } => Ok((bank, account)),
        Route::Received => Err(Fault::new(Code::WrongRoute, "the request is not paid on an account")),
    }
}

fn stated(amount: Amount, route: &Route) -> Result<Stated, Fault> {
    let (bank, account) = account_route(route)?;
    Ok(Stated { amount, route: Some((bank.to_owned(), account.to_owned())) })
}

fn not_settled() -> Fault {
    Fault::new(Code::SettlementFailed, "the banks could not settle it")
}

/// An issuing bank's word that does not hold: nobody may act on it.
pub(crate) fn unsound(what: impl AsRef<str>) -> Fault {
    Fault::new(Code::Unavailable, what).hint("the issuing bank's answer does not hold; it is asked again")
}

impl Item for CashItem {
    type Outcome = Outcome;

    const KIND: ItemKind = ItemKind::Payment;
    const FORWARD: &'static str = "/v1/pay/payment";
    const DEFERRED: bool = false;

    fn digest(&self) -> Result<Digest, Fault> {
        Ok(self.payment.digest())
    }

    fn stated(&self, _bench: &Bench<'_>) -> Result<Stated, Fault> {
        stated(self.request.request.amount, &self.request.request.route)
    }

    /// Together with others that wait for the same.
    async fn check(presentment: &Presentment<Self>, bench: &Bench<'_>) -> Checked<Outcome> {
        let checked = match bench.cash.ask(Arc::new(presentment.item.clone())).await {
            Ok(verdict) => verdict.map_err(Fault::from),
            Err(fault) => return Checked::Later(fault),
        };
        Checked::of(checked.map(|payment| payment.issuing_bank.as_str().to_owned()), Self::refused)
    }

    /// Together with others that wait for the same bank.
    async fn send(
        center: &Center,
        bank: &Target,
        presentment: &Presentment<Self>,
    ) -> Result<Presented<Outcome>, CallError> {
        let carrier = center.carriers.to(bank, || {
            let (network, bank) = (Arc::clone(&center.seams.network), bank.clone());
            Carrier::new(move |items| {
                let (network, bank) = (Arc::clone(&network), bank.clone());
                async move { present_together(&*network, &bank, PAYMENTS, items, FORWARD_TIMEOUT).await }
            })
        });
        let coins = presentment.item.payment.coins.len();
        let bytes = REQUEST_BYTES.saturating_add(coins.saturating_mul(COIN_BYTES));
        carrier.ask(presentment.clone(), bytes, FORWARD_TIMEOUT).await
    }

    fn owed(presentment: &Presentment<Self>, issuing: &str) -> Owed {
        Owed {
            debtor: issuing.to_owned(),
            creditor: presentment.collecting_bank.as_str().to_owned(),
            amount: presentment.amount,
            code: settlement::PAYMENT,
        }
    }

    fn judge(
        presentment: &Presentment<Self>,
        issuing: &str,
        outcome: &Outcome,
        bench: &Bench<'_>,
    ) -> Result<Verdict, Fault> {
        let Bench { view, now, .. } = *bench;
        match outcome {
            Outcome::Paid(receipt) | Outcome::AlreadyPaid(receipt) => {
                check_receipt(presentment, issuing, receipt, view, now)?;
                let ours = receipt.presentment == presentment.id;
                if matches!(outcome, Outcome::Paid(_)) && !ours {
                    return Err(unsound("a receipt of another presentment"));
                }
            }
            Outcome::DoubleSpent(evidence) => {
                let finding = evidence.verify(view.root()).map_err(|error| unsound(error.to_string()))?;
                let payment = &presentment.item.payment;
                if finding.bank != issuing
                    || !payment.coins.iter().any(|coin| coin.share.coin == finding.coin)
                {
                    return Err(unsound("the evidence is about another coin"));
                }
                // True evidence of what others gave of the coin says nothing about this payment.
                if !finding.statements.contains(&payment.digest()) {
                    return Err(unsound("the evidence is about other payments"));
                }
            }
            Outcome::Refused(_) => {}
        }
        Ok(Self::verdict(presentment, outcome))
    }

    fn verdict(presentment: &Presentment<Self>, outcome: &Outcome) -> Verdict {
        match outcome {
            Outcome::Paid(receipt) | Outcome::AlreadyPaid(receipt)
                if receipt.presentment == presentment.id =>
            {
                Verdict::Settle
            }
            _ => Verdict::Release,
        }
    }

    fn refused(fault: Fault) -> Outcome {
        Outcome::Refused(fault)
    }

    fn failed(_: &Presentment<Self>, _: Option<&Outcome>, _: &Bench<'_>) -> Result<Outcome, Fault> {
        Ok(Outcome::Refused(not_settled()))
    }
}

fn check_receipt(
    presentment: &Presentment<CashItem>,
    issuing: &str,
    receipt: &Receipt,
    view: &MemberView,
    now: Timestamp,
) -> Result<(), Fault> {
    let key = view.receipt_signer(issuing, receipt.paid_at, now)?;
    receipt.verify(&key).map_err(|error| unsound(error.to_string()))?;
    let same = receipt.bank.as_str() == issuing
        && receipt.payment == presentment.item.payment.digest()
        && receipt.request == presentment.item.payment.request
        && receipt.amount == presentment.amount;
    if same { Ok(()) } else { Err(unsound("a receipt of another payment")) }
}

impl Item for RefundItem {
    type Outcome = RefundOutcome;

    const KIND: ItemKind = ItemKind::Refund;
    const FORWARD: &'static str = "/v1/pay/refund";
    const DEFERRED: bool = false;

    fn digest(&self) -> Result<Digest, Fault> {
        Ok(self.order.digest())
    }

    fn stated(&self, _bench: &Bench<'_>) -> Result<Stated, Fault> {
        stated(self.order.amount, &self.receipt.route)
    }

    async fn check(presentment: &Presentment<Self>, bench: &Bench<'_>) -> Checked<RefundOutcome> {
        Checked::of(check_refund(presentment, bench.view, bench.now), Self::refused)
    }

    fn owed(presentment: &Presentment<Self>, issuing: &str) -> Owed {
        Owed {
            debtor: presentment.collecting_bank.as_str().to_owned(),
            creditor: issuing.to_owned(),
            amount: presentment.amount,
            code: settlement::REFUND,
        }
    }

    fn judge(
        presentment: &Presentment<Self>,
        _issuing: &str,
        outcome: &RefundOutcome,
        _bench: &Bench<'_>,
    ) -> Result<Verdict, Fault> {
        Ok(Self::verdict(presentment, outcome))
    }

    fn verdict(_presentment: &Presentment<Self>, outcome: &RefundOutcome) -> Verdict {
        match outcome {
            RefundOutcome::Booked => Verdict::Settle,
            RefundOutcome::Refused(_) => Verdict::Release,
        }
    }

    fn refused(fault: Fault) -> RefundOutcome {
        RefundOutcome::Refused(fault)
    }

    fn failed(
        _: &Presentment<Self>,
        _: Option<&RefundOutcome>,
        _: &Bench<'_>,
    ) -> Result<RefundOutcome, Fault> {
        Ok(RefundOutcome::Refused(not_settled()))
    }
}

fn check_refund(
    presentment: &Presentment<RefundItem>,
    view: &MemberView,
    now: Timestamp,
) -> Result<String, Fault> {
    let RefundItem { order, receipt, payee } = &presentment.item;
    let issuing = order.issuing_bank.as_str();
    receipt.verify(&view.receipt_signer(issuing, receipt.paid_at, now)?)?;
    if receipt.bank != order.issuing_bank || receipt.payment != order.payment {
        return Err(Fault::new(Code::RequestMismatch, "the receipt is of another payment"));
    }
    if receipt.amount.currency != order.amount.currency {
        return Err(Fault::new(Code::WrongCurrency, "the refund is in another currency than the payment"));
    }
    if order.amount.minor > receipt.amount.minor {
        return Err(Fault::new(Code::RefundExceeded, "the refund is more than was paid"));
    }
    let holder =
        validate(&payee.to_chain()?, view.root(), Purpose::Signing, Revocation::Unchecked, now.seconds())
            .map_err(certificate)?;
    let (bank, account) = account_route(&receipt.route)?;
    if holder.subject.bank_name() != Some(bank) || holder.subject.name() != account {
        return Err(Fault::new(Code::CertificateInvalid, "the refund is not ordered by the payee"));
    }
    order.verify(&holder.public_key)?;
    Ok(issuing.to_owned())
}

/// Does this code of an issuing bank say for ever that the item was not taken? A bank answers what it took before
/// from its store, so a verdict about the item's content means that it was not taken; codes of transport, access
/// and load say nothing about it.
pub(crate) fn is_verdict(code: Code) -> bool {
    matches!(
        code,
        Code::Expired
            | Code::Void
            | Code::WrongBank
            | Code::WrongCurrency
            | Code::WrongRoute
            | Code::DenominationUnknown
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
    )
}
