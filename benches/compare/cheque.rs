//! A countersigned cheque: from its bytes to a verified document. That is its form, the chain of its blocks, each
//! signer's certificates up to the root, the revocation lists, and every Ed25519 signature.

use std::hint::black_box;

use feiqian_cheque::steps::Mandate;
use feiqian_cheque::{Allotment, Bundle, Day, Order, Payee, PayeeKey, Signer, Trust, draw, submit, verify};
use feiqian_money::{Amount, Currency};
use feiqian_pki::{
    Authority, CertificateRequest, Chain, KeyPair, Purpose, RevocationList, Subject, TrustedRoot,
};
use feiqian_wire::{Text, Timestamp, U64};
use rand::rngs::ChaCha12Rng;

use crate::payee::{ACCOUNT, DAY, NOW, name};
use crate::{Criterion, group, operation, rng};

struct World {
    root: TrustedRoot,
    lists: Vec<RevocationList>,
    file: Vec<u8>,
}

fn asked(key: &KeyPair, subject: &Subject) -> CertificateRequest {
    CertificateRequest::verify(&CertificateRequest::create(key, subject).unwrap()).unwrap()
}

fn leaf(authority: &Authority, subject: &Subject, rng: &mut ChaCha12Rng) -> (KeyPair, Chain) {
    let key = KeyPair::generate(rng);
    let chain =
        authority.issue_leaf(&asked(&key, subject), subject, Purpose::Signing, &[], DAY, NOW, rng).unwrap();
    (key, chain)
}

fn order() -> Order {
    let known_by = PayeeKey::Account { bank: name("south"), account: Text::new(ACCOUNT).unwrap() };
    Order {
        bank: name("north"),
        mandate: Mandate::single(&Text::new(ACCOUNT).unwrap()).unwrap(),
        payee: Payee { name: Text::new("shop").unwrap(), known_by },
        amount: Amount::parse("12.50", Currency::CNY).unwrap(),
        date: Day::of(Timestamp::new(NOW)),
        memo: Text::new("rent").unwrap(),
        negotiable: false,
        attachments: Vec::new(),
    }
}

impl World {
    fn new(rng: &mut ChaCha12Rng) -> Self {
        let center = Authority::root("center", KeyPair::generate(rng), NOW, rng).unwrap();
        let key = KeyPair::generate(rng);
        let request = asked(&key, &Subject::bank("north").unwrap());
        let chain = center.issue_bank_authority(&request, "north", NOW, rng).unwrap();
        let north = Authority::from_parts(key, chain).unwrap();
        let (drawer, drawer_chain) = leaf(&north, &Subject::customer(ACCOUNT, "north").unwrap(), rng);
        let (bank, bank_chain) = leaf(&north, &Subject::bank("north").unwrap(), rng);
        let root = center.trusted_root().unwrap();
        let lists = vec![
            center.issue_crl(&[], 1, NOW, NOW + DAY).unwrap(),
            north.issue_crl(&[], 1, NOW, NOW + DAY).unwrap(),
        ];
        let now = Timestamp::new(NOW);
        let file = {
            let trust = Trust::new(&root, &lists, now);
            let drawer = Signer::new(&drawer, &drawer_chain, &root, now).unwrap();
            let bank = Signer::new(&bank, &bank_chain, &root, now).unwrap();
            let book = Allotment::after(Text::new(ACCOUNT).unwrap(), 0, 1).unwrap();
            let order = order();
            let mandate = order.mandate.clone();
            let drawn = draw(book.tear_out(U64(1)).unwrap(), order, &drawer).unwrap();
            let submitted = submit(drawn.into_bundle(), &trust).unwrap();
            submitted.countersign(&book, &mandate, &bank, now).unwrap().to_bytes().unwrap()
        };
        Self { root, lists, file }
    }
}

pub(crate) fn run(criterion: &mut Criterion) {
    let world = World::new(&mut rng());
    let now = Timestamp::new(NOW);
    let mut cheque = group(criterion, operation::CHEQUE);
    cheque.bench_function("feiqian, verify a countersigned cheque alone", |b| {
        b.iter(|| {
            let trust = Trust::new(&world.root, &world.lists, now);
            verify(Bundle::from_bytes(black_box(&world.file)).unwrap(), &trust).unwrap()
        });
    });
    let trust = Trust::new(&world.root, &world.lists, now);
    cheque.bench_function("feiqian, verify a countersigned cheque of a known signer", |b| {
        b.iter(|| verify(Bundle::from_bytes(black_box(&world.file)).unwrap(), &trust).unwrap());
    });
    cheque.finish();
}
