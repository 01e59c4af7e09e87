//! The passphrase of a home: where it comes from, and `passphrase change`.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use feiqian_node::sealed::Cost;
use feiqian_node::{Home, Passphrase, SystemClock};
use feiqian_wire::error::{Code, Fault};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::acts;
use crate::cli::PassphraseCommand;
use crate::output;
use crate::roles::Role;

/// How long a command that works in the home is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What `--passphrase-file` or the environment says: of one process, as they are.
static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();

/// Takes what the command line says; the first call decides.
pub(crate) fn told(file: Option<PathBuf>) {
    let _ = FILE.set(file);
}

fn from_file() -> Result<Option<Passphrase>, Fault> {
    FILE.get().and_then(Option::as_deref).map(Passphrase::read_file).transpose()
}

/// Whether somebody sits there who can be asked.
fn somebody_there() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks at the terminal, which shows nothing of it.
fn prompt(question: &str) -> Result<Zeroizing<String>, Fault> {
    rpassword::prompt_password(question).map(Zeroizing::new).map_err(|error| {
        Fault::new(Code::Usage, format!("no passphrase can be read from the terminal: {error}"))
    })
}

/// Asks for a new passphrase, twice.
fn prompt_new() -> Result<Passphrase, Fault> {
    let first = prompt("New passphrase for the keys in this home (empty: they are not encrypted): ")?;
    if !first.is_empty() && *first != *prompt("The same again: ")? {
        return Err(Fault::new(Code::Usage, "the two passphrases differ"));
    }
    Passphrase::new(first.as_bytes().to_vec())
}

/// Opens the keys of a home with its passphrase, where it has one.
///
/// # Errors
/// `PASSPHRASE_INVALID` when there is none or it is wrong; `BUSY` when it is too soon after a wrong one; `USAGE` or
/// `FORBIDDEN` for a passphrase file that cannot be used.
pub(crate) fn open(home: &Home) -> Result<(), Fault> {
    if !home.is_sealed() {
        return Ok(());
    }
    let known = match from_file()? {
        Some(known) => known,
        None if somebody_there() => {
            let question = format!("Passphrase for {}: ", home.dir().display());
            Passphrase::new(prompt(&question)?.as_bytes().to_vec())?
        }
        None => {
            let text = format!("the keys in {} are under a passphrase", home.dir().display());
            return Err(Fault::new(Code::PassphraseInvalid, text)
                .hint("give it with --passphrase-file, FEIQIAN_PASSPHRASE_FILE, or at a terminal"));
        }
    };
    home.unseal(&known, &SystemClock)
}

/// Puts the keys of a new home under the passphrase that is given, or that the owner of a wallet types. A home whose
/// making was cut short keeps the one it has.
///
/// # Errors
/// As [`open`], and `USAGE` when the owner does not type the same twice.
pub(crate) fn found(role: Role, home: &Home) -> Result<(), Fault> {
    if home.is_sealed() {
        return open(home);
    }
    match from_file()? {
        Some(given) => home.change_passphrase(&given, cost(role)),
        None if role == Role::Wallet && somebody_there() => {
            home.change_passphrase(&prompt_new()?, cost(role))
        }
        None => Ok(()),
    }
}

/// The same for a home that gets the keys of the home `of`: they are not to lie open where they were not.
///
/// # Errors
/// As [`found`]; `USAGE` when the keys of `of` are under a passphrase and none is given for the new home.
pub(crate) fn found_beside(role: Role, of: &Home, home: &Home) -> Result<(), Fault> {
    found(role, home)?;
    if of.is_sealed() && !home.is_sealed() {
        let text =
            format!("the keys in {} are under a passphrase, those here would not be", of.dir().display());
        return Err(
            Fault::new(Code::Usage, text).hint("give it with --passphrase-file: both homes get the same")
        );
    }
    Ok(())
}

/// How the keys of a home lie there, in words.
pub(crate) fn said(home: &Home) -> &'static str {
    if home.is_sealed() {
        "encrypted under the passphrase; without it they cannot be opened by anybody"
    } else {
        "not encrypted: whoever reads the files of the home has them"
    }
}

const fn cost(role: Role) -> Cost {
    match role {
        Role::Wallet => Cost::WALLET,
        _ => Cost::NODE,
    }
}

/// `feiqian ROLE passphrase …`: on a home that no node runs in, since it holds the keys opened.
///
/// # Errors
/// `LOCKED` while a node runs there; as [`open`]; `USAGE` when no new passphrase is given.
pub(crate) async fn run(role: Role, what: &PassphraseCommand, as_json: bool) -> Result<(), Fault> {
    let PassphraseCommand::Change { at, new_passphrase_file } = what;
    let home = Home::open(&at.home, role.name())?;
    let _lock = home.lock(PATIENCE).await?;
    open(&home)?;
    let new = match new_passphrase_file.as_deref() {
        Some(path) => Passphrase::read_file(path)?,
        None if somebody_there() => prompt_new()?,
        None => {
            return Err(Fault::new(Code::Usage, "no new passphrase is given").hint(
                "give it with --new-passphrase-file, or at a terminal; an empty file ends encryption",
            ));
        }
    };
    acts::recorded(role, &home, "passphrase_change", || home.change_passphrase(&new, cost(role)))?;
    let answer: Value = json!({"home": home.dir().display().to_string(), "keys": said(&home)});
    output::result(&answer, as_json);
    Ok(())
}
