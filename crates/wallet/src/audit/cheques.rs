//! Leaves, received cheques and acts: each row against the documents in it, and against the others.

use std::collections::{BTreeMap, BTreeSet};

use feiqian_cheque::book::Allotment;
use feiqian_cheque::messages::{ChequeItem, ChequeOutcome, Document};
use feiqian_cheque::{Bundle, Cheque, State};
use feiqian_clearing::presentment::{ItemKind, presentment_id};
use feiqian_clearing::remittance::TransferOutcome;
use feiqian_crypto::Digest;
use feiqian_ledger::audit::Finding;
use feiqian_ledger::store::{Row, Table, Tx};
use feiqian_wire::error::{Code, Fault};

use super::Audit;
use crate::Config;
use crate::cheque::act::{Act, ActRow, Answer};
use crate::cheque::leaf::{LeafRow, LeafState};
use crate::failure::{Failure, Result};
use crate::record::{decode, select};
use crate::tables::{ACT, CHEQUE_RECEIVED, LEAF};

/// How far a leaf of the cheque book has come, as far as the bank's register is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeafStage {
    /// Nothing is with the bank, or that is not known.
    Open,
    /// The bank has countersigned the cheque.
    Issued,
    /// The bank has refused it.
    Refused,
}

/// A leaf of the own cheque book, and what was drawn on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrawnCheque {
    /// Its number.
    pub number: u64,
    /// The cheque drawn on it.
    pub cheque: Option<Digest>,
    /// Over how much, minor units.
    pub amount: Option<u64>,
    /// How far it has come.
    pub stage: LeafStage,
    /// What the register has last shown of this number.
    pub shown: Option<(Digest, State)>,
}

/// A cheque deposited at the own bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deposited {
    /// The presentment, as the bank numbers it.
    pub presentment: Digest,
    /// The cheque.
    pub cheque: Digest,
    /// Over how much, minor units.
    pub amount: Option<u64>,
    /// Whether it was paid for good (`true`) or came back; `None` without an answer.
    pub paid: Option<bool>,
}

/// A transfer ordered at the own bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderedTransfer {
    /// The presentment, as the bank numbers it.
    pub presentment: Digest,
    /// How much, minor units.
    pub amount: u64,
    /// Whether it was booked (`true`) or returned; `None` without an answer.
    pub booked: Option<bool>,
}

/// What the banks' rows are compared with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instruments {
    /// Leaves of the own cheque book.
    pub drawn: Vec<DrawnCheque>,
    /// Deposits, each attempt for itself.
    pub deposits: Vec<Deposited>,
    /// Transfers.
    pub transfers: Vec<OrderedTransfer>,
}

fn all(tx: &mut dyn Tx, table: &Table) -> Result<Vec<Row>> {
    select(tx, table, &format!("ORDER BY {}", table.key_list()), &[])
}

fn id_of(file: &[u8]) -> Option<Digest> {
    Bundle::from_bytes(file).ok()?.id().ok()
}

/// What this wallet was told about its cheques and transfers, for comparison with its bank's rows.
///
/// # Errors
/// When a row cannot be read.
pub fn instruments(tx: &mut dyn Tx, config: &Config) -> std::result::Result<Instruments, Fault> {
    Ok(collect(tx, config)?)
}

