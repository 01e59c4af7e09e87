//! Paying a request with no network at all.

use std::path::PathBuf;

use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreExt, Tx};
use feiqian_money::{Currency, Minor};
use feiqian_node::carried::{self, Shown};
use feiqian_offline_cash::carry::Carried;
use feiqian_offline_cash::chain::payment_set;
use feiqian_offline_cash::holding::{Unsent, Unspent};
use feiqian_offline_cash::pay::{CashItem, Payment, pay, pay_oneself};
use feiqian_offline_cash::purse::SpendError;
use feiqian_offline_cash::request::{SignedRequest, VerifiedRequest};
use feiqian_wire::codec::{self, Limit};
use feiqian_wire::error::Code;
use serde::Serialize;
use serde_json::Value;

use super::purse::{Taker, record_answers};
use super::rows::PaymentRow;
use super::tables::OFFLINE_PAYMENT;
use super::wrong::wrong_message;
use crate::answer::show;
use crate::failure::{Failure, Result};
use crate::record::{decode, encode, note};
use crate::wallet::Wallet;

/// The answer to a payment or transfer.
#[derive(Serialize)]
pub(super) struct Given {
    pub(super) payment: Digest,
    pub(super) outcome: &'static str,
    pub(super) amount: String,
    pub(super) currency: Currency,
    pub(super) pieces: usize,
    #[serde(flatten)]
    pub(super) message: Shown,
}

/// What a payment is for besides its request.
pub(super) struct Purpose {
    pub(super) kind: &'static str,
    pub(super) point: &'static str,
    pub(super) intent: Option<Digest>,
}

impl Wallet {
    /// `{"payment","outcome":"given","amount","currency","pieces","bytes","uri"|"frames"|"file"}`.
    pub(crate) async fn pay_offline(&self, source: &str, out: Option<PathBuf>) -> Result<Value> {
        let request = match carried::read(source)? {
            Carried::Request(request) => request,
            other => return Err(wrong_message(&other)),
        };
        let digest = request.request.digest();
        let known = self.seams.store.read(move |tx| PaymentRow::find(tx, &digest)).await?;
        let row = match known {
            Some(row) if row.kind == "pay" => row,
            Some(_) => {
                return Err(Failure::new(Code::Conflict, "the request is one of this wallet's own deposits"));
            }
            None => {
                let purpose = Purpose { kind: "pay", point: "wallet.offline.pay", intent: None };
                self.spend_on(request, purpose).await?
            }
        };
        let payment: Payment = decode(&row.body, &OFFLINE_PAYMENT)?;
        let pieces = payment.chains.len();
        let message = carried::hand_out(&Carried::Payment(payment), out.as_deref())?;
        self.given(row, pieces, message)
    }

    pub(super) fn given(&self, row: PaymentRow, pieces: usize, message: Shown) -> Result<Value> {
        let amount = self.amount(row.amount);
        let (currency, amount) = (amount.currency, amount.to_string());
        show(&Given { payment: row.payment, outcome: "given", amount, currency, pieces, message })
    }

    /// Checks a request, chooses pieces, answers for them and stores it all in one commit.
    pub(super) async fn spend_on(&self, request: SignedRequest, purpose: Purpose) -> Result<PaymentRow> {
        let (view, now) = (self.view(), self.now());
        let verified = request.verify(&*view, now)?;
        verified.check_open(now)?;
        let asked = verified.request.amount;
        if asked.currency != self.config.currency {
            let currency = self.config.currency;
            let what = format!("the request is in {}, the wallet holds {currency}", asked.currency);
            return Err(Failure::new(Code::WrongCurrency, what));
        }
        let deposit = purpose.kind == "deposit";
        let (taker, wish) =
            if deposit { (Taker::Bank, verified.own_wish(now)) } else { (Taker::Hand, verified.wish(now)) };
        let pieces = self.choose_pieces(wish, taker).await?;
        let bank = pieces.first().map(|piece| piece.terms().bank.to_string()).unwrap_or_default();
        let set = set_of(&verified, &pieces);
        let unsent = if deposit { pay_oneself(&verified, pieces, now) } else { pay(&verified, pieces, now) };
        let unsent = unsent.map_err(refused)?;
        let (answers, body) = (unsent.answers().to_vec(), unsent.bytes().to_vec());
        let payment = read_back(&unsent)?;
        let item = deposit.then(|| encode(&CashItem { request, payment })).transpose()?;
        let row = PaymentRow {
            owner: verified.digest,
            payment: set,
            kind: purpose.kind,
            amount: asked.minor,
            body,
            item,
            state: if deposit { "open" } else { "given" }.to_owned(),
            outcome: None,
            created: now.seconds(),
            intent: purpose.intent,
            reported: !deposit,
        };
        let kept = row.clone();
        let store = move |tx: &mut dyn Tx| {
            record_answers(tx, &kept.owner, &answers)?;
            tx.insert(&OFFLINE_PAYMENT, &kept.values()?)?;
            note(tx, now, &format!("offline_{}", kept.kind), kept.amount, &bank, &set)
        };
        self.seams.store.commit(purpose.point, store).await?;
        let _ = unsent.release_after_storing();
        Ok(row)
    }
}

fn set_of(request: &VerifiedRequest, pieces: &[Unspent]) -> Digest {
    let places: Vec<_> = pieces.iter().map(Unspent::place).collect();
    payment_set(&request.digest, &places)
}

/// The message as it will be sent, before it may be.
fn read_back(unsent: &Unsent<Payment>) -> Result<Payment> {
    Ok(codec::decode(unsent.bytes(), Limit::Large)?)
}

/// Nothing was spent: the parts in the error are those of the store.
pub(super) fn refused(error: SpendError) -> Failure {
    match error {
        SpendError::Refused { because, .. } => because.into(),
        SpendError::Misuse(misuse) => misuse.into(),
        other => Failure::broken(other.to_string()),
    }
}

/// How many pieces an offer lists blanks for unless it is told: an amount's bits, and a few for coins that are not whole.
pub(super) fn usual_pieces(amount: Minor) -> usize {
    usize::try_from(amount.value().count_ones()).unwrap_or(usize::MAX).saturating_add(3)
}
