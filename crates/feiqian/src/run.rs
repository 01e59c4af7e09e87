//! `feiqian … run`: a node from its home to its last answer.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use feiqian_node::{ControlSocket, Home, ServerIdentity, Shutdown, bind, metrics, serve_with};
use feiqian_wire::error::{Code, Fault};
use serde_json::json;
use tokio::task::JoinSet;

use crate::acts::Commanded;
use crate::cli::RunArgs;
use crate::output;
use crate::passphrase;
use crate::roles::{self, Opened, Role};

/// How long a starting node waits for a command that works in its home.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// Runs the node of `role` in a home until a signal.
///
/// # Errors
/// What keeps it from starting: wrong or locked home, damaged store or keys, port taken.
pub(crate) async fn run(role: Role, args: &RunArgs) -> Result<(), Fault> {
    let home = Home::open(&args.home, role.name())?;
    let lock = home.lock(LOCK_PATIENCE).await?;
    passphrase::open(&home)?;
    metrics::install();
    if let Some(listen) = &args.listen {
        roles::set_listen(role, &home, listen).await?;
    }
    let shutdown = Shutdown::new();
    shutdown.on_signals().map_err(|error| internal("receive signals", &error))?;
    if args.until_input_ends {
        stop_with_input(shutdown.clone());
    }
    let opened = roles::open(role, &home).await?;
    let tasks = start(role, &home, opened, &shutdown).await?;
    finish(tasks, &shutdown).await;
    drop(lock);
    tracing::info!("stopped");
    Ok(())
}

/// Binds and spawns everything, then says that the node is ready.
async fn start(
    role: Role,
    home: &Home,
    opened: Opened,
    shutdown: &Shutdown,
) -> Result<JoinSet<&'static str>, Fault> {
    let Opened { service, trust, listen, root, limits } = opened;
    let mut tasks = JoinSet::new();
    let mut url = None;
    if let Some(identity) = service.identity() {
        let (listener, address) = bind(&listen).await?;
        let server =
            ServerIdentity::new(&identity, Arc::clone(&trust)).map_err(|error| internal("listen", &error))?;
        let router = Arc::clone(&service).router();
        let stop = shutdown.clone();
        tasks.spawn(async move {
            serve_with(listener, router, Arc::new(server), limits, stop).await;
            "server"
        });
        url = Some(format!("https://{address}#sha256={root}"));
    }
    let control = ControlSocket::bind(home.control_socket())
        .map_err(|error| internal("make the control socket", &error))?;
    let handler = Arc::new(Commanded::new(role, home, Arc::clone(&service))?);
    let stop = shutdown.clone();
    tasks.spawn(async move {
        let answer = move |command| {
            let handler = Arc::clone(&handler);
            async move { handler.command(command).await }
        };
        control.serve(answer, stop).await;
        "control socket"
    });
    let stop = shutdown.clone();
    tasks.spawn(async move {
        service.background(stop).await;
        "background"
    });
    output::line(
        &json!({"ready": true, "role": role.name(), "url": url, "process": std::process::id()}).to_string(),
    );
    tracing::info!(role = role.name(), home = %shown(home.dir()), url, "ready");
    Ok(tasks)
}

/// Waits until all tasks have ended. A task that ends by itself takes the others with it: a node without server or
/// control socket would only look alive.
async fn finish(mut tasks: JoinSet<&'static str>, shutdown: &Shutdown) {
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(name) if !shutdown.is_triggered() => tracing::error!("the {name} ended by itself, stopping"),
            Err(error) => tracing::error!(%error, "a part of the node failed, stopping"),
            Ok(_) => {}
        }
        shutdown.trigger();
    }
}

/// A thread of its own: waiting for input must not keep the runtime from ending.
pub(crate) fn stop_with_input(shutdown: Shutdown) {
    std::thread::spawn(move || {
        let (mut input, mut buffer) = (std::io::stdin(), [0_u8; 64]);
        while input.read(&mut buffer).is_ok_and(|read| read > 0) {}
        shutdown.trigger();
    });
}

fn internal(what: &str, error: &dyn std::fmt::Display) -> Fault {
    Fault::new(Code::Internal, format!("cannot {what}: {error}"))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
