//! The four roles as this program knows them: how a home of each is made and opened.

use std::path::Path;
use std::sync::Arc;

use feiqian_crypto::Digest;
use feiqian_ledger::store::{Step, Table};
use feiqian_node::{
    Clock, Endpoint, Entropy, Home, HttpsNetwork, Identity, Seams, ServerLimits, Service, SystemClock,
    SystemEntropy, ThreadWorkers, Trust, bind,
};
use feiqian_pki::TrustedRoot;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Name, Text};
use serde_json::{Value, json};

use crate::cli::{
    Admission, BankInit, BankJoin, CenterInit, CenterJoin, MerchantInit, Settlement, WalletInit,
};
use crate::{passphrase, stores};

/// A role of the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Center,
    Bank,
    Merchant,
    Wallet,
}

const ROLES: [Role; 4] = [Role::Center, Role::Bank, Role::Merchant, Role::Wallet];

impl Role {
    /// Its word: in homes, stores and commands.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Center => "center",
            Self::Bank => "bank",
            Self::Merchant => "merchant",
            Self::Wallet => "wallet",
        }
    }

    /// All tables of its store.
    pub(crate) fn tables(self) -> Vec<&'static Table> {
        match self {
            Self::Center => feiqian_center::TABLES.to_vec(),
            Self::Bank => feiqian_bank::tables::TABLES.to_vec(),
            Self::Merchant => feiqian_merchant::tables::TABLES.to_vec(),
            Self::Wallet => feiqian_wallet::tables::TABLES.to_vec(),
        }
    }

    /// How a store of an older version comes to these tables.
    pub(crate) fn steps(self) -> &'static [Step] {
        match self {
            Self::Center => feiqian_center::STEPS,
            Self::Bank => feiqian_bank::tables::STEPS,
            Self::Wallet => feiqian_wallet::tables::STEPS,
            Self::Merchant => &[],
        }
    }

    /// The role that lives in `dir`.
    ///
    /// # Errors
    /// `WRONG_HOME` when none does.
    pub(crate) fn of_home(dir: &Path) -> Result<Self, Fault> {
        let marker = std::fs::read_to_string(dir.join("role")).unwrap_or_default();
        ROLES.into_iter().find(|role| role.name() == marker.trim()).ok_or_else(|| {
            Fault::new(Code::WrongHome, format!("{} is no home of a node", dir.display()))
                .hint("name the folder that `init` made with --home")
        })
    }
}

