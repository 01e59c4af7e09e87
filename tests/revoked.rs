//! Certificates revoked in the middle of a connection: the connection lives on, the next request over it is refused.

use std::sync::Arc;
use std::time::Duration;

use feiqian_node::{Dialer, Home, Identity, SystemClock, Target, Trust};
use feiqian_pki::TrustedRoot;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::offline_tools::typed;
use crate::raw::JSON;
use crate::world::{World, wait_until};

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One connection with a certificate, kept.
struct Kept {
    runtime: tokio::runtime::Runtime,
    stream: Box<dyn Stream>,
}

impl Kept {
    fn open(world: &World, node: &str, identity: &Identity) -> Self {
        let pem = std::fs::read_to_string(world.home("center").join("root.pem")).unwrap();
        let root = TrustedRoot::from_pem(&pem).unwrap();
        let trust = Arc::new(Trust::new(root, Arc::new(SystemClock)));
        let url = world.url(node);
        let to = Target::anyone(url.split_once('#').unwrap().0);
        let dialer = Dialer::new(trust, &to, Some(identity)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let stream = runtime.block_on(dialer.dial()).unwrap();
        Self { runtime, stream: Box::new(stream) }
    }

    /// One request and its answer over the same connection; none when the node has hung up.
    fn ask(&mut self, head: &str, body: &str) -> Option<(u16, Value)> {
        let length = body.len();
        let request = format!("{head} HTTP/1.1\r\nhost: x\r\n{JSON}content-length: {length}\r\n\r\n{body}");
        let stream = &mut self.stream;
        let exchange = async {
            stream.write_all(request.as_bytes()).await.ok()?;
            stream.flush().await.ok()?;
            let (mut heard, mut part) = (Vec::new(), [0; 4096]);
            loop {
                let text = String::from_utf8_lossy(&heard).into_owned();
                if let Some((head, body)) = text.split_once("\r\n\r\n") {
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                    if body.len() >= length?.parse().ok()? {
                        return Some((
                            head.split(' ').nth(1)?.parse().ok()?,
                            serde_json::from_str(body).ok()?,
                        ));
                    }
                }
                match stream.read(&mut part).await {
                    Ok(0) | Err(_) => return None,
                    Ok(read) => heard.extend_from_slice(&part[..read]),
                }
            }
        };
        self.runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(30), exchange).await.unwrap() })
    }
}

fn identity(world: &World, name: &str) -> Arc<Identity> {
    match crate::world::role(name) {
        "bank" => {
            let home = Home::open(world.home(name), "bank").unwrap();
            Arc::new(feiqian_bank::load(&home).unwrap().keys.identity)
        }
        _ => {
            let home = Home::open(world.home(name), "wallet").unwrap();
            feiqian_wallet::init::load(&home).unwrap().identity.unwrap()
        }
    }
}

#[test]
fn a_customer_s_certificate_renewed_or_revoked_in_the_middle_of_a_connection_is_refused() {
    let world = World::banks();
    world.wallet("alice", "north");
    world.fund("north", "alice", "10.00");
    let mut stolen = Kept::open(&world, "north", &identity(&world, "alice"));
    let (status, account) = stolen.ask("GET /v1/account", "").unwrap();
    assert_eq!((status, account["account"].is_string()), (200, true), "{account}");
    typed(&world, "wallet certificate renew --home @alice");
    // The old one is on no list: it may still fetch what was begun with it. But the account has other keys now, at once.
    for _ in 0..3 {
        let (status, fault) =
            stolen.ask("GET /v1/account", "").expect("the refusal comes over the connection");
        assert_eq!((status, &fault["code"]), (403, &Value::from("FORBIDDEN")), "{fault}");
    }
    // The new one is as good as the old one was, until it is revoked.
    let mut renewed = Kept::open(&world, "north", &identity(&world, "alice"));
    assert_eq!(renewed.ask("GET /v1/account", "").unwrap().0, 200);
    let listed = typed(&world, "wallet certificate list --home @alice");
    let own = |line: &&Value| line["purpose"] == "connections" && line["current"] == true;
    let serial = listed["certificates"].as_array().unwrap().iter().find(own).unwrap()["serial"].clone();
    let serial = serial.as_str().unwrap();
    typed(&world, &format!("wallet certificate revoke --home @alice {serial} --compromised"));
    for _ in 0..3 {
        let (status, fault) =
            renewed.ask("GET /v1/account", "").expect("the refusal comes over the connection");
        assert_eq!((status, &fault["code"]), (401, &Value::from("UNAUTHENTICATED")), "{fault}");
    }
}

#[test]
fn a_bank_revoked_in_the_middle_of_a_connection_is_refused_and_so_are_its_customers() {
    let world = World::banks();
    world.wallet("alice", "south");
    let north = identity(&world, "north");
    let mut at_center = Kept::open(&world, "center", &north);
    let mut at_south = Kept::open(&world, "south", &north);
    // Only a bank, or only the center, may make these calls: what is wrong is what they say, or who they are.
    let pin = |kept: &mut Kept| kept.ask("POST /v1/keysets/pin", "{}").unwrap();
    let (status, fault) = pin(&mut at_center);
    assert_eq!((status, &fault["code"]), (400, &Value::from("MALFORMED")), "{fault}");
    let (status, fault) = at_south.ask("GET /v1/account", "").unwrap();
    assert_eq!((status, &fault["code"]), (403, &Value::from("FORBIDDEN")), "{fault}");
    typed(&world, "center revoke --home @center --bank north --reason key_compromise");
    let (status, fault) = pin(&mut at_center);
    assert_eq!((status, &fault["code"]), (401, &Value::from("UNAUTHENTICATED")), "at once: {fault}");
    // Elsewhere with the next news, over the same connection: a node waits longer than this for the next request.
    let heard = wait_until(Duration::from_secs(45), || {
        std::thread::sleep(Duration::from_millis(500));
        let (status, fault) = at_south.ask("GET /v1/account", "").expect("nobody hangs up");
        let code = fault["code"].as_str().unwrap().to_owned();
        (code != "FORBIDDEN").then_some((status, code))
    });
    assert_eq!(heard, Some((401, "UNAUTHENTICATED".to_owned())), "{}", world.log("south"));
}
