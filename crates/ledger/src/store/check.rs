//! The check column that every row carries.

use feiqian_crypto::transcript::Transcript;

use super::{Table, Value};

/// The name of the last column of every table: 16 bytes, see [`row_check`].
pub const ROW_CHECK: &str = "row_check";

/// The check of one row: the first 16 bytes of the digest `ledger/row` over the table's name, the number of
/// values, and each value with its kind.
///
/// # Security
///
/// It finds damage and careless editing, not a forger: who may write the file can compute the check too. What binds
/// the past is the journal's hash chain, whose head an operator can note elsewhere.
#[must_use]
pub fn row_check(table: &Table, values: &[Value]) -> [u8; 16] {
    let count = u64::try_from(values.len()).unwrap_or(u64::MAX);
    let mut transcript = Transcript::new("ledger/row").text(table.name).integer(count);
    for value in values {
        transcript = match value {
            Value::Null => transcript.integer(0),
            Value::Integer(number) => transcript.integer(1).bytes(&number.to_le_bytes()),
            Value::Text(text) => transcript.integer(2).text(text),
            Value::Blob(bytes) => transcript.integer(3).bytes(bytes),
        };
    }
    let digest = transcript.into_digest();
    let mut check = [0; 16];
    for (to, from) in check.iter_mut().zip(digest.as_bytes()) {
        *to = *from;
    }
    check
}