/// A node that is ready to be asked or run.
pub(crate) struct Opened {
    pub(crate) service: Arc<dyn Service>,
    pub(crate) trust: Arc<Trust>,
    /// Where it listens; empty for a wallet.
    pub(crate) listen: String,
    /// Fingerprint of the pinned root.
    pub(crate) root: Digest,
    /// What its server puts up with.
    pub(crate) limits: ServerLimits,
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

pub(crate) fn entropy() -> Arc<dyn Entropy> {
    Arc::new(SystemEntropy)
}

/// What production plugs into a role, and whom it believes.
pub(crate) fn seams(
    role: Role,
    home: &Home,
    root: &TrustedRoot,
    identity: Option<Arc<Identity>>,
) -> Result<(Seams, Arc<Trust>), Fault> {
    let trust = Arc::new(Trust::new(root.clone(), clock()));
    let network = Arc::new(HttpsNetwork::new(Arc::clone(&trust), identity));
    let store = stores::open(role, home)?;
    let workers = ThreadWorkers::new().map_err(|error| Fault::new(Code::Internal, error.to_string()))?;
    let workers = Arc::new(workers);
    Ok((Seams { store, network, clock: clock(), entropy: entropy(), workers }, trust))
}

/// Opens the node that lives in `home`. The caller holds the home's lock.
///
/// # Errors
/// `WRONG_HOME`, `USAGE` or `INTERNAL` for what is missing or damaged in the home.
pub(crate) async fn open(role: Role, home: &Home) -> Result<Opened, Fault> {
    match role {
        Role::Center => open_center(home).await,
        Role::Bank => open_bank(home).await,
        Role::Merchant => open_merchant(home).await,
        Role::Wallet => open_wallet(home).await,
    }
}

async fn open_center(home: &Home) -> Result<Opened, Fault> {
    let config: feiqian_center::Config = settings(Role::Center, home)?;
    let keys = feiqian_center::Keys::load(home)?;
    let (root, listen) = (keys.root.fingerprint(), config.listen.clone());
    let (identity, limits) = (Some(Arc::clone(&keys.transport)), config.shares.into());
    let (seams, trust) = seams(Role::Center, home, &keys.root, identity)?;
    let service = feiqian_center::Center::new(config, keys, seams).await?;
    Ok(Opened { service, trust, listen, root, limits })
}

async fn open_bank(home: &Home) -> Result<Opened, Fault> {
    let config: feiqian_bank::Config = settings(Role::Bank, home)?;
    let parts = feiqian_bank::load(home)?;
    let identity = Some(Arc::new(parts.keys.identity.clone()));
    let (root, listen) = (parts.keys.root.fingerprint(), config.listen);
    let (seams, trust) = seams(Role::Bank, home, &parts.keys.root, identity)?;
    let service = feiqian_bank::Bank::new(parts, seams).await?;
    if let Some(found) = service.reconcile().await? {
        let feiqian_bank::restored::Restored { spent, asked, unbooked, left, .. } = found;
        tracing::warn!(
            spent,
            asked,
            unbooked,
            left,
            "restored from a backup: the center was asked what was cleared since"
        );
    }
    Ok(Opened { service, trust, listen, root, limits: config.shares.into() })
}

async fn open_merchant(home: &Home) -> Result<Opened, Fault> {
    let config: feiqian_merchant::Config = settings(Role::Merchant, home)?;
    let keys = feiqian_merchant::Keys::load(home)?;
    let identity = Some(Arc::clone(&keys.transport));
    let (root, listen) = (keys.root.fingerprint(), config.listen);
    let (seams, trust) = seams(Role::Merchant, home, &keys.root, identity)?;
    let service = feiqian_merchant::open(home, seams).await?;
    Ok(Opened { service, trust, listen, root, limits: config.shares.into() })
}

async fn open_wallet(home: &Home) -> Result<Opened, Fault> {
    let parts = feiqian_wallet::init::load(home)?;
    let root = parts.root.fingerprint();
    let (seams, trust) = seams(Role::Wallet, home, &parts.root, parts.identity.clone())?;
    let service = feiqian_wallet::Wallet::new(parts, seams).await?;
    Ok(Opened { service, trust, listen: String::new(), root, limits: ServerLimits::default() })
}

/// Reads the settings of a home that `init` has finished.
fn settings<T: serde::de::DeserializeOwned>(role: Role, home: &Home) -> Result<T, Fault> {
    if home.path("config.toml").exists() {
        return home.read_config();
    }
    Err(Fault::new(Code::WrongHome, format!("{} is not set up to its end", home.dir().display()))
        .hint(format!("finish it with `feiqian {} init`", role.name())))
}

/// Changes where a node listens, for good. Port 0 takes a free one.
///
/// # Errors
/// `USAGE` or `CONFLICT` for an address that cannot be used, and for a wallet, which never listens.
pub(crate) async fn set_listen(role: Role, home: &Home, listen: &str) -> Result<(), Fault> {
    let listen = free(listen).await?;
    match role {
        Role::Center => {
            let mut config: feiqian_center::Config = settings(role, home)?;
            config.url = format!("https://{listen}");
            config.listen = listen;
            home.write_config(&config)
        }
        Role::Bank => {
            let mut config: feiqian_bank::Config = settings(role, home)?;
            config.listen = listen;
            home.write_config(&config)
        }
        Role::Merchant => {
            let mut config: feiqian_merchant::Config = settings(role, home)?;
            config.url = format!("https://{listen}");
            config.listen = listen;
            home.write_config(&config)
        }
        Role::Wallet => Err(Fault::new(Code::Usage, "a wallet does not listen")),
    }
}

/// The address with a real port. Nobody holds the port between now and the node's start.
async fn free(listen: &str) -> Result<String, Fault> {
    let (listener, address) = bind(listen).await?;
    drop(listener);
    Ok(match listen.rsplit_once(':') {
        Some((host, "0")) => format!("{host}:{}", address.port()),
        _ => listen.to_owned(),
    })
}

fn usage(what: &str, error: impl std::fmt::Display) -> Fault {
    Fault::new(Code::Usage, format!("{what}: {error}"))
}

pub(crate) fn endpoint(what: &str, text: &str) -> Result<Endpoint, Fault> {
    text.trim().parse().map_err(|error: feiqian_node::EndpointError| usage(what, error))
}

/// What `init` answered, how the home keeps its keys, and what to type next.
fn with_next(mut value: Value, home: &Home, next: String) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.insert("keys".to_owned(), Value::from(passphrase::said(home)));
        fields.insert("next".to_owned(), Value::from(next));
    }
    value
}

