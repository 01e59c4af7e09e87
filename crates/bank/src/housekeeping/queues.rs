//! What waits at a bank.

use std::collections::BTreeMap;

use feiqian_node::queues::{self, Queue, Waiting};
use feiqian_wire::error::Fault;

use crate::Bank;
use crate::refusal::Refusal;

/// Items on their way to the center; cheques paid and not settled; sessions begun; sealed payments and cheques in boxes;
/// claims on offline value not decided, and charges not paid in full.
static QUEUES: [Queue; 7] = [
    Queue { name: "outbox", sql: "SELECT count(*), min(created) FROM presentment WHERE state = 0" },
    Queue {
        name: "unsettled_cheques",
        sql: "SELECT count(*), min(created) FROM presentment WHERE state = 3",
    },
    Queue { name: "sessions", sql: "SELECT count(*), min(expires) FROM session WHERE state = 0" },
    Queue { name: "drop_boxes", sql: "SELECT count(*), min(received) FROM drop_message" },
    Queue { name: "cheque_boxes", sql: "SELECT count(*), min(received) FROM cheque_box" },
    Queue { name: "reclaims", sql: "SELECT count(*), min(filed) FROM offline_reclaim WHERE paid IS NULL" },
    Queue { name: "charges", sql: "SELECT count(*), min(due) FROM offline_claim WHERE paid < amount" },
];

impl Bank {
    /// What waits, by queue. Of sessions the time counts from their expiry, of charges from when they are due.
    pub(crate) async fn queues(&self) -> Result<BTreeMap<String, Waiting>, Fault> {
        let waiting = queues::waiting(&*self.seams.store, &QUEUES, self.now().seconds()).await;
        Ok(waiting.map_err(Refusal::from)?)
    }

    /// Puts what waits into the metrics.
    pub(crate) async fn gauge_queues(&self) -> Result<(), Fault> {
        queues::gauge(&self.queues().await?);
        Ok(())
    }
}
