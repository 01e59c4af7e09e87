//! The tables of the page. Each is also a CSV file: beside the page, and inside it behind a link.

use maud::{Markup, html};
use serde_json::Value;

use super::plot::short;
use super::{number, text};
use crate::run::expression::at;

/// One field.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// A word.
    Word(String),
    /// A number; none where there is none.
    Number(Option<f64>),
    /// A verdict: what it is called, and whether it is good.
    Verdict(&'static str, bool),
}

impl Field {
    fn csv(&self) -> String {
        match self {
            Self::Word(text) => quoted(text),
            Self::Number(number) => number.map(|number| number.to_string()).unwrap_or_default(),
            Self::Verdict(text, _) => (*text).to_owned(),
        }
    }
}

/// A field of CSV, in quotes where it must be.
#[must_use]
pub fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// A table with the name of its file.
#[derive(Clone, Debug)]
pub struct Table {
    /// Of its file, without `.csv`.
    pub name: &'static str,
    /// Of its columns: in the file, and on the page.
    pub columns: Vec<(&'static str, &'static str)>,
    /// Its rows.
    pub rows: Vec<Vec<Field>>,
}

impl Table {
    /// As CSV.
    #[must_use]
    pub fn csv(&self) -> String {
        let heads: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        let mut out = heads.join(",");
        for row in &self.rows {
            out.push('\n');
            out.push_str(&row.iter().map(Field::csv).collect::<Vec<_>>().join(","));
        }
        out.push('\n');
        out
    }

    /// As part of the page; nothing when it is empty.
    pub(super) fn html(&self) -> Markup {
        html! {
            @if !self.rows.is_empty() {
                div.scroll { table {
                    tr { @for ((_, head), field) in self.columns.iter().zip(self.rows.first().into_iter().flatten()) {
                        th.n[matches!(field, Field::Number(_))] { (head) }
                    } }
                    @for row in &self.rows { tr { @for field in row {
                        @match field {
                            Field::Word(text) => { td { (text) } }
                            Field::Number(number) => { td.n { (number.map(short).unwrap_or_default()) } }
                            Field::Verdict(text, good) => { td class=(if *good { "good" } else { "bad" }) { (text) } }
                        }
                    } } }
                } }
                p.csv { a download=(format!("{}.csv", self.name)) href=(link(&self.csv())) { (self.name) ".csv" } }
            }
        }
    }
}

/// A file inside the page.
pub(super) fn link(csv: &str) -> String {
    let mut out = "data:text/csv;charset=utf-8,".to_owned();
    for byte in csv.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~,:/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn word(value: &Value, path: &str) -> Field {
    Field::Word(text(value, path))
}

fn figure(value: &Value, path: &str) -> Field {
    Field::Number(number(value, path))
}

/// All tables of one group of runs, empty ones too.
#[must_use]
pub fn all(summary: &Value) -> Vec<Table> {
    vec![
        instruments(summary),
        operations(summary),
        attacks(summary),
        anonymity(summary),
        clearing(summary),
        routes(summary),
        stores(summary),
        flows(summary),
        faults(summary),
        invariants(summary),
    ]
}

fn entries<'a>(summary: &'a Value, path: &str) -> Vec<(&'a String, &'a Value)> {
    at(summary, path).and_then(Value::as_object).into_iter().flatten().collect()
}

fn items<'a>(summary: &'a Value, path: &str) -> impl Iterator<Item = &'a Value> {
    at(summary, path).and_then(Value::as_array).into_iter().flatten()
}

/// How often an operation ended, and how often as wanted.
#[allow(clippy::float_arithmetic, reason = "means of counts over replicates")]
fn endings(operation: &Value) -> (f64, f64) {
    let counts = entries(operation, "outcomes");
    let all = counts.iter().filter_map(|(_, count)| count.as_f64()).sum();
    (all, number(operation, "outcomes.done").unwrap_or(0.0))
}

/// Payments by instrument: where there is more than one, each has an operation of its own.
pub(super) fn instruments(summary: &Value) -> Table {
    let named = entries(summary, "operations").into_iter();
    let named = named.filter_map(|(name, operation)| Some((name.strip_prefix("pay_")?, operation)));
    let rows = named.map(|(name, operation)| {
        let (all, done) = endings(operation);
        vec![
            Field::Word(name.replace('_', " ")),
            Field::Number(Some(all)),
            Field::Number(Some(done)),
            figure(operation, "value_minor"),
            figure(operation, "latency_ms.p50"),
            figure(operation, "latency_ms.p95"),
            figure(operation, "latency_ms.p99"),
        ]
    });
    Table {
        name: "instruments",
        columns: vec![
            ("instrument", "instrument"),
            ("attempted", "attempted"),
            ("done", "done"),
            ("value_minor", "value (minor)"),
            ("latency_p50_ms", "median (ms)"),
            ("latency_p95_ms", "95 % (ms)"),
            ("latency_p99_ms", "99 % (ms)"),
        ],
        rows: rows.collect(),
    }
}

