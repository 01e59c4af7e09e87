//! Money: integers of minor units with a currency, and the two choices a wallet makes about coins.
//!
//! * [`Minor`]: a count of minor units (fen, cents); every operation is checked, no wrap and no negative value.
//! * [`Currency`], [`Amount`]: ISO 4217 codes with their exponent; decimal text only at the edge.
//! * [`Denomination`], [`DenominationSet`]: coin values, powers of two minor units.
//! * [`change::split`]: which denominations to withdraw for an amount.
//! * [`selection::select`]: which coins, and how much of each, pay an amount.
//!
//! Nothing here reads a clock or the system's randomness; a generator is passed in where a strategy draws.
//!
//! Encoding (serde): numbers of minor units are decimal strings in human-readable formats, since a JSON number
//! loses integers above 2^53, and plain 64-bit integers in binary ones.

mod amount;
pub mod change;
mod currency;
mod denomination;
mod minor;
pub mod selection;

pub use amount::Amount;
pub use currency::Currency;
pub use denomination::{Denomination, DenominationSet};
pub use minor::Minor;

#[cfg(any(test, feature = "testing"))]
pub use {
    amount::arb_amount, currency::arb_currency, denomination::arb_denomination, minor::arb_minor,
    selection::arb_coins,
};

/// Why an operation on money was refused. Nothing has changed when one is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MoneyError {
    /// The result or input is above [`Minor::MAX`].
    #[error("amount exceeds the largest one, {} minor units", Minor::MAX.value())]
    Overflow,
    /// A subtraction would fall below zero.
    #[error("amount would fall below zero")]
    Negative,
    /// The code is no active ISO 4217 currency with minor units.
    #[error("unknown currency: an active ISO 4217 code of three capital letters is needed")]
    UnknownCurrency,
    /// The two amounts are of different currencies.
    #[error("amounts of different currencies: {left} and {right}")]
    CurrencyMismatch {
        /// Currency of the left operand.
        left: Currency,
        /// Currency of the right operand.
        right: Currency,
    },
    /// The text is empty or not a plain decimal number (digits, at most one point, digits on both sides of it).
    #[error("not an amount: write digits with at most one decimal point, as in 12.50")]
    NotANumber,
    /// The text has more digits after the point than the currency has.
    #[error("{currency} has {} digits after the point, not {given}", currency.exponent())]
    TooManyDigits {
        /// The currency the text was read for.
        currency: Currency,
        /// Digits after the point in the text.
        given: usize,
    },
    /// The exponent is above [`Denomination::LARGEST_EXPONENT`].
    #[error("denomination exponent {0} is above {max}", max = Denomination::LARGEST_EXPONENT)]
    DenominationExponent(u8),
    /// The value is no power of two.
    #[error("{0} minor units is no denomination: values are powers of two")]
    NotADenomination(Minor),
    /// The amount cannot be split into at most [`change::MOST_COINS`] coins of the set.
    #[error("the amount needs {needed} coins, more than {most}", most = change::MOST_COINS)]
    TooManyCoins {
        /// Coins the shortest split has.
        needed: u64,
    },
}
