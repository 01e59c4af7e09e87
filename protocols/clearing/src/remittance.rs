//! Remittance: a customer of one bank orders a credit to an account at another.
//!
//! ```text
//! customer ──order──▶ sending bank ──item──▶ center ──item──▶ receiving bank
//!            signed     checks, reserves,      obligation       checks, credits, or returns with a code
//!                       numbers, archives
//! ```
//!
//! An order names everything that moves money and is signed with the customer's document key; the item adds the
//! sending bank's sequence number and signature. Neither the center nor the receiving bank has to believe anybody.

use feiqian_crypto::Digest;
use feiqian_crypto::transcript::Transcript;
use feiqian_money::Amount;
use feiqian_pki::{KeyPair, PkiError, verify_signature};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Bounded, Name, Text, Timestamp, U64};
use serde::{Deserialize, Serialize};

use crate::membership::ChainBytes;

/// The most lines in a report.
pub const MAX_LINES: usize = 256;

/// Where a transfer goes to, and what it carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferTerms {
    /// Made by the customer: the same id with the same terms acts once.
    pub id: Digest,
    /// The sending bank.
    pub bank: Name,
    /// The account to debit there: its token.
    pub account: Text<64>,
    /// The receiving bank.
    pub to_bank: Name,
    /// The account to credit there: its token.
    pub to_account: Text<64>,
    /// How much, above zero.
    pub amount: Amount,
    /// For the receiver.
    pub memo: Text<256>,
}

/// A customer's signed order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferOrder {
    /// What is ordered.
    pub terms: TransferTerms,
    /// Ed25519 by the customer's document-signing key over [`TransferTerms::digest`]; 64 bytes.
    pub signature: Blob<64>,
}

/// Why an order or item was refused before anything moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// A transfer of nothing.
    #[error("the amount is zero")]
    Zero,
    /// A signature is not 64 bytes or does not verify.
    #[error("the signature of the {0} does not hold")]
    Signature(&'static str),
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        let code = match refused {
            Refused::Zero => Code::AmountMismatch,
            Refused::Signature(_) => Code::SignatureInvalid,
        };
        Fault::new(code, refused.to_string())
    }
}

fn sign(key: &KeyPair, digest: &Digest) -> Result<Blob<64>, Refused> {
    Blob::new(key.sign(digest.as_bytes()).to_vec()).map_err(|_| Refused::Signature("own key"))
}

fn check(key: &[u8; 32], digest: &Digest, signature: &Blob<64>, what: &'static str) -> Result<(), Refused> {
    let bytes: [u8; 64] = (**signature).try_into().map_err(|_| Refused::Signature(what))?;
    let good: Result<(), PkiError> = verify_signature(key, digest.as_bytes(), &bytes);
    good.map_err(|_| Refused::Signature(what))
}

impl TransferTerms {
    /// `D("clearing/transfer"; id, bank, account, receiving bank, receiving account, amount, currency, memo)`.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Transcript::new("clearing/transfer")
            .digest(&self.id)
            .text(self.bank.as_str())
            .text(&self.account)
            .text(self.to_bank.as_str())
            .text(&self.to_account)
            .integer(self.amount.minor.value())
            .text(self.amount.currency.code())
            .text(&self.memo)
            .into_digest()
    }

    /// Signs the order.
    ///
    /// # Errors
    /// [`Refused::Zero`].
    pub fn sign(self, key: &KeyPair) -> Result<TransferOrder, Refused> {
        if self.amount.minor.is_zero() {
            return Err(Refused::Zero);
        }
        let signature = sign(key, &self.digest())?;
        Ok(TransferOrder { terms: self, signature })
    }
}

impl TransferOrder {
    /// Checks the customer's signature.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn verify(&self, customer: &[u8; 32]) -> Result<(), Refused> {
        if self.terms.amount.minor.is_zero() {
            return Err(Refused::Zero);
        }
        check(customer, &self.terms.digest(), &self.signature, "order")
    }
}

/// What travels between the banks. Its presentment is of kind `Transfer`, by the sending bank, for the account to
/// debit, with the digest of the terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferItem {
    /// The customer's order.
    pub order: TransferOrder,
    /// The customer's document-signing chain: leaf, bank authority.
    pub payer: ChainBytes,
    /// The sending bank numbers what it sends from 1, without gaps.
    pub sequence: U64,
    /// When it was sent: the customer's certificate is judged at this time.
    pub at: Timestamp,
    /// Ed25519 by the sending bank's document-signing key over [`TransferItem::digest`]; 64 bytes.
    pub signature: Blob<64>,
}

fn item_digest(order: &TransferOrder, sequence: U64, at: Timestamp) -> Digest {
    Transcript::new("clearing/transfer/item")
        .digest(&order.terms.digest())
        .bytes(&order.signature)
        .integer(sequence.0)
        .integer(at.seconds())
        .into_digest()
}

impl TransferItem {
    /// The sending bank numbers an order and signs.
    ///
    /// # Errors
    /// [`Refused::Signature`] never in practice: 64 bytes fit.
    pub fn sign(
        order: TransferOrder,
        payer: ChainBytes,
        sequence: U64,
        at: Timestamp,
        key: &KeyPair,
    ) -> Result<Self, Refused> {
        let signature = sign(key, &item_digest(&order, sequence, at))?;
        Ok(Self { order, payer, sequence, at, signature })
    }

    /// `D("clearing/transfer/item"; terms, order's signature, sequence, time)`: what the sending bank signs.
    #[must_use]
    pub fn digest(&self) -> Digest {
        item_digest(&self.order, self.sequence, self.at)
    }

