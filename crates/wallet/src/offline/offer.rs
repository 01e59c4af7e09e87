//! Taking value from hand to hand: the payee's side.
//!
//! ```text
//! offer ──▶ commitment ──▶ payer          open_offer(nonce) ──▶ opening, code ──▶ payer
//!                                         accept(transfer) ──▶ holdings
//! ```
//!
//! The nonce of an offer is drawn from dice that are stored before the commitment leaves, so a wallet that dies between
//! the steps goes on with the same offer; it is opened to one payer's nonce only.

use std::collections::BTreeSet;
use std::path::PathBuf;

use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreExt, Tx};
use feiqian_money::{Amount, Minor};
use feiqian_node::carried;
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::carry::Carried;
use feiqian_offline_cash::chain::Blank;
use feiqian_offline_cash::held::Held;
use feiqian_offline_cash::keyset::Keys;
use feiqian_offline_cash::policy::Counter;
use feiqian_offline_cash::purse::Until;
use feiqian_offline_cash::transfer::{Offer, OpenOffer, PendingOffer, Transfer};
use feiqian_offline_cash::{MAX_PIECES, holding::Holding};
use feiqian_wire::Bounded;
use feiqian_wire::error::Code;
use rand::rngs::ChaCha12Rng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::pay::usual_pieces;
use super::rows::{CoinRow, OfferRow};
use super::tables::{OFFLINE_COIN, OFFLINE_OFFER};
use super::wrong::wrong_message;
use crate::answer::show;
use crate::failure::{Failure, Result};
use crate::record::{decode, encode, note};
use crate::sealed_rows::Place;
use crate::wallet::Wallet;

/// Adds what a message shows to an answer.
fn with_message(mut answer: Value, shown: &carried::Shown) -> Result<Value> {
    if let (Value::Object(answer), Value::Object(message)) = (&mut answer, show(shown)?) {
        answer.extend(message);
    }
    Ok(answer)
}

impl Wallet {
    /// `{"offer","amount","currency","blanks","expires","bytes","uri"}`. An offer that was not opened yet is replaced.
    pub(crate) async fn offer(
        &self,
        amount: Amount,
        blanks: Option<u16>,
        seconds: Option<u64>,
        out: Option<PathBuf>,
    ) -> Result<Value> {
        let free = self.free_blanks(blanks.map_or(usual_pieces(amount.minor), usize::from)).await?;
        let expires = self.now().saturating_add(seconds.unwrap_or(self.config.request_seconds));
        let listed = free.iter().map(|coin| Blank { key: coin.key, message: coin.message }).collect();
        let keysets = self.offline_views(Until::Pay)?;
        let offer = Offer { amount, blanks: Bounded::new(listed)?, keysets, expires };
        let dice = Zeroizing::new(self.rng().random::<[u8; 32]>());
        let (digest, body) = (offer.digest(), encode(&offer)?);
        let (_, commitment) = self.pending_offer(offer, &dice)?;
        let row = OfferRow {
            offer: digest,
            amount: amount.minor,
            body,
            dice: self.store_key.seal(Place::Offer(&digest), &*dice)?,
            state: "committed".to_owned(),
            payer: None,
            transfer: None,
            created: self.now().seconds(),
        };
        let messages: Vec<Digest> = free.iter().map(|coin| coin.message).collect();
        let count = messages.len();
        self.seams.store.commit("wallet.offline.offer", move |tx| replace_offer(tx, &row, &messages)).await?;
        let shown = carried::hand_out(&Carried::Commitment(commitment), out.as_deref())?;
        let answer = json!({
            "offer": digest, "amount": amount.to_string(), "currency": amount.currency, "blanks": count,
            "expires": expires.seconds(),
        });
        with_message(answer, &shown)
    }

    fn pending_offer(
        &self,
        offer: Offer,
        dice: &[u8; 32],
    ) -> Result<(PendingOffer, feiqian_offline_cash::transfer::OfferCommitment)> {
        let view = self.view();
        Ok(offer.commit(view.offline_keys(), &mut ChaCha12Rng::from_seed(*dice))?)
    }

