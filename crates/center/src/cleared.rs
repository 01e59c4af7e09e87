//! What was cleared with a bank that lost its newest records: it asks once after it was restored from a backup.

use feiqian_clearing::cleared::{Cleared, ClearedRequest, ClearedResponse, Cursor, MAX_CLEARED};
use feiqian_clearing::presentment::ItemKind;
use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreExt, Tx, Value};
use feiqian_online_cash::deposit::{CashItem, Outcome};
use feiqian_wire::error::Fault;
use feiqian_wire::{Blob, Bounded, Limit, Name, Timestamp};

use crate::failure::Failure;
use crate::service::Center;
use crate::stored::{Stored, select};

/// What the message around the items may take of its limit.
const WRAPPING: usize = 32 << 10;
/// What the items of one message may take together.
const ROOM: usize = Limit::Large.bytes().saturating_sub(WRAPPING);

const LISTED: &str = "changed >= ?2 AND (collecting = ?1 OR issuing = ?1) \
    AND (changed > ?3 OR (changed = ?3 AND id > ?4)) ORDER BY changed, id LIMIT ?5";

/// What a bank can make use of, so that one item always fits into a message: a paid payment with its receipt, and an offline
/// payment, whose outcome, with accusations as large as itself, is asked for anew. All others are only named.
fn told(stored: &mut Stored) -> Result<(Vec<u8>, Option<Vec<u8>>), Failure> {
    let (body, outcome) = match stored.kind {
        ItemKind::Payment => {
            let is_paid = matches!(stored.outcome::<CashItem>()?, Some(Outcome::Paid(_)));
            (std::mem::take(&mut stored.body), stored.outcome.take().filter(|_| is_paid))
        }
        ItemKind::Holding => (std::mem::take(&mut stored.body), None),
        _ => (Vec::new(), None),
    };
    Ok(if size(&body, outcome.as_ref()) <= ROOM { (body, outcome) } else { (Vec::new(), None) })
}

fn size(body: &[u8], outcome: Option<&Vec<u8>>) -> usize {
    body.len().saturating_add(outcome.map_or(0, Vec::len))
}

fn listed(stored: Stored, body: Vec<u8>, outcome: Option<Vec<u8>>) -> Result<Cleared, Fault> {
    Ok(Cleared {
        cursor: Cursor { changed: Timestamp::new(stored.changed), id: stored.id },
        kind: stored.kind,
        collecting: Name::new(stored.collecting.as_str())?,
        issuing: stored.issuing.as_deref().map(Name::new).transpose()?,
        amount: stored.amount,
        presentment: Blob::new(body)?,
        outcome: outcome.map(Blob::new).transpose()?,
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
        let mut room = ROOM;
        let mut items = Vec::new();
        for mut stored in self.seams.store.read(read).await? {
            let (body, outcome) = told(&mut stored)?;
            let bytes = size(&body, outcome.as_ref());
            if bytes > room {
                break;
            }
            room = room.saturating_sub(bytes);
            items.push(listed(stored, body, outcome)?);
        }
        Ok(ClearedResponse { items: Bounded::new(items)? })
    }
}
