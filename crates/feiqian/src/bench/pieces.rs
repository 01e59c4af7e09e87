//! Offline coins of the greatest depth, 64 leaves each: the bank's part of a withdrawal, the whole of it, spending every
//! leaf of a coin, checking leaves, and naming who spent a leaf twice.

use std::hint::black_box;

use feiqian_crypto::acl::{
    Blinding, CommitmentSecret, Depth, IdentitySecret, OpeningProof, SecretKey, Slot, announce,
    verify_opening,
};
use feiqian_crypto::share_tree::{
    Piece, SecretNode, SecretTree, Shown, TreeBuilder, TreeSeed, VerifiedPiece, identify, verify_all,
};
use feiqian_crypto::{Digest, EncodedPoint, Misuse, Rejection, Scalar, scalar};
use feiqian_node::{Entropy as _, SystemEntropy};
use feiqian_wire::error::{Code, Fault};
use rand_core::CryptoRng;

/// The leaves of a coin, and how many pieces are checked together.
pub(super) const LEAVES: usize = 64;

const SLOT: Slot<'_> = Slot { bank: b"bank", account: b"account", session: b"session", index: 0 };

/// A bank's key, a customer, a coin as it is stored, and leaves of different coins with their challenges.
pub(super) struct Pieces {
    key: SecretKey,
    builder: TreeBuilder,
    person: IdentitySecret,
    commitment: EncodedPoint,
    proof: OpeningProof,
    context: Digest,
    stored: [u8; SecretTree::STORED_LENGTH],
    shown: Vec<(Piece, Scalar)>,
    twice: [VerifiedPiece; 2],
}

