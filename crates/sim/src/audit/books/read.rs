//! Reading the books of a store, in one transaction each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use feiqian_cheque::State;
use feiqian_clearing::remittance::{TransferOrder, TransferOutcome};
use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::book;
use feiqian_ledger::store::{Row, StoreError, Tx};
use feiqian_online_cash::deposit::Outcome;
use feiqian_online_cash::issue::{Output, expand};
use feiqian_online_cash::keyset::{Keyset, MAX_DENOMINATIONS};
use feiqian_wire::{Bounded, Limit, codec};
use serde::de::DeserializeOwned;

use super::super::offline::{self, OfflineBank, OfflineTill};
use super::super::purses::Purse;
use super::super::slice::Slice;
use super::{
    Acknowledged, BankBooks, CenterBooks, Deposit, Issuance, Item, ItemState, Kind, MerchantBooks,
    Registered, Sent, Side, WalletBooks, WalletCoin,
};

pub(in super::super) fn decoded<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    codec::decode(bytes, Limit::Large).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// All rows of a `SELECT` without parameters, read by `read` into a collection.
pub(in super::super) fn all<T, C: FromIterator<T>>(
    tx: &mut dyn Tx,
    sql: &str,
    read: impl FnMut(&Row) -> Result<T, StoreError>,
) -> Result<C, StoreError> {
    tx.select(sql, &[])?.iter().map(read).collect()
}

/// As [`all`], of the rows of which the id in `column` is of the slice. The statement ends where a condition begins.
fn part<T, C: FromIterator<T>>(
    tx: &mut dyn Tx,
    (slice, column): (Slice, &str),
    sql: &str,
    read: impl FnMut(&Row) -> Result<T, StoreError>,
) -> Result<C, StoreError> {
    let (condition, bounds) = slice.condition(column);
    tx.select(&format!("{sql} {condition}"), &bounds)?.iter().map(read).collect()
}

/// Names that are in many rows, each once.
#[derive(Default)]
struct Names(BTreeSet<Arc<str>>);

impl Names {
    fn of(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        let new: Arc<str> = name.into();
        self.0.insert(Arc::clone(&new));
        new
    }
}

pub(in super::super) fn balance(tx: &mut dyn Tx, id: Id16) -> Result<i128, StoreError> {
    let state = book::account(tx, id).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    Ok(state.map_or(0, |state| state.balance()))
}

impl BankBooks {
    /// Reads a slice of a bank's store.
    ///
    /// # Errors
    /// [`StoreError`] when a table cannot be read or understood.
    pub fn read(tx: &mut dyn Tx, name: &str, currency: &str, slice: Slice) -> Result<Self, StoreError> {
        let mut books = Self { name: name.to_owned(), currency: currency.to_owned(), ..Self::default() };
        let keysets: Vec<Keyset> =
            all(tx, "SELECT body FROM keyset ORDER BY epoch", |row| decoded(row.blob(0)?))?;
        for key in keysets.iter().flat_map(|keyset| keyset.keys.iter()) {
            books.denominations.entry(key.id()).or_default().value = key.value.value();
        }
        books.read_marks(tx, &keysets)?;
        let totals: Vec<(Digest, u64, u64)> =
            all(tx, "SELECT denomination, issued, redeemed FROM total", |row| {
                Ok((row.digest(0)?, row.unsigned(1)?, row.unsigned(2)?))
            })?;
        for (id, issued, redeemed) in totals {
            let denomination = books.denominations.entry(id).or_default();
            (denomination.issued, denomination.redeemed) = (issued, redeemed);
        }
        let spent = "SELECT denomination, coin_key, spent FROM coin WHERE";
        books.spent = part(tx, (slice, "coin_key"), spent, |row| {
            Ok(((row.digest(0)?, row.array(1)?), row.unsigned(2)?))
        })?;
        let answered = "SELECT request, outputs FROM session WHERE state = 1 AND";
        books.answered = part(tx, (slice, "request"), answered, |row| {
            let outputs: Bounded<Output, MAX_DENOMINATIONS> = decoded(row.blob(1)?)?;
            let coins = expand(&outputs).map_err(|error| StoreError::Corrupt(error.to_string()))?;
            Ok((row.digest(0)?, coins))
        })?;
        books.read_items(tx, slice)?;
        books.read_cheques(tx, slice)?;
        books.read_transfers(tx, slice)?;
        if slice.is_first() {
            books.read_balances(tx)?;
            books.offline = OfflineBank::read(tx, name)?;
            books.offline.forgotten = books.forgotten;
        }
        Ok(books)
    }

