#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use feiqian_cheque::ReturnCode;
use feiqian_crypto::Digest;
use feiqian_money::{Amount, Currency, Minor};
use feiqian_wire::Timestamp;
use proptest::prelude::*;
use quick_xml::Reader;
use quick_xml::events::Event;

use super::samples::{self, HOSTILE};
use super::value::{date_time, decimal};
use super::xml::{LINE, Node, is_legal};
use super::*;

/// Every text of a document with the path of its element, read by a parser. A document that is not well-formed, or
/// holds a character XML does not allow, panics.
fn texts(xml: &str) -> Vec<(String, String)> {
    assert!(xml.chars().all(is_legal));
    let mut reader = Reader::from_str(xml);
    let (mut path, mut text, mut found) = (Vec::new(), String::new(), Vec::new());
    loop {
        match reader.read_event().unwrap() {
            Event::Start(start) => {
                path.push(start.name().as_ref().to_owned());
                text.clear();
            }
            Event::Text(part) => text.push_str(&part.xml10_content()),
            Event::GeneralRef(reference) => text.push(resolved(&reference)),
            Event::End(_) => {
                if !text.trim_matches([' ', '\n']).is_empty() {
                    found.push((path.join("/"), text.clone()));
                }
                text.clear();
                path.pop();
            }
            Event::Decl(_) => {}
            Event::Eof => break,
            other => panic!("unexpected: {other:?}"),
        }
    }
    assert!(path.is_empty());
    found
}

fn resolved(reference: &quick_xml::events::BytesRef<'_>) -> char {
    reference.resolve_char_ref().unwrap().unwrap_or_else(|| match reference.as_ref() {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "apos" => '\'',
        "quot" => '"',
        other => panic!("unknown entity {other:?}"),
    })
}

/// All texts of elements whose path ends in these names.
fn all(xml: &str, end: &str) -> Vec<String> {
    let end = format!("/{end}");
    texts(xml).into_iter().filter(|(path, _)| path.ends_with(&end)).map(|(_, text)| text).collect()
}

fn only(xml: &str, end: &str) -> String {
    let found = all(xml, end);
    assert_eq!(found.len(), 1, "{end}: {found:?}");
    found.concat()
}

/// Texts that people wrote stay within what their elements hold.
fn verify_lengths(xml: &str) {
    for (path, text) in texts(xml) {
        let most = match path.rsplit('/').next() {
            Some("Nm" | "Ustrd") => LINE,
            Some("AddtlInf") if path.contains("/RtrInf/") => 105,
            Some("AddtlInf") => LINE,
            _ => continue,
        };
        assert!((1..=most).contains(&text.chars().count()), "{path}");
    }
}

fn cleaned(text: &str) -> String {
    text.chars().map(|c| if is_legal(c) { c } else { '\u{fffd}' }).collect()
}

fn of(xml: &str, message: &str) -> bool {
    xml.contains(&format!("<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:{message}\">"))
}

#[test]
fn every_sample_is_well_formed_and_names_its_message() {
    let samples = samples::documents().unwrap();
    for sample in &samples {
        assert!(of(&sample.xml, sample.message), "{}", sample.name);
        assert!(!texts(&sample.xml).is_empty(), "{}", sample.name);
    }
    let messages: BTreeSet<_> = samples.iter().map(|sample| sample.message).collect();
    let expected = [CAMT_053, CAMT_054, PACS_008, PACS_004, CAMT_107, CAMT_108, CAMT_109];
    assert_eq!(messages, BTreeSet::from(expected));
}

#[test]
fn amounts_have_exactly_the_currencys_digits() {
    let clf: Currency = "CLF".parse().unwrap();
    for (minor, currency, text) in [
        (0, Currency::CNY, "0.00"),
        (5, Currency::CNY, "0.05"),
        (1250, Currency::CNY, "12.50"),
        (1250, Currency::JPY, "1250"),
        (1250, clf, "0.1250"),
        (999_999_999_999_999_999, Currency::USD, "9999999999999999.99"),
    ] {
        assert_eq!(decimal(minor, currency).unwrap(), text);
    }
    assert_eq!(decimal(1_000_000_000_000_000_000, Currency::JPY), Err(ExportError::TooManyDigits));
}

