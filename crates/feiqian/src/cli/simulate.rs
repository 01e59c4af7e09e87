//! What can be typed to simulate.

use std::path::PathBuf;

use clap::Args;

/// `feiqian simulate`
#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// The scenario: a TOML file in which every key has a default.
    #[arg(required_unless_present_any = ["print_default", "replay"])]
    pub(crate) file: Option<PathBuf>,
    /// Explain the scenario without running it.
    #[arg(long)]
    pub(crate) check: bool,
    /// Print a scenario with every key, its default and what it means.
    #[arg(long, conflicts_with_all = ["file", "check"])]
    pub(crate) print_default: bool,
    /// Change a key, such as wallet.spend_delay=exp(1h); may be repeated.
    #[arg(long, value_name = "PATH=VALUE")]
    pub(crate) set: Vec<String>,
    /// Pay what this CSV file says: time,payer,payee,amount,currency,instrument.
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// The seed of all random choices.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Worlds at a time [default: one a processor].
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<usize>,
    /// Run the K-th of N parts of a sweep, for a cluster; `feiqian report` puts them together.
    #[arg(long, value_name = "K/N")]
    pub(crate) shard: Option<feiqian_sim::run::plan::Shard>,
    /// Use complete cells of an earlier run again.
    #[arg(long)]
    pub(crate) resume: bool,
    /// Run again what a manifest describes and compare every event.
    #[arg(long, value_name = "MANIFEST", conflicts_with_all = ["file", "set", "seed", "shard", "verify", "shrink", "trace"])]
    pub(crate) replay: Option<PathBuf>,
    /// Stop after this event.
    #[arg(long, value_name = "N")]
    pub(crate) until_event: Option<u64>,
    /// Run twice and compare the digests of all events.
    #[arg(long, conflicts_with = "shrink")]
    pub(crate) verify: bool,
    /// Make a scenario that breaks an invariant smaller while it still breaks one.
    #[arg(long)]
    pub(crate) shrink: bool,
    /// Where results go.
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub(crate) out: PathBuf,
}

/// `feiqian report`
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Folders of runs, or folders that hold such.
    #[arg(required = true)]
    pub(crate) dirs: Vec<PathBuf>,
    /// Where the merged report goes [default: the first folder].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// `feiqian compare`
#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// Folder of a run or sweep.
    pub(crate) first: PathBuf,
    /// Another one.
    pub(crate) second: PathBuf,
}
