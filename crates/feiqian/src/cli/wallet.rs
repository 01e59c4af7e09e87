//! The commands of a wallet.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::backup::WalletRestore;
use super::cheques::{Certificate, Transfer, WalletCheque};
use super::nodes::{HomeOnly, PassphraseCommand, RunArgs};
use super::offline::WalletOffline;

#[derive(Debug, Subcommand)]
pub(crate) enum Wallet {
    /// Create a wallet at its bank, which must be running; shows, once, the 24 words that everything in it is derived from:
    /// they are its backup.
    #[command(after_help = "Example:
  feiqian wallet init --home alice --name alice --bank https://127.0.0.1:7001#sha256=FINGERPRINT --code CODE")]
    Init(WalletInit),
    /// Make a wallet again from its words alone; the same command goes on with one that was interrupted.
    #[command(after_help = "Examples:
  feiqian wallet restore --home alice --words-file words.txt --bank https://127.0.0.1:7001#sha256=FINGERPRINT
  feiqian wallet restore --home alice --words-file stdin --bank https://127.0.0.1:7001#sha256=FINGERPRINT --code CODE")]
    Restore(WalletRestore),
    /// Run it until Ctrl-C: collects what others pay without being asked.
    #[command(after_help = "Example:\n  feiqian wallet run --home alice")]
    Run(RunArgs),
    /// Turn money on the account into coins.
    #[command(
        after_help = "Examples:\n  feiqian wallet withdraw --home alice 50.00\n  feiqian wallet withdraw --home alice --offline 40.00"
    )]
    Withdraw {
        #[command(flatten)]
        at: HomeOnly,
        /// Into coins that pay where nobody has a connection.
        #[arg(long)]
        offline: bool,
        /// How much, as in 50.00.
        amount: String,
    },
    /// Turn coins into money on the account.
    #[command(
        after_help = "Examples:\n  feiqian wallet deposit --home alice 10.00\n  feiqian wallet deposit --home bob --offline 5.00"
    )]
    Deposit {
        #[command(flatten)]
        at: HomeOnly,
        /// Offline coins, and what others passed on.
        #[arg(long)]
        offline: bool,
        /// How much, as in 10.00.
        amount: String,
    },
    /// Show what the wallet holds; pending value stands apart.
    #[command(after_help = "Example:\n  feiqian wallet balance --home alice --json")]
    Balance(HomeOnly),
    /// Show what happened in the wallet.
    #[command(after_help = "Example:\n  feiqian wallet history --home alice --json")]
    History(HomeOnly),
    /// Renew coins, take back change, refunds and expired payments.
    #[command(after_help = "Example:\n  feiqian wallet refresh --home alice")]
    Refresh(HomeOnly),
    /// Pay a request.
    #[command(
        after_help = "Examples:\n  feiqian wallet pay --home alice feiqian:RlEB…\n  feiqian wallet pay --home alice feiqian:RlEB… --out payment.fq\n  feiqian wallet pay --home alice --offline request.fq --out payment.fq\n  feiqian wallet pay --home alice --offline feiqian:offline:RlEB… --qr"
    )]
    Pay {
        #[command(flatten)]
        at: HomeOnly,
        /// With offline coins and no connection to anybody; the same request again gives the same payment.
        #[arg(long)]
        offline: bool,
        /// The request, a feiqian: URI; an offline request may also be a file.
        uri: String,
        /// Write the payment to this file, to be handed over by other means, instead of sending or showing it.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Draw an offline payment as a QR code, or as a sequence of them where it is too long for one.
        #[arg(long, requires = "offline")]
        qr: bool,
    },
    /// Ask somebody for money: prints a feiqian: URI to hand over.
    #[command(after_help = "Example:\n  feiqian wallet request --home bob 5.00")]
    Request {
        #[command(flatten)]
        at: HomeOnly,
        /// How much, as in 5.00.
        amount: String,
        /// What for; the payer sees it.
        #[arg(long)]
        order: Option<String>,
        /// Seconds until the request expires.
        #[arg(long, value_name = "SECONDS")]
        expires: Option<u64>,
        /// Draw the request as a QR code too.
        #[arg(long)]
        qr: bool,
    },
    /// Collect what others have paid, from the drop box or from a file.
    #[command(
        after_help = "Examples:\n  feiqian wallet receive --home bob\n  feiqian wallet receive --home bob payment.fq"
    )]
    Receive {
        #[command(flatten)]
        at: HomeOnly,
        /// A payment as `wallet pay --out` wrote it.
        file: Option<PathBuf>,
    },
    /// E-cheques: the own cheque book, and cheques of others.
    #[command(subcommand, after_help = "Example:\n  feiqian wallet cheque list --home alice")]
    Cheque(WalletCheque),
    /// Credit an account elsewhere from the own account.
    #[command(
        after_help = "Example:\n  feiqian wallet transfer --home alice --to south/shop --amount 30.00 --memo rent"
    )]
    Transfer(Transfer),
    /// The wallet's keys and certificates.
    #[command(subcommand, after_help = "Example:\n  feiqian wallet certificate list --home alice")]
    Certificate(Certificate),
    #[command(flatten)]
    Offline(WalletOffline),
    /// The passphrase of the private keys.
    #[command(subcommand, after_help = "Example:\n  feiqian wallet passphrase change --home alice")]
    Passphrase(PassphraseCommand),
    /// Show how the wallet is doing.
    #[command(after_help = "Example:\n  feiqian wallet status --home alice --json")]
    Status(HomeOnly),
}

#[derive(Debug, Args)]
pub(crate) struct WalletInit {
    /// A new or empty folder for it.
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// The owner's name for it.
    #[arg(long)]
    pub(crate) name: String,
    /// The bank's address as the bank printed it, with #sha256=FINGERPRINT.
    #[arg(long, value_name = "URL")]
    pub(crate) bank: String,
    /// The enrolment code from the bank.
    #[arg(long)]
    pub(crate) code: String,
}