    /// What a bank has once: customers, balances, fundings.
    fn read_balances(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        use feiqian_bank::chart::{self, Post};
        let enrolled = "SELECT id FROM account WHERE role = 'customer' \
                        AND EXISTS (SELECT 1 FROM holder WHERE holder.account = account.id)";
        self.customers = all(tx, enrolled, |row| Ok(row.id(0)?.to_string()))?;
        self.circulation = balance(tx, chart::id(Post::Circulation))?;
        self.refunds_payable = balance(tx, chart::id(Post::RefundsPayable))?;
        self.mirror = balance(tx, chart::id(Post::Settlement))?.saturating_neg();
        let accounts: Vec<Id16> = all(tx, "SELECT id FROM account", |row| row.id(0))?;
        for account in accounts {
            self.deposits = self.deposits.saturating_add(balance(tx, account)?);
        }
        let suspense = |tx: &mut dyn Tx, post| {
            let state = book::account(tx, chart::id(post));
            state.map_err(|error| StoreError::Corrupt(error.to_string()))
        };
        self.due_to_clearing = suspense(tx, Post::DueToClearing)?.map_or(0, |state| state.balance());
        self.due_from_clearing =
            suspense(tx, Post::DueFromClearing)?.map_or(0, |state| state.debits_pending.value().into());
        self.fundings = all(tx, "SELECT id FROM ledger_transfer WHERE code = 3", |row| row.id(0))?;
        Ok(())
    }

    fn read_marks(&mut self, tx: &mut dyn Tx, keysets: &[Keyset]) -> Result<(), StoreError> {
        let marks: BTreeMap<String, u64> = all(tx, "SELECT name, mark FROM prune_mark", |row| {
            Ok((row.text(0)?.to_owned(), row.unsigned(1)?))
        })?;
        let mark = |name: &str| marks.get(name).copied().unwrap_or(0);
        let ended = mark("epochs");
        for key in
            keysets.iter().filter(|keyset| keyset.epoch.0 < ended).flat_map(|keyset| keyset.keys.iter())
        {
            self.ended.insert(key.id());
            self.forgotten.redeemed = self.forgotten.redeemed.max(key.redeem_until.seconds());
        }
        self.forgotten.presented = mark("presented");
        Ok(())
    }

    fn read_items(&mut self, tx: &mut dyn Tx, slice: Slice) -> Result<(), StoreError> {
        self.payments = part(tx, (slice, "digest"), "SELECT digest, amount FROM payment WHERE", |row| {
            Ok((row.digest(0)?, row.unsigned(1)?))
        })?;
        let presented = (slice, "presentment");
        let redeemed = "SELECT presentment, amount, bank, account FROM payment WHERE";
        let redeemed: Vec<_> = part(tx, presented, redeemed, |row| {
            let side = Side {
                kind: Kind::Payment,
                account: row.optional_text(3)?.map(str::to_owned),
                other: row.optional_text(2)?.map(str::to_owned),
                amount: row.unsigned(1)?,
                state: ItemState::Booked,
            };
            Ok((row.digest(0)?, side))
        })?;
        let refunds: Vec<_> = part(tx, presented, "SELECT presentment, amount FROM refund WHERE", |row| {
            let (amount, state) = (row.unsigned(1)?, ItemState::Booked);
            Ok((row.digest(0)?, Side { kind: Kind::Refund, account: None, other: None, amount, state }))
        })?;
        self.given.extend(redeemed.into_iter().chain(refunds));
        let presentments =
            "SELECT id, kind, amount, state, bank, account FROM presentment WHERE kind < 4 AND";
        self.presentments = part(tx, (slice, "id"), presentments, |row| {
            let side = Side {
                kind: Kind::from_number(row.integer(1)?)?,
                account: Some(row.id(5)?.to_string()),
                other: Some(row.text(4)?.to_owned()),
                amount: row.unsigned(2)?,
                state: match row.integer(3)? {
                    0 => ItemState::Open,
                    1 => ItemState::Booked,
                    3 => ItemState::Paid,
                    _ => ItemState::Refused,
                },
            };
            Ok((row.digest(0)?, side))
        })?;
        Ok(())
    }

    fn read_cheques(&mut self, tx: &mut dyn Tx, slice: Slice) -> Result<(), StoreError> {
        let answered = "SELECT id, amount, state, bank, account FROM cheque_presentment WHERE";
        let answered: Vec<_> = part(tx, (slice, "id"), answered, |row| {
            let side = Side {
                kind: Kind::Cheque,
                account: Some(row.text(4)?.to_owned()),
                other: Some(row.text(3)?.to_owned()),
                amount: row.unsigned(1)?,
                state: match row.integer(2)? {
                    1 => ItemState::Paid,
                    2 => ItemState::Booked,
                    3 => ItemState::Unwound,
                    _ => ItemState::Refused,
                },
            };
            Ok((row.digest(0)?, side))
        })?;
        self.given.extend(answered);
        let register = "SELECT account, number, id, amount, state FROM cheque WHERE";
        self.register = part(tx, (slice, "account"), register, |row| {
            let state = State::from_number(row.integer(4)?);
            let registered = Registered {
                cheque: row.optional(2, Row::digest)?,
                amount: row.optional_unsigned(3)?,
                state: state.ok_or_else(|| StoreError::Corrupt("state of a cheque".to_owned()))?,
            };
            Ok(((row.id(0)?.to_string(), row.unsigned(1)?), registered))
        })?;
        Ok(())
    }

