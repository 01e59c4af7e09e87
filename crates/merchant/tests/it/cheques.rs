//! Cheques made out to the merchant, at a bank that is drawee and collecting bank at once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use feiqian_cheque::messages::{ChequeDeposit, ChequeDepositResponse, ChequeOutcome, Document};
use feiqian_cheque::{
    Allotment, Attachment, Bundle, Day, Mandate, Order, Outcome, Payee, PayeeKey, Signer, Trust, draw,
    submit, verify,
};
use feiqian_crypto::Digest;
use feiqian_money::{Amount, Currency, Minor};
use feiqian_node::ListsResponse;
use feiqian_pki::{
    CertificateRequest, Chain, KeyPair, Purpose, Revocation, RevocationList, RevocationReason, Revoked,
    Subject, validate,
};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Bounded, Name, Text, Timestamp, U64};
use serde_json::{Value, json};

use crate::bank::{DAY, NOW, TOKEN, TestBank, rng};
use crate::pay::Shop;
use crate::wires::Trouble;

/// Where the bank takes cheques in.
const DEPOSIT: &str = "/v1/account/cheque/deposit";

/// What the bank keeps of cheques.
#[derive(Default)]
pub(crate) struct Desk {
    /// By presentment.
    outcomes: BTreeMap<Digest, ChequeOutcome>,
    /// What is said to be paid instead.
    lie: Option<Document>,
    /// What the center's lists say, and how long after the beginning they were made.
    revoked: Vec<Revoked>,
    later: u64,
}

fn north() -> Name {
    Name::new("north").unwrap()
}

fn file(bundle: &Bundle) -> Document {
    Document::new(bundle.to_bytes().unwrap()).unwrap()
}

/// An endorser with his certificate.
struct Bob {
    key: KeyPair,
    chain: Chain,
}

impl TestBank {
    fn lists(&self, revoked: &[Revoked], from: u64) -> Vec<RevocationList> {
        vec![
            self.center.issue_crl(&[], 1, from, from + DAY).unwrap(),
            self.authority.issue_crl(revoked, 1, from, from + DAY).unwrap(),
        ]
    }

    pub(crate) fn shown_lists(&self) -> ListsResponse {
        let desk = self.cheques.lock().unwrap();
        let lists = self.lists(&desk.revoked, NOW + desk.later);
        Bounded::new(lists.iter().map(|list| Blob::new(list.as_der()).unwrap()).collect()).unwrap()
    }

    /// The bank judges by what it has in hand: nobody is revoked there yet.
    pub(crate) fn collect(&self, asked: &ChequeDeposit) -> Result<ChequeDepositResponse, Fault> {
        if let Some(fault) = self.fault.lock().unwrap().clone() {
            return Err(fault);
        }
        let bundle = Bundle::from_bytes(&asked.cheque).unwrap();
        assert!(bundle.attachments.is_empty(), "attachments are no bank's business");
        let (lists, now) = (self.lists(&[], NOW), Timestamp::new(NOW));
        let verified = verify(bundle, &Trust::new(&self.root, &lists, now))?;
        let presentment = verified.deposit_slip().unwrap().presentment;
        let mut desk = self.cheques.lock().unwrap();
        if let Some(lie) = &desk.lie {
            return Ok(ChequeDepositResponse::Final(ChequeOutcome::Paid(lie.clone())));
        }
        let outcome = desk.outcomes.entry(presentment).or_insert_with(|| {
            let signer = self.bank_signer();
            ChequeOutcome::Paid(file(&verified.receipt(Outcome::Paid, &signer, now).unwrap()))
        });
        Ok(ChequeDepositResponse::Final(outcome.clone()))
    }

