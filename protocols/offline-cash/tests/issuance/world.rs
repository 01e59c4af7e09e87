//! A center, two banks with keysets, and their customers.

use feiqian_crypto::acl::{IdentitySecret, SecretKey};
use feiqian_crypto::share_tree::{Opening, VerifiedPiece, identify};
use feiqian_crypto::{Digest, Transcript};
use feiqian_money::{Amount, Currency, Minor};
use feiqian_offline_cash::identity::{
    Account, AttestedIdentity, IdentityRecord, Registrant, Registration, SignedIdentity,
};
use feiqian_offline_cash::keyset::{
    KeyBook, Keyset, Kind, OfflineKey, Times, VerifiedKey, VerifiedKeyset, depth_of,
};
use feiqian_offline_cash::seed::Seed;
use feiqian_offline_cash::signed::WireChain;
use feiqian_offline_cash::withdraw::{
    AnsweredSession, Coin, CommitRequest, CommitResponse, Customer, ExpectAnnouncements, ExpectCommitments,
    FinishRequest, OpenSession, PendingWithdrawal, SignedWithdrawal, outputs_of,
};
use feiqian_pki::{Authority, CertificateRequest, Chain, KeyPair, Purpose, Subject, TrustedRoot};
use feiqian_wire::{Blob, Bounded, Name, Text, Timestamp};
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
    Transcript::new("tests").text(text).into_digest()
}

pub(crate) fn stream(seed: u64) -> ChaCha12Rng {
    ChaCha12Rng::seed_from_u64(seed)
}

pub(crate) const TIMES: Times = Times {
    issue_from: Timestamp::new(NOW),
    issue_until: Timestamp::new(NOW + 30 * DAY),
    pay_until: Timestamp::new(NOW + 120 * DAY),
    deposit_until: Timestamp::new(NOW + 150 * DAY),
    reclaim_until: Timestamp::new(NOW + 180 * DAY),
};

/// Secret keys for blanks and for values 2⁰ … 2^`exponents`.
pub(crate) fn fresh_keys(exponents: u32, rng: &mut ChaCha12Rng) -> (Vec<SecretKey>, Vec<OfflineKey>) {
    let values = (0..=exponents).map(|exponent| (Kind::Value, minor(1 << exponent)));
    let kinds = std::iter::once((Kind::Blank, minor(0))).chain(values);
    kinds
        .map(|(kind, value)| {
            let depth = depth_of(kind, value).unwrap();
            let secret = SecretKey::generate(depth, rng);
            let key = *secret.public().encoded();
            (secret, OfflineKey { kind, value, depth, key })
        })
        .unzip()
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

pub(crate) struct Bank {
    pub(crate) name: Name,
    pub(crate) authority: Authority,
    pub(crate) signer: KeyPair,
    pub(crate) chain: WireChain,
    pub(crate) secrets: Vec<SecretKey>,
    pub(crate) keyset: Keyset,
    pub(crate) verified: VerifiedKeyset,
}

impl Bank {
    fn new(bank: &str, center: &Authority, exponents: u32, rng: &mut ChaCha12Rng) -> Self {
        let subject = Subject::bank(bank).unwrap();
        let key = KeyPair::generate(rng);
        let request = CertificateRequest::create(&key, &subject).unwrap();
        let request = CertificateRequest::verify(&request).unwrap();
        let chain = center.issue_bank_authority(&request, bank, NOW, rng).unwrap();
        let authority = Authority::from_parts(key, chain).unwrap();
        let signer = KeyPair::generate(rng);
        let chain = WireChain::from_chain(&certify(&signer, &subject, &authority, rng)).unwrap();
        let (secrets, keys) = fresh_keys(exponents, rng);
        let keyset = Keyset::sign(&signer, name(bank), 0, Currency::CNY, TIMES, keys).unwrap();
        let verified = keyset.clone().verify(&signer.public_key()).unwrap();
        Self { name: name(bank), authority, signer, chain, secrets, keyset, verified }
    }

    /// The key of blanks (0) or of value 2^(place - 1).
    pub(crate) fn key(&self, place: usize) -> &VerifiedKey {
        &self.verified.keys[place]
    }

    pub(crate) fn open(&self, person: &Person, session: &Digest, places: &[usize]) -> ExpectCommitments {
        let keys: Vec<_> = places.iter().map(|place| self.key(*place)).collect();
        ExpectCommitments::new(self.name.clone(), person.account.clone(), *session, &keys).unwrap()
    }
}

pub(crate) struct Person {
    pub(crate) bank: Name,
    pub(crate) account: Account,
    pub(crate) seed: Seed,
    pub(crate) secret: IdentitySecret,
    pub(crate) signer: KeyPair,
    pub(crate) chain: WireChain,
    pub(crate) attested: AttestedIdentity,
}

impl Person {
    pub(crate) fn customer(&self) -> Customer<'_> {
        Customer { seed: &self.seed, identity: &self.secret, bank: &self.bank, account: &self.account }
    }
}

