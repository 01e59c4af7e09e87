//! Wallets modified to cheat, which commit to and answer whatever they like: what a payee takes of them still names them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

mod offline;

use feiqian_crypto::acl::{
    self, Blinding, CommitmentSecret, IdentitySecret, PublicKey, SecretKey, Signature, announce,
    verify_opening,
};
use feiqian_crypto::share_tree::{
    Ancestor, Own, Piece, Share, Shown, VectorCommitment, VerifiedPiece, identify, verify_all,
};
use feiqian_crypto::{
    Digest, EncodedPoint, EncodedScalar, Rejection, RistrettoPoint, Scalar, Transcript, generators, scalar,
};
use offline::{Withdrawal, challenge, depth, node, rng, slot};
use rand::rngs::ChaCha12Rng;

type Vector = [Scalar; 4];
type Pair = [RistrettoPoint; 2];

fn zip(one: &Vector, other: &Vector, each: impl Fn(&Scalar, &Scalar) -> Scalar) -> Vector {
    core::array::from_fn(|place| each(&one[place], &other[place]))
}

/// *a* + *tb*.
fn line(a: &Vector, b: &Vector, t: &Scalar) -> Vector {
    zip(a, b, |a, b| a + t * b)
}

fn commit(key: &PublicKey, [v0, v1, v2, v3]: &Vector) -> Pair {
    [v0 * generators::h0() + v1 * generators::h1() + v2 * generators::g(), v3 * key.z()]
}

fn random(rng: &mut ChaCha12Rng) -> Vector {
    core::array::from_fn(|_| scalar::random(rng))
}

fn second(d: &Scalar) -> Scalar {
    Transcript::new("share-tree/second").scalar(d).into_scalar()
}

/// A coin of depth 1 (root 1, leaves 2 and 3) whose commitments are the wallet's own choice. It knows *k* before it
/// chooses: *γ* is its own, and *R*, *L1* and *ν* are known by then.
struct Modified {
    key: SecretKey,
    identity: IdentitySecret,
    withdrawal: Withdrawal,
    k: Vector,
    signature: Signature,
    commitments: [Vec<VectorCommitment>; 3],
    digests: [Digest; 3],
    rng: ChaCha12Rng,
}

impl Modified {
    /// `tree` gives the commitments of the root (two) and of the leaves (one each).
    fn new(seed: u64, tree: impl FnOnce(&PublicKey, &Vector) -> [Vec<Pair>; 3]) -> Self {
        let mut rng = rng(seed);
        let key = SecretKey::generate(depth(1), &mut rng);
        let public = *key.public();
        let identity = IdentitySecret::generate(&mut rng);
        let (r, gamma) = (scalar::random(&mut rng), scalar::random_non_zero(&mut rng));
        let commitment = identity.commit(CommitmentSecret::from_scalar(r));
        let encoded = *commitment.encoded();
        let context = slot(0).opening_context(&public);
        let proof = commitment.prove(&context, &mut rng);
        let proven = verify_opening(identity.public(), &encoded, &proof, &context).unwrap();
        let (answers, announcement) = announce(&public, &proven, &mut rng);
        let (l1, nu) =
            (EncodedScalar(*identity.to_bytes()).decode().unwrap(), announcement.nu.decode().unwrap());
        let k = [gamma * r, gamma * l1, gamma * nu, -gamma];

        let encode = |pair: &Pair| {
            let [vector, scale] = pair.map(EncodedPoint::from);
            VectorCommitment { vector, scale }
        };
        let commitments = tree(&public, &k).map(|pairs| pairs.iter().map(encode).collect::<Vec<_>>());
        let hash = |label: &str, commitments: &[VectorCommitment]| {
            let add = |transcript: Transcript, each: &VectorCommitment| {
                transcript.point(&each.vector).point(&each.scale)
            };
            commitments.iter().fold(Transcript::new(label), add)
        };
        let leaves = [1, 2].map(|place| hash("share-tree/leaf", &commitments[place]).into_digest());
        let root =
            hash("share-tree/node", &commitments[0]).digest(&leaves[0]).digest(&leaves[1]).into_digest();
        let t = core::array::from_fn(|_| scalar::random(&mut rng));
        let blinding = Blinding::from_scalars(gamma, scalar::random(&mut rng), t).unwrap();
        let (pending, e) = acl::blind(&public, commitment, &announcement, blinding, &root).unwrap();
        let (signature, vector) = pending.finish(&answers.respond(&key, &e)).unwrap();
        assert_eq!(vector.to_scalars(), k, "the secret was known beforehand");
        let withdrawal = Withdrawal { commitment: encoded, announcement };
        let digests = [root, leaves[0], leaves[1]];
        Self { key, identity, withdrawal, k, signature, commitments, digests, rng }
    }

