//! Revocations and revocation lists: each list is its authority's, and the root's own names every revoked authority.

use std::collections::BTreeMap;

use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreError, Tx};
use feiqian_pki::{RevocationList, Serial, TrustedRoot};

use super::{Audit, every_row, place};
use crate::revocation::reason_of;
use crate::tables::{BANK, CRL, REVOKED, ROOT};

impl Audit {
    pub(super) fn lists(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        // Its own check says when it cannot be read.
        let root = match tx.find(&ROOT, &[0_i64.into()])? {
            Some(row) => TrustedRoot::from_der(row.blob(1)?).ok().map(|root| *root.public_key()),
            None => None,
        };
        let members = tx.select(&format!("SELECT authority_key FROM {}", BANK.name), &[])?;
        let mut authorities = Vec::with_capacity(members.len());
        for row in &members {
            authorities.push(row.array::<32>(0)?);
        }
        let mut named: BTreeMap<[u8; 16], u64> = BTreeMap::new();
        every_row(tx, &CRL, |_, row| {
            let authority: [u8; 32] = row.array(0)?;
            let place = place(&CRL, Digest(authority));
            if root != Some(authority) && !authorities.contains(&authority) {
                self.add(7, &place, "the authority is no member's");
            }
            match RevocationList::from_der(row.blob(2)?) {
                Err(error) => self.add(7, &place, error.to_string()),
                Ok(list) => {
                    if let Err(error) = list.verify(&authority, list.this_update()) {
                        self.add(7, &place, error.to_string());
                    }
                    if root == Some(authority) {
                        named.extend(list.entries().map(|entry| (*entry.serial.as_bytes(), entry.at)));
                    }
                }
            }
            Ok(())
        })?;
        every_row(tx, &REVOKED, |_, row| {
            let serial = Serial::from_slice(row.blob(0)?).ok();
            let place = place(&REVOKED, serial.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string));
            let shown = serial.and_then(|serial| named.get(serial.as_bytes()).copied());
            if shown != Some(row.unsigned(2)?) {
                self.add(8, &place, "the root's list does not name it");
            }
            if let Err(fault) = reason_of(row.text(3)?) {
                self.add(7, &place, fault.to_string());
            }
            Ok(())
        })
    }
}
