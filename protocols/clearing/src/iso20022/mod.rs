//! Exports as ISO 20022 messages: what the project knows of an account, a cheque or a remittance, written in the
//! messages banks exchange.
//!
//! Pure functions from input structures of this module to XML text; nothing is read back. The caller gathers the
//! rows, this module orders the elements, writes amounts exactly, escapes text and refuses what the message
//! definitions cannot hold rather than cut an identifier.
//!
//! | input | message | version |
//! |---|---|---|
//! | [`Statement`] | bank to customer statement | [`CAMT_053`] |
//! | [`Advice`] | debit or credit notification | [`CAMT_054`] |
//! | [`Remittances`] | customer credit transfer between banks | [`PACS_008`] |
//! | [`Returns`] | payment return | [`PACS_004`] |
//! | [`ChequePresentments`] | cheque presentment notification | [`CAMT_107`] |
//! | [`StopRequests`] | cheque cancellation or stop request | [`CAMT_108`] |
//! | [`StopReports`] | cheque cancellation or stop report | [`CAMT_109`] |
//!
//! Banks have no BIC and accounts no IBAN here: a bank is a member, by its name, of the proprietary clearing system
//! [`CLEARING_SYSTEM`], an account is an "other" identification under the scheme of the same name.

mod advice;
mod cheque;
mod entry;
mod header;
mod identity;
mod returned;
#[cfg(any(test, feature = "vectors"))]
pub mod samples;
mod statement;
#[cfg(test)]
mod tests;
mod transfer;
mod value;
mod xml;

pub use advice::Advice;
pub use cheque::{
    Cheque, ChequePresentments, PartyRole, StopOutcome, StopReason, StopReport, StopReports, StopRequest,
    StopRequests,
};
pub use entry::{Details, Entry, EntryKind, EntryStatus, Side};
pub use header::InterbankHeader;
pub use identity::{AccountId, Party, Reference, uetr};
pub use returned::{Original, Return, ReturnReason, Returns};
pub use statement::{Balance, Statement};
pub use transfer::{Remittance, Remittances};
pub use value::CalendarDay;

/// Bank to customer statement.
pub const CAMT_053: &str = "camt.053.001.08";
/// Bank to customer debit or credit notification.
pub const CAMT_054: &str = "camt.054.001.08";
/// Customer credit transfer between banks.
pub const PACS_008: &str = "pacs.008.001.08";
/// Payment return.
pub const PACS_004: &str = "pacs.004.001.09";
/// Cheque presentment notification.
pub const CAMT_107: &str = "camt.107.001.02";
/// Cheque cancellation or stop request.
pub const CAMT_108: &str = "camt.108.001.02";
/// Cheque cancellation or stop report.
pub const CAMT_109: &str = "camt.109.001.02";

/// The proprietary clearing system and account scheme in every message.
pub const CLEARING_SYSTEM: &str = "FEIQIAN";

/// What a message definition cannot hold, or what does not belong together: a misuse by the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// More than 18 digits in an amount or a total.
    #[error("an amount of more than 18 digits")]
    TooManyDigits,
    /// More than 18 digits in a sequence number.
    #[error("a sequence number of more than 18 digits")]
    SequenceTooLong,
    /// One message is of one currency.
    #[error("two currencies in one message")]
    MixedCurrencies,
    /// Opening balance and entries do not give the closing balance.
    #[error("opening balance and entries do not give the closing balance")]
    DoesNotAddUp,
    /// A statement holds what is booked only.
    #[error("a statement holds booked entries only")]
    PendingInStatement,
    /// The period ends before it begins.
    #[error("the period ends before it begins")]
    PeriodReversed,
    /// The statement does not continue the one given as its predecessor.
    #[error("the statement does not continue the one before it")]
    DoesNotFollow,
    /// An empty list where at least one item is needed.
    #[error("nothing to report")]
    Empty,
    /// A time after the year 9999.
    #[error("a time after the year 9999")]
    TimeOutOfRange,
    /// Not a day written as 2026-12-01.
    #[error("not a day: write it as 2026-12-01")]
    NotADay,
    /// Not 1 to `most` letters, digits or `-?:().,'+/`.
    #[error("an identifier is 1 to {most} letters, digits or -?:().,'+/")]
    NotAnIdentifier {
        /// The most characters.
        most: usize,
    },
    /// Not a reason code: 1 to 4 capital letters or digits.
    #[error("a reason code is 1 to 4 capital letters or digits")]
    NotAReasonCode,
}
