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

use std::collections::{BTreeMap, BTreeSet};

use feiqian_crypto::Digest;
use feiqian_ledger::audit::Finding;
use serde_json::{Value, json};

use super::books::{BankBooks, CenterBooks, CoinName, Issuance, MerchantBooks, WalletBooks, WalletCoin};
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

impl World {
    /// Compares everything.
    #[must_use]
    pub fn compare(&self) -> Compared {
        let mut compared = Compared { closed: self.is_closed(), ..Compared::default() };
        for bank in &self.banks {
            self.circulation(bank, &mut compared);
            self.given_up(bank, &mut compared);
        }
        for center in &self.centers {
            for bank in &self.banks {
                settlement(center, bank, &mut compared);
            }
            self.items(center, &mut compared);
            offline::compare(
                &center.offline,
                |name| self.bank(name).map(|bank| &bank.offline),
                &mut compared.findings,
            );
        }
        for merchant in &self.merchants {
            merchant
                .offline
                .compare(|name| self.bank(name).map(|bank| &bank.offline), &mut compared.findings);
        }
        self.promises(&mut compared);
        compared
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

    fn circulation(&self, bank: &BankBooks, compared: &mut Compared) {
        let held = self.held(bank, compared);
        let in_flight = self.in_flight(bank);
        let (mut circulating, mut in_wallets, mut unstored, mut remaining) = (0_i128, 0_i128, 0_i128, 0_i128);
        for (id, denomination) in &bank.denominations {
            let issued = i128::from(denomination.issued);
            let circulation = issued.saturating_sub(i128::from(denomination.redeemed));
            let wallets = held.get(id).copied().unwrap_or(0);
            let flying = in_flight.get(id).copied().unwrap_or(0);
            let remainder = circulation.saturating_sub(wallets).saturating_sub(flying);
            let place = || format!("bank {}, denomination {} ({id})", bank.name, denomination.value);
            // Of an ended epoch nobody may know any more what is left of its coins.
            if !bank.ended.contains(id) && (remainder < 0 || (compared.closed && remainder > 0)) {
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
        if circulating != bank.circulation {
            let place = format!("bank {}, ledger account circulation", bank.name);
            let detail = format!("{} booked, the denominations make {circulating}", bank.circulation);
            compared.findings.push(Finding::new(3, place, detail));
        }
        let offline =
            self.offline_circulation(&bank.name, &bank.offline.issuer, bank.offline.circulation, compared);
        let mut sums = json!({
            "bank": bank.name,
            "currency": bank.currency,
            "circulation": text(circulating),
            "in_wallets": text(in_wallets),
            "on_their_way": text(unstored),
            "elsewhere": text(remaining),
            "customers": text(bank.deposits),
            "refunds_payable": text(bank.refunds_payable),
            "offline_circulation": text(bank.offline.circulation),
            "collateral": text(bank.offline.collateral),
            "claims_received": text(bank.offline.claims_received),
            "exact": compared.closed,
        });
        if let Value::Object(sums) = &mut sums {
            sums.extend(offline);
        }
        compared.circulation.push(sums);
    }

    /// What is left of every distinct coin of the bank in any wallet, by denomination.
    fn held(&self, bank: &BankBooks, compared: &mut Compared) -> BTreeMap<Digest, i128> {
        let mut coins: BTreeMap<CoinName, &WalletCoin> = BTreeMap::new();
        for (name, coin) in self.wallets.iter().flat_map(|wallet| &wallet.coins) {
            if coin.bank == bank.name && !bank.ended.contains(&name.0) {
                coins.insert(*name, coin);
            }
        }
        let mut held: BTreeMap<Digest, i128> = BTreeMap::new();
        for (name, coin) in coins {
            let value = bank.denominations.get(&name.0).map(|denomination| denomination.value);
            if value != Some(coin.worth) {
                let place = format!("wallet coin {} of bank {}", hex::encode(name.1), bank.name);
                let detail = format!("worth {} in the wallet, {value:?} at the bank", coin.worth);
                compared.findings.push(Finding::new(3, place, detail));
            }
            let spent = bank.spent.get(&name).copied().unwrap_or(0);
            let left = i128::from(coin.worth).saturating_sub(i128::from(spent));
            let sum = held.entry(name.0).or_default();
            *sum = sum.saturating_add(left);
        }
        held
    }

    /// Coins that the bank has signed for a wallet which has yet to store them.
    fn in_flight(&self, bank: &BankBooks) -> BTreeMap<Digest, i128> {
        let mut flying: BTreeMap<Digest, i128> = BTreeMap::new();
        for (request, outputs) in &bank.answered {
            if self.issuance(request) != Some(Issuance::Open) {
                continue;
            }
            for id in outputs {
                let value = bank.denominations.get(id).map_or(0, |denomination| denomination.value);
                let sum = flying.entry(*id).or_default();
                *sum = sum.saturating_add(i128::from(value));
            }
        }
        flying
    }

    /// Where the issuance of a begin stands. Copies of one wallet may have come to different ends: what is best counts.
    fn issuance(&self, request: &Digest) -> Option<Issuance> {
        let known = || self.wallets.iter().filter_map(|wallet| wallet.sessions.get(request));
        [Issuance::Stored, Issuance::Open, Issuance::Void]
            .into_iter()
            .find(|wanted| known().any(|issuance| issuance == wanted))
    }

    /// The bank has signed these coins and owes them; the wallet does not know that it may have them.
    fn given_up(&self, bank: &BankBooks, compared: &mut Compared) {
        for request in bank.answered.keys().filter(|request| self.issuance(request) == Some(Issuance::Void)) {
            let place = format!("bank {}, session of request {request}", bank.name);
            compared.findings.push(Finding::new(8, place, "answered at the bank, void at the wallet"));
        }
    }

    /// The books of a bank, where they are given.
    pub(super) fn bank(&self, name: &str) -> Option<&BankBooks> {
        self.banks.iter().find(|bank| bank.name == name)
    }
}

/// The bank's mirror of its settlement account, compared with the center's account.
fn settlement(center: &CenterBooks, bank: &BankBooks, compared: &mut Compared) {
    let Some(posted) = center.settlement.get(&bank.name).copied() else { return };
    let unmirrored = center
        .fundings
        .iter()
        .filter(|(id, (funded, _))| *funded == bank.name && !bank.fundings.contains(id))
        .fold(0_i128, |sum, (_, (_, amount))| sum.saturating_add(i128::from(*amount)));
    let items = center.ahead(bank);
    let expected = posted.saturating_sub(unmirrored).saturating_add(items);
    if bank.mirror != expected {
        compared.findings.push(Finding::new(
            5,
            format!("bank {}, mirror of the settlement account", bank.name),
            format!(
                "{} at the bank; {posted} at the center, {unmirrored} of it not yet mirrored, {items} in items on their way",
                bank.mirror
            ),
        ));
    }
    compared.settlement.push(json!({
        "bank": bank.name,
        "currency": bank.currency,
        "center": text(posted),
        "bank_mirror": text(bank.mirror),
        "fundings_to_mirror": text(unmirrored),
        "items_on_their_way": text(items),
        "due_to_clearing": text(bank.due_to_clearing),
        "due_from_clearing": text(bank.due_from_clearing),
    }));
}
