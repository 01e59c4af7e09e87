//! Completion scripts for shells.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;

/// The completion script of `shell`.
pub(crate) fn script(shell: Shell) -> String {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "feiqian", &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
