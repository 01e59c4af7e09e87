//! How failures of the store, the book and the certificates become faults.

use feiqian_ledger::LedgerError;
use feiqian_ledger::store::StoreError;
use feiqian_online_cash::Rejection;
use feiqian_pki::PkiError;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Malformed, Misuse, OutOfBounds};

/// A fault inside a piece of work on the store.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) Fault);

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        failure.0
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self(feiqian_node::store_fault(&error))
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Store(error) => error.into(),
            LedgerError::LimitExceeded(_) => Self(Fault::new(Code::SettlementFailed, error.to_string())),
            LedgerError::ExistsWithDifferent(_) => Self(Fault::new(Code::Conflict, error.to_string())),
            LedgerError::CurrencyDiffers => Self(Fault::new(Code::WrongCurrency, error.to_string())),
            other => Self(Fault::new(Code::Internal, format!("the book: {other}"))),
        }
    }
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        Self(rejection.into())
    }
}

impl From<Misuse> for Failure {
    fn from(error: Misuse) -> Self {
        Self(error.into())
    }
}

impl From<OutOfBounds> for Failure {
    fn from(error: OutOfBounds) -> Self {
        Self(error.into())
    }
}

impl From<Malformed> for Failure {
    fn from(error: Malformed) -> Self {
        // Only our own rows are decoded inside a piece of work.
        StoreError::Corrupt(format!("a message: {error}")).into()
    }
}

/// A certificate or request of somebody else is not good.
pub(crate) fn certificate(error: PkiError) -> Fault {
    Fault::new(Code::CertificateInvalid, error.to_string())
}

/// Our own keys or certificates fail.
pub(crate) fn own_keys(error: PkiError) -> Fault {
    Fault::new(Code::Internal, format!("the center's keys: {error}"))
}
