//! Vectors of keysets, and of what a wallet draws from its seed.

use feiqian_crypto::transcript::Transcript;
use feiqian_crypto::{EncodedPoint, EncodedScalar, Scalar};
use feiqian_wire::Bounded;
use serde_json::{Value, json};

use super::{Bank, CONSTANT, SEED, Session, World, judged, public, stream, valid};
use crate::coin::{self, public_key};
use crate::keyset::{DenominationKey, EMPTY_VIEW, Keyset};
use crate::seed::{CallerKind, Place, Seed};
use crate::signed::DocumentSignature;

pub(super) fn vectors(world: &World) -> Vec<Value> {
    let mut rng = stream(21);
    let session = world.draw(&world.north, &[3, 0, 3], "first session", &mut rng);
    [
        denominations(world),
        keysets(&world.north),
        views(world),
        seeds(world, &session),
        vec![issue(world, &session)],
    ]
    .concat()
}

fn denominations(world: &World) -> Vec<Value> {
    let all = [&world.north, &world.south, &world.yen];
    let keys = all.iter().flat_map(|bank| bank.keyset.keys.iter());
    keys.map(|key| {
        let name = format!("{} {} of {}", key.value, key.currency, key.bank);
        valid(&name, "online-cash/denomination", json!({ "key": key }), json!({ "id": key.id() }))
    })
    .collect()
}

fn keysets(bank: &Bank) -> Vec<Value> {
    let bank_key = public(&bank.signer);
    let case = |name: &str, keyset: Keyset, reason: Option<&str>| {
        let inputs = json!({ "keyset": keyset, "bank_key": bank_key });
        let verdict = keyset.verify(&bank.signer.public_key()).map(|verified| {
            let ids: Vec<_> = verified.keys.iter().map(|key| key.id).collect();
            json!({ "digest": verified.digest, "ids": ids })
        });
        judged(name, "online-cash/keyset", inputs, verdict, reason)
    };
    let good = &bank.keyset;
    let bent = |change: &dyn Fn(&mut Vec<DenominationKey>)| {
        let mut keys = good.keys.clone().into_vec();
        change(&mut keys);
        let mut keyset = Keyset { keys: Bounded::new(keys).expect(CONSTANT), ..good.clone() };
        // Signed all the same, so that only the rule in question is broken.
        keyset.signature = DocumentSignature::sign(&bank.signer, &keyset.digest()).expect(CONSTANT);
        keyset
    };
    let first = |change: fn(&mut DenominationKey)| {
        move |keys: &mut Vec<DenominationKey>| keys.iter_mut().take(1).for_each(change)
    };
    let ascending = "invalid keyset: values are ascending powers of two";
    vec![
        case("a good keyset", good.clone(), None),
        case(
            "grace is changed after signing",
            Keyset { grace_until: good.grace_until.saturating_add(1), ..good.clone() },
            Some("signature does not verify: keyset"),
        ),
        case("no denominations", bent(&Vec::clear), Some("invalid keyset: no denominations")),
        case("descending values", bent(&|keys| keys.reverse()), Some(ascending)),
        case(
            "a value that is no power of two",
            bent(&first(|key| key.value = super::minor(3))),
            Some(ascending),
        ),
        case(
            "one key for two values",
            bent(&|keys| {
                let key = keys.last().expect(CONSTANT).key;
                keys.iter_mut().take(1).for_each(|first| first.key = key);
            }),
            Some("invalid keyset: one key for two values"),
        ),
        case(
            "a key that is the identity",
            bent(&first(|key| key.key = EncodedPoint([0; 32]))),
            Some("malformed: denomination key"),
        ),
        case(
            "redeeming ends before issuing",
            bent(&first(|key| key.redeem_until = key.issue_from)),
            Some("invalid keyset: times out of order"),
        ),
        case(
            "one key lives longer than the others",
            bent(&first(|key| key.redeem_until = key.redeem_until.saturating_add(1))),
            Some("invalid keyset: keys of one epoch share their times"),
        ),
        case(
            "a key of another bank",
            bent(&first(|key| key.bank = super::name("south"))),
            Some("invalid keyset: a key of another bank or currency"),
        ),
    ]
}

