//! Taking payments made out to us, from drop boxes and files, as new coins.

use std::path::PathBuf;

use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreExt, Value as Stored};
use feiqian_money::Minor;
use feiqian_node::{CallError, Caller};
use feiqian_online_cash::deposit::CashItem;
use feiqian_online_cash::drop_box::{BoxAccess, BoxAction, BoxMessages, Sealed};
use feiqian_online_cash::payment::{Checker, VerifiedPayment};
use feiqian_wire::codec::{self, Limit};
use feiqian_wire::error::{Code, Fault};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::answer::{Receipt, Received, show};
use crate::failure::{Failure, Result};
use crate::record::{Purpose, ReceivedRow};
use crate::session::Ended;
use crate::tables::{PAYEE_REQUEST, RECEIVED};
use crate::wallet::Wallet;
use crate::withdraw::{ATTEMPTS, worth_another};

/// Longest file read, bytes.
const FILE_LIMIT: u64 = 1 << 20;

/// A request of ours that can still be paid.
struct OpenRequest {
    digest: Digest,
    number: u64,
}

impl Wallet {
    pub(crate) async fn receive(&self, path: Option<PathBuf>, file: Option<String>) -> Result<Value> {
        let bytes = match (path, file) {
            (Some(path), None) => {
                Some(feiqian_node::files::read_bounded(&path, FILE_LIMIT).map_err(|error| {
                    Failure::new(Code::Usage, format!("cannot read {}: {error}", path.display()))
                })?)
            }
            (None, Some(text)) => Some(text.into_bytes()),
            (None, None) => None,
            (Some(_), Some(_)) => {
                return Err(Failure::new(Code::Usage, "give a path or the file's content, not both"));
            }
        };
        let trouble = match bytes {
            Some(bytes) => {
                let item: CashItem = codec::decode_json(&bytes, Limit::Large).map_err(|error| {
                    Failure::new(Code::Malformed, format!("this is no payment file: {error}"))
                })?;
                self.receive_item(item).await?;
                None
            }
            None => self.collect_all().await?,
        };
        let told = self
            .seams
            .store
            .commit("wallet.receive.report", |tx| {
                let rows = ReceivedRow::select(tx, "state = 'done' AND reported = 0", &[])?;
                for row in &rows {
                    let mut row = row.clone();
                    row.reported = true;
                    tx.update(&RECEIVED, &row.values()?)?;
                }
                Ok::<_, Failure>(rows)
            })
            .await?;
        match trouble {
            Some(fault) if told.is_empty() => Err(fault.into()),
            _ => self.show_received(&told),
        }
    }

    fn show_received(&self, rows: &[ReceivedRow]) -> Result<Value> {
        let currency = self.config.currency;
        let received = rows
            .iter()
            .map(|row| Receipt {
                amount: self.amount(row.amount).to_string(),
                currency,
                payment: row.payment,
            })
            .collect();
        let total = Minor::sum(rows.iter().map(|row| row.amount))?;
        show(&Received { received, total: self.amount(total).to_string(), currency })
    }

    /// A payment handed over as a file: a fault says why it brings nothing.
    async fn receive_item(&self, item: CashItem) -> Result<()> {
        let digest = item.payment.digest();
        let known = self.seams.store.read(move |tx| ReceivedRow::find(tx, &digest)).await?;
        let row = match known {
            Some(row) => row,
            None => self.take(item).await?,
        };
        match row.state.as_str() {
            "done" => Ok(()),
            "refused" => Err(Failure::new(Code::Void, "the bank refused this payment before")),
            _ => self.claim(row).await,
        }
    }

    /// Collects the drop boxes of all open requests. What goes wrong with one does not stop the others.
    pub(crate) async fn collect_all(&self) -> Result<Option<Fault>> {
        let mut trouble = None;
        for request in self.open_requests().await? {
            if let Err(failure) = self.collect(&request).await {
                let fault = Fault::from(failure);
                let unreachable = fault.code == Code::NodeUnreachable;
                trouble.get_or_insert(fault);
                if unreachable {
                    break;
                }
            }
        }
        Ok(trouble)
    }

    async fn open_requests(&self) -> Result<Vec<OpenRequest>> {
        let now = Stored::unsigned(self.now().seconds())?;
        self.seams
            .store
            .read(move |tx| {
                let sql = "SELECT request, number FROM payee_request WHERE state = 'open' AND expires > ?1 ORDER BY number";
                let rows = tx.select(sql, std::slice::from_ref(&now))?;
                rows.iter()
                    .map(|row| {
                        Ok(OpenRequest { digest: row.digest(0)?, number: row.unsigned(1)? })
                    })
                    .collect::<Result<Vec<_>>>()
            })
            .await
    }

