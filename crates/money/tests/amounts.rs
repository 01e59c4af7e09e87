//! Amounts and currencies: arithmetic, text, encodings.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;

use feiqian_money::{
    Amount, Currency, Denomination, DenominationSet, Minor, MoneyError, arb_amount, arb_denomination,
    arb_minor,
};
use proptest::prelude::*;

fn minor(value: u64) -> Minor {
    Minor::new(value).unwrap()
}

#[test]
fn currency_table() {
    let all: Vec<Currency> = Currency::all().collect();
    let codes: BTreeSet<&str> = all.iter().map(|currency| currency.code()).collect();
    assert_eq!((all.len(), codes.len()), (165, 165));
    for currency in all {
        // Also shows that each list is sorted: the search is a bisection.
        assert_eq!(currency.code().parse(), Ok(currency));
        assert!(currency.code().len() == 3 && currency.code().bytes().all(|byte| byte.is_ascii_uppercase()));
    }
    for (code, exponent) in [
        ("CNY", 2),
        ("JPY", 0),
        ("KWD", 3),
        ("CLF", 4),
        ("UYI", 0),
        ("VES", 2),
        ("VED", 2),
        ("XCG", 2),
        ("ZWG", 2),
    ] {
        assert_eq!(code.parse::<Currency>().unwrap().exponent(), exponent, "{code}");
    }
    for constant in [Currency::CNY, Currency::EUR, Currency::JPY, Currency::USD] {
        assert_eq!(constant.code().parse(), Ok(constant));
    }
    for code in ["", "cny", "CN", "CNYX", "XXX", "XTS", "XAU", "HRK", "BGN", "CN\u{423}"] {
        assert_eq!(code.parse::<Currency>(), Err(MoneyError::UnknownCurrency), "{code}");
    }
}

#[test]
fn amounts_read_and_print() {
    for (text, currency, value, printed) in [
        ("12.50", Currency::CNY, 1250, "12.50"),
        ("12.5", Currency::CNY, 1250, "12.50"),
        ("12", Currency::CNY, 1200, "12.00"),
        ("0.01", Currency::CNY, 1, "0.01"),
        ("0", Currency::CNY, 0, "0.00"),
        ("007", Currency::JPY, 7, "7"),
        ("92233720368547758.07", Currency::CNY, i64::MAX.unsigned_abs(), "92233720368547758.07"),
    ] {
        let amount = Amount::parse(text, currency).unwrap();
        assert_eq!((amount.minor.value(), amount.to_string().as_str()), (value, printed));
    }
    assert_eq!(Amount::parse("1.234", "KWD".parse().unwrap()).unwrap().labelled().to_string(), "1.234 KWD");
}

#[test]
fn bad_amounts_are_refused() {
    let parse = |text: &str| Amount::parse(text, Currency::CNY);
    let zeros = "0".repeat(40);
    for text in [
        "", ".", ".5", "5.", "+1", "-1", "1e3", "1,5", "1_000", " 1", "1 ", "1.2.3", "0x10", "１", "NaN",
        "inf", &zeros,
    ] {
        assert_eq!(parse(text), Err(MoneyError::NotANumber), "{text:?}");
    }
    let currency = Currency::CNY;
    assert_eq!(parse("1.000"), Err(MoneyError::TooManyDigits { currency, given: 3 }));
    assert_eq!(
        Amount::parse("1.0", Currency::JPY),
        Err(MoneyError::TooManyDigits { currency: Currency::JPY, given: 1 })
    );
    for text in ["92233720368547758.08", "9223372036854775807", "18446744073709551616", &"9".repeat(32)] {
        assert_eq!(parse(text), Err(MoneyError::Overflow), "{text}");
    }
}

#[test]
fn arithmetic_is_checked_at_the_edges() {
    assert_eq!(Minor::new(1 << 63), Err(MoneyError::Overflow));
    assert_eq!(Minor::MAX.checked_add(Minor::ONE), Err(MoneyError::Overflow));
    assert_eq!(Minor::ZERO.checked_sub(Minor::ONE), Err(MoneyError::Negative));
    assert_eq!(Minor::from_integer(-1), Err(MoneyError::Negative));
    assert_eq!(Minor::from_integer(i64::MIN), Err(MoneyError::Negative));
    assert_eq!(Minor::MAX.to_integer(), i64::MAX);
    // Three of these wrap around 64 bits to a small number.
    assert_eq!(Minor::sum([Minor::MAX, Minor::MAX, minor(3)]), Err(MoneyError::Overflow));
    assert_eq!(Minor::sum([]), Ok(Minor::ZERO));
    let (yuan, euro) = (Amount::new(Minor::ONE, Currency::CNY), Amount::new(Minor::ONE, Currency::EUR));
    assert!(matches!(yuan.checked_add(euro), Err(MoneyError::CurrencyMismatch { .. })));
    assert!(matches!(yuan.checked_sub(euro), Err(MoneyError::CurrencyMismatch { .. })));
    assert_eq!(yuan.checked_sub(yuan).unwrap().to_string(), "0.00");
}

