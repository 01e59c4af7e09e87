//! The story, step by step. Every step says what it expects and ends the demo when it is not so.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use feiqian_wire::error::Fault;
use serde_json::{Value, json};

use super::Spoil;
use super::world::{Answer, World, broken, text_of};
use crate::output::{self, at};

/// How long work that goes on in the background may take to show.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two looks.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The demo as far as it was told.
pub(super) struct Story {
    world: World,
    quiet: bool,
    spoil: Option<Spoil>,
    steps: Vec<Value>,
    current: Step,
}

struct Step {
    title: &'static str,
    begun: Instant,
    facts: Vec<String>,
}

impl Step {
    fn new(title: &'static str) -> Self {
        Self { title, begun: Instant::now(), facts: Vec::new() }
    }
}

pub(super) type Told = Result<(), Fault>;

impl Story {
    pub(super) fn new(world: World, quiet: bool, spoil: Option<Spoil>) -> Self {
        Self { world, quiet, spoil, steps: Vec::new(), current: Step::new("beginning") }
    }

    /// Tells everything.
    ///
    /// # Errors
    /// `BROKEN_INVARIANT` with the title of the step that broke and how.
    pub(super) async fn tell(&mut self) -> Told {
        let told = self.tell_all().await;
        told.map_err(|fault| {
            let number = self.steps.len().saturating_add(1);
            broken(format!("step {number} ({}): {}", self.current.title, fault.message))
        })
    }

    /// Ends all processes; answers the steps that held and the number of processes there were.
    pub(super) async fn end(mut self) -> (Vec<Value>, u32) {
        self.world.end().await;
        (self.steps, self.world.processes())
    }

    async fn tell_all(&mut self) -> Told {
        self.found_center().await?;
        self.found_banks().await?;
        self.open_accounts().await?;
        self.withdraw().await?;
        self.pay_across_banks().await?;
        self.divide().await?;
        self.refund().await?;
        self.pass_on().await?;
        self.rob().await?;
        self.crash().await?;
        self.deposit().await?;
        self.audit().await?;
        self.tell_of_offline_cash().await?;
        self.tell_of_cheques().await
    }

    /// Where a node listens.
    pub(super) fn address(&self, name: &str) -> Result<String, Fault> {
        self.world.url(name).map(str::to_owned)
    }

    /// Starts the node in the home `name`.
    pub(super) async fn start(&mut self, role: &str, name: &str) -> Told {
        self.world.start(role, name).await
    }

    /// Ends the node in the home `name` as a power cut would.
    pub(super) async fn kill(&mut self, name: &str) -> Told {
        self.world.kill(name).await
    }

