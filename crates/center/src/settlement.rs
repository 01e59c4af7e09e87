//! The center's chart of accounts, and the ids of everything it books.
//!
//! | account | side | means |
//! |---|---|---|
//! | base | asset | base money that members paid in |
//! | settlement, one a member | liability | what the center owes the member; never overdrawn, pending counted |
//! | hub | | what a cycle's debtors have put in and its creditors not yet got: zero when all cycles are final |
//!
//! A payment, refund or credit transfer reserves its payer's cover before it is forwarded and is posted when it was
//! paid, so what was paid always settles. Cheques are paid first; what the banks then owe each other goes through the
//! hub, many at a time.

use feiqian_crypto::{Digest, Id16, Transcript};
use feiqian_ledger::book::{self, Account, Limit, Transfer};
use feiqian_ledger::store::Tx;
use feiqian_ledger::{LedgerError, book::Outcome};
use feiqian_money::{Amount, Currency, Minor};

/// Code of settlement accounts.
pub const SETTLEMENT: u16 = 1;
/// Code of base accounts.
pub const BASE: u16 = 2;
/// Code of hub accounts.
pub const HUB: u16 = 3;

/// Code of transfers that fund a member.
pub const FUNDING: u16 = 10;
/// Code of transfers that settle payments.
pub const PAYMENT: u16 = 11;
/// Code of transfers that settle refunds.
pub const REFUND: u16 = 12;
/// Code of obligations for cheques; their transfers are the cycle's.
pub const CHEQUE: u16 = 13;
/// Code of transfers that settle customers' credit transfers.
pub const TRANSFER: u16 = 14;
/// Code of transfers into and out of the hub.
pub const CYCLE: u16 = 15;
/// Code of transfers that settle payments with offline coins.
pub const HOLDING: u16 = 16;
/// Code of transfers that settle claims on the bank of a cheat.
pub const CLAIM: u16 = 17;
/// Code of transfers that settle later parts of a holding or claim.
pub const PART: u16 = 18;

fn id(transcript: Transcript) -> Id16 {
    Id16::from_digest(&transcript.into_digest())
}

/// A member's settlement account: `D("center/settlement"; bank, currency)`, first 16 bytes.
#[must_use]
pub fn settlement_account(bank: &str, currency: Currency) -> Id16 {
    id(Transcript::new("center/settlement").text(bank).text(currency.code()))
}

/// The base account of a currency.
#[must_use]
pub fn base_account(currency: Currency) -> Id16 {
    id(Transcript::new("center/base").text(currency.code()))
}

/// The hub account of a currency.
#[must_use]
pub fn hub_account(currency: Currency) -> Id16 {
    id(Transcript::new("center/hub").text(currency.code()))
}

/// The transfer that funds a member at its admission.
#[must_use]
pub fn initial_funding(bank: &str) -> Id16 {
    id(Transcript::new("center/funding").text(bank))
}

/// The pending transfer of a presentment.
#[must_use]
pub fn reserve_id(presentment: &Digest) -> Id16 {
    id(Transcript::new("center/reserve").digest(presentment))
}

/// The transfer that settles a presentment.
#[must_use]
pub fn settle_id(presentment: &Digest) -> Id16 {
    id(Transcript::new("center/settle").digest(presentment))
}

/// The transfer that releases a presentment's reserve.
#[must_use]
pub fn release_id(presentment: &Digest) -> Id16 {
    id(Transcript::new("center/release").digest(presentment))
}

/// A transfer of a cycle for one bank: `D("center/cycle/" step; cycle, bank)`, first 16 bytes.
fn cycle_id(step: &'static str, cycle: u64, bank: &str) -> Id16 {
    id(Transcript::new(step).integer(cycle).text(bank))
}

/// The pending transfer that reserves a bank's net debit of a cycle into the hub.
#[must_use]
pub fn cycle_reserve(cycle: u64, bank: &str, amount: Amount) -> Transfer {
    let (from, hub) = (settlement_account(bank, amount.currency), hub_account(amount.currency));
    Transfer::pending(cycle_id("center/cycle/reserve", cycle, bank), from, hub, amount.minor, CYCLE, None)
}

