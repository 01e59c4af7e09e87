//! Reading the book.

use feiqian_crypto::Id16;

use super::{ACCOUNT, AccountState, RESOLUTION, TRANSFER, Transfer};
use crate::{
    LedgerError,
    store::{Row, StoreError, Tx, Value},
};

/// A booked transfer with its time and place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The transfer.
    pub transfer: Transfer,
    /// When it was booked, Unix seconds.
    pub booked: u64,
    /// Its number in the journal.
    pub seq: u64,
}

impl Entry {
    pub(crate) fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self { transfer: Transfer::from_row(row)?, booked: row.unsigned(8)?, seq: row.unsigned(9)? })
    }
}

/// The account with this id.
///
/// # Errors
///
/// [`LedgerError::Store`].
pub fn account(tx: &mut dyn Tx, id: Id16) -> Result<Option<AccountState>, LedgerError> {
    let row = tx.find(&ACCOUNT, &[id.into()])?;
    Ok(row.map(|row| AccountState::from_row(&row)).transpose()?)
}

/// The transfer with this id.
///
/// # Errors
///
/// [`LedgerError::Store`].
pub fn find_transfer(tx: &mut dyn Tx, id: Id16) -> Result<Option<Entry>, LedgerError> {
    let row = tx.find(&TRANSFER, &[id.into()])?;
    Ok(row.map(|row| Entry::from_row(&row)).transpose()?)
}

/// The transfer that resolved the pending transfer with this id, if any did.
///
/// # Errors
///
/// [`LedgerError::Store`].
pub fn resolution(tx: &mut dyn Tx, pending: Id16) -> Result<Option<Id16>, LedgerError> {
    let row = tx.find(&RESOLUTION, &[pending.into()])?;
    Ok(row.map(|row| row.id(1)).transpose()?)
}

/// The next at most `limit` transfers that touch an account, in journal order, after the number `after` (0 for the start).
///
/// # Errors
///
/// [`LedgerError::Store`].
pub fn entries(tx: &mut dyn Tx, account: Id16, after: u64, limit: u32) -> Result<Vec<Entry>, LedgerError> {
    let columns = TRANSFER.column_list();
    let side = |name: &str| {
        format!(
            "SELECT * FROM (SELECT {columns} FROM ledger_transfer WHERE {name} = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3) AS {name}_side"
        )
    };
    let sql = format!("{} UNION ALL {} ORDER BY seq LIMIT ?3", side("debit"), side("credit"));
    let rows = tx.select(&sql, &[account.into(), Value::unsigned(after)?, limit.into()])?;
    Ok(rows.iter().map(Entry::from_row).collect::<Result<_, StoreError>>()?)
}
