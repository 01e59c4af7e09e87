//! Division and identification: every pair of nodes, every set of disjoint nodes, every field tampered with.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

mod offline;

use std::collections::BTreeSet;

use feiqian_crypto::acl::{Depth, IdentitySecret, SecretKey};
use feiqian_crypto::share_tree::{
    Ancestor, Node, Own, Piece, SecretTree, Shown, TreeBuilder, VectorCommitment, identify, verify_all,
};
use feiqian_crypto::{Digest, EncodedPoint, Malformed, Misuse, Rejection, Scalar};
use offline::{Withdrawal, challenge, depth, node, other_point, other_scalar, rng, tamper, withdraw, world};
use proptest::prelude::*;

#[test]
fn heap_order() {
    let all: Vec<_> = Node::all(Depth::MAX).collect();
    assert_eq!(all.len(), 127);
    assert!(Node::new(0).is_err() && Node::new(128).is_err() && Node::new(257).is_err());
    for levels in 0..=6 {
        assert_eq!(Node::all(depth(levels)).count(), (1 << (levels + 1)) - 1);
        assert_eq!(Node::all(depth(levels)).filter(|node| node.is_leaf(depth(levels))).count(), 1 << levels);
        assert!(all.iter().all(|node| node.fits(depth(levels)) == (node.level() <= levels)));
    }
    for node in all {
        assert_eq!(u32::from(node.level()), u32::from(node.number()).ilog2());
        assert_eq!(
            node.parent().map(|parent| parent.number()),
            (node.number() > 1).then(|| node.number() / 2)
        );
        if let Some([left, right]) = node.children() {
            assert_eq!((left.parent(), right.parent()), (Some(node), Some(node)));
            assert_eq!((left.sibling(), right.sibling()), (Some(right), Some(left)));
            assert!(!left.is_right() && right.is_right() && !left.overlaps(right));
            assert!(left.overlaps(node) && node.overlaps(right) && node.overlaps(node));
        } else {
            assert!(node.number() > 63);
        }
    }
    assert_eq!(Depth::new(7), Err(Malformed::Depth));
    assert!(serde_json::from_str::<Node>("0").is_err() && serde_json::from_str::<Node>("128").is_err());
    assert!(serde_json::from_str::<Depth>("7").is_err());
}

#[test]
fn every_overlapping_pair_names_the_cheat_and_no_disjoint_pair_anybody() {
    let mut world = world(4, 1);
    let nodes = world.nodes();
    let (first, second) = (world.verified(&nodes, "first"), world.verified(&nodes, "second"));
    let (mut named, mut unnamed) = (0, 0);
    for (i, one) in first.iter().enumerate() {
        for other in second.iter().skip(i) {
            if one.node().overlaps(other.node()) {
                world.assert_names(&[one, other]);
                named += 1;
            } else {
                assert_eq!(identify(&[one, other]).unwrap(), None);
                unnamed += 1;
            }
        }
    }
    assert_eq!((named, unnamed), (31 + 98, 31 * 30 / 2 - 98));
}

/// All sets of disjoint nodes below `node`, the empty one too.
fn disjoint_sets(node: Node, depth: Depth) -> Vec<Vec<Node>> {
    let mut sets = vec![vec![node]];
    if node.is_leaf(depth) {
        sets.push(vec![]);
        return sets;
    }
    let [left, right] = node.children().unwrap().map(|child| disjoint_sets(child, depth));
    for left in &left {
        sets.extend(right.iter().map(|right| [left.as_slice(), right].concat()));
    }
    sets
}

#[test]
fn every_disjoint_set_of_depth_3_clears_and_names_nobody() {
    let mut world = world(3, 2);
    let nodes = world.nodes();
    let pieces = world.verified(&nodes, "once");
    let sets = disjoint_sets(Node::ROOT, depth(3));
    assert_eq!(sets.len(), 677);
    for set in sets {
        let spent: Vec<_> = set.iter().map(|node| &pieces[usize::from(node.number()) - 1]).collect();
        assert_eq!(identify(&spent).unwrap(), None, "{set:?}");
        // One spend more of any part of it names the cheat.
        if let Some(again) = set.first() {
            let other = world.verified(&[*again], "again");
            world.assert_names(&[spent.as_slice(), &[&other[0]]].concat());
        }
    }
}

