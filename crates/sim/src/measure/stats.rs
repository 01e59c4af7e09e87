//! Means, shares and their confidence intervals.
#![allow(clippy::float_arithmetic, reason = "statistics")]

use serde_json::{Value, json};

/// Quantile of the standard normal for a two-sided interval of 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// Quantiles of Student's t for a two-sided interval of 95 %, by degrees of freedom from 1.
const T: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// Wilson's 95 % interval of a share: `hits` of `trials`.
#[must_use]
pub fn wilson(hits: u64, trials: u64) -> (f64, f64) {
    if trials == 0 {
        return (0.0, 1.0);
    }
    let (n, p) = (trials as f64, hits as f64 / trials as f64);
    let denominator = 1.0 + Z * Z / n;
    let center = (p + Z * Z / (2.0 * n)) / denominator;
    let half = Z * libm::sqrt(p * (1.0 - p) / n + Z * Z / (4.0 * n * n)) / denominator;
    ((center - half).max(0.0), (center + half).min(1.0))
}

/// A share with its interval: `{"rate","hits","trials","ci95":{"low","high"}}`.
#[must_use]
pub fn share(hits: u64, trials: u64) -> Value {
    let (low, high) = wilson(hits, trials);
    let rate = if trials == 0 { 0.0 } else { hits as f64 / trials as f64 };
    json!({"rate": rate, "hits": hits, "trials": trials, "ci95": {"low": low, "high": high}})
}

/// Mean and 95 % interval of the mean by Student's t; the interval of one value is the value.
#[must_use]
pub fn mean_ci(values: &[f64]) -> (f64, f64, f64) {
    let n = values.len() as f64;
    if values.is_empty() {
        return (0.0, 0.0, 0.0);
    }
    let mean = values.iter().sum::<f64>() / n;
    if values.len() == 1 {
        return (mean, mean, mean);
    }
    let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (n - 1.0);
    let t = T.get(values.len().saturating_sub(2)).copied().unwrap_or(Z);
    let half = t * libm::sqrt(variance / n);
    (mean, mean - half, mean + half)
}

/// The value below which `share` of the sorted values lie.
#[must_use]
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (share * last as f64).round();
    let index = (0..=last).min_by(|a, b| (*a as f64 - at).abs().total_cmp(&(*b as f64 - at).abs()));
    index.and_then(|index| sorted.get(index)).copied().unwrap_or(0.0)
}

/// Values in twelve equal bins from zero, or fewer where all are alike.
#[must_use]
pub fn histogram(values: &[f64]) -> Value {
    let most = values.iter().copied().fold(0.0, f64::max);
    let (width, count) = if most > 0.0 { (most / 12.0, 12_u32) } else { (1.0, 1) };
    let within = |bin: u32, value: f64| {
        let last = bin.saturating_add(1) == count;
        value >= f64::from(bin) * width && (last || value < f64::from(bin.saturating_add(1)) * width)
    };
    let bins = (0..count).map(|bin| {
        let count = values.iter().filter(|value| within(bin, **value)).count();
        json!({"from": f64::from(bin) * width, "to": f64::from(bin.saturating_add(1)) * width, "count": count})
    });
    Value::Array(bins.collect())
}

/// Counts as a distribution: mean, quantiles, and at most twelve equal bins.
#[must_use]
pub fn distribution(counts: &[u64]) -> Value {
    let mut sorted: Vec<f64> = counts.iter().map(|count| *count as f64).collect();
    sorted.sort_by(f64::total_cmp);
    let most = counts.iter().copied().max().unwrap_or(0);
    let width = most.saturating_add(1).div_ceil(12).max(1);
    let bins =
        (0..12_u64).map(|bin| (bin.saturating_mul(width), bin.saturating_add(1).saturating_mul(width)));
    let bins = bins.take_while(|(from, _)| *from <= most).map(|(from, to)| {
        json!({"from": from, "to": to, "count": counts.iter().filter(|count| (from..to).contains(*count)).count()})
    });
    json!({
        "mean": sorted.iter().sum::<f64>() / sorted.len().max(1) as f64,
        "p5": quantile(&sorted, 0.05),
        "p50": quantile(&sorted, 0.5),
        "p95": quantile(&sorted, 0.95),
        "bins": bins.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_is_what_the_tables_say() {
        let (low, high) = wilson(5, 50);
        assert!((low - 0.0435).abs() < 0.001 && (high - 0.2136).abs() < 0.001, "{low} {high}");
        assert_eq!(wilson(0, 0), (0.0, 1.0));
        assert!(wilson(0, 100).1 > 0.03 && wilson(100, 100).0 < 0.97);
    }

    #[test]
    fn the_interval_of_a_mean_is_students() {
        let (mean, low, high) = mean_ci(&[1.0, 2.0, 3.0]);
        assert!((mean - 2.0).abs() < 1e-12);
        assert!(
            (high - mean - 4.303 / libm::sqrt(3.0)).abs() < 1e-3
                && (mean - low - (high - mean)).abs() < 1e-12
        );
        assert_eq!(mean_ci(&[7.0]), (7.0, 7.0, 7.0));
    }

    #[test]
    fn every_count_is_in_one_bin() {
        for counts in [vec![], vec![0], vec![0, 1, 1, 2], (0..100).collect::<Vec<u64>>(), vec![11, 12, 13]] {
            let told = distribution(&counts);
            let bins = told.get("bins").and_then(Value::as_array).cloned().unwrap_or_default();
            let sum: u64 = bins.iter().filter_map(|bin| bin.get("count")?.as_u64()).sum();
            assert_eq!(sum, counts.len() as u64, "{told}");
            assert!(bins.len() <= 12, "{told}");
        }
        assert_eq!(distribution(&[2, 4]).get("mean"), Some(&json!(3.0)));
    }

    #[test]
    fn a_histogram_holds_every_value() {
        for values in [vec![], vec![0.0, 0.0], vec![0.1, 3.5, 3.5, 7.0]] {
            let bins = histogram(&values);
            let counts = bins.as_array().into_iter().flatten().filter_map(|bin| bin.get("count")?.as_u64());
            assert_eq!(counts.sum::<u64>(), values.len() as u64, "{bins}");
        }
    }

    #[test]
    fn quantiles_of_few_values_are_values() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert!((quantile(&values, 0.5) - 3.0).abs() < 1e-12);
        assert!((quantile(&values, 0.05) - 1.0).abs() < 1e-12);
        assert!(quantile(&[], 0.5).abs() < 1e-12);
    }
}
