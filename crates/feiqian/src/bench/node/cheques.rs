//! Cheques: drawn and countersigned ahead of time, deposited under load at another bank than their drawee.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use feiqian_cheque::messages::{
    BookRequest, BookResponse, ChequeDeposit, ChequeDepositResponse, ChequeItem, ChequeOutcome,
    ChequeResponse, Document, IssueRequest,
};
use feiqian_cheque::{Allotment, Bundle, Day, Mandate, Order, Payee, PayeeKey, Signer, Trust, draw, verify};
use feiqian_clearing::presentment::{ItemKind, presentment_id};
use feiqian_crypto::Digest;
use feiqian_money::{Amount, Currency, Minor};
use feiqian_node::{Clock as _, Entropy as _, Format, SystemClock, SystemEntropy};
use feiqian_wire::error::Fault;
use feiqian_wire::{Name, Text, U64};
use rand::RngExt as _;
use tokio::task::JoinSet;

use super::line::{self, Line};
use super::load::Operation;
use super::town::{AGAIN, Customer, PATIENCE, internal};

/// Leaves fetched at a time: all who write together stay below what a bank leaves open.
const LEAVES: u16 = 25;

/// Deposits of cheques, whole requests, in any order.
pub(super) struct Cheques {
    requests: Mutex<VecDeque<Vec<u8>>>,
}

impl Cheques {
    /// Cheques of `drawer` to `payee`, deposited by the payee at its own bank.
    pub(super) async fn make(
        drawer: &Arc<Customer>,
        payee: &Arc<Customer>,
        count: usize,
    ) -> Result<Self, Fault> {
        let left = Arc::new(AtomicUsize::new(count.div_ceil(usize::from(LEAVES))));
        let workers = std::thread::available_parallelism().map_or(1, usize::from).saturating_mul(2);
        let mut under_way = JoinSet::new();
        for _ in 0..workers {
            let (drawer, payee, left) = (Arc::clone(drawer), Arc::clone(payee), Arc::clone(&left));
            under_way.spawn(async move {
                let dialer = drawer.certified()?;
                let mut line = Line::open(&dialer).await?;
                let mut made = Vec::new();
                let taken =
                    || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
                while taken().is_ok() {
                    let files = written(&drawer, &payee, &mut line, &dialer.authority()).await?;
                    for file in files {
                        made.push(deposit_patiently(&payee, &file).await?);
                    }
                }
                Ok::<_, Fault>(made)
            });
        }
        let mut requests = VecDeque::new();
        while let Some(ended) = under_way.join_next().await {
            requests.extend(ended.map_err(internal)??);
        }
        Ok(Self { requests: Mutex::new(requests) })
    }

    /// Puts what another load left behind the own.
    pub(super) fn with_rest(self, rest: &Self) -> Self {
        let rest = std::mem::take(&mut *rest.requests.lock().unwrap_or_else(PoisonError::into_inner));
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).extend(rest);
        self
    }

    pub(super) fn len(&self) -> usize {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

fn document(bundle: &Bundle) -> Result<Document, Fault> {
    Document::new(bundle.to_bytes().map_err(internal)?).map_err(Fault::from)
}

/// A book of leaves, each written and countersigned.
async fn written(
    drawer: &Customer,
    payee: &Customer,
    line: &mut Line,
    authority: &str,
) -> Result<Vec<Document>, Fault> {
    let request = BookRequest { request: Digest(SystemEntropy.rng().random()), leaves: LEAVES };
    let body = Format::Bincode.encode(&request)?;
    let book: BookResponse = line.ask(&line::post(authority, "/v1/account/cheque/book", &body)).await?;
    let mut files = Vec::with_capacity(usize::from(LEAVES));
    for offset in 0..u64::from(LEAVES) {
        let number = U64(book.allotment.first.0.saturating_add(offset));
        let body = Format::Bincode.encode(&drawn(drawer, payee, &book.allotment, number)?)?;
        let issue = line::post(authority, "/v1/account/cheque/issue", &body);
        // Until the bank knows every revocation list it cannot judge.
        let issued: ChequeResponse = line.ask(&issue).await?;
        files.push(issued.cheque);
    }
    Ok(files)
}

fn drawn(drawer: &Customer, payee: &Customer, book: &Allotment, number: U64) -> Result<IssueRequest, Fault> {
    let now = SystemClock.now();
    let known_by =
        PayeeKey::Account { bank: Name::new(payee.bank.as_str())?, account: payee.account.clone() };
    let order = Order {
        bank: Name::new(drawer.bank.as_str())?,
        mandate: Mandate::single(&drawer.account).map_err(internal)?,
        payee: Payee { name: Text::new("stall")?, known_by },
        amount: Amount::new(Minor::new(1).map_err(internal)?, Currency::CNY),
        date: Day::of(now),
        memo: Text::new("bench")?,
        negotiable: false,
        attachments: Vec::new(),
    };
    let view = drawer.view();
    let signer = Signer::new(&drawer.signing, &drawer.chain, view.root(), now).map_err(internal)?;
    let leaf = book.tear_out(number).map_err(internal)?;
    let drawn = draw(leaf, order, &signer).map_err(internal)?;
    let notice = drawn.notice();
    Ok(IssueRequest { cheque: document(&drawn.into_bundle())?, notice, certify: false })
}

/// The same once the payee has heard of the revocation lists that it judges by.
async fn deposit_patiently(payee: &Customer, file: &Document) -> Result<Vec<u8>, Fault> {
    let begun = Instant::now();
    loop {
        match deposit(payee, file) {
            Err(_) if begun.elapsed() < PATIENCE => {
                payee.sync().await?;
                tokio::time::sleep(AGAIN).await;
            }
            done => return done,
        }
    }
}

/// The payee's deposit of a cheque, as it travels.
fn deposit(payee: &Customer, file: &Document) -> Result<Vec<u8>, Fault> {
    let (now, view) = (SystemClock.now(), payee.view());
    let bundle = Bundle::from_bytes(file).map_err(internal)?;
    let verified = verify(bundle, &Trust::new(view.root(), view.lists().all(), now)).map_err(internal)?;
    let item = ChequeItem::presented(&verified.tip());
    let presentment = presentment_id(&payee.bank, payee.account.as_str(), ItemKind::Cheque, &item);
    let signer = Signer::new(&payee.signing, &payee.chain, view.root(), now).map_err(internal)?;
    let bank = Name::new(payee.bank.as_str())?;
    let slip = verified.deposit(bank, payee.account.clone(), presentment, &signer, now).map_err(internal)?;
    let body = Format::Bincode.encode(&ChequeDeposit { cheque: document(&slip)? })?;
    Ok(line::post(&payee.certified()?.authority(), "/v1/account/cheque/deposit", &body))
}

impl Operation for Cheques {
    async fn once(&self, line: &mut Line) -> Result<bool, Fault> {
        let next = self.requests.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(request) = next else { return Ok(false) };
        loop {
            match line.ask(&request).await? {
                ChequeDepositResponse::Final(ChequeOutcome::Paid(_)) => return Ok(true),
                ChequeDepositResponse::Final(ChequeOutcome::Refused(fault)) => return Err(fault),
                ChequeDepositResponse::Final(ChequeOutcome::Returned(code, _)) => {
                    return Err(internal(format!("a cheque came back: {code:?}")));
                }
                ChequeDepositResponse::Pending { .. } => line.wait().await,
            }
        }
    }
}