#[test]
fn the_types_hand_out_disjoint_nodes() {
    let mut world = world(4, 3);
    for answered in [vec![], vec![2], vec![9, 31], vec![16, 17, 5, 3], vec![1], vec![4, 5, 6, 14, 30, 31]] {
        let answered: Vec<_> = answered.into_iter().map(node).collect();
        let (again, _) = withdraw(&world.key, &world.identity, 0, &mut world.rng);
        let free: Vec<_> = again.into_nodes(&answered).iter().map(|free| free.node()).collect();
        for (i, one) in free.iter().enumerate() {
            assert!(answered.iter().chain(&free[i + 1..]).all(|other| !one.overlaps(*other)), "{answered:?}");
        }
        for leaf in world.nodes().into_iter().filter(|node| node.is_leaf(depth(4))) {
            assert!(free.iter().chain(&answered).any(|node| node.overlaps(leaf)), "{answered:?}");
        }
    }
    let m = *world.coin.message();
    let [root] = world.coin.into_nodes(&[]).try_into().unwrap();
    let [left, right] = root.divide().unwrap();
    let [first, second] = right.divide().unwrap();
    let key = world.key.public();
    let spent = [left, first, second].map(|node| {
        assert_eq!(node.message(), &m);
        let challenge = challenge("pay", node.node());
        node.spend(&challenge).unwrap().verify(key, &challenge).unwrap()
    });
    assert_eq!(identify(&spent.each_ref()).unwrap(), None);
}

#[test]
fn leaves_do_not_divide_and_no_challenge_gives_the_secret_away() {
    let mut world = world(1, 4);
    for forbidden in [0_u8, 1, 2] {
        for node in world.nodes() {
            let challenge = Scalar::from(forbidden);
            assert_eq!(world.coin.spend_again(node, &challenge), Err(Misuse::ChallengePoints));
            let honest = world.piece(node, &offline::challenge("pay", node));
            world.assert_refused(&honest, &challenge, Rejection::ChallengePoints, "a forbidden point");
        }
    }
    assert_eq!(world.coin.spend_again(node(4), &challenge("pay", node(4))), Err(Misuse::NodeOutside));
    let [root] = world.coin.into_nodes(&[]).try_into().unwrap();
    let [leaf, _] = root.divide().unwrap();
    assert_eq!(leaf.divide().unwrap_err().node(), node(2));
}

#[test]
fn a_stored_coin_is_the_coin() {
    let world = world(3, 5);
    let builder = TreeBuilder::new(world.key.public());
    let stored = world.coin.export();
    let again = SecretTree::import(&builder, &stored).unwrap();
    for node in world.nodes() {
        let challenge = challenge("pay", node);
        assert_eq!(again.spend_again(node, &challenge).unwrap(), world.piece(node, &challenge));
    }
    assert_eq!((again.message(), again.root()), (world.coin.message(), world.coin.root()));
    for place in (0..SecretTree::STORED_LENGTH).step_by(13) {
        let mut bytes = *stored;
        bytes[place] ^= 1;
        assert_eq!(SecretTree::import(&builder, &bytes).unwrap_err(), Misuse::StoredCoin, "byte {place}");
    }
    let other = SecretKey::generate(depth(3), &mut rng(50));
    assert!(SecretTree::import(&TreeBuilder::new(other.public()), &stored).is_err());
}

#[test]
fn a_piece_holds_for_its_challenge_key_and_depth_alone() {
    let mut world = world(3, 6);
    for node in world.nodes() {
        let right = challenge("pay", node);
        let piece = world.piece(node, &right);
        assert_eq!(world.verify(&piece, &right).unwrap().node(), node);
        world.assert_refused(
            &piece,
            &challenge("another request", node),
            Rejection::Share,
            "another challenge",
        );
        let secret = *world.key.to_bytes();
        for levels in [0, 1, 2, 4, 6] {
            let other = SecretKey::from_bytes(&secret, depth(levels)).unwrap();
            assert!(piece.verify(other.public(), &right).is_err(), "another depth");
        }
        let other = SecretKey::generate(depth(3), &mut world.rng);
        assert!(piece.verify(other.public(), &right).is_err(), "another key");
    }
}

