//! Cheques: the drawee's register, the collecting side, the boxes in between.
//!
//! ```text
//! book ─▶ issue ─▶ (certify, order, endorse) ─▶ pay ─▶ finality       the drawee bank
//! inbox ─▶ deposit ─▶ outbox ─▶ finality                              the collecting bank
//! ```
//!
//! A cheque's state changes in [`register::ChequeRow::apply`] alone, which is the protocol's table. Presenting and paying
//! are one transaction: `PRESENTED` is passed through and never rests in the store, so a stop order comes before or
//! after it, never between.

pub(crate) mod deposit;
pub(crate) mod finality;
pub(crate) mod inbox;
pub(crate) mod issue;
pub(crate) mod orders;
pub(crate) mod outcome;
pub(crate) mod pay;
pub(crate) mod register;
pub(crate) mod tables;

use std::sync::Arc;

use feiqian_cheque::messages::Document;
use feiqian_cheque::verify::verify;
use feiqian_cheque::{Bundle, ChequeError, Signer, Trust, VerifiedCheque};
use feiqian_wire::Timestamp;
use feiqian_wire::error::{Code, Fault};

use crate::Bank;

/// Reads a file.
pub(crate) fn read(document: &Document) -> Result<Bundle, Fault> {
    Bundle::from_bytes(document).map_err(|error| ChequeError::from(error).into())
}

/// Writes a file.
pub(crate) fn write(bundle: &Bundle) -> Result<Document, Fault> {
    Ok(Document::new(bundle.to_bytes().map_err(Fault::from)?)?)
}

/// A refused document as a fault; one that could not be judged may be sent again.
pub(crate) fn fault(error: ChequeError) -> Fault {
    if error.lacks_list() {
        Fault::new(Code::Unavailable, error.to_string())
            .hint("a current revocation list is missing; try again")
    } else {
        error.into()
    }
}

impl Bank {
    /// Judges with the revocation lists in force, now.
    pub(crate) fn judge<R>(&self, work: impl FnOnce(&Trust<'_>) -> R) -> R {
        let lists = self.lists();
        work(&Trust::new(&self.root, &lists, self.now()))
    }

    /// Reads and judges a file; when a revocation list is missing, once more with the center's news.
    pub(crate) async fn verified(self: &Arc<Self>, file: &Document) -> Result<VerifiedCheque, Fault> {
        Ok(self.judged(file).await??)
    }

    /// The same, with a verdict that will not pass apart from what keeps the bank from giving one.
    pub(crate) async fn judged(
        self: &Arc<Self>,
        file: &Document,
    ) -> Result<Result<VerifiedCheque, ChequeError>, Fault> {
        let judged = |bundle| self.judge(|trust| verify(bundle, trust));
        let mut verdict = judged(read(file)?);
        if verdict.as_ref().is_err_and(ChequeError::lacks_list) {
            self.ask_news().await?;
            verdict = judged(read(file)?);
        }
        match verdict {
            Err(error) if error.lacks_list() => Err(fault(error)),
            verdict => Ok(verdict),
        }
    }

    /// The bank as the signer of blocks.
    pub(crate) fn cheque_signer(&self, now: Timestamp) -> Result<Signer<'_>, Fault> {
        Ok(Signer::new(&self.signer, &self.signer_chain.to_chain()?, &self.root, now)?)
    }
}
