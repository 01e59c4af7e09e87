//! What banks owe one another, and how much money they need to settle it: item by item, or by net positions.
//!
//! The *liquidity* of a bank is the most that it has paid out beyond what it took in, at any moment of the run: what must
//! have been on its settlement account in the beginning. Gross settlement looks after every item; netting looks only at the
//! end of each window, and so needs less the longer the window is. The obligations are those that really arose; what
//! another window would have needed is computed from them.
#![allow(clippy::float_arithmetic, reason = "ratios")]

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::stats::quantile;

/// Windows that are computed, seconds.
const WINDOWS: [u64; 6] = [900, 1_800, 3_600, 7_200, 14_400, 86_400];

/// One bank owes another for a paid item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// Who owes.
    pub debtor: String,
    /// Whom.
    pub creditor: String,
    /// Minor units.
    pub amount: u64,
    /// When it arose, seconds.
    pub booked: u64,
    /// When it was settled, seconds.
    pub settled: Option<u64>,
    /// It was taken out of its cycle again.
    pub unwound: bool,
}

/// What it takes to settle in one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// Sum over banks of the most that each had paid out beyond what it took in.
    pub liquidity: u128,
    /// What changes hands.
    pub moved: u128,
}

/// The need when positions are settled at the end of every window of so many seconds; `None`: item by item.
#[must_use]
pub fn need(owed: &[Owed], window: Option<u64>) -> Need {
    let mut standing: BTreeMap<&str, i128> = BTreeMap::new();
    let mut deepest: BTreeMap<&str, i128> = BTreeMap::new();
    let mut moved = 0_u128;
    let mut position: BTreeMap<&str, i128> = BTreeMap::new();
    let part = |one: &Owed| window.map(|window| one.booked.checked_div(window).unwrap_or(0));
    let mut ordered: Vec<&Owed> = owed.iter().filter(|one| !one.unwound).collect();
    ordered.sort_by_key(|one| one.booked);
    for (index, one) in ordered.iter().enumerate() {
        let amount = i128::from(one.amount);
        let debit = position.entry(&one.debtor).or_default();
        *debit = debit.saturating_sub(amount);
        let credit = position.entry(&one.creditor).or_default();
        *credit = credit.saturating_add(amount);
        let next = ordered.get(index.saturating_add(1));
        let ends = window.is_none() || next.is_none_or(|next| part(next) != part(one));
        if !ends {
            continue;
        }
        for (bank, change) in std::mem::take(&mut position) {
            moved = moved.saturating_add(change.max(0).unsigned_abs());
            let stands = standing.entry(bank).or_default();
            *stands = stands.saturating_add(change);
            let deepest = deepest.entry(bank).or_default();
            *deepest = (*deepest).min(*stands);
        }
    }
    let liquidity = deepest.values().fold(0_u128, |sum, depth| sum.saturating_add(depth.unsigned_abs()));
    Need { liquidity, moved }
}

fn minor(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// Everything about the obligations of a run, as `summary.json` has it.
#[must_use]
pub fn summary(owed: &[Owed]) -> Value {
    let turnover = owed.iter().filter(|one| !one.unwound).map(|one| u128::from(one.amount));
    let turnover = turnover.fold(0_u128, u128::saturating_add);
    let gross = need(owed, None);
    let net = WINDOWS.map(|window| {
        let need = need(owed, Some(window));
        let ratio = if turnover == 0 { 0.0 } else { 1.0 - need.moved as f64 / turnover as f64 };
        json!({
            "window_seconds": window,
            "liquidity_minor": minor(need.liquidity),
            "moved_minor": minor(need.moved),
            "netting_ratio": ratio,
        })
    });
    let mut waits: Vec<f64> =
        owed.iter().filter_map(|one| Some(one.settled?.saturating_sub(one.booked) as f64)).collect();
    waits.sort_by(f64::total_cmp);
    let count = |which: &dyn Fn(&&Owed) -> bool| owed.iter().filter(which).count();
    json!({
        "obligations": owed.len(),
        "settled": waits.len(),
        "unwound": count(&|one| one.unwound),
        "open": count(&|one| one.settled.is_none() && !one.unwound),
        "turnover_minor": minor(turnover),
        "gross": {"liquidity_minor": minor(gross.liquidity), "moved_minor": minor(gross.moved)},
        "net": net,
        "finality_seconds": {"p50": quantile(&waits, 0.5), "p95": quantile(&waits, 0.95), "p99": quantile(&waits, 0.99)},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owed(debtor: &str, creditor: &str, amount: u64, booked: u64) -> Owed {
        let (debtor, creditor) = (debtor.to_owned(), creditor.to_owned());
        Owed { debtor, creditor, amount, booked, settled: Some(booked), unwound: false }
    }

    #[test]
    fn a_circle_needs_money_item_by_item_and_none_when_netted() {
        let circle = [owed("a", "b", 10, 1), owed("b", "c", 10, 2), owed("c", "a", 10, 3)];
        assert_eq!(need(&circle, None), Need { liquidity: 10, moved: 30 });
        assert_eq!(need(&circle, Some(10)), Need { liquidity: 0, moved: 0 });
        // The window ends between the second item and the third.
        assert_eq!(need(&circle, Some(3)), Need { liquidity: 10, moved: 20 });
    }

    #[test]
    fn what_was_unwound_needs_nothing_and_what_waits_is_told() {
        let mut items = vec![owed("a", "b", 10, 100), owed("b", "a", 4, 200)];
        items.push(Owed { unwound: true, settled: None, ..owed("a", "b", 1000, 150) });
        items.push(Owed { settled: None, ..owed("b", "a", 1, 300) });
        let told = summary(&items);
        let at = |path: &str| crate::run::expression::at(&told, path).and_then(Value::as_u64);
        assert_eq!(
            (at("obligations"), at("settled"), at("unwound"), at("open")),
            (Some(4), Some(2), Some(1), Some(1))
        );
        assert_eq!((at("turnover_minor"), at("gross.liquidity_minor")), (Some(15), Some(10)));
        assert_eq!((at("net.0.liquidity_minor"), at("net.0.moved_minor")), (Some(5), Some(5)));
    }
}
