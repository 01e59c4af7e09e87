//! Double spending offline: a crook copies its wallet, pays with both, and the shops find out when they deposit.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use feiqian_wire::error::{Code, Fault};
use serde_json::{Value, json};

use super::crook::amount_text;
use crate::workload::hand::text_of;
use crate::world::World;
use crate::world::fabric::NodeId;

/// What a crook withdraws, minor units: all of it is spent by one of the two wallets, so that the other's spend overlaps.
const STAKE: u64 = 2048;
/// How often a shop is asked whether its deposit is final.
const ASK: Duration = Duration::from_secs(120);
/// How often in all.
const ASKS: u32 = 15;

/// How offline value is spent twice. After the first time the bank closes the identity, so a crook has one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The same at two shops.
    Whole,
    /// A coin first, then a part of it.
    Descendant,
    /// A part first, then the coin.
    Ancestor,
    /// A part is passed on, divided and spent by somebody honest; then the coin is spent.
    PassedOn,
}

const WAYS: [Way; 4] = [Way::Whole, Way::Descendant, Way::Ancestor, Way::PassedOn];

/// What came of the attempts so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) attempts: u64,
    /// Both payments were taken by their shops.
    pub(super) taken_twice: u64,
    /// Shops that were not paid in full, minor units.
    pub(super) unpaid: u64,
    /// What was spent beyond what was withdrawn, minor units.
    pub(super) beyond: u64,
    /// From the second payment until both deposits were final, milliseconds, in all.
    pub(super) detection_ms: u64,
    /// The crooks who spent twice, by their wallets' numbers.
    pub(super) cheats: Vec<usize>,
}

struct Crook<'a> {
    world: &'a World,
    number: usize,
    wallet: NodeId,
    /// An honest customer whom the crook knows.
    friend: NodeId,
}

/// The attempt of one crook. What a bank that is down or a closed identity refuses has failed; the tally says so.
pub(super) async fn attempt(
    world: &World,
    (number, wallet, friend): (usize, NodeId, NodeId),
    place: usize,
    tally: &Mutex<Tally>,
) -> Result<(), Fault> {
    let crook = Crook { world, number, wallet, friend };
    let way = WAYS.get(place.checked_rem(WAYS.len()).unwrap_or(0)).copied().unwrap_or(Way::Whole);
    let amount = amount_text(world, STAKE);
    let withdrawn = json!({"command": "withdraw_offline", "amount": amount});
    crook.command(wallet, withdrawn).await?;
    // From now on nobody can tell what this wallet's holder has.
    world.hides_coins(number);
    crook.spend_twice(way, tally).await
}

