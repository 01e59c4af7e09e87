//! Vectors of withdrawals.

use feiqian_wire::Bounded;
use serde_json::{Value, json};

use super::{CONSTANT, Drawn, Person, World, digest, judged, key_json, public, stream, valid};
use crate::withdraw::{CommitRequest, Committed, ExpectCommitments, SignedWithdrawal};

pub(super) fn vectors(world: &World) -> Vec<Value> {
    let north = world.draw(&world.ann, "a withdrawal", &[4, 2, 2]);
    let south = world.draw(&world.bob, "another withdrawal", &[1]);
    let mut all = vec![
        wallet(world, "value coins", &world.ann, &north, &[4, 2, 2]),
        wallet(world, "a coin of another bank", &world.bob, &south, &[1]),
    ];
    all.extend(commitments(world, &north, &[4, 2, 2]));
    all.extend(statements(world, &north));
    all
}

fn keys_json(world: &World, person: &Person, places: &[usize]) -> Vec<Value> {
    let bank = if person.bank.as_str() == "north" { &world.north } else { &world.south };
    places.iter().map(|place| key_json(bank.key(*place))).collect()
}

/// All that a wallet computes, from its seed and what the bank said.
fn wallet(world: &World, name: &str, person: &Person, drawn: &Drawn, places: &[usize]) -> Value {
    let inputs = json!({
        "seed": hex::encode(person.seed_bytes), "bank": person.bank, "account": person.account,
        "session": drawn.session, "keys": keys_json(world, person, places),
        "announcements": drawn.announced.announcements, "answers": drawn.answers,
    });
    let lines = &drawn.signed.statement.lines;
    let coins = drawn.coins.iter().map(|coin| {
        json!({ "m": coin.tree.message(), "root": coin.tree.root(), "signature": coin.tree.signature(),
                "gamma": coin.tree.blinding_factor() })
    });
    let outputs = json!({
        "commitments": lines.iter().map(|line| line.commitment).collect::<Vec<_>>(),
        "challenges": lines.iter().map(|line| line.challenge).collect::<Vec<_>>(),
        "statement": drawn.signed.statement.digest(), "coins": coins.collect::<Vec<_>>(),
    });
    valid(name, "offline-cash/withdraw", inputs, outputs)
}

fn commitments(world: &World, drawn: &Drawn, places: &[usize]) -> Vec<Value> {
    let ann = &world.ann;
    let case = |name: &str, commitments: Vec<Committed>, reason: Option<&str>| {
        let inputs = json!({
            "I": ann.secret.public(), "bank": ann.bank, "account": ann.account, "session": drawn.session,
            "keys": keys_json(world, ann, places), "commitments": commitments,
        });
        let keys: Vec<_> = places.iter().map(|place| world.north.key(*place)).collect();
        let waiting = ExpectCommitments::new(ann.bank.clone(), ann.account.clone(), drawn.session, &keys);
        let commitments = Bounded::new(commitments).expect(CONSTANT);
        let request = CommitRequest { session: drawn.session, commitments };
        let announced = waiting.expect(CONSTANT).announce(ann.secret.public(), &request, &mut stream(61));
        judged(name, "offline-cash/commit", inputs, announced.map(|_| json!({})), reason)
    };
    let good = drawn.committed.commitments.to_vec();
    let mut turned = good.clone();
    turned.rotate_left(1);
    let repeated = good.iter().take(1).chain(good.iter().take(2)).copied().collect();
    let proof = Some("proof of the identity does not verify: opening of a commitment");
    vec![
        case("commitments", good, None),
        case("commitments at other places", turned, proof),
        case("a commitment twice", repeated, Some("session or announcement seen before")),
    ]
}

fn statements(world: &World, drawn: &Drawn) -> Vec<Value> {
    let signer = &world.ann.signer;
    let case = |name: &str, change: &dyn Fn(&mut SignedWithdrawal), reason: Option<&str>| {
        let mut signed = drawn.signed.clone();
        change(&mut signed);
        let inputs = json!({ "withdrawal": signed, "signing_key": public(signer) });
        let digest = signed.statement.digest();
        let verdict = signed.verify(&signer.public_key()).map(|()| json!({ "digest": digest }));
        judged(name, "offline-cash/statement", inputs, verdict, reason)
    };
    let refused = Some("signature does not verify: withdrawal statement");
    vec![
        case("a statement", &|_| (), None),
        case("another session", &|signed| signed.statement.session = digest("another"), refused),
        case(
            "a line is missing",
            &|signed| {
                let lines = signed.statement.lines.iter().skip(1).copied().collect();
                signed.statement.lines = Bounded::new(lines).expect(CONSTANT);
            },
            refused,
        ),
    ]
}
