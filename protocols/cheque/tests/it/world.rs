//! A center, two banks and their people.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use feiqian_cheque::block::Block;
use feiqian_cheque::steps::Mandate;
use feiqian_cheque::{
    Allotment, Attachment, Bundle, ChequeError, Drawn, Order, Outcome, Payee, PayeeKey, Rejection, Signer,
    Trust, VerifiedCheque, draw, submit, verify,
};
use feiqian_crypto::Digest;
use feiqian_money::{Amount, Currency};
use feiqian_pki::{
    Authority, CertificateRequest, Chain, KeyPair, Purpose, RevocationList, RevocationReason, Revoked,
    Subject, TrustedRoot,
};
use feiqian_wire::{Name, Text, Timestamp, U64};
use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;

/// 2026-12-01T10:00:00Z.
pub(crate) const NOW: u64 = 1_796_119_200;
pub(crate) const DAY: u64 = 86_400;
pub(crate) const LEAF: u64 = 365 * DAY;

pub(crate) struct Person {
    pub(crate) key: KeyPair,
    pub(crate) chain: Chain,
    pub(crate) bank: &'static str,
    pub(crate) token: &'static str,
}

pub(crate) struct World {
    pub(crate) rng: ChaCha12Rng,
    pub(crate) center: Authority,
    pub(crate) north: Authority,
    pub(crate) south: Authority,
    pub(crate) root: TrustedRoot,
    pub(crate) lists: Vec<RevocationList>,
    pub(crate) alice: Person,
    pub(crate) dave: Person,
    pub(crate) erin: Person,
    pub(crate) bob: Person,
    pub(crate) carol: Person,
    pub(crate) north_bank: Person,
    pub(crate) south_bank: Person,
    pub(crate) center_signer: Person,
}

pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::new(seconds)
}

pub(crate) fn text<const MAX: usize>(text: &str) -> Text<MAX> {
    Text::new(text).unwrap()
}

pub(crate) fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

fn request(key: &KeyPair, subject: &Subject) -> CertificateRequest {
    CertificateRequest::verify(&CertificateRequest::create(key, subject).unwrap()).unwrap()
}

fn bank_authority(center: &Authority, bank: &str, rng: &mut ChaCha12Rng) -> Authority {
    let key = KeyPair::generate(rng);
    let request = request(&key, &Subject::bank(bank).unwrap());
    let chain = center.issue_bank_authority(&request, bank, NOW - DAY, rng).unwrap();
    Authority::from_parts(key, chain).unwrap()
}

pub(crate) fn leaf(
    authority: &Authority,
    subject: &Subject,
    purpose: Purpose,
    from: u64,
    validity: u64,
    rng: &mut ChaCha12Rng,
) -> (KeyPair, Chain) {
    let key = KeyPair::generate(rng);
    let request = request(&key, subject);
    let chain = authority.issue_leaf(&request, subject, purpose, &[], validity, from, rng).unwrap();
    (key, chain)
}

