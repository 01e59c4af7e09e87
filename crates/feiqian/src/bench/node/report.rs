//! What was measured, as rows: for programs, for a file, for eyes.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::line;
use super::load::Done;
use super::watch::GENERATOR;
use crate::output;

/// One step of one load.
pub(super) struct Row {
    pub(super) work: String,
    pub(super) connections: u32,
    open_rate: Option<u64>,
    requests_each: u64,
    coins_each: u64,
    operations: u64,
    milliseconds: u64,
    pub(super) per_second: u64,
    /// 50th, 95th, 99th percentile and the most, microseconds.
    times_us: [u64; 4],
    /// Of one operation.
    sent: u64,
    received: u64,
    repeats: u64,
    used: Vec<Share>,
    /// Median and 99th percentile of this disk.
    pub(super) flush_us: [u64; 2],
    pub(super) echo_per_second: u64,
    /// Coins that one thread signs in this run, where coins are issued.
    pub(super) signing_per_second: u64,
}

/// What one process took.
struct Share {
    name: String,
    cpu_ms: u64,
    cpu_us_each: u64,
    written_each: u64,
    commits: u64,
    works: u64,
}

fn each(of: u64, count: u64) -> u64 {
    of.checked_div(count).unwrap_or(0)
}

impl Row {
    pub(super) fn new(work: &str, (requests_each, coins_each): (u64, u64), done: &Done) -> Self {
        let operations = done.operations;
        let quantiles = [0.5, 0.95, 0.99].map(|quantile| done.times.value_at_quantile(quantile));
        let [p50, p95, p99] = quantiles;
        let used = done.used.0.iter().map(|(name, used)| Share {
            name: name.clone(),
            cpu_ms: used.cpu_ms,
            cpu_us_each: each(used.cpu_ms.saturating_mul(1000), operations),
            written_each: each(used.written, operations),
            commits: used.commits,
            works: used.works,
        });
        Self {
            work: work.to_owned(),
            connections: done.step.connections,
            open_rate: done.step.rate,
            requests_each,
            coins_each,
            operations,
            milliseconds: u64::try_from(done.elapsed.as_millis()).unwrap_or(u64::MAX),
            per_second: done.rate(),
            times_us: [p50, p95, p99, done.times.max()],
            sent: each(done.sent, operations),
            received: each(done.received, operations),
            repeats: done.repeats,
            used: used.collect(),
            flush_us: [0; 2],
            echo_per_second: 0,
            signing_per_second: 0,
        }
    }

    /// Bytes of a request's body in the mean, where an operation has several.
    pub(super) fn request_body(&self) -> usize {
        let whole = each(self.sent, self.requests_each);
        // The head is that of the echo's path; a node's differs by a few bytes.
        let head = u64::try_from(line::post("127.0.0.1:40000", "/v1/deposit", &[]).len()).unwrap_or_default();
        usize::try_from(whole.saturating_sub(head).max(1)).unwrap_or(1)
    }

    /// Requests for a thousand of the echo's.
    fn permille_of_echo(&self) -> u64 {
        each(self.per_second.saturating_mul(self.requests_each).saturating_mul(1000), self.echo_per_second)
    }

    fn coins_per_second(&self) -> u64 {
        self.per_second.saturating_mul(self.coins_each)
    }

    /// Coins for a hundred that one thread signs.
    fn percent_of_signing(&self) -> u64 {
        each(self.coins_per_second().saturating_mul(100), self.signing_per_second)
    }

    fn is_echo(&self) -> bool {
        self.work.starts_with("echo")
    }

    fn to_json(&self) -> Map<String, Value> {
        let [p50, p95, p99, most] = self.times_us;
        let [flush_p50, flush_p99] = self.flush_us;
        let mut fields = vec![
            ("work".to_owned(), json!(self.work)),
            ("connections".to_owned(), json!(self.connections)),
            ("open_rate".to_owned(), json!(self.open_rate)),
            ("operations".to_owned(), json!(self.operations)),
            ("milliseconds".to_owned(), json!(self.milliseconds)),
            ("per_second".to_owned(), json!(self.per_second)),
            ("coins_per_second".to_owned(), json!(self.coins_per_second())),
            ("microseconds_p50".to_owned(), json!(p50)),
            ("microseconds_p95".to_owned(), json!(p95)),
            ("microseconds_p99".to_owned(), json!(p99)),
            ("microseconds_most".to_owned(), json!(most)),
            ("requests_each".to_owned(), json!(self.requests_each)),
            ("bytes_sent_each".to_owned(), json!(self.sent)),
            ("bytes_received_each".to_owned(), json!(self.received)),
            ("repeats".to_owned(), json!(self.repeats)),
            ("flush_microseconds_p50".to_owned(), json!(flush_p50)),
            ("flush_microseconds_p99".to_owned(), json!(flush_p99)),
            ("echo_per_second".to_owned(), json!(self.echo_per_second)),
            ("permille_of_echo".to_owned(), json!(self.permille_of_echo())),
            ("signing_per_second".to_owned(), json!(self.signing_per_second)),
            ("percent_of_signing".to_owned(), json!(self.percent_of_signing())),
        ];
        for share in &self.used {
            let mut add =
                |what: &str, value: u64| fields.push((format!("{}_{what}", share.name), json!(value)));
            add("cpu_milliseconds", share.cpu_ms);
            add("cpu_microseconds_each", share.cpu_us_each);
            if share.name != GENERATOR {
                add("bytes_written_each", share.written_each);
                add("commits", share.commits);
                add("works", share.works);
            }
        }
        fields.into_iter().collect()
    }
}

