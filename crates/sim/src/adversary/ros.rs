//! One coin more: a customer opens 253 withdrawals at the production bank at once and solves ROS over them. The control
//! runs the same attack against textbook blind Schnorr.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use feiqian_crypto::hazmat::ros::{self, Target as Attacked};
use feiqian_crypto::snowblind::{self, Challenge, Commitment, PublicKey, Response, Signature};
use feiqian_crypto::{Digest, EncodedPoint, EncodedScalar, Rejection, RistrettoPoint, Scalar, Transcript};
use feiqian_node::{CALL_TIMEOUT, Caller, Entropy as _, Format, Outgoing, StreamEntropy, Target};
use feiqian_online_cash::funding::{Funding, withdrawal_statement};
use feiqian_online_cash::issue::{BeginRequest, BeginResponse, FinishRequest, FinishResponse, outputs_of};
use feiqian_online_cash::keyset::DenominationKey;
use feiqian_online_cash::signed::DocumentSignature;
use feiqian_pki::KeyPair;
use feiqian_wire::{Bounded, Limit};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Adversary;
use crate::measure::stats::share;
use crate::scenario::specs::AdversarySpec;
use crate::world::node::bytes_of;
use crate::world::{Running, World};

/// A forger with an account.
pub struct Forger {
    count: u64,
    control: bool,
    wallet: usize,
    attempts: u64,
    sessions: u64,
    gained: u64,
}

impl Forger {
    /// One that attacks `spec.count` times, with the account of the wallet of this number.
    #[must_use]
    pub fn new(spec: &AdversarySpec, wallet: usize) -> Self {
        Self { count: spec.count, control: spec.control, wallet, attempts: 0, sessions: 0, gained: 0 }
    }

    fn tally(&mut self, sessions: usize, gain: usize) {
        self.attempts = self.attempts.saturating_add(1);
        self.sessions = self.sessions.saturating_add(sessions as u64);
        self.gained = self.gained.saturating_add(gain as u64);
    }
}

#[async_trait]
impl Adversary for Forger {
    fn begin(&mut self, _world: &Arc<World>) {}

    async fn finish(&mut self, world: &Arc<World>) {
        for number in 0..self.count {
            if self.control {
                let rng = StreamEntropy::new(world.scenario().seed, &format!("forger/{number}")).rng();
                let outcome = ros::attack(&mut ros::Textbook::new(rng));
                self.tally(outcome.sessions, outcome.gain());
                continue;
            }
            world.hides_coins(self.wallet);
            let Some(mut account) = Account::open(world, self.wallet, number).await else { continue };
            let outcome = ros::attack(&mut account);
            let gain = outcome.signatures.len().saturating_sub(account.answered);
            self.tally(account.answered, gain);
        }
    }

    async fn report(&mut self, _world: &Arc<World>) -> Value {
        json!({
            "attempts": self.attempts,
            "successes": self.gained,
            "success": share(self.gained.min(self.attempts), self.attempts),
            "won": self.gained > 0,
            "coins_withdrawn": self.sessions,
            "coins_forged": self.gained,
        })
    }
}

/// The forger's account at the production bank, as the attack sees it: sessions of one coin each, unblinded.
struct Account<'a> {
    world: &'a World,
    number: u64,
    opened: u64,
    answered: usize,
    wallet: usize,
    bank: String,
    account: String,
    to: Target,
    signing: KeyPair,
    key: DenominationKey,
    public: PublicKey,
}

