//! Signing coins away: selection, the rule, and the durable payment.

use std::collections::BTreeMap;

use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreError, StoreExt, Tx};
use feiqian_money::{Minor, selection};
use feiqian_online_cash::MAX_COINS;
use feiqian_online_cash::coin::Coin;
use feiqian_online_cash::deposit::CashItem;
use feiqian_online_cash::payment::Payment;
use feiqian_online_cash::request::SignedRequest;
use feiqian_wire::error::Code;

use crate::failure::{Failure, Result};
use crate::held::HeldCoin;
use crate::pledge::{self, Pledge};
use crate::record::{CoinRow, PaymentRow};
use crate::tables::{COIN, PAYMENT};
use crate::wallet::Wallet;

/// Coins of one bank and what each gives.
pub(crate) type Chosen = Vec<(CoinRow, Minor)>;

/// What a payment is for besides its request.
pub(crate) struct Terms {
    pub(crate) kind: &'static str,
    pub(crate) point: &'static str,
    pub(crate) file: Option<String>,
    pub(crate) intent: Option<Digest>,
}

impl Wallet {
    /// Chooses coins of one bank for `amount`: the own bank's if they reach, else another's.
    pub(crate) async fn choose(&self, amount: Minor) -> Result<(String, Chosen)> {
        let (view, now) = (self.view(), self.now());
        let coins: Vec<(HeldCoin, Minor)> = self
            .seams
            .store
            .read(|tx| {
                let coins = HeldCoin::unspent(tx)?;
                let payable = |coin| pledge::payable(tx, &coin).map(|rest| (coin, rest));
                coins.into_iter().map(payable).collect::<Result<_>>()
            })
            .await?;
        let mut by_bank: BTreeMap<(bool, String), Vec<HeldCoin>> = BTreeMap::new();
        let mut total = Minor::ZERO;
        for (coin, rest) in coins {
            let alive = view.pins.key(&coin.id.denomination).is_ok_and(|key| key.check_redeem(now).is_ok());
            if alive && !rest.is_zero() {
                total = total.checked_add(rest)?;
                let foreign = coin.bank != self.config.bank.as_str();
                by_bank.entry((foreign, coin.bank.clone())).or_default().push(coin);
            }
        }
        let mut crowded = false;
        for ((_, bank), coins) in by_bank {
            match select(&coins, amount, self.config.selection.into(), &mut self.rng()) {
                Ok(chosen) if chosen.len() <= MAX_COINS => {
                    return Ok((bank, self.with_secrets(chosen).await?));
                }
                Ok(_) => crowded = true,
                Err(selection::SelectionError::Insufficient { .. }) => {}
                Err(error) => return Err(Failure::broken(error.to_string())),
            }
        }
        let (have, want) = (self.amount(total), self.amount(amount));
        let insufficient = |message: String| Failure::new(Code::InsufficientFunds, message);
        Err(if crowded {
            Failure::new(Code::TooLarge, "the payment would need more than 256 coins")
                .hint("run `feiqian wallet refresh` first: it makes larger coins")
        } else if total >= amount {
            insufficient("no single bank's coins reach, and one payment uses coins of one bank".to_owned())
                .hint("pay in parts, or deposit coins of other banks first")
        } else {
            insufficient(format!("the wallet can pay {}, {} are wanted", have.labelled(), want.labelled()))
                .hint("withdraw more, or wait for what is pending: see `feiqian wallet balance`")
        })
    }

    /// Chosen coins with what spends them.
    async fn with_secrets(&self, chosen: Vec<(HeldCoin, Minor)>) -> Result<Chosen> {
        let read = move |tx: &mut dyn Tx| {
            let rows = chosen.iter().map(|(held, amount)| {
                let row = CoinRow::find(tx, &held.id)?.ok_or(StoreError::Missing(COIN.name))?;
                Ok((row, *amount))
            });
            rows.collect()
        };
        self.seams.store.read(read).await
    }

    /// Signs chosen coins away to a request and writes the payment down. Nothing is sent.
    pub(crate) async fn sign_payment(
        &self,
        request: SignedRequest,
        (bank, chosen): (String, Chosen),
        parcel: impl FnOnce(&CashItem) -> Result<Option<Vec<u8>>>,
        terms: Terms,
    ) -> Result<PaymentRow> {
        let pledges: Vec<Pledge> = chosen
            .iter()
            .map(|(coin, amount)| Pledge { coin: coin.id, amount: *amount, releases: Vec::new() })
            .collect();
        let checked = pledges.clone();
        self.seams.store.read(move |tx| pledge::check(tx, &checked)).await?;
        let coins: Vec<(Coin, Minor)> = chosen
            .iter()
            .map(|(row, amount)| Ok((row.coin(&self.store_key)?, *amount)))
            .collect::<Result<_>>()?;
        let shares: Vec<(&Coin, Minor)> = coins.iter().map(|(coin, amount)| (coin, *amount)).collect();
        let digest = request.request.digest();
        let payment = Payment::sign(&digest, &shares, &mut self.rng())?;
        let now = self.now();
        let item = CashItem { request, payment };
        let row = PaymentRow {
            request: digest,
            payment: item.payment.digest(),
            kind: terms.kind.to_owned(),
            bank,
            amount: item.request.request.amount.minor,
            expires: item.request.request.expires,
            parcel: parcel(&item)?,
            item,
            file: terms.file,
            state: "signed".to_owned(),
            receipt: None,
            created: now.seconds(),
            intent: terms.intent,
            reported: false,
        };
        let kept = row.clone();
        self.seams
            .store
            .commit(terms.point, move |tx| {
                pledge::record(tx, row.payment, ("payment", &row.bank, row.request), now, &pledges)?;
                Ok::<_, Failure>(tx.insert(&PAYMENT, &row.values()?)?)
            })
            .await?;
        Ok(kept)
    }
}

fn select(
    coins: &[HeldCoin],
    amount: Minor,
    strategy: selection::Strategy,
    rng: &mut rand::rngs::ChaCha12Rng,
) -> Result<Vec<(HeldCoin, Minor)>, selection::SelectionError> {
    let candidates: Vec<selection::Candidate> =
        coins.iter().enumerate().map(|(id, coin)| selection::Candidate { id, rest: coin.rest }).collect();
    let chosen = selection::select(&candidates, amount, strategy, rng)?;
    let found = chosen.iter().filter_map(|given| Some((coins.get(given.id)?.clone(), given.amount)));
    Ok(found.collect())
}
