//! Remittances between banks: `pacs.008`.

use feiqian_crypto::Digest;
use feiqian_money::{Amount, Currency};
use feiqian_wire::{Name, Timestamp};

use super::identity::agent;
use super::value::{date_time, decimal, total};
use super::xml::Node;
use super::{CLEARING_SYSTEM, CalendarDay, ExportError, PACS_008, Party, Reference, uetr};

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
    /// Name of the message.
    pub id: Reference,
    /// When it was made.
    pub created: Timestamp,
    /// The day on which the banks settle.
    pub settlement: CalendarDay,
    /// The sending bank.
    pub from: Name,
    /// The receiving bank.
    pub to: Name,
    /// Their currency.
    pub currency: Currency,
    /// The orders, at least one.
    pub transfers: Vec<Remittance>,
}

impl Remittances {
    /// The remittances as a `pacs.008` document.
    ///
    /// # Errors
    /// [`ExportError`]: none, another currency, or a number or time that does not fit.
    pub fn to_xml(&self) -> Result<String, ExportError> {
        if self.transfers.is_empty() {
            return Err(ExportError::Empty);
        }
        let sum = total(self.transfers.iter().map(|transfer| transfer.amount), self.currency)?;
        let header = Node::new("GrpHdr")
            .text("MsgId", &self.id)
            .text("CreDtTm", date_time(self.created)?)
            .text("NbOfTxs", self.transfers.len().to_string())
            .text("CtrlSum", decimal(sum, self.currency)?)
            .text("IntrBkSttlmDt", self.settlement.to_string())
            .node(settlement())
            .node(agent("InstgAgt", &self.from))
            .node(agent("InstdAgt", &self.to));
        let transfers: Vec<Node> = self.transfers.iter().map(Remittance::node).collect::<Result<_, _>>()?;
        Ok(Node::new("FIToFICstmrCdtTrf").node(header).nodes(transfers).into_document(PACS_008))
    }
}

/// `SttlmInf`: through our clearing system.
pub(super) fn settlement() -> Node {
    let system = Node::new("ClrSys").text("Prtry", CLEARING_SYSTEM);
    Node::new("SttlmInf").text("SttlmMtd", "CLRG").node(system)
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
