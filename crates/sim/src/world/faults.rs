//! What goes wrong when: the scenario's faults, put where they belong.

use std::sync::Arc;
use std::time::Duration;

use super::World;
use super::fabric::{Fabric, NodeId};
use super::seats::Trap;
use crate::scenario::specs::{FaultSpec, offset_seconds};

impl World {
    /// Sets the traps of crashes at durable writes: they count from the moment the world is live.
    pub(super) fn prepare_faults(&mut self) {
        for fault in &self.scenario.fault {
            let FaultSpec::Crash { node, point: Some(point), number, when, length, .. } = fault else {
                continue;
            };
            let Some(node) = self.fabric.find(node) else { continue };
            self.fabric.set_trap(Trap {
                node,
                point: Some(point.clone()),
                skip: number.saturating_sub(1),
                side: *when,
                length: length.0,
            });
        }
    }

    /// Starts the faults that come at a time. Answers when the last of them is over.
    pub(super) fn begin_faults(&self) -> Duration {
        let mut over = Duration::ZERO;
        for fault in &self.scenario.fault {
            let Some(node) = self.fabric.find(fault.node()) else { continue };
            let (at, length) = (starts(fault), fault.length().0);
            over = over.max(at.saturating_add(length));
            let other = match fault {
                FaultSpec::Partition { from: Some(from), .. } => self.fabric.find(from),
                _ => None,
            };
            let timed = !matches!(fault, FaultSpec::Crash { at: None, .. });
            if timed {
                let (fabric, fault) = (Arc::clone(&self.fabric), fault.clone());
                let measures = Arc::clone(&self.measures);
                tokio::spawn(async move {
                    tokio::time::sleep(at).await;
                    measures.fault(format!("{} {}", word(&fault), fault.node()), length);
                    befall(&fabric, &fault, node, other, length).await;
                });
            }
        }
        over
    }
}

fn starts(fault: &FaultSpec) -> Duration {
    match fault {
        FaultSpec::Crash { at, .. } => at.map(|at| at.0).unwrap_or_default(),
        FaultSpec::Partition { at, .. } | FaultSpec::Slow { at, .. } | FaultSpec::ClockSkew { at, .. } => {
            at.0
        }
    }
}

fn word(fault: &FaultSpec) -> &'static str {
    match fault {
        FaultSpec::Crash { .. } => "crash",
        FaultSpec::Partition { .. } => "partition",
        FaultSpec::Slow { .. } => "slow",
        FaultSpec::ClockSkew { .. } => "clock-skew",
    }
}

async fn befall(fabric: &Fabric, fault: &FaultSpec, node: NodeId, other: Option<NodeId>, length: Duration) {
    if let FaultSpec::Crash { .. } = fault {
        fabric.fell(node, length);
        return;
    }
    let (name, word) = (fabric.name(node), word(fault));
    fabric.record("fault", &name, "", word, "begins", &[]);
    let clock = fabric.clock_of(node);
    match fault {
        FaultSpec::Partition { .. } => fabric.cut(node, other),
        FaultSpec::Slow { factor, .. } => fabric.slow(node, *factor),
        FaultSpec::ClockSkew { offset, drift_ppm, .. } => {
            if let Some(clock) = &clock {
                clock.skew(offset_seconds(offset).unwrap_or(0), *drift_ppm);
            }
        }
        FaultSpec::Crash { .. } => {}
    }
    tokio::time::sleep(length).await;
    match fault {
        FaultSpec::Partition { .. } => fabric.mend(node, other),
        FaultSpec::Slow { .. } => fabric.slow(node, 1.0),
        FaultSpec::ClockSkew { .. } => {
            if let Some(clock) = &clock {
                clock.repair();
            }
        }
        FaultSpec::Crash { .. } => {}
    }
    fabric.record("fault", &name, "", word, "ends", &[]);
}
