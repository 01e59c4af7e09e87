use feiqian_crypto::share_tree::{Opening, identify};
use feiqian_crypto::{EncodedScalar, Scalar};
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::accusation::{
    Accusation, Accused, AnsweredPiece, BankAccusation, CustomerAccusation, NonAnswer, SignedNonAnswer,
};
use feiqian_offline_cash::withdraw::{Coin, SignedWithdrawal};
use feiqian_wire::Limit;
use feiqian_wire::codec::{decode, decode_json, encode, encode_json};
use rand::RngExt as _;

use crate::world::{DAY, Drawn, NOW, Person, World, answer_twice, at, digest, expose, name, stream};

fn accuse(opening: Opening, drawn: &Drawn, person: &Person) -> Result<CustomerAccusation, Rejection> {
    CustomerAccusation::new(opening, drawn.signed.clone(), person.attested.clone())
}

fn invalid(verdict: &Result<Accused, Rejection>) -> bool {
    matches!(verdict, Err(Rejection::AccusationInvalid(_)))
}

#[test]
fn whoever_answers_twice_is_named_by_evidence_that_stands_alone() {
    let mut world = World::new(60);
    let ann = world.person("north", 1);
    let drawn = world.draw(&ann, "session", &[3, 2]);
    let opening = expose(&drawn.coins[1], world.north.key(2));
    let accusation = Accusation::Customer(accuse(opening, &drawn, &ann).unwrap());
    let Accused::Customer { origin, identity, collateral } = accusation.verify(&world.root).unwrap() else {
        panic!("a customer");
    };
    assert_eq!((&origin, identity), (&drawn.coins[1].origin, *ann.secret.public()));
    assert_eq!(collateral, ann.attested.identity.record.collateral);
    let file = encode_json(&accusation).unwrap();
    let read: Accusation = decode_json(&file, Limit::Medium).unwrap();
    assert_eq!(read, accusation);
    assert!(read.verify(&world.root).is_ok());
    assert!(read.verify(&World::new(61).root).is_err(), "another center's root");
}

#[test]
fn a_known_identity_secret_accuses_of_nothing_else() {
    let mut world = World::new(62);
    let ann = world.person("north", 1);
    let (cheated, honest) = (world.draw(&ann, "cheated", &[2]), world.draw(&ann, "honest", &[2, 2]));
    let opening = expose(&cheated.coins[0], world.north.key(2));
    assert!(invalid(&accuse(opening, &honest, &ann).map(|_| unreachable!())));
    // L1 is public now. The bank knows every C and ν of the honest session, but no R.
    for (index, line) in (0_u16..).zip(&honest.signed.statement.lines) {
        for r in [opening.r, EncodedScalar::from(Scalar::ZERO), EncodedScalar::from(Scalar::from(7_u8))] {
            let opening = Opening { r, identity_secret: opening.identity_secret, nu: line.nu };
            let (withdrawal, identity) = (honest.signed.clone(), ann.attested.clone());
            let forged = Accusation::Customer(CustomerAccusation { opening, index, withdrawal, identity });
            assert!(invalid(&forged.verify(&world.root)));
        }
    }
}

