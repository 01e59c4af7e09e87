//! What the found coins have given, refunds of their payments, and new coins in their place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use feiqian_crypto::snowblind::Signature;
use feiqian_crypto::transcript::Transcript;
use feiqian_crypto::{Digest, EncodedPoint};
use feiqian_ledger::store::{Row, StoreError, StoreExt, Tx, Value};
use feiqian_money::{Denomination, Minor};
use feiqian_node::{CallError, Caller};
use feiqian_online_cash::MAX_COINS;
use feiqian_online_cash::coin::CoinId;
use feiqian_online_cash::keyset::VerifiedKeyset;
use feiqian_online_cash::recovery::{CoinState, CoinStateRequest};
use feiqian_wire::Bounded;
use feiqian_wire::error::{Code, Fault};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::tables::{RESTORE_COIN, RESTORE_REFUND};
use super::{Pace, Watch};
use crate::failure::{Failure, Result};
use crate::held::HeldCoin;
use crate::pledge::{self, Pledge};
use crate::record::{CoinRow, PlannedCoin, Purpose, SessionRow, decode, encode, select};
use crate::sealed_rows::Sealed;
use crate::session::{Ended, denominations};
use crate::tables::COIN;
use crate::wallet::Wallet;

/// A session whose bank voided it is begun anew so often.
const ROUNDS: usize = 3;

/// A coin that the words gave.
#[derive(Clone)]
pub(super) struct FoundCoin {
    pub(super) id: CoinId,
    pub(super) secret: Sealed,
    pub(super) signature: Signature,
    pub(super) bank: String,
    pub(super) worth: Minor,
    pub(super) rest: Minor,
    pub(super) state: String,
    pub(super) request: Digest,
}

impl FoundCoin {
    fn of(row: &Row) -> Result<Self> {
        let signature = Signature::from_bytes(row.blob(3)?)
            .map_err(|error| StoreError::Corrupt(format!("coin signature: {error}")))?;
        Ok(Self {
            id: CoinId { denomination: row.digest(0)?, key: EncodedPoint(row.array(1)?) },
            secret: Sealed::of(row, 2)?,
            signature,
            bank: row.text(4)?.to_owned(),
            worth: row.minor(5)?,
            rest: row.minor(6)?,
            state: row.text(7)?.to_owned(),
            request: row.digest(8)?,
        })
    }

    pub(super) fn values(&self) -> Vec<Value> {
        vec![
            self.id.denomination.into(),
            self.id.key.to_bytes().into(),
            self.secret.value(),
            self.signature.to_bytes().into(),
            self.bank.as_str().into(),
            self.worth.into(),
            self.rest.into(),
            self.state.as_str().into(),
            self.request.into(),
        ]
    }

    pub(super) fn find(tx: &mut dyn Tx, id: &CoinId) -> Result<Option<Self>> {
        let key = [id.denomination.into(), id.key.to_bytes().into()];
        tx.find(&RESTORE_COIN, &key)?.as_ref().map(Self::of).transpose()
    }

    fn select(tx: &mut dyn Tx, state: &str) -> Result<Vec<Self>> {
        let rest = "WHERE state = ?1 ORDER BY denomination, coin_key";
        select(tx, &RESTORE_COIN, rest, &[state.into()])?.iter().map(Self::of).collect()
    }
}

/// A coin and its sealed secret.
type Secret = (CoinId, Sealed);

/// The coins of a payment whose refund a restore found, with their sealed secrets.
pub(crate) fn refund_coins(tx: &mut dyn Tx, payment: &Digest) -> Result<Option<Vec<Secret>>> {
    let Some(row) = tx.find(&RESTORE_REFUND, &[(*payment).into()])? else { return Ok(None) };
    let ids: Bounded<CoinId, MAX_COINS> = decode(row.blob(3)?, &RESTORE_REFUND)?;
    let secret = |id: &CoinId| match FoundCoin::find(tx, id)? {
        Some(coin) => Ok((*id, coin.secret)),
        None => Err(Failure::new(Code::RefundUnknown, "the words do not give all coins of the payment")),
    };
    ids.iter().map(secret).collect::<Result<_>>().map(Some)
}

/// A refund to be taken.
#[derive(Clone)]
struct Refund {
    payment: Digest,
    bank: String,
    amount: Minor,
    coins: Vec<u8>,
}

impl Refund {
    fn values(&self, state: &str) -> Vec<Value> {
        let (bank, coins) = (self.bank.as_str().into(), self.coins.clone().into());
        vec![self.payment.into(), bank, self.amount.into(), coins, state.into()]
    }
}