    /// Leaf 2 or 3 with these values at *d* and, of the root, at its side.
    fn leaf(&self, number: usize, own: &Vector, above: &Vector) -> Piece {
        let ancestor = Ancestor {
            share: Share(above.each_ref().map(EncodedScalar::from)),
            commitments: [self.commitments[0][0], self.commitments[0][1]],
            sibling: self.digests[if number == 2 { 2 } else { 1 }],
        };
        Piece {
            signature: self.signature,
            node: node(number as u64),
            own: Own::Leaf {
                share: Share(own.each_ref().map(EncodedScalar::from)),
                commitment: self.commitments[number - 1][0],
            },
            ancestors: vec![ancestor],
        }
    }

    /// The root with these values at *d* and *d*₂.
    fn root(&self, values: &[Vector; 2]) -> Piece {
        let share = |value: &Vector| Share(value.each_ref().map(EncodedScalar::from));
        Piece {
            signature: self.signature,
            node: node(1),
            own: Own::Inner {
                shares: values.each_ref().map(share),
                commitments: [self.commitments[0][0], self.commitments[0][1]],
                children: [self.digests[1], self.digests[2]],
            },
            ancestors: Vec::new(),
        }
    }

    /// What a payee says, alone and in a batch.
    fn shown(&mut self, piece: &Piece, d: &Scalar) -> Result<VerifiedPiece, Rejection> {
        let key = self.key.public();
        let alone = piece.verify(key, d);
        let batch = verify_all(&[Shown { key, piece, challenge: d }], &mut self.rng);
        assert_eq!(alone.is_ok(), batch.is_ok());
        alone
    }

    fn refused(&mut self, piece: &Piece, d: &Scalar, what: &str) {
        assert_eq!(self.shown(piece, d).unwrap_err(), Rejection::Share, "{what}");
    }

    fn names(&self, pieces: &[&VerifiedPiece]) {
        let opening = identify(pieces).unwrap().unwrap();
        assert_eq!(&opening.identity().unwrap(), self.identity.public());
        let Withdrawal { commitment, announcement } = &self.withdrawal;
        opening.verify(self.identity.public(), commitment, &announcement.nu).unwrap();
    }
}

/// *d* as a payee asks for it; a cheat that could foresee one of them gains nothing either.
fn asked(payee: &str) -> Scalar {
    challenge(payee, node(1))
}

#[test]
fn unequal_constants_are_refused_or_are_none() {
    let mut rng = rng(100);
    let [x1, x2, y, z, other] = core::array::from_fn(|_| random(&mut rng));
    let (foreseen, next) = (asked("foreseen"), asked("next"));
    // Leaf 2 hides another constant behind its own commitment. Leaf 3's commitment is fitted so that the line through
    // another constant opens at the one challenge that was foreseen.
    let fitted = |k: &Vector| {
        let value = line(&other, &z, &foreseen);
        zip(&value, k, |value, k| (value - k) * foreseen.invert())
    };
    let mut wallet = Modified::new(101, |key, k| {
        [vec![commit(key, &x1), commit(key, &x2)], vec![commit(key, &y)], vec![commit(key, &fitted(k))]]
    });
    let k = wallet.k;
    let root = |t: &Scalar| line(&line(&k, &x1, t), &x2, &(t * t));
    let (left, right) = (root(&Scalar::ONE), root(&Scalar::from(2_u8)));

    let piece = wallet.leaf(2, &line(&other, &y, &next), &left);
    wallet.refused(&piece, &next, "another constant");
    let above = line(&line(&other, &x1, &Scalar::ONE), &x2, &Scalar::ONE);
    let piece = wallet.leaf(2, &line(&k, &y, &next), &above);
    wallet.refused(&piece, &next, "another constant above");
    let piece =
        wallet.root(&[foreseen, second(&foreseen)].map(|t| line(&line(&other, &x1, &t), &x2, &(t * t))));
    wallet.refused(&piece, &foreseen, "another constant at the root");

    let first = wallet.leaf(3, &line(&other, &z, &foreseen), &right);
    let first = wallet.shown(&first, &foreseen).unwrap();
    let again = wallet.leaf(3, &line(&other, &z, &next), &right);
    wallet.refused(&again, &next, "the same line at another challenge");
    let again = wallet.leaf(3, &line(&k, &fitted(&k), &next), &right);
    let again = wallet.shown(&again, &next).unwrap();
    wallet.names(&[&first, &again]);
}

