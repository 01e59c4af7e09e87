//! What wallets and merchants were told, against the rows of their banks.
//!
//! A cheque that a wallet holds as issued stands in its bank's register with the same id and amount, and an end that
//! the register has shown stays. A deposit that was answered with "paid" is booked at the bank, one that came back
//! is not; likewise a transfer, and a payment at the bank that issued its coins.

use std::collections::BTreeMap;

use feiqian_cheque::State;
use feiqian_crypto::Digest;
use feiqian_ledger::audit::Finding;
use feiqian_wallet::audit::{DrawnCheque, LeafStage, OrderedTransfer};

use super::books::{Acknowledged, BankBooks, Deposit, ItemState, Kind, WalletBooks};
use super::conserve::{Compared, World};

impl World {
    /// Every promise that was made to a wallet or a merchant.
    pub(super) fn promises(&self, compared: &mut Compared) {
        for wallet in &self.wallets {
            let who = format!("wallet of account {}", wallet.account);
            self.paid(&wallet.paid, &who, compared);
            let Some(bank) = self.bank(&wallet.bank) else { continue };
            deposits(bank, &wallet.account, &wallet.deposits, &who, compared);
            for cheque in &wallet.drawn {
                drawn(bank, wallet, cheque, &who, compared);
            }
            for transfer in &wallet.transfers {
                transferred(bank, wallet, transfer, &who, compared);
            }
        }
        for merchant in &self.merchants {
            let who = format!("merchant of account {}", merchant.account);
            self.paid(&merchant.paid, &who, compared);
            let Some(bank) = self.bank(&merchant.bank) else { continue };
            deposits(bank, &merchant.account, &merchant.deposits, &who, compared);
        }
    }

    /// Payments that were acknowledged are redeemed at the issuing bank.
    fn paid(&self, paid: &BTreeMap<Digest, Acknowledged>, who: &str, compared: &mut Compared) {
        for (payment, Acknowledged { bank, amount, at }) in paid {
            let Some(books) = self.bank(bank) else { continue };
            let booked = books.payments.get(payment);
            if booked.is_none() && books.forgotten.has_redeemed(*at) {
                continue;
            }
            if booked != Some(amount) {
                let booked = booked.map_or_else(|| "nothing".to_owned(), ToString::to_string);
                let detail = format!("acknowledged with {amount}, bank {bank} has booked {booked}");
                compared.findings.push(Finding::new(8, format!("{who}, payment {payment}"), detail));
            }
        }
    }
}

fn deposits(bank: &BankBooks, account: &str, deposits: &[Deposit], who: &str, compared: &mut Compared) {
    for deposit in deposits {
        let Some(paid) = deposit.paid else { continue };
        // Presented by the bank, or drawn on itself and paid at once.
        let rows = [bank.presentments.get(&deposit.presentment), bank.given.get(&deposit.presentment)];
        let booked = rows.into_iter().flatten().any(|row| {
            row.state == ItemState::Booked
                && row.kind == Kind::Cheque
                && row.account.as_deref() == Some(account)
                && deposit.amount.is_none_or(|amount| amount == row.amount)
        });
        if booked != paid {
            let place = format!("{who}, deposit {} of cheque {}", deposit.presentment, deposit.cheque);
            let (told, has) = if paid { ("paid", "not booked it") } else { ("returned", "booked it") };
            let detail = format!("answered with {told}, bank {} has {has}", bank.name);
            compared.findings.push(Finding::new(8, place, detail));
        }
    }
}

fn drawn(bank: &BankBooks, wallet: &WalletBooks, leaf: &DrawnCheque, who: &str, compared: &mut Compared) {
    let mut find = |detail: String| {
        compared.findings.push(Finding::new(8, format!("{who}, cheque number {}", leaf.number), detail));
    };
    let Some(registered) = bank.register.get(&(wallet.account.clone(), leaf.number)) else {
        return find(format!("the number is of no cheque book of bank {}", bank.name));
    };
    let known = leaf.cheque.is_some() && registered.cheque == leaf.cheque;
    match leaf.stage {
        LeafStage::Issued if !known => find(format!("issued, bank {} has registered another", bank.name)),
        LeafStage::Issued if registered.amount != leaf.amount => {
            find(format!("issued over {:?}, registered over {:?}", leaf.amount, registered.amount));
        }
        LeafStage::Refused if known => find(format!("refused, and in the register of bank {}", bank.name)),
        _ => {}
    }
    if let Some((cheque, state)) = leaf.shown.filter(|(_, state)| *state != State::Allotted)
        && (registered.cheque != Some(cheque) || (state.is_terminal() && registered.state != state))
    {
        find(format!("the register has shown {state}, now it says {}", registered.state));
    }
}

