//! Random histories of dividing, passing on, paying, cheating and depositing, in random order, against a model: value is
//! conserved, and everybody is charged exactly what they answered too often.

use std::collections::{BTreeMap, BTreeSet};

use feiqian_crypto::Digest;
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::deposit::settle_payment;
use feiqian_offline_cash::holding::{Holding, Unspent};
use feiqian_offline_cash::pay::{CashItem, VerifiedPayment};
use feiqian_offline_cash::register::{Deposited, Mark};
use feiqian_offline_cash::verify::VerifiedChain;
use proptest::prelude::*;

use crate::world::{NORTH, Person, SOUTH, StoredCoin, World, charges, circulation};

/// Where somebody's value comes from: what a cheat can spend once more.
enum Origin {
    Coin(StoredCoin),
    Holding(Holding, StoredCoin),
}

/// What came of deposits: from circulation, and by whom else.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Paid {
    circulation: u64,
    charged: BTreeMap<[u8; 32], u64>,
}

struct History {
    world: World,
    people: Vec<Person>,
    /// Who holds which coin and blank.
    owners: BTreeMap<Digest, [u8; 32]>,
    origins: Vec<(usize, Origin)>,
    parts: Vec<(usize, Unspent)>,
    items: Vec<CashItem>,
    /// How many of the items were deposited, and what came of it.
    deposited: usize,
    paid: Paid,
    cheats: BTreeSet<[u8; 32]>,
}

fn bytes(person: &Person) -> [u8; 32] {
    person.identity().encoded().0
}

