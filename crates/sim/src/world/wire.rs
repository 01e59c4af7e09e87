//! Who may look at the wire, and who may reach into it.

use std::time::Duration;

use feiqian_node::{Caller, Outgoing, Reply, Target};

use super::fabric::NodeId;

/// A call that came to its end.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Who called. The receiver of an anonymous call does not know this: a tap that stands for the receiver must
    /// not use it except to be judged by it.
    pub from: NodeId,
    /// Who was called.
    pub to: NodeId,
    /// When it was sent, since the beginning.
    pub at: Duration,
    /// The path.
    pub path: &'a str,
    /// As whom it was made.
    pub caller: Caller,
    /// The encoded request.
    pub request: &'a [u8],
    /// The encoded answer; none when it was refused or lost.
    pub answer: Option<&'a [u8]>,
}

/// Sees every call.
pub trait Tap: Send + Sync {
    /// A call ended.
    fn saw(&self, call: &Call<'_>);
}

/// Reaches into the wire, as nobody can who does not hold the keys of TLS: the protocols must hold without it.
pub trait Interceptor: Send + Sync {
    /// A request leaves.
    fn outgoing(&self, from: NodeId, to: &Target, message: &mut Outgoing);

    /// An answer comes back.
    fn incoming(&self, to: NodeId, path: &str, reply: &mut Reply);
}
