//! Random sequences of everything that moves coins at one bank, held against a model that a child could keep: what each
//! coin has given, what is on each account, what may still be refunded and claimed.

use feiqian_crypto::{Digest, EncodedScalar};
use feiqian_online_cash::account::DepositResponse;
use feiqian_online_cash::coin::Coin;
use feiqian_online_cash::deposit::{CashItem, Outcome, Receipt};
use feiqian_online_cash::funding::{Funding, received_statement, refunded_statement};
use feiqian_online_cash::issue::FinishResponse;
use feiqian_online_cash::refund::RefundOutcome;
use feiqian_online_cash::request::SignedRequest;
use feiqian_wire::Bounded;
use feiqian_wire::error::{Code, Fault};
use rand::RngExt as _;
use rand::rngs::ChaCha12Rng;

use crate::refunds::order;
use crate::world::{Begun, Holder, Node, World, minor, pay, possess, rng};

/// Operations of one sequence, and sequences.
const LENGTH: usize = 70;
const SEQUENCES: u64 = 8;
/// What the two customers begin with, minor units.
const FUNDS: u64 = 400;

/// A coin, and what it gave.
struct Held {
    coin: Coin,
    value: u64,
    given: u64,
}

/// A payment that was paid on an account.
struct Paid {
    item: CashItem,
    receipt: Receipt,
    coins: Vec<usize>,
    payee: usize,
    amount: u64,
    refunded: u64,
    claimed: u64,
}

/// The bank, and the model of it.
struct Bank<'a> {
    node: &'a Node,
    holders: [&'a Holder; 2],
    rng: ChaCha12Rng,
    next: u64,
    accounts: [u64; 2],
    coins: Vec<Held>,
    paid: Vec<Paid>,
    requests: Vec<(SignedRequest, usize, u64)>,
    refunds: Vec<(usize, u64, u64)>,
    /// How often each operation was done, and refused.
    tally: [[u32; 2]; 7],
}

/// Powers of two that make an amount.
fn parts(amount: u64) -> Vec<u64> {
    (0..10).map(|bit| 1 << bit).filter(|part| amount & part != 0).collect()
}

impl<'a> Bank<'a> {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn below(&mut self, bound: usize) -> usize {
        self.rng.random_range(0..bound)
    }

    fn keep(&mut self, coins: Vec<Coin>, values: &[u64]) {
        let held = coins.into_iter().zip(values).map(|(coin, value)| Held { coin, value: *value, given: 0 });
        self.coins.extend(held);
    }

    async fn issue(
        &mut self,
        who: Option<usize>,
        values: &[u64],
        funding: impl FnOnce(&Self, &Begun) -> Funding,
    ) -> Result<(), Fault> {
        let (number, holder) = (self.number(), who.map(|who| self.holders[who]));
        let begun = self.node.begin(holder, number, values).await;
        let finish = begun.finish(funding(self, &begun));
        let path = if who.is_some() { "/v1/account/issue/finish" } else { "/v1/issue/finish" };
        let peer = holder.map(|holder| &holder.peer);
        let answer: FinishResponse = self.node.ask(peer, path, &finish).await?;
        // Once more: the same answer, and nothing else happens.
        let again: FinishResponse = self.node.ask(peer, path, &finish).await.unwrap();
        assert_eq!(again, answer);
        let coins = begun.pending.finish(&answer.answers).unwrap();
        self.keep(coins, values);
        Ok(())
    }

    async fn withdraw(&mut self) -> bool {
        let (who, amount): (usize, u64) = (self.below(2), self.rng.random_range(1..200));
        let enough = amount <= self.accounts[who];
        let done = self
            .issue(Some(who), &parts(amount), |bank, begun| {
                bank.node.account_funding(bank.holders[who], begun)
            })
            .await;
        assert_eq!(done.is_ok(), enough, "{done:?}");
        if enough {
            self.accounts[who] -= amount;
        } else {
            assert_eq!(done.unwrap_err().code, Code::InsufficientFunds);
        }
        enough
    }

    /// One or two coins, each with a part of its value, as if nothing had been spent of it.
    fn choose(&mut self) -> Option<Vec<(usize, u64)>> {
        if self.coins.is_empty() {
            return None;
        }
        let mut chosen: Vec<(usize, u64)> = Vec::new();
        for _ in 0..=self.below(2) {
            let index = self.below(self.coins.len());
            if chosen.iter().all(|(known, _)| *known != index) {
                let held = &self.coins[index];
                let left = held.value - held.given;
                // Mostly what is left.
                let honest = left > 0 && self.rng.random_range(0..4) > 0;
                let most = if honest { left } else { held.value };
                chosen.push((index, self.rng.random_range(1..=most)));
            }
        }
        Some(chosen)
    }

    fn fits(&self, chosen: &[(usize, u64)]) -> bool {
        chosen.iter().all(|(index, take)| self.coins[*index].given + take <= self.coins[*index].value)
    }

