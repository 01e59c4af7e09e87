//! Account statements: `camt.053`.

use feiqian_money::{Amount, Currency, Minor};
use feiqian_wire::Timestamp;

use super::identity::agent;
use super::value::{date_time, decimal, sequence, total};
use super::xml::Node;
use super::{CAMT_053, CalendarDay, Entry, EntryStatus, ExportError, Party, Reference, Side};

/// The posted balance of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// How much.
    pub minor: Minor,
    /// Whether the holder has or owes it; nothing is either.
    pub side: Side,
}

impl Balance {
    /// Above zero what the holder has, below what he owes.
    fn signed(self) -> i128 {
        match self.side {
            Side::Credit => i128::from(self.minor.value()),
            Side::Debit => i128::from(self.minor.value()).saturating_neg(),
        }
    }
}

/// Everything booked on one account in one period. Statements of an account chain: sequence numbers without a gap,
/// each opening balance the closing one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Name of the message and of the statement in it.
    pub id: Reference,
    /// 1 for the first statement of the account; at most 18 digits.
    pub sequence: u64,
    /// When it was made.
    pub created: Timestamp,
    /// Begin of the period.
    pub from: Timestamp,
    /// End of the period, not before its begin.
    pub to: Timestamp,
    /// Holder, account and the bank that keeps it.
    pub holder: Party,
    /// The account's currency.
    pub currency: Currency,
    /// Balance before the first entry.
    pub opening: Balance,
    /// The bookings in order. Linear in memory and time; the caller limits their number.
    pub entries: Vec<Entry>,
    /// Balance after the last entry.
    pub closing: Balance,
}

impl Statement {
    /// The statement as a `camt.053` document.
    ///
    /// # Errors
    /// [`ExportError`]: the balances do not agree with the entries, an entry is pending or of another currency, or
    /// a number or time does not fit.
    pub fn to_xml(&self) -> Result<String, ExportError> {
        self.check()?;
        let header = Node::new("GrpHdr").text("MsgId", &self.id).text("CreDtTm", date_time(self.created)?);
        let entries: Vec<Node> =
            self.entries.iter().map(|entry| entry.node(&self.holder)).collect::<Result<_, _>>()?;
        let statement = Node::new("Stmt")
            .text("Id", &self.id)
            .text("ElctrncSeqNb", sequence(self.sequence)?)
            .text("CreDtTm", date_time(self.created)?)
            .node(period(self.from, self.to)?)
            .node(account(&self.holder, self.currency))
            .node(self.balance("OPBD", self.opening, self.from)?)
            .node(self.balance("CLBD", self.closing, self.to)?)
            .node(summary(&self.entries, self.currency)?)
            .nodes(entries);
        Ok(Node::new("BkToCstmrStmt").node(header).node(statement).into_document(CAMT_053))
    }

    /// Does this statement continue `previous`: same account, next number, opening = closing?
    ///
    /// # Errors
    /// [`ExportError::DoesNotFollow`].
    pub fn verify_follows(&self, previous: &Self) -> Result<(), ExportError> {
        let follows = self.holder.account == previous.holder.account
            && self.holder.bank == previous.holder.bank
            && self.currency == previous.currency
            && previous.sequence.checked_add(1) == Some(self.sequence)
            && self.from >= previous.to
            && self.opening.signed() == previous.closing.signed();
        follows.then_some(()).ok_or(ExportError::DoesNotFollow)
    }

    fn check(&self) -> Result<(), ExportError> {
        if self.to < self.from {
            return Err(ExportError::PeriodReversed);
        }
        if self.entries.iter().any(|entry| entry.status != EntryStatus::Booked) {
            return Err(ExportError::PendingInStatement);
        }
        let totals = Totals::of(&self.entries, self.currency)?;
        if self.opening.signed().checked_add(totals.net()) != Some(self.closing.signed()) {
            return Err(ExportError::DoesNotAddUp);
        }
        Ok(())
    }

    fn balance(&self, code: &'static str, balance: Balance, time: Timestamp) -> Result<Node, ExportError> {
        let kind = Node::new("CdOrPrtry").text("Cd", code);
        Ok(Node::new("Bal")
            .node(Node::new("Tp").node(kind))
            .amount("Amt", Amount::new(balance.minor, self.currency))?
            .text("CdtDbtInd", balance.side.code())
            .node(Node::new("Dt").text("Dt", CalendarDay::of(time)?.to_string())))
    }
}

/// `FrToDt`.
fn period(from: Timestamp, to: Timestamp) -> Result<Node, ExportError> {
    Ok(Node::new("FrToDt").text("FrDtTm", date_time(from)?).text("ToDtTm", date_time(to)?))
}

/// `Acct`: identification, currency, holder, bank.
pub(super) fn account(holder: &Party, currency: Currency) -> Node {
    holder
        .account("Acct")
        .text("Ccy", currency.code())
        .node(holder.named(Node::new("Ownr")))
        .node(agent("Svcr", &holder.bank))
}

/// Count and sum of both sides.
struct Totals {
    credits: usize,
    debits: usize,
    credit: u128,
    debit: u128,
}

impl Totals {
    fn of(entries: &[Entry], currency: Currency) -> Result<Self, ExportError> {
        let of = |side| entries.iter().filter(move |entry| entry.side == side);
        Ok(Self {
            credits: of(Side::Credit).count(),
            debits: of(Side::Debit).count(),
            credit: total(of(Side::Credit).map(|entry| entry.amount), currency)?,
            debit: total(of(Side::Debit).map(|entry| entry.amount), currency)?,
        })
    }

    /// Credits less debits.
    fn net(&self) -> i128 {
        let signed = |sum| i128::try_from(sum).unwrap_or(i128::MAX);
        signed(self.credit).saturating_sub(signed(self.debit))
    }
}

/// `TxsSummry`: what was booked, in all and on each side.
pub(super) fn summary(entries: &[Entry], currency: Currency) -> Result<Node, ExportError> {
    let totals = Totals::of(entries, currency)?;
    let side = |name, count: usize, sum| -> Result<Node, ExportError> {
        Ok(Node::new(name).text("NbOfNtries", count.to_string()).text("Sum", decimal(sum, currency)?))
    };
    let net_side = if totals.credit >= totals.debit { Side::Credit } else { Side::Debit };
    let net = Node::new("TtlNetNtry")
        .text("Amt", decimal(totals.credit.abs_diff(totals.debit), currency)?)
        .text("CdtDbtInd", net_side.code());
    let all = side("TtlNtries", entries.len(), totals.credit.saturating_add(totals.debit))?.node(net);
    Ok(Node::new("TxsSummry")
        .node(all)
        .node(side("TtlCdtNtries", totals.credits, totals.credit)?)
        .node(side("TtlDbtNtries", totals.debits, totals.debit)?))
}
