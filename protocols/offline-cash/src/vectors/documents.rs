//! Vectors of keysets, identities, accusations and claims.

use feiqian_crypto::share_tree::{Node, Opening, SecretTree, TreeBuilder, VerifiedPiece, identify};
use feiqian_crypto::{EncodedScalar, Scalar, Transcript};
use feiqian_wire::Bounded;
use serde_json::{Value, json};

use super::{
    CONSTANT, Drawn, Person, World, day, digest, judged, key_json, merge, minor, name, public, stream, valid,
};
use crate::accusation::{
    Accusation, AnsweredPiece, BankAccusation, CustomerAccusation, NonAnswer, SignedNonAnswer,
};
use crate::identity::{Registrant, Registration};
use crate::interval::Interval;
use crate::keyset::{Keyset, VerifiedKey};
use crate::reclaim::{AttestedSession, Claim, SessionRecord, Standing, decide};
use crate::withdraw::{Coin, session_id};

pub(super) fn vectors(world: &World) -> Vec<Value> {
    let drawn = world.draw(&world.ann, "documents", &[4, 2]);
    [
        keysets(world),
        identities(world),
        accusations(world, &drawn),
        bank_accusations(world, &drawn),
        claims(world, &drawn),
        decisions(),
    ]
    .concat()
}

fn keysets(world: &World) -> Vec<Value> {
    let bank = &world.north;
    let good = bank.verified.keyset.clone();
    let case = |name: &str, keyset: Keyset, reason: Option<&str>| {
        let inputs = json!({ "keyset": keyset, "signing_key": public(&bank.signer) });
        let verdict = keyset.verify(&bank.signer.public_key()).map(|verified| {
            let ids: Vec<_> = verified.keys.iter().map(|key| key.id).collect();
            json!({ "digest": verified.digest, "ids": ids })
        });
        judged(name, "offline-cash/keyset", inputs, verdict, reason)
    };
    let keys = |change: &dyn Fn(&mut Vec<crate::keyset::OfflineKey>)| {
        let mut keys = good.keys.to_vec();
        change(&mut keys);
        Keyset { keys: Bounded::new(keys).expect(CONSTANT), ..good.clone() }
    };
    let mut late = good.clone();
    late.times.deposit_until = late.times.reclaim_until;
    let order = Some("invalid keyset: a key for blanks, then keys for values");
    let unsigned = Some("signature does not verify: keyset");
    vec![
        case("a keyset", good.clone(), None),
        case("another bank", Keyset { bank: name("south"), ..good.clone() }, unsigned),
        case("a key is missing", keys(&|keys| keys.truncate(4)), unsigned),
        case("no key for blanks", keys(&|keys| keys.rotate_left(1)), order),
        case("a key for blanks only", keys(&|keys| keys.truncate(1)), order),
        case("times out of order", late, Some("invalid keyset: times out of order")),
        case(
            "another depth",
            keys(&|keys| keys.iter_mut().skip(2).for_each(|key| key.depth = feiqian_crypto::acl::Depth::MAX)),
            Some("invalid keyset: a value or depth that no coin has"),
        ),
    ]
}