#[test]
fn the_parts_must_be_about_each_other() {
    let mut world = World::new(63);
    let (ann, bob) = (world.person("north", 1), world.person("north", 2));
    let carol = world.person("south", 1);
    let (anns, bobs) = (world.draw(&ann, "ann", &[2, 2]), world.draw(&bob, "bob", &[2]));
    let opening = expose(&anns.coins[0], world.north.key(2));
    let sound = accuse(opening, &anns, &ann).unwrap();
    assert_eq!(sound.index, 0);
    let verify = |accusation: CustomerAccusation| Accusation::Customer(accusation).verify(&world.root);
    assert!(verify(sound.clone()).is_ok());
    assert!(invalid(&verify(CustomerAccusation { index: 1, ..sound.clone() })));
    assert!(invalid(&verify(CustomerAccusation { index: 2, ..sound.clone() })));
    assert!(invalid(&verify(CustomerAccusation { withdrawal: bobs.signed.clone(), ..sound.clone() })));
    for other in [&bob, &carol] {
        assert!(invalid(&verify(CustomerAccusation { identity: other.attested.clone(), ..sound.clone() })));
    }
    // A bank frames Bob: Ann's lines in a statement of Bob's account, which Bob did not sign.
    let mut statement = anns.signed.statement.clone();
    statement.account = bob.account.clone();
    for signer in [&world.north.signer, &ann.signer] {
        let withdrawal = SignedWithdrawal::sign(statement.clone(), signer).unwrap();
        let identity = bob.attested.clone();
        let framed = verify(CustomerAccusation { withdrawal, identity, ..sound.clone() });
        assert_eq!(framed.unwrap_err(), Rejection::SignatureInvalid("withdrawal statement"));
    }
    // Even with Bob's signature below it the opening names Ann, not Bob.
    let withdrawal = SignedWithdrawal::sign(statement, &bob.signer).unwrap();
    let identity = bob.attested.clone();
    assert!(invalid(&verify(CustomerAccusation { withdrawal, identity, ..sound.clone() })));
    // A statement with another line than the one that was signed.
    let mut changed = sound.withdrawal.clone();
    let mut lines = changed.statement.lines.to_vec();
    lines[0].challenge = EncodedScalar::from(Scalar::ONE);
    changed.statement.lines = feiqian_wire::Bounded::new(lines).unwrap();
    let replayed = verify(CustomerAccusation { withdrawal: changed, ..sound });
    assert_eq!(replayed.unwrap_err(), Rejection::SignatureInvalid("withdrawal statement"));
}

#[test]
fn ten_thousand_accusations_of_an_honest_customer_are_refused() {
    let mut world = World::new(64);
    let (ann, bob) = (world.person("north", 1), world.person("north", 2));
    let (guilty, honest) = (world.draw(&bob, "guilty", &[1]), world.draw(&ann, "honest", &[1, 1]));
    let opening = expose(&guilty.coins[0], world.north.key(1));
    let sound = encode(&Accusation::Customer(accuse(opening, &guilty, &bob).unwrap())).unwrap();
    // Everything a bank has of an honest customer, with the opening of another, and single bits of it changed.
    let framed = CustomerAccusation {
        opening: Opening { nu: honest.signed.statement.lines[0].nu, ..opening },
        index: 0,
        withdrawal: honest.signed.clone(),
        identity: ann.attested.clone(),
    };
    let framed = encode(&Accusation::Customer(framed)).unwrap();
    let mut rng = stream(65);
    let (mut refused, mut decoded) = (0, 0);
    for round in 0..10_000 {
        let mut bytes = if round % 2 == 0 { framed.clone() } else { sound.clone() };
        let place = rng.random_range(4..bytes.len());
        bytes[place] ^= 1 << rng.random_range(0..8);
        let Ok(accusation) = decode::<Accusation>(&bytes, Limit::Medium) else {
            refused += 1;
            continue;
        };
        decoded += 1;
        match accusation.verify(&world.root) {
            Err(_) => refused += 1,
            Ok(accused) => panic!("byte {place} of round {round} accuses {accused:?}"),
        }
    }
    assert_eq!(refused, 10_000);
    assert!(decoded > 5_000, "most changes are to be refused by what they say, not by their form");
}

fn non_answer(world: &World, coin: &Coin, opening: Opening) -> NonAnswer {
    NonAnswer {
        bank: name("north"),
        key: world.north.key(2).id,
        pinned_at: at(NOW),
        coin: *coin.tree.message(),
        opening,
        asked_at: at(NOW + DAY),
        decided_at: at(NOW + 2 * DAY),
    }
}

