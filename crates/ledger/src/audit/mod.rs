//! Recomputing everything from primary rows, to find what no longer agrees.
//!
//! [`check_rows`] recomputes the check of every row of any tables; [`check_book`] replays the journal and compares it with accounts,
//! transfers and resolutions. Run both in one read of the store, so that they see one snapshot. They change nothing and
//! go on after a finding.

mod book;
mod rows;

use std::{collections::BTreeMap, fmt};

use crate::journal::Head;

pub use book::check_book;
pub use rows::check_rows;

/// One place that disagrees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The invariant that is broken: 1 debits = credits and limits, 2 each id acts once, pending resolved once, links whole,
    /// 3 circulation, 4 cheques, 5 cycles, 6 money in the world, 7 journal and rows, 8 what was acknowledged.
    pub invariant: u8,
    /// The table and the row, or the currency.
    pub place: String,
    /// What is wrong there.
    pub detail: String,
}

impl Finding {
    /// A finding.
    #[must_use]
    pub fn new(invariant: u8, place: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { invariant, place: place.into(), detail: detail.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {}: {}: {}", self.invariant, self.place, self.detail)
    }
}

/// The sums over all accounts of one currency, in minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Pending debits.
    pub debits_pending: u128,
    /// Posted debits.
    pub debits_posted: u128,
    /// Pending credits.
    pub credits_pending: u128,
    /// Posted credits.
    pub credits_posted: u128,
}

/// What [`check_book`] saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What disagrees; empty if all is well.
    pub findings: Vec<Finding>,
    /// The sums by currency code.
    pub totals: BTreeMap<String, Totals>,
    /// How many accounts were opened.
    pub accounts: u64,
    /// How many transfers were booked.
    pub transfers: u64,
    /// The head of the journal.
    pub head: Head,
}
