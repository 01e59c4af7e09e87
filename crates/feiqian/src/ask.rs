//! One command for one node: through its control socket when it runs, else in this process, holding its home.

use std::path::Path;
use std::time::Duration;

use feiqian_node::control;
use feiqian_node::{Home, HomeLock};
use feiqian_wire::error::{Code, Fault};
use serde_json::Value;
use tokio::time::Instant;

use crate::acts::Commanded;
use crate::passphrase;
use crate::roles::{self, Role};

/// How long a command may take at a running node: payments across banks wait for both.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long other commands on the same home are waited for.
const QUEUE: Duration = Duration::from_secs(60);
/// Pause before looking again whether a node answers or the home is free.
const AGAIN: Duration = Duration::from_millis(30);

/// Who carries out the command.
enum Way {
    /// This process: nobody else may touch the home meanwhile.
    Here(HomeLock),
    /// The node that runs there, with its answer.
    Node(Result<Value, Fault>),
}

/// Has `command` carried out in the home of `role` at `dir`.
///
/// # Errors
/// The node's fault; `WRONG_HOME`; `LOCKED` when neither the home nor a node becomes free in time.
pub(crate) async fn ask(role: Role, dir: &Path, command: Value) -> Result<Value, Fault> {
    let home = Home::open(dir, role.name())?;
    match way(&home, &command).await? {
        Way::Node(answer) => answer,
        Way::Here(_lock) => {
            passphrase::open(&home)?;
            let opened = roles::open(role, &home).await?;
            Commanded::new(role, &home, opened.service)?.command(command).await
        }
    }
}

async fn way(home: &Home, command: &Value) -> Result<Way, Fault> {
    let started = Instant::now();
    loop {
        let locked = match home.lock(Duration::ZERO).await {
            Ok(lock) => return Ok(Way::Here(lock)),
            Err(fault) if fault.code == Code::Locked => fault,
            Err(fault) => return Err(fault),
        };
        match control::ask(&home.control_socket(), command, PATIENCE).await {
            // Nobody listens although the home is taken: another command works in it, or a node is just starting.
            Err(fault) if nobody_listens(&fault) && started.elapsed() < QUEUE => {
                tokio::time::sleep(AGAIN).await;
            }
            Err(fault) if nobody_listens(&fault) => return Err(locked),
            answer => return Ok(Way::Node(answer)),
        }
    }
}

/// Whether the fault is that of reaching the socket, not one of the node behind it.
fn nobody_listens(fault: &Fault) -> bool {
    fault.code == Code::NodeUnreachable && fault.message.starts_with("no node listens at")
}
