//! Where offline coins are: the sums of each bank against wallets and merchants.
//!
//! * **Exact.** Offline circulation is what is left of every value coin in any wallet, its value less what the bank took
//!   of it by deposits and reclaims, plus answered withdrawals whose coins a wallet has yet to store. Who holds the value
//!   meanwhile, and over how many hops, does not matter: the bank redeems each unit of a coin once. With all wallets given
//!   it is exactly so; otherwise a remainder of at least zero belongs to others.
//! * **A bound.** What holders believe to have (the rest of own coins, of received holdings, and payments that wait to be
//!   deposited) is at most what circulates. It may be less: a payment or transfer may be given and not yet taken, or lost.
//!   It may be more only where somebody answered twice; once a bank has seen that, the bound is not checked there.

use std::collections::BTreeMap;

use feiqian_crypto::Digest;
use feiqian_ledger::audit::Finding;
use feiqian_ledger::store::{Row, StoreError, Tx};
use feiqian_offline_cash::chain::{Link, Paid, Passed};
use feiqian_offline_cash::keyset::{Keyset, MAX_KEYS};
use feiqian_offline_cash::pay::CashItem;
use feiqian_offline_cash::withdraw::{Output, expand};
use feiqian_wire::Bounded;
use serde_json::{Map, Value};

use super::books::{Issuance, all, decoded};
use super::conserve::{Compared, World};

/// Offline coins at the bank that issued them, minor units.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Issuer {
    /// Values by the id of the key.
    values: BTreeMap<Digest, u64>,
    /// Issued less redeemed and reclaimed, by key.
    circulating: BTreeMap<Digest, i128>,
    /// Taken back of a coin, by *m*.
    taken: BTreeMap<Digest, i128>,
    /// Keys of the coins of answered withdrawals, by the wallet's request.
    answered: BTreeMap<Digest, Vec<Digest>>,
    /// Whether some unit was deposited twice.
    forked: bool,
}

/// A value coin in a wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Coin {
    key: Digest,
    worth: u64,
}

/// Value that a home can spend or deposit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    /// Of the value coin.
    key: Digest,
    amount: u64,
}

/// What a wallet or merchant has of offline cash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Purse {
    /// Value coins by *m*, spent ones too.
    coins: BTreeMap<Digest, Coin>,
    /// What is left of a value coin or of what a blank took, by *m*; nothing that is claimed back.
    rests: BTreeMap<Digest, Held>,
    /// Withdrawals by request.
    sessions: BTreeMap<Digest, Issuance>,
    /// Payments that wait to be deposited.
    queued: BTreeMap<Digest, Held>,
}

/// The sums of one bank, minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sums {
    circulating: i128,
    in_wallets: i128,
    unstored: i128,
    elsewhere: i128,
    unspent_or_received: i128,
    queued: i128,
}

impl Issuer {
    pub(super) fn read(tx: &mut dyn Tx) -> Result<Self, StoreError> {
        let mut issuer = Self::default();
        let keysets: Vec<Keyset> =
            all(tx, "SELECT body FROM offline_keyset ORDER BY epoch", |row| decoded(row.blob(0)?))?;
        for keyset in &keysets {
            issuer.values.extend(keyset.keys.iter().map(|key| (keyset.key_id(key), key.value.value())));
        }
        let totals: Vec<(Digest, i128)> =
            all(tx, "SELECT key_id, issued, redeemed, reclaimed FROM offline_total", |row| {
                let [issued, redeemed, reclaimed] = [1, 2, 3].map(|at| row.integer(at).map(i128::from));
                Ok((row.digest(0)?, issued?.saturating_sub(redeemed?).saturating_sub(reclaimed?)))
            })?;
        for (key, left) in totals {
            plus(&mut issuer.circulating, key, left);
        }
        let chains: Vec<(Digest, i64, i64)> =
            all(tx, "SELECT coin, circulation, length FROM offline_chain", |row| {
                Ok((row.digest(0)?, row.integer(1)?, row.integer(2)?))
            })?;
        issuer.forked = chains.iter().any(|(_, circulation, length)| circulation < length);
        let reclaims: Vec<(Digest, i64)> =
            all(tx, "SELECT coin, paid FROM offline_reclaim WHERE paid IS NOT NULL", |row| {
                Ok((row.digest(0)?, row.integer(1)?))
            })?;
        let redeemed = chains.into_iter().map(|(coin, circulation, _)| (coin, circulation));
        for (coin, amount) in redeemed.chain(reclaims) {
            plus(&mut issuer.taken, coin, amount.into());
        }
        issuer.answered = all(tx, "SELECT request, outputs FROM offline_session WHERE state = 1", |row| {
            let outputs: Bounded<Output, MAX_KEYS> = decoded(row.blob(1)?)?;
            let coins = expand(&outputs).map_err(|error| StoreError::Corrupt(error.to_string()))?;
            Ok((row.digest(0)?, coins))
        })?;
        Ok(issuer)
    }

