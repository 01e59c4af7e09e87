//! Passing value from hand to hand: the payer's side.
//!
//! ```text
//! answer_offer(commitment) ──▶ nonce ──▶ payee
//! transfer_coin(opening) ──▶ shows amount and code; people compare
//! transfer_coin(opening, the payee's code) ──▶ transfer ──▶ payee
//! ```

use std::path::PathBuf;

use feiqian_crypto::Digest;
use feiqian_ledger::store::{Row, StoreExt, Tx, Value as Stored};
use feiqian_node::carried::{self, Shown};
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::carry::Carried;
use feiqian_offline_cash::transfer::{
    ConfirmedOffer, OfferCommitment, OfferOpening, ShownOffer, Transfer, pass,
};
use feiqian_wire::error::Code;
use rand::rngs::ChaCha12Rng;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::pay::refused;
use super::purse::{Taker, record_answers};
use super::rows::PaymentRow;
use super::tables::{OFFLINE_EXPECT, OFFLINE_PAYMENT};
use super::wrong::wrong_message;
use crate::answer::show;
use crate::failure::{Failure, Result};
use crate::record::{decode, note, select};
use crate::sealed_rows::{Place, Sealed};
use crate::wallet::Wallet;

#[derive(Serialize)]
struct Answered {
    outcome: &'static str,
    #[serde(flatten)]
    message: Shown,
}

impl Wallet {
    /// `{"outcome":"answered","bytes","uri"}`.
    pub(crate) async fn answer_offer(&self, source: &str, out: Option<PathBuf>) -> Result<Value> {
        match carried::read(source)? {
            Carried::Commitment(commitment) => self.answer_commitment(commitment, out).await,
            other => Err(wrong_message(&other)),
        }
    }

    /// Passes value to an opened offer.
    ///
    /// * without `code`: `{"outcome":"compare","code","amount","currency","offer"}`
    /// * with the code that the payee's screen shows:
    ///   `{"payment","outcome":"given","amount","currency","pieces","bytes","uri"|"frames"|"file"}`
    pub(crate) async fn transfer_coin(
        &self,
        source: &str,
        code: Option<&str>,
        out: Option<PathBuf>,
    ) -> Result<Value> {
        match carried::read(source)? {
            Carried::Opening(opening) => self.pass_to(opening, code, out).await,
            other => Err(wrong_message(&other)),
        }
    }

    /// Our nonce for a commitment: one, however often it is asked for.
    async fn answer_commitment(&self, commitment: OfferCommitment, out: Option<PathBuf>) -> Result<Value> {
        let (fresh, now) = (Zeroizing::new(self.rng().random::<[u8; 32]>()), self.now());
        let fresh = self.store_key.seal(Place::Expect(&commitment.0), &*fresh)?;
        let keep = move |tx: &mut dyn Tx| {
            if let Some(row) = tx.find(&OFFLINE_EXPECT, &[commitment.0.into()])? {
                return Ok(Sealed::of(&row, 1)?);
            }
            let values = [commitment.0.into(), fresh.value(), Stored::unsigned(now.seconds())?];
            tx.insert(&OFFLINE_EXPECT, &values)?;
            Ok::<_, Failure>(fresh.clone())
        };
        let dice = self.seams.store.commit("wallet.offline.nonce", keep).await?;
        let dice = self.store_key.open_array(Place::Expect(&commitment.0), &dice)?;
        let (_, nonce) = commitment.answer(&mut ChaCha12Rng::from_seed(*dice));
        let message = carried::hand_out(&Carried::Nonce(nonce), out.as_deref())?;
        show(&Answered { outcome: "answered", message })
    }

    async fn pass_to(
        &self,
        opening: OfferOpening,
        code: Option<&str>,
        out: Option<PathBuf>,
    ) -> Result<Value> {
        let digest = opening.offer.digest();
        let known = self.seams.store.read(move |tx| PaymentRow::find(tx, &digest)).await?;
        let row = match known {
            Some(row) => row,
            None => {
                let shown = self.shown_offer(&opening).await?;
                let (amount, own) = (shown.offer().amount, shown.code().to_string());
                match code {
                    None => {
                        return show(&json!({
                            "outcome": "compare", "code": own, "offer": digest,
                            "amount": amount.to_string(), "currency": amount.currency,
                        }));
                    }
                    Some(code) if digits(code) == digits(&own) => {}
                    Some(_) => {
                        return Err(Failure::new(Code::RequestMismatch, "the codes differ").hint(
                            "do not pay: somebody may stand between the two wallets. Ask for a new offer",
                        ));
                    }
                }
                self.pass_value(shown.codes_agree(), digest).await?
            }
        };
        let transfer: Transfer = decode(&row.body, &OFFLINE_PAYMENT)?;
        let pieces = transfer.chains.len();
        let message = carried::hand_out(&Carried::Transfer(transfer), out.as_deref())?;
        self.given(row, pieces, message)
    }

    /// The commitment that we answered and that this opens.
    async fn shown_offer(&self, opening: &OfferOpening) -> Result<ShownOffer> {
        let read = |tx: &mut dyn Tx| {
            let rows = select(tx, &OFFLINE_EXPECT, "ORDER BY created DESC, commitment", &[])?;
            let one = |row: &Row| Ok::<_, Failure>((row.digest(0)?, Sealed::of(row, 1)?));
            rows.iter().map(one).collect::<Result<Vec<(Digest, Sealed)>>>()
        };
        let answered = self.seams.store.read(read).await?;
        let (view, mut last) = (self.view(), Rejection::RequestMismatch);
        for (commitment, dice) in answered {
            let dice = self.store_key.open_array(Place::Expect(&commitment), &dice)?;
            let (expect, _) = OfferCommitment(commitment).answer(&mut ChaCha12Rng::from_seed(*dice));
            match expect.check(opening.clone(), view.offline_keys()) {
                Ok(shown) => return Ok(shown),
                Err(Rejection::RequestMismatch) => {}
                Err(rejection) => last = rejection,
            }
        }
        Err(last.into())
    }

    async fn pass_value(&self, offer: ConfirmedOffer, digest: Digest) -> Result<PaymentRow> {
        let now = self.now();
        let amount = offer.offer().amount;
        if amount.currency != self.config.currency {
            return Err(Rejection::WrongCurrency.into());
        }
        let pieces = self.choose_pieces(offer.offer().wish(now), Taker::Hand).await?;
        let bank = pieces.first().map(|piece| piece.terms().bank.to_string()).unwrap_or_default();
        let unsent = pass(offer, pieces, now, &mut self.rng()).map_err(refused)?;
        let answers = unsent.answers().to_vec();
        let row = PaymentRow {
            owner: digest,
            payment: digest,
            kind: "pass",
            amount: amount.minor,
            body: unsent.bytes().to_vec(),
            item: None,
            state: "given".to_owned(),
            outcome: None,
            created: now.seconds(),
            intent: None,
            reported: true,
        };
        let kept = row.clone();
        let store = move |tx: &mut dyn Tx| {
            record_answers(tx, &digest, &answers)?;
            tx.insert(&OFFLINE_PAYMENT, &kept.values()?)?;
            note(tx, now, "offline_pass", kept.amount, &bank, &digest)
        };
        self.seams.store.commit("wallet.offline.pass", store).await?;
        let _ = unsent.release_after_storing();
        Ok(row)
    }
}

fn digits(code: &str) -> String {
    code.chars().filter(char::is_ascii_digit).collect()
}
