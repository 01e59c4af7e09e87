//! `feiqian audit`: each home recomputed from its primary rows, then all of them compared with one another.
//!
//! Each store is read in one snapshot, read-only, beside a node that may go on working. Snapshots of several homes are
//! not taken at one instant: where homes disagree they are read again, and only a disagreement that stays while
//! nothing moves (or that outlasts ten looks) counts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use feiqian_ledger::audit::{Finding, Report, check_book, check_rows};
use feiqian_ledger::store::{StoreError, StoreExt as _, Tx};
use feiqian_node::{Entropy as _, Home, SystemEntropy};
use feiqian_wire::error::{Code, Fault};
use serde_json::{Value, json};

use crate::output::{self, at, set};
use crate::roles::Role;
use crate::stores::{self, Reader};
use feiqian_sim::audit::INVARIANTS;
use feiqian_sim::audit::books::{BankBooks, CenterBooks, MerchantBooks, WalletBooks};
use feiqian_sim::audit::conserve::{Compared, World};
use feiqian_sim::audit::slice::Slice;

/// Looks at most this often while homes disagree.
const LOOKS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(300);

/// A home to audit.
struct Place {
    dir: PathBuf,
    role: Role,
    /// Role and folder, for findings.
    label: String,
}

/// What one look at all homes brought.
struct Look {
    world: World,
    /// Of the homes one by one: label and finding.
    findings: Vec<(String, Finding)>,
    /// Homes that were made from a backup: label, the backup's time, and when.
    restored: Vec<(String, Value)>,
    accounts: u64,
    transfers: u64,
}

/// Audits the homes; answers the exit code: 4 when an invariant is broken.
///
/// # Errors
/// `WRONG_HOME` for a folder that is none; `USAGE` for settings that cannot be read.
pub(crate) async fn run(homes: &[PathBuf], as_json: bool) -> Result<u8, Fault> {
    let places = homes.iter().map(|dir| Place::of(dir)).collect::<Result<Vec<_>, _>>()?;
    let (look, compared) = settle(&places).await?;
    let result = result(&places, &look, &compared);
    let held = *at(&result, "held") == Value::Bool(true);
    if as_json {
        output::line(&result.to_string());
    } else {
        show(&result);
    }
    Ok(if held { 0 } else { output::exit_code(&Fault::new(Code::BrokenInvariant, "")) })
}

/// Looks until the homes agree, or disagree without moving.
async fn settle(places: &[Place]) -> Result<(Look, Compared), Fault> {
    let mut before: Option<World> = None;
    let mut looks = 0_u32;
    loop {
        let look = look(places).await?;
        let compared = look.world.compare();
        looks = looks.saturating_add(1);
        let stands = before.as_ref() == Some(&look.world);
        if compared.findings.is_empty() || stands || looks >= LOOKS {
            return Ok((look, compared));
        }
        before = Some(look.world);
        tokio::time::sleep(PAUSE).await;
    }
}

async fn look(places: &[Place]) -> Result<Look, Fault> {
    let mut look = Look {
        world: World::default(),
        findings: Vec::new(),
        restored: Vec::new(),
        accounts: 0,
        transfers: 0,
    };
    for place in places {
        if let Err(fault) = place.read(&mut look).await {
            if fault.code == Code::WrongHome || fault.code == Code::Usage {
                return Err(fault);
            }
            let finding = Finding::new(7, "store.db", fault.message.as_str());
            look.findings.push((place.label.clone(), finding));
        }
    }
    Ok(look)
}

impl Place {
    fn of(dir: &Path) -> Result<Self, Fault> {
        let role = Role::of_home(dir)?;
        Ok(Self { dir: dir.to_owned(), role, label: format!("{} {}", role.name(), dir.display()) })
    }