impl Wallet {
    /// Asks of each coin what it has given; those with something left are put with the wallet's coins.
    pub(super) async fn ask_states(self: &Arc<Self>, pace: Pace, watch: &Watch) -> Result<Vec<Fault>> {
        let found = self.seams.store.read(|tx| FoundCoin::select(tx, "found")).await?;
        let work = |coin: FoundCoin| Arc::clone(self).ask_state(coin);
        self.each((pace, watch, "asking about coins"), found, work).await
    }

    async fn ask_state(self: Arc<Self>, mut coin: FoundCoin) -> Result<()> {
        let secret = Zeroizing::new(self.coin_scalar(&coin.id, &coin.secret)?);
        let request = CoinStateRequest::prove(&coin.bank, coin.id, &secret, &mut self.rng())?;
        let to = self.bank_target(&coin.bank).await?;
        let state: CoinState = self.ask(&to, Caller::Anonymous, "/v1/coin/state", &request).await?;
        let more = |_| Failure::new(Code::Malformed, "the bank says that a coin gave more than its value");
        coin.rest = coin.worth.checked_sub(state.spent).map_err(more)?;
        coin.state = if coin.rest.is_zero() { "spent" } else { "kept" }.to_owned();
        let refunds = state.refunds.iter().map(|refund| {
            let coins = encode(&refund.coins)?;
            Ok(Refund { payment: refund.payment, bank: coin.bank.clone(), amount: refund.amount, coins })
        });
        let refunds: Vec<Refund> = refunds.collect::<Result<_>>()?;
        let (currency, now) = (self.config.currency.code(), self.now());
        let keep = move |tx: &mut dyn Tx| {
            if FoundCoin::find(tx, &coin.id)?.is_none_or(|known| known.state != "found") {
                return Ok(());
            }
            tx.update(&RESTORE_COIN, &coin.values())?;
            for refund in &refunds {
                if tx.find(&RESTORE_REFUND, &[refund.payment.into()])?.is_none() {
                    tx.insert(&RESTORE_REFUND, &refund.values("open"))?;
                }
            }
            if coin.rest.is_zero() { Ok(()) } else { take(tx, &coin, (currency, now)) }
        };
        self.seams.store.commit("wallet.restore.state", keep).await
    }

    /// Takes the refunds of payments that the lost wallet made.
    pub(super) async fn take_refunds(self: &Arc<Self>, pace: Pace, watch: &Watch) -> Result<Vec<Fault>> {
        let open = |tx: &mut dyn Tx| {
            let rows = select(tx, &RESTORE_REFUND, "WHERE state = 'open' ORDER BY payment", &[])?;
            let refund = |row: &Row| {
                let (payment, bank) = (row.digest(0)?, row.text(1)?.to_owned());
                Ok(Refund { payment, bank, amount: row.minor(2)?, coins: row.blob(3)?.to_vec() })
            };
            rows.iter().map(refund).collect::<Result<Vec<_>>>()
        };
        let refunds = self.seams.store.read(open).await?;
        let work = |refund: Refund| Arc::clone(self).take_refund(refund);
        // One after the other: each is planned by the wallet's usual way.
        self.each((Pace { ways: 1, ..pace }, watch, "taking refunds"), refunds, work).await
    }

    async fn take_refund(self: Arc<Self>, refund: Refund) -> Result<()> {
        let purpose = Purpose::Refund { payment: refund.payment, amount: refund.amount };
        let before = self.seams.store.read(move |tx| refunded(tx, &refund.payment)).await?;
        if !before {
            let session = self.plan_session(&refund.bank, purpose, refund.amount, None).await?;
            match self.drive(session).await? {
                Ended::Done => {}
                // Taken by the lost wallet itself, just before it was lost.
                Ended::Void(fault) if fault.code == Code::RefundExceeded => {}
                Ended::Void(fault) => return Err(CallError::Fault(fault).into()),
            }
        }
        let done =
            move |tx: &mut dyn Tx| Ok::<_, Failure>(tx.update(&RESTORE_REFUND, &refund.values("done"))?);
        self.seams.store.commit("wallet.restore.refund", done).await
    }

    /// Refreshes every coin that was kept, each alone, into coins of the same sizes.
    pub(super) async fn renew_coins(self: &Arc<Self>, pace: Pace, watch: &Watch) -> Result<Vec<Fault>> {
        let mut trouble = Vec::new();
        for round in 0..=ROUNDS {
            let kept = self.left_to_renew().await?;
            if kept.is_empty() {
                return Ok(Vec::new());
            }
            if round == ROUNDS {
                break;
            }
            let mut keysets: BTreeMap<String, Arc<VerifiedKeyset>> = BTreeMap::new();
            for coin in &kept {
                if !keysets.contains_key(&coin.bank) {
                    match self.issuing_keyset(&coin.bank).await {
                        Ok(keyset) => drop(keysets.insert(coin.bank.clone(), Arc::new(keyset))),
                        Err(Failure::Fault(fault)) => return Ok(vec![fault]),
                        Err(store) => return Err(store),
                    }
                }
            }
            let planning = Arc::new(Mutex::new(()));
            let coins = kept.into_iter().filter_map(|coin| {
                let keyset = keysets.get(&coin.bank).map(Arc::clone)?;
                Some((coin, keyset, Arc::clone(&planning)))
            });
            let coins: Vec<_> = coins.collect();
            let work = |(coin, keyset, planning)| Arc::clone(self).renew(coin, keyset, planning);
            trouble = self.each((pace, watch, "renewing coins"), coins, work).await?;
        }
        Ok(trouble)
    }

