//! The cheque side of the honest test bank: the protocol's own steps over a register in memory. It is drawee and
//! collecting bank at once.

use std::collections::BTreeMap;

use feiqian_cheque::book::Allotment;
use feiqian_cheque::messages::{
    Action, BookRequest, BookResponse, CertificateAnswer, CertificateQuery, ChequeDeposit,
    ChequeDepositResponse, ChequeItem, ChequeOutcome, ChequeResponse, Document, EndorseRequest, InboxDelete,
    InboxResponse, IssueRequest, OrderRequest, RegisterLine, RegisterResponse, SendRequest,
};
use feiqian_cheque::{
    Bundle, Mandate, Outcome, Payee, PayeeKey, ReturnCode, Signer, State, StopReason, Trust, submit, verify,
};
use feiqian_clearing::remittance::{TransferOrder, TransferOutcome, TransferReturn};
use feiqian_crypto::Digest;
use feiqian_pki::{KeyPair, RevocationList, RevocationReason, Revoked, Serial, Subject};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Bounded, Text, U64};

use crate::world::{DAY, T0, World, leaf, name, read, write};

pub(crate) struct Registered {
    pub(crate) account: String,
    pub(crate) line: RegisterLine,
    before: State,
    holder: Payee,
    presented: Option<(Digest, ChequeOutcome)>,
}

/// What the bank keeps of cheques.
#[derive(Default)]
pub(crate) struct ChequeBank {
    pub(crate) books: BTreeMap<Digest, Allotment>,
    pub(crate) register: BTreeMap<Digest, Registered>,
    pub(crate) mandates: BTreeMap<String, Mandate>,
    /// Two different cheques of one number: what a careful wallet never asks for.
    pub(crate) twice: u32,
    /// Deposits answer `Pending` while this is set.
    pub(crate) slow: bool,
    pub(crate) boxes: BTreeMap<String, Vec<Document>>,
    pub(crate) sent: usize,
    pub(crate) transfers: BTreeMap<Digest, TransferOrder>,
    orders: BTreeMap<Digest, Vec<u8>>,
    /// What the bank's door says, whatever is asked with a certificate.
    pub(crate) door: Option<Code>,
    /// Deposits are said to be paid with this file, and are not.
    pub(crate) lie: Option<Document>,
    /// The certificates of each account.
    pub(crate) serials: BTreeMap<String, Vec<Serial>>,
    revoked: Vec<Revoked>,
    /// The center shows its oldest lists again.
    pub(crate) rolled_back: bool,
}

fn refuse<T>(code: Code) -> Result<T, Fault> {
    Err(Fault::new(code, "refused by the test bank"))
}

fn file(bundle: &Bundle) -> Document {
    Document::new(bundle.to_bytes().unwrap()).unwrap()
}

fn bundle(file: &Document) -> Result<Bundle, Fault> {
    let bundle = Bundle::from_bytes(file).map_err(feiqian_cheque::ChequeError::from)?;
    assert!(bundle.attachments.is_empty(), "attachments are no bank's business");
    Ok(bundle)
}

impl World {
    fn lists(&self) -> Vec<RevocationList> {
        let now = self.now().seconds();
        vec![
            self.root.issue_crl(&[], 1, now, now + DAY).unwrap(),
            self.bank.issue_crl(&[], 1, now, now + DAY).unwrap(),
        ]
    }

    /// What the center shows: the bank judges what it has in hand, others by what was revoked since.
    fn shown_lists(&self) -> Vec<RevocationList> {
        let state = self.state();
        let (from, revoked) = if state.cheques.rolled_back {
            (T0, &[][..])
        } else {
            (self.now().seconds(), &*state.cheques.revoked)
        };
        vec![
            self.root.issue_crl(&[], 1, from, from + DAY).unwrap(),
            self.bank.issue_crl(revoked, 1, from, from + DAY).unwrap(),
        ]
    }

    /// Revokes every certificate that an account has.
    pub(crate) fn revoke(&self, who: &str) {
        let (at, reason) = (self.now().seconds(), RevocationReason::KeyCompromise);
        let mut state = self.state();
        let serials = state.cheques.serials[who].clone();
        state.cheques.revoked.extend(serials.into_iter().map(|serial| Revoked { serial, at, reason }));
    }

