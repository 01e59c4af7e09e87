//! Vectors of the blind signature with attributes.

use curve25519_dalek::Scalar;
use rand::rngs::ChaCha12Rng;
use serde_json::{Value, json};

use super::{bad_points, digest, encode, flip, invalid, merge, plus_order, stream, valid};
use crate::acl::{
    Announcement, Answer, Blinding, Challenge, CommitmentSecret, Depth, Identity, IdentityProof,
    IdentitySecret, OpeningProof, PendingCoin, PendingCommitment, PublicKey, SecretAnswers, SecretKey,
    Signature, Slot, blind, challenge_scalar, coin_message, verify_opening,
};
use crate::encoded::{Digest, EncodedPoint, EncodedScalar};
use crate::generators;
use crate::scalar::{random, random_non_zero};
use crate::share_tree::TreeSeed;

const CONSTANT: &str = "constant inputs are well formed";
const IDENTITY: EncodedPoint = EncodedPoint([0; 32]);
const ZERO: EncodedScalar = EncodedScalar([0; 32]);
const SLOT: Slot<'_> = Slot { bank: b"bank", account: b"account", session: &[7; 16], index: 3 };

/// All the randomness of one issue, and both sides' secrets.
pub(super) struct Inputs {
    pub(super) key: SecretKey,
    pub(super) identity: IdentitySecret,
    pub(super) r: Scalar,
    nu: Scalar,
    /// *u*, *s*₁, *s*₂, *d*.
    secrets: [Scalar; 4],
    /// *γ*, *τ*, *t*₁…*t*₅.
    blinding: [Scalar; 7],
}

impl Inputs {
    pub(super) fn random(levels: u8, rng: &mut ChaCha12Rng) -> Self {
        Self {
            key: SecretKey::generate(Depth::new(levels).expect(CONSTANT), rng),
            identity: IdentitySecret::generate(rng),
            r: random(rng),
            nu: random(rng),
            secrets: [(); 4].map(|()| random(rng)),
            blinding: [(); 7].map(|()| random_non_zero(rng)),
        }
    }

    pub(super) fn commitment(&self) -> PendingCommitment {
        self.identity.commit(CommitmentSecret::from_scalar(self.r))
    }

    pub(super) fn announce(&self) -> (SecretAnswers, Announcement) {
        let commitment = self.commitment();
        let proof = commitment.prove_with_hedge(&Digest::ZERO, &[0; 32]);
        let proven = verify_opening(self.identity.public(), commitment.encoded(), &proof, &Digest::ZERO)
            .expect(CONSTANT);
        SecretAnswers::from_scalars(self.key.public(), &proven, self.nu, self.secrets)
    }

    pub(super) fn blinding(&self) -> Blinding {
        let [gamma, tau, t @ ..] = self.blinding;
        Blinding::from_scalars(gamma, tau, t).expect(CONSTANT)
    }

    fn blind(&self, announcement: &Announcement, root: &Digest) -> (PendingCoin, Challenge) {
        blind(self.key.public(), self.commitment(), announcement, self.blinding(), root).expect(CONSTANT)
    }

    /// The customer's part.
    fn wallet_json(&self) -> Value {
        let [gamma, tau, t1, t2, t3, t4, t5] = self.blinding.map(EncodedScalar::from);
        json!({
            "identity_secret": hex::encode(self.identity.to_bytes()), "R": encode(&self.r), "gamma": gamma, "tau": tau,
            "t1": t1, "t2": t2, "t3": t3, "t4": t4, "t5": t5,
        })
    }

    /// The bank's part.
    fn bank_json(&self) -> Value {
        let [u, s1, s2, d] = self.secrets.map(EncodedScalar::from);
        let depth = self.key.public().depth().levels().to_string();
        json!({
            "x": hex::encode(self.key.to_bytes()), "depth": depth, "nu": encode(&self.nu), "u": u, "s1": s1, "s2": s2,
            "d": d,
        })
    }
}

/// The key as a verifier has it.
pub(super) fn key_json(key: &PublicKey) -> Value {
    json!({ "Y": key.encoded(), "depth": key.depth().levels().to_string() })
}

