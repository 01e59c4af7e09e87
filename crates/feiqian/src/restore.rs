//! `feiqian wallet restore`: a wallet from its words.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use feiqian_node::{Home, files};
use feiqian_wallet::restore::counted::Counted;
use feiqian_wallet::restore::home::{RestoreOptions, prepare};
use feiqian_wallet::restore::{Pace, Progress, Watch};
use feiqian_wallet::{RefreshPolicy, Wallet};
use feiqian_wire::error::{Code, Fault};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::cli::WalletRestore;
use crate::roles::{self, Role};
use crate::{passphrase, stores};

/// How long a command that works in the home is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest file of words, in bytes.
const WORDS_LIMIT: u64 = 4096;

fn words(file: &Path) -> Result<Zeroizing<String>, Fault> {
    let failed = |error: &dyn std::fmt::Display| {
        Fault::new(Code::Usage, format!("no words can be read from {}: {error}", file.display()))
    };
    if [Path::new("stdin"), Path::new("-")].contains(&file) {
        let mut text = Zeroizing::new(String::new());
        let read = std::io::stdin().take(WORDS_LIMIT).read_to_string(&mut text);
        return read.map(|_| text).map_err(|error| failed(&error));
    }
    let bytes = files::read_bounded(file, WORDS_LIMIT).map(Zeroizing::new).map_err(|error| failed(&error))?;
    std::str::from_utf8(&bytes).map(|text| Zeroizing::new(text.to_owned())).map_err(|error| failed(&error))
}

/// Makes the home, then finds all that the words give: what [`Wallet::restore`] answers, and
/// `"requests","bytes_sent","bytes_received","milliseconds"` of this run.
///
/// # Errors
/// `LOCKED` while a wallet runs in the home; those of [`prepare`] and [`Wallet::restore`].
pub(crate) async fn run(args: &WalletRestore, as_json: bool) -> Result<Value, Fault> {
    let started = Instant::now();
    let options = RestoreOptions {
        bank: roles::endpoint("--bank", &args.bank)?,
        center: args.center.as_deref().map(|text| roles::endpoint("--center", text)).transpose()?,
        words: words(&args.words_file)?,
        code: args.code.clone(),
        name: args.name.clone(),
        refresh: RefreshPolicy::default(),
    };
    let home = Home::create(&args.home, Role::Wallet.name())?;
    let lock = home.lock(PATIENCE).await.map_err(|fault| match fault.code {
        Code::Locked => fault.hint("stop the wallet that runs there"),
        _ => fault,
    })?;
    passphrase::found(Role::Wallet, &home)?;
    let store = stores::open(Role::Wallet, &home)?;
    prepare(&home, &options, &*store, roles::clock(), &*roles::entropy()).await?;
    drop(store);
    let parts = feiqian_wallet::init::load(&home)?;
    let (mut seams, _) = roles::seams(Role::Wallet, &home, &parts.root, parts.identity.clone())?;
    let network = Arc::new(Counted::new(Arc::clone(&seams.network)));
    seams.network = Arc::clone(&network) as Arc<dyn feiqian_node::Network>;
    let wallet = Wallet::new(parts, seams).await?;
    let pace = if args.pause_ms == 0 { Pace::default() } else { Pace { ways: 1, pause_ms: args.pause_ms } };
    let mut told = wallet.restore(pace, &*watch(as_json)).await?;
    drop(lock);
    if let Value::Object(fields) = &mut told {
        let (sent, received) = network.bytes();
        let took = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        fields.insert("requests".to_owned(), json!(network.requests()));
        fields.insert("bytes_sent".to_owned(), json!(sent));
        fields.insert("bytes_received".to_owned(), json!(received));
        fields.insert("milliseconds".to_owned(), json!(took));
        let next = format!("feiqian wallet certificate renew --home {}", args.home.display());
        fields.insert("next".to_owned(), json!(next));
    }
    Ok(told)
}

/// A bar for people who look on.
fn watch(as_json: bool) -> Box<Watch> {
    if as_json || !std::io::stderr().is_terminal() {
        return Box::new(|_| {});
    }
    let bar = ProgressBar::new(0);
    let bar = match ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    };
    let bar = Mutex::new(bar);
    Box::new(move |Progress { stage, done, of }| {
        let bar = bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        bar.set_length(of as u64);
        bar.set_position(done as u64);
        bar.set_message(stage);
    })
}
