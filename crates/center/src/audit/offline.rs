//! The log of offline keysets, the identities and the exposed lists, each against its own bytes and signatures.

use feiqian_ledger::store::{StoreError, Tx};
use feiqian_node::MemberView;
use feiqian_pki::TrustedRoot;
use feiqian_wire::error::{Code, Fault};

use super::{Audit, every_row, place};
use crate::failure::Failure;
use crate::offline::{exposed, identities, pins};
use crate::tables::{EXPOSED, IDENTITY, OFFLINE_PIN};

fn not_its_own() -> Failure {
    Fault::new(Code::Internal, "the row is not about its content").into()
}

impl Audit {
    pub(super) fn offline(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let Some(root) = self.root(tx)? else { return Ok(()) };
        self.offline_pins(tx, &root)?;
        every_row(tx, &IDENTITY, |_, row| {
            if let Err(Failure(fault)) = identities::check_row(row, &root) {
                self.add(7, place(&IDENTITY, row.digest(3)?), fault.to_string());
            }
            Ok(())
        })?;
        every_row(tx, &EXPOSED, |_, row| {
            let checked = exposed::list_of(row).and_then(|list| {
                let said = (list.list.bank.as_str(), list.list.as_of.seconds());
                if said == (row.text(0)?, row.unsigned(1)?) { Ok(()) } else { Err(not_its_own()) }
            });
            if let Err(Failure(fault)) = checked {
                self.add(7, place(&EXPOSED, row.text(0)?), fault.to_string());
            }
            Ok(())
        })
    }

    /// Replays the log: numbers without gaps, signatures, one keyset an epoch, no key twice.
    fn offline_pins(&mut self, tx: &mut dyn Tx, root: &TrustedRoot) -> Result<(), StoreError> {
        let mut log = MemberView::empty(root.clone());
        let mut expected = 0_u64;
        every_row(tx, &OFFLINE_PIN, |_, row| {
            let number = row.unsigned(0)?;
            let place = place(&OFFLINE_PIN, number);
            if number != expected {
                self.add(7, &place, format!("number {expected} was expected"));
            }
            expected = number.saturating_add(1);
            let appended = pins::entry_of(row).and_then(|entry| {
                let keyset = &entry.keyset;
                let named = (keyset.bank.as_str(), keyset.epoch.0, keyset.currency.code(), keyset.digest());
                let stated = (row.text(1)?, row.unsigned(2)?, row.text(3)?, row.digest(4)?);
                if named == stated { Ok(log.with_offline(vec![entry])?) } else { Err(not_its_own()) }
            });
            match appended {
                Ok(longer) => log = longer,
                Err(Failure(fault)) => self.add(7, &place, fault.to_string()),
            }
            Ok(())
        })
    }
}