/// One issue and what came of it.
struct Issue {
    inputs: Inputs,
    root: Digest,
    announcement: Announcement,
    challenge: Challenge,
    answer: Answer,
    signature: Signature,
    k: [Scalar; 4],
    message: Digest,
}

impl Issue {
    fn run(inputs: Inputs, root: Digest) -> Self {
        let (secrets, announcement) = inputs.announce();
        let (pending, challenge) = inputs.blind(&announcement, &root);
        let message = *pending.message();
        let answer = secrets.respond(&inputs.key, &challenge);
        let (signature, k) = pending.finish(&answer).expect(CONSTANT);
        let k = k.to_scalars();
        Self { inputs, root, announcement, challenge, answer, signature, k, message }
    }

    fn public(&self) -> &PublicKey {
        self.inputs.key.public()
    }

    fn vector(&self, name: &str) -> Value {
        let parties = merge(self.inputs.bank_json(), self.inputs.wallet_json());
        let outputs = json!({
            "Y": self.public().encoded(), "Z": self.public().encoded_z(), "I": self.inputs.identity.public(),
            "C": self.inputs.commitment().encoded(), "announcement": self.announcement, "m": self.message,
            "e": self.challenge, "answer": self.answer, "signature": self.signature,
            "k": self.k.map(EncodedScalar::from),
        });
        valid(name, "acl/issue", merge(parties, json!({ "root": self.root })), outputs)
    }

    fn finish_inputs(&self, announcement: &Announcement, answer: &Answer) -> Value {
        let parts = json!({ "root": self.root, "announcement": announcement, "answer": answer });
        merge(merge(key_json(self.public()), self.inputs.wallet_json()), parts)
    }

    fn verify_inputs(&self, root: &Digest, signature: &Signature) -> Value {
        merge(key_json(self.public()), json!({ "root": root, "signature": signature }))
    }
}

pub(super) fn vectors() -> Vec<Value> {
    let mut rng = stream(4);
    let first = Issue::run(Inputs::random(6, &mut rng), digest("first root"));
    let second = Issue::run(Inputs::random(0, &mut rng), digest("second root"));
    [
        vec![first.vector("a blind signature"), second.vector("another of everything")],
        openings(&first.inputs, &second.inputs),
        identities(&first.inputs, &second.inputs),
        derivations(&first, &second),
        answers(&first, &second),
        verifications(&first, &second),
    ]
    .concat()
}

fn openings(first: &Inputs, second: &Inputs) -> Vec<Value> {
    let (hedge, context) = (digest("hedge").0, SLOT.opening_context(first.key.public()));
    let (commitment, identity) = (first.commitment(), first.identity.public());
    let (c, good) = (*commitment.encoded(), commitment.prove_with_hedge(&context, &hedge));
    let context_inputs = json!({
        "bank": hex::encode(SLOT.bank), "account": hex::encode(SLOT.account), "session": hex::encode(SLOT.session),
        "index": SLOT.index.to_string(), "Y": first.key.public().encoded(),
    });
    let inputs = |identity: &EncodedPoint, c: &EncodedPoint, proof: &OpeningProof, context: &Digest| json!({ "I": identity, "C": c, "proof": proof, "context": context });
    let refused = |name: &str, proof: OpeningProof, reason: &str| {
        invalid(name, "acl/verify-opening", inputs(identity.encoded(), &c, &proof, &context), reason)
    };
    let case = |name: &str, identity: &EncodedPoint, c: &EncodedPoint, context: &Digest, reason: &str| {
        invalid(name, "acl/verify-opening", inputs(identity, c, &good, context), reason)
    };
    let proved = json!({
        "identity_secret": hex::encode(first.identity.to_bytes()), "R": encode(&first.r), "context": context,
        "hedge": hex::encode(hedge),
    });
    let equation = "the proof does not hold";
    vec![
        valid(
            "the context of an opening",
            "acl/opening-context",
            context_inputs,
            json!({ "context": context }),
        ),
        valid(
            "a proof of opening",
            "acl/prove-opening",
            proved,
            json!({ "I": identity, "C": c, "proof": good }),
        ),
        valid(
            "a good proof",
            "acl/verify-opening",
            inputs(identity.encoded(), &c, &good, &context),
            json!({}),
        ),
        case("another identity", second.identity.public().encoded(), &c, &context, equation),
        case("another commitment", identity.encoded(), second.commitment().encoded(), &context, equation),
        case("another context", identity.encoded(), &c, &digest("another context"), equation),
        case("C is the identity", identity.encoded(), &IDENTITY, &context, "identity"),
        case("I is the identity", &IDENTITY, &c, &context, "identity"),
        case("C is not a point", identity.encoded(), &EncodedPoint([0xff; 32]), &context, "not a point"),
        zero_opening(&context),
        refused("c is changed", OpeningProof { c: EncodedScalar(flip(good.c.0, 3)), ..good }, equation),
        refused("u is changed", OpeningProof { u: EncodedScalar(flip(good.u.0, 3)), ..good }, equation),
        refused("v is changed", OpeningProof { v: EncodedScalar(flip(good.v.0, 3)), ..good }, equation),
        refused("c is not canonical", OpeningProof { c: plus_order(&good.c), ..good }, "c is not canonical"),
        refused("u is not canonical", OpeningProof { u: plus_order(&good.u), ..good }, "u is not canonical"),
        refused("v is not canonical", OpeningProof { v: plus_order(&good.v), ..good }, "v is not canonical"),
    ]
}

