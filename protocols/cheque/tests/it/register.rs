//! The register: every pair of state and event, legal and illegal, under every fact that matters.

use std::collections::BTreeSet;

use feiqian_cheque::register::{ATTEMPT_LIMIT, Reason};
use feiqian_cheque::table::{Answer, Guard, Movement};
use feiqian_cheque::{Day, Effect, Entry, Event, Facts, Refusal, Repeat, ReturnCode, State, StopReason};

use crate::world::text;

const DATE: &str = "2026-08-31";
/// Before the date; on it; the last good day; the day after.
const DAYS: [&str; 4] = ["2026-08-30", DATE, "2027-02-28", "2027-03-01"];

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

/// Everything is as it should be.
fn facts(today: &str) -> Facts {
    Facts {
        today: day(today),
        mandate_met: true,
        within_limit: true,
        number_unused: true,
        certificate_valid: true,
        bound_to_account: true,
        by_drawer: true,
        funds_available: true,
        negotiable: true,
        by_holder: true,
        next_sequence: true,
        originator: Some(text("alice")),
        drawer_is_holder: true,
        chain_fault: None,
        payee_matches: true,
        cycle_open: true,
        register_matches: true,
        notice_matches: true,
        interbank_final: true,
        repeat: Repeat::New,
    }
}

/// An entry in that state as it could have come there.
fn entry(state: State, reserved: bool) -> Entry {
    let presented = matches!(
        state,
        State::Presented | State::Paid | State::Settled | State::Returned | State::Dishonoured
    );
    let before = if reserved { State::Certified } else { State::Issued };
    let returned = match state {
        State::Returned => Some(ReturnCode::Technical),
        State::Dishonoured => Some(ReturnCode::InsufficientFunds),
        _ => None,
    };
    Entry {
        state,
        reserved,
        attempts: 0,
        date: day(DATE),
        presented_from: presented.then_some(before),
        before: (state == State::Stopped).then_some(before),
        originator: (state == State::Stopped).then(|| text("alice")),
        returned,
    }
}

/// The rules, written down a second time in another shape: the state after, and a return code if one is answered.
/// `None`: refused.
fn oracle(state: State, reserved: bool, event: Event, today: &str) -> Option<(State, Option<ReturnCode>)> {
    use State::{
        Allotted, Certified, Dishonoured, Expired, Issued, Paid, Presented, Returned, Settled, Signed,
        Stopped, Voided,
    };
    let early = today == DAYS[0];
    let stale = today == DAYS[3];
    let grave = |reason| !reserved || matches!(reason, StopReason::Lost | StopReason::Frad);
    let back = if reserved { Certified } else { Issued };
    let poor = ["INSUFFICIENT_FUNDS", "UNCOLLECTED", "OVER_LIMIT", "STALE"];
    match (state, event) {
        (Allotted, Event::Sign) => Some((Signed, None)),
        (Signed, Event::Countersign) => Some((Issued, None)),
        (Signed | Issued | Certified, Event::Void) => Some((Voided, None)),
        (Issued, Event::Certify) => Some((Certified, None)),
        (Issued | Certified, Event::Endorse) => Some((state, None)),
        (Issued | Certified | Returned, Event::Stop(reason)) if grave(reason) => Some((Stopped, None)),
        (Presented, Event::Stop(reason)) if grave(reason) => Some((Stopped, Some(ReturnCode::Stopped))),
        (Stopped, Event::Unstop) => Some((back, None)),
        (Issued | Returned, Event::Tick) if stale && !reserved => Some((Expired, None)),
        (Stopped, Event::Present) => Some((Stopped, Some(ReturnCode::Stopped))),
        (Expired, Event::Present) => Some((Expired, Some(ReturnCode::Stale))),
        (Issued | Certified, Event::Present) if early => Some((state, Some(ReturnCode::PostDated))),
        (Issued, Event::Present) if stale => Some((Expired, Some(ReturnCode::Stale))),
        (Returned, Event::Present) if stale && !reserved => Some((Expired, Some(ReturnCode::Stale))),
        (Issued | Certified | Returned, Event::Present) => Some((Presented, None)),
        (Presented, Event::Pay) => Some((Paid, None)),
        (Presented, Event::Return(code)) if reserved && poor.contains(&code.as_str()) => None,
        (Presented, Event::Return(code)) => {
            let goes_on = matches!(
                code.as_str(),
                "INSUFFICIENT_FUNDS"
                    | "UNCOLLECTED"
                    | "POST_DATED"
                    | "REFER_TO_DRAWER"
                    | "LATE"
                    | "SETTLEMENT_FAILED"
                    | "TECHNICAL"
            );
            Some((if goes_on { Returned } else { Dishonoured }, Some(code)))
        }
        (Paid, Event::Settle) => Some((Settled, None)),
        (Paid, Event::Unwind) => Some((Returned, Some(ReturnCode::SettlementFailed))),
        (Settled | Dishonoured | Voided | Expired, _) => None,
        _ => None,
    }
}

