//! What the center answered about a presented cheque, checked before anything is credited.

use feiqian_cheque::messages::{ChequeItem, ChequeOutcome, Document};
use feiqian_cheque::{BlockType, Bundle, ChequeError, examine};
use feiqian_clearing::presentment::Presentment;
use feiqian_wire::error::{Code, Fault};

use super::{fault, read};
use crate::Bank;

fn wrong(what: &str) -> Fault {
    Fault::new(Code::SignatureInvalid, format!("the center's answer does not hold: {what}"))
}

/// Whether the answered file begins with the presented one.
fn continues(answered: &Bundle, presented: &Bundle) -> bool {
    answered.blocks.len() >= presented.blocks.len()
        && answered.blocks.iter().zip(presented.blocks.iter()).all(|(left, right)| left == right)
}

impl Bank {
    /// That it was paid, the last block decides, not the word that came with it: who may sign a receipt is the drawee
    /// alone. That it was not needs no signature, since nothing is credited for it: the file may have come back as it
    /// went, or with a receipt that was undone. It must be the presented one, and its last `return` must not say
    /// something else.
    pub(crate) fn check_cheque_outcome(
        &self,
        presentment: &Presentment<ChequeItem>,
        outcome: &ChequeOutcome,
    ) -> Result<(), Fault> {
        let (paid, says, file): (_, _, &Document) = match outcome {
            ChequeOutcome::Paid(file) => (true, "paid", file),
            ChequeOutcome::Returned(code, file) => (false, code.as_str(), file),
            ChequeOutcome::Refused(_) => return Ok(()),
        };
        let presented = &presentment.item.cheque;
        if !paid && file == presented {
            return Ok(());
        }
        let (bundle, before) = (read(file)?, read(presented)?);
        let more = bundle.blocks.len().saturating_sub(before.blocks.len());
        if !continues(&bundle, &before) || (paid && more != 1) {
            return Err(wrong("it is of another file"));
        }
        let examined = self.judge(|trust| examine(bundle, trust)).map_err(fault)?;
        let last = examined.signatures().last().ok_or_else(|| wrong("it is empty"))?;
        if !paid {
            let other = more > 0 && last.kind == BlockType::Return && last.says != Some(says);
            return if other { Err(wrong("its last block says something else")) } else { Ok(()) };
        }
        if let Some(broken) = &last.fault {
            let broken = ChequeError::from(broken.clone());
            return Err(if broken.lacks_list() { fault(broken) } else { wrong(&broken.to_string()) });
        }
        if last.kind != BlockType::Receipt || last.says != Some(says) {
            return Err(wrong("its last block says something else"));
        }
        Ok(())
    }
}
