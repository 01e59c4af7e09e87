//! Answers to the owner's commands, as they are shown.

use feiqian_crypto::{Digest, Transcript};
use feiqian_money::{Amount, Currency};
use serde::Serialize;
use serde_json::Value;

use crate::failure::{Failure, Result};

/// Names an act by its words, so that a repeat of an act whose answer was lost is recognised.
pub(crate) fn intent(kind: &str, amount: Amount) -> Digest {
    Transcript::new("wallet/intent")
        .text(kind)
        .integer(amount.minor.value())
        .text(amount.currency.code())
        .into_digest()
}

pub(crate) fn show(answer: &impl Serialize) -> Result<Value> {
    serde_json::to_value(answer)
        .map_err(|error| Failure::broken(format!("an answer cannot be shown: {error}")))
}

#[derive(Serialize)]
pub(crate) struct Withdrawn {
    pub(crate) amount: String,
    pub(crate) currency: Currency,
    pub(crate) coins: usize,
    pub(crate) session: Digest,
}

#[derive(Serialize)]
pub(crate) struct Paid {
    pub(crate) payment: Digest,
    pub(crate) outcome: &'static str,
    pub(crate) amount: String,
    pub(crate) currency: Currency,
}

#[derive(Serialize)]
pub(crate) struct Balance {
    pub(crate) balance: String,
    pub(crate) pending: String,
    pub(crate) currency: Currency,
    pub(crate) coins: usize,
    pub(crate) offline: crate::offline::Offline,
}

#[derive(Serialize)]
pub(crate) struct Requested {
    pub(crate) uri: String,
    pub(crate) request: Digest,
    pub(crate) expires: u64,
}

#[derive(Serialize)]
pub(crate) struct Receipt {
    pub(crate) amount: String,
    pub(crate) currency: Currency,
    pub(crate) payment: Digest,
}

#[derive(Serialize)]
pub(crate) struct Received {
    pub(crate) received: Vec<Receipt>,
    pub(crate) total: String,
    pub(crate) currency: Currency,
}

#[derive(Serialize)]
pub(crate) struct Refreshed {
    pub(crate) refreshed: String,
    pub(crate) refunded: String,
    pub(crate) coins: usize,
    pub(crate) currency: Currency,
}

#[derive(Serialize)]
pub(crate) struct Event {
    pub(crate) at: u64,
    pub(crate) kind: String,
    pub(crate) amount: String,
    pub(crate) currency: Currency,
    pub(crate) bank: String,
    pub(crate) reference: String,
}

#[derive(Serialize)]
pub(crate) struct History {
    pub(crate) history: Vec<Event>,
}

#[derive(Serialize)]
pub(crate) struct Open {
    pub(crate) kind: String,
    pub(crate) state: String,
    pub(crate) amount: String,
    pub(crate) bank: String,
    pub(crate) reference: Digest,
}

#[derive(Serialize)]
pub(crate) struct Status {
    pub(crate) role: &'static str,
    pub(crate) bank: String,
    pub(crate) account: String,
    pub(crate) currency: Currency,
    pub(crate) center: String,
    pub(crate) keysets: usize,
    pub(crate) unfinished: Vec<Open>,
    pub(crate) refused_coins: usize,
}