/// *C* = O opens to the identity secret zero, which is nobody's: the equations hold for *I* = O, and the rules refuse both.
fn zero_opening(context: &Digest) -> Value {
    let [first, second] = [Scalar::from(5_u8), Scalar::from(7_u8)];
    let second_point = generators::multiply_h1(&second);
    let first_point = generators::multiply_h0(&first) + second_point;
    let c = crate::Transcript::new("acl/opening").point(&IDENTITY).point(&IDENTITY);
    let c = c.point(&first_point.into()).point(&second_point.into()).digest(context).into_scalar();
    let proof = OpeningProof { c: encode(&c), u: encode(&first), v: encode(&second) };
    let inputs = json!({ "I": IDENTITY, "C": IDENTITY, "proof": proof, "context": context });
    invalid("C and I are the identity and the equations hold", "acl/verify-opening", inputs, "identity")
}

fn identities(first: &Inputs, second: &Inputs) -> Vec<Value> {
    let (identity, context) = (first.identity.public(), digest("registration"));
    let good = first.identity.prove(&context, &mut stream(5));
    let case = |name: &str, identity: &Identity, proof: IdentityProof, context: &Digest| {
        let inputs = json!({ "I": identity, "proof": proof, "context": context });
        if name == "a good proof" {
            valid(name, "acl/verify-identity", inputs, json!({}))
        } else {
            invalid(name, "acl/verify-identity", inputs, "the proof does not hold")
        }
    };
    let changed = IdentityProof { v: EncodedScalar(flip(good.v.0, 0)), ..good };
    vec![
        case("a good proof", identity, good, &context),
        case("another identity", second.identity.public(), good, &context),
        case("another context", identity, good, &digest("another context")),
        case("v is changed", identity, changed, &context),
        case("c and v are swapped", identity, IdentityProof { c: good.v, v: good.c }, &context),
    ]
}

