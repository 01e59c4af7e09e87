//! Boxes for cheques: how a drawer hands a file to a payee who is not there.

use std::sync::Arc;

use feiqian_cheque::PayeeKey;
use feiqian_cheque::messages::{ChequeItem, Document, InboxDelete, InboxResponse, MAX_INBOX, SendRequest};
use feiqian_crypto::Id16;
use feiqian_ledger::store::{StoreExt, Tx, Value};
use feiqian_node::Peer;
use feiqian_wire::Bounded;
use feiqian_wire::error::{Code, Fault};

use super::tables::CHEQUE_BOX;
use crate::Bank;
use crate::accounts::open_account;
use crate::refusal::Refusal;

/// The most bytes of one answer: below the largest message.
const ANSWER: usize = 900 * 1024;
/// How many files one pruning deletes.
const PRUNE: u32 = 64;

impl Bank {
    /// `POST /v1/account/cheque/send`: by the customer of any bank. Only a good cheque for that account is kept.
    pub(crate) async fn cheque_send(self: Arc<Self>, _peer: Peer, request: SendRequest) -> Result<(), Fault> {
        let document = self.verified(&request.cheque).await?;
        let certified = match &document.holder().known_by {
            PayeeKey::Account { bank, account }
                if *bank == self.config.name && *account == request.account =>
            {
                None
            }
            PayeeKey::Certificate(fingerprint) => Some(*fingerprint),
            PayeeKey::Account { .. } => {
                return Err(Fault::new(Code::Forbidden, "the cheque is not for this account"));
            }
        };
        let account: Id16 = request
            .account
            .parse()
            .map_err(|_| Fault::new(Code::AccountUnknown, "no such account at this bank"))?;
        let file = ChequeItem { cheque: request.cheque.clone() }.file_digest();
        let limits = self.config.cheques.clone();
        let now = self.now();
        let work = move |tx: &mut dyn Tx| {
            open_account(tx, account)?;
            if let Some(fingerprint) = certified {
                let sql = "SELECT 1 FROM certificate WHERE account = ?1 AND fingerprint = ?2";
                if tx.select(sql, &[account.into(), fingerprint.into()])?.is_empty() {
                    return Err(Fault::new(Code::Forbidden, "the cheque is not for this account").into());
                }
            }
            if tx.find(&CHEQUE_BOX, &[account.into(), file.into()])?.is_some() {
                return Ok(());
            }
            let count = tx.select("SELECT count(*) FROM cheque_box WHERE account = ?1", &[account.into()])?;
            if count.first().map_or(Ok(0), |row| row.unsigned(0))? >= limits.box_files {
                return Err(Fault::new(Code::LimitExceeded, "the box is full").into());
            }
            let at = Value::unsigned(now.seconds())?;
            let values = [account.into(), file.into(), at, request.cheque.to_vec().into()];
            Ok::<_, Refusal>(tx.insert(&CHEQUE_BOX, &values)?)
        };
        Ok(self.seams.store.commit("bank.cheque.send", work).await?)
    }

    /// `GET /v1/account/cheque/inbox`: as many files as fit into one answer, oldest first.
    pub(crate) async fn cheque_inbox(self: Arc<Self>, peer: Peer, (): ()) -> Result<InboxResponse, Fault> {
        let holder = self.holder(&peer).await?;
        let work = move |tx: &mut dyn Tx| {
            let sql = "SELECT body FROM cheque_box WHERE account = ?1 ORDER BY received, file LIMIT ?2";
            let most = u32::try_from(MAX_INBOX).unwrap_or(u32::MAX);
            let rows = tx.select(sql, &[holder.account.into(), most.into()])?;
            let mut files = Vec::new();
            let mut size = 0_usize;
            for row in &rows {
                let file = row.blob(0)?;
                size = size.saturating_add(file.len());
                if size > ANSWER && !files.is_empty() {
                    break;
                }
                files.push(Document::new(file.to_vec()).map_err(Fault::from)?);
            }
            Ok::<_, Refusal>(files)
        };
        Ok(InboxResponse { cheques: Bounded::new(self.seams.store.read(work).await?)? })
    }

    /// `POST /v1/account/cheque/inbox/delete`.
    pub(crate) async fn cheque_inbox_delete(
        self: Arc<Self>,
        peer: Peer,
        request: InboxDelete,
    ) -> Result<(), Fault> {
        let holder = self.holder(&peer).await?;
        let work = move |tx: &mut dyn Tx| {
            let key = [holder.account.into(), request.file.into()];
            if tx.find(&CHEQUE_BOX, &key)?.is_some() {
                tx.delete(&CHEQUE_BOX, &key)?;
            }
            Ok::<_, Refusal>(())
        };
        Ok(self.seams.store.commit("bank.cheque.inbox", work).await?)
    }

    /// Deletes files that nobody fetched in time.
    pub(crate) async fn prune_cheque_boxes(&self) -> Result<(), Fault> {
        let before = self.now().seconds().saturating_sub(self.config.cheques.box_seconds);
        let over = move |tx: &mut dyn Tx| {
            let sql = "SELECT account, file FROM cheque_box WHERE received < ?1 ORDER BY received LIMIT ?2";
            let rows = tx.select(sql, &[Value::unsigned(before)?, PRUNE.into()])?;
            rows.iter().map(|row| Ok((row.id(0)?, row.digest(1)?))).collect::<Result<Vec<_>, Refusal>>()
        };
        if self.seams.store.read(over).await?.is_empty() {
            return Ok(());
        }
        let work = move |tx: &mut dyn Tx| {
            for (account, file) in over(tx)? {
                tx.delete(&CHEQUE_BOX, &[account.into(), file.into()])?;
            }
            Ok::<_, Refusal>(())
        };
        Ok(self.seams.store.commit("bank.cheque.prune", work).await?)
    }
}
