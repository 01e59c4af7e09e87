//! What must agree between homes.
//!
//! * Per bank and denomination: circulation is what wallets hold (each distinct coin once, its value less what the
//!   bank has taken) plus answered sessions whose coins a wallet has yet to store. With all wallets of the world
//!   given it is exactly so; otherwise a remainder of at least zero belongs to others. Of offline coins likewise
//!   (`purses`).
//! * The center's settlement accounts are the banks' mirrors, up to items that one side has booked and the other has
//!   yet to. Only an item that is really open may be on its way: whatever is refused for good on one side and booked
//!   on the other is a finding.
//! * Every item of clearing, whatever it is, stands at both its banks as the center says, up to what one side has yet
//!   to learn (`items`).
//! * No wallet has given up a session that its bank has answered.
//! * What a wallet or a merchant was told, its bank's rows say (`promises`).
//!
//! A world may be compared slice by slice ([`Comparison`]): what is known of one id at several homes is in the same slice of
//! each, and what is true of sums is judged when all slices have been added up. Offline cash is compared whole, with the
//! first slice.

use std::collections::{BTreeMap, BTreeSet};

use feiqian_crypto::Digest;
use feiqian_ledger::audit::Finding;
use serde_json::{Map, Value, json};

use super::books::{
    BankBooks, CenterBooks, CoinName, Denomination, Issuance, MerchantBooks, WalletBooks, WalletCoin,
};
use super::offline;

/// The books of all homes given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    /// Centers.
    pub centers: Vec<CenterBooks>,
    /// Banks.
    pub banks: Vec<BankBooks>,
    /// Wallets.
    pub wallets: Vec<WalletBooks>,
    /// Merchants.
    pub merchants: Vec<MerchantBooks>,
}

/// What came out: what disagrees, and the sums behind each comparison.
#[derive(Debug, Default)]
pub struct Compared {
    /// What disagrees.
    pub findings: Vec<Finding>,
    /// For each bank, where its coins are.
    pub circulation: Vec<Value>,
    /// For each bank, its settlement account on both sides.
    pub settlement: Vec<Value>,
    /// Whether everybody who can hold coins was looked at.
    pub closed: bool,
}

/// Minor units as text: JSON numbers lose large ones.
fn text(minor: i128) -> String {
    minor.to_string()
}

/// Minor units by denomination.
type Sums = BTreeMap<Digest, i128>;

fn plus(sums: &mut Sums, denomination: Digest, amount: i128) {
    let sum = sums.entry(denomination).or_default();
    *sum = sum.saturating_add(amount);
}

/// Where issuances stand, by request.
type Issuances<'a> = BTreeMap<&'a Digest, Issuance>;

impl World {
    /// Compares everything at once.
    #[must_use]
    pub fn compare(&self) -> Compared {
        let mut comparison = Comparison::default();
        comparison.add(self);
        comparison.finish()
    }

    /// Whether nobody but the given homes can hold coins: every member of the center and every customer is here.
    fn is_closed(&self) -> bool {
        let banks: BTreeSet<&str> = self.banks.iter().map(|bank| bank.name.as_str()).collect();
        let wallets: BTreeSet<(&str, &str)> =
            self.wallets.iter().map(|wallet| (wallet.bank.as_str(), wallet.account.as_str())).collect();
        let members = self.centers.iter().flat_map(|center| center.settlement.keys());
        let mut customers = self
            .banks
            .iter()
            .flat_map(|bank| bank.customers.iter().map(|token| (bank.name.as_str(), token.as_str())));
        !self.centers.is_empty()
            && members.into_iter().all(|member| banks.contains(member.as_str()))
            && customers.all(|customer| wallets.contains(&customer))
    }

    /// Where every issuance stands. Copies of one wallet may have come to different ends: what is best counts.
    fn issuances(&self) -> Issuances<'_> {
        let mut issuances = Issuances::new();
        for (request, issuance) in self.wallets.iter().flat_map(|wallet| &wallet.sessions) {
            let known = issuances.entry(request).or_insert(*issuance);
            *known = issuance.better(*known);
        }
        issuances
    }

    /// The books of a bank, where they are given.
    pub(super) fn bank(&self, name: &str) -> Option<&BankBooks> {
        self.banks.iter().find(|bank| bank.name == name)
    }
}

/// A comparison of a world whose slices are added one after the other, the first slice first. All of them have the same
/// homes in the same order.
#[derive(Debug, Default)]
pub struct Comparison {
    begun: bool,
    circulations: Vec<Circulation>,
    settlements: Vec<Settlement>,
    compared: Compared,
}