fn answered(effect: &Effect, event: Event) -> Option<ReturnCode> {
    match (effect.answer, event) {
        (Answer::Done, _) => None,
        (Answer::Returned(code), _) | (Answer::ReturnedAsGiven, Event::Return(code)) => Some(code),
        (other, _) => panic!("{other:?}"),
    }
}

#[test]
fn every_pair_of_state_and_event_is_decided_as_the_rules_say() {
    let (mut legal, mut illegal) = (0, 0);
    for state in State::ALL {
        for reserved in [false, true] {
            if (state == State::Certified) != reserved && matches!(state, State::Certified | State::Issued) {
                continue;
            }
            for (event, today) in Event::all().flat_map(|event| DAYS.map(|day| (event, day))) {
                let before = entry(state, reserved);
                let result = before.apply(event, &facts(today));
                let found = result.as_ref().ok().map(|effect| (effect.entry.state, answered(effect, event)));
                assert_eq!(
                    found,
                    oracle(state, reserved, event, today),
                    "{state} {reserved} {event:?} {today}"
                );
                match result {
                    Ok(_) => legal += 1,
                    Err(refusal) => {
                        illegal += 1;
                        assert_eq!(refusal.state, state);
                        assert!(refusal.code().is_definitive() || refusal.code().as_str() == "NOT_EXPIRED");
                        if event == Event::Present && state != State::Allotted {
                            assert!(refusal.return_code().is_some(), "a presenter is told why: {refusal}");
                        }
                    }
                }
            }
        }
    }
    assert_eq!(legal + illegal, 22 * 40 * 4);
    assert!(legal > 300 && illegal > 2_500, "{legal} {illegal}");
}

fn refused(state: State, reserved: bool, event: Event, facts: &Facts) -> Reason {
    let before = entry(state, reserved);
    let refusal: Refusal = before.apply(event, facts).unwrap_err();
    refusal.reason
}

type Spoil = fn(&mut Facts);

#[test]
fn each_guard_alone_refuses() {
    let cases: &[(State, Event, Spoil, Guard)] = &[
        (State::Allotted, Event::Sign, |it| it.mandate_met = false, Guard::MandateMet),
        (State::Allotted, Event::Sign, |it| it.within_limit = false, Guard::WithinLimit),
        (State::Allotted, Event::Sign, |it| it.number_unused = false, Guard::NumberUnused),
        (State::Signed, Event::Countersign, |it| it.certificate_valid = false, Guard::CertificateValid),
        (State::Signed, Event::Countersign, |it| it.bound_to_account = false, Guard::BoundToAccount),
        (State::Signed, Event::Void, |it| it.by_drawer = false, Guard::ByDrawer),
        (State::Issued, Event::Void, |it| it.by_drawer = false, Guard::ByDrawer),
        (State::Certified, Event::Void, |it| it.by_drawer = false, Guard::ByDrawer),
        (State::Certified, Event::Void, |it| it.drawer_is_holder = false, Guard::DrawerIsHolder),
        (State::Issued, Event::Certify, |it| it.funds_available = false, Guard::FundsAvailable),
        (State::Issued, Event::Endorse, |it| it.negotiable = false, Guard::Negotiable),
        (State::Issued, Event::Endorse, |it| it.by_holder = false, Guard::ByHolder),
        (State::Certified, Event::Endorse, |it| it.next_sequence = false, Guard::NextSequence),
        (State::Stopped, Event::Unstop, |it| it.originator = None, Guard::SameOriginator),
        (State::Stopped, Event::Unstop, |it| it.originator = Some(text("dave")), Guard::SameOriginator),
        (State::Issued, Event::Present, |it| it.payee_matches = false, Guard::PayeeMatches),
        (State::Returned, Event::Present, |it| it.payee_matches = false, Guard::PayeeMatches),
        (State::Certified, Event::Present, |it| it.cycle_open = false, Guard::CycleOpen),
        (State::Presented, Event::Pay, |it| it.register_matches = false, Guard::RegisterMatches),
        (State::Presented, Event::Pay, |it| it.notice_matches = false, Guard::NoticeMatches),
        (State::Presented, Event::Pay, |it| it.funds_available = false, Guard::FundsAvailable),
        (State::Presented, Event::Pay, |it| it.within_limit = false, Guard::WithinLimit),
        (State::Paid, Event::Settle, |it| it.interbank_final = false, Guard::InterbankFinal),
    ];
    for (state, event, spoil, guard) in cases {
        let mut spoiled = facts(DATE);
        let reserved = *state == State::Certified;
        assert!(entry(*state, reserved).apply(*event, &spoiled).is_ok(), "{state} {event:?}");
        spoil(&mut spoiled);
        assert_eq!(refused(*state, reserved, *event, &spoiled), Reason::Guard(*guard), "{state} {event:?}");
    }
    for state in [State::Issued, State::Returned] {
        let bad = Facts { chain_fault: Some(ReturnCode::CertInvalid), ..facts(DATE) };
        assert_eq!(refused(state, false, Event::Present, &bad), Reason::Document(ReturnCode::CertInvalid));
    }
    let mut presented = entry(State::Issued, false);
    presented.presented_from = Some(State::Issued);
    let again = presented.apply(Event::Void, &facts(DATE)).unwrap_err().reason;
    assert_eq!(again, Reason::Guard(Guard::NeverPresented));
}

