//! `feiqian bench`: how many coins this machine signs and verifies, online and offline, how many cheques it verifies and
//! clears.
//!
//! Each measure runs for the given time after a quarter of it as warm-up; threads run the same loop side by side, and
//! different numbers of threads take turns.
//! Clearing is measured on the whole: nodes of their own, as `feiqian … run` runs them.
//! Figures are whole operations and nanoseconds: nothing here needs a fraction. A percentile is of the time that a
//! whole batch took.

mod cheques;
mod clearing;
mod coins;
mod machine;
mod measure;
mod node;
mod pieces;

use std::time::Duration;

use feiqian_wire::error::{Code, Fault};
use serde_json::{Map, Value};

use crate::cli::{Bench, BenchCommand, BenchHere, Scheme, Threads};
use crate::output;
use cheques::Cheques;
use coins::Coins;
use measure::{Plan, Plans, percentile, rate, rate_of};
use pieces::Pieces;

/// Sizes of the batches, unless others are asked for.
const BATCHES: [usize; 4] = [1, 16, 64, 256];

/// The arithmetic behind the group, as compiled and as this processor runs it.
pub(crate) fn backend() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        let wide = std::arch::is_x86_feature_detected!("avx512ifma")
            && std::arch::is_x86_feature_detected!("avx512vl");
        if cfg!(curve25519_dalek_backend = "avx512") && wide {
            return "avx512ifma";
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            return "avx2";
        }
    }
    "serial"
}

/// Measures in this process, or nodes of their own.
///
/// # Errors
/// As [`run`] and [`node::run`].
pub(crate) async fn dispatch(args: Bench, as_json: bool) -> Result<(), Fault> {
    match args.command {
        Some(BenchCommand::Node(args)) => node::run(&args, as_json).await,
        Some(BenchCommand::Echo(args)) => node::serve_echo(&args).await,
        None => {
            let measured = run(&args.here, as_json).await?;
            output::result(&measured, as_json);
            Ok(())
        }
    }
}

/// Runs the measures that are asked for.
///
/// # Errors
/// `INTERNAL` when what was made for the measures does not verify, or the file cannot be written; those of the nodes that
/// clear.
async fn run(args: &BenchHere, as_json: bool) -> Result<Value, Fault> {
    let wanted = |scheme| args.schemes.is_empty() || args.schemes.contains(&scheme);
    let plans = plans(args);
    let mut rows = Vec::new();
    if wanted(Scheme::Online) {
        rows.extend(plans.online(&Coins::make(plans.most())?));
    }
    if wanted(Scheme::Offline) {
        rows.extend(plans.offline(&Pieces::make()?));
    }
    if wanted(Scheme::Cheque) {
        rows.extend(plans.cheques(&Cheques::make(plans.most())?));
    }
    rows.sort_by_key(|row| ORDER.iter().position(|work| *work == output::at(row, "work")));
    if let Some(path) = &args.csv {
        let text = csv(rows.iter().filter_map(Value::as_object));
        std::fs::write(path, text).map_err(|error| {
            Fault::new(Code::Internal, format!("cannot write {}: {error}", path.display()))
        })?;
    }
    let clearing =
        if wanted(Scheme::Clearing) { vec![clearing::run(args.seconds).await?] } else { Vec::new() };
    let mut value = machine::describe();
    output::set(&mut value, "seconds", args.seconds);
    output::set(&mut value, "measures", rows);
    output::set(&mut value, "clearing", clearing);
    if !as_json && cfg!(debug_assertions) {
        output::line("This is a development build: for real figures use cargo run --release -- bench");
    }
    Ok(value)
}

/// What is varied: as asked, else one thread and all, and the usual batches.
fn plans(args: &BenchHere) -> Plans {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let number = |threads: &Threads| match threads {
        Threads::All => all,
        Threads::Number(number) => usize::try_from(*number).unwrap_or(all),
    };
    let mut threads: Vec<usize> = args.threads.iter().map(number).collect();
    if threads.is_empty() {
        threads = vec![1, all];
    }
    let mut batches: Vec<usize> = args.batches.iter().map(|batch| usize::from(*batch)).collect();
    if batches.is_empty() {
        batches = BATCHES.to_vec();
    }
    for numbers in [&mut threads, &mut batches] {
        numbers.sort_unstable();
        numbers.dedup();
    }
    Plans { length: Duration::from_secs(args.seconds), threads, batches, runs: args.runs }
}

/// Rows as lines, a column for every name that one of them has.
fn csv<'r>(rows: impl Iterator<Item = &'r Map<String, Value>> + Clone) -> String {
    let mut names: Vec<&String> = rows.clone().flat_map(Map::keys).collect();
    names.sort_unstable();
    names.dedup();
    let first = ["work", "batch", "threads", "connections", "per_second"];
    names.sort_by_key(|name| first.iter().position(|known| known == name).unwrap_or(first.len()));
    let quoted = |text: &str| if text.contains(',') { format!("\"{text}\"") } else { text.to_owned() };
    let line = |cells: Vec<String>| cells.join(",") + "\n";
    let mut text = line(names.iter().map(|name| (*name).clone()).collect());
    for row in rows {
        let cell = |name: &&String| match row.get(*name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => quoted(text),
            Some(other) => other.to_string(),
        };
        text.push_str(&line(names.iter().map(cell).collect()));
    }
    text
}

/// In which order works are shown.
const ORDER: [&str; 8] = [
    "blind_signing",
    "verifying",
    "issuing_offline_coins",
    "withdrawing_offline_coins",
    "spending_leaves",
    "verifying_leaves",
    "naming_double_spenders",
    "verifying_cheques",
];

impl Plans {
    fn online(&self, coins: &Coins) -> Vec<Value> {
        let mut rows = Vec::new();
        for batch in self.batches.iter().copied() {
            // Made before the clock starts: what is measured is the checking, not the copying of its input.
            let items = coins.items(batch);
            rows.extend(self.rows("blind_signing", batch, || coins.signing(batch)));
            rows.extend(self.rows("verifying", batch, || coins::checking(&items)));
        }
        rows
    }

    /// Offline coins come singly, their leaves in batches of a coin's.
    fn offline(&self, pieces: &Pieces) -> Vec<Value> {
        let mut rows = self.rows("issuing_offline_coins", 1, || pieces.issuing());
        rows.extend(self.rows("withdrawing_offline_coins", 1, || pieces.withdrawing()));
        rows.extend(self.rows("naming_double_spenders", 1, || pieces.naming()));
        rows.extend(self.rows("spending_leaves", pieces::LEAVES, || pieces.paying()));
        for batch in [1, pieces::LEAVES] {
            let shown = pieces.shown(batch);
            rows.extend(self.rows("verifying_leaves", batch, || pieces::checking(&shown)));
        }
        rows
    }

    fn cheques(&self, cheques: &Cheques) -> Vec<Value> {
        let rows = self.batches.iter().flat_map(|batch| {
            let files = cheques.files(*batch);
            self.rows("verifying_cheques", *batch, || cheques.checking(files))
        });
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_has_a_cell_for_every_name() {
        let rows = [json!({"work": "a, b", "z": 1}), json!({"work": "c", "batch": 2, "y": null})];
        let text = csv(rows.iter().filter_map(Value::as_object));
        assert_eq!(text, "work,batch,y,z\n\"a, b\",,,1\nc,2,,\n");
    }
}
