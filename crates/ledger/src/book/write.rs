//! Writing the book: opening accounts, booking transfers.

use std::collections::{BTreeMap, btree_map};

use feiqian_crypto::Id16;

use super::{ACCOUNT, Account, AccountState, DUE, Kind, RESOLUTION, TRANSFER, Transfer, query};
use crate::{
    LedgerError,
    journal::{self, Body, Position},
    store::{StoreError, Tx, Value},
};

/// At most this many transfers are linked in one call.
pub const MAX_LINKED: usize = 4096;

/// At most this many pending transfers expire in one call of [`expire_due`].
pub const EXPIRE_BATCH: u32 = 1000;

/// What a successful call did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// It was done now.
    Done,
    /// It had been done before, with the same body; nothing was changed.
    Exists,
}

/// Opens an account with zero balances.
///
/// # Errors
///
/// [`LedgerError::ExistsWithDifferent`] if the id is taken by another body; [`LedgerError::TimeOutOfRange`]; [`LedgerError::Store`].
pub fn open_account(tx: &mut dyn Tx, account: &Account, now: u64) -> Result<Outcome, LedgerError> {
    check_time(now)?;
    if let Some(known) = query::account(tx, account.id)? {
        return match difference(&known.account, account) {
            None => Ok(Outcome::Exists),
            Some(field) => Err(LedgerError::ExistsWithDifferent(field)),
        };
    }
    let mut head = journal::head(tx)?;
    journal::append(tx, &mut head, now, Position::ALONE, &Body::Opened(account.clone()))?;
    tx.insert(&ACCOUNT, &AccountState::new(account.clone(), now, head.seq).values()?)?;
    Ok(Outcome::Done)
}

fn difference(known: &Account, given: &Account) -> Option<&'static str> {
    let fields = [
        ("currency", known.currency != given.currency),
        ("code", known.code != given.code),
        ("limit", known.limit != given.limit),
    ];
    fields.into_iter().find(|(_, differs)| *differs).map(|(field, _)| field)
}

fn check_time(time: u64) -> Result<(), LedgerError> {
    i64::try_from(time).map(|_| ()).map_err(|_| LedgerError::TimeOutOfRange)
}

/// Books linked transfers, all or none, in their order: a later one may use what an earlier one brought.
///
/// A repeat of transfers that exist with the same bodies changes nothing and answers [`Outcome::Exists`].
///
/// # Errors
///
/// Any [`LedgerError`]. The book has changed nothing then, except after [`LedgerError::Store`], which the work must hand on.
pub fn transfer(tx: &mut dyn Tx, transfers: &[Transfer], now: u64) -> Result<Outcome, LedgerError> {
    check_time(now)?;
    if transfers.is_empty() {
        return Err(LedgerError::Empty);
    }
    if transfers.len() > MAX_LINKED {
        return Err(LedgerError::TooMany);
    }
    if repeats(tx, transfers)? {
        return Ok(Outcome::Exists);
    }
    let mut draft = Draft { now, ..Draft::default() };
    for transfer in transfers {
        draft.apply(tx, transfer)?;
    }
    draft.write(tx, transfers)?;
    Ok(Outcome::Done)
}

/// Whether all transfers exist with these bodies (true) or none exists (false).
fn repeats(tx: &mut dyn Tx, transfers: &[Transfer]) -> Result<bool, LedgerError> {
    let mut existing = 0_usize;
    for transfer in transfers {
        if let Some(known) = query::find_transfer(tx, transfer.id)? {
            if let Some(field) = known.transfer.difference(transfer) {
                return Err(LedgerError::ExistsWithDifferent(field));
            }
            existing = existing.saturating_add(1);
        }
    }
    match existing {
        0 => Ok(false),
        _ if existing == transfers.len() => Ok(true),
        _ => Err(LedgerError::PartlyExists),
    }
}

/// Expires pending transfers whose time has come, the oldest first, at most [`EXPIRE_BATCH`] of them; repeat until none is
/// returned.
///
/// # Errors
///
/// [`LedgerError::Store`]; [`LedgerError::TimeOutOfRange`].
pub fn expire_due(tx: &mut dyn Tx, now: u64) -> Result<Vec<Transfer>, LedgerError> {
    check_time(now)?;
    let sql = "SELECT pending FROM ledger_due WHERE expires <= ?1 ORDER BY expires, pending LIMIT ?2";
    let due = tx.select(sql, &[Value::unsigned(now)?, EXPIRE_BATCH.into()])?;
    let mut expired = Vec::with_capacity(due.len());
    for row in due {
        let id = row.id(0)?;
        let pending = query::find_transfer(tx, id)?.ok_or(LedgerError::PendingUnknown(id))?;
        let expiry = pending.transfer.expire();
        // Each alone: they have nothing to do with each other.
        let _ = transfer(tx, std::slice::from_ref(&expiry), now)?;
        expired.push(expiry);
    }
    Ok(expired)
}

/// The effects of linked transfers while they are checked, before anything is written.
#[derive(Default)]
struct Draft {
    now: u64,
    accounts: BTreeMap<Id16, AccountState>,
    /// Transfers of this very call, which later ones of it may resolve or must not repeat.
    fresh: BTreeMap<Id16, Transfer>,
    /// Pending transfers resolved by this call, with the transfer that does it.
    resolved: BTreeMap<Id16, (Id16, Option<u64>)>,
}

