use feiqian_crypto::EncodedPoint;
use feiqian_crypto::acl::{Depth, SecretKey};
use feiqian_crypto::share_tree::Node;
use feiqian_money::Currency;
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::keyset::{KeyBook, Keys, Keyset, Kind, OfflineKey, Times, depth_of};
use feiqian_pki::KeyPair;
use feiqian_wire::codec::{decode, decode_json, encode, encode_json};
use feiqian_wire::{Bounded, Limit};

use crate::world::{DAY, NOW, TIMES, World, at, fresh_keys, minor, name, stream};

fn sign(times: Times, keys: Vec<OfflineKey>) -> Result<Keyset, Rejection> {
    Keyset::sign(&KeyPair::from_seed(&[1; 32]), name("north"), 0, Currency::CNY, times, keys)
}

#[test]
fn the_depth_is_the_denominations() {
    for exponent in 0..=18 {
        let depth = depth_of(Kind::Value, minor(1 << exponent)).unwrap();
        assert_eq!(u32::from(depth.levels()), exponent.min(6));
    }
    assert_eq!(depth_of(Kind::Blank, minor(0)), Some(Depth::MAX));
    for wrong in [minor(0), minor(3), minor(1 << 19)] {
        assert_eq!(depth_of(Kind::Value, wrong), None);
    }
    assert_eq!(depth_of(Kind::Blank, minor(1)), None);
}

#[test]
fn a_full_keyset_travels_and_verifies() {
    let (_, keys) = fresh_keys(18, &mut stream(1));
    let keyset = sign(TIMES, keys).unwrap();
    let verified = keyset.clone().verify(&KeyPair::from_seed(&[1; 32]).public_key()).unwrap();
    assert_eq!(verified.keys.len(), 20);
    assert_eq!(verified.blank().unwrap().kind, Kind::Blank);
    assert_eq!(verified.values().next_back().unwrap().value, minor(1 << 18));
    let back: Keyset = decode(&encode(&keyset).unwrap(), Limit::Medium).unwrap();
    assert_eq!(back, keyset);
    let back: Keyset = decode_json(&encode_json(&keyset).unwrap(), Limit::Medium).unwrap();
    assert_eq!(back, keyset);
    let other = KeyPair::from_seed(&[2; 32]).public_key();
    assert_eq!(keyset.verify(&other).unwrap_err(), Rejection::SignatureInvalid("keyset"));
}

#[test]
fn everything_in_a_keyset_is_signed() {
    let (_, keys) = fresh_keys(3, &mut stream(2));
    let keyset = sign(TIMES, keys.clone()).unwrap();
    let signer = KeyPair::from_seed(&[1; 32]).public_key();
    let mut changed = Vec::new();
    changed.push(Keyset { bank: name("south"), ..keyset.clone() });
    changed.push(Keyset { epoch: feiqian_wire::U64(1), ..keyset.clone() });
    changed.push(Keyset { currency: Currency::EUR, ..keyset.clone() });
    for later in 0..5 {
        let mut times = TIMES;
        let time = [
            &mut times.issue_from,
            &mut times.issue_until,
            &mut times.pay_until,
            &mut times.deposit_until,
            &mut times.reclaim_until,
        ];
        *time[later] = time[later].saturating_add(1);
        changed.push(Keyset { times, ..keyset.clone() });
    }
    let mut fewer = keys.clone();
    fewer.pop();
    changed.push(Keyset { keys: Bounded::new(fewer).unwrap(), ..keyset.clone() });
    let mut swapped = keys;
    let (one, other) = (swapped[2].key, swapped[3].key);
    (swapped[2].key, swapped[3].key) = (other, one);
    changed.push(Keyset { keys: Bounded::new(swapped).unwrap(), ..keyset });
    for keyset in changed {
        assert_eq!(keyset.verify(&signer).unwrap_err(), Rejection::SignatureInvalid("keyset"));
    }
}

#[test]
fn shapes_that_break_a_rule_are_refused() {
    let (_, keys) = fresh_keys(3, &mut stream(3));
    let with = |change: &dyn Fn(&mut Vec<OfflineKey>)| {
        let mut keys = keys.clone();
        change(&mut keys);
        sign(TIMES, keys)
    };
    let broken: [(&str, Result<Keyset, Rejection>); 8] = [
        ("no keys", with(&|keys| keys.clear())),
        (
            "no blanks",
            with(&|keys| {
                keys.remove(0);
            }),
        ),
        ("blanks only", with(&|keys| keys.truncate(1))),
        ("two keys for blanks", with(&|keys| keys.insert(1, keys[0]))),
        ("values descend", with(&|keys| keys.swap(1, 2))),
        ("another depth", with(&|keys| keys[3].depth = Depth::new(3).unwrap())),
        ("no power of two", with(&|keys| keys[4].value = minor(9))),
        ("too many", with(&|keys| keys.resize(21, keys[0]))),
    ];
    for (what, refused) in broken {
        assert!(matches!(refused, Err(Rejection::KeysetInvalid(_))), "{what}");
    }
    let same = Times { deposit_until: TIMES.pay_until, ..TIMES };
    assert!(matches!(sign(same, keys.clone()), Err(Rejection::KeysetInvalid(_))));
    let same = Times { reclaim_until: TIMES.deposit_until, ..TIMES };
    assert!(matches!(sign(same, keys), Err(Rejection::KeysetInvalid(_))));
}

