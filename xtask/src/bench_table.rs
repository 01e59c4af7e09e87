//! `bench-table`: what `cargo bench -p feiqian-benches` measured, as one table with ratios, in markdown or JSON.
//!
//! The time shown is the median of one item: what a measure did many at a time is divided by how many. A ratio says how
//! many times as long as our own row of the same operation.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// Operations in the order of the table, each with the row that the others are compared with.
const OPERATIONS: &[(&str, &str)] = &[
    ("floor", "variable-base multiplication"),
    ("bank signs", "feiqian, batches of 64"),
    ("user blinds", "feiqian"),
    ("user unblinds and checks", "feiqian"),
    ("verify one", "feiqian"),
    ("verify a batch", "feiqian, 256"),
    ("pay 12.50, payer", "feiqian online, one coin"),
    ("pay 12.50, verifier", "feiqian online, one coin"),
    ("pay 12.50, all parties", "feiqian online, one coin"),
    ("offline coin", "feiqian, verify leaves of depth 6, batches of 64"),
    ("cheque", "feiqian, verify a countersigned cheque alone"),
];

/// What is aimed at: our row, the row it is held against, and how they must stand.
const TARGETS: &[Target] = &[
    faster("bank signs", "feiqian, batches of 64", "bank signs", "Cashu, with DLEQ", 2.5),
    faster(
        "bank signs",
        "feiqian, online part with a warm pool, batches of 64",
        "bank signs",
        "Cashu, with DLEQ",
        100.0,
    ),
    faster("bank signs", "feiqian, batches of 64", "bank signs", "blind RSA-2048", 30.0),
    faster("verify a batch", "feiqian, 256", "verify one", "Cashu", 5.0),
    within(
        "verify a batch",
        "feiqian, 256",
        "floor",
        "256 decompressions and their 128-bit multiscalar multiplication",
        1.6,
    ),
    within("verify one", "feiqian", "verify one", "ed25519", 1.2),
    faster(
        "offline coin",
        "feiqian, verify leaves of depth 6, batches of 64",
        "pay 12.50, verifier",
        "Nym, one ticket",
        60.0,
    ),
    faster(
        "pay 12.50, all parties",
        "feiqian online, one coin",
        "pay 12.50, all parties",
        "Nym, one ticket",
        200.0,
    ),
    faster(
        "pay 12.50, all parties",
        "feiqian online, one coin, with unlinkable change",
        "pay 12.50, all parties",
        "ACT, L = 32, with unlinkable change",
        3.0,
    ),
];

/// Rows this much older than the newest are of another run.
const ONE_RUN: Duration = Duration::from_secs(2 * 3600);

struct Target {
    ours: (&'static str, &'static str),
    theirs: (&'static str, &'static str),
    aim: Aim,
}

#[derive(Clone, Copy)]
enum Aim {
    /// So many times faster than theirs, at least.
    Faster(f64),
    /// At most so many times as long as theirs.
    Within(f64),
}

const fn faster(
    operation: &'static str,
    ours: &'static str,
    other: &'static str,
    theirs: &'static str,
    at_least: f64,
) -> Target {
    Target { ours: (operation, ours), theirs: (other, theirs), aim: Aim::Faster(at_least) }
}

const fn within(
    operation: &'static str,
    ours: &'static str,
    other: &'static str,
    theirs: &'static str,
    at_most: f64,
) -> Target {
    Target { ours: (operation, ours), theirs: (other, theirs), aim: Aim::Within(at_most) }
}

/// What criterion writes beside its estimates.
#[derive(Deserialize)]
struct Described {
    group_id: String,
    function_id: Option<String>,
    throughput: Option<Throughput>,
}

#[derive(Deserialize)]
enum Throughput {
    Elements(u64),
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
    confidence_interval: Interval,
}

#[derive(Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

/// Nanoseconds of one item: the median and its interval of confidence of 95 %.
#[derive(Clone, Serialize)]
struct Row {
    operation: String,
    who: String,
    items: u64,
    nanoseconds: f64,
    low: f64,
    high: f64,
    ratio: Option<f64>,
}

#[derive(Serialize)]
struct Verdict {
    ours: String,
    against: String,
    aim: String,
    reached: f64,
    met: bool,
}

