//! The commands of a merchant.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::backup::{BackupArgs, RestoreArgs};
use super::cheques::MerchantCheque;
use super::nodes::{HomeOnly, PassphraseCommand, RunArgs};
use super::offline::MerchantOffline;

#[derive(Debug, Subcommand)]
pub(crate) enum Merchant {
    /// Create a merchant's node at its bank, which must be running.
    #[command(after_help = "Example:
  feiqian merchant init --home shop --name shop --bank https://127.0.0.1:7001#sha256=FINGERPRINT --code CODE")]
    Init(MerchantInit),
    /// Run it until Ctrl-C; prints one line with its address when it is ready.
    #[command(after_help = "Example:\n  feiqian merchant run --home shop")]
    Run(RunArgs),
    /// Ask for a payment: prints a feiqian: URI to hand to the payer.
    #[command(
        after_help = "Examples:\n  feiqian merchant request --home shop --amount 12.50 --order A-1\n  feiqian merchant request --home shop --amount 12.50 --order A-2 --qr\n  feiqian merchant request --home shop --offline --amount 12.50 --order B-1 --out request.fq"
    )]
    Request {
        #[command(flatten)]
        at: HomeOnly,
        /// How much, as in 12.50.
        #[arg(long)]
        amount: String,
        /// The order's reference, unique.
        #[arg(long)]
        order: String,
        /// To be paid with offline coins; neither side needs a connection.
        #[arg(long)]
        offline: bool,
        /// Seconds until the request expires.
        #[arg(long, value_name = "SECONDS")]
        expires: Option<u64>,
        /// Write an offline request to this file instead of showing it.
        #[arg(long, value_name = "FILE", requires = "offline")]
        out: Option<PathBuf>,
        /// Draw the request as a QR code too, or as a sequence of them where it is too long for one.
        #[arg(long)]
        qr: bool,
    },
    /// List orders and what became of them.
    #[command(after_help = "Example:\n  feiqian merchant orders --home shop --json")]
    Orders(HomeOnly),
    /// Give back what was paid for an order, all or a part.
    #[command(after_help = "Example:\n  feiqian merchant refund --home shop --order A-1 --amount 2.00")]
    Refund {
        #[command(flatten)]
        at: HomeOnly,
        /// The order's reference.
        #[arg(long)]
        order: String,
        /// How much [default: all that is left].
        #[arg(long)]
        amount: Option<String>,
        /// A name for this act of your own choosing: the same again acts once.
        #[arg(long)]
        id: Option<String>,
    },
    /// E-cheques made out to the merchant.
    #[command(subcommand, after_help = "Example:\n  feiqian merchant cheque deposit --home shop rent.json")]
    Cheque(MerchantCheque),
    #[command(flatten)]
    Offline(MerchantOffline),
    /// The passphrase of the private keys.
    #[command(subcommand, after_help = "Example:\n  feiqian merchant passphrase change --home shop")]
    Passphrase(PassphraseCommand),
    /// Copy everything into one file, also while it runs.
    #[command(after_help = "Example:\n  feiqian merchant backup --home shop --out shop.backup")]
    Backup(BackupArgs),
    /// Make it again from a backup, with what its peers must be asked.
    #[command(after_help = "Example:\n  feiqian merchant restore --home shop-again --from shop.backup")]
    Restore(RestoreArgs),
    /// Show how the merchant is doing.
    #[command(after_help = "Example:\n  feiqian merchant status --home shop --json")]
    Status(HomeOnly),
}

#[derive(Debug, Args)]
pub(crate) struct MerchantInit {
    /// A new or empty folder for it.
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// Its name.
    #[arg(long)]
    pub(crate) name: String,
    /// Its bank's address as the bank printed it, with #sha256=FINGERPRINT.
    #[arg(long, value_name = "URL")]
    pub(crate) bank: String,
    /// The enrolment code from its bank.
    #[arg(long)]
    pub(crate) code: String,
    /// Where it will listen; port 0 takes a free one and keeps it.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "HOST:PORT")]
    pub(crate) listen: String,
}
