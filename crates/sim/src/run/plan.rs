//! The cells of a scenario: every combination of its sweeps' values, each with every replicate's seed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::SimError;
use crate::scenario::{Scenario, Source};
use crate::workload::trace::Trace;

/// Most cells of one plan.
const MAX_CELLS: usize = 100_000;

/// One world to run.
#[derive(Clone, Debug)]
pub struct Cell {
    /// What it is a run of, with its own seed.
    pub source: Source,
    /// The values that the sweeps gave it.
    pub values: BTreeMap<String, toml::Value>,
    /// Its seed.
    pub seed: u64,
    /// Where its results go.
    pub folder: PathBuf,
}

/// All worlds of one scenario.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The scenario that they come from.
    pub scenario: Scenario,
    /// In a fixed order.
    pub cells: Vec<Cell>,
    /// Where the results go.
    pub folder: PathBuf,
    /// The part of the plan that the cells are; none for all of them.
    pub part: Option<Shard>,
    /// How many cells the whole plan has.
    pub whole: usize,
}

/// One part of a plan: the `number`-th of `count`, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which.
    pub number: usize,
    /// Of how many.
    pub count: usize,
}

impl std::str::FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
        match parts {
            Some((number, count)) if number >= 1 && number <= count => Ok(Self { number, count }),
            _ => Err(format!("`{text}` is no shard: K/N with K from 1 to N")),
        }
    }
}

/// How many cells the plan of a scenario has.
pub(super) fn count(scenario: &Scenario) -> usize {
    let replicates = usize::try_from(scenario.replicates.count).unwrap_or(usize::MAX);
    scenario.sweep.iter().fold(replicates, |cells, sweep| cells.saturating_mul(sweep.values.len()))
}

impl Plan {
    /// Plans all cells, with results under `out`.
    ///
    /// # Errors
    /// [`SimError::Usage`] when a combination makes no sense, or there are too many.
    pub fn new(source: &Source, out: &Path) -> Result<Self, SimError> {
        let scenario = source.scenario()?;
        let whole = count(&scenario);
        if whole > MAX_CELLS {
            return Err(SimError::usage(format!("sweeps and replicates make more than {MAX_CELLS} cells")));
        }
        if !scenario.workload.trace.is_empty() {
            // A bad row is told before anything runs.
            Trace::load(Path::new(&scenario.workload.trace), scenario.currency)?;
        }
        let folder = out.join(format!("{}-{}", scenario.name, scenario.seed));
        let mut combinations = vec![(source.clone(), BTreeMap::new())];
        for sweep in &scenario.sweep {
            let mut more = Vec::new();
            for (source, values) in &combinations {
                for value in &sweep.values {
                    let (mut source, mut values) = (source.clone(), values.clone());
                    source.put(&sweep.path, value.clone())?;
                    values.insert(sweep.path.clone(), value.clone());
                    more.push((source, values));
                }
            }
            combinations = more;
        }
        let mut cells = Vec::new();
        for (source, values) in combinations {
            let first = source.scenario()?.seed;
            for replicate in 0..scenario.replicates.count {
                let (mut source, seed) = (source.clone(), first.wrapping_add(replicate));
                source.set("seed", &seed.to_string())?;
                source.scenario()?;
                let digest = source.digest();
                let short = digest.get(..8).unwrap_or_default();
                let folder =
                    if whole == 1 { folder.clone() } else { folder.join(format!("cell-{short}-{seed}")) };
                cells.push(Cell { source, values: values.clone(), seed, folder });
            }
        }
        Ok(Self { scenario, cells, folder, part: None, whole })
    }

    /// Keeps only the cells of one part.
    #[must_use]
    pub fn shard(mut self, shard: Option<Shard>) -> Self {
        self.part = shard;
        if let Some(Shard { number, count }) = shard {
            let mut index = 0_usize;
            self.cells.retain(|_| {
                let mine = index.checked_rem(count) == number.checked_sub(1);
                index = index.saturating_add(1);
                mine
            });
        }
        self
    }

    /// What `--check` tells.
    #[must_use]
    #[allow(clippy::float_arithmetic, reason = "an expected number of payments")]
    pub fn explain(&self) -> serde_json::Value {
        let scenario = &self.scenario;
        let days = scenario.duration.0.as_secs_f64() / 86_400.0;
        let expected = if scenario.workload.trace.is_empty() {
            scenario.workload.payments_per_wallet_per_day * (scenario.population.wallets as f64) * days
        } else {
            0.0
        };
        let banks: Vec<String> =
            scenario.banks().iter().map(|(name, share)| format!("{name} ({share})")).collect();
        serde_json::json!({
            "name": scenario.name,
            "question": scenario.question,
            "cells": self.cells.len(),
            "duration": scenario.duration.to_string(),
            "banks": banks,
            "wallets": scenario.population.wallets,
            "merchants": scenario.population.merchants.count,
            "expected_payments_per_cell": expected.round(),
            "trace": scenario.workload.trace,
            "faults": scenario.fault.len(),
            "adversaries": scenario.adversary.iter().map(|adversary| adversary.kind.as_str()).collect::<Vec<_>>(),
            "asserts": scenario.assert.iter().map(|assert| assert.expr.clone()).collect::<Vec<_>>(),
            "folder": self.folder.display().to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure to plan fails the test")]

    use super::*;

    const SWEPT: &str = "name = \"s\"\nseed = 5\n[replicates]\ncount = 2\n\
        [[sweep]]\npath = \"population.wallets\"\nvalues = [3, 4]\n\
        [[sweep]]\npath = \"wallet.spend_delay\"\nvalues = [\"0s\", \"1h\", \"2h\"]\n";

    fn plan() -> Plan {
        Plan::new(&Source::parse(SWEPT, "").unwrap(), Path::new("out")).unwrap()
    }

    #[test]
    fn a_plan_has_every_combination_with_every_seed_in_a_folder_of_its_own() {
        let plan = plan();
        assert_eq!(plan.cells.len(), 12);
        let folders: std::collections::BTreeSet<_> =
            plan.cells.iter().map(|cell| cell.folder.clone()).collect();
        assert_eq!(folders.len(), 12);
        assert!(plan.cells.iter().all(|cell| cell.source.scenario().unwrap().seed == cell.seed));
    }

    #[test]
    fn more_cells_than_anybody_runs_are_refused_whether_swept_or_replicated() {
        let swept = SWEPT.replace("count = 2", "count = 20000");
        let refused = Plan::new(&Source::parse(&swept, "").unwrap(), Path::new("out")).unwrap_err();
        assert!(refused.to_string().contains("100000 cells"), "{refused}");
    }

    #[test]
    fn shards_are_disjoint_and_whole() {
        let mut seeds = Vec::new();
        for number in 1..=5 {
            let part = plan().shard(Some(Shard { number, count: 5 }));
            seeds.extend(part.cells.into_iter().map(|cell| cell.folder));
        }
        seeds.sort();
        seeds.dedup();
        assert_eq!(seeds.len(), 12);
        assert!(
            "0/3".parse::<Shard>().is_err()
                && "4/3".parse::<Shard>().is_err()
                && "1".parse::<Shard>().is_err()
        );
    }
}
