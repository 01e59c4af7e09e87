//! An account holder's business with its bank: enrolment and what the account holds.

use feiqian_crypto::Digest;
use feiqian_money::{Amount, Minor};
use feiqian_wire::{Blob, Name, Text, Timestamp};
use serde::{Deserialize, Serialize};

use crate::signed::WireChain;

/// Redeems an enrolment code. Sent without a certificate: the caller has none yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolRequest {
    /// The code that the bank gave to the customer; good once (for the same keys, again).
    pub code: Text<64>,
    /// PKCS#10 request of the TLS key (a merchant's becomes a node certificate, a customer's a client one).
    pub transport: Blob<2048>,
    /// PKCS#10 request of the document-signing key.
    pub signing: Blob<2048>,
    /// Host names and addresses a merchant's node listens on, comma separated; empty for customers.
    pub hosts: Text<256>,
}

/// The certificates and what they stand for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolResponse {
    /// The bank.
    pub bank: Name,
    /// The account's token: the name in both certificates.
    pub account: Text<64>,
    /// TLS chain: leaf, bank authority, root.
    pub transport: WireChain,
    /// Document-signing chain: leaf, bank authority, root.
    pub signing: WireChain,
}

/// The bank's answer to an account holder who asks what the account holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountStatus {
    /// The account's token.
    pub account: Text<64>,
    /// Posted balance less what is pending.
    pub available: Amount,
    /// What the account has drawn in withdrawals, ever.
    pub withdrawn: Minor,
    /// What deposits have credited, ever.
    pub deposited: Minor,
}

/// A deposit's presentment at the collecting bank, as its customer sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(clippy::large_enum_variant, reason = "a message lives once, between codec and transaction")]
pub enum DepositResponse {
    /// Final.
    Final(crate::deposit::Outcome),
    /// Stored and on its way; ask again with the same item.
    Pending {
        /// The presentment.
        presentment: Digest,
        /// When the request expires: no payment is taken after that.
        expires: Timestamp,
    },
}