#[derive(Serialize)]
struct Table {
    rows: Vec<Row>,
    targets: Vec<Verdict>,
}

/// Prints the table of the last run.
///
/// # Errors
/// When there was no run, or what criterion wrote cannot be read.
pub(crate) fn print(root: &Path, as_json: bool) -> Result<()> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let folder = target.join("criterion");
    let rows = read(&folder)?;
    if rows.is_empty() {
        bail!("nothing was measured in {}: run cargo bench -p feiqian-benches", folder.display());
    }
    let table = tabulate(rows);
    if as_json {
        println!("{}", serde_json::to_string_pretty(&table)?);
    } else {
        print!("{}", markdown(&table));
    }
    Ok(())
}

/// Every measure under the folder that is of the newest run.
fn read(folder: &Path) -> Result<Vec<Row>> {
    let mut found = Vec::new();
    for group in folders(folder)? {
        for measure in folders(&group)? {
            let new = measure.join("new");
            if new.join("benchmark.json").is_file() {
                found.push((written(&new)?, row(&new)?));
            }
        }
    }
    let Some(newest) = found.iter().map(|(time, _)| *time).max() else { return Ok(Vec::new()) };
    let (rows, old): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|(time, _)| newest.duration_since(*time).is_ok_and(|age| age <= ONE_RUN));
    for (_, Row { operation, who, .. }) in old {
        eprintln!("left out, of an older run: {operation}: {who}");
    }
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn written(folder: &Path) -> Result<SystemTime> {
    let path = folder.join("estimates.json");
    fs::metadata(&path).and_then(|metadata| metadata.modified()).with_context(|| path.display().to_string())
}

fn row(folder: &Path) -> Result<Row> {
    let text = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    };
    let Described { group_id, function_id, throughput } =
        serde_json::from_str(&text("benchmark.json")?).context("benchmark.json")?;
    let Estimates { median } = serde_json::from_str(&text("estimates.json")?).context("estimates.json")?;
    let items = match throughput {
        Some(Throughput::Elements(items)) => items.max(1),
        Some(Throughput::Other) | None => 1,
    };
    let of_one = |nanoseconds: f64| nanoseconds / items as f64;
    Ok(Row {
        operation: group_id,
        who: function_id.unwrap_or_default(),
        items,
        nanoseconds: of_one(median.point_estimate),
        low: of_one(median.confidence_interval.lower_bound),
        high: of_one(median.confidence_interval.upper_bound),
        ratio: None,
    })
}

fn tabulate(mut rows: Vec<Row>) -> Table {
    let times: BTreeMap<(String, String), f64> =
        rows.iter().map(|row| ((row.operation.clone(), row.who.clone()), row.nanoseconds)).collect();
    let time = |operation: &str, who: &str| times.get(&(operation.to_owned(), who.to_owned())).copied();
    let base = |operation: &str| OPERATIONS.iter().find(|(known, _)| *known == operation);
    for row in &mut rows {
        let base = base(&row.operation).and_then(|(operation, who)| time(operation, who));
        row.ratio = base.map(|base| row.nanoseconds / base);
    }
    let place = |row: &Row| {
        let known = OPERATIONS.iter().position(|(known, _)| *known == row.operation);
        (known.unwrap_or(OPERATIONS.len()), row.operation.clone(), !row.who.starts_with("feiqian"))
    };
    rows.sort_by(|one, other| {
        place(one).cmp(&place(other)).then(one.nanoseconds.total_cmp(&other.nanoseconds))
    });
    let verdicts = TARGETS.iter().filter_map(|target| {
        let (ours, theirs) = (time(target.ours.0, target.ours.1)?, time(target.theirs.0, target.theirs.1)?);
        let (aim, reached, met) = match target.aim {
            Aim::Faster(wanted) => {
                (format!("at least {wanted}× faster"), theirs / ours, theirs / ours >= wanted)
            }
            Aim::Within(wanted) => (format!("at most {wanted}×"), ours / theirs, ours / theirs <= wanted),
        };
        let name = |(operation, who): (&str, &str)| format!("{operation}: {who}");
        Some(Verdict { ours: name(target.ours), against: name(target.theirs), aim, reached, met })
    });
    Table { targets: verdicts.collect(), rows }
}

