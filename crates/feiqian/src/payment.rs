//! `feiqian verify` of a payment, as `wallet pay --out` writes it: against the keys that the center shows to everybody.

use std::path::Path;
use std::sync::Arc;

use feiqian_node::{
    Caller, Clock as _, Endpoint, Entropy as _, HttpsNetwork, MemberView, Members, SystemClock,
    SystemEntropy, Target, Trust, call, first_contact,
};
use feiqian_online_cash::deposit::{CashItem, OutcomeRequest, OutcomeResponse};
use feiqian_online_cash::payment::{Checker, VerifiedPayment};
use feiqian_online_cash::request::Route;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, Limit, codec};
use serde_json::{Value, json};

use crate::cli::JudgedBy;
use crate::verify;

/// The payment in these bytes, if they are one.
pub(crate) fn read(bytes: &[u8]) -> Option<CashItem> {
    codec::decode_json(bytes, Limit::Large).or_else(|_| codec::decode(bytes, Limit::Large)).ok()
}

/// Checks request, coins, sums, signatures and the proof of possession, and asks the issuing bank, through the center,
/// what became of it.
///
/// # Errors
/// `USAGE` when no center is named; `WRONG_ROOT`; the code of the first rule that the payment breaks.
pub(crate) async fn check(file: &Path, item: &CashItem, by: &JudgedBy) -> Result<Value, Fault> {
    let Some(center) = &by.center else {
        let why =
            format!("{} is a payment: it is checked against the keys that the center shows", file.display());
        return Err(Fault::new(Code::Usage, why).hint("name the center with --center"));
    };
    let endpoint: Endpoint = center.trim().parse().map_err(|error: feiqian_node::EndpointError| {
        Fault::new(Code::Usage, format!("--center: {error}"))
    })?;
    let clock: Arc<dyn feiqian_node::Clock> = Arc::new(SystemClock);
    let root = first_contact(&endpoint, Arc::clone(&clock)).await.map_err(Fault::from)?;
    let named = verify::trust(by.root.as_deref())?;
    let trusted = verify::agrees(&named, &root)? || endpoint.pin.fingerprint.is_some();
    let network = HttpsNetwork::new(Arc::new(Trust::new(root.clone(), clock)), None);
    let members = Members::new(MemberView::empty(root), endpoint.url());
    let now = SystemClock.now();
    members.sync(&network, now).await?;
    let view = members.snapshot();
    let checker = Checker { pins: &view.pins, authorities: &*view, now };
    let payment = checker.verify(item, &mut SystemEntropy.rng()).map_err(Fault::from)?;
    let answer = became(&network, members.center(), item, &payment).await?;
    let register = standing(&view, &payment, answer)?;
    Ok(described(&payment, trusted, register))
}

async fn became(
    network: &HttpsNetwork,
    center: &Target,
    item: &CashItem,
    payment: &VerifiedPayment,
) -> Result<OutcomeResponse, Fault> {
    let request = OutcomeRequest {
        bank: payment.issuing_bank.clone(),
        expires: item.request.request.expires,
        body: item.request.request.body_digest(),
        shares: Bounded::collect(payment.coins.iter().map(|coin| coin.share))?,
    };
    call(network, center, Caller::Anonymous, "/v1/outcome", &request).await.map_err(Fault::from)
}

/// The issuing bank's word, if it is about this payment and signed by that bank.
fn standing(
    view: &MemberView,
    payment: &VerifiedPayment,
    answer: OutcomeResponse,
) -> Result<&'static str, Fault> {
    let (bank, now) = (payment.issuing_bank.as_str(), SystemClock.now());
    let other = || Fault::new(Code::Unavailable, "the bank answered for another payment");
    match answer {
        OutcomeResponse::Open => Ok("open"),
        OutcomeResponse::Paid { receipt, .. } => {
            if receipt.payment != payment.digest {
                return Err(other());
            }
            receipt.verify(&view.receipt_signer(bank, receipt.paid_at, now)?)?;
            Ok("paid")
        }
        OutcomeResponse::Expired(statement) => {
            if statement.payment != payment.digest {
                return Err(other());
            }
            statement.verify(&view.receipt_signer(bank, statement.expires, now)?)?;
            Ok("expired")
        }
    }
}

fn described(payment: &VerifiedPayment, trusted: bool, register: &str) -> Value {
    let request = &payment.request.request;
    let to = match &request.route {
        Route::Account { bank, account } => Some(format!("{bank}/{account}")),
        Route::Received => None,
    };
    json!({
        "kind": "payment",
        "valid": true,
        "trusted": trusted,
        "payment": payment.digest.to_string(),
        "request": payment.request.digest.to_string(),
        "bank": payment.issuing_bank,
        "coins": payment.coins.len(),
        "amount": request.amount.to_string(),
        "currency": request.amount.currency.code(),
        "payee": request.name,
        "order": request.order,
        "to": to,
        "expires": request.expires.seconds(),
        "register": register,
    })
}
