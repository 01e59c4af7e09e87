//! The commands about e-cheques, certificates and transfers.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::nodes::HomeOnly;

/// A home and the number of an own cheque.
#[derive(Debug, Args)]
pub(crate) struct Numbered {
    #[command(flatten)]
    pub(crate) at: HomeOnly,
    /// The cheque's number.
    pub(crate) number: u64,
}

/// Why payment is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
pub(crate) enum Reason {
    /// The customer wishes it.
    Cust,
    /// Issued twice.
    Dupl,
    /// Fraud.
    Frad,
    /// Lost or stolen.
    Lost,
}

impl Reason {
    /// As the wallet reads it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Cust => "CUST",
            Self::Dupl => "DUPL",
            Self::Frad => "FRAD",
            Self::Lost => "LOST",
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum WalletCheque {
    /// Get leaves of the cheque book from the bank.
    #[command(after_help = "Example:\n  feiqian wallet cheque book --home alice --leaves 10")]
    Book {
        #[command(flatten)]
        at: HomeOnly,
        /// How many, 1 to 100.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
        leaves: u16,
    },
    /// Write a cheque: sign it, have the bank countersign it, write its file or send it.
    #[command(after_help = "Examples:
  feiqian wallet cheque write --home alice --to south/shop --amount 250.00 --out rent.json
  feiqian wallet cheque write --home alice --to south/shop --amount 250.00 --date 2026-12-01 --send
  feiqian wallet cheque write --home alice --to bob.pem --amount 9.00 --negotiable --attach bill.pdf --out c.json

With --joint the file goes to the other drawers first, who sign it with `feiqian wallet cheque sign`.")]
    Write(ChequeWrite),
    /// Sign a cheque as a joint drawer; hand it in once enough have signed, when it is of the own account.
    #[command(after_help = "Example:\n  feiqian wallet cheque sign --home carol rent.json --out rent-2.json")]
    Sign {
        #[command(flatten)]
        at: HomeOnly,
        /// The cheque.
        file: PathBuf,
        /// Write the signed cheque here.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List own cheques, as the bank's register has them, and received ones.
    #[command(after_help = "Example:\n  feiqian wallet cheque list --home alice --json")]
    List(HomeOnly),
    /// Stop an own cheque; one whose amount is reserved only when it is lost or a fraud.
    #[command(after_help = "Example:\n  feiqian wallet cheque stop --home alice 3 --reason LOST")]
    Stop {
        #[command(flatten)]
        of: Numbered,
        /// Why.
        #[arg(long, ignore_case = true)]
        reason: Reason,
    },
    /// Lift the own stop.
    #[command(after_help = "Example:\n  feiqian wallet cheque unstop --home alice 3")]
    Unstop(Numbered),
    /// Cancel an own cheque that was never presented.
    #[command(after_help = "Example:\n  feiqian wallet cheque void --home alice 3")]
    Void(Numbered),
    /// Have the amount of an own cheque reserved: it cannot bounce or go stale any more.
    #[command(after_help = "Example:\n  feiqian wallet cheque certify --home alice 3 --out certified.json")]
    Certify {
        #[command(flatten)]
        of: Numbered,
        /// Write the certified cheque here.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Pass a negotiable cheque on; the drawee's register is told.
    #[command(
        after_help = "Example:\n  feiqian wallet cheque endorse --home bob rent.json --to south/shop --out passed.json"
    )]
    Endorse {
        #[command(flatten)]
        at: HomeOnly,
        /// The cheque.
        file: PathBuf,
        /// The next holder.
        #[arg(long, value_name = "BANK/ACCOUNT")]
        to: String,
        /// Write the endorsed cheque here.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Give a cheque to the own bank for collection; the same again shows what became of it.
    #[command(after_help = "Example:\n  feiqian wallet cheque deposit --home bob rent.json --json")]
    Deposit(ChequeDeposit),
    /// Take cheques that others sent.
    #[command(after_help = "Example:\n  feiqian wallet cheque inbox --home bob --into received")]
    Inbox {
        #[command(flatten)]
        at: HomeOnly,
        /// Folder for the files [default: `cheques` in the home].
        #[arg(long, value_name = "DIR")]
        into: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ChequeWrite {
    #[command(flatten)]
    pub(crate) at: HomeOnly,
    /// The payee: an account, or the payee's certificate with its bank's authority.
    #[arg(long, value_name = "BANK/ACCOUNT|CERT.pem")]
    pub(crate) to: String,
    /// How much, as in 250.00.
    #[arg(long)]
    pub(crate) amount: String,
    /// The day from which it is payable [default: today].
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(crate) date: Option<String>,
    /// For the payee.
    #[arg(long)]
    pub(crate) memo: Option<String>,
    /// Let the payee pass it on.
    #[arg(long)]
    pub(crate) negotiable: bool,
    /// Have the amount reserved at once.
    #[arg(long)]
    pub(crate) certify: bool,
    /// Bind this file to it; at most four.
    #[arg(long, value_name = "FILE")]
    pub(crate) attach: Vec<PathBuf>,
    /// The account, at the same bank, of another drawer who must sign.
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub(crate) joint: Vec<String>,
    /// How many of the drawers must sign [default: all].
    #[arg(long, value_name = "COUNT")]
    pub(crate) required: Option<u8>,
    /// Write the cheque here.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Put it into the payee's box at the payee's bank.
    #[arg(long)]
    pub(crate) send: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ChequeDeposit {
    #[command(flatten)]
    pub(crate) at: HomeOnly,
    /// The cheque.
    pub(crate) file: PathBuf,
    /// Write the cheque with what the banks signed on it here.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MerchantCheque {
    /// Have the center verify a cheque.
    #[command(after_help = "Example:\n  feiqian merchant cheque verify --home shop rent.json --json")]
    Verify {
        #[command(flatten)]
        at: HomeOnly,
        /// The cheque.
        file: PathBuf,
    },
    /// Give a cheque to the merchant's bank for collection; the same again shows what became of it.
    #[command(after_help = "Example:\n  feiqian merchant cheque deposit --home shop rent.json --json")]
    Deposit(ChequeDeposit),
    /// List the cheques that were deposited.
    #[command(after_help = "Example:\n  feiqian merchant cheque list --home shop --json")]
    List(HomeOnly),
}

/// What `feiqian cheque` and `feiqian verify` judge a cheque by.
#[derive(Debug, Args)]
pub(crate) struct JudgedBy {
    /// The center's root certificate (PEM or DER file), or its SHA-256 fingerprint.
    #[arg(long, value_name = "FILE|FINGERPRINT")]
    pub(crate) root: Option<String>,
    /// A revocation list (PEM or DER file); every authority's is needed.
    #[arg(long, value_name = "FILE")]
    pub(crate) crl: Vec<PathBuf>,
    /// Ask the center for root and revocation lists: its address with #sha256=FINGERPRINT.
    #[arg(long, value_name = "URL")]
    pub(crate) center: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cheque {
    /// Show a cheque as a person reads it, with the state of every signature.
    #[command(after_help = "Examples:
  feiqian cheque show rent.json --center https://127.0.0.1:7000#sha256=FINGERPRINT
  feiqian cheque show rent.json --root root.pem --crl center.crl --crl north.crl --html rent.html

Without root and lists nobody vouches for the signatures, and none is shown as good.")]
    Show {
        /// The cheque.
        file: PathBuf,
        #[command(flatten)]
        by: JudgedBy,
        /// Write it as a page.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        /// Write it as a picture.
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Certificate {
    /// List the wallet's certificates.
    #[command(after_help = "Example:\n  feiqian wallet certificate list --home alice --json")]
    List(HomeOnly),
    /// Get new certificates with new keys, with an enrolment code of the bank for the same account.
    #[command(after_help = "Example:\n  feiqian wallet certificate apply --home alice --code CODE")]
    Apply {
        #[command(flatten)]
        at: HomeOnly,
        /// The enrolment code.
        #[arg(long)]
        code: String,
    },
    /// Replace both keys and their certificates by new ones; the bank revokes those before.
    #[command(after_help = "Example:\n  feiqian wallet certificate renew --home alice")]
    Renew(HomeOnly),
    /// Have the bank revoke a certificate.
    #[command(after_help = "Example:\n  feiqian wallet certificate revoke --home alice SERIAL --compromised")]
    Revoke {
        #[command(flatten)]
        at: HomeOnly,
        /// Its serial number, as `list` shows it.
        serial: String,
        /// Somebody else may have the key.
        #[arg(long)]
        compromised: bool,
    },
    /// Delete keys and certificates from the home. Coins stay; the account needs `apply` again.
    #[command(after_help = "Example:\n  feiqian wallet certificate delete --home alice --force")]
    Delete {
        #[command(flatten)]
        at: HomeOnly,
        /// Also where they are neither revoked nor expired.
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Transfer {
    #[command(flatten)]
    pub(crate) at: HomeOnly,
    /// The account to credit.
    #[arg(long, value_name = "BANK/ACCOUNT")]
    pub(crate) to: String,
    /// How much, as in 30.00.
    #[arg(long)]
    pub(crate) amount: String,
    /// For the receiver.
    #[arg(long)]
    pub(crate) memo: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cycle {
    /// Close the cycle: net what the banks owe one another.
    #[command(after_help = "Example:\n  feiqian center cycle close --home center --json")]
    Close(HomeOnly),
}
