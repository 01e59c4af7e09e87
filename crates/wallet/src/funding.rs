//! What pays for a session that is not paid from the account: the wallet's coins, a payment it received, a refund.
//!
//! Each signs the session's challenges; what is signed of coins goes through the rule of [`crate::pledge`] first.

use feiqian_crypto::snowblind::Challenge;
use feiqian_crypto::{Digest, EncodedPoint, EncodedScalar, Scalar, possession};
use feiqian_ledger::store::{StoreError, StoreExt, Tx};
use feiqian_money::Minor;
use feiqian_online_cash::coin::{Coin, CoinId};
use feiqian_online_cash::funding::{
    CoinFunding, Funding, MAX_RELEASES, PlannedInput, Released, received_statement, refunded_statement,
};
use feiqian_online_cash::issue::FinishRequest;
use feiqian_wire::Bounded;
use feiqian_wire::error::Code;
use zeroize::Zeroizing;

use crate::failure::{Failure, Result};
use crate::pledge::{self, Pledge};
use crate::record::{CoinRow, PaymentRow, PlannedCoin, ReceivedRow, SessionRow};
use crate::restore::refund_coins;
use crate::sealed_rows::{Place, Sealed};
use crate::tables::{COIN, PAYEE_REQUEST, RECEIVED};
use crate::wallet::Wallet;

impl Wallet {
    pub(crate) async fn fund_with_coins(
        &self,
        row: &SessionRow,
        session: &Digest,
        planned: &[PlannedCoin],
        challenges: &[Challenge],
    ) -> Result<(CoinFunding, Vec<Pledge>)> {
        let planned = planned.to_vec();
        let (coins, pledges, released) = self.seams.store.read(move |tx| gather(tx, &planned)).await?;
        let coins: Vec<Coin> = coins.iter().map(|coin| coin.coin(&self.store_key)).collect::<Result<_>>()?;
        let inputs: Vec<PlannedInput<'_>> = coins
            .iter()
            .zip(&pledges)
            .map(|(coin, pledge)| PlannedInput {
                coin,
                contribution: pledge.amount,
                releases: pledge.releases.clone(),
            })
            .collect();
        let funding = CoinFunding::sign(&row.bank, session, &inputs, released, challenges, &mut self.rng())?;
        funding.check_shape(&row.bank)?;
        if funding.total()? != row.amount {
            return Err(Failure::new(Code::AmountMismatch, "the coins no longer give what was planned"));
        }
        Ok((funding, pledges))
    }

    pub(crate) async fn fund_with_payment(
        &self,
        row: &SessionRow,
        session: &Digest,
        payment: Digest,
        challenges: &[Challenge],
    ) -> Result<Funding> {
        let (item, number) = self
            .seams
            .store
            .read(move |tx| {
                let received = ReceivedRow::find(tx, &payment)?.ok_or(StoreError::Missing(RECEIVED.name))?;
                let request = tx.find(&PAYEE_REQUEST, &[received.request.into()])?;
                let number = request.ok_or(StoreError::Missing(PAYEE_REQUEST.name))?.unsigned(1)?;
                Ok::<_, Failure>((received.item, number))
            })
            .await?;
        let secret = Zeroizing::new(self.seed.payee_key(&self.generation, number));
        let key = feiqian_online_cash::coin::public_key(&secret);
        let statement = received_statement(&row.bank, session, &payment, row.amount, challenges);
        let possession = possession::prove(&[*secret], &[key], &statement, &mut self.rng())
            .map_err(|_| Failure::broken("the payee key"))?;
        Ok(Funding::Received { item, possession })
    }

    /// *k* of a coin of this store.
    pub(crate) fn coin_scalar(&self, id: &CoinId, sealed: &Sealed) -> Result<Scalar> {
        let secret = self.store_key.open_array(Place::Coin(id), sealed)?;
        EncodedScalar(*secret).decode().map_err(|_| Failure::broken("a stored coin secret"))
    }