    fn read_transfers(&mut self, tx: &mut dyn Tx, slice: Slice) -> Result<(), StoreError> {
        let presented = (slice, "presentment");
        let sent = "SELECT presentment, account, amount, sequence, outcome FROM transfer_order WHERE incoming = 0 AND";
        self.sent = part(tx, presented, sent, |row| {
            let outcome: Option<TransferOutcome> = row.optional_blob(4)?.map(decoded).transpose()?;
            let sent = Sent {
                account: row.id(1)?.to_string(),
                amount: row.unsigned(2)?,
                booked: outcome.map(|outcome| outcome == TransferOutcome::Booked),
                sequence: row.unsigned(3)?,
            };
            Ok((row.digest(0)?, sent))
        })?;
        let received = "SELECT presentment, account, amount, sequence, body FROM transfer_order \
                        WHERE incoming = 1 AND sequence > 0 AND";
        let received: Vec<_> = part(tx, presented, received, |row| {
            let order: TransferOrder = decoded(row.blob(4)?)?;
            let side = Side {
                kind: Kind::Transfer,
                account: Some(row.id(1)?.to_string()),
                other: Some(order.terms.bank.to_string()),
                amount: row.unsigned(2)?,
                state: ItemState::Booked,
            };
            Ok((row.digest(0)?, side, row.unsigned(3)?))
        })?;
        for (id, side, sequence) in received {
            self.given.insert(id, side);
            self.received.insert(id, sequence);
        }
        Ok(())
    }
}

impl CenterBooks {
    /// Reads all of a center's store.
    ///
    /// # Errors
    /// [`StoreError`] when a table cannot be read or understood.
    pub fn read(tx: &mut dyn Tx) -> Result<Self, StoreError> {
        let cleared = "SELECT id FROM ledger_transfer WHERE kind = 1 \
                       AND booked <= (SELECT until FROM center_prune_mark)";
        let cleared = all(tx, cleared, |row| row.id(0))?;
        Ok(Self { cleared, ..Self::read_slice(tx, Slice::ALL)? })
    }

    /// Which of these are booked for items that it may have forgotten since.
    ///
    /// # Errors
    /// [`StoreError`] when a table cannot be read or understood.
    pub(in super::super) fn cleared(tx: &mut dyn Tx, ids: &[Id16]) -> Result<BTreeSet<Id16>, StoreError> {
        let sql = "SELECT id FROM ledger_transfer WHERE id = ?1 AND kind = 1 \
                   AND booked <= (SELECT until FROM center_prune_mark)";
        let mut cleared = BTreeSet::new();
        for id in ids {
            if !tx.select(sql, &[(*id).into()])?.is_empty() {
                cleared.insert(*id);
            }
        }
        Ok(cleared)
    }

    /// Reads a slice of a center's store, without what it has cleared and forgotten: of that only is read what is asked for.
    ///
    /// # Errors
    /// [`StoreError`] when a table cannot be read or understood.
    pub(in super::super) fn read_slice(tx: &mut dyn Tx, slice: Slice) -> Result<Self, StoreError> {
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
        let items = "SELECT p.id, p.kind, p.collecting, p.issuing, p.amount, p.state, o.state, p.received \
                     FROM center_presentment AS p LEFT JOIN center_obligation AS o ON o.presentment = p.id \
                     WHERE p.kind < 4 AND";
        books.items = part(tx, (slice, "p.id"), items, |row| {
            let kind = Kind::from_number(row.integer(1)?)?;
            let due = row.optional(6, Row::integer)?;
            let item = Item {
                kind,
                collecting: row.text(2)?.to_owned(),
                issuing: row.optional_text(3)?.unwrap_or_default().to_owned(),
                amount: row.unsigned(4)?,
                state: match (row.integer(5)?, due) {
                    (0 | 1, _) => ItemState::Open,
                    // What was paid of a cheque counts when its obligation is settled.
                    (2, due) if kind == Kind::Cheque && due != Some(1) => ItemState::Paid,
                    (2, _) => ItemState::Booked,
                    (_, Some(2)) => ItemState::Unwound,
                    _ => ItemState::Refused,
                },
                received: row.unsigned(7)?,
            };
            Ok((row.digest(0)?, item))
        })?;
        let told = "SELECT presentment, bank FROM center_notice WHERE told = 1 AND";
        books.told =
            part(tx, (slice, "presentment"), told, |row| Ok((row.digest(0)?, row.text(1)?.to_owned())))?;
        if slice.is_first() {
            books.fundings = all(tx, "SELECT id, bank, amount FROM center_funding", |row| {
                Ok((row.id(0)?, (row.text(1)?.to_owned(), row.unsigned(2)?)))
            })?;
            books.offline = offline::read_items(tx)?;
        }
        Ok(books)
    }
}

