use feiqian_crypto::acl::{Announcement, Challenge};
use feiqian_crypto::{EncodedPoint, EncodedScalar, Scalar};
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::withdraw::{
    BeginRequest, BeginResponse, CommitRequest, CommitResponse, Committed, ExpectAnnouncements,
    ExpectCommitments, FinishRequest, FinishResponse, Output, announcement_digest, expand, outputs_of,
    restore,
};
use feiqian_wire::codec::{decode, encode};
use feiqian_wire::{Bounded, Limit};

use crate::world::{World, digest, name, stream};

#[test]
fn a_session_makes_value_coins_and_blanks() {
    let mut world = World::new(40);
    let ann = world.person("north", 1);
    let drawn = world.draw(&ann, "session", &[0, 7, 3, 7]);
    let mut names: Vec<_> = drawn.coins.iter().map(|coin| *coin.tree.message()).collect();
    for (coin, (index, place)) in drawn.coins.iter().zip((0_u16..).zip([0, 7, 3, 7])) {
        let key = world.north.key(place);
        assert_eq!((coin.key, coin.origin.index), (key.id, index));
        assert_eq!(coin.tree.key(), &key.public);
        let message = feiqian_crypto::acl::verify(&key.public, &coin.tree.root(), coin.tree.signature());
        assert_eq!(message.unwrap(), *coin.tree.message());
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 4);
    assert_eq!(drawn.signed.verify(&ann.signer.public_key()), Ok(()));
    assert_eq!(drawn.signed.statement.lines.len(), 4);
}

#[test]
fn two_sessions_share_nothing() {
    let mut world = World::new(41);
    let ann = world.person("north", 1);
    let (one, other) = (world.draw(&ann, "one", &[3]), world.draw(&ann, "other", &[3]));
    assert_ne!(one.answered.commitments, other.answered.commitments);
    assert_ne!(one.coins[0].tree.message(), other.coins[0].tree.message());
    assert_ne!(one.coins[0].tree.root(), other.coins[0].tree.root());
}

#[test]
fn a_session_or_announcement_seen_before_is_refused() {
    let mut world = World::new(42);
    let ann = world.person("north", 1);
    let (session, customer) = (digest("session"), ann.customer());
    let key = world.north.key(3).clone();
    let seen = ExpectAnnouncements::begin(&customer, &[&key], &session, |_| true, &mut stream(1));
    assert_eq!(seen.unwrap_err(), Rejection::SessionRepeated);

    let (_, _, _, response) = world.begin(&ann, &session, &[3, 3]);
    let first = announcement_digest(&key, &response.announcements[0]);
    let resume = || ExpectAnnouncements::resume(&customer, &[&key, &key], &session).unwrap();
    let refused = resume().challenge(&customer, &response, |digest| *digest == first, &ann.signer);
    assert_eq!(refused.unwrap_err(), Rejection::SessionRepeated);
    let twice = Bounded::new(vec![response.announcements[0]; 2]).unwrap();
    let refused =
        resume().challenge(&customer, &CommitResponse { announcements: twice }, |_| false, &ann.signer);
    assert_eq!(refused.unwrap_err(), Rejection::SessionRepeated);
    let fewer = Bounded::new(vec![response.announcements[0]]).unwrap();
    let refused =
        resume().challenge(&customer, &CommitResponse { announcements: fewer }, |_| false, &ann.signer);
    assert!(matches!(refused, Err(Rejection::AmountMismatch(_))));
    let mut none = response.announcements.to_vec();
    none[1].b1 = EncodedPoint([0xff; 32]);
    let none = CommitResponse { announcements: Bounded::new(none).unwrap() };
    let refused = resume().challenge(&customer, &none, |_| false, &ann.signer);
    assert_eq!(refused.unwrap_err(), Rejection::Malformed("announcement"));
}

#[test]
fn after_a_crash_the_wallet_says_the_same() {
    let mut world = World::new(43);
    let ann = world.person("north", 1);
    let session = digest("session");
    let (_, open, request, response) = world.pend(&ann, &session, &[3, 0]);
    let keys = [world.north.key(3), world.north.key(0)];
    let again = ExpectAnnouncements::resume(&ann.customer(), &keys, &session).unwrap();
    let (pending, repeated) = again.challenge(&ann.customer(), &response, |_| false, &ann.signer).unwrap();
    assert_eq!(repeated, request);
    let accepted = open.accept(&repeated, &ann.signer.public_key()).unwrap();
    let secrets = [&world.north.secrets[3], &world.north.secrets[0]];
    assert_eq!(open.response(), response);
    assert_eq!(pending.finish(&open.answer(&secrets, &accepted).unwrap()).unwrap().len(), 2);
}

