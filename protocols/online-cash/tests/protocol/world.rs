//! A center, two banks, a merchant, and wallets with coins.

use feiqian_crypto::snowblind::{self, Challenge, Commitment, Response, SecretKey};
use feiqian_crypto::{Digest, Scalar};
use feiqian_money::{Amount, Currency, Minor};
use feiqian_online_cash::Rejection;
use feiqian_online_cash::coin::{Coin, public_key};
use feiqian_online_cash::deposit::CashItem;
use feiqian_online_cash::issue::{OpenSession, PendingIssue};
use feiqian_online_cash::keyset::{DenominationKey, Keyset, PinEntry, PinLog, VerifiedKey};
use feiqian_online_cash::payment::{Checker, Payment};
use feiqian_online_cash::request::{Authorities, Delivery, Payee, PaymentRequest, Route, SignedRequest};
use feiqian_online_cash::seed::Seed;
use feiqian_online_cash::signed::WireChain;
use feiqian_pki::{
    Authority, CertificateRequest, Chain, KeyPair, Purpose, Revocation, Subject, TrustedRoot, Verified,
    fingerprint, validate,
};
use feiqian_wire::{Blob, Name, Text, Timestamp};
use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;

pub(crate) const NOW: u64 = 1_767_225_600;
pub(crate) const DAY: u64 = 86_400;

pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::new(seconds)
}

