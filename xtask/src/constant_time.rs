//! `constant-time`: the package `feiqian-ct` under valgrind's memcheck, its secrets marked undefined.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::steps::command;

/// Builds what ships, with the names of functions, and runs every secret path; fails when a branch or an address depends
/// on a secret and nothing says why it may, or when a planted one is not reported.
///
/// # Errors
/// When it does not build, valgrind cannot be had, or a case went wrong.
pub(crate) fn check(root: &Path) -> Result<()> {
    if cfg!(not(all(target_os = "linux", target_arch = "x86_64"))) {
        println!("note: skipped, since this looks at what is compiled for x86-64 Linux");
        return Ok(());
    }
    if !Path::new("/usr/include/valgrind/memcheck.h").exists() {
        println!("valgrind is missing; installing it with apt-get");
        command(root, "apt-get", &["update"], &[])?;
        command(
            root,
            "apt-get",
            &["install", "--yes", "valgrind"],
            &[("DEBIAN_FRONTEND", "noninteractive")],
        )?;
    }
    let reports = std::env::temp_dir().join(format!("feiqian-constant-time-{}.txt", std::process::id()));
    let shown = reports.to_str().context("the folder for temporary files has a name that is no text")?;
    let declassified = root.join("ct/declassified.supp");
    let declassified = declassified.to_str().context("the project lies in a folder whose name is no text")?;
    let words = [
        "valgrind",
        "--quiet",
        "--tool=memcheck",
        "--error-limit=no",
        "--num-callers=12",
        &format!("--suppressions={declassified}"),
        &format!("--log-file={shown}"),
    ];
    let runner: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    let runner = format!("target.\"cfg(all())\".runner=[{}]", runner.join(","));
    let arguments =
        ["--config", &runner, "run", "--quiet", "--profile", "constant-time", "--package", "feiqian-ct"];
    if let Err(error) = command(root, "cargo", &arguments, &[]) {
        bail!("{error}\nvalgrind's reports, those of the planted cases among them, are in {shown}");
    }
    std::fs::remove_file(&reports).with_context(|| shown.to_owned())
}
