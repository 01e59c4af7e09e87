//! From a scenario to nodes that are enrolled, funded and up.

use std::collections::BTreeMap;
use std::sync::Arc;

use feiqian_bank::secrets::MemorySecrets;
use feiqian_clearing::membership::About;
use feiqian_money::{Amount, Minor};
use feiqian_node::{
    Caller, Clock as _, Endpoint, Entropy as _, RuntimeClock, StreamEntropy, Target, TrustPin, call,
};
use feiqian_online_cash::account::{EnrolRequest, EnrolResponse};
use feiqian_pki::{Authority, CertificateRequest, KeyPair, Role, Subject, TrustedRoot};
use feiqian_wire::error::Fault;
use feiqian_wire::{Blob, Name, Text};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::clock::{BEGINNING, NodeClock};
use super::fabric::{Fabric, NodeId, Port};
use super::node::{BankRecipe, MerchantRecipe, Node, Recipe, Running, WalletRecipe, bytes_of, internal};
use super::{Watch, World};
use crate::error::SimError;
use crate::measure::Measures;
use crate::scenario::{Mode, Scenario};

const CENTER_URL: &str = "https://center.sim:443";
/// How often a bank asks the center for news by itself, seconds.
const BANK_NEWS: u64 = 300;
/// How often a merchant does.
const MERCHANT_NEWS: u64 = 3600;

/// A world while it is built.
struct Builder<'a> {
    scenario: &'a Scenario,
    fabric: Arc<Fabric>,
    nodes: BTreeMap<NodeId, Node>,
    /// Who calls for those that have no certificate yet.
    porter: Port,
    root: TrustedRoot,
    center: NodeId,
    /// The first wallet: the others share with it what all know.
    first: Option<Arc<feiqian_wallet::Wallet>>,
}

pub(super) async fn build(scenario: &Scenario, watch: Watch) -> Result<World, SimError> {
    let measures = Arc::new(Measures::new(scenario.duration.0));
    let rng = StreamEntropy::new(scenario.seed, "network").rng();
    let (fabric, fallen) =
        Fabric::new(scenario.network.clone(), rng, watch.log, Arc::clone(&measures), watch.until_event);
    let mut builder = Builder::found(scenario, fabric).await?;
    let mut banks = Vec::new();
    for (name, _) in scenario.banks() {
        banks.push(builder.bank(&name).await?);
    }
    for bank in &banks {
        builder.bank_at(*bank)?.sync().await?;
    }
    let bank_of_merchant = spread(scenario, scenario.population.merchants.count);
    let mut merchants = Vec::new();
    for (number, bank) in bank_of_merchant.iter().enumerate() {
        merchants.push(builder.merchant(number, *banks.get(*bank).ok_or_else(no_bank)?).await?);
    }
    let mut bank_of_wallet = spread(scenario, scenario.population.wallets);
    // Crooks are at all banks by turns: some attacks need two.
    let crooks = 0..crate::adversary::crooks(scenario);
    bank_of_wallet.extend(crooks.map(|number| number.checked_rem(banks.len()).unwrap_or(0)));
    let mut wallets = Vec::new();
    for (number, bank) in bank_of_wallet.iter().enumerate() {
        wallets.push(builder.wallet(number, *banks.get(*bank).ok_or_else(no_bank)?).await?);
    }
    let mut bank_names = Vec::new();
    for bank in &banks {
        let bank = builder.bank_at(*bank)?;
        bank_names.push((bank.name().to_owned(), bank.signing_key()));
    }
    let recipe = |node: &NodeId| builder.nodes.get(node).map(|node| &node.recipe);
    let wallet_configs = wallets.iter().map(|wallet| match recipe(wallet) {
        Some(Recipe::Wallet(recipe)) => Ok(recipe.config.clone()),
        _ => Err(internal("not a wallet")),
    });
    let wallet_configs = wallet_configs.collect::<Result<Vec<_>, Fault>>()?;
    let merchant_configs = merchants.iter().map(|merchant| match recipe(merchant) {
        Some(Recipe::Merchant(recipe)) => Ok(recipe.config.clone()),
        _ => Err(internal("not a merchant")),
    });
    let merchant_configs = merchant_configs.collect::<Result<Vec<_>, Fault>>()?;
    let Builder { fabric, nodes, root, center, .. } = builder;
    let databases = nodes.iter().map(|(id, node)| (*id, Arc::clone(&node.database))).collect();
    let nodes = nodes.into_iter().map(|(id, node)| (id, Arc::new(Mutex::new(node)))).collect();
    let scenario = Arc::new(scenario.clone());
    let (supervisor, operator) = (None, None);
    let mut world = World {
        scenario,
        fabric,
        measures,
        nodes,
        databases,
        root,
        center,
        banks,
        merchants,
        wallets,
        bank_names,
        wallet_configs,
        merchant_configs,
        hiding: std::sync::Mutex::default(),
        bank_of_wallet,
        supervisor,
        operator,
        fallen: Some(fallen),
    };
    world.prepare_faults();
    Ok(world)
}

