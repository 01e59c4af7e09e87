//! The operator's commands and their answers.
//!
//! ```json
//! {"command": "request", "amount": "12.50", "order": "A-1", "expires_seconds": 600}
//! {"command": "orders", "limit": 100}
//! {"command": "refund", "order": "A-1", "amount": "2.50", "refund": null}
//! {"command": "cheque_verify", "path": "/tmp/rent.json"}
//! {"command": "cheque_deposit", "path": "/tmp/rent.json", "out": null}
//! {"command": "cheque_list"}
//! {"command": "offline_request", "amount": "12.50", "order": "A-2", "expires_seconds": null, "out": null}
//! {"command": "accept", "file": "/tmp/payment.fq"}
//! {"command": "deposit_queue"}
//! {"command": "status"}
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;

use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreExt, Tx};
use feiqian_money::Currency;
use feiqian_wire::Text;
use feiqian_wire::error::{Code, Fault};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::Failure;
pub use crate::refunds::Refunded;
pub use crate::sales::{OrderLine, Requested};
use crate::service::Merchant;

/// What an operator may ask of a merchant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Asks for money.
    Request {
        /// How much, major units of the account's currency.
        amount: Text<32>,
        /// The order's reference: one request each.
        order: Text<64>,
        /// How long it may be paid; as the settings say when absent.
        #[serde(default)]
        expires_seconds: Option<u64>,
    },
    /// Lists the newest orders.
    Orders {
        /// At most so many; 1,000 when absent, 10,000 at most.
        #[serde(default)]
        limit: Option<u32>,
    },
    /// Gives back part or all of what was paid for an order.
    Refund {
        /// The order.
        order: Text<64>,
        /// How much; all that is left when absent.
        #[serde(default)]
        amount: Option<Text<32>>,
        /// Id of the refund, 64 hex digits: the same id again acts once. Random when absent.
        #[serde(default)]
        refund: Option<Digest>,
    },
    /// Has the center verify a cheque:
    /// `{"cheque","good","code","iso20022","reason","register","number","drawee","amount","currency","payee","date"}`.
    ChequeVerify {
        /// The file.
        path: PathBuf,
    },
    /// Deposits a cheque, or asks again what became of it:
    /// `{"cheque","number","drawee","amount","currency","outcome","paid","code","iso20022","meaning","presentment"}`.
    ChequeDeposit {
        /// The file.
        path: PathBuf,
        /// Where to write it with what the banks signed on it.
        #[serde(default)]
        out: Option<PathBuf>,
    },
    /// The newest 1,000 deposits of cheques: `{"cheques":[…]}`, each as [`Command::ChequeDeposit`] answers.
    ChequeList {},
    /// Asks for an offline payment, with no connection:
    /// `{"request","expires","amount","currency","order","bytes","uri"|"frames"|"file"}`.
    OfflineRequest {
        /// How much, major units of the account's currency.
        amount: Text<32>,
        /// The order's reference: one offline request each.
        order: Text<64>,
        /// How long it may be paid; as the settings say when absent.
        #[serde(default)]
        expires_seconds: Option<u64>,
        /// Writes the request to this file as well.
        #[serde(default)]
        out: Option<PathBuf>,
    },
    /// Takes an offline payment, with no connection:
    /// `{"outcome":"accepted","payment","order","amount","currency","pieces","bytes","state","deposit_by"}`.
    Accept {
        /// Text, frames one a line, or a file.
        file: String,
    },
    /// Deposits what was accepted offline:
    /// `{"finished","queued","waiting","payments":[{"payment","order","amount","currency","state","paid","unpaid",
    /// "deposit_by","reason"}]}`; state `queued`, `settled` or `refused`, the newest 1,000.
    DepositQueue {},
    /// How the merchant is.
    Status {},
}

/// Answer to [`Command::Orders`].
#[derive(Debug, Serialize)]
pub struct Orders {
    /// The newest first.
    pub orders: Vec<OrderLine>,
}

