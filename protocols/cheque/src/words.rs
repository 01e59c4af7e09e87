//! Amounts in words: English, and Chinese capitals (壹贰叁) as banks write them.

use feiqian_money::{Amount, Currency};

const SMALL: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] =
    ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
/// Short scale; the largest amount has seven groups of three digits.
const SCALES: [&str; 7] =
    ["", " thousand", " million", " billion", " trillion", " quadrillion", " quintillion"];

const DIGITS: [&str; 10] = ["零", "壹", "贰", "叁", "肆", "伍", "陆", "柒", "捌", "玖"];
/// Within a group of four digits.
const PLACES: [&str; 4] = ["", "拾", "佰", "仟"];
const PARTS: [&str; 4] = ["角", "分", "厘", "毫"];

/// English: `Two hundred fifty and 00/100 CNY`; `Seven JPY` where there are no minor units.
#[must_use]
pub fn english(amount: Amount) -> String {
    let (whole, fraction) = split(amount);
    let mut words = english_number(whole);
    if let Some(first) = words.get(..1).map(str::to_ascii_uppercase) {
        words.replace_range(..1, &first);
    }
    let exponent = amount.currency.exponent();
    if exponent > 0 {
        let width = usize::try_from(exponent).unwrap_or(0);
        words.push_str(&format!(" and {fraction:0width$}/1{}", "0".repeat(width)));
    }
    format!("{words} {}", amount.currency)
}

/// Chinese capitals: `人民币贰佰伍拾元整`, `人民币壹元零伍分`.
///
/// Parts of the unit are 角, 分, 厘, 毫: tenths, hundredths and so on, as many as the currency has. A currency
/// without a customary Chinese name is written with its code.
#[must_use]
pub fn chinese(amount: Amount) -> String {
    let (whole, fraction) = split(amount);
    let name = chinese_name(amount.currency);
    let mut words = name.unwrap_or(amount.currency.code()).to_owned();
    if whole > 0 || fraction == 0 {
        words.push_str(&chinese_number(whole));
        words.push('元');
    }
    if fraction == 0 {
        words.push('整');
        return words;
    }
    let width = usize::try_from(amount.currency.exponent()).unwrap_or(0);
    let (mut started, mut gap) = (whole > 0, false);
    for (digit, part) in format!("{fraction:0width$}").bytes().zip(PARTS) {
        match DIGITS.get(usize::from(digit.wrapping_sub(b'0'))) {
            Some(digit) if *digit != "零" => {
                if gap && started {
                    words.push('零');
                }
                words.push_str(digit);
                words.push_str(part);
                (started, gap) = (true, false);
            }
            _ => gap = true,
        }
    }
    // Amounts that end in tenths are closed, those that reach further need not be.
    if words.ends_with('角') {
        words.push('整');
    }
    words
}

fn split(amount: Amount) -> (u64, u64) {
    let unit = 10_u64.saturating_pow(amount.currency.exponent());
    let minor = amount.minor.value();
    (minor.checked_div(unit).unwrap_or(0), minor.checked_rem(unit).unwrap_or(0))
}

fn english_number(number: u64) -> String {
    if number == 0 {
        return "zero".to_owned();
    }
    let mut groups = Vec::new();
    let mut rest = number;
    for scale in SCALES {
        let (next, group) = (rest / 1000, rest % 1000);
        if group > 0 {
            groups.push(format!("{}{scale}", english_group(group)));
        }
        rest = next;
    }
    groups.reverse();
    groups.join(" ")
}

/// 1 to 999.
fn english_group(group: u64) -> String {
    let word = |table: &[&'static str], index: u64| {
        usize::try_from(index).ok().and_then(|index| table.get(index).copied()).unwrap_or("")
    };
    let (hundreds, rest) = (group / 100, group % 100);
    let small = match rest {
        0 => String::new(),
        1..=19 => word(&SMALL, rest).to_owned(),
        _ if rest % 10 == 0 => word(&TENS, rest / 10).to_owned(),
        _ => format!("{}-{}", word(&TENS, rest / 10), word(&SMALL, rest % 10)),
    };
    match (hundreds, small.is_empty()) {
        (0, _) => small,
        (_, true) => format!("{} hundred", word(&SMALL, hundreds)),
        (_, false) => format!("{} hundred {small}", word(&SMALL, hundreds)),
    }
}

/// Groups of four digits; what is 10^8 or more repeats before 亿.
fn chinese_number(number: u64) -> String {
    const MYRIAD: u64 = 10_000;
    const YI: u64 = 100_000_000;
    let (high, unit, low, full) = match number {
        0 => return "零".to_owned(),
        1..MYRIAD => return chinese_group(number),
        MYRIAD..YI => (number / MYRIAD, "万", number % MYRIAD, MYRIAD / 10),
        _ => (number / YI, "亿", number % YI, YI / 10),
    };
    let mut words = chinese_number(high);
    words.push_str(unit);
    if low > 0 {
        // A gap of zeros before the lower part is read once.
        if low < full {
            words.push('零');
        }
        words.push_str(&chinese_number(low));
    }
    words
}

/// 1 to 9999.
fn chinese_group(group: u64) -> String {
    let mut words = String::new();
    let mut gap = false;
    for (place, divisor) in PLACES.iter().zip([1, 10, 100, 1000_u64]).rev() {
        let digit = group.checked_div(divisor).unwrap_or(0) % 10;
        if digit == 0 {
            gap = !words.is_empty();
            continue;
        }
        if gap {
            words.push('零');
            gap = false;
        }
        words.push_str(usize::try_from(digit).ok().and_then(|it| DIGITS.get(it)).copied().unwrap_or(""));
        words.push_str(place);
    }
    words
}

fn chinese_name(currency: Currency) -> Option<&'static str> {
    Some(match currency.code() {
        "CNY" => "人民币",
        "USD" => "美元",
        "EUR" => "欧元",
        "JPY" => "日元",
        "GBP" => "英镑",
        "HKD" => "港币",
        "MOP" => "澳门币",
        "TWD" => "新台币",
        "KRW" => "韩元",
        "SGD" => "新加坡元",
        "AUD" => "澳元",
        "CAD" => "加元",
        "CHF" => "瑞士法郎",
        "INR" => "印度卢比",
        "RUB" => "卢布",
        "THB" => "泰铢",
        "KWD" => "科威特第纳尔",
        _ => return None,
    })
}