    fn bank_signer(&self) -> Signer<'_> {
        Signer::new(&self.signer, &self.signer_chain, &self.root, Timestamp::new(NOW)).unwrap()
    }

    fn holder(&self, account: &str, seed: u8) -> Bob {
        let (key, subject) = (KeyPair::from_seed(&[seed; 32]), Subject::customer(account, "north").unwrap());
        let asked = CertificateRequest::verify(&CertificateRequest::create(&key, &subject).unwrap()).unwrap();
        let chain = self
            .authority
            .issue_leaf(&asked, &subject, Purpose::Signing, &[], DAY * 90, NOW, &mut rng(seed.into()))
            .unwrap();
        Bob { key, chain }
    }

    fn revoke(&self, bob: &Bob) {
        let known = validate(&bob.chain, &self.root, Purpose::Signing, Revocation::Unchecked, NOW).unwrap();
        let mut desk = self.cheques.lock().unwrap();
        desk.later = 10;
        let reason = RevocationReason::KeyCompromise;
        desk.revoked.push(Revoked { serial: known.serial, at: NOW + 10, reason });
    }
}

fn account(token: &str) -> Payee {
    let known_by = PayeeKey::Account { bank: north(), account: Text::new(token).unwrap() };
    Payee { name: Text::new("Holder").unwrap(), known_by }
}

impl Shop {
    /// Drawn by Alice to Bob with an invoice, endorsed by him to the shop.
    fn endorsed(&self, bob: &Bob) -> PathBuf {
        let (bank, now) = (&*self.bank, Timestamp::new(NOW));
        let lists = bank.lists(&[], NOW);
        let trust = Trust::new(&bank.root, &lists, now);
        let alice = bank.holder("alice", 9);
        let book = Allotment::after(Text::new("alice").unwrap(), 0, 5).unwrap();
        let mandate = Mandate::single(&Text::new("alice").unwrap()).unwrap();
        let invoice = Attachment::new(b"%PDF").unwrap();
        let order = Order {
            bank: north(),
            mandate: mandate.clone(),
            payee: account("bob"),
            amount: Amount::new(Minor::new(700).unwrap(), Currency::CNY),
            date: Day::of(now),
            memo: Text::default(),
            negotiable: true,
            attachments: vec![(
                Text::new("invoice.pdf").unwrap(),
                Text::new("application/pdf").unwrap(),
                invoice,
            )],
        };
        let drawer = Signer::new(&alice.key, &alice.chain, &bank.root, now).unwrap();
        let drawn = draw(book.tear_out(U64(1)).unwrap(), order, &drawer).unwrap().into_bundle();
        let submitted = submit(drawn, &trust).unwrap();
        let issued = submitted.countersign(&book, &mandate, &bank.bank_signer(), now).unwrap();
        let endorser = Signer::new(&bob.key, &bob.chain, &bank.root, now).unwrap();
        let endorsed = verify(issued, &trust).unwrap().endorse(account(TOKEN), &endorser, now).unwrap();
        let path = self.folder.path().join("cheque.json");
        std::fs::write(&path, &*file(&endorsed)).unwrap();
        path
    }

    async fn deposit(&self, path: &std::path::Path, out: Option<PathBuf>) -> Result<Value, Fault> {
        self.command(json!({"command": "cheque_deposit", "path": path, "out": out})).await
    }

    fn booked(&self) -> usize {
        self.bank.cheques.lock().unwrap().outcomes.len()
    }
}

#[tokio::test]
async fn what_is_paid_stays_paid_when_an_endorser_is_revoked_later() {
    let shop = Shop::new().await;
    let bob = shop.bank.holder("bob", 8);
    let path = shop.endorsed(&bob);
    shop.wires.trouble(DEPOSIT, &[Trouble::AnswerLost]);
    assert_eq!(shop.deposit(&path, None).await.unwrap_err().code, Code::NodeUnreachable);
    shop.clock.set(Timestamp::new(NOW + 10));
    shop.bank.revoke(&bob);
    assert!(shop.merchant.resume().await.unwrap(), "the answer is taken");
    let out = shop.folder.path().join("paid.json");
    assert_eq!(shop.deposit(&path, Some(out.clone())).await.unwrap()["outcome"], "paid");
    let paid = Bundle::from_bytes(&std::fs::read(out).unwrap()).unwrap();
    assert_eq!(paid.attachments[0].bytes().unwrap(), b"%PDF", "the holder keeps the invoice");
}

