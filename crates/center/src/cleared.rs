//! What was cleared with a bank that lost its newest records: it asks once after it was restored from a backup.

use feiqian_clearing::cleared::{Cleared, ClearedRequest, ClearedResponse, Cursor, MAX_CLEARED};
use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreExt, Tx, Value};
use feiqian_wire::error::Fault;
use feiqian_wire::{Blob, Bounded, Limit, Name, Timestamp};

use crate::failure::Failure;
use crate::service::Center;
use crate::stored::{Stored, select};

/// What the message around the items may take of its limit.
const WRAPPING: usize = 64 << 10;

const LISTED: &str = "changed >= ?2 AND (collecting = ?1 OR issuing = ?1) \
    AND (changed > ?3 OR (changed = ?3 AND id > ?4)) ORDER BY changed, id LIMIT ?5";

fn listed(stored: Stored) -> Result<Cleared, Fault> {
    Ok(Cleared {
        cursor: Cursor { changed: Timestamp::new(stored.changed), id: stored.id },
        kind: stored.kind,
        collecting: Name::new(stored.collecting.as_str())?,
        issuing: stored.issuing.as_deref().map(Name::new).transpose()?,
        amount: stored.amount,
        presentment: Blob::new(stored.body)?,
        outcome: stored.outcome.map(Blob::new).transpose()?,
    })
}

impl Center {
    /// As many of the bank's items as one message holds, at least one if there is any.
    pub(crate) async fn cleared(
        &self,
        bank: String,
        request: ClearedRequest,
    ) -> Result<ClearedResponse, Fault> {
        let after = request.after.unwrap_or(Cursor { changed: Timestamp::new(0), id: Digest([0; 32]) });
        let read = move |tx: &mut dyn Tx| -> Result<Vec<Stored>, Failure> {
            let parameters = [
                bank.as_str().into(),
                Value::unsigned(request.since.seconds())?,
                Value::unsigned(after.changed.seconds())?,
                after.id.into(),
                u32::try_from(MAX_CLEARED).unwrap_or(u32::MAX).into(),
            ];
            select(tx, LISTED, &parameters)
        };
        let mut room = Limit::Large.bytes().saturating_sub(WRAPPING);
        let mut items = Vec::new();
        for stored in self.seams.store.read(read).await? {
            let bytes = stored.body.len().saturating_add(stored.outcome.as_ref().map_or(0, Vec::len));
            if bytes > room && !items.is_empty() {
                break;
            }
            room = room.saturating_sub(bytes);
            items.push(listed(stored)?);
        }
        Ok(ClearedResponse { items: Bounded::new(items)? })
    }
}
