//! The offline side of the test bank: pinned keys, coins in a wallet's hands, a register of deposits.

use std::collections::{BTreeMap, BTreeSet};

use feiqian_clearing::presentment::{ItemKind, presentment_id};
use feiqian_crypto::Digest;
use feiqian_crypto::acl::{
    Blinding, CommitmentSecret, IdentitySecret, SecretKey, Slot, announce, verify_opening,
};
use feiqian_crypto::share_tree::{SecretTree, TreeBuilder, TreeSeed};
use feiqian_money::{Currency, Minor};
use feiqian_node::MemberView;
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::deposit::{Outcome, Part, Receipt, ReceiptTerms, Source, settle_payment};
use feiqian_offline_cash::holding::{History, Unspent};
use feiqian_offline_cash::keyset::{Keys as _, Keyset, Kind, OfflineKey, Times, depth_of};
use feiqian_offline_cash::messages::{
    DepositResponse, Exposed, ExposedRequest, ExposedResponse, OfflinePinEntry, OfflinePinsRequest,
    OfflinePinsResponse, SignedExposed,
};
use feiqian_offline_cash::pay::{CashItem, Checker, Payment, pay};
use feiqian_offline_cash::register::{Deposited, Register};
use feiqian_offline_cash::request::SignedRequest;
use feiqian_offline_cash::signed::WireChain;
use feiqian_pki::KeyPair;
use feiqian_wire::error::Fault;
use feiqian_wire::{Bounded, Timestamp, U64};
use rand::rngs::ChaCha12Rng;

use crate::bank::{DAY, NOW, TOKEN, TestBank, name, rng};

pub(crate) struct OfflineBooks {
    keyset: Keyset,
    secrets: Vec<SecretKey>,
    registers: BTreeMap<Digest, Register>,
    receipts: BTreeMap<Digest, Receipt>,
    /// How often a deposit arrived.
    pub(crate) asked: usize,
    /// What the bank says instead of the truth.
    pub(crate) lie: Option<Outcome>,
    /// It has deposits on their way for ever.
    pub(crate) slow: bool,
    exposed: BTreeSet<Digest>,
    exposed_at: u64,
}

/// A coin in a wallet's store, which a cheat reads as often as it likes.
pub(crate) struct Coin {
    place: usize,
    bytes: [u8; SecretTree::STORED_LENGTH],
    pub(crate) message: Digest,
}

impl OfflineBooks {
    pub(crate) fn new(signer: &KeyPair, rng: &mut ChaCha12Rng) -> Self {
        let values = (0..9_u32).map(|exponent| (Kind::Value, Minor::new(1 << exponent).unwrap()));
        let (mut keys, mut secrets) = (Vec::new(), Vec::new());
        for (kind, value) in std::iter::once((Kind::Blank, Minor::ZERO)).chain(values) {
            let depth = depth_of(kind, value).unwrap();
            let secret = SecretKey::generate(depth, rng);
            keys.push(OfflineKey { kind, value, depth, key: *secret.public().encoded() });
            secrets.push(secret);
        }
        let day = |days: u64| Timestamp::new(NOW + days * DAY);
        let times = Times {
            issue_from: day(0),
            issue_until: day(5),
            pay_until: day(20),
            deposit_until: day(30),
            reclaim_until: day(40),
        };
        Self {
            keyset: Keyset::sign(signer, name(), 0, Currency::CNY, times, keys).unwrap(),
            secrets,
            registers: BTreeMap::new(),
            receipts: BTreeMap::new(),
            asked: 0,
            lie: None,
            slow: false,
            exposed: BTreeSet::new(),
            exposed_at: NOW,
        }
    }

    /// How many payments were redeemed.
    pub(crate) fn redeemed(&self) -> usize {
        self.receipts.len()
    }
}

impl TestBank {
    fn offline_entry(&self) -> OfflinePinEntry {
        let signer = WireChain::from_chain(&self.signer_chain).unwrap();
        let keyset = self.offline.lock().unwrap().keyset.clone();
        OfflinePinEntry { pinned_at: Timestamp::new(NOW), keyset, signer }
    }

    fn offline_view(&self) -> MemberView {
        let now = Timestamp::new(NOW);
        let view = MemberView::restore(self.root.clone(), &self.directory(), vec![self.entry()], now);
        view.unwrap().with_offline(vec![self.offline_entry()]).unwrap()
    }

    pub(crate) fn pins(&self, request: OfflinePinsRequest) -> OfflinePinsResponse {
        let entries = if request.from == U64(0) { vec![self.offline_entry()] } else { Vec::new() };
        OfflinePinsResponse { entries: Bounded::new(entries).unwrap() }
    }

