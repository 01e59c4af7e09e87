//! The commands of a bank.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::backup::{BackupArgs, RestoreArgs};
use super::nodes::{HomeOnly, PassphraseCommand, RunArgs};
use super::offline::BankOffline;

#[derive(Debug, Subcommand)]
pub(crate) enum Bank {
    /// Create a bank: the center, which must be running, certifies its authority.
    #[command(after_help = "Example:
  feiqian bank init --home north --name north --center https://127.0.0.1:7000#sha256=FINGERPRINT")]
    Init(BankInit),
    /// Make a home for one more process of a bank that keeps everything in PostgreSQL.
    #[command(after_help = "Example:
  feiqian bank join --home north-2 --of north --name 2")]
    Join(BankJoin),
    /// Run it until Ctrl-C; prints one line with its address when it is ready.
    #[command(after_help = "Example:\n  feiqian bank run --home north")]
    Run(RunArgs),
    /// Customers' accounts.
    #[command(
        subcommand,
        after_help = "Example:\n  feiqian bank account open --home north --name alice --json"
    )]
    Account(AccountCommand),
    /// Show a customer's account: every movement, opening and closing balance.
    #[command(after_help = "Examples:
  feiqian bank statement --home north --name alice --json
  feiqian bank statement --home north --name alice --number 1
  feiqian bank statement --home north --name alice --iso20022 camt.053 > alice.xml")]
    Statement {
        #[command(flatten)]
        at: HomeOnly,
        /// The customer's name.
        #[arg(long)]
        name: String,
        /// Show that statement again [default: the one since the last, closed now].
        #[arg(long, value_name = "NUMBER")]
        number: Option<u64>,
        /// Print it as an ISO 20022 message of this kind.
        #[arg(long, value_name = "KIND")]
        iso20022: Option<Message>,
    },
    /// Show the register of the cheques that customers drew, newest first.
    #[command(after_help = "Example:\n  feiqian bank cheques --home north --json")]
    Cheques(HomeOnly),
    #[command(flatten)]
    Offline(BankOffline),
    /// Show what operators did to the bank, and how it ended; nothing that only looks is recorded.
    #[command(after_help = "Example:\n  feiqian bank log --home north --json")]
    Log(HomeOnly),
    /// The passphrase of the private keys.
    #[command(subcommand, after_help = "Example:\n  feiqian bank passphrase change --home north")]
    Passphrase(PassphraseCommand),
    /// Copy everything into one file, also while it runs.
    #[command(after_help = "Example:\n  feiqian bank backup --home north --out north.backup")]
    Backup(BackupArgs),
    /// Make it again from a backup, with what its peers must be asked.
    #[command(after_help = "Example:\n  feiqian bank restore --home north-again --from north.backup")]
    Restore(RestoreArgs),
    /// Show how the bank is doing.
    #[command(after_help = "Example:\n  feiqian bank status --home north --json")]
    Status(HomeOnly),
}

/// Messages that show an account's bookings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Message {
    /// Bank to customer statement.
    #[value(name = "camt.053")]
    Statement,
    /// Debit or credit notification: its bookings only.
    #[value(name = "camt.054")]
    Advice,
}

#[derive(Debug, Args)]
pub(crate) struct BankInit {
    /// A new or empty folder for it.
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// Its name: a-z, 0-9 and -.
    #[arg(long)]
    pub(crate) name: String,
    /// The center's address as it printed it, with #sha256=FINGERPRINT.
    #[arg(long, value_name = "URL")]
    pub(crate) center: String,
    /// The center's invitation, where it wants one.
    #[arg(long)]
    pub(crate) code: Option<String>,
    /// The currency it keeps accounts in.
    #[arg(long, default_value = "CNY")]
    pub(crate) currency: String,
    /// Where it will listen; port 0 takes a free one and keeps it.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "HOST:PORT")]
    pub(crate) listen: String,
    /// Keep everything in this empty PostgreSQL database (postgres://USER:PASSWORD@HOST:PORT/DATABASE) instead of in a
    /// file of the home.
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// The URL that others reach it at, when that is a balancer's in front of several processes [default: https:// and
    /// the address it listens at].
    #[arg(long, value_name = "URL")]
    pub(crate) advertise: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct BankJoin {
    /// A new or empty folder for it.
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// A home of the bank, whose keys and database it gets.
    #[arg(long, value_name = "DIR")]
    pub(crate) of: PathBuf,
    /// A name that no other home of the bank has: a-z, 0-9 and -.
    #[arg(long)]
    pub(crate) name: String,
    /// Where it will listen; port 0 takes a free one and keeps it.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "HOST:PORT")]
    pub(crate) listen: String,
    /// The URL that the bank's other processes reach it at [default: https:// and the address it listens at].
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum CustomerRole {
    /// A person with a wallet.
    Customer,
    /// A merchant with a node.
    Merchant,
}

/// A named account and an amount.
#[derive(Debug, Args)]
pub(crate) struct AccountAmount {
    #[command(flatten)]
    pub(crate) at: HomeOnly,
    /// The customer's name.
    #[arg(long)]
    pub(crate) name: String,
    /// How much, as in 100.00.
    #[arg(long)]
    pub(crate) amount: String,
    /// A name for this act of your own choosing: the same again acts once.
    #[arg(long)]
    pub(crate) id: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// Open an account; prints the enrolment code, good once.
    #[command(after_help = "Example:\n  feiqian bank account open --home north --name alice")]
    Open {
        #[command(flatten)]
        at: HomeOnly,
        /// The customer's name.
        #[arg(long)]
        name: String,
        /// What the account is for.
        #[arg(long, default_value = "customer")]
        role: CustomerRole,
    },
    /// Take base money in: put it on the account.
    #[command(after_help = "Example:\n  feiqian bank account fund --home north --name alice --amount 100.00")]
    Fund(AccountAmount),
    /// Pay base money out of the account.
    #[command(
        after_help = "Example:\n  feiqian bank account payout --home north --name alice --amount 20.00"
    )]
    Payout(AccountAmount),
    /// List accounts.
    #[command(after_help = "Example:\n  feiqian bank account list --home north --json")]
    List(HomeOnly),
    /// Say who must sign cheques on an account, and how many of them.
    #[command(after_help = "Example, two of three:
  feiqian bank account mandate --home north --name alice --required 2 --drawers alice carol dave")]
    Mandate {
        #[command(flatten)]
        at: HomeOnly,
        /// The customer's name.
        #[arg(long)]
        name: String,
        /// How many must sign.
        #[arg(long)]
        required: u8,
        /// The names of the customers who may.
        #[arg(long, num_args = 1.., required = true, value_name = "NAME")]
        drawers: Vec<String>,
    },
    /// Close an empty account.
    #[command(after_help = "Example:\n  feiqian bank account close --home north --name alice")]
    Close {
        #[command(flatten)]
        at: HomeOnly,
        /// The customer's name.
        #[arg(long)]
        name: String,
    },
}
