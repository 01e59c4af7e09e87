//! The part of the page about one cell, or replicates of one.
#![allow(clippy::float_arithmetic, reason = "figures for eyes")]

use maud::{Markup, html};
use serde_json::Value;

use super::plot::{Chart, Line, short};
use super::{big, figure, number, text};
use crate::run::expression::at;
use crate::run::study::Study;

/// The series of a run, by column.
struct Series {
    names: Vec<String>,
    rows: Vec<Vec<Option<f64>>>,
}

impl Series {
    fn read(csv: &str) -> Self {
        let mut lines = csv.lines();
        let names = lines.next().unwrap_or_default().split(',').map(str::to_owned).collect();
        let rows = lines.map(|line| line.split(',').map(|cell| cell.parse().ok()).collect()).collect();
        Self { names, rows }
    }

    /// A column over hours.
    fn line(&self, column: &str, name: &str, scale: f64) -> Line {
        let index = self.names.iter().position(|known| known == column);
        let points = self.rows.iter().filter_map(|row| {
            let seconds = row.first().copied().flatten()?;
            Some((seconds / 3600.0, row.get(index?).copied().flatten()? * scale))
        });
        Line { name: name.to_owned(), points: points.collect(), intervals: Vec::new() }
    }
}

pub(super) fn section(study: &Study) -> Markup {
    let (Some(group), Some(run)) = (study.groups.first(), study.finished.first()) else { return html! {} };
    let summary = &group.summary;
    let series = Series::read(&run.series);
    let shaded = at(&run.summary, "faults").and_then(Value::as_array).into_iter().flatten();
    let shaded: Vec<(f64, f64)> = shaded
        .filter_map(|fault| Some((number(fault, "from")? / 3600.0, number(fault, "until")? / 3600.0)))
        .collect();
    let chart = |y: &str, lines: Vec<Line>| {
        let (x, y, shaded) = ("hours".to_owned(), y.to_owned(), shaded.clone());
        Chart { x, y, lines, shaded, ..Chart::default() }
    };
    let figure_of = |path: &str| short(number(summary, path).unwrap_or(0.0));
    html! {
        div.figures {
            (big(&figure_of("payments.paid"), "payments made"))
            (big(&format!("{} %", short(100.0 * number(summary, "payments.success_rate").unwrap_or(0.0))), "of those attempted"))
            (big(&format!("{} ms", figure_of("payments.latency_ms.p50")), "median from request to receipt"))
            (big(&format!("{} ms", figure_of("payments.latency_ms.p95")), "95th percentile"))
            (big(&figure_of("payments.coins_each"), "coins a payment"))
            (big(&format!("{} KB", short(number(summary, "payments.bytes_each").unwrap_or(0.0) / 1000.0)), "on the wire a payment"))
        }
        h2 { "Over time" }
        div.plots {
            (figure("How long a payment takes (ms)", &chart("ms", vec![
                series.line("latency_p50_ms", "median", 1.0), series.line("latency_p95_ms", "95th percentile", 1.0)])))
            (figure("Payments in each part of the time", &chart("payments", vec![
                series.line("arrived", "wanted", 1.0), series.line("failed", "failed", 1.0), series.line("paid", "made", 1.0)])))
            (figure("Coins in circulation", &chart("major units", vec![series.line("circulation_minor", "circulation", 0.01)])))
            (figure("Coins in a wallet, mean", &chart("coins", vec![series.line("coins_per_wallet", "coins", 1.0)])))
        }
        (linkage(summary))
        (attacks(summary))
        (flows(summary))
        (invariants(&run.summary))
        (routes(summary))
    }
}

fn linkage(summary: &Value) -> Markup {
    let Some(linkage) = at(summary, "linkage") else { return html! {} };
    let names = [
        ("baseline", "times and amounts"),
        ("best_match", "best match"),
        ("top1", "Bayesian"),
        ("account", "account"),
    ];
    let mut line = Line::default();
    let mut labels = Vec::new();
    for (index, (key, label)) in (0_u32..).zip(names) {
        let rate = number(linkage, &format!("{key}.rate")).unwrap_or(0.0);
        let end = |side: &str| number(linkage, &format!("{key}.ci95.{side}")).unwrap_or(rate);
        line.points.push((f64::from(index), rate));
        line.intervals.push((end("low"), end("high")));
        labels.push(label.to_owned());
    }
    let chart = Chart {
        y: "right guesses".into(),
        lines: vec![line],
        names: labels,
        apart: true,
        ..Chart::default()
    };
    let bins = at(linkage, "calibration").and_then(Value::as_array).into_iter().flatten();
    let bins = bins.filter(|bin| number(bin, "right.trials").unwrap_or(0.0) > 0.0);
    let points: Vec<(f64, f64)> =
        bins.filter_map(|bin| Some((number(bin, "claimed")?, number(bin, "right.rate")?))).collect();
    let honest = Line { name: "perfect".into(), points: vec![(0.0, 0.0), (1.0, 1.0)], intervals: Vec::new() };
    let own = Line { name: "claimed".into(), points, intervals: Vec::new() };
    let calibration =
        Chart { x: "claimed".into(), y: "right".into(), lines: vec![own, honest], ..Chart::default() };
    html! {
        h2 { "Anonymity" }
        p { "Bank and shops pool what they saw and guess, for each of " (text(linkage, "judged"))
            " payments, which of the withdrawals before it its coins come from." }
        div.plots {
            (figure("First guess right, with 95 % intervals", &chart))
            (figure("What the attacker claims against what is so", &calibration))
        }
        div.scroll { table {
            @for (path, what) in [("entropy_bits.mean", "entropy left, mean (bits)"), ("entropy_bits.p5", "entropy, worst 5 % (bits)"),
                ("min_entropy_bits", "min-entropy (bits)"), ("degree", "degree of anonymity"), ("rank", "rank of the truth"),
                ("candidates", "set size")] {
                tr { td { (what) } td.n { (short(number(linkage, path).unwrap_or(0.0))) } }
            }
        } }
    }
}