impl Comparison {
    /// Compares what is known of each id, and adds to the sums.
    pub fn add(&mut self, world: &World) {
        if !self.begun {
            self.begin(world);
        }
        let compared = &mut self.compared;
        let issuances = world.issuances();
        for (circulation, bank) in self.circulations.iter_mut().zip(&world.banks) {
            circulation.hold(world, bank, &mut compared.findings);
            circulation.expect(bank, &issuances);
            given_up(bank, &issuances, &mut compared.findings);
        }
        for settlement in &mut self.settlements {
            settlement.add(world);
        }
        for center in &world.centers {
            world.items(center, compared);
            offline::compare(
                &center.offline,
                |name| world.bank(name).map(|bank| &bank.offline),
                &mut compared.findings,
            );
        }
        for merchant in &world.merchants {
            merchant
                .offline
                .compare(|name| world.bank(name).map(|bank| &bank.offline), &mut compared.findings);
        }
        world.promises(compared);
    }

    /// What is in the first slice only.
    fn begin(&mut self, world: &World) {
        self.begun = true;
        let compared = &mut self.compared;
        compared.closed = world.is_closed();
        for bank in &world.banks {
            let (issuer, circulation) = (&bank.offline.issuer, bank.offline.circulation);
            let offline = world.offline_circulation(&bank.name, issuer, circulation, compared);
            self.circulations.push(Circulation::begin(bank, compared.closed, offline));
        }
        for (at, center) in world.centers.iter().enumerate() {
            let banks = world.banks.iter().enumerate();
            self.settlements
                .extend(banks.filter_map(|(number, bank)| Settlement::begin((at, center), (number, bank))));
        }
    }

    /// Compares the sums. What was found stands in an order that does not depend on the slices.
    #[must_use]
    pub fn finish(self) -> Compared {
        let mut compared = self.compared;
        self.circulations.into_iter().for_each(|circulation| circulation.finish(&mut compared));
        self.settlements.into_iter().for_each(|settlement| settlement.finish(&mut compared));
        compared.findings.sort_by(|one, other| key(one).cmp(&key(other)));
        compared
    }
}

/// The order of findings.
fn key(finding: &Finding) -> (u8, &str, &str) {
    (finding.invariant, &finding.place, &finding.detail)
}

/// Where the coins of a bank are, as far as they have been added up.
#[derive(Debug)]
struct Circulation {
    bank: String,
    currency: String,
    denominations: BTreeMap<Digest, Denomination>,
    ended: BTreeSet<Digest>,
    /// Balance of the ledger account.
    booked: i128,
    /// What is left of coins in wallets.
    held: Sums,
    /// Signed for wallets which have yet to store them.
    flying: Sums,
    /// What else is told of the bank.
    told: Map<String, Value>,
}

impl Circulation {
    fn begin(bank: &BankBooks, closed: bool, offline: Map<String, Value>) -> Self {
        let told = [
            ("customers", Value::String(text(bank.deposits))),
            ("refunds_payable", Value::String(text(bank.refunds_payable))),
            ("offline_circulation", Value::String(text(bank.offline.circulation))),
            ("collateral", Value::String(text(bank.offline.collateral))),
            ("claims_received", Value::String(text(bank.offline.claims_received))),
            ("exact", Value::Bool(closed)),
        ];
        Self {
            bank: bank.name.clone(),
            currency: bank.currency.clone(),
            denominations: bank.denominations.clone(),
            ended: bank.ended.clone(),
            booked: bank.circulation,
            held: Sums::new(),
            flying: Sums::new(),
            told: told.map(|(word, value)| (word.to_owned(), value)).into_iter().chain(offline).collect(),
        }
    }

    /// What is left of every distinct coin of the bank in any wallet.
    fn hold(&mut self, world: &World, bank: &BankBooks, findings: &mut Vec<Finding>) {
        let mut coins: BTreeMap<CoinName, &WalletCoin> = BTreeMap::new();
        for (name, coin) in world.wallets.iter().flat_map(|wallet| &wallet.coins) {
            if *coin.bank == *bank.name && !bank.ended.contains(&name.0) {
                coins.insert(*name, coin);
            }
        }
        for (name, coin) in coins {
            let value = bank.denominations.get(&name.0).map(|denomination| denomination.value);
            if value != Some(coin.worth) {
                let place = format!("wallet coin {} of bank {}", hex::encode(name.1), bank.name);
                let detail = format!("worth {} in the wallet, {value:?} at the bank", coin.worth);
                findings.push(Finding::new(3, place, detail));
            }
            let spent = bank.spent.get(&name).copied().unwrap_or(0);
            plus(&mut self.held, name.0, i128::from(coin.worth).saturating_sub(i128::from(spent)));
        }
    }

    /// Coins that the bank has signed for a wallet which has yet to store them.
    fn expect(&mut self, bank: &BankBooks, issuances: &Issuances<'_>) {
        for (request, outputs) in &bank.answered {
            if issuances.get(request) == Some(&Issuance::Open) {
                for id in outputs {
                    let value = bank.denominations.get(id).map_or(0, |denomination| denomination.value);
                    plus(&mut self.flying, *id, i128::from(value));
                }
            }
        }
    }

