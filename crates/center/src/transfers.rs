//! Credit transfers among the items. The sending bank presents, and owes: its cover is reserved before the transfer is
//! forwarded, so that the receiver has the money for good as soon as it is booked.

use feiqian_clearing::presentment::{ItemKind, Presentment};
use feiqian_clearing::remittance::{TransferItem, TransferOutcome, TransferReturn};
use feiqian_crypto::Digest;
use feiqian_online_cash::signed::WireChain;
use feiqian_pki::{Purpose, Revocation, Role, Verified, validate};
use feiqian_wire::error::{Code, Fault};

use crate::failure::certificate;
use crate::items::{Bench, Checked, Item, Stated, Verdict};
use crate::settlement::{self, Owed};

/// By how many seconds clocks of different nodes may differ.
const CLOCK_SKEW_SECONDS: u64 = 300;

/// The certificate of the account's holder, judged at the time at which the sending bank vouches for the order.
fn payer(item: &TransferItem, bench: &Bench<'_>) -> Result<Verified, Fault> {
    let terms = &item.order.terms;
    if item.at > bench.now.saturating_add(CLOCK_SKEW_SECONDS) {
        return Err(Fault::new(Code::CertificateInvalid, "the item is dated in the future"));
    }
    let chain = WireChain(item.payer.clone()).to_chain()?;
    let at = item.at.seconds();
    let verified = validate(&chain, bench.view.root(), Purpose::Signing, Revocation::Unchecked, at)
        .map_err(certificate)?;
    let holder = matches!(verified.subject.role(), Role::Customer | Role::Merchant)
        && verified.subject.bank_name() == Some(terms.bank.as_str())
        && verified.subject.name() == terms.account.as_str();
    if !holder {
        return Err(Fault::new(Code::CertificateInvalid, "the order is not signed by the account's holder"));
    }
    let authority = &bench.view.member(&terms.bank)?.authority;
    let list = bench.view.lists().of(&authority.public_key);
    let list = list.filter(|list| list.verify(&authority.public_key, bench.now.seconds()).is_ok());
    let list = list.ok_or_else(|| {
        Fault::new(Code::Unavailable, "no current revocation list of the sending bank is at hand")
    })?;
    if list.find(&verified.serial).is_some_and(|entry| entry.at <= at) {
        return Err(Fault::new(Code::CertificateInvalid, "the account holder's certificate is revoked"));
    }
    Ok(verified)
}

impl Item for TransferItem {
    type Outcome = TransferOutcome;

    const KIND: ItemKind = ItemKind::Transfer;
    const FORWARD: &'static str = "/v1/pay/transfer";
    const DEFERRED: bool = false;

    fn digest(&self) -> Result<Digest, Fault> {
        Ok(self.order.terms.digest())
    }

    fn stated(&self, _bench: &Bench<'_>) -> Result<Stated, Fault> {
        let terms = &self.order.terms;
        let route = (terms.bank.as_str().to_owned(), terms.account.as_str().to_owned());
        Ok(Stated { amount: terms.amount, route: Some(route) })
    }

    async fn check(presentment: &Presentment<Self>, bench: &Bench<'_>) -> Checked<TransferOutcome> {
        let item = &presentment.item;
        let terms = &item.order.terms;
        let returned = |code| Checked::Refused(TransferOutcome::Returned(code));
        let holder = match payer(item, bench) {
            Ok(holder) => holder,
            Err(fault) if fault.is_definitive() => return returned(TransferReturn::CertInvalid),
            Err(fault) => return Checked::Later(fault),
        };
        let bank = match bench.view.signer(&terms.bank, bench.now) {
            Ok(bank) => bank,
            Err(fault) => return Checked::Later(fault),
        };
        if item.verify(&holder.public_key, &bank).is_err() {
            return returned(TransferReturn::SignatureInvalid);
        }
        match bench.view.member(&terms.to_bank) {
            Ok(member) if member.entry.currency == terms.amount.currency => {
                Checked::Good(terms.to_bank.as_str().to_owned())
            }
            _ => returned(TransferReturn::WrongBank),
        }
    }

    fn owed(presentment: &Presentment<Self>, issuing: &str) -> Owed {
        Owed {
            debtor: presentment.collecting_bank.as_str().to_owned(),
            creditor: issuing.to_owned(),
            amount: presentment.amount,
            code: settlement::TRANSFER,
        }
    }

    fn judge(
        presentment: &Presentment<Self>,
        _issuing: &str,
        outcome: &TransferOutcome,
        _bench: &Bench<'_>,
    ) -> Result<Verdict, Fault> {
        Ok(Self::verdict(presentment, outcome))
    }

    fn verdict(_presentment: &Presentment<Self>, outcome: &TransferOutcome) -> Verdict {
        match outcome {
            TransferOutcome::Booked => Verdict::Settle,
            TransferOutcome::Returned(_) => Verdict::Release,
        }
    }

    fn refused(fault: Fault) -> TransferOutcome {
        TransferOutcome::Returned(match fault.code {
            Code::WrongBank | Code::WrongCurrency => TransferReturn::WrongBank,
            Code::SignatureInvalid => TransferReturn::SignatureInvalid,
            _ => TransferReturn::Technical,
        })
    }

    fn failed(
        _: &Presentment<Self>,
        _: Option<&TransferOutcome>,
        _: &Bench<'_>,
    ) -> Result<TransferOutcome, Fault> {
        Ok(TransferOutcome::Returned(TransferReturn::SettlementFailed))
    }
}
