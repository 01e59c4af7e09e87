//! Makes the seeds: runs a small world with everything in it, and keeps what travelled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use feiqian_cheque::bundle::Bundle;
use feiqian_node::listing::Calls;
use feiqian_node::{Caller, Format, Outgoing, Target as Peer, deliver};
use feiqian_offline_cash as offline;
use feiqian_online_cash::evidence::Evidence;
use feiqian_online_cash::request::SignedRequest;
use feiqian_sim::adversary::Adversary;
use feiqian_sim::run::cell::{self, Options, Own};
use feiqian_sim::world::fabric::NodeId;
use feiqian_sim::world::wire::{Call, Tap};
use feiqian_sim::world::{Running, Watch};
use feiqian_sim::{SimError, Source, World};
use feiqian_wire::{Limit, codec};
use rand::rngs::ChaCha12Rng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::messages::{target_name, within};
use crate::{Target, all, seeds, texts};

/// Two days in a small town, in which everything happens at least once.
const SCENARIO: &str = r#"
name = "seeds"
duration = "2d"
seed = 11

[[bank]]
name = "first"
customers = 0.6

[[bank]]
name = "second"

[population]
wallets = 10
merchants = { count = 3 }

[workload]
payments_per_wallet_per_day = 10.0
between_wallets = 0.2
refunds = 0.2
instruments = { online_cash = 0.4, offline_cash = 0.3, cheque = 0.2, transfer = 0.1 }

[settlement]
mode = "net"
cycle = "2h"

[[adversary]]
kind = "double-spender"
count = 3

[[adversary]]
kind = "kiter"

[[adversary]]
kind = "replayer"
"#;

/// The most seeds of a target, and the largest.
const MOST: usize = 3;
const LARGEST: usize = 16 << 10;

/// What was seen: messages by target, and the names of the messages of each call.
#[derive(Default)]
pub(crate) struct Seen {
    calls: BTreeMap<(NodeId, String), Vec<(String, String)>>,
    pub(crate) messages: BTreeMap<String, BTreeSet<Vec<u8>>>,
    world: BTreeMap<&'static str, Vec<u8>>,
    /// What operators were shown.
    shown: Vec<Value>,
}

#[derive(Default)]
struct Eyes(Mutex<Seen>);

impl Eyes {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// Keeps a message if it is shorter than those that are kept, or one of few.
    fn keep(&mut self, name: &str, bytes: &[u8]) {
        if bytes.len() > LARGEST {
            return self.keep_even_large(name, bytes);
        }
        let kept = self.messages.entry(name.to_owned()).or_default();
        // Of one length there is one: variety is in the shape.
        if kept.iter().any(|known| known.len() == bytes.len()) {
            return;
        }
        if kept.len() >= MOST.saturating_mul(8) {
            return;
        }
        kept.insert(bytes.to_vec());
    }
}

impl Seen {
    /// Keeps a message whatever its size, if it is the only one or the shortest of its target.
    pub(crate) fn keep_even_large(&mut self, name: &str, bytes: &[u8]) {
        let kept = self.messages.entry(name.to_owned()).or_default();
        if kept.iter().all(|known| known.len() > LARGEST) {
            let shorter = kept.iter().all(|known| bytes.len() < known.len());
            if kept.is_empty() || shorter {
                kept.clear();
                kept.insert(bytes.to_vec());
            }
        } else if bytes.len() <= LARGEST && kept.iter().all(|known| known.len() != bytes.len()) {
            kept.insert(bytes.to_vec());
        }
    }
}

/// The accusations that a bank's operator can hand on.
async fn accusations(world: &World, bank: NodeId) -> Vec<Value> {
    let Ok(list) = world.command(bank, json!({"command": "accusations"})).await else { return Vec::new() };
    let lines = list.get("accusations").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut found = Vec::new();
    for line in lines.iter().take(MOST) {
        let id = line.get("id").cloned().unwrap_or_default();
        found.extend(world.command(bank, json!({"command": "accusation", "id": id})).await.ok());
    }
    found
}

impl Tap for Eyes {
    fn saw(&self, call: &Call<'_>) {
        let mut seen = self.seen();
        let Some(names) = seen.calls.get(&(call.to, call.path.to_owned())).cloned() else { return };
        // A path may take a request and none: the one without has `()`.
        let wanted = |request: &str| (request == "()") == call.request.is_empty();
        let Some((request, answer)) = names.into_iter().find(|(request, _)| wanted(request)) else { return };
        if !call.request.is_empty() {
            seen.keep(&target_name(&request), call.request);
        }
        if let Some(bytes) = call.answer {
            seen.keep(&target_name(&answer), bytes);
        }
    }
}

