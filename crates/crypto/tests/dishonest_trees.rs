//! Trees built by dishonest customers: refused by the payee, or they name the cheat all the same.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

mod offline;

use feiqian_crypto::acl::{IdentitySecret, SecretKey};
use feiqian_crypto::share_tree::{Node, Piece, TreeBuilder, identify};
use feiqian_crypto::{EncodedScalar, Misuse, Rejection, Scalar, Transcript, scalar};
use offline::{World, challenge, depth, node, rng, tamper, world};

/// An honest piece with another value for some shares: what a customer answers whose polynomials are not what it
/// committed to.
fn answered_otherwise(piece: &Piece, place: usize, difference: [Scalar; 4]) -> Piece {
    let mut piece = piece.clone();
    for (coordinate, difference) in difference.into_iter().enumerate() {
        let change = |scalar: &mut EncodedScalar| *scalar = (scalar.decode().unwrap() + difference).into();
        assert!(tamper(&mut piece, 6 + 4 * place + coordinate, change, |_| ()));
    }
    piece
}

/// Places of shares: the own ones first, then the ancestors'.
#[test]
fn other_constants_degrees_and_scales_are_refused() {
    let mut world = world(3, 13);
    let challenge = challenge("pay", node(5));
    let honest = world.piece(node(5), &challenge);
    let zero = Scalar::ZERO;
    for place in 0..4 {
        let mut random = || scalar::random(&mut world.rng);
        // Another constant term; another degree (a term that vanishes at no point shown); another η.
        let constant = [random(), random(), random(), random()];
        let cubic = [random(), zero, zero, random()];
        for (what, difference) in [
            ("another constant", constant),
            ("another degree", cubic),
            ("another identity alone", [zero, Scalar::ONE, zero, zero]),
            ("another η", [zero, zero, zero, Scalar::ONE]),
        ] {
            let piece = answered_otherwise(&honest, place, difference);
            world.assert_refused(&piece, &challenge, Rejection::Share, what);
        }
    }
}

/// Whatever a customer commits to, what verifies interpolates to the opening of its own commitment.
#[test]
fn dishonest_trees_still_name_the_cheat() {
    let zero = [Scalar::ZERO; 4];
    let one = [Scalar::ONE; 4];
    let known = |node: Node, power: u64| {
        [0, 1, 2, 3]
            .map(|i| Transcript::new("test").integer(node.into()).integer(power).integer(i).into_scalar())
    };
    type Tree = Box<dyn Fn(Node, u64) -> [Scalar; 4]>;
    let trees: [(&str, Tree); 6] = [
        ("no polynomial at all: every commitment is the identity", Box::new(move |_, _| zero)),
        ("lines for parabolas", Box::new(move |node, power| if power == 2 { zero } else { known(node, 1) })),
        (
            "parabolas without a linear term",
            Box::new(move |node, power| if power == 1 { zero } else { known(node, 2) }),
        ),
        ("one polynomial at all nodes", Box::new(move |_, power| known(Node::ROOT, power))),
        (
            "one subtree twice",
            Box::new(move |node, power| known(Node::new(u64::from(node) | 1).unwrap(), power)),
        ),
        (
            "constants hidden in the linear term",
            Box::new(move |node, power| {
                let mut coefficient = known(node, power);
                coefficient.iter_mut().zip(one).for_each(|(each, one)| *each += one);
                coefficient
            }),
        ),
    ];
    for (what, tree) in trees {
        let mut rng = rng(14);
        let key = SecretKey::generate(depth(2), &mut rng);
        let identity = IdentitySecret::generate(&mut rng);
        let unsigned = TreeBuilder::new(key.public()).build_from(tree);
        let (coin, withdrawal) = offline::withdraw_tree(&key, &identity, unsigned, 0, &mut rng);
        let mut world = World { key, identity, withdrawal, coin, rng };
        let nodes = world.nodes();
        let (first, second) = (world.verified(&nodes, "first"), world.verified(&nodes, "second"));
        for one in &first {
            for other in second.iter().filter(|other| other.node().overlaps(one.node())) {
                world.assert_names(&[one, other]);
            }
        }
        assert_eq!(identify(&[&first[3], &second[4], &second[2]]).unwrap(), None, "{what}: disjoint");
    }
}

/// Two customers sign the same tree. The second signature has another (*ζ*, *ζ*₁), so it is on another coin: neither
/// can answer with the other's shares, and each is named by its own.
#[test]
fn one_tree_under_two_customers_signatures() {
    let mut rng = rng(15);
    let key = SecretKey::generate(depth(2), &mut rng);
    let builder = TreeBuilder::new(key.public());
    let tree = |node: Node, power: u64| {
        [0, 1, 2, 3]
            .map(|i| Transcript::new("shared").integer(node.into()).integer(power).integer(i).into_scalar())
    };
    let mut worlds = [0, 1].map(|index| {
        let identity = IdentitySecret::generate(&mut rng);
        let unsigned = builder.build_from(tree);
        let (coin, withdrawal) = offline::withdraw_tree(&key, &identity, unsigned, index, &mut rng);
        let key = SecretKey::from_bytes(&key.to_bytes(), depth(2)).unwrap();
        World { key, identity, withdrawal, coin, rng: offline::rng(index) }
    });
    let [one, other] = &worlds;
    assert_eq!(one.coin.root(), other.coin.root());
    assert_ne!(one.coin.message(), other.coin.message());
    let challenge = challenge("pay", node(2));
    let mut mixed = one.piece(node(2), &challenge);
    mixed.signature = *other.coin.signature();
    let mut blinded = one.piece(node(2), &challenge);
    blinded.signature.zeta = other.coin.signature().zeta;
    blinded.signature.zeta1 = other.coin.signature().zeta1;
    let [one, other] = &mut worlds;
    other.assert_refused(&mixed, &challenge, Rejection::Share, "the accomplice's signature");
    one.assert_refused(&blinded, &challenge, Rejection::Signature, "the accomplice's blinded commitment");
    let honest = (one.verified(&[node(4)], "a"), other.verified(&[node(4)], "b"));
    assert_eq!(identify(&[&honest.0[0], &honest.1[0]]), Err(Misuse::DifferentCoins));
    for world in [one, other] {
        let spent = [world.verified(&[node(2)], "a"), world.verified(&[node(5)], "b")].concat();
        world.assert_names(&[&spent[0], &spent[1]]);
    }
}