pub(crate) fn minor(value: u64) -> Minor {
    Minor::new(value).unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn digest(text: &str) -> Digest {
    feiqian_crypto::Transcript::new("tests").text(text).into_digest()
}

pub(crate) struct Bank {
    pub(crate) authority: Authority,
    pub(crate) signer: KeyPair,
    pub(crate) chain: Chain,
    pub(crate) secrets: Vec<SecretKey>,
    pub(crate) keyset: Keyset,
}

pub(crate) struct World {
    pub(crate) rng: ChaCha12Rng,
    pub(crate) root: TrustedRoot,
    pub(crate) north: Bank,
    pub(crate) south: Bank,
    pub(crate) pins: PinLog,
    pub(crate) shop: KeyPair,
    pub(crate) shop_chain: Chain,
    pub(crate) sessions: u64,
}

/// Validates a payee's leaf under the authorities of both banks.
pub(crate) struct Directory {
    root: TrustedRoot,
    authorities: Vec<Vec<u8>>,
}

impl Authorities for Directory {
    fn payee(&self, leaf: &[u8], issuer: &Digest, now: Timestamp) -> Result<Verified, Rejection> {
        let invalid = |error: String| Rejection::CertificateInvalid(error);
        let authority = self.authorities.iter().find(|der| fingerprint(der) == *issuer);
        let authority = authority.ok_or_else(|| invalid("no such authority".into()))?;
        let chain =
            Chain::new(vec![leaf.to_vec(), authority.clone()]).map_err(|error| invalid(error.to_string()))?;
        validate(&chain, &self.root, Purpose::Signing, Revocation::Unchecked, now.seconds())
            .map_err(|error| invalid(error.to_string()))
    }
}

pub(crate) fn certify(
    key: &KeyPair,
    subject: &Subject,
    authority: &Authority,
    rng: &mut ChaCha12Rng,
) -> Chain {
    let request = CertificateRequest::verify(&CertificateRequest::create(key, subject).unwrap()).unwrap();
    authority.issue_leaf(&request, subject, Purpose::Signing, &[], 365 * DAY, NOW, rng).unwrap()
}

/// The keys of an epoch, values 1 to 128.
pub(crate) fn denominations(bank: &str, currency: Currency, secrets: &[SecretKey]) -> Vec<DenominationKey> {
    (0..)
        .zip(secrets)
        .map(|(exponent, secret)| DenominationKey {
            bank: name(bank),
            currency,
            value: minor(1 << exponent),
            issue_from: at(NOW),
            issue_until: at(NOW + 30 * DAY),
            redeem_until: at(NOW + 120 * DAY),
            key: *secret.public().encoded(),
        })
        .collect()
}

impl Bank {
    fn new(bank: &str, center: &Authority, rng: &mut ChaCha12Rng) -> Self {
        let subject = Subject::bank(bank).unwrap();
        let key = KeyPair::generate(rng);
        let request = CertificateRequest::create(&key, &subject).unwrap();
        let request = CertificateRequest::verify(&request).unwrap();
        let chain = center.issue_bank_authority(&request, bank, NOW, rng).unwrap();
        let authority = Authority::from_parts(key, chain).unwrap();
        let signer = KeyPair::generate(rng);
        let chain = certify(&signer, &subject, &authority, rng);
        let secrets: Vec<_> = (0..8).map(|_| SecretKey::generate(rng)).collect();
        let keys = denominations(bank, Currency::CNY, &secrets);
        let grace = at(NOW + 485 * DAY);
        let keyset = Keyset::sign(&signer, name(bank), 0, Currency::CNY, grace, keys).unwrap();
        Self { authority, signer, chain, secrets, keyset }
    }

    pub(crate) fn entry(&self) -> PinEntry {
        let signer = WireChain::from_chain(&self.chain).unwrap();
        PinEntry { pinned_at: at(NOW), keyset: self.keyset.clone(), signer }
    }
}

/// What both sides of a session said.
pub(crate) struct Said {
    pub(crate) session: Digest,
    pub(crate) commitments: Vec<Commitment>,
    pub(crate) challenges: Vec<Challenge>,
    pub(crate) answers: Vec<Response>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let key = KeyPair::generate(&mut rng);
        let center = Authority::root("center", key, NOW, &mut rng).unwrap();
        let north = Bank::new("north", &center, &mut rng);
        let south = Bank::new("south", &center, &mut rng);
        let root = center.trusted_root().unwrap();
        let mut pins = PinLog::new();
        pins.append(north.entry(), &root).unwrap();
        pins.append(south.entry(), &root).unwrap();
        let shop = KeyPair::generate(&mut rng);
        let subject = Subject::merchant("0123456789abcdef0123456789abcdef", "south").unwrap();
        let shop_chain = certify(&shop, &subject, &south.authority, &mut rng);
        Self { rng, root, north, south, pins, shop, shop_chain, sessions: 0 }
    }

    pub(crate) fn seed() -> Seed {
        Seed::from_bytes([7; 64])
    }

    pub(crate) fn keys(&self, bank: &Bank, exponents: &[usize]) -> Vec<VerifiedKey> {
        exponents.iter().map(|e| self.pins.key(&bank.keyset.keys[*e].id()).unwrap().clone()).collect()
    }

    /// Coins of 2^exponent minor units each, of the bank "north" or "south".
    pub(crate) fn draw(&mut self, bank: &str, exponents: &[usize]) -> Vec<Coin> {
        self.draw_and_tell(bank, exponents).0
    }

    pub(crate) fn draw_and_tell(&mut self, bank: &str, exponents: &[usize]) -> (Vec<Coin>, Said) {
        self.sessions += 1;
        let session = digest(&format!("session {}", self.sessions));
        let (open, commitments) = OpenSession::new(snowblind::commit_batch(exponents.len(), &mut self.rng));
        let bank = if bank == "north" { &self.north } else { &self.south };
        let keys = self.keys(bank, exponents);
        let keys: Vec<_> = keys.iter().collect();
        let (pending, challenges) = PendingIssue::new(&Self::seed(), &keys, &session, &commitments).unwrap();
        let secrets: Vec<_> = exponents.iter().map(|exponent| &bank.secrets[*exponent]).collect();
        let answers = open.answer(&secrets, &challenges).unwrap();
        let coins = pending.finish(&answers).unwrap();
        (coins, Said { session, commitments, challenges, answers })
    }

    pub(crate) fn directory(&self) -> Directory {
        let authorities =
            [&self.north, &self.south].map(|bank| bank.authority.chain().leaf().to_vec()).to_vec();
        Directory { root: self.root.clone(), authorities }
    }

    pub(crate) fn terms(&self, amount: u64) -> PaymentRequest {
        let issuer = fingerprint(self.south.authority.chain().leaf());
        PaymentRequest {
            payee: Payee::Certified { leaf: Blob::new(self.shop_chain.leaf()).unwrap(), issuer },
            name: Text::new("The shop at the corner").unwrap(),
            amount: Amount::new(minor(amount), Currency::CNY),
            order: Text::new("order 2026-000123").unwrap(),
            route: Route::Account {
                bank: name("south"),
                account: Text::new("0123456789abcdef0123456789abcdef").unwrap(),
            },
            delivery: Delivery::Url(
                Text::new(format!("https://shop.example.com:8443#sha256={}", self.root.fingerprint()))
                    .unwrap(),
            ),
            refund_until: at(NOW + 14 * DAY),
            view: self.pins.view(),
            expires: at(NOW + 600),
            nonce: digest("nonce"),
        }
    }

    pub(crate) fn request(&self, amount: u64) -> SignedRequest {
        SignedRequest::by_account_holder(self.terms(amount), &self.shop).unwrap()
    }

    pub(crate) fn personal_request(&mut self, amount: u64, secret: &Scalar) -> SignedRequest {
        let request = PaymentRequest {
            payee: Payee::Key(public_key(secret)),
            route: Route::Received,
            delivery: Delivery::ByHand,
            ..self.terms(amount)
        };
        SignedRequest::by_key(request, secret, &mut self.rng).unwrap()
    }

    pub(crate) fn pay(&mut self, request: &SignedRequest, coins: &[(&Coin, u64)]) -> CashItem {
        let coins: Vec<_> = coins.iter().map(|(coin, given)| (*coin, minor(*given))).collect();
        let payment = Payment::sign(&request.request.digest(), &coins, &mut self.rng).unwrap();
        CashItem { request: request.clone(), payment }
    }

    /// Checks at `now`.
    pub(crate) fn check(&mut self, item: &CashItem, now: u64) -> Result<Digest, Rejection> {
        let directory = self.directory();
        let checker = Checker { pins: &self.pins, authorities: &directory, now: at(now) };
        checker.verify(item, &mut self.rng).map(|verified| verified.digest)
    }
}