#[test]
fn what_is_reserved_is_paid_whatever_the_balance() {
    let poor = Facts { funds_available: false, within_limit: false, ..facts(DATE) };
    let effect = entry(State::Presented, true).apply(Event::Pay, &poor).unwrap();
    assert_eq!((effect.entry.state, effect.ledger), (State::Paid, Movement::Pay));
    let unwound = effect.entry.apply(Event::Unwind, &poor).unwrap();
    assert!(unwound.entry.reserved && unwound.ledger == Movement::Compensate);
}

#[test]
fn a_repeat_gets_the_same_answer_in_every_state_and_other_bytes_never_do() {
    for state in State::ALL {
        let before = entry(state, state == State::Certified);
        let same = Facts { repeat: Repeat::SameBytes, ..facts(DAYS[3]) };
        let effect = before.apply(Event::Present, &same).unwrap();
        assert_eq!(
            (&effect.entry, effect.answer, effect.ledger),
            (&before, Answer::SameAgain, Movement::None)
        );
        let other = Facts { repeat: Repeat::OtherBytes, ..facts(DATE) };
        assert_eq!(before.apply(Event::Present, &other).unwrap_err().reason, Reason::Conflict);
    }
    for state in [State::Presented, State::Paid, State::Settled] {
        let duplicate = refused(state, false, Event::Present, &facts(DATE));
        assert_eq!(duplicate, Reason::Present(ReturnCode::Duplicate));
    }
}

#[test]
fn two_attempts_that_count_are_the_limit() {
    let today = facts(DATE);
    let mut now = entry(State::Issued, false);
    let mut step = |event| {
        now = now.apply(event, &today).unwrap().entry;
        (now.state, now.attempts)
    };
    step(Event::Present);
    for code in [ReturnCode::Technical, ReturnCode::Late, ReturnCode::Technical] {
        assert_eq!(step(Event::Return(code)), (State::Returned, 0));
        step(Event::Present);
    }
    step(Event::Pay);
    assert_eq!(step(Event::Unwind), (State::Returned, 0));
    step(Event::Present);
    assert_eq!(step(Event::Return(ReturnCode::InsufficientFunds)), (State::Returned, 1));
    step(Event::Present);
    assert_eq!(step(Event::Return(ReturnCode::InsufficientFunds)), (State::Dishonoured, 2));
    let again = now.apply(Event::Present, &today).unwrap_err();
    assert_eq!(again.return_code(), Some(ReturnCode::RepresentLimit));

    let altered = entry(State::Presented, false).apply(Event::Return(ReturnCode::Altered), &today).unwrap();
    let again = altered.entry.apply(Event::Present, &today).unwrap_err();
    assert_eq!(again.return_code(), Some(ReturnCode::Altered));
}