/// The answers of a bank and of the attack are at hand at once: everything in a world happens on one thread.
fn at_once<F: Future>(work: F) -> Option<F::Output> {
    let mut work = pin!(tokio::task::unconstrained(work));
    match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

impl<'a> Account<'a> {
    async fn open(world: &'a World, wallet: usize, number: u64) -> Option<Self> {
        let (bank, account) = feiqian_wallet::audit::owner(world.wallet_details(wallet)?.1);
        let node = world.bank_of_wallet(wallet)?;
        let Ok(Running::Bank(running)) = world.running(node).await else { return None };
        let keyset = running.own_keysets().pop()?;
        // The smallest coin: the attack needs many sessions, not much money.
        let key = keyset.keys.first()?.clone();
        let public = PublicKey::from_encoded(key.key).ok()?;
        let seed = bytes_of(world.scenario().seed, &format!("wallet:{wallet}/signer"));
        Some(Self {
            world,
            number,
            opened: 0,
            answered: 0,
            wallet,
            to: Target::anyone(running.config().url()),
            bank,
            account,
            signing: KeyPair::from_seed(&seed),
            key,
            public,
        })
    }

    fn ask<Req: Serialize, Res: DeserializeOwned>(&self, path: &str, request: &Req) -> Option<Res> {
        let body = Format::Bincode.encode(request).ok()?.into();
        let (format, caller, path) = (Format::Bincode, Caller::Certified, path.to_owned());
        let message = Outgoing { path, body, format, caller, timeout: CALL_TIMEOUT };
        let from = self.world.wallets().get(self.wallet).copied()?;
        let reply = at_once(self.world.fabric().immediate(from, &self.to, message))?.ok()?;
        (reply.status == 200).then(|| Format::Bincode.decode(&reply.body, Limit::Large).ok())?
    }

    fn begin(&mut self) -> Option<(Digest, Commitment)> {
        self.opened = self.opened.saturating_add(1);
        let name = Transcript::new("sim/forger").integer(self.number).integer(self.opened).into_digest();
        let outputs = outputs_of(&[self.key.id()]).ok()?;
        let begun = self.ask("/v1/account/issue/begin", &BeginRequest { request: name, outputs })?;
        match begun {
            BeginResponse::Open(offer) => Some((offer.session, *offer.commitments.first()?)),
            _ => None,
        }
    }

    fn finish(&mut self, session: Digest, challenge: Scalar) -> Option<Response> {
        let challenges = [Challenge::from_scalar(challenge)];
        let denominations = [self.key.id()];
        let fee = feiqian_money::Minor::ZERO;
        let statement =
            withdrawal_statement(&self.bank, &self.account, &session, &denominations, fee, &challenges);
        let signature = DocumentSignature::sign(&self.signing, &statement).ok()?;
        let [challenge] = challenges;
        let challenges = Bounded::new(vec![challenge]).ok()?;
        let funding = Funding::Account { signature };
        let finished: FinishResponse =
            self.ask("/v1/account/issue/finish", &FinishRequest { session, challenges, funding })?;
        self.answered = self.answered.saturating_add(1);
        finished.answers.first().copied()
    }
}

fn point(encoded: &EncodedPoint) -> RistrettoPoint {
    encoded.decode().unwrap_or_default()
}

fn number(encoded: &EncodedScalar) -> Scalar {
    encoded.decode().unwrap_or_default()
}

/// Users without blinding: *R'* = *A* + *B*, and the signature is (*z* + *b*, *y*).
impl Attacked for Account<'_> {
    type Session = Option<Digest>;
    type Commitment = RistrettoPoint;
    type Answer = (Scalar, Scalar);
    type Signature = Signature;

    fn open(&mut self) -> (Option<Digest>, RistrettoPoint) {
        match self.begin() {
            Some((session, commitment)) => (Some(session), point(&commitment.a) + point(&commitment.b)),
            None => (None, RistrettoPoint::default()),
        }
    }

    fn combine(
        &self,
        weights: &[Scalar],
        commitments: &[RistrettoPoint],
        constant: &Scalar,
    ) -> RistrettoPoint {
        let sum: RistrettoPoint = weights.iter().zip(commitments).map(|(weight, point)| weight * point).sum();
        sum - constant * self.public.point()
    }

    fn challenge(&self, message: &Digest, commitment: &RistrettoPoint) -> Scalar {
        let transcript = Transcript::new("snowblind/challenge").point(self.public.encoded()).digest(message);
        transcript.point(&EncodedPoint::from(commitment)).into_scalar()
    }

    fn respond(&mut self, session: Option<Digest>, challenge: Scalar) -> (Scalar, Scalar) {
        let response = session.and_then(|session| self.finish(session, challenge));
        response.map_or_else(Default::default, |response| {
            (number(&response.z) + number(&response.b), number(&response.y))
        })
    }

    fn complete<'b>(
        &self,
        _message: &Digest,
        commitment: &RistrettoPoint,
        answers: impl Iterator<Item = (Scalar, &'b (Scalar, Scalar))>,
    ) -> Signature
    where
        (Scalar, Scalar): 'b,
    {
        let (mut z, mut y) = (Scalar::ZERO, Scalar::ZERO);
        for (weight, answer) in answers {
            z += weight * answer.0;
            y += weight * answer.1;
        }
        Signature { commitment: EncodedPoint::from(commitment), z: (&z).into(), y: (&y).into() }
    }

    fn verify(&self, message: &Digest, signature: &Signature) -> Result<(), Rejection> {
        snowblind::verify(&self.public, message, signature)
    }
}
