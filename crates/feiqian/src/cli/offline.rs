//! The commands about offline cash.

use std::path::PathBuf;

use clap::Subcommand;

use super::nodes::HomeOnly;

#[derive(Debug, Subcommand)]
pub(crate) enum BankOffline {
    /// List customers who answered twice for an offline coin, and what is still owed for it.
    #[command(after_help = "Example:\n  feiqian bank accusations --home north --json")]
    Accusations(HomeOnly),
    /// Show one accusation as a document that anybody can check with `feiqian verify`.
    #[command(after_help = "Example:\n  feiqian bank accusation --home north ID --out accusation.json")]
    Accusation {
        #[command(flatten)]
        at: HomeOnly,
        /// As `feiqian bank accusations` lists it.
        id: String,
        /// Write the document here instead of printing it.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum MerchantOffline {
    /// Ask for an offline payment, with no connection to anybody.
    #[command(after_help = "Examples:
  feiqian merchant offline-request --home shop --amount 12.50 --order B-1 --out request.fq
  feiqian merchant offline-request --home shop --amount 12.50 --order B-2 --qr")]
    OfflineRequest {
        #[command(flatten)]
        at: HomeOnly,
        /// How much, as in 12.50.
        #[arg(long)]
        amount: String,
        /// The order's reference, unique among offline requests.
        #[arg(long)]
        order: String,
        /// Seconds until the request expires.
        #[arg(long, value_name = "SECONDS")]
        expires: Option<u64>,
        /// Write the request to this file as well.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Draw the request as a QR code too, where it fits one.
        #[arg(long)]
        qr: bool,
    },
    /// Take an offline payment, with no connection to anybody; it is deposited later.
    #[command(after_help = "Example:\n  feiqian merchant accept --home shop payment.fq")]
    Accept {
        #[command(flatten)]
        at: HomeOnly,
        /// A file as the payer's wallet wrote it, or feiqian:… text.
        payment: String,
    },
    /// Deposit what was accepted offline, and show what became of it.
    #[command(after_help = "Example:\n  feiqian merchant deposit-queue --home shop --json")]
    DepositQueue(HomeOnly),
}

#[derive(Debug, Subcommand)]
pub(crate) enum WalletOffline {
    /// Turn money on the account into offline coins.
    #[command(after_help = "Example:\n  feiqian wallet withdraw-offline --home alice 20.00")]
    WithdrawOffline {
        #[command(flatten)]
        at: HomeOnly,
        /// How much, as in 20.00.
        amount: String,
    },
    /// Get blanks: each takes one piece from hand to hand.
    #[command(after_help = "Example:\n  feiqian wallet blanks --home bob 8")]
    Blanks {
        #[command(flatten)]
        at: HomeOnly,
        /// How many, 1 to 64.
        #[arg(value_parser = clap::value_parser!(u16).range(1..=64))]
        count: u16,
    },
    /// Pay an offline request, with no connection to anybody; the same request again gives the same payment.
    #[command(after_help = "Example:\n  feiqian wallet pay-offline --home alice request.fq --out payment.fq")]
    PayOffline {
        #[command(flatten)]
        at: HomeOnly,
        /// The request: a file, or feiqian:… text.
        request: String,
        /// Write the payment to this file [default: as text or frames].
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Begin to take value from hand to hand.
    #[command(after_help = "Example:\n  feiqian wallet offer --home bob 5.00 --out offer.fq")]
    Offer {
        #[command(flatten)]
        at: HomeOnly,
        /// How much, as in 5.00.
        amount: String,
        /// How many pieces at most; each takes a blank [default: as many as the amount usually needs].
        #[arg(long)]
        blanks: Option<u16>,
        /// Seconds until the offer expires.
        #[arg(long, value_name = "SECONDS")]
        expires: Option<u64>,
        /// Write the message to this file as well.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Pass value on, one step for each message of the payee.
    #[command(
        after_help = "Example, answer the offer, then compare the codes on both screens and pass the value:
  feiqian wallet transfer-coin --home alice --to offer.fq --out answer.fq
  feiqian wallet transfer-coin --home alice --to opened.fq --code CODE --out transfer.fq"
    )]
    TransferCoin {
        #[command(flatten)]
        at: HomeOnly,
        /// The payee's message: a file, or feiqian:… text.
        #[arg(long, value_name = "MESSAGE")]
        to: String,
        /// What the payee's screen shows.
        #[arg(long)]
        code: Option<String>,
        /// Write the answer to this file.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Take a payer's message: its answer to an offer, or the transfer.
    #[command(after_help = "Example:\n  feiqian wallet accept --home bob transfer.fq")]
    Accept {
        #[command(flatten)]
        at: HomeOnly,
        /// A file, or feiqian:… text.
        message: String,
        /// Write the answer to this file, where there is one.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Turn offline value into money on the account.
    #[command(after_help = "Example:\n  feiqian wallet deposit-offline --home bob 5.00")]
    DepositOffline {
        #[command(flatten)]
        at: HomeOnly,
        /// How much, as in 5.00.
        amount: String,
    },
    /// Claim offline value that was never deposited, when its time has come; gives up the anonymity of those coins.
    #[command(after_help = "Example:\n  feiqian wallet reclaim --home alice --json")]
    Reclaim {
        #[command(flatten)]
        at: HomeOnly,
        /// Also what was spent, in case no payee ever deposited it.
        #[arg(long)]
        everything: bool,
    },
    /// Look at the bank for offline coins that this wallet knows nothing of; they can only be reclaimed.
    #[command(after_help = "Example:\n  feiqian wallet restore-offline --home alice")]
    RestoreOffline(HomeOnly),
}
