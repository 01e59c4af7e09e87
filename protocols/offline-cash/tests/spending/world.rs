//! Two banks, people with coins and blanks, a shop.

use std::collections::{BTreeMap, BTreeSet};

use feiqian_crypto::acl::{
    Blinding, CommitmentSecret, Identity, IdentitySecret, SecretKey, Slot, announce, verify_opening,
};
use feiqian_crypto::share_tree::{Node, SecretTree, TreeBuilder, TreeSeed, identify};
use feiqian_crypto::{Digest, Transcript};
use feiqian_money::{Amount, Currency, Minor};
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::chain::{Blank, KeysetView};
use feiqian_offline_cash::deposit::settle_payment;
use feiqian_offline_cash::held::Held;
use feiqian_offline_cash::holding::{History, Holding, Unspent};
use feiqian_offline_cash::keyset::{
    KeyBook, Keyset, Kind, OfflineKey, Times, VerifiedKey, VerifiedKeyset, depth_of,
};
use feiqian_offline_cash::pay::{CashItem, Checker, VerifiedPayment, pay};
use feiqian_offline_cash::policy::{Counter, Exposed, Policy};
use feiqian_offline_cash::register::{Charge, Deposited, Mark, Register, Settlement};
use feiqian_offline_cash::request::{Authorities, PaymentRequest, SignedRequest, VerifiedRequest};
use feiqian_offline_cash::transfer::{ConfirmedOffer, Offer, OpenOffer, Transfer, pass};
use feiqian_offline_cash::verify::{VerifiedChain, VerifiedHop};
use feiqian_pki::{KeyPair, Purpose, Serial, Subject, Verified, fingerprint};
use feiqian_wire::{Blob, Bounded, Name, Text, Timestamp};
use rand::SeedableRng as _;
use rand::rngs::ChaCha12Rng;

pub(crate) const NOW: u64 = 1_767_225_600;
pub(crate) const DAY: u64 = 86_400;
const LEAF: &[u8] = b"a leaf certificate, DER";

pub(crate) const TIMES: Times = Times {
    issue_from: Timestamp::new(NOW),
    issue_until: Timestamp::new(NOW + 30 * DAY),
    pay_until: Timestamp::new(NOW + 120 * DAY),
    deposit_until: Timestamp::new(NOW + 150 * DAY),
    reclaim_until: Timestamp::new(NOW + 180 * DAY),
};

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

pub(crate) fn yuan(value: u64) -> Amount {
    Amount::new(minor(value), Currency::CNY)
}

/// Believes in one merchant.
pub(crate) struct Known(Verified);

impl Authorities for Known {
    fn payee(&self, leaf: &[u8], _: &Digest, _: Timestamp) -> Result<Verified, Rejection> {
        match leaf == LEAF {
            true => Ok(self.0.clone()),
            false => Err(Rejection::CertificateInvalid("unknown".into())),
        }
    }
}

pub(crate) struct Bank {
    secrets: Vec<SecretKey>,
    builders: Vec<TreeBuilder>,
    pub(crate) verified: VerifiedKeyset,
}

impl Bank {
    /// With keys for blanks and for values 2⁰ … 2^`exponents`.
    pub(crate) fn new(
        bank: &str,
        currency: Currency,
        exponents: u32,
        times: Times,
        rng: &mut ChaCha12Rng,
    ) -> Self {
        let values = (0..=exponents).map(|exponent| (Kind::Value, minor(1 << exponent)));
        let kinds = std::iter::once((Kind::Blank, minor(0))).chain(values);
        let (secrets, keys): (Vec<_>, Vec<_>) = kinds
            .map(|(kind, value)| {
                let depth = depth_of(kind, value).unwrap();
                let secret = SecretKey::generate(depth, rng);
                let key = *secret.public().encoded();
                (secret, OfflineKey { kind, value, depth, key })
            })
            .unzip();
        let signer = KeyPair::generate(rng);
        let keyset = Keyset::sign(&signer, name(bank), 0, currency, times, keys).unwrap();
        let verified = keyset.verify(&signer.public_key()).unwrap();
        let builders = secrets.iter().map(|secret| TreeBuilder::new(secret.public())).collect();
        Self { secrets, builders, verified }
    }

