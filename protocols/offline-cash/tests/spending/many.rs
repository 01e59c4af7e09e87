//! The register with very many stored pieces of one epoch.

use std::collections::BTreeMap;

use feiqian_crypto::share_tree::Node;
use feiqian_crypto::{Digest, Scalar, Transcript};
use feiqian_offline_cash::register::{Deposited, Mark, Register};

use crate::world::minor;

const VALUE: u64 = 64;
const COINS: u64 = 1_563;

fn mark(name: &str, number: u64, node: u64, challenge: u64) -> Mark {
    let message = Transcript::new("tests/coin").text(name).integer(number).into_digest();
    Mark { message, node: Node::new(node).unwrap(), challenge: Scalar::from(challenge).into() }
}

fn chain(marks: Vec<Mark>) -> Deposited {
    Deposited::new(minor(VALUE), marks).unwrap()
}

/// 100,032 pieces, each a unit of one of 1,563 coins that went through another hand. Then a cheat each spends half of its
/// coin once more: only its 32 units are charged, whatever else is stored.
#[test]
fn a_hundred_thousand_pieces_of_one_epoch() {
    let mut registers: BTreeMap<Digest, Register> = BTreeMap::new();
    let mut stored = 0_u64;
    for coin in 0..COINS {
        let message = mark("coin", coin, 1, 0).message;
        let register = registers.entry(message).or_insert_with(|| Register::new(minor(VALUE)).unwrap());
        for unit in 0..VALUE {
            let number = coin * VALUE + unit;
            // Every other coin was passed on whole to a blank that divided it.
            let marks = match coin % 2 {
                0 => vec![mark("coin", coin, 64 + unit, 10 + unit)],
                _ => vec![mark("coin", coin, 1, 1), mark("blank", coin, 64 + unit, 10 + number)],
            };
            let settlement = register.deposit(chain(marks)).unwrap();
            assert_eq!((settlement.circulation, settlement.charged()), (1, 0));
            stored += 1;
        }
    }
    assert_eq!(stored, 100_032);
    for coin in 0..COINS {
        let register = registers.get_mut(&mark("coin", coin, 1, 0).message).unwrap();
        let settlement = register.deposit(chain(vec![mark("coin", coin, 3, 1_000_000)])).unwrap();
        let [charge] = settlement.charges[..] else { panic!("{settlement:?}") };
        assert_eq!((settlement.circulation, charge.units, charge.hop), (0, 32, 0));
        assert!(charge.answer.node.overlaps(charge.before.node));
        assert_eq!(register.chains().count(), 65);
    }
}

/// 2,000 forks of one coin, every one of them of all its units: a cheat cannot make a deposit expensive.
#[test]
fn a_coin_that_was_forked_very_often_is_charged_each_time() {
    let mut register = Register::new(minor(VALUE)).unwrap();
    let mut charged = 0;
    for fork in 0..2_000 {
        let settlement = register.deposit(chain(vec![mark("coin", 0, 1, 10 + fork)])).unwrap();
        assert_eq!(settlement.circulation, if fork == 0 { VALUE } else { 0 });
        charged += settlement.charged();
    }
    assert_eq!(charged, 1_999 * VALUE);
    let unit = register.deposit(chain(vec![mark("coin", 0, 127, 9)])).unwrap();
    assert_eq!((unit.circulation, unit.charged()), (0, 1));
}