    async fn collect(&self, request: &OpenRequest) -> Result<()> {
        let secret = Zeroizing::new(self.seed.payee_key(&self.generation, request.number));
        let bank = self.config.bank.as_str();
        let access = BoxAccess::sign(bank, &secret, BoxAction::Collect, &mut self.rng())?;
        let to = self.bank_target(bank).await?;
        let messages: BoxMessages = self.ask(&to, Caller::Anonymous, "/v1/drop/access", &access).await?;
        let mut trouble = None;
        for message in messages.messages.iter() {
            let opened = open(message, &secret, request.digest);
            let outcome = match opened {
                Some(item) => self.receive_item(item).await.map_err(Fault::from),
                None => Err(Fault::new(
                    Code::Malformed,
                    "a message of the drop box is no payment of this request",
                )),
            };
            // Only what is finally dealt with is thrown away.
            if outcome.as_ref().err().is_none_or(Fault::is_definitive) {
                let action = BoxAction::Delete(message.digest());
                let access = BoxAccess::sign(bank, &secret, action, &mut self.rng())?;
                let deleted: Result<BoxMessages, CallError> =
                    self.ask(&to, Caller::Anonymous, "/v1/drop/access", &access).await;
                if let Err(error) = deleted {
                    tracing::debug!(%error, "a message stays in its drop box");
                }
            }
            if let Err(fault) = outcome {
                trouble = Some(fault);
            }
        }
        trouble.map_or(Ok(()), |fault| Err(fault.into()))
    }

    /// Checks a payment as its payee and writes it down: one payment for a request, the first.
    async fn take(&self, item: CashItem) -> Result<ReceivedRow> {
        let verified = self.check_item(&item).await?;
        let request = verified.request.digest;
        let row = ReceivedRow {
            payment: verified.digest,
            request,
            bank: verified.issuing_bank.as_str().to_owned(),
            amount: verified.request.request.amount.minor,
            item,
            state: "taken".to_owned(),
            reported: false,
            created: self.now().seconds(),
        };
        let kept = row.clone();
        self.seams
            .store
            .commit("wallet.receive.take", move |tx| {
                if tx.find(&PAYEE_REQUEST, &[request.into()])?.is_none() {
                    return Err(Failure::new(
                        Code::RequestMismatch,
                        "the payment is for a request of somebody else",
                    ));
                }
                let others =
                    ReceivedRow::select(tx, "request = ?1 AND state <> 'refused'", &[request.into()])?;
                if !others.is_empty() {
                    return Err(Failure::new(Code::RequestAlreadyPaid, "another payment paid this request"));
                }
                Ok(tx.insert(&RECEIVED, &row.values()?)?)
            })
            .await?;
        Ok(kept)
    }

    async fn check_item(&self, item: &CashItem) -> Result<VerifiedPayment> {
        let verify = || {
            let view = self.view();
            let checker = Checker { pins: &view.pins, authorities: &*view, now: self.now() };
            checker.verify(item, &mut self.rng())
        };
        let verified = match verify() {
            Ok(verified) => verified,
            Err(first) => {
                // Coins of a keyset or a bank that this wallet has not heard of yet.
                if first.code() != Code::DenominationUnknown {
                    return Err(first.into());
                }
                self.sync().await?;
                verify()?
            }
        };
        verified.request.check_open(self.now())?;
        Ok(verified)
    }

    /// Turns a payment that was written down into coins of its issuing bank.
    pub(crate) async fn claim(&self, row: ReceivedRow) -> Result<()> {
        let mut last = Fault::new(Code::Unavailable, "no session was opened");
        for _ in 0..ATTEMPTS {
            let session = match self.claiming(row.payment).await? {
                Some(request) => request,
                None => self.plan_session(&row.bank, Purpose::Receive(row.payment), row.amount, None).await?,
            };
            let expired = row.item.request.request.expires <= self.now();
            match self.drive(session).await? {
                Ended::Done => return Ok(()),
                Ended::Void(fault) if worth_another(&fault) && !expired => last = fault,
                Ended::Void(fault) => {
                    let mut row = row;
                    row.state = "refused".to_owned();
                    self.seams
                        .store
                        .commit("wallet.receive.refused", move |tx| {
                            Ok::<_, Failure>(tx.update(&RECEIVED, &row.values()?)?)
                        })
                        .await?;
                    return Err(fault.into());
                }
            }
        }
        Err(Fault::new(Code::Unavailable, format!("the bank voids every session: {last}")).into())
    }

    /// The unfinished session that claims a payment, if there is one.
    async fn claiming(&self, payment: Digest) -> Result<Option<Digest>> {
        let sessions = self.seams.store.read(crate::record::SessionRow::unfinished).await?;
        let found = sessions.into_iter().find(|session| session.design.purpose == Purpose::Receive(payment));
        Ok(found.map(|session| session.request))
    }
}

fn open(message: &Sealed, secret: &feiqian_crypto::Scalar, request: Digest) -> Option<CashItem> {
    let bytes = message.open(secret).ok()?;
    let item: CashItem = codec::decode(&bytes, Limit::Large).ok()?;
    (item.request.request.digest() == request).then_some(item)
}