/// What a wallet draws from its seed, in one place of one withdrawal after another: everything differs.
fn derivations(first: &Issue, second: &Issue) -> Vec<Value> {
    let seed = digest("wallet seed").0;
    let case = |name: &str, slot: Slot<'_>, issue: &Issue, announcement: &Announcement| {
        let (key, commitment) = (issue.public(), issue.inputs.commitment());
        let blinding = Blinding::derive(&seed, &slot, key, &commitment, announcement).to_scalars();
        let [gamma, tau, t1, t2, t3, t4, t5] = blinding.map(EncodedScalar::from);
        let inputs = json!({
            "seed": hex::encode(seed), "bank": hex::encode(slot.bank), "account": hex::encode(slot.account),
            "session": hex::encode(slot.session), "index": slot.index.to_string(), "Y": key.encoded(),
            "C": commitment.encoded(), "announcement": announcement,
        });
        let r = CommitmentSecret::derive(&seed, &slot, key).to_scalar();
        let tree = TreeSeed::derive(&seed, &slot, key, &commitment, announcement).to_bytes();
        let outputs = json!({
            "R": encode(&r), "gamma": gamma, "tau": tau, "t1": t1, "t2": t2, "t3": t3, "t4": t4, "t5": t5,
            "tree_seed": hex::encode(tree),
        });
        valid(name, "acl/derive", inputs, outputs)
    };
    let good = &first.announcement;
    let mixed = Announcement { b1: good.b2, b2: good.b1, ..*good };
    vec![
        case("derived secrets", SLOT, first, good),
        case("the same announcement at another index", Slot { index: 4, ..SLOT }, first, good),
        case("the same announcement in another session", Slot { session: &[8; 16], ..SLOT }, first, good),
        case("the same announcement to another account", Slot { account: b"other", ..SLOT }, first, good),
        case("the same announcement by another bank", Slot { bank: b"other", ..SLOT }, first, good),
        case("the same announcement under another key", SLOT, second, good),
        case("another announcement", SLOT, first, &second.announcement),
        case("the same announcement with another ν", SLOT, first, &Announcement { nu: ZERO, ..*good }),
        case("the same announcement, B1 and B2 swapped", SLOT, first, &mixed),
    ]
}

fn answers(issue: &Issue, other: &Issue) -> Vec<Value> {
    let (good, announcement) = (issue.answer, issue.announcement);
    let case = |name: &str, announcement: Announcement, answer: Answer, reason: &str| {
        invalid(name, "acl/finish", issue.finish_inputs(&announcement, &answer), reason)
    };
    let answer = |name: &str, answer: Answer, reason: &str| case(name, announcement, answer, reason);
    let changed = |scalar: EncodedScalar| EncodedScalar(flip(scalar.0, 5));
    let plus_one = |scalar: EncodedScalar| encode(&(scalar.decode().expect(CONSTANT) + Scalar::ONE));
    let less_one = |scalar: EncodedScalar| encode(&(scalar.decode().expect(CONSTANT) - Scalar::ONE));
    let outputs =
        json!({ "m": issue.message, "signature": issue.signature, "k": issue.k.map(EncodedScalar::from) });
    let mut all = vec![
        valid("a good answer", "acl/finish", issue.finish_inputs(&announcement, &good), outputs),
        answer("r is changed", Answer { r: changed(good.r), ..good }, "rG + cY is not A"),
        answer("c is changed", Answer { c: changed(good.c), ..good }, "c + d is not e"),
        answer("d is changed", Answer { d: changed(good.d), ..good }, "c + d is not e"),
        answer(
            "c and d are changed, their sum is not",
            Answer { c: plus_one(good.c), d: less_one(good.d), ..good },
            "rG + cY is not A",
        ),
        answer("s1 is changed", Answer { s1: changed(good.s1), ..good }, "s1 G + d Z1 is not B1"),
        answer("s2 is changed", Answer { s2: changed(good.s2), ..good }, "s2 H + d Z2 is not B2"),
        answer("s1 and s2 are swapped", Answer { s1: good.s2, s2: good.s1, ..good }, "s1 G + d Z1 is not B1"),
        answer("the answer of another session", other.answer, "c + d is not e"),
        case(
            "another ν",
            Announcement { nu: changed(announcement.nu), ..announcement },
            good,
            "another challenge",
        ),
        case("another announcement", other.announcement, good, "another challenge"),
        case(
            "ν is not canonical",
            Announcement { nu: plus_order(&announcement.nu), ..announcement },
            good,
            "ν is not canonical",
        ),
    ];
    for (bad, reason) in bad_points(&announcement.b1) {
        all.push(case(
            &format!("B1 is not canonical: {reason}"),
            Announcement { b1: bad, ..announcement },
            good,
            reason,
        ));
    }
    for (name, bad) in [
        ("r is not canonical", Answer { r: plus_order(&good.r), ..good }),
        ("c is not canonical", Answer { c: plus_order(&good.c), ..good }),
        ("s1 is not canonical", Answer { s1: plus_order(&good.s1), ..good }),
        ("s2 is not canonical", Answer { s2: plus_order(&good.s2), ..good }),
        ("d is not canonical", Answer { d: plus_order(&good.d), ..good }),
    ] {
        all.push(answer(name, bad, name));
    }
    all
}