/// The points at which the nodes above answer are known beforehand, so those answers can be made to show nothing: the
/// parabola through *k* at 0, and zero at 1 and 2. Every pair that overlaps names the cheat all the same.
#[test]
fn a_parabola_that_shows_nothing_above_names_the_cheat_below() {
    let mut rng = rng(110);
    let [y, z] = core::array::from_fn(|_| random(&mut rng));
    let half = Scalar::from(2_u8).invert();
    let zero = [Scalar::ZERO; 4];
    let linear = |k: &Vector| k.map(|k| -(Scalar::from(3_u8) * half) * k);
    let square = |k: &Vector| k.map(|k| half * k);
    let mut wallet = Modified::new(111, |key, k| {
        let above = vec![commit(key, &linear(k)), commit(key, &square(k))];
        [above, vec![commit(key, &y)], vec![commit(key, &z)]]
    });
    let k = wallet.k;
    let (one, two) = (asked("one"), asked("two"));
    let mut leaf = |number: usize, slope: &Vector, d: &Scalar| {
        let piece = wallet.leaf(number, &line(&k, slope, d), &zero);
        wallet.shown(&piece, d).unwrap()
    };
    let (left, left_again, right) = (leaf(2, &y, &one), leaf(2, &y, &two), leaf(3, &z, &one));
    let at = |t: &Scalar| line(&line(&k, &linear(&k), t), &square(&k), &(t * t));
    let whole = wallet.root(&[at(&two), at(&second(&two))]);
    let whole = wallet.shown(&whole, &two).unwrap();
    assert_eq!(identify(&[&left, &right]).unwrap(), None);
    for pair in [[&left, &left_again], [&left, &whole], [&right, &whole]] {
        wallet.names(&pair);
    }
}

#[test]
fn other_degrees_are_refused() {
    let mut rng = rng(120);
    let [x1, x2, y, z, more] = core::array::from_fn(|_| random(&mut rng));
    let mut wallet = Modified::new(121, |key, _| {
        [vec![commit(key, &x1), commit(key, &x2)], vec![commit(key, &y)], vec![commit(key, &z)]]
    });
    let (k, d) = (wallet.k, asked("payee"));
    let root = |t: &Scalar| line(&line(&k, &x1, t), &x2, &(t * t));
    let above = root(&Scalar::ONE);
    let parabola = line(&line(&k, &y, &d), &more, &(d * d));
    let piece = wallet.leaf(2, &parabola, &above);
    wallet.refused(&piece, &d, "a parabola for a line");
    let piece = wallet.leaf(2, &line(&k, &y, &d), &line(&above, &more, &Scalar::ONE));
    wallet.refused(&piece, &d, "a cubic above");
    let cubic = |t: Scalar| line(&root(&t), &more, &(t * t * t));
    let piece = wallet.root(&[cubic(d), cubic(second(&d))]);
    wallet.refused(&piece, &d, "a cubic for a parabola");
    let piece = wallet.root(&[line(&k, &x1, &d), line(&k, &x1, &second(&d))]);
    wallet.refused(&piece, &d, "a line where a parabola was committed to");
    let sound = wallet.leaf(2, &line(&k, &y, &d), &above);
    assert!(wallet.shown(&sound, &d).is_ok(), "what was committed to is taken");
}