/// Sits at the wire and looks.
struct Collector(Arc<Eyes>);

/// The calls of one node.
async fn calls_of(world: &World, node: NodeId) -> Option<Calls> {
    codec::decode(&ask(world, node, "/v1/routes").await?, Limit::Large).ok()
}

/// What a node answers to a stranger.
async fn ask(world: &World, node: NodeId, path: &str) -> Option<Vec<u8>> {
    let router = world.running(node).await.ok()?.service().router();
    let message = Outgoing {
        path: path.to_owned(),
        body: Vec::new().into(),
        format: Format::Bincode,
        caller: Caller::Anonymous,
        timeout: std::time::Duration::from_secs(5),
    };
    let reply = deliver(&router, &Peer::anyone("https://seeds:1"), None, message).await.ok()?;
    (reply.status == 200).then(|| reply.body.to_vec())
}

/// The settings of one node of each role, as its file says them.
async fn settings_of(world: &World) -> Vec<(&'static str, String)> {
    let first = |nodes: &[NodeId]| nodes.first().copied();
    let nodes =
        [Some(world.center()), first(world.banks()), first(world.merchants()), first(world.wallets())];
    let mut found = Vec::new();
    for node in nodes.into_iter().flatten() {
        let written = match world.running(node).await {
            Ok(Running::Center(center)) => ("settings-center", toml::to_string(center.config())),
            Ok(Running::Bank(bank)) => ("settings-bank", toml::to_string(bank.config())),
            Ok(Running::Merchant(merchant)) => ("settings-merchant", toml::to_string(merchant.config())),
            Ok(Running::Wallet(wallet)) => ("settings-wallet", toml::to_string(wallet.config())),
            Err(_) => continue,
        };
        found.extend(written.1.ok().map(|text| (written.0, text)));
    }
    found
}

#[async_trait]
impl Adversary for Collector {
    async fn enlist(&mut self, world: &World) -> Result<(), SimError> {
        let nodes = [&[world.center()], world.banks(), world.merchants()].concat();
        for node in nodes {
            let calls = calls_of(world, node).await.unwrap_or_default();
            let mut seen = self.0.seen();
            seen.keep(&target_name("Bounded<ListedCall, 256>"), &codec::encode(&calls).unwrap_or_default());
            for call in calls.iter() {
                let names = (call.request.to_string(), call.answer.to_string());
                seen.calls.entry((node, call.path.to_string())).or_default().push(names);
            }
        }
        world.fabric().tap(Arc::clone(&self.0) as _);
        Ok(())
    }

    fn begin(&mut self, _world: &Arc<World>) {}

    async fn finish(&mut self, _world: &Arc<World>) {}

    async fn report(&mut self, world: &Arc<World>) -> Value {
        let settings = settings_of(world).await;
        let lists = ask(world, world.center(), "/v1/crl").await.unwrap_or_default();
        let mut shown = Vec::new();
        for bank in world.banks() {
            shown.extend(accusations(world, *bank).await);
        }
        let mut seen = self.0.seen();
        seen.shown = shown;
        settings.iter().for_each(|(name, text)| seen.keep(name, text.as_bytes()));
        seen.world.insert("root.der", world.root().as_der().to_vec());
        seen.world.insert("lists", lists);
        seen.world.insert("now", world.now().to_string().into_bytes());
        json!({"attempts": seen.messages.len(), "successes": 0, "won": false})
    }
}

/// The calls of one node of each role, by its role.
///
/// # Errors
/// When the world cannot be built.
pub fn calls() -> Result<Vec<(&'static str, Calls)>, String> {
    let scenario = Source::parse("[population]\nwallets = 1\nmerchants = { count = 1 }", "")
        .and_then(|source| source.scenario())
        .map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let world = World::build(&scenario, Watch::default()).await.map_err(|error| error.to_string())?;
        let first = |nodes: &[NodeId]| nodes.first().copied();
        let nodes = [
            ("center", Some(world.center())),
            ("bank", first(world.banks())),
            ("merchant", first(world.merchants())),
            ("wallet", first(world.wallets())),
        ];
        let mut found = Vec::new();
        for (role, node) in nodes {
            let calls = calls_of(&world, node.ok_or("a role without a node")?).await;
            found.push((role, calls.ok_or("a node that does not list its calls")?));
        }
        world.end().await;
        Ok(found)
    })
}