    fn owns(&self, held: &Held) -> bool {
        self.values.contains_key(&held.key)
    }
}

impl Purse {
    /// Of a wallet's store.
    pub(super) fn of_wallet(tx: &mut dyn Tx) -> Result<Self, StoreError> {
        let mut purse = Self::default();
        let claimed: Vec<Digest> = all(tx, "SELECT message FROM offline_claim", |row| row.digest(0))?;
        let sql = "SELECT message, kind, key_id, worth, rest, chain, state FROM offline_coin";
        for row in tx.select(sql, &[])? {
            let (message, key, rest) = (row.digest(0)?, row.digest(2)?, row.unsigned(4)?);
            let is_value = row.text(1)? == "value";
            if is_value {
                purse.coins.insert(message, Coin { key, worth: row.unsigned(3)? });
            }
            let of = match row.optional_blob(5)?.map(decoded::<Passed>).transpose()? {
                Some(chain) => first_key(&chain.links),
                None => is_value.then_some(key),
            };
            if let Some(key) = of.filter(|_| rest > 0 && row.text(6).is_ok_and(|state| state == "good"))
                && !claimed.contains(&message)
            {
                purse.rests.insert(message, Held { key, amount: rest });
            }
        }
        purse.sessions = all(tx, "SELECT request, state FROM offline_session", |row| {
            let issuance = match row.text(1)? {
                "done" | "restored" => Issuance::Stored,
                "void" => Issuance::Void,
                _ => Issuance::Open,
            };
            Ok((row.digest(0)?, issuance))
        })?;
        purse.queued = queued(tx, "SELECT payment, amount, item FROM offline_payment WHERE state = 'open'")?;
        Ok(purse)
    }

    /// Of a merchant's store.
    pub(super) fn of_merchant(tx: &mut dyn Tx) -> Result<Self, StoreError> {
        let sql = "SELECT payment, amount, item FROM merchant_offline_payment WHERE state = 0";
        Ok(Self { queued: queued(tx, sql)?, ..Self::default() })
    }
}

fn queued(tx: &mut dyn Tx, sql: &str) -> Result<BTreeMap<Digest, Held>, StoreError> {
    let read = |row: &Row| {
        let item: CashItem = decoded(row.blob(2)?)?;
        let chain = item.payment.chains.iter().next();
        let key = chain.map(key_of).ok_or_else(|| StoreError::Corrupt("a payment of nothing".to_owned()))?;
        Ok((row.digest(0)?, Held { key, amount: row.unsigned(1)? }))
    };
    all(tx, sql, read)
}

/// The id of the value coin's key. All value coins of a payment are of one bank.
fn key_of(chain: &Paid) -> Digest {
    first_key(&chain.links).unwrap_or(chain.last.key)
}

fn first_key(links: &[Link]) -> Option<Digest> {
    links.first().map(|link| link.hop.key)
}

fn plus<K: Ord>(sums: &mut BTreeMap<K, i128>, key: K, amount: i128) {
    let sum = sums.entry(key).or_default();
    *sum = sum.saturating_add(amount);
}

impl World {
    /// The offline coins of a bank, and what is said of them in the sums.
    pub(super) fn offline_circulation(
        &self,
        name: &str,
        issuer: &Issuer,
        booked: i128,
        compared: &mut Compared,
    ) -> Map<String, Value> {
        let mut sums = self.circulation_by_key(name, issuer, compared);
        if sums.circulating != booked {
            let place = format!("bank {name}, ledger account offline_circulation");
            let detail = format!("{booked} booked, the keys make {}", sums.circulating);
            compared.findings.push(Finding::new(3, place, detail));
        }
        self.given_up_offline(name, issuer, compared);
        (sums.unspent_or_received, sums.queued) = self.believed(name, issuer);
        let believed = sums.unspent_or_received.saturating_add(sums.queued);
        if compared.closed && !issuer.forked && believed > sums.circulating {
            let detail = format!(
                "wallets and merchants hold {believed}, {} circulate: somebody has more than there is",
                sums.circulating
            );
            compared.findings.push(Finding::new(3, format!("bank {name}, offline coins"), detail));
        }
        [
            ("offline_in_wallets", sums.in_wallets),
            ("offline_on_their_way", sums.unstored),
            ("offline_elsewhere", sums.elsewhere),
            ("offline_held", sums.unspent_or_received),
            ("offline_queued", sums.queued),
        ]
        .map(|(word, sum)| (word.to_owned(), Value::String(sum.to_string())))
        .into_iter()
        .collect()
    }