fn collect(tx: &mut dyn Tx, config: &Config) -> Result<Instruments> {
    let mut found = Instruments::default();
    for row in all(tx, &LEAF)? {
        let leaf = LeafRow::of(&row)?;
        found.drawn.push(DrawnCheque {
            number: leaf.number,
            cheque: leaf.cheque,
            amount: leaf.terms.as_ref().map(|terms| terms.amount.minor.value()),
            stage: match leaf.state {
                LeafState::Issued => LeafStage::Issued,
                LeafState::Refused => LeafStage::Refused,
                _ => LeafStage::Open,
            },
            shown: leaf.line.as_ref().map(|line| (line.id, line.state)),
        });
    }
    let mut amounts: BTreeMap<Digest, u64> = BTreeMap::new();
    for row in all(tx, &CHEQUE_RECEIVED)? {
        let cheque: Cheque = decode(row.blob(1)?, &CHEQUE_RECEIVED)?;
        amounts.insert(row.digest(0)?, cheque.amount.minor.value());
    }
    let (bank, account) = (config.bank.as_str(), config.account.as_str());
    for row in all(tx, &ACT)? {
        let row = ActRow::of(&row)?;
        match &row.act {
            Act::Deposit { cheque, request } => {
                let item = ChequeItem { cheque: request.cheque.clone() }.digest().map_err(Fault::from)?;
                found.deposits.push(Deposited {
                    presentment: presentment_id(bank, account, ItemKind::Cheque, &item),
                    cheque: *cheque,
                    amount: amounts.get(cheque).copied(),
                    paid: match &row.answer {
                        Some(Answer::Deposit(ChequeOutcome::Paid(_))) => Some(true),
                        Some(Answer::Deposit(ChequeOutcome::Returned(..))) => Some(false),
                        _ => None,
                    },
                });
            }
            Act::Transfer(order) => found.transfers.push(OrderedTransfer {
                presentment: presentment_id(bank, account, ItemKind::Transfer, &order.terms.digest()),
                amount: order.terms.amount.minor.value(),
                booked: match &row.answer {
                    Some(Answer::Transfer(outcome)) => Some(*outcome == TransferOutcome::Booked),
                    _ => None,
                },
            }),
            _ => {}
        }
    }
    Ok(found)
}

/// The three tables, row by row.
pub(super) fn check(tx: &mut dyn Tx, audit: &mut Audit) -> Result<()> {
    let mut acts = Vec::new();
    for row in all(tx, &ACT)? {
        let place = format!("{} {}", ACT.name, row.digest(0)?);
        match ActRow::of(&row) {
            Ok(act) => {
                if let Some(broken) = act_breaks(&act, &row)? {
                    audit.findings.push(Finding::new(8, place, broken));
                }
                acts.push(act);
            }
            Err(failure) => unreadable(audit, place, failure),
        }
    }
    let mut numbers = BTreeSet::new();
    for row in all(tx, &LEAF)? {
        let place = format!("{} {}", LEAF.name, row.unsigned(0)?);
        numbers.insert(row.unsigned(0)?);
        match LeafRow::of(&row) {
            Ok(leaf) => {
                let broken = if allotted(&acts).any(|book| *book == leaf.book) {
                    leaf_breaks(&leaf)
                } else {
                    Some("the bank has allotted no such book")
                };
                if let Some(broken) = broken {
                    audit.findings.push(Finding::new(8, place, broken));
                }
            }
            Err(failure) => unreadable(audit, place, failure),
        }
    }
    for number in allotted(&acts).flat_map(Allotment::numbers).filter(|number| !numbers.contains(&number.0)) {
        audit.findings.push(Finding::new(8, format!("{} {}", LEAF.name, number.0), "the leaf is missing"));
    }
    for row in all(tx, &CHEQUE_RECEIVED)? {
        let place = format!("{} {}", CHEQUE_RECEIVED.name, row.digest(0)?);
        match received_breaks(&row, &acts) {
            Ok(None) => {}
            Ok(Some(broken)) => audit.findings.push(Finding::new(8, place, broken)),
            Err(failure) => unreadable(audit, place, failure),
        }
    }
    Ok(())
}

/// The cheque books that the bank has given.
fn allotted(acts: &[ActRow]) -> impl Iterator<Item = &Allotment> {
    acts.iter().filter_map(|act| match &act.answer {
        Some(Answer::Book(book)) => Some(book),
        _ => None,
    })
}

fn unreadable(audit: &mut Audit, place: String, failure: Failure) {
    audit.findings.push(Finding::new(7, place, Fault::from(failure).message.as_str()));
}

