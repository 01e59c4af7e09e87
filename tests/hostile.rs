//! Hostile input to real nodes: every route with everything wrong, smuggled and trickled requests, garbage, floods.
//!
//! The routes are those the nodes list themselves (`GET /v1/routes`), the messages those of the fuzz targets: a new call is
//! tried without a word here.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use feiqian_fuzz_bodies::messages::target_name;
use feiqian_fuzz_bodies::{Shape, find, mutate, seeds};
use feiqian_node::listing::{Calls, ListedCall};
use feiqian_node::{
    Caller, Format, Home, HttpsNetwork, Identity, Network, Outgoing, Reply, SystemClock, Target, Trust,
};
use feiqian_pki::TrustedRoot;
use feiqian_wire::{Code, Fault, Limit, codec};
use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;
use serde_json::{Value, json};

use crate::offline_tools::set;
use crate::raw::{JSON, Raw, address, post};
use crate::world::World;

/// The nodes that listen.
const NODES: [&str; 3] = ["center", "south", "shop"];

/// Mutations of each message that each route gets from the caller that may call it.
const MUTATIONS: usize = 6;

/// Those who ask, by the access they have.
struct Callers {
    runtime: tokio::runtime::Runtime,
    networks: Vec<(&'static str, HttpsNetwork)>,
}

impl Callers {
    fn of(world: &World) -> Self {
        let home = |name: &str, role| Home::open(world.home(name), role).unwrap();
        let pem = std::fs::read_to_string(world.home("center").join("root.pem")).unwrap();
        let root = TrustedRoot::from_pem(&pem).unwrap();
        let shop = feiqian_merchant::Keys::load(&home("shop", "merchant")).unwrap().transport;
        let center = feiqian_center::Keys::load(&home("center", "center")).unwrap().transport;
        let bank = Arc::new(feiqian_bank::load(&home("north", "bank")).unwrap().keys.identity);
        let network = |identity: Option<Arc<Identity>>| {
            let trust = Arc::new(Trust::new(root.clone(), Arc::new(SystemClock)));
            HttpsNetwork::new(trust, identity)
        };
        let networks = vec![
            ("anonymous", network(None)),
            ("account", network(Some(shop))),
            ("bank", network(Some(bank))),
            ("center", network(Some(center))),
        ];
        Self { runtime: tokio::runtime::Runtime::new().unwrap(), networks }
    }

    /// Whether whoever has this access may make the call.
    fn may(access: &str, call: &ListedCall) -> bool {
        let asked: Vec<&str> = call.access.split(',').collect();
        asked.contains(&access) || &*call.access == "open"
    }