impl Draft {
    fn apply(&mut self, tx: &mut dyn Tx, transfer: &Transfer) -> Result<(), LedgerError> {
        if self.fresh.contains_key(&transfer.id) {
            return Err(LedgerError::PartlyExists);
        }
        if transfer.amount.value() == 0 {
            return Err(LedgerError::AmountZero);
        }
        if transfer.debit == transfer.credit {
            return Err(LedgerError::SameAccount);
        }
        self.load(tx, transfer.debit)?;
        self.load(tx, transfer.credit)?;
        let reserved = match transfer.kind {
            Kind::Posted => None,
            Kind::Pending { expires } => {
                if let Some(expires) = expires {
                    check_time(expires)?;
                    if expires <= self.now {
                        return Err(LedgerError::PendingExpired);
                    }
                }
                None
            }
            Kind::Post { pending } | Kind::Void { pending } | Kind::Expire { pending } => {
                Some(self.resolve(tx, transfer, pending)?)
            }
        };
        self.book(transfer, reserved.as_ref())?;
        self.fresh.insert(transfer.id, transfer.clone());
        Ok(())
    }

    fn load(&mut self, tx: &mut dyn Tx, id: Id16) -> Result<(), LedgerError> {
        if let btree_map::Entry::Vacant(place) = self.accounts.entry(id) {
            place.insert(query::account(tx, id)?.ok_or(LedgerError::AccountUnknown(id))?);
        }
        Ok(())
    }

    /// The pending transfer that `transfer` resolves, after all rules of resolving are checked.
    fn resolve(&mut self, tx: &mut dyn Tx, transfer: &Transfer, id: Id16) -> Result<Transfer, LedgerError> {
        let pending = match self.fresh.get(&id) {
            Some(fresh) => fresh.clone(),
            None => query::find_transfer(tx, id)?.ok_or(LedgerError::PendingUnknown(id))?.transfer,
        };
        let Kind::Pending { expires } = pending.kind else {
            return Err(LedgerError::PendingUnknown(id));
        };
        if pending.debit != transfer.debit {
            return Err(LedgerError::PendingDiffers("debit account"));
        }
        if pending.credit != transfer.credit {
            return Err(LedgerError::PendingDiffers("credit account"));
        }
        let by_this_call = self.resolved.get(&id).map(|(by, _)| *by);
        let by = if by_this_call.is_some() { by_this_call } else { query::resolution(tx, id)? };
        if let Some(by) = by {
            return Err(LedgerError::PendingResolved(by));
        }
        let over = expires.is_some_and(|expires| expires <= self.now);
        match transfer.kind {
            Kind::Post { .. } if over => return Err(LedgerError::PendingExpired),
            Kind::Post { .. } if transfer.amount > pending.amount => return Err(LedgerError::ExceedsPending),
            Kind::Post { .. } => {}
            _ if transfer.amount != pending.amount => return Err(LedgerError::PendingDiffers("amount")),
            Kind::Expire { .. } if !over => return Err(LedgerError::NotExpired),
            _ => {}
        }
        self.resolved.insert(id, (transfer.id, expires));
        Ok(pending)
    }

    /// Moves the balances of both accounts and checks their limits.
    fn book(&mut self, transfer: &Transfer, reserved: Option<&Transfer>) -> Result<(), LedgerError> {
        let currencies = [transfer.debit, transfer.credit]
            .map(|id| self.accounts.get(&id).map(|state| state.account.currency));
        if currencies.first() != currencies.last() {
            return Err(LedgerError::CurrencyDiffers);
        }
        for (id, is_debit) in [(transfer.debit, true), (transfer.credit, false)] {
            let state = self.accounts.get_mut(&id).ok_or(LedgerError::AccountUnknown(id))?;
            let (pending, posted) = if is_debit {
                (&mut state.debits_pending, &mut state.debits_posted)
            } else {
                (&mut state.credits_pending, &mut state.credits_posted)
            };
            if let Some(reserved) = reserved {
                let broken =
                    |_| StoreError::Corrupt(format!("account {id} holds less than is reserved on it"));
                *pending = pending.checked_sub(reserved.amount).map_err(broken)?;
            }
            let target = match transfer.kind {
                Kind::Posted | Kind::Post { .. } => Some(posted),
                Kind::Pending { .. } => Some(pending),
                Kind::Void { .. } | Kind::Expire { .. } => None,
            };
            if let Some(target) = target {
                *target = target.checked_add(transfer.amount).map_err(|_| LedgerError::Overflow(id))?;
            }
            state.check()?;
        }
        Ok(())
    }

    fn write(self, tx: &mut dyn Tx, transfers: &[Transfer]) -> Result<(), LedgerError> {
        let mut head = journal::head(tx)?;
        for (transfer, position) in transfers.iter().zip(Position::of_group(transfers.len())) {
            journal::append(tx, &mut head, self.now, position, &Body::Transferred(transfer.clone()))?;
            tx.insert(&TRANSFER, &transfer.values(self.now, head.seq)?)?;
            if let Some(expires) = transfer.kind.expires() {
                tx.insert(&DUE, &[Value::unsigned(expires)?, transfer.id.into()])?;
            }
        }
        for (pending, (by, expires)) in self.resolved {
            tx.insert(&RESOLUTION, &[pending.into(), by.into()])?;
            if let Some(expires) = expires {
                tx.delete(&DUE, &[Value::unsigned(expires)?, pending.into()])?;
            }
        }
        for state in self.accounts.values() {
            tx.update(&ACCOUNT, &state.values()?)?;
        }
        Ok(())
    }
}
