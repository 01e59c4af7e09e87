//! What travels between customers, banks and the center about cheques.
//!
//! A cheque travels as the bytes of its canonical file ([`Document`]), so that a message never changes what was
//! signed.

use feiqian_crypto::Digest;
use feiqian_crypto::transcript::Transcript;
use feiqian_money::Amount;
use feiqian_wire::error::Fault;
use feiqian_wire::{Blob, Bounded, Name, Text, Timestamp, U64};
use serde::{Deserialize, Serialize};

use crate::book::Allotment;
use crate::content::{AccountToken, Payee};
use crate::date::Day;
use crate::{Notice, ReturnCode, State, StopReason};

/// The longest cheque file in a message, bytes.
pub const MAX_DOCUMENT: usize = 512 * 1024;

/// What a presented file leaves of [`MAX_DOCUMENT`], bytes: two full blocks of the banks, in base64.
pub const DOCUMENT_ROOM: usize = 36 * 1024;

/// The most cheques in one batch of the verification service.
pub const MAX_BATCH: usize = 64;

/// The most cheques in one answer of a box.
pub const MAX_INBOX: usize = 16;

/// A cheque file, byte for byte: [`crate::Bundle::from_bytes`] reads it.
pub type Document = Blob<MAX_DOCUMENT>;

/// Asks the drawee for leaves. With the account's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BookRequest {
    /// Made by the customer: the same id gets the same leaves.
    pub request: Digest,
    /// How many, 1 to 100.
    pub leaves: u16,
}

/// The account's cheque book so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BookResponse {
    /// The leaves of this request.
    pub allotment: Allotment,
}

/// The drawer hands a signed cheque and its payment notice to the drawee, to be registered and countersigned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssueRequest {
    /// Signed by enough drawers.
    pub cheque: Document,
    /// The payment notice.
    pub notice: Notice,
    /// Reserve the amount at once.
    pub certify: bool,
}

/// A cheque file with one more block of the answering bank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChequeResponse {
    /// The file.
    pub cheque: Document,
}

/// What a drawer or holder orders about a registered cheque.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Stop it.
    Stop(StopReason),
    /// Lift the own stop.
    Unstop,
    /// Cancel it: by the drawer, before it was presented.
    Void,
    /// Reserve the amount: the answer carries the certified file.
    Certify,
}

/// An order about one cheque, with the account's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderRequest {
    /// Made by the customer: the same id acts once.
    pub order: Digest,
    /// The number of the account's own cheque.
    pub number: U64,
    /// What is to be done.
    pub action: Action,
    /// The cheque file as the customer has it; needed to certify.
    pub cheque: Option<Document>,
}

/// The drawee's register is told of an endorsement, with the holder's certificate (of any bank). The document
/// ends in the endorsement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndorseRequest {
    /// The file with the new `endorse` block.
    pub cheque: Document,
}

/// One line of the drawee's register, as its drawer sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterLine {
    /// The cheque's id; zero while the leaf is only allotted.
    pub id: Digest,
    /// Its number.
    pub number: U64,
    /// Where it stands.
    pub state: State,
    /// How much; `None` while only allotted.
    pub amount: Option<Amount>,
    /// From when it is payable.
    pub date: Option<Day>,
    /// To whom.
    pub payee: Option<Text<128>>,
    /// The code of the last return.
    pub code: Option<ReturnCode>,
    /// Whether the amount is reserved.
    pub reserved: bool,
}

/// The account's part of the register, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterResponse {
    /// At most 256 lines.
    pub lines: Bounded<RegisterLine, 256>,
}

/// The holder deposits a cheque at its own bank: the file ends in the holder's `deposit` block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChequeDeposit {
    /// The file.
    pub cheque: Document,
}

/// What became of a presented cheque.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ChequeOutcome {
    /// Paid by the drawee; the file ends in its `receipt` block.
    Paid(Document),
    /// Returned; the file ends in a `return` block of the bank or the center.
    Returned(ReturnCode, Document),
    /// It could not be judged at all; nothing was changed.
    Refused(Fault),
}

/// What the collecting bank's customer is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ChequeDepositResponse {
    /// On its way, or paid and not yet settled: pending on the account.
    Pending {
        /// The presentment.
        presentment: Digest,
        /// Paid by the drawee, settlement outstanding.
        paid: bool,
    },
    /// Paid and settled, or returned.
    Final(ChequeOutcome),
}

/// A cheque among the items of clearing.
///
/// Its digest in the presentment id is [`ChequeItem::presented`] of what the holder deposited, which the `deposit`
/// block then names; a return moves the tip on, so the next deposit is another presentment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChequeItem {
    /// The file, ending in the holder's `deposit` block.
    pub cheque: Document,
}

