//! The table: every pair of state and event that is possible. What is not in it is refused and changes nothing.

use std::fmt;

use crate::codes::ReturnCode;
use crate::state::EventKind::{
    Certify, Countersign, Endorse, Pay, Present, Return, Settle, Sign, Stop, Tick, Unstop, Unwind, Void,
};
use crate::state::State::{
    Allotted, Certified, Dishonoured, Expired, Issued, Paid, Presented, Returned, Settled, Signed, Stopped,
    Voided,
};
use crate::state::{EventKind, State};

/// Selects a row among those of the same state and event; rows are tried from the top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The same presentment id with the same bytes was answered before.
    SameAgain,
    /// The same presentment id came with other bytes.
    OtherBytes,
    /// The cheque's date is ahead.
    DateAhead,
    /// The date and six calendar months have passed.
    DatePassed,
    /// No amount is reserved.
    NotReserved,
    /// The code given is final, or the limit of attempts is reached with it.
    FinalReturn,
    /// It was returned for good with a final code, not for too many attempts.
    FinalCode,
}

/// What must hold for a row to act; else the event is refused and nothing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guard {
    /// Enough drawers have signed.
    MandateMet,
    /// Within the limits of cheque and day.
    WithinLimit,
    /// The number was never drawn.
    NumberUnused,
    /// The drawers' certificates hold.
    CertificateValid,
    /// The certificates are of this account.
    BoundToAccount,
    /// Asked for by the drawer.
    ByDrawer,
    /// It was never presented.
    NeverPresented,
    /// The account's available balance covers it.
    FundsAvailable,
    /// It may be endorsed.
    Negotiable,
    /// Asked for by the holder.
    ByHolder,
    /// The endorsement has the next sequence number.
    NextSequence,
    /// When the amount is reserved, only loss or fraud stops it.
    ReasonSuffices,
    /// Who ordered the stop lifts it.
    SameOriginator,
    /// The drawer himself holds it.
    DrawerIsHolder,
    /// The date and six calendar months have passed.
    DatePassed,
    /// No amount is reserved.
    NotReserved,
    /// Every signature is good.
    ChainGood,
    /// Presented for its holder.
    PayeeMatches,
    /// A cycle is open.
    CycleOpen,
    /// The code of the last return allows another presentment now.
    Representable,
    /// It agrees with the register.
    RegisterMatches,
    /// It agrees with the drawer's payment notice.
    NoticeMatches,
    /// A certified cheque is not returned for want of money or time.
    NotCertifiedAway,
    /// The leg between the banks is final.
    InterbankFinal,
}

/// What is wrong when it does not hold, as whoever asked is told.
impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MandateMet => "too few of its drawers have signed",
            Self::WithinLimit => "it is above the limit for one cheque or for one day",
            Self::NumberUnused => "its number was used before",
            Self::CertificateValid => "the certificate of a drawer is not valid now",
            Self::BoundToAccount => "a drawer's certificate is of another account",
            Self::ByDrawer => "only its drawer may do this",
            Self::NeverPresented => "it was presented before",
            Self::FundsAvailable => "the account does not cover it",
            Self::Negotiable => "it is for its payee only and cannot be passed on",
            Self::ByHolder => "only its holder may do this",
            Self::NextSequence => "another endorsement came first",
            Self::ReasonSuffices => "its amount is reserved: only loss or fraud (LOST, FRAD) stops it",
            Self::SameOriginator => "only who ordered the stop may lift it",
            Self::DrawerIsHolder => "its amount is reserved for the payee, who holds it",
            Self::DatePassed => "its six months have not passed",
            Self::NotReserved => "its amount is reserved, so it does not expire",
            Self::ChainGood => "a signature in it is not good",
            Self::PayeeMatches => "it is presented for someone other than its holder",
            Self::CycleOpen => "no cycle is open to take it",
            Self::Representable => "it came back with a code that lets nobody present it again now",
            Self::RegisterMatches => "it does not match the drawee's register",
            Self::NoticeMatches => "it differs from the drawer's payment notice",
            Self::NotCertifiedAway => {
                "its amount is reserved: want of money or time is no reason to return it"
            }
            Self::InterbankFinal => "the banks have not settled it",
        })
    }
}

/// Where a row leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// Nowhere.
    Same,
    /// To that state.
    State(State),
    /// Back to where it was stopped.
    Before,
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done,
    /// The presentment is returned with this code.
    Returned(ReturnCode),
    /// The presentment is returned with the code of the event.
    ReturnedAsGiven,
    /// The second presentment is refused with this code; the first goes on.
    Refused(ReturnCode),
    /// Refused with the code of the last return.
    RefusedAsReturned,
    /// Whatever was answered before.
    SameAgain,
    /// One id, two contents.
    Conflict,
}

/// What moves in the drawee's books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Movement {
    /// Nothing.
    None,
    /// Pending: drawer → certified cheques.
    Reserve,
    /// The reserve goes back to the drawer, if there is one.
    Release,
    /// Drawer, or the reserve if there is one → due to clearing; the payee's credit is pending.
    Pay,
    /// The payee's pending credit is posted.
    PostPayee,
    /// What paying moved is moved back.
    Compensate,
}

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// In these states …
    pub from: &'static [State],
    /// … on this event …
    pub on: EventKind,
    /// … if all of these hold (else the next row is tried) …
    pub when: &'static [When],
    /// … and all of these hold (else it is refused) …
    pub guards: &'static [Guard],
    /// … it goes there,
    pub to: To,
    /// answers this
    pub answer: Answer,
    /// and moves this.
    pub ledger: Movement,
}