    fn purses(&self) -> impl Iterator<Item = &Purse> {
        let wallets = self.wallets.iter().map(|wallet| &wallet.offline);
        wallets.chain(self.merchants.iter().map(|merchant| &merchant.purse))
    }

    fn circulation_by_key(&self, name: &str, issuer: &Issuer, compared: &mut Compared) -> Sums {
        let mut coins: BTreeMap<Digest, Coin> = BTreeMap::new();
        for (message, coin) in self.purses().flat_map(|purse| &purse.coins) {
            if issuer.values.contains_key(&coin.key) {
                coins.insert(*message, *coin);
            }
        }
        let (mut held, mut flying) = (BTreeMap::new(), BTreeMap::new());
        for (message, coin) in coins {
            if issuer.values.get(&coin.key) != Some(&coin.worth) {
                let place = format!("offline coin {message} of bank {name}");
                let detail = format!("worth {} in the wallet, another value at the bank", coin.worth);
                compared.findings.push(Finding::new(3, place, detail));
            }
            let taken = issuer.taken.get(&message).copied().unwrap_or(0);
            plus(&mut held, coin.key, i128::from(coin.worth).saturating_sub(taken));
        }
        for (request, keys) in &issuer.answered {
            if self.offline_issuance(request) == Some(Issuance::Open) {
                for key in keys {
                    plus(&mut flying, *key, issuer.values.get(key).copied().unwrap_or(0).into());
                }
            }
        }
        let mut sums = Sums::default();
        for (key, circulating) in &issuer.circulating {
            let in_wallets = held.get(key).copied().unwrap_or(0);
            let unstored = flying.get(key).copied().unwrap_or(0);
            let remainder = circulating.saturating_sub(in_wallets).saturating_sub(unstored);
            if remainder < 0 || (compared.closed && remainder > 0) {
                let value = issuer.values.get(key).copied().unwrap_or(0);
                let place = format!("bank {name}, offline coins of {value} ({key})");
                let detail = format!(
                    "{circulating} in circulation, coins in wallets make {in_wallets}, {unstored} are on their way: \
                     {remainder} too {}",
                    if remainder < 0 { "few" } else { "many" }
                );
                compared.findings.push(Finding::new(3, place, detail));
            }
            for (sum, part) in [
                (&mut sums.circulating, *circulating),
                (&mut sums.in_wallets, in_wallets),
                (&mut sums.unstored, unstored),
                (&mut sums.elsewhere, remainder),
            ] {
                *sum = sum.saturating_add(part);
            }
        }
        sums
    }

    /// What holders believe to have of a bank's coins: unspent or received, and queued. Of two copies of a coin the one
    /// that has given more away is right.
    fn believed(&self, name: &str, issuer: &Issuer) -> (i128, i128) {
        let mut rests: BTreeMap<Digest, u64> = BTreeMap::new();
        let mut queued: BTreeMap<Digest, u64> = BTreeMap::new();
        for purse in self.purses() {
            for (message, held) in purse.rests.iter().filter(|(_, held)| issuer.owns(held)) {
                let rest = rests.entry(*message).or_insert(held.amount);
                *rest = held.amount.min(*rest);
            }
            let taken =
                |payment: &Digest| self.bank(name).is_some_and(|books| books.offline.has_taken(payment));
            let waiting = purse.queued.iter().filter(|(payment, held)| issuer.owns(held) && !taken(payment));
            queued.extend(waiting.map(|(payment, held)| (*payment, held.amount)));
        }
        let sum = |amounts: BTreeMap<Digest, u64>| {
            amounts.into_values().fold(0_i128, |sum, amount| sum.saturating_add(amount.into()))
        };
        (sum(rests), sum(queued))
    }

    fn offline_issuance(&self, request: &Digest) -> Option<Issuance> {
        let known = || self.wallets.iter().filter_map(|wallet| wallet.offline.sessions.get(request));
        [Issuance::Stored, Issuance::Open, Issuance::Void]
            .into_iter()
            .find(|wanted| known().any(|issuance| issuance == wanted))
    }

