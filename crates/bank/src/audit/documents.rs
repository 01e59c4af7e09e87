//! Cheque books, orders, boxes, mandates and certificates: what no money hangs on directly.

use std::collections::{BTreeMap, BTreeSet};

use feiqian_cheque::messages::{Action, ChequeItem, Document};
use feiqian_cheque::{Mandate, State};
use feiqian_crypto::Id16;
use feiqian_ledger::store::{StoreError, Tx, Value};
use feiqian_online_cash::signed::WireChain;
use feiqian_pki::{Serial, fingerprint};

use super::{Auditor, place};
use crate::cheques::tables::{CERTIFICATE, CHEQUE, CHEQUE_BOOK, CHEQUE_BOX, CHEQUE_ORDER, MANDATE, REVOKED};
use crate::refusal::from_blob;
use crate::tables::ACCOUNT;

impl Auditor<'_> {
    pub(super) fn documents(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        self.books(tx)?;
        self.orders(tx)?;
        self.walk(tx, &CHEQUE_BOX, |auditor, _, row| {
            let file = Document::new(row.blob(3)?).map(|cheque| ChequeItem { cheque }.file_digest());
            if file.ok() != Some(row.digest(1)?) {
                auditor.find(7, place(&CHEQUE_BOX, row), "the digest is another file's");
            }
            Ok(())
        })?;
        self.certificates(tx)
    }

    /// The numbers of an account's books follow one another, and are those of its register.
    fn books(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let mut books: BTreeMap<(Id16, u64), (u64, String)> = BTreeMap::new();
        self.walk(tx, &CHEQUE_BOOK, |_, _, row| {
            let at = place(&CHEQUE_BOOK, row);
            books.insert((row.id(0)?, row.unsigned(2)?), (row.unsigned(3)?, at));
            Ok(())
        })?;
        let mut ends: BTreeMap<Id16, u64> = BTreeMap::new();
        for ((account, first), (leaves, at)) in books {
            let end = ends.entry(account).or_insert(0);
            if first != end.saturating_add(1) {
                self.find(7, at, format!("begins with number {first}, the last one was {end}"));
            }
            *end = first.saturating_add(leaves).saturating_sub(1);
        }
        let mut numbers: BTreeMap<Id16, u64> = BTreeMap::new();
        self.walk(tx, &CHEQUE, |auditor, _, row| {
            let (account, number) = (row.id(0)?, row.unsigned(1)?);
            let count = numbers.entry(account).or_insert(0);
            *count = count.saturating_add(1);
            if number == 0 || number > ends.get(&account).copied().unwrap_or(0) {
                auditor.find(7, place(&CHEQUE, row), "the number is of no cheque book");
            }
            Ok(())
        })?;
        for (account, end) in ends {
            let count = numbers.get(&account).copied().unwrap_or(0);
            if count != end {
                let detail = format!("{end} leaves were allotted, the register has {count}");
                self.find(8, format!("cheque_book of account {account}"), detail);
            }
        }
        Ok(())
    }

    /// Every order is about a number of the account, what is stopped or voided was ordered so, every mandate holds.
    fn orders(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let mut ordered: BTreeSet<(Id16, u64, bool)> = BTreeSet::new();
        self.walk(tx, &CHEQUE_ORDER, |auditor, tx, row| {
            match from_blob(row.blob(3)?)? {
                Action::Stop(_) => drop(ordered.insert((row.id(0)?, row.unsigned(2)?, true))),
                Action::Void => drop(ordered.insert((row.id(0)?, row.unsigned(2)?, false))),
                Action::Unstop | Action::Certify => {}
            }
            let key = [row.id(0)?.into(), Value::unsigned(row.unsigned(2)?)?];
            if tx.find(&CHEQUE, &key)?.is_none() {
                auditor.find(7, place(&CHEQUE_ORDER, row), "the register does not have the number");
            }
            Ok(())
        })?;
        self.walk(tx, &CHEQUE, |auditor, _, row| {
            let stop = match State::from_number(row.integer(3)?) {
                Some(State::Stopped) => true,
                Some(State::Voided) => false,
                _ => return Ok(()),
            };
            if !ordered.contains(&(row.id(0)?, row.unsigned(1)?, stop)) {
                auditor.find(8, place(&CHEQUE, row), "stopped or voided, and nobody ordered it");
            }
            Ok(())
        })?;
        self.walk(tx, &MANDATE, |auditor, tx, row| {
            let mandate: Mandate = from_blob(row.blob(1)?)?;
            let required = usize::from(mandate.required);
            let known = tx.find(&ACCOUNT, &[row.id(0)?.into()])?.is_some();
            if !known || required == 0 || required > mandate.drawers.len() {
                auditor.find(7, place(&MANDATE, row), "it is of no account, or cannot be met");
            }
            Ok(())
        })
    }

    /// Every certificate is the one in its chain, and of an account.
    fn certificates(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let mut prints = BTreeSet::new();
        self.walk(tx, &CERTIFICATE, |auditor, tx, row| {
            let at = place(&CERTIFICATE, row);
            let (key, stored) = (row.array(3)?, row.digest(4)?);
            let chain: WireChain = from_blob(row.blob(7)?)?;
            let chain = chain.to_chain().ok();
            let print = chain.as_ref().map(|chain| fingerprint(chain.leaf()));
            if print != Some(stored) || !prints.insert(stored) {
                auditor.find(7, at.as_str(), "the fingerprint is not that of its chain, or not its alone");
            }
            if chain.and_then(|chain| chain.leaf_key().ok()) != Some(key) {
                auditor.find(7, at.as_str(), "the key is not the one in its chain");
            }
            if tx.find(&ACCOUNT, &[row.id(1)?.into()])?.is_none() || row.unsigned(5)? >= row.unsigned(6)? {
                auditor.find(7, at, "it is of no account or of no time");
            }
            Ok(())
        })?;
        self.walk(tx, &REVOKED, |auditor, _, row| {
            if Serial::from_slice(row.blob(0)?).is_err() {
                auditor.find(7, place(&REVOKED, row), "it is no serial");
            }
            Ok(())
        })
    }
}
