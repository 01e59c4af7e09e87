//! Fair shares: no caller, however many connections it opens, keeps the others from being served.
//!
//! Each request has a *client*: the certificate's holder, or for anonymous calls the network address. Three bounds hold
//! for the requests that a node works on, one for how fast anonymous ones arrive, and one for connections:
//!
//! | bound | of | beyond it |
//! |---|---|---|
//! | a client's share | places of the node, and of each route | its own requests wait, others' do not; after a while `BUSY` |
//! | the anonymous half | places of the node | anonymous requests wait, certified ones do not; after a while `BUSY` |
//! | a client's line | requests of a client that arrive, wait or are worked on | `BUSY` at once |
//! | the rate of an address | anonymous requests a second | `BUSY` at once |
//! | the doors | connections of an address | closed at once |
//!
//! Center and banks call one another with the requests of all their customers: for them the node's places are their share.
//! A call in memory without a certificate has no address, and is bounded as anonymous only.
//!
//! Time is the runtime's: where that is simulated, so are waits and rates, and equal runs shed equally.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use feiqian_pki::{Role, Verified};
use feiqian_wire::error::{Code, Fault};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Rates kept before those that have recovered are forgotten.
const RATES: usize = 8192;

/// How much of a node one caller may take: table `[shares]` of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shares {
    /// Requests that the node works on at a time: 1,024.
    pub requests: usize,
    /// How many of them may be anonymous: 512.
    pub anonymous: usize,
    /// How many of them one address may have: 128. All who share an address share this.
    pub per_address: usize,
    /// How many of them one customer or merchant may have: 256.
    pub per_certificate: usize,
    /// Requests of one caller that may be open in any way, also arriving or waiting: 1,024.
    pub line: usize,
    /// How long a request waits for a place, milliseconds: 2,000.
    pub patience_ms: u64,
    /// Anonymous requests a second of one address, in bursts to twice as many: 2,000; 0 for no limit.
    pub per_second: u64,
    /// Connections of one address: 1,024; further ones are closed.
    pub connections: usize,
}

impl Default for Shares {
    fn default() -> Self {
        Self {
            requests: 1024,
            anonymous: 512,
            per_address: 128,
            per_certificate: 256,
            line: 1024,
            patience_ms: 2000,
            per_second: 2000,
            connections: 1024,
        }
    }
}

impl Shares {
    /// What a till starts with: nearly all who call it are anonymous payers, who share the shop's own address at worst, and
    /// each payment is a request of the till to its bank.
    #[must_use]
    pub const fn of_a_till() -> Self {
        Self {
            requests: 256,
            anonymous: 240,
            per_address: 64,
            per_certificate: 16,
            line: 256,
            patience_ms: 2000,
            per_second: 200,
            connections: 128,
        }
    }

    /// Reads a table of the settings; what it does not name stays as here.
    ///
    /// # Errors
    /// A name that is no share, or a value that is no number.
    pub fn or_as_said<'de, D: Deserializer<'de>>(self, said: D) -> Result<Self, D::Error> {
        let said = toml::Table::deserialize(said)?;
        let mut all = toml::Table::try_from(self).map_err(D::Error::custom)?;
        all.extend(said);
        all.try_into().map_err(D::Error::custom)
    }

    /// Checks that somebody can be served.
    ///
    /// # Errors
    /// `USAGE` for a share of nothing, or of more than there is.
    pub fn check(&self) -> Result<(), Fault> {
        let each = [self.anonymous, self.per_address, self.per_certificate];
        let wrong = each.iter().any(|share| !(1..=self.requests).contains(share));
        if wrong || self.line == 0 || self.connections == 0 || self.requests > Semaphore::MAX_PERMITS {
            return Err(Fault::new(
                Code::Usage,
                "config.toml: every one of `shares` is at least 1, and none above shares.requests",
            ));
        }
        Ok(())
    }
}

/// Where a request's connection comes from, in its extensions. [`crate::serve`] puts it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub IpAddr);

