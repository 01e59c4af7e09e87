//! Kiting: cheques drawn on uncollected funds, in a circle of customers at different banks, each covering the one
//! before; and one cheque presented at two banks, by the payee and by whom it was endorsed to.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use feiqian_wire::error::{Code, Fault};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::crook::amount_text;
use super::{Adversary, moments};
use crate::error::SimError;
use crate::measure::stats::share;
use crate::scenario::specs::AdversarySpec;
use crate::workload::files::{Carried, Files};
use crate::world::World;
use crate::world::fabric::NodeId;

/// Customers in the circle.
pub const CIRCLE: usize = 3;
/// How many times what a kiter owns its cheques are worth.
const BOLD: u64 = 5;
/// What the cheque that is presented twice is worth, minor units, or less when a kiter owns less.
const SMALL: u64 = 1000;
/// How often a deposit is asked about.
const ASK: Duration = Duration::from_secs(120);
/// How often in all.
const ASKS: u32 = 720;

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    /// Cheques over more than their drawer had.
    drawn: u64,
    /// Of these, paid.
    paid: u64,
    /// Withdrawals of uncollected funds that were tried.
    cashing: u64,
    /// Of these, those that succeeded.
    cashed: u64,
    /// Cheques presented at two banks.
    doubled: u64,
    /// Of these, paid twice.
    paid_twice: u64,
}

/// Somebody who holds three accounts.
pub struct Kiter {
    rounds: u64,
    control: bool,
    first: usize,
    tally: Arc<Mutex<Tally>>,
    had: i128,
    has: i128,
    work: JoinSet<()>,
}

impl Kiter {
    /// One that goes round `spec.count` times, with the wallets from `first` on.
    #[must_use]
    pub fn new(spec: &AdversarySpec, first: usize) -> Self {
        let (rounds, control, tally, work) = (spec.count, spec.control, Arc::default(), JoinSet::new());
        Self { rounds, control, first, tally, had: 0, has: 0, work }
    }

    fn circle(&self) -> std::ops::Range<usize> {
        self.first..self.first.saturating_add(CIRCLE)
    }
}

#[async_trait]
impl Adversary for Kiter {
    async fn enlist(&mut self, world: &World) -> Result<(), SimError> {
        for number in self.circle() {
            self.had = self.had.saturating_add(i128::from(account(world, number).await?));
        }
        if let (true, Some(bank)) = (self.control, world.bank_of_wallet(self.first)) {
            world.break_store(bank, &["ledger_account"]).await?;
        }
        Ok(())
    }

    fn begin(&mut self, world: &Arc<World>) {
        let (circle, rounds, tally) = (self.circle(), self.rounds, Arc::clone(&self.tally));
        let world = Arc::clone(world);
        self.work.spawn(async move {
            let began = world.fabric().elapsed();
            let ring = Ring { world: &world, circle, files: Files::default(), tally: &tally };
            for (round, at) in (0_u64..).zip(moments(&world, "kiter", rounds)) {
                let passed = world.fabric().elapsed().saturating_sub(began);
                tokio::time::sleep(at.saturating_sub(passed)).await;
                // Whatever a bank refuses has failed; the tally says so.
                let _ = ring.kite(round).await;
                let _ = ring.present_twice(round).await;
            }
        });
    }

    async fn finish(&mut self, world: &Arc<World>) {
        while self.work.join_next().await.is_some() {}
        self.has = 0;
        for number in self.circle() {
            let owns = match (account(world, number).await, cash(world, number).await) {
                (Ok(account), Ok(cash)) => account.saturating_add(cash),
                // A bank that cannot tell pays nothing either.
                _ => 0,
            };
            self.has = self.has.saturating_add(i128::from(owns));
        }
    }

    async fn report(&mut self, world: &Arc<World>) -> Value {
        let tally = *self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let gained = u64::try_from(self.has.saturating_sub(self.had)).unwrap_or(0);
        let attempts = tally.drawn.saturating_add(tally.cashing).saturating_add(tally.doubled);
        let won = tally.paid.saturating_add(tally.cashed).saturating_add(tally.paid_twice);
        json!({
            "attempts": attempts,
            "successes": won,
            "success": share(won, attempts),
            "won": gained > 0 || won > 0,
            "kites_drawn": tally.drawn,
            "kites_paid": tally.paid,
            "uncollected_cashed": tally.cashed,
            "presented_twice": tally.doubled,
            "paid_twice": tally.paid_twice,
            "gained_minor": gained,
            "gained": amount_text(world, gained),
        })
    }
}

fn minor(world: &World, value: Option<&Value>) -> u64 {
    let text = value.and_then(Value::as_str).unwrap_or_default();
    feiqian_money::Amount::parse(text, world.scenario().currency).map_or(0, |amount| amount.minor.value())
}

/// What a customer's account holds, minor units.
async fn account(world: &World, number: usize) -> Result<u64, Fault> {
    let bank = world.bank_of_wallet(number).ok_or_else(|| Fault::new(Code::NotFound, "no such wallet"))?;
    let answer = world.command(bank, json!({"command": "account_list"})).await?;
    let lines = answer.get("accounts").and_then(Value::as_array).cloned().unwrap_or_default();
    let name = format!("customer-{number}");
    let mine = lines.iter().find(|line| line.get("name").and_then(Value::as_str) == Some(&name));
    Ok(minor(world, mine.and_then(|line| line.get("balance"))))
}

