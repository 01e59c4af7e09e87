//! The commands of the four roles.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::backup::{BackupArgs, RestoreArgs, WalletRestore};
use super::cheques::{Certificate, Cycle, MerchantCheque, Transfer, WalletCheque};
use super::offline::{BankOffline, MerchantOffline, WalletOffline};

/// A node's home and nothing else.
#[derive(Debug, Args)]
pub(crate) struct HomeOnly {
    /// The node's home.
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
}

/// What can be done with the passphrase of a home.
#[derive(Debug, Subcommand)]
pub(crate) enum PassphraseCommand {
    /// Put the private keys under another passphrase, or a first one; an empty one ends encryption. No node may run there.
    #[command(after_help = "Examples:
  feiqian wallet passphrase change --home alice
  feiqian bank passphrase change --home north --passphrase-file old --new-passphrase-file new")]
    Change {
        #[command(flatten)]
        at: HomeOnly,
        /// The new passphrase, in a file that only its owner can read; without it a terminal is asked.
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
    },
}

/// How a node runs.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The node's home.
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// Listen here from now on instead of on the stored address; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,
    /// Stop when standard input ends, so as not to outlive whoever started it.
    #[arg(long, hide = true)]
    pub(crate) until_input_ends: bool,
}

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
