//! What the center tells its members, kept in the store so that a restart needs no center.

use std::sync::Arc;
use std::time::Duration;

use feiqian_clearing::membership::{BankEntry, Directory, Funding, RegisterRequest, RegisterResponse};
use feiqian_ledger::book;
use feiqian_ledger::store::{Row, Store, StoreExt, Tx, Value};
use feiqian_node::{Caller, MemberView, call};
use feiqian_offline_cash::messages::OfflinePinEntry;
use feiqian_online_cash::keyset::PinEntry;
use feiqian_pki::{RevocationList, TrustedRoot};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, Text, Timestamp};

use crate::Bank;
use crate::chart::{Event, Post, id};
use crate::offline::tables::MEMBER_PIN as OFFLINE_PIN;
use crate::refusal::{Refusal, from_blob, to_blob};
use crate::tables::{MEMBER, MEMBER_LIST, MEMBER_PIN};

/// The shortest time between two questions to the center for news.
pub(crate) const NEWS_PAUSE: Duration = Duration::from_millis(200);

/// The view as stored; an empty one when nothing is stored or it no longer holds.
pub(crate) async fn restore(
    store: &dyn Store,
    root: &TrustedRoot,
    now: Timestamp,
) -> Result<MemberView, Fault> {
    let (entries, banks, offline) = store
        .read(|tx: &mut dyn Tx| {
            let pins = tx.select("SELECT body FROM member_pin ORDER BY number", &[])?;
            let banks = tx.select("SELECT body FROM member ORDER BY name", &[])?;
            let pins = pins
                .iter()
                .map(|row: &Row| from_blob::<PinEntry>(row.blob(0)?))
                .collect::<Result<Vec<_>, _>>()?;
            let banks = banks
                .iter()
                .map(|row| from_blob::<BankEntry>(row.blob(0)?))
                .collect::<Result<Vec<_>, _>>()?;
            let offline = tx.select("SELECT body FROM offline_member_pin ORDER BY number", &[])?;
            let offline = offline
                .iter()
                .map(|row| from_blob::<OfflinePinEntry>(row.blob(0)?))
                .collect::<Result<Vec<_>, _>>()?;
            Ok::<_, Refusal>((pins, banks, offline))
        })
        .await?;
    let directory = Directory { banks: Bounded::new(banks)? };
    let view = MemberView::restore(root.clone(), &directory, entries, now);
    Ok(view.and_then(|view| view.with_offline(offline)).unwrap_or_else(|fault| {
        tracing::warn!(%fault, "the stored view of the center's members no longer holds; asking the center again");
        MemberView::empty(root.clone())
    }))
}

/// The revocation lists as stored, ended ones too: those close the door until the center is reached.
pub(crate) async fn stored_lists(store: &dyn Store) -> Result<Vec<RevocationList>, Fault> {
    let ders = store
        .read(|tx: &mut dyn Tx| {
            let rows = tx.select("SELECT der FROM member_list ORDER BY authority", &[])?;
            rows.iter().map(|row| Ok(row.blob(0)?.to_vec())).collect::<Result<Vec<_>, Refusal>>()
        })
        .await?;
    let read = |der: &Vec<u8>| {
        let broken = |error| Fault::new(Code::Internal, format!("a stored revocation list: {error}"));
        RevocationList::from_der(der).map_err(broken)
    };
    ders.iter().map(read).collect()
}

impl Bank {
    /// Asks the center for its directory and new keysets, and keeps them. Who asks at the same time shares one
    /// question, and questions are 200 ms apart: calls of others can cause them.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the center cannot be reached, or what it shows does not hold.
    pub async fn sync(self: &Arc<Self>) -> Result<(), Fault> {
        let fetch = || async {
            self.members.sync(&*self.seams.network, self.now()).await?;
            self.show_own_list();
            self.keep_members().await
        };
        self.news.run(fetch).await
    }

    /// The same before something is refused for ever: whatever keeps the news away is no verdict.
    pub(crate) async fn ask_news(self: &Arc<Self>) -> Result<(), Fault> {
        self.sync().await.map_err(|fault| {
            let what = format!("the center's news are needed: {fault}");
            Fault::new(Code::Unavailable, what).hint("send the same again")
        })
    }

