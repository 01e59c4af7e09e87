//! The vectors of the offline coin: frozen, and every one, read from the document alone, behaves as it says.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::str::FromStr;

use feiqian_crypto::acl::{
    self, Announcement, Answer, Blinding, CommitmentSecret, Depth, Identity, IdentityProof, IdentitySecret,
    OpeningProof, PendingCommitment, PublicKey, SecretAnswers, SecretKey, Signature, Slot,
};
use feiqian_crypto::share_tree::{
    Node, Opening, Piece, SecretTree, TreeBuilder, TreeSeed, VerifiedPiece, identify,
};
use feiqian_crypto::{Digest, EncodedPoint, EncodedScalar, Scalar, Transcript, vectors};
use rand::SeedableRng as _;
use rand::rngs::ChaCha12Rng;
use serde_json::{Value, json};

/// Any refusal, as text.
type Refused = String;

fn refused(error: impl ToString) -> Refused {
    error.to_string()
}

fn text<'a>(inputs: &'a Value, field: &str) -> &'a str {
    inputs.get(field).and_then(Value::as_str).unwrap_or_else(|| panic!("no field {field}"))
}

fn parse<T: FromStr<Err: Debug>>(inputs: &Value, field: &str) -> T {
    text(inputs, field).parse().unwrap()
}

fn typed<T: serde::de::DeserializeOwned>(inputs: &Value, field: &str) -> T {
    serde_json::from_value(inputs.get(field).unwrap().clone()).unwrap()
}

fn bytes(inputs: &Value, field: &str) -> Vec<u8> {
    hex::decode(text(inputs, field)).unwrap()
}

fn array(inputs: &Value, field: &str) -> [u8; 32] {
    bytes(inputs, field).try_into().unwrap()
}

fn scalar(inputs: &Value, field: &str) -> Scalar {
    parse::<EncodedScalar>(inputs, field).decode().unwrap()
}

fn depth(inputs: &Value) -> Depth {
    Depth::new(parse(inputs, "depth")).unwrap()
}

fn key(inputs: &Value) -> PublicKey {
    PublicKey::from_encoded(parse(inputs, "Y"), depth(inputs)).unwrap()
}

fn identity(inputs: &Value) -> Result<Identity, Refused> {
    Identity::from_encoded(parse(inputs, "I")).map_err(refused)
}

fn identity_secret(inputs: &Value) -> IdentitySecret {
    IdentitySecret::from_bytes(&array(inputs, "identity_secret")).unwrap()
}

fn commitment(inputs: &Value) -> PendingCommitment {
    identity_secret(inputs).commit(CommitmentSecret::from_scalar(scalar(inputs, "R")))
}

fn blinding(inputs: &Value) -> Blinding {
    let t = ["t1", "t2", "t3", "t4", "t5"].map(|name| scalar(inputs, name));
    Blinding::from_scalars(scalar(inputs, "gamma"), scalar(inputs, "tau"), t).unwrap()
}

fn encode(scalars: &[Scalar]) -> Vec<EncodedScalar> {
    scalars.iter().map(EncodedScalar::from).collect()
}

fn opening_context(inputs: &Value) -> Value {
    let (bank, account, session) =
        (bytes(inputs, "bank"), bytes(inputs, "account"), bytes(inputs, "session"));
    let slot = Slot { bank: &bank, account: &account, session: &session, index: parse(inputs, "index") };
    let key = PublicKey::from_encoded(parse(inputs, "Y"), Depth::MAX).unwrap();
    json!({ "context": slot.opening_context(&key) })
}

fn prove_opening(inputs: &Value) -> Value {
    // A source of randomness that gives the hedge and nothing else.
    struct Hedge([u8; 32]);
    impl rand::rand_core::TryRng for Hedge {
        type Error = core::convert::Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            panic!("only the hedge is drawn")
        }
        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            panic!("only the hedge is drawn")
        }
        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
            bytes.copy_from_slice(&self.0);
            Ok(())
        }
    }
    impl rand::rand_core::TryCryptoRng for Hedge {}
    let commitment = commitment(inputs);
    let proof = commitment.prove(&parse(inputs, "context"), &mut Hedge(array(inputs, "hedge")));
    json!({ "I": identity_secret(inputs).public(), "C": commitment.encoded(), "proof": proof })
}

fn verify_opening(inputs: &Value) -> Result<Value, Refused> {
    let (c, proof): (EncodedPoint, OpeningProof) = (parse(inputs, "C"), typed(inputs, "proof"));
    let proven = acl::verify_opening(&identity(inputs)?, &c, &proof, &parse(inputs, "context"));
    proven.map(|_| json!({})).map_err(refused)
}