/// Whom a request counts for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Client {
    /// Center or bank.
    Peer(String),
    /// A customer or merchant.
    Account(String),
    /// Somebody at this address; of IPv6 the first 64 bits, which one subscriber has.
    Address(IpAddr),
    /// Somebody in memory.
    Unknown,
}

impl Client {
    pub(crate) fn of(peer: Option<&Verified>, address: Option<PeerAddress>) -> Self {
        match (peer, address) {
            (Some(peer), _) => match peer.subject.role() {
                Role::Center | Role::Bank => Self::Peer(peer.subject.to_string()),
                Role::Merchant | Role::Customer => Self::Account(peer.subject.to_string()),
            },
            (None, Some(PeerAddress(address))) => Self::Address(network(address)),
            (None, None) => Self::Unknown,
        }
    }

    const fn is_anonymous(&self) -> bool {
        matches!(self, Self::Address(_) | Self::Unknown)
    }
}

/// An address as a client is counted by it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

fn busy(reason: &str) -> Fault {
    Fault::new(Code::Busy, reason).hint("try again in a moment")
}

/// One client's requests.
#[derive(Debug)]
struct Line {
    open: usize,
    share: Arc<Semaphore>,
}

/// The places of one node.
#[derive(Debug)]
pub(crate) struct Fair {
    shares: Shares,
    all: Arc<Semaphore>,
    anonymous: Arc<Semaphore>,
    lines: Mutex<BTreeMap<Client, Line>>,
    /// When the allowance of an address will be full again: before now, it is.
    rates: Mutex<BTreeMap<Client, Instant>>,
}

impl Fair {
    pub(crate) fn new(shares: Shares) -> Self {
        Self {
            shares,
            all: Arc::new(Semaphore::new(shares.requests)),
            anonymous: Arc::new(Semaphore::new(shares.anonymous)),
            lines: Mutex::default(),
            rates: Mutex::default(),
        }
    }

    fn lines(&self) -> MutexGuard<'_, BTreeMap<Client, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn share_of(&self, client: &Client) -> usize {
        match client {
            Client::Account(_) => self.shares.per_certificate,
            Client::Address(_) => self.shares.per_address,
            Client::Peer(_) | Client::Unknown => self.shares.requests,
        }
    }

    /// A request of `client` arrives.
    ///
    /// # Errors
    /// `BUSY` when its line or its rate is full.
    pub(crate) fn enter(self: &Arc<Self>, client: Client) -> Result<Entered, Fault> {
        self.count(&client)?;
        let share = {
            let mut lines = self.lines();
            let new = || Line { open: 0, share: Arc::new(Semaphore::new(self.share_of(&client))) };
            let line = lines.entry(client.clone()).or_insert_with(new);
            let bounded = !matches!(client, Client::Peer(_) | Client::Unknown);
            if bounded && line.open >= self.shares.line {
                return Err(busy("too many requests of one caller"));
            }
            line.open = line.open.saturating_add(1);
            Arc::clone(&line.share)
        };
        Ok(Entered { fair: Arc::clone(self), client, share })
    }

    /// Takes one request off the address's allowance.
    fn count(&self, client: &Client) -> Result<(), Fault> {
        let (Client::Address(_), per_second @ 1..) = (client, self.shares.per_second) else { return Ok(()) };
        let each = Duration::from_nanos(1_000_000_000_u64.checked_div(per_second).unwrap_or(0));
        let now = Instant::now();
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        if rates.len() >= RATES {
            rates.retain(|_, full| *full > now);
        }
        let full = rates.get(client).copied().unwrap_or(now).max(now);
        let next = full.checked_add(each).unwrap_or(full);
        // Bursts to what two seconds bring.
        if next.saturating_duration_since(now) > Duration::from_secs(2) {
            return Err(busy("too many requests a second from one address"));
        }
        rates.insert(client.clone(), next);
        Ok(())
    }
}

/// A request that is in its client's line until this is dropped.
#[derive(Debug)]
pub(crate) struct Entered {
    fair: Arc<Fair>,
    client: Client,
    share: Arc<Semaphore>,
}