    async fn read(&self, look: &mut Look) -> Result<(), Fault> {
        let damaged = |error: &dyn std::fmt::Display| Fault::new(Code::Internal, error.to_string());
        let home = Home::open(&self.dir, self.role.name())?;
        let Some(store) = Reader::open(self.role, &home)? else {
            if stores::was_used(&home) {
                let finding = Finding::new(7, "store.db", "it is missing, and the home has been used");
                look.findings.push((self.label.clone(), finding));
            }
            // A node that was created and never used: there is nothing to recompute, but it is here.
            if let Reading::Wallet(config, _) = Reading::new(self.role, &home)? {
                look.world.wallets.push(WalletBooks::unused(&config));
            }
            return Ok(());
        };
        for text in store.check_integrity().await.map_err(|error| damaged(&error))? {
            look.findings.push((self.label.clone(), Finding::new(7, "store.db", text)));
        }
        let restored = store.restored().await.map_err(|error| damaged(&error))?;
        look.restored.extend(
            restored.map(|(from, at)| (self.label.clone(), json!({"backup_of": from, "restored_at": at}))),
        );
        let read = Reading::new(self.role, &home)?;
        let seen =
            store.store().read(move |tx: &mut dyn Tx| read.run(tx)).await.map_err(|error| damaged(&error))?;
        look.findings.extend(seen.findings.into_iter().map(|finding| (self.label.clone(), finding)));
        look.accounts = look.accounts.saturating_add(seen.accounts);
        look.transfers = look.transfers.saturating_add(seen.transfers);
        match seen.books {
            Books::Center(books) => look.world.centers.push(books),
            Books::Bank(books) => look.world.banks.push(*books),
            Books::Wallet(books) => look.world.wallets.push(books),
            Books::Merchant(books) => look.world.merchants.push(books),
            Books::None => {}
        }
        Ok(())
    }
}

/// What one snapshot of one store showed.
struct Seen {
    findings: Vec<Finding>,
    accounts: u64,
    transfers: u64,
    books: Books,
}

enum Books {
    Center(CenterBooks),
    Bank(Box<BankBooks>),
    Wallet(WalletBooks),
    Merchant(MerchantBooks),
    /// Too damaged to be compared with others.
    None,
}

/// The key that a bank signs documents with, from its certificate: who audits need not know a passphrase.
fn signer_of(home: &Home) -> Result<[u8; 32], Fault> {
    let broken = || Fault::new(Code::WrongHome, "keys/signer-chain.pem is missing or damaged");
    let pem = home.read_key("signer-chain.pem")?.ok_or_else(broken)?;
    let text = std::str::from_utf8(&pem).map_err(|_| broken())?;
    feiqian_pki::Chain::from_pem(text).and_then(|chain| chain.leaf_key()).map_err(|_| broken())
}

/// What a wallet's secrets are sealed with, where no passphrase keeps it: who audits need not know one.
fn store_key_of(home: &Home) -> Result<Option<feiqian_wallet::StoreKey>, Fault> {
    if home.is_sealed() { Ok(None) } else { feiqian_wallet::init::store_key(home).map(Some) }
}

/// What to read of a store, with what its settings say.
enum Reading {
    Center,
    Bank(Box<feiqian_bank::Config>, feiqian_bank::audit::Audited),
    Merchant(feiqian_merchant::Config),
    Wallet(feiqian_wallet::Config, Option<feiqian_wallet::StoreKey>),
}

impl Reading {
    fn new(role: Role, home: &Home) -> Result<Self, Fault> {
        Ok(match role {
            Role::Center => Self::Center,
            Role::Bank => {
                let config: Box<feiqian_bank::Config> = Box::new(home.read_config()?);
                let signer = signer_of(home)?;
                let bank = config.name.as_str().to_owned();
                Self::Bank(config, feiqian_bank::audit::Audited { bank, signer })
            }
            Role::Merchant => Self::Merchant(home.read_config()?),
            Role::Wallet => Self::Wallet(home.read_config()?, store_key_of(home)?),
        })
    }

    const fn role(&self) -> Role {
        match self {
            Self::Center => Role::Center,
            Self::Bank(..) => Role::Bank,
            Self::Merchant(_) => Role::Merchant,
            Self::Wallet(..) => Role::Wallet,
        }
    }

    /// The role's own audit, and its book if it keeps one.
    fn own(&self, tx: &mut dyn Tx) -> Result<(Vec<Finding>, Option<Report>), StoreError> {
        Ok(match self {
            Self::Center => (feiqian_center::audit::check(tx)?.findings, Some(check_book(tx)?)),
            Self::Bank(_, audited) => {
                let audit = feiqian_bank::audit::audit(tx, audited, &mut SystemEntropy.rng())?;
                (audit.findings, Some(audit.book))
            }
            Self::Merchant(_) => (feiqian_merchant::audit::check(tx)?.findings, None),
            Self::Wallet(_, key) => {
                let audit = feiqian_wallet::audit::audit(tx, key.as_ref());
                (audit.map_err(|fault| StoreError::Corrupt(fault.message.to_string()))?.findings, None)
            }
        })
    }

