//! What a node could do at most: the same server, which gives every body back and does nothing else.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use feiqian_node::{Dialer, Home, ServerIdentity, Shutdown, SystemClock, Trust, bind, serve};
use feiqian_wire::error::{Code, Fault};
use serde_json::json;

use super::line::{self, Line};
use super::load::Operation;
use crate::cli::BenchEcho;
use crate::roles::Role;
use crate::{output, run};

/// The one path.
const PATH: &str = "/echo";

/// Serves until a signal, with the certificate of the bank in a home. The bank may run meanwhile.
///
/// # Errors
/// What is missing or damaged in the home; `INTERNAL` when it cannot listen.
pub(crate) async fn serve_echo(args: &BenchEcho) -> Result<(), Fault> {
    let internal =
        |error: &dyn std::fmt::Display| Fault::new(Code::Internal, format!("cannot listen: {error}"));
    let home = Home::open(&args.home, Role::Bank.name())?;
    let keys = feiqian_bank::load(&home)?.keys;
    let trust = Arc::new(Trust::new(keys.root.clone(), Arc::new(SystemClock)));
    let server = ServerIdentity::new(&keys.identity, trust).map_err(|error| internal(&error))?;
    let shutdown = Shutdown::new();
    shutdown.on_signals().map_err(|error| internal(&error))?;
    if args.until_input_ends {
        run::stop_with_input(shutdown.clone());
    }
    let (listener, address) = bind("127.0.0.1:0").await?;
    let url = format!("https://{address}#sha256={}", keys.root.fingerprint());
    output::line(&json!({"ready": true, "role": "echo", "url": url}).to_string());
    let router = Router::new().route(PATH, post(async |body: Bytes| body));
    serve(listener, router, Arc::new(server), shutdown).await;
    Ok(())
}

/// Sends the same body again and again.
pub(super) struct Echo {
    request: Vec<u8>,
    length: usize,
}

impl Echo {
    /// Bodies of `length` bytes.
    pub(super) fn new(dialer: &Dialer, length: usize) -> Self {
        Self { request: line::post(&dialer.authority(), PATH, &vec![0x5a; length]), length }
    }
}

impl Operation for Echo {
    async fn once(&self, line: &mut Line) -> Result<bool, Fault> {
        let length = self.length;
        match line.exchange(&self.request).await? {
            (200, body) if body.len() == length => Ok(true),
            (status, body) => Err(Fault::new(
                Code::Internal,
                format!("the echo answered {status} with {} bytes of {length}", body.len()),
            )),
        }
    }
}
