//! What the center says about offline cash, kept so that a till needs no network.

use feiqian_ledger::store::{Tx, Value};
use feiqian_node::MemberView;
use feiqian_offline_cash::messages::{OfflinePinEntry, SignedExposed};
use feiqian_wire::error::Fault;
use feiqian_wire::{Limit, Timestamp, codec};
use serde::{Deserialize, Serialize};

use super::tables::{OFFLINE_EXPOSED, OFFLINE_PIN, OFFLINE_SEEN};
use crate::failure::Failure;

/// The offline part of a members' view as received.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct View {
    entries: Vec<OfflinePinEntry>,
    exposed: Vec<SignedExposed>,
    seen: Timestamp,
}

impl View {
    /// Of what is known.
    pub(crate) fn of(view: &MemberView) -> Self {
        Self {
            entries: view.offline_entries().to_vec(),
            exposed: view.exposed_lists().values().cloned().collect(),
            seen: view.exposed().as_of,
        }
    }

    /// Adds it to a view of the members, checked anew.
    pub(crate) fn add_to(self, view: &MemberView, now: Timestamp) -> Result<MemberView, Fault> {
        Ok(view.with_offline(self.entries)?.with_exposed(self.exposed, self.seen, now))
    }
}

/// What [`keep_view`] stored.
pub(crate) fn read_view(tx: &mut dyn Tx) -> Result<View, Failure> {
    let sql = format!("SELECT entry FROM {} ORDER BY number", OFFLINE_PIN.name);
    let rows = tx.select(&sql, &[])?;
    let entries = rows.iter().map(|row| Ok(codec::decode(row.blob(0)?, Limit::Large)?));
    let entries = entries.collect::<Result<_, Failure>>()?;
    let sql = format!("SELECT list FROM {} ORDER BY bank", OFFLINE_EXPOSED.name);
    let rows = tx.select(&sql, &[])?;
    let exposed = rows.iter().map(|row| Ok(codec::decode(row.blob(0)?, Limit::Large)?));
    let exposed = exposed.collect::<Result<_, Failure>>()?;
    let seen = tx.find(&OFFLINE_SEEN, &[0_i64.into()])?.map(|row| row.unsigned(1)).transpose()?;
    Ok(View { entries, exposed, seen: Timestamp::new(seen.unwrap_or(0)) })
}

/// Stores what is new.
pub(crate) fn keep_view(tx: &mut dyn Tx, view: &View) -> Result<(), Failure> {
    let known = tx.select(&format!("SELECT count(*) FROM {}", OFFLINE_PIN.name), &[])?;
    let known: usize = known.first().map_or(Ok(0), |row| row.small(0))?;
    for (number, entry) in (0_u64..).zip(&view.entries).skip(known) {
        tx.insert(&OFFLINE_PIN, &[Value::unsigned(number)?, codec::encode(entry)?.into()])?;
    }
    for list in &view.exposed {
        let bank = list.list.bank.as_str();
        let encoded = codec::encode(list)?;
        match tx.find(&OFFLINE_EXPOSED, &[bank.into()])? {
            Some(row) if row.blob(1)? == encoded.as_slice() => {}
            _ => tx.put(&OFFLINE_EXPOSED, &[bank.into(), encoded.into()])?,
        }
    }
    Ok(tx.put(&OFFLINE_SEEN, &[0_i64.into(), Value::unsigned(view.seen.seconds())?])?)
}
