//! The running merchant.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use feiqian_clearing::membership::About;
use feiqian_ledger::store::{StoreError, StoreExt, Tx, Value as Stored};
use feiqian_node::{
    Access, Backoff, Coalesced, Endpoint, Home, Identity, Lap, MemberView, Members, Route, Routes, Seams,
    Service, Shutdown, Target,
};
use feiqian_online_cash::keyset::PinEntry;
use feiqian_online_cash::payment::Payment;
use feiqian_pki::{RevocationList, Role};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Bounded, Limit, Text, Timestamp, codec};
use serde_json::Value;
use tokio::sync::{Mutex, Notify};

use crate::config::Config;
use crate::failure::Failure;
use crate::init::{FirstView, center_url, directory_of};
use crate::keys::Keys;
use crate::offline::tables::OFFLINE_PAYMENT;
use crate::offline::{View, read_view};
use crate::tables::{CHEQUE, MEMBER_DIRECTORY, MEMBER_ENTRY, MEMBER_LIST, PAYMENT, REFUND};

/// How long a merchant with nothing pending waits, unless it is told that something became pending.
const IDLE: Duration = Duration::from_secs(30);
/// The shortest time between two questions to the center for news.
const NEWS_PAUSE: Duration = Duration::from_millis(200);

/// A merchant.
pub struct Merchant {
    pub(crate) config: Config,
    pub(crate) keys: Keys,
    pub(crate) seams: Seams,
    pub(crate) members: Members,
    /// Where evidence is written; nowhere without a home.
    pub(crate) home: Option<Home>,
    /// One question to the center for all who need news.
    news: Coalesced,
    /// Something became pending.
    pub(crate) pending: Notify,
    /// One offline payment is accepted at a time.
    pub(crate) accepting: Mutex<()>,
    /// Where deleting goes on.
    pub(crate) pruning: Lap,
}

impl std::fmt::Debug for Merchant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Merchant").field("account", &self.config.account).finish_non_exhaustive()
    }
}

/// What a merchant is made of besides its seams: what [`open`] reads from files.
#[derive(Debug)]
pub struct Parts {
    /// The settings.
    pub config: Config,
    /// The keys.
    pub keys: Keys,
    /// What the center showed once, for a store that knows nothing of it yet.
    pub first_view: Option<FirstView>,
    /// Where evidence files go; none in a simulated world.
    pub home: Option<Home>,
}

/// Opens the merchant that lives in `home`.
///
/// # Errors
/// `WRONG_HOME`, `USAGE` or `INTERNAL` when files are missing or damaged; otherwise as [`Merchant::new`].
pub async fn open(home: &Home, seams: Seams) -> Result<Arc<Merchant>, Fault> {
    let first_view = std::fs::read(home.path("members.json")).ok();
    let first_view = first_view.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let (config, keys) = (home.read_config()?, Keys::load(home)?);
    Merchant::new(Parts { config, keys, first_view, home: Some(home.clone()) }, seams).await
}