#[test]
fn no_scalar_and_no_point_of_a_piece_can_change() {
    let world = world(2, 7);
    for node in [node(1), node(3), node(6)] {
        let challenge = challenge("pay", node);
        let honest = world.piece(node, &challenge);
        let mut places = 0;
        for place in 0.. {
            let (mut changed, mut malformed, mut identity) = (honest.clone(), honest.clone(), honest.clone());
            if !tamper(&mut changed, place, other_scalar, other_point) {
                break;
            }
            tamper(&mut malformed, place, |scalar| scalar.0 = [0xff; 32], |point| point.0 = [0xff; 32]);
            tamper(&mut identity, place, |scalar| scalar.0 = [0; 32], |point| point.0 = [0; 32]);
            for piece in [changed, identity] {
                assert!(world.verify(&piece, &challenge).is_err(), "node {node}, place {place}");
            }
            let refused = world.verify(&malformed, &challenge).unwrap_err();
            assert!(
                matches!(refused, Rejection::Malformed(Malformed::Scalar | Malformed::Point)),
                "{refused}"
            );
            places += 1;
        }
        let levels = usize::from(node.level());
        let own = if levels == 2 { 4 + 2 } else { 8 + 4 };
        assert_eq!(places, 8 + own + 8 * levels);
    }
}

#[test]
fn the_order_added_to_a_scalar_is_refused() {
    let mut world = world(1, 8);
    let challenge = challenge("pay", node(2));
    let mut piece = world.piece(node(2), &challenge);
    // Shares below 2^252 have room for one q more, in 32 bytes.
    tamper(
        &mut piece,
        6,
        |scalar| {
            let order_less_one = (-Scalar::ONE).to_bytes();
            let mut carry = 1_u16;
            for (byte, add) in scalar.0.iter_mut().zip(order_less_one) {
                carry += u16::from(*byte) + u16::from(add);
                *byte = carry.to_le_bytes()[0];
                carry >>= 8;
            }
        },
        |_| (),
    );
    world.assert_refused(&piece, &challenge, Malformed::Scalar.into(), "a share plus the order");
}

#[test]
fn malformed_trees_are_refused() {
    let mut world = world(3, 9);
    let challenge = challenge("pay", node(11));
    let honest = world.piece(node(11), &challenge);
    let inner = world.piece(node(5), &challenge);
    let mut check = |because, what: &str, change: &dyn Fn(&mut Piece)| {
        let mut piece = honest.clone();
        change(&mut piece);
        world.assert_refused(&piece, &challenge, because, what);
    };
    let shape = Rejection::PieceShape;
    check(shape, "an ancestor missing", &|piece| piece.ancestors.truncate(2));
    check(shape, "an ancestor too many", &|piece| piece.ancestors.push(piece.ancestors[0]));
    check(shape, "no ancestors", &|piece| piece.ancestors.clear());
    check(shape, "thousands of ancestors", &|piece| piece.ancestors = vec![piece.ancestors[0]; 5000]);
    check(shape, "an inner node where a leaf is", &|piece| piece.own = inner.own);
    check(shape, "the parent's number", &|piece| piece.node = node(5));
    check(Rejection::NodeOutside, "deeper than the tree", &|piece| piece.node = node(22));
    check(Rejection::Signature, "ancestors swapped", &|piece| piece.ancestors.swap(0, 1));
    for number in [8, 9, 10, 12, 13, 14, 15] {
        check(Rejection::Signature, "another leaf", &|piece| piece.node = node(number));
    }
    for place in 0..3 {
        check(Rejection::Signature, "another sibling", &|piece| piece.ancestors[place].sibling.0[31] ^= 1);
        check(Rejection::Signature, "commitments swapped", &|piece| {
            piece.ancestors[place].commitments.swap(0, 1)
        });
    }
    let zero = VectorCommitment { vector: EncodedPoint([0; 32]), scale: EncodedPoint([0; 32]) };
    check(Rejection::Signature, "identity commitments", &|piece| piece.ancestors[1].commitments = [zero; 2]);
    check(Malformed::Identity.into(), "ζ is the identity", &|piece| piece.signature.zeta.0 = [0; 32]);
    let with_children = |change: &dyn Fn(&mut [Digest; 2])| {
        let mut piece = inner.clone();
        if let Own::Inner { children, .. } = &mut piece.own {
            change(children);
        }
        piece
    };
    for piece in [with_children(&|both| both.swap(0, 1)), with_children(&|both| both[0] = Digest::ZERO)] {
        world.assert_refused(&piece, &challenge, Rejection::Signature, "another child");
    }
    let mut swapped = inner.clone();
    if let Own::Inner { shares, .. } = &mut swapped.own {
        shares.swap(0, 1);
    }
    world.assert_refused(&swapped, &challenge, Rejection::Share, "shares swapped");
    let mut equal = inner;
    if let Own::Inner { shares, .. } = &mut equal.own {
        shares[1] = shares[0];
    }
    world.assert_refused(&equal, &challenge, Rejection::Share, "one share twice");
}

