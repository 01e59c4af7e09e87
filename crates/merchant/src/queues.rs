//! What waits at a merchant.

use std::collections::BTreeMap;

use feiqian_node::queues::{self, Queue, Waiting};
use feiqian_wire::error::Fault;

use crate::failure::Failure;
use crate::service::Merchant;

/// Payments, refunds and cheques that the bank has not answered; offline payments accepted and not deposited.
static QUEUES: [Queue; 4] = [
    Queue { name: "payments", sql: "SELECT count(*), min(accepted) FROM merchant_payment WHERE state = 0" },
    Queue { name: "refunds", sql: "SELECT count(*), min(created) FROM merchant_refund WHERE state = 0" },
    Queue { name: "cheques", sql: "SELECT count(*), min(accepted) FROM merchant_cheque WHERE state = 0" },
    Queue {
        name: "offline",
        sql: "SELECT count(*), min(accepted) FROM merchant_offline_payment WHERE state = 0",
    },
];

impl Merchant {
    /// What waits, by queue.
    pub(crate) async fn queues(&self) -> Result<BTreeMap<String, Waiting>, Fault> {
        let now = self.seams.clock.now().seconds();
        let waiting = queues::waiting(&*self.seams.store, &QUEUES, now).await;
        waiting.map_err(|error| Failure::from(error).0)
    }
}