impl Merchant {
    /// A merchant with these parts over this store. It starts from the members' view it kept and needs no center.
    ///
    /// # Errors
    /// `USAGE` for settings that cannot be, `INTERNAL` when the store is damaged, `CERTIFICATE_INVALID` when what it
    /// kept of the members is not of its root.
    pub async fn new(parts: Parts, seams: Seams) -> Result<Arc<Self>, Fault> {
        let Parts { config, keys, first_view, home } = parts;
        config.check()?;
        let (known, now) = (seams.store.read(stored_view).await?.or(first_view), seams.clock.now());
        let view = match known {
            Some(FirstView { directory, entries, offline }) => {
                let view = MemberView::restore(keys.root.clone(), &directory, entries, now)?;
                offline.add_to(&view, now)?
            }
            None => MemberView::empty(keys.root.clone()),
        };
        let members = Members::new(view, &center_url(&config)?);
        let kept = seams.store.read(stored_lists).await?;
        members.restore_lists(&*seams.network, &kept);
        let (news, pending, accepting) = (Coalesced::new(NEWS_PAUSE), Notify::new(), Mutex::default());
        let pruning = Lap::default();
        Ok(Arc::new(Self { config, keys, seams, members, home, news, pending, accepting, pruning }))
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What it knows of the center's members.
    #[must_use]
    pub fn view(&self) -> Arc<MemberView> {
        self.members.snapshot()
    }

    /// Where its bank listens: as the directory says, or where it enrolled.
    pub(crate) fn bank(&self) -> Target {
        let known = self.view().target(&self.config.bank);
        known.unwrap_or_else(|_| {
            Target::named(self.config.bank_url.clone(), Role::Bank, self.config.bank.as_str())
        })
    }

    /// Brings the members' view up to date and keeps it. Who asks at the same time shares one question, and
    /// questions are 200 ms apart: calls of others can cause them.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the center cannot be reached; otherwise what is wrong with what it shows.
    pub async fn sync(&self) -> Result<(), Fault> {
        self.news.run(|| self.fetch_news()).await
    }

    async fn fetch_news(&self) -> Result<(), Fault> {
        self.members.sync(&*self.seams.network, self.seams.clock.now()).await?;
        let view = self.members.snapshot();
        let (directory, entries) = (codec::encode(&directory_of(&view)?)?, view.entries().to_vec());
        let (lists, offline) = (view.lists().pairs(), View::of(&view));
        let work = move |tx: &mut dyn Tx| -> Result<(), Failure> {
            keep_view(tx, &directory, &entries)?;
            lists.iter().try_for_each(|(authority, list)| keep_list(tx, authority, list))?;
            crate::offline::keep_view(tx, &offline)
        };
        Ok(self.seams.store.commit("merchant.members", work).await?)
    }

    /// Whether any payment, refund, cheque or offline payment is pending; yes where the store does not tell.
    async fn anything_waits(&self) -> bool {
        let work = |tx: &mut dyn Tx| {
            for table in [PAYMENT.name, REFUND.name, CHEQUE.name, OFFLINE_PAYMENT.name] {
                let sql = format!("SELECT 1 FROM {table} WHERE state = 0 LIMIT 1");
                if !tx.select(&sql, &[])?.is_empty() {
                    return Ok::<_, Failure>(true);
                }
            }
            Ok(false)
        };
        self.seams.store.read(work).await.unwrap_or(true)
    }

    fn about(&self) -> Result<About, Fault> {
        Ok(About {
            role: Text::new("merchant")?,
            name: self.config.name.clone(),
            version: Text::new(env!("CARGO_PKG_VERSION"))?,
            center: Text::new(self.config.center.clone())?,
            root: self.keys.root.fingerprint(),
            root_certificate: Blob::new(self.keys.root.as_der())?,
            currency: Some(self.config.currency),
            keysets: Bounded::default(),
            now: self.seams.clock.now(),
        })
    }

    /// Where payers deliver: the address with the root's fingerprint.
    pub(crate) fn delivery_url(&self) -> Result<Text<192>, Fault> {
        let pin = feiqian_node::TrustPin { fingerprint: Some(self.keys.root.fingerprint()) };
        let endpoint = Endpoint::new(&self.config.url, pin)
            .map_err(|error| Fault::new(Code::Usage, format!("url: {error}")))?;
        Ok(Text::new(endpoint.to_string())?)
    }

    /// One round over everything that is pending. Answers whether something became final or nothing is left.
    ///
    /// # Errors
    /// `INTERNAL` or `UNAVAILABLE` when the store fails.
    pub async fn resume(&self) -> Result<bool, Fault> {
        let deposits = self.resume_deposits().await?;
        let refunds = self.resume_refunds().await?;
        let cheques = self.resume_cheques().await?;
        let offline = self.resume_offline().await?;
        Ok(deposits && refunds && cheques && offline)
    }
}

fn stored_view(tx: &mut dyn Tx) -> Result<Option<FirstView>, Failure> {
    let Some(row) = tx.find(&MEMBER_DIRECTORY, &[0_i64.into()])? else { return Ok(None) };
    let directory = codec::decode(row.blob(1)?, Limit::Large)?;
    let sql = format!("SELECT entry FROM {} ORDER BY number", MEMBER_ENTRY.name);
    let entries: Result<Vec<PinEntry>, Failure> =
        tx.select(&sql, &[])?.iter().map(|row| Ok(codec::decode(row.blob(0)?, Limit::Large)?)).collect();
    Ok(Some(FirstView { directory, entries: entries?, offline: read_view(tx)? }))
}

/// The lists kept, ended ones too: those close the door until a newer one arrives.
fn stored_lists(tx: &mut dyn Tx) -> Result<Vec<RevocationList>, Failure> {
    let rows = tx.select(&format!("SELECT list FROM {} ORDER BY authority", MEMBER_LIST.name), &[])?;
    let corrupt = |error| StoreError::Corrupt(format!("{}: {error}", MEMBER_LIST.name));
    rows.iter().map(|row| Ok(RevocationList::from_der(row.blob(0)?).map_err(corrupt)?)).collect()
}

fn keep_list(tx: &mut dyn Tx, authority: &[u8; 32], list: &RevocationList) -> Result<(), Failure> {
    let values = [authority.as_slice().into(), list.as_der().into()];
    match tx.find(&MEMBER_LIST, &[authority.as_slice().into()])? {
        Some(row) if row.blob(1)? == list.as_der() => {}
        // The view never goes back to an older one.
        _ => tx.put(&MEMBER_LIST, &values)?,
    }
    Ok(())
}

fn keep_view(tx: &mut dyn Tx, directory: &[u8], entries: &[PinEntry]) -> Result<(), Failure> {
    tx.put(&MEMBER_DIRECTORY, &[0_i64.into(), directory.into()])?;
    let known = tx.select(&format!("SELECT count(*) FROM {}", MEMBER_ENTRY.name), &[])?;
    let known: usize = known.first().map_or(Ok(0), |row| row.small(0))?;
    for (number, entry) in (0_u64..).zip(entries).skip(known) {
        tx.insert(&MEMBER_ENTRY, &[Stored::unsigned(number)?, codec::encode(entry)?.into()])?;
    }
    Ok(())
}

#[async_trait]
impl Service for Merchant {
    fn router(self: Arc<Self>) -> Router {
        let shares = self.config.shares;
        Routes::new(self)
            .shares(shares)
            .add(Route::new("/v1/about"), |merchant: Arc<Self>, _, ()| async move { merchant.about() })
            .add(
                Route::new("/v1/pay").access(Access::Anonymous),
                |merchant: Arc<Self>, _, payment: Payment| async move { merchant.pay(payment).await },
            )
            .into_router()
    }

