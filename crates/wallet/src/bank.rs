//! Calls to banks, and which of their keys the wallet lets them sign with.

use feiqian_crypto::Digest;
use feiqian_node::{CallError, Caller, Target, call};
use feiqian_online_cash::issue::{
    BeginRequest, BeginResponse, FinishRequest, FinishResponse, RecoverRequest,
};
use feiqian_online_cash::keyset::{Keyset, VerifiedKeyset};
use feiqian_online_cash::seed::CallerKind;
use feiqian_pki::Role;
use feiqian_wire::Bounded;
use feiqian_wire::error::Code;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::{Failure, Result};
use crate::wallet::Wallet;

/// The paths of one kind of caller.
struct Paths {
    begin: &'static str,
    finish: &'static str,
    recover: &'static str,
    caller: Caller,
}

fn paths(kind: CallerKind) -> Paths {
    match kind {
        CallerKind::Account => Paths {
            begin: "/v1/account/issue/begin",
            finish: "/v1/account/issue/finish",
            recover: "/v1/account/issue/recover",
            caller: Caller::Certified,
        },
        CallerKind::Anonymous => Paths {
            begin: "/v1/issue/begin",
            finish: "/v1/issue/finish",
            recover: "/v1/issue/recover",
            caller: Caller::Anonymous,
        },
    }
}

impl Wallet {
    /// Where a bank listens: as the directory says, and for the own bank as the settings say.
    pub(crate) async fn bank_target(&self, bank: &str) -> Result<Target> {
        if let Ok(target) = self.view().target(bank) {
            return Ok(target);
        }
        if bank == self.config.bank.as_str() {
            return Ok(Target::named(self.config.bank_url.clone(), Role::Bank, bank));
        }
        self.sync().await?;
        Ok(self.view().target(bank)?)
    }

    pub(crate) async fn ask<Req, Res>(
        &self,
        to: &Target,
        caller: Caller,
        path: &str,
        request: &Req,
    ) -> Result<Res, CallError>
    where
        Req: Serialize + Sync + 'static,
        Res: DeserializeOwned,
    {
        call(&*self.seams.network, to, caller, path, request).await
    }

    pub(crate) async fn call_begin(
        &self,
        to: &Target,
        kind: CallerKind,
        request: &BeginRequest,
    ) -> Result<BeginResponse, CallError> {
        let paths = paths(kind);
        self.ask(to, paths.caller, paths.begin, request).await
    }

    pub(crate) async fn call_finish(
        &self,
        to: &Target,
        kind: CallerKind,
        request: &FinishRequest,
    ) -> Result<FinishResponse, CallError> {
        let paths = paths(kind);
        self.ask(to, paths.caller, paths.finish, request).await
    }

    pub(crate) async fn call_recover(
        &self,
        to: &Target,
        kind: CallerKind,
        request: Digest,
    ) -> Result<BeginResponse, CallError> {
        let paths = paths(kind);
        self.ask(to, paths.caller, paths.recover, &RecoverRequest { request }).await
    }

    /// The keyset that new coins of `bank` are asked of: pinned at the center, signing now, and the one the bank shows.
    ///
    /// # Errors
    /// `KEYSET_NOT_PINNED` when the bank shows a keyset that the center does not show to everybody.
    pub(crate) async fn issuing_keyset(&self, bank: &str) -> Result<VerifiedKeyset> {
        let to = self.bank_target(bank).await?;
        let shown: Bounded<Keyset, 32> = self.ask(&to, Caller::Anonymous, "/v1/keysets", &()).await?;
        let now = self.now();
        let currency = self.config.currency;
        let shown: Vec<Digest> = shown
            .iter()
            .filter(|keyset| keyset.bank.as_str() == bank && keyset.currency == currency)
            .filter(|keyset| keyset.keys.iter().all(|key| key.issue_from <= now && now < key.issue_until))
            .map(Keyset::digest)
            .collect();
        if shown.is_empty() {
            return Err(Failure::new(Code::Unavailable, format!("bank {bank} has no keyset pinned yet"))
                .hint("it is starting, or the center is down: try again in a moment"));
        }
        let settled = |view: &feiqian_node::MemberView| {
            shown.iter().all(|digest| view.pins.contains(digest))
                && view.pins.current(bank, currency, now).is_some()
        };
        if !settled(&self.view()) {
            self.sync().await?;
        }
        let view = self.view();
        if shown.iter().any(|digest| !view.pins.contains(digest)) {
            return Err(Failure::new(
                Code::KeysetNotPinned,
                format!("bank {bank} shows a keyset that the center does not show to everybody"),
            )
            .hint("take no coins from it: coins of a keyset of one's own can be traced"));
        }
        let current = view.pins.current(bank, currency, now).ok_or_else(|| {
            Failure::new(Code::KeyExpired, format!("bank {bank} has no {currency} keyset that issues now"))
        })?;
        if !shown.contains(&current.digest) {
            return Err(Failure::new(
                Code::KeysetNotPinned,
                format!("bank {bank} does not show the keyset that is pinned for it"),
            ));
        }
        Ok(current.clone())
    }
}
