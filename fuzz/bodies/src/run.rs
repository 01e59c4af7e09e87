//! Runs a target over its seeds and over mutations of them, without any tool.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;

use crate::{Target, Verdict, mutate, seeds};

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Valid inputs it began with.
    pub seeds: usize,
    /// Inputs tried.
    pub inputs: u64,
    /// Those accepted.
    pub accepted: u64,
    /// An input that broke a rule, and the rule.
    pub broken: Option<(Vec<u8>, String)>,
}

/// How long, and from where, a target is tried.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// The most time.
    pub time: Duration,
    /// The most inputs.
    pub inputs: u64,
    /// Where the random numbers come from: the same gives the same inputs.
    pub seed: u64,
}

/// Tries a target until its effort is spent or a rule breaks. At least the seeds are tried.
pub fn run(target: &Target, effort: Effort) -> Report {
    let (begun, kept) = (Instant::now(), seeds::of(target));
    let mut rng = stream(effort.seed, &target.name);
    let mut report = Report { seeds: kept.len(), ..Report::default() };
    let mut fixed = kept.iter();
    loop {
        let input = match fixed.next() {
            Some(seed) => seed.clone(),
            None if report.inputs >= effort.inputs || begun.elapsed() >= effort.time => return report,
            None => mutate::input(target.shape, &kept, &mut rng),
        };
        report.inputs = report.inputs.saturating_add(1);
        match catch_unwind(AssertUnwindSafe(|| (target.run)(&input))) {
            Ok(Verdict::Accepted) => report.accepted = report.accepted.saturating_add(1),
            Ok(Verdict::Refused(_)) => {}
            Err(panic) => {
                let reason = panic.downcast_ref::<String>().cloned();
                let reason = reason.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
                report.broken = Some((input, reason.unwrap_or_default()));
                return report;
            }
        }
    }
}

/// Each target has random numbers of its own, so that one more target changes no other's.
fn stream(seed: u64, name: &str) -> ChaCha12Rng {
    let mut bytes = [0_u8; 32];
    for (at, byte) in name.bytes().chain(seed.to_le_bytes()).enumerate() {
        if let Some(place) = bytes.get_mut(at.checked_rem(24).unwrap_or(0)) {
            *place = place.wrapping_mul(31).wrapping_add(byte);
        }
    }
    for (place, byte) in bytes.iter_mut().skip(24).zip(seed.to_le_bytes()) {
        *place = byte;
    }
    ChaCha12Rng::from_seed(bytes)
}

/// Keeps an input that broke a rule, where a regression test can pick it up.
///
/// # Errors
/// When it cannot be written.
pub fn keep(target: &Target, input: &[u8]) -> std::io::Result<PathBuf> {
    let folder = seeds::folder().join("../artifacts").join(&target.name);
    std::fs::create_dir_all(&folder)?;
    let name = feiqian_crypto::Transcript::new("fuzz/artifact").bytes(input).into_digest().to_string();
    let path = folder.join(name);
    std::fs::write(&path, input)?;
    Ok(path)
}
