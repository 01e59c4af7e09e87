//! Drawings that are no charts: where value went, and when what was wrong.
#![allow(clippy::float_arithmetic, reason = "coordinates")]

use maud::{Markup, html};
use serde_json::Value;

use super::plot::short;
use super::{Money, number, text};
use crate::run::expression::at;

/// Half the width of a box.
const HALF: i32 = 48;
/// The height on which all boxes stand.
const MIDDLE: i32 = 96;

/// A kind of holder: its name in measures, on the page, and where it stands.
const HOLDERS: [(&str, &str, i32); 3] =
    [("account", "accounts", 70), ("wallet", "wallets", 260), ("shop", "shops", 450)];

/// Who gave how much to whom: boxes, arrows as wide as what they carry, and their amounts.
pub(super) fn flows(summary: &Value, money: &Money) -> Markup {
    let flows: Vec<(String, String, f64)> = at(summary, "flows")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|flow| {
            Some((text(flow, "from"), text(flow, "to"), number(flow, "value_minor")? * money.major))
        })
        .collect();
    let most = flows.iter().map(|flow| flow.2).fold(f64::MIN_POSITIVE, f64::max);
    let width = |value: f64| format!("{:.1}", 2.0 + 12.0 * value / most);
    let place = |who: &str| HOLDERS.iter().find(|holder| holder.0 == who).map(|holder| holder.2);
    html! {
        @if !flows.is_empty() {
            h2 { "Where value went" }
            figure.wide {
                figcaption { (money.code) " from each kind of holder to each, over the whole run" }
                svg role="img" aria-label="Value flow between roles" viewBox="0 0 520 200" {
                    @for (from, to, value) in &flows {
                        @if let (Some(x1), Some(x2)) = (place(from), place(to)) {
                            (arrow(x1, x2, &width(*value), &short(*value)))
                        }
                    }
                    @for (_, label, x) in HOLDERS {
                        g transform=(format!("translate({x} {MIDDLE})")) {
                            rect x=(-HALF) y="-22" width=(HALF.saturating_mul(2)) height="44" rx="8" fill="var(--page)" stroke="var(--c1)" {}
                            text y="5" text-anchor="middle" font-size="15" fill="currentColor" { (label) }
                        }
                    }
                }
            }
        }
    }
}

/// One arrow: between neighbours straight, to the same kind below, over a box above it.
fn arrow(from: i32, to: i32, width: &str, label: &str) -> Markup {
    let middle = from.saturating_add(to) / 2;
    let forth = from < to;
    let (path, label_y, label) = if from == to {
        let (left, right) = (from.saturating_sub(24), from.saturating_add(24));
        (format!("M {left} 118 C {left} 172, {right} 172, {right} 118"), 178, format!("↻ {label}"))
    } else if from.abs_diff(to) > 200 {
        let (bend, label_y) = if forth { (2, 20) } else { (186, 194) };
        (format!("M {from} {MIDDLE} Q {middle} {bend} {to} {MIDDLE}"), label_y, sided(label, forth))
    } else {
        let (y, label_y) = if forth { (84, 70) } else { (108, 132) };
        (format!("M {from} {y} L {to} {y}"), label_y, sided(label, forth))
    };
    html! {
        path d=(path) fill="none" stroke="var(--c1)" stroke-opacity="0.45" stroke-width=(width) {}
        text x=(middle) y=(label_y) text-anchor="middle" font-size="14" fill="currentColor" { (label) }
    }
}

fn sided(label: &str, forth: bool) -> String {
    if forth { format!("{label} →") } else { format!("← {label}") }
}

/// When what was wrong: a row for each node and kind of fault, hours along it.
pub(super) fn faults(summary: &Value) -> Markup {
    let faults: Vec<(String, f64, f64)> = at(summary, "faults")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|fault| {
            Some((text(fault, "fault"), number(fault, "from")? / 3600.0, number(fault, "until")? / 3600.0))
        })
        .collect();
    let mut rows: Vec<&str> = faults.iter().map(|fault| fault.0.as_str()).collect();
    rows.sort_unstable();
    rows.dedup();
    let last = faults.iter().map(|fault| fault.2).fold(0.0, f64::max);
    let whole = (number(summary, "simulated_seconds").unwrap_or(0.0) / 3600.0).max(last).max(1e-9);
    let x = |hours: f64| 150.0 + 350.0 * hours / whole;
    let y = |name: &str| rows.iter().position(|row| *row == name).unwrap_or(0).saturating_mul(24);
    let height = rows.len().saturating_mul(24);
    html! {
        @if !faults.is_empty() {
            h2 { "What went wrong when" }
            figure.wide {
                figcaption { "Faults over hours of simulated time" }
                svg role="img" aria-label="Fault timeline" viewBox=(format!("0 0 520 {}", height.saturating_add(34))) {
                    @for row in &rows {
                        text x="142" y=(y(row).saturating_add(20)) text-anchor="end" font-size="12" fill="currentColor" { (row) }
                        line x1="150" x2="500" y1=(y(row).saturating_add(28)) y2=(y(row).saturating_add(28)) stroke="var(--line)" {}
                    }
                    @for (name, from, until) in &faults {
                        rect x=(format!("{:.1}", x(*from))) y=(y(name).saturating_add(8)) height="16" rx="2" fill="var(--c2)"
                            width=(format!("{:.1}", (x(*until) - x(*from)).max(2.0))) { title { (name) ", " (short(*from)) " h to " (short(*until)) " h" } }
                    }
                    @for hours in ticks(whole) {
                        text x=(format!("{:.1}", x(hours))) y=(height.saturating_add(24)) text-anchor="middle" font-size="12" fill="currentColor" { (short(hours)) }
                    }
                }
            }
        }
    }
}

/// Round numbers from zero to `whole`, four to eight of them.
fn ticks(whole: f64) -> Vec<f64> {
    const STEPS: [f64; 16] =
        [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 12.0, 24.0, 48.0, 96.0, 168.0, 336.0, 672.0];
    let step = STEPS.into_iter().find(|step| whole / step <= 8.0).unwrap_or(whole / 4.0);
    (0..=8_u32).map(|number| f64::from(number) * step).take_while(|hours| *hours <= whole).collect()
}
