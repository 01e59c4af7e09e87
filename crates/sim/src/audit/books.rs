//! What an audit over several homes reads from each: only what has to agree with other homes.

use std::collections::{BTreeMap, BTreeSet};

use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::book;
use feiqian_ledger::store::{Row, StoreError, Tx};
use feiqian_online_cash::issue::{Output, expand};
use feiqian_online_cash::keyset::{Keyset, MAX_DENOMINATIONS};
use feiqian_wire::{Bounded, Limit, codec};
use serde::de::DeserializeOwned;

/// A coin's name: denomination and key.
pub type CoinName = (Digest, [u8; 32]);

/// One denomination of one epoch at its bank, minor units.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Denomination {
    /// What one coin is worth.
    pub value: u64,
    /// Signed in answered sessions.
    pub issued: u64,
    /// Taken back.
    pub redeemed: u64,
}

/// One item that a bank presents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// A refund; else a payment.
    pub refund: bool,
    /// Minor units.
    pub amount: u64,
    /// Where it stands.
    pub state: ItemState,
}

/// Where an item stands on one side, the presenting bank's or the center's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemState {
    /// On its way: received, forwarded, pending.
    Open,
    /// Final: it counts in the books.
    Booked,
    /// Final: it never counts.
    Refused,
}

/// Where a wallet's issuance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issuance {
    /// Its coins may yet come.
    Open,
    /// Its coins are stored.
    Stored,
    /// The wallet has given it up.
    Void,
}

/// What a bank knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BankBooks {
    /// Its name.
    pub name: String,
    /// The currency of its books.
    pub currency: String,
    /// By denomination id.
    pub denominations: BTreeMap<Digest, Denomination>,
    /// The spent register.
    pub spent: BTreeMap<CoinName, u64>,
    /// Outputs of answered sessions, by the wallet's request id.
    pub answered: BTreeMap<Digest, Vec<Digest>>,
    /// Accounts of enrolled customers (not merchants), by token.
    pub customers: BTreeSet<String>,
    /// Balance of the ledger account "circulation".
    pub circulation: i128,
    /// Balance of the mirror of the settlement account, as an asset.
    pub mirror: i128,
    /// Balance of all customers together.
    pub deposits: i128,
    /// Refunds booked and not claimed.
    pub refunds_payable: i128,
    /// Ids of all booked transfers that fund the settlement account.
    pub fundings: BTreeSet<Id16>,
    /// Redeemed payments by presentment.
    pub redeemed: BTreeMap<Digest, u64>,
    /// Redeemed payments by their digest.
    pub payments: BTreeMap<Digest, u64>,
    /// Refunds booked as issuing bank, by presentment.
    pub refunds: BTreeMap<Digest, u64>,
    /// What it presents at the center.
    pub presentments: BTreeMap<Digest, Presented>,
}

/// An item at the center.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// A refund; else a payment.
    pub refund: bool,
    /// Who presents it.
    pub collecting: String,
    /// Who answers for it.
    pub issuing: String,
    /// Minor units.
    pub amount: u64,
    /// Where it stands.
    pub state: ItemState,
}

/// What the center knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CenterBooks {
    /// Members with the posted balance of their settlement account.
    pub settlement: BTreeMap<String, i128>,
    /// Fundings: bank and amount.
    pub fundings: BTreeMap<Id16, (String, u64)>,
    /// Presentments.
    pub items: BTreeMap<Digest, Item>,
}

/// A coin in a wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletCoin {
    /// The bank.
    pub bank: String,
    /// Its value, minor units.
    pub worth: u64,
}

/// What a wallet knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WalletBooks {
    /// The bank.
    pub bank: String,
    /// The account's token.
    pub account: String,
    /// By name.
    pub coins: BTreeMap<CoinName, WalletCoin>,
    /// All issuances by request id.
    pub sessions: BTreeMap<Digest, Issuance>,
    /// Payments that were acknowledged as paid: issuing bank and amount.
    pub paid: BTreeMap<Digest, (String, u64)>,
}

fn decoded<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    codec::decode(bytes, Limit::Large).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// All rows of a `SELECT` without parameters, read by `read` into a collection.
fn all<T, C: FromIterator<T>>(
    tx: &mut dyn Tx,
    sql: &str,
    read: impl Fn(&Row) -> Result<T, StoreError>,
) -> Result<C, StoreError> {
    tx.select(sql, &[])?.iter().map(read).collect()
}

fn balance(tx: &mut dyn Tx, id: Id16) -> Result<i128, StoreError> {
    let state = book::account(tx, id).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    Ok(state.map_or(0, |state| state.balance()))
}

