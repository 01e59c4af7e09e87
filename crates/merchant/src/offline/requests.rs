//! Asking for an offline payment.

use std::path::PathBuf;

use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreExt, Tx};
use feiqian_money::{Amount, Currency};
use feiqian_node::carried::{self, Shown};
use feiqian_offline_cash::carry::Carried;
use feiqian_offline_cash::chain::{KeysetView, MAX_KEYSETS};
use feiqian_offline_cash::keyset::VerifiedKeyset;
use feiqian_offline_cash::request::{PaymentRequest, SignedRequest};
use feiqian_pki::fingerprint;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Bounded, Text, Timestamp};
use serde::Serialize;

use super::rows::Asked;
use super::tables::OFFLINE_SALE;
use crate::failure::Failure;
use crate::service::Merchant;

/// Answer to a request for an offline payment.
#[derive(Debug, Serialize)]
pub(crate) struct Requested {
    request: Digest,
    expires: Timestamp,
    amount: String,
    currency: Currency,
    order: String,
    #[serde(flatten)]
    message: Shown,
}

impl Merchant {
    /// Signs a request. The same order and amount again get the same request, as long as it can be paid. It asks nobody.
    pub(crate) async fn offline_request(
        &self,
        amount: &str,
        order: Text<64>,
        seconds: Option<u64>,
        out: Option<PathBuf>,
    ) -> Result<Requested, Fault> {
        let amount = Amount::parse(amount, self.config.currency)?;
        if amount.minor.is_zero() || order.is_empty() {
            let what = "a request has an order reference and asks for more than zero";
            return Err(Fault::new(Code::Usage, what));
        }
        let most = self.config.offline.policy.largest;
        if amount.minor > most {
            let most = Amount::new(most, amount.currency);
            return Err(Fault::new(Code::LimitExceeded, format!("this till takes at most {most} offline"))
                .hint("ask for it online, or change [offline.policy] of its config.toml"));
        }
        let now = self.seams.clock.now();
        let expires = now.saturating_add(seconds.unwrap_or(self.config.expires_seconds).max(1));
        let signed = self.sign_offline_request(amount, &order, expires)?;
        let (request, expires) = (signed.request.digest(), expires.seconds());
        let fresh = Asked { request, reference: order.into_string(), amount, expires, signed };
        let work = move |tx: &mut dyn Tx| -> Result<Asked, Failure> {
            let Some(known) = Asked::of_order(tx, &fresh.reference)? else {
                tx.insert(&OFFLINE_SALE, &fresh.values(now.seconds())?)?;
                return Ok(fresh.clone());
            };
            if known.amount == fresh.amount && now.seconds() < known.expires {
                return Ok(known);
            }
            let order = known.reference;
            let what = format!("order {order} was requested already, with another amount or until now");
            Err(Fault::new(Code::Conflict, what).hint("use a reference of its own for each order").into())
        };
        let asked = self.seams.store.commit("merchant.offline.request", work).await?;
        let message = carried::hand_out(&Carried::Request(asked.signed), out.as_deref())?;
        Ok(Requested {
            request: asked.request,
            expires: Timestamp::new(asked.expires),
            amount: asked.amount.to_string(),
            currency: asked.amount.currency,
            order: asked.reference,
            message,
        })
    }

    fn sign_offline_request(
        &self,
        amount: Amount,
        order: &Text<64>,
        expires: Timestamp,
    ) -> Result<SignedRequest, Fault> {
        let keysets = self.offline_keysets()?;
        if keysets.is_empty() {
            return Err(Fault::new(
                Code::Unavailable,
                "no bank's offline coins can be taken now: none is known",
            )
            .hint("connect the merchant to the center once"));
        }
        let chain = &self.keys.signer_chain;
        let issuer = chain.certificates().get(1);
        let issuer = issuer
            .ok_or_else(|| Fault::new(Code::Internal, "the signing chain lacks the bank's authority"))?;
        let request = PaymentRequest {
            leaf: Blob::new(chain.leaf())?,
            issuer: fingerprint(issuer),
            name: self.config.name.clone(),
            amount,
            order: order.clone(),
            bank: self.config.bank.clone(),
            account: self.config.account.clone(),
            till: self.config.offline.till.clone(),
            keysets,
            expires,
            nonce: self.fresh_digest(),
        };
        Ok(SignedRequest::sign(request, &self.keys.signer)?)
    }

    /// The keysets whose coins this till takes: of its currency, and paying past the margin; the newest if there are
    /// many.
    fn offline_keysets(&self) -> Result<Bounded<KeysetView, MAX_KEYSETS>, Fault> {
        let (view, currency) = (self.view(), self.config.currency);
        let at = self.seams.clock.now().saturating_add(self.config.offline.policy.margin_seconds);
        let pays =
            |known: &&VerifiedKeyset| known.keyset.currency == currency && at < known.keyset.times.pay_until;
        let shown = view.offline_keys().keysets().iter().rev().filter(pays).take(MAX_KEYSETS);
        Ok(Bounded::new(shown.map(VerifiedKeyset::view).collect())?)
    }
}