pub(crate) fn lists(
    center: &[Revoked],
    north: &[Revoked],
    south: &[Revoked],
    world: &World,
    now: u64,
) -> Vec<RevocationList> {
    vec![
        world.center.issue_crl(center, 1, now, now + DAY).unwrap(),
        world.north.issue_crl(north, 1, now, now + DAY).unwrap(),
        world.south.issue_crl(south, 1, now, now + DAY).unwrap(),
    ]
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let key = KeyPair::generate(&mut rng);
        let center = Authority::root("center", key, NOW - DAY, &mut rng).unwrap();
        let north = bank_authority(&center, "north", &mut rng);
        let south = bank_authority(&center, "south", &mut rng);
        let mut person = |authority: &Authority, subject: Subject, bank, token| {
            let (key, chain) = leaf(authority, &subject, Purpose::Signing, NOW - DAY, LEAF, &mut rng);
            Person { key, chain, bank, token }
        };
        let customer = |token: &str, bank: &str| Subject::customer(token, bank).unwrap();
        let alice = person(&north, customer("alice", "north"), "north", "alice");
        let dave = person(&north, customer("dave", "north"), "north", "dave");
        let erin = person(&north, customer("erin", "north"), "north", "erin");
        let bob = person(&south, Subject::merchant("bob", "south").unwrap(), "south", "bob");
        let carol = person(&south, customer("carol", "south"), "south", "carol");
        let north_bank = person(&north, Subject::bank("north").unwrap(), "north", "north");
        let south_bank = person(&south, Subject::bank("south").unwrap(), "south", "south");
        let center_signer = person(&center, Subject::center("center").unwrap(), "", "center");
        let root = center.trusted_root().unwrap();
        let mut world = Self {
            rng,
            center,
            north,
            south,
            root,
            lists: Vec::new(),
            alice,
            dave,
            erin,
            bob,
            carol,
            north_bank,
            south_bank,
            center_signer,
        };
        world.lists = lists(&[], &[], &[], &world, NOW);
        world
    }

    pub(crate) fn trust(&self) -> Trust<'_> {
        self.trust_at(NOW + 600)
    }

    pub(crate) fn trust_at(&self, now: u64) -> Trust<'_> {
        Trust::new(&self.root, &self.lists, at(now))
    }

    pub(crate) fn signer<'a>(&self, person: &'a Person) -> Signer<'a> {
        Signer::new(&person.key, &person.chain, &self.root, at(NOW)).unwrap()
    }

    pub(crate) fn book(&self) -> Allotment {
        Allotment::after(text("alice"), 0, 10).unwrap()
    }

    pub(crate) fn draw(&self, order: Order) -> Drawn {
        draw(self.book().tear_out(U64(7)).unwrap(), order, &self.signer(&self.alice)).unwrap()
    }

    pub(crate) fn countersign(&self, bundle: Bundle, mandate: &Mandate) -> Result<Bundle, ChequeError> {
        let submitted = submit(bundle, &self.trust())?;
        submitted.countersign(&self.book(), mandate, &self.signer(&self.north_bank), at(NOW))
    }

    /// Drawn by Alice of north for Bob of south, countersigned.
    pub(crate) fn issued(&self, order: Order) -> Bundle {
        let mandate = order.mandate.clone();
        self.countersign(self.draw(order).into_bundle(), &mandate).unwrap()
    }

    pub(crate) fn verified(&self, bundle: Bundle) -> VerifiedCheque {
        verify(bundle, &self.trust()).unwrap()
    }

    pub(crate) fn refusal(&self, bundle: Bundle) -> ChequeError {
        verify(bundle, &self.trust()).unwrap_err()
    }

    pub(crate) fn rejection(&self, bundle: Bundle) -> Rejection {
        match self.refusal(bundle) {
            ChequeError::Rejected(rejection) => rejection,
            other => panic!("not a rejection: {other:?}"),
        }
    }

    /// Certified, endorsed to Carol, deposited, returned, deposited again, paid, settled: every type of block.
    pub(crate) fn long_way(&self) -> Bundle {
        let bundle = self.issued(order(true));
        let bank = self.signer(&self.north_bank);
        let bundle = self.verified(bundle).certify(&bank, at(NOW + 1)).unwrap();
        let bundle =
            self.verified(bundle).endorse(payee(&self.carol), &self.signer(&self.bob), at(NOW + 2)).unwrap();
        let bundle = self.deposit(bundle, &self.carol, Digest([1; 32]), NOW + 3).unwrap();
        let technical = feiqian_cheque::ReturnCode::Technical;
        let center = self.signer(&self.center_signer);
        let bundle = self.verified(bundle).give_back(technical, &center, at(NOW + 4)).unwrap();
        let bundle = self.deposit(bundle, &self.carol, Digest([2; 32]), NOW + 5).unwrap();
        let bundle = self.verified(bundle).receipt(Outcome::Paid, &bank, at(NOW + 6)).unwrap();
        self.verified(bundle).receipt(Outcome::Settled, &self.signer(&self.south_bank), at(NOW + 7)).unwrap()
    }

    pub(crate) fn deposit(
        &self,
        bundle: Bundle,
        person: &Person,
        presentment: Digest,
        now: u64,
    ) -> Result<Bundle, ChequeError> {
        let signer = self.signer(person);
        self.verified(bundle).deposit(name(person.bank), text(person.token), presentment, &signer, at(now))
    }
}

