//! The running center.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex as StdMutex};

use async_trait::async_trait;
use axum::Router;
use feiqian_cheque::messages::{ChequeItem, VerifyRequest};
use feiqian_clearing::cleared::ClearedRequest;
use feiqian_clearing::membership::{About, AdmitRequest, RegisterRequest};
use feiqian_clearing::presentment::{Batch, Presented, Presentment};
use feiqian_clearing::remittance::TransferItem;
use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreExt, Tx};
use feiqian_node::{
    Access, Carriers, CashLane, Home, Identity, Lap, MemberView, Members, Peer, Route, Routes, Seams,
    Service, Shutdown, Target, answer_batch, cash_lane,
};
use feiqian_offline_cash::claim::ClaimItem;
use feiqian_offline_cash::messages::{
    ExposedRequest, IdentityRequest, OfflinePinRequest, OfflinePinsRequest, PartItem, SignedExposed,
};
use feiqian_offline_cash::pay::CashItem as HoldingItem;
use feiqian_online_cash::deposit::{CashItem, Outcome, OutcomeRequest};
use feiqian_online_cash::evidence::Evidence;
use feiqian_online_cash::keyset::{PinRequest, PinsRequest};
use feiqian_online_cash::refund::RefundItem;
use feiqian_pki::Role;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Bounded, Limit, Text};
use serde_json::Value;
use tokio::sync::{Mutex, Notify};

use crate::config::Config;
use crate::failure::Failure;
use crate::keys::Keys;
use crate::revocation::ListBytes;
use crate::{membership, offline, pins, tables};

/// A verification center.
pub struct Center {
    pub(crate) config: Config,
    pub(crate) keys: Keys,
    pub(crate) endpoint: Text<320>,
    pub(crate) seams: Seams,
    pub(crate) members: Arc<Members>,
    /// Payments that wait to be checked.
    pub(crate) cash: Arc<CashLane>,
    /// Payments on their way to their issuing banks.
    pub(crate) carriers: Carriers<Target, Presentment<CashItem>, Presented<Outcome>>,
    /// Held while members or pins change: the view follows the store in one order.
    pub(crate) changing: Mutex<()>,
    /// Presentments that somebody is forwarding now.
    pub(crate) forwarding: StdMutex<BTreeSet<Digest>>,
    /// There is something to tell a bank: the background need not wait for its next look.
    pub(crate) untold: Notify,
    /// Where deleting goes on.
    pub(crate) pruning: Lap,
}

impl std::fmt::Debug for Center {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Center").field("name", &self.config.name).finish_non_exhaustive()
    }
}

/// Opens the center that lives in `home`.
///
/// # Errors
/// `WRONG_HOME`, `USAGE` or `INTERNAL` when files are missing or damaged; otherwise as [`Center::new`].
pub async fn open(home: &Home, seams: Seams) -> Result<Arc<Center>, Fault> {
    Center::new(home.read_config()?, Keys::load(home)?, seams).await
}

