//! The kinds of item that are cleared, and what the center checks of each before and after it is forwarded.

use feiqian_clearing::presentment::{ItemKind, Presentment};
use feiqian_crypto::Digest;
use feiqian_money::Amount;
use feiqian_node::MemberView;
use feiqian_online_cash::deposit::{CashItem, Outcome, Receipt};
use feiqian_online_cash::payment::Checker;
use feiqian_online_cash::refund::{RefundItem, RefundOutcome};
use feiqian_online_cash::request::Route;
use feiqian_pki::{Purpose, Revocation, validate};
use feiqian_wire::Timestamp;
use feiqian_wire::error::{Code, Fault};
use rand_core::CryptoRng;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::certificate;
use crate::settlement::{self, Owed};

/// Whether an outcome takes the reserve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Settle,
    Release,
}

/// An item of value between a collecting bank and the bank it is forwarded to.
pub(crate) trait Item: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    type Outcome: Serialize + DeserializeOwned + Clone + Send + Sync + 'static;

    const KIND: ItemKind;
    /// The issuing bank's call.
    const FORWARD: &'static str;

    /// What the presentment id is made of.
    fn digest(&self) -> Digest;

    /// Amount and route of the item as it says itself; `WRONG_ROUTE` when it is not for an account.
    fn stated(&self) -> Result<(Amount, &str, &str), Fault>;

    /// Checks every signature and proof; answers with the issuing bank.
    fn check(
        presentment: &Presentment<Self>,
        view: &MemberView,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<String, Fault>;

    /// Who owes whom.
    fn owed(presentment: &Presentment<Self>, issuing: &str) -> Owed;

    /// Judges the issuing bank's outcome; an error when it does not hold, and so is none.
    fn judge(
        presentment: &Presentment<Self>,
        issuing: &str,
        outcome: &Self::Outcome,
        view: &MemberView,
        now: Timestamp,
    ) -> Result<Verdict, Fault>;

    /// What the outcome says by itself, for audits: its signatures were checked when it was recorded.
    fn verdict(presentment: &Presentment<Self>, outcome: &Self::Outcome) -> Verdict;

    fn refused(fault: Fault) -> Self::Outcome;
}

fn account_route(route: &Route) -> Result<(&str, &str), Fault> {
    match route {
        Route::Account { bank, account } => Ok((bank, account)),
        Route::Received => Err(Fault::new(Code::WrongRoute, "the request is not paid on an account")),
    }
}

/// An issuing bank's word that does not hold: nobody may act on it.
fn unsound(what: impl AsRef<str>) -> Fault {
    Fault::new(Code::Unavailable, what).hint("the issuing bank's answer does not hold; it is asked again")
}

impl Item for CashItem {
    type Outcome = Outcome;

    const KIND: ItemKind = ItemKind::Payment;
    const FORWARD: &'static str = "/v1/pay/payment";

    fn digest(&self) -> Digest {
        self.payment.digest()
    }

    fn stated(&self) -> Result<(Amount, &str, &str), Fault> {
        let request = &self.request.request;
        let (bank, account) = account_route(&request.route)?;
        Ok((request.amount, bank, account))
    }

    fn check(
        presentment: &Presentment<Self>,
        view: &MemberView,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<String, Fault> {
        let checker = Checker { pins: &view.pins, authorities: view, now };
        let payment = checker.verify(&presentment.item, rng)?;
        Ok(payment.issuing_bank.as_str().to_owned())
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
        view: &MemberView,
        now: Timestamp,
    ) -> Result<Verdict, Fault> {
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

    fn digest(&self) -> Digest {
        self.order.digest()
    }

    fn stated(&self) -> Result<(Amount, &str, &str), Fault> {
        let (bank, account) = account_route(&self.receipt.route)?;
        Ok((self.order.amount, bank, account))
    }

    fn check(
        presentment: &Presentment<Self>,
        view: &MemberView,
        now: Timestamp,
        _rng: &mut impl CryptoRng,
    ) -> Result<String, Fault> {
        let RefundItem { order, receipt, payee } = &presentment.item;
        let issuing = order.issuing_bank.as_str();
        receipt.verify(&view.receipt_signer(issuing, receipt.paid_at, now)?)?;
        if receipt.bank != order.issuing_bank || receipt.payment != order.payment {
            return Err(Fault::new(Code::RequestMismatch, "the receipt is of another payment"));
        }
        if receipt.amount.currency != order.amount.currency {
            return Err(Fault::new(
                Code::WrongCurrency,
                "the refund is in another currency than the payment",
            ));
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
        _view: &MemberView,
        _now: Timestamp,
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