/// What its wallet holds.
async fn cash(world: &World, number: usize) -> Result<u64, Fault> {
    let wallet = world.wallets().get(number).ok_or_else(|| Fault::new(Code::NotFound, "no such wallet"))?;
    let answer = world.command(*wallet, json!({"command": "balance"})).await?;
    Ok(minor(world, answer.get("balance")).saturating_add(minor(world, answer.get("pending"))))
}

struct Ring<'a> {
    world: &'a World,
    circle: std::ops::Range<usize>,
    files: Files,
    tally: &'a Mutex<Tally>,
}

impl Ring<'_> {
    fn count(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn wallet(&self, place: usize) -> Result<(NodeId, usize, String), Fault> {
        let number = self.circle.clone().cycle().nth(place).unwrap_or(self.circle.start);
        let (node, config) =
            self.world.wallet_details(number).ok_or_else(|| Fault::new(Code::NotFound, "no such wallet"))?;
        Ok((node, number, format!("{}/{}", config.bank.as_str(), config.account)))
    }

    async fn command(&self, node: NodeId, command: Value) -> Result<Value, Fault> {
        let mut left = 30_u32;
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

    /// A cheque of the kiter at `place` to the next one.
    async fn write(&self, place: usize, minor: u64, memo: &str) -> Result<Carried, Fault> {
        let ((drawer, ..), (_, _, to)) = (self.wallet(place)?, self.wallet(place.saturating_add(1))?);
        self.command(drawer, json!({"command": "cheque_book", "leaves": 1})).await?;
        let file = self.files.carry(memo)?;
        let order = json!({
            "command": "cheque_write", "to": to, "amount": amount_text(self.world, minor), "memo": memo,
            "negotiable": true, "out": file.path(),
        });
        self.command(drawer, order).await?;
        Ok(file)
    }

    /// Deposits once; answers what became of it so far.
    async fn deposit(&self, payee: NodeId, file: &Carried) -> Result<String, Fault> {
        let answer = self.command(payee, json!({"command": "cheque_deposit", "path": file.path()})).await?;
        Ok(answer.get("outcome").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// Deposits until the banks are done with it; answers whether it was paid.
    async fn collect(&self, payee: NodeId, file: &Carried) -> Result<bool, Fault> {
        for _ in 0..ASKS {
            match self.deposit(payee, file).await?.as_str() {
                "pending" => tokio::time::sleep(ASK).await,
                outcome => return Ok(outcome == "paid"),
            }
        }
        Ok(false)
    }

    /// Everybody draws on everybody what nobody has, and tries to take it out while it is on its way.
    async fn kite(&self, round: u64) -> Result<(), Fault> {
        let mut kites = Vec::new();
        for place in 0..CIRCLE {
            let (_, number, _) = self.wallet(place)?;
            let much =
                account(self.world, number).await?.saturating_mul(BOLD).max(SMALL.saturating_mul(BOLD));
            kites.push((
                place.saturating_add(1),
                much,
                self.write(place, much, &format!("k-{round}-{place}")).await?,
            ));
            self.count(|tally| tally.drawn = tally.drawn.saturating_add(1));
        }
        for (place, _, kite) in &kites {
            let (payee, ..) = self.wallet(*place)?;
            // A first deposit that is refused at once has failed like one that is returned.
            let _ = self.deposit(payee, kite).await;
        }
        for (place, much, _) in &kites {
            let (payee, number, _) = self.wallet(*place)?;
            let more = account(self.world, number).await?.saturating_add(much / 2);
            self.count(|tally| tally.cashing = tally.cashing.saturating_add(1));
            let taken = json!({"command": "withdraw", "amount": amount_text(self.world, more)});
            if self.world.command(payee, taken).await.is_ok() {
                self.count(|tally| tally.cashed = tally.cashed.saturating_add(1));
            }
        }
        for (place, _, kite) in &kites {
            let (payee, ..) = self.wallet(*place)?;
            if self.collect(payee, kite).await.unwrap_or(false) {
                self.count(|tally| tally.paid = tally.paid.saturating_add(1));
            }
        }
        Ok(())
    }

    /// The payee endorses a good cheque to the next one, and deposits what it kept of it, too.
    async fn present_twice(&self, round: u64) -> Result<(), Fault> {
        // Drawer and payee have the same bank where there are two, and who gets it from the payee has the other.
        let ((_, number, _), (payee, ..), (next, _, to)) =
            (self.wallet(2)?, self.wallet(0)?, self.wallet(1)?);
        let good = account(self.world, number).await?.min(SMALL);
        if good == 0 {
            return Ok(());
        }
        let cheque = self.write(2, good, &format!("t-{round}")).await?;
        let endorsed = self.files.carry(&format!("e-{round}"))?;
        let passed = json!({
            "command": "cheque_endorse", "path": cheque.path(), "to": to, "out": endorsed.path(),
        });
        self.command(payee, passed).await?;
        self.count(|tally| tally.doubled = tally.doubled.saturating_add(1));
        let both = (self.collect(payee, &cheque).await, self.collect(next, &endorsed).await);
        if matches!(both, (Ok(true), Ok(true))) {
            self.count(|tally| tally.paid_twice = tally.paid_twice.saturating_add(1));
        }
        Ok(())
    }
}
