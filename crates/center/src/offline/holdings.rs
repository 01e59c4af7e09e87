//! Payments with offline coins among the items. The issuing bank always takes them; what it pays now is settled, what
//! stays unpaid follows as parts.

use feiqian_clearing::presentment::{ItemKind, Presentment};
use feiqian_crypto::Digest;
use feiqian_money::Minor;
use feiqian_node::Deposited;
use feiqian_offline_cash::deposit::{Outcome, Receipt};
use feiqian_offline_cash::pay::{CashItem, Checker};
use feiqian_wire::error::{Code, Fault};

use crate::items::{Bench, Checked, Item, Stated, Verdict, is_verdict, unsound};
use crate::settlement::{self, Owed};

impl Item for CashItem {
    type Outcome = Outcome;

    const KIND: ItemKind = ItemKind::Holding;
    const FORWARD: &'static str = "/v1/pay/holding";
    const DEFERRED: bool = false;

    fn digest(&self) -> Result<Digest, Fault> {
        Ok(Self::digest(self)?)
    }

    fn stated(&self, _bench: &Bench<'_>) -> Result<Stated, Fault> {
        let request = &self.request.request;
        let route = (request.bank.as_str().to_owned(), request.account.as_str().to_owned());
        Ok(Stated { amount: request.amount, route: Some(route) })
    }

    async fn check(presentment: &Presentment<Self>, bench: &Bench<'_>) -> Checked<Outcome> {
        let payees = Deposited(bench.view);
        let checker = Checker { keys: bench.view.offline_keys(), authorities: &payees, now: bench.now };
        let checked = checker.verify(&presentment.item, &mut bench.entropy.rng()).map_err(Fault::from);
        match checked {
            // The payee has given its goods away: a list that has ended must not cost it the money for ever.
            Err(fault) if fault.code == Code::CertificateInvalid => {
                Checked::Later(Fault::new(Code::Unavailable, fault.message.as_str()))
            }
            checked => Checked::of(checked.map(|payment| payment.bank.as_str().to_owned()), Self::refused),
        }
    }

    fn owed(presentment: &Presentment<Self>, issuing: &str) -> Owed {
        Owed {
            debtor: issuing.to_owned(),
            creditor: presentment.collecting_bank.as_str().to_owned(),
            amount: presentment.amount,
            code: settlement::HOLDING,
        }
    }

    fn judge(
        presentment: &Presentment<Self>,
        issuing: &str,
        outcome: &Outcome,
        bench: &Bench<'_>,
    ) -> Result<Verdict, Fault> {
        match outcome {
            Outcome::Settled(receipt) | Outcome::Before(receipt) => {
                check_receipt(presentment, issuing, receipt, bench)?;
                let ours = receipt.terms.presentment == presentment.id;
                if matches!(outcome, Outcome::Settled(_)) != ours {
                    return Err(unsound("a receipt of another presentment"));
                }
            }
            Outcome::Refused(fault) if !Self::ends(fault.code) => {
                return Err(unsound(format!("no reason to refuse a payment: {fault}")));
            }
            Outcome::Refused(_) => {}
        }
        Ok(Self::verdict(presentment, outcome))
    }

    fn verdict(presentment: &Presentment<Self>, outcome: &Outcome) -> Verdict {
        match outcome {
            Outcome::Settled(receipt) if receipt.terms.presentment == presentment.id => {
                Verdict::paying(receipt.terms.paid().unwrap_or(Minor::ZERO), presentment.amount.minor)
            }
            _ => Verdict::Release,
        }
    }

    /// A bank that does not know a key of another's yet, or a payee's certificate, is asked again: the center has found
    /// both good.
    fn ends(code: Code) -> bool {
        let taken = matches!(code, Code::LimitExceeded | Code::PieceRepeated | Code::PieceInvalid);
        taken || (is_verdict(code) && code != Code::DenominationUnknown)
    }

    fn refused(fault: Fault) -> Outcome {
        Outcome::Refused(fault)
    }

    fn failed(_: &Presentment<Self>, _: Option<&Outcome>, _: &Bench<'_>) -> Result<Outcome, Fault> {
        Ok(Outcome::Refused(Fault::new(Code::SettlementFailed, "the banks could not settle it")))
    }
}

/// The receipt is the issuing bank's, of this payment, and says so of the account that the request names.
fn check_receipt(
    presentment: &Presentment<CashItem>,
    issuing: &str,
    receipt: &Receipt,
    bench: &Bench<'_>,
) -> Result<(), Fault> {
    let (terms, item) = (&receipt.terms, &presentment.item);
    let key = bench.view.receipt_signer(issuing, terms.at, bench.now)?;
    receipt.verify(&key).map_err(|error| unsound(error.to_string()))?;
    let same = terms.bank.as_str() == issuing
        && terms.payment == item.set(bench.view.offline_keys())?
        && terms.request == item.payment.request
        && terms.amount == presentment.amount
        && terms.collecting_bank == presentment.collecting_bank
        && terms.account == presentment.account;
    if same { Ok(()) } else { Err(unsound("a receipt of another payment")) }
}