/// −*ζ* = *k*₃·Z carries *γ*, by which the opening is divided: a false one would name somebody else.
#[test]
fn another_eta_is_refused_or_is_none() {
    let mut rng = rng(130);
    let [x1, x2, y, z] = core::array::from_fn(|_| random(&mut rng));
    let (foreseen, next, gamma) = (asked("foreseen"), asked("next"), scalar::random(&mut rng));
    let foreign = SecretKey::generate(depth(1), &mut rng);
    // Leaf 2: the scale over another key's Z. Leaf 3: the scale fitted to another γ at one challenge.
    let fitted = |k: &Vector| (gamma + z[3] * foreseen - k[3]) * foreseen.invert();
    let mut wallet = Modified::new(131, |key, k| {
        let mut right = z;
        right[3] = fitted(k);
        let [vector, _] = commit(key, &y);
        let [_, scale] = commit(foreign.public(), &y);
        [vec![commit(key, &x1), commit(key, &x2)], vec![[vector, scale]], vec![commit(key, &right)]]
    });
    let k = wallet.k;
    let root = |t: &Scalar| line(&line(&k, &x1, t), &x2, &(t * t));
    let (left, right) = (root(&Scalar::ONE), root(&Scalar::from(2_u8)));
    let piece = wallet.leaf(2, &line(&k, &y, &next), &left);
    wallet.refused(&piece, &next, "a scale over another Z");

    let other = [k[0], k[1], k[2], gamma];
    let value = |t: &Scalar| line(&other, &z, t);
    let first = wallet.leaf(3, &value(&foreseen), &right);
    let first = wallet.shown(&first, &foreseen).unwrap();
    let again = wallet.leaf(3, &value(&next), &right);
    wallet.refused(&again, &next, "another γ");
    let mut slope = z;
    slope[3] = fitted(&k);
    let again = wallet.leaf(3, &line(&k, &slope, &next), &right);
    let again = wallet.shown(&again, &next).unwrap();
    wallet.names(&[&first, &again]);
    let mut above = root(&Scalar::ONE);
    above[3] = gamma;
    let piece = wallet.leaf(2, &line(&k, &y, &next), &above);
    wallet.refused(&piece, &next, "another γ above");
}

/// Once two overlapping shares are out, whoever has seen both answers a third challenge: a forged fork, which holds. So
/// nobody takes a piece of an exposed coin; before, one share alone says nothing.
#[test]
fn whoever_has_seen_two_overlapping_shares_forges_a_third() {
    let mut world = offline::world(3, 140);
    let key = *world.key.public();
    let leaf = node(13);
    let [one, two, three] = ["one", "two", "three"].map(|payee| challenge(payee, leaf));
    let [first, other] = [&one, &two].map(|d| world.piece(leaf, d));
    let value = |piece: &Piece| match piece.own {
        Own::Leaf { share: Share(share), .. } => share.map(|scalar| scalar.decode().unwrap()),
        Own::Inner { .. } => unreachable!("a leaf"),
    };
    // The line through two points.
    let slope = zip(&value(&first), &value(&other), |a, b| (b - a) * (two - one).invert());
    let third = line(&value(&first), &slope, &(three - one));
    let mut forged = first.clone();
    if let Own::Leaf { share, .. } = &mut forged.own {
        *share = Share(third.each_ref().map(EncodedScalar::from));
    }
    let forged = forged.verify(&key, &three).unwrap();
    let honest = [(&first, &one), (&other, &two)].map(|(piece, d)| piece.verify(&key, d).unwrap());
    for known in &honest {
        world.assert_names(&[known, &forged]);
    }
    // With one share alone any line through it fits: the guess is refused.
    let guess = line(&value(&first), &random(&mut world.rng), &(three - one));
    let mut guessed = first;
    if let Own::Leaf { share, .. } = &mut guessed.own {
        *share = Share(guess.each_ref().map(EncodedScalar::from));
    }
    world.assert_refused(&guessed, &three, Rejection::Share, "a guess");
}
