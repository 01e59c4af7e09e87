//! How a bank becomes and stays a member of a center, and what the center tells everybody about its members.

use feiqian_crypto::{Digest, Id16};
use feiqian_money::{Amount, Currency};
use feiqian_wire::{Blob, Bounded, Name, Text, Timestamp};
use serde::{Deserialize, Serialize};

/// The most members a center has.
pub const MAX_BANKS: usize = 256;

/// The most fundings listed in one answer.
pub const MAX_FUNDINGS: usize = 1024;

/// A certificate chain, DER, leaf first.
pub type ChainBytes = Bounded<Blob<2048>, 4>;

/// A bank asks to be admitted. Sent without a certificate: it has none yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdmitRequest {
    /// The bank's name; unique at the center.
    pub name: Name,
    /// The currency it keeps accounts in.
    pub currency: Currency,
    /// The invitation code, where the center asks for one.
    pub code: Option<Text<64>>,
    /// PKCS#10 request of the bank authority's key: proves possession.
    pub authority: Blob<2048>,
}

/// The bank is a member. The same request again gets the same answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdmitResponse {
    /// The bank authority's chain: its certificate, the root.
    pub authority: ChainBytes,
}

/// A member says where it can be reached and which key signs its documents. Sent at every start, with the
/// bank's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterRequest {
    /// Where the bank listens, without fragment.
    pub url: Text<192>,
    /// The document-signing chain: leaf, bank authority, root.
    pub signer: ChainBytes,
}

/// Declared base money put on a member's settlement account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Funding {
    /// Of the transfer at the center; the bank books its mirror under the same id.
    pub id: Id16,
    /// How much.
    pub amount: Amount,
    /// When.
    pub at: Timestamp,
}

/// What the member must know to keep its mirror of the settlement account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterResponse {
    /// All fundings so far, oldest first.
    pub fundings: Bounded<Funding, MAX_FUNDINGS>,
}

/// A member as everybody sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BankEntry {
    /// Its name.
    pub name: Name,
    /// Its currency.
    pub currency: Currency,
    /// Where it listens; empty until it first registered.
    pub url: Text<192>,
    /// Its authority's certificate, DER.
    pub authority: Blob<2048>,
    /// Its document-signing chain; empty until it first registered.
    pub signer: ChainBytes,
}

/// All members. Anonymous.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// By name.
    pub banks: Bounded<BankEntry, MAX_BANKS>,
}

/// What every node says about itself at `/v1/about`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// `center`, `bank`, `merchant` or `wallet`.
    pub role: Text<16>,
    /// The node's name.
    pub name: Text<64>,
    /// The program's version.
    pub version: Text<32>,
    /// The center's URL with the root fingerprint.
    pub center: Text<320>,
    /// SHA-256 of the root certificate.
    pub root: Digest,
    /// The root certificate, DER.
    pub root_certificate: Blob<2048>,
    /// The node's own currency, where it keeps accounts.
    pub currency: Option<Currency>,
    /// Digests of the keysets it signs with (bank) or shows (center).
    pub keysets: Bounded<Digest, 256>,
    /// The node's clock.
    pub now: Timestamp,
}
