//! Word to the banks of what was settled or unwound, and of claims that they did not answer in time: written with the
//! settlement, sent until it is answered.

use std::sync::Arc;

use feiqian_clearing::finality::{Finality, MAX_ITEMS, SettledRequest};
use feiqian_crypto::Digest;
use feiqian_ledger::store::{Row, StoreError, StoreExt, Tx, Value};
use feiqian_node::{Caller, call};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, U64};
use tokio::task::JoinSet;

use crate::failure::Failure;
use crate::offline::claims::overdue_of;
use crate::service::Center;
use crate::stored::{corrupt, find};
use crate::tables::{NOTICE, OBLIGATION};

const PATH: &str = "/v1/settled";
const CLAIM_PATH: &str = "/v1/pay/claim/overdue";
/// The most claims that a bank is told of in one round.
const CLAIMS: u32 = 64;

/// Whether a word is about a claim that was not answered: a message of its own tells it.
const IS_CLAIM: &str =
    "SELECT 1 FROM center_presentment AS item WHERE item.id = center_notice.presentment AND item.kind = 5";

/// Whether there is a word that its bank has not taken.
pub(crate) fn is_anything_untold(tx: &mut dyn Tx) -> Result<bool, Failure> {
    Ok(!tx.select("SELECT 1 FROM center_notice WHERE told = 0 LIMIT 1", &[])?.is_empty())
}

struct Notice {
    bank: String,
    presentment: Digest,
    cycle: u64,
    settled: bool,
}

impl Notice {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            bank: row.text(0)?.to_owned(),
            presentment: row.digest(1)?,
            cycle: row.unsigned(2)?,
            settled: row.boolean(3)?,
        })
    }

    fn told(&self) -> Result<[Value; 5], StoreError> {
        Ok([
            self.bank.as_str().into(),
            self.presentment.into(),
            Value::unsigned(self.cycle)?,
            self.settled.into(),
            true.into(),
        ])
    }
}

impl Center {
    /// Tells every bank what it has not been told yet. Answers whether nothing is left to tell.
    ///
    /// # Errors
    /// `UNAVAILABLE` or `INTERNAL` when the store fails; a bank that does not answer is only logged.
    pub async fn tell_banks(self: &Arc<Self>) -> Result<bool, Fault> {
        let sql = format!("SELECT DISTINCT bank FROM {} WHERE told = 0 ORDER BY bank", NOTICE.name);
        let read = move |tx: &mut dyn Tx| -> Result<Vec<String>, Failure> {
            tx.select(&sql, &[])?.iter().map(|row| Ok(row.text(0)?.to_owned())).collect()
        };
        let mut telling = JoinSet::new();
        for bank in self.seams.store.read(read).await? {
            let center = Arc::clone(self);
            telling.spawn(async move { center.tell_all(&bank).await });
        }
        let mut all = true;
        while let Some(told) = telling.join_next().await {
            all &= told.map_err(|error| Fault::new(Code::Internal, error.to_string()))??;
        }
        Ok(all && self.is_all_told().await?)
    }

    /// Tells one bank, until it does not answer.
    async fn tell_all(&self, bank: &str) -> Result<bool, Fault> {
        let claims = self.tell_claims(bank).await?;
        while let Some(told) = self.tell_one(bank).await? {
            if !told {
                return Ok(false);
            }
        }
        Ok(claims)
    }

    /// Tells one bank of every claim that it did not answer in time. One that it cannot book now holds up no other.
    async fn tell_claims(&self, bank: &str) -> Result<bool, Fault> {
        let notices = self.unanswered(bank).await?;
        let mut all = true;
        for notice in notices {
            let id = notice.presentment;
            let read = move |tx: &mut dyn Tx| -> Result<_, Failure> {
                overdue_of(&find(tx, &id)?.ok_or_else(|| corrupt("it is gone"))?)
            };
            let overdue = self.seams.store.read(read).await?;
            let told = self.send(bank, CLAIM_PATH, &overdue).await;
            if told {
                self.note_told(vec![notice]).await?;
            }
            all &= told;
        }
        Ok(all)
    }

