use feiqian_crypto::share_tree::{Opening, identify};
use feiqian_crypto::{EncodedScalar, Scalar};
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::accusation::{
    Accusation, Accused, AnsweredPiece, BankAccusation, CustomerAccusation, NonAnswer, SignedNonAnswer,
};
use feiqian_offline_cash::identity::AttestedIdentity;
use feiqian_offline_cash::withdraw::{Coin, SignedWithdrawal};
use feiqian_wire::Limit;
use feiqian_wire::codec::{decode, decode_json, encode, encode_json};
use rand::RngExt as _;

use crate::world::{DAY, Drawn, NOW, Person, World, answer_twice, at, certify, digest, expose, name, stream};

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

/// Everything that a bank has or can make, in all combinations: only the guilty customer's own opening, line, statement and
/// identity accuse anybody.
#[test]
fn of_all_combinations_of_what_a_bank_has_only_the_guilty_one_accuses() {
    let mut world = World::new(68);
    let (ann, bob, carol) = (world.person("north", 1), world.person("north", 2), world.person("south", 3));
    let (guilty, before) = (world.draw(&bob, "guilty", &[1, 1]), world.draw(&bob, "before", &[1]));
    let honest = world.draw(&ann, "honest", &[1, 1]);
    let exposed = expose(&guilty.coins[0], world.north.key(1));
    let nus = honest.signed.statement.lines.iter().map(|line| line.nu);
    let mut openings: Vec<Opening> = nus.map(|nu| Opening { nu, ..exposed }).collect();
    let zero = EncodedScalar::from(Scalar::ZERO);
    openings.extend([exposed, Opening { r: zero, ..exposed }, Opening { identity_secret: zero, ..exposed }]);
    openings.extend([Opening { nu: zero, ..exposed }, Opening { r: exposed.nu, nu: exposed.r, ..exposed }]);

    // Statements as they were signed; another's, signed by the bank and by Bob; Bob's guilty line put into Ann's.
    let mut grafted = honest.signed.statement.clone();
    let mut lines = grafted.lines.to_vec();
    lines[0] = guilty.signed.statement.lines[0];
    grafted.lines = feiqian_wire::Bounded::new(lines).unwrap();
    let mut statements = vec![guilty.signed.clone(), before.signed.clone(), honest.signed.clone()];
    for statement in [&honest.signed.statement, &grafted] {
        for signer in [&world.north.signer, &bob.signer, &world.center] {
            statements.push(SignedWithdrawal::sign(statement.clone(), signer).unwrap());
        }
    }
    // An identity that nobody registered: Ann's account with Bob's I, signed by a key that the bank made up and certified.
    let made_up = feiqian_pki::KeyPair::generate(&mut world.rng);
    let subject = feiqian_pki::Subject::customer(ann.account.as_str(), "north").unwrap();
    let chain = certify(&made_up, &subject, &world.north.authority, &mut world.rng);
    let chain = feiqian_offline_cash::signed::WireChain::from_chain(&chain).unwrap();
    let record = World::record(&world.north, &ann.account, &bob.secret, &made_up);
    let invented = feiqian_offline_cash::identity::SignedIdentity::sign(record, &made_up, chain).unwrap();
    let mut identities = vec![ann.attested.clone(), bob.attested.clone(), carol.attested.clone()];
    identities.push(AttestedIdentity { identity: invented.clone(), ..ann.attested.clone() });
    let (own, chain) = (&world.north.signer, world.north.chain.clone());
    identities.push(AttestedIdentity::attest(invented, at(NOW), own, chain, &world.root).unwrap());
    let (mut tried, mut accused) = (0, Vec::new());
    for (opening, withdrawal) in openings.iter().flat_map(|one| statements.iter().map(move |two| (one, two)))
    {
        for (identity, index) in identities.iter().flat_map(|one| (0..3).map(move |index| (one, index))) {
            let (withdrawal, identity) = (withdrawal.clone(), identity.clone());
            let accusation = CustomerAccusation { opening: *opening, index, withdrawal, identity };
            tried += 1;
            accused.extend(Accusation::Customer(accusation).verify(&world.root));
        }
    }
    assert_eq!(tried, 7 * 9 * 5 * 3);
    let [Accused::Customer { origin, identity, .. }] = &accused[..] else { panic!("{accused:?}") };
    assert_eq!((origin, identity), (&guilty.coins[0].origin, bob.secret.public()));
}

/// Fields of one document put in the place of others of the same length, of all documents there are.
#[test]
fn thousands_of_accusations_made_of_fields_of_others_accuse_nobody_new() {
    let mut world = World::new(69);
    let (ann, bob) = (world.person("north", 1), world.person("north", 2));
    let (guilty, honest) = (world.draw(&bob, "guilty", &[1]), world.draw(&ann, "honest", &[1, 1]));
    let opening = expose(&guilty.coins[0], world.north.key(1));
    let sound = Accusation::Customer(accuse(opening, &guilty, &bob).unwrap());
    let framed = Accusation::Customer(CustomerAccusation {
        opening: Opening { nu: honest.signed.statement.lines[0].nu, ..opening },
        index: 0,
        withdrawal: honest.signed.clone(),
        identity: ann.attested.clone(),
    });
    let [sound, framed] = [&sound, &framed].map(|accusation| serde_json::to_value(accusation).unwrap());
    let mut pool = Vec::new();
    texts(&mut sound.clone(), &mut |text| pool.push(text.clone()));
    texts(&mut framed.clone(), &mut |text| pool.push(text.clone()));
    let (mut rng, mut decoded, mut changed) = (stream(70), 0, 0);
    for round in 0..4_000 {
        let mut document = if round % 2 == 0 { sound.clone() } else { framed.clone() };
        for _ in 0..rng.random_range(1..4) {
            let mut places = 0_usize;
            texts(&mut document, &mut |_| places += 1);
            let (mut place, chosen) = (rng.random_range(0..places), rng.random_range(0..pool.len()));
            texts(&mut document, &mut |text| {
                let same = pool.iter().cycle().skip(chosen).take(pool.len());
                let other = same.into_iter().find(|other| other.len() == text.len() && *other != text);
                if place == 0
                    && let Some(other) = other
                {
                    text.clone_from(other);
                }
                place = place.wrapping_sub(1);
            });
        }
        if document == sound {
            continue;
        }
        changed += 1;
        let Ok(accusation) = serde_json::from_value::<Accusation>(document) else { continue };
        decoded += 1;
        assert!(accusation.verify(&world.root).is_err(), "round {round}");
    }
    assert!(changed > 3_700 && decoded > 3_000, "{changed} {decoded}");
}

/// Every text in a document.
fn texts(value: &mut serde_json::Value, each: &mut dyn FnMut(&mut String)) {
    match value {
        serde_json::Value::String(text) => each(text),
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| texts(item, each)),
        serde_json::Value::Object(fields) => fields.values_mut().for_each(|item| texts(item, each)),
        _ => (),
    }
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