impl WalletBooks {
    /// The books of a wallet that has never been used.
    #[must_use]
    pub fn unused(config: &feiqian_wallet::Config) -> Self {
        let (bank, account) = feiqian_wallet::audit::owner(config);
        Self { bank, account, ..Self::default() }
    }

    /// Reads a slice of a wallet's store.
    ///
    /// # Errors
    /// [`StoreError`] when a table cannot be read or understood.
    pub fn read(tx: &mut dyn Tx, config: &feiqian_wallet::Config, slice: Slice) -> Result<Self, StoreError> {
        let (mut books, mut names) = (Self::unused(config), Names::default());
        let coins = "SELECT denomination, coin_key, bank, worth FROM coin WHERE";
        books.coins = part(tx, (slice, "coin_key"), coins, |row| {
            let coin = WalletCoin { bank: names.of(row.text(2)?), worth: row.unsigned(3)? };
            Ok(((row.digest(0)?, row.array(1)?), coin))
        })?;
        let sessions = "SELECT request, state FROM issue_session WHERE";
        books.sessions = part(tx, (slice, "request"), sessions, |row| {
            let issuance = match row.text(1)? {
                "done" => Issuance::Stored,
                "void" => Issuance::Void,
                _ => Issuance::Open,
            };
            Ok((row.digest(0)?, issuance))
        })?;
        let paid = "SELECT payment, bank, amount, created FROM payment WHERE state = 'paid' AND";
        books.paid = part(tx, (slice, "payment"), paid, |row| {
            let (bank, amount, at) = (names.of(row.text(1)?), row.unsigned(2)?, row.unsigned(3)?);
            Ok((row.digest(0)?, Acknowledged { bank, amount, at }))
        })?;
        let instruments = feiqian_wallet::audit::instruments(tx, config)
            .map_err(|fault| StoreError::Corrupt(fault.to_string()))?;
        let deposits = instruments.deposits.into_iter().filter(|it| slice.has(&it.presentment));
        books.deposits = deposits
            .map(|it| Deposit {
                presentment: it.presentment,
                cheque: it.cheque,
                amount: it.amount,
                paid: it.paid,
            })
            .collect();
        let transfers = instruments.transfers.into_iter();
        books.transfers = transfers.filter(|it| slice.has(&it.presentment)).collect();
        if slice.has_account(&books.account) {
            books.drawn = instruments.drawn;
        }
        if slice.is_first() {
            books.offline = Purse::of_wallet(tx)?;
        }
        Ok(books)
    }
}

impl MerchantBooks {
    /// Reads a slice of a merchant's store.
    ///
    /// # Errors
    /// [`StoreError`] when a table cannot be read or understood.
    pub fn read(
        tx: &mut dyn Tx,
        config: &feiqian_merchant::Config,
        slice: Slice,
    ) -> Result<Self, StoreError> {
        let (bank, account) = (config.bank.to_string(), config.account.to_string());
        let (mut books, mut names) = (Self { bank, account, ..Self::default() }, Names::default());
        let paid = "SELECT payment, outcome, amount FROM merchant_payment WHERE state = 1 AND";
        let paid: Vec<(Digest, Outcome, u64)> = part(tx, (slice, "payment"), paid, |row| {
            Ok((row.digest(0)?, decoded(row.blob(1)?)?, row.unsigned(2)?))
        })?;
        for (payment, outcome, amount) in paid {
            if let Outcome::Paid(receipt) | Outcome::AlreadyPaid(receipt) = outcome {
                let (bank, at) = (names.of(receipt.bank.as_str()), receipt.paid_at.seconds());
                books.paid.insert(payment, Acknowledged { bank, amount, at });
            }
        }
        let deposits = feiqian_merchant::audit::deposits(tx)
            .map_err(|fault: feiqian_wire::error::Fault| StoreError::Corrupt(fault.to_string()))?;
        let deposits = deposits.into_iter().filter(|it| slice.has(&it.presentment));
        books.deposits = deposits
            .map(|it| Deposit {
                presentment: it.presentment,
                cheque: it.cheque,
                amount: Some(it.amount.value()),
                paid: it.paid,
            })
            .collect();
        if slice.is_first() {
            (books.offline, books.purse) = (OfflineTill::read(tx)?, Purse::of_merchant(tx)?);
        }
        Ok(books)
    }
}
