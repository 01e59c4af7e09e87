//! Amounts in words, by hand and for every amount.

use std::collections::BTreeMap;

use feiqian_cheque::words::{chinese, english};
use feiqian_money::{Amount, Currency, Minor};
use proptest::prelude::*;

fn of(code: &str, minor: u64) -> Amount {
    Amount::new(Minor::new(minor).unwrap(), code.parse().unwrap())
}

#[test]
fn english_by_hand() {
    for (code, minor, words) in [
        ("CNY", 25_000, "Two hundred fifty and 00/100 CNY"),
        ("USD", 1, "Zero and 01/100 USD"),
        ("USD", 2_119, "Twenty-one and 19/100 USD"),
        ("JPY", 7, "Seven JPY"),
        ("JPY", 1_000_013, "One million thirteen JPY"),
        ("KWD", 1_005, "One and 005/1000 KWD"),
        ("UYW", 10_001, "One and 0001/10000 UYW"),
        ("EUR", 10_000_000_100, "One hundred million one and 00/100 EUR"),
        (
            "JPY",
            Minor::MAX.value(),
            "Nine quintillion two hundred twenty-three quadrillion three hundred \
            seventy-two trillion thirty-six billion eight hundred fifty-four million seven hundred \
            seventy-five thousand eight hundred seven JPY",
        ),
    ] {
        assert_eq!(english(of(code, minor)), words);
    }
}

#[test]
fn chinese_by_hand() {
    for (code, minor, words) in [
        ("CNY", 25_000, "人民币贰佰伍拾元整"),
        ("CNY", 0, "人民币零元整"),
        ("CNY", 105, "人民币壹元零伍分"),
        ("CNY", 5, "人民币伍分"),
        ("CNY", 50, "人民币伍角整"),
        ("CNY", 55, "人民币伍角伍分"),
        ("CNY", 1_050, "人民币壹拾元伍角整"),
        ("CNY", 100_500, "人民币壹仟零伍元整"),
        ("CNY", 140_950, "人民币壹仟肆佰零玖元伍角整"),
        ("CNY", 600_714, "人民币陆仟零柒元壹角肆分"),
        ("CNY", 1_000_000, "人民币壹万元整"),
        ("CNY", 1_000_100, "人民币壹万零壹元整"),
        ("CNY", 10_000_000_000, "人民币壹亿元整"),
        ("CNY", 10_001_000_000, "人民币壹亿零壹万元整"),
        ("CNY", 100_000_000_000_000, "人民币壹万亿元整"),
        ("JPY", 1_000_000_000_000_000_000, "日元壹佰亿亿元整"),
        ("JPY", 123_456_789, "日元壹亿贰仟叁佰肆拾伍万陆仟柒佰捌拾玖元整"),
        ("KWD", 305, "科威特第纳尔叁角零伍厘"),
        ("UYW", 10_001, "UYW壹元零壹毫"),
        ("XAF", 3, "XAF叁元整"),
    ] {
        assert_eq!(chinese(of(code, minor)), words);
    }
}

/// Reads English words back: an independent grammar, so that no two amounts share words.
fn read_english(words: &str) -> u64 {
    let small: BTreeMap<&str, u64> = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
        .split(' ').zip(0..).collect();
    let tens: BTreeMap<&str, u64> =
        "twenty thirty forty fifty sixty seventy eighty ninety".split(' ').zip((20..).step_by(10)).collect();
    let scales: BTreeMap<&str, u64> = "thousand million billion trillion quadrillion quintillion"
        .split(' ')
        .zip(1..)
        .map(|(word, power)| (word, 1000_u64.pow(power)))
        .collect();
    let (mut total, mut group) = (0, 0);
    for word in words.to_lowercase().replace('-', " ").split(' ') {
        match word {
            "hundred" => group *= 100,
            word if scales.contains_key(word) => {
                total += group * scales[word];
                group = 0;
            }
            word => group += small.get(word).or(tens.get(word)).unwrap(),
        }
    }
    total + group
}

/// Reads Chinese capitals back.
fn read_chinese(words: &str) -> u64 {
    let part = |words: &str, unit: char| -> Option<(u64, u64)> {
        let (high, low) = words.rsplit_once(unit)?;
        Some((read_chinese(high), read_chinese(low)))
    };
    // 亿亿 splits at its last 亿: what stands before it, with its own 亿, comes first.
    if let Some((high, low)) = part(words, '亿') {
        return high * 100_000_000 + low;
    }
    if let Some((high, low)) = part(words, '万') {
        return high * 10_000 + low;
    }
    let (mut total, mut digit) = (0, 0);
    for character in words.chars() {
        match character {
            '拾' => total += digit * 10,
            '佰' => total += digit * 100,
            '仟' => total += digit * 1000,
            other => {
                digit =
                    "零壹贰叁肆伍陆柒捌玖".chars().position(|it| it == other).unwrap().try_into().unwrap();
                continue;
            }
        }
        digit = 0;
    }
    total + digit
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_amount_is_read_back(minor in prop_oneof![0..10_000_u64, 0..1_000_000_000_000_u64, 0..=Minor::MAX.value()], pick in 0..200_usize) {
        let currency = Currency::all().nth(pick % Currency::all().count()).unwrap();
        let amount = Amount::new(Minor::new(minor).unwrap(), currency);
        let unit = 10_u64.pow(currency.exponent());
        let words = english(amount);
        let words = words.strip_suffix(&format!(" {currency}")).unwrap();
        let (whole, fraction) = match words.split_once(" and ") {
            Some((whole, fraction)) => (whole, fraction.split_once('/').unwrap().0.parse().unwrap()),
            None => (words, 0),
        };
        prop_assert_eq!(read_english(whole) * unit + fraction, minor);

        let words = chinese(amount);
        let number = "零壹贰叁肆伍陆柒捌玖拾佰仟万亿元角分厘毫整";
        let start = words.char_indices().rev().take_while(|(_, it)| number.contains(*it)).last().unwrap().0;
        // Names of currencies may end in 元 themselves.
        let words = words[start..].trim_start_matches('元').trim_end_matches('整');
        let (whole, parts) = words.split_once('元').map_or((0, words), |(whole, parts)| (read_chinese(whole), parts));
        let mut read = whole * unit;
        let mut value = 0;
        for character in parts.chars() {
            match "角分厘毫".chars().position(|it| it == character) {
                Some(place) => read += value * (unit / 10_u64.pow(u32::try_from(place).unwrap() + 1)),
                None => value = read_chinese(&character.to_string()),
            }
        }
        prop_assert_eq!(read, minor, "{}", chinese(amount));
    }
}
