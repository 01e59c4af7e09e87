//! The center's word that the leg between the banks is final, or has failed.

use std::sync::Arc;

use feiqian_cheque::messages::{ChequeOutcome, Document};
use feiqian_cheque::{Event, Outcome, ReturnCode, verify};
use feiqian_clearing::finality::{Finality, SettledRequest};
use feiqian_clearing::presentment::ItemKind;
use feiqian_ledger::book;
use feiqian_ledger::store::{StoreExt, Tx};
use feiqian_node::Peer;
use feiqian_wire::Timestamp;
use feiqian_wire::error::{Code, Fault};

use super::pay::{AnsweredRow, Stand};
use super::register::{ChequeRow, facts};
use super::tables::CHEQUE_PRESENTMENT;
use super::{fault, read, write};
use crate::Bank;
use crate::chart::{Post, id, resolve};
use crate::outbox::{PresentmentRow, State};
use crate::refusal::{Refusal, to_blob};
use crate::tables::PRESENTMENT;

impl Bank {
    /// `POST /v1/settled`: the caller is the center. The same message again changes nothing.
    ///
    /// An item whose payment this bank has not heard of yet is not skipped: what comes in is booked, and the center is
    /// asked to come back.
    pub(crate) async fn settled(self: Arc<Self>, _peer: Peer, request: SettledRequest) -> Result<(), Fault> {
        let (bank, now) = (Arc::clone(&self), self.now());
        let work = move |tx: &mut dyn Tx| {
            let mut missing = 0_usize;
            // What comes in first: netted, it may pay for what goes out, and the mirror must never fall below zero.
            for item in request.items.iter() {
                missing = missing.saturating_add(usize::from(!bank.settle_collected(tx, item, now)?));
            }
            if missing == 0 {
                request.items.iter().try_for_each(|item| bank.settle_drawn(tx, item, now))?;
            }
            Ok::<_, Refusal>(missing)
        };
        match self.seams.store.commit("bank.cheque.settled", work).await? {
            0 => Ok(()),
            missing => {
                self.outbox.notify_one();
                Err(Fault::new(Code::Unavailable, format!("{missing} of the items have no outcome here yet"))
                    .hint("send the same again"))
            }
        }
    }

    fn settle_drawn(&self, tx: &mut dyn Tx, item: &Finality, now: Timestamp) -> Result<(), Refusal> {
        let Some(mut answered) = AnsweredRow::find(tx, &item.presentment)? else { return Ok(()) };
        match (answered.stand, item.settled) {
            (Stand::Paid, _) => {}
            (Stand::Settled, true) | (Stand::Unwound, false) => return Ok(()),
            _ => return Err(contradiction(item)),
        }
        let mut row = ChequeRow::by_id(tx, &answered.cheque)?
            .ok_or(feiqian_ledger::store::StoreError::Missing("cheque"))?;
        let reserved = row.entry.reserved;
        let (event, stand) =
            if item.settled { (Event::Settle, Stand::Settled) } else { (Event::Unwind, Stand::Unwound) };
        let mut facts = facts(now);
        facts.interbank_final = item.settled;
        let effect = row.apply(event, &facts)?;
        if !item.settled {
            row.paid = None;
        }
        row.book(tx, effect.ledger, reserved, &item.presentment, id(Post::Settlement), now)?;
        row.update(tx)?;
        answered.stand = stand;
        Ok(tx.update(&CHEQUE_PRESENTMENT, &answered.values()?)?)
    }

    /// Whether it was done, or is none of this bank's.
    fn settle_collected(&self, tx: &mut dyn Tx, item: &Finality, now: Timestamp) -> Result<bool, Refusal> {
        let Some(mut row) = PresentmentRow::find(tx, &item.presentment)? else { return Ok(true) };
        if row.kind != ItemKind::Cheque {
            // Covered by caps and credited at once.
            return Ok(true);
        }
        let transfers = match (row.state, item.settled) {
            (State::Pending, _) => return Ok(false),
            (State::Unsettled, true) => row.cheque_settlement(),
            (State::Unsettled, false) => resolve(&row.cheque_credit(), false),
            (State::Done, true) | (State::Refused, false) => return Ok(true),
            _ => return Err(contradiction(item)),
        };
        let _ = book::transfer(tx, &transfers, now.seconds())?;
        let outcome = self.final_outcome(row.cheque_outcome()?, item.settled, now);
        row.outcome = Some(to_blob(&outcome)?);
        row.state = if item.settled { State::Done } else { State::Refused };
        tx.update(&PRESENTMENT, &row.values()?)?;
        Ok(true)
    }

    /// The payee's file gets the last block: settled, or returned for want of settlement. Where none can be written
    /// (the file is full, a list or a certificate has ended) it stays as it is: the money moves all the same, and one
    /// file holds up no other.
    fn final_outcome(&self, outcome: ChequeOutcome, settled: bool, now: Timestamp) -> ChequeOutcome {
        let ChequeOutcome::Paid(file) = outcome else { return outcome };
        let last = self.last_block(&file, settled, now).unwrap_or_else(|fault| {
            tracing::info!(%fault, "a settled cheque keeps its file as it was");
            file
        });
        if settled {
            ChequeOutcome::Paid(last)
        } else {
            ChequeOutcome::Returned(ReturnCode::SettlementFailed, last)
        }
    }

    fn last_block(&self, file: &Document, settled: bool, now: Timestamp) -> Result<Document, Fault> {
        let signer = self.cheque_signer(now)?;
        let paid = self.judge(|trust| verify(read(file)?, trust).map_err(fault))?;
        let bundle = if settled {
            paid.receipt(Outcome::Settled, &signer, now)?
        } else {
            paid.give_back(ReturnCode::SettlementFailed, &signer, now)?
        };
        write(&bundle)
    }
}

fn contradiction(item: &Finality) -> Refusal {
    Fault::new(Code::Conflict, format!("{} was settled and unwound, or never paid", item.presentment)).into()
}
