//! Vectors of the share tree.

#![allow(clippy::indexing_slicing, reason = "pieces of known shape, made by constants; a test runs it all")]

use curve25519_dalek::Scalar;
use serde_json::{Value, json};

use super::acl::{Inputs, key_json};
use super::{digest, encode, flip, invalid, merge, plus_order, stream, valid};
use crate::acl::{Announcement, PublicKey};
use crate::encoded::{Digest, EncodedPoint, EncodedScalar};
use crate::share_tree::{
    Node, Opening, Own, Piece, SecretTree, Share, TreeBuilder, TreeSeed, UnsignedTree, identify,
};
use crate::transcript::Transcript;

const CONSTANT: &str = "constant inputs are well formed";

/// A coin and what was said when it was withdrawn.
struct Withdrawn {
    inputs: Inputs,
    announcement: Announcement,
    seed: [u8; 32],
    coin: SecretTree,
}

impl Withdrawn {
    fn run(inputs: Inputs, tree: UnsignedTree, seed: [u8; 32]) -> Self {
        let (secrets, announcement) = inputs.announce();
        let (pending, challenge) =
            tree.begin(inputs.commitment(), &announcement, inputs.blinding()).expect(CONSTANT);
        let coin = pending.finish(&secrets.respond(&inputs.key, &challenge)).expect(CONSTANT);
        Self { inputs, announcement, seed, coin }
    }

    fn honest(levels: u8, stream_number: u64, seed: &str) -> Self {
        let inputs = Inputs::random(levels, &mut stream(stream_number));
        let seed = digest(seed).0;
        let tree = TreeBuilder::new(inputs.key.public()).build(TreeSeed::from_bytes(seed));
        Self::run(inputs, tree, seed)
    }

    fn public(&self) -> &PublicKey {
        self.inputs.key.public()
    }

    fn spend(&self, number: u64, challenge: &Scalar) -> Piece {
        self.coin.spend_again(node(number), challenge).expect(CONSTANT)
    }

    fn tree_vector(&self, name: &str) -> Value {
        let inputs = merge(key_json(self.public()), json!({ "seed": hex::encode(self.seed) }));
        valid(name, "share-tree/build", inputs, json!({ "root": self.coin.root() }))
    }

    fn spend_vector(&self, name: &str, number: u64) -> Value {
        let challenge = challenge(name);
        let inputs = json!({
            "seed": hex::encode(self.seed), "k": self.coin.secret().to_scalars().map(EncodedScalar::from),
            "signature": self.coin.signature(), "node": number.to_string(), "challenge": encode(&challenge),
        });
        let outputs = json!({ "piece": self.spend(number, &challenge) });
        valid(name, "share-tree/spend", merge(key_json(self.public()), inputs), outputs)
    }

    fn verify_inputs(&self, piece: &Piece, challenge: &Scalar) -> Value {
        merge(key_json(self.public()), json!({ "piece": piece, "challenge": encode(challenge) }))
    }

    fn accepted(&self, name: &str, piece: &Piece, challenge: &Scalar) -> Value {
        let outputs = json!({ "m": self.coin.message() });
        valid(name, "share-tree/verify", self.verify_inputs(piece, challenge), outputs)
    }

    fn refused(&self, name: &str, piece: &Piece, challenge: &Scalar, reason: &str) -> Value {
        invalid(name, "share-tree/verify", self.verify_inputs(piece, challenge), reason)
    }

    /// What spends of these nodes, each under its own challenge, tell.
    fn identify_vector(&self, name: &str, nodes: &[u64]) -> (Value, Option<Opening>) {
        let spent: Vec<_> = (0_u64..)
            .zip(nodes)
            .map(|(place, number)| {
                let challenge = Transcript::new("vectors/spend").text(name).integer(place).into_scalar();
                (self.spend(*number, &challenge), challenge)
            })
            .collect();
        let verified: Vec<_> = spent
            .iter()
            .map(|(piece, challenge)| piece.verify(self.public(), challenge).expect(CONSTANT))
            .collect();
        let opening = identify(&verified.iter().collect::<Vec<_>>()).expect(CONSTANT);
        let spent: Vec<_> = spent
            .iter()
            .map(|(piece, challenge)| json!({ "piece": piece, "challenge": encode(challenge) }))
            .collect();
        let inputs = merge(key_json(self.public()), json!({ "spent": spent }));
        let identity = opening.map(|opening| opening.identity().expect(CONSTANT));
        let outputs = json!({ "opening": opening, "I": identity });
        (valid(name, "share-tree/identify", inputs, outputs), opening)
    }

    fn accuse_inputs(&self, opening: &Opening) -> Value {
        json!({
            "opening": opening, "I": self.inputs.identity.public(), "C": self.inputs.commitment().encoded(),
            "nu": self.announcement.nu,
        })
    }
}

fn node(number: u64) -> Node {
    Node::new(number).expect(CONSTANT)
}

fn challenge(name: &str) -> Scalar {
    Transcript::new("vectors/spend").text(name).into_scalar()
}

