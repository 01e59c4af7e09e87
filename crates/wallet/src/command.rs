//! What the owner can ask of the wallet. In JSON: `{"command": "pay", "uri": "feiqian:…"}`.

use std::path::PathBuf;

use feiqian_money::{Amount, Minor};
use feiqian_wire::error::{Code, Fault};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::{Failure, Result};
use crate::resume::Scope;
use crate::wallet::Wallet;

/// A command. Amounts are major units in the wallet's currency: `"12.50"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Takes coins from the account: `{"amount","currency","coins","session"}`.
    Withdraw {
        /// How much.
        amount: String,
    },
    /// Puts coins back onto the account: `{"payment","outcome","amount","currency"}`.
    Deposit {
        /// How much.
        amount: String,
    },
    /// `{"balance","pending","currency","coins"}`.
    Balance,
    /// `{"history":[{"at","kind","amount","currency","bank","reference"}]}`.
    History,
    /// Makes change, renews, takes back and claims what is due, asking about the payments of the last week: `{"refreshed","refunded","coins","currency"}`.
    Refresh,
    /// Pays a request: `{"payment","outcome","amount","currency"}`; outcome `paid`, `delivered` or `pending`.
    Pay {
        /// The `feiqian:` text.
        uri: String,
        /// Writes the payment to this file instead of sending it.
        #[serde(default)]
        out: Option<PathBuf>,
    },
    /// Asks for payment: `{"uri","request","expires"}`.
    Request {
        /// How much.
        amount: String,
        /// A reference for the payer's eyes.
        #[serde(default)]
        order: Option<String>,
        /// For how long, seconds.
        #[serde(default)]
        expires_seconds: Option<u64>,
    },
    /// Takes payments from drop boxes, or from a file:
    /// `{"received":[{"amount","currency","payment"}],"total","currency"}`.
    Receive {
        /// The file.
        #[serde(default)]
        path: Option<PathBuf>,
        /// Its content, where the wallet's process does not see the file.
        #[serde(default)]
        file_bytes: Option<String>,
    },
    /// Account, bank, and what is unfinished.
    Status,
}

impl Wallet {
    /// Goes on with what is unfinished, as far as it does not point at the owner, then carries out a command.
    ///
    /// # Errors
    /// The command's fault. After `UNAVAILABLE` or `NODE_UNREACHABLE` the wallet goes on from where it stands with its
    /// next command; the same command again continues the same act.
    pub async fn execute(&self, command: Command) -> Result<Value, Fault> {
        let _turn = self.gate.lock().await;
        Ok(self.carry_out(command).await?)
    }

    async fn carry_out(&self, command: Command) -> Result<Value> {
        self.resume(Scope::before(&command)).await?;
        match command {
            Command::Withdraw { amount } => self.withdraw(self.read_amount(&amount)?).await,
            Command::Deposit { amount } => self.deposit(self.read_amount(&amount)?).await,
            Command::Balance => self.balance().await,
            Command::History => self.history().await,
            Command::Refresh => self.refresh().await,
            Command::Pay { uri, out } => self.pay(&uri, out).await,
            Command::Request { amount, order, expires_seconds } => {
                let amount = self.read_amount(&amount)?;
                self.request(amount, order.as_deref().unwrap_or_default(), expires_seconds).await
            }
            Command::Receive { path, file_bytes } => self.receive(path, file_bytes).await,
            Command::Status => self.status().await,
        }
    }

    fn read_amount(&self, text: &str) -> Result<Amount> {
        let amount = Amount::parse(text, self.config.currency).map_err(|error| {
            Failure::new(Code::Usage, format!("`{text}` is no amount: {error}")).hint("write it as 12.50")
        })?;
        if amount.minor == Minor::ZERO {
            return Err(Failure::new(Code::Usage, "the amount is zero"));
        }
        Ok(amount)
    }
}
