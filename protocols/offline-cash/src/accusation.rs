//! The evidence that names a cheat. Anybody checks it against the center's root certificate, without secrets and
//! without a server; it carries no shares of a customer's coin, whose pieces go to banks only.
//!
//! * Against a **customer**: the opening (*R, L1, ν*) that two overlapping answers of one coin brought to light, the
//!   withdrawal statement that the customer signed and that contains *C* = *R*·H0 + *L1*·H1 and *ν*, and the identity
//!   record that the customer signed and the center attests. *R* is fresh in every session and nobody else knew it,
//!   so it stays a proof after *L1* is public.
//! * Against a **bank** that did not produce such a statement through the center in time: two pieces of a coin under its
//!   key, the opening that they bring to light, and the center's statement of non-answer. The bank is then liable
//!   itself: for all anybody knows it gave coins to nobody.

use feiqian_crypto::acl::Identity;
use feiqian_crypto::share_tree::{Opening, Piece, VerifiedPiece, identify};
use feiqian_crypto::{Digest, EncodedScalar, Transcript};
use feiqian_money::Amount;
use feiqian_pki::{KeyPair, TrustedRoot};
use feiqian_wire::{Name, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Rejection;
use crate::identity::{AttestedIdentity, center_key};
use crate::keyset::{Keyset, VerifiedKey};
use crate::signed::{DocumentSignature, WireChain};
use crate::withdraw::{Origin, SignedWithdrawal};

/// Evidence of a double spend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(clippy::large_enum_variant, reason = "a document lives once, between codec and check")]
pub enum Accusation {
    /// Names the customer who answered twice.
    Customer(CustomerAccusation),
    /// Names the bank that did not say which customer did.
    Bank(BankAccusation),
}

/// Whom a checked accusation names, and who is liable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accused {
    /// The customer whose coin was answered for twice.
    Customer {
        /// Bank, account, session and index of the coin's withdrawal.
        origin: Origin,
        /// *I*.
        identity: Identity,
        /// What the bank certified to hold, and is itself liable for.
        collateral: Amount,
    },
    /// The bank itself.
    Bank {
        /// Its name.
        bank: Name,
        /// *m* of the coin.
        coin: Digest,
        /// *I* as the opening has it; registered or not.
        identity: Identity,
    },
}

impl Accusation {
    /// Checks everything: signatures, chains under `root` at the times that the center has signed, the opening.
    ///
    /// # Errors
    /// [`Rejection::AccusationInvalid`] when the parts are not about each other or the opening is not the withdrawal's,
    /// [`Rejection::CertificateInvalid`], [`Rejection::SignatureInvalid`], [`Rejection::PieceInvalid`].
    pub fn verify(&self, root: &TrustedRoot) -> Result<Accused, Rejection> {
        match self {
            Self::Customer(accusation) => accusation.verify(root),
            Self::Bank(accusation) => accusation.verify(root),
        }
    }
}

/// Evidence against a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomerAccusation {
    /// What two overlapping answers brought to light.
    pub opening: Opening,
    /// The line of the statement that it opens, from 0.
    pub index: u16,
    /// What the customer signed when it withdrew.
    pub withdrawal: SignedWithdrawal,
    /// Who the customer is.
    pub identity: AttestedIdentity,
}

impl CustomerAccusation {
    /// Puts the parts together: finds the line that the opening opens.
    ///
    /// # Errors
    /// [`Rejection::AccusationInvalid`] when the statement has no such line.
    pub fn new(
        opening: Opening,
        withdrawal: SignedWithdrawal,
        identity: AttestedIdentity,
    ) -> Result<Self, Rejection> {
        let commitment = opening.commitment().map_err(|_| Rejection::AccusationInvalid("opening"))?;
        let line = |line: &crate::withdraw::Line| (line.commitment, line.nu) == (commitment, opening.nu);
        let position = withdrawal.statement.lines.iter().position(line);
        let index = position.and_then(|index| u16::try_from(index).ok());
        let index = index.ok_or(Rejection::AccusationInvalid("no line of the statement has the opening"))?;
        Ok(Self { opening, index, withdrawal, identity })
    }

    fn verify(&self, root: &TrustedRoot) -> Result<Accused, Rejection> {
        let record = self.identity.verify(root)?;
        let statement = &self.withdrawal.statement;
        if (&statement.bank, &statement.account) != (&record.bank, &record.account) {
            return Err(Rejection::AccusationInvalid("the statement is not of the identity's account"));
        }
        self.withdrawal.verify(&record.signing_key()?)?;
        let line = statement.lines.get(usize::from(self.index));
        let line = line.ok_or(Rejection::AccusationInvalid("the statement has no such line"))?;
        let opened = self.opening.verify(&record.identity, &line.commitment, &line.nu);
        opened.map_err(|_| Rejection::AccusationInvalid("the opening is not that of the withdrawal"))?;
        let origin = Origin {
            bank: statement.bank.clone(),
            account: statement.account.clone(),
            session: statement.session,
            index: self.index,
        };
        Ok(Accused::Customer { origin, identity: record.identity, collateral: record.collateral })
    }
}