    /// Checks both signatures. Whether `customer` is the certified key of the account is for the caller to check.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn verify(&self, customer: &[u8; 32], sending_bank: &[u8; 32]) -> Result<(), Refused> {
        self.order.verify(customer)?;
        check(sending_bank, &self.digest(), &self.signature, "sending bank")
    }
}

/// Why a transfer came back; the texts are those of the return codes of cheques.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TransferReturn {
    /// The receiving bank has no such account.
    AccountUnknown,
    /// The account to credit is closed.
    AccountClosed,
    /// The receiving bank is no member, or keeps another currency.
    WrongBank,
    /// The customer's certificate does not hold for the account.
    CertInvalid,
    /// A signature does not hold.
    SignatureInvalid,
    /// The banks could not settle.
    SettlementFailed,
    /// It could not be processed.
    Technical,
}

impl TransferReturn {
    /// All codes.
    pub const ALL: [Self; 7] = [
        Self::AccountUnknown,
        Self::AccountClosed,
        Self::WrongBank,
        Self::CertInvalid,
        Self::SignatureInvalid,
        Self::SettlementFailed,
        Self::Technical,
    ];

    /// The stable text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccountUnknown => "ACCOUNT_UNKNOWN",
            Self::AccountClosed => "ACCOUNT_CLOSED",
            Self::WrongBank => "WRONG_BANK",
            Self::CertInvalid => "CERT_INVALID",
            Self::SignatureInvalid => "SIGNATURE_INVALID",
            Self::SettlementFailed => "SETTLEMENT_FAILED",
            Self::Technical => "TECHNICAL",
        }
    }

    /// The external status reason of ISO 20022.
    #[must_use]
    pub const fn iso20022(self) -> &'static str {
        match self {
            Self::AccountUnknown => "AC01",
            Self::AccountClosed => "AC04",
            Self::WrongBank => "RC03",
            Self::CertInvalid | Self::SignatureInvalid => "NARR",
            Self::SettlementFailed => "ED05",
            Self::Technical => "DS28",
        }
    }
}

/// What became of a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TransferOutcome {
    /// Credited to the receiver.
    Booked,
    /// Returned: the sender has the money back.
    Returned(TransferReturn),
}

/// One line of an account's report of transfers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferLine {
    /// What was ordered.
    pub terms: TransferTerms,
    /// Whether the account received it.
    pub incoming: bool,
    /// The sending bank's number of it; 0 inside one bank.
    pub sequence: U64,
    /// When it was ordered or received.
    pub at: Timestamp,
    /// What became of it; `None` while it is on its way.
    pub outcome: Option<TransferOutcome>,
}

/// An account's report of transfers, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferReport {
    /// At most [`MAX_LINES`].
    pub lines: Bounded<TransferLine, MAX_LINES>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use feiqian_money::{Currency, Minor};

    use super::*;

    fn terms() -> TransferTerms {
        TransferTerms {
            id: Digest([1; 32]),
            bank: Name::new("north").unwrap(),
            account: Text::new("a1").unwrap(),
            to_bank: Name::new("south").unwrap(),
            to_account: Text::new("b2").unwrap(),
            amount: Amount::new(Minor::new(3_000).unwrap(), "EUR".parse::<Currency>().unwrap()),
            memo: Text::new("rent").unwrap(),
        }
    }

    fn key(seed: u8) -> KeyPair {
        KeyPair::from_seed(&[seed; 32])
    }

    #[test]
    fn every_field_is_signed() {
        let customer = key(1);
        let order = terms().sign(&customer).unwrap();
        order.verify(&customer.public_key()).unwrap();
        let changes: [fn(&mut TransferTerms); 7] = [
            |it| it.id = Digest([2; 32]),
            |it| it.bank = Name::new("west").unwrap(),
            |it| it.account = Text::new("a2").unwrap(),
            |it| it.to_bank = Name::new("west").unwrap(),
            |it| it.to_account = Text::new("b3").unwrap(),
            |it| it.amount.minor = Minor::new(3_001).unwrap(),
            |it| it.memo = Text::new("gift").unwrap(),
        ];
        for change in changes {
            let mut altered = order.clone();
            change(&mut altered.terms);
            assert_eq!(altered.verify(&customer.public_key()), Err(Refused::Signature("order")));
        }
    }

    #[test]
    fn the_sending_bank_signs_number_and_time() {
        let (customer, bank) = (key(1), key(2));
        let order = terms().sign(&customer).unwrap();
        let chain = Bounded::default();
        let item = TransferItem::sign(order, chain, U64(7), Timestamp::new(9), &bank).unwrap();
        item.verify(&customer.public_key(), &bank.public_key()).unwrap();
        let mut other = item.clone();
        other.sequence = U64(8);
        assert!(other.verify(&customer.public_key(), &bank.public_key()).is_err());
        let mut other = item.clone();
        other.at = Timestamp::new(10);
        assert!(other.verify(&customer.public_key(), &bank.public_key()).is_err());
        assert!(item.verify(&customer.public_key(), &customer.public_key()).is_err());
    }

    #[test]
    fn nothing_cannot_be_sent() {
        let mut nothing = terms();
        nothing.amount.minor = Minor::ZERO;
        assert_eq!(nothing.sign(&key(1)), Err(Refused::Zero));
    }

    #[test]
    fn codes_are_written_as_their_text() {
        for code in TransferReturn::ALL {
            let text = feiqian_wire::codec::encode_json(&code).unwrap();
            assert_eq!(text, format!("\"{}\"", code.as_str()).into_bytes());
        }
    }
}