/// Every step, a line each, under a line of names.
pub(super) fn csv(rows: &[Row]) -> String {
    let rows: Vec<_> = rows.iter().map(Row::to_json).collect();
    super::super::csv(rows.iter())
}

/// Prints everything as one object, or what matters as tables.
pub(super) fn print(rows: &[Row], about: &Value, as_json: bool) {
    if as_json {
        let mut value = about.clone();
        output::set(&mut value, "steps", rows.iter().map(Row::to_json).collect::<Vec<_>>());
        output::set(&mut value, "best", best(rows).map(Row::to_json).collect::<Vec<_>>());
        return output::result(&value, true);
    }
    output::result(about, false);
    let names =
        ["work", "connections", "a second", "coins", "p50 ms", "p95", "p99", "% of echo", "CPU µs each"];
    let mut steps = output::table();
    steps.set_header(names);
    for row in rows {
        steps.add_row(row.cells());
    }
    output::line(&format!("\nevery step\n{steps}"));
    let mut most = output::table();
    most.set_header(names);
    for row in best(rows) {
        most.add_row(row.cells());
    }
    output::line(&format!("\nmost\n{most}"));
    for row in best(rows) {
        output::line(&row.notes());
    }
    if cfg!(debug_assertions) {
        output::line("This is a development build: for real figures use cargo run --release -- bench node");
    }
}

/// Prints the best of each load in markdown, the machine and the disk below it.
pub(super) fn print_markdown(rows: &[Row], about: &Value) {
    output::line(
        "| load | connections | a second | coins a second | p50 ms | p95 ms | p99 ms | % of the echo | CPU µs of one |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---|",
    );
    for row in best(rows) {
        output::line(&format!("| {} |", row.cells().join(" | ")));
    }
    output::line("");
    for row in best(rows) {
        output::line(&format!("* {}", row.notes().replace('\n', "\n ")));
    }
    output::line(&format!("* {about}"));
}

/// The step of each load that gave most.
fn best(rows: &[Row]) -> impl Iterator<Item = &Row> {
    let is_best = |row: &&Row| {
        let same = rows.iter().filter(|other| other.work == row.work);
        same.max_by_key(|other| other.per_second).is_some_and(|most| std::ptr::eq(most, *row))
    };
    rows.iter().filter(|row| !row.is_echo()).filter(is_best)
}

/// Microseconds as milliseconds with two digits.
fn ms(us: u64) -> String {
    format!("{}.{:02}", us / 1000, us % 1000 / 10)
}

impl Row {
    fn cells(&self) -> [String; 9] {
        let [p50, p95, p99, _] = self.times_us.map(ms);
        let coins = self.coins_per_second();
        let echo = self.permille_of_echo();
        let shares: Vec<_> =
            self.used.iter().map(|share| format!("{} {}", share.name, share.cpu_us_each)).collect();
        [
            self.work.clone(),
            self.connections.to_string(),
            self.per_second.to_string(),
            if coins > 0 { coins.to_string() } else { String::new() },
            p50,
            p95,
            p99,
            if echo == 0 || self.is_echo() { String::new() } else { format!("{}.{}", echo / 10, echo % 10) },
            shares.join(", "),
        ]
    }

    fn notes(&self) -> String {
        let [median, worst] = self.flush_us.map(ms);
        let mut text = format!(
            "{}: {} bytes there and {} back, {} repeated; a flush of this disk takes {median} ms, {worst} ms of a hundred the longest",
            self.work, self.sent, self.received, self.repeats
        );
        if self.signing_per_second > 0 {
            let _ = write!(
                text,
                "\n  {} % of the {} coins a second that one thread signs in this run, without a pool",
                self.percent_of_signing(),
                self.signing_per_second
            );
        }
        let idle = |share: &&Share| share.name == GENERATOR || (share.commits == 0 && share.cpu_ms < 100);
        for share in self.used.iter().filter(|share| !idle(share)) {
            let _ = write!(
                text,
                "\n  {}: {} commits of {} works in {} ms ({} a commit), {} bytes written each, {} ms of processor time",
                share.name,
                share.commits,
                share.works,
                self.milliseconds,
                each(share.works, share.commits),
                share.written_each,
                share.cpu_ms
            );
        }
        text
    }
}
