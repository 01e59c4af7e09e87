//! A throw-away PostgreSQL for the tests, and the role tests once more on it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use feiqian_store::testing::{CLUSTER, Cluster, STORE, binaries};
use serde_json::Value;

use crate::steps::command;

/// The packages whose test worlds take their stores from the test run.
const ROLES: [&str; 2] = ["feiqian-bank", "feiqian-center"];

/// More than there are processors: these tests wait for answers most of the time.
const THREADS: &str = "8";

/// Starts a cluster, installing Debian's package where there is none. It ends when the value is dropped or this process does.
///
/// # Errors
/// When it cannot be installed or does not start: the tests never pass without it.
pub(crate) fn start(root: &Path) -> Result<Cluster> {
    if binaries().is_none() {
        println!("PostgreSQL is missing; installing it with apt-get");
        // The package would else start a server of its own.
        let settings = Path::new("/etc/postgresql-common/createcluster.conf");
        if !settings.exists() {
            std::fs::create_dir_all("/etc/postgresql-common")?;
            std::fs::write(settings, "create_main_cluster = false\n")?;
        }
        command(root, "apt-get", &["update"], &[])?;
        let quiet = [("DEBIAN_FRONTEND", "noninteractive")];
        command(root, "apt-get", &["install", "--yes", "--no-install-recommends", "postgresql-15"], &quiet)?;
    }
    Cluster::start().context("a PostgreSQL cluster for the tests")
}

/// The variable that leads the tests to the cluster.
pub(crate) fn environment(cluster: &Cluster) -> (&'static str, String) {
    (CLUSTER, cluster.base())
}

/// The role tests with their stores in PostgreSQL. `arguments` are those the tests were built with just before, so that
/// nothing is built again.
///
/// # Errors
/// When a test fails, or when a package's tests are not found.
pub(crate) fn role_tests(root: &Path, arguments: &[&str]) -> Result<()> {
    let cluster = start(root)?;
    let programs = programs(root, arguments)?;
    for package in ROLES {
        let program = programs.iter().find(|(name, _)| name == package);
        let (_, path) = program.with_context(|| format!("{package} has no tests"))?;
        println!("$ {STORE}=postgres {}", path.display());
        let folder = root.join("crates").join(package.trim_start_matches("feiqian-"));
        let (name, url) = environment(&cluster);
        let mut tests = Command::new(path);
        tests.args(["--test-threads", THREADS]).current_dir(folder);
        let status = tests.env(name, url).env(STORE, "postgres").status()?;
        if !status.success() {
            bail!("the tests of {package} on PostgreSQL ended with {status}");
        }
    }
    Ok(())
}

/// Package and program of every test target `it`.
fn programs(root: &Path, arguments: &[&str]) -> Result<Vec<(String, PathBuf)>> {
    let mut all = arguments.to_vec();
    all.extend(["--no-run", "--message-format=json"]);
    let output = Command::new("cargo").args(&all).current_dir(root).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("`cargo {}` ended with {}", all.join(" "), output.status);
    }
    let text = String::from_utf8(output.stdout)?;
    let programs = text.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let executable = message.get("executable")?.as_str()?;
        if message.pointer("/target/name")?.as_str()? != "it" {
            return None;
        }
        let manifest = Path::new(message.get("manifest_path")?.as_str()?);
        let folder = manifest.parent()?.file_name()?.to_str()?;
        Some((format!("feiqian-{folder}"), PathBuf::from(executable)))
    });
    Ok(programs.collect())
}
