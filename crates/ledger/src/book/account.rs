//! Accounts and their balances.

use feiqian_crypto::Id16;
use feiqian_money::{Currency, Minor};

use crate::{
    LedgerError,
    store::{Row, StoreError, Value},
};

/// What the balances of an account may not do. Pending amounts count against the account, never for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// Anything.
    None,
    /// Pending and posted debits together stay at or below posted credits: a customer's account that may not be overdrawn.
    DebitsNotAboveCredits,
    /// Pending and posted credits together stay at or below posted debits.
    CreditsNotAboveDebits,
}

impl Limit {
    /// The number in the database and in the journal: 0, 1, 2 in the order of the variants.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::DebitsNotAboveCredits => 1,
            Self::CreditsNotAboveDebits => 2,
        }
    }

    /// The limit with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::None),
            1 => Some(Self::DebitsNotAboveCredits),
            2 => Some(Self::CreditsNotAboveDebits),
            _ => None,
        }
    }
}

/// An account as it is opened. It never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id, made by the caller.
    pub id: Id16,
    /// The currency of all its transfers.
    pub currency: Currency,
    /// What the account is for, in the caller's chart of accounts.
    pub code: u16,
    /// What its balances may not do.
    pub limit: Limit,
}

/// An account with its balances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountState {
    /// What it was opened as.
    pub account: Account,
    /// Debits reserved by pending transfers.
    pub debits_pending: Minor,
    /// Debits booked.
    pub debits_posted: Minor,
    /// Credits announced by pending transfers.
    pub credits_pending: Minor,
    /// Credits booked.
    pub credits_posted: Minor,
    /// When it was opened, Unix seconds.
    pub opened: u64,
    /// The number of its opening in the journal.
    pub seq: u64,
}

impl AccountState {
    pub(crate) fn new(account: Account, opened: u64, seq: u64) -> Self {
        let zero = Minor::ZERO;
        let (debits_pending, debits_posted, credits_pending, credits_posted) = (zero, zero, zero, zero);
        Self { account, debits_pending, debits_posted, credits_pending, credits_posted, opened, seq }
    }

    /// What a debit may still take: posted credits less posted and pending debits, at least zero.
    #[must_use]
    pub fn available_to_debit(&self) -> Minor {
        let after_posted = self.credits_posted.checked_sub(self.debits_posted);
        after_posted.and_then(|rest| rest.checked_sub(self.debits_pending)).unwrap_or(Minor::ZERO)
    }

    /// What a credit may still give back: posted debits less posted and pending credits, at least zero.
    #[must_use]
    pub fn available_to_credit(&self) -> Minor {
        let after_posted = self.debits_posted.checked_sub(self.credits_posted);
        after_posted.and_then(|rest| rest.checked_sub(self.credits_pending)).unwrap_or(Minor::ZERO)
    }

    /// Posted credits less posted debits, in minor units.
    #[must_use]
    pub fn balance(&self) -> i128 {
        i128::from(self.credits_posted.value()).saturating_sub(i128::from(self.debits_posted.value()))
    }

    /// The balances keep the account's limit, and pending and posted together fit a database integer.
    pub(crate) fn check(&self) -> Result<(), LedgerError> {
        let overflow = |_| LedgerError::Overflow(self.account.id);
        let debits = self.debits_posted.checked_add(self.debits_pending).map_err(overflow)?;
        let credits = self.credits_posted.checked_add(self.credits_pending).map_err(overflow)?;
        let broken = match self.account.limit {
            Limit::None => false,
            Limit::DebitsNotAboveCredits => debits > self.credits_posted,
            Limit::CreditsNotAboveDebits => credits > self.debits_posted,
        };
        if broken { Err(LedgerError::LimitExceeded(self.account.id)) } else { Ok(()) }
    }

    pub(crate) fn values(&self) -> Result<[Value; 10], StoreError> {
        Ok([
            self.account.id.into(),
            self.account.currency.code().into(),
            self.account.code.into(),
            self.account.limit.number().into(),
            self.debits_pending.into(),
            self.debits_posted.into(),
            self.credits_pending.into(),
            self.credits_posted.into(),
            Value::unsigned(self.opened)?,
            Value::unsigned(self.seq)?,
        ])
    }

    pub(crate) fn from_row(row: &Row) -> Result<Self, StoreError> {
        let limit = Limit::from_number(row.small(3)?);
        let account = Account {
            id: row.id(0)?,
            currency: row.parse(1)?,
            code: row.small(2)?,
            limit: limit.ok_or_else(|| StoreError::Corrupt("unknown limit of an account".to_owned()))?,
        };
        Ok(Self {
            account,
            debits_pending: row.minor(4)?,
            debits_posted: row.minor(5)?,
            credits_pending: row.minor(6)?,
            credits_posted: row.minor(7)?,
            opened: row.unsigned(8)?,
            seq: row.unsigned(9)?,
        })
    }
}
