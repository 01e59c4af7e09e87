use feiqian_money::Currency;
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::keyset::{Keyset, VerifiedKeyset};
use feiqian_offline_cash::withdraw::{Caps, Drawn, choose};
use feiqian_pki::KeyPair;
use proptest::prelude::*;

use crate::world::{TIMES, fresh_keys, minor, name, stream};

fn keyset(exponents: u32) -> VerifiedKeyset {
    let signer = KeyPair::from_seed(&[1; 32]);
    let (_, keys) = fresh_keys(exponents, &mut stream(30));
    let keyset = Keyset::sign(&signer, name("north"), 0, Currency::CNY, TIMES, keys).unwrap();
    keyset.verify(&signer.public_key()).unwrap()
}

/// Every sum that coins of these values and grains make.
fn payable(coins: &[(u64, u64)], most: usize) -> Vec<bool> {
    let mut reached = vec![false; most + 1];
    reached[0] = true;
    for (value, grain) in coins {
        let mut next = reached.clone();
        for (sum, _) in reached.iter().enumerate().filter(|(_, reached)| **reached) {
            for part in (*grain..=*value).step_by(usize::try_from(*grain).unwrap()) {
                next[sum + usize::try_from(part).unwrap()] = true;
            }
        }
        reached = next;
    }
    reached
}

fn check(keyset: &VerifiedKeyset, amount: u64) {
    let coins: Vec<_> = choose(keyset, minor(amount)).unwrap();
    let coins: Vec<_> = coins.iter().map(|key| (key.value.value(), key.grain())).collect();
    assert_eq!(coins.iter().map(|(value, _)| value).sum::<u64>(), amount);
    let payable = payable(&coins, usize::try_from(amount).unwrap());
    assert!(payable.iter().all(|reached| *reached), "{amount} with {coins:?}");
}

#[test]
fn every_amount_up_to_the_sum_can_be_paid() {
    let full = keyset(18);
    (1..=700).for_each(|amount| check(&full, amount));
    let small = keyset(7);
    (1..=700).for_each(|amount| check(&small, amount));
}

#[test]
fn coins_are_few() {
    let full = keyset(18);
    let count = |amount| choose(&full, minor(amount)).unwrap().len();
    assert_eq!(count(64), 1);
    assert_eq!(count(4_000), 6, "2048 + 1024 + 512 + 256 + 128 + 32");
    assert_eq!(count(1 << 18), 13, "no coin of 64 or less may lack");
    assert_eq!(choose(&full, minor(0)), Err(Rejection::LimitExceeded("nothing to withdraw")));
    assert!(matches!(choose(&full, minor(1 << 30)), Err(Rejection::LimitExceeded(_))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn every_amount_up_to_a_greater_sum_can_be_paid(amount in 700_u64..40_000) {
        check(&keyset(18), amount);
    }
}

#[test]
fn caps_bound_value_less_reclaimed_and_blanks() {
    let caps = Caps { value: minor(100), blanks: 8 };
    let drawn = |withdrawn, reclaimed, blanks| Drawn {
        withdrawn: minor(withdrawn),
        reclaimed: minor(reclaimed),
        blanks,
    };
    assert_eq!(caps.check(&drawn(0, 0, 0), minor(100), 8), Ok(drawn(100, 0, 8)));
    assert!(caps.check(&drawn(0, 0, 0), minor(101), 0).is_err());
    assert!(caps.check(&drawn(0, 0, 0), minor(0), 9).is_err());
    assert_eq!(caps.check(&drawn(100, 40, 0), minor(40), 0), Ok(drawn(140, 40, 0)));
    assert!(caps.check(&drawn(100, 40, 0), minor(41), 0).is_err());
    assert!(caps.check(&drawn(100, 0, 7), minor(0), 2).is_err());
    assert!(caps.check(&drawn(100, 0, u32::MAX), minor(0), 1).is_err(), "no wrap");
    let lowered = Caps { value: minor(10), blanks: 1 };
    assert_eq!(lowered.check(&drawn(100, 0, 0), minor(0), 1), Ok(drawn(100, 0, 1)));
    assert_eq!(lowered.check(&drawn(0, 0, 5), minor(1), 0), Ok(drawn(1, 0, 5)));
    assert!(caps.check(&drawn(1, 2, 0), minor(0), 0).is_err(), "never more reclaimed than withdrawn");
}
