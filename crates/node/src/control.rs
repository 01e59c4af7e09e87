//! The operator's door: a Unix socket in the home that only the home's owner can open.
//!
//! A command is one line of JSON, its answer one line: `{"ok": …}` or `{"fault": {"code", "message", "hint"}}`.
//! Commands of one connection are answered in order; connections are independent.

use std::future::Future;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use feiqian_wire::error::{Code, Fault};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::task::Shutdown;

/// Longest command or answer, in bytes.
pub const LINE_LIMIT: u64 = 4 << 20;
/// Most connections served at a time.
const CONNECTIONS: usize = 64;
/// How long commands may go on after the order to shut down.
const DRAIN: Duration = Duration::from_secs(10);
/// Paths longer than this do not fit a socket address (108 bytes with the end mark).
const ADDRESS_LIMIT: usize = 100;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Ok(Value),
    Fault(Fault),
}

/// A control socket that is bound but not yet served.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Binds the socket at `path`, mode 0600, replacing one that a process left behind. Hold the home's lock.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn bind(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        // Made under another name and renamed, so that it never exists with open permissions at its place.
        let temporary = path.with_extension("new");
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = with_short(&temporary, |address| UnixListener::bind(address))?;
        std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&temporary, &path)?;
        Ok(Self { listener, path })
    }

    /// Answers commands with `handler` until `shutdown`, then removes the socket. Commands being worked on get
    /// ten seconds to finish.
    pub async fn serve<H, F>(self, handler: H, shutdown: Shutdown)
    where
        H: Fn(Value) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Value, Fault>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = shutdown.wait() => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = self.listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(converse(stream, Arc::clone(&handler), shutdown.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "control socket");
                        shutdown.pause(Duration::from_millis(100)).await;
                    }
                },
            }
        }
        let finished = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, finished).await.is_err() {
            tracing::warn!("commands still open at shutdown are cut off");
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "control socket stays behind");
        }
    }
}

async fn converse<H, F>(stream: UnixStream, handler: Arc<H>, shutdown: Shutdown)
where
    H: Fn(Value) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Value, Fault>> + Send + 'static,
{
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let line = tokio::select! {
            biased;
            () = shutdown.wait() => return,
            line = read_line(&mut reader) => line,
        };
        let (answer, last) = match line {
            Ok(None) | Err(_) => return,
            Ok(Some(Line::TooLong)) => {
                (Answer::Fault(Fault::new(Code::TooLarge, "the command is too long")), true)
            }
            Ok(Some(Line::Whole(line))) => match serde_json::from_slice::<Value>(&line) {
                Ok(command) => (handler(command).await.map_or_else(Answer::Fault, Answer::Ok), false),
                Err(error) => (
                    Answer::Fault(Fault::new(Code::Malformed, format!("the command is not JSON: {error}"))),
                    false,
                ),
            },
        };
        if write_line(&mut writer, &answer).await.is_err() || last {
            return;
        }
    }
}

/// Asks the node that serves the socket at `path` one thing.
///
/// # Errors
/// The node's fault; `NODE_UNREACHABLE` when no node listens there; `UNAVAILABLE` when it does not answer within
/// `patience` or hangs up, in which case the command may have had its effect.
pub async fn ask(path: &Path, command: &Value, patience: Duration) -> Result<Value, Fault> {
    let stream = connect(path).await.map_err(|error| {
        Fault::new(Code::NodeUnreachable, format!("no node listens at {}: {error}", path.display()))
            .hint("start the node first, or choose its folder with --home")
    })?;
    let silent = |why: String| {
        Fault::new(Code::Unavailable, format!("no answer from the node at {}: {why}", path.display()))
            .hint("look at the node's log; repeating the command is safe")
    };
    match tokio::time::timeout(patience, ask_stream(stream, command)).await {
        Err(_) => Err(silent(format!("nothing within {} s", patience.as_secs()))),
        Ok(Err(error)) => Err(silent(error.to_string())),
        Ok(Ok(Answer::Ok(value))) => Ok(value),
        Ok(Ok(Answer::Fault(fault))) => Err(fault),
    }
}

