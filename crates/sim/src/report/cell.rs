//! The part of the page about one cell, or replicates of one.
#![allow(clippy::float_arithmetic, reason = "figures for eyes")]

use maud::{Markup, html};
use serde_json::Value;

use super::plot::{Chart, Line, short};
use super::{Money, big, diagram, figure, number, tables, text};
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

    fn value(&self, row: &[Option<f64>], column: &str) -> Option<f64> {
        row.get(self.names.iter().position(|known| known == column)?).copied().flatten()
    }

    /// A column over hours.
    fn line(&self, column: &str, name: &str, scale: f64) -> Line {
        self.line_where(column, name, scale, None)
    }

    /// A column over hours, where another one is not zero.
    fn line_where(&self, column: &str, name: &str, scale: f64, present: Option<&str>) -> Line {
        let points = self.rows.iter().filter_map(|row| {
            let seconds = row.first().copied().flatten()?;
            let there = present.is_none_or(|other| self.value(row, other).unwrap_or(0.0) > 0.0);
            there.then_some((seconds / 3600.0, self.value(row, column)? * scale))
        });
        Line { name: name.to_owned(), points: points.collect(), intervals: Vec::new() }
    }

    /// Parts of an hour that one row stands for.
    fn per_hour(&self) -> f64 {
        let second = self.rows.get(1).and_then(|row| row.first().copied().flatten()).unwrap_or(0.0);
        if second > 0.0 { 3600.0 / second } else { 1.0 }
    }
}

pub(super) fn section(study: &Study) -> Markup {
    let (Some(group), Some(run)) = (study.groups.first(), study.finished.first()) else { return html! {} };
    let summary = &group.summary;
    html! {
        (figures(summary))
        (instruments(summary))
        (over_time(&Series::read(&run.series), &run.summary, &Money::of(study)))
        (diagram::faults(&run.summary))
        (linkage(summary))
        @let attacks = tables::attacks(summary);
        @if !attacks.rows.is_empty() { h2 { "Attacks" } (attacks.html()) }
        (clearing(summary, &Money::of(study)))
        (diagram::flows(summary, &Money::of(study)))
        (tables::flows(summary).html())
        h2 { "Invariants" }
        (tables::invariants(&run.summary).html())
        h2 { "What customers did" }
        (tables::operations(summary).html())
        h2 { "Calls" }
        (tables::routes(summary).html())
        h2 { "Stores and processor" }
        (tables::stores(summary).html())
        (processor(&run.manifest.machine))
        p.csv { a download="series.csv" href=(tables::link(&run.series)) { "series.csv" } " has every curve of this page" }
    }
}

fn figures(summary: &Value) -> Markup {
    let of = |path: &str| number(summary, path).unwrap_or(0.0);
    html! {
        div.figures {
            (big(&short(of("payments.paid")), "payments made"))
            (big(&format!("{} %", short(100.0 * of("payments.success_rate"))), "of those attempted"))
            (big(&format!("{} ms", short(of("payments.latency_ms.p50"))), "median from request to receipt"))
            (big(&format!("{} ms", short(of("payments.latency_ms.p95"))), "95th percentile"))
            (big(&short(of("payments.coins_each")), "coins a payment"))
            (big(&short(of("payments.change_rate")), "exchanges for new coins a payment"))
            (big(&short(of("payments.messages_each")), "messages a payment"))
            (big(&format!("{} KB", short(of("payments.bytes_each") / 1000.0)), "on the wire a payment"))
        }
    }
}

fn instruments(summary: &Value) -> Markup {
    let table = tables::instruments(summary);
    let lines = [("latency_ms.p50", "median"), ("latency_ms.p95", "95th percentile")];
    let known = at(summary, "operations").and_then(Value::as_object).into_iter().flatten();
    let known: Vec<(String, &Value)> =
        known.filter_map(|(name, one)| Some((name.strip_prefix("pay_")?.replace('_', " "), one))).collect();
    let line = |(path, name): &(&str, &str)| {
        let points = (0_u32..)
            .zip(&known)
            .filter_map(|(index, (_, one))| Some((f64::from(index), number(one, path)?)));
        Line { name: (*name).to_owned(), points: points.collect(), intervals: Vec::new() }
    };
    let chart = Chart {
        y: "ms".into(),
        lines: lines.iter().map(line).collect(),
        names: known.iter().map(|(name, _)| name.clone()).collect(),
        apart: true,
        ..Chart::default()
    };
    html! {
        @if !table.rows.is_empty() {
            h2 { "Each instrument" }
            @if known.len() > 1 { div.plots { (figure("How long a payment takes, by instrument (ms)", &chart)) } }
            (table.html())
        }
    }
}

fn over_time(series: &Series, summary: &Value, money: &Money) -> Markup {
    let faults = at(summary, "faults").and_then(Value::as_array).into_iter().flatten();
    let shaded: Vec<(f64, f64)> = faults
        .filter_map(|fault| Some((number(fault, "from")? / 3600.0, number(fault, "until")? / 3600.0)))
        .collect();
    let chart = |y: &str, lines: Vec<Line>| {
        let (x, y, shaded) = ("hours".to_owned(), y.to_owned(), shaded.clone());
        Chart { x, y, lines, shaded, ..Chart::default() }
    };
    let latency = |column: &str, name: &str| series.line_where(column, name, 1.0, Some("paid"));
    let (hourly, major) = (series.per_hour(), money.major);
    html! {
        h2 { "Over time" }
        div.plots {
            (figure("How long a payment takes (ms)", &chart("ms", vec![
                latency("latency_p50_ms", "median"), latency("latency_p95_ms", "95th percentile"), latency("latency_p99_ms", "99th")])))
            (figure("Throughput: payments an hour", &chart("payments an hour", vec![
                series.line("arrived", "wanted", hourly), series.line("failed", "failed", hourly), series.line("paid", "made", hourly)])))
            (figure(&format!("Value paid, {} an hour", money.code), &chart(&money.code, vec![series.line("value_minor", "value", hourly * major)])))
            (figure(&format!("Coins in circulation, {}", money.code), &chart(&money.code, vec![series.line("circulation_minor", "circulation", major)])))
            (figure("Coins in a wallet, mean", &chart("coins", vec![series.line("coins_per_wallet", "coins", 1.0)])))
            (figure("Coins in wallets at the end: how many hold how many", &coins(summary)))
            (figure("Bytes on the wire an hour", &chart("bytes", vec![series.line("bytes", "bytes", hourly)])))
        }
    }
}

