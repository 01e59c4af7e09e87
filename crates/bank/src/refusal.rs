//! Why a piece of work in a transaction gave up.

use feiqian_ledger::LedgerError;
use feiqian_ledger::store::StoreError;
use feiqian_money::MoneyError;
use feiqian_online_cash::Rejection;
use feiqian_online_cash::evidence::Evidence;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Limit, codec};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::chart;

/// A refusal inside a transaction: all its writes are undone.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// With a stable code.
    Fault(Fault),
    /// A coin would exceed its value.
    DoubleSpent(Box<Evidence>),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self::Fault(rejection.into())
    }
}

impl From<feiqian_offline_cash::Rejection> for Refusal {
    fn from(rejection: feiqian_offline_cash::Rejection) -> Self {
        Self::Fault(rejection.into())
    }
}

impl From<feiqian_cheque::register::Refusal> for Refusal {
    fn from(refusal: feiqian_cheque::register::Refusal) -> Self {
        Self::Fault(Fault::new(refusal.code(), refusal.to_string()))
    }
}

impl From<MoneyError> for Refusal {
    fn from(error: MoneyError) -> Self {
        Self::Fault(error.into())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Fault(store_fault(&error))
    }
}

impl From<LedgerError> for Refusal {
    fn from(error: LedgerError) -> Self {
        let code = match &error {
            LedgerError::Store(error) => return Self::Fault(store_fault(error)),
            LedgerError::LimitExceeded(account) if *account == chart::id(chart::Post::Settlement) => {
                return Self::Fault(
                    Fault::new(
                        Code::SettlementFailed,
                        "the bank's settlement account does not cover this now",
                    )
                    .hint("the item is tried again; the operator funds the bank at the center"),
                );
            }
            LedgerError::LimitExceeded(_) => {
                return Self::Fault(Fault::new(Code::InsufficientFunds, "the account has too little"));
            }
            LedgerError::AccountUnknown(_) => Code::AccountUnknown,
            LedgerError::ExistsWithDifferent(_) => Code::Conflict,
            LedgerError::AmountZero => Code::AmountMismatch,
            _ => Code::Internal,
        };
        Self::Fault(Fault::new(code, error.to_string()))
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Fault(fault) => fault,
            Refusal::DoubleSpent(_) => Fault::new(Code::DoubleSpent, "a coin would give more than its value"),
        }
    }
}

pub(crate) use feiqian_node::store_fault;

/// A message as it is stored.
pub(crate) fn to_blob<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, StoreError> {
    codec::encode(value).map_err(|error| StoreError::Misuse(error.to_string()))
}

/// A stored message.
pub(crate) fn from_blob<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    codec::decode(bytes, Limit::Large).map_err(|error| StoreError::Corrupt(error.to_string()))
}