#[test]
fn the_bank_answers_only_to_commitments_of_the_registered_identity() {
    let mut world = World::new(44);
    let (ann, bob) = (world.person("north", 1), world.person("north", 2));
    let session = digest("session");
    let (_, _, request, _) = world.begin(&ann, &session, &[3, 3]);
    let announce =
        |who: &ExpectCommitments, identity: &feiqian_crypto::acl::Identity, request: &CommitRequest| {
            who.clone().announce(identity, request, &mut stream(2)).map(|_| ()).unwrap_err()
        };
    let waiting = world.north.open(&ann, &session, &[3, 3]);
    let proof = Rejection::ProofInvalid("opening of a commitment");
    assert_eq!(announce(&waiting, bob.secret.public(), &request), proof);
    assert_eq!(announce(&world.north.open(&bob, &session, &[3, 3]), ann.secret.public(), &request), proof);
    assert_eq!(announce(&world.north.open(&ann, &session, &[3, 4]), ann.secret.public(), &request), proof);
    let elsewhere = CommitRequest { session: digest("other"), ..request.clone() };
    assert_eq!(announce(&waiting, ann.secret.public(), &elsewhere), Rejection::RequestMismatch);
    let other = world.north.open(&ann, &digest("other"), &[3, 3]);
    assert_eq!(announce(&other, ann.secret.public(), &elsewhere), proof, "proofs are of one session");
    let with = |commitments: Vec<Committed>| CommitRequest {
        session,
        commitments: Bounded::new(commitments).unwrap(),
    };
    let [one, two] = [request.commitments[0], request.commitments[1]];
    assert_eq!(announce(&waiting, ann.secret.public(), &with(vec![two, one])), proof);
    assert_eq!(announce(&waiting, ann.secret.public(), &with(vec![one, one])), Rejection::SessionRepeated);
    let fewer = announce(&waiting, ann.secret.public(), &with(vec![one]));
    assert!(matches!(fewer, Rejection::AmountMismatch(_)));
    let identity = Committed { commitment: EncodedPoint([0; 32]), ..one };
    assert_eq!(announce(&waiting, ann.secret.public(), &with(vec![identity, two])), proof, "C = O");
}

#[test]
fn no_answer_without_the_customers_signature() {
    let mut world = World::new(45);
    let (ann, bob) = (world.person("north", 1), world.person("north", 2));
    let session = digest("session");
    let (_, open, request, _) = world.pend(&ann, &session, &[3, 3]);
    let key = ann.signer.public_key();
    let invalid = Rejection::SignatureInvalid("withdrawal statement");
    assert_eq!(open.accept(&request, &bob.signer.public_key()).unwrap_err(), invalid);
    let swapped: Vec<Challenge> = request.challenges.iter().rev().copied().collect();
    let swapped = FinishRequest { challenges: Bounded::new(swapped).unwrap(), ..request.clone() };
    assert_eq!(open.accept(&swapped, &key).unwrap_err(), invalid);
    let one = Bounded::new(vec![request.challenges[0]]).unwrap();
    let fewer = open.accept(&FinishRequest { challenges: one, ..request.clone() }, &key);
    assert!(matches!(fewer, Err(Rejection::AmountMismatch(_))));
    let elsewhere = FinishRequest { session: digest("other"), ..request.clone() };
    assert_eq!(open.accept(&elsewhere, &key).unwrap_err(), Rejection::RequestMismatch);

    let accepted = open.accept(&request, &key).unwrap();
    let wrong = [&world.north.secrets[3], &world.north.secrets[4]];
    assert_eq!(open.answer(&wrong, &accepted).unwrap_err(), Rejection::RequestMismatch);
    let (_, another, _, _) = world.pend(&ann, &digest("other"), &[3, 3]);
    // The same session announced again, as after a restart: the statement is about other announcements.
    let (_, again, _, _) = world.pend(&ann, &session, &[3, 3]);
    let right = [&world.north.secrets[3], &world.north.secrets[3]];
    assert_eq!(another.answer(&right, &accepted).unwrap_err(), Rejection::RequestMismatch);
    assert_eq!(again.answer(&right, &accepted).unwrap_err(), Rejection::RequestMismatch);
}

#[test]
fn an_answer_that_does_not_fit_makes_no_coin() {
    let mut world = World::new(46);
    let ann = world.person("north", 1);
    let session = digest("session");
    for part in 0..6 {
        let (pending, open, request, _) = world.pend(&ann, &session, &[2]);
        let accepted = open.accept(&request, &ann.signer.public_key()).unwrap();
        let mut answers = open.answer(&[&world.north.secrets[2]], &accepted).unwrap().answers.to_vec();
        let scalar = match part {
            0 => &mut answers[0].r,
            1 => &mut answers[0].c,
            2 => &mut answers[0].s1,
            3 => &mut answers[0].s2,
            4 => &mut answers[0].d,
            _ => {
                answers.clear();
                let none = FinishResponse { answers: Bounded::new(answers).unwrap() };
                assert_eq!(pending.finish(&none).unwrap_err(), Rejection::BankMisbehaved);
                continue;
            }
        };
        *scalar = EncodedScalar::from(scalar.decode().unwrap() + Scalar::ONE);
        let wrong = FinishResponse { answers: Bounded::new(answers).unwrap() };
        assert_eq!(pending.finish(&wrong).unwrap_err(), Rejection::BankMisbehaved);
    }
}

