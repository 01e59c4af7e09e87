//! The machine that is measured, as far as it tells.

use std::process::Command;

use serde_json::{Value, json};

/// Processor, cores, group arithmetic, operating system, compiler if there is one.
pub(super) fn describe() -> Value {
    json!({
        "processor": processor(),
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "backend": super::backend(),
        "compiled_for": if cfg!(curve25519_dalek_backend = "avx512") { "avx512" } else { "default" },
        "optimised": !cfg!(debug_assertions),
        "system": system(),
        "rustc": rustc(),
    })
}

fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let named =
        |line: &str| Some(line.strip_prefix("model name")?.trim_start_matches([' ', '\t', ':']).to_owned());
    text.lines().find_map(named)
}

fn system() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} {} {}", std::env::consts::OS, release.trim(), std::env::consts::ARCH).replace("  ", " ")
}

/// The compiler found here now, which need not be the one that built this program.
fn rustc() -> Option<String> {
    let output = Command::new("rustc").arg("--version").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