const fn row(
    from: &'static [State],
    on: EventKind,
    when: &'static [When],
    guards: &'static [Guard],
    to: To,
    answer: Answer,
    ledger: Movement,
) -> Row {
    Row { from, on, when, guards, to, answer, ledger }
}

use Answer::{Conflict, Done, RefusedAsReturned, ReturnedAsGiven, SameAgain};
use Guard as G;
use Movement as M;
use To::{Before, Same};
use When as W;

const fn to(state: State) -> To {
    To::State(state)
}

/// What must hold of a presentment.
const PRESENTABLE: &[Guard] = &[G::ChainGood, G::PayeeMatches, G::CycleOpen];

/// The whole life of a cheque.
#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    row(&[Allotted],            Sign,        &[], &[G::MandateMet, G::WithinLimit, G::NumberUnused], to(Signed), Done, M::None),
    row(&[Signed],              Countersign, &[], &[G::CertificateValid, G::BoundToAccount], to(Issued), Done, M::None),
    row(&[Signed, Issued],      Void,        &[], &[G::ByDrawer, G::NeverPresented], to(Voided), Done, M::None),
    row(&[Certified],           Void,        &[], &[G::ByDrawer, G::DrawerIsHolder], to(Voided), Done, M::Release),
    row(&[Issued],              Certify,     &[], &[G::FundsAvailable], to(Certified), Done, M::Reserve),
    row(&[Issued, Certified],   Endorse,     &[], &[G::Negotiable, G::ByHolder, G::NextSequence], Same, Done, M::None),
    row(&[Issued, Certified],   Stop,        &[], &[G::ReasonSuffices], to(Stopped), Done, M::None),
    row(&[Returned],            Stop,        &[], &[G::ReasonSuffices], to(Stopped), Done, M::None),
    row(&[Presented],           Stop,        &[], &[G::ReasonSuffices], to(Stopped), Answer::Returned(ReturnCode::Stopped), M::None),
    row(&[Stopped],             Unstop,      &[], &[G::SameOriginator], Before, Done, M::None),
    row(&[Issued, Returned],    Tick,        &[], &[G::DatePassed, G::NotReserved], to(Expired), Done, M::None),

    row(&State::ALL,            Present, &[W::SameAgain],  &[], Same, SameAgain, M::None),
    row(&State::ALL,            Present, &[W::OtherBytes], &[], Same, Conflict, M::None),
    row(&[Stopped],             Present, &[], &[], Same, Answer::Returned(ReturnCode::Stopped), M::None),
    row(&[Expired],             Present, &[], &[], Same, Answer::Returned(ReturnCode::Stale), M::None),
    row(&[Signed],              Present, &[], &[], Same, Answer::Refused(ReturnCode::SignatureMissing), M::None),
    row(&[Voided],              Present, &[], &[], Same, Answer::Refused(ReturnCode::ReferToDrawer), M::None),
    row(&[Dishonoured],         Present, &[W::FinalCode], &[], Same, RefusedAsReturned, M::None),
    row(&[Dishonoured],         Present, &[], &[], Same, Answer::Refused(ReturnCode::RepresentLimit), M::None),
    row(&[Presented, Paid, Settled], Present, &[], &[], Same, Answer::Refused(ReturnCode::Duplicate), M::None),
    row(&[Issued, Certified],   Present, &[W::DateAhead], &[], Same, Answer::Returned(ReturnCode::PostDated), M::None),
    row(&[Issued],              Present, &[W::DatePassed], &[], to(Expired), Answer::Returned(ReturnCode::Stale), M::None),
    // The tick that has not come yet and the presentment after it, in one: when a day is ticked must not decide.
    row(&[Returned],            Present, &[W::DatePassed, W::NotReserved], &[], to(Expired), Answer::Returned(ReturnCode::Stale), M::None),
    row(&[Issued, Certified],   Present, &[], PRESENTABLE, to(Presented), Done, M::None),
    row(&[Returned],            Present, &[], &[G::Representable, G::ChainGood, G::PayeeMatches, G::CycleOpen], to(Presented), Done, M::None),

    row(&[Presented],           Pay,     &[], &[G::RegisterMatches, G::NoticeMatches, G::FundsAvailable, G::WithinLimit], to(Paid), Done, M::Pay),
    row(&[Presented],           Return,  &[W::FinalReturn], &[G::NotCertifiedAway], to(Dishonoured), ReturnedAsGiven, M::Release),
    row(&[Presented],           Return,  &[], &[G::NotCertifiedAway], to(Returned), ReturnedAsGiven, M::None),
    row(&[Paid],                Settle,  &[], &[G::InterbankFinal], to(Settled), Done, M::PostPayee),
    row(&[Paid],                Unwind,  &[], &[], to(Returned), Answer::Returned(ReturnCode::SettlementFailed), M::Compensate),
];
