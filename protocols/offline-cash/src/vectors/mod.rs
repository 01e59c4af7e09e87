//! The builder of the published test vectors of offline cash above its cryptography: documents, withdrawals, chains, the
//! register. Deterministic: one fixed world, seeded with constants, and no secret that a wallet does not derive.
//!
//! The document has the layout of the cryptographic vectors: `{"suite", "group", "vectors": [{"name", "operation",
//! "inputs", "outputs", "valid", "reason"}]}`. Messages stand in it as their JSON; certificate chains are left out and the
//! keys that they certify given instead. Every verdict is the code's own: the builder runs the check that the vector is
//! about and stops where the verdict is not the expected one.

mod documents;
mod spending;
mod withdrawing;

use feiqian_crypto::Digest;
use feiqian_crypto::acl::SecretKey;
use feiqian_crypto::acl::{Answer, IdentitySecret};
use feiqian_crypto::transcript::Transcript;
use feiqian_money::{Amount, Currency, Minor};
use feiqian_pki::{Authority, CertificateRequest, KeyPair, Purpose, Subject, TrustedRoot};
use feiqian_wire::{Blob, Name, Text, Timestamp};
use rand::SeedableRng as _;
use rand::rngs::ChaCha12Rng;
use serde_json::{Value, json};

use crate::Rejection;
use crate::identity::{Account, AttestedIdentity, IdentityRecord, Registrant, Registration, SignedIdentity};
use crate::keyset::{Keyset, Kind, OfflineKey, Times, VerifiedKey, VerifiedKeyset, depth_of};
use crate::seed::Seed;
use crate::signed::WireChain;
use crate::withdraw::{
    Coin, CommitRequest, CommitResponse, Customer, ExpectAnnouncements, ExpectCommitments, SignedWithdrawal,
};

const CONSTANT: &str = "constant inputs are well formed";
/// When everything happens: 2026-01-01T00:00:00Z.
const NOW: u64 = 1_767_225_600;
const DAY: u64 = 86_400;

/// All vectors of this crate as one document.
///
/// # Panics
///
/// Never: the inputs are constants, and a test runs it.
#[must_use]
pub fn generate() -> Value {
    let world = World::new();
    let groups = [documents::vectors(&world), withdrawing::vectors(&world), spending::vectors(&world)];
    json!({ "suite": "feiqian/v1", "group": "ristretto255", "vectors": groups.concat() })
}

