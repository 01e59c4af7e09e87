//! The wallet as a service: commands, and by itself the rounds of a running wallet.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use feiqian_clearing::membership::About;
use feiqian_node::{Access, Identity, Peer, Route, Routes, Service, Shutdown};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Bounded, Text};
use serde_json::Value;

use crate::command::Command;
use crate::failure::Result;
use crate::resume::Scope;
use crate::wallet::Wallet;

#[async_trait]
impl Service for Wallet {
    fn router(self: Arc<Self>) -> Router {
        Routes::new(self)
            .add(
                Route::new("/v1/about").access(Access::Open),
                |wallet: Arc<Wallet>, _: Peer, (): ()| async move { Ok::<About, Fault>(wallet.about()?) },
            )
            .into_router()
    }

    async fn command(self: Arc<Self>, command: Value) -> Result<Value, Fault> {
        let command: Command = serde_json::from_value(command)
            .map_err(|error| Fault::new(Code::Usage, format!("not a command of the wallet: {error}")))?;
        self.execute(command).await
    }

    /// Every round: news of the center, what is unfinished, drop boxes, what is due, and what became of one payment.
    async fn background(self: Arc<Self>, shutdown: Shutdown) {
        let pause = Duration::from_secs(self.config.poll_seconds.max(1));
        while !shutdown.is_triggered() {
            {
                let _turn = self.gate.lock().await;
                tokio::select! {
                    biased;
                    () = shutdown.wait() => return,
                    outcome = self.round() => if let Err(failure) = outcome {
                        tracing::info!(fault = %Fault::from(failure), "left for the next round");
                    },
                }
            }
            if !shutdown.pause(pause).await {
                return;
            }
        }
    }

    /// None: a wallet's certificate is a client's, it never listens.
    fn identity(&self) -> Option<Arc<Identity>> {
        None
    }
}

impl Wallet {
    async fn round(&self) -> Result<()> {
        self.sync().await?;
        self.resume(Scope::Begun).await?;
        self.collect_all().await?;
        self.refresh_coins().await?;
        self.ask_one().await?;
        Ok(self.keep_house().await?)
    }

    fn about(&self) -> Result<About> {
        let view = self.view();
        let root = view.root();
        Ok(About {
            role: Text::fitted("wallet"),
            name: Text::fitted(&self.config.name),
            version: Text::fitted(env!("CARGO_PKG_VERSION")),
            center: Text::fitted(&format!("{}#sha256={}", self.config.center_url, root.fingerprint())),
            root: root.fingerprint(),
            root_certificate: Blob::new(root.as_der().to_vec())?,
            currency: Some(self.config.currency),
            keysets: Bounded::new(Vec::new())?,
            now: self.now(),
        })
    }
}