#[test]
fn a_batch_blames_exactly_the_false_pieces() {
    let mut world = world(2, 10);
    let (other, _) = withdraw(&world.key, &world.identity, 1, &mut world.rng);
    let challenge = challenge("pay", Node::ROOT);
    let mut pieces: Vec<_> = world.nodes().iter().map(|node| world.piece(*node, &challenge)).collect();
    pieces.extend(world.nodes().iter().map(|node| other.spend_again(*node, &challenge).unwrap()));
    // Two errors that cancel out in an unweighted sum, one that does not decode, one of shape.
    for (place, delta) in [(2, Scalar::ONE), (4, -Scalar::ONE)] {
        tamper(&mut pieces[place], 6, |share| *share = (share.decode().unwrap() + delta).into(), |_| ());
    }
    pieces[7].signature.zeta1 = EncodedPoint([0xff; 32]);
    pieces[12].ancestors.pop();
    let key = world.key.public();
    let shown: Vec<_> = pieces.iter().map(|piece| Shown { key, piece, challenge: &challenge }).collect();
    let blame = verify_all(&shown, &mut world.rng).unwrap_err();
    assert_eq!(blame.indices, [2, 4, 7, 12]);
    assert!(verify_all(&[], &mut world.rng).unwrap().is_empty());
    let sound: Vec<_> =
        (0..14).filter(|place| !blame.indices.contains(place)).map(|place| shown[place]).collect();
    let verified = verify_all(&sound, &mut world.rng).unwrap();
    assert!(verified.iter().zip(&sound).all(|(verified, shown)| verified.piece() == shown.piece));
    assert_eq!(identify(&[&verified[0], &verified[9]]), Err(Misuse::DifferentCoins));
    assert_eq!(identify(&[]), Ok(None));
}

/// A chain: a value coin, then blanks, each under its own key and depth.
#[test]
fn pieces_of_many_keys_and_depths_go_into_one_batch() {
    let mut worlds = [world(0, 20), world(3, 21), world(6, 22)];
    let spent: Vec<_> = worlds
        .iter()
        .map(|world| {
            let last = *world.nodes().last().unwrap();
            let challenge = challenge("hop", last);
            (world.piece(last, &challenge), challenge)
        })
        .collect();
    let keys: Vec<_> = worlds.iter().map(|world| *world.key.public()).collect();
    let mut shown: Vec<_> =
        spent.iter().zip(&keys).map(|((piece, challenge), key)| Shown { key, piece, challenge }).collect();
    let verified = verify_all(&shown, &mut worlds[0].rng).unwrap();
    assert!(verified.iter().zip(&keys).all(|(piece, key)| piece.key() == key));
    shown[1].challenge = &spent[2].1;
    assert_eq!(verify_all(&shown, &mut worlds[0].rng).unwrap_err().indices, [1]);
    shown[2].key = &keys[1];
    assert_eq!(verify_all(&shown, &mut worlds[0].rng).unwrap_err().indices, [1, 2]);
}

#[test]
fn the_same_spend_twice_is_one_spend() {
    let mut world = world(2, 11);
    for node in world.nodes() {
        let (one, other) = (world.verified(&[node], "once"), world.verified(&[node], "once"));
        assert_eq!(identify(&[&one[0], &other[0]]).unwrap(), None);
    }
}

#[test]
fn an_opening_fits_its_own_withdrawal_alone() {
    let mut world = world(1, 12);
    let (_, other) = withdraw(&world.key, &world.identity, 1, &mut world.rng);
    let stranger = IdentitySecret::generate(&mut world.rng);
    let spent = [world.verified(&[node(2)], "one"), world.verified(&[node(2)], "two")].concat();
    let opening = identify(&[&spent[0], &spent[1]]).unwrap().unwrap();
    let Withdrawal { commitment, announcement } = &world.withdrawal;
    let (identity, nu) = (world.identity.public(), &announcement.nu);
    opening.verify(identity, commitment, nu).unwrap();
    let wrong = Err(Rejection::Accusation);
    assert_eq!(opening.verify(stranger.public(), commitment, nu), wrong);
    assert_eq!(opening.verify(identity, &other.commitment, nu), wrong);
    assert_eq!(opening.verify(identity, commitment, &other.announcement.nu), wrong);
    for change in [0, 1, 2] {
        let mut forged = opening;
        let part = [&mut forged.r, &mut forged.identity_secret, &mut forged.nu];
        other_scalar(part.into_iter().nth(change).unwrap());
        assert_eq!(forged.verify(identity, commitment, nu), wrong);
    }
}

