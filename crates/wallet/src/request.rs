//! Asking somebody for payment, with a payee key made for this request alone.

use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreExt, Value as Stored};
use feiqian_money::Amount;
use feiqian_online_cash::coin::public_key;
use feiqian_online_cash::request::{Delivery, Payee, PaymentRequest, Route, SignedRequest};
use feiqian_wire::Text;
use feiqian_wire::error::Code;
use rand::RngExt as _;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::answer::{Requested, show};
use crate::failure::{Failure, Result};
use crate::record::{encode, next_number};
use crate::tables::PAYEE_REQUEST;
use crate::wallet::Wallet;

/// The counter of payee keys.
const KIND: &str = "payee";

impl Wallet {
    pub(crate) async fn request(&self, amount: Amount, order: &str, seconds: Option<u64>) -> Result<Value> {
        if amount.minor.is_zero() {
            return Err(Failure::new(Code::Usage, "a request is for more than zero"));
        }
        if self.view().pins.is_empty() {
            self.sync().await?;
        }
        let number =
            self.seams.store.commit("wallet.request.number", |tx| next_number(tx, "", KIND, 0)).await?;
        let secret = Zeroizing::new(self.seed.payee_key(&self.generation, number));
        let expires = self.now().saturating_add(seconds.unwrap_or(self.config.request_seconds));
        let to = self.bank_target(self.config.bank.as_str()).await?;
        let request = PaymentRequest {
            payee: Payee::Key(public_key(&secret)),
            name: Text::fitted(&self.config.name),
            amount,
            order: Text::new(order)
                .map_err(|error| Failure::new(Code::Usage, format!("order reference: {error}")))?,
            route: Route::Received,
            delivery: Delivery::DropBox(Text::new(to.url)?),
            refund_until: expires,
            view: self.view().pins.view(),
            expires,
            nonce: Digest(self.rng().random()),
        };
        let signed = SignedRequest::by_key(request, &secret, &mut self.rng())?;
        let (uri, digest, body) = (signed.to_uri()?, signed.request.digest(), encode(&signed)?);
        self.seams
            .store
            .commit("wallet.request.keep", move |tx| {
                let values = [
                    digest.into(),
                    Stored::unsigned(number)?,
                    body.clone().into(),
                    Stored::unsigned(expires.seconds())?,
                    "open".into(),
                ];
                Ok::<_, Failure>(tx.insert(&PAYEE_REQUEST, &values)?)
            })
            .await?;
        show(&Requested { uri, request: digest, expires: expires.seconds() })
    }
}