fn identities(world: &World) -> Vec<Value> {
    let (ann, bob) = (&world.ann, &world.bob);
    let key = ann.signer.public_key();
    let registrant = Registrant { bank: ann.bank.as_str(), account: ann.account.as_str(), signing_key: &key };
    let register = |name: &str, registration: &Registration, registrant: &Registrant<'_>, reason| {
        let inputs = json!({
            "bank": registrant.bank, "account": registrant.account,
            "signing_key": hex::encode(registrant.signing_key), "I": registration.identity,
            "proof": registration.proof,
        });
        let context = registrant.context(&registration.identity);
        let verdict = registration.verify(registrant).map(|()| json!({ "context": context }));
        judged(name, "offline-cash/register", inputs, verdict, reason)
    };
    let refused = Some("proof of the identity does not verify: registration");
    let derived = |person: &Person| {
        let inputs = json!({
            "seed": hex::encode(person.seed_bytes), "bank": person.bank, "account": person.account,
        });
        let secret = hex::encode(person.secret.to_bytes());
        let outputs = json!({ "identity_secret": secret, "I": person.secret.public() });
        valid("an identity from the seed", "offline-cash/identity-secret", inputs, outputs)
    };
    let names = |person: &Person| {
        let (bank, account) = (&person.bank, &person.account);
        let key = person.seed.document_key(account.as_str(), 1);
        let (request, salt) = (digest("request"), digest("salt"));
        let inputs = json!({
            "seed": hex::encode(person.seed_bytes), "bank": bank, "account": account, "number": 1,
            "request": request, "salt": salt,
        });
        let session = session_id(bank, account, &request, &salt);
        let outputs = json!({ "document_key": hex::encode(key.as_slice()), "session": session });
        valid("a document key from the seed, and a session's name", "offline-cash/names", inputs, outputs)
    };
    let mut all = vec![
        derived(ann),
        derived(bob),
        names(ann),
        register("a registration", &ann.registration, &registrant, None),
        register(
            "for another account",
            &ann.registration,
            &Registrant { account: "other", ..registrant },
            refused,
        ),
        register("by another bank", &ann.registration, &Registrant { bank: "south", ..registrant }, refused),
        register("another's identity", &bob.registration, &registrant, refused),
    ];
    let attested =
        |name: &str, person: &Person, change: &dyn Fn(&mut crate::identity::AttestedIdentity), reason| {
            let mut attested = person.attested.clone();
            change(&mut attested);
            let inputs = json!({ "identity": identity_json(&attested), "center_key": public(&world.center) });
            let verdict = attested.verify(&world.root).map(|record| json!({ "digest": record.digest() }));
            judged(name, "offline-cash/identity", inputs, verdict, reason)
        };
    let unsigned = "signature does not verify: identity record";
    all.extend([
        attested("an identity record", ann, &|_| (), None),
        attested("another's record", bob, &|_| (), None),
        attested(
            "another collateral",
            ann,
            &|attested| attested.identity.record.collateral.minor = minor(50_001),
            Some(unsigned),
        ),
        attested(
            "another's identity in the record",
            ann,
            &|attested| attested.identity.record.identity = *bob.secret.public(),
            Some(unsigned),
        ),
        attested(
            "attested at another time",
            ann,
            &|attested| attested.attested_at = day(1),
            Some("signature does not verify: identity attestation"),
        ),
    ]);
    all
}

/// An attested identity without its certificate chains.
fn identity_json(attested: &crate::identity::AttestedIdentity) -> Value {
    json!({
        "record": attested.identity.record, "signature": attested.identity.signature,
        "attested_at": attested.attested_at, "attestation": attested.signature,
    })
}

/// What a modified wallet does: the coin, read back twice, answers twice for its root.
fn answer_twice(coin: &Coin, key: &VerifiedKey) -> [VerifiedPiece; 2] {
    let stored = coin.tree.export();
    ["first", "second"].map(|which| {
        let again = SecretTree::import(&TreeBuilder::new(&key.public), &stored).expect(CONSTANT);
        let challenge = Transcript::new("vectors/spend").text(which).into_scalar();
        let root = again.into_nodes(&[]).into_iter().next().expect(CONSTANT);
        let piece = root.spend(&challenge).expect(CONSTANT);
        piece.verify(&key.public, &challenge).expect(CONSTANT)
    })
}

fn exposed([one, other]: &[VerifiedPiece; 2]) -> Opening {
    identify(&[one, other]).expect(CONSTANT).expect(CONSTANT)
}

fn accusations(world: &World, drawn: &Drawn) -> Vec<Value> {
    let (ann, bob) = (&world.ann, &world.bob);
    let coin = drawn.coins.get(1).expect(CONSTANT);
    let opening = exposed(&answer_twice(coin, world.north.key(2)));
    let good = CustomerAccusation::new(opening, drawn.signed.clone(), ann.attested.clone()).expect(CONSTANT);
    let case = |name: &str, accusation: CustomerAccusation, reason: Option<&str>| {
        let inputs = json!({
            "opening": accusation.opening, "index": accusation.index, "withdrawal": accusation.withdrawal,
            "identity": identity_json(&accusation.identity), "center_key": public(&world.center),
        });
        let outputs = json!({
            "statement": accusation.withdrawal.statement.digest(),
            "record": accusation.identity.identity.record.digest(),
        });
        let verdict = Accusation::Customer(accusation).verify(&world.root).map(|_| outputs);
        judged(name, "offline-cash/accusation", inputs, verdict, reason)
    };
    let one = EncodedScalar::from(Scalar::ONE);
    let opening_of = |change: &dyn Fn(&mut Opening)| {
        let mut accusation = good.clone();
        change(&mut accusation.opening);
        accusation
    };
    let mut replaced = good.clone();
    replaced.withdrawal.statement.session = digest("another session");
    let other = Some("the accusation does not hold: the opening is not that of the withdrawal");
    let account = Some("the accusation does not hold: the statement is not of the identity's account");
    vec![
        case("an accusation", good.clone(), None),
        case("another line", CustomerAccusation { index: 0, ..good.clone() }, other),
        case(
            "no such line",
            CustomerAccusation { index: 2, ..good.clone() },
            Some("the accusation does not hold: the statement has no such line"),
        ),
        case("another R", opening_of(&|opening| opening.r = one), other),
        case("another L1", opening_of(&|opening| opening.identity_secret = one), other),
        case("another ν", opening_of(&|opening| opening.nu = one), other),
        case(
            "another customer",
            CustomerAccusation { identity: bob.attested.clone(), ..good.clone() },
            account,
        ),
        case("another session", replaced, Some("signature does not verify: withdrawal statement")),
    ]
}