#[test]
fn forked_answers_of_a_deep_leaf_name_the_cheat() {
    let mut world = world(6, 16);
    let (leaf, above) = (node(93), node(11));
    let one = world.verified(&[leaf], "one");
    let same = world.verified(&[leaf], "two");
    let upper = world.verified(&[above], "three");
    let beside = world.verified(&[node(92)], "four");
    world.assert_names(&[&one[0], &same[0]]);
    world.assert_names(&[&one[0], &upper[0]]);
    world.assert_names(&[&beside[0], &upper[0]]);
    assert_eq!(identify(&[&one[0], &beside[0]]).unwrap(), None);
}

fn cover(node: Node, depth: Depth, choices: &mut impl Iterator<Item = u8>, cover: &mut Vec<Node>) {
    let choice = choices.next().unwrap_or(0);
    match node.children().filter(|_| !node.is_leaf(depth)) {
        Some(children) if !choice.is_multiple_of(3) => {
            children.into_iter().for_each(|child| self::cover(child, depth, choices, cover));
        }
        _ if choice % 5 == 4 => (),
        _ => cover.push(node),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn random_disjoint_covers_name_nobody(
        seed in any::<u64>(), levels in 0_u8..=5, choices in proptest::collection::vec(any::<u8>(), 64),
        twice in any::<prop::sample::Index>(),
    ) {
        let mut world = world(levels, seed);
        let mut nodes = Vec::new();
        cover(Node::ROOT, depth(levels), &mut choices.into_iter(), &mut nodes);
        let pieces = world.verified(&nodes, "cover");
        let spent: Vec<_> = pieces.iter().collect();
        prop_assert_eq!(identify(&spent).unwrap(), None);
        if !nodes.is_empty() {
            let again = nodes[twice.index(nodes.len())];
            let target = again.parent().unwrap_or(again);
            let fork = world.verified(&[target], "fork");
            world.assert_names(&[spent.as_slice(), &[&fork[0]]].concat());
        }
    }

    #[test]
    fn made_up_pieces_are_refused(piece in feiqian_crypto::share_tree::arbitrary::arb_piece(), levels in 0_u8..=6) {
        let world = world(0, 17);
        let key = SecretKey::from_bytes(&world.key.to_bytes(), depth(levels)).unwrap();
        prop_assert!(piece.verify(key.public(), &challenge("pay", Node::ROOT)).is_err());
    }

    #[test]
    fn what_travels_round_trips(
        piece in feiqian_crypto::share_tree::arbitrary::arb_piece(),
        opening in feiqian_crypto::share_tree::arbitrary::arb_opening(),
    ) {
        let text = serde_json::to_string(&piece).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Piece>(&text).unwrap(), &piece);
        let bytes = bincode::serde::encode_to_vec(&piece, bincode::config::standard().with_fixed_int_encoding()).unwrap();
        let own = if matches!(piece.own, Own::Leaf { .. }) { 192 } else { 448 };
        prop_assert_eq!(bytes.len(), 256 + 1 + 4 + own + 8 + 288 * piece.ancestors.len());
        let text = serde_json::to_string(&opening).unwrap();
        prop_assert_eq!(serde_json::from_str::<feiqian_crypto::share_tree::Opening>(&text).unwrap(), opening);
        let distinct: BTreeSet<_> = piece.ancestors.iter().map(|Ancestor { sibling, .. }| sibling).collect();
        prop_assert_eq!(distinct.len(), piece.ancestors.len());
    }
}

#[test]
fn more_ancestors_than_the_deepest_tree_has_do_not_decode() {
    let world = world(6, 90);
    let leaf = node(127);
    let mut piece = world.coin.spend_again(leaf, &challenge("bounds", leaf)).unwrap();
    let config = bincode::config::standard();
    let decode = |piece: &Piece| {
        let bytes = bincode::serde::encode_to_vec(piece, config).unwrap();
        let text = serde_json::to_string(piece).unwrap();
        let binary = bincode::serde::decode_from_slice::<Piece, _>(&bytes, config);
        (binary.is_ok(), serde_json::from_str::<Piece>(&text).is_ok())
    };
    assert_eq!(decode(&piece), (true, true));
    piece.ancestors.push(piece.ancestors[0]);
    assert_eq!(decode(&piece), (false, false));
}