/// The transfer that posts it.
#[must_use]
pub fn cycle_debit(cycle: u64, bank: &str, amount: Amount) -> Transfer {
    cycle_reserve(cycle, bank, amount).post(cycle_id("center/cycle/debit", cycle, bank), amount.minor)
}

/// The transfer that pays a bank's net credit of a cycle out of the hub.
#[must_use]
pub fn cycle_credit(cycle: u64, bank: &str, amount: Amount) -> Transfer {
    let (hub, to) = (hub_account(amount.currency), settlement_account(bank, amount.currency));
    Transfer::posted(cycle_id("center/cycle/credit", cycle, bank), hub, to, amount.minor, CYCLE)
}

/// Who owes whom for an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// Pays.
    pub debtor: String,
    /// Is paid.
    pub creditor: String,
    /// How much.
    pub amount: Amount,
    /// [`PAYMENT`], [`REFUND`], [`CHEQUE`], [`TRANSFER`], [`HOLDING`], [`CLAIM`] or [`PART`].
    pub code: u16,
}

impl Owed {
    /// The pending transfer that reserves the debtor's cover; it never expires by itself.
    #[must_use]
    pub fn reserve(&self, presentment: &Digest) -> Transfer {
        let account = |bank: &str| settlement_account(bank, self.amount.currency);
        let (debit, credit) = (account(&self.debtor), account(&self.creditor));
        Transfer::pending(reserve_id(presentment), debit, credit, self.amount.minor, self.code, None)
    }

    /// The transfer that settles so much of it and releases the rest.
    #[must_use]
    pub fn settle(&self, presentment: &Digest, paid: Minor) -> Transfer {
        self.reserve(presentment).post(settle_id(presentment), paid)
    }

    /// The transfer that releases the reserve.
    #[must_use]
    pub fn release(&self, presentment: &Digest) -> Transfer {
        self.reserve(presentment).void(release_id(presentment))
    }
}

/// Opens a member's accounts; what exists stays.
pub(crate) fn open_accounts(
    tx: &mut dyn Tx,
    bank: &str,
    currency: Currency,
    now: u64,
) -> Result<(), LedgerError> {
    let accounts = [
        (base_account(currency), BASE, Limit::None),
        (hub_account(currency), HUB, Limit::None),
        (settlement_account(bank, currency), SETTLEMENT, Limit::DebitsNotAboveCredits),
    ];
    for (id, code, limit) in accounts {
        let _known_or_new = book::open_account(tx, &Account { id, currency, code, limit }, now)?;
    }
    Ok(())
}

/// Books base money that a member paid in.
pub(crate) fn fund(
    tx: &mut dyn Tx,
    id: Id16,
    bank: &str,
    amount: Amount,
    now: u64,
) -> Result<Outcome, LedgerError> {
    let (base, settlement) = (base_account(amount.currency), settlement_account(bank, amount.currency));
    book::transfer(tx, &[Transfer::posted(id, base, settlement, amount.minor, FUNDING)], now)
}

/// What a member's settlement account still covers: posted less reserved.
pub(crate) fn available(tx: &mut dyn Tx, bank: &str, currency: Currency) -> Result<Minor, LedgerError> {
    let state = book::account(tx, settlement_account(bank, currency))?;
    Ok(state.map_or(Minor::ZERO, |state| state.available_to_debit()))
}

/// What stands on a member's settlement account, posted.
pub(crate) fn balance(tx: &mut dyn Tx, bank: &str, currency: Currency) -> Result<Minor, LedgerError> {
    let state = book::account(tx, settlement_account(bank, currency))?;
    Ok(state
        .and_then(|state| state.credits_posted.checked_sub(state.debits_posted).ok())
        .unwrap_or(Minor::ZERO))
}
