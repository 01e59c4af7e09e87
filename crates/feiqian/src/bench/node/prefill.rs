//! A register that has seen much: rows of spent coins, written through the bank's store while the bank is down.
//!
//! Of every coin the rows that a deposit leaves in the register: coin and payment, as large as real ones,
//! their keys spread over the whole space; the sums of the denomination fit them. Nobody made these payments: their
//! statements' digests and signatures are made up, which `feiqian audit` would say.

use std::path::Path;

use feiqian_bank::tables::{COIN, PAYMENT, TOTAL};
use feiqian_crypto::possession::Proof;
use feiqian_crypto::{Digest, EncodedPoint, EncodedScalar};
use feiqian_ledger::store::{Store, StoreError, StoreExt as _, Tx, Value};
use feiqian_money::{Amount, Currency, Minor};
use feiqian_node::{Clock as _, Entropy as _, Home, SystemClock, SystemEntropy};
use feiqian_online_cash::coin::CoinId;
use feiqian_online_cash::deposit::{Receipt, ReceiptTerms};
use feiqian_online_cash::evidence::Statement;
use feiqian_online_cash::payment::Share;
use feiqian_online_cash::request::Route;
use feiqian_pki::KeyPair;
use feiqian_wire::error::Fault;
use feiqian_wire::{Bounded, Name, Text, codec};
use indicatif::ProgressBar;
use rand::RngExt as _;
use rand::rngs::ChaCha12Rng;

use super::town::{Customer, internal};
use crate::roles::Role;
use crate::stores;

/// Coins in one transaction.
const CHUNK: u64 = 20_000;

/// Where the numbers of these payments begin: beyond those of payments that were made before.
const NUMBERS: u64 = 1 << 40;

/// What all these coins have in common.
struct Pattern {
    denomination: Digest,
    value: Minor,
    epoch: u64,
    receipt: Receipt,
    count: u64,
    rng: ChaCha12Rng,
}

/// Writes `count` spent coins into the store of the bank that lives in `home`.
///
/// # Errors
/// Those of the store.
pub(super) async fn prefill(
    home: &Path,
    by: &Customer,
    count: u64,
    progress: &ProgressBar,
) -> Result<(), Fault> {
    let store = stores::open(Role::Bank, &Home::open(home, Role::Bank.name())?)?;
    let mut pattern = Pattern::new(by, count)?;
    let mut from = 0;
    while from < count {
        let to = from.saturating_add(CHUNK).min(count);
        progress.set_message(format!("{from} of {count} spent coins written"));
        let rows = pattern.rows(from..to).map_err(internal)?;
        store
            .commit("bench.prefill.rows", move |tx: &mut dyn Tx| write(tx, &rows))
            .await
            .map_err(internal)?;
        from = to;
    }
    pattern.add_totals(&*store).await.map_err(internal)
}

/// The rows of one coin.
struct Rows {
    coin: [Value; 6],
    payment: [Value; 11],
}

fn write(tx: &mut dyn Tx, rows: &[Rows]) -> Result<(), StoreError> {
    rows.iter().try_for_each(|row| tx.insert(&COIN, &row.coin))?;
    rows.iter().try_for_each(|row| tx.insert(&PAYMENT, &row.payment))
}

fn encode(value: &impl serde::Serialize) -> Result<Value, StoreError> {
    let bytes = codec::encode(value).map_err(|error| StoreError::Misuse(error.to_string()))?;
    Ok(bytes.into())
}

impl Pattern {
    fn new(by: &Customer, count: u64) -> Result<Self, Fault> {
        let keys = &by.keyset.keys;
        let key =
            keys.iter().min_by_key(|key| key.key.value).ok_or_else(|| internal("a keyset without keys"))?;
        let mut rng = SystemEntropy.rng();
        let terms = ReceiptTerms {
            bank: Name::new(by.bank.as_str())?,
            payment: Digest([0; 32]),
            request: Digest([0; 32]),
            amount: Amount::new(key.key.value, Currency::CNY),
            route: Route::Account {
                bank: Name::new(by.bank.as_str())?,
                account: Text::new(by.account.as_str())?,
            },
            presentment: Digest([0; 32]),
            paid_at: SystemClock.now(),
        };
        let receipt = terms.sign(&KeyPair::generate(&mut rng))?;
        Ok(Self { denomination: key.id, value: key.key.value, epoch: key.epoch, receipt, count, rng })
    }

    /// The `number`th of the keys in order: evenly spread, and unlike any that comes to be otherwise.
    fn key(&mut self, number: u64) -> [u8; 32] {
        let mut key: [u8; 32] = self.rng.random();
        let spread = number.saturating_mul(u64::MAX.checked_div(self.count).unwrap_or(1));
        for (byte, ordered) in key.iter_mut().zip(spread.to_be_bytes()) {
            *byte = ordered;
        }
        key
    }

    fn rows(&mut self, numbers: std::ops::Range<u64>) -> Result<Vec<Rows>, StoreError> {
        numbers.map(|number| self.row(number)).collect()
    }

    fn row(&mut self, number: u64) -> Result<Rows, StoreError> {
        let (coin, digest, request, presentment) =
            (self.key(number), self.key(number), self.key(number), self.key(number));
        let share = Share {
            coin: CoinId { denomination: self.denomination, key: EncodedPoint(coin) },
            contribution: self.value,
        };
        let shares = Bounded::new(vec![share]).map_err(|error| StoreError::Misuse(error.to_string()))?;
        let possession = Proof { r: EncodedPoint(coin), s: EncodedScalar(digest) };
        let statement = Statement::Payment { request: Digest(request), shares, possession };
        let receipt = Receipt {
            payment: Digest(digest),
            request: Digest(request),
            presentment: Digest(presentment),
            ..self.receipt.clone()
        };
        let (bank, account) = match &receipt.route {
            Route::Account { bank, account } => (bank.as_str().into(), account.as_str().into()),
            Route::Received => (Value::Null, Value::Null),
        };
        let digest: Value = Digest(digest).into();
        Ok(Rows {
            coin: [
                self.denomination.into(),
                Digest(coin).into(),
                self.value.into(),
                Value::unsigned(self.epoch)?,
                self.value.into(),
                digest.clone(),
            ],
            payment: [
                Value::unsigned(number.saturating_add(NUMBERS))?,
                digest,
                Digest(request).into(),
                self.value.into(),
                bank,
                account,
                Digest(presentment).into(),
                encode(&receipt)?,
                Minor::ZERO.into(),
                Minor::ZERO.into(),
                encode(&statement)?,
            ],
        })
    }

    /// All of them were issued, and all redeemed.
    async fn add_totals(&self, store: &dyn Store) -> Result<(), StoreError> {
        let key = [Value::unsigned(self.epoch)?, self.denomination.into()];
        let more = self.value.value().saturating_mul(self.count);
        let work = move |tx: &mut dyn Tx| {
            let known = tx.find(&TOTAL, &key)?;
            let [epoch, denomination] = key.clone();
            let raised = |before: u64| Value::unsigned(before.saturating_add(more));
            match known {
                None => tx.insert(&TOTAL, &[epoch, denomination, raised(0)?, raised(0)?]),
                Some(row) => {
                    let sums = [raised(row.unsigned(2)?)?, raised(row.unsigned(3)?)?];
                    let [issued, redeemed] = sums;
                    tx.update(&TOTAL, &[epoch, denomination, issued, redeemed])
                }
            }
        };
        store.commit("bench.prefill.totals", work).await
    }
}
