//! Random accounts and transfers from a small world, so that repeats, conflicts and broken limits are frequent.

use feiqian_crypto::Id16;
use feiqian_money::{Currency, Minor};
use proptest::prelude::*;

use crate::book::{Account, Kind, Limit, Transfer};

/// The id whose bytes are all `n`.
#[must_use]
pub fn id(n: u8) -> Id16 {
    Id16::from([n; 16])
}

/// One of six accounts, two currencies, any limit.
pub fn arb_account() -> impl Strategy<Value = Account> {
    let limits = prop_oneof![
        Just(Limit::None),
        Just(Limit::DebitsNotAboveCredits),
        Just(Limit::CreditsNotAboveDebits)
    ];
    let currencies = prop_oneof![4 => Just(Currency::CNY), 1 => Just(Currency::EUR)];
    (0_u8..6, currencies, 0_u16..2, limits).prop_map(|(n, currency, code, limit)| Account {
        id: id(n),
        currency,
        code,
        limit,
    })
}

/// A transfer with one of 60 ids between the accounts of [`arb_account`], posted or pending, amount 0 to 40, times below 60.
pub fn arb_transfer() -> impl Strategy<Value = Transfer> {
    let kinds = prop_oneof![
        3 => Just(Kind::Posted),
        2 => prop::option::of(0_u64..60).prop_map(|expires| Kind::Pending { expires }),
    ];
    let amounts = (0_u64..40).prop_map(|value| Minor::new(value).unwrap_or(Minor::ZERO));
    (100_u8..160, 0_u8..6, 0_u8..6, amounts, 0_u16..2, kinds).prop_map(
        |(n, debit, credit, amount, code, kind)| Transfer {
            id: id(n),
            debit: id(debit),
            credit: id(credit),
            amount,
            code,
            kind,
        },
    )
}
