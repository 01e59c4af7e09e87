//! Change-making: which denominations to withdraw or refresh into.
//!
//! A wallet can pay many amounts without a partly spent coin when it holds a few coins of every size. So a split
//! tops the wallet up to [`STOCK`] coins of each size, smallest first, as far as the amount reaches, and puts the
//! rest into the largest sizes. Sizes that the wallet already holds enough of get a coin only where the
//! binary digits of the amount demand one: no dust beyond need.
//!
//! With *r* units left at size 2^k, the number of coins taken there must have the parity of *r*, or the rest would
//! be no multiple of the next size. The smallest number of that parity not below what the stock lacks is taken, so
//! a split has at most `STOCK + 1` coins of a size, except of the set's largest one.

use std::collections::BTreeMap;

use crate::{Denomination, DenominationSet, Minor, MoneyError};

/// Coins of each size a wallet should hold.
pub const STOCK: u32 = 2;

/// Most coins one split returns; an amount that needs more is to be split into several withdrawals.
///
/// With the default set no amount below 237 · 2^20 (about 248 million) minor units reaches it.
pub const MOST_COINS: usize = 256;

/// Denominations of `set` that sum exactly to `amount`, smallest first, for a wallet that holds `held`.
///
/// At most 64 coins for amounts up to 500,000 minor units with the default set. Zero has the empty split. When
/// topping up the stock would exceed [`MOST_COINS`], the shortest split (binary digits) is returned.
///
/// # Errors
/// [`MoneyError::TooManyCoins`] when even the shortest split exceeds [`MOST_COINS`].
pub fn split(
    amount: Minor,
    set: &DenominationSet,
    held: &BTreeMap<Denomination, u32>,
) -> Result<Vec<Denomination>, MoneyError> {
    let stocked = counts(amount, set, |size| STOCK.saturating_sub(held.get(&size).copied().unwrap_or(0)));
    expand(&stocked).or_else(|_| expand(&counts(amount, set, |_| 0)))
}

/// Coins of each size, smallest first: the parity rule of the module's text, `lacking` coins wanted of each size.
fn counts(
    amount: Minor,
    set: &DenominationSet,
    lacking: impl Fn(Denomination) -> u32,
) -> Vec<(Denomination, u64)> {
    let mut units = amount.value();
    let mut counts = Vec::new();
    for size in set.iter() {
        let taken = if size == set.largest() { units } else { of_parity(u64::from(lacking(size)), units) };
        counts.push((size, taken));
        units = units.saturating_sub(taken) >> 1;
    }
    counts
}

/// The least number not below `wanted` with the parity of `units`, or all `units` when there are not so many.
fn of_parity(wanted: u64, units: u64) -> u64 {
    let odd = (wanted ^ units) & 1;
    wanted.saturating_add(odd).min(units)
}

fn expand(counts: &[(Denomination, u64)]) -> Result<Vec<Denomination>, MoneyError> {
    let needed = counts.iter().fold(0u64, |total, (_, count)| total.saturating_add(*count));
    let length = usize::try_from(needed).ok().filter(|length| *length <= MOST_COINS);
    let mut coins = Vec::with_capacity(length.ok_or(MoneyError::TooManyCoins { needed })?);
    for (size, count) in counts {
        coins.extend((0..*count).map(|_| *size));
    }
    Ok(coins)
}