/// `center init`
///
/// # Errors
/// As the role's.
pub(crate) async fn init_center(args: &CenterInit) -> Result<Value, Fault> {
    let loopback = ["127.", "localhost:", "[::1]:"].iter().any(|start| args.listen.starts_with(start));
    let admission = match args.admission {
        Some(Admission::Open) => feiqian_center::Admission::Open,
        Some(Admission::Code) => feiqian_center::Admission::Code,
        None if loopback => feiqian_center::Admission::Open,
        None => feiqian_center::Admission::Code,
    };
    let settlement = match args.settlement {
        Settlement::Gross => feiqian_center::Settlement::Gross,
        Settlement::Net => feiqian_center::Settlement::Net,
    };
    let home = Home::create(&args.home, Role::Center.name())?;
    passphrase::found(Role::Center, &home)?;
    stores::choose(Role::Center, &home, args.store.as_deref())?;
    let options = feiqian_center::InitOptions {
        name: args.name.clone(),
        listen: args.listen.clone(),
        url: args.advertise.as_deref().map(url_of).transpose()?,
        admission,
        settlement,
        funding: Some(args.fund.clone()),
    };
    let made = feiqian_center::init(&home, options, &SystemClock, &SystemEntropy).await?;
    let url = made.get("center").cloned().unwrap_or_default();
    let mut made = with_next(made, &home, format!("feiqian center run --home {}", args.home.display()));
    if let Value::Object(fields) = &mut made {
        fields.insert("url".to_owned(), url);
    }
    Ok(made)
}

/// `center join`
///
/// # Errors
/// As the role's.
pub(crate) async fn join_center(args: &CenterJoin) -> Result<Value, Fault> {
    let of = Home::open(&args.of, Role::Center.name())?;
    passphrase::open(&of)?;
    let home = Home::create(&args.home, Role::Center.name())?;
    passphrase::found_beside(Role::Center, &of, &home)?;
    stores::share(&home, &of)?;
    let listen = free(&args.listen).await?;
    let options = feiqian_center::JoinOptions { listen: listen.clone() };
    let made = feiqian_center::join(&home, &of, options, &SystemClock, &SystemEntropy)?;
    let mut made = with_next(made, &home, format!("feiqian center run --home {}", args.home.display()));
    if let Value::Object(fields) = &mut made {
        fields.insert("url".to_owned(), Value::from(format!("https://{listen}")));
    }
    Ok(made)
}

/// `bank init`
///
/// # Errors
/// As the role's.
pub(crate) async fn init_bank(args: &BankInit) -> Result<Value, Fault> {
    let center = endpoint("--center", &args.center)?;
    let name = Name::new(args.name.as_str()).map_err(|error| usage("--name", error))?;
    let currency = args.currency.parse().map_err(|error| usage("--currency", error))?;
    let home = Home::create(&args.home, Role::Bank.name())?;
    passphrase::found(Role::Bank, &home)?;
    stores::choose(Role::Bank, &home, args.store.as_deref())?;
    let listen = free(&args.listen).await?;
    let unpinned = center.pin.fingerprint.is_none();
    let options = feiqian_bank::InitOptions {
        name,
        currency,
        center,
        listen: listen.clone(),
        advertise: args.advertise.as_deref().map(url_of).transpose()?,
        code: args.code.clone(),
        shared: args.store.is_some(),
    };
    let made = feiqian_bank::init(&home, options, clock(), entropy()).await?;
    let root = made.get("root").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut made = with_next(made, &home, format!("feiqian bank run --home {}", args.home.display()));
    if let Value::Object(fields) = &mut made {
        fields.insert("url".to_owned(), Value::from(format!("https://{listen}#sha256={root}")));
    }
    Ok(said_pinned(made, unpinned))
}

