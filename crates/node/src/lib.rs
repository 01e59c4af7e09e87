//! What every node shares: identity and TLS, the HTTPS server and client, typed routes, the operator's control socket,
//! the home folder, logs and figures.
//!
//! A role's service is written once, against two seams: [`Network`] (this crate) and the store. Production plugs in
//! [`HttpsNetwork`] and [`serve`]; a simulated world hands requests to the same router with [`deliver`]. Two more
//! things differ between the worlds, and come in the same way: [`Clock`] and [`Entropy`].
//!
//! ```text
//!  handler ── Routes ── Router ──┬── serve (TLS 1.3, optional client certificate) ── HttpsNetwork ── call
//!                                └── deliver (in memory) ────────────── simulated Network ───────── call
//! ```
//!
//! # Security
//!
//! * Peers are believed by role and name under one pinned root ([`Trust`]), never by DNS name.
//! * Anonymous calls share nothing with certified ones: no connection, no TLS session, no header that identifies.
//! * Keys lie in files of mode 0600 in a folder of mode 0700, encrypted where the home has a passphrase ([`sealed`]);
//!   commands come through a socket of mode 0600.

pub mod acts;
pub mod carried;
pub mod carrier;
pub mod cash;
pub mod clock;
pub mod contact;
pub mod control;
pub mod dial;
pub mod endpoint;
pub mod entropy;
pub mod fair;
#[cfg(feature = "test-faults")]
pub mod fault;
pub mod files;
pub mod home;
pub mod https;
pub mod identity;
pub mod lap;
pub mod listing;
pub mod lock;
pub mod logging;
pub mod members;
pub mod metrics;
pub mod network;
mod offline;
pub mod passphrase;
pub mod queues;
pub mod revocation;
pub mod route;
pub mod sealed;
pub mod seams;
pub mod server;
pub mod stored;
pub mod task;
mod tls;
mod trust;
pub mod workers;

pub use carrier::{Carrier, Carriers, Paths, answer_batch, present_together};
pub use cash::{CashLane, cash_lane, check_redeemed};
pub use clock::{Clock, ManualClock, RuntimeClock, SystemClock};
pub use contact::first_contact;
pub use control::ControlSocket;
pub use dial::Dialer;
pub use endpoint::{Endpoint, EndpointError, TrustPin};
pub use entropy::{Entropy, StreamEntropy, SystemEntropy};
pub use fair::{PeerAddress, Shares};
pub use home::{Home, bind};
pub use https::HttpsNetwork;
pub use identity::Identity;
pub use lap::Lap;
pub use lock::HomeLock;
pub use members::{Deposited, Member, MemberView, Members};
pub use network::{
    CALL_TIMEOUT, CallError, Caller, Format, Network, NetworkError, Outgoing, REPLY_LIMIT, Reply, Target,
    call, call_unlisted, call_within,
};
pub use passphrase::Passphrase;
pub use revocation::{ListSet, ListsResponse};
pub use route::{Access, Peer, PeerCertificate, Route, Routes, deliver};
pub use seams::{Seams, Service};
pub use server::{ServerIdentity, ServerLimits, serve, serve_with};
pub use stored::store_fault;
pub use task::{Backoff, Coalesced, Shutdown};
pub use tls::TlsError;
pub use trust::Trust;
pub use workers::{InlineWorkers, Lane, ThreadWorkers, Workers, offload};