#[test]
fn the_words_rebuild_every_coin() {
    let mut world = World::new(47);
    let ann = world.person("north", 1);
    let bob = world.person("north", 2);
    let drawn = world.draw(&ann, "session", &[0, 3]);
    let keys = [world.north.key(0), world.north.key(3)];
    let restored = restore(&ann.customer(), &keys, &drawn.answered).unwrap();
    for (coin, restored) in drawn.coins.iter().zip(&restored) {
        assert_eq!(restored.message(), coin.tree.message());
        assert_eq!((restored.origin(), restored.key()), (&coin.origin, &coin.key));
    }
    let misbehaved = |customer: &_, answered: &_| restore(customer, &keys, answered).unwrap_err();
    assert_eq!(misbehaved(&bob.customer(), &drawn.answered), Rejection::BankMisbehaved);
    let mut changed = drawn.answered.clone();
    let nu = Announcement { nu: EncodedScalar::from(Scalar::ONE), ..changed.announcements[0] };
    changed.announcements = Bounded::new(vec![nu, changed.announcements[1]]).unwrap();
    assert_eq!(misbehaved(&ann.customer(), &changed), Rejection::BankMisbehaved);
    let mut changed = drawn.answered.clone();
    changed.session = digest("other");
    assert_eq!(misbehaved(&ann.customer(), &changed), Rejection::BankMisbehaved);
    let mut changed = drawn.answered.clone();
    changed.challenges = Bounded::new(vec![changed.challenges[0]]).unwrap();
    assert!(matches!(misbehaved(&ann.customer(), &changed), Rejection::AmountMismatch(_)));
    let mut changed = drawn.answered;
    changed.answers = Bounded::new(changed.answers.iter().rev().copied().collect()).unwrap();
    assert_eq!(misbehaved(&ann.customer(), &changed), Rejection::BankMisbehaved);
}

#[test]
fn outputs_are_bounded() {
    let ids = vec![digest("a"), digest("b"), digest("a")];
    let outputs = outputs_of(&ids).unwrap();
    assert_eq!(expand(&outputs).unwrap(), [digest("a"), digest("a"), digest("b")]);
    assert!(outputs_of(&vec![digest("a"); 65]).is_err());
    let of = |count| [Output { key: digest("a"), count }];
    assert_eq!(expand(&of(64)).unwrap().len(), 64);
    for wrong in [&of(0)[..], &of(65), &of(u16::MAX), &[]] {
        assert!(matches!(expand(wrong), Err(Rejection::LimitExceeded(_))));
    }
    let world = World::new(48);
    let account = feiqian_wire::Text::new("a").unwrap();
    let new =
        |keys: &[_]| ExpectCommitments::new(name("north"), account.clone(), digest("s"), keys).unwrap_err();
    assert!(matches!(new(&[]), Rejection::LimitExceeded(_)));
    assert!(matches!(new(&[world.north.key(1); 65]), Rejection::LimitExceeded(_)));
    assert_eq!(new(&[world.south.key(1)]), Rejection::WrongBank("south".into()));
}

#[test]
fn messages_travel() {
    let mut world = World::new(49);
    let ann = world.person("north", 1);
    let (_, _, commit, announced) = world.begin(&ann, &digest("session"), &[0, 1]);
    let drawn = world.draw(&ann, "other", &[0, 1]);
    let begin =
        BeginRequest { request: digest("r"), salt: digest("s"), outputs: drawn.answered.outputs.clone() };
    let answered = BeginResponse::Answered(drawn.answered);
    assert_eq!(decode::<BeginRequest>(&encode(&begin).unwrap(), Limit::Small).unwrap(), begin);
    assert_eq!(decode::<CommitRequest>(&encode(&commit).unwrap(), Limit::Small).unwrap(), commit);
    assert_eq!(decode::<CommitResponse>(&encode(&announced).unwrap(), Limit::Small).unwrap(), announced);
    assert_eq!(decode::<BeginResponse>(&encode(&answered).unwrap(), Limit::Small).unwrap(), answered);
    let bytes = encode(&drawn.signed).unwrap();
    assert_eq!(
        decode::<feiqian_offline_cash::withdraw::SignedWithdrawal>(&bytes, Limit::Small).unwrap(),
        drawn.signed
    );
    assert!(decode::<CommitRequest>(&bytes[..bytes.len() - 1], Limit::Small).is_err());
}
