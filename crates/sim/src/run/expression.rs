//! Assertions over a summary: `linkage.top1.ci95.high < 0.10`.

use serde_json::Value;

use crate::error::SimError;

/// How two numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    More,
    AtLeast,
    Equal,
    Different,
}

/// Longest first, so that `<=` is not read as `<`.
const SIGNS: [(&str, Comparison); 6] = [
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("==", Comparison::Equal),
    ("!=", Comparison::Different),
    ("<", Comparison::Less),
    (">", Comparison::More),
];

/// One side of a comparison: a number, or where in a summary one stands.
#[derive(Clone, Debug, PartialEq)]
enum Side {
    Number(f64),
    Path(String),
}

/// A comparison that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Assertion {
    left: Side,
    comparison: Comparison,
    right: Side,
}

/// Reads `SIDE COMPARISON SIDE`.
///
/// # Errors
/// [`SimError::Usage`] when it is none.
pub fn parse(text: &str) -> Result<Assertion, SimError> {
    let found = SIGNS.iter().filter_map(|(sign, comparison)| Some((text.find(sign)?, *sign, *comparison)));
    let first = found.min_by_key(|(at, sign, _)| (*at, std::cmp::Reverse(sign.len())));
    let Some((at, sign, comparison)) = first else {
        return Err(SimError::usage(format!("assert: `{text}` holds no comparison: < <= > >= == !=")));
    };
    let (left, rest) = text.split_at(at);
    let right = rest.strip_prefix(sign).unwrap_or_default();
    Ok(Assertion { left: side(left, text)?, comparison, right: side(right, text)? })
}

fn side(part: &str, whole: &str) -> Result<Side, SimError> {
    let part = part.trim();
    if let Ok(number) = part.parse() {
        return Ok(Side::Number(number));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if part.is_empty() || !part.chars().all(allowed) {
        return Err(SimError::usage(format!("assert: `{part}` in `{whole}` is neither a number nor a path")));
    }
    Ok(Side::Path(part.to_owned()))
}

/// The value at a path of keys joined by points.
#[must_use]
pub fn at<'a>(summary: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(summary, |value, key| match value {
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        other => other.get(key),
    })
}

impl Side {
    fn value(&self, summary: &Value) -> Result<f64, String> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Path(path) => {
                let value = at(summary, path).ok_or_else(|| format!("the summary has no `{path}`"))?;
                let number = value.as_f64().or_else(|| value.as_bool().map(|yes| f64::from(u8::from(yes))));
                number.ok_or_else(|| format!("`{path}` is {value}, not a number"))
            }
        }
    }
}

impl Assertion {
    /// Whether it holds of the summary, with the values that were compared.
    ///
    /// # Errors
    /// Why it cannot be told: a path that leads nowhere.
    pub fn holds(&self, summary: &Value) -> Result<(bool, f64, f64), String> {
        let (left, right) = (self.left.value(summary)?, self.right.value(summary)?);
        let order = left.partial_cmp(&right).ok_or("a value is not a number")?;
        let held = match self.comparison {
            Comparison::Less => order.is_lt(),
            Comparison::AtMost => order.is_le(),
            Comparison::More => order.is_gt(),
            Comparison::AtLeast => order.is_ge(),
            Comparison::Equal => order.is_eq(),
            Comparison::Different => order.is_ne(),
        };
        Ok((held, left, right))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure to parse fails the test")]

    use serde_json::json;

    use super::*;

    #[test]
    fn comparisons_hold_or_not() {
        let summary = json!({"a": {"b": 0.5, "yes": true}, "list": [{"n": 3}]});
        for (text, expected) in [
            ("a.b < 1", true),
            ("a.b >= 0.5", true),
            ("a.b<=0.4", false),
            ("a.yes == 1", true),
            ("list.0.n != 3", false),
            ("0.4 < a.b", true),
        ] {
            assert_eq!(parse(text).unwrap().holds(&summary).unwrap().0, expected, "{text}");
        }
        assert!(parse("a.c < 1").unwrap().holds(&summary).is_err());
        assert!(parse("a.b").is_err() && parse("a b < 1").is_err() && parse("< 1").is_err());
    }
}