fn views(world: &World) -> Vec<Value> {
    let mut previous = EMPTY_VIEW;
    let step = |keyset: &Keyset| {
        let inputs = json!({
            "previous": previous, "bank": keyset.bank, "epoch": keyset.epoch, "keyset": keyset.digest(),
        });
        let view = Transcript::new("online-cash/view")
            .digest(&previous)
            .text(keyset.bank.as_str())
            .integer(keyset.epoch.0)
            .digest(&keyset.digest())
            .into_digest();
        assert!(world.pins.has_seen(&view), "the log computes its views in this way");
        previous = view;
        let name = format!("the log with the keyset of {} in {}", keyset.bank, keyset.currency);
        valid(&name, "online-cash/view", inputs, json!({ "view": view }))
    };
    [&world.north, &world.south, &world.yen].map(|bank| &bank.keyset).map(step).to_vec()
}

fn seeds(world: &World, session: &Session) -> Vec<Value> {
    let seed = Seed::from_bytes(SEED);
    let generation = [9; 16];
    let keys = world.keys(&world.north, &[3, 0]);
    let mut all = Vec::new();
    let mut coin_key = |name: &str, key: usize, index: u64, commitment: usize| {
        let denomination = keys.get(key).expect(CONSTANT).id;
        let commitment = session.commitments.get(commitment).expect(CONSTANT);
        let place =
            Place { bank: "north", denomination: &denomination, session: &session.id, index, commitment };
        let secret = seed.coin_key(&place);
        let inputs = json!({
            "seed": hex::encode(SEED), "bank": "north", "denomination": denomination, "session": session.id,
            "index": index.to_string(), "A": commitment.a, "B": commitment.b,
        });
        let outputs = json!({
            "k": EncodedScalar::from(&secret), "K": public_key(&secret), "message": coin::message(&public_key(&secret)),
        });
        all.push(valid(name, "online-cash/coin-key", inputs, outputs));
    };
    coin_key("the first coin of a session", 0, 0, 0);
    coin_key("the same commitment at another index", 0, 1, 0);
    coin_key("the same commitment under another denomination", 1, 0, 0);
    coin_key("another commitment", 0, 0, 1);
    for (name, caller, counter) in [
        ("an account's first request", CallerKind::Account, 0),
        ("an anonymous caller's first request", CallerKind::Anonymous, 0),
        ("an anonymous caller's second request", CallerKind::Anonymous, 1),
    ] {
        let inputs = json!({
            "seed": hex::encode(SEED), "generation": hex::encode(generation), "bank": "north",
            "caller": caller.as_str(), "epoch": "3", "counter": counter.to_string(),
        });
        let request = seed.request_id(&generation, "north", caller, 3, counter);
        all.push(valid(name, "online-cash/request-id", inputs, json!({ "request": request })));
    }
    let payee: Scalar = seed.payee_key(&generation, 5);
    let inputs = json!({ "seed": hex::encode(SEED), "generation": hex::encode(generation), "counter": "5" });
    let outputs = json!({ "p": EncodedScalar::from(&payee), "P": public_key(&payee) });
    all.push(valid("a payee key", "online-cash/payee-key", inputs, outputs));
    all
}

fn issue(world: &World, session: &Session) -> Value {
    let keys = world.keys(&world.north, &[3, 0, 3]);
    let keys: Vec<_> = keys.iter().map(|key| json!({ "denomination": key.id, "X": key.public })).collect();
    let coins: Vec<_> = session
        .coins
        .iter()
        .map(|coin| json!({ "id": coin.id, "k": super::secret(coin), "signature": coin.signature }))
        .collect();
    let inputs = json!({
        "seed": hex::encode(SEED), "bank": "north", "session": session.id, "keys": keys,
        "commitments": session.commitments, "answers": session.answers,
    });
    let outputs = json!({ "challenges": session.challenges, "coins": coins });
    valid("three coins of two denominations", "online-cash/issue", inputs, outputs)
}
