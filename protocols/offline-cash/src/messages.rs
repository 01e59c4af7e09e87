//! What travels between wallets, banks and the center beside the messages of single steps: pinning, registration,
//! deposits, exposed coins, and what banks owe each other for charges.
//!
//! ```text
//! bank    OfflinePinRequest ──▶ center   OfflinePinEntry; anybody: OfflinePinsRequest ──▶ OfflinePinsResponse
//! wallet  OfflineRegisterRequest ──▶ bank   IdentityRequest ──▶ center   AttestedIdentity, back the same way
//! payee   DepositRequest ──▶ bank   Presentment<CashItem> ──▶ center ──▶ issuing bank   Outcome, back the same way
//! bank    SignedExposed ──▶ center; anybody: ExposedRequest ──▶ ExposedResponse
//! bank    Presentment<ClaimItem> ──▶ center ──▶ the cheat's bank   ClaimOutcome, back the same way
//! center  OverdueClaim ──▶ the cheat's bank, where that did not answer a claim in time
//! bank    Presentment<PartItem> ──▶ center ──▶ bank of the claim   PartOutcome, back the same way
//! ```

use feiqian_crypto::{Digest, Transcript};
use feiqian_money::{Amount, Minor};
use feiqian_pki::KeyPair;
use feiqian_wire::error::Fault;
use feiqian_wire::{Bounded, Name, Text, Timestamp, U64, codec};
use serde::{Deserialize, Serialize};

use crate::Rejection;
use crate::accusation::{CustomerAccusation, SignedNonAnswer};
use crate::deposit::{ClaimTerms, Outcome};
use crate::identity::{Account, AttestedIdentity, Registration, SignedIdentity};
use crate::keyset::Keyset;
use crate::pay::CashItem;
use crate::signed::{DocumentSignature, WireChain};
use crate::withdraw::Caps;

/// A bank asks the center to pin an offline keyset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfflinePinRequest {
    /// The keyset.
    pub keyset: Keyset,
    /// The bank's document-signing chain.
    pub signer: WireChain,
}

/// An entry of the center's log of offline keysets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfflinePinEntry {
    /// When it was pinned; the chain is judged at this time.
    pub pinned_at: Timestamp,
    /// The keyset.
    pub keyset: Keyset,
    /// The bank's document-signing chain.
    pub signer: WireChain,
}

/// The most entries of the log in one answer.
pub const MAX_OFFLINE_PINS: usize = 32;

/// Asks the center for its log of offline keysets from an entry on. Anonymous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfflinePinsRequest {
    /// The number of entries already known.
    pub from: U64,
}

/// A part of the log; an empty one says that there is no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfflinePinsResponse {
    /// In order.
    pub entries: Bounded<OfflinePinEntry, MAX_OFFLINE_PINS>,
}

/// What a bank offers a customer who wants an offline identity, or has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfflineTerms {
    /// The collateral that the bank moves from the account and certifies; it stands in the record to be signed.
    pub collateral: Amount,
    /// What the identity may draw of one epoch.
    pub caps: Caps,
    /// The digest of the keyset that signs now, if there is one.
    pub keyset: Option<Digest>,
    /// The identity that is registered for the account, if there is one.
    pub identity: Option<AttestedIdentity>,
    /// Was the identity closed for withdrawal and transfer?
    pub closed: bool,
}

/// A customer registers its identity. The same again gets the same answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfflineRegisterRequest {
    /// *I* and the proof of its secret.
    pub registration: Registration,
    /// The record, with the collateral of [`OfflineTerms`], signed by the customer.
    pub identity: SignedIdentity,
}

/// A bank asks the center to keep and attest the identity of one of its customers. The same record again gets the same
/// attestation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityRequest {
    /// As the customer signed it.
    pub identity: SignedIdentity,
    /// *I* and the proof of its secret.
    pub registration: Registration,
}

/// A payee deposits what it accepted at its own bank. The same item again gets the same answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepositRequest {
    /// Request and payment.
    pub item: CashItem,
}

/// A deposit's presentment at the collecting bank, as its customer sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(clippy::large_enum_variant, reason = "a message lives once, between codec and transaction")]
pub enum DepositResponse {
    /// Final, but for its unpaid parts.
    Final(Outcome),
    /// Stored and on its way; ask again with the same item.
    Pending {
        /// The presentment.
        presentment: Digest,
    },
}

impl CashItem {
    /// `D("offline-cash/holding"; the item's binary message)`: what its presentment id is made of. Other bytes that say
    /// the same are another presentment of the same payment, which the issuing bank knows by its set.
    ///
    /// # Errors
    /// [`Rejection::LimitExceeded`] when it is longer than a message may be.
    pub fn digest(&self) -> Result<Digest, Rejection> {
        let bytes = codec::encode(self).map_err(|_| Rejection::LimitExceeded("bytes of a deposit"))?;
        Ok(Transcript::new("offline-cash/holding").bytes(&bytes).into_digest())
    }
}

/// The most exposed coins that a bank lists: those whose keys expired are left out.
pub const MAX_EXPOSED: usize = 8192;

/// The coins and blanks that a bank has seen answered for twice, its own and others': nobody takes a piece of them any
/// more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exposed {
    /// The bank that says so.
    pub bank: Name,
    /// When the bank said so; a later list replaces an earlier one.
    pub as_of: Timestamp,
    /// *m* of each, ascending.
    pub coins: Bounded<Digest, MAX_EXPOSED>,
}