    /// Writes the current view to the store: the directory, and what is new of the log.
    ///
    /// # Errors
    /// The store's.
    pub async fn keep_members(self: &Arc<Self>) -> Result<(), Fault> {
        let view = self.members.snapshot();
        let work = move |tx: &mut dyn Tx| {
            let known = tx.select("SELECT count(*) FROM member_pin", &[])?;
            let known = known.first().map_or(Ok(0), |row| row.unsigned(0))?;
            for (number, entry) in (0_u64..).zip(view.entries()) {
                if number >= known {
                    tx.insert(&MEMBER_PIN, &[Value::unsigned(number)?, to_blob(entry)?.into()])?;
                }
            }
            let known = tx.select("SELECT count(*) FROM offline_member_pin", &[])?;
            let known = known.first().map_or(Ok(0), |row| row.unsigned(0))?;
            for (number, entry) in (0_u64..).zip(view.offline_entries()) {
                if number >= known {
                    tx.insert(&OFFLINE_PIN, &[Value::unsigned(number)?, to_blob(entry)?.into()])?;
                }
            }
            for (name, member) in view.members() {
                let body = to_blob(&member.entry)?;
                let values = [Value::from(name.as_str()), body.clone().into()];
                match tx.find(&MEMBER, &[name.as_str().into()])? {
                    Some(row) if row.blob(1)? == body => {}
                    _ => tx.put(&MEMBER, &values)?,
                }
            }
            for (authority, list) in view.lists().pairs() {
                let values = [Value::from(authority), list.as_der().into()];
                match tx.find(&MEMBER_LIST, &[authority.into()])? {
                    Some(row) if row.blob(1)? == list.as_der() => {}
                    _ => tx.put(&MEMBER_LIST, &values)?,
                }
            }
            Ok::<_, Refusal>(())
        };
        Ok(self.seams.store.commit("bank.members.keep", work).await?)
    }

    /// Tells the center where the bank is and which key signs its documents; learns of fundings and books them.
    ///
    /// # Errors
    /// `NODE_UNREACHABLE` or the center's fault.
    pub async fn register(self: &Arc<Self>) -> Result<(), Fault> {
        let url = Text::new(self.config.url())?;
        let request = RegisterRequest { url, signer: self.signer_chain.0.clone() };
        let response: RegisterResponse =
            call(&*self.seams.network, &self.center, Caller::Certified, "/v1/register", &request).await?;
        self.book_fundings(response.fundings.into_vec()).await
    }

    /// Books what the center says was put on the bank's settlement account; known ones change nothing.
    ///
    /// # Errors
    /// `WRONG_CURRENCY`, `CONFLICT` when a known id comes with another amount, or the store's.
    pub async fn book_fundings(self: &Arc<Self>, fundings: Vec<Funding>) -> Result<(), Fault> {
        let now = self.now().seconds();
        if fundings.iter().any(|funding| funding.amount.currency != self.config.currency) {
            return Err(Fault::new(Code::WrongCurrency, "a funding in another currency"));
        }
        let known = fundings.clone();
        let fresh = self
            .seams
            .store
            .read(move |tx: &mut dyn Tx| {
                let mut fresh = Vec::new();
                for funding in &known {
                    if book::find_transfer(tx, funding.id)?
                        .is_none_or(|entry| entry.transfer.amount != funding.amount.minor)
                    {
                        fresh.push(funding.clone());
                    }
                }
                Ok::<_, Refusal>(fresh)
            })
            .await?;
        if fresh.is_empty() {
            return Ok(());
        }
        let work = move |tx: &mut dyn Tx| {
            for funding in &fresh {
                let (debit, credit) = (id(Post::Settlement), id(Post::Capital));
                let transfer = book::Transfer::posted(
                    funding.id,
                    debit,
                    credit,
                    funding.amount.minor,
                    Event::Capital as u16,
                );
                let _ = book::transfer(tx, &[transfer], now)?;
            }
            Ok::<_, Refusal>(())
        };
        Ok(self.seams.store.commit("bank.funding.book", work).await?)
    }
}
