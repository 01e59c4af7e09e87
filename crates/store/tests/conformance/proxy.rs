//! A line to the server that a test can cut where it wants: before `COMMIT` arrives, or before its answer returns.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::Mutex,
};

/// What happens to the next exchanges that hold the word `COMMIT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The server never sees it.
    Before,
    /// The server does it; nobody hears of it.
    After,
    /// The server sees it long after the client has given the line up.
    Late,
}

/// A socket in a folder of its own, every connection to which is led on to the server.
pub(crate) struct Proxy {
    /// Removed with the proxy.
    _folder: tempfile::TempDir,
    plan: Arc<Mutex<Vec<Cut>>>,
    pub(crate) cuts: Arc<AtomicU32>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The socket in the folder that a URL names as its host.
fn socket(url: &str) -> (PathBuf, String) {
    let rest = url.split_once('@').unwrap().1;
    let (host, database) = rest.split_once('/').unwrap();
    (PathBuf::from(host.replace("%2F", "/")).join(".s.PGSQL.5432"), database.to_owned())
}

impl Proxy {
    pub(crate) fn to(url: &str) -> (Self, String) {
        let (server, database) = socket(url);
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        let (plan, cuts) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU32::new(0)));
        let (plan_too, cuts_too) = (Arc::clone(&plan), Arc::clone(&cuts));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&server).await;
                if let Ok(server) = server {
                    tokio::spawn(lead(client, server, Arc::clone(&plan_too), Arc::clone(&cuts_too)));
                }
            }
        });
        let host = folder.path().display().to_string().replace('/', "%2F");
        let url = format!("postgres://postgres@{host}/{database}");
        (Self { _folder: folder, plan, cuts, task }, url)
    }

    /// The next commits meet these, one each, in this order.
    pub(crate) async fn plan(&self, cuts: &[Cut]) {
        let mut plan = self.plan.lock().await;
        plan.clear();
        plan.extend(cuts.iter().rev());
    }
}

/// Passes bytes both ways until one side ends or the plan says so. Requests are small: one read holds a whole one.
async fn lead(
    mut client: UnixStream,
    mut server: UnixStream,
    plan: Arc<Mutex<Vec<Cut>>>,
    cuts: Arc<AtomicU32>,
) {
    let (mut up, mut down) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(read @ 1..) = read else { return };
                let bytes = up.get(..read).unwrap();
                let cut = if bytes.windows(7).any(|word| word == b"COMMIT\0") { plan.lock().await.pop() } else { None };
                if cut.is_some() {
                    cuts.fetch_add(1, Ordering::SeqCst);
                }
                if cut == Some(Cut::Late) {
                    client.shutdown().await.unwrap();
                    drop(client);
                    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
                    server.write_all(bytes).await.unwrap();
                    let _ = server.read(&mut down).await;
                    return;
                }
                if cut == Some(Cut::Before) || server.write_all(bytes).await.is_err() {
                    return;
                }
                if cut == Some(Cut::After) {
                    // The answer has come, and goes nowhere.
                    let _ = server.read(&mut down).await;
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Ok(read @ 1..) = read else { return };
                if client.write_all(down.get(..read).unwrap()).await.is_err() {
                    return;
                }
            }
        }
    }
}
