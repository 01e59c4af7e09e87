//! The builder of the published test vectors of online cash, with every secret that went in. Deterministic: one
//! fixed world, seeded with constants.
//!
//! The document has the layout of the cryptographic vectors: `{"suite", "group", "vectors": [{"name", "operation",
//! "inputs", "outputs", "valid", "reason"}]}`. Messages stand in it as their JSON. Every verdict is the code's own:
//! the builder runs the check that the vector is about and stops where the verdict is not the expected one.

mod documents;
mod drawn;
mod spending;

use feiqian_crypto::snowblind::{self, Commitment, Response, SecretKey};
use feiqian_crypto::transcript::Transcript;
use feiqian_crypto::{Digest, EncodedScalar};
use feiqian_money::{Currency, Minor};
use feiqian_pki::{Authority, CertificateRequest, KeyPair, Purpose, Subject};
use feiqian_wire::{Name, Timestamp};
use rand::SeedableRng as _;
use rand::rngs::ChaCha12Rng;
use rand_core::CryptoRng;
use serde_json::{Value, json};

use crate::Rejection;
use crate::coin::Coin;
use crate::issue::{OpenSession, PendingIssue};
use crate::keyset::{DenominationKey, Keyset, PinEntry, PinLog, VerifiedKey};
use crate::seed::Seed;
use crate::signed::WireChain;

const CONSTANT: &str = "constant inputs are well formed";
/// When everything happens: 2026-01-01T00:00:00Z.
const NOW: u64 = 1_767_225_600;
const DAY: u64 = 86_400;
/// The wallet's seed in every vector.
const SEED: [u8; 64] = [7; 64];

/// All vectors of this crate as one document.
///
/// # Panics
///
/// Never: the inputs are constants, and a test runs it.
#[must_use]
pub fn generate() -> Value {
    let world = World::new();
    let groups = [drawn::vectors(&world), documents::vectors(&world), spending::vectors(&world)];
    json!({ "suite": "feiqian/v1", "group": "ristretto255", "vectors": groups.concat() })
}

fn vector(
    name: &str,
    operation: &str,
    inputs: Value,
    outputs: Result<Value, String>,
    reason: Option<&str>,
) -> Value {
    match (outputs, reason) {
        (Ok(outputs), None) => json!({
            "name": name, "operation": operation, "inputs": inputs, "outputs": outputs,
            "valid": true, "reason": Value::Null,
        }),
        (Err(found), Some(reason)) if found == reason => json!({
            "name": name, "operation": operation, "inputs": inputs, "outputs": {},
            "valid": false, "reason": reason,
        }),
        (found, expected) => panic!("{operation}: {name}: expected {expected:?}, found {found:?}"),
    }
}

fn valid(name: &str, operation: &str, inputs: Value, outputs: Value) -> Value {
    vector(name, operation, inputs, Ok(outputs), None)
}

/// A vector whose verdict the code gives: `reason` is the refusal that is expected.
fn judged(
    name: &str,
    operation: &str,
    inputs: Value,
    verdict: Result<Value, Rejection>,
    reason: Option<&str>,
) -> Value {
    vector(name, operation, inputs, verdict.map_err(|refused| refused.to_string()), reason)
}

fn stream(seed: u64) -> ChaCha12Rng {
    ChaCha12Rng::seed_from_u64(seed)
}