impl Exposed {
    /// `D("offline-cash/exposed"; bank, as_of, n, m_1 … m_n)`.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Transcript::new("offline-cash/exposed")
            .text(self.bank.as_str())
            .integer(self.as_of.seconds())
            .list(&self.coins, |transcript, coin| transcript.digest(coin))
            .into_digest()
    }
}

/// An exposed list, signed by its bank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedExposed {
    /// The list.
    pub list: Exposed,
    /// By the bank's document-signing key over [`Exposed::digest`].
    pub signature: DocumentSignature,
}

impl SignedExposed {
    /// Signs a list as its bank.
    ///
    /// # Errors
    /// [`Rejection::RequestInvalid`] unless the coins ascend; those of [`DocumentSignature::sign`].
    pub fn sign(list: Exposed, key: &KeyPair) -> Result<Self, Rejection> {
        check_ascending(&list)?;
        let signature = DocumentSignature::sign(key, &list.digest())?;
        Ok(Self { list, signature })
    }

    /// Checks order and signature.
    ///
    /// # Errors
    /// [`Rejection::RequestInvalid`] unless the coins ascend, [`Rejection::SignatureInvalid`].
    pub fn verify(&self, bank_signing_key: &[u8; 32]) -> Result<(), Rejection> {
        check_ascending(&self.list)?;
        self.signature.verify(bank_signing_key, &self.list.digest(), "exposed list")
    }
}

fn check_ascending(list: &Exposed) -> Result<(), Rejection> {
    let ascending = list.coins.iter().is_sorted_by(|one, next| one < next);
    ascending.then_some(()).ok_or(Rejection::RequestInvalid("an exposed list out of order"))
}

/// The most exposed lists in one answer.
pub const MAX_EXPOSED_LISTS: usize = 64;

/// The most exposed coins in one answer: at least one list is in it, and never two that have more.
pub const MAX_EXPOSED_SHOWN: usize = 12_000;

/// Asks the center for the exposed lists of the banks whose names come after one, in order of name. Anonymous.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExposedRequest {
    /// The last name already known; empty at the start.
    pub after: Text<64>,
}

/// Some banks' exposed lists; none says that there are no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExposedResponse {
    /// The center's clock: so old are the lists at most, as far as the banks answer it.
    pub as_of: Timestamp,
    /// By name of the bank.
    pub lists: Bounded<SignedExposed, MAX_EXPOSED_LISTS>,
}

/// What became of a claim on the bank of a cheat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(clippy::large_enum_variant, reason = "a message lives once, between codec and transaction")]
pub enum ClaimOutcome {
    /// The bank names its customer and pays what account and collateral cover; the rest follows as parts.
    Answered {
        /// Of the opening that the claim brings to light.
        accusation: CustomerAccusation,
        /// Minor units paid now, at most what is claimed.
        paid: Minor,
    },
    /// The bank did not name the customer in time and pays all.
    Unanswered(SignedNonAnswer),
    /// The claim does not hold, and why: the center's word.
    Refused(Fault),
}

/// The center tells the bank of a cheat that a claim was not answered in time: its settlement account has paid all of it.
/// Sent until it is answered. The same again changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverdueClaim {
    /// The presentment of the claim: by the claiming bank, for no account, of [`ClaimTerms::id`].
    pub presentment: Digest,
    /// What the claim is about.
    pub terms: ClaimTerms,
    /// What was claimed, and taken.
    pub amount: Amount,
    /// The center's word, with the opening by which the bank finds its customer.
    pub statement: SignedNonAnswer,
}

/// A later payment on what stayed unpaid of a payment or of a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartItem {
    /// The bank that pays.
    pub from: Name,
    /// The bank that is paid.
    pub to: Name,
    /// The account there that is credited; empty when the bank itself claims.
    pub account: Account,
    /// What is paid on: [`ClaimTerms::id`].
    pub claim: Digest,
    /// The presentment of the deposit or claim that it belongs to.
    pub presentment: Digest,
    /// Counts the parts of this claim and presentment, from 0.
    pub number: u32,
    /// How much.
    pub amount: Amount,
}

impl PartItem {
    /// `D("offline-cash/part"; from, to, account, claim, presentment, number, minor, currency)`.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Transcript::new("offline-cash/part")
            .text(self.from.as_str())
            .text(self.to.as_str())
            .text(self.account.as_str())
            .digest(&self.claim)
            .digest(&self.presentment)
            .integer(self.number.into())
            .integer(self.amount.minor.value())
            .text(self.amount.currency.code())
            .into_digest()
    }
}

/// What became of a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PartOutcome {
    /// Credited.
    Booked,
    /// Not credited, and why; the payer keeps it.
    Refused(Fault),
}

/// Claims value that was never deposited, at the issuing bank of its value coin. The same again gets the same answer, also
/// after the decision; what somebody who answered twice pays later comes on top.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(clippy::large_enum_variant, reason = "a message lives once, between codec and transaction")]
pub enum ReclaimRequest {
    /// By the customer who withdrew the coin.
    Withdrawn(crate::reclaim::Claim),
    /// By the holder of a blank that took a piece.
    Received(crate::reclaim::ChainClaim),
}

/// A claim as its bank keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReclaimResponse {
    /// First second at which claims on the coin are decided.
    pub decided_at: Timestamp,
    /// What was paid to the account, zero included, from circulation and by those who answered twice; `None` before the
    /// decision.
    pub paid: Option<Minor>,
}

/// Asks a customer's own bank to attest the session that a blank was withdrawn in, for a claim on received value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionRequest {
    /// The session.
    pub session: Digest,
    /// *i*, from 0.
    pub index: u16,
}
