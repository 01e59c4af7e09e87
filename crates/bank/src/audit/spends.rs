//! Statements, spends and coins.

use std::collections::{BTreeMap, BTreeSet};

use feiqian_crypto::{Digest, EncodedPoint};
use feiqian_ledger::store::{Row, StoreError, Tx};
use feiqian_money::Minor;
use feiqian_online_cash::coin::CoinId;
use feiqian_online_cash::evidence::Statement;

use super::{Auditor, Circulation, Taken, place};
use crate::refusal::from_blob;
use crate::register;
use crate::tables::{COIN, PAYMENT, SPEND, STATEMENT};

fn coin_of(row: &Row) -> Result<CoinId, StoreError> {
    Ok(CoinId { denomination: row.digest(0)?, key: EncodedPoint(row.array(1)?) })
}

/// What a statement takes from each coin.
pub(super) fn takings(statement: &Statement) -> Vec<(CoinId, Minor)> {
    match statement {
        Statement::Payment { shares, .. } => {
            shares.iter().map(|share| (share.coin, share.contribution)).collect()
        }
        Statement::Refresh { inputs, .. } => {
            inputs.iter().map(|input| (input.coin, input.contribution)).collect()
        }
    }
}

fn add<K: Ord>(sums: &mut BTreeMap<K, u128>, of: K, contribution: Minor) {
    let sum = sums.entry(of).or_default();
    *sum = sum.saturating_add(contribution.value().into());
}