impl Entered {
    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// A place to be worked on, once one is free within the client's share. First come, first served among the
    /// requests of one client, and among the clients.
    ///
    /// # Errors
    /// `BUSY` when none becomes free in time.
    pub(crate) async fn place(&self) -> Result<Place, Fault> {
        let wait = async {
            // The own share first: whoever has used it up does not stand in the others' way.
            let mut permits = vec![Arc::clone(&self.share).acquire_owned().await];
            if self.client.is_anonymous() {
                permits.push(Arc::clone(&self.fair.anonymous).acquire_owned().await);
            }
            permits.push(Arc::clone(&self.fair.all).acquire_owned().await);
            permits
        };
        let patience = Duration::from_millis(self.fair.shares.patience_ms);
        let permits = tokio::time::timeout(patience, wait)
            .await
            .map_err(|_| busy("the node has more requests than it can work on"))?;
        // Nobody closes these semaphores, so every permit is one.
        Ok(Place { _permits: permits.into_iter().flatten().collect() })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut lines = self.fair.lines();
        let Some(line) = lines.get_mut(&self.client) else { return };
        line.open = line.open.saturating_sub(1);
        if line.open == 0 {
            lines.remove(&self.client);
        }
    }
}

/// A request that is worked on until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permits: Vec<OwnedSemaphorePermit>,
}

/// The places of one route: never waited for. One client gets a quarter of them at most, unless they are so few that
/// a quarter is none.
#[derive(Debug)]
pub(crate) struct Seats {
    free: usize,
    share: usize,
    held: Mutex<(usize, BTreeMap<Client, usize>)>,
}

impl Seats {
    pub(crate) fn new(seats: usize) -> Self {
        Self { free: seats, share: seats.div_ceil(4), held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, (usize, BTreeMap<Client, usize>)> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// # Errors
    /// `BUSY` when the route or the client's part of it is full.
    pub(crate) fn take<'a>(&'a self, client: &'a Client) -> Result<Seat<'a>, Fault> {
        let mut held = self.held();
        let own = held.1.get(client).copied().unwrap_or(0);
        let bounded = matches!(client, Client::Account(_) | Client::Address(_));
        if held.0 >= self.free || (bounded && own >= self.share) {
            return Err(busy("too many such requests at a time"));
        }
        held.0 = held.0.saturating_add(1);
        held.1.insert(client.clone(), own.saturating_add(1));
        Ok(Seat { seats: self, client })
    }
}

/// A seat taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Seat<'a> {
    seats: &'a Seats,
    client: &'a Client,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut held = self.seats.held();
        held.0 = held.0.saturating_sub(1);
        let own = held.1.get(self.client).copied().unwrap_or(0);
        match own {
            0 | 1 => drop(held.1.remove(self.client)),
            more => drop(held.1.insert(self.client.clone(), more.saturating_sub(1))),
        }
    }
}

/// The connections of a server, counted by address.
#[derive(Clone, Debug)]
pub(crate) struct Doors {
    each: usize,
    open: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
}

impl Doors {
    pub(crate) fn new(each: usize) -> Self {
        Self { each, open: Arc::default() }
    }

    /// Lets a connection in; none when its address has as many as it may.
    pub(crate) fn enter(&self, address: IpAddr) -> Option<Inside> {
        let address = network(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_insert(0);
        if *count >= self.each {
            return None;
        }
        *count = count.saturating_add(1);
        Some(Inside { doors: self.clone(), address })
    }
}

/// A connection until this is dropped.
#[derive(Debug)]
pub(crate) struct Inside {
    doors: Doors,
    address: IpAddr,
}

impl Inside {
    pub(crate) const fn address(&self) -> PeerAddress {
        PeerAddress(self.address)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let mut open = self.doors.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&self.address) {
            Some(count) if *count > 1 => *count = count.saturating_sub(1),
            _ => drop(open.remove(&self.address)),
        }
    }
}

#[cfg(test)]
#[path = "fair_tests.rs"]
mod tests;
