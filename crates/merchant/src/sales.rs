//! What was asked for, and what became of it.

use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::store::{Row, StoreExt, Tx, Value};
use feiqian_money::{Amount, Currency, Minor};
use feiqian_online_cash::deposit::Outcome;
use feiqian_online_cash::request::{Delivery, Payee, PaymentRequest, Route, SignedRequest};
use feiqian_pki::fingerprint;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Limit, Text, Timestamp, codec};
use serde::Serialize;

use crate::failure::Failure;
use crate::service::Merchant;
use crate::tables::SALE;

/// A request as stored.
#[derive(Debug, Clone)]
pub(crate) struct Sale {
    pub(crate) request: Digest,
    pub(crate) reference: String,
    pub(crate) amount: Amount,
    pub(crate) expires: u64,
    pub(crate) signed: SignedRequest,
}

impl Sale {
    pub(crate) fn from_row(row: &Row) -> Result<Self, Failure> {
        Ok(Self {
            request: row.digest(0)?,
            reference: row.text(1)?.to_owned(),
            amount: Amount::new(row.minor(2)?, row.parse(3)?),
            expires: row.unsigned(4)?,
            signed: codec::decode(row.blob(5)?, Limit::Small)?,
        })
    }

    fn values(&self, now: u64) -> Result<[Value; 7], Failure> {
        Ok([
            self.request.into(),
            self.reference.as_str().into(),
            self.amount.minor.into(),
            self.amount.currency.code().into(),
            Value::unsigned(self.expires)?,
            codec::encode(&self.signed)?.into(),
            Value::unsigned(now)?,
        ])
    }
}

pub(crate) fn find_sale(tx: &mut dyn Tx, request: &Digest) -> Result<Option<Sale>, Failure> {
    tx.find(&SALE, &[(*request).into()])?.map(|row| Sale::from_row(&row)).transpose()
}

pub(crate) fn sale_of_order(tx: &mut dyn Tx, order: &str) -> Result<Option<Sale>, Failure> {
    let sql = format!("SELECT {} FROM {} WHERE reference = ?1", SALE.column_list(), SALE.name);
    tx.select(&sql, &[order.into()])?.first().map(Sale::from_row).transpose()
}

/// Answer to a request for money.
#[derive(Debug, Serialize)]
pub struct Requested {
    /// What the payer's wallet takes: `feiqian:…`.
    pub uri: String,
    /// The request's digest.
    pub request: Digest,
    /// First second at which it can no longer be paid.
    pub expires: Timestamp,
    /// How much.
    pub amount: String,
    /// In which currency.
    pub currency: Currency,
    /// The reference.
    pub order: String,
}

/// One order.
#[derive(Debug, Serialize)]
pub struct OrderLine {
    /// The reference.
    pub order: String,
    /// How much.
    pub amount: String,
    /// In which currency.
    pub currency: Currency,
    /// `open`, `expired`, `pending`, `paid`, `double-spent` or `refused`.
    pub state: &'static str,
    /// The payment that claims it.
    pub payment: Option<Digest>,
    /// Refunded so far.
    pub refunded: String,
}

impl Merchant {
    /// Signs a request. The same order and amount again get the same request, as long as it can be paid.
    pub(crate) async fn request(
        &self,
        amount: &str,
        order: Text<64>,
        seconds: Option<u64>,
    ) -> Result<Requested, Fault> {
        let currency = self.config.currency;
        let amount = Amount::parse(amount, currency)?;
        if amount.minor.is_zero() || order.is_empty() {
            return Err(Fault::new(
                Code::Usage,
                "a request has an order reference and asks for more than zero",
            ));
        }
        let now = self.seams.clock.now();
        let expires = now.saturating_add(seconds.unwrap_or(self.config.expires_seconds).max(1));
        let signed = self.sign_request(amount, &order, expires)?;
        signed.to_uri()?;
        let fresh = Sale {
            request: signed.request.digest(),
            reference: order.into_string(),
            amount,
            expires: expires.seconds(),
            signed,
        };
        let work = move |tx: &mut dyn Tx| -> Result<Sale, Failure> {
            let Some(known) = sale_of_order(tx, &fresh.reference)? else {
                tx.insert(&SALE, &fresh.values(now.seconds())?)?;
                return Ok(fresh.clone());
            };
            if known.amount != fresh.amount || known.expires <= now.seconds() {
                let what = format!(
                    "order {} was requested already, with another amount or until now",
                    known.reference
                );
                return Err(Fault::new(Code::Conflict, what)
                    .hint("use a reference of its own for each order")
                    .into());
            }
            Ok(known)
        };
        let sale = self.seams.store.commit("merchant.request", work).await?;
        Ok(Requested {
            uri: sale.signed.to_uri()?,
            request: sale.request,
            expires: Timestamp::new(sale.expires),
            amount: sale.amount.to_string(),
            currency,
            order: sale.reference,
        })
    }