impl ChequeItem {
    /// `D("cheque/item"; tip)`, of the digest of the block that the `deposit` block follows: what the holder's
    /// bank and the holder make the presentment id of.
    #[must_use]
    pub fn presented(tip: &Digest) -> Digest {
        Transcript::new("cheque/item").digest(tip).into_digest()
    }

    /// The same, from the file as it stands: of the block before its last.
    ///
    /// # Errors
    /// [`crate::ChequeError`] when the file cannot be read or has fewer than two blocks.
    pub fn digest(&self) -> Result<Digest, crate::ChequeError> {
        let bundle = crate::Bundle::from_bytes(&self.cheque)?;
        let before = bundle.blocks.len().checked_sub(2).and_then(|index| bundle.blocks.get(index));
        let before = before.ok_or(crate::Rejection::Content("it has no deposit block"))?;
        Ok(Self::presented(&before.digest()))
    }

    /// Whether the banks can add what follows a deposit: a receipt and its settlement, or a return. A file without
    /// that room is not presented.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.cheque.len().saturating_add(DOCUMENT_ROOM) <= MAX_DOCUMENT
    }

    /// `D("cheque/file"; file)`: tells two files under one presentment id apart.
    #[must_use]
    pub fn file_digest(&self) -> Digest {
        Transcript::new("cheque/file").bytes(&self.cheque).into_digest()
    }
}

/// Asks the center to verify cheques: needs no account and no certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyRequest {
    /// At most [`MAX_BATCH`] files.
    pub cheques: Bounded<Document, MAX_BATCH>,
}

/// What the center says of one cheque.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// The cheque's id.
    pub id: Digest,
    /// Every signature holds and the document may be presented.
    pub good: bool,
    /// Why not.
    pub code: Option<ReturnCode>,
    /// The same in words.
    pub reason: Text<256>,
    /// What the drawee's register says of it, where the drawee answered.
    pub register: Option<State>,
}

/// The center's answer, in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyResponse {
    /// One for each cheque.
    pub verdicts: Bounded<Verdict, MAX_BATCH>,
}

/// The center asks a drawee where cheques stand; so does a holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateRequest {
    /// Cheque ids.
    pub ids: Bounded<Digest, MAX_BATCH>,
}

/// The drawee's answer; `None` for a cheque it never registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateResponse {
    /// One for each id.
    pub states: Bounded<Option<State>, MAX_BATCH>,
}

/// Puts a cheque into the box of an account of the asked bank: how a drawer hands it to a payee who is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendRequest {
    /// Whose box.
    pub account: AccountToken,
    /// The file: its payee or last endorsee is this account.
    pub cheque: Document,
}

/// The cheques that others sent, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InboxResponse {
    /// At most [`MAX_INBOX`] files in one answer; more come when these were taken out.
    pub cheques: Bounded<Document, MAX_INBOX>,
}

/// Takes a cheque out of the own box, by the digest of its file ([`ChequeItem::file_digest`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InboxDelete {
    /// Which file.
    pub file: Digest,
}

/// The account's certificates, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateList {
    /// At most 64 lines.
    pub lines: Bounded<CertificateLine, 64>,
}

/// One certificate of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateLine {
    /// Serial number, hex.
    pub serial: Text<64>,
    /// `true` for document signing, `false` for connections.
    pub signing: bool,
    /// SHA-256 of the certificate.
    pub fingerprint: Digest,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
}

/// Renews both certificates of the account; the ones before are revoked as superseded. With the old certificate.
/// The answer is that of an enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateRenew {
    /// PKCS#10 request of the new TLS key.
    pub transport: Blob<2048>,
    /// PKCS#10 request of the new document-signing key.
    pub signing: Blob<2048>,
    /// Host names and addresses a merchant's node listens on, comma separated; empty for customers.
    pub hosts: Text<256>,
}

/// Revokes one of the account's own certificates; a repeat changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateRevoke {
    /// Its serial number, hex.
    pub serial: Text<64>,
    /// Somebody else may have the key.
    pub compromised: bool,
}

/// Asks a bank for an account's document-signing certificate; for certificate holders only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateQuery {
    /// The account.
    pub account: AccountToken,
}

/// The account's name for a payee line, and its chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateAnswer {
    /// As a payee of a cheque.
    pub payee: Payee,
    /// The bank.
    pub bank: Name,
    /// DER, leaf first.
    pub chain: Bounded<Blob<2048>, 4>,
    /// When the bank answered.
    pub at: Timestamp,
}
