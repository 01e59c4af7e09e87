//! Every target in one binary: the environment says which. One link instead of two hundred.
//!
//! `FEIQIAN_FUZZ_TARGET=SignedRequest cargo +nightly fuzz run one fuzz/corpus/SignedRequest fuzz/seeds/SignedRequest`
#![no_main]

use std::sync::OnceLock;

use feiqian_fuzz_bodies::{Target, find};
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<Target> = OnceLock::new();

fn target() -> &'static Target {
    TARGET.get_or_init(|| {
        let name = std::env::var("FEIQIAN_FUZZ_TARGET").expect("FEIQIAN_FUZZ_TARGET names the target");
        find(&name).unwrap_or_else(|| panic!("no target is called `{name}`"))
    })
}

fuzz_target!(|data: &[u8]| {
    let _ = (target().run)(data);
});
