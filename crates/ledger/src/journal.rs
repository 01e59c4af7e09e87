//! The journal: every event of the book in order, bound by a hash chain.
//!
//! `digest = D("ledger/journal"; previous, seq, body)`, the first `previous` being 32 zero bytes and the first `seq` 1.
//!
//! The body is the whole event. All integers little-endian:
//!
//! | bytes | account opened | transfer |
//! |---|---|---|
//! | 1 | 1 | 2 |
//! | 8 | time, Unix seconds | the same |
//! | 4 + 4 | place in its linked group (from 0), size of the group | the same |
//! | 16 | id | id |
//! | 2 | code | code |
//! | then | limit (1), currency code (3) | kind (1), debit (16), credit (16), amount (8) |
//! | then | | pending: 0, or 1 and expiry (8); post, void, expire: pending id (16); posted: nothing |

use feiqian_crypto::{Digest, Id16, Transcript};
use feiqian_money::Minor;

use crate::{
    book::{Account, Kind, Limit, Transfer},
    store::{Column, Row, StoreError, Table, Tx, Value},
};

/// The journal's table.
pub(crate) static JOURNAL: Table = Table {
    name: "ledger_journal",
    columns: &[
        Column::integer("seq"),
        Column::blob("previous"),
        Column::blob("body"),
        Column::blob("digest"),
    ],
    key: 1,
    constraints: &["CHECK (seq > 0)", "CHECK (length(previous) = 32)", "CHECK (length(digest) = 32)"],
    indexes: &[],
};

/// The last event's number and digest. Whoever notes it elsewhere binds the whole past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The number of events.
    pub seq: u64,
    /// The digest of the last event, zero if there is none.
    pub digest: Digest,
}

impl Head {
    /// The head of an empty journal.
    pub const START: Self = Self { seq: 0, digest: Digest::ZERO };

    /// The head after an event with this body.
    ///
    /// # Errors
    ///
    /// [`StoreError::Misuse`] after 2⁶³ − 1 events.
    pub fn after(self, body: &[u8]) -> Result<Self, StoreError> {
        let seq = self.seq.checked_add(1).filter(|seq| i64::try_from(*seq).is_ok());
        let seq = seq.ok_or_else(|| StoreError::Misuse("the journal is full".to_owned()))?;
        let digest =
            Transcript::new("ledger/journal").digest(&self.digest).integer(seq).bytes(body).into_digest();
        Ok(Self { seq, digest })
    }
}

/// Where an event stands in its linked group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// From 0.
    pub index: u32,
    /// The size of the group, at least 1.
    pub count: u32,
}

impl Position {
    /// An event by itself.
    pub const ALONE: Self = Self { index: 0, count: 1 };

    /// The positions of a group in order.
    pub(crate) fn of_group(size: usize) -> impl Iterator<Item = Self> {
        let count = u32::try_from(size).unwrap_or(u32::MAX);
        (0..count).map(move |index| Self { index, count })
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// An account was opened.
    Opened(Account),
    /// A transfer was booked.
    Transferred(Transfer),
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its number, from 1 without gaps.
    pub seq: u64,
    /// When it was booked, Unix seconds.
    pub time: u64,
    /// Its place among linked transfers.
    pub position: Position,
    /// What happened.
    pub body: Body,
}

/// The raw line: what the chain is computed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number.
    pub seq: u64,
    /// The digest of the line before.
    pub previous: Digest,
    /// The event, encoded.
    pub body: Vec<u8>,
    /// The digest of this line.
    pub digest: Digest,
}

impl Line {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let (previous, digest) = (row.digest(1)?, row.digest(3)?);
        Ok(Self { seq: row.unsigned(0)?, previous, body: row.blob(2)?.to_vec(), digest })
    }

    /// The event in this line; `None` if the bytes are not exactly one event.
    #[must_use]
    pub fn event(&self) -> Option<Event> {
        let (time, position, body) = decode(&self.body)?;
        Some(Event { seq: self.seq, time, position, body })
    }
}

/// The journal's head.
///
/// # Errors
///
/// [`StoreError`] of the reading.
pub fn head(tx: &mut dyn Tx) -> Result<Head, StoreError> {
    let rows = tx.select("SELECT seq, digest FROM ledger_journal ORDER BY seq DESC LIMIT 1", &[])?;
    match rows.first() {
        None => Ok(Head::START),
        Some(row) => Ok(Head { seq: row.unsigned(0)?, digest: row.digest(1)? }),
    }
}

/// The next at most `limit` lines after number `after`.
///
/// # Errors
///
/// [`StoreError`] of the reading.
pub fn lines(tx: &mut dyn Tx, after: u64, limit: u32) -> Result<Vec<Line>, StoreError> {
    let sql = "SELECT seq, previous, body, digest FROM ledger_journal WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    let rows = tx.select(sql, &[Value::unsigned(after)?, limit.into()])?;
    rows.iter().map(Line::from_row).collect()
}

/// Writes the next line and moves the head.
pub(crate) fn append(
    tx: &mut dyn Tx,
    head: &mut Head,
    time: u64,
    position: Position,
    body: &Body,
) -> Result<(), StoreError> {
    let body = encode(time, position, body);
    let next = head.after(&body)?;
    tx.insert(&JOURNAL, &[Value::unsigned(next.seq)?, head.digest.into(), body.into(), next.digest.into()])?;
    *head = next;
    Ok(())
}