#[test]
fn denominations() {
    assert_eq!(Denomination::new(63), Err(MoneyError::DenominationExponent(63)));
    assert_eq!(Denomination::of_value(minor(12)), Err(MoneyError::NotADenomination(minor(12))));
    assert_eq!(Denomination::of_value(Minor::ZERO), Err(MoneyError::NotADenomination(Minor::ZERO)));
    let set = DenominationSet::default();
    assert_eq!(set.iter().count(), 21);
    assert_eq!(set.largest().value(), minor(1 << 20));
    assert!(set.contains(Denomination::new(20).unwrap()) && !set.contains(Denomination::new(21).unwrap()));
    assert!(DenominationSet::up_to(63).is_err());
}

#[test]
fn json_is_frozen() {
    let amount = Amount::parse("12.50", Currency::CNY).unwrap();
    let text = r#"{"minor":"1250","currency":"CNY"}"#;
    assert_eq!(serde_json::to_string(&amount).unwrap(), text);
    assert_eq!(serde_json::from_str::<Amount>(text).unwrap(), amount);
    for bad in [
        r#"{"minor":1250,"currency":"CNY"}"#,
        r#"{"minor":"01250","currency":"CNY"}"#,
        r#"{"minor":"-1","currency":"CNY"}"#,
        r#"{"minor":"9223372036854775808","currency":"CNY"}"#,
        r#"{"minor":"1250","currency":"cny"}"#,
        r#"{"minor":"1250","currency":"CNY","x":1}"#,
        r#"{"minor":"1250"}"#,
    ] {
        assert!(serde_json::from_str::<Amount>(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn text_round_trip(amount in arb_amount()) {
        let text = amount.to_string();
        prop_assert_eq!(Amount::parse(&text, amount.currency), Ok(amount));
        let digits = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        prop_assert_eq!(digits, usize::try_from(amount.currency.exponent()).unwrap());
    }

    #[test]
    fn encodings_round_trip(amount in arb_amount(), denomination in arb_denomination()) {
        let config = bincode::config::standard().with_fixed_int_encoding();
        let value = (amount, denomination, DenominationSet::up_to(denomination.exponent()).unwrap());
        let bytes = bincode::serde::encode_to_vec(value, config).unwrap();
        prop_assert_eq!(bytes.len(), 8 + 8 + 3 + 1 + 1);
        let (decoded, _) = bincode::serde::decode_from_slice::<(Amount, Denomination, DenominationSet), _>(&bytes, config).unwrap();
        prop_assert_eq!(decoded, value);
        let text = serde_json::to_string(&value).unwrap();
        prop_assert_eq!(serde_json::from_str::<(Amount, Denomination, DenominationSet)>(&text).unwrap(), value);
    }

    #[test]
    fn sums_agree_with_wide_integers(amounts in proptest::collection::vec(arb_minor(), 0..6)) {
        let wide: u128 = amounts.iter().map(|amount| u128::from(amount.value())).sum();
        let expected = u64::try_from(wide).map_err(|_| MoneyError::Overflow).and_then(Minor::new);
        prop_assert_eq!(Minor::sum(amounts.iter().copied()), expected);
        let stepwise = amounts.iter().try_fold(Minor::ZERO, |sum, amount| sum.checked_add(*amount));
        prop_assert_eq!(stepwise, expected);
    }

    #[test]
    fn subtraction_undoes_addition(a in arb_minor(), b in arb_minor()) {
        match a.checked_add(b) {
            Ok(sum) => prop_assert_eq!(sum.checked_sub(b), Ok(a)),
            Err(error) => prop_assert!(error == MoneyError::Overflow && a.value() + b.value() > Minor::MAX.value()),
        }
        prop_assert_eq!(a.checked_sub(b).is_ok(), a >= b);
    }

    #[test]
    fn denominations_name_their_value(denomination in arb_denomination()) {
        prop_assert_eq!(Denomination::of_value(denomination.value()), Ok(denomination));
        prop_assert_eq!(denomination.value().value(), 1 << denomination.exponent());
    }
}
