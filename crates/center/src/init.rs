//! Makes the home of a center.

use feiqian_node::{Clock, Entropy, Home, bind};
use feiqian_wire::error::{Code, Fault};
use serde::Serialize;
use serde_json::Value;

use crate::config::{Admission, Caps, Config, Settlement, default_answer, default_funding, default_keep};
use crate::keys::Keys;

/// What a center is made with.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// Its name.
    pub name: String,
    /// Where it shall listen; port 0 takes a free one, which it keeps.
    pub listen: String,
    /// Where others reach it; `https://` and the address it listens on when absent.
    pub url: Option<String>,
    /// Who becomes a member.
    pub admission: Admission,
    /// How obligations are settled.
    pub settlement: Settlement,
    /// Base money for new members; 1,000,000 major units when absent.
    pub funding: Option<String>,
}

#[derive(Serialize)]
struct Created {
    role: &'static str,
    name: String,
    listen: String,
    center: String,
    root: String,
}

/// Makes keys, the root certificate and the settings of a new center. The settings are written last: a home without
/// them is finished by the next call, with the keys it has.
///
/// Answers `{"role","name","listen","center","root"}`; `center` is the address with the root's fingerprint.
///
/// # Errors
/// `CONFLICT` when the home holds a center already; `USAGE` for settings that cannot be; `INTERNAL` when the file
/// system refuses.
pub async fn init(
    home: &Home,
    options: InitOptions,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<Value, Fault> {
    if home.path("config.toml").exists() {
        return Err(Fault::new(Code::Conflict, format!("{} holds a center already", home.dir().display()))
            .hint("start it with `feiqian center run`, or choose another folder with --home"));
    }
    let mut config = Config {
        name: options.name,
        listen: options.listen,
        url: String::new(),
        admission: options.admission,
        settlement: options.settlement,
        caps: Caps::default(),
        funding: options.funding.unwrap_or_else(default_funding),
        answer_seconds: default_answer(),
        keep_seconds: default_keep(),
        shares: feiqian_node::Shares::default(),
    };
    let url = |listen: &str| options.url.clone().unwrap_or_else(|| format!("https://{listen}"));
    // Checked before the port is taken, so that a wrong setting says so; port 0 is no address yet.
    Config { url: options.url.clone().unwrap_or_else(|| "https://localhost:1".into()), ..config.clone() }
        .check()?;
    let (listener, address) = bind(&config.listen).await?;
    drop(listener);
    if let Some((host, "0")) = config.listen.rsplit_once(':') {
        config.listen = format!("{host}:{}", address.port());
    }
    config.url = url(&config.listen);
    config.check()?;
    let keys = Keys::create(home, &config, clock.now().seconds(), &mut entropy.rng())?;
    home.write_config(&config)?;
    answer(&keys, config)
}

/// What is said of a home that was made.
fn answer(keys: &Keys, config: Config) -> Result<Value, Fault> {
    crate::command::answer(&Created {
        role: "center",
        center: keys.endpoint(&config)?,
        root: keys.root.fingerprint().to_string(),
        name: config.name,
        listen: config.listen,
    })
}

/// What a second home of a center is made with.
#[derive(Debug, Clone)]
pub struct JoinOptions {
    /// Where it listens.
    pub listen: String,
}

/// Makes a home for one more process of a center: its keys and settings are those of the home `of`, with a TLS key of its
/// own. Others reach all of them at one address, that of the settings. The caller puts its store where that of `of` is.
///
/// Answers `{"role","name","listen","center","root"}`.
///
/// # Errors
/// `CONFLICT` when the home holds a center already, `WRONG_HOME` when `of` is not fully initialised, `USAGE` for an address
/// at which open admission is refused; `INTERNAL` when the file system refuses.
pub fn join(
    home: &Home,
    of: &Home,
    options: JoinOptions,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<Value, Fault> {
    if home.path("config.toml").exists() {
        return Err(Fault::new(Code::Conflict, format!("{} holds a center already", home.dir().display())));
    }
    let mut config: Config = of.read_config()?;
    config.listen = options.listen;
    config.check()?;
    Keys::share(of, home)?;
    let keys = Keys::create(home, &config, clock.now().seconds(), &mut entropy.rng())?;
    home.write_config(&config)?;
    answer(&keys, config)
}