#[test]
fn times_and_days() {
    assert_eq!(date_time(Timestamp::new(0)).unwrap(), "1970-01-01T00:00:00Z");
    assert_eq!(date_time(Timestamp::new(1_796_117_400)).unwrap(), "2026-12-01T09:30:00Z");
    assert_eq!(date_time(Timestamp::MAX), Err(ExportError::TimeOutOfRange));
    assert_eq!(CalendarDay::of(Timestamp::new(86_399)).unwrap().to_string(), "1970-01-01");
    for text in ["2026-02-29", "2026-2-1", "20261201", "2026-12-01T00:00", "1969-12-31", ""] {
        assert_eq!(text.parse::<CalendarDay>(), Err(ExportError::NotADay), "{text}");
    }
}

#[test]
fn identifiers_are_refused_and_never_cut() {
    for bad in ["", "two words", "<", "ü", &"x".repeat(36)] {
        assert_eq!(Reference::new(bad), Err(ExportError::NotAnIdentifier { most: 35 }));
    }
    assert_eq!(Reference::new("x".repeat(35)).unwrap().as_str().len(), 35);
    assert_eq!(AccountId::new("x".repeat(35)), Err(ExportError::NotAnIdentifier { most: 34 }));
    assert_eq!(Reference::of(&Digest([0xab; 32])).as_str(), "ab".repeat(16));
    for bad in ["", "am04", "AM-4", "AM040"] {
        assert_eq!(ReturnReason::new(bad, "", ""), Err(ExportError::NotAReasonCode));
    }
}

