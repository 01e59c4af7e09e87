//! A customer: the wallet's policy, and the patience of a person who wants to pay.

use std::sync::Arc;
use std::time::Duration;

use feiqian_money::{Amount, Minor};
use feiqian_node::Backoff;
use feiqian_wire::error::{Code, Fault};
use rand::rngs::ChaCha12Rng;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::files::{Carried, Files};
use super::{Arrival, Instrument, Payee};
use crate::measure::Ending;
use crate::scenario::distribution::{exponential, uniform};
use crate::world::World;
use crate::world::fabric::NodeId;

/// The mean time after which a purchase is given back, in seconds.
const GIVEN_BACK: f64 = 3600.0;

/// What a customer keeps in mind between payments.
#[derive(Debug, Default)]
pub(super) struct Mind {
    /// What the wallet can pay with, if it was looked at.
    pub(super) balance: Option<u64>,
    /// Until when the newest coins rest.
    pub(super) ready: Duration,
    /// Leaves left in the cheque book.
    pub(super) leaves: u16,
}

/// All customers of a world. One after the other makes the payments of one wallet.
#[derive(Debug)]
pub struct Customers {
    minds: Vec<Mutex<Mind>>,
    /// Whoever takes value from hand to hand deals with one payer at a time.
    pub(super) hands: Vec<Mutex<()>>,
    /// Where cheques lie on their way from hand to hand.
    pub(super) files: Files,
    below: u64,
    pub(super) to: u64,
}

/// A payment under way.
pub(super) struct Purchase<'a> {
    pub(super) world: &'a World,
    pub(super) customers: &'a Customers,
    pub(super) arrival: Arrival,
    pub(super) wallet: NodeId,
    pub(super) order: String,
    pub(super) deadline: Duration,
    pub(super) rng: ChaCha12Rng,
    /// With what it is made; not as wanted where the instrument cannot.
    pub(super) with: Instrument,
    /// The cheque that was handed over.
    pub(super) cheque: Option<Carried>,
}

impl Customers {
    /// The customers of a world, with its policy.
    ///
    /// # Errors
    /// `USAGE` for amounts that are none, which the check of the scenario excludes; `INTERNAL` without a place for cheques.
    pub fn new(world: &World) -> Result<Self, Fault> {
        let scenario = world.scenario();
        let minor = |major: &crate::scenario::units::Major| {
            major.minor(scenario.currency).map_err(|error| Fault::new(Code::Usage, error))
        };
        let minds = world.wallets().iter().map(|_| Mutex::default()).collect();
        let hands = world.wallets().iter().map(|_| Mutex::default()).collect();
        let policy = &scenario.wallet.withdraw;
        let files = Files::default();
        Ok(Self { minds, hands, files, below: minor(&policy.below)?, to: minor(&policy.to)? })
    }

    /// Makes one payment from the wish to its end, and measures it. `number` names it in the world.
    pub async fn pay(&self, world: &Arc<World>, arrival: Arrival, number: u64) {
        let measures = world.measures();
        measures.arrived();
        let (Some(wallet), Some(mind)) = (world.wallets().get(arrival.payer), self.minds.get(arrival.payer))
        else {
            return;
        };
        let came = world.fabric().elapsed();
        let mut mind = mind.lock().await;
        let rng = world.stream(&format!("payment/{number}"));
        let (order, with) = (format!("o-{number}"), arrival.instrument);
        let mut purchase = Purchase {
            world,
            customers: self,
            arrival,
            wallet: *wallet,
            order,
            deadline: Duration::MAX,
            rng,
            with,
            cheque: None,
        };
        let ready = purchase.prepare(&mut mind).await;
        if purchase.with.is_cash() {
            let rests = mind.ready.saturating_sub(world.fabric().elapsed());
            tokio::time::sleep(rests).await;
        }
        let began = world.fabric().elapsed();
        measures.waited(began.saturating_sub(came));
        purchase.deadline = began.saturating_add(world.scenario().wallet.patience.0);
        let ending = match ready {
            Ok(()) => purchase.make(&mut mind).await,
            Err(fault) => Err(fault),
        };
        let took = world.fabric().elapsed().saturating_sub(began);
        if purchase.with == Instrument::OnlineCash {
            mind.balance = match (&ending, mind.balance) {
                (Ok(()), Some(balance)) => Some(balance.saturating_sub(arrival.amount)),
                _ => None,
            };
        }
        drop(mind);
        world.doze(*wallet);
        let ending = ending_of(ending);
        measures.ended("pay", &ending, arrival.amount, took);
        measures.ended(purchase.with.operation(), &ending, arrival.amount, took);
        let name = world.fabric().name(*wallet);
        let outcome = if ending == Ending::Done { "done" } else { "failed" };
        let what = purchase.with.operation();
        world.fabric().record("operation", &name, "", what, outcome, &arrival.amount.to_le_bytes());
        if ending == Ending::Done {
            purchase.after().await;
        }
    }
}

