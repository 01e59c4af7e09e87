//! Payments out of accounts: cheques from the book to their end, and transfers.

use std::time::Duration;

use feiqian_cheque::ReturnCode;
use feiqian_node::Backoff;
use feiqian_wire::error::{Code, Fault};
use serde_json::{Value, json};

use super::Payee;
use super::customer::{Mind, Purchase};
use super::files::Carried;
use crate::measure::Ending;
use crate::scenario::Mode;
use crate::world::fabric::NodeId;

/// Leaves of a book.
const LEAVES: u16 = 10;
/// The mean time until a payee deposits a cheque, and until it presents one that came back once more, in seconds.
const CARRIED: f64 = 1800.0;
/// How often a payee presents a cheque.
const PRESENTED: u32 = 2;

impl Purchase<'_> {
    /// `BANK/ACCOUNT` of the payee.
    pub(super) fn place(&self) -> Result<String, Fault> {
        let place = match self.arrival.payee {
            Payee::Merchant(number) => self
                .world
                .merchant_details(number)
                .map(|(_, config)| format!("{}/{}", config.bank.as_str(), config.account.as_str())),
            Payee::Wallet(number) => self
                .world
                .wallet_details(number)
                .map(|(_, config)| format!("{}/{}", config.bank.as_str(), config.account)),
        };
        place.ok_or_else(|| Fault::new(Code::NotFound, "there is no such payee"))
    }

    /// Asks the bank for a book when there is no leaf left.
    pub(super) async fn prepare_cheque(&mut self, mind: &mut Mind) -> Result<(), Fault> {
        if mind.leaves > 0 {
            return Ok(());
        }
        let began = self.world.fabric().elapsed();
        let book = self.insist(self.wallet, json!({"command": "cheque_book", "leaves": LEAVES})).await;
        if book.is_ok() {
            mind.leaves = LEAVES;
        }
        let book = book.map(drop);
        self.note("cheque_book", book.clone(), 0, began);
        book
    }

    /// Writes a cheque and hands it over. A shop has the center verify it first.
    pub(super) async fn make_cheque(&mut self, mind: &mut Mind) -> Result<(), Fault> {
        let (to, amount, payee) = (self.place()?, self.text(self.arrival.amount)?, self.payee()?);
        let file = self.customers.files.carry(&self.order)?;
        let written = json!({
            "command": "cheque_write", "to": to, "amount": amount, "memo": self.order, "out": file.path(),
        });
        mind.leaves = mind.leaves.saturating_sub(1);
        self.insist(self.wallet, written).await?;
        if let Payee::Merchant(_) = self.arrival.payee {
            self.verify(payee, &file).await?;
        }
        self.cheque = Some(file);
        Ok(())
    }

    async fn verify(&mut self, payee: NodeId, file: &Carried) -> Result<(), Fault> {
        let asked = json!({"command": "cheque_verify", "path": file.path()});
        let verdict = self.insist(payee, asked).await?;
        if verdict.get("good") == Some(&Value::Bool(true)) {
            return Ok(());
        }
        let reason = verdict.get("reason").and_then(Value::as_str).unwrap_or("the center does not say why");
        Err(Fault::new(Code::Unavailable, reason))
    }

    /// The payee deposits the cheque a while later, and asks until it is paid or has come back for good.
    pub(super) async fn collect(&mut self) {
        let (Ok(payee), Some(file)) = (self.payee(), self.cheque.take()) else { return };
        let amount = self.arrival.amount;
        for attempt in 1..=PRESENTED {
            let later = self.some_time(CARRIED);
            tokio::time::sleep(later).await;
            let began = self.world.fabric().elapsed();
            let ending = self.deposit(payee, &file).await;
            let again = matches!(&ending, Ending::Failed(code) if may_pay_later(code));
            self.note_ending("cheque_deposit", &ending, amount, began);
            if ending == Ending::Done {
                self.world.measures().flowed("account", "account", amount);
            }
            if !again || attempt == PRESENTED {
                return;
            }
        }
    }

    async fn deposit(&mut self, payee: NodeId, file: &Carried) -> Ending {
        let mut backoff = Backoff::new(Duration::from_secs(5), self.asks_every());
        let last = self.world.fabric().elapsed().saturating_add(self.settles_within());
        loop {
            self.be_patient();
            let asked = json!({"command": "cheque_deposit", "path": file.path()});
            let answer = match self.insist(payee, asked).await {
                Ok(answer) => answer,
                Err(fault) => return Ending::Failed(fault.code.as_str().to_owned()),
            };
            match answer.get("outcome").and_then(Value::as_str) {
                Some("paid") => return Ending::Done,
                Some("returned") => {
                    let code = answer.get("code").and_then(Value::as_str).unwrap_or("RETURNED");
                    return Ending::Failed(code.to_owned());
                }
                _ => {}
            }
            let pause = backoff.next_pause(&mut self.rng);
            if self.world.fabric().elapsed().saturating_add(pause) > last {
                return Ending::Failed("PENDING".to_owned());
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// The longest pause between two questions about a cheque.
    fn asks_every(&self) -> Duration {
        let settlement = &self.world.scenario().settlement;
        match settlement.mode {
            Mode::Gross => Duration::from_secs(600),
            Mode::Net => settlement.cycle.0.checked_div(4).unwrap_or_default().max(Duration::from_secs(10)),
        }
    }

    /// Within which a cheque is settled unless something is wrong.
    fn settles_within(&self) -> Duration {
        let (settlement, patience) =
            (&self.world.scenario().settlement, self.world.scenario().wallet.patience.0);
        match settlement.mode {
            Mode::Gross => patience.saturating_mul(12),
            Mode::Net => settlement.cycle.0.saturating_mul(3).saturating_add(patience),
        }
    }

    /// Credits the payee's account from the own one.
    pub(super) async fn make_transfer(&mut self) -> Result<(), Fault> {
        let (to, amount) = (self.place()?, self.text(self.arrival.amount)?);
        let ordered = json!({"command": "transfer", "to": to, "amount": amount, "memo": self.order});
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        loop {
            let answer = self.insist(self.wallet, ordered.clone()).await?;
            match answer.get("outcome").and_then(Value::as_str) {
                Some("booked") => return Ok(()),
                Some("returned") => {
                    let code = answer.get("code").and_then(Value::as_str).unwrap_or_default().to_owned();
                    return Err(Fault::new(Code::InsufficientFunds, code));
                }
                _ => {}
            }
            let pause = backoff.next_pause(&mut self.rng);
            if self.world.fabric().elapsed().saturating_add(pause) > self.deadline {
                return Err(Fault::new(Code::Unavailable, "the transfer is still on its way"));
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// Whether a cheque that came back with this code may be paid when it is presented again.
fn may_pay_later(code: &str) -> bool {
    [
        ReturnCode::InsufficientFunds,
        ReturnCode::Uncollected,
        ReturnCode::SettlementFailed,
        ReturnCode::Technical,
    ]
    .iter()
    .any(|known| known.as_str() == code)
}
