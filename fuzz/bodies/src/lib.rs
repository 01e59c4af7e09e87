//! The bodies of the fuzz targets: plain functions from bytes to a verdict.
//!
//! A body takes any bytes and either refuses them with a stable code or accepts them; it panics when a rule of the project
//! does not hold. The same functions run in three places:
//!
//! | where | input |
//! |---|---|
//! | `fuzz/fuzz_targets` | libFuzzer's, guided by coverage: `cargo xtask fuzz` with a nightly compiler |
//! | `feiqian-fuzz-bodies run` | [`mutate`]'s, without any tool: `cargo xtask fuzz` otherwise |
//! | `tests/smoke.rs` here | the committed seeds and a few seconds of [`mutate`]'s, on every `cargo test` |
//!
//! | module | targets |
//! |---|---|
//! | [`messages`] | one for each message type, in both encodings |
//! | [`texts`] | what is typed, scanned or edited: URIs, frames, scenarios, settings, seed words, amounts |
//! | [`files`] | cheques, accusations, evidence, keysets, certificates, as they lie in files |
//! | [`model`] | sequences of operations on ledger and deposit register against naive models |
//!
//! # The rules
//!
//! * Nothing panics, whatever arrives.
//! * What is accepted in binary is the one encoding of its value: encoded again it is the same bytes. What is accepted in
//!   JSON and in binary is the same value.
//! * What is refused has a code of the list, and a message that is safe to print.

pub mod collect;
pub mod files;
mod made;
pub mod messages;
pub mod model;
pub mod mutate;
pub mod run;
pub mod seeds;
pub mod texts;

use std::collections::BTreeMap;

use feiqian_wire::Code;

/// What a body says of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is well-formed.
    Accepted,
    /// It is not, for this reason.
    Refused(Code),
}

/// One target.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name, also of its folder of seeds.
    pub name: String,
    /// Its body.
    pub run: fn(&[u8]) -> Verdict,
    /// How its inputs look, for the mutator.
    pub shape: Shape,
    /// Of a message: how seeds are made of it.
    pub message: Option<messages::Maker>,
}

impl Target {
    fn new(name: &str, shape: Shape, run: fn(&[u8]) -> Verdict) -> Self {
        Self { name: name.to_owned(), run, shape, message: None }
    }
}

/// How a target's inputs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A message: binary, or JSON.
    Message,
    /// JSON alone.
    Json,
    /// Text in lines or words.
    Text,
    /// Bytes.
    Bytes,
}

/// All targets, by name.
#[must_use]
pub fn all() -> BTreeMap<String, Target> {
    let groups = [messages::targets(), texts::targets(), files::targets(), model::targets()];
    groups.into_iter().flatten().map(|target| (target.name.clone(), target)).collect()
}

/// The target of this name.
#[must_use]
pub fn find(name: &str) -> Option<Target> {
    all().remove(name)
}

/// Refuses with a fault's code, after a look at its texts.
///
/// # Panics
/// When the fault cannot be sent as it is.
pub fn refuse(fault: impl Into<feiqian_wire::Fault>) -> Verdict {
    let fault = fault.into();
    let sent = feiqian_wire::codec::encode(&fault).unwrap_or_default();
    let read: Result<feiqian_wire::Fault, _> = feiqian_wire::codec::decode(&sent, feiqian_wire::Limit::Small);
    assert_eq!(read.ok().as_ref(), Some(&fault), "a refusal must fit a message");
    assert_ne!(fault.code, Code::Internal, "bytes from outside are no fault of ours: {fault}");
    Verdict::Refused(fault.code)
}