    pub(crate) fn exposed(&self, request: &ExposedRequest) -> ExposedResponse {
        let books = self.offline.lock().unwrap();
        let (coins, as_of) = (books.exposed.iter().copied().collect(), Timestamp::new(books.exposed_at));
        let list = Exposed { bank: name(), as_of, coins: Bounded::new(coins).unwrap() };
        let list = SignedExposed::sign(list, &self.signer).unwrap();
        let lists = if request.after.is_empty() { vec![list] } else { Vec::new() };
        ExposedResponse { as_of, lists: Bounded::new(lists).unwrap() }
    }

    pub(crate) fn expose(&self, coin: &Coin, at: u64) {
        let mut books = self.offline.lock().unwrap();
        books.exposed.insert(coin.message);
        books.exposed_at = at;
    }

    /// Issues a coin of 2^`exponent` minor units.
    pub(crate) fn offline_coin(&self, exponent: usize, seed: u64) -> Coin {
        let mut rng = rng(seed);
        let (books, place) = (self.offline.lock().unwrap(), exponent + 1);
        let (secret, person) = (&books.secrets[place], IdentitySecret::generate(&mut rng));
        let builder = TreeBuilder::new(secret.public());
        let session = seed.to_be_bytes();
        let slot = Slot { bank: b"north", account: b"payer", session: &session, index: 0 };
        let context = slot.opening_context(secret.public());
        let commitment = person.commit(CommitmentSecret::random(&mut rng));
        let encoded = *commitment.encoded();
        let proof = commitment.prove(&context, &mut rng);
        let proven = verify_opening(person.public(), &encoded, &proof, &context).unwrap();
        let (answers, announcement) = announce(secret.public(), &proven, &mut rng);
        let tree = builder.build(TreeSeed::random(&mut rng));
        let blinding = Blinding::random(&mut rng);
        let (pending, challenge) = tree.begin(commitment, &announcement, blinding).unwrap();
        let coin = pending.finish(&answers.respond(secret, &challenge)).unwrap();
        Coin { place, bytes: *coin.export(), message: *coin.message() }
    }

    /// All of a coin, whatever was spent of it.
    pub(crate) fn pieces(&self, coin: &Coin) -> Vec<Unspent> {
        let view = self.offline_view();
        let secrets = &self.offline.lock().unwrap().secrets;
        let tree = SecretTree::import(&TreeBuilder::new(secrets[coin.place].public()), &coin.bytes).unwrap();
        let key = &view.offline_keys().keysets()[0].keys[coin.place];
        Unspent::of_coin(tree, key, History::Complete(&[])).unwrap()
    }

    /// A wallet's payment of a request with these pieces.
    pub(crate) fn pay_offline(&self, request: &SignedRequest, pieces: Vec<Unspent>) -> Payment {
        let (view, now) = (self.offline_view(), Timestamp::new(NOW));
        let verified = request.verify(&view, now).unwrap();
        pay(&verified, pieces, now).unwrap().release_after_storing()
    }

    pub(crate) fn deposit_offline(&self, item: &CashItem) -> Result<DepositResponse, Fault> {
        if let Some(fault) = self.fault.lock().unwrap().clone() {
            return Err(fault);
        }
        let view = self.offline_view();
        let mut books = self.offline.lock().unwrap();
        books.asked += 1;
        let presentment = presentment_id("north", TOKEN, ItemKind::Holding, &item.digest()?);
        if books.slow {
            return Ok(DepositResponse::Pending { presentment });
        }
        if let Some(lie) = books.lie.clone() {
            return Ok(DepositResponse::Final(lie));
        }
        let now = Timestamp::new(NOW);
        let checker = Checker { keys: view.offline_keys(), authorities: &view, now };
        let payment = checker.verify(item, &mut rng(3))?;
        if let Some(receipt) = books.receipts.get(&payment.set) {
            return Ok(DepositResponse::Final(Outcome::Settled(receipt.clone())));
        }
        let registers = &mut books.registers;
        let settlements = settle_payment::<Rejection>(&payment, |coin, interval| {
            Ok(registers.get(coin).map_or(vec![], |known| known.overlapping(interval).cloned().collect()))
        })?;
        let mut parts = Vec::new();
        for ((piece, chain), settlement) in (0..).zip(&payment.chains).zip(&settlements) {
            let value = view.offline_keys().key(chain.hops()[0].key())?.value;
            let register = registers.entry(*chain.coin().unwrap());
            register.or_insert_with(|| Register::new(value).unwrap()).deposit(Deposited::of(chain)?)?;
            let unpaid = Source::Unpaid { claim: payment.set };
            for (units, source) in
                [(settlement.circulation, Source::Circulation), (settlement.charged(), unpaid)]
            {
                if units > 0 {
                    parts.push(Part { piece, amount: Minor::new(units).unwrap(), source });
                }
            }
        }
        let receipt = ReceiptTerms::new(&payment, presentment, parts, now)?.sign(&self.signer)?;
        books.receipts.insert(payment.set, receipt.clone());
        Ok(DepositResponse::Final(Outcome::Settled(receipt)))
    }
}
