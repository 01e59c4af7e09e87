//! Both encodings: round trips, frozen bytes, and hostile input.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test stops at the first surprise"
)]

use feiqian_money::{Amount, Currency, Denomination, Minor, arb_amount};
use feiqian_wire::{
    Blob, Bounded, Fault, Limit, Malformed, Misuse, Name, Text, Timestamp, U64, arb_fault, arb_name,
    arb_timestamp,
    codec::{DEEPEST_JSON, decode, decode_json, encode, encode_json},
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A message with every building block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    name: Name,
    at: Timestamp,
    amount: Amount,
    coins: Bounded<Coin, 8>,
    blob: Blob<16>,
    note: Option<Text<24>>,
    kind: Kind,
    count: U64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Coin {
    denomination: Denomination,
    key: [u8; 4],
    given: Minor,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Account,
    Coins(bool),
}

fn sample() -> Sample {
    Sample {
        name: Name::new("bank-1").unwrap(),
        at: Timestamp::new(1_800_000_000),
        amount: Amount::parse("12.50", Currency::CNY).unwrap(),
        coins: Bounded::new(vec![Coin {
            denomination: Denomination::new(10).unwrap(),
            key: [1, 2, 3, 4],
            given: Minor::new(1000).unwrap(),
        }])
        .unwrap(),
        blob: Blob::new([0xab, 0xcd]).unwrap(),
        note: Some(Text::new("飞钱").unwrap()),
        kind: Kind::Coins(true),
        count: U64(u64::MAX),
    }
}

const SAMPLE_JSON: &str = concat!(
    r#"{"name":"bank-1","at":"1800000000","amount":{"minor":"1250","currency":"CNY"},"#,
    r#""coins":[{"denomination":10,"key":[1,2,3,4],"given":"1000"}],"blob":"abcd","note":"飞钱","#,
    r#""kind":{"Coins":true},"count":"18446744073709551615"}"#
);

const SAMPLE_HEX: &str = concat!(
    "46510100",               // envelope, version 1
    "0600000000000000",       // name: 6 bytes
    "62616e6b2d31",           //
    "00d2496b00000000",       // at
    "e204000000000000",       // amount: minor
    "0300000000000000434e59", // amount: currency
    "0100000000000000",       // one coin
    "0a01020304",             // its denomination and key
    "e803000000000000",       // what it gives
    "0200000000000000abcd",   // blob
    "01",                     // a note follows
    "0600000000000000e9a39ee992b1",
    "01000000",         // kind: second variant
    "01",               // true
    "ffffffffffffffff", // count
);

fn arb_sample() -> impl Strategy<Value = Sample> {
    let coin = (0..=62u8, any::<[u8; 4]>(), feiqian_money::arb_minor()).prop_map(|(k, key, given)| Coin {
        denomination: Denomination::new(k).unwrap(),
        key,
        given,
    });
    let kind = prop_oneof![Just(Kind::Account), any::<bool>().prop_map(Kind::Coins)];
    let note = proptest::option::of("[a-zé飞]{0,8}".prop_map(|text| Text::new(text).unwrap()));
    (
        arb_name(),
        arb_timestamp(),
        arb_amount(),
        proptest::collection::vec(coin, 0..=8),
        proptest::collection::vec(any::<u8>(), 0..=16),
        note,
        kind,
        any::<u64>(),
    )
        .prop_map(|(name, at, amount, coins, blob, note, kind, count)| Sample {
            name,
            at,
            amount,
            coins: Bounded::new(coins).unwrap(),
            blob: Blob::new(blob).unwrap(),
            note,
            kind,
            count: U64(count),
        })
}

fn field(result: Result<impl std::fmt::Debug, Malformed>) -> String {
    match result {
        Err(Malformed::Field(text)) => text,
        other => panic!("expected a refused field, got {other:?}"),
    }
}

/// A binary message with this body.
fn message(body: &[u8]) -> Vec<u8> {
    [b"FQ\x01\x00".as_slice(), body].concat()
}

#[test]
fn bytes_are_frozen() {
    assert_eq!(hex::encode(encode(&sample()).unwrap()), SAMPLE_HEX);
    assert_eq!(String::from_utf8(encode_json(&sample()).unwrap()).unwrap(), SAMPLE_JSON);
    assert_eq!(decode::<Sample>(&hex::decode(SAMPLE_HEX).unwrap(), Limit::Small), Ok(sample()));
    assert_eq!(decode_json::<Sample>(SAMPLE_JSON.as_bytes(), Limit::Small), Ok(sample()));
}

proptest! {
    #[test]
    fn round_trip(value in arb_sample(), fault in arb_fault()) {
        for limit in [Limit::Small, Limit::Medium, Limit::Large] {
            prop_assert_eq!(&decode::<Sample>(&encode(&value).unwrap(), limit).unwrap(), &value);
            prop_assert_eq!(&decode_json::<Sample>(&encode_json(&value).unwrap(), limit).unwrap(), &value);
            prop_assert_eq!(&decode::<Fault>(&encode(&fault).unwrap(), limit).unwrap(), &fault);
            prop_assert_eq!(&decode_json::<Fault>(&encode_json(&fault).unwrap(), limit).unwrap(), &fault);
        }
    }

    #[test]
    fn every_truncation_is_refused(value in arb_sample()) {
        let bytes = encode(&value).unwrap();
        for length in 0..bytes.len() {
            let expected = if length < 4 { Malformed::Envelope } else { Malformed::Truncated };
            prop_assert_eq!(decode::<Sample>(&bytes[..length], Limit::Small), Err(expected));
        }
        let text = encode_json(&value).unwrap();
        for length in 0..text.len() {
            prop_assert!(decode_json::<Sample>(&text[..length], Limit::Small).is_err());
        }
    }

    #[test]
    fn every_extension_is_refused(value in arb_sample(), tail in proptest::collection::vec(any::<u8>(), 1..40)) {
        let bytes = [encode(&value).unwrap(), tail.clone()].concat();
        prop_assert_eq!(decode::<Sample>(&bytes, Limit::Small), Err(Malformed::Trailing(tail.len())));
        let text = [encode_json(&value).unwrap(), b"}".to_vec()].concat();
        prop_assert!(decode_json::<Sample>(&text, Limit::Small).is_err());
    }

    /// A flipped bit is refused or gives another value, whose only encoding is the flipped bytes.
    #[test]
    fn flipped_bits_never_alias(value in arb_sample()) {
        let bytes = encode(&value).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = decode::<Sample>(&flipped, Limit::Small) {
                prop_assert_ne!(&other, &value);
                prop_assert_eq!(encode(&other).unwrap(), flipped);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let bytes = message(&body);
        if let Ok(value) = decode::<Sample>(&bytes, Limit::Small) {
            prop_assert_eq!(&encode(&value).unwrap(), &bytes);
        }
        let _ = decode::<Sample>(&body, Limit::Small);
        let _ = decode::<Fault>(&bytes, Limit::Small);
        let _ = decode_json::<Sample>(&body, Limit::Small);
    }
}

#[test]
fn envelope_and_version_are_checked() {
    let good = encode(&U64(7)).unwrap();
    for (at, byte, expected) in [
        (0, b'f', Malformed::Envelope),
        (1, b'R', Malformed::Envelope),
        (2, 0, Malformed::UnsupportedVersion(0)),
        (2, 2, Malformed::UnsupportedVersion(2)),
        (3, 1, Malformed::UnsupportedVersion(257)),
    ] {
        let mut bad = good.clone();
        bad[at] = byte;
        assert_eq!(decode::<U64>(&bad, Limit::Small), Err(expected));
    }
}

#[test]
fn size_limits_hold_to_the_byte() {
    fn at_limit<const BYTES: usize>(limit: Limit) {
        // Envelope 4, count 8.
        let fits = Blob::<BYTES>::new(vec![7; limit.bytes() - 12]).unwrap();
        let bytes = encode(&fits).unwrap();
        assert_eq!(bytes.len(), limit.bytes());
        assert_eq!(decode::<Blob<BYTES>>(&bytes, limit), Ok(fits));
        let longer = [bytes, vec![0]].concat();
        let too_large = Malformed::TooLarge { most: limit.bytes(), given: limit.bytes() + 1 };
        assert_eq!(decode::<Blob<BYTES>>(&longer, limit), Err(too_large.clone()));
        assert_eq!(decode_json::<Blob<BYTES>>(&longer, limit), Err(too_large));
    }
    at_limit::<{ 2 << 20 }>(Limit::Small);
    at_limit::<{ 2 << 20 }>(Limit::Medium);
    at_limit::<{ 2 << 20 }>(Limit::Large);
    let list = Bounded::<u8, 5_000>::new(vec![1; 4096 - 12]).unwrap();
    assert_eq!(decode(&encode(&list).unwrap(), Limit::Small), Ok(list));

    let unsendable = Blob::<{ 2 << 20 }>::new(vec![0; 1 << 20]).unwrap();
    assert!(matches!(encode(&unsendable), Err(Misuse::TooLarge { .. } | Misuse::NoEncoding(_))));
    assert!(matches!(encode_json(&unsendable), Err(Misuse::TooLarge { .. })));
}

#[test]
fn oversize_counts_are_refused_before_memory_is_taken() {
    for count in [9u64, 10_000, 1 << 32, u64::MAX] {
        let body = message(&count.to_le_bytes());
        assert!(field(decode::<Bounded<Coin, 8>>(&body, Limit::Large)).contains("at most 8"), "{count}");
    }
    // Items without bytes would otherwise be counted to without end.
    let nothing = message(&u64::MAX.to_le_bytes());
    assert!(field(decode::<Bounded<(), 8>>(&nothing, Limit::Large)).contains("at most 8"));
    for count in [1 << 33, u64::MAX] {
        let body = message(&u64::to_le_bytes(count));
        assert!(decode::<Blob<16>>(&body, Limit::Large).is_err());
        assert!(decode::<Text<16>>(&body, Limit::Large).is_err());
        assert!(decode::<Name>(&body, Limit::Large).is_err());
    }
    let ten_thousand = vec![sample().coins[0].clone(); 10_000];
    let many = Bounded::<Coin, 10_000>::new(ten_thousand).unwrap();
    let bytes = encode(&many).unwrap();
    assert!(field(decode::<Bounded<Coin, 8>>(&bytes, Limit::Large)).contains("10000 items"));
    let text = encode_json(&many).unwrap();
    assert!(field(decode_json::<Bounded<Coin, 8>>(&text, Limit::Large)).contains("9 items, at most 8"));
    let blob = encode(&Blob::<17>::new([0; 17]).unwrap()).unwrap();
    assert!(field(decode::<Blob<16>>(&blob, Limit::Small)).contains("17 bytes, at most 16"));
    assert!(
        field(decode_json::<Blob<16>>(format!("\"{}\"", "0".repeat(33)).as_bytes(), Limit::Small))
            .contains("17")
    );
}

#[test]
fn values_outside_their_type_are_refused() {
    fn refused<T: DeserializeOwned + std::fmt::Debug>(body: &[u8]) {
        field(decode::<T>(&message(body), Limit::Small));
    }
    let text = |bytes: &[u8]| [&(bytes.len() as u64).to_le_bytes(), bytes].concat();
    refused::<bool>(&[2]);
    refused::<Option<bool>>(&[2, 0]);
    refused::<Kind>(&2u32.to_le_bytes());
    refused::<Minor>(&(1u64 << 63).to_le_bytes());
    refused::<Denomination>(&[63]);
    refused::<Currency>(&text(b"XXX"));
    refused::<Currency>(&text(b"cny"));
    refused::<Text<16>>(&text(b"\xff\xfe"));
    refused::<Text<16>>(&text(b"a\nb"));
    refused::<Text<16>>(&text("a\u{202e}b".as_bytes()));
    refused::<Name>(&text(b""));
    refused::<Name>(&text(b"Bank"));
    refused::<Name>(&text(&[b'a'; 33]));
    refused::<feiqian_wire::Code>(&0u16.to_le_bytes());
    refused::<feiqian_wire::Code>(&u16::MAX.to_le_bytes());
}

#[test]
fn json_is_strict() {
    let refused = |text: &str| field(decode_json::<Coin>(text.as_bytes(), Limit::Small));
    assert!(refused(r#"{"denomination":1,"key":[1,2,3,4],"given":"1","given":"1"}"#).contains("duplicate"));
    assert!(refused(r#"{"denomination":1,"key":[1,2,3,4],"given":"1","more":0}"#).contains("unknown field"));
    assert!(refused(r#"{"denomination":1,"key":[1,2,3,4]}"#).contains("missing field"));
    assert!(refused(r#"{"denomination":1,"key":[1,2,3,4],"given":"1"} x"#).contains("trailing"));
    for number in ["1", "1.0", r#""""#, r#""01""#, r#""+1""#, r#""-1""#, r#"" 1""#, r#""1e3""#, r#""１""#] {
        assert!(decode_json::<U64>(number.as_bytes(), Limit::Small).is_err(), "{number}");
        assert!(decode_json::<Minor>(number.as_bytes(), Limit::Small).is_err(), "{number}");
        assert!(decode_json::<Timestamp>(number.as_bytes(), Limit::Small).is_err(), "{number}");
    }
    assert!(decode_json::<U64>(br#""18446744073709551616""#, Limit::Small).is_err());
    assert!(decode_json::<Minor>(br#""9223372036854775808""#, Limit::Small).is_err());
    assert!(decode_json::<Text<8>>(br#""a\u0007""#, Limit::Small).is_err());
    assert!(decode_json::<Text<8>>(b"\"\xff\"", Limit::Small).is_err());
    // Escapes reach the visitors as owned strings: same rules, same value.
    assert_eq!(
        decode_json::<Name>(br#""bank\u002d1""#, Limit::Small),
        Name::new("bank-1").map_err(|_| Malformed::Envelope)
    );
    assert_eq!(decode_json::<Blob<4>>(br#""\u0061b"#, Limit::Small), Err(Malformed::Truncated));
}

#[test]
fn json_depth_is_bounded() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Nested(Vec<Nested>);
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(decode_json::<Nested>(nested(DEEPEST_JSON).as_bytes(), Limit::Small).is_ok());
    for text in [nested(DEEPEST_JSON + 1), "[".repeat(1 << 20), "{\"a\":".repeat(100_000)] {
        assert_eq!(decode_json::<Nested>(text.as_bytes(), Limit::Large), Err(Malformed::TooDeep));
    }
    // Brackets inside a string are no nesting, also after an escaped quote.
    let quoted = format!(r#""\"{}""#, "[".repeat(100));
    let text = decode_json::<Text<200>>(quoted.as_bytes(), Limit::Small).unwrap();
    assert_eq!(text.len(), 101);
}
