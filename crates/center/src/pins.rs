//! The log of pinned keysets: append-only, one keyset a bank, epoch and currency.

use feiqian_crypto::Digest;
use feiqian_ledger::store::{Row, StoreExt, Tx, Value};
use feiqian_online_cash::keyset::{MAX_PIN_ENTRIES, PinEntry, PinRequest, PinsRequest, PinsResponse};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, Limit, codec};

use crate::failure::Failure;
use crate::membership::{count_pins, not_admitted};
use crate::service::Center;
use crate::tables::PIN;

pub(crate) fn entry_of(row: &Row) -> Result<PinEntry, Failure> {
    Ok(codec::decode(row.blob(6)?, Limit::Large)?)
}

/// The entries of the log from number `from` on.
pub(crate) fn entries_from(tx: &mut dyn Tx, from: usize) -> Result<Vec<PinEntry>, Failure> {
    let sql = format!("SELECT {} FROM {} WHERE number >= ?1 ORDER BY number", PIN.column_list(), PIN.name);
    let from = Value::unsigned(u64::try_from(from).unwrap_or(u64::MAX))?;
    tx.select(&sql, &[from])?.iter().map(entry_of).collect()
}

/// Pins a keyset. The same keyset again gets the same entry; another one of its epoch and currency is a conflict.
pub(crate) async fn pin(center: &Center, caller: &str, request: PinRequest) -> Result<PinEntry, Fault> {
    let keyset = &request.keyset;
    if keyset.bank.as_str() != caller {
        return Err(Fault::new(Code::Forbidden, format!("bank {caller} pins its own keysets only")));
    }
    if i64::try_from(keyset.epoch.0).is_err() {
        return Err(Fault::new(Code::KeysetInvalid, "the epoch is out of range"));
    }
    let digest = keyset.digest();
    let changing = center.changing.lock().await;
    center.reload(&changing).await?;
    let view = center.members.snapshot();
    let member = view.members().get(caller).ok_or_else(|| not_admitted(caller))?;
    if member.entry.currency != keyset.currency {
        return Err(Fault::new(
            Code::WrongCurrency,
            format!("bank {caller} keeps {}", member.entry.currency),
        ));
    }
    if let Some(known) = pinned(view.entries(), &request) {
        return if known.keyset.digest() == digest {
            Ok(known.clone())
        } else {
            Err(Fault::new(Code::Conflict, "another keyset of this epoch and currency is pinned"))
        };
    }
    let entry =
        PinEntry { pinned_at: center.seams.clock.now(), keyset: request.keyset, signer: request.signer };
    let mut log = (*view.pins).clone();
    log.append(entry.clone(), &center.keys.root)?;
    let (stored, seen, expected) = (entry.clone(), log.view(), view.entries().len() as u64);
    let work = move |tx: &mut dyn Tx| append(tx, &stored, digest, seen, expected);
    center.seams.store.commit("center.pin", work).await?;
    center.reload(&changing).await?;
    Ok(entry)
}

fn pinned<'a>(entries: &'a [PinEntry], request: &PinRequest) -> Option<&'a PinEntry> {
    let wanted = &request.keyset;
    entries.iter().find(|entry| {
        let keyset = &entry.keyset;
        keyset.bank == wanted.bank && keyset.epoch == wanted.epoch && keyset.currency == wanted.currency
    })
}

fn append(
    tx: &mut dyn Tx,
    entry: &PinEntry,
    digest: Digest,
    seen: Digest,
    expected: u64,
) -> Result<(), Failure> {
    if count_pins(tx)? != expected {
        return Err(Fault::new(Code::Unavailable, "the log has just changed")
            .hint("repeat the request")
            .into());
    }
    let keyset = &entry.keyset;
    let values = [
        Value::unsigned(expected)?,
        keyset.bank.as_str().into(),
        Value::unsigned(keyset.epoch.0)?,
        keyset.currency.code().into(),
        digest.into(),
        seen.into(),
        codec::encode(entry)?.into(),
    ];
    Ok(tx.insert(&PIN, &values)?)
}

/// A part of the log.
pub(crate) fn list(center: &Center, request: PinsRequest) -> Result<PinsResponse, Fault> {
    let view = center.members.snapshot();
    let from = usize::try_from(request.from.0).unwrap_or(usize::MAX);
    let entries = view.entries().iter().skip(from).take(MAX_PIN_ENTRIES).cloned();
    Ok(PinsResponse { entries: Bounded::collect(entries)? })
}
