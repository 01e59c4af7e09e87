//! Returned items: `pacs.004`.

use feiqian_crypto::Digest;
use feiqian_money::Amount;

use crate::remittance::TransferReturn;

use super::header::InterbankHeader;
use super::xml::Node;
use super::{CAMT_107, ExportError, PACS_004, PACS_008, Reference, uetr};

/// The most characters of a line that explains a reason (`Max105Text`).
const EXPLANATION: usize = 105;

/// Why an item came back: the code of ISO 20022 and, beside it, ours in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnReason {
    iso: String,
    code: String,
    meaning: String,
}

impl ReturnReason {
    /// `iso` is the counterpart in ISO 20022 (`AM04`), `code` and `meaning` the return code and what it means
    /// (`INSUFFICIENT_FUNDS`, "balance too low"; the meaning may be empty), all three from the table of return
    /// codes.
    ///
    /// # Errors
    /// [`ExportError::NotAReasonCode`] unless `iso` is 1 to 4 capital letters or digits.
    pub fn new(iso: &str, code: &str, meaning: &str) -> Result<Self, ExportError> {
        let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        if iso.is_empty() || iso.len() > 4 || !iso.bytes().all(allowed) {
            return Err(ExportError::NotAReasonCode);
        }
        Ok(Self { iso: iso.to_owned(), code: code.to_owned(), meaning: meaning.to_owned() })
    }

    /// The reason under this element name. Several of our codes share one of ISO 20022, and `NARR` means "see the
    /// text", so the text always stands there.
    pub(super) fn node(&self, name: &'static str) -> Node {
        Node::new(name).node(Node::new("Rsn").text("Cd", self.iso.as_str())).words(
            "AddtlInf",
            &self.explanation(),
            EXPLANATION,
        )
    }

    /// Our code and what it means.
    pub(super) fn explanation(&self) -> String {
        if self.meaning.is_empty() { self.code.clone() } else { format!("{}: {}", self.code, self.meaning) }
    }
}

impl From<TransferReturn> for ReturnReason {
    fn from(code: TransferReturn) -> Self {
        Self { iso: code.iso20022().to_owned(), code: code.as_str().to_owned(), meaning: String::new() }
    }
}

/// What is returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Original {
    /// A remittance.
    Transfer {
        /// The `pacs.008` message it came in.
        message: Reference,
        /// The order.
        order: Digest,
        /// The reference the payer gave.
        end_to_end: Option<Reference>,
    },
    /// A presented cheque.
    Cheque {
        /// The `camt.107` message it came in.
        message: Reference,
        /// The cheque.
        cheque: Digest,
    },
}

/// One returned item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Return {
    /// Name of the return.
    pub id: Reference,
    /// What is returned.
    pub original: Original,
    /// How much; all of it.
    pub amount: Amount,
    /// Why.
    pub reason: ReturnReason,
}

/// Items of one currency that one bank returns to another through the center.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returns {
    /// The bank that returns, and the one that had sent the items.
    pub header: InterbankHeader,
    /// The items, at least one.
    pub items: Vec<Return>,
}

impl Returns {
    /// The returns as a `pacs.004` document.
    ///
    /// # Errors
    /// [`ExportError`]: none, another currency, or a number or time that does not fit.
    pub fn to_xml(&self) -> Result<String, ExportError> {
        let amounts: Vec<Amount> = self.items.iter().map(|item| item.amount).collect();
        let header = self.header.node(&amounts)?;
        let items: Vec<Node> = self.items.iter().map(Return::node).collect::<Result<_, _>>()?;
        Ok(Node::new("PmtRtr").node(header).nodes(items).into_document(PACS_004))
    }
}

impl Return {
    fn node(&self) -> Result<Node, ExportError> {
        Ok(self
            .original
            .add_to(Node::new("TxInf").text("RtrId", &self.id))
            .amount("OrgnlIntrBkSttlmAmt", self.amount)?
            .amount("RtrdIntrBkSttlmAmt", self.amount)?
            .node(self.reason.node("RtrRsnInf")))
    }
}

impl Original {
    /// The message the item came in, then its references there.
    fn add_to(&self, node: Node) -> Node {
        let (message, kind, digest) = match self {
            Self::Transfer { message, order, .. } => (message, PACS_008, order),
            Self::Cheque { message, cheque } => (message, CAMT_107, cheque),
        };
        let item = Reference::of(digest);
        let group = Node::new("OrgnlGrpInf").text("OrgnlMsgId", message).text("OrgnlMsgNmId", kind);
        let node = node.node(group).text("OrgnlInstrId", &item);
        match self {
            Self::Transfer { order, end_to_end, .. } => node
                .text("OrgnlEndToEndId", end_to_end.as_ref().unwrap_or(&item))
                .text("OrgnlTxId", &item)
                .text("OrgnlUETR", uetr(order)),
            // A cheque has no transaction before it is paid, and no unique end-to-end reference.
            Self::Cheque { .. } => node,
        }
    }
}