fn no_bank() -> Fault {
    internal("there is no bank")
}

/// The index of a bank for each of `count` customers, by the banks' shares.
#[allow(clippy::float_arithmetic, reason = "shares of a population")]
fn spread(scenario: &Scenario, count: usize) -> Vec<usize> {
    let mut sum = 0.0;
    let bounds: Vec<f64> = scenario
        .banks()
        .iter()
        .map(|(_, share)| {
            sum += share;
            sum
        })
        .collect();
    let last = bounds.len().saturating_sub(1);
    let bank = |number: usize| {
        let at = ((number as f64) + 0.5) / (count as f64);
        bounds.partition_point(|bound| *bound < at).min(last)
    };
    (0..count).map(bank).collect()
}

fn field(value: &Value, name: &str) -> Result<String, Fault> {
    let text = value.get(name).and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| internal(format!("no {name} in {value}")))
}

impl<'a> Builder<'a> {
    /// The center.
    async fn found(scenario: &'a Scenario, fabric: Arc<Fabric>) -> Result<Self, Fault> {
        let mut config = feiqian_center::Config::new("center", "center.sim:443", CENTER_URL);
        config.funding = scenario.settlement.funding.clone();
        config.keep_seconds = scenario.keys.life().seconds();
        config.settlement = match scenario.settlement.mode {
            Mode::Gross => feiqian_center::config::Settlement::Gross,
            Mode::Net => feiqian_center::config::Settlement::Net,
        };
        let recipe = Recipe::Center(config);
        let mut node = Node::new(&fabric, scenario.seed, "center".to_owned(), Some(CENTER_URL), recipe)?;
        let Running::Center(center) = node.start(&fabric).await? else { return Err(internal("no center")) };
        let root = center.view().root().clone();
        let clock = Arc::new(NodeClock::new(RuntimeClock::starting_at(BEGINNING)));
        let center = node.id;
        let porter = fabric.seat("porter", "porter", None, Arc::clone(&clock));
        let trust = Arc::new(feiqian_node::Trust::new(root.clone(), clock));
        fabric.equip(porter, Arc::clone(&trust), None);
        let life = fabric.begin_life(porter);
        let porter = Port { fabric: Arc::clone(&fabric), node: porter, life, trust: Some(trust) };
        Ok(Self {
            scenario,
            fabric,
            nodes: BTreeMap::from([(center, node)]),
            porter,
            root,
            center,
            first: None,
        })
    }

    fn pinned(&self, url: &str) -> Result<Endpoint, Fault> {
        Endpoint::new(url, TrustPin { fingerprint: Some(self.root.fingerprint()) }).map_err(internal)
    }

    fn running(&self, node: NodeId) -> Result<Running, Fault> {
        let running = self.nodes.get(&node).and_then(|node| node.running.clone());
        running.ok_or_else(|| internal("a node is not up"))
    }

    fn bank_at(&self, node: NodeId) -> Result<Arc<feiqian_bank::Bank>, Fault> {
        match self.running(node)? {
            Running::Bank(bank) => Ok(bank),
            _ => Err(internal("not a bank")),
        }
    }

    async fn command(&self, node: NodeId, command: Value) -> Result<Value, Fault> {
        self.running(node)?.service().command(command).await
    }

