//! What waits at a center.

use std::collections::BTreeMap;

use feiqian_node::queues::{self, Queue, Waiting};
use feiqian_wire::error::Fault;

use crate::failure::Failure;
use crate::service::Center;

/// Items that wait for their payer's cover; items whose bank has not answered; obligations that are not settled; cycles
/// that are not final; words to banks that have not taken them.
static QUEUES: [Queue; 5] = [
    Queue {
        name: "uncovered",
        sql: "SELECT count(*), min(received) FROM center_presentment WHERE state = 0",
    },
    Queue {
        name: "forwarded",
        sql: "SELECT count(*), min(received) FROM center_presentment WHERE state = 1",
    },
    Queue { name: "obligations", sql: "SELECT count(*), min(booked) FROM center_obligation WHERE state = 0" },
    Queue { name: "cycles", sql: "SELECT count(*), min(opened) FROM center_cycle WHERE state < 3" },
    Queue {
        name: "notices",
        sql: "SELECT count(*), min(booked) FROM center_notice JOIN center_obligation \
              ON center_obligation.presentment = center_notice.presentment WHERE told = 0",
    },
];

impl Center {
    /// What waits, by queue.
    pub(crate) async fn queues(&self) -> Result<BTreeMap<String, Waiting>, Fault> {
        let now = self.seams.clock.now().seconds();
        let waiting = queues::waiting(&*self.seams.store, &QUEUES, now).await;
        waiting.map_err(|error| Failure::from(error).0)
    }
}
