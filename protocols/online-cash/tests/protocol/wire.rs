//! Messages as bytes: limits before memory, and what becomes of every bent bit.

use feiqian_online_cash::deposit::CashItem;
use feiqian_online_cash::evidence::Statement;
use feiqian_online_cash::issue::{AnsweredSession, BeginRequest, BeginResponse, FinishRequest};
use feiqian_online_cash::payment::Payment;
use feiqian_wire::codec::{self, Limit, Malformed};
use feiqian_wire::{Blob, Code, Fault};

use crate::world::{NOW, World};

fn item(world: &mut World) -> CashItem {
    let coins = world.draw("north", &[3, 2]);
    let request = world.request(11);
    world.pay(&request, &[(&coins[0], 8), (&coins[1], 3)])
}

/// 10,000 coins are refused by their count, whether or not the bytes are there: no item is read.
#[test]
fn ten_thousand_coins_are_refused_by_their_count() {
    let mut world = World::new(71);
    let good = codec::encode(&item(&mut world).payment).unwrap();
    // Envelope, request digest, count of coins.
    let (head, rest) = good.split_at(4 + 32);
    let (count, coins) = rest.split_at(8);
    assert_eq!(count, 2u64.to_le_bytes());
    let with = |count: u64, body: &[u8]| {
        let mut bytes = head.to_vec();
        bytes.extend(count.to_le_bytes());
        bytes.extend(body);
        codec::decode::<Payment>(&bytes, Limit::Large).unwrap_err()
    };
    let one = &coins[..(coins.len() - 64) / 2];
    let refused = Malformed::Field("10000 items, at most 256 are allowed".into());
    assert_eq!(with(10_000, &[]), refused);
    assert_eq!(with(10_000, coins), refused);
    let mut all = one.repeat(257);
    all.extend(&coins[coins.len() - 64..]);
    assert_eq!(with(257, &all), Malformed::Field("257 items, at most 256 are allowed".into()));
    assert_eq!(with(256, coins), Malformed::Truncated);
    for huge in [u64::MAX, 1 << 40] {
        assert!(matches!(with(huge, coins), Malformed::Field(_) | Malformed::Truncated));
    }
    let json = codec::encode_json(&item(&mut world).payment).unwrap();
    let text = String::from_utf8(json).unwrap();
    let start = text.find("[{").unwrap() + 1;
    let end = text.rfind("}]").unwrap() + 1;
    let one = text[start..end].split("},{\"share\"").next().unwrap().to_owned() + "}";
    let many = format!("{}{}{}", &text[..start], vec![one; 257].join(","), &text[end..]);
    let refused = codec::decode_json::<Payment>(many.as_bytes(), Limit::Large).unwrap_err();
    assert!(refused.to_string().contains("257 items, at most 256"), "{refused}");
}

#[test]
fn truncated_and_extended_messages_are_refused() {
    let mut world = World::new(72);
    let item = item(&mut world);
    let good = codec::encode(&item).unwrap();
    assert_eq!(codec::decode::<CashItem>(&good, Limit::Medium).unwrap(), item);
    for length in 0..good.len() {
        let cut = codec::decode::<CashItem>(&good[..length], Limit::Medium);
        assert!(matches!(cut, Err(Malformed::Truncated | Malformed::Envelope)), "{length} bytes: {cut:?}");
    }
    let mut longer = good.clone();
    longer.push(0);
    assert_eq!(codec::decode::<CashItem>(&longer, Limit::Medium), Err(Malformed::Trailing(1)));
    assert!(codec::decode::<FinishRequest>(&good, Limit::Medium).is_err());
    assert!(codec::decode::<AnsweredSession>(&good, Limit::Medium).is_err());
    assert!(codec::decode::<Statement>(&good, Limit::Medium).is_err());
    assert!(codec::decode::<Fault>(&good, Limit::Medium).is_err());
}

/// Every bit of a payment on its way is either refused in decoding or by the checks.
#[test]
fn no_flipped_bit_of_a_payment_passes() {
    let mut world = World::new(73);
    let item = item(&mut world);
    let good = codec::encode(&item).unwrap();
    let (mut undecoded, mut refused) = (0, 0);
    for bit in 0..good.len() * 8 {
        let mut bent = good.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        match codec::decode::<CashItem>(&bent, Limit::Medium) {
            Err(_) => undecoded += 1,
            Ok(changed) => {
                assert_ne!(changed, item, "bit {bit}: two encodings of one value");
                assert!(world.check(&changed, NOW).is_err(), "bit {bit} passes: {changed:?}");
                refused += 1;
            }
        }
    }
    assert!(undecoded > 200 && refused > 5_000, "{undecoded} undecoded, {refused} refused");
}

#[test]
fn both_encodings_say_the_same() {
    let mut world = World::new(74);
    let item = item(&mut world);
    let json = codec::encode_json(&item).unwrap();
    assert_eq!(codec::decode_json::<CashItem>(&json, Limit::Medium).unwrap(), item);
    let text = String::from_utf8(json).unwrap();
    assert!(text.contains(r#""contribution":"8""#) && text.contains(r#""currency":"CNY""#), "{text}");
    let extra = text.replacen('{', r#"{"extra":1,"#, 1);
    assert!(codec::decode_json::<CashItem>(extra.as_bytes(), Limit::Medium).is_err());
    let number = text.replace(r#""contribution":"8""#, r#""contribution":8"#);
    assert!(codec::decode_json::<CashItem>(number.as_bytes(), Limit::Medium).is_err());
    let negative = text.replace(r#""contribution":"8""#, r#""contribution":"-8""#);
    assert!(codec::decode_json::<CashItem>(negative.as_bytes(), Limit::Medium).is_err());
    assert!(Blob::<4>::new(vec![0; 5]).is_err());
}

const BOOK: &str = include_str!("../../../../docs/src/wire-format.md");

/// The book's table of codes, and its examples, are what the code says.
#[test]
fn the_book_tells_every_code_and_its_examples_are_real() {
    for code in Code::ALL {
        let definitive = if code.is_definitive() { "yes" } else { "no" };
        let row = format!("| {} | `{code}` | {} | {definitive} | ", code.number(), code.status());
        assert!(BOOK.contains(&row), "no row {row}");
    }
    let rows = BOOK
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains("` | ") && line.contains(" | yes | "));
    let definitive = Code::ALL.iter().filter(|code| code.is_definitive()).count();
    assert_eq!(rows.count(), definitive, "a row too many");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    let fault = Fault::new(Code::Expired, "too late");
    let json = String::from_utf8(codec::encode_json(&fault).unwrap()).unwrap();
    assert!(BOOK.contains(&json));
    let squeezed = BOOK.replace("  ", " ");
    assert!(squeezed.contains(&hex(&codec::encode(&fault).unwrap())));
    assert!(squeezed.contains(&hex(&codec::encode(&BeginResponse::Void).unwrap())));
    let mut begin = b"FQ\x01\x00".to_vec();
    begin.extend([0x11; 32]);
    begin.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    begin.extend([0x22; 32]);
    begin.extend([3, 0]);
    let begin: BeginRequest = codec::decode(&begin, Limit::Small).unwrap();
    assert_eq!((begin.outputs.len(), begin.outputs[0].count), (1, 3));
}