    /// Blanks that stand in no offer that was opened, those that last longest first.
    async fn free_blanks(&self, count: usize) -> Result<Vec<CoinRow>> {
        if count == 0 || count > MAX_PIECES {
            return Err(Failure::new(Code::Usage, format!("an offer lists 1 to {MAX_PIECES} blanks")));
        }
        let unopened = "kind = 'blank' AND state = 'good' AND chain IS NULL AND (offer IS NULL OR offer IN \
                        (SELECT offer FROM offline_offer WHERE state = 'committed'))";
        let blanks = self.seams.store.read(move |tx| CoinRow::select(tx, unopened, &[])).await?;
        let (view, now) = (self.view(), self.now());
        let mut good = Vec::new();
        for blank in blanks {
            let key = view.offline_keys().key(&blank.key)?;
            if key.check_pay(now, self.config.offline.margin_seconds).is_ok() {
                good.push((std::cmp::Reverse(key.times.pay_until), blank));
            }
        }
        good.sort_by_key(|(until, blank)| (*until, blank.message));
        if good.is_empty() {
            return Err(Failure::new(Code::InsufficientFunds, "no blank is left to take a piece")
                .hint("get some with `wallet blanks 8`"));
        }
        Ok(good.into_iter().take(count).map(|(_, blank)| blank).collect())
    }

    /// `{"offer","outcome":"opened","code","amount","currency","bytes","uri"|"frames"|"file"}`: people compare the code.
    pub(crate) async fn open_offer(&self, source: &str, out: Option<PathBuf>) -> Result<Value> {
        let nonce = match carried::read(source)? {
            Carried::Nonce(nonce) => nonce,
            other => return Err(wrong_message(&other)),
        };
        let open = move |tx: &mut dyn Tx| {
            let opened = OfferRow::in_state(tx, "opened")?;
            if let Some(row) = opened.into_iter().find(|row| row.payer == Some(nonce.0)) {
                return Ok(row);
            }
            let mut committed = OfferRow::in_state(tx, "committed")?;
            let mut row = committed.pop().ok_or_else(|| {
                Failure::new(Code::RequestMismatch, "no offer of this wallet waits for a payer's answer")
                    .hint("make one with `wallet offline offer`; each is opened to one payer")
            })?;
            (row.payer, row.state) = (Some(nonce.0), "opened".to_owned());
            tx.update(&OFFLINE_OFFER, &row.values()?)?;
            Ok::<_, Failure>(row)
        };
        let row = self.seams.store.commit("wallet.offline.open", open).await?;
        let offer: Offer = decode(&row.body, &OFFLINE_OFFER)?;
        let amount = offer.amount;
        let dice = self.store_key.open_array(Place::Offer(&row.offer), &row.dice)?;
        let (pending, _) = self.pending_offer(offer, &dice)?;
        let (_, opening, code) = pending.open(&nonce);
        let shown = carried::hand_out(&Carried::Opening(opening), out.as_deref())?;
        let answer = json!({
            "offer": row.offer, "outcome": "opened", "code": code.to_string(),
            "amount": amount.to_string(), "currency": amount.currency,
        });
        with_message(answer, &shown)
    }

    /// `{"offer","outcome":"taken","amount","currency","pieces","bytes"}`, with no connection to anybody.
    pub(crate) async fn accept_transfer(&self, source: &str) -> Result<Value> {
        let (transfer, bytes) = match carried::read(source)? {
            Carried::Transfer(transfer) => {
                let bytes = Carried::Transfer(transfer.clone()).to_file()?.len();
                (transfer, bytes)
            }
            other => return Err(wrong_message(&other)),
        };
        let (digest, body) = (transfer.offer, encode(&transfer)?);
        let row = self.seams.store.read(move |tx| OfferRow::find(tx, &digest)).await?;
        let row = row.ok_or(Rejection::RequestMismatch)?;
        match row.state.as_str() {
            "taken" if row.transfer.as_ref() == Some(&body) => {}
            "taken" => return Err(Rejection::BlankAnswered.into()),
            "opened" => self.receive_pieces(&row, &transfer, body).await?,
            _ => return Err(Rejection::RequestMismatch.into()),
        }
        let (amount, pieces) = (self.amount(row.amount), transfer.chains.len());
        show(&json!({
            "offer": digest, "outcome": "taken", "amount": amount.to_string(), "currency": amount.currency,
            "pieces": pieces, "bytes": bytes,
        }))
    }

