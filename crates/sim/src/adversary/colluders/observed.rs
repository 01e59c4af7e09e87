//! What banks and shops saw, as they saw it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use feiqian_crypto::Digest;
use feiqian_online_cash::funding::Funding;
use feiqian_online_cash::issue::{BeginRequest, BeginResponse, FinishRequest, expand};
use feiqian_online_cash::payment::Payment as Paid;
use feiqian_wire::{Limit, codec};

use crate::world::fabric::NodeId;
use crate::world::wire::{Call, Tap};

/// Observations of each kind kept at most.
const KEPT: usize = 100_000;

/// A coin's name.
pub(super) type CoinKey = (Digest, [u8; 32]);

/// A withdrawal, as its bank saw it.
#[derive(Clone, Debug)]
pub(super) struct Withdrawal {
    pub(super) at: f64,
    pub(super) bank: NodeId,
    /// The account; a bank knows whose it is.
    pub(super) account: NodeId,
    /// How many coins of each denomination.
    pub(super) coins: BTreeMap<Digest, u32>,
    pub(super) amount: u64,
}

/// A coin in a payment.
#[derive(Clone, Debug)]
pub(super) struct PaidCoin {
    pub(super) key: CoinKey,
    pub(super) contribution: u64,
}

/// A payment, as its shop saw it; who paid is there only to judge the guess.
#[derive(Clone, Debug)]
pub(super) struct Payment {
    pub(super) at: f64,
    pub(super) payer: NodeId,
    pub(super) coins: Vec<PaidCoin>,
    pub(super) amount: u64,
}

/// An exchange of coins: anonymous.
#[derive(Clone, Debug, Default)]
struct Exchange {
    outputs: Vec<Digest>,
    largest: Option<CoinKey>,
}

/// Everything that was seen.
#[derive(Debug, Default)]
pub(super) struct Observed {
    pub(super) withdrawals: Vec<Withdrawal>,
    pub(super) payments: Vec<Payment>,
    by_request: BTreeMap<Digest, usize>,
    exchanges: BTreeMap<Digest, Exchange>,
    /// From a session to the request that opened it.
    sessions: BTreeMap<Digest, Digest>,
}

/// The tap at all banks and shops.
#[derive(Debug, Default)]
pub(super) struct Notebook(pub(super) Mutex<Observed>);

impl Tap for Notebook {
    fn saw(&self, call: &Call<'_>) {
        let Some(answer) = call.answer else { return };
        let mut observed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match call.path {
            "/v1/account/issue/begin" | "/v1/issue/begin" => observed.began(call, answer),
            "/v1/issue/finish" => observed.exchanged(call.request),
            "/v1/pay" => observed.paid(call),
            _ => {}
        }
    }
}

impl Observed {
    fn began(&mut self, call: &Call<'_>, answer: &[u8]) {
        let begun: Result<BeginRequest, _> = codec::decode(call.request, Limit::Medium);
        let offer: Result<BeginResponse, _> = codec::decode(answer, Limit::Large);
        let (Ok(begun), Ok(BeginResponse::Open(offer))) = (begun, offer) else { return };
        let Ok(outputs) = expand(&begun.outputs) else { return };
        if call.path == "/v1/issue/begin" {
            if self.exchanges.len() < KEPT {
                self.sessions.insert(offer.session, begun.request);
                self.exchanges.entry(begun.request).or_default().outputs = outputs;
            }
            return;
        }
        if self.withdrawals.len() >= KEPT || self.by_request.contains_key(&begun.request) {
            return;
        }
        let mut coins = BTreeMap::new();
        for id in outputs {
            let count: &mut u32 = coins.entry(id).or_default();
            *count = count.saturating_add(1);
        }
        self.by_request.insert(begun.request, self.withdrawals.len());
        self.withdrawals.push(Withdrawal {
            at: call.at.as_secs_f64(),
            bank: call.to,
            account: call.from,
            coins,
            amount: 0,
        });
    }

    fn exchanged(&mut self, request: &[u8]) {
        let Ok(finish) = codec::decode::<FinishRequest>(request, Limit::Large) else { return };
        let Funding::Coins(funding) = &finish.funding else { return };
        let largest = funding.inputs.iter().max_by_key(|input| input.stated.contribution);
        let largest = largest.map(|input| (input.stated.coin.denomination, input.stated.coin.key.to_bytes()));
        if let Some(exchange) =
            self.sessions.get(&finish.session).and_then(|request| self.exchanges.get_mut(request))
        {
            exchange.largest = largest;
        }
    }

    fn paid(&mut self, call: &Call<'_>) {
        let Ok(paid) = codec::decode::<Paid>(call.request, Limit::Medium) else { return };
        if self.payments.len() >= KEPT {
            return;
        }
        let coins = paid.coins.iter().map(|coin| PaidCoin {
            key: (coin.share.coin.denomination, coin.share.coin.key.to_bytes()),
            contribution: coin.share.contribution.value(),
        });
        let coins: Vec<PaidCoin> = coins.collect();
        let amount = coins.iter().fold(0_u64, |sum, coin| sum.saturating_add(coin.contribution));
        self.payments.push(Payment { at: call.at.as_secs_f64(), payer: call.from, coins, amount });
    }

    /// Everything was seen: amounts of withdrawals are summed up.
    pub(super) fn close(&mut self, values: &BTreeMap<Digest, u64>) {
        for withdrawal in &mut self.withdrawals {
            let worth = withdrawal
                .coins
                .iter()
                .map(|(id, count)| values.get(id).copied().unwrap_or(0).saturating_mul(u64::from(*count)));
            withdrawal.amount = worth.fold(0, u64::saturating_add);
        }
    }

    pub(super) fn withdrawal_of(&self, request: &Digest) -> Option<usize> {
        self.by_request.get(request).copied()
    }

    /// The largest coin that an exchange took.
    pub(super) fn largest_input(&self, request: &Digest) -> Option<&CoinKey> {
        self.exchanges.get(request)?.largest.as_ref()
    }

    /// How many coins of each denomination came out of exchanges.
    pub(super) fn exchanged_coins(&self) -> BTreeMap<Digest, u32> {
        let mut coins = BTreeMap::new();
        for id in self.exchanges.values().flat_map(|exchange| &exchange.outputs) {
            let count: &mut u32 = coins.entry(*id).or_default();
            *count = count.saturating_add(1);
        }
        coins
    }
}
