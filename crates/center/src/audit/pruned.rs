//! What remains of deleted presentments, against their transfers, which stay.

use feiqian_crypto::Id16;
use feiqian_ledger::store::{Row, StoreError, Tx};
use feiqian_money::Currency;

use super::{Audit, move_by};
use crate::housekeeping::{self, PRUNED};
use crate::settlement::{self, settlement_account};

/// Kinds of transfers that move money at once: posted, and the posting of a pending one.
const MOVES: [i64; 2] = [0, 2];
/// Codes of the transfers of items that are ever deleted.
const CODES: [u16; 3] = [settlement::PAYMENT, settlement::REFUND, settlement::TRANSFER];

impl Audit {
    /// Begins the sums with what deleted obligations had moved.
    pub(super) fn pruned(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        (self.gone, self.pruned_until) = housekeeping::mark(tx)?;
        let sql = format!("SELECT {} FROM {} ORDER BY bank, currency", PRUNED.column_list(), PRUNED.name);
        for row in &tx.select(&sql, &[])? {
            let (bank, currency): (&str, Currency) = (row.text(0)?, row.parse(1)?);
            let (credited, debited) = (row.minor(2)?.value(), row.minor(3)?.value());
            let moved = i128::from(credited).saturating_sub(i128::from(debited));
            let account = settlement_account(bank, currency);
            move_by(&mut self.expected, account, moved);
            move_by(&mut self.forgotten, account, moved.saturating_neg());
            move_by(&mut self.nets, (currency, bank.to_owned()), moved);
        }
        Ok(())
    }

    /// A transfer that no row calls for: of a deleted item, or a finding. `row`: id, debit, credit, amount, kind, code, time.
    pub(super) fn unexplained(&mut self, id: Id16, row: &Row) -> Result<(), StoreError> {
        let (debit, credit, amount) = (row.id(2)?, row.id(3)?, i128::from(row.minor(4)?.value()));
        let (kind, code, at) = (row.integer(5)?, row.integer(6)?, row.unsigned(7)?);
        if at > self.pruned_until || !CODES.iter().any(|known| i64::from(*known) == code) {
            self.add(6, format!("ledger_transfer {id}"), "no funding or presentment calls for it");
        } else if MOVES.contains(&kind) {
            move_by(&mut self.forgotten, credit, amount);
            move_by(&mut self.forgotten, debit, amount.saturating_neg());
        }
        Ok(())
    }

    /// What transfers of deleted items moved is what their obligations did.
    pub(super) fn compare_forgotten(&mut self) {
        for (account, rest) in std::mem::take(&mut self.forgotten) {
            if rest != 0 {
                let detail = format!("transfers of deleted items moved {rest} more than their obligations");
                self.add(6, format!("ledger_account {account}"), detail);
            }
        }
    }
}
