//! One document of every message, for the schema check and the tests: ordinary ones, and ones at the edges of what
//! the definitions allow.

use feiqian_crypto::Digest;
use feiqian_money::{Amount, Currency, Minor};
use feiqian_wire::{Name, OutOfBounds, Timestamp};

use super::{
    AccountId, Advice, Balance, CAMT_053, CAMT_054, CAMT_107, CAMT_108, CAMT_109, Cheque, ChequePresentments,
    Details, Entry, EntryKind, EntryStatus, ExportError, InterbankHeader, Original, PACS_004, PACS_008,
    Party, PartyRole, Reference, Remittance, Remittances, Return, ReturnReason, Returns, Side, Statement,
    StopOutcome, StopReason, StopReport, StopReports, StopRequest, StopRequests,
};

/// Text that breaks a careless writer: markup, quotes, an entity, the end of a CDATA section, control characters,
/// a carriage return, a noncharacter, characters outside the basic plane.
pub const HOSTILE: &str = "<&>\"' &amp; ]]> \u{0}\u{1b}\r\n\t\u{fffe} 壹贰叁 \u{1f4b4} </Document>";

/// 2026-12-01 09:30:00 UTC.
const MOMENT: Timestamp = Timestamp::new(1_796_117_400);

/// A document and the message it is.
#[derive(Debug, Clone)]
pub struct Sample {
    /// What it shows.
    pub name: &'static str,
    /// The message, such as `camt.053.001.08`.
    pub message: &'static str,
    /// The document.
    pub xml: String,
}