    /// The bank has signed these coins and owes them; the wallet does not know that it may have them.
    fn given_up_offline(&self, name: &str, issuer: &Issuer, compared: &mut Compared) {
        let given_up = |request: &&Digest| self.offline_issuance(request) == Some(Issuance::Void);
        for request in issuer.answered.keys().filter(given_up) {
            let place = format!("bank {name}, offline withdrawal of request {request}");
            compared.findings.push(Finding::new(8, place, "answered at the bank, void at the wallet"));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::audit::books::{BankBooks, CenterBooks, MerchantBooks, WalletBooks};

    const KEY: Digest = Digest([1; 32]);
    const COIN: Digest = Digest([2; 32]);
    const BLANK: Digest = Digest([3; 32]);
    const PAYMENT: Digest = Digest([4; 32]);
    const REQUEST: Digest = Digest([5; 32]);

    /// One coin of 16, of which 4 were deposited, 4 wait at a merchant, 2 were received by somebody, and 5 are unspent.
    fn world() -> (World, Issuer) {
        let issuer = Issuer {
            values: [(KEY, 16)].into(),
            circulating: [(KEY, 12)].into(),
            taken: [(COIN, 4)].into(),
            ..Issuer::default()
        };
        let held = |amount| Held { key: KEY, amount };
        let alice = Purse {
            coins: [(COIN, Coin { key: KEY, worth: 16 })].into(),
            rests: [(COIN, held(5))].into(),
            sessions: [(REQUEST, Issuance::Open)].into(),
            ..Purse::default()
        };
        let bob = Purse { rests: [(BLANK, held(2))].into(), ..Purse::default() };
        let wallet = |account: &str, offline| WalletBooks {
            bank: "north".to_owned(),
            account: account.to_owned(),
            offline,
            ..WalletBooks::default()
        };
        let shop = Purse { queued: [(PAYMENT, held(4))].into(), ..Purse::default() };
        let world = World {
            centers: vec![CenterBooks::default()],
            banks: vec![BankBooks { name: "north".to_owned(), ..BankBooks::default() }],
            wallets: vec![wallet("alice", alice), wallet("bob", bob)],
            merchants: vec![MerchantBooks { purse: shop, ..MerchantBooks::default() }],
        };
        (world, issuer)
    }

    fn found(world: &World, issuer: &Issuer, booked: i128, closed: bool) -> Vec<String> {
        let mut compared = Compared { closed, ..Compared::default() };
        world.offline_circulation("north", issuer, booked, &mut compared);
        compared.findings.into_iter().map(|finding| finding.place).collect()
    }

    #[test]
    fn circulation_is_the_coins_less_what_was_taken_of_them() {
        let (world, issuer) = world();
        assert_eq!(found(&world, &issuer, 12, true), [""; 0]);
        assert_eq!(found(&world, &issuer, 11, true).len(), 1, "the book says another sum");
        let mut more = issuer.clone();
        more.circulating.insert(KEY, 13);
        assert_eq!(found(&world, &more, 13, true).len(), 1, "a unit that no wallet ever had");
        assert_eq!(found(&world, &more, 13, false), [""; 0], "it may be somebody else's");
        let mut less = issuer.clone();
        less.circulating.insert(KEY, 11);
        assert_eq!(found(&world, &less, 11, false).len(), 1, "a unit redeemed that nobody gave back");
    }

    #[test]
    fn signed_coins_that_no_wallet_has_stored_are_on_their_way_unless_it_gave_them_up() {
        let (mut world, mut issuer) = world();
        issuer.circulating.insert(KEY, 28);
        issuer.answered.insert(REQUEST, vec![KEY]);
        assert_eq!(found(&world, &issuer, 28, true), [""; 0]);
        for (state, findings) in [(Issuance::Stored, 1), (Issuance::Void, 2)] {
            world.wallets.first_mut().unwrap().offline.sessions.insert(REQUEST, state);
            assert_eq!(found(&world, &issuer, 28, true).len(), findings, "{state:?}");
        }
    }

    #[test]
    fn holders_have_no_more_than_circulates_unless_somebody_cheats() {
        let (mut world, mut issuer) = world();
        let bob = &mut world.wallets.last_mut().unwrap().offline;
        bob.rests.insert(BLANK, Held { key: KEY, amount: 3 });
        assert_eq!(found(&world, &issuer, 12, true), [""; 0], "5 and 3 and 4 are all there is");
        let bob = &mut world.wallets.last_mut().unwrap().offline;
        bob.rests.insert(BLANK, Held { key: KEY, amount: 4 });
        assert_eq!(found(&world, &issuer, 12, true).len(), 1);
        assert_eq!(found(&world, &issuer, 12, false), [""; 0]);
        issuer.forked = true;
        assert_eq!(found(&world, &issuer, 12, true), [""; 0], "a double spend is known");
        // Another bank's coins do not count here.
        issuer.forked = false;
        let bob = &mut world.wallets.last_mut().unwrap().offline;
        bob.rests.insert(BLANK, Held { key: Digest([9; 32]), amount: 400 });
        assert_eq!(found(&world, &issuer, 12, true), [""; 0]);
    }
}