fn coins(summary: &Value) -> Chart {
    let bars = bins(summary, "wallet_coins.bins");
    Chart { x: "coins".into(), y: "wallets".into(), bars, ..Chart::default() }
}

/// A histogram as a summary has it.
fn bins(summary: &Value, path: &str) -> Vec<(f64, f64, f64)> {
    let bins = at(summary, path).and_then(Value::as_array).into_iter().flatten();
    bins.filter_map(|bin| Some((number(bin, "from")?, number(bin, "to")?, number(bin, "count")?))).collect()
}

fn linkage(summary: &Value) -> Markup {
    let Some(linkage) = at(summary, "linkage") else { return html! {} };
    let names = [
        ("baseline", "baseline"),
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
    let (y, lines) = ("right guesses".into(), vec![line]);
    let chart = Chart { y, lines, names: labels, apart: true, ..Chart::default() };
    let right = at(linkage, "calibration").and_then(Value::as_array).into_iter().flatten();
    let right = right.filter(|bin| number(bin, "right.trials").unwrap_or(0.0) > 0.0);
    let points = right.filter_map(|bin| Some((number(bin, "claimed")?, number(bin, "right.rate")?)));
    let own = Line { name: "claimed".into(), points: points.collect(), intervals: Vec::new() };
    let honest = Line { name: "perfect".into(), points: vec![(0.0, 0.0), (1.0, 1.0)], intervals: Vec::new() };
    let calibration =
        Chart { x: "claimed".into(), y: "right".into(), lines: vec![own, honest], ..Chart::default() };
    let bars = bins(linkage, "entropy_bins");
    let entropy = Chart { x: "bits".into(), y: "payments".into(), bars, ..Chart::default() };
    html! {
        h2 { "Anonymity" }
        p { "Bank and shops pool what they saw and guess, for each of " (text(linkage, "judged"))
            " payments, which of the withdrawals before it its coins come from. The baseline sees times and amounts alone." }
        div.plots {
            (figure("First guess right, with 95 % intervals", &chart))
            (figure("Entropy left to the attacker, by payment", &entropy))
            (figure("What the attacker claims against what is so", &calibration))
        }
        (tables::anonymity(summary).html())
    }
}

fn clearing(summary: &Value, money: &Money) -> Markup {
    let Some(clearing) = at(summary, "clearing") else { return html! {} };
    let mut names = vec!["gross".to_owned()];
    let mut needed = vec![(0.0, number(clearing, "gross.liquidity_minor").unwrap_or(0.0) * money.major)];
    let mut moved = vec![(0.0, number(clearing, "gross.moved_minor").unwrap_or(0.0) * money.major)];
    let net = at(clearing, "net").and_then(Value::as_array).into_iter().flatten();
    for (index, net) in (1_u32..).zip(net) {
        names.push(tables::span(number(net, "window_seconds").unwrap_or(0.0)));
        needed.push((f64::from(index), number(net, "liquidity_minor").unwrap_or(0.0) * money.major));
        moved.push((f64::from(index), number(net, "moved_minor").unwrap_or(0.0) * money.major));
    }
    let line = |name: &str, points| vec![Line { name: name.into(), points, intervals: Vec::new() }];
    let chart = |lines, names| Chart { y: money.code.clone(), lines, names, ..Chart::default() };
    let of = |path: &str| short(number(clearing, path).unwrap_or(0.0));
    let turnover = short(number(clearing, "turnover_minor").unwrap_or(0.0) * money.major);
    html! {
        h2 { "Clearing" }
        p { "Banks owed one another " (turnover) " " (money.code) " in " (of("obligations")) " items, of which "
            (of("settled")) " were settled (median wait " (of("finality_seconds.p50")) " s, 95 % within " (of("finality_seconds.p95"))
            " s), " (of("open")) " stand open and " (of("unwound")) " were unwound. What other ways of settling would have needed is computed from the same items." }
        div.plots {
            (figure("Liquidity that banks need: gross, and netted every so often", &chart(line("needed", needed), names.clone())))
            (figure("Money that changes hands", &chart(line("moved", moved), names)))
        }
        (tables::clearing(summary).html())
    }
}

/// Where this machine's time went.
fn processor(machine: &Value) -> Markup {
    let spent = at(machine, "seconds_by_account").and_then(Value::as_object);
    let spent: Vec<(&String, f64)> =
        spent.into_iter().flatten().filter_map(|(who, time)| Some((who, time.as_f64()?))).collect();
    let whole = spent.iter().map(|one| one.1).sum::<f64>().max(1e-9);
    html! {
        @if !spent.is_empty() { div.scroll { table {
            tr { th { "real time of" } th.n { "seconds" } th.n { "%" } }
            @for (who, seconds) in &spent { tr { td { (who) } td.n { (short(*seconds)) } td.n { (short(100.0 * seconds / whole)) } } }
        } } }
    }
}
