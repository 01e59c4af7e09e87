//! The own cheque book: leaves, and what was drawn on them.

use feiqian_cheque::book::Allotment;
use feiqian_cheque::messages::{Document, RegisterLine};
use feiqian_cheque::{Day, Mandate, Notice, Payee};
use feiqian_crypto::Digest;
use feiqian_ledger::store::{Row, StoreError, Tx, Value};
use feiqian_money::Amount;
use feiqian_wire::error::Fault;
use feiqian_wire::{Blob, Bounded, Name, Text};
use serde::{Deserialize, Serialize};

use crate::cheque::{read_document, with_attachments};
use crate::failure::{Failure, Result};
use crate::record::{decode, encode, select};
use crate::tables::LEAF;

/// A file that a cheque binds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attached {
    pub(crate) name: Text<128>,
    pub(crate) media_type: Text<64>,
    pub(crate) bytes: Blob<262_144>,
}

/// An account somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) bank: Name,
    pub(crate) account: Text<64>,
}

/// What the owner decided about a cheque, before it is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Terms {
    pub(crate) payee: Payee,
    pub(crate) amount: Amount,
    pub(crate) date: Day,
    pub(crate) memo: Text<256>,
    pub(crate) negotiable: bool,
    pub(crate) certify: bool,
    pub(crate) mandate: Mandate,
    pub(crate) attachments: Bounded<Attached, 4>,
    /// To whose bank it is sent once it is issued.
    pub(crate) send: Option<Place>,
}

/// How far a leaf has come at this end; the drawee's register says the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeafState {
    Free,
    Torn,
    Drawn,
    Signed,
    Issued,
    Refused,
}

impl LeafState {
    const ALL: [Self; 6] = [Self::Free, Self::Torn, Self::Drawn, Self::Signed, Self::Issued, Self::Refused];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Torn => "torn",
            Self::Drawn => "drawn",
            Self::Signed => "signed",
            Self::Issued => "issued",
            Self::Refused => "refused",
        }
    }

    fn read(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| StoreError::Corrupt(format!("leaf state {text}")).into())
    }
}

/// A leaf as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct LeafRow {
    pub(crate) number: u64,
    pub(crate) book: Allotment,
    pub(crate) state: LeafState,
    pub(crate) terms: Option<Terms>,
    pub(crate) cheque: Option<Digest>,
    pub(crate) file: Option<Document>,
    pub(crate) notice: Option<Notice>,
    pub(crate) line: Option<RegisterLine>,
    pub(crate) refusal: Option<Fault>,
    pub(crate) intent: Option<Digest>,
    pub(crate) reported: bool,
    pub(crate) torn_at: u64,
}

impl LeafRow {
    pub(crate) fn of(row: &Row) -> Result<Self> {
        let part = |index: usize| -> Result<Option<&[u8]>> {
            if row.is_null(index) { Ok(None) } else { Ok(Some(row.blob(index)?)) }
        };
        let file = part(5)?.map(Document::new).transpose()?;
        Ok(Self {
            number: row.unsigned(0)?,
            book: decode(row.blob(1)?, &LEAF)?,
            state: LeafState::read(row.text(2)?)?,
            terms: part(3)?.map(|bytes| decode(bytes, &LEAF)).transpose()?,
            cheque: if row.is_null(4) { None } else { Some(row.digest(4)?) },
            file,
            notice: part(6)?.map(|bytes| decode(bytes, &LEAF)).transpose()?,
            line: part(7)?.map(|bytes| decode(bytes, &LEAF)).transpose()?,
            refusal: part(8)?.map(|bytes| decode(bytes, &LEAF)).transpose()?,
            intent: if row.is_null(9) { None } else { Some(row.digest(9)?) },
            reported: row.boolean(10)?,
            torn_at: row.unsigned(11)?,
        })
    }

    pub(crate) fn values(&self) -> Result<Vec<Value>> {
        Ok(vec![
            Value::unsigned(self.number)?,
            encode(&self.book)?.into(),
            self.state.as_str().into(),
            self.terms.as_ref().map(encode).transpose()?.into(),
            self.cheque.into(),
            self.file.as_ref().map(|file| file.to_vec()).into(),
            self.notice.as_ref().map(encode).transpose()?.into(),
            self.line.as_ref().map(encode).transpose()?.into(),
            self.refusal.as_ref().map(encode).transpose()?.into(),
            self.intent.into(),
            self.reported.into(),
            Value::unsigned(self.torn_at)?,
        ])
    }

