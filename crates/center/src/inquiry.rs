//! What anybody may ask: what became of a payment, whether evidence holds.

use feiqian_crypto::Digest;
use feiqian_money::Amount;
use feiqian_node::{CallError, Caller, call};
use feiqian_online_cash::coin::CoinId;
use feiqian_online_cash::deposit::{OutcomeRequest, OutcomeResponse};
use feiqian_online_cash::evidence::{Evidence, MAX_STATEMENTS};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, Name};
use serde::{Deserialize, Serialize};

use crate::service::Center;

/// What checked evidence shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceFinding {
    /// The issuing bank.
    pub bank: Name,
    /// The coin.
    pub coin: CoinId,
    /// Its value.
    pub value: Amount,
    /// What its owner signed away.
    pub signed: Amount,
    /// The digests of the statements.
    pub statements: Bounded<Digest, MAX_STATEMENTS>,
}

impl Center {
    /// Passes the question on to the issuing bank, anonymously, and its answer back: both are self-contained.
    pub(crate) async fn outcome(&self, request: OutcomeRequest) -> Result<OutcomeResponse, Fault> {
        let bank = self.members.snapshot().target(&request.bank)?;
        let network = &*self.seams.network;
        call(network, &bank, Caller::Anonymous, "/v1/outcome", &request).await.map_err(|error| match error {
            CallError::Fault(fault) => fault,
            unreachable => {
                Fault::new(Code::Unavailable, format!("bank {} does not answer: {unreachable}", request.bank))
                    .hint("ask again later")
            }
        })
    }

    /// Checks evidence of a double spend against the root.
    pub(crate) fn verify(&self, evidence: &Evidence) -> Result<EvidenceFinding, Fault> {
        let finding = evidence.verify(&self.keys.root)?;
        Ok(EvidenceFinding {
            bank: Name::new(finding.bank)?,
            coin: finding.coin,
            value: finding.value,
            signed: finding.signed,
            statements: Bounded::new(finding.statements)?,
        })
    }
}