#[test]
fn an_unstop_leads_back_to_where_it_was() {
    let today = facts(DATE);
    for (state, reserved) in
        [(State::Issued, false), (State::Certified, true), (State::Returned, false), (State::Returned, true)]
    {
        let before = entry(state, reserved);
        let stopped = before.apply(Event::Stop(StopReason::Lost), &today).unwrap().entry;
        assert_eq!(stopped.reserved, reserved);
        let after = stopped.apply(Event::Unstop, &today).unwrap().entry;
        assert_eq!(after, before);
        let presented = before.apply(Event::Present, &today).unwrap().entry;
        let stopped = presented.apply(Event::Stop(StopReason::Frad), &today).unwrap().entry;
        let after = stopped.apply(Event::Unstop, &today).unwrap().entry;
        assert_eq!((after.state, after.reserved, after.attempts), (state, reserved, 1));
    }
}

#[test]
fn post_dated_returns_wait_for_the_date() {
    let mut returned = entry(State::Returned, false);
    returned.returned = Some(ReturnCode::PostDated);
    let early = returned.apply(Event::Present, &facts(DAYS[0])).unwrap_err();
    assert_eq!(early.return_code(), Some(ReturnCode::PostDated));
    returned.apply(Event::Present, &facts(DAYS[1])).unwrap();
}

/// Every entry that can be reached from a fresh number, by any event on any day.
#[test]
fn whatever_happens_the_books_can_follow() {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut next = vec![Entry::allotted(day(DATE))];
    let mut states = BTreeSet::new();
    while let Some(entry) = next.pop() {
        if !seen.insert(format!("{entry:?}")) {
            continue;
        }
        states.insert(entry.state);
        let held = [
            State::Certified,
            State::Stopped,
            State::Presented,
            State::Returned,
            State::Paid,
            State::Settled,
        ];
        assert!(!entry.reserved || held.contains(&entry.state), "{entry:?}");
        assert!(entry.state != State::Certified || entry.reserved);
        assert_eq!(entry.before.is_some(), entry.state == State::Stopped);
        assert_eq!(entry.originator.is_some(), entry.state == State::Stopped);
        assert!(
            entry.attempts < ATTEMPT_LIMIT
                || matches!(entry.state, State::Dishonoured)
                || entry.presented_from.is_some()
        );
        for (event, today) in Event::all().flat_map(|event| DAYS.map(|day| (event, day))) {
            let Ok(effect) = entry.apply(event, &facts(today)) else { continue };
            if entry.state.is_terminal() {
                assert_eq!(effect.entry, entry, "nothing moves a cheque that is {}", entry.state);
                assert_eq!(effect.ledger, Movement::None);
            }
            let reserved_now = !entry.reserved && effect.entry.reserved;
            assert_eq!(reserved_now, effect.ledger == Movement::Reserve);
            let released = entry.reserved && !effect.entry.reserved;
            assert_eq!(released, effect.ledger == Movement::Release, "{entry:?} {event:?}");
            // Counters do not matter to where it can go from here.
            if effect.entry.attempts <= ATTEMPT_LIMIT + 1 {
                next.push(effect.entry);
            }
        }
    }
    assert_eq!(states, State::ALL.into_iter().collect(), "every state is reached");
    assert!(State::ALL.iter().all(|state| State::from_number(state.number()) == Some(*state)));
}

#[test]
fn a_refusal_is_said_in_words() {
    let refusal = |state, reserved, event, facts: &Facts| {
        entry(state, reserved).apply(event, facts).unwrap_err().to_string()
    };
    let mut theirs = facts(DATE);
    theirs.drawer_is_holder = false;
    assert_eq!(
        refusal(State::Certified, true, Event::Void, &theirs),
        "the cheque is CERTIFIED: its amount is reserved for the payee, who holds it"
    );
    assert_eq!(
        refusal(State::Certified, true, Event::Stop(StopReason::Cust), &facts(DATE)),
        "the cheque is CERTIFIED: its amount is reserved: only loss or fraud (LOST, FRAD) stops it"
    );
    assert_eq!(
        refusal(State::Settled, false, Event::Void, &facts(DATE)),
        "the cheque is SETTLED: in that state this cannot be done with it"
    );
    assert_eq!(
        refusal(State::Paid, false, Event::Present, &facts(DATE)),
        "the cheque is PAID: it cannot be presented: already presented or paid (DUPLICATE)"
    );
}