#[test]
fn one_point_for_two_values_and_a_point_that_is_none_are_refused() {
    let signer = KeyPair::from_seed(&[1; 32]).public_key();
    let (_, mut keys) = fresh_keys(3, &mut stream(4));
    keys[2].key = keys[1].key;
    let twice = sign(TIMES, keys.clone()).unwrap().verify(&signer);
    assert!(matches!(twice, Err(Rejection::KeysetInvalid(_))));
    for none in [[0; 32], [0xff; 32]] {
        keys[2].key = EncodedPoint(none);
        let refused = sign(TIMES, keys.clone()).unwrap().verify(&signer);
        assert_eq!(refused.unwrap_err(), Rejection::Malformed("offline key"));
    }
}

#[test]
fn a_book_takes_one_keyset_an_epoch_and_no_key_twice() {
    let signer = KeyPair::from_seed(&[1; 32]);
    let verify = |epoch, currency, keys: &[OfflineKey]| {
        let keyset = Keyset::sign(&signer, name("north"), epoch, currency, TIMES, keys.to_vec()).unwrap();
        keyset.verify(&signer.public_key()).unwrap()
    };
    let mut rng = stream(5);
    let (_, keys) = fresh_keys(2, &mut rng);
    let (_, others) = fresh_keys(2, &mut rng);
    let mut book = KeyBook::new();
    let first = verify(0, Currency::CNY, &keys);
    book.add(first.clone()).unwrap();
    book.add(first.clone()).unwrap();
    assert_eq!(book.keysets().len(), 1, "the same again changes nothing");
    let again = book.add(verify(0, Currency::CNY, &others));
    assert!(matches!(again, Err(Rejection::KeysetNotPinned(_))));
    let reused = book.add(verify(1, Currency::EUR, &keys));
    assert!(matches!(reused, Err(Rejection::KeysetInvalid(_))));
    book.add(verify(1, Currency::CNY, &others)).unwrap();
    let id = first.keys[1].id;
    assert_eq!(book.key(&id).unwrap(), &first.keys[1]);
    assert!(matches!(book.key(&first.digest), Err(Rejection::KeyUnknown(_))));
    assert_eq!(book.current("north", Currency::CNY, at(NOW)).unwrap().keyset.epoch.0, 1);
    assert!(book.current("north", Currency::CNY, at(NOW + 30 * DAY)).is_none());
    assert!(book.current("south", Currency::CNY, at(NOW)).is_none());
}

#[test]
fn only_the_banks_own_certificate_signs_its_keyset() {
    let world = World::new(6);
    let (north, south) = (&world.north, &world.south);
    let foreign = north.keyset.clone().verify_with_chain(&south.chain, at(NOW), &world.root);
    assert!(matches!(foreign, Err(Rejection::CertificateInvalid(_))));
    let center = north.keyset.clone().verify_with_chain(&world.center_chain, at(NOW), &world.root);
    assert!(matches!(center, Err(Rejection::CertificateInvalid(_))));
    let late = north.keyset.clone().verify_with_chain(&north.chain, at(NOW + 3_650 * DAY), &world.root);
    assert!(matches!(late, Err(Rejection::CertificateInvalid(_))));
}

#[test]
fn times_open_and_close_to_the_second() {
    let world = World::new(7);
    let key = world.north.key(7);
    let t = TIMES;
    let before = |time: feiqian_wire::Timestamp| time.saturating_sub(1);
    assert_eq!(key.check_issue(before(t.issue_from)), Err(Rejection::KeyExpired));
    assert_eq!(key.check_issue(t.issue_from), Ok(()));
    assert_eq!(key.check_issue(t.issue_until), Err(Rejection::KeyExpired));
    assert_eq!(key.check_pay(before(t.pay_until), 0), Ok(()));
    assert_eq!(key.check_pay(t.pay_until, 0), Err(Rejection::KeyExpired));
    assert_eq!(key.check_pay(before(t.pay_until), 1), Err(Rejection::KeyExpired), "less a margin");
    assert!(matches!(key.check_claim(before(t.deposit_until)), Err(Rejection::NotExpired { .. })));
    assert_eq!(key.check_claim(t.deposit_until), Ok(()));
    assert_eq!(key.check_deposit(before(t.reclaim_until)), Ok(()), "deposits beat claims until then");
    assert_eq!(key.check_deposit(t.reclaim_until), Err(Rejection::KeyExpired));
    assert_eq!(key.check_claim(t.reclaim_until), Err(Rejection::KeyExpired));
    assert!(key.check_decide(before(t.reclaim_until)).is_err());
    assert_eq!(key.check_decide(t.reclaim_until), Ok(()));
}

#[test]
fn a_node_is_worth_its_part() {
    let world = World::new(8);
    let node = |number| Node::new(number).unwrap();
    let (blank, four, most) = (world.north.key(0), world.north.key(3), world.north.key(7));
    assert_eq!(most.worth(Node::ROOT), Some(minor(64)));
    assert_eq!(most.worth(node(5)), Some(minor(16)));
    assert_eq!(most.worth(node(127)), Some(minor(1)));
    assert_eq!(four.worth(node(7)), Some(minor(1)));
    assert_eq!(four.worth(node(8)), None, "a tree of depth 2 has no node 8");
    assert_eq!(blank.worth(node(127)), Some(minor(0)));
    assert_eq!((most.grain(), blank.grain()), (1, 0));
}

#[test]
fn a_secret_key_is_of_one_depth() {
    let secret = SecretKey::generate(Depth::MAX, &mut stream(9));
    let other = SecretKey::from_bytes(&secret.to_bytes(), Depth::new(5).unwrap()).unwrap();
    assert_ne!(secret.public(), other.public());
}
