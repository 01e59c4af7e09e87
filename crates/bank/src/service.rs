//! Routes and background work.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use feiqian_clearing::membership::About;
use feiqian_crypto::snowblind::commit_batch;
use feiqian_node::{Access, Backoff, Identity, Peer, Route, Routes, Service, Shutdown, offload};
use feiqian_pki::Role;
use feiqian_wire::error::Fault;
use feiqian_wire::{Blob, Bounded, Limit, Text};
use serde_json::Value;

use crate::Bank;

/// How many commitments are made before other work gets its turn.
const POOL_STEP: usize = 64;

impl Bank {
    /// Does once what the bank does by itself at its start and from time to time: makes and pins keysets, registers at
    /// the center, learns its news, deletes what is over.
    ///
    /// # Errors
    /// The first thing that did not work; the rest was tried too.
    pub async fn tend(self: &Arc<Self>) -> Result<(), Fault> {
        let synced = self.sync().await;
        let registered = self.register().await;
        let rotated = self.rotate().await;
        let offline = self.tend_offline().await;
        let now = self.now();
        self.sessions().drop_expired(now);
        let pruned = self.prune_drop_boxes().await;
        let listed = self.renew_revocation_list().await;
        let brought = self.bring_revocation_list().await;
        let kept = self.keep_house().await.and(self.gauge_queues().await);
        let expired = self.expire_cheques().await.and(self.prune_cheque_boxes().await);
        synced
            .and(registered)
            .and(rotated)
            .and(offline)
            .and(pruned)
            .and(listed)
            .and(brought)
            .and(expired)
            .and(kept)
    }

    /// Offline cash: keysets, sessions, what is due, the exposed list.
    async fn tend_offline(self: &Arc<Self>) -> Result<(), Fault> {
        let rotated = self.rotate_offline().await;
        self.offline.sessions().drop_expired(self.now());
        let paid = self.pay_due_claims().await;
        let decided = self.decide_claims().await;
        let released = self.release_collateral().await;
        let pruned = self.prune_exposed().await;
        let brought = self.bring_exposed().await;
        rotated.and(paid).and(decided).and(released).and(pruned).and(brought)
    }

    async fn run_tending(self: Arc<Self>, shutdown: Shutdown) {
        let mut rng = self.seams.entropy.rng();
        let regular = Duration::from_secs(self.config.sync_seconds);
        let mut backoff = Backoff::new(Duration::from_millis(250), regular);
        loop {
            let pause = match self.tend().await {
                Ok(()) => {
                    backoff.reset();
                    regular
                }
                Err(fault) => {
                    tracing::warn!(%fault, "the bank will try again");
                    backoff.next_pause(&mut rng)
                }
            };
            if !shutdown.pause(pause).await {
                return;
            }
        }
    }

    async fn run_pool(self: Arc<Self>, shutdown: Shutdown) {
        let mut rng = self.seams.entropy.rng();
        loop {
            let missing = {
                let pool = self.pool();
                pool.capacity().saturating_sub(pool.len()).min(POOL_STEP)
            };
            if missing > 0 {
                let make = move || (commit_batch(missing, &mut rng), rng);
                let Ok((fresh, rest)) = offload(&*self.seams.workers, make).await else { return };
                rng = rest;
                self.pool().put(fresh);
                // Where the work is done inline nobody else would get their turn.
                tokio::task::yield_now().await;
                if shutdown.is_triggered() {
                    return;
                }
                continue;
            }
            tokio::select! {
                biased;
                () = shutdown.wait() => return,
                () = self.refill.notified() => {}
            }
        }
    }

    async fn about(self: Arc<Self>, _peer: Peer, (): ()) -> Result<About, Fault> {
        let (now, view) = (self.now(), self.members.snapshot());
        let digests = self
            .ring
            .load()
            .keysets
            .iter()
            .filter(|known| now < known.keyset.issue_until() && view.pins.contains(&known.digest))
            .map(|known| known.digest)
            .collect::<Vec<_>>();
        Ok(About {
            role: Text::new("bank")?,
            name: Text::new(self.name())?,
            version: Text::fitted(env!("CARGO_PKG_VERSION")),
            center: Text::new(format!("{}#sha256={}", self.center.url, self.root.fingerprint()))?,
            root: self.root.fingerprint(),
            root_certificate: Blob::new(self.root.as_der())?,
            currency: Some(self.config.currency),
            keysets: Bounded::collect(digests)?,
            now,
        })
    }
}