pub(super) fn vectors() -> Vec<Value> {
    let coin = Withdrawn::honest(3, 6, "tree");
    let unit = Withdrawn::honest(0, 7, "unit");
    let deep = Withdrawn::honest(6, 8, "deep tree");
    let accomplice = Withdrawn::honest(3, 9, "tree");
    let mut all = vec![
        unit.tree_vector("a coin that does not divide"),
        coin.tree_vector("a tree of depth 3"),
        deep.tree_vector("a tree of depth 6"),
        coin.spend_vector("the whole coin", 1),
        coin.spend_vector("a node in the middle", 5),
        coin.spend_vector("a leaf", 11),
        deep.spend_vector("the last leaf of the deepest tree", 127),
        unit.spend_vector("the whole of a coin that does not divide", 1),
    ];
    all.extend(refusals(&coin, &accomplice));
    all.extend(shapes(&coin));
    all.extend(dishonest());
    all.extend(identifications(&coin));
    all
}

fn changed(piece: &Piece, change: impl FnOnce(&mut Piece)) -> Piece {
    let mut piece = piece.clone();
    change(&mut piece);
    piece
}

fn first_share(piece: &mut Piece) -> &mut Share {
    match &mut piece.own {
        Own::Leaf { share, .. } => share,
        Own::Inner { shares: [share, _], .. } => share,
    }
}

fn refusals(coin: &Withdrawn, accomplice: &Withdrawn) -> Vec<Value> {
    let d = challenge("refusals");
    let (leaf, inner) = (coin.spend(11, &d), coin.spend(5, &d));
    let refused = |name: &str, piece: Piece, reason: &str| coin.refused(name, &piece, &d, reason);
    let leaf_with =
        |name: &str, change: fn(&mut Piece), reason: &str| refused(name, changed(&leaf, change), reason);
    let share = "a share does not open its commitments";
    let signature = "the signature does not hold for the root";
    let mut all = vec![
        coin.accepted("a good piece, a leaf", &leaf, &d),
        coin.accepted("a good piece, an inner node", &inner, &d),
        coin.refused("another challenge", &leaf, &challenge("another"), share),
        accomplice.refused("another key", &leaf, &d, signature),
        leaf_with(
            "a share is changed",
            |piece| first_share(piece).0[1].0 = flip(first_share(piece).0[1].0, 4),
            share,
        ),
        leaf_with(
            "a share is not canonical",
            |piece| first_share(piece).0[0] = plus_order(&first_share(piece).0[0]),
            "not canonical",
        ),
        leaf_with(
            "the fourth coordinate of an ancestor's share is changed",
            |piece| {
                piece.ancestors[1].share.0[3].0 = flip(piece.ancestors[1].share.0[3].0, 4);
            },
            share,
        ),
        leaf_with(
            "a commitment of an ancestor is the identity",
            |piece| piece.ancestors[0].commitments[1].vector = EncodedPoint([0; 32]),
            signature,
        ),
        leaf_with(
            "a commitment is not a point",
            |piece| piece.ancestors[0].commitments[0].scale = EncodedPoint([0xff; 32]),
            "not a point",
        ),
        leaf_with(
            "a sibling is changed",
            |piece| piece.ancestors[2].sibling = Digest(flip(piece.ancestors[2].sibling.0, 9)),
            signature,
        ),
        leaf_with("the neighbour's number", |piece| piece.node = node(10), signature),
        leaf_with("ζ is the identity", |piece| piece.signature.zeta = EncodedPoint([0; 32]), "identity"),
        refused(
            "the shares of an inner node are swapped",
            changed(&inner, |piece| {
                if let Own::Inner { shares, .. } = &mut piece.own {
                    shares.swap(0, 1)
                }
            }),
            share,
        ),
        refused(
            "the children of an inner node are swapped",
            changed(&inner, |piece| {
                if let Own::Inner { children, .. } = &mut piece.own {
                    children.swap(0, 1)
                }
            }),
            signature,
        ),
        refused(
            "an accomplice's signature on another coin",
            changed(&leaf, |piece| piece.signature = *accomplice.coin.signature()),
            signature,
        ),
    ];
    for forbidden in [0_u8, 1, 2] {
        let name = format!("the challenge is {forbidden}");
        all.push(coin.refused(&name, &leaf, &Scalar::from(forbidden), "a forbidden point"));
    }
    all
}

fn shapes(coin: &Withdrawn) -> Vec<Value> {
    let d = challenge("shapes");
    let (leaf, inner) = (coin.spend(11, &d), coin.spend(5, &d));
    let refused = |name: &str, piece: Piece, reason: &str| coin.refused(name, &piece, &d, reason);
    let with_depth = |depth: &str| merge(coin.verify_inputs(&leaf, &d), json!({ "depth": depth }));
    vec![
        refused("an ancestor is missing", changed(&leaf, |piece| piece.ancestors.truncate(2)), "shape"),
        refused(
            "an ancestor too many",
            changed(&leaf, |piece| piece.ancestors.push(piece.ancestors[0])),
            "shape",
        ),
        refused(
            "the parts of an inner node at a leaf",
            changed(&leaf, |piece| piece.own = inner.own),
            "shape",
        ),
        refused(
            "the parts of a leaf at an inner node",
            changed(&inner, |piece| piece.own = leaf.own),
            "shape",
        ),
        refused("a node deeper than the tree", changed(&leaf, |piece| piece.node = node(22)), "node outside"),
        invalid("a deeper key", "share-tree/verify", with_depth("4"), "shape"),
        invalid("a shallower key", "share-tree/verify", with_depth("2"), "node outside"),
    ]
}

