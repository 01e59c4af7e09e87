//! The commands about offline cash.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::nodes::HomeOnly;

/// Where a message goes that is carried by hand.
#[derive(Debug, Args)]
pub(crate) struct HandOut {
    /// Write it to this file [default: show it as text, or as numbered texts where it is too long for one].
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Draw it as a QR code, or as a sequence of them where it is too long for one.
    #[arg(long)]
    pub(crate) qr: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BankOffline {
    /// List customers who answered twice for an offline coin, and what is still owed for it; or show one accusation as
    /// a document that anybody can check with `feiqian verify`.
    #[command(after_help = "Examples:
  feiqian bank accusations --home north --json
  feiqian bank accusations --home north ID --out accusation.json")]
    Accusations {
        #[command(flatten)]
        at: HomeOnly,
        /// Show this one, by its id in the list.
        id: Option<String>,
        /// Write its document here instead of printing it.
        #[arg(long, value_name = "FILE", requires = "id")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum MerchantOffline {
    /// Take an offline payment, with no connection to anybody; it is deposited later.
    #[command(after_help = "Examples:
  feiqian merchant accept --home shop payment.fq
  feiqian merchant accept --home shop scanned.txt

A file is what `wallet pay --offline --out` wrote, or the texts that were read from QR codes, one a line, in any order.")]
    Accept {
        #[command(flatten)]
        at: HomeOnly,
        /// A file, or feiqian:… text.
        #[arg(value_name = "FILE")]
        payment: String,
    },
    /// Deposit what was accepted offline, and show what became of it.
    #[command(after_help = "Example:\n  feiqian merchant deposit-queue --home shop --json")]
    DepositQueue(HomeOnly),
}

#[derive(Debug, Subcommand)]
pub(crate) enum WalletOffline {
    /// Get blanks: each takes one piece from hand to hand.
    #[command(after_help = "Example:\n  feiqian wallet blanks --home bob 8")]
    Blanks {
        #[command(flatten)]
        at: HomeOnly,
        /// How many, 1 to 64.
        #[arg(value_parser = clap::value_parser!(u16).range(1..=64))]
        count: u16,
    },
    /// Pass offline value to somebody's opened offer, with no connection to anybody; the same again gives the same transfer.
    #[command(after_help = "Example, compare the codes on both screens, then pass the value:
  feiqian wallet transfer-coin --home alice --to opened.fq
  feiqian wallet transfer-coin --home alice --to opened.fq --code CODE --out transfer.fq

`feiqian wallet offline --help` shows the whole exchange.")]
    TransferCoin {
        #[command(flatten)]
        at: HomeOnly,
        /// The opened offer: a file, or feiqian:… text.
        #[arg(long, value_name = "REQUEST")]
        to: String,
        /// What the payee's screen shows; without it the code of this side is shown and nothing is passed.
        #[arg(long)]
        code: Option<String>,
        #[command(flatten)]
        hand_out: HandOut,
    },
    /// Take a transfer from hand to hand, with no connection to anybody.
    #[command(after_help = "Example:\n  feiqian wallet accept --home bob transfer.fq")]
    Accept {
        #[command(flatten)]
        at: HomeOnly,
        /// What `wallet transfer-coin` gave: a file, or feiqian:… text.
        #[arg(value_name = "FILE")]
        transfer: String,
    },
    /// From hand to hand with no connection: the messages before a transfer; and what can be got back of lost value.
    #[command(
        name = "offline",
        subcommand,
        after_help = "Example, Alice gives Bob 5.00, each message carried by hand:
  feiqian wallet offline offer  --home bob 5.00 --out offer.fq
  feiqian wallet offline answer --home alice offer.fq --out answer.fq
  feiqian wallet offline accept --home bob answer.fq --out opened.fq       # shows a code
  feiqian wallet transfer-coin  --home alice --to opened.fq                # shows the same code
  feiqian wallet transfer-coin  --home alice --to opened.fq --code CODE --out transfer.fq
  feiqian wallet accept         --home bob transfer.fq"
    )]
    Hand(HandToHand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum HandToHand {
    /// The payee begins: asks for an amount.
    #[command(after_help = "Examples:
  feiqian wallet offline offer --home bob 5.00 --out offer.fq
  feiqian wallet offline offer --home bob 5.00 --qr")]
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
        #[command(flatten)]
        hand_out: HandOut,
    },
    /// The payer answers an offer.
    #[command(after_help = "Example:\n  feiqian wallet offline answer --home alice offer.fq --out answer.fq")]
    Answer {
        #[command(flatten)]
        at: HomeOnly,
        /// The offer: a file, or feiqian:… text.
        offer: String,
        #[command(flatten)]
        hand_out: HandOut,
    },
    /// The payee takes the payer's answer, opens the offer to this payer, and shows the code to compare.
    #[command(after_help = "Example:\n  feiqian wallet offline accept --home bob answer.fq --out opened.fq")]
    Accept {
        #[command(flatten)]
        at: HomeOnly,
        /// The payer's answer: a file, or feiqian:… text.
        answer: String,
        #[command(flatten)]
        hand_out: HandOut,
    },
    /// Claim offline value that was never deposited, when its time has come; gives up the anonymity of those coins.
    #[command(after_help = "Example:\n  feiqian wallet offline reclaim --home alice --json")]
    Reclaim {
        #[command(flatten)]
        at: HomeOnly,
        /// Also what was spent, in case no payee ever deposited it.
        #[arg(long)]
        everything: bool,
    },
    /// Look at the bank for offline coins that this wallet knows nothing of; they can only be reclaimed.
    #[command(after_help = "Example:\n  feiqian wallet offline restore --home alice")]
    Restore(HomeOnly),
}