fn ending_of(ended: Result<(), Fault>) -> Ending {
    match ended {
        Ok(()) => Ending::Done,
        Err(fault) => Ending::Failed(fault.code.as_str().to_owned()),
    }
}

impl Purchase<'_> {
    pub(super) fn text(&self, minor: u64) -> Result<String, Fault> {
        let minor = Minor::new(minor).map_err(|error| Fault::new(Code::Usage, error.to_string()))?;
        Ok(Amount::new(minor, self.world.scenario().currency).to_string())
    }

    pub(super) fn minor(&self, text: &Value) -> u64 {
        let text = text.as_str().unwrap_or_default();
        Amount::parse(text, self.world.scenario().currency).map_or(0, |amount| amount.minor.value())
    }

    /// Sees that there is something to pay with.
    async fn prepare(&mut self, mind: &mut Mind) -> Result<(), Fault> {
        self.be_patient();
        match self.with {
            Instrument::OnlineCash => self.fund(mind, self.customers.below, self.customers.to).await,
            Instrument::OfflineCash => self.prepare_offline(mind).await,
            Instrument::Cheque => self.prepare_cheque(mind).await,
            Instrument::Transfer => Ok(()),
        }
    }

    async fn make(&mut self, mind: &mut Mind) -> Result<(), Fault> {
        match self.with {
            Instrument::OnlineCash => self.make_online(mind).await,
            Instrument::OfflineCash => self.make_offline(mind).await,
            Instrument::Cheque => self.make_cheque(mind).await,
            Instrument::Transfer => self.make_transfer().await,
        }
    }

    /// From now on for as long as a customer goes on trying.
    pub(super) fn be_patient(&mut self) {
        let patience = self.world.scenario().wallet.patience.0;
        self.deadline = self.world.fabric().elapsed().saturating_add(patience);
    }

    /// Sees that the wallet holds enough: withdraws when it holds less than the policy or the payment wants.
    pub(super) async fn fund(&mut self, mind: &mut Mind, below: u64, to: u64) -> Result<(), Fault> {
        self.be_patient();
        let held = match mind.balance {
            Some(held) => held,
            None => {
                let answer = self.insist(self.wallet, json!({"command": "balance"})).await?;
                self.minor(answer.get("balance").unwrap_or(&Value::Null))
            }
        };
        mind.balance = Some(held);
        if held >= below.max(self.arrival.amount) {
            return Ok(());
        }
        let missing = to.max(self.arrival.amount).saturating_sub(held);
        match self.withdraw(mind, "withdraw", missing).await {
            Ok(()) => {
                mind.balance = Some(held.saturating_add(missing));
                Ok(())
            }
            // There may be enough for this payment all the same.
            Err(_) if held >= self.arrival.amount => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// Takes coins from the account, and lets them rest.
    pub(super) async fn withdraw(
        &mut self,
        mind: &mut Mind,
        command: &'static str,
        minor: u64,
    ) -> Result<(), Fault> {
        let (began, amount) = (self.world.fabric().elapsed(), self.text(minor)?);
        let withdrawn = self.insist(self.wallet, json!({"command": command, "amount": amount})).await;
        let (took, measures) = (self.world.fabric().elapsed().saturating_sub(began), self.world.measures());
        if withdrawn.is_ok() {
            measures.flowed("account", "wallet", minor);
            let rests = self.world.scenario().wallet.spend_delay.draw(&mut self.rng);
            let rests = Duration::try_from_secs_f64(rests).unwrap_or_default();
            mind.ready = self.world.fabric().elapsed().saturating_add(rests);
        }
        let withdrawn = withdrawn.map(drop);
        measures.ended(command, &ending_of(withdrawn.clone()), minor, took);
        withdrawn
    }

    /// Repeats a command while it may still succeed and patience lasts.
    pub(super) async fn insist(&mut self, node: NodeId, command: Value) -> Result<Value, Fault> {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        loop {
            let fault = match self.world.command(node, command.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            let pause = backoff.next_pause(&mut self.rng);
            let late = self.world.fabric().elapsed().saturating_add(pause) > self.deadline;
            if fault.code.is_definitive() || late {
                return Err(fault);
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Asks the payee for a request and pays it, as often as it takes.
    pub(super) async fn make_online(&mut self, mind: &mut Mind) -> Result<(), Fault> {
        let amount = self.text(self.arrival.amount)?;
        let asked = json!({"command": "request", "amount": amount, "order": self.order});
        let payee = self.payee()?;
        let requested = self.insist(payee, asked).await?;
        let uri = requested.get("uri").cloned().unwrap_or_default();
        let mut filled = false;
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        loop {
            match self.insist(self.wallet, json!({"command": "pay", "uri": uri})).await {
                Ok(answer) => {
                    let outcome = answer.get("outcome").and_then(Value::as_str);
                    if matches!(outcome, Some("paid" | "delivered")) {
                        return Ok(());
                    }
                }
                // What the wallet holds is not what was remembered: after a crash, or while change is on its way.
                Err(fault) if fault.code == Code::InsufficientFunds && !filled => {
                    filled = true;
                    mind.balance = None;
                    let deadline = self.deadline;
                    self.fund(mind, 0, self.arrival.amount).await?;
                    self.deadline = deadline;
                    continue;
                }
                Err(fault) => return Err(fault),
            }
            let pause = backoff.next_pause(&mut self.rng);
            if self.world.fabric().elapsed().saturating_add(pause) > self.deadline {
                return Err(Fault::new(Code::Unavailable, "the payment is still pending"));
            }
            tokio::time::sleep(pause).await;
        }
    }

    pub(super) fn payee(&self) -> Result<NodeId, Fault> {
        let node = match self.arrival.payee {
            Payee::Merchant(number) => self.world.merchants().get(number),
            Payee::Wallet(number) => self.world.wallets().get(number),
        };
        node.copied().ok_or_else(|| Fault::new(Code::NotFound, "there is no such payee"))
    }

    /// Whom value goes to, as measures name it.
    fn to(&self) -> &'static str {
        match self.arrival.payee {
            Payee::Merchant(_) => "shop",
            Payee::Wallet(_) => "wallet",
        }
    }

    /// What follows a payment: the payee takes it in or gives it back.
    async fn after(&mut self) {
        let (world, amount) = (self.world, self.arrival.amount);
        match self.with {
            Instrument::OnlineCash => {
                world.measures().flowed("wallet", self.to(), amount);
                match self.arrival.payee {
                    Payee::Wallet(_) => self.receive().await,
                    Payee::Merchant(_) => {
                        let share = world.scenario().workload.refunds;
                        if share > 0.0 && uniform(&mut self.rng) < share {
                            self.give_back(amount).await;
                        }
                    }
                }
            }
            Instrument::OfflineCash => {
                world.measures().flowed("wallet", self.to(), amount);
                self.after_offline().await;
            }
            Instrument::Cheque => self.collect().await,
            Instrument::Transfer => world.measures().flowed("account", "account", amount),
        }
    }

    async fn receive(&mut self) {
        let began = self.world.fabric().elapsed();
        self.be_patient();
        let Ok(payee) = self.payee() else { return };
        let received = self.insist(payee, json!({"command": "receive"})).await;
        self.note("receive", received.map(drop), self.arrival.amount, began);
    }

    #[allow(clippy::float_arithmetic, reason = "a time drawn from a distribution")]
    pub(super) fn some_time(&mut self, mean: f64) -> Duration {
        Duration::try_from_secs_f64(exponential(&mut self.rng) * mean).unwrap_or_default()
    }

    async fn give_back(&mut self, amount: u64) {
        let later = self.some_time(GIVEN_BACK);
        tokio::time::sleep(later).await;
        let (world, began) = (self.world, self.world.fabric().elapsed());
        self.be_patient();
        let Ok(payee) = self.payee() else { return };
        let given = self.insist(payee, json!({"command": "refund", "order": self.order})).await;
        let claimed = match given {
            Ok(_) => self.insist(self.wallet, json!({"command": "refresh"})).await.map(drop),
            Err(fault) => Err(fault),
        };
        if claimed.is_ok() {
            world.measures().flowed("shop", "wallet", amount);
        }
        self.note("refund", claimed, amount, began);
    }

    pub(super) fn note(
        &self,
        operation: &'static str,
        ended: Result<(), Fault>,
        amount: u64,
        began: Duration,
    ) {
        self.note_ending(operation, &ending_of(ended), amount, began);
    }

    pub(super) fn note_ending(&self, operation: &'static str, ending: &Ending, amount: u64, began: Duration) {
        let fabric = self.world.fabric();
        self.world.measures().ended(operation, ending, amount, fabric.elapsed().saturating_sub(began));
        let outcome = if *ending == Ending::Done { "done" } else { "failed" };
        fabric.record("operation", &fabric.name(self.wallet), "", operation, outcome, &amount.to_le_bytes());
    }
}
