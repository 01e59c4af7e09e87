//! Cheques among the items: paid or returned by the drawee first, settled between the banks afterwards.

use feiqian_cheque::messages::{ChequeItem, ChequeOutcome, Document};
use feiqian_cheque::progress::Phase;
use feiqian_cheque::{
    BlockType, Bundle, ChequeError, ReturnCode, Signer, Trust, VerifiedCheque, examine, verify,
};
use feiqian_clearing::presentment::{ItemKind, Presentment};
use feiqian_crypto::Digest;
use feiqian_pki::Role;
use feiqian_wire::error::{Code, Fault};

use crate::items::{Bench, Checked, Item, Stated, Verdict, unsound};
use crate::settlement::{self, Owed};

/// Reads and verifies a file at the bench's time, by its revocation lists.
pub(crate) fn read(file: &[u8], bench: &Bench<'_>) -> Result<VerifiedCheque, ChequeError> {
    let trust = Trust::new(bench.view.root(), bench.view.lists().all(), bench.now);
    verify(Bundle::from_bytes(file)?, &trust)
}

/// Writes the center's `return` block under a cheque that is good.
fn give_back(cheque: VerifiedCheque, code: ReturnCode, bench: &Bench<'_>) -> Result<Document, Fault> {
    let keys = bench.keys;
    let signer = Signer::new(&keys.signer, &keys.signer_chain, bench.view.root(), bench.now)?;
    let bundle = cheque.give_back(code, &signer, bench.now)?;
    Ok(Document::new(bundle.to_bytes()?)?)
}

/// The file that an outcome carries must be the presented one with one more block, in which the drawee says so. Only
/// that block is judged: the others were when the cheque was taken in, and what was revoked since undoes nothing.
fn check_answer(
    presented: &Document,
    answered: &Document,
    issuing: &str,
    (kind, says): (BlockType, &str),
    bench: &Bench<'_>,
) -> Result<(), Fault> {
    let before = Bundle::from_bytes(presented).map_err(ChequeError::from)?;
    let after = Bundle::from_bytes(answered).map_err(|error| unsound(error.to_string()))?;
    if !after.blocks.split_last().is_some_and(|(_, rest)| *rest == *before.blocks) {
        return Err(unsound("the file is not the presented cheque's"));
    }
    let trust = Trust::new(bench.view.root(), bench.view.lists().all(), bench.now);
    let seen = examine(after, &trust).map_err(|error| unsound(error.to_string()))?;
    let last = seen.signatures().last().ok_or_else(|| unsound("the file is empty"))?;
    if let Some(fault) = &last.fault {
        return Err(unsound(fault.to_string()));
    }
    let by_drawee = last.signer.as_ref().is_some_and(|it| it.role() == Role::Bank && it.name() == issuing);
    if !by_drawee {
        return Err(unsound("the last word in the file is not the drawee's"));
    }
    if last.kind != kind || last.says != Some(says) {
        return Err(unsound("the file says something else than the answer"));
    }
    Ok(())
}

impl Item for ChequeItem {
    type Outcome = ChequeOutcome;

    const KIND: ItemKind = ItemKind::Cheque;
    const FORWARD: &'static str = "/v1/pay/cheque";
    const DEFERRED: bool = true;

    fn digest(&self) -> Result<Digest, Fault> {
        Ok(ChequeItem::digest(self)?)
    }

    fn stated(&self, bench: &Bench<'_>) -> Result<Stated, Fault> {
        // Without lists: whose certificates hold is not asked here.
        let trust = Trust::new(bench.view.root(), &[], bench.now);
        let seen = examine(Bundle::from_bytes(&self.cheque).map_err(ChequeError::from)?, &trust)?;
        let slip = seen.deposit_slip();
        let route = slip.map(|it| (it.bank.as_str().to_owned(), it.account.as_str().to_owned()));
        Ok(Stated { amount: seen.cheque().amount, route })
    }

    async fn check(presentment: &Presentment<Self>, bench: &Bench<'_>) -> Checked<ChequeOutcome> {
        let file = &presentment.item.cheque;
        let cheque = match read(file, bench) {
            Ok(cheque) => cheque,
            Err(error) if error.lacks_list() => {
                let hint = "present it again when the authority's list has been fetched";
                return Checked::Later(Fault::new(Code::Unavailable, error.to_string()).hint(hint));
            }
            // A block under a file that does not hold would not hold either.
            Err(error @ ChequeError::Rejected(_)) => {
                return Checked::Refused(ChequeOutcome::Returned(error.return_code(), file.clone()));
            }
            Err(error) => return Checked::Refused(ChequeOutcome::Refused(error.into())),
        };
        if cheque.phase() != Phase::Deposited {
            let fault = Fault::new(Code::RequestInvalid, "the file does not end in its deposit");
            return Checked::Refused(ChequeOutcome::Refused(fault));
        }
        let bank = cheque.cheque().bank.as_str().to_owned();
        let member = bench.view.member(&bank).ok().map(|member| member.entry.currency);
        let code = match cheque.deposit_slip() {
            Some(slip) if slip.presentment != presentment.id => ReturnCode::Altered,
            _ if member != Some(presentment.amount.currency) => ReturnCode::WrongBank,
            _ => return Checked::Good(bank),
        };
        match give_back(cheque, code, bench) {
            Ok(file) => Checked::Refused(ChequeOutcome::Returned(code, file)),
            Err(fault) => Checked::Later(fault),
        }
    }

    fn owed(presentment: &Presentment<Self>, issuing: &str) -> Owed {
        Owed {
            debtor: issuing.to_owned(),
            creditor: presentment.collecting_bank.as_str().to_owned(),
            amount: presentment.amount,
            code: settlement::CHEQUE,
        }
    }

    fn judge(
        presentment: &Presentment<Self>,
        issuing: &str,
        outcome: &ChequeOutcome,
        bench: &Bench<'_>,
    ) -> Result<Verdict, Fault> {
        let presented = &presentment.item.cheque;
        match outcome {
            ChequeOutcome::Paid(file) => {
                check_answer(presented, file, issuing, (BlockType::Receipt, "paid"), bench)?;
            }
            // The drawee may find the file itself broken, or full; then it stays as it is.
            ChequeOutcome::Returned(code, file) if file != presented => {
                check_answer(presented, file, issuing, (BlockType::Return, code.as_str()), bench)?;
            }
            _ => {}
        }
        Ok(Self::verdict(presentment, outcome))
    }

    fn verdict(_presentment: &Presentment<Self>, outcome: &ChequeOutcome) -> Verdict {
        match outcome {
            ChequeOutcome::Paid(_) => Verdict::Settle,
            ChequeOutcome::Returned(..) | ChequeOutcome::Refused(_) => Verdict::Release,
        }
    }

    fn refused(fault: Fault) -> ChequeOutcome {
        ChequeOutcome::Refused(fault)
    }

    fn failed(
        presentment: &Presentment<Self>,
        outcome: Option<&ChequeOutcome>,
        bench: &Bench<'_>,
    ) -> Result<ChequeOutcome, Fault> {
        let file = match outcome {
            Some(ChequeOutcome::Paid(file)) => file,
            _ => &presentment.item.cheque,
        };
        let code = ReturnCode::SettlementFailed;
        // Settlement must not hang on a certificate that has ended since: then the code alone says it.
        let signed = read(file, bench).map_err(Fault::from).and_then(|it| give_back(it, code, bench));
        Ok(ChequeOutcome::Returned(code, signed.unwrap_or_else(|_| file.clone())))
    }
}