fn random_bytes<R: CryptoRng>(rng: &mut R) -> [u8; 32] {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn digest(name: &str) -> Digest {
    Transcript::new("vectors/digest").text(name).into_digest()
}

fn name(text: &str) -> Name {
    Name::new(text).expect(CONSTANT)
}

fn minor(value: u64) -> Minor {
    Minor::new(value).expect(CONSTANT)
}

fn secret(coin: &Coin) -> EncodedScalar {
    EncodedScalar(*coin.secret_bytes())
}

/// A bank: its document key and its keyset of one epoch.
struct Bank {
    signer: KeyPair,
    secrets: Vec<SecretKey>,
    keyset: Keyset,
}

impl Bank {
    fn new(bank: &str, currency: Currency, values: &[u64], seed: u64) -> Self {
        let mut rng = stream(seed);
        let signer = KeyPair::generate(&mut rng);
        let secrets: Vec<_> = values.iter().map(|_| SecretKey::generate(&mut rng)).collect();
        let keys = secrets.iter().zip(values);
        let keys = keys.map(|(secret, value)| denomination(bank, currency, *value, secret)).collect();
        let grace = Timestamp::new(NOW.saturating_add(DAY.saturating_mul(485)));
        let keyset = Keyset::sign(&signer, name(bank), 3, currency, grace, keys).expect(CONSTANT);
        Self { signer, secrets, keyset }
    }
}

fn denomination(bank: &str, currency: Currency, value: u64, secret: &SecretKey) -> DenominationKey {
    let day = |days: u64| Timestamp::new(NOW.saturating_add(DAY.saturating_mul(days)));
    DenominationKey {
        bank: name(bank),
        currency,
        value: minor(value),
        issue_from: day(0),
        issue_until: day(30),
        redeem_until: day(120),
        key: *secret.public().encoded(),
    }
}

/// One wallet's session at one bank, all sides of it.
struct Session {
    id: Digest,
    commitments: Vec<Commitment>,
    challenges: Vec<snowblind::Challenge>,
    answers: Vec<Response>,
    coins: Vec<Coin>,
}

struct World {
    north: Bank,
    south: Bank,
    yen: Bank,
    pins: PinLog,
}

impl World {
    fn new() -> Self {
        let north = Bank::new("north", Currency::CNY, &[1, 2, 4, 8], 11);
        let south = Bank::new("south", Currency::CNY, &[8], 12);
        let yen = Bank::new("north", Currency::JPY, &[8], 13);
        let mut rng = stream(14);
        let center = Authority::root("center", KeyPair::generate(&mut rng), NOW, &mut rng).expect(CONSTANT);
        let root = center.trusted_root().expect(CONSTANT);
        let mut pins = PinLog::new();
        for bank in [&north, &south, &yen] {
            let signer = certify(&center, bank, &mut rng);
            let entry = PinEntry { pinned_at: Timestamp::new(NOW), keyset: bank.keyset.clone(), signer };
            pins.append(entry, &root).expect(CONSTANT);
        }
        Self { north, south, yen, pins }
    }

    fn keys(&self, bank: &Bank, indices: &[usize]) -> Vec<VerifiedKey> {
        let key = |index: &usize| {
            let id = bank.keyset.keys.get(*index).expect(CONSTANT).id();
            self.pins.key(&id).expect(CONSTANT).clone()
        };
        indices.iter().map(key).collect()
    }

    /// Draws coins of the bank's denominations at `indices`.
    fn draw(&self, bank: &Bank, indices: &[usize], session: &str, rng: &mut ChaCha12Rng) -> Session {
        let id = digest(session);
        let (open, commitments) = OpenSession::new(snowblind::commit_batch(indices.len(), rng));
        let keys = self.keys(bank, indices);
        let keys: Vec<&VerifiedKey> = keys.iter().collect();
        let seed = Seed::from_bytes(SEED);
        let (pending, challenges) = PendingIssue::new(&seed, &keys, &id, &commitments).expect(CONSTANT);
        let secrets: Vec<&SecretKey> =
            indices.iter().map(|index| bank.secrets.get(*index).expect(CONSTANT)).collect();
        let answers = open.answer(&secrets, &challenges).expect(CONSTANT);
        let coins = pending.finish(&answers).expect(CONSTANT);
        Session { id, commitments, challenges, answers, coins }
    }
}

fn certify(center: &Authority, bank: &Bank, rng: &mut ChaCha12Rng) -> WireChain {
    let bank_name = bank.keyset.bank.as_str();
    let subject = Subject::bank(bank_name).expect(CONSTANT);
    let request = |key: &KeyPair| {
        CertificateRequest::verify(&CertificateRequest::create(key, &subject).expect(CONSTANT))
            .expect(CONSTANT)
    };
    let key = KeyPair::generate(rng);
    let chain = center.issue_bank_authority(&request(&key), bank_name, NOW, rng).expect(CONSTANT);
    let authority = Authority::from_parts(key, chain).expect(CONSTANT);
    let own = request(&bank.signer);
    let leaf = authority
        .issue_leaf(&own, &subject, Purpose::Signing, &[], DAY.saturating_mul(365), NOW, rng)
        .expect(CONSTANT);
    WireChain::from_chain(&leaf).expect(CONSTANT)
}

/// A 32-byte key in hexadecimal.
fn public(key: &KeyPair) -> String {
    hex::encode(key.public_key())
}