    fn signing(&self) -> Signer<'_> {
        Signer::new(&self.signer, &self.signer_chain, &self.trusted_root(), self.now()).unwrap()
    }

    pub(crate) fn cheque_call(&self, who: &str, path: &str, body: &[u8]) -> Result<Vec<u8>, Fault> {
        let door = self.state().cheques.door;
        if let Some(code) = door.filter(|_| path != "/v1/crl" && path != "/v1/certificate") {
            return refuse(code);
        }
        match path {
            "/v1/crl" => {
                let lists: Vec<Blob<1_048_576>> =
                    self.shown_lists().iter().map(|list| Blob::new(list.as_der()).unwrap()).collect();
                write(&Bounded::<_, 257>::new(lists).unwrap())
            }
            "/v1/account/cheque/book" => write(&self.book(who, &read(body)?)?),
            "/v1/account/cheque/issue" => write(&self.issue(who, &read(body)?)?),
            "/v1/account/cheque/order" | "/v1/account/cheque/certify" => self.order(who, &read(body)?),
            "/v1/account/cheque/list" => {
                let state = self.state();
                let lines = state.cheques.register.values().filter(|it| it.account == who);
                write(&RegisterResponse { lines: Bounded::collect(lines.map(|it| it.line.clone())).unwrap() })
            }
            "/v1/cheque/endorse" => write(&self.endorse(&read(body)?)?),
            "/v1/account/cheque/deposit" => write(&self.cheque_deposit(&read(body)?)?),
            "/v1/account/cheque/send" => {
                let sent: SendRequest = read(body)?;
                let mut state = self.state();
                let inbox = state.cheques.boxes.entry(sent.account.to_string()).or_default();
                if !inbox.contains(&sent.cheque) {
                    inbox.push(sent.cheque);
                    state.cheques.sent += 1;
                }
                write(&())
            }
            "/v1/account/cheque/inbox" => {
                let found = self.state().cheques.boxes.get(who).cloned().unwrap_or_default();
                write(&InboxResponse { cheques: Bounded::collect(found.into_iter().take(1)).unwrap() })
            }
            "/v1/account/cheque/inbox/delete" => {
                let delete: InboxDelete = read(body)?;
                let digest = |cheque: &Document| ChequeItem { cheque: cheque.clone() }.file_digest();
                if let Some(inbox) = self.state().cheques.boxes.get_mut(who) {
                    inbox.retain(|file| digest(file) != delete.file);
                }
                write(&())
            }
            "/v1/certificate" => write(&self.certificate_of(&read(body)?)?),
            "/v1/account/transfer" => write(&self.transferred(who, read(body)?)?),
            other => panic!("nobody serves {other}"),
        }
    }

    fn book(&self, who: &str, request: &BookRequest) -> Result<BookResponse, Fault> {
        let mut state = self.state();
        let last = state
            .cheques
            .books
            .values()
            .filter(|book| book.account.as_str() == who)
            .map(|book| book.first.0 + u64::from(book.leaves) - 1)
            .max();
        let fresh = Allotment::after(Text::new(who).unwrap(), last.unwrap_or(0), request.leaves.into())?;
        let allotment = state.cheques.books.entry(request.request).or_insert(fresh).clone();
        Ok(BookResponse { allotment })
    }

    fn issue(&self, who: &str, request: &IssueRequest) -> Result<ChequeResponse, Fault> {
        let lists = self.lists();
        let root = self.trusted_root();
        let trust = Trust::new(&root, &lists, self.now());
        let submitted = submit(bundle(&request.cheque)?, &trust)?;
        let cheque = submitted.cheque().clone();
        let id = submitted.id();
        assert_eq!(request.notice.id, id);
        let mut state = self.state();
        let other = state
            .cheques
            .register
            .values()
            .any(|it| it.account == who && it.line.number == cheque.number && it.line.id != id);
        if other {
            state.cheques.twice += 1;
            return refuse(Code::Conflict);
        }
        if request.certify && state.accounts[who] < cheque.amount.minor.value() {
            return refuse(Code::InsufficientFunds);
        }
        let single = Mandate::single(&cheque.account)?;
        let mandate = state.cheques.mandates.get(who).cloned().unwrap_or(single);
        let book = state.cheques.books.values().find(|book| book.contains(cheque.number)).cloned();
        let issued = submitted.countersign(&book.unwrap(), &mandate, &self.signing(), self.now())?;
        let certified = if request.certify {
            verify(issued, &trust)?.certify(&self.signing(), self.now())?
        } else {
            issued
        };
        let line = RegisterLine {
            id,
            number: cheque.number,
            state: if request.certify { State::Certified } else { State::Issued },
            amount: Some(cheque.amount),
            date: Some(cheque.date),
            payee: Some(Text::fitted(&cheque.payee.name)),
            code: None,
            reserved: request.certify,
        };
        let before = line.state;
        let entry =
            Registered { account: who.to_owned(), line, before, holder: cheque.payee, presented: None };
        state.cheques.register.entry(id).or_insert(entry);
        Ok(ChequeResponse { cheque: file(&certified) })
    }

    fn order(&self, who: &str, request: &OrderRequest) -> Result<Vec<u8>, Fault> {
        let lists = self.lists();
        let root = self.trusted_root();
        let mut state = self.state();
        if let Some(answer) = state.cheques.orders.get(&request.order) {
            return Ok(answer.clone());
        }
        let found = state.cheques.register.values_mut();
        let found = found.filter(|it| it.account == who).find(|it| it.line.number == request.number);
        let Some(entry) = found else { return refuse(Code::NotFound) };
        let answer = match (&request.action, entry.line.state) {
            (Action::Stop(reason), State::Issued | State::Certified) => {
                if entry.line.reserved && !matches!(reason, StopReason::Frad | StopReason::Lost) {
                    return refuse(Code::Conflict);
                }
                entry.before = entry.line.state;
                entry.line.state = State::Stopped;
                write(&entry.line)?
            }
            (Action::Unstop, State::Stopped) => {
                entry.line.state = entry.before;
                write(&entry.line)?
            }
            (Action::Void, State::Issued | State::Certified) => {
                entry.line.state = State::Voided;
                write(&entry.line)?
            }
            (Action::Certify, State::Issued) => {
                entry.line.state = State::Certified;
                entry.line.reserved = true;
                let trust = Trust::new(&root, &lists, self.now());
                let held = verify(bundle(request.cheque.as_ref().unwrap())?, &trust)?;
                write(&ChequeResponse { cheque: file(&held.certify(&self.signing(), self.now())?) })?
            }
            _ => return refuse(Code::Conflict),
        };
        state.cheques.orders.insert(request.order, answer.clone());
        Ok(answer)
    }

    fn endorse(&self, request: &EndorseRequest) -> Result<RegisterLine, Fault> {
        let lists = self.lists();
        let root = self.trusted_root();
        let verified = verify(bundle(&request.cheque)?, &Trust::new(&root, &lists, self.now()))?;
        let mut state = self.state();
        let Some(entry) = state.cheques.register.get_mut(&verified.id()) else {
            return refuse(Code::NotFound);
        };
        entry.holder = verified.holder().clone();
        Ok(entry.line.clone())
    }

    fn cheque_deposit(&self, request: &ChequeDeposit) -> Result<ChequeDepositResponse, Fault> {
        let lists = self.lists();
        let root = self.trusted_root();
        let verified = verify(bundle(&request.cheque)?, &Trust::new(&root, &lists, self.now()))?;
        let slip = verified.deposit_slip().unwrap().clone();
        let mut guard = self.state();
        let state = &mut *guard;
        if state.cheques.slow {
            return Ok(ChequeDepositResponse::Pending { presentment: slip.presentment, paid: false });
        }
        if let Some(lie) = &state.cheques.lie {
            return Ok(ChequeDepositResponse::Final(ChequeOutcome::Paid(lie.clone())));
        }
        let (id, amount) = (verified.id(), verified.cheque().amount.minor.value());
        let Some(entry) = state.cheques.register.get_mut(&id) else { return refuse(Code::NotFound) };
        if let Some((presentment, outcome)) = &entry.presented
            && *presentment == slip.presentment
        {
            return Ok(ChequeDepositResponse::Final(outcome.clone()));
        }
        let drawer = entry.account.clone();
        let code = match entry.line.state {
            State::Issued | State::Certified | State::Returned if *verified.holder() != entry.holder => {
                Some(ReturnCode::EndorsementMissing)
            }
            State::Issued | State::Certified | State::Returned if state.accounts[&drawer] < amount => {
                Some(ReturnCode::InsufficientFunds)
            }
            State::Issued | State::Certified | State::Returned => None,
            State::Stopped => Some(ReturnCode::Stopped),
            _ => Some(ReturnCode::Duplicate),
        };
        let outcome = match code {
            Some(code) => {
                if code == ReturnCode::InsufficientFunds {
                    entry.line.state = State::Returned;
                    entry.line.code = Some(code);
                }
                ChequeOutcome::Returned(code, file(&verified.give_back(code, &self.signing(), self.now())?))
            }
            None => {
                entry.line.state = State::Paid;
                *state.accounts.get_mut(&drawer).unwrap() -= amount;
                *state.accounts.entry(slip.account.to_string()).or_default() += amount;
                ChequeOutcome::Paid(file(&verified.receipt(Outcome::Paid, &self.signing(), self.now())?))
            }
        };
        entry.presented = Some((slip.presentment, outcome.clone()));
        Ok(ChequeDepositResponse::Final(outcome))
    }

    fn certificate_of(&self, query: &CertificateQuery) -> Result<CertificateAnswer, Fault> {
        let mut state = self.state();
        let account = query.account.as_str();
        if !state.accounts.contains_key(account) {
            return refuse(Code::AccountUnknown);
        }
        let key = KeyPair::from_seed(&[account.as_bytes()[0]; 32]);
        let chain = leaf(&self.bank, &key, &Subject::customer(account, "north").unwrap(), &mut state.rng);
        let ders = chain.certificates().iter().map(|der| Blob::new(der.clone()).unwrap());
        let known_by = PayeeKey::Account { bank: name("north"), account: query.account.clone() };
        Ok(CertificateAnswer {
            payee: Payee { name: Text::fitted(&format!("Holder of {account}")), known_by },
            bank: name("north"),
            chain: Bounded::collect(ders).unwrap(),
            at: self.now(),
        })
    }

    fn transferred(&self, who: &str, order: TransferOrder) -> Result<TransferOutcome, Fault> {
        let key = KeyPair::from_seed(&[who.as_bytes()[0]; 32]).public_key();
        order.verify(&key)?;
        let mut guard = self.state();
        let state = &mut *guard;
        assert_eq!(order.terms.account.as_str(), who);
        let (amount, to) = (order.terms.amount.minor.value(), order.terms.to_account.to_string());
        if !state.cheques.transfers.contains_key(&order.terms.id) {
            if state.accounts[who] < amount {
                return refuse(Code::InsufficientFunds);
            }
            if let Some(there) = state.accounts.get_mut(&to) {
                *there += amount;
                *state.accounts.get_mut(who).unwrap() -= amount;
            }
        }
        state.cheques.transfers.insert(order.terms.id, order);
        if state.accounts.contains_key(&to) {
            Ok(TransferOutcome::Booked)
        } else {
            Ok(TransferOutcome::Returned(TransferReturn::AccountUnknown))
        }
    }

    /// Which numbers an account's cheques have, in order of ids.
    pub(crate) fn registered(&self, who: &str) -> Vec<u64> {
        let state = self.state();
        let mut numbers: Vec<u64> = state
            .cheques
            .register
            .values()
            .filter(|it| it.account == who)
            .map(|it| it.line.number.0)
            .collect();
        numbers.sort_unstable();
        numbers
    }

    /// Lets an account be drawn on by several.
    pub(crate) fn set_mandate(&self, who: &str, required: u8, others: &[&str]) {
        let mut drawers = vec![Text::new(who).unwrap()];
        drawers.extend(others.iter().map(|other| Text::new(*other).unwrap()));
        self.state().cheques.mandates.insert(who.to_owned(), Mandate::joint(required, drawers).unwrap());
    }

    /// What a cheque's number is worth at the register.
    pub(crate) fn state_of(&self, who: &str, number: u64) -> State {
        let state = self.state();
        let found =
            state.cheques.register.values().find(|it| it.account == who && it.line.number == U64(number));
        found.map_or(State::Allotted, |it| it.line.state)
    }
}
