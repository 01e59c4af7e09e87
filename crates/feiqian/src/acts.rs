//! What operators do to a bank or a center is recorded in its home, and shown by `bank log` and `center log`.

use std::sync::Arc;

use feiqian_node::acts::{self, Acts, Line, Stage};
use feiqian_node::{Clock as _, Home, Service, SystemClock};
use feiqian_wire::error::{Code, Fault};
use serde_json::{Value, json};

use crate::cli::HomeOnly;
use crate::output;
use crate::roles::Role;

/// Commands that only look, by role. Every other one is recorded, also one that nobody has thought of here.
const LOOKS: [(Role, &[&str]); 2] = [
    (
        Role::Bank,
        &["account_list", "evidence", "status", "statement", "cheques", "accusations", "accusation"],
    ),
    (Role::Center, &["banks", "positions", "status"]),
];

/// A node as its operator commands it.
pub(crate) struct Commanded {
    service: Arc<dyn Service>,
    /// The record, and the commands that do not enter it; none for a merchant and a wallet, whose owners act for
    /// themselves.
    record: Option<(Acts, &'static [&'static str])>,
}

impl Commanded {
    /// The node of a home. The caller holds the home's lock.
    ///
    /// # Errors
    /// `INTERNAL` when the record cannot be opened.
    pub(crate) fn new(role: Role, home: &Home, service: Arc<dyn Service>) -> Result<Self, Fault> {
        let looks = LOOKS.iter().find(|(each, _)| *each == role).map(|(_, looks)| *looks);
        let record = match looks {
            Some(looks) => Some((Acts::open(home)?, looks)),
            None => None,
        };
        Ok(Self { service, record })
    }

    /// Carries a command out, and records it if it changes anything: before it begins, and how it ended.
    ///
    /// # Errors
    /// The node's fault; `INTERNAL` when it cannot be recorded, and then it was not carried out.
    pub(crate) async fn command(&self, command: Value) -> Result<Value, Fault> {
        let name = command.get("command").and_then(Value::as_str).unwrap_or("unknown").to_owned();
        let Some((acts, looks)) = &self.record else { return self.ask(command).await };
        if looks.contains(&name.as_str()) {
            return self.ask(command).await;
        }
        let number = acts.begin(SystemClock.now(), &name, arguments(&command))?;
        let outcome = self.ask(command).await;
        if let Err(fault) = acts.end(SystemClock.now(), &name, number, &outcome) {
            tracing::error!(%fault, act = name, "the end of an act is not recorded");
        }
        outcome
    }

    async fn ask(&self, command: Value) -> Result<Value, Fault> {
        Arc::clone(&self.service).command(command).await
    }
}

/// The command without its name. A member's invitation is an answer and is not among them.
fn arguments(command: &Value) -> Value {
    let mut fields = command.as_object().cloned().unwrap_or_default();
    fields.remove("command");
    Value::Object(fields)
}

/// Records an act that is not a node's command, such as another passphrase. The caller holds the home's lock.
///
/// # Errors
/// `INTERNAL` when it cannot be recorded.
pub(crate) fn recorded<T>(
    role: Role,
    home: &Home,
    act: &str,
    work: impl FnOnce() -> Result<T, Fault>,
) -> Result<T, Fault> {
    if !LOOKS.iter().any(|(each, _)| *each == role) {
        return work();
    }
    let acts = Acts::open(home)?;
    let number = acts.begin(SystemClock.now(), act, Value::Null)?;
    let outcome = work();
    acts.end(SystemClock.now(), act, number, &outcome)?;
    outcome
}

/// `bank log`, `center log`.
///
/// # Errors
/// `WRONG_HOME`; `BROKEN_INVARIANT` when a line was changed or taken out.
pub(crate) fn show(role: Role, at: &HomeOnly, as_json: bool) -> Result<(), Fault> {
    let record = acts::read(&Home::open(&at.home, role.name())?)?;
    if let Some(number) = record.broken_at {
        return Err(Fault::new(
            Code::BrokenInvariant,
            format!("line {number} of the record does not fit what stands before it"),
        )
        .hint("somebody changed acts.log: look at it, and compare it with a backup"));
    }
    let acts: Vec<Value> = record
        .acts
        .iter()
        .filter(|line| line.stage == Stage::Begun)
        .map(|line| told(line, record.acts.iter().find(|end| end.of == Some(line.number))))
        .collect();
    output::result(&json!({ "acts": acts }), as_json);
    Ok(())
}

fn told(begun: &Line, end: Option<&Line>) -> Value {
    let outcome = match end {
        None => "begun",
        Some(end) if end.stage == Stage::Done => "done",
        Some(_) => "refused",
    };
    json!({
        "number": begun.number,
        "at": begun.at,
        "act": begun.act,
        "arguments": begun.arguments,
        "outcome": outcome,
        "code": end.and_then(|end| end.code),
    })
}
