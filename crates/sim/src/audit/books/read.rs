//! Reading the books of a store, in one transaction each.

use std::collections::BTreeMap;

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
use super::{
    BankBooks, CenterBooks, Deposit, Issuance, Item, ItemState, Kind, MerchantBooks, Registered, Sent, Side,
    WalletBooks, WalletCoin,
};

pub(in super::super) fn decoded<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    codec::decode(bytes, Limit::Large).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// All rows of a `SELECT` without parameters, read by `read` into a collection.
pub(in super::super) fn all<T, C: FromIterator<T>>(
    tx: &mut dyn Tx,
    sql: &str,
    read: impl Fn(&Row) -> Result<T, StoreError>,
) -> Result<C, StoreError> {
    tx.select(sql, &[])?.iter().map(read).collect()
}

pub(in super::super) fn balance(tx: &mut dyn Tx, id: Id16) -> Result<i128, StoreError> {
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
        books.read_marks(tx, &keysets)?;
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
        let suspense = |tx: &mut dyn Tx, post| {
            let state = book::account(tx, chart::id(post));
            state.map_err(|error| StoreError::Corrupt(error.to_string()))
        };
        books.due_to_clearing = suspense(tx, Post::DueToClearing)?.map_or(0, |state| state.balance());
        books.due_from_clearing =
            suspense(tx, Post::DueFromClearing)?.map_or(0, |state| state.debits_pending.value().into());
        books.read_items(tx)?;
        books.read_cheques(tx)?;
        books.read_transfers(tx)?;
        books.offline = OfflineBank::read(tx, name)?;
        books.offline.forgotten = books.forgotten;
        Ok(books)
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

    fn read_items(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        self.fundings = all(tx, "SELECT id FROM ledger_transfer WHERE code = 3", |row| row.id(0))?;
        self.payments =
            all(tx, "SELECT digest, amount FROM payment", |row| Ok((row.digest(0)?, row.unsigned(1)?)))?;
        let redeemed: Vec<_> = all(tx, "SELECT presentment, amount, bank, account FROM payment", |row| {
            let side = Side {
                kind: Kind::Payment,
                account: row.optional_text(3)?.map(str::to_owned),
                other: row.optional_text(2)?.map(str::to_owned),
                amount: row.unsigned(1)?,
                state: ItemState::Booked,
            };
            Ok((row.digest(0)?, side))
        })?;
        let refunds: Vec<_> = all(tx, "SELECT presentment, amount FROM refund", |row| {
            let (amount, state) = (row.unsigned(1)?, ItemState::Booked);
            Ok((row.digest(0)?, Side { kind: Kind::Refund, account: None, other: None, amount, state }))
        })?;
        self.given.extend(redeemed.into_iter().chain(refunds));
        self.presentments = all(
            tx,
            "SELECT id, kind, amount, state, bank, account FROM presentment WHERE kind < 4",
            |row| {
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
            },
        )?;
        Ok(())
    }

    fn read_cheques(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let answered: Vec<_> =
            all(tx, "SELECT id, amount, state, bank, account FROM cheque_presentment", |row| {
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
        self.register = all(tx, "SELECT account, number, id, amount, state FROM cheque", |row| {
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

    fn read_transfers(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let sent =
            "SELECT presentment, account, amount, sequence, outcome FROM transfer_order WHERE incoming = 0";
        self.sent = all(tx, sent, |row| {
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
                        WHERE incoming = 1 AND sequence > 0";
        let rows = tx.select(received, &[])?;
        for row in &rows {
            let order: TransferOrder = decoded(row.blob(4)?)?;
            let side = Side {
                kind: Kind::Transfer,
                account: Some(row.id(1)?.to_string()),
                other: Some(order.terms.bank.to_string()),
                amount: row.unsigned(2)?,
                state: ItemState::Booked,
            };
            self.given.insert(row.digest(0)?, side);
            self.received.insert(row.digest(0)?, row.unsigned(3)?);
        }
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
        let cleared = "SELECT id FROM ledger_transfer WHERE kind = 1 \
                       AND booked <= (SELECT until FROM center_prune_mark)";
        books.cleared = all(tx, cleared, |row| row.id(0))?;
        let items = "SELECT p.id, p.kind, p.collecting, p.issuing, p.amount, p.state, o.state, p.received \
                     FROM center_presentment AS p LEFT JOIN center_obligation AS o ON o.presentment = p.id \
                     WHERE p.kind < 4";
        books.items = all(tx, items, |row| {
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
        books.offline = offline::read_items(tx)?;
        books.told = all(tx, "SELECT presentment, bank FROM center_notice WHERE told = 1", |row| {
            Ok((row.digest(0)?, row.text(1)?.to_owned()))
        })?;
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

    /// Reads a wallet's store.
    ///
    /// # Errors
    /// [`StoreError`] when a table cannot be read or understood.
    pub fn read(tx: &mut dyn Tx, config: &feiqian_wallet::Config) -> Result<Self, StoreError> {
        let (bank, account) = feiqian_wallet::audit::owner(config);
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
        let paid_at = all(tx, "SELECT payment, created FROM payment WHERE state = 'paid'", |row| {
            Ok((row.digest(0)?, row.unsigned(1)?))
        })?;
        let instruments = feiqian_wallet::audit::instruments(tx, config)
            .map_err(|fault| StoreError::Corrupt(fault.to_string()))?;
        let deposits = instruments.deposits.into_iter().map(|it| Deposit {
            presentment: it.presentment,
            cheque: it.cheque,
            amount: it.amount,
            paid: it.paid,
        });
        let (drawn, transfers) = (instruments.drawn, instruments.transfers);
        let (deposits, offline) = (deposits.collect(), Purse::of_wallet(tx)?);
        Ok(Self { bank, account, coins, sessions, paid, paid_at, drawn, deposits, transfers, offline })
    }
}

impl MerchantBooks {
    /// Reads a merchant's store.
    ///
    /// # Errors
    /// [`StoreError`] when a table cannot be read or understood.
    pub fn read(tx: &mut dyn Tx, config: &feiqian_merchant::Config) -> Result<Self, StoreError> {
        let (bank, account) = (config.bank.to_string(), config.account.to_string());
        let corrupt = |fault: feiqian_wire::error::Fault| StoreError::Corrupt(fault.to_string());
        let paid: Vec<(Digest, Outcome, u64)> =
            all(tx, "SELECT payment, outcome, amount FROM merchant_payment WHERE state = 1", |row| {
                Ok((row.digest(0)?, decoded(row.blob(1)?)?, row.unsigned(2)?))
            })?;
        let mut paid_at = BTreeMap::new();
        let paid = paid.into_iter().filter_map(|(payment, outcome, amount)| match outcome {
            Outcome::Paid(receipt) | Outcome::AlreadyPaid(receipt) => {
                paid_at.insert(payment, receipt.paid_at.seconds());
                Some((payment, (receipt.bank.to_string(), amount)))
            }
            _ => None,
        });
        let paid = paid.collect();
        let deposits = feiqian_merchant::audit::deposits(tx).map_err(corrupt)?;
        let deposits = deposits.into_iter().map(|it| Deposit {
            presentment: it.presentment,
            cheque: it.cheque,
            amount: Some(it.amount.value()),
            paid: it.paid,
        });
        let (offline, purse) = (OfflineTill::read(tx)?, Purse::of_merchant(tx)?);
        Ok(Self { paid, paid_at, bank, account, deposits: deposits.collect(), offline, purse })
    }
}
