//! Payments from hand to hand: offline coins at tills and between people, with no network.

use feiqian_wire::error::{Code, Fault};
use serde_json::{Value, json};

use super::customer::{Mind, Purchase};
use super::{Instrument, Payee};
use crate::scenario::distribution::uniform;

/// Blanks that a wallet gets when it has none.
const BLANKS: u16 = 24;
/// Share of payees who put what came from hand to hand onto their account; the others keep it to spend.
const DEPOSITED: f64 = 0.5;
/// The mean time until they do, in seconds.
const KEPT: f64 = 3600.0;

/// The text of a message that passes from screen to screen, whatever its length.
pub(crate) fn text_of(answer: &Value) -> String {
    if let Some(uri) = answer.get("uri").and_then(Value::as_str) {
        return uri.to_owned();
    }
    let frames = answer.get("frames").and_then(Value::as_array);
    let lines: Vec<&str> = frames.into_iter().flatten().filter_map(Value::as_str).collect();
    lines.join("\n")
}

/// Whether other coins would have paid.
fn wants_coins(fault: &Fault) -> bool {
    matches!(fault.code, Code::InsufficientFunds | Code::NoExactChange)
}

impl Purchase<'_> {
    /// What a payee takes offline at most, minor units.
    fn largest(&self) -> u64 {
        let merchant =
            |number| self.world.merchant_details(number).map(|(_, config)| config.offline.policy.largest);
        let wallet = |number| self.world.wallet_details(number).map(|(_, config)| config.offline.largest);
        let largest = match self.arrival.payee {
            Payee::Merchant(number) => merchant(number),
            Payee::Wallet(number) => wallet(number),
        };
        largest.map_or(0, feiqian_money::Minor::value)
    }

    /// A payment above what is taken offline is made with online coins.
    pub(super) async fn prepare_offline(&mut self, mind: &mut Mind) -> Result<(), Fault> {
        if self.arrival.amount > self.largest() {
            return self.rather_online(mind).await;
        }
        Ok(())
    }

    async fn rather_online(&mut self, mind: &mut Mind) -> Result<(), Fault> {
        self.with = Instrument::OnlineCash;
        self.fund(mind, 0, self.customers.to).await
    }

    /// Pays with what there is; else withdraws once; else pays online after all.
    pub(super) async fn make_offline(&mut self, mind: &mut Mind) -> Result<(), Fault> {
        let began = self.world.fabric().elapsed();
        match self.hand_over().await {
            Err(fault) if wants_coins(&fault) => {}
            ended => return ended,
        }
        let most = self.arrival.amount.max(self.customers.to.min(self.largest()));
        let refilled = match self.withdraw(mind, "withdraw_offline", most).await {
            Ok(()) => {
                let rests = mind.ready.saturating_sub(self.world.fabric().elapsed());
                tokio::time::sleep(rests).await;
                self.be_patient();
                self.hand_over().await
            }
            Err(fault) => Err(fault),
        };
        let Err(fault) = refilled else { return Ok(()) };
        // The bank's cap is reached, or no set of pieces fits: people have other money too.
        if !fault.code.is_definitive() {
            return Err(fault);
        }
        self.note("fall_back", Ok(()), self.arrival.amount, began);
        self.rather_online(mind).await?;
        self.be_patient();
        self.make_online(mind).await
    }

    async fn hand_over(&mut self) -> Result<(), Fault> {
        match self.arrival.payee {
            Payee::Merchant(_) => self.pay_at_till().await,
            Payee::Wallet(number) => {
                let customers = self.customers;
                let Some(hands) = customers.hands.get(number) else {
                    return Err(Fault::new(Code::NotFound, "there is no such payee"));
                };
                let _face_to_face = hands.lock().await;
                self.pass_on().await
            }
        }
    }

    async fn pay_at_till(&mut self) -> Result<(), Fault> {
        let (till, amount) = (self.payee()?, self.text(self.arrival.amount)?);
        let asked = json!({"command": "offline_request", "amount": amount, "order": self.order});
        let request = self.insist(till, asked).await?;
        let paid = json!({"command": "pay_offline", "request": text_of(&request)});
        let payment = self.insist(self.wallet, paid).await?;
        self.insist(till, json!({"command": "accept", "file": text_of(&payment)})).await.map(drop)
    }

    /// Five messages between two screens; people compare the code.
    async fn pass_on(&mut self) -> Result<(), Fault> {
        let (payee, amount) = (self.payee()?, self.text(self.arrival.amount)?);
        let asked = json!({"command": "offer", "amount": amount});
        let offer = match self.insist(payee, asked.clone()).await {
            Err(fault) if fault.code == Code::InsufficientFunds => {
                self.insist(payee, json!({"command": "blanks", "count": BLANKS})).await?;
                self.insist(payee, asked).await?
            }
            offer => offer?,
        };
        let answered = json!({"command": "answer_offer", "file": text_of(&offer)});
        let nonce = self.insist(self.wallet, answered).await?;
        let opened = self.insist(payee, json!({"command": "open_offer", "file": text_of(&nonce)})).await?;
        let code = opened.get("code").cloned().unwrap_or_default();
        let passed = json!({"command": "transfer_coin", "to": text_of(&opened), "code": code});
        let given = self.insist(self.wallet, passed).await?;
        self.insist(payee, json!({"command": "accept", "file": text_of(&given)})).await.map(drop)
    }

    /// What follows an offline payment. A shop deposits by itself.
    pub(super) async fn after_offline(&mut self) {
        let (Payee::Wallet(_), Ok(payee)) = (self.arrival.payee, self.payee()) else { return };
        if uniform(&mut self.rng) >= DEPOSITED {
            return;
        }
        let later = self.some_time(KEPT);
        tokio::time::sleep(later).await;
        let began = self.world.fabric().elapsed();
        self.be_patient();
        let Ok(amount) = self.text(self.arrival.amount) else { return };
        let put = self.insist(payee, json!({"command": "deposit_offline", "amount": amount})).await;
        match put {
            // It was spent meanwhile, or does not divide so.
            Err(fault) if wants_coins(&fault) => {}
            put => self.note("deposit_offline", put.map(drop), self.arrival.amount, began),
        }
    }
}
