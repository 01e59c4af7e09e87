//! Random histories on the real book in an in-memory store, compared step by step with a naive model.
#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test stops at the first surprise"
)]

mod model;

use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::{
    LedgerError, TABLES, audit,
    book::{self, Account, Transfer},
    journal,
    store::{StoreError, StoreExt, Tx},
    testing::{arb_account, arb_transfer, id},
};
use feiqian_money::Minor;
use feiqian_store::SqliteStore;
use model::{Model, Refusal};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Open(Account),
    /// Linked transfers, sent with the same id twice in a row if `doubled`.
    Book {
        group: Vec<Transfer>,
        doubled: bool,
    },
    /// Resolve the n-th pending transfer; `how` 0 post, 1 void, 2 expire; `share` of 4 quarters, above 4 too much.
    Resolve {
        id: u8,
        nth: usize,
        how: u8,
        share: u64,
        swapped: bool,
    },
    /// A pending transfer and its post in one linked group.
    PendAndPost {
        transfer: Transfer,
        id: u8,
    },
    /// An earlier accepted transfer again, with another amount if `changed`.
    Again {
        nth: usize,
        changed: bool,
    },
    Wait(u64),
    Expire,
}

fn arb_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => arb_account().prop_map(Step::Open),
        8 => (prop::collection::vec(arb_transfer(), 1..4), any::<bool>()).prop_map(|(group, doubled)| Step::Book { group, doubled }),
        5 => (160_u8..200, 0_usize..20, 0_u8..3, 1_u64..6, prop::bool::weighted(0.1))
            .prop_map(|(id, nth, how, share, swapped)| Step::Resolve { id, nth, how, share, swapped }),
        1 => (arb_transfer(), 200_u8..220).prop_map(|(transfer, id)| Step::PendAndPost { transfer, id }),
        2 => (0_usize..50, any::<bool>()).prop_map(|(nth, changed)| Step::Again { nth, changed }),
        2 => (1_u64..8).prop_map(Step::Wait),
        1 => Just(Step::Expire),
    ]
}

fn now<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

struct World {
    store: SqliteStore,
    model: Model,
    time: u64,
}

impl World {
    fn new() -> Self {
        Self { store: SqliteStore::open_in_memory(TABLES).unwrap(), model: Model::default(), time: 0 }
    }