fn verifications(first: &Issue, second: &Issue) -> Vec<Value> {
    let good = first.signature;
    let refused = |name: &str, signature: Signature, reason: &str| {
        invalid(name, "acl/verify", first.verify_inputs(&first.root, &signature), reason)
    };
    let equation = "the equation does not hold";
    let shallower = merge(first.verify_inputs(&first.root, &good), json!({ "depth": "5" }));
    let mut all = vec![
        valid(
            "a good signature",
            "acl/verify",
            first.verify_inputs(&first.root, &good),
            json!({ "m": first.message }),
        ),
        invalid("another root", "acl/verify", first.verify_inputs(&second.root, &good), equation),
        invalid("another key", "acl/verify", second.verify_inputs(&first.root, &good), equation),
        invalid("another depth", "acl/verify", shallower, equation),
        refused("the signature of another coin", second.signature, equation),
        refused("ζ1 is another's", Signature { zeta1: second.signature.zeta1, ..good }, equation),
        refused(
            "ω and ω' are swapped",
            Signature { omega: good.omega_prime, omega_prime: good.omega, ..good },
            equation,
        ),
        refused("ρ1 and ρ2 are swapped", Signature { rho1: good.rho2, rho2: good.rho1, ..good }, equation),
        zero_forgery(first),
    ];
    let with_part = |part: usize, change: fn([u8; 32]) -> [u8; 32]| {
        let mut bytes = good.to_bytes();
        bytes.as_chunks_mut().0.iter_mut().skip(part).take(1).for_each(|bytes| *bytes = change(*bytes));
        Signature::from_bytes(&bytes).expect(CONSTANT)
    };
    for (part, name) in ["ζ", "ζ1", "ρ", "ω", "ρ1", "ρ2", "ω'", "μ"].into_iter().enumerate() {
        let changed = with_part(part, |bytes| flip(bytes, 1));
        all.push(refused(
            &format!("{name} is changed"),
            changed,
            "another point, or the equation does not hold",
        ));
        let malformed = with_part(part, |_| [0xff; 32]);
        all.push(refused(&format!("{name} is not canonical"), malformed, "not canonical"));
    }
    all
}

/// With *ζ* = O anybody signs who knows the key's *Y*: the equation holds, only the rule about *ζ* refuses it.
fn zero_forgery(issue: &Issue) -> Value {
    let key = issue.public();
    let [rho, rho1, rho2, mu, omega] = [3_u8, 5, 7, 11, 13].map(Scalar::from);
    // With ζ = ζ1 = O, ω' enters no point: choose it after the hash.
    let alpha = generators::multiply_g(&rho) + omega * key.point();
    let (beta1, beta2) = (generators::multiply_g(&rho1), generators::multiply_h(&rho2));
    let [alpha, beta1, beta2, eta] = [alpha, beta1, beta2, mu * key.z()].map(EncodedPoint::from);
    let message = coin_message(key, &issue.root, &IDENTITY, &IDENTITY);
    let epsilon = challenge_scalar([&IDENTITY, &IDENTITY, &alpha, &beta1, &beta2, &eta], &message);
    let signature = Signature {
        zeta: IDENTITY,
        zeta1: IDENTITY,
        rho: encode(&rho),
        omega: encode(&omega),
        rho1: encode(&rho1),
        rho2: encode(&rho2),
        omega_prime: encode(&(epsilon - omega)),
        mu: encode(&mu),
    };
    let inputs = issue.verify_inputs(&issue.root, &signature);
    invalid("a forgery with ζ the identity: the equation holds", "acl/verify", inputs, "ζ is the identity")
}
