//! What is counted while a world runs, in memory that does not grow with the number of payments.
#![allow(clippy::float_arithmetic, reason = "statistics")]

pub mod clearing;
pub mod stats;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

/// Buckets of the series over time.
pub const BUCKETS: usize = 96;

/// The longest that is told apart: 30 days, in microseconds.
const LONGEST: u64 = 30 * 86_400 * 1_000_000;

/// Durations in microseconds, two or three digits, up to 30 days.
///
/// One that was never added to takes no memory.
#[derive(Debug)]
pub struct Latencies {
    digits: u8,
    counts: Option<Histogram<u32>>,
}

impl Latencies {
    fn new(digits: u8) -> Self {
        Self { digits, counts: None }
    }

    fn add(&mut self, length: Duration) {
        if self.counts.is_none() {
            self.counts = Histogram::new_with_bounds(1, LONGEST, self.digits).ok();
        }
        if let Some(counts) = &mut self.counts {
            counts.saturating_record(u64::try_from(length.as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// Milliseconds at this quantile; 0 when nothing was measured.
    fn at(&self, quantile: f64) -> f64 {
        self.counts.as_ref().map_or(0.0, |counts| counts.value_at_quantile(quantile) as f64 / 1000.0)
    }

    fn json(&self) -> Value {
        json!({"p50": self.at(0.5), "p95": self.at(0.95), "p99": self.at(0.99)})
    }
}

/// One path of one role.
#[derive(Debug)]
struct Route {
    outcomes: BTreeMap<&'static str, u64>,
    bytes_out: u64,
    bytes_in: u64,
    latency: Latencies,
}

/// One operation of a customer.
#[derive(Debug)]
struct Operation {
    outcomes: BTreeMap<String, u64>,
    value: u64,
    latency: Latencies,
}

/// A part of the simulated time.
#[derive(Debug)]
struct Bucket {
    arrived: u64,
    paid: u64,
    failed: u64,
    value: u64,
    messages: u64,
    bytes: u64,
    latency: Latencies,
    /// Coins in circulation, minor units, at the end.
    circulation: Option<i128>,
    /// Coins per wallet, mean over a sample.
    coins: Option<f64>,
}

impl Bucket {
    fn new() -> Self {
        Self {
            arrived: 0,
            paid: 0,
            failed: 0,
            value: 0,
            messages: 0,
            bytes: 0,
            latency: Latencies::new(2),
            circulation: None,
            coins: None,
        }
    }
}

struct State {
    began: Option<Instant>,
    length: Duration,
    routes: BTreeMap<(&'static str, String), Route>,
    operations: BTreeMap<&'static str, Operation>,
    buckets: Vec<Bucket>,
    policy_wait: Latencies,
    coins_paid: u64,
    coin_payments: u64,
    flows: BTreeMap<(&'static str, &'static str), u64>,
    faults: Vec<(f64, f64, String)>,
}

/// The measures of one world.
pub struct Measures(Mutex<State>);

impl std::fmt::Debug for Measures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Measures")
    }
}

/// What came of a customer's operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As wanted.
    Done,
    /// Not, with the code of the last fault.
    Failed(String),
}

impl Measures {
    /// Measures of a world in which payments arrive for `length`.
    #[must_use]
    pub fn new(length: Duration) -> Self {
        Self(Mutex::new(State {
            began: None,
            length,
            routes: BTreeMap::new(),
            operations: BTreeMap::new(),
            buckets: (0..BUCKETS).map(|_| Bucket::new()).collect(),
            policy_wait: Latencies::new(3),
            coins_paid: 0,
            coin_payments: 0,
            flows: BTreeMap::new(),
            faults: Vec::new(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counting starts here; what was before built the world.
    pub fn begin(&self) {
        self.state().began = Some(Instant::now());
    }

    /// A call ended.
    pub fn called(
        &self,
        role: &'static str,
        path: &str,
        outcome: &'static str,
        took: Duration,
        sizes: (usize, usize),
    ) {
        let mut state = self.state();
        if state.began.is_none() {
            return;
        }
        let (out, back) = (sizes.0 as u64, sizes.1 as u64);
        let path = path.split('?').next().unwrap_or(path);
        let fresh =
            || Route { outcomes: BTreeMap::new(), bytes_out: 0, bytes_in: 0, latency: Latencies::new(2) };
        let route = state.routes.entry((role, path.to_owned())).or_insert_with(fresh);
        increase(route.outcomes.entry(outcome).or_default(), 1);
        increase(&mut route.bytes_out, out);
        increase(&mut route.bytes_in, back);
        route.latency.add(took);
        if let Some(bucket) = state.bucket() {
            increase(&mut bucket.messages, 2);
            increase(&mut bucket.bytes, out.saturating_add(back));
        }
    }

    /// A customer wants to pay.
    pub fn arrived(&self) {
        if let Some(bucket) = self.state().bucket() {
            increase(&mut bucket.arrived, 1);
        }
    }

    /// How long a payment was held up by the wallet's own policy.
    pub fn waited(&self, length: Duration) {
        self.state().policy_wait.add(length);
    }

    /// An operation ended; `value` in minor units.
    pub fn ended(&self, operation: &'static str, ending: &Ending, value: u64, took: Duration) {
        let mut state = self.state();
        let fresh = || Operation { outcomes: BTreeMap::new(), value: 0, latency: Latencies::new(3) };
        let entry = state.operations.entry(operation).or_insert_with(fresh);
        let (name, done) = match ending {
            Ending::Done => ("done", true),
            Ending::Failed(code) => (code.as_str(), false),
        };
        increase(entry.outcomes.entry(name.to_owned()).or_default(), 1);
        if done {
            increase(&mut entry.value, value);
            entry.latency.add(took);
        }
        if operation != "pay" {
            return;
        }
        if let Some(bucket) = state.bucket() {
            if done {
                increase(&mut bucket.paid, 1);
                increase(&mut bucket.value, value);
                bucket.latency.add(took);
            } else {
                increase(&mut bucket.failed, 1);
            }
        }
    }

    /// Value moved from one kind of holder to another, minor units.
    pub fn flowed(&self, from: &'static str, to: &'static str, value: u64) {
        increase(self.state().flows.entry((from, to)).or_default(), value);
    }

    /// A payment of so many coins was taken.
    pub fn coins(&self, count: usize) {
        let mut state = self.state();
        increase(&mut state.coin_payments, 1);
        increase(&mut state.coins_paid, count as u64);
    }

    /// What stands at this moment.
    pub fn sampled(&self, circulation: i128, coins: Option<f64>) {
        if let Some(bucket) = self.state().bucket() {
            (bucket.circulation, bucket.coins) = (Some(circulation), coins);
        }
    }

    /// A fault began, and how long it lasts.
    pub fn fault(&self, name: String, lasts: Duration) {
        let mut state = self.state();
        let at = state.began.map(|began| began.elapsed()).unwrap_or_default();
        let end = at.saturating_add(lasts);
        state.faults.push((at.as_secs_f64(), end.as_secs_f64(), name));
    }

    /// Payments that were made and that failed, so far.
    #[must_use]
    pub fn payments(&self) -> (u64, u64) {
        let state = self.state();
        let Some(pay) = state.operations.get("pay") else { return (0, 0) };
        let all = pay.outcomes.values().fold(0_u64, |sum, count| sum.saturating_add(*count));
        let done = pay.outcomes.get("done").copied().unwrap_or(0);
        (done, all.saturating_sub(done))
    }

    /// Everything, as `summary.json` has it.
    #[must_use]
    pub fn summary(&self) -> Map<String, Value> {
        let (paid, failed) = self.payments();
        let state = self.state();
        let all = paid.saturating_add(failed);
        let per_payment = |count: u64| if paid == 0 { 0.0 } else { count as f64 / paid as f64 };
        let messages = state.routes.values().map(|route| sum(route.outcomes.values()).saturating_mul(2));
        let messages = messages.fold(0_u64, u64::saturating_add);
        let bytes = state.routes.values().map(|route| route.bytes_in.saturating_add(route.bytes_out));
        let bytes = bytes.fold(0_u64, u64::saturating_add);
        let changes = state.routes.get(&("bank", "/v1/issue/finish".to_owned()));
        let changes = changes.and_then(|route| route.outcomes.get("ok").copied()).unwrap_or(0);
        let pay = state.operations.get("pay");
        let mut out = Map::new();
        out.insert(
            "payments".into(),
            json!({
                "attempted": all,
                "paid": paid,
                "failed": failed,
                "success_rate": if all == 0 { 1.0 } else { paid as f64 / all as f64 },
                "value_minor": pay.map_or(0, |pay| pay.value),
                "latency_ms": pay.map_or(Value::Null, |pay| pay.latency.json()),
                "policy_wait_ms": state.policy_wait.json(),
                "messages_each": per_payment(messages),
                "bytes_each": per_payment(bytes),
                "coins_each": if state.coin_payments == 0 { 0.0 } else { state.coins_paid as f64 / state.coin_payments as f64 },
                "change_rate": per_payment(changes),
            }),
        );
        let operations = state.operations.iter().map(|(name, operation)| {
            let value = json!({
                "outcomes": operation.outcomes,
                "value_minor": operation.value,
                "latency_ms": operation.latency.json(),
            });
            ((*name).to_owned(), value)
        });
        out.insert("operations".into(), Value::Object(operations.collect()));
        let routes = state.routes.iter().map(|((role, path), route)| {
            json!({
                "role": role,
                "path": path,
                "outcomes": route.outcomes,
                "bytes_out": route.bytes_out,
                "bytes_in": route.bytes_in,
                "latency_ms": route.latency.json(),
            })
        });
        out.insert("routes".into(), Value::Array(routes.collect()));
        let flows = state
            .flows
            .iter()
            .map(|((from, to), value)| json!({"from": from, "to": to, "value_minor": value}));
        out.insert("flows".into(), Value::Array(flows.collect()));
        let faults = state.faults.iter();
        let faults = faults.map(|(from, until, name)| json!({"from": from, "until": until, "fault": name}));
        out.insert("faults".into(), Value::Array(faults.collect()));
        out
    }

    /// The series over time as CSV, one line a bucket.
    #[must_use]
    pub fn series(&self) -> String {
        use std::fmt::Write as _;
        let state = self.state();
        let width = state.length.as_secs_f64() / BUCKETS as f64;
        let mut text =
            "seconds,arrived,paid,failed,value_minor,messages,bytes,latency_p50_ms,latency_p95_ms,latency_p99_ms,\
                        circulation_minor,coins_per_wallet\n"
                .to_owned();
        for (index, bucket) in state.buckets.iter().enumerate() {
            let optional = |value: Option<String>| value.unwrap_or_default();
            let _ = writeln!(
                text,
                "{:.3},{},{},{},{},{},{},{},{},{},{},{}",
                (index as f64) * width,
                bucket.arrived,
                bucket.paid,
                bucket.failed,
                bucket.value,
                bucket.messages,
                bucket.bytes,
                bucket.latency.at(0.5),
                bucket.latency.at(0.95),
                bucket.latency.at(0.99),
                optional(bucket.circulation.map(|value| value.to_string())),
                optional(bucket.coins.map(|value| format!("{value:.3}"))),
            );
        }
        text
    }
}

impl State {
    fn bucket(&mut self) -> Option<&mut Bucket> {
        let elapsed = self.began?.elapsed().as_nanos();
        let index = elapsed.checked_mul(BUCKETS as u128)?.checked_div(self.length.as_nanos())?;
        let last = self.buckets.len().saturating_sub(1);
        // What ends after the last arrival counts in the last part.
        self.buckets.get_mut(usize::try_from(index).unwrap_or(last).min(last))
    }
}

fn increase(counter: &mut u64, by: u64) {
    *counter = counter.saturating_add(by);
}

fn sum<'a>(values: impl Iterator<Item = &'a u64>) -> u64 {
    values.fold(0, |sum, value| sum.saturating_add(*value))
}