    /// The folder of a home.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.world.home(name)
    }

    async fn found_center(&mut self) -> Told {
        self.begin("The verification center opens");
        self.ok(&["center", "init", "--home", "@center", "--name", "center"]).await?;
        self.world.start("center", "center").await?;
        let url = self.world.url("center")?.to_owned();
        self.note(format!("it listens at {}", shortened(&url)));
        self.done()
    }

    async fn found_banks(&mut self) -> Told {
        self.begin("Two banks become members");
        let center = self.world.url("center")?.to_owned();
        for bank in ["north", "south"] {
            let home = format!("@{bank}");
            self.ok(&["bank", "init", "--home", &home, "--name", bank, "--center", &center]).await?;
        }
        for bank in ["north", "south"] {
            self.world.start("bank", bank).await?;
            self.pinned(&format!("@{bank}")).await?;
            let url = shortened(self.world.url(bank)?);
            self.note(format!("bank {bank} listens at {url}; its settlement account holds 1000000.00"));
        }
        self.done()
    }

    /// Waits until the bank's keys stand in the log that the center shows to everybody.
    async fn pinned(&mut self, home: &str) -> Told {
        let begun = Instant::now();
        loop {
            let status = self.ok(&["bank", "status", "--home", home]).await?;
            let keysets = at(&status, "keysets").as_array().into_iter().flatten();
            if keysets.into_iter().any(|keyset| *at(keyset, "pinned") == true) {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                return Err(broken(format!("the keys of the bank at {home} are not pinned")));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn open_accounts(&mut self) -> Told {
        self.begin("Three people open accounts at north, a shop at south");
        let (north, south) = (self.world.url("north")?.to_owned(), self.world.url("south")?.to_owned());
        for person in ["alice", "bob", "carol"] {
            let code = self.enrol("@north", person, "customer").await?;
            let home = format!("@{person}");
            let arguments =
                ["wallet", "init", "--home", &home, "--name", person, "--bank", &north, "--code", &code];
            let made = self.ok(&arguments).await?;
            let words = made.get("words").map_or(0, |words| match words {
                Value::String(words) => words.split_whitespace().count(),
                Value::Array(words) => words.len(),
                _ => 0,
            });
            self.same("words that restore the wallet", &words.to_string(), "24")?;
        }
        let code = self.enrol("@south", "shop", "merchant").await?;
        let arguments =
            ["merchant", "init", "--home", "@shop", "--name", "shop", "--bank", &south, "--code", &code];
        self.ok(&arguments).await?;
        self.world.start("merchant", "shop").await?;
        self.ok(&["bank", "account", "fund", "--home", "@north", "--name", "alice", "--amount", "100.00"])
            .await?;
        self.note("alice pays 100.00 of base money in");
        self.done()
    }

    pub(super) async fn enrol(&mut self, bank: &str, name: &str, role: &str) -> Result<String, Fault> {
        let arguments = ["bank", "account", "open", "--home", bank, "--name", name, "--role", role];
        let opened = self.ok(&arguments).await?;
        match text_of(&opened, "code") {
            code if code.is_empty() => Err(broken(format!("no enrolment code in {opened}"))),
            code => Ok(code),
        }
    }

    async fn withdraw(&mut self) -> Told {
        self.begin("Alice withdraws 50.00 as coins that the bank has signed and never seen");
        self.ok(&["wallet", "withdraw", "--home", "@alice", "50.00"]).await?;
        let expected = if self.spoil == Some(Spoil::Expectation) { "50.01" } else { "50.00" };
        let coins = self.holds("alice", expected).await?;
        self.account("@north", "alice", "50.00").await?;
        self.note(format!("{coins} coins in her wallet, 50.00 left on her account"));
        self.done()
    }

    async fn pay_across_banks(&mut self) -> Told {
        self.begin("She pays 12.50 to the shop, whose bank is another one");
        if self.spoil == Some(Spoil::Node) {
            self.world.kill("north").await?;
        }
        let uri = self.request("12.50", "A-1").await?;
        let begun = Instant::now();
        let paid = self.ok(&["wallet", "pay", "--home", "@alice", &uri]).await?;
        self.same("outcome", &text_of(&paid, "outcome"), "paid")?;
        self.same("amount", &text_of(&paid, "amount"), "12.50")?;
        let payment = text_of(&paid, "payment");
        self.note(format!(
            "request of {} bytes; paid, cleared and settled in {} ms: payment {}…",
            uri.len(),
            begun.elapsed().as_millis(),
            payment.get(..16).unwrap_or(&payment),
        ));
        self.holds("alice", "37.50").await?;
        self.account("@south", "shop", "12.50").await?;
        self.note("alice 37.50, the shop's account at south 12.50");
        self.done()
    }

    async fn divide(&mut self) -> Told {
        self.begin("She pays 3.33 with a part of a coin and takes the rest as new coins");
        let uri = self.request("3.33", "A-2").await?;
        let paid = self.ok(&["wallet", "pay", "--home", "@alice", &uri]).await?;
        self.same("outcome", &text_of(&paid, "outcome"), "paid")?;
        let coins = self.holds("alice", "34.17").await?;
        self.account("@south", "shop", "15.83").await?;
        self.note(format!("34.17 in {coins} coins; nothing ties the change to the coin it came from"));
        self.done()
    }

    async fn refund(&mut self) -> Told {
        self.begin("The shop gives 2.00 of the first order back, she stays unknown");
        self.ok(&["merchant", "refund", "--home", "@shop", "--order", "A-1", "--amount", "2.00"]).await?;
        self.refreshes_to("alice", "36.17").await?;
        self.account("@south", "shop", "13.83").await?;
        self.note("alice 36.17, the shop 13.83");
        self.done()
    }

    async fn pass_on(&mut self) -> Told {
        self.begin("Alice pays Bob, who is not there, and Bob pays Carol");
        let uri = self.uri(&["wallet", "request", "--home", "@bob", "5.00"]).await?;
        let paid = self.ok(&["wallet", "pay", "--home", "@alice", &uri]).await?;
        self.same("outcome", &text_of(&paid, "outcome"), "delivered")?;
        self.note("5.00 wait for Bob in a sealed drop box at his bank");
        self.world.start("wallet", "bob").await?;
        self.ok(&["wallet", "receive", "--home", "@bob"]).await?;
        self.holds("bob", "5.00").await?;
        self.note("Bob's wallet starts, collects and changes them into coins of its own");
        let uri = self.uri(&["wallet", "request", "--home", "@carol", "3.00"]).await?;
        let paid = self.ok(&["wallet", "pay", "--home", "@bob", &uri]).await?;
        self.same("outcome", &text_of(&paid, "outcome"), "delivered")?;
        self.ok(&["wallet", "receive", "--home", "@carol"]).await?;
        self.holds("carol", "3.00").await?;
        self.holds("bob", "2.00").await?;
        self.holds("alice", "31.17").await?;
        self.note("alice 31.17, bob 2.00, carol 3.00; the bank knows of neither payment who made it");
        self.done()
    }

    async fn rob(&mut self) -> Told {
        self.begin("A thief copies Alice's wallet; both pay from it");
        copy(&self.world.home("alice"), &self.world.home("thief"))
            .map_err(|error| broken(format!("cannot copy the home: {error}")))?;
        let uri = self.request("1.25", "A-3").await?;
        let paid = self.ok(&["wallet", "pay", "--home", "@alice", &uri]).await?;
        self.same("outcome", &text_of(&paid, "outcome"), "paid")?;
        let stolen = self.request("31.17", "T-1").await?;
        self.refused(&["wallet", "pay", "--home", "@thief", &stolen], "DOUBLE_SPENT").await?;
        let evidence = evidence_in(&self.world.home("shop"))?;
        let bytes = std::fs::metadata(&evidence).map_or(0, |file| file.len());
        self.note(format!("the thief's payment is refused, with evidence of {bytes} bytes"));
        let (file, root) = (evidence.display().to_string(), self.root()?);
        let checked = self.ok(&["verify", &file, "--root", &root]).await?;
        self.same("valid", &at(&checked, "valid").to_string(), "true")?;
        self.same("trusted", &at(&checked, "trusted").to_string(), "true")?;
        let unvouched = self.ok(&["verify", &file]).await?;
        self.same("trusted without a root", &at(&unvouched, "trusted").to_string(), "false")?;
        self.note(format!(
            "`feiqian verify` agrees: {} signed away of a coin of {}",
            text_of(&checked, "signed"),
            text_of(&checked, "value"),
        ));
        self.holds("alice", "29.92").await?;
        self.account("@south", "shop", "15.08").await?;
        std::fs::remove_dir_all(self.world.home("thief"))
            .map_err(|error| broken(format!("cannot remove the copy: {error}")))?;
        self.done()
    }

    async fn crash(&mut self) -> Told {
        self.begin("In the middle of a payment the shop and its bank are killed");
        let uri = self.request("4.92", "A-4").await?;
        self.world.kill("south").await?;
        let first = self.command(&["wallet", "pay", "--home", "@alice", &uri]).await?;
        let said = match &first {
            Ok(paid) => text_of(paid, "outcome"),
            Err((code, _)) => code.clone(),
        };
        if said == "paid" {
            return Err(broken("paid although the bank is dead"));
        }
        self.note(format!("Alice is told: {said}"));
        self.world.kill("shop").await?;
        self.note("the shop is killed as well; both start again");
        self.world.start("bank", "south").await?;
        self.world.start("merchant", "shop").await?;
        let waited = self.pays_in_the_end("alice", &uri).await?;
        self.note(format!("the payment goes through by itself after {waited} ms"));
        self.refreshes_to("alice", "25.00").await?;
        self.account("@south", "shop", "20.00").await?;
        self.note("alice 25.00, the shop 20.00: nothing lost, nothing twice");
        self.done()
    }

    async fn deposit(&mut self) -> Told {
        self.begin("Alice puts 10.00 back on her account");
        self.ok(&["wallet", "deposit", "--home", "@alice", "10.00"]).await?;
        self.holds("alice", "15.00").await?;
        self.account("@north", "alice", "60.00").await?;
        self.note("15.00 in coins, 60.00 on the account");
        self.done()
    }

    async fn audit(&mut self) -> Told {
        self.begin("An audit recomputes the books of all seven homes");
        let homes = ["@center", "@north", "@south", "@shop", "@alice", "@bob", "@carol"];
        let mut arguments = vec!["audit"];
        for home in homes {
            arguments.extend(["--home", home]);
        }
        let audited = self.ok(&arguments).await?;
        self.same("held", &at(&audited, "held").to_string(), "true")?;
        let invariants = at(&audited, "invariants").as_array().map_or(0, Vec::len);
        if invariants == 0 {
            return Err(broken("the audit checked nothing"));
        }
        self.note(format!("{invariants} invariants hold"));
        self.done()
    }
}

/// What steps are made of.
impl Story {
    pub(super) fn begin(&mut self, title: &'static str) {
        self.current = Step::new(title);
        if !self.quiet {
            output::line(&format!("\n{:>2}  {title}", self.steps.len().saturating_add(1)));
        }
    }

    pub(super) fn note(&mut self, fact: impl Into<String>) {
        let fact = fact.into();
        if !self.quiet {
            output::line(&format!("    {fact}"));
        }
        self.current.facts.push(fact);
    }

    pub(super) fn done(&mut self) -> Told {
        let milliseconds = u64::try_from(self.current.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        if !self.quiet {
            output::line(&format!("    ✓ {milliseconds} ms"));
        }
        self.steps.push(json!({
            "step": self.steps.len().saturating_add(1),
            "title": self.current.title,
            "facts": self.current.facts,
            "milliseconds": milliseconds,
        }));
        Ok(())
    }

    pub(super) async fn command(&mut self, arguments: &[&str]) -> Result<Answer, Fault> {
        self.world.command(arguments).await
    }

    pub(super) async fn ok(&mut self, arguments: &[&str]) -> Result<Value, Fault> {
        let what = arguments.iter().take(3).copied().collect::<Vec<_>>().join(" ");
        let answer = self.command(arguments).await?;
        answer.map_err(|(code, message)| broken(format!("`{what}` was refused: {code}: {message}")))
    }

    pub(super) async fn refused(&mut self, arguments: &[&str], expected: &str) -> Told {
        match self.command(arguments).await? {
            Ok(value) => Err(broken(format!("expected was {expected}, but it succeeded: {value}"))),
            Err((code, _)) => self.same("refusal", &code, expected),
        }
    }

    #[allow(clippy::unused_self, reason = "reads as a sentence at the call")]
    pub(super) fn same(&self, what: &str, found: &str, expected: &str) -> Told {
        if found == expected {
            return Ok(());
        }
        Err(broken(format!("{what} is {found}, expected was {expected}")))
    }

    async fn uri(&mut self, arguments: &[&str]) -> Result<String, Fault> {
        let asked = self.ok(arguments).await?;
        match text_of(&asked, "uri") {
            uri if uri.starts_with("feiqian:") => Ok(uri),
            _ => Err(broken(format!("no feiqian: URI in {asked}"))),
        }
    }

    async fn request(&mut self, amount: &str, order: &str) -> Result<String, Fault> {
        self.uri(&["merchant", "request", "--home", "@shop", "--amount", amount, "--order", order]).await
    }

    /// The wallet holds exactly this, nothing pending; answers the number of its coins.
    async fn holds(&mut self, name: &str, expected: &str) -> Result<u64, Fault> {
        let home = format!("@{name}");
        let balance = self.ok(&["wallet", "balance", "--home", &home]).await?;
        self.same(&format!("{name}'s balance"), &text_of(&balance, "balance"), expected)?;
        self.same(&format!("{name}'s pending value"), &text_of(&balance, "pending"), "0.00")?;
        Ok(at(&balance, "coins").as_u64().unwrap_or_default())
    }

    /// The wallet holds this after refreshing, within a while: others work in the background meanwhile.
    async fn refreshes_to(&mut self, name: &str, expected: &str) -> Told {
        let home = format!("@{name}");
        let begun = Instant::now();
        loop {
            self.ok(&["wallet", "refresh", "--home", &home]).await?;
            match self.holds(name, expected).await {
                Err(_) if begun.elapsed() < PATIENCE => tokio::time::sleep(LOOK_AGAIN).await,
                held => return held.map(drop),
            }
        }
    }

    /// The account at a bank holds this, within a while.
    pub(super) async fn account(&mut self, bank: &str, name: &str, expected: &str) -> Told {
        let begun = Instant::now();
        loop {
            let listed = self.ok(&["bank", "account", "list", "--home", bank]).await?;
            let found = at(&listed, "accounts")
                .as_array()
                .and_then(|accounts| accounts.iter().find(|account| *at(account, "name") == name))
                .map(|account| text_of(account, "balance"))
                .unwrap_or_default();
            match self.same(&format!("{name}'s account"), &found, expected) {
                Err(_) if begun.elapsed() < PATIENCE => tokio::time::sleep(LOOK_AGAIN).await,
                held => return held,
            }
        }
    }

    /// The same payment again until it is final; answers how long that took.
    async fn pays_in_the_end(&mut self, name: &str, uri: &str) -> Result<u128, Fault> {
        let home = format!("@{name}");
        let begun = Instant::now();
        loop {
            let answer = self.command(&["wallet", "pay", "--home", &home, uri]).await?;
            match answer {
                Ok(paid) if text_of(&paid, "outcome") == "paid" => return Ok(begun.elapsed().as_millis()),
                other if begun.elapsed() > PATIENCE => {
                    return Err(broken(format!("the payment does not go through: {other:?}")));
                }
                _ => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }

    pub(super) fn root(&self) -> Result<String, Fault> {
        let url = self.world.url("center")?;
        let pin = url.split_once("#sha256=").map(|(_, fingerprint)| fingerprint.to_owned());
        pin.ok_or_else(|| broken(format!("{url} names no root")))
    }
}

/// An address with its fingerprint cut short, for reading.
fn shortened(url: &str) -> String {
    match url.split_once("#sha256=") {
        Some((address, print)) => format!("{address}#sha256={}…", print.get(..12).unwrap_or(print)),
        None => url.to_owned(),
    }
}

/// Copies a home as a thief does: all files of a wallet at rest.
pub(super) fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The one file of evidence in a merchant's home.
fn evidence_in(home: &Path) -> Result<PathBuf, Fault> {
    let failed = |error: std::io::Error| broken(format!("cannot look into {}: {error}", home.display()));
    for entry in std::fs::read_dir(home).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_string_lossy().starts_with("evidence-") {
            return Ok(entry.path());
        }
    }
    Err(broken("the merchant kept no evidence"))
}
