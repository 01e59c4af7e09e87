//! The register of the drawee bank: one entry a cheque, and the one function that changes it.
//!
//! [`Entry::apply`] is pure: it takes what the bank knows ([`Facts`]) and answers with the entry after the event,
//! the answer and what moves in the books. The bank stores all three in one transaction.

use feiqian_wire::error::Code;
use serde::{Deserialize, Serialize};

use crate::codes::{Represent, ReturnCode};
use crate::content::AccountToken;
use crate::date::Day;
use crate::state::{Event, State};
use crate::table::{Answer, Guard, Movement, Row, TABLE, To, When};

/// After how many attempts that count a cheque is dishonoured.
pub const ATTEMPT_LIMIT: u8 = 2;

/// A cheque at its drawee bank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Where it stands.
    pub state: State,
    /// Whether the amount is reserved: set by certifying, kept through `STOPPED`, `PRESENTED` and `RETURNED`,
    /// released on `VOIDED`, `EXPIRED` or `DISHONOURED` only.
    pub reserved: bool,
    /// Returns that count against [`ATTEMPT_LIMIT`].
    pub attempts: u8,
    /// The cheque's date.
    pub date: Day,
    /// Where it was when it was presented: to be restored when a stop of the presentment is lifted.
    pub presented_from: Option<State>,
    /// Where an unstop leads; set in `STOPPED` only.
    pub before: Option<State>,
    /// Who ordered the stop; set in `STOPPED` only.
    pub originator: Option<AccountToken>,
    /// The code of the last return.
    pub returned: Option<ReturnCode>,
}

/// Whether a presentment id was seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Never.
    New,
    /// With the same bytes.
    SameBytes,
    /// With other bytes.
    OtherBytes,
}

/// What the bank knows when an event arrives. Facts that do not matter to an event are not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The calendar day.
    pub today: Day,
    /// Enough drawers have signed.
    pub mandate_met: bool,
    /// Within the limits of cheque and day.
    pub within_limit: bool,
    /// The number was never drawn.
    pub number_unused: bool,
    /// The drawers' certificates hold now.
    pub certificate_valid: bool,
    /// The certificates are of this account.
    pub bound_to_account: bool,
    /// The drawer asks.
    pub by_drawer: bool,
    /// The account's available balance covers the amount.
    pub funds_available: bool,
    /// The cheque may be endorsed.
    pub negotiable: bool,
    /// The holder asks.
    pub by_holder: bool,
    /// The endorsement has the next sequence number.
    pub next_sequence: bool,
    /// Who orders or lifts a stop.
    pub originator: Option<AccountToken>,
    /// The drawer himself holds the cheque.
    pub drawer_is_holder: bool,
    /// What verifying the document said; `None` when it is good.
    pub chain_fault: Option<ReturnCode>,
    /// Presented for its holder.
    pub payee_matches: bool,
    /// A cycle is open.
    pub cycle_open: bool,
    /// The document agrees with the register.
    pub register_matches: bool,
    /// The document agrees with the drawer's payment notice.
    pub notice_matches: bool,
    /// The leg between the banks is final.
    pub interbank_final: bool,
    /// Whether this presentment id was seen before.
    pub repeat: Repeat,
}

/// What an event does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The entry after it.
    pub entry: Entry,
    /// What is answered.
    pub answer: Answer,
    /// What moves in the books. [`Movement::Pay`] and [`Movement::Release`] look at [`Entry::reserved`] before it.
    pub ledger: Movement,
}

/// The event is refused; the entry stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cheque is {state}: {reason}")]
pub struct Refusal {
    /// Where it stands.
    pub state: State,
    /// Why not.
    pub reason: Reason,
}

/// Why an event is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The table has no such pair.
    #[error("in that state this cannot be done with it")]
    Illegal,
    /// A guard does not hold.
    #[error("{0}")]
    Guard(Guard),
    /// The document is not good.
    #[error("the document is not good: {} ({_0})", _0.meaning())]
    Document(ReturnCode),
    /// It cannot be presented.
    #[error("it cannot be presented: {} ({_0})", _0.meaning())]
    Present(ReturnCode),
    /// One presentment id, two contents.
    #[error("the same presentment with other content")]
    Conflict,
}

