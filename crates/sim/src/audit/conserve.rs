//! What must agree between homes.
//!
//! * Per bank and denomination: circulation is what wallets hold (each distinct coin once, its value less what the
//!   bank has taken) plus answered sessions whose coins a wallet has yet to store. With all wallets of the world
//!   given it is exactly so; otherwise a remainder of at least zero belongs to others.
//! * The center's settlement accounts are the banks' mirrors, up to items that one side has booked and the other has
//!   yet to. Only an item that is really open may be on its way: whatever is refused for good on one side and booked
//!   on the other is a finding.
//! * No wallet has given up a session that its bank has answered.
//! * What a wallet was told is paid, is paid at the issuing bank.

use std::collections::{BTreeMap, BTreeSet};

use feiqian_crypto::Digest;
use feiqian_ledger::audit::Finding;
use serde_json::{Value, json};

use super::books::{BankBooks, CenterBooks, CoinName, Issuance, Item, ItemState, WalletBooks, WalletCoin};

/// The books of all homes given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    /// Centers.
    pub centers: Vec<CenterBooks>,
    /// Banks.
    pub banks: Vec<BankBooks>,
    /// Wallets.
    pub wallets: Vec<WalletBooks>,
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
            self.presented(center, &mut compared);
        }
        for wallet in &self.wallets {
            self.acknowledged(wallet, &mut compared);
        }
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
            if remainder < 0 || (compared.closed && remainder > 0) {
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
        compared.circulation.push(json!({
            "bank": bank.name,
            "currency": bank.currency,
            "circulation": text(circulating),
            "in_wallets": text(in_wallets),
            "on_their_way": text(unstored),
            "elsewhere": text(remaining),
            "customers": text(bank.deposits),
            "refunds_payable": text(bank.refunds_payable),
            "exact": compared.closed,
        }));
    }

    /// What is left of every distinct coin of the bank in any wallet, by denomination.
    fn held(&self, bank: &BankBooks, compared: &mut Compared) -> BTreeMap<Digest, i128> {
        let mut coins: BTreeMap<CoinName, &WalletCoin> = BTreeMap::new();
        for (name, coin) in self.wallets.iter().flat_map(|wallet| &wallet.coins) {
            if coin.bank == bank.name {
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

    /// A settled payment was redeemed by its issuing bank for this very presentment; a settled refund was booked.
    fn presented(&self, center: &CenterBooks, compared: &mut Compared) {
        for (id, item) in &center.items {
            self.one_sided(id, item, compared);
        }
        for (id, item) in center.items.iter().filter(|(_, item)| item.state == ItemState::Booked) {
            let Some(bank) = self.banks.iter().find(|bank| bank.name == item.issuing) else { continue };
            let booked = if item.refund { bank.refunds.get(id) } else { bank.redeemed.get(id) };
            if booked != Some(&item.amount) {
                let place = format!("center, presentment {id}");
                let detail = format!(
                    "settled with {}, bank {} has booked {}",
                    item.amount,
                    item.issuing,
                    booked.map_or_else(|| "nothing".to_owned(), ToString::to_string)
                );
                compared.findings.push(Finding::new(8, place, detail));
            }
        }
    }

    /// An item that one side has refused for good counts on no side.
    fn one_sided(&self, id: &Digest, item: &Item, compared: &mut Compared) {
        let named = |name: &str| self.banks.iter().find(move |bank| bank.name == name);
        let issued = named(&item.issuing).is_some_and(|bank| {
            if item.refund { bank.refunds.contains_key(id) } else { bank.redeemed.contains_key(id) }
        });
        let presented = named(&item.collecting).and_then(|bank| bank.presentments.get(id));
        let presented = presented.map(|presented| presented.state);
        let detail = match (item.state, presented) {
            (ItemState::Refused, _) if issued => {
                format!("refused at the center, bank {} has booked it", item.issuing)
            }
            (ItemState::Refused, Some(ItemState::Booked)) => {
                format!("refused at the center, bank {} has booked it", item.collecting)
            }
            (ItemState::Booked, Some(ItemState::Refused)) => {
                format!("settled at the center, refused at bank {}", item.collecting)
            }
            _ => return,
        };
        compared.findings.push(Finding::new(5, format!("center, presentment {id}"), detail));
    }

    fn acknowledged(&self, wallet: &WalletBooks, compared: &mut Compared) {
        for (payment, (bank, amount)) in &wallet.paid {
            let Some(books) = self.banks.iter().find(|books| books.name == *bank) else { continue };
            let booked = books.payments.get(payment);
            if booked != Some(amount) {
                let place = format!("wallet of account {}, payment {payment}", wallet.account);
                let booked = booked.map_or_else(|| "nothing".to_owned(), ToString::to_string);
                let detail = format!("acknowledged with {amount}, bank {bank} has booked {booked}");
                compared.findings.push(Finding::new(8, place, detail));
            }
        }
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
    let items = center.items.iter().fold(0_i128, |sum, (id, item)| sum.saturating_add(ahead(id, item, bank)));
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
    }));
}

/// By how much the bank's mirror is ahead of the center's account for this item, signed.
fn ahead(id: &Digest, item: &Item, bank: &BankBooks) -> i128 {
    let amount = i128::from(item.amount);
    let (issuing, collecting) = (item.issuing == bank.name, item.collecting == bank.name);
    let (open, settled) = (item.state == ItemState::Open, item.state == ItemState::Booked);
    // Only an item that the bank still waits for: one that it refused, or lost, will not come any more.
    let awaited = bank
        .presentments
        .get(id)
        .is_some_and(|presented| presented.state == ItemState::Open && presented.amount == item.amount);
    match (item.refund, issuing, collecting) {
        (false, true, _) if open && bank.redeemed.contains_key(id) => amount.saturating_neg(),
        (true, true, _) if open && bank.refunds.contains_key(id) => amount,
        (false, _, true) if settled && awaited => amount.saturating_neg(),
        (true, _, true) if settled && awaited => amount,
        _ => 0,
    }
}