    async fn receive_pieces(&self, row: &OfferRow, transfer: &Transfer, body: Vec<u8>) -> Result<()> {
        let offer: Offer = decode(&row.body, &OFFLINE_OFFER)?;
        let taken = self.seams.store.read(|tx| CoinRow::select(tx, "chain IS NOT NULL", &[])).await?;
        let taken: BTreeSet<Digest> = taken.iter().map(|coin| coin.message).collect();
        let (held, now) = (self.held_chains().await?, self.now());
        let holdings = self.check_transfer(offer, transfer, &taken, &held)?;
        let chains = holdings.iter().map(|holding| Ok((holding.value(), holding.to_passed()?)));
        let chains: Vec<_> = chains.collect::<Result<_>>()?;
        let bank = holdings.first().map(bank_of).unwrap_or_default();
        let digest = row.offer;
        let store = move |tx: &mut dyn Tx| {
            let mut row = OfferRow::find(tx, &digest)?.ok_or(Rejection::RequestMismatch)?;
            for (value, chain) in &chains {
                let mut blank = CoinRow::load(tx, &chain.blank.message)?;
                if row.state != "opened"
                    || blank.chain.is_some()
                    || blank.restored
                    || blank.offer != Some(digest)
                {
                    return Err(Rejection::BlankAnswered.into());
                }
                (blank.worth, blank.rest, blank.chain) = (*value, *value, Some(chain.clone()));
                tx.update(&OFFLINE_COIN, &blank.values()?)?;
            }
            (row.state, row.transfer) = ("taken".to_owned(), Some(body.clone()));
            tx.update(&OFFLINE_OFFER, &row.values()?)?;
            note(tx, now, "offline_accept", row.amount, &bank, &digest)
        };
        self.seams.store.commit("wallet.offline.accept", store).await
    }

    fn check_transfer(
        &self,
        offer: Offer,
        transfer: &Transfer,
        taken: &BTreeSet<Digest>,
        held: &Held,
    ) -> Result<Vec<Holding>> {
        let (view, policy, now) = (self.view(), &self.config.offline, self.now());
        let counter = Counter { keys: view.offline_keys(), policy, exposed: view.exposed(), held, now };
        let received = OpenOffer::new(offer).receive(transfer, taken, &counter, &mut self.rng());
        Ok(received.map_err(|(_, rejection)| rejection)?)
    }
}

fn bank_of(holding: &Holding) -> String {
    holding.chain().terms().bank.to_string()
}

/// Stores an offer in place of those that nobody has seen: the same words may make the same offer again.
fn replace_offer(tx: &mut dyn Tx, row: &OfferRow, blanks: &[Digest]) -> Result<()> {
    for unseen in OfferRow::in_state(tx, "committed")? {
        for mut blank in CoinRow::select(tx, "offer = ?1", &[unseen.offer.into()])? {
            blank.offer = None;
            tx.update(&OFFLINE_COIN, &blank.values()?)?;
        }
        tx.delete(&OFFLINE_OFFER, &[unseen.offer.into()])?;
    }
    for message in blanks {
        let mut blank = CoinRow::load(tx, message)?;
        if blank.offer.is_some() || blank.restored || blank.chain.is_some() || blank.worth != Minor::ZERO {
            return Err(Failure::broken("a blank stands in another offer"));
        }
        blank.offer = Some(row.offer);
        tx.update(&OFFLINE_COIN, &blank.values()?)?;
    }
    Ok(tx.insert(&OFFLINE_OFFER, &row.values()?)?)
}