    pub(crate) fn view(&self) -> KeysetView {
        let keyset = &self.verified.keyset;
        KeysetView { bank: keyset.bank.clone(), epoch: keyset.epoch, digest: self.verified.digest }
    }
}

/// A coin in a wallet's store, which can be read as often as a cheat likes.
#[derive(Clone)]
pub(crate) struct StoredCoin {
    pub(crate) bank: usize,
    pub(crate) place: usize,
    bytes: [u8; SecretTree::STORED_LENGTH],
    pub(crate) message: Digest,
}

pub(crate) struct Person {
    pub(crate) secret: IdentitySecret,
}

impl Person {
    pub(crate) fn identity(&self) -> Identity {
        *self.secret.public()
    }
}

pub(crate) struct World {
    pub(crate) rng: ChaCha12Rng,
    pub(crate) banks: Vec<Bank>,
    pub(crate) book: KeyBook,
    pub(crate) shop: KeyPair,
    pub(crate) known: Known,
    pub(crate) policy: Policy,
    pub(crate) exposed: Exposed,
    pub(crate) held: Held,
    pub(crate) registers: BTreeMap<Digest, Register>,
    pub(crate) deposited: Vec<VerifiedPayment>,
    counter: u64,
}

pub(crate) const NORTH: usize = 0;
pub(crate) const SOUTH: usize = 1;

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let north = Bank::new("north", Currency::CNY, 6, TIMES, &mut rng);
        let south = Bank::new("south", Currency::CNY, 4, TIMES, &mut rng);
        let mut book = KeyBook::new();
        book.add(north.verified.clone()).unwrap();
        book.add(south.verified.clone()).unwrap();
        let shop = KeyPair::generate(&mut rng);
        let known = Known(Verified {
            subject: Subject::merchant("shop", "south").unwrap(),
            purpose: Purpose::Signing,
            public_key: shop.public_key(),
            serial: Serial::from_slice(&[0x41; 16]).unwrap(),
            fingerprint: fingerprint(LEAF),
            not_before: NOW,
            not_after: NOW + DAY,
        });
        Self {
            rng,
            banks: vec![north, south],
            book,
            shop,
            known,
            policy: Policy::default(),
            exposed: Exposed { as_of: at(NOW), coins: BTreeSet::new() },
            held: Held::new(),
            registers: BTreeMap::new(),
            deposited: Vec::new(),
            counter: 0,
        }
    }

    pub(crate) fn fresh(&mut self) -> Digest {
        self.counter += 1;
        digest(&format!("fresh {}", self.counter))
    }

    /// Weights for checking.
    pub(crate) fn dice(&self) -> ChaCha12Rng {
        ChaCha12Rng::seed_from_u64(self.counter)
    }

    pub(crate) fn person(&mut self) -> Person {
        Person { secret: IdentitySecret::generate(&mut self.rng) }
    }

    pub(crate) fn key(&self, bank: usize, place: usize) -> &VerifiedKey {
        &self.banks[bank].verified.keys[place]
    }

    /// Withdraws a coin of 2^`exponent`.
    pub(crate) fn coin(&mut self, bank: usize, person: &Person, exponent: usize) -> StoredCoin {
        self.withdraw(bank, person, exponent + 1)
    }

    /// Withdraws a blank.
    pub(crate) fn blank(&mut self, bank: usize, person: &Person) -> StoredCoin {
        self.withdraw(bank, person, 0)
    }

    fn withdraw(&mut self, bank: usize, person: &Person, place: usize) -> StoredCoin {
        let session = self.fresh();
        let Self { rng, banks, .. } = self;
        let (secret, builder) = (&banks[bank].secrets[place], &banks[bank].builders[place]);
        let slot = Slot { bank: b"bank", account: b"account", session: session.as_bytes(), index: 0 };
        let context = slot.opening_context(secret.public());
        let commitment = person.secret.commit(CommitmentSecret::random(rng));
        let encoded = *commitment.encoded();
        let proof = commitment.prove(&context, rng);
        let proven = verify_opening(person.secret.public(), &encoded, &proof, &context).unwrap();
        let (answers, announcement) = announce(secret.public(), &proven, rng);
        let tree = builder.build(TreeSeed::random(rng));
        let (pending, challenge) = tree.begin(commitment, &announcement, Blinding::random(rng)).unwrap();
        let coin = pending.finish(&answers.respond(secret, &challenge)).unwrap();
        StoredCoin { bank, place, bytes: *coin.export(), message: *coin.message() }
    }

    /// Reads a coin from the store.
    pub(crate) fn read(&self, coin: &StoredCoin) -> SecretTree {
        SecretTree::import(&self.banks[coin.bank].builders[coin.place], &coin.bytes).unwrap()
    }

    pub(crate) fn open(&self, coin: &StoredCoin, answers: &[Mark]) -> Vec<Unspent> {
        let key = self.key(coin.bank, coin.place);
        Unspent::of_coin(self.read(coin), key, History::Complete(answers)).unwrap()
    }

    pub(crate) fn open_holding(&self, holding: &Holding, blank: &StoredCoin) -> Vec<Unspent> {
        let key = self.key(blank.bank, blank.place);
        holding.clone().open(self.read(blank), key, History::Complete(&[])).unwrap()
    }

    pub(crate) fn views(&self) -> Bounded<KeysetView, 16> {
        Bounded::new(self.banks.iter().map(Bank::view).collect()).unwrap()
    }

    pub(crate) fn terms(&mut self, amount: u64) -> PaymentRequest {
        PaymentRequest {
            leaf: Blob::new(LEAF).unwrap(),
            issuer: digest("authority"),
            name: Text::new("The shop at the corner").unwrap(),
            amount: yuan(amount),
            order: Text::new("order 7").unwrap(),
            bank: name("south"),
            account: Text::new("shop").unwrap(),
            till: Text::new("till 3").unwrap(),
            keysets: self.views(),
            expires: at(NOW + 600),
            nonce: self.fresh(),
        }
    }

    pub(crate) fn sign(&self, request: PaymentRequest) -> (SignedRequest, VerifiedRequest) {
        let signed = SignedRequest::sign(request, &self.shop).unwrap();
        let verified = signed.verify(&self.known, at(NOW)).unwrap();
        (signed, verified)
    }

    pub(crate) fn request(&mut self, amount: u64) -> (SignedRequest, VerifiedRequest) {
        let terms = self.terms(amount);
        self.sign(terms)
    }

    /// Pays all of the pieces, as they are.
    pub(crate) fn pay(&mut self, pieces: Vec<Unspent>) -> CashItem {
        let amount = pieces.iter().map(|piece| piece.value().value()).sum();
        let (signed, verified) = self.request(amount);
        let payment = pay(&verified, pieces, at(NOW)).unwrap().release_after_storing();
        CashItem { request: signed, payment }
    }

    pub(crate) fn checker(&self) -> Checker<'_> {
        Checker { keys: &self.book, authorities: &self.known, now: at(NOW) }
    }

    pub(crate) fn verify(&self, item: &CashItem) -> Result<VerifiedPayment, Rejection> {
        self.checker().verify(item, &mut self.dice())
    }

    pub(crate) fn counter(&self) -> Counter<'_> {
        let Self { book, policy, exposed, held, .. } = self;
        Counter { keys: book, policy, exposed, held, now: at(NOW) }
    }

    pub(crate) fn offer(&self, amount: u64, blanks: &[&StoredCoin]) -> Offer {
        let blank = |blank: &&StoredCoin| Blank { key: self.key(blank.bank, 0).id, message: blank.message };
        Offer {
            amount: yuan(amount),
            blanks: Bounded::new(blanks.iter().map(blank).collect()).unwrap(),
            keysets: self.views(),
            expires: at(NOW + 600),
        }
    }

    /// The whole handshake; both see one code.
    pub(crate) fn confirm(&mut self, offer: Offer) -> (OpenOffer, ConfirmedOffer) {
        let (pending, commitment) = offer.commit(&self.book, &mut self.rng).unwrap();
        let (expect, nonce) = commitment.answer(&mut self.rng);
        let (open, opening, code) = pending.open(&nonce);
        let shown = expect.check(opening, &self.book).unwrap();
        assert_eq!(shown.code(), code);
        (open, shown.codes_agree())
    }

    /// Makes a transfer of all of the pieces to blanks.
    pub(crate) fn make_transfer(
        &mut self,
        pieces: Vec<Unspent>,
        blanks: &[&StoredCoin],
    ) -> (OpenOffer, Transfer) {
        let amount = pieces.iter().map(|piece| piece.value().value()).sum();
        let (open, confirmed) = self.confirm(self.offer(amount, blanks));
        let transfer = pass(confirmed, pieces, at(NOW), &mut self.rng).unwrap().release_after_storing();
        (open, transfer)
    }

    /// Passes one piece to a person's fresh blank.
    pub(crate) fn hand(&mut self, piece: Unspent, to: &Person, bank: usize) -> (Holding, StoredCoin) {
        let blank = self.blank(bank, to);
        let holding = self.hand_to(piece, &blank);
        (holding, blank)
    }

    pub(crate) fn hand_to(&mut self, piece: Unspent, blank: &StoredCoin) -> Holding {
        let (open, transfer) = self.make_transfer(vec![piece], &[blank]);
        let rng = &mut self.dice();
        let mut received = open.receive(&transfer, &BTreeSet::new(), &self.counter(), rng).unwrap();
        received.pop().unwrap()
    }

    /// The issuing bank takes a payment.
    pub(crate) fn deposit(&mut self, item: &CashItem) -> Vec<Settlement> {
        let payment = self.verify(item).unwrap();
        let settlements = settle_payment::<Rejection>(&payment, |coin, interval| {
            Ok(self
                .registers
                .get(coin)
                .map_or(vec![], |known| known.overlapping(interval).cloned().collect()))
        });
        let settlements = settlements.unwrap();
        for (chain, settlement) in payment.chains.iter().zip(&settlements) {
            let value = self.book_value(chain);
            let register = self.registers.entry(*chain.coin().unwrap());
            let register = register.or_insert_with(|| Register::new(value).unwrap());
            assert_eq!(register.deposit(Deposited::of(chain).unwrap()).unwrap(), *settlement);
        }
        self.deposited.push(payment);
        settlements
    }

    fn book_value(&self, chain: &VerifiedChain) -> Minor {
        use feiqian_offline_cash::keyset::Keys as _;
        self.book.key(chain.hops()[0].key()).unwrap().value
    }

    fn hop(&self, mark: &Mark) -> &VerifiedHop {
        let hops = self.deposited.iter().flat_map(|payment| &payment.chains).flat_map(|chain| chain.hops());
        hops.into_iter().find(|hop| Mark::from(*hop) == *mark).unwrap()
    }

    /// Whom a charge names, from the pieces themselves.
    pub(crate) fn named(&self, charge: &Charge) -> Identity {
        let pieces = [self.hop(&charge.answer).piece(), self.hop(&charge.before).piece()];
        identify(&pieces).unwrap().unwrap().identity().unwrap()
    }
}

pub(crate) fn circulation(settlements: &[Settlement]) -> u64 {
    settlements.iter().map(|settlement| settlement.circulation).sum()
}

pub(crate) fn charges(settlements: &[Settlement]) -> Vec<Charge> {
    settlements.iter().flat_map(|settlement| settlement.charges.clone()).collect()
}

/// Cuts a part of the coin all the way to these exponents, dropping the rest.
pub(crate) fn cut(parts: Vec<Unspent>, exponents: &[u32]) -> (Vec<Unspent>, Vec<Unspent>) {
    let [part] = <[Unspent; 1]>::try_from(parts).unwrap();
    part.cut(exponents).unwrap()
}

/// The unspent part that is exactly this node.
pub(crate) fn take(parts: Vec<Unspent>, node: Node) -> Unspent {
    let mut parts = parts;
    loop {
        let place = parts.iter().position(|part| {
            let own = part.place().node;
            own == node || node.ancestors().any(|above| above == own)
        });
        let part = parts.swap_remove(place.unwrap());
        if part.place().node == node {
            return part;
        }
        parts.extend(part.divide().unwrap());
    }
}