impl Crook<'_> {
    async fn command(&self, node: NodeId, command: Value) -> Result<Value, Fault> {
        let mut left = ASKS;
        loop {
            match self.world.command(node, command.clone()).await {
                Err(fault) if !fault.code.is_definitive() && left > 0 => {
                    left = left.saturating_sub(1);
                    tokio::time::sleep(ASK).await;
                }
                answer => return answer,
            }
        }
    }

    async fn spend_twice(&self, way: Way, tally: &Mutex<Tally>) -> Result<(), Fault> {
        let (first, last) = (self.world.merchants().first().copied(), self.world.merchants().last().copied());
        let (Some(first), Some(last)) = (first, last) else { return Ok(()) };
        let order = |place: &str| format!("x-{}-{place}", self.number);
        let (one, two) = (order("a"), order("b"));
        let twin = self.world.twin(self.wallet).await?;
        let (before, after, beyond) = match way {
            Way::Whole => (STAKE, STAKE, STAKE),
            Way::Descendant => (STAKE, STAKE / 4, STAKE / 4),
            Way::Ancestor | Way::PassedOn => (STAKE / 4, STAKE, STAKE / 4),
        };
        if way == Way::PassedOn {
            self.pass_on(STAKE / 2).await?;
            self.pay_at(first, before, &one, |paid| self.command(self.friend, paid)).await?;
        } else {
            self.pay_at(first, before, &one, |paid| self.command(self.wallet, paid)).await?;
        }
        let began = self.world.fabric().elapsed();
        let second = self.pay_at(last, after, &two, |paid| twin.command(paid)).await;
        count(tally, |tally| tally.attempts = tally.attempts.saturating_add(1));
        second?;
        let unpaid = self.settled(first, &one).await?.saturating_add(self.settled(last, &two).await?);
        let took = self.world.fabric().elapsed().saturating_sub(began);
        count(tally, |tally| {
            tally.taken_twice = tally.taken_twice.saturating_add(1);
            tally.unpaid = tally.unpaid.saturating_add(unpaid);
            tally.beyond = tally.beyond.saturating_add(beyond);
            let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            tally.detection_ms = tally.detection_ms.saturating_add(took);
            tally.cheats.push(self.number);
        });
        Ok(())
    }

    async fn pay_at<F, A>(&self, till: NodeId, minor: u64, order: &str, pay: F) -> Result<(), Fault>
    where
        F: FnOnce(Value) -> A,
        A: Future<Output = Result<Value, Fault>>,
    {
        let asked = json!({
            "command": "offline_request", "amount": amount_text(self.world, minor), "order": order,
        });
        let request = self.command(till, asked).await?;
        let payment = pay(json!({"command": "pay_offline", "request": text_of(&request)})).await?;
        self.command(till, json!({"command": "accept", "file": text_of(&payment)})).await.map(drop)
    }

    /// From hand to hand, to somebody who suspects nothing.
    async fn pass_on(&self, minor: u64) -> Result<(), Fault> {
        self.command(self.friend, json!({"command": "blanks", "count": 16})).await?;
        let offer = json!({"command": "offer", "amount": amount_text(self.world, minor)});
        let offer = self.command(self.friend, offer).await?;
        let answered = json!({"command": "answer_offer", "file": text_of(&offer)});
        let nonce = self.command(self.wallet, answered).await?;
        let opened =
            self.command(self.friend, json!({"command": "open_offer", "file": text_of(&nonce)})).await?;
        let code = opened.get("code").cloned().unwrap_or_default();
        let passed = json!({"command": "transfer_coin", "to": text_of(&opened), "code": code});
        let given = self.command(self.wallet, passed).await?;
        self.command(self.friend, json!({"command": "accept", "file": text_of(&given)})).await.map(drop)
    }

    /// Waits until a shop's deposit is final; answers what it was not paid, minor units.
    async fn settled(&self, till: NodeId, order: &str) -> Result<u64, Fault> {
        for _ in 0..ASKS {
            let queue = self.command(till, json!({"command": "deposit_queue"})).await?;
            let lines = queue.get("payments").and_then(Value::as_array).cloned().unwrap_or_default();
            let mine = lines.iter().find(|line| line.get("order").and_then(Value::as_str) == Some(order));
            let state = mine.and_then(|line| line.get("state")).and_then(Value::as_str);
            if let (Some(line), Some("settled" | "refused")) = (mine, state) {
                let field = |name: &str| {
                    let text = line.get(name).and_then(Value::as_str).unwrap_or_default();
                    let currency = self.world.scenario().currency;
                    feiqian_money::Amount::parse(text, currency).map_or(0, |amount| amount.minor.value())
                };
                return Ok(field("amount").saturating_sub(field("paid")));
            }
            tokio::time::sleep(ASK).await;
        }
        Err(Fault::new(Code::Unavailable, "a deposit is not final"))
    }
}

fn count(tally: &Mutex<Tally>, change: impl FnOnce(&mut Tally)) {
    change(&mut tally.lock().unwrap_or_else(PoisonError::into_inner));
}

/// Whom the banks accuse: the names of their accounts.
pub(super) async fn accused(world: &Arc<World>) -> Vec<String> {
    let mut names = Vec::new();
    for bank in world.banks() {
        let answer = world.command(*bank, json!({"command": "accusations"})).await.unwrap_or_default();
        let lines = answer.get("accusations").and_then(Value::as_array).cloned().unwrap_or_default();
        let customers = lines.iter().filter_map(|line| line.get("customer").and_then(Value::as_str));
        names.extend(customers.map(str::to_owned));
    }
    names.sort_unstable();
    names.dedup();
    names
}
