//! `cargo xtask soak`: a world that lives for simulated months while you wait.
//!
//! ```text
//! cargo run --release -p feiqian-sim --example soak -- [--minutes N] [--seed N]
//! ```

use std::process::ExitCode;
use std::time::Duration;

use feiqian_sim::run::soak::{Day, JUDGED, Limit, PARTS, Report, is_book, is_judged, run};

/// Minutes when nobody says how many.
const MINUTES: u64 = 60;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (minutes, seed) = match read(&arguments) {
        Ok(read) => read,
        Err(wrong) => {
            eprintln!("soak: {wrong}");
            return ExitCode::from(2);
        }
    };
    let limit = Limit { days: u64::MAX, real: Duration::from_secs(minutes.saturating_mul(60)) };
    println!(
        "{:>5} {:>9} {:>6} {:>9} {:>11} {:>8}",
        "day", "payments", "failed", "rows", "of these", "memory"
    );
    println!("{:>5} {:>9} {:>6} {:>9} {:>11} {:>8}", "", "", "", "", "bounded", "MiB");
    match run(seed, limit, progress) {
        Ok(report) => {
            print(&report);
            let held = report.broken.is_empty() && is_judged(&report.days);
            if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

fn read(arguments: &[String]) -> Result<(u64, u64), String> {
    let (mut minutes, mut seed) = (MINUTES, 1);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut number = || -> Result<u64, String> {
            let next = words.next().ok_or_else(|| format!("{word} needs a number"))?;
            next.parse().map_err(|_| format!("`{next}` is no number"))
        };
        match word.as_str() {
            "--minutes" => minutes = number()?,
            "--seed" => seed = number()?,
            other => return Err(format!("`{other}` is not an option")),
        }
    }
    Ok((minutes, seed))
}

fn sums(day: &Day) -> (u64, u64) {
    let tables = day.rows.iter().filter(|((_, name), _)| PARTS.iter().all(|(_, part, _)| part != name));
    let all = tables.map(|(_, count)| count).sum();
    let bounded = day.rows.iter().filter(|((role, table), _)| !is_book(role, table));
    (all, bounded.map(|(_, count)| count).sum())
}

fn progress(day: &Day) {
    let (all, bounded) = sums(day);
    let (paid, failed) = day.payments;
    let memory = day.resident_kib / 1024;
    println!("{:>5} {paid:>9} {failed:>6} {all:>9} {bounded:>11} {memory:>8}", day.number);
}

/// Rows of every table at four days spread over the soak.
fn print(report: &Report) {
    let days: Vec<&Day> = (1..=4)
        .filter_map(|part| {
            let at = report.days.len().saturating_mul(part).div_euclid(4).checked_sub(1)?;
            report.days.get(at)
        })
        .collect();
    let Some(last) = days.last() else { return };
    let head: Vec<String> = days.iter().map(|day| format!("{:>9}", format!("day {}", day.number))).collect();
    println!("\n{:<38} {}", "rows", head.join(" "));
    for key in last.rows.keys() {
        let counts: Vec<u64> = days.iter().map(|day| day.rows.get(key).copied().unwrap_or(0)).collect();
        if counts.iter().all(|count| *count == 0) {
            continue;
        }
        let counts: Vec<String> = counts.iter().map(|count| format!("{count:>9}")).collect();
        let mark = if is_book(key.0, key.1) { "" } else { " *" };
        println!("{:<38} {}", format!("{} {}{mark}", key.0, key.1), counts.join(" "));
    }
    println!("* bounded");
    let seconds = last.real.as_secs();
    println!("\n{} simulated days in {seconds} s, audited every day", report.days.len());
    for broken in report.broken.iter().take(100) {
        println!("broken: {broken}");
    }
    if !is_judged(&report.days) {
        println!("too short to say anything of growth: that takes {JUDGED} days");
    }
    println!("{}", if report.broken.is_empty() { "held" } else { "broken" });
}
