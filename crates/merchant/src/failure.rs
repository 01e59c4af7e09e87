//! How failures of the store and of keys become faults.

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

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        Self(rejection.into())
    }
}

impl From<feiqian_offline_cash::Rejection> for Failure {
    fn from(rejection: feiqian_offline_cash::Rejection) -> Self {
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

/// Our own keys or certificates fail.
pub(crate) fn own_keys(error: PkiError) -> Fault {
    Fault::new(Code::Internal, format!("the merchant's keys: {error}"))
}
