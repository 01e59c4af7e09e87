//! What a wallet that has nothing but its words asks for: certificates, generations, the state of its coins.

use std::collections::BTreeSet;
use std::sync::Arc;

use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::store::{StoreError, StoreExt, Tx, Value};
use feiqian_money::Minor;
use feiqian_node::Peer;
use feiqian_online_cash::coin::CoinId;
use feiqian_online_cash::evidence::Statement;
use feiqian_online_cash::recovery::{
    CertificateRecovery, CoinState, CoinStateRequest, Generations, GenerationsRequest, MAX_GENERATIONS,
    MAX_REFUNDS, OpenRefund, RecoveredCertificates,
};
use feiqian_online_cash::signed::WireChain;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, Text};

use crate::Bank;
use crate::certificates::chain_of;
use crate::payments::PaymentRow;
use crate::refusal::Refusal;
use crate::register;
use crate::tables::{COIN, GENERATION};

/// Most statements of one coin that are looked at for refunds.
const STATEMENTS: u32 = 256;

impl Bank {
    /// `POST /v1/certificate/recover`: the newest keys of the account for which this key was enrolled once.
    pub(crate) async fn certificate_recover(
        self: Arc<Self>,
        _peer: Peer,
        request: CertificateRecovery,
    ) -> Result<RecoveredCertificates, Fault> {
        request.verify(self.name())?;
        let (key, now) = (request.transport.0, self.now());
        let work = move |tx: &mut dyn Tx| {
            let unknown =
                || Fault::new(Code::NotFound, "no account was enrolled with keys of these words here");
            let sql = "SELECT account FROM holder WHERE transport_key = ?1 ORDER BY account LIMIT 1";
            let account: Id16 = tx.select(sql, &[key.into()])?.first().ok_or_else(unknown)?.id(0)?;
            let sql = "SELECT transport_key, signing_key FROM holder WHERE account = ?1 ORDER BY number DESC LIMIT 1";
            let newest = tx.select(sql, &[account.into()])?;
            let newest = newest.first().ok_or_else(unknown)?;
            let (transport_key, signing_key) = (newest.array(0)?, newest.array(1)?);
            let mut chain = |key| match chain_of(tx, account, key, now) {
                Ok(chain) => Ok(Some(chain)),
                Err(Refusal::Fault(fault)) if fault.code == Code::CertificateInvalid => Ok(None),
                Err(other) => Err(other),
            };
            let (transport, signing): (Option<WireChain>, Option<WireChain>) =
                (chain(transport_key)?, chain(signing_key)?);
            Ok::<_, Refusal>((account, Digest(transport_key), Digest(signing_key), transport, signing))
        };
        let (account, transport_key, signing_key, transport, signing) = self.seams.store.read(work).await?;
        let account = Text::new(account.to_string())?;
        Ok(RecoveredCertificates { account, transport_key, signing_key, transport, signing })
    }

    /// `POST /v1/account/generations`.
    pub(crate) async fn generations(
        self: Arc<Self>,
        peer: Peer,
        request: GenerationsRequest,
    ) -> Result<Generations, Fault> {
        let holder = self.owner(&peer).await?;
        let account = holder.account;
        let Some(fresh) = request.add else {
            return Ok(self.seams.store.read(move |tx: &mut dyn Tx| known(tx, account)).await?);
        };
        holder.check_current()?;
        let work = move |tx: &mut dyn Tx| {
            let before = known(tx, account)?;
            if before.known.contains(&fresh) {
                return Ok(before);
            }
            if before.known.len() >= MAX_GENERATIONS {
                let text = format!("the account's wallet was made from words {MAX_GENERATIONS} times");
                return Err(Fault::new(Code::LimitExceeded, text).into());
            }
            let number = Value::unsigned(u64::try_from(before.known.len()).unwrap_or(u64::MAX))?;
            tx.insert(&GENERATION, &[account.into(), number, fresh.into()])?;
            known(tx, account)
        };
        Ok(self.seams.store.commit("bank.generation.add", work).await?)
    }

    /// `POST /v1/coin/state`.
    pub(crate) async fn coin_state(
        self: Arc<Self>,
        _peer: Peer,
        request: CoinStateRequest,
    ) -> Result<CoinState, Fault> {
        let coin = request.coin;
        let epoch = self.ring.load().key(&coin.denomination)?.verified.epoch;
        self.check_not_ended([epoch])?;
        request.verify(self.name())?;
        Ok(self.seams.store.read(move |tx: &mut dyn Tx| state_of(tx, &coin)).await?)
    }
}

fn known(tx: &mut dyn Tx, account: Id16) -> Result<Generations, Refusal> {
    let sql = "SELECT generation FROM generation WHERE account = ?1 ORDER BY number";
    let rows = tx.select(sql, &[account.into()])?;
    let known: Vec<Id16> = rows.iter().map(|row| row.id(0)).collect::<Result<_, _>>()?;
    Ok(Generations { known: Bounded::new(known).map_err(Fault::from)? })
}

fn state_of(tx: &mut dyn Tx, coin: &CoinId) -> Result<CoinState, Refusal> {
    let key: [Value; 2] = [coin.denomination.into(), coin.key.to_bytes().into()];
    let spent = tx.find(&COIN, &key)?.map_or(Ok(Minor::ZERO), |row| row.minor(4))?;
    let mut refunds = Vec::new();
    let spends = register::spends(tx, &key, STATEMENTS)?;
    let statements: BTreeSet<Digest> = spends.into_iter().map(|(statement, _)| statement).collect();
    for payment in statements {
        if refunds.len() >= MAX_REFUNDS {
            break;
        }
        refunds.extend(open_refund(tx, payment)?);
    }
    Ok(CoinState { spent, refunds: Bounded::new(refunds).map_err(Fault::from)? })
}

fn open_refund(tx: &mut dyn Tx, payment: Digest) -> Result<Option<OpenRefund>, Refusal> {
    let Some(row) = PaymentRow::find(tx, &payment)? else { return Ok(None) };
    let amount = row.refunded.checked_sub(row.claimed)?;
    if amount.is_zero() {
        return Ok(None);
    }
    let Some(Statement::Payment { shares, .. }) = register::statement(tx, &payment)? else {
        return Err(StoreError::Missing("statement").into());
    };
    let coins = Bounded::new(shares.iter().map(|share| share.coin).collect()).map_err(Fault::from)?;
    Ok(Some(OpenRefund { payment, amount, coins }))
}
