//! The log of pinned offline keysets: append-only, one keyset a bank, epoch and currency, apart from the online log.

use feiqian_ledger::store::{Row, StoreExt, Tx, Value};
use feiqian_offline_cash::messages::{
    MAX_OFFLINE_PINS, OfflinePinEntry, OfflinePinRequest, OfflinePinsRequest, OfflinePinsResponse,
};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, Limit, codec};

use crate::failure::Failure;
use crate::membership::not_admitted;
use crate::service::Center;
use crate::tables::OFFLINE_PIN;

pub(crate) fn entry_of(row: &Row) -> Result<OfflinePinEntry, Failure> {
    Ok(codec::decode(row.blob(5)?, Limit::Large)?)
}

/// The entries of the log from number `from` on.
pub(crate) fn entries_from(tx: &mut dyn Tx, from: usize) -> Result<Vec<OfflinePinEntry>, Failure> {
    let (columns, name) = (OFFLINE_PIN.column_list(), OFFLINE_PIN.name);
    let sql = format!("SELECT {columns} FROM {name} WHERE number >= ?1 ORDER BY number");
    let from = Value::unsigned(u64::try_from(from).unwrap_or(u64::MAX))?;
    tx.select(&sql, &[from])?.iter().map(entry_of).collect()
}

/// Pins an offline keyset. The same keyset again gets the same entry; another one of its epoch and currency is a
/// conflict.
pub(crate) async fn pin(
    center: &Center,
    caller: &str,
    request: OfflinePinRequest,
) -> Result<OfflinePinEntry, Fault> {
    let keyset = &request.keyset;
    if keyset.bank.as_str() != caller {
        return Err(Fault::new(Code::Forbidden, format!("bank {caller} pins its own keysets only")));
    }
    if i64::try_from(keyset.epoch.0).is_err() {
        return Err(Fault::new(Code::KeysetInvalid, "the epoch is out of range"));
    }
    let changing = center.changing.lock().await;
    center.reload(&changing).await?;
    let view = center.members.snapshot();
    let member = view.members().get(caller).ok_or_else(|| not_admitted(caller))?;
    if member.entry.currency != keyset.currency {
        let kept = format!("bank {caller} keeps {}", member.entry.currency);
        return Err(Fault::new(Code::WrongCurrency, kept));
    }
    if let Some(known) = pinned(view.offline_entries(), &request) {
        return if known.keyset.digest() == keyset.digest() {
            Ok(known.clone())
        } else {
            Err(Fault::new(Code::Conflict, "another offline keyset of this epoch and currency is pinned"))
        };
    }
    let pinned_at = center.seams.clock.now();
    let entry = OfflinePinEntry { pinned_at, keyset: request.keyset, signer: request.signer };
    // Checked as everybody else will check it.
    view.with_offline(vec![entry.clone()])?;
    let (stored, expected) = (entry.clone(), view.offline_entries().len());
    let work = move |tx: &mut dyn Tx| append(tx, &stored, expected);
    center.seams.store.commit("center.offline.pin", work).await?;
    center.reload(&changing).await?;
    Ok(entry)
}

fn pinned<'a>(entries: &'a [OfflinePinEntry], request: &OfflinePinRequest) -> Option<&'a OfflinePinEntry> {
    let wanted = &request.keyset;
    entries.iter().find(|entry| {
        let keyset = &entry.keyset;
        keyset.bank == wanted.bank && keyset.epoch == wanted.epoch && keyset.currency == wanted.currency
    })
}

fn append(tx: &mut dyn Tx, entry: &OfflinePinEntry, expected: usize) -> Result<(), Failure> {
    let expected = u64::try_from(expected).unwrap_or(u64::MAX);
    let rows = tx.select(&format!("SELECT count(*) FROM {}", OFFLINE_PIN.name), &[])?;
    if rows.first().map_or(Ok(0), |row| row.unsigned(0))? != expected {
        let changed = Fault::new(Code::Unavailable, "the log has just changed");
        return Err(changed.hint("repeat the request").into());
    }
    let keyset = &entry.keyset;
    let values = [
        Value::unsigned(expected)?,
        keyset.bank.as_str().into(),
        Value::unsigned(keyset.epoch.0)?,
        keyset.currency.code().into(),
        keyset.digest().into(),
        codec::encode(entry)?.into(),
    ];
    Ok(tx.insert(&OFFLINE_PIN, &values)?)
}

/// A part of the log.
pub(crate) fn list(center: &Center, request: OfflinePinsRequest) -> Result<OfflinePinsResponse, Fault> {
    let view = center.members.snapshot();
    let from = usize::try_from(request.from.0).unwrap_or(usize::MAX);
    let entries = view.offline_entries().iter().skip(from).take(MAX_OFFLINE_PINS).cloned();
    Ok(OfflinePinsResponse { entries: Bounded::collect(entries)? })
}