#[async_trait]
impl Service for Bank {
    fn router(self: Arc<Self>) -> Router {
        let open = |path| Route::new(path).limit(Limit::Small);
        let anonymous = |path| Route::new(path).access(Access::Anonymous);
        let account = |path| Route::new(path).access(Access::Account);
        let center = |path| Route::new(path).access(Access::Peer(&[Role::Center]));
        let fellow = |path| Route::new(path).access(Access::Peer(&[Role::Bank])).limit(Limit::Large);
        let shares = self.config.shares;
        Routes::new(self)
            .shares(shares)
            .add(open("/v1/about"), Self::about)
            .add(anonymous("/v1/enrol").limit(Limit::Medium), Self::enrol)
            .add(account("/v1/account"), Self::account_status)
            .add(account("/v1/account/issue/begin"), Self::account_begin)
            .add(account("/v1/account/issue/finish").limit(Limit::Large), Self::account_finish)
            .add(account("/v1/account/issue/recover").limit(Limit::Small), Self::account_recover)
            .add(anonymous("/v1/issue/begin"), Self::anonymous_begin)
            .add(anonymous("/v1/issue/finish").limit(Limit::Large), Self::anonymous_finish)
            .add(anonymous("/v1/issue/recover").limit(Limit::Small), Self::anonymous_recover)
            .add(account("/v1/deposit"), Self::deposit)
            .add(account("/v1/refund"), Self::refund)
            .add(center("/v1/pay/payment"), Self::pay_payment)
            .add(center("/v1/pay/payments").limit(Limit::Large), Self::pay_payments)
            .add(center("/v1/pay/refund"), Self::pay_refund)
            .add(anonymous("/v1/outcome"), Self::outcome)
            .add(anonymous("/v1/keysets"), Self::show_keysets)
            .add(anonymous("/v1/drop/put").limit(Limit::Large), Self::drop_put)
            .add(anonymous("/v1/drop/access").limit(Limit::Small), Self::drop_access)
            .add(account("/v1/account/cheque/book").limit(Limit::Small), Self::cheque_book)
            .add(account("/v1/account/cheque/issue").limit(Limit::Large), Self::cheque_issue)
            .add(account("/v1/account/cheque/order").limit(Limit::Large), Self::cheque_order)
            .add(account("/v1/account/cheque/certify").limit(Limit::Large), Self::cheque_certify)
            .add(account("/v1/account/cheque/list"), Self::cheque_list)
            .add(account("/v1/account/cheque/deposit").limit(Limit::Large), Self::cheque_deposit)
            .add(account("/v1/account/cheque/send").limit(Limit::Large), Self::cheque_send)
            .add(account("/v1/account/cheque/inbox"), Self::cheque_inbox)
            .add(account("/v1/account/cheque/inbox/delete").limit(Limit::Small), Self::cheque_inbox_delete)
            .add(account("/v1/cheque/endorse").limit(Limit::Large), Self::cheque_endorse)
            .add(open("/v1/cheque/state"), Self::cheque_state)
            .add(center("/v1/pay/cheque").limit(Limit::Large), Self::pay_cheque)
            .add(center("/v1/settled").limit(Limit::Large), Self::settled)
            .add(account("/v1/account/offline/terms"), Self::offline_terms)
            .add(account("/v1/account/offline/register"), Self::offline_register)
            .add(account("/v1/account/offline/begin"), Self::offline_begin)
            .add(account("/v1/account/offline/commit"), Self::offline_commit)
            .add(account("/v1/account/offline/finish").limit(Limit::Large), Self::offline_finish)
            .add(account("/v1/account/offline/recover").limit(Limit::Small), Self::offline_recover)
            .add(account("/v1/account/offline/deposit").limit(Limit::Large), Self::offline_deposit)
            .add(account("/v1/account/offline/reclaim").limit(Limit::Large), Self::offline_reclaim)
            .add(account("/v1/account/offline/session").limit(Limit::Small), Self::offline_session)
            .add(anonymous("/v1/offline/exposed"), Self::show_exposed)
            .add(center("/v1/pay/holding").limit(Limit::Large), Self::pay_holding)
            .add(center("/v1/pay/claim").limit(Limit::Large), Self::pay_claim)
            .add(center("/v1/pay/claim/overdue"), Self::claim_overdue)
            .add(center("/v1/pay/part"), Self::pay_part)
            .add(account("/v1/account/transfer"), Self::transfer)
            .add(account("/v1/account/transfers"), Self::transfers)
            .add(center("/v1/pay/transfer"), Self::pay_transfer)
            .add(account("/v1/account/certificate/list"), Self::certificate_list)
            .add(account("/v1/account/certificate/renew"), Self::certificate_renew)
            .add(account("/v1/account/certificate/revoke").limit(Limit::Small), Self::certificate_revoke)
            .add(account("/v1/certificate").limit(Limit::Small), Self::certificate_of)
            .add(anonymous("/v1/certificate/recover").limit(Limit::Small), Self::certificate_recover)
            .add(account("/v1/account/generations").limit(Limit::Small), Self::generations)
            .add(anonymous("/v1/coin/state").limit(Limit::Small), Self::coin_state)
            .add(anonymous("/v1/crl"), Self::show_revocation_list)
            .add(fellow("/v1/instance/finish"), Self::instance_finish)
            .add(fellow("/v1/instance/offline/commit"), Self::instance_offline_commit)
            .add(fellow("/v1/instance/offline/finish"), Self::instance_offline_finish)
            .into_router()
    }

    async fn command(self: Arc<Self>, command: Value) -> Result<Value, Fault> {
        self.run_command(command).await
    }

    async fn background(self: Arc<Self>, shutdown: Shutdown) {
        tokio::join!(
            Arc::clone(&self).run_tending(shutdown.clone()),
            Arc::clone(&self).run_outbox(shutdown.clone()),
            Arc::clone(&self).run_instance(shutdown.clone()),
            Arc::clone(&self).run_pool(shutdown),
        );
    }

    fn identity(&self) -> Option<Arc<Identity>> {
        Some(Arc::clone(&self.identity))
    }
}
