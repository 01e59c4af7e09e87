//! What the commands of all four roles share.

use std::path::PathBuf;

use clap::{Args, Subcommand};

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