fn against_the_bank(world: &World, coin: &Coin, statement: NonAnswer) -> BankAccusation {
    let pieces = answer_twice(coin, world.north.key(2)).each_ref().map(AnsweredPiece::of);
    let non_answer = SignedNonAnswer::sign(statement, &world.center, world.center_chain.clone()).unwrap();
    BankAccusation {
        pieces,
        keyset: world.north.keyset.clone(),
        signer: world.north.chain.clone(),
        non_answer,
    }
}

#[test]
fn a_bank_that_does_not_answer_is_liable_itself() {
    let mut world = World::new(66);
    let ann = world.person("north", 1);
    let drawn = world.draw(&ann, "session", &[2, 2]);
    let [coin, other] = [&drawn.coins[0], &drawn.coins[1]];
    let opening = expose(coin, world.north.key(2));
    let sound = against_the_bank(&world, coin, non_answer(&world, coin, opening));
    let verify = |accusation: BankAccusation| Accusation::Bank(accusation).verify(&world.root);
    let accused = verify(sound.clone()).unwrap();
    let named =
        Accused::Bank { bank: name("north"), coin: *coin.tree.message(), identity: *ann.secret.public() };
    assert_eq!(accused, named);
    let bytes = encode(&Accusation::Bank(sound.clone())).unwrap();
    assert_eq!(decode::<Accusation>(&bytes, Limit::Medium).unwrap(), Accusation::Bank(sound.clone()));

    let stated = |change: &dyn Fn(&mut NonAnswer)| {
        let mut statement = non_answer(&world, coin, opening);
        change(&mut statement);
        verify(against_the_bank(&world, coin, statement))
    };
    assert!(invalid(&stated(&|statement| statement.bank = name("south"))));
    assert!(invalid(&stated(&|statement| statement.key = digest("no key"))));
    assert!(stated(&|statement| statement.key = world.north.key(3).id).is_err(), "another depth");
    assert!(invalid(&stated(&|statement| statement.coin = *other.tree.message())));
    assert!(invalid(&stated(&|statement| statement.opening.nu = EncodedScalar::from(Scalar::ONE))));
    assert!(invalid(&stated(&|statement| statement.asked_at = statement.decided_at)));

    let [one, two] = sound.pieces.clone();
    let same = [one.clone(), one.clone()];
    assert!(invalid(&verify(BankAccusation { pieces: same, ..sound.clone() })), "one answer is no crime");
    let elsewhere = AnsweredPiece::of(&answer_twice(other, world.north.key(2))[0]);
    assert!(invalid(&verify(BankAccusation { pieces: [one.clone(), elsewhere], ..sound.clone() })));
    let untrue = AnsweredPiece { challenge: EncodedScalar::from(Scalar::from(9_u8)), ..two };
    let untrue = verify(BankAccusation { pieces: [one, untrue], ..sound.clone() });
    assert!(matches!(untrue, Err(Rejection::PieceInvalid(_))));
    let keyset = world.south.keyset.clone();
    assert!(verify(BankAccusation { keyset, ..sound.clone() }).is_err());
    let mut signed = sound.non_answer.clone();
    signed.statement.decided_at = at(NOW + 3 * DAY);
    assert!(verify(BankAccusation { non_answer: signed, ..sound.clone() }).is_err());
    let own = &world.north;
    let statement = non_answer(&world, coin, opening);
    let signed = SignedNonAnswer::sign(statement, &own.signer, own.chain.clone()).unwrap();
    assert!(verify(BankAccusation { non_answer: signed, ..sound }).is_err(), "only the center says so");
}

#[test]
fn the_opening_leads_the_bank_to_the_withdrawal() {
    let mut world = World::new(67);
    let ann = world.person("north", 1);
    let drawn = world.draw(&ann, "session", &[0]);
    let [one, other] = answer_twice(&drawn.coins[0], world.north.key(0));
    assert_eq!(identify(&[&one]).unwrap(), None);
    let opening = identify(&[&one, &other]).unwrap().unwrap();
    assert_eq!(opening.commitment().unwrap(), drawn.answered.commitments[0]);
    assert_eq!(opening.nu, drawn.answered.announcements[0].nu);
}