impl Auditor<'_> {
    /// Every statement's digest from its body, and a spend for each of its coins.
    pub(super) fn statements(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        self.walk(tx, &STATEMENT, |auditor, tx, row| {
            let at = place(&STATEMENT, row);
            let statement: Statement = from_blob(row.blob(2)?)?;
            if i64::from(matches!(statement, Statement::Refresh { .. })) != row.integer(1)? {
                auditor.find(7, at.as_str(), "the kind is not the body's");
            }
            auditor.statement(tx, &at, row.digest(0)?, &statement)
        })?;
        self.walk(tx, &PAYMENT, |auditor, tx, row| {
            let Some(body) = row.optional_blob(10)? else { return Ok(()) };
            let (at, statement) = (place(&PAYMENT, row), from_blob(body)?);
            if matches!(statement, Statement::Refresh { .. }) {
                auditor.find(7, at.as_str(), "its statement is a refresh");
            }
            auditor.statement(tx, &at, row.digest(1)?, &statement)
        })
    }

    fn statement(
        &mut self,
        tx: &mut dyn Tx,
        at: &str,
        digest: Digest,
        statement: &Statement,
    ) -> Result<(), StoreError> {
        if statement.digest(&self.audited.bank) != digest {
            self.find(7, at, "the digest is not the body's");
        }
        let (mut sum, mut booked) = (0_u64, 0_u64);
        for (coin, contribution) in takings(statement) {
            sum = sum.saturating_add(contribution.value());
            let key = [coin.denomination.into(), coin.key.to_bytes().into()];
            let spend = register::spend(tx, &key, &digest)?;
            if spend == Some(contribution) {
                booked = booked.saturating_add(contribution.value());
            } else if spend.is_some() || !self.has_ended(&coin.denomination) {
                let what = format!("takes {contribution} of coin {}, booked is {spend:?}", coin.key);
                self.find(3, at, what);
            }
        }
        let taken = Taken { sum, unmet: booked, is_accounted: false };
        if self.statements.insert(digest, taken).is_some() {
            self.find(3, at, "the statement is kept twice");
        }
        Ok(())
    }

    /// Every spend belongs to a statement; per coin their sum is what the register says, and at most its value.
    pub(super) fn spends(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let mut sums: BTreeMap<CoinId, u128> = BTreeMap::new();
        // Of statements that are not stored, or beyond what they take.
        let mut strange: BTreeSet<Digest> = BTreeSet::new();
        self.walk(tx, &SPEND, |auditor, _, row| {
            let (coin, contribution) = (coin_of(row)?, row.minor(3)?);
            auditor.meet(row.digest(2)?, contribution, &mut strange);
            add(&mut sums, coin, contribution);
            auditor.redeemed(&coin, contribution, &place(&SPEND, row));
            Ok(())
        })?;
        self.walk(tx, &COIN, |auditor, _, row| {
            let (coin, spent) = (coin_of(row)?, row.minor(4)?);
            if let Some(only) = row.optional_digest(5)? {
                auditor.meet(only, spent, &mut strange);
                add(&mut sums, coin, spent);
                auditor.redeemed(&coin, spent, &place(&COIN, row));
            }
            let summed = sums.remove(&coin).unwrap_or(0);
            auditor.coin(row, coin, spent, summed)
        })?;
        let unmet = self.statements.iter().filter(|(_, taken)| taken.unmet != 0).map(|(digest, _)| *digest);
        strange.extend(unmet);
        for statement in strange {
            let what = "the spends are not those of a stored statement";
            self.find(3, format!("spend of statement {statement}"), what);
        }
        for coin in sums.keys() {
            let what = "the coin is not in the register";
            self.find(3, format!("spend ({}, {})", coin.denomination, coin.key), what);
        }
        Ok(())
    }

    /// Notes that a session or payment stands for a statement: what it takes, and whether that was noted before.
    pub(super) fn account_for(&mut self, statement: &Digest) -> Option<(u64, bool)> {
        let taken = self.statements.get_mut(statement)?;
        Some((taken.sum, std::mem::replace(&mut taken.is_accounted, true)))
    }

    /// A spend of a statement.
    fn meet(&mut self, statement: Digest, contribution: Minor, strange: &mut BTreeSet<Digest>) {
        let taken = self.statements.get_mut(&statement);
        match taken.and_then(|taken| Some((taken.unmet.checked_sub(contribution.value())?, taken))) {
            Some((unmet, taken)) => taken.unmet = unmet,
            None => drop(strange.insert(statement)),
        }
    }

    fn redeemed(&mut self, coin: &CoinId, contribution: Minor, at: &str) {
        match self.keys.get(&coin.denomination).map(|key| (key.epoch, key.key.value.value())) {
            None => self.find(3, at, "unknown denomination"),
            Some((epoch, value)) => {
                let total = self.denomination(epoch, coin.denomination, value);
                total.redeemed = total.redeemed.saturating_add(contribution.value().into());
            }
        }
    }

    /// A coin of which spends that sum to `summed` are there.
    fn coin(&mut self, row: &Row, coin: CoinId, spent: Minor, summed: u128) -> Result<(), StoreError> {
        let (value, epoch, at) = (row.minor(2)?, row.unsigned(3)?, place(&COIN, row));
        let said = u128::from(spent.value());
        if summed > said || (summed < said && !self.has_ended(&coin.denomination)) {
            self.find(3, at.as_str(), format!("spent is {spent}, its spends sum to {summed}"));
        }
        if spent > value {
            self.find(3, at.as_str(), "spent above its value");
        }
        match self.keys.get(&coin.denomination).map(|key| (key.epoch, key.key.value)) {
            Some(known) if known == (epoch, value) => {
                let rest = u128::from(value.value()).saturating_sub(spent.value().into());
                let total = self.denomination(epoch, coin.denomination, value.value());
                total.seen_rest = total.seen_rest.saturating_add(rest);
            }
            _ => self.find(3, at, "value or epoch is not the denomination's"),
        }
        self.out.coins = self.out.coins.saturating_add(1);
        Ok(())
    }

    pub(super) fn denomination(&mut self, epoch: u64, id: Digest, value: u64) -> &mut Circulation {
        let each = self.out.circulation.entry((epoch, id)).or_default();
        each.value = value;
        each
    }
}
