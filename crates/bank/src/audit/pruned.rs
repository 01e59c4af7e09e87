//! What remains of deleted rows: sums that take their place.

use std::collections::BTreeMap;

use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreError, Tx};

use super::{Auditor, place};
use crate::housekeeping::Mark;
use crate::housekeeping::tables::{PRUNED_ACCOUNT, PRUNED_TOTAL};

impl Auditor<'_> {
    /// Begins the sums of totals and accounts with what deleted rows had said.
    pub(super) fn pruned(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        self.out.ended = Mark::Epochs.read(tx)?;
        self.walk(tx, &PRUNED_TOTAL, |auditor, _, row| {
            let (epoch, id) = (row.unsigned(0)?, row.digest(1)?);
            let (issued, redeemed) = (row.minor(2)?, row.minor(3)?);
            let known = auditor.keys.get(&id).map(|key| (key.epoch, key.key.value.value()));
            match known {
                Some((of, value)) if of == epoch && epoch < auditor.out.ended => {
                    let sums = auditor.denomination(epoch, id, value);
                    sums.issued = issued.value().into();
                    sums.redeemed = redeemed.value().into();
                }
                _ => {
                    auditor.find(3, place(&PRUNED_TOTAL, row), "rows of an epoch that has not ended are gone")
                }
            }
            Ok(())
        })?;
        let mut accounts = BTreeMap::new();
        self.walk(tx, &PRUNED_ACCOUNT, |_, _, row| {
            let sums = (u128::from(row.minor(1)?.value()), u128::from(row.minor(2)?.value()));
            accounts.insert(row.id(0)?, sums);
            Ok(())
        })?;
        self.accounts = accounts;
        Ok(())
    }

    /// Whether the denomination's epoch has ended.
    pub(super) fn has_ended(&self, denomination: &Digest) -> bool {
        self.keys.get(denomination).is_some_and(|key| key.epoch < self.out.ended)
    }
}