fn encode(time: u64, position: Position, body: &Body) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(96);
    let (tag, id, code) = match body {
        Body::Opened(account) => (1, account.id, account.code),
        Body::Transferred(transfer) => (2, transfer.id, transfer.code),
    };
    bytes.push(tag);
    bytes.extend_from_slice(&time.to_le_bytes());
    bytes.extend_from_slice(&position.index.to_le_bytes());
    bytes.extend_from_slice(&position.count.to_le_bytes());
    bytes.extend_from_slice(id.as_bytes());
    bytes.extend_from_slice(&code.to_le_bytes());
    match body {
        Body::Opened(account) => {
            bytes.push(account.limit.number());
            bytes.extend_from_slice(account.currency.code().as_bytes());
        }
        Body::Transferred(transfer) => {
            bytes.push(transfer.kind.number());
            bytes.extend_from_slice(transfer.debit.as_bytes());
            bytes.extend_from_slice(transfer.credit.as_bytes());
            bytes.extend_from_slice(&transfer.amount.value().to_le_bytes());
            encode_kind(&mut bytes, transfer.kind);
        }
    }
    bytes
}

fn encode_kind(bytes: &mut Vec<u8>, kind: Kind) {
    match kind {
        Kind::Posted => {}
        Kind::Pending { expires: None } => bytes.push(0),
        Kind::Pending { expires: Some(expires) } => {
            bytes.push(1);
            bytes.extend_from_slice(&expires.to_le_bytes());
        }
        Kind::Post { pending } | Kind::Void { pending } | Kind::Expire { pending } => {
            bytes.extend_from_slice(pending.as_bytes());
        }
    }
}

/// Takes fixed numbers of bytes from the front.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (front, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*front)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn id(&mut self) -> Option<Id16> {
        self.take().map(Id16::from)
    }

    fn long(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    /// A time, which the book never takes above what a database integer holds.
    fn time(&mut self) -> Option<u64> {
        self.long().filter(|time| i64::try_from(*time).is_ok())
    }
}

fn decode(bytes: &[u8]) -> Option<(u64, Position, Body)> {
    let mut reader = Reader(bytes);
    let tag = reader.byte()?;
    let time = reader.time()?;
    let position =
        Position { index: u32::from_le_bytes(reader.take()?), count: u32::from_le_bytes(reader.take()?) };
    let (id, code) = (reader.id()?, u16::from_le_bytes(reader.take()?));
    let body = match tag {
        1 => {
            let limit = Limit::from_number(reader.byte()?)?;
            let currency = std::str::from_utf8(&reader.take::<3>()?).ok()?.parse().ok()?;
            Body::Opened(Account { id, currency, code, limit })
        }
        2 => {
            let number = reader.byte()?;
            let (debit, credit) = (reader.id()?, reader.id()?);
            let amount = Minor::new(reader.long()?).ok()?;
            let kind = decode_kind(&mut reader, number)?;
            Body::Transferred(Transfer { id, debit, credit, amount, code, kind })
        }
        _ => return None,
    };
    reader.0.is_empty().then_some((time, position, body))
}

fn decode_kind(reader: &mut Reader<'_>, number: u8) -> Option<Kind> {
    let (mut expires, mut pending) = (None, None);
    match number {
        0 => {}
        1 => match reader.byte()? {
            0 => {}
            1 => expires = Some(reader.time()?),
            _ => return None,
        },
        _ => pending = Some(reader.id()?),
    }
    Kind::from_parts(number, expires, pending)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    fn bodies() -> Vec<Body> {
        let [pending, debit, credit] = [1_u8, 2, 3].map(|n| Id16::from([n; 16]));
        let amount = Minor::new(1250).unwrap();
        let kinds = [
            Kind::Posted,
            Kind::Pending { expires: None },
            Kind::Pending { expires: Some(77) },
            Kind::Post { pending },
            Kind::Void { pending },
            Kind::Expire { pending },
        ];
        let transfers = kinds.map(|kind| {
            Body::Transferred(Transfer { id: Id16::from([9; 16]), debit, credit, amount, code: 513, kind })
        });
        let limits = [Limit::None, Limit::DebitsNotAboveCredits, Limit::CreditsNotAboveDebits];
        let opened = limits.map(|limit| {
            Body::Opened(Account { id: debit, currency: "CNY".parse().unwrap(), code: 7, limit })
        });
        transfers.into_iter().chain(opened).collect()
    }

    #[test]
    fn every_event_reads_back_and_no_other_length_does() {
        let position = Position { index: 1, count: 3 };
        for body in bodies() {
            let mut bytes = encode(1_700_000_000, position, &body);
            assert_eq!(decode(&bytes), Some((1_700_000_000, position, body.clone())));
            for length in 0..bytes.len() {
                assert_eq!(decode(bytes.get(..length).unwrap()), None, "{body:?} cut to {length}");
            }
            bytes.push(0);
            assert_eq!(decode(&bytes), None, "{body:?} with a byte too many");
        }
    }

    #[test]
    fn the_chain_binds_number_content_and_past() {
        let first = Head::START.after(b"event").unwrap();
        assert_eq!(first.seq, 1);
        assert_ne!(first.digest, Head::START.after(b"other").unwrap().digest);
        let elsewhere = Head { seq: 1, digest: Digest::ZERO };
        assert_ne!(first.digest, elsewhere.after(b"event").unwrap().digest);
        assert_ne!(first.after(b"x").unwrap().digest, elsewhere.after(b"x").unwrap().digest);
        assert!(Head { seq: i64::MAX.unsigned_abs(), digest: Digest::ZERO }.after(b"x").is_err());
    }
}
