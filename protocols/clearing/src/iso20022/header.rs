//! The group header of messages from one bank to another through the center: `pacs.008` and `pacs.004`.

use feiqian_money::{Amount, Currency};
use feiqian_wire::{Name, Timestamp};

use super::identity::agent;
use super::value::{date_time, decimal, total};
use super::xml::Node;
use super::{CLEARING_SYSTEM, CalendarDay, ExportError, Reference};

/// Who sends what to whom, and when it is settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterbankHeader {
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
    /// The currency of every item.
    pub currency: Currency,
}

impl InterbankHeader {
    /// `GrpHdr` over items of these amounts.
    ///
    /// # Errors
    /// [`ExportError`]: no item, one in another currency, or a number or time that does not fit.
    pub(super) fn node(&self, amounts: &[Amount]) -> Result<Node, ExportError> {
        if amounts.is_empty() {
            return Err(ExportError::Empty);
        }
        let sum = total(amounts.iter().copied(), self.currency)?;
        // Through our clearing system.
        let system = Node::new("ClrSys").text("Prtry", CLEARING_SYSTEM);
        Ok(Node::new("GrpHdr")
            .text("MsgId", &self.id)
            .text("CreDtTm", date_time(self.created)?)
            .text("NbOfTxs", amounts.len().to_string())
            .text("CtrlSum", decimal(sum, self.currency)?)
            .text("IntrBkSttlmDt", self.settlement.to_string())
            .node(Node::new("SttlmInf").text("SttlmMtd", "CLRG").node(system))
            .node(agent("InstgAgt", &self.from))
            .node(agent("InstdAgt", &self.to)))
    }
}