async fn connect(path: &Path) -> io::Result<UnixStream> {
    // Connecting to a Unix socket never waits long: the standard library's blocking call is good enough.
    let stream = with_short(path, |address| std::os::unix::net::UnixStream::connect(address))?;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

async fn ask_stream(stream: UnixStream, command: &Value) -> io::Result<Answer> {
    let (reader, mut writer) = stream.into_split();
    write_line(&mut writer, command).await?;
    match read_line(&mut BufReader::new(reader)).await? {
        Some(Line::Whole(line)) => Ok(serde_json::from_slice(&line)?),
        Some(Line::TooLong) => Err(io::Error::new(io::ErrorKind::InvalidData, "its answer is too long")),
        None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it hung up")),
    }
}

enum Line {
    Whole(Vec<u8>),
    TooLong,
}

async fn read_line(reader: &mut (impl AsyncBufReadExt + Unpin)) -> io::Result<Option<Line>> {
    let mut line = Vec::new();
    let read = reader.take(LINE_LIMIT).read_until(b'\n', &mut line).await?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') && u64::try_from(read).unwrap_or(u64::MAX) >= LINE_LIMIT {
        return Ok(Some(Line::TooLong));
    }
    Ok(Some(Line::Whole(line)))
}

async fn write_line(writer: &mut (impl AsyncWriteExt + Unpin), value: &impl Serialize) -> io::Result<()> {
    // Compact JSON has no line breaks.
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    writer.write_all(&line).await?;
    writer.flush().await
}

/// Calls `with` with an address for `path` that fits a socket address: a long one goes through the folder's
/// descriptor.
fn with_short<T>(path: &Path, with: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().len() <= ADDRESS_LIMIT {
        return with(path);
    }
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "the socket's path names no file");
    let folder = std::fs::File::open(path.parent().ok_or_else(invalid)?)?;
    let name = path.file_name().ok_or_else(invalid)?;
    with(&Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure to set up fails the test")]

    use serde_json::json;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    async fn answer(command: Value) -> Result<Value, Fault> {
        match command.get("command").and_then(Value::as_str) {
            Some("echo") => Ok(command),
            Some("hang") => std::future::pending().await,
            _ => Err(Fault::new(Code::Usage, "unknown command").hint("try echo")),
        }
    }

    #[tokio::test]
    async fn commands_are_answered_in_both_ways_and_the_socket_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        std::fs::write(&path, "left behind").unwrap();
        let shutdown = Shutdown::new();
        let socket = ControlSocket::bind(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let serving = tokio::spawn(socket.serve(answer, shutdown.clone()));
        let command = json!({"command": "echo", "text": "two\nlines"});
        assert_eq!(ask(&path, &command, PATIENCE).await.unwrap(), command);
        let fault = ask(&path, &json!({"command": "dance"}), PATIENCE).await.unwrap_err();
        assert_eq!((fault.code, fault.hint.as_deref()), (Code::Usage, Some("try echo")));
        let fault = ask(&path, &json!({"command": "hang"}), Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(fault.code, Code::Unavailable);
        shutdown.trigger();
        // The abandoned command never ends by itself, so the server is not waited for here.
        serving.abort();
    }

    #[tokio::test]
    async fn shutdown_removes_the_socket_and_then_nobody_listens() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a-rather-long-name-of-a-folder".repeat(4));
        std::fs::create_dir(&deep).unwrap();
        let path = deep.join("control.sock");
        let shutdown = Shutdown::new();
        let serving = tokio::spawn(ControlSocket::bind(&path).unwrap().serve(answer, shutdown.clone()));
        ask(&path, &json!({"command": "echo"}), PATIENCE).await.unwrap();
        shutdown.trigger();
        serving.await.unwrap();
        assert!(!path.exists());
        assert_eq!(ask(&path, &json!(null), PATIENCE).await.unwrap_err().code, Code::NodeUnreachable);
    }

    #[tokio::test]
    async fn broken_and_endless_commands_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let shutdown = Shutdown::new();
        tokio::spawn(ControlSocket::bind(&path).unwrap().serve(answer, shutdown.clone()));
        let mut stream = BufReader::new(UnixStream::connect(&path).await.unwrap());
        stream.write_all(b"{not json\n").await.unwrap();
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        assert!(line.contains("MALFORMED"), "{line}");
        // The connection survives a broken command, not an endless one.
        let endless = vec![b'1'; usize::try_from(LINE_LIMIT).unwrap()];
        stream.write_all(&endless).await.unwrap();
        line.clear();
        stream.read_line(&mut line).await.unwrap();
        assert!(line.contains("TOO_LARGE"), "{line}");
        line.clear();
        assert_eq!(stream.read_line(&mut line).await.unwrap(), 0);
        shutdown.trigger();
    }
}