/// A vector whose verdict the code gives: `reason` is the refusal that is expected.
fn judged(
    name: &str,
    operation: &str,
    inputs: Value,
    verdict: Result<Value, Rejection>,
    reason: Option<&str>,
) -> Value {
    match (verdict.map_err(|refused| refused.to_string()), reason) {
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
    judged(name, operation, inputs, Ok(outputs), None)
}

/// `base` with the fields of `more`, which replace those of the same name.
fn merge(mut base: Value, more: Value) -> Value {
    if let (Some(fields), Value::Object(more)) = (base.as_object_mut(), more) {
        fields.extend(more);
    }
    base
}

fn stream(seed: u64) -> ChaCha12Rng {
    ChaCha12Rng::seed_from_u64(seed)
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

fn day(days: u64) -> Timestamp {
    Timestamp::new(NOW.saturating_add(DAY.saturating_mul(days)))
}

/// A 32-byte key in hexadecimal.
fn public(key: &KeyPair) -> String {
    hex::encode(key.public_key())
}

/// An ACL key as a verifier has it.
fn key_json(key: &VerifiedKey) -> Value {
    json!({ "Y": key.public.encoded(), "depth": key.public.depth().levels().to_string() })
}

fn certify(key: &KeyPair, subject: &Subject, authority: &Authority, rng: &mut ChaCha12Rng) -> WireChain {
    let request = CertificateRequest::create(key, subject).expect(CONSTANT);
    let request = CertificateRequest::verify(&request).expect(CONSTANT);
    let seconds = DAY.saturating_mul(365);
    let leaf =
        authority.issue_leaf(&request, subject, Purpose::Signing, &[], seconds, NOW, rng).expect(CONSTANT);
    WireChain::from_chain(&leaf).expect(CONSTANT)
}

/// A bank: its authority, its document key and its keyset of one epoch.
struct Bank {
    authority: Authority,
    signer: KeyPair,
    chain: WireChain,
    secrets: Vec<SecretKey>,
    verified: VerifiedKeyset,
}

impl Bank {
    /// A bank with keys for blanks and for values 2⁰ … 2^`exponents`.
    fn new(bank: &str, exponents: u32, center: &Authority, rng: &mut ChaCha12Rng) -> Self {
        let subject = Subject::bank(bank).expect(CONSTANT);
        let key = KeyPair::generate(rng);
        let request = CertificateRequest::create(&key, &subject).expect(CONSTANT);
        let request = CertificateRequest::verify(&request).expect(CONSTANT);
        let chain = center.issue_bank_authority(&request, bank, NOW, rng).expect(CONSTANT);
        let authority = Authority::from_parts(key, chain).expect(CONSTANT);
        let signer = KeyPair::generate(rng);
        let chain = certify(&signer, &subject, &authority, rng);
        let mut secrets = Vec::new();
        let mut keys = Vec::new();
        let values =
            (0..=exponents).map(|exponent| (Kind::Value, 1_u64.checked_shl(exponent).expect(CONSTANT)));
        for (kind, value) in std::iter::once((Kind::Blank, 0)).chain(values) {
            let (value, depth) = (minor(value), depth_of(kind, minor(value)).expect(CONSTANT));
            let secret = SecretKey::generate(depth, rng);
            keys.push(OfflineKey { kind, value, depth, key: *secret.public().encoded() });
            secrets.push(secret);
        }
        let times = Times {
            issue_from: day(0),
            issue_until: day(30),
            pay_until: day(120),
            deposit_until: day(150),
            reclaim_until: day(180),
        };
        let keyset = Keyset::sign(&signer, name(bank), 3, Currency::CNY, times, keys).expect(CONSTANT);
        let verified = keyset.verify(&signer.public_key()).expect(CONSTANT);
        Self { authority, signer, chain, secrets, verified }
    }

    /// The key of blanks (0) or of value 2^(place - 1).
    fn key(&self, place: usize) -> &VerifiedKey {
        self.verified.keys.get(place).expect(CONSTANT)
    }
}

/// A customer with a registered identity.
struct Person {
    bank: Name,
    account: Account,
    seed_bytes: [u8; 64],
    seed: Seed,
    secret: IdentitySecret,
    signer: KeyPair,
    registration: Registration,
    attested: AttestedIdentity,
}

impl Person {
    fn customer(&self) -> Customer<'_> {
        Customer { seed: &self.seed, identity: &self.secret, bank: &self.bank, account: &self.account }
    }
}

/// One withdrawal, all sides of it.
struct Drawn {
    session: Digest,
    committed: CommitRequest,
    announced: CommitResponse,
    signed: SignedWithdrawal,
    answers: Vec<Answer>,
    coins: Vec<Coin>,
}

struct World {
    root: TrustedRoot,
    center: KeyPair,
    center_chain: WireChain,
    north: Bank,
    south: Bank,
    ann: Person,
    bob: Person,
}

impl World {
    fn new() -> Self {
        let mut rng = stream(41);
        let authority =
            Authority::root("center", KeyPair::generate(&mut rng), NOW, &mut rng).expect(CONSTANT);
        let root = authority.trusted_root().expect(CONSTANT);
        let center = KeyPair::generate(&mut rng);
        let subject = Subject::center("center").expect(CONSTANT);
        let center_chain = certify(&center, &subject, &authority, &mut rng);
        let north = Bank::new("north", 3, &authority, &mut rng);
        let south = Bank::new("south", 1, &authority, &mut rng);
        let person = |bank: &Bank, who: u8| {
            let chain = center_chain.clone();
            register(bank, who, |signed| AttestedIdentity::attest(signed, day(0), &center, chain, &root))
        };
        let (ann, bob) = (person(&north, 1), person(&south, 2));
        Self { root, center, center_chain, north, south, ann, bob }
    }

    /// Withdraws coins under the keys of the person's bank at `places`.
    fn draw(&self, person: &Person, session: &str, places: &[usize]) -> Drawn {
        let bank = if person.bank.as_str() == "north" { &self.north } else { &self.south };
        let (session, customer, mut rng) = (digest(session), person.customer(), stream(42));
        let keys: Vec<_> = places.iter().map(|place| bank.key(*place)).collect();
        let (expect, committed) =
            ExpectAnnouncements::begin(&customer, &keys, &session, |_| false, &mut rng).expect(CONSTANT);
        let waiting = ExpectCommitments::new(person.bank.clone(), person.account.clone(), session, &keys);
        let waiting = waiting.expect(CONSTANT);
        let (open, announced) =
            waiting.announce(person.secret.public(), &committed, &mut rng).expect(CONSTANT);
        let (pending, request) =
            expect.challenge(&customer, &announced, |_| false, &person.signer).expect(CONSTANT);
        let accepted = open.accept(&request, &person.signer.public_key()).expect(CONSTANT);
        let signed = accepted.signed().clone();
        let secrets: Vec<_> = places.iter().map(|place| bank.secrets.get(*place).expect(CONSTANT)).collect();
        let answers = open.answer(&secrets, &accepted).expect(CONSTANT);
        let coins = pending.finish(&answers).expect(CONSTANT);
        Drawn { session, committed, announced, signed, answers: answers.answers.into_vec(), coins }
    }
}

fn register(
    bank: &Bank,
    who: u8,
    attest: impl FnOnce(SignedIdentity) -> Result<AttestedIdentity, Rejection>,
) -> Person {
    let mut rng = stream(50_u64.saturating_add(who.into()));
    let bank_name = bank.verified.keyset.bank.clone();
    let account: Account = Text::new(format!("{who:032x}")).expect(CONSTANT);
    let seed_bytes = [who; 64];
    let seed = Seed::from_bytes(seed_bytes);
    let secret = seed.identity(bank_name.as_str(), account.as_str()).expect(CONSTANT);
    let signer = KeyPair::generate(&mut rng);
    let key = signer.public_key();
    let registrant = Registrant { bank: bank_name.as_str(), account: account.as_str(), signing_key: &key };
    let registration = Registration::new(&secret, &registrant, &mut rng);
    let subject = Subject::customer(account.as_str(), bank_name.as_str()).expect(CONSTANT);
    let chain = certify(&signer, &subject, &bank.authority, &mut rng);
    let record = IdentityRecord {
        bank: bank_name.clone(),
        account: account.clone(),
        identity: *secret.public(),
        signing_key: Blob::new(key.to_vec()).expect(CONSTANT),
        collateral: Amount::new(minor(50_000), Currency::CNY),
    };
    let attested = attest(SignedIdentity::sign(record, &signer, chain).expect(CONSTANT)).expect(CONSTANT);
    Person { bank: bank_name, account, seed_bytes, seed, secret, signer, registration, attested }
}