    pub(crate) fn find(tx: &mut dyn Tx, number: u64) -> Result<Option<Self>> {
        tx.find(&LEAF, &[Value::unsigned(number)?])?.as_ref().map(Self::of).transpose()
    }

    pub(crate) fn of_cheque(tx: &mut dyn Tx, cheque: &Digest) -> Result<Option<Self>> {
        select(tx, &LEAF, "WHERE cheque = ?1", &[(*cheque).into()])?.first().map(Self::of).transpose()
    }

    pub(crate) fn save(&self, tx: &mut dyn Tx) -> Result<()> {
        Ok(tx.update(&LEAF, &self.values()?)?)
    }

    /// The lowest leaf that nothing was written on.
    pub(crate) fn first_free(tx: &mut dyn Tx) -> Result<Option<Self>> {
        select(tx, &LEAF, "WHERE state = 'free' ORDER BY number LIMIT 1", &[])?
            .first()
            .map(Self::of)
            .transpose()
    }

    /// All that something was written on, newest first.
    pub(crate) fn used(tx: &mut dyn Tx) -> Result<Vec<Self>> {
        let sql = "WHERE state <> 'free' ORDER BY number DESC LIMIT 1000";
        select(tx, &LEAF, sql, &[])?.iter().map(Self::of).collect()
    }

    /// Torn out or signed, and not yet with the bank.
    pub(crate) fn unfinished(tx: &mut dyn Tx) -> Result<Vec<Self>> {
        let sql = "WHERE state IN ('torn', 'signed') ORDER BY number";
        select(tx, &LEAF, sql, &[])?.iter().map(Self::of).collect()
    }

    /// A cheque of these words whose answer the owner was not given.
    pub(crate) fn unreported(tx: &mut dyn Tx, intent: &Digest) -> Result<Option<Self>> {
        let sql = "WHERE intent = ?1 AND reported = 0 ORDER BY number LIMIT 1";
        select(tx, &LEAF, sql, &[(*intent).into()])?.first().map(Self::of).transpose()
    }

    pub(crate) fn count_free(tx: &mut dyn Tx) -> Result<u64> {
        let rows = tx.select("SELECT COUNT(*) FROM cheque_leaf WHERE state = 'free'", &[])?;
        Ok(rows.first().map_or(Ok(0), |row| row.unsigned(0))?)
    }

    pub(crate) fn terms(&self) -> Result<&Terms> {
        self.terms.as_ref().ok_or_else(|| Failure::broken("a cheque without its terms"))
    }
}

/// Takes the leaves of a new book in.
pub(crate) fn shelve(tx: &mut dyn Tx, book: &Allotment) -> Result<()> {
    for number in book.numbers() {
        let row = LeafRow {
            number: number.0,
            book: book.clone(),
            state: LeafState::Free,
            terms: None,
            cheque: None,
            file: None,
            notice: None,
            line: None,
            refusal: None,
            intent: None,
            reported: false,
            torn_at: 0,
        };
        tx.insert(&LEAF, &row.values()?)?;
    }
    Ok(())
}

/// Keeps what the register says of an own cheque.
pub(crate) fn note_line(tx: &mut dyn Tx, line: &RegisterLine) -> Result<()> {
    let Some(mut row) = LeafRow::find(tx, line.number.0)? else { return Ok(()) };
    if row.state == LeafState::Free || row.line.as_ref() == Some(line) {
        return Ok(());
    }
    row.line = Some(line.clone());
    row.save(tx)
}

/// Keeps the longer file of an own cheque, with the attachments it had.
pub(crate) fn note_file(tx: &mut dyn Tx, number: u64, file: &Document) -> Result<()> {
    let mut row = LeafRow::find(tx, number)?.ok_or_else(|| Failure::broken("a cheque without its leaf"))?;
    row.file = Some(match &row.file {
        Some(ours) => with_attachments(file, &read_document(ours)?)?,
        None => file.clone(),
    });
    row.save(tx)
}