/// What customers did, with what came out.
pub(super) fn operations(summary: &Value) -> Table {
    let rows = entries(summary, "operations").into_iter().map(|(name, operation)| {
        let (all, done) = endings(operation);
        let other = entries(operation, "outcomes").into_iter().filter(|(code, _)| *code != "done");
        let other = other.map(|(code, count)| format!("{code} {}", short(count.as_f64().unwrap_or(0.0))));
        vec![
            Field::Word(name.replace('_', " ")),
            Field::Number(Some(all)),
            Field::Number(Some(done)),
            figure(operation, "value_minor"),
            figure(operation, "latency_ms.p50"),
            figure(operation, "latency_ms.p95"),
            Field::Word(other.collect::<Vec<_>>().join(", ")),
        ]
    });
    Table {
        name: "operations",
        columns: vec![
            ("operation", "operation"),
            ("ended", "ended"),
            ("done", "done"),
            ("value_minor", "value (minor)"),
            ("latency_p50_ms", "median (ms)"),
            ("latency_p95_ms", "95 % (ms)"),
            ("otherwise", "otherwise"),
        ],
        rows: rows.collect(),
    }
}

pub(super) fn attacks(summary: &Value) -> Table {
    let rows = entries(summary, "attacks").into_iter().map(|(kind, attack)| {
        let is = |path: &str| at(attack, path) == Some(&Value::Bool(true));
        vec![
            Field::Word(if is("control") { format!("{kind} (control)") } else { kind.clone() }),
            figure(attack, "attempts"),
            figure(attack, "successes"),
            figure(attack, "success.ci95.low"),
            figure(attack, "success.ci95.high"),
            if is("won") { Field::Verdict("won", false) } else { Field::Verdict("lost", true) },
        ]
    });
    Table {
        name: "attacks",
        columns: vec![
            ("attack", "attack"),
            ("attempts", "attempts"),
            ("successes", "successes"),
            ("success_low", "95 % from"),
            ("success_high", "95 % to"),
            ("outcome", "outcome"),
        ],
        rows: rows.collect(),
    }
}

pub(super) fn anonymity(summary: &Value) -> Table {
    const MEASURES: [(&str, &str); 9] = [
        ("entropy_bits.mean", "entropy left, mean (bits)"),
        ("entropy_bits.p5", "entropy, worst 5 % (bits)"),
        ("min_entropy_bits", "min-entropy (bits)"),
        ("degree", "degree of anonymity"),
        ("rank", "rank of the truth"),
        ("advantage", "right more often than the baseline by"),
        ("withdrawals", "withdrawals"),
        ("judged", "payments judged"),
        ("candidates", "set size"),
    ];
    let known = at(summary, "linkage");
    let rows = MEASURES.iter().filter_map(|(path, name)| {
        Some(vec![Field::Word((*name).to_owned()), Field::Number(Some(number(known?, path)?))])
    });
    Table {
        name: "anonymity",
        columns: vec![("measure", "measure"), ("value", "value")],
        rows: rows.collect(),
    }
}

/// What each way of settling would have needed.
pub(super) fn clearing(summary: &Value) -> Table {
    let Some(clearing) = at(summary, "clearing") else {
        return Table { name: "clearing", columns: Vec::new(), rows: Vec::new() };
    };
    let mut rows = vec![vec![
        Field::Word("item by item".to_owned()),
        figure(clearing, "gross.liquidity_minor"),
        figure(clearing, "gross.moved_minor"),
        Field::Number(Some(0.0)),
    ]];
    rows.extend(items(clearing, "net").map(|net| {
        let minutes = number(net, "window_seconds").unwrap_or(0.0);
        vec![
            Field::Word(format!("netted every {}", span(minutes))),
            figure(net, "liquidity_minor"),
            figure(net, "moved_minor"),
            figure(net, "netting_ratio"),
        ]
    }));
    let columns = vec![
        ("settled", "settled"),
        ("liquidity_minor", "liquidity (minor)"),
        ("moved_minor", "moved (minor)"),
        ("netting_ratio", "netted away"),
    ];
    Table { name: "clearing", columns, rows }
}

/// Seconds as people say them.
#[allow(clippy::float_arithmetic, reason = "a unit of time")]
pub(super) fn span(seconds: f64) -> String {
    if seconds >= 3600.0 {
        format!("{} h", short(seconds / 3600.0))
    } else {
        format!("{} min", short(seconds / 60.0))
    }
}

