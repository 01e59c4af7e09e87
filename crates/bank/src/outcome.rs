//! What became of a payment: anybody who can name it may ask.

use std::sync::Arc;

use feiqian_ledger::store::{StoreExt, Tx};
use feiqian_node::Peer;
use feiqian_online_cash::Rejection;
use feiqian_online_cash::deposit::{ExpiredStatement, OutcomeRequest, OutcomeResponse};
use feiqian_wire::error::Fault;

use crate::Bank;
use crate::payments::{PaymentRow, release_until, released_until};
use crate::refusal::Refusal;
use crate::tables::RELEASED;

fn response_of(row: PaymentRow) -> OutcomeResponse {
    OutcomeResponse::Paid { receipt: row.receipt, refunded: row.refunded, claimed: row.claimed }
}

impl Bank {
    /// `POST /v1/outcome`: an expired payment that was not redeemed is refused from then on, and the answer is final.
    pub(crate) async fn outcome(
        self: Arc<Self>,
        _peer: Peer,
        request: OutcomeRequest,
    ) -> Result<OutcomeResponse, Fault> {
        if request.bank != self.config.name {
            return Err(Rejection::WrongBank(format!("this is {}", self.config.name)).into());
        }
        let ring = self.ring.load_full();
        if request.shares.is_empty() {
            return Err(Rejection::ContributionInvalid.into());
        }
        let mut newest = 0;
        for share in request.shares.iter() {
            newest = newest.max(ring.key(&share.coin.denomination)?.verified.epoch);
        }
        // What became of it may be forgotten: it must not be called expired.
        self.check_not_ended([newest])?;
        let (payment, now, expires) = (request.payment(), self.now(), request.expires);
        let (known, released) = self
            .seams
            .store
            .read(move |tx: &mut dyn Tx| {
                let released =
                    released_until(tx)? >= expires || tx.find(&RELEASED, &[payment.into()])?.is_some();
                Ok::<_, Refusal>((PaymentRow::find(tx, &payment)?, released))
            })
            .await?;
        if let Some(row) = known {
            return Ok(response_of(row));
        }
        if !released {
            if now < expires {
                return Ok(OutcomeResponse::Open);
            }
            // One mark for all: whoever makes payments up adds no rows.
            let late = self
                .seams
                .store
                .commit("bank.outcome.release", move |tx: &mut dyn Tx| {
                    let known = PaymentRow::find(tx, &payment)?;
                    if known.is_none() {
                        release_until(tx, now)?;
                    }
                    Ok::<_, Refusal>(known)
                })
                .await?;
            if let Some(row) = late {
                return Ok(response_of(row));
            }
        }
        let statement = ExpiredStatement::sign(self.config.name.clone(), payment, expires, &self.signer)?;
        Ok(OutcomeResponse::Expired(statement))
    }
}
