//! A world of the demo or a measure: a folder of homes and the processes of this very program that live in them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use feiqian_wire::error::{Code, Fault};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

/// How long a node may take until it is ready.
const READY: Duration = Duration::from_secs(20);
/// How long one command may take.
const COMMAND: Duration = Duration::from_secs(60);
/// How long a node may take to end after it was asked to.
const END: Duration = Duration::from_secs(12);

/// A running node. Its standard input stays open: when this process ends in whatever way, so does the node.
struct Node {
    child: Child,
    _input: Option<ChildStdin>,
    url: String,
}

/// Homes and processes.
pub(crate) struct World {
    program: PathBuf,
    folder: PathBuf,
    nodes: BTreeMap<String, Node>,
    processes: u32,
    environment: Vec<(String, String)>,
}

/// What one command answered: its object, or the fault's code and text.
pub(crate) type Answer = Result<Value, (String, String)>;

impl World {
    /// An empty world in `folder`.
    ///
    /// # Errors
    /// `INTERNAL` when this program cannot find itself.
    pub(crate) fn new(folder: PathBuf) -> Result<Self, Fault> {
        let program = std::env::current_exe()
            .map_err(|error| broken(format!("this program is not to be found: {error}")))?;
        Ok(Self { program, folder, nodes: BTreeMap::new(), processes: 0, environment: Vec::new() })
    }

    /// Gives processes started from now on a variable of the environment.
    pub(crate) fn set_environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// The process of a started node.
    pub(crate) fn process(&self, name: &str) -> Option<u32> {
        self.nodes.get(name)?.child.id()
    }

    /// How many processes were started.
    pub(crate) const fn processes(&self) -> u32 {
        self.processes
    }

    /// The home called `name`.
    pub(crate) fn home(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where a started node listens, with the root's fingerprint; a node keeps its address when it is started again.
    pub(crate) fn url(&self, name: &str) -> Result<&str, Fault> {
        let node = self.nodes.get(name).ok_or_else(|| broken(format!("{name} does not run")))?;
        Ok(&node.url)
    }

    fn program(&mut self) -> Command {
        self.processes = self.processes.saturating_add(1);
        let mut command = Command::new(&self.program);
        command.kill_on_drop(true).env_remove("FEIQIAN_LOG").env_remove("FEIQIAN_LOG_FORMAT");
        // Homes that are opened in this process too, and that nobody guards: never under the user's passphrase.
        command.env_remove("FEIQIAN_PASSPHRASE_FILE");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs `feiqian --json …` to its end. `@name` among the arguments stands for that home.
    pub(crate) async fn command(&mut self, arguments: &[&str]) -> Result<Answer, Fault> {
        let shown = arguments.join(" ");
        let arguments: Vec<String> = arguments.iter().map(|argument| self.expand(argument)).collect();
        let running = self
            .program()
            .arg("--json")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| broken(format!("cannot start `{shown}`: {error}")))?;
        let output = tokio::time::timeout(COMMAND, running.wait_with_output())
            .await
            .map_err(|_| broken(format!("`{shown}` takes longer than {} s", COMMAND.as_secs())))?
            .map_err(|error| broken(format!("`{shown}`: {error}")))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let value: Value = serde_json::from_str(text.trim()).map_err(|_| {
            broken(format!("`{shown}` ended with {} and printed no object: {text}", output.status))
        })?;
        match value.get("error") {
            None if output.status.success() => Ok(Ok(value)),
            None => Ok(Err(("BROKEN_INVARIANT".to_owned(), value.to_string()))),
            Some(error) => Ok(Err((text_of(error, "code"), text_of(error, "message")))),
        }
    }

    fn expand(&self, argument: &str) -> String {
        match argument.strip_prefix('@') {
            Some(name) => self.home(name).display().to_string(),
            None => argument.to_owned(),
        }
    }

    /// Starts the node in the home `name` and waits until it is ready.
    pub(crate) async fn start(&mut self, role: &str, name: &str) -> Result<(), Fault> {
        self.launch(name, &[role, "run"], name).await
    }

    /// Starts `words` as the node `name` in `home` and waits until it is ready.
    pub(crate) async fn launch(&mut self, name: &str, words: &[&str], home: &str) -> Result<(), Fault> {
        let log = std::fs::File::create(self.folder.join(format!("{name}.log")))
            .map_err(|error| broken(format!("cannot write the log of {name}: {error}")))?;
        let home = self.home(home);
        let mut child = self
            .program()
            .arg("--json")
            .args(words)
            .args(["--until-input-ends", "--home"])
            .arg(home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|error| broken(format!("cannot start {name}: {error}")))?;
        let input = child.stdin.take();
        let output = child.stdout.take().ok_or_else(|| broken("no output to read"))?;
        let mut line = String::new();
        let mut reader = BufReader::new(output);
        let read = tokio::time::timeout(READY, reader.read_line(&mut line)).await;
        let ready: Option<Value> = match read {
            Ok(Ok(_)) => serde_json::from_str(line.trim()).ok(),
            _ => None,
        };
        let ready = ready
            .filter(|ready| ready.get("ready") == Some(&Value::Bool(true)))
            .ok_or_else(|| broken(format!("{name} did not become ready: {}", line.trim())))?;
        self.nodes.insert(name.to_owned(), Node { child, _input: input, url: text_of(&ready, "url") });
        Ok(())
    }

    /// Ends the node `name` as a power cut would.
    pub(crate) async fn kill(&mut self, name: &str) -> Result<(), Fault> {
        let mut node = self.nodes.remove(name).ok_or_else(|| broken(format!("{name} does not run")))?;
        node.child.kill().await.map_err(|error| broken(format!("cannot kill {name}: {error}")))
    }

    /// Asks all nodes to end, waits, and kills those that do not.
    pub(crate) async fn end(&mut self) {
        let mut nodes = std::mem::take(&mut self.nodes);
        for node in nodes.values() {
            terminate(&node.child);
        }
        let deadline = tokio::time::Instant::now().checked_add(END);
        for (name, node) in &mut nodes {
            let left = deadline.map_or(END, |at| at.saturating_duration_since(tokio::time::Instant::now()));
            if tokio::time::timeout(left, node.child.wait()).await.is_err() {
                tracing::warn!(name, "does not end by itself and is killed");
                let _ = node.child.kill().await;
            }
        }
    }
}

fn terminate(child: &Child) {
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(id) = id {
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
    }
}

/// The text field `name`, empty when there is none.
pub(crate) fn text_of(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The demo does not go on.
pub(crate) fn broken(why: impl AsRef<str>) -> Fault {
    Fault::new(Code::BrokenInvariant, why)
}
