//! The log of pinned keysets, and what it refuses.

use feiqian_crypto::snowblind::SecretKey;
use feiqian_money::Currency;
use feiqian_online_cash::Rejection;
use feiqian_online_cash::keyset::{EMPTY_VIEW, Keyset, PinEntry, PinLog};
use feiqian_online_cash::signed::WireChain;

use crate::world::{DAY, NOW, World, at, denominations, name};

fn rotated(world: &mut World, epoch: u64, currency: Currency) -> Keyset {
    let secrets: Vec<_> = (0..3).map(|_| SecretKey::generate(&mut world.rng)).collect();
    let keys = denominations("north", currency, &secrets);
    Keyset::sign(&world.north.signer, name("north"), epoch, currency, at(NOW + 485 * DAY), keys).unwrap()
}

#[test]
fn a_bank_has_one_keyset_for_each_epoch_and_currency() {
    let mut world = World::new(11);
    let entry = |keyset, world: &World| PinEntry { keyset, ..world.north.entry() };
    let second = rotated(&mut world, 0, Currency::CNY);
    let (before, known) = (world.pins.view(), world.pins.len());
    for keyset in [second, world.north.keyset.clone()] {
        let refused = world.pins.append(entry(keyset, &world), &world.root).unwrap_err();
        assert!(matches!(refused, Rejection::KeysetNotPinned(_)), "{refused}");
    }
    assert_eq!((world.pins.view(), world.pins.len()), (before, known), "unchanged by a refusal");
    for keyset in [rotated(&mut world, 1, Currency::CNY), rotated(&mut world, 0, Currency::JPY)] {
        world.pins.append(entry(keyset.clone(), &world), &world.root).unwrap();
        assert!(world.pins.contains(&keyset.digest()));
        assert!(world.pins.has_seen(&before));
    }
    let current = world.pins.current("north", Currency::CNY, at(NOW + 1)).unwrap();
    assert_eq!(current.keyset.epoch.0, 1);
    assert!(world.pins.current("north", Currency::CNY, at(NOW + 30 * DAY)).is_none());
    assert!(world.pins.current("north", Currency::CNY, at(NOW - 1)).is_none());
}

#[test]
fn a_key_of_an_earlier_keyset_is_refused() {
    let mut world = World::new(12);
    let keys = denominations("north", Currency::CNY, &world.north.secrets);
    let again = Keyset::sign(&world.north.signer, name("north"), 1, Currency::CNY, at(NOW + 490 * DAY), keys)
        .unwrap();
    let mut moved: Vec<_> = again.keys.clone().into_vec();
    moved.iter_mut().for_each(|key| key.redeem_until = at(NOW + 121 * DAY));
    let moved =
        Keyset::sign(&world.north.signer, name("north"), 1, Currency::CNY, at(NOW + 490 * DAY), moved)
            .unwrap();
    for keyset in [again, moved] {
        let entry = PinEntry { keyset, ..world.north.entry() };
        let refused = world.pins.append(entry, &world.root).unwrap_err();
        assert!(matches!(refused, Rejection::KeysetInvalid(_)), "{refused}");
    }
}

#[test]
fn only_the_banks_own_signing_key_signs_its_keyset() {
    let world = World::new(13);
    let mut log = PinLog::new();
    let foreign = PinEntry { signer: world.south.entry().signer, ..world.north.entry() };
    assert!(matches!(log.append(foreign, &world.root), Err(Rejection::CertificateInvalid(_))));
    let merchant = WireChain::from_chain(&world.shop_chain).unwrap();
    let foreign = PinEntry { signer: merchant, ..world.south.entry() };
    assert!(matches!(log.append(foreign, &world.root), Err(Rejection::CertificateInvalid(_))));
    let late = PinEntry { pinned_at: at(NOW + 400 * DAY), ..world.north.entry() };
    assert!(matches!(log.append(late, &world.root), Err(Rejection::CertificateInvalid(_))));
    let other_root = World::new(14).root;
    assert!(matches!(log.append(world.north.entry(), &other_root), Err(Rejection::CertificateInvalid(_))));
    let mut changed = world.north.entry();
    changed.keyset.grace_until = at(NOW + 486 * DAY);
    assert_eq!(log.append(changed, &world.root), Err(Rejection::SignatureInvalid("keyset")));
    assert!(log.is_empty() && log.view() == EMPTY_VIEW);
}

#[test]
fn two_logs_agree_only_as_prefixes_of_one_another() {
    let mut world = World::new(15);
    let view = world.pins.view();
    let mut shorter = PinLog::new();
    shorter.append(world.north.entry(), &world.root).unwrap();
    assert!(world.pins.has_seen(&shorter.view()));
    assert!(!world.pins.has_seen(&EMPTY_VIEW), "who shows no key agrees with nobody who knows some");
    assert!(PinLog::new().has_seen(&EMPTY_VIEW) && !PinLog::new().has_seen(&view));
    assert!(!shorter.has_seen(&view), "the shorter one asks the center for more first");
    let mut reordered = PinLog::new();
    reordered.append(world.south.entry(), &world.root).unwrap();
    reordered.append(world.north.entry(), &world.root).unwrap();
    assert!(!world.pins.has_seen(&reordered.view()));
    let mut split = PinLog::new();
    let keyset = rotated(&mut world, 0, Currency::CNY);
    split.append(PinEntry { keyset, ..world.north.entry() }, &world.root).unwrap();
    split.append(world.south.entry(), &world.root).unwrap();
    assert!(!world.pins.has_seen(&split.view()), "a keyset shown to one customer alone");
}

#[test]
fn keys_act_in_their_times_only() {
    let world = World::new(16);
    let key = &world.keys(&world.north, &[3])[0];
    let (issue, redeem, grace) = (NOW + 30 * DAY, NOW + 120 * DAY, NOW + 485 * DAY);
    assert!(key.check_issue(at(NOW - 1)).is_err() && key.check_issue(at(NOW)).is_ok());
    assert!(key.check_issue(at(issue - 1)).is_ok() && key.check_issue(at(issue)).is_err());
    assert!(key.check_redeem(at(redeem - 1)).is_ok() && key.check_redeem(at(redeem)).is_err());
    assert!(key.check_grace(at(grace - 1)).is_ok() && key.check_grace(at(grace)).is_err());
}