    async fn command(self: Arc<Self>, command: Value) -> Result<Value, Fault> {
        crate::command::run(&self, command).await
    }

    async fn background(self: Arc<Self>, shutdown: Shutdown) {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        let mut rng = self.seams.entropy.rng();
        if let Err(fault) = self.write_missing_evidence().await {
            tracing::warn!(%fault, "evidence could not be written");
        }
        let mut sync_at = Timestamp::new(0);
        let mut idle = false;
        while !shutdown.is_triggered() {
            let now = self.seams.clock.now();
            if now >= sync_at {
                sync_at = now.saturating_add(self.config.sync_seconds);
                if let Err(fault) = self.sync().await {
                    tracing::debug!(%fault, "the members' view stays as it is");
                }
                if let Err(fault) = self.keep_house().await {
                    tracing::warn!(%fault, "what is over could not be deleted");
                }
            }
            // Nothing waited and nobody told of anything: one look is enough to see that it is still so.
            let still_idle = idle && !self.anything_waits().await;
            let resumed = if still_idle { Ok(true) } else { self.resume().await };
            let mut pause = backoff.next_pause(&mut rng);
            match resumed {
                Ok(true) => {
                    backoff.reset();
                    idle = still_idle || !self.anything_waits().await;
                    if idle {
                        pause = IDLE;
                    }
                }
                Ok(false) => idle = false,
                Err(fault) => {
                    idle = false;
                    tracing::warn!(%fault, "pending work could not be resumed");
                }
            }
            tokio::select! {
                biased;
                _ = shutdown.pause(pause) => {}
                () = self.pending.notified() => {
                    idle = false;
                    shutdown.pause(Duration::from_secs(1)).await;
                }
            }
        }
    }

    fn identity(&self) -> Option<Arc<Identity>> {
        Some(Arc::clone(&self.keys.transport))
    }
}
