//! Which coins to withdraw, and how much an identity may.

use feiqian_money::Minor;
use serde::{Deserialize, Serialize};

use crate::keyset::{VerifiedKey, VerifiedKeyset};
use crate::{MAX_COINS, Rejection};

/// The value coins for an amount, largest first, such that **every** amount up to it can be paid with them: none of
/// them has a grain above what the others pay, plus one.
///
/// If some coins pay every amount up to *P*, then with a coin whose grain is at most *P* + 1 they pay every amount up to
/// *P* and its value. So the largest value is taken whose grain the rest still fills, again and again; the rest is chosen
/// the same way.
///
/// # Errors
/// [`Rejection::LimitExceeded`] for zero or when more than [`MAX_COINS`] coins were needed, [`Rejection::AmountMismatch`]
/// when the keyset lacks the values for it (a keyset with value 1 never does).
pub fn choose(keyset: &VerifiedKeyset, amount: Minor) -> Result<Vec<&VerifiedKey>, Rejection> {
    let mut rest = amount.value();
    if rest == 0 {
        return Err(Rejection::LimitExceeded("nothing to withdraw"));
    }
    let mut coins = Vec::new();
    while rest > 0 {
        let fits = |key: &&VerifiedKey| {
            let left = rest.checked_sub(key.value.value());
            left.is_some_and(|left| key.grain() <= left.saturating_add(1))
        };
        let key = keyset.values().rev().find(fits);
        let key = key.ok_or(Rejection::AmountMismatch("the keyset lacks the values for it"))?;
        if coins.len() >= MAX_COINS {
            return Err(Rejection::LimitExceeded("too many coins in one withdrawal"));
        }
        rest = rest.saturating_sub(key.value.value());
        coins.push(key);
    }
    Ok(coins)
}

/// The most that one identity may have outstanding of one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caps {
    /// Value withdrawn less value reclaimed, in minor units.
    pub value: Minor,
    /// Blanks withdrawn.
    pub blanks: u32,
}

/// What an identity has drawn of one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drawn {
    /// Value withdrawn, in minor units.
    pub withdrawn: Minor,
    /// Of it reclaimed.
    pub reclaimed: Minor,
    /// Blanks withdrawn.
    pub blanks: u32,
}

impl Caps {
    /// May an identity that has drawn so much draw so much more? Returns what it has drawn then.
    ///
    /// # Errors
    /// [`Rejection::LimitExceeded`] above either cap or on overflow.
    pub fn check(&self, drawn: &Drawn, value: Minor, blanks: u32) -> Result<Drawn, Rejection> {
        let exceeded = |_| Rejection::LimitExceeded("offline value of one identity and epoch");
        let withdrawn = drawn.withdrawn.checked_add(value).map_err(exceeded)?;
        let outstanding = withdrawn.checked_sub(drawn.reclaimed).map_err(exceeded)?;
        // A withdrawal of blanks alone is not held up by value that a lowered cap no longer allows.
        if !value.is_zero() && outstanding > self.value {
            return Err(Rejection::LimitExceeded("offline value of one identity and epoch"));
        }
        let all_blanks = drawn.blanks.checked_add(blanks);
        match all_blanks.filter(|all| blanks == 0 || *all <= self.blanks) {
            Some(blanks) => Ok(Drawn { withdrawn, reclaimed: drawn.reclaimed, blanks }),
            None => Err(Rejection::LimitExceeded("blanks of one identity and epoch")),
        }
    }
}