pub(crate) fn payee(person: &Person) -> Payee {
    let known_by = PayeeKey::Account { bank: name(person.bank), account: text(person.token) };
    Payee { name: text(&person.token.to_uppercase()), known_by }
}

pub(crate) fn amount(minor: u64) -> Amount {
    Amount::new(feiqian_money::Minor::new(minor).unwrap(), Currency::CNY)
}

/// 250.00 CNY from Alice to Bob, with an invoice.
pub(crate) fn order(negotiable: bool) -> Order {
    Order {
        bank: name("north"),
        mandate: Mandate::single(&text("alice")).unwrap(),
        payee: Payee {
            name: text("Bob's Tea <House> & Söhne"),
            known_by: PayeeKey::Account { bank: name("south"), account: text("bob") },
        },
        amount: amount(25_000),
        date: "2026-12-01".parse().unwrap(),
        memo: text("for \"tea\" & <cake>"),
        negotiable,
        attachments: vec![(
            text("invoice.txt"),
            text("text/plain"),
            Attachment::new(b"forty cups of tea").unwrap(),
        )],
    }
}

pub(crate) fn joint_order(required: u8) -> Order {
    let drawers = vec![text("alice"), text("dave"), text("erin")];
    Order { mandate: Mandate::joint(required, drawers).unwrap(), ..order(false) }
}

pub(crate) fn revoked(person: &Person, root: &TrustedRoot, at: u64, reason: RevocationReason) -> Revoked {
    let verified =
        feiqian_pki::validate(&person.chain, root, Purpose::Signing, feiqian_pki::Revocation::Unchecked, NOW)
            .unwrap();
    Revoked { serial: verified.serial, at, reason }
}

/// The header that a block of this person would have, to be bent.
pub(crate) fn header(alg: &str, cty: &str, person: &Person) -> String {
    let certificates = person.chain.certificates();
    let own = if person.bank.is_empty() { 1 } else { 2 };
    let x5c: Vec<String> =
        certificates[..own].iter().map(|der| format!("\"{}\"", STANDARD.encode(der))).collect();
    format!(r#"{{"alg":"{alg}","typ":"echeque+jws","cty":"{cty}","x5c":[{}]}}"#, x5c.join(","))
}

/// Signs any header and payload with a real key: what a forger who has that key could do.
pub(crate) fn forge(header: &str, payload: &[u8], key: &KeyPair) -> Block {
    let (protected, payload) = (URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = key.sign(format!("{protected}.{payload}").as_bytes());
    block(&protected, &payload, &signature)
}

pub(crate) fn block(protected: &str, payload: &str, signature: &[u8]) -> Block {
    Block {
        payload: text(payload),
        protected: text(protected),
        signature: text(&URL_SAFE_NO_PAD.encode(signature)),
    }
}

pub(crate) fn payload(block: &Block) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(block.payload.as_str()).unwrap()
}

pub(crate) fn with_blocks(bundle: &Bundle, blocks: Vec<Block>) -> Bundle {
    Bundle { attachments: bundle.attachments.clone(), blocks: feiqian_wire::Bounded::new(blocks).unwrap() }
}

/// The same document with one block replaced.
pub(crate) fn replaced(bundle: &Bundle, index: usize, block: Block) -> Bundle {
    let mut blocks = bundle.blocks.to_vec();
    blocks[index] = block;
    with_blocks(bundle, blocks)
}