    fn finish(self, compared: &mut Compared) {
        let (mut circulating, mut in_wallets, mut unstored, mut remaining) = (0_i128, 0_i128, 0_i128, 0_i128);
        for (id, denomination) in &self.denominations {
            let issued = i128::from(denomination.issued);
            let circulation = issued.saturating_sub(i128::from(denomination.redeemed));
            let wallets = self.held.get(id).copied().unwrap_or(0);
            let flying = self.flying.get(id).copied().unwrap_or(0);
            let remainder = circulation.saturating_sub(wallets).saturating_sub(flying);
            let place = || format!("bank {}, denomination {} ({id})", self.bank, denomination.value);
            // Of an ended epoch nobody may know any more what is left of its coins.
            if !self.ended.contains(id) && (remainder < 0 || (compared.closed && remainder > 0)) {
                let detail = format!(
                    "{circulation} in circulation, wallets hold {wallets}, {flying} are on their way: {remainder} too {}",
                    if remainder < 0 { "few" } else { "many" }
                );
                compared.findings.push(Finding::new(3, place(), detail));
            }
            for (sum, part) in [
                (&mut circulating, circulation),
                (&mut in_wallets, wallets),
                (&mut unstored, flying),
                (&mut remaining, remainder),
            ] {
                *sum = sum.saturating_add(part);
            }
        }
        if circulating != self.booked {
            let place = format!("bank {}, ledger account circulation", self.bank);
            let detail = format!("{} booked, the denominations make {circulating}", self.booked);
            compared.findings.push(Finding::new(3, place, detail));
        }
        let mut sums = json!({
            "bank": self.bank,
            "currency": self.currency,
            "circulation": text(circulating),
            "in_wallets": text(in_wallets),
            "on_their_way": text(unstored),
            "elsewhere": text(remaining),
        });
        if let Value::Object(sums) = &mut sums {
            sums.extend(self.told);
        }
        compared.circulation.push(sums);
    }
}

/// The bank has signed these coins and owes them; the wallet does not know that it may have them.
fn given_up(bank: &BankBooks, issuances: &Issuances<'_>, findings: &mut Vec<Finding>) {
    let is_void = |request: &&Digest| issuances.get(request) == Some(&Issuance::Void);
    for request in bank.answered.keys().filter(is_void) {
        let place = format!("bank {}, session of request {request}", bank.name);
        findings.push(Finding::new(8, place, "answered at the bank, void at the wallet"));
    }
}

/// The bank's mirror of its settlement account and the center's account, as far as the items between them have been
/// added up.
#[derive(Debug)]
struct Settlement {
    /// Which center and which bank of the world.
    at: (usize, usize),
    bank: String,
    currency: String,
    posted: i128,
    /// Fundings that the bank has yet to mirror.
    unmirrored: i128,
    mirror: i128,
    due_to_clearing: i128,
    due_from_clearing: i128,
    /// By how much the mirror is ahead of the account for items on their way.
    items: i128,
}

impl Settlement {
    fn begin((at, center): (usize, &CenterBooks), (number, bank): (usize, &BankBooks)) -> Option<Self> {
        let posted = center.settlement.get(&bank.name).copied()?;
        let unmirrored = center
            .fundings
            .iter()
            .filter(|(id, (funded, _))| *funded == bank.name && !bank.fundings.contains(id))
            .fold(0_i128, |sum, (_, (_, amount))| sum.saturating_add(i128::from(*amount)));
        Some(Self {
            at: (at, number),
            bank: bank.name.clone(),
            currency: bank.currency.clone(),
            posted,
            unmirrored,
            mirror: bank.mirror,
            due_to_clearing: bank.due_to_clearing,
            due_from_clearing: bank.due_from_clearing,
            items: 0,
        })
    }

    fn add(&mut self, world: &World) {
        if let (Some(center), Some(bank)) = (world.centers.get(self.at.0), world.banks.get(self.at.1)) {
            self.items = self.items.saturating_add(center.ahead(bank));
        }
    }

    fn finish(self, compared: &mut Compared) {
        let Self { bank, currency, posted, unmirrored, mirror, items, .. } = self;
        if mirror != posted.saturating_sub(unmirrored).saturating_add(items) {
            compared.findings.push(Finding::new(
                5,
                format!("bank {bank}, mirror of the settlement account"),
                format!(
                    "{mirror} at the bank; {posted} at the center, {unmirrored} of it not yet mirrored, {items} in items on their way"
                ),
            ));
        }
        compared.settlement.push(json!({
            "bank": bank,
            "currency": currency,
            "center": text(posted),
            "bank_mirror": text(mirror),
            "fundings_to_mirror": text(unmirrored),
            "items_on_their_way": text(items),
            "due_to_clearing": text(self.due_to_clearing),
            "due_from_clearing": text(self.due_from_clearing),
        }));
    }
}