/// The answer is one to this act, and the columns say what the bodies do.
fn act_breaks(act: &ActRow, row: &Row) -> Result<Option<&'static str>> {
    let fits = matches!(
        (&act.act, &act.answer),
        (_, None | Some(Answer::Refused(_)))
            | (Act::Book(_), Some(Answer::Book(_)))
            | (Act::Order(_), Some(Answer::Line(_) | Answer::Cheque(_)))
            | (Act::Endorse { .. }, Some(Answer::Line(_)))
            | (Act::Deposit { .. }, Some(Answer::Deposit(_)))
            | (Act::Send { .. }, Some(Answer::Sent))
            | (Act::Transfer(_), Some(Answer::Transfer(_)))
    );
    if !fits {
        return Ok(Some("the answer is to another call"));
    }
    let values = act.values()?;
    if values.iter().zip(&row.0).any(|(expected, found)| expected != found) {
        return Ok(Some("the row is not what its bodies say"));
    }
    let same = |cheque: &Digest, file: &Document| id_of(file) == Some(*cheque);
    let holds = match (&act.act, &act.answer) {
        (Act::Deposit { cheque, request }, answer) => {
            same(cheque, &request.cheque)
                && match answer {
                    Some(Answer::Deposit(ChequeOutcome::Paid(file) | ChequeOutcome::Returned(_, file))) => {
                        same(cheque, file)
                    }
                    _ => true,
                }
        }
        (Act::Endorse { cheque, request, .. }, answer) => {
            same(cheque, &request.cheque) && !matches!(answer, Some(Answer::Line(line)) if line.id != *cheque)
        }
        (Act::Order(request), Some(Answer::Line(line))) => line.number == request.number,
        (Act::Book(request), Some(Answer::Book(book))) => book.leaves == u32::from(request.leaves),
        _ => true,
    };
    Ok((!holds).then_some("its files are another cheque's"))
}

/// The file, the notice and the register's line are those of the cheque that the terms describe.
fn leaf_breaks(leaf: &LeafRow) -> Option<&'static str> {
    if !leaf.book.contains(feiqian_wire::U64(leaf.number)) {
        return Some("the number is not of its book");
    }
    let terms = leaf.terms.as_ref()?;
    if let Some(file) = &leaf.file
        && (leaf.cheque.is_none() || id_of(file) != leaf.cheque)
    {
        return Some("the file is another cheque's");
    }
    if let Some(notice) = &leaf.notice {
        let says = (Some(notice.id), notice.number.0, notice.amount, notice.date, &notice.payee);
        if says != (leaf.cheque, leaf.number, terms.amount, terms.date, &terms.payee) {
            return Some("the payment notice is not what the terms say");
        }
    }
    let line = leaf.line.as_ref().filter(|line| line.state != State::Allotted)?;
    let own = line.number.0 == leaf.number && Some(line.id) == leaf.cheque;
    let same = line.amount == Some(terms.amount) && line.date == Some(terms.date);
    // A number that a copy of this wallet has used shows that copy's cheque.
    (leaf.state == LeafState::Issued && !(own && same)).then_some("the register's line is another cheque's")
}

/// A received cheque's file is its own, and its state came of a call.
fn received_breaks(row: &Row, acts: &[ActRow]) -> Result<Option<&'static str>> {
    let (id, file) = (row.digest(0)?, row.blob(2)?);
    let cheque: Cheque = decode(row.blob(1)?, &CHEQUE_RECEIVED)?;
    if id_of(file) != Some(id) {
        return Ok(Some("the file is another cheque's"));
    }
    if cheque.check().is_err() {
        return Ok(Some("what the drawer signed does not hold"));
    }
    let about = |act: &&ActRow| matches!(&act.act, Act::Deposit { cheque, .. } | Act::Endorse { cheque, .. } if *cheque == id);
    let any = |wanted: &dyn Fn(&ActRow) -> bool| acts.iter().filter(about).any(wanted);
    let paid = any(
        &|act| matches!(&act.answer, Some(Answer::Deposit(ChequeOutcome::Paid(last))) if **last == *file),
    );
    let (state, code) = (row.text(3)?, row.optional_text(4)?);
    let explained = match state {
        "held" => true,
        "endorsed" => {
            any(&|act| matches!((&act.act, &act.answer), (Act::Endorse { .. }, Some(Answer::Line(_)))))
        }
        "deposited" => any(&|act| matches!(act.act, Act::Deposit { .. }) && act.answer.is_none()),
        "paid" => paid,
        "returned" => any(&|act| {
            matches!(&act.answer, Some(Answer::Deposit(ChequeOutcome::Returned(why, last)))
                if Some(why.as_str()) == code && **last == *file)
        }),
        _ => return Err(Failure::new(Code::Internal, format!("a cheque received is {state}"))),
    };
    if !explained {
        return Ok(Some("no call to the bank came to this state"));
    }
    let was_paid = any(&|act| matches!(&act.answer, Some(Answer::Deposit(ChequeOutcome::Paid(_)))));
    Ok((was_paid && !paid).then_some("it was paid, and the row says otherwise"))
}
