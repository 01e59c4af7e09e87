//! What a store's failure is to whoever asked.

use feiqian_ledger::store::StoreError;
use feiqian_wire::error::{Code, Fault};

/// A store's failure as a fault: one translation for all roles. All but broken data may be tried again.
///
/// | failure | code |
/// |---|---|
/// | another process held the database for too long | `BUSY` |
/// | full disk, read-only or closed store, failed input or output, unknown outcome of a commit | `UNAVAILABLE` |
/// | damaged file, stored values that are not what their table says, defects | `INTERNAL` |
#[must_use]
pub fn store_fault(error: &StoreError) -> Fault {
    let code = match error {
        StoreError::Busy(_) => Code::Busy,
        StoreError::Closed
        | StoreError::Uncertain(_)
        | StoreError::Database(_)
        | StoreError::Full(_)
        | StoreError::ReadOnly => Code::Unavailable,
        _ => Code::Internal,
    };
    let fault = Fault::new(code, format!("the store: {error}"));
    match advice(error) {
        Some(hint) => fault.hint(hint),
        None => fault,
    }
}

const fn advice(error: &StoreError) -> Option<&'static str> {
    match error {
        StoreError::Full(_) => Some("make room where the home lies and try again; nothing was changed"),
        StoreError::ReadOnly => Some("the home must be writable for whoever runs this; nothing was changed"),
        StoreError::Damaged(_) | StoreError::Corrupt(_) => Some(
            "stop, look at it with `feiqian audit`, and restore it: a bank from its backup, a wallet from its words",
        ),
        StoreError::Uncertain(_) => Some("repeat it: a repeat has no second effect"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_can_do_something_is_told_what() {
        let text = || "x".to_owned();
        for (error, code) in [
            (StoreError::Full(text()), Code::Unavailable),
            (StoreError::ReadOnly, Code::Unavailable),
            (StoreError::Uncertain(text()), Code::Unavailable),
            (StoreError::Damaged(text()), Code::Internal),
            (StoreError::Corrupt(text()), Code::Internal),
        ] {
            let fault = store_fault(&error);
            assert_eq!(fault.code, code, "{error}");
            assert!(fault.hint.is_some(), "{error}");
            assert!(fault.message.contains(&error.to_string()), "{fault}");
        }
        assert_eq!(store_fault(&StoreError::Busy(text())).code, Code::Busy);
        assert_eq!(store_fault(&StoreError::Closed).code, Code::Unavailable);
        assert_eq!(store_fault(&StoreError::Missing("coin")).code, Code::Internal);
    }
}