fn verify_identity(inputs: &Value) -> Result<Value, Refused> {
    let proof: IdentityProof = typed(inputs, "proof");
    identity(inputs)?.verify(&proof, &parse(inputs, "context")).map(|()| json!({})).map_err(refused)
}

fn issue(inputs: &Value) -> Value {
    let key = SecretKey::from_bytes(&array(inputs, "x"), depth(inputs)).unwrap();
    let (identity, commitment) = (identity_secret(inputs), commitment(inputs));
    let c = *commitment.encoded();
    let proof = commitment.prove(&Digest::ZERO, &mut ChaCha12Rng::seed_from_u64(1));
    let proven = acl::verify_opening(identity.public(), &c, &proof, &Digest::ZERO).unwrap();
    let secrets = ["u", "s1", "s2", "d"].map(|name| scalar(inputs, name));
    let (secrets, announcement) =
        SecretAnswers::from_scalars(key.public(), &proven, scalar(inputs, "nu"), secrets);
    let root = parse(inputs, "root");
    let (pending, e) = acl::blind(key.public(), commitment, &announcement, blinding(inputs), &root).unwrap();
    let m = *pending.message();
    let answer = secrets.respond(&key, &e);
    let (signature, k) = pending.finish(&answer).unwrap();
    json!({
        "Y": key.public().encoded(), "Z": key.public().encoded_z(), "I": identity.public(), "C": c,
        "announcement": announcement, "m": m, "e": e, "answer": answer, "signature": signature,
        "k": encode(&k.to_scalars()),
    })
}

/// The document has *C* and not what opens it, so the hashes are made here, from the fields that are specified.
fn derive(inputs: &Value) -> Value {
    let (bank, account, session) =
        (bytes(inputs, "bank"), bytes(inputs, "account"), bytes(inputs, "session"));
    let (seed, y): (_, EncodedPoint) = (bytes(inputs, "seed"), parse(inputs, "Y"));
    let announcement: Announcement = typed(inputs, "announcement");
    let hash = |label: &str| {
        let all = Transcript::new(label).bytes(&seed).bytes(&bank).bytes(&account).bytes(&session);
        let all = all.integer(parse(inputs, "index")).point(&y).point(&parse(inputs, "C"));
        let all = all.encoded_scalar(&announcement.nu).point(&announcement.a).point(&announcement.b1);
        all.point(&announcement.b2)
    };
    let slot = Slot { bank: &bank, account: &account, session: &session, index: parse(inputs, "index") };
    let key = PublicKey::from_encoded(y, Depth::MAX).unwrap();
    let mut outputs = json!({
        "R": EncodedScalar::from(CommitmentSecret::derive(&seed, &slot, &key).to_scalar()),
        "tree_seed": hash("share-tree/seed").into_digest(),
    });
    for name in ["gamma", "tau", "t1", "t2", "t3", "t4", "t5"] {
        let scalar = hash(&format!("acl/blinding/{name}")).into_scalar();
        outputs.as_object_mut().unwrap().insert(name.to_owned(), json!(EncodedScalar::from(scalar)));
    }
    outputs
}

fn finish(inputs: &Value) -> Result<Value, Refused> {
    let (announcement, root): (Announcement, _) = (typed(inputs, "announcement"), parse(inputs, "root"));
    let begun = acl::blind(&key(inputs), commitment(inputs), &announcement, blinding(inputs), &root);
    let (pending, _) = begun.map_err(refused)?;
    let m = *pending.message();
    let (signature, k) = pending.finish(&typed::<Answer>(inputs, "answer")).map_err(refused)?;
    Ok(json!({ "m": m, "signature": signature, "k": encode(&k.to_scalars()) }))
}

fn verify(inputs: &Value) -> Result<Value, Refused> {
    let signature: Signature = typed(inputs, "signature");
    let m = acl::verify(&key(inputs), &parse(inputs, "root"), &signature).map_err(refused)?;
    Ok(json!({ "m": m }))
}

fn build(inputs: &Value) -> Value {
    let tree = TreeBuilder::new(&key(inputs)).build(TreeSeed::from_bytes(array(inputs, "seed")));
    json!({ "root": tree.root() })
}

/// Through the store: seed, ***k*** and signature are a coin.
fn spend(inputs: &Value) -> Value {
    let k: Vec<u8> = typed::<Vec<EncodedScalar>>(inputs, "k").iter().flat_map(|scalar| scalar.0).collect();
    let signature = typed::<Signature>(inputs, "signature").to_bytes();
    let stored = [bytes(inputs, "seed"), k, signature.to_vec()].concat();
    let coin = SecretTree::import(&TreeBuilder::new(&key(inputs)), &stored.try_into().unwrap()).unwrap();
    let node = Node::new(parse(inputs, "node")).unwrap();
    json!({ "piece": coin.spend_again(node, &scalar(inputs, "challenge")).unwrap() })
}

