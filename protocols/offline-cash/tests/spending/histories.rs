//! Random histories of dividing, passing on, paying and cheating, deposited in random order: value is conserved, and
//! only those who cheated are named.

use std::collections::BTreeSet;

use feiqian_crypto::EncodedPoint;
use feiqian_offline_cash::holding::{Holding, Unspent};
use feiqian_offline_cash::pay::CashItem;
use proptest::prelude::*;

use crate::world::{NORTH, Person, SOUTH, StoredCoin, World, charges, circulation};

/// Where somebody's value comes from: what a cheat can spend once more.
enum Origin {
    Coin(StoredCoin),
    Holding(Holding, StoredCoin),
}

struct History {
    world: World,
    people: Vec<Person>,
    origins: Vec<(usize, Origin)>,
    parts: Vec<(usize, Unspent)>,
    items: Vec<CashItem>,
    cheats: BTreeSet<EncodedPoint>,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        let people: Vec<Person> = (0..3).map(|_| world.person()).collect();
        let mut history =
            Self { world, people, origins: vec![], parts: vec![], items: vec![], cheats: BTreeSet::new() };
        for (who, exponent) in [(0, 3), (1, 2)] {
            let coin = history.world.coin(NORTH, &history.people[who], exponent);
            history.add(who, Origin::Coin(coin));
        }
        history
    }

    fn add(&mut self, who: usize, origin: Origin) {
        self.origins.push((who, origin));
        self.open(self.origins.len() - 1);
    }

    fn open(&mut self, place: usize) {
        let (who, origin) = &self.origins[place];
        let parts = match origin {
            Origin::Coin(coin) => self.world.open(coin, &[]),
            Origin::Holding(holding, blank) => self.world.open_holding(holding, blank),
        };
        self.parts.extend(parts.into_iter().map(|part| (*who, part)));
    }

    fn step(&mut self, (action, choice, to): (u8, usize, usize)) {
        if action == 0 {
            // Spend all of something once more.
            let place = choice % self.origins.len();
            let who = self.origins[place].0;
            self.cheats.insert(*self.people[who].identity().encoded());
            self.open(place);
            return;
        }
        if self.parts.is_empty() {
            return;
        }
        let (who, part) = self.parts.swap_remove(choice % self.parts.len());
        match action {
            1..=3 => match part.divide() {
                Ok(halves) => self.parts.extend(halves.map(|half| (who, half))),
                Err(part) => self.parts.push((who, part)),
            },
            4 | 5 => {
                let bank = if to == 0 { NORTH } else { SOUTH };
                let (holding, blank) = self.world.hand(part, &self.people[to], bank);
                self.add(to, Origin::Holding(holding, blank));
            }
            _ => {
                let item = self.world.pay(vec![part]);
                self.items.push(item);
            }
        }
    }

    /// Everybody pays what is left, and all is deposited in this order.
    fn deposit(&mut self, order: &[usize]) -> (u64, u64, u64) {
        for (_, part) in std::mem::take(&mut self.parts) {
            let item = self.world.pay(vec![part]);
            self.items.push(item);
        }
        let mut items: Vec<_> = self.items.clone().into_iter().enumerate().collect();
        items.sort_by_key(|(place, _)| order[place % order.len()]);
        self.world.registers.clear();
        let (mut paid, mut charged, mut total) = (0, 0, 0);
        for (_, item) in &items {
            total += item.request.request.amount.minor.value();
            let settlements = self.world.deposit(item);
            paid += circulation(&settlements);
            for charge in charges(&settlements) {
                assert!(self.cheats.contains(self.world.named(&charge).encoded()), "an honest holder");
                charged += charge.units;
            }
        }
        (paid, charged, total)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn value_is_conserved_and_only_cheats_are_named(
        seed in 50..1000_u64,
        steps in prop::collection::vec((0..8_u8, any::<usize>(), 0..3_usize), 4..16),
        orders in prop::collection::vec(Just((0..23_usize).collect::<Vec<_>>()).prop_shuffle(), 2),
    ) {
        let mut history = History::new(seed);
        for step in steps {
            history.step(step);
        }
        let results = orders.iter().map(|order| history.deposit(order)).collect::<Vec<_>>();
        let (paid, charged, total) = results[0];
        // Everything was paid in the end, so every unit of both coins was.
        prop_assert_eq!(paid, 12);
        prop_assert_eq!(paid + charged, total);
        prop_assert_eq!(charged > 0, !history.cheats.is_empty());
        prop_assert_eq!(results[1], results[0]);
    }
}
