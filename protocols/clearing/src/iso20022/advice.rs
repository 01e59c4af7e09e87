//! Advices of single bookings: `camt.054`.

use feiqian_money::Currency;
use feiqian_wire::Timestamp;

use super::statement::{account, summary};
use super::value::date_time;
use super::xml::Node;
use super::{CAMT_054, Entry, ExportError, Party, Reference};

/// Bookings a holder is told of when they happen: credited, debited, returned; booked or pending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// Name of the message and of the notification in it.
    pub id: Reference,
    /// When it was made.
    pub created: Timestamp,
    /// Holder, account and the bank that keeps it.
    pub holder: Party,
    /// The account's currency.
    pub currency: Currency,
    /// The bookings, at least one.
    pub entries: Vec<Entry>,
}

impl Advice {
    /// The advice as a `camt.054` document.
    ///
    /// # Errors
    /// [`ExportError`]: no entry, one of another currency, or a number or time that does not fit.
    pub fn to_xml(&self) -> Result<String, ExportError> {
        if self.entries.is_empty() {
            return Err(ExportError::Empty);
        }
        let created = date_time(self.created)?;
        let header = Node::new("GrpHdr").text("MsgId", &self.id).text("CreDtTm", created.as_str());
        let entries: Vec<Node> =
            self.entries.iter().map(|entry| entry.node(&self.holder)).collect::<Result<_, _>>()?;
        let notification = Node::new("Ntfctn")
            .text("Id", &self.id)
            .text("CreDtTm", created)
            .node(account(&self.holder, self.currency))
            .node(summary(&self.entries, self.currency)?)
            .nodes(entries);
        Ok(Node::new("BkToCstmrDbtCdtNtfctn").node(header).node(notification).into_document(CAMT_054))
    }
}