    /// Admits, starts and registers a bank; its first keyset is pinned.
    async fn bank(&mut self, name: &str) -> Result<NodeId, Fault> {
        let (seed, schedule) = (self.scenario.seed, &self.scenario.keys);
        let invited = self.command(self.center, json!({"command": "invite", "bank": name})).await?;
        let listen = format!("{name}.bank.sim:443");
        let url = format!("https://{listen}");
        let center = self.pinned(CENTER_URL)?;
        let seeds =
            ["authority", "signer", "transport"].map(|what| bytes_of(seed, &format!("bank:{name}/{what}")));
        let [authority, signer, transport] = seeds.each_ref().map(KeyPair::from_seed);
        let options = feiqian_bank::InitOptions {
            name: Name::new(name)?,
            currency: self.scenario.currency,
            center: center.clone(),
            listen: listen.clone(),
            advertise: None,
            code: Some(field(&invited, "code")?),
            shared: false,
        };
        let now = RuntimeClock::starting_at(BEGINNING).now();
        let chain = feiqian_bank::init::admit(&self.porter, &options, &self.root, &authority, now).await?;
        let authority = Authority::from_parts(authority, chain.clone()).map_err(internal)?;
        let entropy = StreamEntropy::new(seed, &format!("keys/bank:{name}"));
        let hosts = [format!("{name}.bank.sim")];
        let keys = feiqian_bank::Keys::certify(
            self.root.clone(),
            authority,
            signer,
            transport,
            &hosts,
            now,
            &entropy,
        )?;
        let mut config =
            feiqian_bank::Config::new(options.name, options.currency, center.to_string(), listen);
        config.sync_seconds = BANK_NEWS;
        config.schedule.issue_seconds = schedule.issue.seconds();
        config.schedule.redeem_seconds = schedule.redeem.seconds();
        config.schedule.grace_seconds = schedule.grace.seconds();
        config.keep_seconds = schedule.life().seconds();
        let chains = [chain, keys.signer_chain.clone(), keys.identity.chain().clone()];
        let secrets = Arc::new(MemorySecrets::default());
        let recipe = BankRecipe { config, secrets, root: self.root.clone(), seeds, chains };
        let recipe = Recipe::Bank(Box::new(recipe));
        let mut node = Node::new(&self.fabric, seed, format!("bank:{name}"), Some(&url), recipe)?;
        let id = node.id;
        node.start(&self.fabric).await?;
        self.nodes.insert(id, node);
        self.bank_at(id)?.tend().await?;
        Ok(id)
    }

    /// Opens an account and answers with its enrolment code.
    async fn account(&self, bank: NodeId, name: &str, role: &str) -> Result<String, Fault> {
        let opened = json!({"command": "account_open", "name": name, "role": role});
        field(&self.command(bank, opened).await?, "code")
    }

    async fn merchant(&mut self, number: usize, bank: NodeId) -> Result<NodeId, Fault> {
        let (seed, name) = (self.scenario.seed, format!("shop-{number}"));
        let code = self.account(bank, &name, "merchant").await?;
        let bank_url = self.bank_at(bank)?.config().url();
        let seeds = ["signer", "transport"].map(|what| bytes_of(seed, &format!("merchant:{number}/{what}")));
        let [signer, transport] = seeds.each_ref().map(KeyPair::from_seed);
        let (host, now) = (format!("{name}.sim"), RuntimeClock::starting_at(BEGINNING).now());
        let (to, code) = (Target::anyone(bank_url.clone()), Text::new(code)?);
        let keys = (&transport, &signer);
        let enrolled =
            feiqian_merchant::enrol(&self.porter, &to, &self.root, &code, keys, &host, now).await?;
        let url = format!("https://{host}:443");
        let config = feiqian_merchant::Config {
            name: Text::new(name)?,
            bank: enrolled.bank,
            bank_url,
            account: enrolled.account,
            currency: enrolled.currency,
            center: enrolled.center,
            listen: format!("{host}:443"),
            url: url.clone(),
            expires_seconds: feiqian_merchant::config::fifteen_minutes(),
            refund_seconds: feiqian_merchant::config::thirty_days(),
            sync_seconds: MERCHANT_NEWS,
            keep_seconds: self.scenario.keys.life().seconds(),
            offline: feiqian_merchant::config::OfflineConfig::default(),
            shares: feiqian_node::Shares::of_a_till(),
        };
        let chains = [enrolled.signer, enrolled.transport];
        let recipe =
            Recipe::Merchant(Box::new(MerchantRecipe { config, root: self.root.clone(), seeds, chains }));
        let mut node = Node::new(&self.fabric, seed, format!("merchant:{number}"), Some(&url), recipe)?;
        let id = node.id;
        if let Running::Merchant(merchant) = node.start(&self.fabric).await? {
            merchant.sync().await?;
        }
        self.nodes.insert(id, node);
        Ok(id)
    }

