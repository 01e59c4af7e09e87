//! What the owner can ask of the wallet. In JSON: `{"command": "pay", "uri": "feiqian:…"}`.

use std::path::PathBuf;

use feiqian_cheque::messages::Action;
use feiqian_money::{Amount, Minor};
use feiqian_wire::error::{Code, Fault};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cheque::stop_reason;
use crate::failure::{Failure, Result};
use crate::resume::Scope;
use crate::wallet::Wallet;

/// A cheque to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChequeOrder {
    /// `BANK/ACCOUNT`, or else `certificate`.
    #[serde(default)]
    pub to: Option<String>,
    /// The payee's certificate with its bank's authority, PEM.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// How much.
    pub amount: String,
    /// From when it is payable, `2026-12-01`; today when absent.
    #[serde(default)]
    pub date: Option<String>,
    /// For the payee.
    #[serde(default)]
    pub memo: Option<String>,
    /// Whether it may be endorsed.
    #[serde(default)]
    pub negotiable: bool,
    /// Have the amount reserved at once.
    #[serde(default)]
    pub certify: bool,
    /// Files to bind, at most 4.
    #[serde(default)]
    pub attach: Vec<PathBuf>,
    /// Accounts of the other drawers at the same bank.
    #[serde(default)]
    pub joint: Vec<String>,
    /// How many drawers must sign; all when absent.
    #[serde(default)]
    pub required: Option<u8>,
    /// Where to write the file.
    #[serde(default)]
    pub out: Option<PathBuf>,
    /// Put it into the payee's box as well.
    #[serde(default)]
    pub send: bool,
}

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
    /// `{"balance","pending","currency","coins","offline":{"balance","pending","reclaimable","coins","received":[{"amount",
    /// "bank","hops","pay_until"}],"blanks","pay_until"}}`.
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
    /// Gets leaves: `{"first","last","leaves","account"}`.
    ChequeBook {
        /// How many, 1 to 100.
        leaves: u16,
    },
    /// Writes a cheque: `{"number","cheque","state","amount","currency","payee","date","complete","file","sent"}`.
    ChequeWrite(ChequeOrder),
    /// A joint drawer signs; the drawer whose account it is hands in what enough have signed.
    ChequeSign {
        /// The file.
        path: PathBuf,
        /// Where to write it.
        #[serde(default)]
        out: Option<PathBuf>,
    },
    /// `{"cheques":[{"number","cheque","state","amount","currency","payee","date","code","iso20022","reserved"}],
    /// "received":[…],"leaves","register"}`.
    ChequeList,
    /// Stops an own cheque: its line of the register.
    ChequeStop {
        /// Its number.
        number: u64,
        /// `CUST`, `DUPL`, `FRAD` or `LOST`.
        reason: String,
    },
    /// Lifts the own stop: its line of the register.
    ChequeUnstop {
        /// Its number.
        number: u64,
    },
    /// Cancels an own cheque that was never presented: its line of the register.
    ChequeVoid {
        /// Its number.
        number: u64,
    },
    /// Has the amount reserved: `{"number","cheque","state","amount","currency","payee","file"}`.
    ChequeCertify {
        /// Its number.
        number: u64,
        /// Where to write the certified file.
        #[serde(default)]
        out: Option<PathBuf>,
    },
    /// Passes a negotiable cheque on:
    /// `{"cheque","number","drawee","amount","currency","holder","state","file"}`.
    ChequeEndorse {
        /// The file.
        path: PathBuf,
        /// `BANK/ACCOUNT`.
        to: String,
        /// Where to write the endorsed file.
        out: PathBuf,
    },
    /// Gives a cheque to the own bank:
    /// `{"cheque","number","drawee","amount","currency","outcome","paid","code","iso20022","meaning","presentment","file"}`;
    /// outcome `paid`, `returned` or `pending`.
    ChequeDeposit {
        /// The file.
        path: PathBuf,
        /// Where to write the file with the bank's answer.
        #[serde(default)]
        out: Option<PathBuf>,
    },
    /// Takes cheques that others sent:
    /// `{"cheques":[{"cheque","number","drawee","amount","currency","payee","date","good","code","reason","file"}]}`.
    ChequeInbox {
        /// Folder for the files; `cheques` in the home when absent.
        #[serde(default)]
        folder: Option<PathBuf>,
    },
    /// Credits an account elsewhere: `{"transfer","to","amount","currency","outcome","code","iso20022"}`; outcome
    /// `booked`, `returned` or `pending`.
    Transfer {
        /// `BANK/ACCOUNT`.
        to: String,
        /// How much.
        amount: String,
        /// For the receiver.
        #[serde(default)]
        memo: Option<String>,
    },
    /// Takes offline coins from the account: `{"amount","currency","coins","session"}`.
    WithdrawOffline {
        /// How much.
        amount: String,
    },
    /// Gets blanks, which take pieces from hand to hand: `{"blanks","session"}`.
    Blanks {
        /// How many, 1 to 64.
        count: u16,
    },
    /// Pays an offline request, with no connection to anybody:
    /// `{"payment","outcome":"given","amount","currency","pieces","bytes","uri"|"frames"|"file"}`.
    PayOffline {
        /// `feiqian:…` text, frames one a line, or a file.
        request: String,
        /// Writes the payment to this file; as text or frames in the answer when absent.
        #[serde(default)]
        out: Option<PathBuf>,
    },
    /// Begins to take value from hand to hand: `{"offer","amount","currency","blanks","expires","bytes","uri"}`.
    Offer {
        /// How much.
        amount: String,
        /// How many pieces at most, each takes a blank; as many as the amount usually needs when absent.
        #[serde(default)]
        blanks: Option<u16>,
        /// For how long, seconds.
        #[serde(default)]
        expires_seconds: Option<u64>,
        /// Writes the message to this file as well.
        #[serde(default)]
        out: Option<PathBuf>,
    },
    /// Answers a payee's offer, as the payer: `{"outcome":"answered","bytes","uri"}`.
    AnswerOffer {
        /// The beginning of the offer: text, frames or a file.
        file: String,
        /// Writes the answer to this file as well.
        #[serde(default)]
        out: Option<PathBuf>,
    },
    /// Takes the payer's answer and opens the offer to that payer, once:
    /// `{"offer","outcome":"opened","code","amount","currency","bytes","uri"|"frames"|"file"}`.
    OpenOffer {
        /// The payer's answer: text, frames or a file.
        file: String,
        /// Writes the opened offer to this file.
        #[serde(default)]
        out: Option<PathBuf>,
    },
    /// Passes value to an opened offer: `{"outcome":"compare","code","amount","currency","offer"}`, then with the payee's
    /// code `{"payment","outcome":"given","amount","currency","pieces","bytes","uri"|"frames"|"file"}`.
    TransferCoin {
        /// The opened offer: text, frames or a file.
        to: String,
        /// What the payee's screen shows.
        #[serde(default)]
        code: Option<String>,
        /// Writes the transfer to this file.
        #[serde(default)]
        out: Option<PathBuf>,
    },
    /// Takes a transfer, with no connection to anybody:
    /// `{"offer","outcome":"taken","amount","currency","pieces","bytes"}`.
    Accept {
        /// Text, frames or a file.
        file: String,
    },
    /// Puts offline value onto the account: `{"payment","outcome","amount","paid","unpaid","currency"}`.
    DepositOffline {
        /// How much.
        amount: String,
    },
    /// Claims offline value that was never deposited, when its time has come:
    /// `{"filed","decided","paid","refused","waiting","currency"}`.
    Reclaim {
        /// Also what was spent, in case no payee ever deposited it.
        #[serde(default)]
        everything: bool,
    },
    /// Looks at the bank for offline coins that this store knows nothing of; they can only be reclaimed:
    /// `{"coins","amount","currency"}`.
    RestoreOffline,
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
            Command::Transfer { to, amount, memo } => {
                self.transfer(&to, self.read_amount(&amount)?, memo.unwrap_or_default()).await
            }
            other => self.carry_out_offline(other).await,
        }
    }

    async fn carry_out_offline(&self, command: Command) -> Result<Value> {
        match command {
            Command::WithdrawOffline { amount } => self.withdraw_offline(self.read_amount(&amount)?).await,
            Command::Blanks { count } => self.blanks(count).await,
            Command::PayOffline { request, out } => self.pay_offline(&request, out).await,
            Command::Offer { amount, blanks, expires_seconds, out } => {
                self.offer(self.read_amount(&amount)?, blanks, expires_seconds, out).await
            }
            Command::TransferCoin { to, code, out } => self.transfer_coin(&to, code.as_deref(), out).await,
            Command::AnswerOffer { file, out } => self.answer_offer(&file, out).await,
            Command::OpenOffer { file, out } => self.open_offer(&file, out).await,
            Command::Accept { file } => self.accept_transfer(&file).await,
            Command::DepositOffline { amount } => self.deposit_offline(self.read_amount(&amount)?).await,
            Command::Reclaim { everything } => self.reclaim(everything).await,
            Command::RestoreOffline => self.restore_offline().await,
            other => self.carry_out_cheque(other).await,
        }
    }

    async fn carry_out_cheque(&self, command: Command) -> Result<Value> {
        match command {
            Command::ChequeBook { leaves } => self.cheque_book(leaves).await,
            Command::ChequeWrite(order) => self.write_cheque(order).await,
            Command::ChequeSign { path, out } => self.sign_cheque(&path, out.as_deref()).await,
            Command::ChequeList => self.list_cheques().await,
            Command::ChequeStop { number, reason } => {
                self.order_cheque(number, Action::Stop(stop_reason(&reason)?)).await
            }
            Command::ChequeUnstop { number } => self.order_cheque(number, Action::Unstop).await,
            Command::ChequeVoid { number } => self.order_cheque(number, Action::Void).await,
            Command::ChequeCertify { number, out } => self.certify_cheque(number, out.as_deref()).await,
            Command::ChequeEndorse { path, to, out } => self.endorse_cheque(&path, &to, &out).await,
            Command::ChequeDeposit { path, out } => self.deposit_cheque(&path, out.as_deref()).await,
            Command::ChequeInbox { folder } => self.cheque_inbox(folder.as_deref()).await,
            _ => Err(Failure::broken("a command that nobody carries out")),
        }
    }

    pub(crate) fn read_amount(&self, text: &str) -> Result<Amount> {
        let amount = Amount::parse(text, self.config.currency).map_err(|error| {
            Failure::new(Code::Usage, format!("`{text}` is no amount: {error}")).hint("write it as 12.50")
        })?;
        if amount.minor == Minor::ZERO {
            return Err(Failure::new(Code::Usage, "the amount is zero"));
        }
        Ok(amount)
    }
}
