//! Cheques of real keys: drawn, countersigned, deposited; and the banks' side of them.

use std::sync::Arc;

use feiqian_cheque::messages::{ChequeItem, ChequeOutcome, Document};
use feiqian_cheque::steps::Mandate;
use feiqian_cheque::{
    Allotment, Bundle, Day, Order, Outcome, Payee, PayeeKey, ReturnCode, Signer, Trust, VerifiedCheque, draw,
    submit, verify,
};
use feiqian_clearing::finality::SettledRequest;
use feiqian_clearing::presentment::{ItemKind, Presented, Presentment, presentment_id};
use feiqian_pki::{RevocationList, TrustedRoot};
use feiqian_wire::error::Fault;
use feiqian_wire::{Name, Text, Timestamp, U64};

use crate::bank::{Account, TestBank, amount};
use crate::world::NOW;

fn now() -> Timestamp {
    Timestamp::new(NOW)
}

fn payee(account: &Account) -> Payee {
    Payee {
        name: Text::new(account.token.clone()).unwrap(),
        known_by: PayeeKey::Account {
            bank: Name::new(account.bank.name.clone()).unwrap(),
            account: Text::new(account.token.clone()).unwrap(),
        },
    }
}

impl Account {
    fn signer<'a>(&'a self, root: &TrustedRoot) -> Signer<'a> {
        Signer::new(&self.key, &self.chain, root, now()).unwrap()
    }

    /// A countersigned cheque of this account.
    pub(crate) fn cheque(&self, to: &Account, minor: u64, number: u64, negotiable: bool) -> Bundle {
        let token = Text::new(self.token.clone()).unwrap();
        let mandate = Mandate::single(&token).unwrap();
        let order = Order {
            bank: Name::new(self.bank.name.clone()).unwrap(),
            mandate: mandate.clone(),
            payee: payee(to),
            amount: amount(minor),
            date: Day::of(now()),
            memo: Text::default(),
            negotiable,
            attachments: Vec::new(),
        };
        let book = Allotment::after(token, 0, 100).unwrap();
        let view = self.bank.view();
        let drawn = draw(book.tear_out(U64(number)).unwrap(), order, &self.signer(view.root())).unwrap();
        let trust = Trust::new(view.root(), view.lists().all(), now());
        let submitted = submit(drawn.into_bundle(), &trust).unwrap();
        submitted.countersign(&book, &mandate, &self.bank.document_signer(view.root()), now()).unwrap()
    }

    fn read(&self, bundle: Bundle) -> VerifiedCheque {
        let view = self.bank.view();
        verify(bundle, &Trust::new(view.root(), view.lists().all(), now())).unwrap()
    }

    /// Passes a cheque on.
    pub(crate) fn endorse(&self, cheque: Bundle, to: &Account) -> Bundle {
        let root = self.bank.view().root().clone();
        self.read(cheque).endorse(payee(to), &self.signer(&root), now()).unwrap()
    }

    /// Gives a cheque to this account's bank, which presents it.
    pub(crate) fn deposit(&self, cheque: Bundle) -> Presentment<ChequeItem> {
        let bank = Name::new(self.bank.name.clone()).unwrap();
        let token: Text<64> = Text::new(self.token.clone()).unwrap();
        let root = self.bank.view().root().clone();
        let verified = self.read(cheque);
        let drawn = verified.cheque().amount;
        let digest = ChequeItem::presented(&verified.tip());
        let id = presentment_id(&bank, &token, ItemKind::Cheque, &digest);
        let bundle = verified.deposit(bank.clone(), token.clone(), id, &self.signer(&root), now()).unwrap();
        let item = ChequeItem { cheque: Document::new(bundle.to_bytes().unwrap()).unwrap() };
        Presentment::new(bank, token, drawn, ItemKind::Cheque, &digest, item)
    }
}

impl TestBank {
    fn document_signer<'a>(&'a self, root: &TrustedRoot) -> Signer<'a> {
        Signer::new(&self.signer, &self.signer_chain, root, now()).unwrap()
    }

    pub(crate) fn list(&self) -> RevocationList {
        let (revoked, from) = self.revoked.lock().unwrap().clone();
        self.authority.issue_crl(&revoked, 1, from, from + 86_400).unwrap()
    }

    pub(crate) fn pay_cheque(
        &self,
        presentment: &Presentment<ChequeItem>,
    ) -> Result<Presented<ChequeOutcome>, Fault> {
        let mut books = self.books.lock().unwrap();
        let answer = |outcome| Ok(Presented { id: presentment.id, outcome });
        if let Some(known) = books.cheques.get(&presentment.id) {
            return answer(known.clone());
        }
        let view = self.view();
        let trust = Trust::new(view.root(), view.lists().all(), now());
        let cheque = verify(Bundle::from_bytes(&presentment.item.cheque).unwrap(), &trust).unwrap();
        assert_eq!(cheque.cheque().bank.as_str(), self.name);
        let code = match *self.bounce.lock().unwrap() {
            _ if books.drawn.contains_key(&cheque.id()) => Some(ReturnCode::Duplicate),
            code => code,
        };
        let signer = self.document_signer(view.root());
        let id = cheque.id();
        let file = |bundle: Bundle| Document::new(bundle.to_bytes().unwrap()).unwrap();
        let outcome = match code {
            Some(code) => {
                ChequeOutcome::Returned(code, file(cheque.give_back(code, &signer, now()).unwrap()))
            }
            None => {
                books.drawn.insert(id, presentment.id);
                ChequeOutcome::Paid(file(cheque.receipt(Outcome::Paid, &signer, now()).unwrap()))
            }
        };
        books.cheques.insert(presentment.id, outcome.clone());
        answer(outcome)
    }

    pub(crate) fn hear(&self, request: &SettledRequest) {
        let mut books = self.books.lock().unwrap();
        for item in request.items.iter() {
            let word = (request.cycle.0, item.settled);
            let before = books.told.insert(item.presentment, word);
            assert!(before.is_none_or(|before| before == word), "what is final was changed");
        }
    }

    /// What the center told about a presentment.
    pub(crate) fn told(&self, presentment: &Presentment<ChequeItem>) -> Option<(u64, bool)> {
        self.books.lock().unwrap().told.get(&presentment.id).copied()
    }

    /// How many cheques were paid here.
    pub(crate) fn paid_cheques(&self) -> usize {
        self.books.lock().unwrap().drawn.len()
    }
}

pub(crate) async fn present(
    bank: &Arc<TestBank>,
    presentment: &Presentment<ChequeItem>,
) -> Result<ChequeOutcome, Fault> {
    let presented: Presented<ChequeOutcome> = bank.ask("/v1/present/cheque", presentment).await?;
    assert_eq!(presented.id, presentment.id);
    Ok(presented.outcome)
}
