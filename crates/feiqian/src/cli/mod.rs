//! The command tree: what can be typed, and its help.

mod backup;
mod bank;
mod bench;
mod center;
mod cheques;
mod merchant;
mod nodes;
mod offline;
mod simulate;
mod wallet;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub(crate) use backup::{BackupArgs, RestoreArgs, WalletRestore};
pub(crate) use bank::{AccountAmount, AccountCommand, Bank, BankInit, BankJoin, CustomerRole, Message};
pub(crate) use bench::{Bench, BenchCommand, BenchEcho, BenchHere, BenchNode, Scheme, Threads, Workload};
pub(crate) use center::{Admission, Center, CenterInit, CenterJoin, Settlement};
pub(crate) use cheques::{
    Certificate, Cheque, ChequeDeposit, ChequeWrite, Cycle, JudgedBy, MerchantCheque, Transfer, WalletCheque,
};
pub(crate) use merchant::{Merchant, MerchantInit};
pub(crate) use nodes::{HomeOnly, PassphraseCommand, RunArgs};
pub(crate) use simulate::{Compare, Report, Simulate};
pub(crate) use wallet::{Wallet, WalletInit};

pub(crate) use offline::{BankOffline, HandOut, HandToHand, MerchantOffline, WalletOffline};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  refused: nothing has changed, and repeating the command is of no use by itself
  2  used wrongly
  3  not now: a node is missing or busy, the command may be repeated
  4  an audit, a step of the demo, an invariant or an assertion of a simulation found something wrong

Examples:
  feiqian demo
  feiqian wallet balance --home ~/wallet --json";

/// Electronic cash: bank, wallet, merchant and verification center, each a node.
///
/// Coins are blind-signed by a bank, paid to anybody, cleared between banks by the center.
#[derive(Debug, Parser)]
#[command(name = "feiqian", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    /// Print exactly one JSON object on standard output; a refusal is {"error":{"code","message","hint"}}.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Log lines on standard error from this level on: error, warn, info, debug, or a filter by module
    /// [default: info for `run`, else error].
    #[arg(long, global = true, env = "FEIQIAN_LOG", value_name = "LEVEL")]
    pub(crate) log: Option<String>,
    /// How log lines look: text or json.
    #[arg(long, global = true, env = "FEIQIAN_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    pub(crate) log_format: String,
    /// The passphrase of the home's keys, in a file that only its owner can read; without it a terminal is asked.
    #[arg(long, global = true, env = "FEIQIAN_PASSPHRASE_FILE", value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The verification center: root authority, directory of banks, clearing.
    #[command(subcommand, after_help = "Example:\n  feiqian center init --home center --name center")]
    Center(Center),
    /// A bank: accounts, issuing and redeeming coins.
    #[command(subcommand, after_help = "Example:\n  feiqian bank init --home bank --name north --center URL")]
    Bank(Bank),
    /// A merchant: payment requests, deposits, refunds.
    #[command(
        subcommand,
        after_help = "Example:\n  feiqian merchant request --home shop --amount 12.50 --order A-1"
    )]
    Merchant(Merchant),
    /// A wallet: coins of one person.
    #[command(subcommand, after_help = "Example:\n  feiqian wallet withdraw --home wallet 50.00")]
    Wallet(Wallet),
    /// E-cheques as files.
    #[command(subcommand, after_help = "Example:\n  feiqian cheque show rent.json --center URL")]
    Cheque(Cheque),
    /// Check evidence of a double spend, an accusation, a cheque, or a payment in a file.
    #[command(after_help = "Examples:
  feiqian verify evidence.json --root center/root.pem
  feiqian verify evidence.json --root 3f1c…64 hex digits…
  feiqian verify accusation.json --root center/root.pem
  feiqian verify rent.json --center https://127.0.0.1:7000#sha256=FINGERPRINT
  feiqian verify payment.fq --center https://127.0.0.1:7000#sha256=FINGERPRINT

Evidence and cheques are checked offline; a payment (`wallet pay --out`) against the keys that the center shows,
and its bank is asked what became of it. A cheque also needs the revocation lists of its authorities: --crl, or --center.
Without --root the file is checked against the root certificate inside it, which anybody can make:
the answer then says \"trusted\": false.")]
    Verify(Verify),
    /// Recompute the books of nodes from their stores, read-only, and compare them with one another.
    #[command(after_help = "Example:
  feiqian audit --home center --home north --home south --home shop --home alice --home bob

Exits with 4 when an invariant is broken, and names it. Nodes may go on running meanwhile.")]
    Audit(Audit),
    /// Play the whole story with real processes on this machine: withdraw, pay, clear, refund, a thief, a crash,
    /// offline cash with the banks dead, cheques, a cycle of net settlement.
    #[command(after_help = "Examples:\n  feiqian demo\n  feiqian demo --keep /tmp/feiqian --json")]
    Demo(Demo),
    /// Measure this machine: signing and verifying coins, online and offline, verifying cheques, clearing between nodes;
    /// and, as `bench node`, whole nodes under load.
    #[command(
        after_help = "Examples:\n  feiqian bench --seconds 2 --json\n  feiqian bench --scheme online,offline\n  feiqian bench --scheme online --threads 1,2 --batch 1024 --runs 5\n  feiqian bench node deposit"
    )]
    Bench(Bench),
    /// Run a world in virtual time: banks, shops, wallets, faults and attacks, the same again from its seed.
    #[command(after_help = "Examples:
  feiqian simulate scenarios/first-day.toml
  feiqian simulate scenarios/linkage.toml --jobs 2 --set replicates.count=5
  feiqian simulate --print-default > mine.toml
  feiqian simulate --replay out/first-day-7/manifest.json

Exits with 4 when an invariant or an assertion does not hold; the answer names the event and how to go there.")]
    Simulate(Box<Simulate>),
    /// Put the results of several runs or shards together.
    #[command(after_help = "Example:\n  feiqian report out/linkage-1 --out merged")]
    Report(Report),
    /// Tell what differs between two results.
    #[command(after_help = "Example:\n  feiqian compare out/town-7 out/town-8")]
    Compare(Compare),
    /// Print the completion script of a shell.
    #[command(
        after_help = "Example:\n  feiqian completions bash > ~/.local/share/bash-completion/completions/feiqian"
    )]
    Completions {
        /// bash, elvish, fish, powershell or zsh.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// Evidence, an accusation, a cheque or a payment, as a node wrote it.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) by: JudgedBy,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Audit {
    /// Home of a node; as many as there are.
    #[arg(long = "home", value_name = "DIR", required = true)]
    pub(crate) homes: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// Keep the homes in this new or empty folder, to look at them or go on by hand.
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
    /// Spoil one step, to see the demo notice: `expectation` or `node`.
    #[arg(long = "break", value_name = "STEP", hide = true)]
    pub(crate) spoil: Option<crate::demo::Spoil>,
}
