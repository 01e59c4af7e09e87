//! `bench`: what can be measured, and how.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `bench`, in this process or with nodes of its own.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Bench {
    #[command(subcommand)]
    pub(crate) command: Option<BenchCommand>,
    #[command(flatten)]
    pub(crate) here: BenchHere,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Start nodes with durable stores on this machine and drive them over HTTPS until they do no more.
    #[command(after_help = "Examples:
  feiqian bench node
  feiqian bench node issue deposit --seconds 5
  feiqian bench node deposit --connections 64 --rate 2000
  feiqian bench node deposit --prefill 10000000 --csv deposit.csv
  feiqian bench node deposit --store postgres://me@127.0.0.1:5432/bench_{node}

Each rate is the most that a closed loop reached, connections being added until it grows no more; beside it the rate of a
bare HTTPS echo of bodies of the same size, by the same server code in a process of its own, measured in the same run.
Processor time is that of the nodes' processes; a PostgreSQL server's is not counted.")]
    Node(BenchNode),
    /// The HTTPS echo that `bench node` compares with.
    #[command(hide = true)]
    Echo(BenchEcho),
}

/// What is measured in this process.
#[derive(Debug, Args)]
pub(crate) struct BenchHere {
    /// How long each measure runs, in seconds, after a warm-up of a quarter of it.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
    /// Only these; several with commas. Without it, all.
    #[arg(long = "scheme", value_name = "SCHEME", value_delimiter = ',')]
    pub(crate) schemes: Vec<Scheme>,
    /// On so many threads, `all` for as many as there are cores; several with commas [default: 1,all].
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    pub(crate) threads: Vec<Threads>,
    /// So many at a time; several with commas [default: 1,16,64,256].
    #[arg(long = "batch", value_name = "NUMBERS", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=8192))]
    pub(crate) batches: Vec<u16>,
    /// Measure everything so many times, the numbers of threads in turns, and show the medians.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub(crate) runs: u32,
    /// Write the measures to this file, one line each.
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
}

/// How many threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// As many as there are cores.
    All,
    /// So many.
    Number(u32),
}

impl std::str::FromStr for Threads {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            _ if text == "all" => Ok(Self::All),
            Ok(number @ 1..=1024) => Ok(Self::Number(number)),
            _ => Err("takes numbers from 1 to 1024, or all"),
        }
    }
}

/// What `bench` measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scheme {
    /// Online coins: blind signing, verifying.
    Online,
    /// Offline coins: issuing, withdrawing, spending, verifying, naming the double-spender.
    Offline,
    /// Cheques: verifying.
    Cheque,
    /// Clearing: cheques between nodes of their own on this machine.
    Clearing,
}

/// What nodes are driven with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Withdrawals of ten coins each: begin and finish.
    Issue,
    /// Payments of one coin each, deposited at the bank that issued it by its own customer.
    Deposit,
    /// The same deposited at another bank: collecting bank, center, issuing bank.
    DepositAcross,
    /// One coin renewed into two.
    Refresh,
    /// Cheques deposited at another bank than their drawee, until they are paid and settled.
    Cheque,
}

#[derive(Debug, Args)]
pub(crate) struct BenchNode {
    /// What to drive the nodes with. Without it, all.
    #[arg(value_name = "WORKLOAD")]
    pub(crate) workloads: Vec<Workload>,
    /// How long each step of the load lasts, in seconds, after a warm-up of a quarter of it.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
    /// How many connections at a time: every one of these numbers. Without it from 1 on up to the number from which on the
    /// rate grows no more.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) connections: Vec<u32>,
    /// Open loop: so many a second, whether or not answers come; times count from when each was due.
    #[arg(long, value_name = "A_SECOND", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) rate: Option<u64>,
    /// Keep the stores in PostgreSQL; {node} in the address stands for north, south and center, whose databases must be
    /// empty. Without {node} only the issuing bank, north, is kept there [default: files of the homes].
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// Threads of each node, for requests and for computing [default: as a node takes by itself].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: Option<u32>,
    /// Measure everything twice: with an empty register, and after so many spent coins were put into the issuing bank's.
    #[arg(long, value_name = "COINS", default_value_t = 0)]
    pub(crate) prefill: u64,
    /// Where the nodes' homes are made, for the length of the run: on the disk that is to be measured [default: the
    /// temporary folder].
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
    /// Print the best step of each load as a table in markdown instead.
    #[arg(long)]
    pub(crate) markdown: bool,
    /// Write every step of every load to this file, one line each.
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct BenchEcho {
    /// The bank whose certificate is shown.
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// Stop when standard input ends.
    #[arg(long, hide = true)]
    pub(crate) until_input_ends: bool,
}