pub(crate) struct World {
    pub(crate) rng: ChaCha12Rng,
    pub(crate) root: TrustedRoot,
    pub(crate) center: KeyPair,
    pub(crate) center_chain: WireChain,
    pub(crate) north: Bank,
    pub(crate) south: Bank,
    pub(crate) book: KeyBook,
}

/// A session with everything that both sides said and keep.
pub(crate) struct Drawn {
    pub(crate) coins: Vec<Coin>,
    pub(crate) signed: SignedWithdrawal,
    pub(crate) answered: AnsweredSession,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = stream(seed);
        let authority = Authority::root("center", KeyPair::generate(&mut rng), NOW, &mut rng).unwrap();
        let center = KeyPair::generate(&mut rng);
        let center_chain = certify(&center, &Subject::center("center").unwrap(), &authority, &mut rng);
        let center_chain = WireChain::from_chain(&center_chain).unwrap();
        let north = Bank::new("north", &authority, 6, &mut rng);
        let south = Bank::new("south", &authority, 3, &mut rng);
        let root = authority.trusted_root().unwrap();
        let mut book = KeyBook::new();
        for bank in [&north, &south] {
            let keyset = bank.keyset.clone().verify_with_chain(&bank.chain, at(NOW), &root).unwrap();
            book.add(keyset).unwrap();
        }
        Self { rng, root, center, center_chain, north, south, book }
    }

    pub(crate) fn record(
        bank: &Bank,
        account: &Account,
        secret: &IdentitySecret,
        key: &KeyPair,
    ) -> IdentityRecord {
        IdentityRecord {
            bank: bank.name.clone(),
            account: account.clone(),
            identity: *secret.public(),
            signing_key: Blob::new(key.public_key().to_vec()).unwrap(),
            collateral: Amount::new(minor(10_000), Currency::CNY),
        }
    }

    /// Enrols and registers a customer, every check on the way.
    pub(crate) fn person(&mut self, bank: &str, who: u8) -> Person {
        let bank = if bank == "north" { &self.north } else { &self.south };
        let account: Account = Text::new(format!("{who:032x}")).unwrap();
        let signer = KeyPair::generate(&mut self.rng);
        let subject = Subject::customer(account.as_str(), bank.name.as_str()).unwrap();
        let chain = certify(&signer, &subject, &bank.authority, &mut self.rng);
        let chain = WireChain::from_chain(&chain).unwrap();
        let seed = Seed::from_bytes([who; 64]);
        let secret = seed.identity(bank.name.as_str(), account.as_str()).unwrap();
        let key = signer.public_key();
        let registrant =
            Registrant { bank: bank.name.as_str(), account: account.as_str(), signing_key: &key };
        Registration::new(&secret, &registrant, &mut self.rng).verify(&registrant).unwrap();
        let record = Self::record(bank, &account, &secret, &signer);
        let bank = bank.name.clone();
        let signed = SignedIdentity::sign(record, &signer, chain.clone()).unwrap();
        let attested = self.attest(signed);
        attested.verify(&self.root).unwrap();
        Person { bank, account, seed, secret, signer, chain, attested }
    }

    pub(crate) fn attest(&self, identity: SignedIdentity) -> AttestedIdentity {
        let chain = self.center_chain.clone();
        AttestedIdentity::attest(identity, at(NOW), &self.center, chain, &self.root).unwrap()
    }

    pub(crate) fn bank(&self, person: &Person) -> &Bank {
        if person.bank == self.north.name { &self.north } else { &self.south }
    }

    /// The wallet's first two steps and the bank's first, for coins under the keys at `places`.
    pub(crate) fn begin(
        &mut self,
        person: &Person,
        session: &Digest,
        places: &[usize],
    ) -> (ExpectAnnouncements, OpenSession, CommitRequest, CommitResponse) {
        let mut rng = stream(self.rng_seed());
        let bank = self.bank(person);
        let keys: Vec<_> = places.iter().map(|place| bank.key(*place)).collect();
        let (expect, request) =
            ExpectAnnouncements::begin(&person.customer(), &keys, session, |_| false, &mut rng).unwrap();
        let waiting = bank.open(person, session, places);
        let (open, response) = waiting.announce(person.secret.public(), &request, &mut rng).unwrap();
        (expect, open, request, response)
    }

    fn rng_seed(&mut self) -> u64 {
        rand_core::Rng::next_u64(&mut self.rng)
    }

    pub(crate) fn pend(
        &mut self,
        person: &Person,
        session: &Digest,
        places: &[usize],
    ) -> (PendingWithdrawal, OpenSession, FinishRequest, CommitResponse) {
        let (expect, open, _, response) = self.begin(person, session, places);
        let customer = person.customer();
        let (pending, request) = expect.challenge(&customer, &response, |_| false, &person.signer).unwrap();
        (pending, open, request, response)
    }

    /// Withdraws coins under the keys at `places`: 0 for a blank, else value 2^(place - 1).
    pub(crate) fn draw(&mut self, person: &Person, session: &str, places: &[usize]) -> Drawn {
        let session = digest(session);
        let (pending, open, request, response) = self.pend(person, &session, places);
        let bank = self.bank(person);
        let accepted = open.accept(&request, &person.signer.public_key()).unwrap();
        let secrets: Vec<_> = places.iter().map(|place| &bank.secrets[*place]).collect();
        let commitments = open.commitments().to_vec();
        let answers = open.answer(&secrets, &accepted).unwrap();
        let ids: Vec<_> = places.iter().map(|place| bank.key(*place).id).collect();
        let answered = AnsweredSession {
            session,
            outputs: outputs_of(&ids).unwrap(),
            commitments: Bounded::new(commitments).unwrap(),
            announcements: response.announcements,
            challenges: request.challenges,
            answers: answers.answers.clone(),
        };
        Drawn { coins: pending.finish(&answers).unwrap(), signed: accepted.signed().clone(), answered }
    }
}

/// Two answers for one coin's root under different challenges: what a modified wallet gives.
pub(crate) fn answer_twice(coin: &Coin, key: &VerifiedKey) -> [VerifiedPiece; 2] {
    ["one payee", "another payee"].map(|payee| {
        let challenge = Transcript::new("tests/answer").text(payee).into_scalar();
        let piece = coin.tree.spend_again(feiqian_crypto::share_tree::Node::ROOT, &challenge).unwrap();
        piece.verify(&key.public, &challenge).unwrap()
    })
}

pub(crate) fn expose(coin: &Coin, key: &VerifiedKey) -> Opening {
    let [one, other] = answer_twice(coin, key);
    identify(&[&one, &other]).unwrap().unwrap()
}