fn bank_accusations(world: &World, drawn: &Drawn) -> Vec<Value> {
    let (bank, coin) = (&world.north, drawn.coins.get(1).expect(CONSTANT));
    let answers = answer_twice(coin, bank.key(2));
    let statement = NonAnswer {
        bank: name("north"),
        key: bank.key(2).id,
        pinned_at: day(0),
        coin: *coin.tree.message(),
        opening: exposed(&answers),
        asked_at: day(3),
        decided_at: day(5),
    };
    let signed = |statement: NonAnswer| {
        SignedNonAnswer::sign(statement, &world.center, world.center_chain.clone()).expect(CONSTANT)
    };
    let good = BankAccusation {
        pieces: answers.each_ref().map(AnsweredPiece::of),
        keyset: bank.verified.keyset.clone(),
        signer: bank.chain.clone(),
        non_answer: signed(statement.clone()),
    };
    let case = |name: &str, accusation: BankAccusation, reason: Option<&str>| {
        let inputs = json!({
            "pieces": accusation.pieces, "keyset": accusation.keyset, "bank_key": public(&bank.signer),
            "statement": accusation.non_answer.statement, "signature": accusation.non_answer.signature,
            "center_key": public(&world.center),
        });
        let outputs = json!({
            "statement": accusation.non_answer.statement.digest(), "keyset": accusation.keyset.digest(),
        });
        let verdict = Accusation::Bank(accusation).verify(&world.root).map(|_| outputs);
        judged(name, "offline-cash/non-answer", inputs, verdict, reason)
    };
    let [one, other] = good.pieces.clone();
    let elsewhere = NonAnswer { coin: digest("another coin"), ..statement.clone() };
    let hasty = NonAnswer { asked_at: statement.decided_at, ..statement };
    let false_piece = AnsweredPiece { challenge: one.challenge, ..other };
    vec![
        case("a bank that did not answer", good.clone(), None),
        case(
            "one answer twice",
            BankAccusation { pieces: [one.clone(), one.clone()], ..good.clone() },
            Some("the accusation does not hold: the pieces do not bring the opening to light"),
        ),
        case(
            "a piece that does not verify",
            BankAccusation { pieces: [one, false_piece], ..good.clone() },
            Some("a piece does not hold: it does not verify"),
        ),
        case(
            "another coin",
            BankAccusation { non_answer: signed(elsewhere), ..good.clone() },
            Some("the accusation does not hold: the pieces are of another coin"),
        ),
        case(
            "no time to answer",
            BankAccusation { non_answer: signed(hasty), ..good },
            Some("the accusation does not hold: the bank had no time to answer"),
        ),
    ]
}

