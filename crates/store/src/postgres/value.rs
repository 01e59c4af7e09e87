//! Values as PostgreSQL's binary protocol carries them.

use std::error::Error;

use bytes::BytesMut;
use feiqian_ledger::store::{Kind, Value};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// A failed conversion in the words the client library wants.
type Failure = Box<dyn Error + Sync + Send>;

/// The type a parameter of a `SELECT` is declared with: what the caller gave decides, not what the server guesses.
pub(crate) fn type_of(value: &Value) -> Type {
    match value {
        Value::Null => Type::UNKNOWN,
        Value::Integer(_) => Type::INT8,
        Value::Text(_) => Type::TEXT,
        Value::Blob(_) => Type::BYTEA,
    }
}

/// The type of a column's values.
pub(crate) fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Integer => "BIGINT",
        // Compared byte by byte, as SQLite does, whatever language the server speaks.
        Kind::Text => "TEXT COLLATE \"C\"",
        Kind::Blob => "BYTEA",
    }
}

/// A value lent to the server without a copy.
#[derive(Debug)]
pub(crate) struct Bound<'a>(pub(crate) &'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        match (self.0, kind) {
            (Value::Null, _) => Ok(IsNull::Yes),
            (Value::Integer(number), &Type::INT8) => number.to_sql(kind, out),
            (Value::Text(text), &Type::TEXT) => text.to_sql(kind, out),
            (Value::Blob(bytes), &Type::BYTEA) => bytes.to_sql(kind, out),
            (value, kind) => Err(format!("{value:?} is no {kind}").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A value read from the server.
pub(crate) struct Stored(pub(crate) Value);

impl<'a> FromSql<'a> for Stored {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        let value = match *kind {
            Type::BOOL => Value::Integer(i64::from(bool::from_sql(kind, raw)?)),
            Type::INT2 => Value::Integer(i64::from(i16::from_sql(kind, raw)?)),
            Type::INT4 => Value::Integer(i64::from(i32::from_sql(kind, raw)?)),
            Type::INT8 => Value::Integer(i64::from_sql(kind, raw)?),
            Type::NUMERIC => {
                Value::Integer(integer_of_numeric(raw).ok_or("a number that is no 64-bit integer")?)
            }
            Type::TEXT | Type::VARCHAR | Type::NAME | Type::UNKNOWN => {
                Value::Text(<&str>::from_sql(&Type::TEXT, raw)?.to_owned())
            }
            Type::BYTEA => Value::Blob(<&[u8]>::from_sql(kind, raw)?.to_vec()),
            ref other => return Err(format!("a value of type {other}").into()),
        };
        Ok(Self(value))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Failure> {
        Ok(Self(Value::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// The integer in a `NUMERIC` (sums of integers come as such): count of digits, weight of the first, sign, scale, then
/// digits of base 10,000, each two bytes. `None` for fractions and what does not fit.
fn integer_of_numeric(raw: &[u8]) -> Option<i64> {
    let mut words = raw.chunks_exact(2).filter_map(|pair| <[u8; 2]>::try_from(pair).ok());
    let count = u16::from_be_bytes(words.next()?);
    let weight = i16::from_be_bytes(words.next()?);
    let sign = u16::from_be_bytes(words.next()?);
    let _scale = words.next()?;
    let digits: Vec<u16> = words.map(u16::from_be_bytes).collect();
    if digits.len() != usize::from(count) {
        return None;
    }
    let places = usize::try_from(i32::from(weight).checked_add(1)?).ok();
    let mut number = 0_i128;
    for place in 0..places.unwrap_or(0) {
        let digit = digits.get(place).copied().unwrap_or(0);
        number = number.checked_mul(10_000)?.checked_add(i128::from(digit))?;
    }
    if digits.iter().skip(places.unwrap_or(0)).any(|digit| *digit != 0) {
        return None;
    }
    match sign {
        0x0000 => i64::try_from(number).ok(),
        0x4000 => i64::try_from(number.checked_neg()?).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::integer_of_numeric;

    fn numeric(weight: i16, sign: u16, digits: &[u16]) -> Option<i64> {
        let count = u16::try_from(digits.len()).unwrap_or(u16::MAX);
        let mut raw = Vec::new();
        raw.extend(count.to_be_bytes());
        raw.extend(weight.to_be_bytes());
        raw.extend(sign.to_be_bytes());
        raw.extend([0, 0]);
        digits.iter().for_each(|digit| raw.extend(digit.to_be_bytes()));
        integer_of_numeric(&raw)
    }

    #[test]
    fn sums_are_read_to_the_last_unit_and_what_is_no_integer_is_refused() {
        assert_eq!(numeric(0, 0, &[]), Some(0));
        assert_eq!(numeric(0, 0, &[7]), Some(7));
        assert_eq!(numeric(2, 0, &[3]), Some(300_000_000));
        assert_eq!(numeric(1, 0x4000, &[12, 3456]), Some(-123_456));
        let largest = [922, 3372, 368, 5477, 5807];
        assert_eq!(numeric(4, 0, &largest), Some(i64::MAX));
        assert_eq!(numeric(4, 0x4000, &[922, 3372, 368, 5477, 5808]), Some(i64::MIN));
        assert_eq!(numeric(4, 0, &[922, 3372, 368, 5477, 5808]), None);
        assert_eq!(numeric(30, 0, &[1]), None);
        // One half, not a number, infinity, and bytes that end early.
        assert_eq!(numeric(-1, 0, &[5000]), None);
        assert_eq!(numeric(0, 0xC000, &[]), None);
        assert_eq!(numeric(0, 0xD000, &[]), None);
        assert_eq!(integer_of_numeric(&[0, 2, 0, 1, 0, 0, 0, 0, 0, 1]), None);
        assert_eq!(integer_of_numeric(&[0, 0]), None);
    }
}
