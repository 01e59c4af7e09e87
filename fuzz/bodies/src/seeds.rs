//! The committed seeds: `fuzz/seeds/TARGET/…`, each a valid input, and the world that they come from.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use feiqian_node::ListsResponse;
use feiqian_pki::{RevocationList, TrustedRoot};
use feiqian_wire::{Limit, Timestamp, codec};

use crate::Target;

/// Where they are.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../seeds")
}

/// Those of one target, messages also in JSON; in the order of their names.
#[must_use]
pub fn of(target: &Target) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(folder().join(&target.name)) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let mut seeds: Vec<Vec<u8>> = paths.iter().filter_map(|path| std::fs::read(path).ok()).collect();
    if let Some(message) = target.message {
        let json: Vec<Vec<u8>> = seeds.iter().filter_map(|seed| (message.to_json)(seed)).collect();
        seeds.extend(json);
    }
    seeds
}

/// Root, revocation lists and time of the world of the seeds: what documents are checked under.
#[derive(Debug)]
pub struct Context {
    /// The root.
    pub root: TrustedRoot,
    /// The lists at the end.
    pub lists: Vec<RevocationList>,
    /// The time at the end.
    pub now: Timestamp,
}

/// The context, read once; none before the seeds were made.
#[must_use]
pub fn context() -> Option<&'static Context> {
    static CONTEXT: OnceLock<Option<Context>> = OnceLock::new();
    CONTEXT.get_or_init(read_context).as_ref()
}

fn read_context() -> Option<Context> {
    let read = |name: &str| std::fs::read(folder().join("world").join(name)).ok();
    let root = TrustedRoot::from_der(&read("root.der")?).ok()?;
    let lists: ListsResponse = codec::decode(&read("lists")?, Limit::Large).ok()?;
    let lists = lists.iter().filter_map(|der| RevocationList::from_der(der).ok()).collect();
    let now = String::from_utf8(read("now")?).ok()?.trim().parse().ok()?;
    Some(Context { root, lists, now: Timestamp::new(now) })
}
