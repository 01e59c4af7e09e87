//! What a claim on another bank shows: the charged pieces, and of the chains deposited before those that decide the charge.
//! All of it fits into one message; what cannot be shown any more is not claimed.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use feiqian_crypto::Digest;
use feiqian_ledger::store::Tx;
use feiqian_money::Minor;
use feiqian_offline_cash::claim::{LoneChain, MAX_BEFORE};
use feiqian_offline_cash::register::{Deposited, Mark, settle};
use feiqian_offline_cash::verify::VerifiedChain;
use feiqian_wire::Limit;

use super::register::MarkedRow;
use crate::refusal::{Refusal, to_blob};

/// Bytes that the chains of one claim may have together: what else stands in its message is small.
const ROOM: usize = Limit::Large.bytes().saturating_sub(64 << 10);

/// How many stored chains are read at most for a piece: each is a whole chain.
const TRIED: usize = 256;

/// The evidence of one claim.
pub(super) struct Evidence {
    hop: usize,
    pub(super) charged: Vec<LoneChain>,
    pub(super) before: Vec<LoneChain>,
    /// Of every charged chain, and how much of it may be claimed at most.
    chains: Vec<(Deposited, Minor)>,
    stored: Vec<Deposited>,
    seen: BTreeSet<Digest>,
    room: usize,
}

impl Evidence {
    /// Of charges at this hop.
    pub(super) fn new(hop: usize) -> Self {
        Self {
            hop,
            charged: Vec::new(),
            before: Vec::new(),
            chains: Vec::new(),
            stored: Vec::new(),
            seen: BTreeSet::new(),
            room: ROOM,
        }
    }

    /// Adds a piece that is charged `units`, with the chains stored before on the coin of this value, as long as there is
    /// room.
    pub(super) fn add(
        &mut self,
        tx: &mut dyn Tx,
        shown: LoneChain,
        (chain, units): (&VerifiedChain, Minor),
        (stored, value): (&[MarkedRow], Minor),
    ) -> Result<(), Refusal> {
        if !self.takes(&shown)? {
            return Ok(());
        }
        self.charged.push(shown);
        self.chains.push((Deposited::of(chain)?, units));
        for row in from_hop(chain, self.hop, stored).into_iter().take(TRIED) {
            if self.before.len() >= MAX_BEFORE || self.seen.contains(&row.chain) {
                continue;
            }
            let lone = LoneChain { chain: row.paid(tx)?, set: row.payment };
            if self.takes(&lone)? {
                self.seen.insert(row.chain);
                self.before.push(lone);
                self.stored.push(row.deposited(value)?);
            }
        }
        Ok(())
    }

    fn takes(&mut self, chain: &LoneChain) -> Result<bool, Refusal> {
        let left = self.room.checked_sub(to_blob(chain)?.len());
        self.room = left.unwrap_or(self.room);
        Ok(left.is_some())
    }

    /// What it shows to be owed: of every piece no more than it is charged.
    pub(super) fn amount(&mut self) -> Result<Minor, Refusal> {
        let (mut kept, mut owed) = (Vec::with_capacity(self.charged.len()), Vec::new());
        for ((chain, units), shown) in self.chains.iter().zip(std::mem::take(&mut self.charged)) {
            let charges = settle(chain, &self.stored)?.charges;
            let charge = charges.into_iter().find(|charge| charge.hop == self.hop);
            // One that shows no charge any more would spoil the claim for the others.
            if let Some(charge) = charge {
                owed.push(Minor::new(charge.units)?.min(*units));
                kept.push(shown);
            }
        }
        self.charged = kept;
        Ok(Minor::sum(owed)?)
    }
}

/// Of the stored chains that decide who pays a chain those that decide what it is charged at a hop: those that leave it
/// there, then those that leave it later, the widest first.
fn from_hop<'a>(chain: &VerifiedChain, hop: usize, stored: &'a [MarkedRow]) -> Vec<&'a MarkedRow> {
    let marks: Vec<Mark> = chain.hops().iter().map(Mark::from).collect();
    let mut rows: Vec<(usize, &MarkedRow)> = stored.iter().map(|row| (row.shared(&marks), row)).collect();
    rows.retain(|(shared, _)| *shared >= hop);
    rows.sort_by_key(|(shared, row)| (*shared, Reverse(row.interval.length()), row.interval, row.chain));
    rows.into_iter().map(|(_, row)| row).collect()
}
