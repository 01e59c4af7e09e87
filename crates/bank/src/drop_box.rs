//! Drop boxes: sealed messages for wallets that are not listening, within bounds.

use std::sync::Arc;

use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreError, StoreExt, Tx, Value};
use feiqian_node::Peer;
use feiqian_online_cash::Rejection;
use feiqian_online_cash::drop_box::{BoxAccess, BoxAction, BoxMessages, MAX_MESSAGES, PutRequest, Sealed};
use feiqian_wire::Bounded;
use feiqian_wire::error::{Code, Fault};

use crate::Bank;
use crate::refusal::{Refusal, from_blob, to_blob};
use crate::tables::{DROP_MESSAGE, DROP_USAGE};

/// How many messages one pruning deletes.
const PRUNE: u32 = 256;

fn usage(tx: &mut dyn Tx) -> Result<u64, StoreError> {
    tx.find(&DROP_USAGE, &[0_i64.into()])?.map_or(Ok(0), |row| row.unsigned(1))
}

fn set_usage(tx: &mut dyn Tx, size: u64) -> Result<(), StoreError> {
    tx.put(&DROP_USAGE, &[Value::Integer(0), Value::unsigned(size)?])
}

fn delete(tx: &mut dyn Tx, payee: Value, digest: Digest) -> Result<(), StoreError> {
    let key = [payee, digest.into()];
    let Some(row) = tx.find(&DROP_MESSAGE, &key)? else { return Ok(()) };
    let size = usage(tx)?;
    set_usage(tx, size.saturating_sub(row.unsigned(4)?))?;
    tx.delete(&DROP_MESSAGE, &key)
}

impl Bank {
    /// `POST /v1/drop/put`.
    pub(crate) async fn drop_put(self: Arc<Self>, _peer: Peer, request: PutRequest) -> Result<(), Fault> {
        let now = self.now();
        request.payee.decode_non_identity().map_err(|_| Rejection::Malformed("payee key"))?;
        let limits = self.config.drop_box.clone();
        if request.message.ciphertext.len() > limits.message_bytes {
            return Err(Fault::new(
                Code::TooLarge,
                format!("a message has at most {} bytes", limits.message_bytes),
            ));
        }
        if request.keep_until <= now {
            return Err(
                Rejection::Expired { expired: request.keep_until.seconds(), now: now.seconds() }.into()
            );
        }
        let keep_until = request.keep_until.min(now.saturating_add(limits.keep_seconds));
        let payee = request.payee.to_bytes();
        let digest = request.message.digest();
        let body = to_blob(&request.message).map_err(Refusal::from)?;
        let size = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let work = move |tx: &mut dyn Tx| {
            if tx.find(&DROP_MESSAGE, &[payee.into(), digest.into()])?.is_some() {
                return Ok(());
            }
            let sql = "SELECT count(*) FROM drop_message WHERE payee = ?1 AND keep_until > ?2";
            let count = tx.select(sql, &[payee.into(), Value::unsigned(now.seconds())?])?;
            let count = count.first().map_or(Ok(0), |row| row.unsigned(0))?;
            if usize::try_from(count).unwrap_or(usize::MAX) >= MAX_MESSAGES {
                return Err(Fault::new(Code::LimitExceeded, "the drop box is full").into());
            }
            let used = usage(tx)?.saturating_add(size);
            if used > limits.total_bytes {
                return Err(Fault::new(Code::Busy, "this bank's drop boxes are full")
                    .hint("try again later")
                    .into());
            }
            set_usage(tx, used)?;
            let times = [Value::unsigned(now.seconds())?, Value::unsigned(keep_until.seconds())?];
            let [received, until] = times;
            let values =
                [payee.into(), digest.into(), received, until, Value::unsigned(size)?, body.clone().into()];
            Ok::<_, Refusal>(tx.insert(&DROP_MESSAGE, &values)?)
        };
        Ok(self.seams.store.commit("bank.drop.put", work).await?)
    }

    /// `POST /v1/drop/access`.
    pub(crate) async fn drop_access(
        self: Arc<Self>,
        _peer: Peer,
        access: BoxAccess,
    ) -> Result<BoxMessages, Fault> {
        access.verify(self.name())?;
        let payee = access.payee.to_bytes();
        let now = self.now();
        if let BoxAction::Delete(message) = access.action {
            self.seams
                .store
                .commit("bank.drop.delete", move |tx: &mut dyn Tx| {
                    Ok::<_, Refusal>(delete(tx, payee.into(), message)?)
                })
                .await?;
            return Ok(BoxMessages { messages: Bounded::default() });
        }
        let messages = self
            .seams
            .store
            .read(move |tx: &mut dyn Tx| {
                let sql = "SELECT body FROM drop_message WHERE payee = ?1 AND keep_until > ?2 ORDER BY received, digest LIMIT ?3";
                let most = u32::try_from(MAX_MESSAGES).unwrap_or(u32::MAX);
                let rows = tx.select(sql, &[payee.into(), Value::unsigned(now.seconds())?, most.into()])?;
                rows.iter().map(|row| Ok(from_blob(row.blob(0)?)?)).collect::<Result<Vec<Sealed>, Refusal>>()
            })
            .await?;
        Ok(BoxMessages { messages: Bounded::new(messages)? })
    }

    /// Deletes messages whose time is over.
    pub(crate) async fn prune_drop_boxes(&self) -> Result<(), Fault> {
        let now = self.now().seconds();
        let over = self
            .seams
            .store
            .read(move |tx: &mut dyn Tx| {
                let sql = "SELECT payee, digest FROM drop_message WHERE keep_until <= ?1 ORDER BY keep_until LIMIT ?2";
                let rows = tx.select(sql, &[Value::unsigned(now)?, PRUNE.into()])?;
                rows.iter().map(|row| Ok((row.array::<32>(0)?, row.digest(1)?))).collect::<Result<Vec<_>, Refusal>>()
            })
            .await?;
        if over.is_empty() {
            return Ok(());
        }
        let work = move |tx: &mut dyn Tx| {
            over.iter().try_for_each(|(payee, digest)| delete(tx, (*payee).into(), *digest))?;
            Ok::<_, Refusal>(())
        };
        Ok(self.seams.store.commit("bank.drop.prune", work).await?)
    }
}
