//! What a dishonest customer can do: everything with its own wallet's store, and calls of its own.

use std::sync::Arc;
use std::time::Duration;

use feiqian_crypto::EncodedPoint;
use feiqian_crypto::snowblind::Signature;
use feiqian_ledger::store::{StoreError, Tx};
use feiqian_money::{Amount, Minor};
use feiqian_node::{CallError, Caller, Target, call};
use feiqian_online_cash::coin::{Coin, CoinId};
use feiqian_online_cash::deposit::{Outcome, PayResponse};
use feiqian_online_cash::payment::Payment;
use feiqian_online_cash::request::{Delivery, SignedRequest};
use feiqian_wallet::sealed_rows::Place;
use feiqian_wire::error::{Code, Fault};
use rand::rngs::ChaCha12Rng;
use serde_json::{Value, json};

use crate::world::World;
use crate::world::fabric::{NodeId, Port};

/// How often a crook asks again while a shop says that it waits.
const ASK: Duration = Duration::from_secs(5);
/// How often in all.
const ASKS: u32 = 60;

/// A coin out of a wallet's store, with what it is worth.
pub(crate) struct Loot {
    pub(crate) coin: Coin,
    pub(crate) worth: u64,
}

/// What became of a crook's payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Accepted,
    /// Refused with evidence of a double spend.
    Caught,
    Refused,
    Unknown,
}

pub(crate) fn amount_text(world: &World, minor: u64) -> String {
    let minor = Minor::new(minor).unwrap_or(Minor::MAX);
    Amount::new(minor, world.scenario().currency).to_string()
}

/// Withdraws with the crook's wallet.
pub(crate) async fn withdraw(world: &World, wallet: NodeId, minor: u64) -> Result<(), Fault> {
    let amount = amount_text(world, minor);
    world.command(wallet, json!({"command": "withdraw", "amount": amount})).await.map(drop)
}

/// The coins of a wallet's store that have given nothing, the largest first.
pub(crate) async fn loot(world: &World, wallet: NodeId) -> Result<Vec<Loot>, Fault> {
    let read = world.read(wallet, |tx: &mut dyn Tx| {
        let sql = "SELECT denomination, coin_key, secret, signature, worth FROM coin WHERE rest = worth ORDER BY worth DESC, coin_key";
        let rows = tx.select(sql, &[])?;
        let each = rows.iter().map(|row| {
            let id = CoinId { denomination: row.digest(0)?, key: EncodedPoint(row.array(1)?) };
            Ok((id, row.blob(2)?.to_vec(), row.blob(3)?.to_vec(), row.unsigned(4)?))
        });
        each.collect::<Result<Vec<(CoinId, Vec<u8>, Vec<u8>, u64)>, StoreError>>()
    });
    let internal = |error: &dyn std::fmt::Display| Fault::new(Code::Internal, error.to_string());
    let rows = read.await.map_err(|error| internal(&error))?;
    // The owner's words, or whoever took them with the store, open what is sealed there.
    let key = world.store_key(wallet).await.ok_or_else(|| internal(&"no wallet"))?;
    let read = rows.into_iter().map(|(id, sealed, signature, worth)| {
        let signature = Signature::from_bytes(&signature).map_err(|error| internal(&error))?;
        let opened = key.open(Place::Coin(&id), &sealed).map_err(|error| internal(&error))?;
        let secret = <&[u8; 32]>::try_from(opened.as_slice()).map_err(|error| internal(&error))?;
        Ok(Loot { coin: Coin::from_store(id.denomination, secret, signature)?, worth })
    });
    read.collect()
}

/// Asks a shop for a request over `minor`.
pub(crate) async fn request(
    world: &World,
    shop: NodeId,
    minor: u64,
    order: &str,
) -> Result<SignedRequest, Fault> {
    let amount = amount_text(world, minor);
    let asked = world.command(shop, json!({"command": "request", "amount": amount, "order": order})).await?;
    let uri = asked.get("uri").and_then(Value::as_str).unwrap_or_default();
    Ok(SignedRequest::from_uri(uri)?)
}

/// Signs coins away to a request, whatever was signed before.
pub(crate) fn sign(
    request: &SignedRequest,
    loot: &[(&Loot, u64)],
    rng: &mut ChaCha12Rng,
) -> Result<Payment, Fault> {
    let shares = loot.iter().map(|(loot, minor)| {
        let minor = Minor::new(*minor).map_err(|error| Fault::new(Code::Usage, error.to_string()))?;
        Ok((&loot.coin, minor))
    });
    let shares: Vec<(&Coin, Minor)> = shares.collect::<Result<_, Fault>>()?;
    Ok(Payment::sign(&request.request.digest(), &shares, rng)?)
}

/// A way for calls of the crook's own.
pub(crate) fn port(world: &World, node: NodeId) -> Port {
    let fabric = Arc::clone(world.fabric());
    let life = fabric.life(node);
    let trust = fabric.trust_of(node);
    Port { fabric, node, life, trust }
}

/// Sends a payment to whom the request says, again until it is final.
pub(crate) async fn pay(world: &World, from: NodeId, request: &SignedRequest, payment: &Payment) -> Fate {
    let Delivery::Url(url) = &request.request.delivery else { return Fate::Refused };
    let to = Target::anyone(url.split('#').next().unwrap_or_default());
    for _ in 0..ASKS {
        let port = port(world, from);
        let answer: Result<PayResponse, CallError> =
            call(&port, &to, Caller::Anonymous, "/v1/pay", payment).await;
        match answer {
            Ok(PayResponse::Paid(_)) => return Fate::Accepted,
            Ok(PayResponse::Refused(Outcome::DoubleSpent(_))) => return Fate::Caught,
            Ok(PayResponse::Refused(_)) => return Fate::Refused,
            Err(CallError::Fault(fault)) if fault.code.is_definitive() => return Fate::Refused,
            Ok(PayResponse::Pending) | Err(_) => tokio::time::sleep(ASK).await,
        }
    }
    Fate::Unknown
}
