//! Cheques among the presentments: each paid once, each answer a continuation of what was presented.

use feiqian_cheque::Bundle;
use feiqian_cheque::messages::{ChequeItem, ChequeOutcome, Document};
use feiqian_clearing::gross::State;
use feiqian_crypto::Digest;

use super::Audit;
use crate::failure::Failure;
use crate::stored::Stored;

fn read(file: &Document) -> Option<(Digest, Bundle)> {
    let bundle = Bundle::from_bytes(file).ok()?;
    Some((bundle.id().ok()?, bundle))
}

impl Audit {
    pub(super) fn cheque(&mut self, place: &str, stored: &Stored) -> Result<(), Failure> {
        let presentment = stored.presentment::<ChequeItem>()?;
        // What cannot be read was refused; a file that was paid can be.
        let presented = read(&presentment.item.cheque);
        let outcome = stored.outcome::<ChequeItem>()?;
        if let Some(ChequeOutcome::Paid(file) | ChequeOutcome::Returned(_, file)) = &outcome {
            let continues = match (&presented, read(file)) {
                (Some((_, before)), Some((_, after))) => after.blocks.starts_with(&before.blocks),
                _ => *file == presentment.item.cheque,
            };
            if !continues {
                self.add(8, place, "the file that came back is not the presented one with blocks behind it");
            }
        }
        if stored.state != State::Settled {
            return Ok(());
        }
        let Some((cheque, _)) = presented else {
            self.add(4, place, "it is paid, and its file is none");
            return Ok(());
        };
        if let Some(other) = self.paid_cheques.insert(cheque, stored.id) {
            self.add(4, place, format!("cheque {cheque} is paid to presentment {other}, too"));
        }
        Ok(())
    }
}