    /// Sends a word; answers whether it was heard.
    async fn send<M: serde::Serialize + Sync + 'static>(&self, bank: &str, path: &str, message: &M) -> bool {
        let sent = match self.members.snapshot().target(bank) {
            Ok(target) => {
                let network = &*self.seams.network;
                call::<_, ()>(network, &target, Caller::Certified, path, message).await.map_err(Fault::from)
            }
            Err(fault) => Err(fault),
        };
        let Err(fault) = sent else { return true };
        // Only its answer counts; what it is told is final, whatever it thinks of it.
        if fault.code.is_definitive() && fault.code != Code::NotFound {
            tracing::error!(%bank, %fault, "a bank refuses to hear what is final");
        } else {
            tracing::debug!(%bank, %fault, "a bank is not told yet");
        }
        false
    }

    async fn note_told(&self, notices: Vec<Notice>) -> Result<(), Fault> {
        let work = move |tx: &mut dyn Tx| -> Result<(), Failure> {
            Ok(notices.iter().try_for_each(|notice| tx.update(&NOTICE, &notice.told()?))?)
        };
        Ok(self.seams.store.commit("center.notice.told", work).await?)
    }

    /// Has the background tell the banks now, after a commit that may have settled something.
    pub(crate) async fn wake_if_untold(&self) {
        if !self.is_all_told().await.unwrap_or(false) {
            self.untold.notify_one();
        }
    }

    /// Some words wait for others: who gets the money back hears of it only after the drawee.
    async fn is_all_told(&self) -> Result<bool, Fault> {
        Ok(self.seams.store.read(|tx: &mut dyn Tx| Ok::<_, Failure>(!is_anything_untold(tx)?)).await?)
    }

    /// One message to one bank; `None` when there is none to send, otherwise whether it answered.
    async fn tell_one(&self, bank: &str) -> Result<Option<bool>, Fault> {
        let notices = self.untold(bank).await?;
        let Some(first) = notices.first() else { return Ok(None) };
        let items = notices.iter().map(|it| Finality { presentment: it.presentment, settled: it.settled });
        let request = SettledRequest { cycle: U64(first.cycle), items: Bounded::collect(items)? };
        let heard = self.send(bank, PATH, &request).await;
        if heard {
            self.note_told(notices).await?;
        }
        Ok(Some(heard))
    }

    /// The claims that a bank did not answer and is not told of yet.
    async fn unanswered(&self, bank: &str) -> Result<Vec<Notice>, Fault> {
        let sql = format!(
            "SELECT {columns} FROM {notice} WHERE told = 0 AND bank = ?1 AND EXISTS ({IS_CLAIM}) \
             ORDER BY presentment LIMIT ?2",
            columns = NOTICE.column_list(),
            notice = NOTICE.name,
        );
        let bank = bank.to_owned();
        let read = move |tx: &mut dyn Tx| -> Result<Vec<Notice>, Failure> {
            let rows = tx.select(&sql, &[bank.as_str().into(), CLAIMS.into()])?;
            Ok(rows.iter().map(Notice::from_row).collect::<Result<_, StoreError>>()?)
        };
        Ok(self.seams.store.read(read).await?)
    }

    /// The oldest cycle's notices to a bank, as many as one message holds: what it gets before what it owes, since the
    /// one may pay for the other. The collecting bank hears of an unwound cheque only when the drawee has: until then
    /// the drawee would call the next presentment a duplicate.
    async fn untold(&self, bank: &str) -> Result<Vec<Notice>, Fault> {
        let sql = format!(
            "SELECT {columns} FROM {notice} WHERE told = 0 AND bank = ?1 AND NOT EXISTS ({IS_CLAIM}) \
             AND (settled = 1 OR NOT EXISTS ( \
             SELECT 1 FROM {notice} AS other JOIN {owed} AS owed ON owed.presentment = other.presentment \
             WHERE other.presentment = {notice}.presentment AND other.told = 0 AND other.bank = owed.debtor \
             AND owed.debtor <> ?1)) ORDER BY cycle, \
             (SELECT debtor = ?1 FROM {owed} AS owed WHERE owed.presentment = {notice}.presentment), \
             presentment LIMIT ?2",
            columns = NOTICE.column_list(),
            notice = NOTICE.name,
            owed = OBLIGATION.name,
        );
        let (bank, limit) = (bank.to_owned(), i64::try_from(MAX_ITEMS).unwrap_or(i64::MAX));
        let read = move |tx: &mut dyn Tx| -> Result<Vec<Notice>, Failure> {
            let rows = tx.select(&sql, &[bank.as_str().into(), limit.into()])?;
            let mut notices = Vec::with_capacity(rows.len());
            for row in &rows {
                notices.push(Notice::from_row(row)?);
            }
            // One message is about one cycle.
            let cycle = notices.first().map(|first| first.cycle);
            notices.retain(|notice| Some(notice.cycle) == cycle);
            Ok(notices)
        };
        Ok(self.seams.store.read(read).await?)
    }
}
