//! What goes wrong inside the wallet, until it is told to the caller as a fault.

use feiqian_cheque::ChequeError;
use feiqian_ledger::store::StoreError;
use feiqian_money::MoneyError;
use feiqian_node::CallError;
use feiqian_online_cash::Rejection;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Malformed, Misuse, OutOfBounds};

/// A fault, or the store's refusal (kept apart: a value that must be unique may say something).
#[derive(Debug)]
pub(crate) enum Failure {
    Fault(Fault),
    Store(StoreError),
}

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub(crate) fn new(code: Code, message: impl AsRef<str>) -> Self {
        Self::Fault(Fault::new(code, message))
    }

    pub(crate) fn hint(self, hint: impl AsRef<str>) -> Self {
        match self {
            Self::Fault(fault) => Self::Fault(fault.hint(hint)),
            store @ Self::Store(_) => store,
        }
    }

    /// The books disagree with themselves: a defect, never a peer's doing.
    pub(crate) fn broken(what: impl AsRef<str>) -> Self {
        Self::new(Code::BrokenInvariant, what)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        Self::Fault(rejection.into())
    }
}

macro_rules! through_fault {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Failure {
            fn from(error: $kind) -> Self {
                Self::Fault(error.into())
            }
        }
    )*};
}
through_fault!(MoneyError, Misuse, Malformed, OutOfBounds, ChequeError, feiqian_offline_cash::Rejection);

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let fault: Fault = error.into();
        let hint = fault.hint.is_none() && matches!(fault.code, Code::NodeUnreachable | Code::Unavailable);
        if hint {
            return Self::Fault(fault.hint(
                "nothing is lost: the wallet goes on from here with its next command, try again later",
            ));
        }
        Self::Fault(fault)
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Fault(fault) => fault,
            Failure::Store(error) => feiqian_node::store_fault(&error),
        }
    }
}