    /// Kept coins that nothing was made of yet, whose keys live, and that are in no unfinished session.
    async fn left_to_renew(&self) -> Result<Vec<HeldCoin>> {
        let (view, now) = (self.view(), self.now());
        let alive = move |coin: &HeldCoin| {
            view.pins.key(&coin.id.denomination).is_ok_and(|key| key.check_grace(now).is_ok())
        };
        let left = move |tx: &mut dyn Tx| {
            let planned = SessionRow::unfinished(tx)?.into_iter().map(|session| session.design.purpose);
            let coins = planned.flat_map(|purpose| match purpose {
                Purpose::Refresh(planned) => planned,
                _ => Vec::new(),
            });
            let busy: BTreeSet<CoinId> = coins.map(|plan| plan.coin).collect();
            let mut left = HeldCoin::unspent(tx)?;
            left.retain(|coin| coin.state == "suspect" && !busy.contains(&coin.id) && alive(coin));
            Ok(left)
        };
        self.seams.store.read(left).await
    }

    async fn renew(
        self: Arc<Self>,
        coin: HeldCoin,
        keyset: Arc<VerifiedKeyset>,
        planning: Arc<Mutex<()>>,
    ) -> Result<()> {
        let id = coin.id;
        let (left, _) = self
            .seams
            .store
            .read(move |tx| {
                let coin = CoinRow::find(tx, &id)?.ok_or(StoreError::Missing(COIN.name))?;
                pledge::refreshable(tx, &coin.held())
            })
            .await?;
        // As many of each size as are there already: the binary digits of the amount, a coin for a coin.
        let enough = (0..=Denomination::LARGEST_EXPONENT).filter_map(|size| Denomination::new(size).ok());
        let sizes = denominations(&keyset, left, &enough.map(|size| (size, u32::MAX)).collect())?;
        let purpose = Purpose::Refresh(vec![PlannedCoin { coin: id, contribution: left }]);
        let session = {
            // Numbers of request ids are drawn one after the other.
            let _turn = planning.lock().await;
            self.plan_outputs(&keyset, purpose, left, (&sizes, None)).await?
        };
        match self.drive(session).await? {
            Ended::Done => Ok(()),
            Ended::Void(fault) => Err(CallError::Fault(fault).into()),
        }
    }
}

/// Puts a found coin with the wallet's. What it gave before stands as one statement, so that the rule of
/// [`crate::pledge`] holds for it. Until it is refreshed it pays nothing.
fn take(tx: &mut dyn Tx, found: &FoundCoin, (currency, now): (&str, feiqian_wire::Timestamp)) -> Result<()> {
    let coin = CoinRow {
        id: found.id,
        secret: found.secret.clone(),
        signature: found.signature,
        bank: found.bank.clone(),
        currency: currency.to_owned(),
        worth: found.worth,
        rest: found.worth,
        state: "suspect".to_owned(),
        session: found.request,
    };
    tx.insert(&COIN, &coin.values())?;
    let given = found.worth.checked_sub(found.rest)?;
    if given.is_zero() {
        return Ok(());
    }
    let statement = Transcript::new("wallet/restored-spend")
        .digest(&found.id.denomination)
        .point(&found.id.key)
        .into_digest();
    let pledge = Pledge { coin: found.id, amount: given, releases: Vec::new() };
    pledge::record(tx, statement, ("payment", &found.bank, statement), now, &[pledge])?;
    pledge::resolve(tx, &statement, "effective")
}

/// Whether a refund was taken by a session of this store.
fn refunded(tx: &mut dyn Tx, payment: &Digest) -> Result<bool> {
    let rest = "WHERE purpose = 'refund' AND state = 'done'";
    let sessions = select(tx, &crate::tables::SESSION, rest, &[])?;
    for row in &sessions {
        let session = SessionRow::load(tx, &row.digest(0)?)?;
        if matches!(&session.design.purpose, Purpose::Refund { payment: known, .. } if known == payment) {
            return Ok(true);
        }
    }
    Ok(false)
}
