//! One page about a study: verdict first, then plots, then tables. It loads nothing from elsewhere.

mod cell;
mod diagram;
pub mod plot;
mod sweep;
pub mod tables;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;

use crate::run::expression::at;
use crate::run::study::Study;
use plot::{Chart, short};

const STYLE: &str = include_str!("style.css");

/// How amounts are told.
struct Money {
    /// Major units in a minor one.
    major: f64,
    /// The currency.
    code: String,
}

impl Money {
    /// Of the first run.
    #[allow(clippy::float_arithmetic, reason = "figures for eyes")]
    fn of(study: &Study) -> Self {
        let tree = study.finished.first().and_then(|one| one.manifest.scenario.parse::<toml::Table>().ok());
        let code = tree.as_ref().and_then(|tree| Some(tree.get("currency")?.as_str()?.to_owned()));
        let currency = code.as_deref().and_then(|code| code.parse::<feiqian_money::Currency>().ok());
        let minor = currency.map_or(1, |currency| 10_u32.saturating_pow(currency.exponent()));
        Self { major: 1.0 / f64::from(minor), code: code.unwrap_or_default() }
    }
}

/// The page.
#[must_use]
pub fn page(study: &Study, name: &str, question: &str) -> String {
    let title = format!("{name}: {}", if study.held() { "held" } else { "broken" });
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (name) }
                @if !question.is_empty() { p.question { (question) } }
                (verdict(study))
                @if study.groups.len() > 1 { (sweep::section(study)) }
                @if study.groups.len() == 1 { (cell::section(study)) }
                (asserts(study))
                (reproduce(study))
            }
        }
    }
    .into_string()
}

fn verdict(study: &Study) -> Markup {
    let runs = study.finished.len();
    let broken = study.broken();
    html! {
        div.verdict.bad[!study.held()] {
            @if study.held() {
                strong { "Held." } " Every invariant of the books, and everything that was begun has ended, in "
                (runs) " run" @if runs != 1 { "s" } "." @if !study.checked.is_empty() { " Every assertion holds." }
            } @else {
                strong { "Broken." } " " (broken.len()) " of " (runs) " runs broke an invariant or left something unfinished; "
                (study.checked.iter().filter(|one| !one.held).count()) " assertions do not hold; "
                (study.failed.len()) " runs failed."
            }
            @if study.missing > 0 { p { (study.missing) " of the planned runs are not there." } }
            @for one in &broken {
                p { "Seed " (at(one, "seed").unwrap_or(&Value::Null)) ", event " (at(one, "event").unwrap_or(&Value::Null)) ": "
                    (first_finding(one)) }
                pre { (text(one, "replay")) }
            }
            @for (cell, reason) in &study.failed { p { code { (cell) } ": " (reason) } }
        }
    }
}

fn first_finding(broken: &Value) -> String {
    if let Some(finding) = at(broken, "findings.0") {
        return format!("{}, {}: {}", text(finding, "node"), text(finding, "place"), text(finding, "detail"));
    }
    at(broken, "unfinished.0").and_then(Value::as_str).unwrap_or("no assertion holds").to_owned()
}

/// The text at a path, empty when there is none.
fn text(value: &Value, path: &str) -> String {
    match at(value, path) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

/// The number at a path.
fn number(value: &Value, path: &str) -> Option<f64> {
    at(value, path).and_then(Value::as_f64)
}

fn asserts(study: &Study) -> Markup {
    let csv = assertions_csv(study);
    html! {
        @if !study.checked.is_empty() {
            h2 { "Assertions" }
            div.scroll { table {
                tr { th { "asserted" } th { "where" } th { "compared" } th { "held" } }
                @for one in &study.checked {
                    tr {
                        td { code { (one.expr) } } td { (values(&one.values)) } td { (one.detail) }
                        td class=(if one.held { "good" } else { "bad" }) { (if one.held { "yes" } else { "no" }) }
                    }
                }
            } }
            p.csv { a download="assertions.csv" href=(tables::link(&csv)) { "assertions.csv" } }
        }
    }
}

fn assertions_csv(study: &Study) -> String {
    let rows = study.checked.iter().map(|one| {
        let fields = [&one.expr, &values(&one.values), &one.detail].map(|text| tables::quoted(text));
        format!("{},{}\n", fields.join(","), one.held)
    });
    format!("asserted,where,compared,held\n{}", rows.collect::<String>())
}

/// The values of a cell as people read them.
fn values(values: &Value) -> String {
    let Value::Object(fields) = values else { return String::new() };
    let each = fields.iter().map(|(path, value)| {
        format!("{path} = {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    });
    each.collect::<Vec<_>>().join(", ")
}

fn reproduce(study: &Study) -> Markup {
    html! {
        h2 { "Run it again" }
        @for one in study.finished.iter().take(20) {
            pre { (one.manifest.reproduce) "\n# version " (one.manifest.version) ", seed " (one.manifest.seed)
                "\n# scenario " (one.manifest.scenario_digest) "\n# events   " (one.manifest.events_digest) }
        }
        @if study.finished.len() > 20 { p { "and " (study.finished.len().saturating_sub(20)) " more: every cell's folder has its manifest.json" } }
        @if let Some(first) = study.finished.first() {
            details { summary { "The scenario" } pre { (first.manifest.scenario) } p.csv { (scenario_link(&first.manifest.scenario)) } }
            p { "Speed on " (text(&first.manifest.machine, "machine")) ": "
                (short(number(&first.manifest.machine, "payments_per_second").unwrap_or(0.0))) " simulated payments per second of real time; "
                (short(number(&first.manifest.machine, "kib_per_wallet").unwrap_or(0.0))) " KiB a wallet." }
        }
    }
}

/// The scenario as a file of its own, so that a page alone is enough to run it again.
fn scenario_link(scenario: &str) -> Markup {
    let link = tables::link(scenario).replace("text/csv", "application/toml");
    html! { a download="scenario.toml" href=(link) { "scenario.toml" } }
}

/// A chart with its caption and the names of its lines.
fn figure(caption: &str, chart: &Chart) -> Markup {
    const COLOURS: [&str; 4] = ["var(--c1)", "var(--c2)", "var(--c3)", "var(--c4)"];
    html! {
        @if !chart.is_empty() {
            figure {
                figcaption { (caption) br;
                    @if chart.lines.len() > 1 {
                        @for (line, colour) in chart.lines.iter().zip(COLOURS) {
                            span.key { i style=(format!("background:{colour}")) {} (line.name) }
                        }
                    }
                    @if !chart.shaded.is_empty() { span.key { i style="background:var(--c2);opacity:.3" {} "fault" } }
                }
                (PreEscaped(chart.svg()))
            }
        }
    }
}

/// A number in large letters with what it is.
fn big(value: &str, what: &str) -> Markup {
    html! { div { b { (value) } span { (what) } } }
}