fn attacks(summary: &Value) -> Markup {
    let Some(Value::Object(attacks)) = at(summary, "attacks") else { return html! {} };
    html! {
        h2 { "Attacks" }
        div.scroll { table {
            tr { th { "attack" } th { "attempts" } th { "successes" } th { "success, 95 %" } th { "outcome" } }
            @for (kind, attack) in attacks {
                @let won = at(attack, "won") == Some(&Value::Bool(true));
                tr {
                    td { (kind) @if at(attack, "control") == Some(&Value::Bool(true)) { " (control)" } }
                    td.n { (text(attack, "attempts")) } td.n { (text(attack, "successes")) }
                    td { (short(number(attack, "success.ci95.low").unwrap_or(0.0))) " to " (short(number(attack, "success.ci95.high").unwrap_or(0.0))) }
                    td class=(if won { "bad" } else { "good" }) { (if won { "won" } else { "lost" }) }
                }
            }
        } }
    }
}

/// Who gave how much to whom, as a diagram of boxes and arrows.
fn flows(summary: &Value) -> Markup {
    let flows: Vec<(String, String, f64)> = at(summary, "flows")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|flow| Some((text(flow, "from"), text(flow, "to"), number(flow, "value_minor")? / 100.0)))
        .collect();
    let most = flows.iter().map(|flow| flow.2).fold(1.0, f64::max);
    let place = |who: &str| match who {
        "account" => 70,
        "wallet" => 260,
        _ => 450,
    };
    let shown =
        |from: &str, to: &str| flows.iter().find(|flow| flow.0 == from && flow.1 == to).map(|flow| flow.2);
    // From, to, height of the arrow, and place of its label.
    let arrows = [
        ("account", "wallet", 60, (165, 44)),
        ("wallet", "shop", 60, (355, 44)),
        ("shop", "wallet", 92, (355, 114)),
    ];
    html! {
        @if !flows.is_empty() {
            h2 { "Where value went" }
            figure {
                figcaption { "Major units, over the whole run" }
                svg role="img" viewBox="0 0 520 170" {
                    @for (from, to, y, (label_x, label_y)) in arrows {
                        @if let Some(value) = shown(from, to) {
                            @let (x1, x2) = (place(from), place(to));
                            @let width = 2.0 + 12.0 * value / most;
                            line x1=(x1) x2=(x2) y1=(y) y2=(y) stroke="var(--c1)" stroke-opacity="0.45" stroke-width=(format!("{width:.1}")) {}
                            text x=(label_x) y=(label_y) text-anchor="middle" font-size="14" fill="currentColor" {
                                (short(value)) (if x1 < x2 { " →" } else { " ←" })
                            }
                        }
                    }
                    @for (x, label) in [("70", "accounts"), ("260", "wallets"), ("450", "shops")] {
                        g transform=(format!("translate({x} 60)")) {
                            rect x="-48" y="-20" width="96" height="44" rx="8" fill="var(--page)" stroke="var(--c1)" {}
                            text y="7" text-anchor="middle" font-size="15" fill="currentColor" { (label) }
                        }
                    }
                    @if let Some(value) = shown("wallet", "wallet") {
                        path d="M 235 84 C 225 150, 295 150, 285 84" fill="none" stroke="var(--c1)" stroke-opacity="0.45"
                            stroke-width=(format!("{:.1}", 2.0 + 12.0 * value / most)) {}
                        text x="260" y="158" text-anchor="middle" font-size="14" fill="currentColor" { (short(value)) " between wallets" }
                    }
                }
            }
        }
    }
}

fn invariants(summary: &Value) -> Markup {
    let invariants = at(summary, "verdict.books.invariants").and_then(Value::as_array);
    let live = at(summary, "verdict.liveness.held") == Some(&Value::Bool(true));
    html! {
        h2 { "Invariants" }
        div.scroll { table {
            @for one in invariants.into_iter().flatten() {
                @let held = at(one, "held") == Some(&Value::Bool(true));
                tr { td { (text(one, "name")) } td class=(if held { "good" } else { "bad" }) { (if held { "held" } else { "broken" }) } }
            }
            tr { td { "after the last payment and fault everything ends" }
                td class=(if live { "good" } else { "bad" }) { (if live { "held" } else { "broken" }) } }
        } }
    }
}

fn routes(summary: &Value) -> Markup {
    let routes = at(summary, "routes").and_then(Value::as_array);
    html! {
        h2 { "Calls" }
        div.scroll { table {
            tr { th { "at" } th { "path" } th { "answered" } th { "refused" } th { "lost" } th { "median (ms)" } th { "95 % (ms)" } th { "KB in" } th { "KB out" } }
            @for route in routes.into_iter().flatten() {
                tr {
                    td { (text(route, "role")) } td { code { (text(route, "path")) } }
                    @for outcome in ["ok", "refused", "lost"] { td.n { (short(number(route, &format!("outcomes.{outcome}")).unwrap_or(0.0))) } }
                    td.n { (short(number(route, "latency_ms.p50").unwrap_or(0.0))) } td.n { (short(number(route, "latency_ms.p95").unwrap_or(0.0))) }
                    td.n { (short(number(route, "bytes_out").unwrap_or(0.0) / 1000.0)) } td.n { (short(number(route, "bytes_in").unwrap_or(0.0) / 1000.0)) }
                }
            }
        } }
    }
}
