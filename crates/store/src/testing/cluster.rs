//! A PostgreSQL cluster that lives as long as its owner and leaves nothing behind.

use std::{
    io,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use thiserror::Error;

/// Why there is no cluster.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// The server's programs are not installed.
    #[error(
        "PostgreSQL is not installed: no initdb under /usr/lib/postgresql (Debian: apt-get install postgresql-15)"
    )]
    NotInstalled,
    /// There is no account without rights under which the server could run.
    #[error("PostgreSQL does not run as root, and there is neither a user 'postgres' nor 'nobody'")]
    NoUser,
    /// One of its programs failed.
    #[error("{0}")]
    Program(String),
    /// The system failed.
    #[error("{0}: {1}")]
    System(&'static str, io::Error),
}

/// The folder of the newest server programs on this machine.
#[must_use]
pub fn binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let newest = versions
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|version| Path::new(&format!("/usr/lib/postgresql/{version}/bin/initdb")).exists())
        .max()?;
    Some(PathBuf::from(format!("/usr/lib/postgresql/{newest}/bin")))
}

/// The server ends sessions that are idle for so long: worlds of tests that have ended keep their stores until the test
/// program ends, and a store that lost its line makes another when it needs one.
const IDLE: &str = "5s";

/// Where its folder is made: in memory where there is much of it, else on disk. The stores refuse a server that does not
/// wait for its disk, also in tests; in memory the same settings cost nothing. What survives is the same in both, as
/// long as the machine does: a test kills servers, never the machine.
const MEMORY: &str = "/dev/shm";
const DISK: &str = "/tmp";
/// As much must be free there: some hundred databases of 8 MB, and the log.
const ROOM: u64 = 6 << 30;

fn place() -> &'static str {
    let free = rustix::fs::statvfs(MEMORY).map(|memory| memory.f_bavail.saturating_mul(memory.f_frsize));
    if free.is_ok_and(|free| free >= ROOM) { MEMORY } else { DISK }
}

/// A running cluster in a temporary folder, reached by a socket in that folder; its settings are those of production.
///
/// A guard process stops it and removes the folder as soon as the owner is gone, also if that was killed: it waits for
/// the end of a pipe that only the owner holds.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    programs: PathBuf,
    account: Option<(u32, u32)>,
    guard: Option<Child>,
}

impl Cluster {
    /// Makes and starts a cluster.
    ///
    /// # Errors
    ///
    /// [`ClusterError`]
    pub fn start() -> Result<Self, ClusterError> {
        let programs = binaries().ok_or(ClusterError::NotInstalled)?;
        let account = account()?;
        let system = |what| move |error| ClusterError::System(what, error);
        let folder =
            tempfile::Builder::new().prefix("feiqian-pg-").tempdir_in(place()).map_err(system(place()))?;
        let folder = folder.keep();
        let mut cluster = Self { folder, programs, account, guard: None };
        if let Some((user, group)) = account {
            chown(&cluster.folder, Some(user), Some(group)).map_err(system("chown"))?;
        }
        // The server checks that nobody else may look in; the socket below is for all.
        let mode = std::fs::Permissions::from_mode(0o711);
        std::fs::set_permissions(&cluster.folder, mode).map_err(system("chmod"))?;
        // From here on everything is cleaned up, whatever happens.
        cluster.guard = Some(cluster.guard().map_err(system("sh"))?);
        let data = cluster.data();
        let make = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D", &data];
        cluster.run("initdb", &make)?;
        cluster.start_again()?;
        Ok(cluster)
    }

    /// The URL of a database in it; `postgres` always exists.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("{}/{database}", self.base())
    }

    /// The URL without a database.
    #[must_use]
    pub fn base(&self) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{folder}")
    }

    /// The folder with the server's socket.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Stops the server: `fast` ends sessions in order, `immediate` is a crash.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Program`] if it does not stop.
    pub fn stop(&self, mode: &str) -> Result<(), ClusterError> {
        self.run("pg_ctl", &["-D", &self.data(), "-m", mode, "-w", "-t", "60", "stop"])
    }

    /// Starts the server after a stop.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Program`] if it does not start.
    pub fn start_again(&self) -> Result<(), ClusterError> {
        let folder = self.folder.display();
        let settings = format!(
            "-c listen_addresses='' -c unix_socket_directories='{folder}' -c unix_socket_permissions=0777 \
             -c max_connections=500 -c idle_session_timeout={IDLE} -c shared_buffers=64MB -c fsync=on -c synchronous_commit=on"
        );
        let log = format!("{folder}/log");
        self.run("pg_ctl", &["-D", &self.data(), "-l", &log, "-o", &settings, "-w", "-t", "60", "start"])
    }

    fn data(&self) -> String {
        self.folder.join("data").display().to_string()
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // Away from a folder that the server's account may not enter.
        command.current_dir("/").env("LC_ALL", "C");
        if let Some((user, group)) = self.account {
            command.uid(user).gid(group);
        }
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<(), ClusterError> {
        let mut command = self.command(&self.programs.join(program));
        // The server keeps what it inherits: a pipe to us would never end.
        let errors = std::fs::File::create(self.folder.join("errors"))
            .map_err(|error| ClusterError::System("errors", error))?;
        let status =
            command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors).status();
        let status = status.map_err(|error| ClusterError::Program(format!("{program}: {error}")))?;
        if status.success() {
            return Ok(());
        }
        let said = std::fs::read_to_string(self.folder.join("errors")).unwrap_or_default();
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        Err(ClusterError::Program(format!("{program} ended with {status}: {said}{log}")))
    }

    fn guard(&self) -> io::Result<Child> {
        let script = "cat; \"$1/pg_ctl\" -D \"$2/data\" -m immediate -w -t 30 stop; rm -rf -- \"$2\"";
        let mut command = self.command(Path::new("/bin/sh"));
        command.args(["-c", script, "guard"]).arg(&self.programs).arg(&self.folder);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // A group of its own: what interrupts the tests must not interrupt the cleaning.
        command.process_group(0).spawn()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            drop(guard.stdin.take());
            let _ = guard.wait();
        }
    }
}

/// User and group for the server, `None` for our own.
fn account() -> Result<Option<(u32, u32)>, ClusterError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users =
        std::fs::read_to_string("/etc/passwd").map_err(|error| ClusterError::System("/etc/passwd", error))?;
    let find = |wanted: &str| {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let is_it = fields.next() == Some(wanted);
            let (user, group) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
            is_it.then_some((user, group))
        })
    };
    find("postgres").or_else(|| find("nobody")).map(Some).ok_or(ClusterError::NoUser)
}
