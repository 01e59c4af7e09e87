//! Statements, spends and coins.

use std::collections::BTreeMap;

use feiqian_crypto::{Digest, EncodedPoint};
use feiqian_ledger::store::{Row, StoreError, Tx};
use feiqian_money::Minor;
use feiqian_online_cash::coin::CoinId;
use feiqian_online_cash::evidence::Statement;

use super::{Auditor, Circulation, Spent, place};
use crate::refusal::from_blob;
use crate::tables::{COIN, SPEND, STATEMENT};

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

impl Auditor<'_> {
    /// Every statement's digest from its body, and a spend for each of its coins.
    pub(super) fn statements(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        self.walk(tx, &STATEMENT, |auditor, tx, row| {
            let at = place(&STATEMENT, row);
            let digest = row.digest(0)?;
            let statement: Statement = from_blob(row.blob(2)?)?;
            let kind = i64::from(matches!(statement, Statement::Refresh { .. }));
            if statement.digest(&auditor.audited.bank) != digest || kind != row.integer(1)? {
                auditor.find(7, at.as_str(), "the digest or kind is not the body's");
            }
            let (mut sum, mut there) = (0_u128, 0_u128);
            for (coin, contribution) in takings(&statement) {
                sum = sum.saturating_add(contribution.value().into());
                let key = [coin.denomination.into(), coin.key.to_bytes().into(), digest.into()];
                let booked = tx.find(&SPEND, &key)?.map(|row| row.minor(3)).transpose()?;
                if booked == Some(contribution) {
                    there = there.saturating_add(contribution.value().into());
                } else if booked.is_some() || !auditor.has_ended(&coin.denomination) {
                    auditor.find(
                        3,
                        at.as_str(),
                        format!("takes {contribution} of coin {}, booked is {booked:?}", coin.key),
                    );
                }
            }
            auditor.statements.insert(digest, sum);
            auditor.booked.insert(digest, there);
            Ok(())
        })
    }

    /// Every spend belongs to a statement; per coin their sum is what the register says, and at most its value.
    pub(super) fn spends(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let mut sums: BTreeMap<CoinId, u128> = BTreeMap::new();
        let mut by_statement: BTreeMap<Digest, u128> = BTreeMap::new();
        self.walk(tx, &SPEND, |auditor, _, row| {
            let (coin, statement, contribution) =
                (coin_of(row)?, row.digest(2)?, u128::from(row.minor(3)?.value()));
            let sum = sums.entry(coin).or_default();
            *sum = sum.saturating_add(contribution);
            let sum = by_statement.entry(statement).or_default();
            *sum = sum.saturating_add(contribution);
            match auditor.keys.get(&coin.denomination).map(|key| (key.epoch, key.key.value.value())) {
                None => auditor.find(3, place(&SPEND, row), "unknown denomination"),
                Some((epoch, value)) => {
                    let total = auditor.denomination(epoch, coin.denomination, value);
                    total.redeemed = total.redeemed.saturating_add(contribution);
                }
            }
            Ok(())
        })?;
        for (statement, sum) in by_statement {
            if self.booked.get(&statement) != Some(&sum) {
                self.find(
                    3,
                    format!("spend of statement {statement}"),
                    "the spends are not those of a stored statement",
                );
            }
        }
        self.walk(tx, &COIN, |auditor, _, row| {
            let coin = coin_of(row)?;
            let (value, epoch, spent) = (row.minor(2)?, row.unsigned(3)?, row.minor(4)?);
            let at = place(&COIN, row);
            let summed = sums.remove(&coin).unwrap_or(0);
            let said = u128::from(spent.value());
            if summed > said || (summed < said && !auditor.has_ended(&coin.denomination)) {
                auditor.find(3, at.as_str(), format!("spent is {spent}, its spends sum to {summed}"));
            }
            if spent > value {
                auditor.find(3, at.as_str(), "spent above its value");
            }
            match auditor.keys.get(&coin.denomination).map(|key| (key.epoch, key.key.value)) {
                Some(known) if known == (epoch, value) => {
                    let rest = u128::from(value.value()).saturating_sub(spent.value().into());
                    let total = auditor.denomination(epoch, coin.denomination, value.value());
                    total.seen_rest = total.seen_rest.saturating_add(rest);
                }
                _ => auditor.find(3, at, "value or epoch is not the denomination's"),
            }
            auditor.out.coins.insert(coin, Spent { value, spent });
            Ok(())
        })?;
        for coin in sums.keys() {
            self.find(
                3,
                format!("spend ({}, {})", coin.denomination, coin.key),
                "the coin is not in the register",
            );
        }
        Ok(())
    }

    pub(super) fn denomination(&mut self, epoch: u64, id: Digest, value: u64) -> &mut Circulation {
        let each = self.out.circulation.entry((epoch, id)).or_default();
        each.value = value;
        each
    }
}