/// The URL alone of an address that may say more.
fn url_of(text: &str) -> Result<String, Fault> {
    endpoint("--advertise", text).map(|endpoint| endpoint.url().to_owned())
}

/// `bank join`
///
/// # Errors
/// As the role's.
pub(crate) async fn join_bank(args: &BankJoin) -> Result<Value, Fault> {
    let of = Home::open(&args.of, Role::Bank.name())?;
    passphrase::open(&of)?;
    let name = Name::new(args.name.as_str()).map_err(|error| usage("--name", error))?;
    let home = Home::create(&args.home, Role::Bank.name())?;
    passphrase::found_beside(Role::Bank, &of, &home)?;
    stores::share(&home, &of)?;
    let listen = free(&args.listen).await?;
    let options = feiqian_bank::JoinOptions {
        name,
        listen: listen.clone(),
        url: args.url.as_deref().map(url_of).transpose()?,
    };
    let made = feiqian_bank::join(&home, &of, options, &SystemClock, &SystemEntropy)?;
    let mut made = with_next(made, &home, format!("feiqian bank run --home {}", args.home.display()));
    if let Value::Object(fields) = &mut made {
        fields.insert("url".to_owned(), Value::from(format!("https://{listen}")));
    }
    Ok(made)
}

/// `merchant init`
///
/// # Errors
/// As the role's.
pub(crate) async fn init_merchant(args: &MerchantInit) -> Result<Value, Fault> {
    let bank = endpoint("--bank", &args.bank)?;
    let home = Home::create(&args.home, Role::Merchant.name())?;
    passphrase::found(Role::Merchant, &home)?;
    let unpinned = bank.pin.fingerprint.is_none();
    let options = feiqian_merchant::InitOptions {
        name: Text::new(args.name.as_str()).map_err(|error| usage("--name", error))?,
        bank,
        code: Text::new(args.code.trim()).map_err(|error| usage("--code", error))?,
        listen: args.listen.clone(),
        url: None,
    };
    let made = feiqian_merchant::init(&home, options, clock(), &SystemEntropy).await?;
    let text = |name: &str| made.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let url = format!("{}#sha256={}", text("url"), text("root"));
    let mut made = with_next(made, &home, format!("feiqian merchant run --home {}", args.home.display()));
    if let Value::Object(fields) = &mut made {
        fields.insert("url".to_owned(), Value::from(url));
    }
    Ok(said_pinned(made, unpinned))
}

/// `wallet init`
///
/// # Errors
/// As the role's.
pub(crate) async fn init_wallet(args: &WalletInit) -> Result<Value, Fault> {
    let bank = endpoint("--bank", &args.bank)?;
    let home = Home::create(&args.home, Role::Wallet.name())?;
    passphrase::found(Role::Wallet, &home)?;
    let unpinned = bank.pin.fingerprint.is_none();
    let options = feiqian_wallet::init::InitOptions {
        bank,
        code: args.code.clone(),
        name: args.name.clone(),
        refresh: feiqian_wallet::RefreshPolicy::default(),
    };
    let made = feiqian_wallet::init::init(&home, &options, clock(), &SystemEntropy).await?;
    let next = format!("feiqian wallet withdraw --home {} 50.00", args.home.display());
    Ok(said_pinned(with_next(made, &home, next), unpinned))
}

/// Says so when the first root seen was taken on trust.
fn said_pinned(mut made: Value, unpinned: bool) -> Value {
    if let (true, Value::Object(fields)) = (unpinned, &mut made) {
        let said =
            "the address named no fingerprint: the first root seen on this machine is trusted from now on";
        fields.insert("pinned".to_owned(), json!(said));
    }
    made
}
