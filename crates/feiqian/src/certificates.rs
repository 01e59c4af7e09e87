//! `feiqian wallet certificate`: on a home that no wallet runs in, since its keys change.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use feiqian_node::{Home, HttpsNetwork, SystemClock, Trust};
use feiqian_wallet::certificate;
use feiqian_wire::error::{Code, Fault};
use serde_json::Value;

use crate::cli::Certificate;
use crate::output;
use crate::passphrase;
use crate::roles::Role;

/// How long a command that works in the home is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Carries the command out.
///
/// # Errors
/// `LOCKED` while a wallet runs in the home; those of the bank.
pub(crate) async fn run(what: Certificate, as_json: bool) -> Result<(), Fault> {
    let dir = match &what {
        Certificate::List(at) | Certificate::Renew(at) => &at.home,
        Certificate::Apply { at, .. } | Certificate::Revoke { at, .. } | Certificate::Delete { at, .. } => {
            &at.home
        }
    };
    let home = Home::open(dir, Role::Wallet.name())?;
    let lock = home.lock(PATIENCE).await.map_err(|fault| match fault.code {
        Code::Locked => fault.hint("stop the wallet that runs there: it has its keys in use"),
        _ => fault,
    })?;
    passphrase::open(&home)?;
    let network = network(&home, dir)?;
    let answer: Value = match &what {
        Certificate::List(_) => certificate::list(&home, &network, &SystemClock).await?,
        Certificate::Apply { code, .. } => certificate::apply(&home, code, &network, &SystemClock).await?,
        Certificate::Renew(_) => certificate::renew(&home, &network, &SystemClock).await?,
        Certificate::Revoke { serial, compromised, .. } => {
            certificate::revoke(&home, serial, *compromised, &network).await?
        }
        Certificate::Delete { force, .. } => {
            certificate::delete(&home, *force, &network, &SystemClock).await?
        }
    };
    drop(lock);
    output::result(&answer, as_json);
    Ok(())
}

/// With the wallet's certificate where it still has one.
fn network(home: &Home, dir: &Path) -> Result<HttpsNetwork, Fault> {
    let missing = || Fault::new(Code::WrongHome, format!("{} lacks the center's root", dir.display()));
    let pem = home.read_key("root.pem")?.ok_or_else(missing)?;
    let text = std::str::from_utf8(&pem).map_err(|_| missing())?;
    let root = feiqian_pki::TrustedRoot::from_pem(text).map_err(|_| missing())?;
    let trust = Arc::new(Trust::new(root, Arc::new(SystemClock)));
    let identity = match feiqian_wallet::init::load(home) {
        Ok(parts) => parts.identity,
        Err(_) => None,
    };
    Ok(HttpsNetwork::new(trust, identity))
}