fn claims(world: &World, drawn: &Drawn) -> Vec<Value> {
    let (ann, key, coin) = (&world.ann, world.north.key(4), drawn.coins.first().expect(CONSTANT));
    let nodes = [2, 6].map(|number| Node::new(number).expect(CONSTANT));
    let good = coin.claim(&ann.customer(), key, &nodes, &ann.signer, &mut stream(60)).expect(CONSTANT);
    let line = |index: usize| drawn.signed.statement.lines.get(index).expect(CONSTANT);
    let signing_key = ann.signer.public_key();
    let case = |name: &str, claim: &Claim, index: usize, reason: Option<&str>| {
        let line = line(index);
        let inputs = json!({
            "claim": claim, "key_id": key.id, "I": ann.secret.public(), "signing_key": public(&ann.signer),
            "C": line.commitment, "nu": line.nu,
        });
        let record = SessionRecord {
            identity: ann.secret.public(),
            signing_key: &signing_key,
            commitment: &line.commitment,
            nu: &line.nu,
        };
        let verdict = claim.verify(key, &record).map(|verified| {
            let message = &verified.message;
            json!({ "m": message, "context": claim.context(message), "digest": claim.digest(message) })
        });
        judged(name, "offline-cash/claim", merge(inputs, key_json(key)), verdict, reason)
    };
    let gamma = EncodedScalar::from(Scalar::from(7_u8));
    let mut elsewhere = good.origin.clone();
    elsewhere.index = 1;
    let with_nodes = |numbers: &[u64]| {
        let nodes = numbers.iter().map(|number| Node::new(*number).expect(CONSTANT)).collect();
        Claim { nodes: Bounded::new(nodes).expect(CONSTANT), ..good.clone() }
    };
    let session = Some("the claim does not hold: the coin is not the session's");
    let disjoint = Some("the claim does not hold: nodes of the coin, disjoint and at least one");
    let proof = Some("proof of the identity does not verify: claim");
    vec![
        case("a claim", &good, 0, None),
        case("another γ", &Claim { gamma, ..good.clone() }, 0, session),
        case("γ is zero", &Claim { gamma: EncodedScalar([0; 32]), ..good.clone() }, 0, session),
        case("another coin's withdrawal", &good, 1, session),
        case("another index", &Claim { origin: elsewhere, ..good.clone() }, 0, proof),
        case("other nodes", &with_nodes(&[2, 7]), 0, proof),
        case("nodes that overlap", &with_nodes(&[2, 4]), 0, disjoint),
        case("no nodes", &with_nodes(&[]), 0, disjoint),
        case("a node that the coin lacks", &with_nodes(&[16]), 0, disjoint),
        case(
            "another tree",
            &Claim { root: digest("another tree"), ..good.clone() },
            0,
            Some("the claim does not hold: the coin's signature does not verify"),
        ),
        attested_session(world, drawn),
    ]
}

fn attested_session(world: &World, drawn: &Drawn) -> Value {
    let (coin, line) =
        (drawn.coins.first().expect(CONSTANT), drawn.signed.statement.lines.first().expect(CONSTANT));
    let session = AttestedSession::attest(
        coin.origin.clone(),
        coin.key,
        (line.commitment, line.nu),
        world.ann.attested.clone(),
        day(151),
        (&world.north.signer, world.north.chain.clone()),
    )
    .expect(CONSTANT);
    let inputs = json!({
        "origin": session.origin, "key": session.key, "commitment": session.commitment, "nu": session.nu,
        "attested_at": session.attested_at, "signature": session.signature,
        "bank_key": public(&world.north.signer),
    });
    valid(
        "a bank's word for a session",
        "offline-cash/session",
        inputs,
        json!({ "digest": session.digest() }),
    )
}

/// Who claims, after how many transfers, which units: start and length.
type Claimed<'a> = (&'a str, usize, &'a [(u64, u64)]);

fn decisions() -> Vec<Value> {
    let interval = |(start, length): (u64, u64)| Interval::new(start, length).expect(CONSTANT);
    let case = |name: &str, deposited: &[(u64, u64)], claims: &[Claimed<'_>]| {
        let inputs = json!({
            "deposited": deposited,
            "claims": claims.iter().map(|(claimant, hops, intervals)| {
                json!({ "claimant": digest(claimant), "hops": hops, "intervals": intervals })
            }).collect::<Vec<_>>(),
        });
        let deposited: Vec<_> = deposited.iter().copied().map(interval).collect();
        let standing = |(claimant, hops, intervals): &Claimed<'_>| Standing {
            claimant: digest(claimant),
            hops: *hops,
            intervals: intervals.iter().copied().map(interval).collect(),
        };
        let paid = decide(&deposited, &claims.iter().map(standing).collect::<Vec<_>>());
        let paid: serde_json::Map<String, Value> =
            paid.iter().map(|(claimant, paid)| (claimant.to_string(), json!(paid))).collect();
        valid(name, "offline-cash/decide", inputs, json!({ "paid": paid }))
    };
    vec![
        case("the owner alone", &[], &[("owner", 0, &[(0, 8)])]),
        case("what was deposited is gone", &[(0, 2), (4, 1)], &[("owner", 0, &[(0, 8)])]),
        case("the longer chain wins", &[], &[("owner", 0, &[(0, 8)]), ("holder", 1, &[(2, 2), (4, 1)])]),
        case(
            "three holders and deposits",
            &[(6, 2)],
            &[("owner", 0, &[(0, 8)]), ("holder", 1, &[(0, 4)]), ("last", 2, &[(2, 2), (6, 1)])],
        ),
        case("equally long", &[], &[("one", 1, &[(0, 4)]), ("other", 1, &[(2, 2), (4, 4)])]),
    ]
}