fn transferred(
    bank: &BankBooks,
    wallet: &WalletBooks,
    transfer: &OrderedTransfer,
    who: &str,
    compared: &mut Compared,
) {
    let Some(booked) = transfer.booked else { return };
    let fits = bank.sent.get(&transfer.presentment).is_some_and(|sent| {
        sent.booked == Some(booked) && sent.amount == transfer.amount && sent.account == wallet.account
    });
    if !fits {
        let told = if booked { "booked" } else { "returned" };
        let detail = format!("answered with {told}, the archive of bank {} says otherwise", bank.name);
        let place = format!("{who}, transfer {}", transfer.presentment);
        compared.findings.push(Finding::new(8, place, detail));
    }
}

#[cfg(test)]
mod tests {
    use super::super::books::{MerchantBooks, Registered, Sent, Side};
    use super::*;

    type Change = fn(&mut BankBooks);

    const CHEQUE: Digest = Digest([2; 32]);
    const ITEM: Digest = Digest([3; 32]);

    fn bank() -> BankBooks {
        let mut bank = BankBooks { name: "north".into(), ..BankBooks::default() };
        let registered = Registered { cheque: Some(CHEQUE), amount: Some(900), state: State::Settled };
        bank.register.insert(("ann".into(), 4), registered);
        let (kind, state) = (Kind::Cheque, ItemState::Booked);
        let side = Side { kind, account: Some("ann".into()), other: None, amount: 900, state };
        bank.presentments.insert(ITEM, side);
        let sent = Sent { account: "ann".into(), amount: 50, booked: Some(true), sequence: 1 };
        bank.sent.insert(ITEM, sent);
        bank.payments.insert(ITEM, 70);
        bank
    }

    fn wallet() -> WalletBooks {
        WalletBooks {
            bank: "north".into(),
            account: "ann".into(),
            paid: [(ITEM, Acknowledged { bank: "north".into(), amount: 70, at: 5_000 })].into(),
            deposits: vec![Deposit {
                presentment: ITEM,
                cheque: CHEQUE,
                amount: Some(900),
                paid: Some(true),
            }],
            drawn: vec![DrawnCheque {
                number: 4,
                cheque: Some(CHEQUE),
                amount: Some(900),
                stage: LeafStage::Issued,
                shown: Some((CHEQUE, State::Settled)),
            }],
            transfers: vec![OrderedTransfer { presentment: ITEM, amount: 50, booked: Some(true) }],
            ..WalletBooks::default()
        }
    }

    fn places(bank: BankBooks, wallet: WalletBooks) -> Vec<String> {
        let world = World { banks: vec![bank], wallets: vec![wallet], ..World::default() };
        let mut compared = Compared::default();
        world.promises(&mut compared);
        assert!(compared.findings.iter().all(|finding| finding.invariant == 8));
        compared.findings.into_iter().map(|finding| finding.place).collect()
    }

    #[test]
    fn kept_promises_are_no_findings() {
        assert_eq!(places(bank(), wallet()), Vec::<String>::new());
    }

    #[test]
    fn every_broken_promise_is_named() {
        let changes: [(&str, Change); 8] = [
            ("payment", |bank| bank.payments.values_mut().for_each(|amount| *amount ^= 1)),
            ("deposit", |bank| {
                bank.presentments.values_mut().for_each(|side| side.state = ItemState::Paid);
            }),
            ("deposit", |bank| bank.presentments.values_mut().for_each(|side| side.amount ^= 1)),
            ("deposit", |bank| bank.presentments.values_mut().for_each(|side| side.account = None)),
            ("cheque number 4", |bank| bank.register.clear()),
            ("cheque number 4", |bank| bank.register.values_mut().for_each(|it| it.amount = Some(1))),
            ("cheque number 4", |bank| bank.register.values_mut().for_each(|it| it.state = State::Paid)),
            ("transfer", |bank| bank.sent.values_mut().for_each(|sent| sent.booked = Some(false))),
        ];
        for (number, (place, change)) in changes.into_iter().enumerate() {
            let mut bank = bank();
            change(&mut bank);
            let places = places(bank, wallet());
            assert!(places.len() == 1 && places.iter().all(|it| it.contains(place)), "{number}: {places:?}");
        }
    }

    #[test]
    fn what_came_back_was_not_booked() {
        let mut wallet = wallet();
        wallet.deposits.iter_mut().for_each(|deposit| deposit.paid = Some(false));
        wallet.transfers.iter_mut().for_each(|transfer| transfer.booked = Some(false));
        wallet.drawn.iter_mut().for_each(|cheque| cheque.stage = LeafStage::Refused);
        assert_eq!(places(bank(), wallet).len(), 3);
    }

    #[test]
    fn a_merchant_was_promised_the_same() {
        let WalletBooks { bank: at, account, paid, deposits, .. } = wallet();
        let merchant = MerchantBooks { bank: at, account, paid, deposits, ..MerchantBooks::default() };
        let mut bank = bank();
        bank.payments.clear();
        bank.presentments.clear();
        let world = World { banks: vec![bank], merchants: vec![merchant], ..World::default() };
        let mut compared = Compared::default();
        world.promises(&mut compared);
        assert_eq!(compared.findings.len(), 2);
    }
}