    fn send(&self, access: &str, url: &str, path: &str, format: Format, body: &[u8]) -> Reply {
        let (_, network) = self.networks.iter().find(|(name, _)| *name == access).unwrap();
        let message = Outgoing {
            path: path.to_owned(),
            body: Bytes::copy_from_slice(body),
            format,
            caller: if access == "anonymous" { Caller::Anonymous } else { Caller::Certified },
            timeout: Duration::from_secs(60),
        };
        let to = Target::anyone(url.split_once('#').unwrap().0);
        self.runtime.block_on(network.send(&to, message)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

/// The calls that a node lists to a stranger.
fn listed(address: &str) -> Vec<ListedCall> {
    let mut raw = Raw::open(address).unwrap();
    let request = format!("GET /v1/routes HTTP/1.1\r\nhost: x\r\n{JSON}\r\n");
    serde_json::from_str(&raw.ask(request.as_bytes()).unwrap().1).unwrap()
}

/// The calls that a node lists.
fn calls(callers: &Callers, url: &str) -> Calls {
    let reply = callers.send("anonymous", url, "/v1/routes", Format::Bincode, &[]);
    codec::decode(&reply.body, Limit::Large).unwrap()
}

/// The answer is a result, or a refusal with a code of the list under its status; never a failure of the node.
fn checked(reply: &Reply, what: &str) -> Option<Code> {
    if reply.status == 200 {
        return None;
    }
    let format = reply.format.unwrap_or_else(|| panic!("{what}: {} is no answer of ours", reply.status));
    let fault: Fault = format.decode(&reply.body, Limit::Large).unwrap();
    assert_eq!(reply.status, fault.code.status(), "{what}: {fault}");
    assert!(![Code::Internal, Code::BrokenInvariant].contains(&fault.code), "{what}: {fault}");
    Some(fault.code)
}

/// What is wrong with a body whoever sends it, and the code it gets from a caller who may call.
fn spoiled(limit: usize) -> Vec<(Format, Vec<u8>, Code)> {
    let binary = |bytes: &[u8]| (Format::Bincode, bytes.to_vec(), Code::Malformed);
    let text = |text: &str| (Format::Json, text.as_bytes().to_vec(), Code::Malformed);
    vec![
        binary(b"x"),
        binary(b"FQ"),
        binary(b"FQ\x01\0"),
        binary(&[b"FQ\x01\0".as_slice(), &[0xff; 200]].concat()),
        (Format::Bincode, b"FQ\x02\0\0\0\0\0".to_vec(), Code::UnsupportedVersion),
        (Format::Bincode, vec![0; limit + 1], Code::TooLarge),
        text("{"),
        text("\""),
        text("{\"unknown\":1}"),
        text("1e999"),
        text("-1"),
        text("\u{feff}{}"),
        text("{}{}"),
        text(&format!("{}1{}", "[".repeat(1500), "]".repeat(1500))),
        text(&"{\"a\":".repeat(700)),
        (Format::Json, vec![b'"', 0xff, 0xfe, b'"'], Code::Malformed),
        (Format::Json, vec![b' '; limit + 1], Code::TooLarge),
    ]
}

#[test]
fn every_route_refuses_what_is_wrong_and_nothing_changes() {
    let world = World::shopping("5.00");
    let callers = Callers::of(&world);
    let mut rng = ChaCha12Rng::seed_from_u64(2026);
    let (mut routes, mut tried) = (0, 0);
    for node in NODES {
        let url = world.url(node);
        for call in calls(&callers, &url).iter() {
            routes += 1;
            tried += wrong_callers(&callers, &url, call);
            let access = ["anonymous", "account", "bank", "center"];
            let access = access.into_iter().find(|access| Callers::may(access, call)).unwrap();
            if &*call.method == "GET" {
                let _ = checked(&callers.send(access, &url, &call.path, Format::Json, &[]), &call.path);
                continue;
            }
            let limit = usize::try_from(call.limit.0).unwrap();
            for (format, body, code) in spoiled(limit) {
                let what = format!(
                    "{node} {} {:?}",
                    call.path,
                    String::from_utf8_lossy(&body[..body.len().min(40)])
                );
                let reply = callers.send(access, &url, &call.path, format, &body);
                assert_eq!(checked(&reply, &what), Some(code), "{what}");
                tried += 1;
            }
            // Valid messages of another world, whole and spoiled: they get past the decoder.
            let target = find(&target_name(&call.request)).unwrap();
            let valid = seeds::of(&target);
            let spoiled = (0..MUTATIONS).map(|_| mutate::input(Shape::Message, &valid, &mut rng));
            for body in valid.iter().cloned().chain(spoiled).filter(|body| !body.is_empty()) {
                let format = if body.starts_with(b"FQ") { Format::Bincode } else { Format::Json };
                let reply = callers.send(access, &url, &call.path, format, &body);
                let _ = checked(&reply, &format!("{node} {}", call.path));
                tried += 1;
            }
        }
    }
    println!("{routes} routes, {tried} requests");
    assert!(routes > 70, "the nodes list their calls: {routes}");
    assert_eq!(world.account("north", "alice"), "95.00");
    world.holds("alice", "5.00");
    unharmed(&world);
}

/// Nobody who may not call gets further than that.
fn wrong_callers(callers: &Callers, url: &str, call: &ListedCall) -> usize {
    let wrong = ["anonymous", "account", "bank", "center"].into_iter().filter(|who| !Callers::may(who, call));
    let body: &[u8] = if &*call.method == "GET" { &[] } else { b"FQ\x01\0" };
    let mut tried = 0;
    for who in wrong {
        let reply = callers.send(who, url, &call.path, Format::Bincode, body);
        let expected = match (&*call.access, who) {
            ("anonymous", _) => Code::CertificateNotAllowed,
            (_, "anonymous") => Code::Unauthenticated,
            _ => Code::Forbidden,
        };
        assert_eq!(checked(&reply, &call.path), Some(expected), "{} as {who}", call.path);
        tried += 1;
    }
    tried
}

/// The nodes live, said nothing of a panic, and the books hold.
fn unharmed(world: &World) {
    for name in ["center", "north", "south", "shop"] {
        let log = world.log(name);
        assert!(!log.contains("panicked"), "{name}: {log}");
        let heard = Raw::tell(
            &address(world, name),
            b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        );
        assert!(heard.starts_with("HTTP/1.1 200"), "{name}: {heard}");
    }
    world.books_hold(&["center", "north", "south", "shop", "alice", "bob"]);
}

#[test]
fn wrong_methods_and_media_types_have_codes() {
    let world = World::banks();
    for node in ["center", "north"] {
        let at = address(&world, node);
        let listed = listed(&at);
        let mut raw = Raw::open(&at).unwrap();
        for call in listed.iter() {
            // A path may be both: then neither is wrong.
            let methods: Vec<&str> =
                listed.iter().filter(|other| other.path == call.path).map(|other| &*other.method).collect();
            for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
                if methods.contains(&method) {
                    continue;
                }
                let request = format!(
                    "{method} {} HTTP/1.1\r\nhost: x\r\n{JSON}content-length: 0\r\n\r\n",
                    &*call.path
                );
                let (status, body) = raw.ask(request.as_bytes()).unwrap();
                let fault: Value = serde_json::from_str(&body).unwrap();
                assert_eq!((status, &fault["code"]), (404, &json!("NOT_FOUND")), "{method} {}", &*call.path);
            }
            if &*call.method == "POST" && Callers::may("anonymous", call) {
                let head = "accept: application/json\r\ncontent-type: text/html\r\n";
                let (status, body) = raw.ask(&post(&call.path, head, b"{}")).unwrap();
                assert_eq!(status, 400, "{body}");
                assert!(body.contains("UNSUPPORTED_VERSION"), "{body}");
            }
        }
        for path in
            ["/", "/v1", "/v1/", "/v1/../v1/about", "/v1/about/", "//v1/about", "/v1/about%00", "/V1/ABOUT"]
        {
            let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{JSON}\r\n");
            let (status, body) = raw.ask(request.as_bytes()).unwrap();
            assert_eq!(status, 404, "{path}: {body}");
        }
    }
}

/// What one connection with this on it gets: how many answers, and the first status.
fn answers(address: &str, request: &[u8]) -> (usize, u16) {
    let heard = Raw::tell(address, request);
    let first = heard.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (heard.matches("HTTP/1.1 ").count(), first)
}

#[test]
fn requests_have_one_reading() {
    let world = World::banks();
    let at = address(&world, "north");
    let smuggled = "GET /v1/smuggled HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    // Refused as a whole: nothing behind it is looked at.
    let refused = [
        format!(
            "POST /v1/outcome HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\ncontent-length: 44\r\n\r\n{smuggled}"
        ),
        format!("POST /v1/outcome HTTP/1.1\r\nhost: x\r\ncontent-length: +1\r\n\r\n{smuggled}"),
        format!("POST /v1/outcome HTTP/1.1\r\nhost: x\r\ncontent-length: 1, 2\r\n\r\n{smuggled}"),
        format!("POST /v1/outcome HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n{smuggled}"),
        format!(
            "POST /v1/outcome HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n{smuggled}"
        ),
        format!("POST /v1/outcome HTTP/1.1\r\nhost: x\r\ncontent-length : 3\r\n\r\n{smuggled}"),
        format!("GET /v1/about HTTP/1.1\r\nhost: x\r\nx-a: 1\r\n content-length: 44\r\n\r\n{smuggled}"),
        format!("GET /v1/about HTTP/1.1\r\nhost: x\r\nx\0a: 1\r\n\r\n{smuggled}"),
        format!("GET /v1/about HTTP/9.9\r\nhost: x\r\n\r\n{smuggled}"),
        format!("GET /v1/ab out HTTP/1.1\r\nhost: x\r\n\r\n{smuggled}"),
        format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n{smuggled}", "a".repeat(200 << 10)),
        format!("GET /v1/about HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n{smuggled}", "a".repeat(200 << 10)),
        format!("GET /v1/about HTTP/1.1\r\nhost: x\r\n{}\r\n{smuggled}", "x: y\r\n".repeat(300)),
        format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{smuggled}"),
    ];
    for request in &refused {
        let (count, status) = answers(&at, request.as_bytes());
        let shown = &request[..request.len().min(160)];
        assert!(
            count <= 1 && [0, 400, 414, 431, 505].contains(&status),
            "{count} answers, {status}: {shown}"
        );
    }
    // Both lengths: the chunks count, so what stands behind their end is the next request and nothing within them is.
    let both =
        "POST /v1/outcome HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n";
    let within = format!("{both}{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len());
    let heard = Raw::tell(&at, format!("{within}{smuggled}").as_bytes());
    assert!(heard.matches("HTTP/1.1 ").count() <= 2, "{heard}");
    assert!(heard.starts_with("HTTP/1.1 400"), "a smuggled request is a body that is no message: {heard}");
    // Broken chunks are a body that breaks off.
    for chunks in ["zz\r\n", "ffffffffffffffffff\r\n", "-1\r\n", "5\r\nabc", "5;x=\r\nabcdeXX"] {
        let request =
            format!("POST /v1/outcome HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
        let mut raw = Raw::open(&at).unwrap();
        let _ = raw.0.write_all(request.as_bytes()).and_then(|()| raw.0.flush());
        raw.0.conn.send_close_notify();
        let _ = raw.0.flush();
        let heard = raw.rest();
        assert!(heard.matches("HTTP/1.1 ").count() <= 1 && !heard.contains(" 200 "), "{chunks:?}: {heard}");
    }
    // No proxy: whatever host is named, it is this node that answers.
    let own = "GET /v1/about HTTP/1.1\r\nhost: x\r\naccept: application/json\r\nconnection: close\r\n\r\n";
    let other = own.replace("GET /v1", "GET http://center.example/v1");
    for request in [own, &other] {
        assert!(Raw::tell(&at, request.as_bytes()).contains("\"name\":\"north\""), "{request}");
    }
    let tunnel = b"CONNECT center.example:443 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert!([400, 404, 405].contains(&answers(&at, tunnel).1));
    assert!(!world.log("north").contains("panicked"));
}

#[test]
fn a_head_is_as_long_as_it_may_be_and_no_byte_longer() {
    let world = World::banks();
    let at = address(&world, "north");
    let request = |length: usize| {
        let start = format!("GET /v1/about HTTP/1.1\r\nhost: x\r\n{JSON}x: ");
        let filler = "a".repeat(length - start.len() - "\r\n\r\n".len());
        format!("{start}{filler}\r\n\r\n").into_bytes()
    };
    let mut raw = Raw::open(&at).unwrap();
    let (status, body) = raw.ask(&request(64 << 10)).unwrap();
    assert_eq!(status, 200, "{body}");
    // What comes over the limit in one piece is read to its end, and it is the node that answers.
    const PIECE: usize = 12 << 10;
    for length in [(64 << 10) + 1, 66 << 10, 70 << 10] {
        let mut raw = Raw::open(&at).unwrap();
        let head = request(length);
        let (most, last) = head.split_at(length - PIECE);
        raw.0.write_all(most).and_then(|()| raw.0.flush()).unwrap();
        let (status, body) = raw.ask(last).unwrap();
        let fault: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &fault["code"]), (413, &json!("TOO_LARGE")), "{length} bytes: {body}");
        // Refused, and hung up on.
        assert_eq!(raw.ask(&request(1000)), None, "{length} bytes");
    }
    // What does not end where the limit is, nobody reads on: the HTTP library refuses it, without a word of ours, unless all of
    // it came at once.
    for length in [80 << 10, 100 << 10, 127 << 10] {
        let mut raw = Raw::open(&at).unwrap();
        let (status, body) = raw.ask(&request(length)).unwrap();
        let is_ours = status == 413 && body.contains("\"TOO_LARGE\"");
        assert!(is_ours || (status, body.as_str()) == (431, ""), "{length} bytes: {status} {body}");
        assert_eq!(raw.ask(&request(1000)), None, "{length} bytes");
    }
}

#[test]
fn an_address_gets_as_many_connections_as_the_settings_say() {
    let mut world = World::shopping("5.00");
    for name in ["center", "north", "shop"] {
        world.stop(name);
        set(&world, name, "shares", "connections", "5");
        world.start(name);
        let at = address(&world, name);
        let ask = format!("GET /v1/about HTTP/1.1\r\nhost: x\r\n{JSON}\r\n");
        // Others of this machine may be talking to it already.
        let mut kept: Vec<Raw> = (0..8).filter_map(|_| Raw::open(&at).ok()).collect();
        let served = kept.iter_mut().filter_map(|raw| raw.ask(ask.as_bytes())).count();
        assert!((1..=5).contains(&served), "{name}: {served} connections were served");
        drop(kept);
        let again = crate::world::wait_until(Duration::from_secs(10), || {
            Raw::open(&at).ok()?.ask(ask.as_bytes()).filter(|(status, _)| *status == 200)
        });
        assert!(again.is_some(), "{name}: those that are given up make room");
    }
}

#[test]
fn slow_idle_and_talking_garbage_costs_others_nothing() {
    let world = World::shopping("5.00");
    let at = address(&world, "north");
    // One byte at a time, head and body.
    let drip = |begin: String| {
        let at = at.clone();
        std::thread::spawn(move || {
            let begun = Instant::now();
            let mut raw = Raw::open(&at).unwrap();
            raw.0.write_all(begin.as_bytes()).unwrap();
            while raw.0.write_all(b"a").and_then(|()| raw.0.flush()).is_ok() && begun.elapsed().as_secs() < 60
            {
                std::thread::sleep(Duration::from_millis(200));
                raw.0.sock.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
                if raw.0.read(&mut [0; 512]).is_ok() {
                    break;
                }
            }
            begun.elapsed()
        })
    };
    let slow = [
        drip("GET /v1/about HTTP/1.1\r\nhost: x\r\nx: ".to_owned()),
        drip("POST /v1/outcome HTTP/1.1\r\nhost: x\r\ncontent-length: 4000\r\n\r\n".to_owned()),
    ];
    // Connections that say nothing, with and without TLS, and some that talk nonsense.
    let idle: Vec<TcpStream> = (0..150).map(|_| TcpStream::connect(&at).unwrap()).collect();
    let quiet: Vec<Raw> = (0..50).map(|_| Raw::open(&at).unwrap()).collect();
    for garbage in [&[0_u8; 512], &[0xff; 512], &[0x16; 512]] {
        let mut stream = TcpStream::connect(&at).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(garbage).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let mut plain = TcpStream::connect(&at).unwrap();
    plain.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    plain.write_all(b"GET /v1/about HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut heard = Vec::new();
    let _ = plain.read_to_end(&mut heard);
    assert!(!String::from_utf8_lossy(&heard).contains("HTTP/1.1 200"), "nothing is said without TLS");
    // Meanwhile customers are served.
    let begun = Instant::now();
    world.ok(&["wallet", "deposit", "--home", "@alice", "1.00"]);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    drop((idle, quiet));
    for slow in slow {
        let took = slow.join().unwrap();
        assert!(took < Duration::from_secs(30), "a trickle was listened to for {took:?}");
    }
    unharmed(&world);
}

/// A stranger who asks as fast as it can over many connections, until told to stop.
struct Flood {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    shed: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Flood {
    fn of(connections: usize, address: &str, requests: Vec<Vec<u8>>) -> Self {
        let (stop, answered, shed) =
            (Arc::<AtomicBool>::default(), Arc::default(), Arc::<AtomicU64>::default());
        let requests = Arc::new(requests);
        let one = |_| {
            let (stop, answered, shed): (_, Arc<AtomicU64>, _) =
                (Arc::clone(&stop), Arc::clone(&answered), Arc::clone(&shed));
            let (at, requests) = (address.to_owned(), Arc::clone(&requests));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let Ok(mut raw) = Raw::open(&at) else { continue };
                    for request in requests.iter().cycle() {
                        let Some((status, _)) = raw.ask(request) else { break };
                        assert_ne!(status, 500);
                        answered.fetch_add(1, Ordering::Relaxed);
                        shed.fetch_add(u64::from(status == 429), Ordering::Relaxed);
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                    }
                }
            })
        };
        let threads = (0..connections).map(one).collect();
        Self { stop, answered, shed, threads }
    }

    fn end(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        (self.answered.load(Ordering::Relaxed), self.shed.load(Ordering::Relaxed))
    }
}

#[test]
fn customers_are_served_while_a_stranger_floods() {
    let world = World::shopping("20.00");
    let at = address(&world, "north");
    let spent = json!({"item": "11".repeat(32)}).to_string();
    let requests = vec![
        format!("GET /v1/keysets HTTP/1.1\r\nhost: x\r\n{JSON}\r\n").into_bytes(),
        post("/v1/outcome", JSON, spent.as_bytes()),
        post("/v1/issue/begin", JSON, b"{}"),
    ];
    let flood = Flood::of(200, &at, requests);
    std::thread::sleep(Duration::from_secs(1));
    let mut longest = Duration::ZERO;
    for _ in 0..5 {
        let begun = Instant::now();
        world.ok(&["wallet", "deposit", "--home", "@alice", "1.00"]);
        longest = longest.max(begun.elapsed());
    }
    let (answered, shed) = flood.end();
    println!(
        "{answered} requests of the flood answered, {shed} of them with BUSY; longest deposit {longest:?}"
    );
    assert!(answered > 200, "there was a flood: {answered}");
    assert!(longest < Duration::from_secs(20), "a deposit took {longest:?}");
    assert_eq!(world.account("north", "alice"), "85.00");
    unharmed(&world);
}

#[test]
fn two_hundred_clients_at_once_are_all_served() {
    let world = World::shopping("5.00");
    let at = address(&world, "north");
    let mut raw = Raw::open(&at).unwrap();
    let (_, keysets) =
        raw.ask(format!("GET /v1/keysets HTTP/1.1\r\nhost: x\r\n{JSON}\r\n").as_bytes()).unwrap();
    let keysets: Value = serde_json::from_str(&keysets).unwrap();
    let keyset: feiqian_online_cash::keyset::Keyset = serde_json::from_value(keysets[0].clone()).unwrap();
    let denomination = keyset.keys[0].id().to_string();
    let begin = |client: usize, nth: usize| {
        let request = format!("{:064x}", client * 1000 + nth + 1);
        json!({"request": request, "outputs": [{"denomination": denomination, "count": 1}]}).to_string()
    };
    let times: Vec<Duration> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..200)
            .map(|client| {
                let (at, begin) = (&at, &begin);
                scope.spawn(move || {
                    let mut raw = Raw::open(at).unwrap();
                    let mut longest = Duration::ZERO;
                    for nth in 0..3 {
                        let begun = Instant::now();
                        let body = begin(client, nth);
                        let request = post("/v1/issue/begin", JSON, body.as_bytes());
                        let (mut status, mut answer) = raw.ask(&request).unwrap();
                        // On a slow machine some have to come again: the same bytes.
                        while status == 429 && begun.elapsed() < Duration::from_secs(20) {
                            std::thread::sleep(Duration::from_millis(200));
                            (status, answer) = raw.ask(&request).unwrap();
                        }
                        assert_eq!(status, 200, "client {client}: {answer}");
                        longest = longest.max(begun.elapsed());
                    }
                    longest
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let longest = times.iter().max().unwrap();
    println!("200 clients, 600 requests, longest {longest:?}");
    assert!(*longest < Duration::from_secs(20), "somebody starved: {longest:?}");
    assert!(!world.log("north").contains("locked"), "no lock error");
    unharmed(&world);
}
