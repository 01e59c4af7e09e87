//! Parts among the items: a bank that owes for a holding or claim presents what it pays later, and owes it.

use feiqian_clearing::presentment::{ItemKind, Presentment};
use feiqian_crypto::Digest;
use feiqian_offline_cash::messages::{PartItem, PartOutcome};
use feiqian_wire::error::{Code, Fault};

use crate::items::{Bench, Checked, Item, Stated, Verdict};
use crate::settlement::{self, Owed};

impl Item for PartItem {
    type Outcome = PartOutcome;

    const KIND: ItemKind = ItemKind::Part;
    const FORWARD: &'static str = "/v1/pay/part";
    const DEFERRED: bool = false;

    fn digest(&self) -> Result<Digest, Fault> {
        Ok(Self::digest(self))
    }

    fn stated(&self, _bench: &Bench<'_>) -> Result<Stated, Fault> {
        let route = (self.from.as_str().to_owned(), self.account.as_str().to_owned());
        Ok(Stated { amount: self.amount, route: Some(route) })
    }

    async fn check(presentment: &Presentment<Self>, bench: &Bench<'_>) -> Checked<PartOutcome> {
        let item = &presentment.item;
        let to = bench.view.member(&item.to).and_then(|member| {
            if member.entry.currency == item.amount.currency {
                Ok(item.to.as_str().to_owned())
            } else {
                Err(Fault::new(Code::WrongCurrency, format!("bank {} keeps another currency", item.to)))
            }
        });
        Checked::of(to, Self::refused)
    }

    fn owed(presentment: &Presentment<Self>, issuing: &str) -> Owed {
        Owed {
            debtor: presentment.collecting_bank.as_str().to_owned(),
            creditor: issuing.to_owned(),
            amount: presentment.amount,
            code: settlement::PART,
        }
    }

    fn judge(
        presentment: &Presentment<Self>,
        _issuing: &str,
        outcome: &PartOutcome,
        _bench: &Bench<'_>,
    ) -> Result<Verdict, Fault> {
        Ok(Self::verdict(presentment, outcome))
    }

    fn verdict(_presentment: &Presentment<Self>, outcome: &PartOutcome) -> Verdict {
        match outcome {
            PartOutcome::Booked => Verdict::Settle,
            PartOutcome::Refused(_) => Verdict::Release,
        }
    }

    fn refused(fault: Fault) -> PartOutcome {
        PartOutcome::Refused(fault)
    }

    fn failed(_: &Presentment<Self>, _: Option<&PartOutcome>, _: &Bench<'_>) -> Result<PartOutcome, Fault> {
        Ok(PartOutcome::Refused(Fault::new(Code::SettlementFailed, "the banks could not settle it")))
    }
}
