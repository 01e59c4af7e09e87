//! What the center answered about a presented cheque, checked before anything is credited.

use feiqian_cheque::messages::{ChequeItem, ChequeOutcome, Document};
use feiqian_cheque::{BlockType, Bundle, examine};
use feiqian_clearing::presentment::Presentment;
use feiqian_wire::error::{Code, Fault};

use super::{fault, is_unjudged, read};
use crate::Bank;

fn wrong(what: &str) -> Fault {
    Fault::new(Code::SignatureInvalid, format!("the center's answer does not hold: {what}"))
}

/// The answered file is the presented one and one block more.
fn extends(answered: &Bundle, presented: &Bundle) -> bool {
    answered.blocks.len() == presented.blocks.len().saturating_add(1)
        && answered.blocks.iter().zip(presented.blocks.iter()).all(|(left, right)| left == right)
}

impl Bank {
    /// The last block decides, not the word that came with it: who may sign a receipt is the drawee alone.
    pub(crate) fn check_cheque_outcome(
        &self,
        presentment: &Presentment<ChequeItem>,
        outcome: &ChequeOutcome,
    ) -> Result<(), Fault> {
        let (kind, says, file): (_, _, &Document) = match outcome {
            ChequeOutcome::Paid(file) => (BlockType::Receipt, "paid", file),
            ChequeOutcome::Returned(code, file) => (BlockType::Return, code.as_str(), file),
            ChequeOutcome::Refused(_) => return Ok(()),
        };
        let bundle = read(file)?;
        if !extends(&bundle, &read(&presentment.item.cheque)?) {
            return Err(wrong("it is of another file"));
        }
        let examined = self.judge(|trust| examine(bundle, trust)).map_err(fault)?;
        let last = examined.signatures().last().ok_or_else(|| wrong("it is empty"))?;
        if let Some(broken) = &last.fault {
            let broken = broken.clone().into();
            return Err(if is_unjudged(&broken) { fault(broken) } else { wrong(&broken.to_string()) });
        }
        if last.kind != kind || last.says != Some(says) {
            return Err(wrong("its last block says something else"));
        }
        Ok(())
    }
}
