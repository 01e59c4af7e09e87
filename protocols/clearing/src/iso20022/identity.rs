//! Who and what a message speaks of: references, accounts, banks, parties.

use std::fmt;

use feiqian_crypto::Digest;
use feiqian_wire::Name;

use super::xml::{LINE, Node};
use super::{CLEARING_SYSTEM, ExportError};

/// How many hex digits of a digest stand in a reference: 128 bits, as many whole bytes as 35 characters have room
/// for without a remainder that means nothing.
const DIGEST_DIGITS: usize = 32;

/// 1 to 35 letters, digits or `-?:().,'+/`: the name of a message, a transaction or a statement.
///
/// A reference that is too long is refused and never cut: two that differ at the end would become one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference(String);

impl Reference {
    /// The most characters (`Max35Text`).
    pub const MAX: usize = 35;

    /// This text.
    ///
    /// # Errors
    /// [`ExportError::NotAnIdentifier`].
    pub fn new(text: impl Into<String>) -> Result<Self, ExportError> {
        Ok(Self(identifier(text.into(), Self::MAX)?))
    }

    /// The first 16 bytes of a digest as 32 hex digits.
    ///
    /// # Security
    /// Finding two digests with one reference takes 2⁶⁴ steps: enough to tell honest items apart in a report, not
    /// to identify an item to the protocol, which always carries the whole digest.
    #[must_use]
    pub fn of(digest: &Digest) -> Self {
        let mut text = hex(digest);
        text.truncate(DIGEST_DIGITS);
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&Reference> for String {
    fn from(reference: &Reference) -> Self {
        reference.0.clone()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// 1 to 34 letters, digits or `-?:().,'+/`: an account at a bank.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(String);

impl AccountId {
    /// The most characters (`Max34Text`).
    pub const MAX: usize = 34;

    /// This account.
    ///
    /// # Errors
    /// [`ExportError::NotAnIdentifier`].
    pub fn new(text: impl Into<String>) -> Result<Self, ExportError> {
        Ok(Self(identifier(text.into(), Self::MAX)?))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `Id` of an account: an identification of our scheme.
    pub(super) fn node(&self) -> Node {
        let scheme = Node::new("SchmeNm").text("Prtry", CLEARING_SYSTEM);
        Node::new("Id").node(Node::new("Othr").text("Id", self.0.as_str()).node(scheme))
    }
}

/// A holder of an account: a customer or a merchant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// What the holder is called; may be empty, then the account stands in its place. Cut to 140 characters.
    pub name: String,
    /// The account.
    pub account: AccountId,
    /// The bank that keeps it.
    pub bank: Name,
}

impl Party {
    /// Adds `Nm`.
    pub(super) fn named(&self, node: Node) -> Node {
        let name = if self.name.is_empty() { self.account.as_str() } else { &self.name };
        node.words("Nm", name, LINE)
    }

    /// The account under this element name.
    pub(super) fn account(&self, name: &'static str) -> Node {
        Node::new(name).node(self.account.node())
    }
}

/// A bank under this element name: a member of our clearing system.
pub(super) fn agent(name: &'static str, bank: &Name) -> Node {
    let system = Node::new("ClrSysId").text("Prtry", CLEARING_SYSTEM);
    let member = Node::new("ClrSysMmbId").node(system).text("MmbId", bank.as_str());
    Node::new(name).node(Node::new("FinInstnId").node(member))
}

/// The unique end-to-end transaction reference of an order: the first 16 bytes of its digest in the form of a
/// version 4 UUID (RFC 9562), six bits of which say so. The same order has the same reference in every message.
#[must_use]
pub fn uetr(order: &Digest) -> String {
    let text = hex(order);
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let variant = match part(16, 17) {
        "0" | "4" | "8" | "c" => '8',
        "1" | "5" | "9" | "d" => '9',
        "2" | "6" | "a" | "e" => 'a',
        _ => 'b',
    };
    format!("{}-{}-4{}-{variant}{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}

fn hex(digest: &Digest) -> String {
    digest.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn identifier(text: String, most: usize) -> Result<String, ExportError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-?:().,'+/".contains(&byte);
    if text.is_empty() || text.len() > most || !text.bytes().all(allowed) {
        return Err(ExportError::NotAnIdentifier { most });
    }
    Ok(text)
}