#[test]
fn a_uetr_is_a_version_4_uuid_of_the_order() {
    assert_eq!(uetr(&Digest([0x00; 32])), "00000000-0000-4000-8000-000000000000");
    assert_eq!(uetr(&Digest([0xff; 32])), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    assert_eq!(uetr(&Digest([0x56; 32])), "56565656-5656-4656-9656-565656565656");
}

#[test]
fn every_return_code_is_a_reason() {
    for code in ReturnCode::ALL {
        let reason = ReturnReason::new(code.iso20022(), code.as_str(), code.meaning()).unwrap();
        let xml = reason.node("RtrInf").into_document("test");
        assert_eq!(only(&xml, "Rsn/Cd"), code.iso20022());
        // Not cut: the longest fits its line.
        assert_eq!(only(&xml, "AddtlInf"), format!("{code}: {}", code.meaning()));
    }
    for code in crate::remittance::TransferReturn::ALL {
        let xml = ReturnReason::from(code).node("RtrInf").into_document("test");
        assert_eq!(only(&xml, "AddtlInf"), code.as_str());
        let cheques = ReturnCode::ALL.iter().find(|cheques| cheques.as_str() == code.as_str()).unwrap();
        assert_eq!(only(&xml, "Rsn/Cd"), cheques.iso20022(), "{cheques}");
    }
}

#[test]
fn a_statement_shows_balances_sums_and_entries() {
    let credit = samples::entry(1, EntryKind::Deposit, Side::Credit, Currency::CNY).unwrap();
    let debit = samples::entry(2, EntryKind::Cheque, Side::Debit, Currency::CNY).unwrap();
    let statement = samples::statement(Currency::CNY, vec![credit.clone(), credit, debit]).unwrap();
    let xml = statement.to_xml().unwrap();
    assert_eq!(all(&xml, "Bal/Tp/CdOrPrtry/Cd"), ["OPBD", "CLBD"]);
    assert_eq!(all(&xml, "Bal/Amt"), ["1.00", "13.50"]);
    assert_eq!(all(&xml, "Bal/CdtDbtInd"), ["CRDT", "CRDT"]);
    assert_eq!(only(&xml, "TtlNtries/Sum"), "37.50");
    assert_eq!(only(&xml, "TtlNetNtry/Amt"), "12.50");
    assert_eq!(only(&xml, "TtlCdtNtries/NbOfNtries"), "2");
    assert_eq!(only(&xml, "TtlDbtNtries/Sum"), "12.50");
    assert_eq!(all(&xml, "Ntry/Amt"), ["12.50", "12.50", "12.50"]);
    assert_eq!(all(&xml, "Ntry/BkTxCd/Domn/Fmly/Cd"), ["CNTR", "CNTR", "ICHQ"]);
    assert_eq!(only(&xml, "Stmt/ElctrncSeqNb"), "7");
    assert!(xml.contains("<Amt Ccy=\"CNY\">12.50</Amt>"));
}

#[test]
fn a_statement_must_add_up() {
    let entries = || vec![samples::entry(1, EntryKind::Payout, Side::Debit, Currency::CNY).unwrap()];
    let good = samples::statement(Currency::CNY, entries()).unwrap();
    assert_eq!(good.closing, Balance { minor: Minor::new(1150).unwrap(), side: Side::Debit });
    assert!(good.to_xml().is_ok());
    let refused = |change: fn(&mut Statement)| {
        let mut statement = good.clone();
        change(&mut statement);
        statement.to_xml().unwrap_err()
    };
    assert_eq!(refused(|s| s.closing.side = Side::Credit), ExportError::DoesNotAddUp);
    assert_eq!(refused(|s| s.closing.minor = Minor::ONE), ExportError::DoesNotAddUp);
    assert_eq!(refused(|s| s.entries.clear()), ExportError::DoesNotAddUp);
    assert_eq!(refused(|s| s.currency = Currency::EUR), ExportError::MixedCurrencies);
    assert_eq!(refused(|s| s.to = Timestamp::new(0)), ExportError::PeriodReversed);
    assert_eq!(refused(|s| s.sequence = u64::MAX), ExportError::SequenceTooLong);
    assert_eq!(refused(|s| s.created = Timestamp::MAX), ExportError::TimeOutOfRange);
    assert_eq!(
        refused(|s| s.entries.iter_mut().for_each(|entry| entry.status = EntryStatus::Pending)),
        ExportError::PendingInStatement
    );
}

#[test]
fn statements_chain() {
    let first = samples::statement(Currency::CNY, Vec::new()).unwrap();
    let mut second = first.clone();
    second.sequence = 8;
    (second.from, second.to) = (first.to, first.to.saturating_add(1));
    assert_eq!(second.verify_follows(&first), Ok(()));
    let refused = |change: fn(&mut Statement)| {
        let mut statement = second.clone();
        change(&mut statement);
        assert_eq!(statement.verify_follows(&first), Err(ExportError::DoesNotFollow));
    };
    refused(|s| s.sequence = 9);
    refused(|s| s.opening.minor = Minor::ONE);
    refused(|s| s.opening.side = Side::Debit);
    refused(|s| s.from = s.from.saturating_sub(1));
    refused(|s| s.currency = Currency::EUR);
    refused(|s| s.holder.account = AccountId::new("another").unwrap());
}

#[test]
fn an_advice_names_both_parties_by_direction() {
    let mut entry = samples::entry(1, EntryKind::Transfer, Side::Credit, Currency::CNY).unwrap();
    entry.details.counterparty = Some(samples::party("Bob", 0xb0, "south").unwrap());
    let holder = samples::party("", 0xa1, "north").unwrap();
    let mut advice = Advice {
        id: Reference::new("advice-1").unwrap(),
        created: Timestamp::new(0),
        holder,
        currency: Currency::CNY,
        entries: vec![entry],
    };
    let xml = advice.to_xml().unwrap();
    assert_eq!(only(&xml, "Dbtr/Pty/Nm"), "Bob");
    // A holder without a name is called by the account.
    assert_eq!(only(&xml, "Cdtr/Pty/Nm"), "a1".repeat(16));
    assert_eq!(only(&xml, "DbtrAgt/FinInstnId/ClrSysMmbId/MmbId"), "south");
    advice.entries.iter_mut().for_each(|entry| entry.side = Side::Debit);
    assert_eq!(only(&advice.to_xml().unwrap(), "Cdtr/Pty/Nm"), "Bob");
    // What is taken back keeps its parties.
    advice.entries.iter_mut().for_each(|entry| entry.reversal = true);
    assert_eq!(only(&advice.to_xml().unwrap(), "Dbtr/Pty/Nm"), "Bob");
    advice.entries.clear();
    assert_eq!(advice.to_xml(), Err(ExportError::Empty));
}

#[test]
fn remittances_count_sum_and_identify() {
    let mut remittances = samples::remittances("rent").unwrap();
    let xml = remittances.to_xml().unwrap();
    assert_eq!(only(&xml, "GrpHdr/NbOfTxs"), "2");
    assert_eq!(only(&xml, "GrpHdr/CtrlSum"), "60.00");
    assert_eq!(all(&xml, "PmtId/EndToEndId"), ["INV/42", &"ff".repeat(16)]);
    assert_eq!(all(&xml, "Ustrd"), ["rent"]);
    let huge = Amount::new(Minor::MAX, Currency::CNY);
    remittances.transfers.iter_mut().for_each(|transfer| transfer.amount = huge);
    assert_eq!(remittances.to_xml(), Err(ExportError::TooManyDigits));
    remittances.header.currency = Currency::EUR;
    assert_eq!(remittances.to_xml(), Err(ExportError::MixedCurrencies));
    remittances.transfers.clear();
    assert_eq!(remittances.to_xml(), Err(ExportError::Empty));
}

#[test]
fn returns_name_the_message_they_answer() {
    let sample = samples::documents().unwrap().into_iter().find(|sample| sample.message == PACS_004);
    let xml = sample.unwrap().xml;
    assert_eq!(all(&xml, "OrgnlGrpInf/OrgnlMsgNmId"), [PACS_008, CAMT_107]);
    assert_eq!(all(&xml, "Rsn/Cd"), ["AC01", "AM04"]);
    assert_eq!(all(&xml, "RtrdIntrBkSttlmAmt"), ["30.00", "30.00"]);
    assert_eq!(all(&xml, "OrgnlUETR").len(), 1, "only a transfer has one");
}

#[test]
fn cheques_presented_and_stopped() {
    let mut presentments = samples::presentments().unwrap();
    let xml = presentments.to_xml().unwrap();
    let order: Vec<String> = texts(&xml)
        .into_iter()
        .filter_map(|(path, _)| path.split_once("/Chq/").map(|(_, rest)| rest.to_owned()))
        .filter(|rest| !rest.contains('/'))
        .collect();
    assert_eq!(order, ["InstrId", "ChqNb", "IsseDt", "Amt"]);
    assert_eq!(only(&xml, "GrpHdr/CtrlSum"), "250.00");
    assert_eq!(only(&xml, "Pyee/Nm"), "Bob & Sons");
    presentments.cheques.clear();
    assert_eq!(presentments.to_xml(), Err(ExportError::Empty));

    let xml = samples::stop_requests().unwrap().to_xml().unwrap();
    assert_eq!(only(&xml, "ChqCxlOrStopRsn/Rsn/Cd"), "LOST");
    assert_eq!(only(&xml, "Orgtr"), "PAYR");

    let xml = samples::stop_reports().unwrap().to_xml().unwrap();
    assert_eq!(all(&xml, "ChqCxlOrStopSts/Sts/Cd"), ["ACCR", "RJCR"]);
    assert_eq!(all(&xml, "ChqCxlOrStopSts/AddtlInf"), ["DUPLICATE: already presented or paid"]);
}

#[test]
fn hostile_text_comes_back_whole() {
    let memo = HOSTILE.repeat(12);
    let xml = samples::remittances(&memo).unwrap().to_xml().unwrap();
    let lines = all(&xml, "Ustrd");
    assert!(lines.iter().all(|line| line.chars().count() <= LINE));
    assert_eq!(lines.concat(), cleaned(&memo));
    assert_eq!(xml.matches("</Document>").count(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever a person, or an attacker, writes as name or memo: the document is well-formed and says the same.
    #[test]
    fn any_text_gives_a_well_formed_document(name in any::<String>(), memo in proptest::collection::vec(any::<char>(), 0..400)) {
        let memo: String = memo.into_iter().collect();
        let mut remittances = samples::remittances(&memo).unwrap();
        remittances.transfers.iter_mut().for_each(|transfer| transfer.payer.name.clone_from(&name));
        verify_lengths(&remittances.to_xml().unwrap());

        let mut entry = samples::entry(1, EntryKind::Cheque, Side::Debit, Currency::CNY).unwrap();
        entry.details.memo.clone_from(&memo);
        entry.details.returned = Some(ReturnReason::new("NARR", &name, &memo).unwrap());
        let mut statement = samples::statement(Currency::CNY, vec![entry]).unwrap();
        statement.holder.name = name;
        verify_lengths(&statement.to_xml().unwrap());

        let mut stops = samples::stop_requests().unwrap();
        stops.requests.iter_mut().for_each(|request| request.note.clone_from(&memo));
        verify_lengths(&stops.to_xml().unwrap());
    }

    /// One element: what is written is what a parser reads, but for characters XML cannot hold.
    #[test]
    fn any_text_is_read_back(text in "\\PC{0,20}[\\x00-\\x20<>&'\"]{0,6}\\PC{0,20}x") {
        let xml = Node::new("Text").words("Ustrd", &text, LINE).into_document("test");
        prop_assert_eq!(only(&xml, "Ustrd"), cleaned(&text));
    }

    /// Every amount a message takes is read back as itself.
    #[test]
    fn amounts_are_exact(minor in 0u64..1_000_000_000_000_000_000, currency in proptest::sample::select(Currency::all().collect::<Vec<_>>())) {
        let text = decimal(u128::from(minor), currency).unwrap();
        prop_assert_eq!(Amount::parse(&text, currency).unwrap().minor.value(), minor);
    }
}