/// Answer to [`Command::Status`].
#[derive(Debug, Serialize)]
pub struct Status {
    /// `merchant`.
    pub role: &'static str,
    /// The name customers read.
    pub name: String,
    /// The program's version.
    pub version: &'static str,
    /// Its bank.
    pub bank: String,
    /// Its account there.
    pub account: String,
    /// The account's currency.
    pub currency: Currency,
    /// Where payers reach it.
    pub url: String,
    /// The center's address with the root's fingerprint.
    pub center: String,
    /// How many keysets of the center's log it knows.
    pub keysets: usize,
    /// How many payments stand in each state.
    pub payments: BTreeMap<&'static str, u64>,
    /// How many refunds stand in each state.
    pub refunds: BTreeMap<&'static str, u64>,
    /// What waits, by queue.
    pub queues: BTreeMap<String, feiqian_node::queues::Waiting>,
    /// How many offline payments stand in each state.
    pub offline: BTreeMap<&'static str, u64>,
    /// How many offline keysets of the center's log it knows.
    pub offline_keysets: usize,
    /// When the center last showed the exposed coins.
    pub exposed_at: u64,
}

fn answer(value: &impl Serialize) -> Result<Value, Fault> {
    serde_json::to_value(value).map_err(|error| Fault::new(Code::Internal, error.to_string()))
}

pub(crate) async fn run(merchant: &Merchant, command: Value) -> Result<Value, Fault> {
    let command = serde_json::from_value(command)
        .map_err(|error| Fault::new(Code::Usage, format!("no command of a merchant: {error}")))?;
    match command {
        Command::Request { amount, order, expires_seconds } => {
            answer(&merchant.request(&amount, order, expires_seconds).await?)
        }
        Command::Orders { limit } => {
            answer(&Orders { orders: merchant.orders(limit.unwrap_or(1000).min(10_000)).await? })
        }
        Command::Refund { order, amount, refund } => {
            answer(&merchant.refund(order.into_string(), amount.as_deref(), refund).await?)
        }
        Command::ChequeVerify { path } => merchant.cheque_verify(path).await,
        Command::ChequeDeposit { path, out } => merchant.cheque_deposit(path, out).await,
        Command::ChequeList {} => merchant.cheque_list().await,
        Command::OfflineRequest { amount, order, expires_seconds, out } => {
            answer(&merchant.offline_request(&amount, order, expires_seconds, out).await?)
        }
        Command::Accept { file } => answer(&merchant.offline_accept(&file).await?),
        Command::DepositQueue {} => answer(&merchant.deposit_queue().await?),
        Command::Status {} => answer(&status(merchant).await?),
    }
}

type Counts = BTreeMap<&'static str, u64>;

fn count(tx: &mut dyn Tx, table: &str, names: [&'static str; 3]) -> Result<Counts, Failure> {
    let rows = tx.select(&format!("SELECT state, count(*) FROM {table} GROUP BY state"), &[])?;
    let mut counts: Counts = names.into_iter().map(|name| (name, 0)).collect();
    for row in &rows {
        let state: usize = row.small(0)?;
        if let Some(name) = names.get(state) {
            counts.insert(name, row.unsigned(1)?);
        }
    }
    Ok(counts)
}

async fn status(merchant: &Merchant) -> Result<Status, Fault> {
    let read = |tx: &mut dyn Tx| -> Result<(Counts, Counts, Counts), Failure> {
        let payments = count(tx, "merchant_payment", ["pending", "paid", "refused"])?;
        let offline = count(tx, "merchant_offline_payment", ["queued", "settled", "refused"])?;
        Ok((payments, count(tx, "merchant_refund", ["pending", "booked", "refused"])?, offline))
    };
    let (payments, refunds, offline) = merchant.seams.store.read(read).await?;
    let (config, view) = (&merchant.config, merchant.view());
    Ok(Status {
        role: "merchant",
        name: config.name.as_str().to_owned(),
        version: env!("CARGO_PKG_VERSION"),
        bank: config.bank.as_str().to_owned(),
        account: config.account.as_str().to_owned(),
        currency: config.currency,
        url: config.url.clone(),
        center: config.center.clone(),
        keysets: view.pins.len(),
        payments,
        refunds,
        queues: merchant.queues().await?,
        offline,
        offline_keysets: view.offline_entries().len(),
        exposed_at: view.exposed().as_of.seconds(),
    })
}
