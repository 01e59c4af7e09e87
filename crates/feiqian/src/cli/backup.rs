//! Backups of nodes, and wallets from words.

use std::path::PathBuf;

use clap::Args;

/// Where a backup goes.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The node's home; the node may run.
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// The new file for it, which holds the node's secrets as its home does.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

/// Where a backup comes from.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// A new or empty folder for the node.
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// What `backup` wrote.
    #[arg(long, value_name = "FILE")]
    pub(crate) from: PathBuf,
}

/// A wallet from its words.
#[derive(Debug, Args)]
pub(crate) struct WalletRestore {
    /// A new or empty folder for it; or the one of a restore that was interrupted.
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// A file with the 24 words, or `stdin`.
    #[arg(long, value_name = "FILE")]
    pub(crate) words_file: PathBuf,
    /// The bank's address as the bank printed it, with #sha256=FINGERPRINT.
    #[arg(long, value_name = "URL")]
    pub(crate) bank: String,
    /// The center's address [default: as the bank says].
    #[arg(long, value_name = "URL")]
    pub(crate) center: Option<String>,
    /// An enrolment code of the same account, where the wallet's certificates have ended or were revoked; those of the
    /// lost wallet are then revoked.
    #[arg(long)]
    pub(crate) code: Option<String>,
    /// The owner's name for it.
    #[arg(long, default_value = "")]
    pub(crate) name: String,
    /// Mean pause before each anonymous question, so that those of one wallet do not arrive in one stretch.
    #[arg(long, default_value_t = 0, value_name = "MILLISECONDS")]
    pub(crate) pause_ms: u64,
}