/// A piece with the challenge that it answers, outside of its chain: that two of them hold is all that matters here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnsweredPiece {
    /// The piece.
    pub piece: Piece,
    /// *d*.
    pub challenge: EncodedScalar,
}

impl AnsweredPiece {
    /// Of a checked piece.
    pub fn of(piece: &VerifiedPiece) -> Self {
        Self { piece: piece.piece().clone(), challenge: piece.challenge().into() }
    }

    fn verify(&self, key: &VerifiedKey) -> Result<VerifiedPiece, Rejection> {
        let challenge = self.challenge.decode().map_err(|_| Rejection::Malformed("challenge"))?;
        let verified = self.piece.verify(&key.public, &challenge);
        verified.map_err(|_| Rejection::PieceInvalid("it does not verify"))
    }
}

/// What the center says of a bank that was asked for the withdrawal behind an opening and did not produce it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NonAnswer {
    /// The bank.
    pub bank: Name,
    /// The id of the coin's key.
    pub key: Digest,
    /// When the center pinned the key's keyset.
    pub pinned_at: Timestamp,
    /// *m* of the coin.
    pub coin: Digest,
    /// What was asked about.
    pub opening: Opening,
    /// When the center asked.
    pub asked_at: Timestamp,
    /// When the time to answer was over.
    pub decided_at: Timestamp,
}

impl NonAnswer {
    /// `D("offline-cash/non-answer"; bank, key id, pinned_at, m, R, L1, ν, asked_at, decided_at)`.
    pub fn digest(&self) -> Digest {
        Transcript::new("offline-cash/non-answer")
            .text(self.bank.as_str())
            .digest(&self.key)
            .integer(self.pinned_at.seconds())
            .digest(&self.coin)
            .encoded_scalar(&self.opening.r)
            .encoded_scalar(&self.opening.identity_secret)
            .encoded_scalar(&self.opening.nu)
            .integer(self.asked_at.seconds())
            .integer(self.decided_at.seconds())
            .into_digest()
    }
}

/// A statement of non-answer, signed by the center.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedNonAnswer {
    /// The statement.
    pub statement: NonAnswer,
    /// By the center's document-signing key over its digest.
    pub signature: DocumentSignature,
    /// The center's document-signing chain, judged at `decided_at`.
    pub center: WireChain,
}

impl SignedNonAnswer {
    /// Signs a statement as the center.
    ///
    /// # Errors
    /// [`Rejection::Malformed`] never in practice.
    pub fn sign(statement: NonAnswer, key: &KeyPair, center: WireChain) -> Result<Self, Rejection> {
        let signature = DocumentSignature::sign(key, &statement.digest())?;
        Ok(Self { statement, signature, center })
    }

    /// Checks that the center said it.
    ///
    /// # Errors
    /// [`Rejection::AccusationInvalid`] when no time to answer had passed, [`Rejection::CertificateInvalid`],
    /// [`Rejection::SignatureInvalid`].
    pub fn verify(&self, root: &TrustedRoot) -> Result<&NonAnswer, Rejection> {
        let statement = &self.statement;
        if statement.asked_at >= statement.decided_at {
            return Err(Rejection::AccusationInvalid("the bank had no time to answer"));
        }
        let center = center_key(&self.center, root, statement.decided_at)?;
        self.signature.verify(&center, &statement.digest(), "statement of non-answer")?;
        Ok(statement)
    }
}

/// Evidence against a bank that did not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BankAccusation {
    /// Two answers of one coin that overlap.
    pub pieces: [AnsweredPiece; 2],
    /// The keyset with the coin's key.
    pub keyset: Keyset,
    /// The bank's document-signing chain, judged at the time of pinning.
    pub signer: WireChain,
    /// The center's word, with the opening.
    pub non_answer: SignedNonAnswer,
}

impl BankAccusation {
    fn verify(&self, root: &TrustedRoot) -> Result<Accused, Rejection> {
        let statement = self.non_answer.verify(root)?;
        let keyset = self.keyset.clone().verify_with_chain(&self.signer, statement.pinned_at, root)?;
        let key = keyset.keys.iter().find(|key| key.id == statement.key && key.bank == statement.bank);
        let key = key.ok_or(Rejection::AccusationInvalid("the keyset lacks the key"))?;
        let [one, other] = &self.pieces;
        let (one, other) = (one.verify(key)?, other.verify(key)?);
        if *one.message() != statement.coin {
            return Err(Rejection::AccusationInvalid("the pieces are of another coin"));
        }
        let opening = identify(&[&one, &other]);
        let opening = opening.map_err(|_| Rejection::AccusationInvalid("the pieces are of two coins"))?;
        if opening != Some(statement.opening) {
            return Err(Rejection::AccusationInvalid("the pieces do not bring the opening to light"));
        }
        let identity = statement
            .opening
            .identity()
            .map_err(|_| Rejection::AccusationInvalid("the opening names nobody"))?;
        Ok(Accused::Bank { bank: statement.bank.clone(), coin: statement.coin, identity })
    }
}
