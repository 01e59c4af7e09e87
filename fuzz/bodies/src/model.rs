//! Sequences of operations, each held against a model that a child could keep.
//!
//! | target | real | model |
//! |---|---|---|
//! | `operations-ledger` | the book of `feiqian-ledger` in a store in memory | a list of what was accepted, added up anew each time |
//! | `operations-register` | the deposit register of offline coins | for each minor unit, the chains that cover it |

use std::collections::{BTreeMap, BTreeSet};

use feiqian_crypto::share_tree::Node;
use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::book::{self, Account, Kind, Limit, Transfer};
use feiqian_ledger::store::{StoreError, StoreExt, Tx};
use feiqian_ledger::{TABLES, audit};
use feiqian_money::{Currency, Minor};
use feiqian_offline_cash::register::{Deposited, Mark, Register};
use feiqian_store::SqliteStore;
use feiqian_wire::Code;

use crate::{Shape, Target, Verdict};

#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "the model of the store's own tests, which stop at the first surprise"
)]
#[path = "../../../crates/store/tests/model/mod.rs"]
mod ledger;

use ledger::{Model, Refusal};

/// The targets of this module.
#[must_use]
pub fn targets() -> Vec<Target> {
    vec![
        Target::new("operations-ledger", Shape::Bytes, operations_on_the_ledger),
        Target::new("operations-register", Shape::Bytes, operations_on_the_register),
    ]
}

/// The most operations of one input.
const MOST: usize = 48;

/// Small numbers from the input, until it ends.
struct Numbers<'a>(std::slice::Iter<'a, u8>);

impl Numbers<'_> {
    fn below(&mut self, bound: u8) -> Option<u8> {
        self.0.next().and_then(|byte| byte.checked_rem(bound))
    }
}

/// The book in memory, beside its model.
struct Book {
    runtime: tokio::runtime::Runtime,
    store: SqliteStore,
    model: Model,
    time: u64,
}

fn id(number: u8) -> Id16 {
    Id16::from([number; 16])
}

fn minor(value: u8) -> Minor {
    Minor::new(value.into()).unwrap_or(Minor::ZERO)
}

impl Book {
    fn new() -> Option<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().ok()?;
        let store = SqliteStore::open_in_memory(TABLES).ok()?;
        Some(Self { runtime, store, model: Model::default(), time: 0 })
    }

    fn open(&mut self, account: Account) {
        let (expected, time) = (self.model.open(&account), self.time);
        let work = move |tx: &mut dyn Tx| Ok::<_, StoreError>(book::open_account(tx, &account, time));
        let result = self.runtime.block_on(self.store.commit("open", work));
        let found = result.map(|inner| inner.as_ref().copied().map_err(Refusal::from));
        assert_eq!(found.ok(), Some(expected), "opening an account");
    }

    /// Books, and commits the transaction also after a refusal: a refusal must have written nothing.
    fn book(&mut self, group: Vec<Transfer>) {
        let (expected, time) = (self.model.transfer(&group, self.time), self.time);
        let work = move |tx: &mut dyn Tx| Ok::<_, StoreError>(book::transfer(tx, &group, time));
        let result = self.runtime.block_on(self.store.commit("book", work));
        let found = result.map(|inner| inner.as_ref().copied().map_err(Refusal::from));
        assert_eq!(found.ok(), Some(expected), "booking at {time}");
    }

    fn expire(&mut self) {
        let (expected, time) = (self.model.expire(self.time), self.time);
        let work =
            move |tx: &mut dyn Tx| Ok::<_, StoreError>(book::expire_due(tx, time).map(|due| due.len()));
        let result = self.runtime.block_on(self.store.commit("expire", work));
        assert_eq!(result.ok().and_then(Result::ok), Some(expected), "expiring at {time}");
    }

    fn compare(&self) {
        for account in &self.model.accounts {
            let wanted = account.id;
            let work = move |tx: &mut dyn Tx| Ok::<_, StoreError>(book::account(tx, wanted));
            let state = self.runtime.block_on(self.store.read(work)).ok().and_then(Result::ok).flatten();
            let balances = state.map(|state| {
                [state.debits_pending, state.debits_posted, state.credits_pending, state.credits_posted]
                    .map(|sum| i128::from(sum.value()))
            });
            assert_eq!(balances, Some(self.model.balances(wanted)), "balances of {wanted}");
        }
        let report = self.runtime.block_on(self.store.read(audit::check_book));
        assert_eq!(report.map(|report| report.findings).ok(), Some(Vec::new()), "the audit");
    }

    fn one(&mut self, numbers: &mut Numbers<'_>) -> Option<()> {
        match numbers.below(8)? {
            0 => {
                let limit = match numbers.below(3)? {
                    0 => Limit::None,
                    1 => Limit::DebitsNotAboveCredits,
                    _ => Limit::CreditsNotAboveDebits,
                };
                let currency = if numbers.below(5)? == 0 { Currency::EUR } else { Currency::CNY };
                self.open(Account { id: id(numbers.below(5)?), currency, code: 0, limit });
            }
            1..=4 => {
                let count = numbers.below(3)?;
                let group = (0..=count).map(|_| transfer(numbers)).collect::<Option<Vec<_>>>()?;
                self.book(group);
            }
            5 | 6 => {
                let (nth, how, number) = (numbers.below(16)?, numbers.below(4)?, numbers.below(40)?);
                let pending = |one: &&Transfer| matches!(one.kind, Kind::Pending { .. });
                let pending = self.model.accepted.iter().filter(pending).nth(nth.into())?.clone();
                let resolving = match how {
                    0 => pending.post(id(number.saturating_add(160)), pending.amount),
                    1 => pending.post(id(number.saturating_add(160)), minor(numbers.below(50)?)),
                    2 => pending.void(id(number.saturating_add(160))),
                    _ => pending.expire(),
                };
                self.book(vec![resolving]);
            }
            _ => {
                self.time = self.time.saturating_add(numbers.below(8)?.into());
                self.expire();
            }
        }
        Some(())
    }
}

