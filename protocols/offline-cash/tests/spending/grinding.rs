//! Whoever stands between payer and payee wants its own blanks paid under the code of another's offer.

use std::collections::BTreeMap;

use feiqian_crypto::Transcript;
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::transfer::{Nonce, Offer, OfferOpening};
use feiqian_wire::Timestamp;
use rand::SeedableRng as _;
use rand::rngs::ChaCha12Rng;

use crate::world::{NORTH, NOW, StoredCoin, World};

const TRIES: u64 = 4_000;

/// Offers that differ in something nobody would notice.
fn variants(world: &World, blank: &StoredCoin, count: u64) -> impl Iterator<Item = Offer> + use<> {
    let offer = world.offer(4, &[blank]);
    (0..count).map(move |second| Offer { expires: Timestamp::new(NOW + 600 + second), ..offer.clone() })
}

/// A code of an offer alone, as short as a screen shows: what the handshake must not be.
fn naive(offer: &Offer, digits: u64) -> u64 {
    let digest = Transcript::new("tests/naive-code").digest(&offer.digest()).into_digest();
    u64::from_le_bytes(*digest.0.first_chunk().unwrap()) % digits
}

#[test]
fn a_code_over_the_offer_alone_could_be_ground() {
    let mut world = World::new(130);
    let (payee, thief) = (world.person(), world.person());
    let (ours, theirs) = (world.blank(NORTH, &payee), world.blank(NORTH, &thief));
    let wanted = naive(&world.offer(4, &[&ours]), 1000);
    let found = variants(&world, &theirs, 20_000).find(|offer| naive(offer, 1000) == wanted);
    assert!(found.is_some(), "three digits fall to a thousand tries, six to a million, while people wait");
}

/// The thief relays: it knows the payee's commitment and the payer's nonce, and tries offer after offer on the payer.
#[test]
fn after_the_commitment_no_other_offer_is_taken() {
    let mut world = World::new(131);
    let (payee, thief) = (world.person(), world.person());
    let (ours, theirs) = (world.blank(NORTH, &payee), world.blank(NORTH, &thief));
    let (pending, commitment) = world.offer(4, &[&ours]).commit(&world.book, &mut world.rng).unwrap();
    // The same answer again and again, as only this test can have it: the payer answers once.
    let answer = || commitment.answer(&mut ChaCha12Rng::seed_from_u64(131));
    let (_, nonce) = answer();
    let (_, opening, code) = pending.open(&nonce);
    assert_eq!(answer().0.check(opening.clone(), &world.book).unwrap().code(), code);
    for (offer, try_) in variants(&world, &theirs, TRIES).zip(0_u64..) {
        let guess = Transcript::new("tests/nonce").integer(try_).into_digest();
        let nonces = [opening.nonce, Nonce(guess)];
        let nonce = nonces[(try_ % 2) as usize];
        let refused = answer().0.check(OfferOpening { offer, nonce }, &world.book).unwrap_err();
        assert_eq!(refused, Rejection::RequestMismatch);
    }
}

/// The thief commits to its own offer towards the payer and plays the payer towards the payee. Both sides are bound before
/// they see the other's nonce, so each of its attempts meets the payee's code by chance alone: once in a million.
#[test]
fn two_handshakes_meet_in_one_code_by_chance_alone() {
    let mut world = World::new(132);
    let (payee, thief) = (world.person(), world.person());
    let (ours, theirs) = (world.blank(NORTH, &payee), world.blank(NORTH, &thief));
    let (ours, theirs) = (world.offer(4, &[&ours]), world.offer(4, &[&theirs]));
    let mut codes: BTreeMap<String, u64> = BTreeMap::new();
    let mut met = 0;
    for _ in 0..TRIES {
        let (with_payee, _) = ours.clone().commit(&world.book, &mut world.rng).unwrap();
        let (with_payer, commitment) = theirs.clone().commit(&world.book, &mut world.rng).unwrap();
        let (payer, nonce) = commitment.answer(&mut world.rng);
        // The payer's nonce is the best that it can show the payee: its own would be as good.
        let (_, _, shown_to_payee) = with_payee.open(&nonce);
        let (_, opening, _) = with_payer.open(&nonce);
        let shown_to_payer = payer.check(opening, &world.book).unwrap().code();
        met += u64::from(shown_to_payee == shown_to_payer);
        *codes.entry(shown_to_payer.to_string()).or_default() += 1;
    }
    assert_eq!(met, 0, "a chance of {TRIES} in a million, with this seed none");
    // The codes are spread: of 4,000 draws from a million about 8 pairs agree.
    let repeats: u64 = codes.values().map(|times| times - 1).sum();
    assert!(repeats < 40, "{repeats}");
    assert!(codes.keys().all(|code| code.len() == 7));
}