/// Runs the world and writes `fuzz/seeds`. Answers, by target, how many seeds it has.
///
/// # Errors
/// When the world does not run, or a file cannot be written.
pub fn collect() -> Result<BTreeMap<String, usize>, String> {
    let eyes = Arc::new(Eyes::default());
    let scenario = Source::parse(SCENARIO, "").and_then(|source| source.scenario());
    let scenario = scenario.map_err(|error| error.to_string())?;
    let watcher = Arc::clone(&eyes);
    let own = Own::new("collector", move || Box::new(Collector(Arc::clone(&watcher))));
    cell::run(&scenario, &Options { own: vec![own], ..Options::default() })
        .map_err(|error| error.to_string())?;
    let mut seen = eyes.seen();
    documents(&mut seen);
    by_hand(&mut seen);
    write(&seen).map_err(|error| error.to_string())
}

/// Documents that lie inside messages: cheques, evidence, accusations, keysets, requests.
fn documents(seen: &mut Seen) {
    let targets = all();
    let mut found: Vec<(&'static str, Vec<u8>)> = Vec::new();
    let messages = seen.messages.clone();
    let mut documents = seen.shown.clone();
    seen.shown.iter().for_each(|document| inside(document, &mut found));
    for (name, kept) in &messages {
        let Some(maker) = targets.get(name).and_then(|target| target.message) else { continue };
        for message in kept {
            let json = (maker.to_json)(message);
            let Some(document) = json.and_then(|json| serde_json::from_slice::<Value>(&json).ok()) else {
                continue;
            };
            inside(&document, &mut found);
            documents.push(document.clone());
            for (other, target) in targets.iter().filter(|(other, _)| !messages.contains_key(*other)) {
                let lying_in_it = target.message.map(|maker| (maker.within)(&document)).unwrap_or_default();
                lying_in_it.iter().for_each(|bytes| seen.keep(other, bytes));
            }
        }
    }
    crate::made::make(seen, &documents);
    for (name, target) in &targets {
        if seen.messages.get(name).is_none_or(BTreeSet::is_empty) {
            let smallest = target.message.and_then(|maker| (maker.smallest)());
            smallest.iter().for_each(|bytes| seen.keep(name, bytes));
        }
    }
    for (name, bytes) in found {
        seen.keep(name, &bytes);
    }
}

/// The byte strings of a document: in JSON they are hexadecimal.
fn byte_strings(document: &Value) -> Vec<Vec<u8>> {
    match document {
        Value::String(text) if text.len() > 200 => decode_hex(text).into_iter().collect(),
        Value::Array(items) => items.iter().flat_map(byte_strings).collect(),
        Value::Object(fields) => fields.values().flat_map(byte_strings).collect(),
        _ => Vec::new(),
    }
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    text.parse::<feiqian_wire::Blob<{ 1 << 20 }>>().ok().map(feiqian_wire::Blob::into_vec)
}

fn inside(document: &Value, found: &mut Vec<(&'static str, Vec<u8>)>) {
    let files = byte_strings(document);
    let in_files = files.iter().filter_map(|bytes| Bundle::from_bytes(bytes).ok());
    for bundle in within::<Bundle>(document).into_iter().chain(in_files) {
        found.extend(bundle.to_bytes().ok().map(|bytes| ("file-cheque", bytes)));
        found.extend(codec::encode(&bundle).ok().map(|bytes| ("Bundle", bytes)));
    }
    for evidence in within::<Evidence>(document) {
        found.extend(codec::encode_json(&evidence).ok().map(|bytes| ("file-evidence", bytes)));
        found.extend(codec::encode(&evidence).ok().map(|bytes| ("Evidence", bytes)));
    }
    let named = within::<offline::accusation::CustomerAccusation>(document);
    let named = named.into_iter().map(offline::accusation::Accusation::Customer);
    for accusation in named.chain(within::<offline::accusation::Accusation>(document)) {
        found.extend(codec::encode_json(&accusation).ok().map(|bytes| ("file-accusation", bytes)));
        found.extend(codec::encode(&accusation).ok().map(|bytes| ("offline_cash-Accusation", bytes)));
    }
    for keyset in within::<feiqian_online_cash::keyset::Keyset>(document) {
        found.extend(codec::encode_json(&keyset).ok().map(|bytes| ("file-keyset", bytes)));
        found.extend(codec::encode(&keyset).ok().map(|bytes| ("Keyset", bytes)));
    }
    for keyset in within::<offline::keyset::Keyset>(document) {
        found.extend(codec::encode(&keyset).ok().map(|bytes| ("offline_cash-Keyset", bytes)));
    }
    for request in within::<SignedRequest>(document) {
        found.extend(request.to_uri().ok().map(|uri| ("uri-request", uri.into_bytes())));
        found.extend(codec::encode(&request).ok().map(|bytes| ("SignedRequest", bytes)));
    }
    for payment in within::<offline::pay::Payment>(document) {
        found.extend(codec::encode(&payment).ok().map(|bytes| ("offline_cash-Payment", bytes)));
        carried(&offline::carry::Carried::Payment(payment), found);
    }
    for request in within::<offline::request::SignedRequest>(document) {
        found.extend(codec::encode(&request).ok().map(|bytes| ("offline_cash-SignedRequest", bytes)));
        carried(&offline::carry::Carried::Request(request), found);
    }
}

/// A message by hand in all its forms.
fn carried(message: &offline::carry::Carried, found: &mut Vec<(&'static str, Vec<u8>)>) {
    let (uri, frames) = texts::texts_of(message);
    found.extend(uri.map(|uri| ("uri-offline", uri.into_bytes())));
    found.extend(frames.map(|frames| ("uri-frames", frames.into_bytes())));
    let file = texts::file_of(message);
    found.extend(file.iter().map(|bytes| ("file-carried", bytes.clone())));
    found.extend(file.map(|bytes| ("offline_cash-Carried", bytes)));
}

/// What no message of the world shows.
fn by_hand(seen: &mut Seen) {
    let text = |seen: &mut Seen, name: &str, texts: &[&str]| {
        texts.iter().for_each(|text| seen.keep(name, text.as_bytes()));
    };
    text(seen, "amount", &["0.01", "12345.67", "1"]);
    let address = format!("https://bank.example:7443#sha256={}", "ab".repeat(32));
    text(seen, "endpoint", &["https://localhost:1", &address, "https://[::1]:7443"]);
    text(seen, "scenario", &[SCENARIO, "seed = 3\nduration = \"6h\"\n"]);
    let wallet = format!("{} about", ["abandon"; 11].join(" "));
    text(seen, "words", &[&wallet, &format!("{} art", ["abandon"; 23].join(" "))]);
    if let Some(root) = seen.world.get("root.der").cloned() {
        seen.keep("certificate-root", &root);
        if let Ok(root) = feiqian_pki::TrustedRoot::from_der(&root) {
            seen.keep("certificate-root", root.to_pem().as_bytes());
            seen.keep("certificate-chain", root.to_pem().as_bytes());
        }
    }
    let lists: Option<feiqian_node::ListsResponse> =
        seen.world.get("lists").and_then(|bytes| codec::decode(bytes, Limit::Large).ok());
    for list in lists.iter().flat_map(|lists| lists.iter()) {
        seen.keep("revocation-list", list);
        seen.keep("Blob-1048576", &codec::encode(list).unwrap_or_default());
    }
    let key = feiqian_pki::KeyPair::from_seed(&[3; 32]);
    if let Ok(subject) = feiqian_pki::Subject::merchant("shop", "first") {
        let made = feiqian_pki::CertificateRequest::create(&key, &subject);
        made.iter().for_each(|der| seen.keep("certificate-request", der));
        let pem = feiqian_pki::CertificateRequest::create_pem(&key, &subject);
        pem.iter().for_each(|pem| seen.keep("certificate-request", pem.as_bytes()));
    }
    let fault = feiqian_wire::Fault::new(feiqian_wire::Code::Busy, "busy").hint("later");
    seen.keep("Fault", &codec::encode(&fault).unwrap_or_default());
    // Operations are any bytes.
    let mut rng = ChaCha12Rng::seed_from_u64(1);
    for name in ["operations-ledger", "operations-register"] {
        for length in [40_usize, 160, 400] {
            let mut bytes = vec![0; length];
            rng.fill_bytes(&mut bytes);
            seen.keep(name, &bytes);
        }
    }
}

/// Writes what is kept: of each target the shortest, the longest, and one between.
fn write(seen: &Seen) -> std::io::Result<BTreeMap<String, usize>> {
    let folder = seeds::folder();
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(folder.join("world"))?;
    for (name, bytes) in &seen.world {
        std::fs::write(folder.join("world").join(name), bytes)?;
    }
    let mut counts = BTreeMap::new();
    for Target { name, .. } in all().values() {
        let mut kept: Vec<&Vec<u8>> = seen.messages.get(name).into_iter().flatten().collect();
        kept.sort_by_key(|bytes| bytes.len());
        let last = kept.len().saturating_sub(1);
        let chosen: BTreeSet<usize> = [0, last.div_ceil(2), last].into_iter().collect();
        let chosen: Vec<&&Vec<u8>> = chosen.into_iter().filter_map(|at| kept.get(at)).collect();
        for (number, bytes) in chosen.iter().enumerate() {
            let folder = folder.join(name);
            std::fs::create_dir_all(&folder)?;
            std::fs::write(folder.join(number.to_string()), bytes)?;
        }
        counts.insert(name.clone(), chosen.len());
    }
    Ok(counts)
}
