//! Remittances between banks: `pacs.008`.

use feiqian_crypto::Digest;
use feiqian_money::Amount;
use feiqian_wire::Timestamp;

use super::header::InterbankHeader;
use super::identity::agent;
use super::value::date_time;
use super::xml::Node;
use super::{ExportError, PACS_008, Party, Reference, uetr};

/// One customer's order to pay an account at another bank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remittance {
    /// The order; the transaction's references are made of it.
    pub order: Digest,
    /// The reference the payer gave; without one the transaction's own stands here too.
    pub end_to_end: Option<Reference>,
    /// How much.
    pub amount: Amount,
    /// When the payer's bank took the order.
    pub accepted: Timestamp,
    /// Who pays.
    pub payer: Party,
    /// Who is paid.
    pub payee: Party,
    /// What the payer wrote; as many lines of 140 characters as it needs.
    pub memo: String,
}

/// Remittances of one currency that one bank sends to another through the center.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remittances {
    /// The sending and the receiving bank.
    pub header: InterbankHeader,
    /// The orders, at least one.
    pub transfers: Vec<Remittance>,
}

impl Remittances {
    /// The remittances as a `pacs.008` document.
    ///
    /// # Errors
    /// [`ExportError`]: none, another currency, or a number or time that does not fit.
    pub fn to_xml(&self) -> Result<String, ExportError> {
        let amounts: Vec<Amount> = self.transfers.iter().map(|transfer| transfer.amount).collect();
        let header = self.header.node(&amounts)?;
        let transfers: Vec<Node> = self.transfers.iter().map(Remittance::node).collect::<Result<_, _>>()?;
        Ok(Node::new("FIToFICstmrCdtTrf").node(header).nodes(transfers).into_document(PACS_008))
    }
}

impl Remittance {
    fn node(&self) -> Result<Node, ExportError> {
        let transaction = Reference::of(&self.order);
        let identification = Node::new("PmtId")
            .text("InstrId", &transaction)
            .text("EndToEndId", self.end_to_end.as_ref().unwrap_or(&transaction))
            .text("TxId", &transaction)
            .text("UETR", uetr(&self.order));
        let remittance = (!self.memo.is_empty()).then(|| Node::new("RmtInf").lines("Ustrd", &self.memo));
        Ok(Node::new("CdtTrfTxInf")
            .node(identification)
            .amount("IntrBkSttlmAmt", self.amount)?
            .text("AccptncDtTm", date_time(self.accepted)?)
            .amount("InstdAmt", self.amount)?
            // Every bank bears its own charges: nothing is taken from the amount on its way.
            .text("ChrgBr", "SLEV")
            .node(self.payer.named(Node::new("Dbtr")))
            .node(self.payer.account("DbtrAcct"))
            .node(agent("DbtrAgt", &self.payer.bank))
            .node(agent("CdtrAgt", &self.payee.bank))
            .node(self.payee.named(Node::new("Cdtr")))
            .node(self.payee.account("CdtrAcct"))
            .maybe(remittance))
    }
}
