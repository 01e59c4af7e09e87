//! The operator of the center's settlement, who in production is a person or a timer: every while the open cycles are
//! closed and the closed ones settled.

use std::sync::Arc;

use serde_json::json;
use tokio::task::JoinHandle;

use super::Nodes;
use super::fabric::{Fabric, NodeId};
use crate::scenario::{Mode, Scenario};

/// Begins the rounds of a world that nets; they go on until the world ends.
pub(super) fn begin(
    scenario: &Scenario,
    nodes: &Nodes,
    fabric: &Arc<Fabric>,
    center: NodeId,
) -> Option<JoinHandle<()>> {
    if scenario.settlement.mode == Mode::Gross {
        return None;
    }
    let (nodes, fabric, cycle) = (nodes.clone(), Arc::clone(fabric), scenario.settlement.cycle.0);
    Some(tokio::spawn(async move {
        loop {
            tokio::time::sleep(cycle).await;
            for step in ["cycle_close", "settle"] {
                let done = super::command(&nodes, &fabric, center, json!({"command": step})).await;
                let outcome = done.as_ref().map_or_else(|fault| fault.code.as_str(), |_| "done");
                // A center that is down now settles in the next round.
                fabric.record("operation", "center", "", step, outcome, &[]);
            }
        }
    }))
}