/// Trees that are not uniform. What verifies names the cheat all the same.
fn dishonest() -> Vec<Value> {
    let tree = |name: &str, number: u64, coefficient: fn(Node, u64) -> [Scalar; 4]| {
        let inputs = Inputs::random(1, &mut stream(number));
        let unsigned = TreeBuilder::new(inputs.key.public()).build_from(coefficient);
        let coin = Withdrawn::run(inputs, unsigned, [0; 32]);
        let d = challenge(name);
        let accepted = coin.accepted(&format!("dishonest: {name}"), &coin.spend(2, &d), &d);
        [accepted, coin.identify_vector(&format!("dishonest: {name}, spent twice"), &[1, 2]).0]
    };
    let drawn = |node: Node, power: u64| {
        [0, 1, 2, 3].map(|i| {
            Transcript::new("vectors/tree").integer(node.into()).integer(power).integer(i).into_scalar()
        })
    };
    let honest = Inputs::random(1, &mut stream(12));
    let unsigned = TreeBuilder::new(honest.key.public()).build_from(drawn);
    let coin = Withdrawn::run(honest, unsigned, [0; 32]);
    let d = challenge("dishonest");
    let good = coin.spend(2, &d);
    let plus_one =
        |scalar: &mut EncodedScalar| *scalar = encode(&(scalar.decode().expect(CONSTANT) + Scalar::ONE));
    let share = "a share does not open its commitments";
    [
        tree("every coefficient is zero", 10, |_, _| [Scalar::ZERO; 4]).to_vec(),
        tree("one polynomial at all nodes", 11, |_, power| [Scalar::from(power); 4]).to_vec(),
        vec![
            coin.refused(
                "dishonest: another constant at the leaf",
                &changed(&good, |piece| first_share(piece).0.iter_mut().for_each(plus_one)),
                &d,
                share,
            ),
            coin.refused(
                "dishonest: another constant at the root",
                &changed(&good, |piece| piece.ancestors[0].share.0.iter_mut().for_each(plus_one)),
                &d,
                share,
            ),
            coin.refused(
                "dishonest: another identity at the leaf",
                &changed(&good, |piece| plus_one(&mut first_share(piece).0[1])),
                &d,
                share,
            ),
            coin.refused(
                "dishonest: another fourth coordinate",
                &changed(&good, |piece| plus_one(&mut first_share(piece).0[3])),
                &d,
                share,
            ),
        ],
    ]
    .concat()
}

fn identifications(coin: &Withdrawn) -> Vec<Value> {
    let (whole_twice, opening) = coin.identify_vector("the whole coin twice", &[1, 1]);
    let mut all = vec![whole_twice];
    for (name, nodes) in [
        ("a leaf twice", vec![11, 11]),
        ("a node and its ancestor", vec![11, 2]),
        ("a node and its parent", vec![10, 5]),
        ("two disjoint leaves", vec![8, 9]),
        ("a full disjoint cover", vec![4, 10, 11, 3]),
        ("a full disjoint cover and a leaf of it", vec![4, 10, 11, 3, 15]),
        ("one spend", vec![1]),
    ] {
        all.push(coin.identify_vector(name, &nodes).0);
    }
    let opening = opening.expect(CONSTANT);
    let accuse = |name: &str, opening: Opening, reason: &str| {
        invalid(name, "share-tree/accuse", coin.accuse_inputs(&opening), reason)
    };
    let other = "not the opening of the withdrawal";
    let with = |part: &str, value: Value| merge(coin.accuse_inputs(&opening), json!({ part: value }));
    all.extend([
        valid("an accusation", "share-tree/accuse", coin.accuse_inputs(&opening), json!({})),
        accuse("another R", Opening { r: EncodedScalar(flip(opening.r.0, 1)), ..opening }, other),
        accuse("another L1", Opening { identity_secret: opening.r, ..opening }, other),
        accuse("another ν", Opening { nu: EncodedScalar(flip(opening.nu.0, 1)), ..opening }, other),
        accuse("R is not canonical", Opening { r: plus_order(&opening.r), ..opening }, "not canonical"),
        accuse("L1 is zero", Opening { identity_secret: EncodedScalar([0; 32]), ..opening }, "zero"),
        invalid(
            "another withdrawal's C",
            "share-tree/accuse",
            with("C", json!(coin.inputs.identity.public())),
            other,
        ),
        invalid("another withdrawal's ν", "share-tree/accuse", with("nu", json!(opening.r)), other),
        invalid(
            "another identity",
            "share-tree/accuse",
            with("I", json!(coin.inputs.commitment().encoded())),
            other,
        ),
    ]);
    all
}
