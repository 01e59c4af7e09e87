//! The commands of the verification center.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::backup::{BackupArgs, RestoreArgs};
use super::cheques::Cycle;
use super::nodes::{HomeOnly, PassphraseCommand, RunArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum Center {
    /// Create a center: its root authority, keys and home.
    #[command(after_help = "Examples:
  feiqian center init --home center --name center
  feiqian center init --home center --name center --settlement net")]
    Init(CenterInit),
    /// Make a home for one more process of a center that keeps everything in PostgreSQL.
    #[command(after_help = "Example:
  feiqian center join --home center-2 --of center")]
    Join(CenterJoin),
    /// Run it until Ctrl-C; prints one line with its address when it is ready.
    #[command(after_help = "Example:\n  feiqian center run --home center")]
    Run(RunArgs),
    /// Make an invitation for a bank, good once.
    #[command(after_help = "Example:\n  feiqian center invite --home center --bank north")]
    Invite {
        #[command(flatten)]
        at: HomeOnly,
        /// The bank's name.
        #[arg(long)]
        bank: String,
    },
    /// Put declared base money on a bank's settlement account.
    #[command(after_help = "Example:\n  feiqian center fund --home center --bank north --amount 5000.00")]
    Fund {
        #[command(flatten)]
        at: HomeOnly,
        /// The bank's name.
        #[arg(long)]
        bank: String,
        /// How much, in the bank's currency.
        #[arg(long)]
        amount: String,
        /// A name for this act of your own choosing: the same again acts once.
        #[arg(long)]
        id: Option<String>,
    },
    /// List the banks.
    #[command(after_help = "Example:\n  feiqian center banks --home center --json")]
    Banks(HomeOnly),
    /// Cycles of net settlement.
    #[command(subcommand, after_help = "Example:\n  feiqian center cycle close --home center")]
    Cycle(Cycle),
    /// Settle what is closed and due.
    #[command(after_help = "Example:\n  feiqian center settle --home center --json")]
    Settle(HomeOnly),
    /// Show each bank's settlement account and what the banks owed one another.
    #[command(after_help = "Example:\n  feiqian center positions --home center --json")]
    Positions(HomeOnly),
    /// Revoke a bank's authority, and with it every certificate it gave; for ever.
    #[command(
        after_help = "Example:\n  feiqian center revoke --home center --bank north --reason key_compromise"
    )]
    Revoke {
        #[command(flatten)]
        at: HomeOnly,
        /// The bank's name.
        #[arg(long)]
        bank: String,
        /// key_compromise, cessation_of_operation, privilege_withdrawn or unspecified.
        #[arg(long, default_value = "unspecified")]
        reason: String,
    },
    /// Show what operators did to the center, and how it ended; nothing that only looks is recorded.
    #[command(after_help = "Example:\n  feiqian center log --home center --json")]
    Log(HomeOnly),
    /// The passphrase of the private keys.
    #[command(subcommand, after_help = "Example:\n  feiqian center passphrase change --home center")]
    Passphrase(PassphraseCommand),
    /// Copy everything into one file, also while it runs.
    #[command(after_help = "Example:\n  feiqian center backup --home center --out center.backup")]
    Backup(BackupArgs),
    /// Make it again from a backup, with what its peers must be asked.
    #[command(after_help = "Example:\n  feiqian center restore --home center-again --from center.backup")]
    Restore(RestoreArgs),
    /// Show how the center is doing.
    #[command(after_help = "Example:\n  feiqian center status --home center --json")]
    Status(HomeOnly),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Admission {
    /// Every bank that asks; on this machine only.
    Open,
    /// Banks with an invitation.
    Code,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Settlement {
    /// Every item at once.
    Gross,
    /// In cycles.
    Net,
}

#[derive(Debug, Args)]
pub(crate) struct CenterInit {
    /// A new or empty folder for it.
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// Its name: a-z, 0-9 and -.
    #[arg(long)]
    pub(crate) name: String,
    /// Where it will listen; port 0 takes a free one and keeps it.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "HOST:PORT")]
    pub(crate) listen: String,
    /// Who may become a member [default: open on a loopback address, else code].
    #[arg(long)]
    pub(crate) admission: Option<Admission>,
    /// How obligations between banks are settled.
    #[arg(long, default_value = "gross")]
    pub(crate) settlement: Settlement,
    /// Declared base money put on each admitted bank's settlement account.
    #[arg(long, default_value = "1000000.00", value_name = "AMOUNT")]
    pub(crate) fund: String,
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
pub(crate) struct CenterJoin {
    /// A new or empty folder for it.
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// A home of the center, whose keys and database it gets.
    #[arg(long, value_name = "DIR")]
    pub(crate) of: PathBuf,
    /// Where it will listen; port 0 takes a free one and keeps it.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "HOST:PORT")]
    pub(crate) listen: String,
}