impl History {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        let people: Vec<Person> = (0..3).map(|_| world.person()).collect();
        let coins = [(0, 3), (1, 2)].map(|(who, exponent)| (who, world.coin(NORTH, &people[who], exponent)));
        let mut history = Self {
            world,
            people,
            owners: BTreeMap::new(),
            origins: vec![],
            parts: vec![],
            items: vec![],
            deposited: 0,
            paid: Paid::default(),
            cheats: BTreeSet::new(),
        };
        for (who, coin) in coins {
            history.add(who, coin.message, Origin::Coin(coin));
        }
        history
    }

    fn add(&mut self, who: usize, message: Digest, origin: Origin) {
        self.owners.insert(message, bytes(&self.people[who]));
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
        match action {
            0 => {
                // Spend all of something once more.
                let place = choice % self.origins.len();
                let who = self.origins[place].0;
                self.cheats.insert(bytes(&self.people[who]));
                self.open(place);
            }
            8 => self.deposit_next(choice),
            _ if self.parts.is_empty() => (),
            _ => {
                let (who, part) = self.parts.swap_remove(choice % self.parts.len());
                self.spend(action, who, part, to);
            }
        }
    }

    fn spend(&mut self, action: u8, who: usize, part: Unspent, to: usize) {
        match action {
            1..=3 => match part.divide() {
                Ok(halves) => self.parts.extend(halves.map(|half| (who, half))),
                Err(part) => self.parts.push((who, part)),
            },
            4 | 5 => {
                let bank = if to == 0 { NORTH } else { SOUTH };
                let (holding, blank) = self.world.hand(part, &self.people[to], bank);
                self.add(to, blank.message, Origin::Holding(holding, blank));
            }
            _ => {
                let item = self.world.pay(vec![part]);
                self.items.push(item);
            }
        }
    }

    /// Deposits one of the payments that were not deposited yet, and then one that was.
    fn deposit_next(&mut self, choice: usize) {
        let waiting = self.items.len() - self.deposited;
        if waiting == 0 {
            return;
        }
        self.items.swap(self.deposited, self.deposited + choice % waiting);
        let item = self.items[self.deposited].clone();
        self.deposited += 1;
        let settlements = self.world.deposit(&item);
        self.paid.circulation += circulation(&settlements);
        for charge in charges(&settlements) {
            let named = self.world.named(&charge).encoded().0;
            assert_eq!(Some(&named), self.owners.get(&charge.answer.message), "whoever holds the coin");
            *self.paid.charged.entry(named).or_default() += charge.units;
        }
        let again = self.world.verify(&self.items[choice % self.deposited]).unwrap();
        assert_eq!(self.settle_again(&again), Err(Rejection::PieceRepeated));
    }

    /// A chain that was deposited settles no second time; a bank finds its payment by the set before it asks.
    fn settle_again(&self, payment: &VerifiedPayment) -> Result<(), Rejection> {
        assert!(self.world.deposited.iter().any(|known| known.set == payment.set));
        let stored = |coin: &Digest, interval| {
            Ok(self.world.registers[coin].overlapping(interval).cloned().collect::<Vec<Deposited>>())
        };
        settle_payment::<Rejection>(payment, stored).map(|_| ())
    }

    fn finish(&mut self, choices: &[usize]) {
        for (_, part) in std::mem::take(&mut self.parts) {
            let item = self.world.pay(vec![part]);
            self.items.push(item);
        }
        for place in 0..self.items.len() - self.deposited {
            self.deposit_next(choices[place % choices.len()]);
        }
    }

    /// What everybody should have paid, from the rule itself and not as a register does it. On each unit the deposited chains
    /// are the branches of a tree. Circulation pays one branch; at every fork the holder pays all branches but one.
    fn model(&self) -> Paid {
        let mut paid = Paid::default();
        let chains: Vec<&VerifiedChain> =
            self.world.deposited.iter().flat_map(|payment| &payment.chains).collect();
        let coins: BTreeSet<&Digest> = chains.iter().filter_map(|chain| chain.coin()).collect();
        for coin in coins {
            for unit in 0..8 {
                let mut branches: BTreeMap<Vec<Mark>, BTreeSet<Mark>> = BTreeMap::new();
                for chain in chains.iter().filter(|chain| chain.coin() == Some(coin)) {
                    let interval = chain.interval();
                    if !(interval.start()..interval.end()).contains(&unit) {
                        continue;
                    }
                    let marks: Vec<Mark> = chain.hops().iter().map(Mark::from).collect();
                    for (hop, mark) in marks.iter().enumerate() {
                        branches.entry(marks[..hop].to_vec()).or_default().insert(*mark);
                    }
                }
                paid.circulation += u64::from(!branches.is_empty());
                for marks in branches.values().filter(|marks| marks.len() > 1) {
                    let holder = self.owners[&marks.first().unwrap().message];
                    *paid.charged.entry(holder).or_default() += marks.len() as u64 - 1;
                }
            }
        }
        paid
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn value_is_conserved_and_everybody_pays_what_they_answered_too_often(
        seed in 50..1000_u64,
        steps in prop::collection::vec((0..9_u8, any::<usize>(), 0..3_usize), 6..22),
        orders in [prop::collection::vec(any::<usize>(), 16), prop::collection::vec(any::<usize>(), 16)],
    ) {
        let mut history = History::new(seed);
        for step in steps {
            history.step(step);
            // At any time nobody has got more than was deposited, and circulation pays no unit twice.
            prop_assert_eq!(&history.paid, &history.model());
        }
        history.finish(&orders[0]);
        let total: u64 = history.items.iter().map(|item| item.request.request.amount.minor.value()).sum();
        let paid = history.paid.clone();
        // Everything was paid in the end, so every unit of both coins was.
        prop_assert_eq!(paid.circulation, 12);
        prop_assert_eq!(paid.circulation + paid.charged.values().sum::<u64>(), total);
        prop_assert_eq!(&paid, &history.model());
        prop_assert_eq!(&paid.charged.keys().copied().collect::<BTreeSet<_>>(), &history.cheats);
        // The same deposits in another order.
        history.world.registers.clear();
        history.world.deposited.clear();
        (history.deposited, history.paid) = (0, Paid::default());
        history.finish(&orders[1]);
        prop_assert_eq!(history.paid, paid);
    }
}
