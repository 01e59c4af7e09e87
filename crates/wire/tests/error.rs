//! The table of codes and what becomes of a fault.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;

use feiqian_money::{Currency, MoneyError};
use feiqian_wire::{Code, Fault, Malformed, OutOfBounds, error::MOST_TEXT};

/// Numbers and texts are part of the protocol: a line may be added here, none may change.
const NAMES: &[&str] = &[
    "MALFORMED",
    "UNSUPPORTED_VERSION",
    "TOO_LARGE",
    "UNAUTHENTICATED",
    "CERTIFICATE_NOT_ALLOWED",
    "FORBIDDEN",
    "NOT_FOUND",
    "CONFLICT",
    "EXPIRED",
    "VOID",
    "UNAVAILABLE",
    "BUSY",
    "INTERNAL",
    "INSUFFICIENT_FUNDS",
    "ACCOUNT_UNKNOWN",
    "ACCOUNT_CLOSED",
    "CODE_INVALID",
    "WRONG_BANK",
    "WRONG_CURRENCY",
    "WRONG_ROUTE",
    "DENOMINATION_UNKNOWN",
    "KEY_EXPIRED",
    "KEYSET_NOT_PINNED",
    "KEYSET_INVALID",
    "SIGNATURE_INVALID",
    "POSSESSION_INVALID",
    "CERTIFICATE_INVALID",
    "REQUEST_INVALID",
    "REQUEST_MISMATCH",
    "REQUEST_ALREADY_PAID",
    "CONTRIBUTION_INVALID",
    "COIN_REPEATED",
    "AMOUNT_MISMATCH",
    "DOUBLE_SPENT",
    "SESSION_UNKNOWN",
    "SESSION_FOREIGN",
    "REFUND_EXCEEDED",
    "REFUND_UNKNOWN",
    "NOT_EXPIRED",
    "SETTLEMENT_FAILED",
    "LIMIT_EXCEEDED",
    "WRONG_ROOT",
    "WRONG_HOME",
    "LOCKED",
    "NODE_UNREACHABLE",
    "EVIDENCE_INVALID",
    "BROKEN_INVARIANT",
    "USAGE",
    "NO_EXACT_CHANGE",
    "COIN_EXPOSED",
    "CHAIN_TOO_LONG",
    "PIECE_INVALID",
    "PIECE_REPEATED",
    "BLANK_ANSWERED",
    "IDENTITY_UNKNOWN",
    "IDENTITY_CLOSED",
    "ACCUSATION_INVALID",
    "CLAIM_INVALID",
    "PASSPHRASE_INVALID",
];

#[test]
fn numbers_have_no_gap_and_names_are_frozen() {
    let names: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(names, NAMES);
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    for (number, code) in (1u16..).zip(Code::ALL) {
        assert_eq!(code.number(), number);
        assert_eq!(Code::from_number(number), Some(*code));
        assert_eq!(code.as_str().parse(), Ok(*code));
        assert!((400..600).contains(&code.status()), "{code}");
    }
    assert_eq!(Code::from_number(0), None);
    assert_eq!(Code::from_number(u16::try_from(Code::ALL.len()).unwrap() + 1), None);
    assert!("malformed".parse::<Code>().is_err());
}

/// A server error says nothing about what was done, so it is never definitive.
#[test]
fn server_errors_are_not_definitive() {
    for code in Code::ALL {
        assert!(code.status() < 500 || !code.is_definitive(), "{code}");
    }
    assert!(
        !Code::Busy.is_definitive() && !Code::NotExpired.is_definitive() && !Code::Locked.is_definitive()
    );
    assert!(Code::DoubleSpent.is_definitive() && Code::Conflict.is_definitive());
}

#[test]
fn faults_are_safe_to_print() {
    let fault = Fault::new(Code::Expired, "over\n\u{1b}[31m").hint("ask again");
    assert_eq!(fault.to_string(), "EXPIRED: over  [31m (ask again)");
    let long = Fault::new(Code::Internal, "飞".repeat(1000));
    assert_eq!(long.message.len(), MOST_TEXT / 3 * 3);
}

#[test]
fn causes_become_codes() {
    let code = |fault: Fault| fault.code;
    assert_eq!(code(Malformed::TooLarge { most: 1, given: 2 }.into()), Code::TooLarge);
    assert_eq!(code(Malformed::UnsupportedVersion(2).into()), Code::UnsupportedVersion);
    assert_eq!(code(Malformed::Trailing(1).into()), Code::Malformed);
    assert_eq!(code(OutOfBounds::TooMany { most: 1, given: 2 }.into()), Code::TooLarge);
    let mismatch = MoneyError::CurrencyMismatch { left: Currency::CNY, right: Currency::EUR };
    assert_eq!(code(mismatch.into()), Code::WrongCurrency);
}