impl BankBooks {
    /// Reads a bank's store.
    ///
    /// # Errors
    /// [`StoreError`] when a table cannot be read or understood.
    pub fn read(tx: &mut dyn Tx, name: &str, currency: &str) -> Result<Self, StoreError> {
        use feiqian_bank::chart::{self, Post};
        let mut books = Self { name: name.to_owned(), currency: currency.to_owned(), ..Self::default() };
        let keysets: Vec<Keyset> =
            all(tx, "SELECT body FROM keyset ORDER BY epoch", |row| decoded(row.blob(0)?))?;
        for key in keysets.iter().flat_map(|keyset| keyset.keys.iter()) {
            books.denominations.entry(key.id()).or_default().value = key.value.value();
        }
        let totals: Vec<(Digest, u64, u64)> =
            all(tx, "SELECT denomination, issued, redeemed FROM total", |row| {
                Ok((row.digest(0)?, row.unsigned(1)?, row.unsigned(2)?))
            })?;
        for (id, issued, redeemed) in totals {
            let denomination = books.denominations.entry(id).or_default();
            (denomination.issued, denomination.redeemed) = (issued, redeemed);
        }
        books.spent = all(tx, "SELECT denomination, coin_key, spent FROM coin", |row| {
            Ok(((row.digest(0)?, row.array(1)?), row.unsigned(2)?))
        })?;
        books.answered = all(tx, "SELECT request, outputs FROM session WHERE state = 1", |row| {
            let outputs: Bounded<Output, MAX_DENOMINATIONS> = decoded(row.blob(1)?)?;
            let coins = expand(&outputs).map_err(|error| StoreError::Corrupt(error.to_string()))?;
            Ok((row.digest(0)?, coins))
        })?;
        let enrolled = "SELECT id FROM account WHERE role = 'customer' \
                        AND EXISTS (SELECT 1 FROM holder WHERE holder.account = account.id)";
        books.customers = all(tx, enrolled, |row| Ok(row.id(0)?.to_string()))?;
        books.circulation = balance(tx, chart::id(Post::Circulation))?;
        books.refunds_payable = balance(tx, chart::id(Post::RefundsPayable))?;
        books.mirror = balance(tx, chart::id(Post::Settlement))?.saturating_neg();
        let accounts: Vec<Id16> = all(tx, "SELECT id FROM account", |row| row.id(0))?;
        for account in accounts {
            books.deposits = books.deposits.saturating_add(balance(tx, account)?);
        }
        books.read_items(tx)?;
        Ok(books)
    }

    fn read_items(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        self.fundings = all(tx, "SELECT id FROM ledger_transfer WHERE code = 3", |row| row.id(0))?;
        self.redeemed =
            all(tx, "SELECT presentment, amount FROM payment", |row| Ok((row.digest(0)?, row.unsigned(1)?)))?;
        self.payments =
            all(tx, "SELECT digest, amount FROM payment", |row| Ok((row.digest(0)?, row.unsigned(1)?)))?;
        self.refunds =
            all(tx, "SELECT presentment, amount FROM refund", |row| Ok((row.digest(0)?, row.unsigned(1)?)))?;
        self.presentments = all(tx, "SELECT id, kind, amount, state FROM presentment", |row| {
            let presented = Presented {
                refund: row.integer(1)? == 1,
                amount: row.unsigned(2)?,
                state: match row.integer(3)? {
                    0 => ItemState::Open,
                    1 => ItemState::Booked,
                    _ => ItemState::Refused,
                },
            };
            Ok((row.digest(0)?, presented))
        })?;
        Ok(())
    }
}

impl CenterBooks {
    /// Reads a center's store.
    ///
    /// # Errors
    /// [`StoreError`] when a table cannot be read or understood.
    pub fn read(tx: &mut dyn Tx) -> Result<Self, StoreError> {
        let members: Vec<(String, String)> = all(tx, "SELECT name, currency FROM center_bank", |row| {
            Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned()))
        })?;
        let mut books = Self::default();
        for (bank, currency) in members {
            let currency =
                currency.parse().map_err(|_| StoreError::Corrupt("currency of a member".to_owned()))?;
            let account = feiqian_center::settlement::settlement_account(&bank, currency);
            books.settlement.insert(bank, balance(tx, account)?);
        }
        books.fundings = all(tx, "SELECT id, bank, amount FROM center_funding", |row| {
            Ok((row.id(0)?, (row.text(1)?.to_owned(), row.unsigned(2)?)))
        })?;
        let items = "SELECT id, kind, collecting, issuing, amount, state FROM center_presentment";
        books.items = all(tx, items, |row| {
            let item = Item {
                refund: row.integer(1)? == 1,
                collecting: row.text(2)?.to_owned(),
                issuing: row.optional_text(3)?.unwrap_or_default().to_owned(),
                amount: row.unsigned(4)?,
                state: match row.integer(5)? {
                    0 | 1 => ItemState::Open,
                    2 => ItemState::Booked,
                    _ => ItemState::Refused,
                },
            };
            Ok((row.digest(0)?, item))
        })?;
        Ok(books)
    }
}

impl WalletBooks {
    /// Reads a wallet's store.
    ///
    /// # Errors
    /// [`StoreError`] when a table cannot be read or understood.
    pub fn read(tx: &mut dyn Tx, bank: &str, account: &str) -> Result<Self, StoreError> {
        let coins = all(tx, "SELECT denomination, coin_key, bank, worth FROM coin", |row| {
            let coin = WalletCoin { bank: row.text(2)?.to_owned(), worth: row.unsigned(3)? };
            Ok(((row.digest(0)?, row.array(1)?), coin))
        })?;
        let sessions = all(tx, "SELECT request, state FROM issue_session", |row| {
            let issuance = match row.text(1)? {
                "done" => Issuance::Stored,
                "void" => Issuance::Void,
                _ => Issuance::Open,
            };
            Ok((row.digest(0)?, issuance))
        })?;
        let paid = all(tx, "SELECT payment, bank, amount FROM payment WHERE state = 'paid'", |row| {
            Ok((row.digest(0)?, (row.text(1)?.to_owned(), row.unsigned(2)?)))
        })?;
        let (bank, account) = (bank.to_owned(), account.to_owned());
        Ok(Self { bank, account, coins, sessions, paid })
    }
}