/// Why the material cannot be made: a mistake of this program in any case.
#[derive(Debug, thiserror::Error)]
enum Unmade {
    #[error(transparent)]
    Rejected(#[from] Rejection),
    #[error(transparent)]
    Misused(#[from] Misuse),
    #[error("a coin has too few leaves")]
    Leaves,
}

/// A whole withdrawal, both sides.
fn withdraw(
    key: &SecretKey,
    builder: &TreeBuilder,
    person: &IdentitySecret,
    rng: &mut impl CryptoRng,
) -> Result<SecretTree, Rejection> {
    let context = SLOT.opening_context(key.public());
    let commitment = person.commit(CommitmentSecret::random(rng));
    let encoded = *commitment.encoded();
    let proof = commitment.prove(&context, rng);
    let proven = verify_opening(person.public(), &encoded, &proof, &context)?;
    let (answers, announcement) = announce(key.public(), &proven, rng);
    let tree = builder.build(TreeSeed::random(rng));
    let (pending, challenge) = tree.begin(commitment, &announcement, Blinding::random(rng))?;
    pending.finish(&answers.respond(key, &challenge))
}

/// All leaves of a coin, from the left.
fn leaves(coin: SecretTree) -> Vec<SecretNode> {
    let mut left = coin.into_nodes(&[]);
    let mut found = Vec::with_capacity(LEAVES);
    while let Some(node) = left.pop() {
        match node.divide() {
            Ok([one, other]) => left.extend([other, one]),
            Err(leaf) => found.push(leaf),
        }
    }
    found
}

fn first_leaf(coin: SecretTree, challenge: &Scalar) -> Result<Piece, Unmade> {
    let leaf = leaves(coin).into_iter().next().ok_or(Unmade::Leaves)?;
    Ok(leaf.spend(challenge)?)
}

impl Pieces {
    /// Withdraws coins and spends the first leaf of each, of one coin twice.
    ///
    /// # Errors
    /// `INTERNAL` when a piece does not verify or its double-spender is not found.
    pub(super) fn make() -> Result<Self, Fault> {
        let failed = |error: &dyn std::fmt::Display| {
            Fault::new(Code::Internal, format!("an offline coin made for the measure is not good: {error}"))
        };
        Self::made(&mut SystemEntropy.rng()).map_err(|error| failed(&error))
    }

    fn made(rng: &mut impl CryptoRng) -> Result<Self, Unmade> {
        let key = SecretKey::generate(Depth::MAX, rng);
        let builder = TreeBuilder::new(key.public());
        let person = IdentitySecret::generate(rng);
        let context = SLOT.opening_context(key.public());
        let pending = person.commit(CommitmentSecret::random(rng));
        let (commitment, proof) = (*pending.encoded(), pending.prove(&context, rng));
        let stored = *withdraw(&key, &builder, &person, rng)?.export();
        let leaf_at = |challenge: &Scalar| -> Result<VerifiedPiece, Unmade> {
            let piece = first_leaf(SecretTree::import(&builder, &stored)?, challenge)?;
            Ok(piece.verify(key.public(), challenge)?)
        };
        let twice = [leaf_at(&scalar::random(rng))?, leaf_at(&scalar::random(rng))?];
        let [one, other] = &twice;
        identify(&[one, other])?.ok_or(Unmade::Leaves)?;
        let mut shown = Vec::with_capacity(LEAVES);
        for _ in 0..LEAVES {
            let challenge = scalar::random(rng);
            let coin = withdraw(&key, &builder, &person, rng)?;
            shown.push((first_leaf(coin, &challenge)?, challenge));
        }
        Ok(Self { key, builder, person, commitment, proof, context, stored, shown, twice })
    }

    /// The bank's part of a withdrawal: the opening proof, the announcement and the answer.
    pub(super) fn issuing(&self) -> impl FnMut() {
        let mut rng = SystemEntropy.rng();
        let challenge = feiqian_crypto::acl::Challenge::try_from(feiqian_crypto::EncodedScalar::from(
            &scalar::random(&mut rng),
        ));
        move || {
            let proven = verify_opening(self.person.public(), &self.commitment, &self.proof, &self.context);
            debug_assert!(proven.is_ok(), "a proof made for the measure verifies");
            if let (Ok(proven), Ok(challenge)) = (proven, &challenge) {
                let (answers, announcement) = announce(self.key.public(), &proven, &mut rng);
                black_box(announcement);
                black_box(answers.respond(&self.key, challenge));
            }
        }
    }

    /// Withdraws a coin again and again, both sides.
    pub(super) fn withdrawing(&self) -> impl FnMut() {
        let mut rng = SystemEntropy.rng();
        move || {
            let coin = withdraw(&self.key, &self.builder, &self.person, &mut rng);
            debug_assert!(coin.is_ok(), "an honest withdrawal succeeds");
            let _ = black_box(coin);
        }
    }

    /// Reads a coin from its stored form and spends all its leaves.
    pub(super) fn paying(&self) -> impl FnMut() {
        let challenge = scalar::random(&mut SystemEntropy.rng());
        move || {
            let coin = SecretTree::import(&self.builder, &self.stored);
            debug_assert!(coin.is_ok(), "a coin made for the measure is read");
            for leaf in coin.map(leaves).unwrap_or_default() {
                let _ = black_box(leaf.spend(&challenge));
            }
        }
    }

    /// The first pieces, as the verifier takes them.
    pub(super) fn shown(&self, batch: usize) -> Vec<Shown<'_>> {
        let shown = |(piece, challenge)| Shown { key: self.key.public(), piece, challenge };
        self.shown.iter().take(batch).map(|(piece, challenge)| shown((piece, challenge))).collect()
    }

    /// Names who spent one leaf twice.
    pub(super) fn naming(&self) -> impl FnMut() {
        move || {
            let [one, other] = &self.twice;
            let opening = identify(&[one, other]);
            debug_assert!(matches!(opening, Ok(Some(_))), "a leaf that was spent twice names its owner");
            if let Ok(Some(opening)) = opening {
                let _ = black_box(opening.identity());
            }
        }
    }
}

/// Checks pieces again and again; one alone as a payee does it, more with one multiscalar multiplication.
pub(super) fn checking(shown: &[Shown<'_>]) -> impl FnMut() {
    let mut rng = SystemEntropy.rng();
    move || {
        let sound = match shown {
            [Shown { key, piece, challenge }] => black_box(piece.verify(key, challenge)).is_ok(),
            _ => black_box(verify_all(shown, &mut rng)).is_ok(),
        };
        debug_assert!(sound, "pieces made for the measure verify");
    }
}