fn markdown(table: &Table) -> String {
    let mut text = String::from("| operation | who | time of one | ratio |\n|---|---|---:|---:|\n");
    for Row { operation, who, nanoseconds, ratio, .. } in &table.rows {
        let ratio = ratio.map_or_else(String::new, |ratio| format!("{}×", figure(ratio)));
        text.push_str(&format!("| {operation} | {who} | {} | {ratio} |\n", duration(*nanoseconds)));
    }
    text.push_str("\n| ours | against | aimed at | reached | |\n|---|---|---|---:|---|\n");
    for Verdict { ours, against, aim, reached, met } in &table.targets {
        let met = if *met { "met" } else { "**not met**" };
        text.push_str(&format!("| {ours} | {against} | {aim} | {}× | {met} |\n", figure(*reached)));
    }
    text
}

fn duration(nanoseconds: f64) -> String {
    match nanoseconds {
        small if small < 1e3 => format!("{} ns", figure(small)),
        middle if middle < 1e6 => format!("{} µs", figure(middle / 1e3)),
        large => format!("{} ms", figure(large / 1e6)),
    }
}

/// Three digits that count.
fn figure(value: f64) -> String {
    match value {
        small if small < 0.1 => format!("{small:.4}"),
        small if small < 1.0 => format!("{small:.3}"),
        small if small < 10.0 => format!("{small:.2}"),
        middle if middle < 100.0 => format!("{middle:.1}"),
        large => format!("{large:.0}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn measured(operation: &str, who: &str, nanoseconds: f64) -> Row {
        let (operation, who) = (operation.to_owned(), who.to_owned());
        Row { operation, who, items: 1, nanoseconds, low: nanoseconds, high: nanoseconds, ratio: None }
    }

    #[test]
    fn ours_stands_first_and_the_others_are_told_in_times_of_it() {
        let table = tabulate(vec![
            measured("verify one", "ed25519", 20_000.0),
            measured("verify one", "Cashu", 60_000.0),
            measured("verify one", "feiqian", 25_000.0),
            measured("bank signs", "feiqian, batches of 64", 10_000.0),
        ]);
        let order: Vec<_> = table.rows.iter().map(|row| row.who.as_str()).collect();
        assert_eq!(order, ["feiqian, batches of 64", "feiqian", "ed25519", "Cashu"]);
        assert_eq!(table.rows.last().unwrap().ratio, Some(2.4));
        assert!(markdown(&table).contains("| verify one | Cashu | 60.0 µs | 2.40× |"));
    }

    #[test]
    fn an_aim_is_met_or_not() {
        let verdict = |ours| {
            let rows =
                vec![measured("verify one", "feiqian", ours), measured("verify one", "ed25519", 100.0)];
            let mut table = tabulate(rows);
            assert_eq!(table.targets.len(), 1);
            table.targets.remove(0)
        };
        assert!(verdict(120.0).met);
        assert!(!verdict(121.0).met);
    }

    #[test]
    fn what_criterion_wrote_is_read_as_the_time_of_one_item() {
        let folder = std::env::temp_dir().join(format!("xtask-bench-table-{}", std::process::id()));
        let new = folder.join("verify a batch").join("feiqian, 16").join("new");
        fs::create_dir_all(&new).unwrap();
        let described = r#"{"group_id":"verify a batch","function_id":"feiqian, 16","value_str":null,
            "throughput":{"Elements":16},"full_id":"x","directory_name":"x","title":"x"}"#;
        let interval = r#"{"confidence_level":0.95,"lower_bound":144.0,"upper_bound":176.0}"#;
        let estimates = format!(
            r#"{{"median":{{"confidence_interval":{interval},"point_estimate":160.0,"standard_error":1.0}}}}"#
        );
        fs::write(new.join("benchmark.json"), described).unwrap();
        fs::write(new.join("estimates.json"), estimates).unwrap();
        let rows = read(&folder);
        fs::remove_dir_all(&folder).unwrap();
        let rows = rows.unwrap();
        assert_eq!(rows.len(), 1);
        let row = rows.first().unwrap();
        assert_eq!((row.items, row.nanoseconds, row.low, row.high), (16, 10.0, 9.0, 11.0));
        assert!(read(&folder).unwrap().is_empty());
    }
}