#[tokio::test]
async fn what_may_have_been_taken_is_not_refused_at_the_door() {
    for code in [
        Code::Forbidden,
        Code::Unauthenticated,
        Code::CertificateInvalid,
        Code::AccountClosed,
        Code::WrongRoot,
    ] {
        let shop = Shop::new().await;
        let path = shop.endorsed(&shop.bank.holder("bob", 8));
        shop.wires.trouble(DEPOSIT, &[Trouble::AnswerLost]);
        assert_eq!(shop.deposit(&path, None).await.unwrap_err().code, Code::NodeUnreachable);
        *shop.bank.fault.lock().unwrap() = Some(Fault::new(code, "test"));
        assert_eq!(shop.deposit(&path, None).await.unwrap_err().code, code);
        assert!(!shop.merchant.resume().await.unwrap());
        *shop.bank.fault.lock().unwrap() = None;
        // Another slip would be another file: a second presentment at worst, a refusal at best.
        shop.clock.set(Timestamp::new(NOW + 5));
        assert!(shop.merchant.resume().await.unwrap());
        assert_eq!(shop.deposit(&path, None).await.unwrap()["outcome"], "paid", "{code}");
        let rows = shop.command(json!({"command": "cheque_list"})).await.unwrap();
        assert_eq!((rows["cheques"].as_array().unwrap().len(), shop.booked()), (1, 1));
    }
}

#[tokio::test]
async fn what_the_door_says_the_first_time_is_a_refusal() {
    let shop = Shop::new().await;
    let path = shop.endorsed(&shop.bank.holder("bob", 8));
    *shop.bank.fault.lock().unwrap() = Some(Fault::new(Code::AccountClosed, "test"));
    assert_eq!(shop.deposit(&path, None).await.unwrap_err().code, Code::AccountClosed);
    *shop.bank.fault.lock().unwrap() = None;
    assert!(shop.merchant.resume().await.unwrap());
    assert_eq!(shop.booked(), 0, "it is not tried again by itself");
    assert_eq!(shop.deposit(&path, None).await.unwrap()["outcome"], "paid");
}

#[tokio::test]
async fn a_bank_that_answers_nonsense_has_not_refused() {
    let shop = Shop::new().await;
    let path = shop.endorsed(&shop.bank.holder("bob", 8));
    let bare = std::fs::read(&path).unwrap();
    for lie in [b"x".to_vec(), bare] {
        shop.bank.cheques.lock().unwrap().lie = Some(Document::new(lie).unwrap());
        assert_eq!(shop.deposit(&path, None).await.unwrap_err().code, Code::Unavailable);
    }
    shop.bank.cheques.lock().unwrap().lie = None;
    assert_eq!(shop.deposit(&path, None).await.unwrap()["outcome"], "paid");
}

#[tokio::test]
async fn a_revocation_once_seen_is_not_forgotten() {
    let mut shop = Shop::new().await;
    let bob = shop.bank.holder("bob", 8);
    let path = shop.endorsed(&bob);
    shop.clock.set(Timestamp::new(NOW + 10));
    shop.bank.revoke(&bob);
    assert_eq!(shop.deposit(&path, None).await.unwrap_err().code, Code::CertificateInvalid);
    *shop.bank.cheques.lock().unwrap() = Desk::default();
    for _ in 0..2 {
        assert_eq!(shop.deposit(&path, None).await.unwrap_err().code, Code::CertificateInvalid);
        let disk = Arc::clone(&shop.disk);
        shop.restart_on(disk).await.unwrap();
    }
    shop.bank.cheques.lock().unwrap().later = 20;
    shop.clock.set(Timestamp::new(NOW + 20));
    assert_eq!(
        shop.deposit(&path, None).await.unwrap()["outcome"],
        "paid",
        "the authority itself may say so"
    );
}
