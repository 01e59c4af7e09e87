//! Sets of disjoint nodes: every one of depth 3, and all amounts in parts.

use feiqian_crypto::acl::Depth;
use feiqian_crypto::share_tree::{Node, identify};
use feiqian_offline_cash::pay::CashItem;
use feiqian_offline_cash::register::{Deposited, Register};
use feiqian_offline_cash::verify::VerifiedChain;

use crate::world::{NORTH, World, minor, take};

/// All sets of disjoint nodes at and below one, the empty one too.
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

/// Each node of a coin of depth 3 paid by itself, twice: the payments' chains, checked.
fn paid_twice(world: &mut World) -> [Vec<VerifiedChain>; 2] {
    let person = world.person();
    let coin = world.coin(NORTH, &person, 3);
    let mut all = [(); 2].map(|()| {
        let nodes = Node::all(Depth::new(3).unwrap());
        let items: Vec<CashItem> = nodes
            .map(|node| {
                let part = take(world.open(&coin, &[]), node);
                world.pay(vec![part])
            })
            .collect();
        let verified = world.checker().verify_many(&items, &mut world.dice());
        verified.into_iter().map(|payment| payment.unwrap().chains.remove(0)).collect::<Vec<_>>()
    });
    assert!(all.iter_mut().all(|chains| chains.len() == 15));
    all
}

#[test]
fn every_set_of_disjoint_nodes_names_nobody_and_clears_in_full_in_any_order() {
    let mut world = World::new(100);
    let [first, second] = paid_twice(&mut world);
    let chain = |chains: &[VerifiedChain], node: Node| chains[usize::from(node.number()) - 1].clone();
    let (mut sets, mut forks) = (0, 0);
    for set in disjoint_sets(Node::ROOT, Depth::new(3).unwrap()) {
        let chains: Vec<_> = set.iter().map(|node| chain(&first, *node)).collect();
        let pieces: Vec<_> = chains.iter().map(|chain| chain.hops()[0].piece()).collect();
        assert_eq!(identify(&pieces).unwrap(), None, "{set:?}");
        let worth: u64 = chains.iter().map(|chain| chain.interval().length()).sum();
        let mut registers = [(); 2].map(|()| Register::new(minor(8)).unwrap());
        let orders = [chains.iter().collect::<Vec<_>>(), chains.iter().rev().collect()];
        for (register, order) in registers.iter_mut().zip(orders) {
            let mut paid = 0;
            for chain in order {
                let settlement = register.deposit(Deposited::of(chain).unwrap()).unwrap();
                assert_eq!((settlement.circulation, settlement.charged()), (chain.interval().length(), 0));
                paid += settlement.circulation;
            }
            assert_eq!(paid, worth, "{set:?}");
        }
        sets += 1;
        // One spend more is paid for the units that are free, and charged for the others.
        let [register, _] = &registers;
        for fork in &second {
            let overlap = chains.iter().filter(|chain| chain.interval().overlaps(fork.interval()));
            let taken: u64 =
                overlap.map(|chain| chain.interval().length().min(fork.interval().length())).sum();
            let settlement = register.clone().deposit(Deposited::of(fork).unwrap()).unwrap();
            let free = fork.interval().length() - taken;
            assert_eq!((settlement.circulation, settlement.charged()), (free, taken), "{set:?}");
            let mut shown = pieces.clone();
            shown.push(fork.hops()[0].piece());
            assert_eq!(identify(&shown).unwrap().is_some(), taken > 0, "{set:?}");
            forks += 1;
        }
    }
    assert_eq!((sets, forks), (677, 677 * 15));
}