/// A transfer between five accounts, one of sixty ids: repeats and conflicts are frequent.
fn transfer(numbers: &mut Numbers<'_>) -> Option<Transfer> {
    let (number, debit, credit) = (numbers.below(60)?, numbers.below(5)?, numbers.below(5)?);
    let amount = minor(numbers.below(40)?);
    let kind = match numbers.below(4)? {
        0 | 1 => Kind::Posted,
        2 => Kind::Pending { expires: None },
        _ => Kind::Pending { expires: Some(numbers.below(60)?.into()) },
    };
    let number = number.saturating_add(100);
    Some(Transfer { id: id(number), debit: id(debit), credit: id(credit), amount, code: 0, kind })
}

fn operations_on_the_ledger(bytes: &[u8]) -> Verdict {
    let Some(mut book) = Book::new() else { return Verdict::Refused(Code::Unavailable) };
    for account in 0..4 {
        let limit = if account == 3 { Limit::DebitsNotAboveCredits } else { Limit::None };
        book.open(Account { id: id(account), currency: Currency::CNY, code: 0, limit });
    }
    let mut numbers = Numbers(bytes.iter());
    let done = (0..MOST).map_while(|_| {
        let left = numbers.0.len();
        book.one(&mut numbers).or_else(|| (numbers.0.len() < left).then_some(()))
    });
    let done = done.count();
    book.compare();
    if done == 0 { Verdict::Refused(Code::Malformed) } else { Verdict::Accepted }
}

/// The value of the coin whose register is tried, minor units.
const COIN: u64 = 32;

/// A chain of up to four hops. The last is a payment, the others transfers: the two never have one challenge.
fn chain(numbers: &mut Numbers<'_>) -> Option<Deposited> {
    let hops = numbers.below(4)?;
    let mut marks = Vec::new();
    for hop in 0..=hops {
        let (message, place) = (numbers.below(3)?, numbers.below(3)?);
        let challenge = numbers.below(4)?.saturating_add(if hop == hops { 128 } else { 0 });
        // The whole, or one of its halves: chains overlap often.
        let node = Node::new(u64::from(place).saturating_add(1)).ok()?;
        // The coin itself is what answers first.
        let message = Digest([if hop == 0 { 9 } else { message }; 32]);
        let challenge = format!("{challenge:02x}{}", "00".repeat(31)).parse().ok()?;
        marks.push(Mark { message, node, challenge });
    }
    Deposited::new(Minor::new(COIN).ok()?, marks).ok()
}

/// Where `one` leaves `other`.
fn shared(one: &Deposited, other: &Deposited) -> usize {
    one.marks().iter().zip(other.marks()).take_while(|(own, stored)| own == stored).count()
}

fn operations_on_the_register(bytes: &[u8]) -> Verdict {
    let mut numbers = Numbers(bytes.iter());
    let value = Minor::new(COIN).unwrap_or(Minor::ZERO);
    let Ok(mut register) = Register::new(value) else { return Verdict::Refused(Code::PieceInvalid) };
    let mut units: BTreeMap<u64, Vec<Deposited>> = BTreeMap::new();
    let mut known: BTreeSet<Deposited> = BTreeSet::new();
    let (mut circulation, mut charged, mut deposited) = (0_u64, 0_u64, 0_u64);
    for _ in 0..MOST {
        let Some(chain) = chain(&mut numbers) else { break };
        let interval = chain.interval();
        let covered = || {
            (interval.start()..).take_while(|unit| unit.saturating_sub(interval.start()) < interval.length())
        };
        let mut expected = BTreeMap::new();
        let mut fresh = 0_u64;
        for unit in covered() {
            let stored = units.get(&unit).map(Vec::as_slice).unwrap_or_default();
            match stored.iter().map(|other| shared(&chain, other)).max() {
                None => fresh = fresh.saturating_add(1),
                Some(hop) => {
                    let sum: &mut u64 = expected.entry(hop).or_default();
                    *sum = sum.saturating_add(1);
                }
            }
        }
        let settled = register.deposit(chain.clone());
        let Ok(settled) = settled else { unreachable!("a chain that ends in a payment continues none") };
        assert_eq!(settled.repeated, known.contains(&chain), "a repeat is known");
        if settled.repeated {
            assert_eq!((settled.circulation, settled.charges.len()), (0, 0), "a repeat pays nothing");
            continue;
        }
        let found: BTreeMap<usize, u64> = settled.charges.iter().map(|one| (one.hop, one.units)).collect();
        assert_eq!((settled.circulation, found), (fresh, expected), "who pays for {interval:?}");
        circulation = circulation.saturating_add(settled.circulation);
        charged = charged.saturating_add(settled.charged());
        deposited = deposited.saturating_add(interval.length());
        for unit in covered() {
            units.entry(unit).or_default().push(chain.clone());
        }
        known.insert(chain);
    }
    assert!(circulation <= COIN, "circulation pays each unit once");
    assert_eq!(circulation.saturating_add(charged), deposited, "somebody pays for every unit");
    assert_eq!(register.chains().count(), known.len());
    if known.is_empty() { Verdict::Refused(Code::Malformed) } else { Verdict::Accepted }
}