impl Center {
    /// A center with these settings and keys over this store: what [`open`] reads from files comes in as arguments.
    ///
    /// # Errors
    /// `USAGE` for settings that cannot be, `WRONG_ROOT` when the store is another center's, `INTERNAL` when the
    /// store is damaged.
    pub async fn new(config: Config, keys: Keys, seams: Seams) -> Result<Arc<Self>, Fault> {
        config.check()?;
        let certificate = keys.root.as_der().to_vec();
        let start = move |tx: &mut dyn Tx| remember_root(tx, &certificate);
        seams.store.commit("center.start", start).await?;
        let members = Arc::new(Members::new(MemberView::empty(keys.root.clone()), &config.url));
        let (cash, carriers) = (cash_lane(&members, &seams), Carriers::default());
        let endpoint = Text::new(keys.endpoint(&config)?)?;
        let (changing, forwarding, untold) = (Mutex::new(()), StdMutex::default(), Notify::new());
        let center = Arc::new(Self {
            config,
            keys,
            endpoint,
            seams,
            members,
            cash,
            carriers,
            changing,
            forwarding,
            untold,
            pruning: Lap::default(),
        });
        center.reload(&center.changing.lock().await).await?;
        center.restore_lists().await?;
        center.issue_list(None).await?;
        center.restore_exposed().await?;
        Ok(center)
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The address with the root's fingerprint.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What the center shows of its members now.
    #[must_use]
    pub fn view(&self) -> Arc<MemberView> {
        self.members.snapshot()
    }

    fn about(&self) -> Result<About, Fault> {
        let view = self.view();
        // The newest, when there are more than one message holds.
        let newest = view.pins.keysets().iter().rev().take(256).map(|keyset| keyset.digest);
        Ok(About {
            role: Text::new("center")?,
            name: Text::new(self.config.name.clone())?,
            version: Text::new(env!("CARGO_PKG_VERSION"))?,
            center: self.endpoint.clone(),
            root: self.keys.root.fingerprint(),
            root_certificate: Blob::new(self.keys.root.as_der())?,
            currency: None,
            keysets: Bounded::collect(newest)?,
            now: self.seams.clock.now(),
        })
    }
}

/// A store belongs to one root for ever: another root's center must not go on with its members and money.
fn remember_root(tx: &mut dyn Tx, certificate: &[u8]) -> Result<(), Failure> {
    match tx.find(&tables::ROOT, &[0_i64.into()])? {
        Some(row) if row.blob(1)? == certificate => Ok(()),
        Some(_) => Err(Fault::new(Code::WrongRoot, "the store belongs to a center with another root").into()),
        None => Ok(tx.insert(&tables::ROOT, &[0_i64.into(), certificate.into()])?),
    }
}

const BANK: Access = Access::Peer(&[Role::Bank]);

fn anonymous(path: &'static str) -> Route {
    Route::new(path).access(Access::Anonymous)
}

fn bank(path: &'static str) -> Route {
    Route::new(path).access(BANK)
}

/// The bank behind a certificate that the route has already required.
fn name_of(peer: &Peer) -> Result<String, Fault> {
    Ok(peer.certified()?.subject.name().to_owned())
}

type Shared = Arc<Center>;

#[async_trait]
impl Service for Center {
    fn router(self: Arc<Self>) -> Router {
        let shares = self.config.shares;
        Routes::new(self)
            .shares(shares)
            .add(Route::new("/v1/about"), |center: Shared, _, ()| async move { center.about() })
            .add(
                Route::new("/v1/admit").limit(Limit::Small),
                |center: Shared, _, request: AdmitRequest| async move {
                    membership::admit(&center, request).await
                },
            )
            .add(bank("/v1/register"), |center: Shared, peer, request: RegisterRequest| async move {
                membership::register(&center, &name_of(&peer)?, request).await
            })
            .add(bank("/v1/keysets/pin"), |center: Shared, peer, request: PinRequest| async move {
                pins::pin(&center, &name_of(&peer)?, request).await
            })
            .add(
                anonymous("/v1/keysets").limit(Limit::Small),
                |center: Shared, _, request: PinsRequest| async move { pins::list(&center, request) },
            )
            .add(
                anonymous("/v1/directory"),
                |center: Shared, _, ()| async move { membership::directory(&center) },
            )
            .add(
                bank("/v1/present/payment"),
                |center: Shared, peer, presentment: Presentment<CashItem>| async move {
                    center.present(&name_of(&peer)?, presentment).await
                },
            )
            .add(
                bank("/v1/present/payments").limit(Limit::Large),
                |center: Shared, peer, batch: Batch<CashItem>| async move {
                    let caller = name_of(&peer)?;
                    let present = |presentment| {
                        let (center, caller) = (Arc::clone(&center), caller.clone());
                        async move { center.present(&caller, presentment).await }
                    };
                    answer_batch(batch, present).await
                },
            )
            .add(
                bank("/v1/present/refund"),
                |center: Shared, peer, presentment: Presentment<RefundItem>| async move {
                    center.present(&name_of(&peer)?, presentment).await
                },
            )
            .add(
                bank("/v1/present/cheque").limit(Limit::Large),
                |center: Shared, peer, presentment: Presentment<ChequeItem>| async move {
                    center.present(&name_of(&peer)?, presentment).await
                },
            )
            .add(
                bank("/v1/present/transfer"),
                |center: Shared, peer, presentment: Presentment<TransferItem>| async move {
                    center.present(&name_of(&peer)?, presentment).await
                },
            )
            .add(
                bank("/v1/cleared").limit(Limit::Small).concurrency(2),
                |center: Shared, peer, request: ClearedRequest| async move {
                    center.cleared(name_of(&peer)?, request).await
                },
            )
            .add(
                anonymous("/v1/cheque/verify").limit(Limit::Large).concurrency(16),
                |center: Shared, _, request: VerifyRequest| async move {
                    center.verify_cheques(request).await
                },
            )
            .add(
                bank("/v1/present/holding").limit(Limit::Large),
                |center: Shared, peer, presentment: Presentment<HoldingItem>| async move {
                    center.present(&name_of(&peer)?, presentment).await
                },
            )
            .add(
                bank("/v1/offline/claim").limit(Limit::Large),
                |center: Shared, peer, presentment: Presentment<ClaimItem>| async move {
                    center.present(&name_of(&peer)?, presentment).await
                },
            )
            .add(
                bank("/v1/present/part"),
                |center: Shared, peer, presentment: Presentment<PartItem>| async move {
                    center.present(&name_of(&peer)?, presentment).await
                },
            )
            .add(bank("/v1/offline/pin"), |center: Shared, peer, request: OfflinePinRequest| async move {
                offline::pins::pin(&center, &name_of(&peer)?, request).await
            })
            .add(
                anonymous("/v1/offline/pins").limit(Limit::Small),
                |center: Shared, _, request: OfflinePinsRequest| async move {
                    offline::pins::list(&center, request)
                },
            )
            .add(bank("/v1/offline/identity"), |center: Shared, peer, request: IdentityRequest| async move {
                offline::identities::register(&center, &name_of(&peer)?, request).await
            })
            .add(anonymous("/v1/offline/exposed"), |center: Shared, _, ()| async move {
                center.exposed(&ExposedRequest { after: Text::default() })
            })
            .add(
                anonymous("/v1/offline/exposed").limit(Limit::Small),
                |center: Shared, _, request: ExposedRequest| async move { center.exposed(&request) },
            )
            .add(
                bank("/v1/offline/expose").limit(Limit::Large).concurrency(16),
                |center: Shared, peer, list: SignedExposed| async move {
                    center.push_exposed(&name_of(&peer)?, list).await
                },
            )
            .add(anonymous("/v1/crl"), |center: Shared, _, ()| async move { center.lists() })
            .add(
                anonymous("/v1/crl").limit(Limit::Large).concurrency(16),
                |center: Shared, _, list: ListBytes| async move { center.take_list(&list).await },
            )
            .add(anonymous("/v1/outcome"), |center: Shared, _, request: OutcomeRequest| async move {
                center.outcome(request).await
            })
            .add(
                anonymous("/v1/verify").limit(Limit::Large).concurrency(16),
                |center: Shared, _, evidence: Evidence| async move { center.verify(&evidence) },
            )
            .into_router()
    }

    async fn command(self: Arc<Self>, command: Value) -> Result<Value, Fault> {
        crate::command::run(&self, command).await
    }

    async fn background(self: Arc<Self>, shutdown: Shutdown) {
        tokio::join!(
            Arc::clone(&self).resume_until(shutdown.clone()),
            Arc::clone(&self).follow_exposed_until(shutdown.clone()),
            self.follow_lists_until(shutdown),
        );
    }

    fn identity(&self) -> Option<Arc<Identity>> {
        Some(Arc::clone(&self.keys.transport))
    }
}
