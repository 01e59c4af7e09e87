//! A bank and a customer at the counter, shared by the tests of offline coins.

#![allow(dead_code, reason = "every test binary uses its own part")]

use feiqian_crypto::acl::{
    Announcement, Blinding, CommitmentSecret, Depth, IdentitySecret, SecretKey, Slot, announce,
    verify_opening,
};
use feiqian_crypto::batch::Blame;
use feiqian_crypto::share_tree::{
    Node, Own, Piece, SecretTree, Share, Shown, TreeBuilder, TreeSeed, UnsignedTree, VectorCommitment,
    VerifiedPiece, identify, verify_all,
};
use feiqian_crypto::{EncodedPoint, EncodedScalar, Rejection, Scalar, Transcript};
use rand::SeedableRng as _;
use rand::rngs::ChaCha12Rng;

pub(crate) fn rng(seed: u64) -> ChaCha12Rng {
    ChaCha12Rng::seed_from_u64(seed)
}

pub(crate) fn depth(levels: u8) -> Depth {
    Depth::new(levels).unwrap()
}

pub(crate) fn node(number: u64) -> Node {
    Node::new(number).unwrap()
}

pub(crate) fn challenge(context: &str, node: Node) -> Scalar {
    Transcript::new("test/pay").text(context).integer(node.into()).into_scalar()
}

pub(crate) fn slot(index: u64) -> Slot<'static> {
    Slot { bank: b"bank", account: b"account", session: b"session", index }
}

/// What bank and customer both have of a withdrawal.
pub(crate) struct Withdrawal {
    pub(crate) commitment: EncodedPoint,
    pub(crate) announcement: Announcement,
}

pub(crate) fn withdraw(
    key: &SecretKey,
    identity: &IdentitySecret,
    index: u64,
    rng: &mut ChaCha12Rng,
) -> (SecretTree, Withdrawal) {
    let tree = TreeBuilder::new(key.public()).build(TreeSeed::random(rng));
    withdraw_tree(key, identity, tree, index, rng)
}

pub(crate) fn withdraw_tree(
    key: &SecretKey,
    identity: &IdentitySecret,
    tree: UnsignedTree,
    index: u64,
    rng: &mut ChaCha12Rng,
) -> (SecretTree, Withdrawal) {
    let context = slot(index).opening_context(key.public());
    let commitment = identity.commit(CommitmentSecret::random(rng));
    let encoded = *commitment.encoded();
    let proof = commitment.prove(&context, rng);

    let proven = verify_opening(identity.public(), &encoded, &proof, &context).unwrap();
    let (secrets, announcement) = announce(key.public(), &proven, rng);

    let (pending, challenge) = tree.begin(commitment, &announcement, Blinding::random(rng)).unwrap();
    let coin = pending.finish(&secrets.respond(key, &challenge)).unwrap();
    (coin, Withdrawal { commitment: encoded, announcement })
}

/// A customer with one coin, and its bank.
pub(crate) struct World {
    pub(crate) key: SecretKey,
    pub(crate) identity: IdentitySecret,
    pub(crate) withdrawal: Withdrawal,
    pub(crate) coin: SecretTree,
    pub(crate) rng: ChaCha12Rng,
}

pub(crate) fn world(levels: u8, seed: u64) -> World {
    let mut rng = rng(seed);
    let key = SecretKey::generate(depth(levels), &mut rng);
    let identity = IdentitySecret::generate(&mut rng);
    let (coin, withdrawal) = withdraw(&key, &identity, 0, &mut rng);
    World { key, identity, withdrawal, coin, rng }
}

impl World {
    pub(crate) fn nodes(&self) -> Vec<Node> {
        Node::all(self.key.public().depth()).collect()
    }

    pub(crate) fn piece(&self, node: Node, challenge: &Scalar) -> Piece {
        self.coin.spend_again(node, challenge).unwrap()
    }

    pub(crate) fn verify(&self, piece: &Piece, challenge: &Scalar) -> Result<VerifiedPiece, Rejection> {
        piece.verify(self.key.public(), challenge)
    }

    /// Each node spent once, verified in one batch.
    pub(crate) fn verified(&mut self, nodes: &[Node], context: &str) -> Vec<VerifiedPiece> {
        let spent: Vec<_> = nodes
            .iter()
            .map(|node| challenge(context, *node))
            .zip(nodes)
            .map(|(challenge, node)| (self.piece(*node, &challenge), challenge))
            .collect();
        let key = self.key.public();
        let shown: Vec<_> = spent.iter().map(|(piece, challenge)| Shown { key, piece, challenge }).collect();
        verify_all(&shown, &mut self.rng).unwrap()
    }

    pub(crate) fn assert_names(&self, pieces: &[&VerifiedPiece]) {
        let opening = identify(pieces).unwrap().unwrap();
        assert_eq!(&opening.identity().unwrap(), self.identity.public());
        let Withdrawal { commitment, announcement } = &self.withdrawal;
        opening.verify(self.identity.public(), commitment, &announcement.nu).unwrap();
    }

    /// No payee takes the piece: alone and in a batch with an honest one.
    pub(crate) fn assert_refused(
        &mut self,
        piece: &Piece,
        challenge: &Scalar,
        because: Rejection,
        what: &str,
    ) {
        assert_eq!(self.verify(piece, challenge).unwrap_err(), because, "{what}");
        let honest_challenge = self::challenge("honest", Node::ROOT);
        let honest = self.piece(Node::ROOT, &honest_challenge);
        let key = self.key.public();
        let shown =
            [Shown { key, piece: &honest, challenge: &honest_challenge }, Shown { key, piece, challenge }];
        let blame = verify_all(&shown, &mut self.rng).unwrap_err();
        assert_eq!(blame, Blame { indices: vec![1] }, "{what}");
    }
}

pub(crate) fn other_scalar(scalar: &mut EncodedScalar) {
    *scalar = (scalar.decode().unwrap() + Scalar::ONE).into();
}

pub(crate) fn other_point(point: &mut EncodedPoint) {
    *point = (point.decode().unwrap() + feiqian_crypto::generators::g()).into();
}

/// Every scalar and every point of a piece, by number; whether there was one.
pub(crate) fn tamper(
    piece: &mut Piece,
    place: usize,
    scalar: impl FnOnce(&mut EncodedScalar),
    point: impl FnOnce(&mut EncodedPoint),
) -> bool {
    let signature = &mut piece.signature;
    let mut scalars = vec![
        &mut signature.rho,
        &mut signature.omega,
        &mut signature.rho1,
        &mut signature.rho2,
        &mut signature.omega_prime,
        &mut signature.mu,
    ];
    let mut points = vec![&mut signature.zeta, &mut signature.zeta1];
    let (mut shares, mut commitments): (Vec<&mut Share>, Vec<&mut VectorCommitment>) = match &mut piece.own {
        Own::Leaf { share, commitment } => (vec![share], vec![commitment]),
        Own::Inner { shares, commitments, .. } => {
            (shares.iter_mut().collect(), commitments.iter_mut().collect())
        }
    };
    for ancestor in &mut piece.ancestors {
        shares.push(&mut ancestor.share);
        commitments.extend(&mut ancestor.commitments);
    }
    scalars.extend(shares.into_iter().flat_map(|share| &mut share.0));
    points.extend(commitments.into_iter().flat_map(|each| [&mut each.vector, &mut each.scale]));
    let count = scalars.len();
    if place < count {
        scalar(scalars[place]);
        true
    } else if place < count + points.len() {
        point(points[place - count]);
        true
    } else {
        false
    }
}