pub(super) fn routes(summary: &Value) -> Table {
    let rows = items(summary, "routes").map(|route| {
        vec![
            word(route, "role"),
            word(route, "path"),
            Field::Number(Some(number(route, "outcomes.ok").unwrap_or(0.0))),
            Field::Number(Some(number(route, "outcomes.refused").unwrap_or(0.0))),
            Field::Number(Some(number(route, "outcomes.lost").unwrap_or(0.0))),
            figure(route, "latency_ms.p50"),
            figure(route, "latency_ms.p95"),
            figure(route, "latency_ms.p99"),
            figure(route, "bytes_out"),
            figure(route, "bytes_in"),
        ]
    });
    Table {
        name: "routes",
        columns: vec![
            ("role", "at"),
            ("path", "path"),
            ("answered", "answered"),
            ("refused", "refused"),
            ("lost", "lost"),
            ("latency_p50_ms", "median (ms)"),
            ("latency_p95_ms", "95 % (ms)"),
            ("latency_p99_ms", "99 % (ms)"),
            ("bytes_to", "bytes to it"),
            ("bytes_from", "bytes from it"),
        ],
        rows: rows.collect(),
    }
}

pub(super) fn stores(summary: &Value) -> Table {
    let rows = entries(summary, "stores").into_iter().map(|(role, store)| {
        vec![Field::Word(role.clone()), figure(store, "begin_bytes"), figure(store, "end_bytes")]
    });
    Table {
        name: "stores",
        columns: vec![
            ("role", "stores of"),
            ("begin_bytes", "bytes at the beginning"),
            ("end_bytes", "at the end"),
        ],
        rows: rows.collect(),
    }
}

pub(super) fn flows(summary: &Value) -> Table {
    let rows = items(summary, "flows")
        .map(|flow| vec![word(flow, "from"), word(flow, "to"), figure(flow, "value_minor")]);
    Table {
        name: "flows",
        columns: vec![("from", "from"), ("to", "to"), ("value_minor", "value (minor)")],
        rows: rows.collect(),
    }
}

pub(super) fn faults(summary: &Value) -> Table {
    let rows = items(summary, "faults")
        .map(|fault| vec![word(fault, "fault"), figure(fault, "from"), figure(fault, "until")]);
    Table {
        name: "faults",
        columns: vec![("fault", "fault"), ("from_seconds", "from (s)"), ("until_seconds", "until (s)")],
        rows: rows.collect(),
    }
}

pub(super) fn invariants(summary: &Value) -> Table {
    let verdict =
        |held: bool| if held { Field::Verdict("held", true) } else { Field::Verdict("broken", false) };
    let mut rows: Vec<Vec<Field>> = items(summary, "verdict.books.invariants")
        .map(|one| vec![word(one, "name"), verdict(at(one, "held") == Some(&Value::Bool(true)))])
        .collect();
    let live = at(summary, "verdict.liveness.held") == Some(&Value::Bool(true));
    rows.push(vec![
        Field::Word("after the last payment and fault everything ends".to_owned()),
        verdict(live),
    ]);
    Table { name: "invariants", columns: vec![("invariant", "invariant"), ("verdict", "verdict")], rows }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure to find a table fails the test")]

    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_is_the_same_on_the_page_and_in_its_file() {
        let summary = json!({"operations": {
            "pay": {"outcomes": {"done": 3, "LATE, TOO": 1}, "value_minor": 700, "latency_ms": {"p50": 1.5, "p95": 2.0}},
            "pay_cheque": {"outcomes": {"done": 2}, "value_minor": 500, "latency_ms": {"p50": 1.0, "p95": 2.0, "p99": 3.0}},
        }});
        let tables = all(&summary);
        let of = |name: &str| tables.iter().find(|table| table.name == name).unwrap();
        assert_eq!(of("operations").rows.len(), 2);
        assert!(
            of("operations").csv().contains("pay,4,3,700,1.5,2,\"LATE, TOO 1\"\n"),
            "{}",
            of("operations").csv()
        );
        let page = of("instruments").html().into_string();
        assert!(page.contains("<td>cheque</td>") && page.contains("download=\"instruments.csv\""), "{page}");
        assert!(page.contains("cheque,2,2,500,1,2,3%0A"), "{page}");
        assert_eq!(of("routes").html().into_string(), "");
        let names: std::collections::BTreeSet<&str> = tables.iter().map(|table| table.name).collect();
        assert_eq!(names.len(), tables.len(), "every table has a file of its own");
    }
}