    async fn wallet(&mut self, number: usize, bank: NodeId) -> Result<NodeId, Fault> {
        let (scenario, name) = (self.scenario, format!("customer-{number}"));
        let code = self.account(bank, &name, "customer").await?;
        let funds = scenario.population.funds.minor(scenario.currency).map_err(internal)?;
        if funds > 0 {
            let amount = Amount::new(Minor::new(funds).map_err(internal)?, scenario.currency).to_string();
            self.command(bank, json!({"command": "account_fund", "name": name, "amount": amount})).await?;
        }
        let bank = self.bank_at(bank)?;
        let url = bank.config().url();
        let seeds =
            ["signer", "transport"].map(|what| bytes_of(scenario.seed, &format!("wallet:{number}/{what}")));
        let enrolled = self.enrol(&url, bank.name(), code, &seeds).await?;
        let account = enrolled.account.as_str().to_owned();
        let mut config = feiqian_wallet::Config::new(
            enrolled.bank,
            url,
            CENTER_URL.to_owned(),
            account,
            scenario.currency,
        );
        config.refresh = scenario.wallet.refresh;
        config.selection = scenario.wallet.selection;
        config.poll_seconds = scenario.wallet.poll.seconds().max(1);
        config.keep_seconds = scenario.keys.life().seconds();
        let chains = [enrolled.signing.to_chain()?, enrolled.transport.to_chain()?];
        let mut seed = [0; 64];
        let halves =
            ["one", "two"].map(|half| bytes_of(scenario.seed, &format!("wallet:{number}/seed/{half}")));
        seed.iter_mut().zip(halves.as_flattened()).for_each(|(to, from)| *to = *from);
        let recipe =
            Recipe::Wallet(Box::new(WalletRecipe { config, root: self.root.clone(), seed, seeds, chains }));
        let mut node = Node::new(&self.fabric, scenario.seed, format!("wallet:{number}"), None, recipe)?;
        let id = node.id;
        if let Running::Wallet(wallet) = node.start(&self.fabric).await? {
            wallet.sync_members().await?;
            wallet.share_members(self.first.get_or_insert_with(|| Arc::clone(&wallet)));
        }
        node.database.release_memory();
        self.nodes.insert(id, node);
        Ok(id)
    }

    /// A customer's enrolment, as a wallet makes it.
    async fn enrol(
        &self,
        url: &str,
        bank: &str,
        code: String,
        seeds: &[[u8; 32]; 2],
    ) -> Result<EnrolResponse, Fault> {
        let to = Target::named(url, Role::Bank, bank);
        let about: About = call(&self.porter, &to, Caller::Anonymous, "/v1/about", &()).await?;
        if about.root != self.root.fingerprint() {
            return Err(internal("the bank names another root"));
        }
        let token = code.split('-').next().unwrap_or_default();
        let subject = Subject::customer(token, bank).map_err(internal)?;
        let csr = |seed: &[u8; 32]| -> Result<Blob<2048>, Fault> {
            let request =
                CertificateRequest::create(&KeyPair::from_seed(seed), &subject).map_err(internal)?;
            Ok(Blob::new(request)?)
        };
        let [signer, transport] = seeds;
        let (signing, transport) = (csr(signer)?, csr(transport)?);
        let request = EnrolRequest { code: Text::new(code)?, transport, signing, hosts: Text::default() };
        Ok(call(&self.porter, &to, Caller::Anonymous, "/v1/enrol", &request).await?)
    }
}