impl Refusal {
    /// The return code that says this to whoever presented, where there is one.
    #[must_use]
    pub fn return_code(&self) -> Option<ReturnCode> {
        match self.reason {
            Reason::Document(code) | Reason::Present(code) => Some(code),
            Reason::Guard(guard) => guard.return_code(),
            Reason::Illegal | Reason::Conflict => None,
        }
    }

    /// The stable wire code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self.reason {
            Reason::Illegal | Reason::Conflict => Code::Conflict,
            Reason::Guard(Guard::ByDrawer | Guard::ByHolder | Guard::SameOriginator) => Code::Forbidden,
            Reason::Guard(Guard::FundsAvailable) => Code::InsufficientFunds,
            Reason::Guard(Guard::WithinLimit) => Code::LimitExceeded,
            Reason::Guard(Guard::CertificateValid | Guard::BoundToAccount) => Code::CertificateInvalid,
            Reason::Guard(Guard::DatePassed) => Code::NotExpired,
            Reason::Guard(_) | Reason::Document(_) | Reason::Present(_) => Code::RequestInvalid,
        }
    }
}

impl Entry {
    /// A number that was just allotted. `date` is set when it is signed.
    #[must_use]
    pub fn allotted(date: Day) -> Self {
        Self {
            state: State::Allotted,
            reserved: false,
            attempts: 0,
            date,
            presented_from: None,
            before: None,
            originator: None,
            returned: None,
        }
    }

    /// Applies an event.
    ///
    /// # Errors
    /// [`Refusal`] for a pair that the table does not have, or a guard that does not hold.
    pub fn apply(&self, event: Event, facts: &Facts) -> Result<Effect, Refusal> {
        let refuse = |reason| Refusal { state: self.state, reason };
        let fits = |row: &&Row| {
            row.from.contains(&self.state)
                && row.on == event.kind()
                && row.when.iter().all(|when| self.selects(*when, event, facts))
        };
        let row = TABLE.iter().find(fits).ok_or(refuse(Reason::Illegal))?;
        for guard in row.guards {
            if !self.holds(*guard, event, facts) {
                let reason = match (guard, facts.chain_fault) {
                    (Guard::ChainGood, Some(code)) => Reason::Document(code),
                    _ => Reason::Guard(*guard),
                };
                return Err(refuse(reason));
            }
        }
        match row.answer {
            Answer::Refused(code) => Err(refuse(Reason::Present(code))),
            Answer::RefusedAsReturned => {
                Err(refuse(Reason::Present(self.returned.unwrap_or(ReturnCode::ReferToDrawer))))
            }
            Answer::Conflict => Err(refuse(Reason::Conflict)),
            answer => Ok(Effect { entry: self.after(row, event, facts), answer, ledger: self.ledger(row) }),
        }
    }

    fn selects(&self, when: When, event: Event, facts: &Facts) -> bool {
        match when {
            When::SameAgain => facts.repeat == Repeat::SameBytes,
            When::OtherBytes => facts.repeat == Repeat::OtherBytes,
            When::DateAhead => self.date.is_future(facts.today),
            When::DatePassed => self.date.is_stale(facts.today),
            When::NotReserved => !self.reserved,
            When::FinalReturn => match event {
                Event::Return(code) => code.is_final() || self.attempts_with(code) >= ATTEMPT_LIMIT,
                _ => false,
            },
            When::FinalCode => self.returned.is_some_and(ReturnCode::is_final),
        }
    }