/// Why a sample could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// The export refused.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// A bank's name.
    #[error(transparent)]
    Name(#[from] OutOfBounds),
    /// An amount.
    #[error(transparent)]
    Money(#[from] feiqian_money::MoneyError),
}

/// All samples. The same in every run.
///
/// # Errors
/// [`SampleError`]: none unless this module and the exports disagree.
pub fn documents() -> Result<Vec<Sample>, SampleError> {
    let sample = |name, message, xml| Sample { name, message, xml };
    Ok(vec![
        sample("statement", CAMT_053, statement(Currency::CNY, every_kind(Currency::CNY)?)?.to_xml()?),
        sample("statement without entries", CAMT_053, statement(Currency::JPY, Vec::new())?.to_xml()?),
        sample("statement of hostile text", CAMT_053, hostile_statement()?.to_xml()?),
        sample("advice", CAMT_054, advice(Currency::EUR)?.to_xml()?),
        sample("remittances", PACS_008, remittances("rent, December")?.to_xml()?),
        sample("remittances of hostile text", PACS_008, remittances(&HOSTILE.repeat(12))?.to_xml()?),
        sample("returns", PACS_004, returns()?.to_xml()?),
        sample("cheque presentments", CAMT_107, presentments()?.to_xml()?),
        sample("stop requests", CAMT_108, stop_requests()?.to_xml()?),
        sample("stop reports", CAMT_109, stop_reports()?.to_xml()?),
    ])
}

/// A customer at a bank.
pub(super) fn party(name: &str, account: u8, bank: &str) -> Result<Party, SampleError> {
    let account = AccountId::new(format!("{account:02x}").repeat(16))?;
    Ok(Party { name: name.to_owned(), account, bank: Name::new(bank)? })
}

fn minor(value: u64, currency: Currency) -> Result<Amount, SampleError> {
    Ok(Amount::new(Minor::new(value)?, currency))
}

/// A booking of 12.50, or as many minor units of another currency.
pub(super) fn entry(
    number: u32,
    kind: EntryKind,
    side: Side,
    currency: Currency,
) -> Result<Entry, SampleError> {
    Ok(Entry {
        reference: Reference::new(format!("entry-{number}"))?,
        amount: minor(1250, currency)?,
        side,
        status: EntryStatus::Booked,
        reversal: false,
        booked: MOMENT,
        kind,
        details: Details::default(),
    })
}

/// Every kind of booking on both sides, with and without details.
fn every_kind(currency: Currency) -> Result<Vec<Entry>, SampleError> {
    use EntryKind as K;
    let kinds = [
        K::Funding,
        K::Payout,
        K::Withdrawal,
        K::Deposit,
        K::Refund,
        K::Cheque,
        K::ChequeReturn,
        K::Transfer,
        K::TransferReturn,
        K::Fee,
    ];
    let sided = kinds.into_iter().flat_map(|kind| [(kind, Side::Credit), (kind, Side::Debit)]);
    let mut entries = Vec::new();
    for (number, (kind, side)) in (0u32..).zip(sided) {
        let mut entry = entry(number, kind, side, currency)?;
        if matches!(kind, K::Cheque | K::ChequeReturn | K::Transfer | K::TransferReturn) {
            entry.details = details()?;
            entry.reversal = matches!(kind, K::ChequeReturn | K::TransferReturn);
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn details() -> Result<Details, SampleError> {
    Ok(Details {
        end_to_end: Some(Reference::new("INV/2026:0042")?),
        transaction: Some(Reference::of(&Digest([7; 32]))),
        cheque_number: Some(100_001),
        counterparty: Some(party("Bob", 0xb0, "south")?),
        memo: "two crates of tea".to_owned(),
        returned: Some(short_of_funds()?),
    })
}

fn short_of_funds() -> Result<ReturnReason, SampleError> {
    Ok(ReturnReason::new("AM04", "INSUFFICIENT_FUNDS", "balance too low")?)
}

/// Opened with 100 minor units, the entries booked.
pub(super) fn statement(currency: Currency, entries: Vec<Entry>) -> Result<Statement, SampleError> {
    let opening = Balance { minor: Minor::new(100)?, side: Side::Credit };
    let sum =
        |side| Minor::sum(entries.iter().filter(|entry| entry.side == side).map(|entry| entry.amount.minor));
    let having = opening.minor.checked_add(sum(Side::Credit)?)?;
    let owing = sum(Side::Debit)?;
    let closing = if having >= owing {
        Balance { minor: having.checked_sub(owing)?, side: Side::Credit }
    } else {
        Balance { minor: owing.checked_sub(having)?, side: Side::Debit }
    };
    Ok(Statement {
        id: Reference::new("statement-7")?,
        sequence: 7,
        created: MOMENT,
        from: MOMENT.saturating_sub(86_400),
        to: MOMENT,
        holder: party("Alice", 0xa1, "north")?,
        currency,
        opening,
        entries,
        closing,
    })
}

/// Identifiers of the greatest length, names and memos of hostile text, an overdrawn account, a currency of four
/// digits.
fn hostile_statement() -> Result<Statement, SampleError> {
    let currency: Currency = "CLF".parse()?;
    let mut entry = entry(1, EntryKind::Transfer, Side::Debit, currency)?;
    entry.reference = Reference::new("R".repeat(Reference::MAX))?;
    entry.amount = minor(999_999_999_999_999_999, currency)?;
    entry.details = Details {
        counterparty: Some(Party {
            name: HOSTILE.repeat(20),
            account: AccountId::new("A".repeat(AccountId::MAX))?,
            bank: Name::new("b".repeat(Name::MAX))?,
        }),
        memo: HOSTILE.repeat(20),
        cheque_number: Some(u64::MAX),
        ..details()?
    };
    let mut statement = statement(currency, vec![entry])?;
    statement.holder.name = HOSTILE.to_owned();
    statement.sequence = 999_999_999_999_999_999;
    Ok(statement)
}

fn advice(currency: Currency) -> Result<Advice, SampleError> {
    let mut pending = entry(2, EntryKind::Cheque, Side::Credit, currency)?;
    pending.status = EntryStatus::Pending;
    pending.details = Details { returned: None, ..details()? };
    let entries = vec![entry(1, EntryKind::Deposit, Side::Credit, currency)?, pending];
    Ok(Advice {
        id: Reference::new("advice-1")?,
        created: MOMENT,
        holder: party("", 0xa1, "north")?,
        currency,
        entries,
    })
}

/// Two remittances, the first with this memo.
pub(super) fn remittances(memo: &str) -> Result<Remittances, SampleError> {
    let transfer = |order: u8, memo: &str, end_to_end| -> Result<Remittance, SampleError> {
        Ok(Remittance {
            order: Digest([order; 32]),
            end_to_end,
            amount: minor(3000, Currency::CNY)?,
            accepted: MOMENT,
            payer: party("Alice", 0xa1, "north")?,
            payee: party(memo, 0xb0, "south")?,
            memo: memo.to_owned(),
        })
    };
    Ok(Remittances {
        header: header("remittances-1", "north", "south")?,
        transfers: vec![transfer(1, memo, Some(Reference::new("INV/42")?))?, transfer(0xff, "", None)?],
    })
}

fn header(id: &str, from: &str, to: &str) -> Result<InterbankHeader, SampleError> {
    Ok(InterbankHeader {
        id: Reference::new(id)?,
        created: MOMENT,
        settlement: "2026-12-01".parse()?,
        from: Name::new(from)?,
        to: Name::new(to)?,
        currency: Currency::CNY,
    })
}

fn returns() -> Result<Returns, SampleError> {
    let item = |id: &str, original, reason| -> Result<Return, SampleError> {
        Ok(Return { id: Reference::new(id)?, original, amount: minor(3000, Currency::CNY)?, reason })
    };
    let message = Reference::new("remittances-1")?;
    let transfer = Original::Transfer { message: message.clone(), order: Digest([1; 32]), end_to_end: None };
    let cheque = Original::Cheque { message, cheque: Digest([2; 32]) };
    let unknown = ReturnReason::new("AC01", "ACCOUNT_UNKNOWN", "no such account")?;
    Ok(Returns {
        header: header("returns-1", "south", "north")?,
        items: vec![item("return-1", transfer, unknown)?, item("return-2", cheque, short_of_funds()?)?],
    })
}

fn cheque() -> Result<Cheque, SampleError> {
    Ok(Cheque {
        id: Digest([2; 32]),
        number: 100_001,
        date: "2026-12-01".parse()?,
        amount: minor(25_000, Currency::CNY)?,
        drawer: party("Alice", 0xa1, "north")?,
        payee: party("Bob & Sons", 0xb0, "south")?,
    })
}

/// One cheque.
pub(super) fn presentments() -> Result<ChequePresentments, SampleError> {
    Ok(ChequePresentments {
        id: Reference::new("presentments-1")?,
        created: MOMENT,
        value: "2026-12-02".parse()?,
        currency: Currency::CNY,
        cheques: vec![cheque()?],
    })
}

/// One request.
pub(super) fn stop_requests() -> Result<StopRequests, SampleError> {
    let request = StopRequest {
        id: Reference::new("stop-1")?,
        cheque: cheque()?,
        reason: StopReason::Lost,
        originator: PartyRole::Drawer,
        note: "left in a taxi".to_owned(),
    };
    let requests = vec![request];
    Ok(StopRequests { id: Reference::new("stops-1")?, created: MOMENT, currency: Currency::CNY, requests })
}

/// One request that was followed, one that came too late.
pub(super) fn stop_reports() -> Result<StopReports, SampleError> {
    let report = |id: &str, outcome| -> Result<StopReport, SampleError> {
        Ok(StopReport {
            request: Reference::new(id)?,
            cheque: cheque()?,
            originator: PartyRole::Drawer,
            outcome,
        })
    };
    let late = ReturnReason::new("AM05", "DUPLICATE", "already presented or paid")?;
    let reports =
        vec![report("stop-1", StopOutcome::Accepted)?, report("stop-2", StopOutcome::Refused(late))?];
    Ok(StopReports { id: Reference::new("reports-1")?, created: MOMENT, currency: Currency::CNY, reports })
}
