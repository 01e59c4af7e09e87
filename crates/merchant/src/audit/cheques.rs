//! Deposits of cheques: each row against the files in it.

use feiqian_cheque::Bundle;
use feiqian_cheque::messages::{ChequeItem, ChequeOutcome, Document};
use feiqian_crypto::Digest;
use feiqian_ledger::store::{Row, Tx};
use feiqian_money::Minor;
use feiqian_wire::error::Fault;

use super::Audit;
use crate::cheques::DepositRow;
use crate::failure::Failure;
use crate::tables::CHEQUE;

/// A deposit of a cheque, for comparison with the bank's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deposited {
    /// The presentment, as the bank numbers it.
    pub presentment: Digest,
    /// The cheque.
    pub cheque: Digest,
    /// Over how much.
    pub amount: Minor,
    /// Whether it was paid for good (`true`) or came back; `None` without an answer, or when it was not even judged.
    pub paid: Option<bool>,
}

/// All deposits, in the order of their presentments.
///
/// # Errors
/// When a row cannot be read.
pub fn deposits(tx: &mut dyn Tx) -> Result<Vec<Deposited>, Fault> {
    Ok(collect(tx)?)
}

fn collect(tx: &mut dyn Tx) -> Result<Vec<Deposited>, Failure> {
    let sql = format!("SELECT {} FROM {} ORDER BY presentment", CHEQUE.column_list(), CHEQUE.name);
    let rows = tx.select(&sql, &[])?;
    rows.iter()
        .map(|row| {
            let deposit = DepositRow::of(row)?;
            Ok(Deposited {
                presentment: deposit.presentment,
                cheque: deposit.id,
                amount: deposit.cheque.amount.minor,
                paid: match deposit.outcome {
                    Some(ChequeOutcome::Paid(_)) => Some(true),
                    Some(ChequeOutcome::Returned(..)) => Some(false),
                    _ => None,
                },
            })
        })
        .collect()
}

fn bundle(file: &Document) -> Option<Bundle> {
    Bundle::from_bytes(file).ok()
}

impl Audit {
    pub(super) fn cheque(&mut self, _tx: &mut dyn Tx, place: &str, row: &Row) -> Result<(), Failure> {
        let deposit = DepositRow::of(row)?;
        let same = deposit.values()?.iter().zip(&row.0).all(|(expected, found)| expected == found);
        self.expect(same, place, "the row is not what its outcome says");
        let sent = bundle(&deposit.file);
        let own = sent.as_ref().is_some_and(|sent| sent.id() == Ok(deposit.id));
        let is_slip = ChequeItem { cheque: deposit.file.clone() }.digest().is_ok();
        self.expect(own && is_slip, place, "the file is another cheque's");
        self.expect(deposit.cheque.check().is_ok(), place, "what the drawer signed does not hold");
        let Some(outcome) = &deposit.outcome else { return Ok(()) };
        if let (ChequeOutcome::Paid(file) | ChequeOutcome::Returned(_, file), Some(sent)) = (outcome, sent) {
            let continues = bundle(file).is_some_and(|it| it.blocks.starts_with(&sent.blocks));
            self.expect(continues, place, "what came back is not what was sent");
        }
        if matches!(outcome, ChequeOutcome::Paid(_)) && !self.paid_cheques.insert(deposit.id) {
            self.add(4, place, "the cheque is paid to another deposit, too");
        }
        Ok(())
    }
}