    fn give(&mut self, chosen: &[(usize, u64)]) {
        for (index, take) in chosen {
            self.coins[*index].given += take;
        }
    }

    fn item(&self, request: &SignedRequest, chosen: &[(usize, u64)]) -> CashItem {
        let shares: Vec<_> = chosen.iter().map(|(index, take)| (&self.coins[*index].coin, *take)).collect();
        pay(request, &shares)
    }

    async fn put(&self, payee: usize, item: &CashItem) -> Result<Receipt, Code> {
        let peer = Some(&self.holders[payee].peer);
        let answer: Result<DepositResponse, Fault> = self.node.ask(peer, "/v1/deposit", item).await;
        match answer.map_err(|fault| fault.code)? {
            DepositResponse::Final(Outcome::Paid(receipt)) => Ok(receipt),
            DepositResponse::Final(Outcome::DoubleSpent(_)) => Err(Code::DoubleSpent),
            DepositResponse::Final(Outcome::Refused(fault)) => Err(fault.code),
            other => panic!("{other:?}"),
        }
    }

    async fn deposit(&mut self) -> bool {
        let Some(chosen) = self.choose() else { return false };
        let payee = self.below(2);
        let amount: u64 = chosen.iter().map(|(_, take)| take).sum();
        // Now and then a request that another payment has paid.
        let before = self.requests.iter().find(|(_, to, asked)| (*to, *asked) == (payee, amount)).cloned();
        let is_paid = before.is_some();
        let number = self.number();
        let request = before.map_or_else(
            || self.node.request(self.holders[payee], number, amount, 3600),
            |(request, ..)| request,
        );
        let item = self.item(&request, &chosen);
        let repeat = self.paid.iter().any(|paid| paid.item == item);
        let done = self.put(payee, &item).await;
        if repeat {
            assert!(done.is_ok(), "{done:?}");
            return true;
        }
        assert_eq!(done.is_ok(), !is_paid && self.fits(&chosen), "{done:?}");
        let Ok(receipt) = done else { return false };
        assert_eq!(self.put(payee, &item).await.as_ref(), Ok(&receipt), "a repeat is the same");
        self.give(&chosen);
        self.accounts[payee] += amount;
        self.requests.push((request, payee, amount));
        let coins = chosen.iter().map(|(index, _)| *index).collect();
        self.paid.push(Paid { item, receipt, coins, payee, amount, refunded: 0, claimed: 0 });
        true
    }

    async fn deposit_again(&mut self) -> bool {
        if self.paid.is_empty() {
            return false;
        }
        let index = self.below(self.paid.len());
        let (payee, item) = (self.paid[index].payee, self.paid[index].item.clone());
        assert_eq!(self.put(payee, &item).await.unwrap(), self.paid[index].receipt);
        true
    }

    async fn refresh(&mut self) -> bool {
        let Some(chosen) = self.choose() else { return false };
        let amount: u64 = chosen.iter().map(|(_, take)| take).sum();
        let inputs = chosen.clone();
        let done = self
            .issue(None, &parts(amount), |bank, begun| {
                let inputs: Vec<_> =
                    inputs.iter().map(|(index, take)| (&bank.coins[*index].coin, *take)).collect();
                bank.node.refresh_funding(begun, &inputs, Vec::new())
            })
            .await;
        let fits = self.fits(&chosen);
        assert_eq!(done.is_ok(), fits, "{done:?}");
        match done {
            Ok(()) => self.give(&chosen),
            Err(fault) => assert_eq!(fault.code, Code::DoubleSpent),
        }
        fits
    }

    /// A payment to a person's key, which becomes coins of the payee's.
    async fn transfer(&mut self) -> bool {
        let Some(chosen) = self.choose() else { return false };
        let amount: u64 = chosen.iter().map(|(_, take)| take).sum();
        let number = self.number();
        let (request, secret) = self.node.key_request(number, amount, 3600);
        let item = self.item(&request, &chosen);
        let taken = item.clone();
        let done = self
            .issue(None, &parts(amount), |_, begun| {
                let (session, payment) = (&begun.offer.session, taken.payment.digest());
                let statement =
                    received_statement("north", session, &payment, minor(amount), &begun.challenges);
                Funding::Received { possession: possess(&secret, &statement), item: taken }
            })
            .await;
        assert_eq!(done.is_ok(), self.fits(&chosen), "{done:?}");
        if done.is_err() {
            return false;
        }
        self.give(&chosen);
        // It was taken once, and is worth nothing on an account.
        assert!(self.put(0, &item).await.is_err());
        true
    }