    fn sign_request(
        &self,
        amount: Amount,
        order: &Text<64>,
        expires: Timestamp,
    ) -> Result<SignedRequest, Fault> {
        let issuer = self.keys.signer_chain.certificates().get(1);
        let issuer = issuer
            .ok_or_else(|| Fault::new(Code::Internal, "the signing chain lacks the bank's authority"))?;
        let leaf = Blob::new(self.keys.signer_chain.leaf())?;
        let nonce = self.fresh_digest();
        let request = PaymentRequest {
            payee: Payee::Certified { leaf, issuer: fingerprint(issuer) },
            name: self.config.name.clone(),
            amount,
            order: order.clone(),
            route: Route::Account { bank: self.config.bank.clone(), account: self.config.account.clone() },
            delivery: Delivery::Url(self.delivery_url()?),
            refund_until: expires.saturating_add(self.config.refund_seconds),
            view: self.view().pins.view(),
            expires,
            nonce,
        };
        Ok(SignedRequest::by_account_holder(request, &self.keys.signer)?)
    }

    /// 32 fresh random bytes.
    pub(crate) fn fresh_digest(&self) -> Digest {
        let mut rng = self.seams.entropy.rng();
        let (one, two) = (Id16::random(&mut rng), Id16::random(&mut rng));
        let mut bytes = [0; 32];
        let drawn = one.0.into_iter().chain(two.0);
        bytes.iter_mut().zip(drawn).for_each(|(to, from)| *to = from);
        Digest(bytes)
    }

    /// The newest orders.
    pub(crate) async fn orders(&self, limit: u32) -> Result<Vec<OrderLine>, Fault> {
        let now = self.seams.clock.now().seconds();
        let work = move |tx: &mut dyn Tx| -> Result<Vec<OrderLine>, Failure> {
            let sql = "SELECT s.reference, s.amount, s.currency, s.expires, p.payment, p.state, p.outcome, \
                (SELECT coalesce(sum(r.amount), 0) FROM merchant_refund AS r \
                 WHERE r.payment = p.payment AND r.state = 1) \
                FROM merchant_sale AS s \
                LEFT JOIN merchant_claim AS c ON c.request = s.request \
                LEFT JOIN merchant_payment AS p ON p.payment = c.payment \
                ORDER BY s.created DESC, s.reference LIMIT ?1";
            tx.select(sql, &[limit.into()])?.iter().map(|row| order_line(row, now)).collect()
        };
        Ok(self.seams.store.read(work).await?)
    }
}

fn order_line(row: &Row, now: u64) -> Result<OrderLine, Failure> {
    let currency: Currency = row.parse(2)?;
    let state = match row.optional_integer(5)? {
        None if row.unsigned(3)? <= now => "expired",
        None => "open",
        Some(0) => "pending",
        Some(1) => "paid",
        Some(_) => match codec::decode::<Outcome>(row.blob(6)?, Limit::Large)? {
            Outcome::DoubleSpent(_) => "double-spent",
            _ => "refused",
        },
    };
    let text = |minor: Minor| Amount::new(minor, currency).to_string();
    Ok(OrderLine {
        order: row.text(0)?.to_owned(),
        amount: text(row.minor(1)?),
        currency,
        state,
        payment: row.optional_digest(4)?,
        refunded: text(row.minor(7)?),
    })
}