    fn holds(&self, guard: Guard, event: Event, facts: &Facts) -> bool {
        match guard {
            Guard::MandateMet => facts.mandate_met,
            // What is reserved has passed limit and balance already.
            Guard::WithinLimit => self.reserved || facts.within_limit,
            Guard::FundsAvailable => self.reserved || facts.funds_available,
            Guard::NumberUnused => facts.number_unused,
            Guard::CertificateValid => facts.certificate_valid,
            Guard::BoundToAccount => facts.bound_to_account,
            Guard::ByDrawer => facts.by_drawer,
            Guard::NeverPresented => self.presented_from.is_none(),
            Guard::Negotiable => facts.negotiable,
            Guard::ByHolder => facts.by_holder,
            Guard::NextSequence => facts.next_sequence,
            Guard::ReasonSuffices => match event {
                Event::Stop(reason) => !self.reserved || reason.is_loss_or_fraud(),
                _ => false,
            },
            Guard::SameOriginator => facts.originator.is_some() && facts.originator == self.originator,
            Guard::DrawerIsHolder => facts.drawer_is_holder,
            Guard::DatePassed => self.date.is_stale(facts.today),
            Guard::NotReserved => !self.reserved,
            Guard::ChainGood => facts.chain_fault.is_none(),
            Guard::PayeeMatches => facts.payee_matches,
            Guard::CycleOpen => facts.cycle_open,
            Guard::Representable => self.is_representable(facts.today),
            Guard::RegisterMatches => facts.register_matches,
            Guard::NoticeMatches => facts.notice_matches,
            Guard::NotCertifiedAway => match event {
                Event::Return(code) => !self.reserved || !is_want_of_money_or_time(code),
                _ => false,
            },
            Guard::InterbankFinal => facts.interbank_final,
        }
    }

    fn is_representable(&self, today: Day) -> bool {
        match self.returned.map(ReturnCode::represent) {
            None | Some(Represent::Yes | Represent::Maybe | Represent::NextCycle) => true,
            Some(Represent::FromItsDate) => !self.date.is_future(today),
            Some(Represent::No) => false,
        }
    }

    fn attempts_with(&self, code: ReturnCode) -> u8 {
        self.attempts.saturating_add(u8::from(code.counts_as_attempt()))
    }

    fn after(&self, row: &Row, event: Event, facts: &Facts) -> Self {
        let mut next = self.clone();
        next.state = match row.to {
            To::Same => return next,
            To::State(state) => state,
            // Set whenever it is stopped.
            To::Before => self.before.unwrap_or(self.state),
        };
        (next.before, next.originator) = (None, None);
        match next.state {
            State::Presented => next.presented_from = Some(self.state),
            State::Stopped => {
                let presented = self.presented_from.filter(|_| self.state == State::Presented);
                next.before = Some(presented.unwrap_or(self.state));
                next.originator.clone_from(&facts.originator);
            }
            _ => (),
        }
        match (self.state, event) {
            (_, Event::Return(code)) => next.give_back(code),
            (State::Presented, Event::Stop(_)) => next.attempts = self.attempts_with(ReturnCode::Stopped),
            (_, Event::Unwind) => next.give_back(ReturnCode::SettlementFailed),
            _ => (),
        }
        next.reserved = (self.reserved || next.state == State::Certified)
            && !matches!(next.state, State::Voided | State::Expired | State::Dishonoured);
        next
    }

    fn give_back(&mut self, code: ReturnCode) {
        self.attempts = self.attempts_with(code);
        self.returned = Some(code);
    }

    /// A release without a reserve moves nothing.
    fn ledger(&self, row: &Row) -> Movement {
        match row.ledger {
            Movement::Release if !self.reserved => Movement::None,
            movement => movement,
        }
    }
}

fn is_want_of_money_or_time(code: ReturnCode) -> bool {
    use ReturnCode::{InsufficientFunds, OverLimit, Stale, Uncollected};
    matches!(code, InsufficientFunds | Uncollected | OverLimit | Stale)
}

impl Guard {
    /// The return code that says this to whoever presented, where there is one.
    #[must_use]
    pub fn return_code(self) -> Option<ReturnCode> {
        Some(match self {
            Self::MandateMet => ReturnCode::SignatureMissing,
            Self::WithinLimit => ReturnCode::OverLimit,
            Self::NumberUnused => ReturnCode::Duplicate,
            Self::CertificateValid | Self::BoundToAccount => ReturnCode::CertInvalid,
            Self::FundsAvailable => ReturnCode::InsufficientFunds,
            Self::Negotiable | Self::PayeeMatches => ReturnCode::NotTransferable,
            Self::ByHolder => ReturnCode::EndorsementBroken,
            Self::NextSequence => ReturnCode::EndorsementMissing,
            Self::CycleOpen => ReturnCode::Late,
            Self::Representable => ReturnCode::PostDated,
            Self::RegisterMatches => ReturnCode::Altered,
            Self::NoticeMatches => ReturnCode::IssueNoticeMismatch,
            _ => return None,
        })
    }
}
