//! The states of a cheque at its drawee bank, and what can happen to it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::codes::ReturnCode;

/// Where a cheque stands at its drawee bank.
///
/// ```text
/// ALLOTTED ─ sign ▶ SIGNED ─ countersign ▶ ISSUED ─ certify ▶ CERTIFIED
///                     │ void ▶ VOIDED ◀ void │ ╲                │ ╲
///                                            │  stop ▶ STOPPED ◀┼─ stop     (unstop goes back)
///                     tick ▶ EXPIRED ◀───────┤                  │
///                                            └── present ▶ PRESENTED ─ pay ▶ PAID ─ settle ▶ SETTLED
///                                                    ▲          │             │
///                                                    │   return ├▶ DISHONOURED│ unwind
///                                                    └─ RETURNED ◀────────────┘
/// ```
///
/// `SETTLED`, `DISHONOURED`, `VOIDED` and `EXPIRED` are terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// The number stands in a cheque book.
    Allotted,
    /// The drawers have signed.
    Signed,
    /// The drawee has countersigned.
    Issued,
    /// The amount is reserved.
    Certified,
    /// It is in a cycle, to be paid or returned.
    Presented,
    /// Paid; the payee's credit is pending.
    Paid,
    /// Paid and settled between the banks.
    Settled,
    /// Came back unpaid and may be presented again.
    Returned,
    /// Came back for good.
    Dishonoured,
    /// A stop order is in force.
    Stopped,
    /// Cancelled by the drawer.
    Voided,
    /// Its time has passed.
    Expired,
}

impl State {
    /// All states.
    pub const ALL: [Self; 12] = [
        Self::Allotted,
        Self::Signed,
        Self::Issued,
        Self::Certified,
        Self::Presented,
        Self::Paid,
        Self::Settled,
        Self::Returned,
        Self::Dishonoured,
        Self::Stopped,
        Self::Voided,
        Self::Expired,
    ];

    /// The stable text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allotted => "ALLOTTED",
            Self::Signed => "SIGNED",
            Self::Issued => "ISSUED",
            Self::Certified => "CERTIFIED",
            Self::Presented => "PRESENTED",
            Self::Paid => "PAID",
            Self::Settled => "SETTLED",
            Self::Returned => "RETURNED",
            Self::Dishonoured => "DISHONOURED",
            Self::Stopped => "STOPPED",
            Self::Voided => "VOIDED",
            Self::Expired => "EXPIRED",
        }
    }

    /// As stored.
    #[must_use]
    pub const fn number(self) -> i64 {
        self as i64
    }

    /// From the store.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.number() == number)
    }

    /// No event changes it any more.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Settled | Self::Dishonoured | Self::Voided | Self::Expired)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why payment is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StopReason {
    /// `CUST`: the customer wishes it.
    Cust,
    /// `DUPL`: issued twice.
    Dupl,
    /// `FRAD`: fraud.
    Frad,
    /// `LOST`: lost or stolen.
    Lost,
}

impl StopReason {
    /// All reasons.
    pub const ALL: [Self; 4] = [Self::Cust, Self::Dupl, Self::Frad, Self::Lost];

    /// The stable text, as in ISO 20022.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cust => "CUST",
            Self::Dupl => "DUPL",
            Self::Frad => "FRAD",
            Self::Lost => "LOST",
        }
    }

    /// Whether it may stop a cheque whose amount is reserved.
    #[must_use]
    pub const fn is_loss_or_fraud(self) -> bool {
        matches!(self, Self::Frad | Self::Lost)
    }
}

/// What happens to a cheque.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// The drawers sign.
    Sign,
    /// The drawee countersigns.
    Countersign,
    /// The drawer cancels it.
    Void,
    /// The drawee reserves the amount.
    Certify,
    /// The holder passes it on.
    Endorse,
    /// A stop order arrives.
    Stop(StopReason),
    /// The stop order is lifted.
    Unstop,
    /// A bank presents it.
    Present,
    /// A day has begun.
    Tick,
    /// The drawee pays it.
    Pay,
    /// The drawee returns it.
    Return(ReturnCode),
    /// The banks have settled.
    Settle,
    /// The banks could not settle: `SETTLEMENT_FAILED`.
    Unwind,
}

/// An event without what it carries: a column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// [`Event::Sign`].
    Sign,
    /// [`Event::Countersign`].
    Countersign,
    /// [`Event::Void`].
    Void,
    /// [`Event::Certify`].
    Certify,
    /// [`Event::Endorse`].
    Endorse,
    /// [`Event::Stop`].
    Stop,
    /// [`Event::Unstop`].
    Unstop,
    /// [`Event::Present`].
    Present,
    /// [`Event::Tick`].
    Tick,
    /// [`Event::Pay`].
    Pay,
    /// [`Event::Return`].
    Return,
    /// [`Event::Settle`].
    Settle,
    /// [`Event::Unwind`].
    Unwind,
}

impl Event {
    /// Its kind.
    #[must_use]
    pub const fn kind(self) -> EventKind {
        match self {
            Self::Sign => EventKind::Sign,
            Self::Countersign => EventKind::Countersign,
            Self::Void => EventKind::Void,
            Self::Certify => EventKind::Certify,
            Self::Endorse => EventKind::Endorse,
            Self::Stop(_) => EventKind::Stop,
            Self::Unstop => EventKind::Unstop,
            Self::Present => EventKind::Present,
            Self::Tick => EventKind::Tick,
            Self::Pay => EventKind::Pay,
            Self::Return(_) => EventKind::Return,
            Self::Settle => EventKind::Settle,
            Self::Unwind => EventKind::Unwind,
        }
    }

    /// Every event with everything it can carry.
    pub fn all() -> impl Iterator<Item = Self> {
        let plain = [
            Self::Sign,
            Self::Countersign,
            Self::Void,
            Self::Certify,
            Self::Endorse,
            Self::Unstop,
            Self::Present,
            Self::Tick,
            Self::Pay,
            Self::Settle,
            Self::Unwind,
        ];
        let stops = StopReason::ALL.into_iter().map(Self::Stop);
        let returns = ReturnCode::ALL.iter().copied().map(Self::Return);
        plain.into_iter().chain(stops).chain(returns)
    }
}