fn verify_piece(key: &PublicKey, inputs: &Value) -> Result<VerifiedPiece, Refused> {
    typed::<Piece>(inputs, "piece").verify(key, &scalar(inputs, "challenge")).map_err(refused)
}

fn name(inputs: &Value) -> Result<Value, Refused> {
    let spent = inputs.get("spent").and_then(Value::as_array).unwrap();
    let key = key(inputs);
    let verified = spent.iter().map(|each| verify_piece(&key, each)).collect::<Result<Vec<_>, _>>()?;
    let opening = identify(&verified.iter().collect::<Vec<_>>()).unwrap();
    Ok(json!({ "opening": opening, "I": opening.map(|opening| opening.identity().unwrap()) }))
}

fn accuse(inputs: &Value) -> Result<Value, Refused> {
    let (c, nu) = (parse(inputs, "C"), parse(inputs, "nu"));
    let held = typed::<Opening>(inputs, "opening").verify(&identity(inputs)?, &c, &nu);
    held.map(|()| json!({})).map_err(refused)
}

fn replay(operation: &str, inputs: &Value) -> Result<Value, Refused> {
    match operation {
        "acl/opening-context" => Ok(opening_context(inputs)),
        "acl/prove-opening" => Ok(prove_opening(inputs)),
        "acl/verify-opening" => verify_opening(inputs),
        "acl/verify-identity" => verify_identity(inputs),
        "acl/derive" => Ok(derive(inputs)),
        "acl/issue" => Ok(issue(inputs)),
        "acl/finish" => finish(inputs),
        "acl/verify" => verify(inputs),
        "share-tree/build" => Ok(build(inputs)),
        "share-tree/spend" => Ok(spend(inputs)),
        "share-tree/verify" => {
            verify_piece(&key(inputs), inputs).map(|piece| json!({ "m": piece.message() }))
        }
        "share-tree/identify" => name(inputs),
        "share-tree/accuse" => accuse(inputs),
        other => panic!("unknown operation {other}"),
    }
}

/// JSON without spaces and with sorted fields, whatever the map keeps.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields.iter().collect();
            let fields = sorted.into_iter().map(|(name, value)| format!("{name:?}:{}", canonical(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

/// Changes when any byte of any vector does.
#[test]
fn the_vectors_are_frozen() {
    let document = canonical(&vectors::generate_offline());
    let digest = Transcript::new("test/frozen").text(&document).into_digest();
    let frozen = "529b2fd3c5171044dbcb8692fa405dc884eb9c44ce49d74291e3ed7d16277cf3";
    assert_eq!(digest.to_string(), frozen, "look at what changed, and why");
}

/// How many were accepted and how many refused, each as it says.
fn replay_all(document: &Value) -> (usize, usize) {
    let (mut names, mut accepted, mut rejected) = (BTreeSet::new(), 0, 0);
    for vector in document.get("vectors").and_then(Value::as_array).unwrap() {
        let (name, operation) = (text(vector, "name"), text(vector, "operation"));
        assert!(names.insert((operation, name)), "{operation}: {name} twice");
        match (replay(operation, vector.get("inputs").unwrap()), typed::<bool>(vector, "valid")) {
            (Ok(outputs), true) => {
                assert_eq!(&outputs, vector.get("outputs").unwrap(), "{operation}: {name}")
            }
            (Err(_), false) => assert!(!text(vector, "reason").is_empty(), "{operation}: {name}"),
            (outcome, valid) => panic!("{operation}: {name}: valid is {valid}, got {outcome:?}"),
        }
        if typed(vector, "valid") { accepted += 1 } else { rejected += 1 }
    }
    (accepted, rejected)
}

#[test]
fn every_vector_behaves_as_it_says() {
    let (accepted, rejected) = replay_all(&vectors::generate_offline());
    assert!(accepted >= 40 && rejected >= 90, "{accepted} accepted, {rejected} rejected");
}

/// Proofs, signatures, pieces and openings that another implementation made, in Python and without a line of this one.
/// `docs/spec/check.py crates/crypto/tests/data` says the same of them.
#[test]
fn vectors_of_another_implementation_behave_as_they_say() {
    let document = serde_json::from_str(include_str!("data/foreign.json")).unwrap();
    assert_eq!(replay_all(&document), (59, 17));
}