    /// Everything in one transaction: the role's own audit, and what is compared with others.
    fn run(&self, tx: &mut dyn Tx) -> Result<Seen, StoreError> {
        let (mut findings, book) = match self.own(tx) {
            Ok(own) => own,
            // A row is too damaged to be understood: the checks of all rows name it.
            Err(error) => {
                let mut findings = check_rows(tx, &self.role().tables())?;
                findings.push(Finding::new(7, "store.db", error.to_string()));
                (findings, None)
            }
        };
        let (accounts, transfers) = book.map_or((0, 0), |book| (book.accounts, book.transfers));
        let books = match self {
            Self::Center => CenterBooks::read(tx).map(Books::Center),
            Self::Bank(config, _) => {
                BankBooks::read(tx, config.name.as_str(), config.currency.code(), Slice::ALL)
                    .map(|books| Books::Bank(Box::new(books)))
            }
            Self::Merchant(config) => MerchantBooks::read(tx, config, Slice::ALL).map(Books::Merchant),
            Self::Wallet(config, _) => WalletBooks::read(tx, config, Slice::ALL).map(Books::Wallet),
        };
        let books = books.unwrap_or_else(|error| {
            findings.push(Finding::new(7, "store.db", error.to_string()));
            Books::None
        });
        Ok(Seen { findings, accounts, transfers, books })
    }
}

fn result(places: &[Place], look: &Look, compared: &Compared) -> Value {
    let all: Vec<(String, &Finding)> = look
        .findings
        .iter()
        .map(|(label, finding)| (label.clone(), finding))
        .chain(compared.findings.iter().map(|finding| ("all homes".to_owned(), finding)))
        .collect();
    let findings: Vec<Value> = all
        .iter()
        .map(|(label, finding)| {
            json!({
                "invariant": finding.invariant,
                "home": label,
                "place": finding.place,
                "detail": finding.detail,
            })
        })
        .collect();
    let invariants: Vec<Value> = INVARIANTS
        .iter()
        .map(|(number, name)| {
            let held = all.iter().all(|(_, finding)| finding.invariant != *number);
            let mut invariant = json!({"invariant": number, "name": name, "held": held});
            match number {
                1 => set(
                    &mut invariant,
                    "totals",
                    json!({"accounts": look.accounts, "transfers": look.transfers}),
                ),
                3 => set(&mut invariant, "totals", compared.circulation.clone()),
                5 => set(&mut invariant, "totals", compared.settlement.clone()),
                _ => {}
            }
            invariant
        })
        .collect();
    let homes: Vec<Value> = places
        .iter()
        .map(|place| {
            let clean = look.findings.iter().all(|(label, _)| *label != place.label);
            let mut home =
                json!({"role": place.role.name(), "home": place.dir.display().to_string(), "held": clean});
            if let Some((_, restored)) = look.restored.iter().find(|(label, _)| *label == place.label) {
                set(&mut home, "restored", restored.clone());
            }
            home
        })
        .collect();
    let mut result = json!({
        "held": findings.is_empty(),
        "closed_world": compared.closed,
        "homes": homes,
        "invariants": invariants,
        "findings": findings,
    });
    if let Some((label, first)) = all.first() {
        let fault = Fault::new(Code::BrokenInvariant, format!("{label}: {first}"))
            .hint("findings lists every place; compare with a backup before the node goes on");
        set(&mut result, "error", at(&output::error_object(&fault), "error").clone());
    }
    result
}

/// The result for eyes: totals first, the verdict last.
fn show(result: &Value) {
    for (number, name) in [(3_u8, "coins, minor units"), (5, "settlement, minor units")] {
        let totals = at(result, "invariants")
            .as_array()
            .into_iter()
            .flatten()
            .find(|invariant| at(invariant, "invariant") == number)
            .map(|invariant| at(invariant, "totals").clone());
        if let Some(totals) = totals.filter(|totals| totals.as_array().is_some_and(|rows| !rows.is_empty())) {
            output::line(&output::render(&json!({ name: totals })));
        }
    }
    let verdicts: Vec<Value> = at(result, "invariants")
        .as_array()
        .into_iter()
        .flatten()
        .map(|invariant| {
            json!({"invariant": at(invariant, "invariant"), "name": at(invariant, "name"), "held": at(invariant, "held")})
        })
        .collect();
    output::line(&output::render(&json!({"homes": at(result, "homes"), "invariants": verdicts})));
    if *at(result, "held") != Value::Bool(true) {
        output::line(&output::render(&json!({"findings": at(result, "findings")})));
    }
}