    pub(crate) async fn fund_with_refund(
        &self,
        row: &SessionRow,
        session: &Digest,
        (payment, amount): (Digest, Minor),
        challenges: &[Challenge],
    ) -> Result<Funding> {
        let coins = self.seams.store.read(move |tx| coins_of(tx, &payment)).await?;
        let keys: Vec<EncodedPoint> = coins.iter().map(|(id, _)| id.key).collect();
        let secrets: Vec<Scalar> =
            coins.iter().map(|(id, sealed)| self.coin_scalar(id, sealed)).collect::<Result<_>>()?;
        let secrets = Zeroizing::new(secrets);
        let statement = refunded_statement(&row.bank, session, &payment, amount, challenges);
        let possession = possession::prove(&secrets, &keys, &statement, &mut self.rng())
            .map_err(|_| Failure::broken("a refunded payment without coins"))?;
        let coins = Bounded::new(coins.iter().map(|(id, _)| *id).collect())?;
        Ok(Funding::Refunded { payment, amount, coins, possession })
    }
}

/// The coins of a payment of ours in its order, with their sealed secrets: of one that this wallet made, or that the words
/// found again.
fn coins_of(tx: &mut dyn Tx, payment: &Digest) -> Result<Vec<(CoinId, Sealed)>> {
    let Some(paid) = PaymentRow::of_payment(tx, payment)? else {
        return refund_coins(tx, payment)?.ok_or_else(|| StoreError::Missing("payment").into());
    };
    let coins = paid.item.payment.coins.iter().map(|shown| {
        let coin = CoinRow::find(tx, &shown.share.coin)?.ok_or(StoreError::Missing(COIN.name))?;
        Ok((coin.id, coin.secret))
    });
    coins.collect()
}

/// The coins of a refresh, what each gives and releases, and the released statements in full. Applies the rule.
fn gather(tx: &mut dyn Tx, planned: &[PlannedCoin]) -> Result<(Vec<CoinRow>, Vec<Pledge>, Vec<Released>)> {
    let (mut coins, mut pledges) = (Vec::new(), Vec::new());
    let mut digests = std::collections::BTreeSet::new();
    for plan in planned {
        let coin = CoinRow::find(tx, &plan.coin)?.ok_or(StoreError::Missing(COIN.name))?;
        let (left, releases) = pledge::refreshable(tx, &coin.held())?;
        if left != plan.contribution {
            return Err(Failure::new(Code::AmountMismatch, "a coin no longer gives what was planned"));
        }
        digests.extend(releases.iter().copied());
        pledges.push(Pledge { coin: plan.coin, amount: plan.contribution, releases });
        coins.push(coin);
    }
    if digests.len() > MAX_RELEASES {
        return Err(Failure::new(Code::LimitExceeded, "too many statements to release at once"));
    }
    pledge::check(tx, &pledges)?;
    let released = digests.iter().map(|digest| shown(tx, digest)).collect::<Result<_>>()?;
    Ok((coins, pledges, released))
}

/// A statement of ours in full, to be shown as released.
fn shown(tx: &mut dyn Tx, statement: &Digest) -> Result<Released> {
    let row = tx
        .find(&crate::tables::STATEMENT, &[(*statement).into()])?
        .ok_or(StoreError::Missing(crate::tables::STATEMENT.name))?;
    let owner = row.digest(3)?;
    if row.text(1)? == "payment" {
        let payment = PaymentRow::find(tx, &owner)?.ok_or(StoreError::Missing("payment"))?;
        let shares = payment.item.payment.coins.iter().map(|coin| coin.share).collect();
        let body = payment.item.request.request.body_digest();
        return Ok(Released::Payment { expires: payment.expires, body, shares: Bounded::new(shares)? });
    }
    let session = SessionRow::of_statement(tx, &owner)?.and_then(|session| session.finish);
    let Some(FinishRequest { session, challenges, funding: Funding::Coins(funding) }) = session else {
        return Err(Failure::broken("a refresh statement without its session"));
    };
    let inputs = funding.inputs.iter().map(|input| input.stated.clone()).collect();
    Ok(Released::Refresh { session, inputs: Bounded::new(inputs)?, challenges })
}