    async fn refund(&mut self) -> bool {
        if self.paid.is_empty() {
            return false;
        }
        let index = self.below(self.paid.len());
        let known = self.refunds.iter().find(|(of, ..)| *of == index).copied();
        let repeat = known.filter(|_| self.rng.random_range(0..4) == 0);
        let (_, number, amount) = match repeat {
            Some(known) => known,
            None => (index, self.number(), self.rng.random_range(1..=self.paid[index].amount)),
        };
        let paid = &self.paid[index];
        let holder = self.holders[paid.payee];
        let item = order(holder, &paid.receipt, number, amount);
        let enough = paid.refunded + amount <= paid.amount && amount <= self.accounts[paid.payee];
        let answer: Result<RefundOutcome, Fault> =
            self.node.ask(Some(&holder.peer), "/v1/refund", &item).await;
        let booked = matches!(answer, Ok(RefundOutcome::Booked));
        assert_eq!(booked, repeat.is_some() || enough, "{answer:?}");
        if booked && repeat.is_none() {
            let payee = self.paid[index].payee;
            self.paid[index].refunded += amount;
            self.accounts[payee] -= amount;
            self.refunds.push((index, number, amount));
        }
        booked
    }

    async fn claim(&mut self) -> bool {
        let open: Vec<usize> = (0..self.paid.len()).filter(|index| self.paid[*index].refunded > 0).collect();
        if open.is_empty() {
            return false;
        }
        let index = open[self.below(open.len())];
        let paid = &self.paid[index];
        let left = paid.refunded - paid.claimed;
        let amount = self.rng.random_range(1..=paid.refunded);
        let (payment, coins) = (paid.receipt.payment, paid.coins.clone());
        let done = self
            .issue(None, &parts(amount), |bank, begun| bank.refunded(begun, payment, amount, &coins))
            .await;
        assert_eq!(done.is_ok(), amount <= left, "{done:?}");
        match done {
            Ok(()) => self.paid[index].claimed += amount,
            Err(fault) => assert_eq!(fault.code, Code::RefundExceeded),
        }
        amount <= left
    }

    fn refunded(&self, begun: &Begun, payment: Digest, amount: u64, coins: &[usize]) -> Funding {
        let coins: Vec<&Coin> = coins.iter().map(|index| &self.coins[*index].coin).collect();
        let secrets: Vec<_> =
            coins.iter().map(|coin| EncodedScalar(*coin.secret_bytes()).decode().unwrap()).collect();
        let keys: Vec<_> = coins.iter().map(|coin| coin.id.key).collect();
        let session = &begun.offer.session;
        let statement = refunded_statement("north", session, &payment, minor(amount), &begun.challenges);
        Funding::Refunded {
            payment,
            amount: minor(amount),
            coins: Bounded::new(coins.iter().map(|coin| coin.id).collect()).unwrap(),
            possession: feiqian_crypto::possession::prove(&secrets, &keys, &statement, &mut rng(6)).unwrap(),
        }
    }

    async fn one(&mut self) {
        let which = self.below(9);
        let (place, done) = match which {
            0 | 7 => (0, self.withdraw().await),
            1 | 8 => (1, self.deposit().await),
            2 => (2, self.deposit_again().await),
            3 => (3, self.refresh().await),
            4 => (4, self.transfer().await),
            5 => (5, self.refund().await),
            _ => (6, self.claim().await),
        };
        self.tally[place][usize::from(!done)] += 1;
        for (holder, expected) in self.holders.into_iter().zip(self.accounts) {
            let expected = format!("{}.{:02}", expected / 100, expected % 100);
            assert_eq!(self.node.balance(holder).await, expected, "after operation {which}");
        }
    }

    async fn compare(&self) {
        let report = self.node.assert_sound().await;
        let circulating: u64 = self.coins.iter().map(|held| held.value - held.given).sum();
        let open: u64 = self.paid.iter().map(|paid| paid.refunded - paid.claimed).sum();
        assert_eq!(report.in_circulation(), i128::from(circulating));
        assert_eq!(u64::try_from(report.refunds_open).unwrap(), open);
        // No minor unit came or went.
        assert_eq!(self.accounts.iter().sum::<u64>() + circulating + open, 2 * FUNDS);
    }
}

#[tokio::test]
async fn whatever_is_done_in_whatever_order_the_books_are_those_of_the_model() {
    let mut tally = [[0_u32; 2]; 7];
    for seed in 0..SEQUENCES {
        let world = World::new();
        let node = world.bank("north", 10).await;
        world.publish(&[&node]).await;
        let one = world.customer(&node, "alice", "4.00").await;
        let other = world.customer(&node, "bobby12", "4.00").await;
        let mut bank = Bank {
            node: &node,
            holders: [&one, &other],
            rng: rng(1000 + seed),
            next: 10_000 * (seed + 1),
            accounts: [FUNDS; 2],
            coins: Vec::new(),
            paid: Vec::new(),
            requests: Vec::new(),
            refunds: Vec::new(),
            tally,
        };
        for step in 0..LENGTH {
            bank.one().await;
            if step % 10 == 9 {
                bank.compare().await;
            }
        }
        bank.compare().await;
        tally = bank.tally;
    }
    // Each of them was done and, but for the repeat, refused.
    for (place, [done, refused]) in tally.into_iter().enumerate() {
        assert!(done >= 5 && (refused >= 2 || place == 2), "operation {place}: {tally:?}");
    }
}