    /// Books, and commits the transaction also after a refusal: a refusal must have written nothing.
    fn book(&mut self, group: Vec<Transfer>) {
        let time = self.time;
        let expected = self.model.transfer(&group, time);
        let given = group.clone();
        let result =
            now(self.store.commit("book", move |tx| Ok::<_, StoreError>(book::transfer(tx, &given, time))))
                .unwrap();
        let found = result.as_ref().copied().map_err(Refusal::from);
        assert_eq!(found, expected, "{group:?} at {time}: {result:?}");
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Open(account) => {
                let (expected, time) = (self.model.open(&account), self.time);
                let result: Result<_, LedgerError> =
                    now(self.store.commit("open", move |tx| book::open_account(tx, &account, time)));
                assert_eq!(result.as_ref().copied().map_err(Refusal::from), expected);
            }
            Step::Book { group, doubled } => {
                self.book(group.clone());
                if doubled {
                    self.book(group);
                }
            }
            Step::Resolve { id: number, nth, how, share, swapped } => {
                let pending: Vec<_> =
                    self.model.accepted.iter().filter(|one| one.kind.number() == 1).collect();
                let Some(pending) = pending.get(nth % pending.len().max(1)) else { return };
                let part = Minor::new((pending.amount.value() * share).div_ceil(4)).unwrap();
                let mut transfer = match how {
                    0 => pending.post(id(number), part),
                    1 => Transfer {
                        amount: if share == 1 { part } else { pending.amount },
                        ..pending.void(id(number))
                    },
                    _ => pending.expire(),
                };
                if swapped {
                    std::mem::swap(&mut transfer.debit, &mut transfer.credit);
                }
                self.book(vec![transfer]);
            }
            Step::PendAndPost { transfer, id: number } => {
                let pending = Transfer::pending(
                    transfer.id,
                    transfer.debit,
                    transfer.credit,
                    transfer.amount,
                    0,
                    Some(70),
                );
                let post = pending.post(id(number), transfer.amount);
                self.book(vec![pending, post]);
            }
            Step::Again { nth, changed } => {
                let count = self.model.accepted.len();
                let Some(known) = self.model.accepted.get(nth % count.max(1)).cloned() else { return };
                let amount = if changed {
                    known.amount.checked_add(Minor::new(1).unwrap()).unwrap()
                } else {
                    known.amount
                };
                self.book(vec![Transfer { amount, ..known }]);
            }
            Step::Wait(seconds) => self.time += seconds,
            Step::Expire => {
                let (expected, time) = (self.model.expire(self.time), self.time);
                let expired: Result<_, LedgerError> =
                    now(self.store.commit("expire", move |tx| book::expire_due(tx, time)));
                assert_eq!(expired.unwrap().len(), expected);
            }
        }
    }

    fn compare(&self) {
        for account in self.model.accounts.clone() {
            let wanted = account.id;
            let state: Result<_, LedgerError> = now(self.store.read(move |tx| book::account(tx, wanted)));
            let state = state.unwrap().unwrap();
            let balances =
                [state.debits_pending, state.debits_posted, state.credits_pending, state.credits_posted];
            assert_eq!(balances.map(|one| i128::from(one.value())), self.model.balances(account.id));
            assert_eq!(state.account, account);
        }
    }

    fn audit(&self) -> (audit::Report, Vec<audit::Finding>) {
        now(self.store.read(|tx: &mut dyn Tx| {
            Ok::<_, StoreError>((audit::check_book(tx)?, audit::check_rows(tx, TABLES)?))
        }))
        .unwrap()
    }

    fn head(&self) -> (u64, Digest) {
        let head = now(self.store.read(journal::head)).unwrap();
        (head.seq, head.digest)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_book_does_what_the_model_does(steps in prop::collection::vec(arb_step(), 1..80)) {
        let mut world = World::new();
        // Most accounts exist from the start, or nothing would ever be booked.
        for account in 0_u8..4 {
            let limit = if account == 3 { book::Limit::DebitsNotAboveCredits } else { book::Limit::None };
            let currency = feiqian_money::Currency::CNY;
            world.step(Step::Open(Account { id: id(account), currency, code: 0, limit }));
        }
        for step in steps.clone() {
            world.step(step);
            world.compare();
        }
        let (report, rows) = world.audit();
        prop_assert_eq!(&report.findings, &Vec::new());
        prop_assert_eq!(rows, Vec::new());
        prop_assert_eq!(report.transfers, u64::try_from(world.model.accepted.len()).unwrap());
        prop_assert_eq!((report.head.seq, report.head.digest), world.head());
        // Statements hold exactly the transfers of the account, in order.
        for account in world.model.accounts.clone() {
            let wanted = account.id;
            let entries: Result<_, LedgerError> = now(world.store.read(move |tx| book::entries(tx, wanted, 0, 1000)));
            let found: Vec<Id16> = entries.unwrap().into_iter().map(|entry| entry.transfer.id).collect();
            let touches = |one: &&Transfer| one.debit == wanted || one.credit == wanted;
            let mut expected: Vec<Id16> = world.model.accepted.iter().filter(touches).map(|one| one.id).collect();
            let mut sorted = found.clone();
            sorted.sort();
            expected.sort();
            prop_assert_eq!(sorted, expected);
        }
    }

    #[test]
    fn the_same_history_gives_the_same_journal(steps in prop::collection::vec(arb_step(), 1..60)) {
        let heads = [(); 2].map(|()| {
            let mut world = World::new();
            steps.iter().cloned().for_each(|step| world.step(step));
            world.head()
        });
        prop_assert_eq!(heads[0], heads[1]);
    }
}
