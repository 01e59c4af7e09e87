//! The part of the page about a sweep: each measure over the values, with intervals.
#![allow(clippy::float_arithmetic, reason = "figures for eyes")]

use maud::{Markup, html};
use serde_json::Value;

use super::plot::{Chart, Line, short};
use super::{figure, number, tables, values};
use crate::run::expression::at;
use crate::run::study::Study;

/// What is plotted: caption, and lines by path and name. None of it can be negative, so no interval is drawn below zero.
const PLOTS: &[(&str, &[(&str, &str)])] = &[
    (
        "First guess right: Bayesian attacker beside times and amounts alone",
        &[("linkage.top1", "Bayesian"), ("linkage.baseline", "baseline")],
    ),
    (
        "Entropy left to the attacker (bits)",
        &[("linkage.entropy_bits.mean", "mean"), ("linkage.entropy_bits.p5", "worst 5 %")],
    ),
    ("Payments made, of those attempted", &[("payments.success_rate", "made")]),
    (
        "How long a payment takes (ms)",
        &[("payments.latency_ms.p50", "median"), ("payments.latency_ms.p95", "95th percentile")],
    ),
    (
        "Held up by the wallet's policy (ms)",
        &[("payments.policy_wait_ms.p50", "median"), ("payments.policy_wait_ms.p95", "95th percentile")],
    ),
    ("Coins a payment", &[("payments.coins_each", "coins")]),
    ("Bytes on the wire a payment", &[("payments.bytes_each", "bytes")]),
    ("Messages a payment", &[("payments.messages_each", "messages")]),
    ("Coins in a wallet at the end", &[("wallet_coins.mean", "mean")]),
    ("Liquidity that banks need, item by item (minor units)", &[("clearing.gross.liquidity_minor", "gross")]),
    (
        "How long an obligation waits for settlement (s)",
        &[("clearing.finality_seconds.p50", "median"), ("clearing.finality_seconds.p95", "95th percentile")],
    ),
];

/// What anonymity may cost: caption, path, and unit.
const COSTS: &[(&str, &str, &str)] = &[
    ("Linkage against waiting", "payments.policy_wait_ms.p50", "held up by the policy, median (ms)"),
    ("Linkage against coins", "payments.coins_each", "coins a payment"),
    ("Linkage against bytes", "payments.bytes_each", "bytes on the wire a payment"),
    ("Linkage against messages", "payments.messages_each", "messages a payment"),
];

/// Cells by cost and linkage, where the cost differs at all.
fn against(study: &Study, path: &str, unit: &str) -> Chart {
    let mut line = Line { name: "Bayesian".to_owned(), ..Line::default() };
    let mut labels = Vec::new();
    for group in &study.groups {
        let cost = number(&group.summary, path);
        if let (Some(cost), Some((rate, interval))) = (cost, point(&group.summary, "linkage.top1")) {
            line.points.push((cost, rate));
            line.intervals.push(interval);
            labels.push(label(&group.values));
        }
    }
    let costs = line.points.iter().map(|point| point.0);
    let (low, high) =
        costs.fold((f64::INFINITY, 0.0_f64), |(low, high), cost| (low.min(cost), high.max(cost)));
    if high - low <= 0.01 * high {
        return Chart::default();
    }
    let (x, y) = (unit.to_owned(), "right guesses".to_owned());
    Chart { x, y, lines: vec![line], apart: true, labels, ..Chart::default() }
}

/// The columns of the table.
const COLUMNS: &[(&str, &str)] = &[
    ("payments.paid", "paid"),
    ("payments.success_rate", "success"),
    ("payments.latency_ms.p95", "95 % (ms)"),
    ("payments.coins_each", "coins"),
    ("linkage.top1.rate", "linked"),
    ("linkage.baseline.rate", "baseline"),
    ("linkage.entropy_bits.mean", "entropy"),
];

/// Value and interval at a path: of a share its own, else that of the mean over replicates.
fn point(summary: &Value, path: &str) -> Option<(f64, (f64, f64))> {
    let ends = |value: &Value| Some((number(value, "low")?, number(value, "high")?));
    if let Some(rate) = number(summary, &format!("{path}.rate")) {
        let interval = at(summary, &format!("{path}.ci95")).and_then(ends);
        return Some((rate, interval.unwrap_or((rate, rate))));
    }
    let value = number(summary, path)?;
    let interval = at(summary, &format!("ci95.{path}")).and_then(ends);
    Some((value, interval.unwrap_or((value, value))))
}

fn chart(study: &Study, lines: &[(&str, &str)]) -> Chart {
    let names = study.groups.iter().map(|group| label(&group.values)).collect();
    let lines = lines.iter().map(|(path, name)| {
        let mut line = Line { name: (*name).to_owned(), ..Line::default() };
        for (index, group) in (0_u32..).zip(&study.groups) {
            if let Some((value, interval)) = point(&group.summary, path) {
                line.points.push((f64::from(index), value));
                line.intervals.push((interval.0.max(0.0), interval.1));
            }
        }
        line
    });
    Chart { lines: lines.collect(), names, ..Chart::default() }
}

/// The values alone: the keys stand in the heading.
fn label(values: &Value) -> String {
    let Value::Object(fields) = values else { return String::new() };
    let each = fields.values().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    each.collect::<Vec<_>>().join(" / ")
}

pub(super) fn section(study: &Study) -> Markup {
    let keys = match study.groups.first().map(|group| &group.values) {
        Some(Value::Object(fields)) => fields.keys().cloned().collect::<Vec<_>>().join(" / "),
        _ => String::new(),
    };
    html! {
        h2 { "Over " code { (keys) } }
        div.plots { @for (caption, lines) in PLOTS { (figure(caption, &chart(study, lines))) } }
        @if study.groups.iter().any(|group| at(&group.summary, "linkage").is_some()) {
            h2 { "What anonymity costs" }
            div.plots { @for (caption, path, unit) in COSTS { (figure(caption, &against(study, path, unit))) } }
        }
        h2 { "In numbers" }
        p { "Means over the runs of each cell; all numbers with their intervals are in " code { "summary.json" } " and " code { "groups.csv" } "." }
        div.scroll { table {
            tr { th { "cell" } th { "runs" } @for (_, name) in COLUMNS { th { (name) } } th { "invariants" } }
            @for group in &study.groups {
                tr {
                    td { (values(&group.values)) } td.n { (group.seeds.len()) }
                    @for (path, _) in COLUMNS { td.n { (number(&group.summary, path).map(short).unwrap_or_default()) } }
                    td class=(if group.held { "good" } else { "bad" }) { (if group.held { "held" } else { "broken" }) }
                }
            }
        } }
        p.csv { a download="groups.csv" href=(tables::link(&crate::run::study::table(&study.groups))) { "groups.csv" } }
    }
}
