//! Deciding the claims on a coin at `reclaim_until`.
//!
//! ```text
//! unit that nobody deposited   circulation ─▶ the claim with the longest chain
//! fork among claims,           whoever answered twice is named ─┬▶ account, then collateral ─▶ the claim that loses
//!   or with a deposit                                           └▶ the rest is owed, as of a second deposit
//! chain that went on           nothing: its holder passed the value on
//! ```
//!
//! Circulation pays every unit at most once; what a claimant is owed is what circulation pays it and the charges. Nobody
//! owes itself: where the cheat is the claimant it is named, and nothing is charged.

use std::sync::Arc;

use feiqian_crypto::Digest;
use feiqian_ledger::book;
use feiqian_ledger::store::{StoreError, StoreExt, Tx, Value};
use feiqian_money::Minor;
use feiqian_node::MemberView;
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::chain::Hop;
use feiqian_offline_cash::deposit::ClaimTerms;
use feiqian_offline_cash::interval::Interval;
use feiqian_offline_cash::keyset::{Keys, VerifiedKey};
use feiqian_offline_cash::messages::ReclaimRequest;
use feiqian_offline_cash::reclaim::{Followed, charge_claims, decide};
use feiqian_offline_cash::register::{Charge, Mark};
use feiqian_wire::error::Fault;
use feiqian_wire::{Name, Timestamp};

use super::accused::{accuse, cover, expose, extract};
use super::claims::ClaimRow;
use super::parts::note_first;
use super::reclaim::ReclaimRow;
use super::register::{
    MarkedRow, Sums, Totals, add_totals, chain_of, deposited_units, each_overlapping, hop_at,
};
use super::tables::{CLAIM, RECLAIM};
use super::withdraw::count_reclaimed;
use crate::Bank;
use crate::chart::{Event, Post, along, id};
use crate::refusal::{Refusal, from_blob};

impl ReclaimRow {
    /// What a charge for this claim is called.
    pub(crate) fn charge_terms(&self, issuing_bank: &Name, charge: &Charge) -> Option<ClaimTerms> {
        let Mark { message, node, challenge } = charge.answer;
        let previous = chain_of(self.marks().get(..charge.hop)?)?;
        let (issuing_bank, payment) = (issuing_bank.clone(), self.message);
        Some(ClaimTerms { issuing_bank, message, previous, node, challenge, payment })
    }

    /// A transfer before it, as it was filed.
    fn transfer(&self, hop: usize) -> Result<Hop, StoreError> {
        let ReclaimRequest::Received(claim) = from_blob(&self.body)? else {
            return Err(StoreError::Missing("offline_reclaim"));
        };
        let link = claim.chain.links.get(hop).ok_or(StoreError::Missing("offline_reclaim"))?;
        Ok(link.hop.clone())
    }
}

/// The claims on one coin, about to be decided.
struct Deciding<'a> {
    bank: &'a Bank,
    view: &'a MemberView,
    coin: Digest,
    claims: Vec<ReclaimRow>,
    now: Timestamp,
}

impl Bank {
    /// Decides the claims on all coins whose time has come.
    pub(crate) async fn decide_claims(self: &Arc<Self>) -> Result<(), Fault> {
        let now = self.now();
        let due = move |tx: &mut dyn Tx| {
            let sql = "SELECT DISTINCT coin FROM offline_reclaim WHERE due <= ?1 AND paid IS NULL \
                       ORDER BY coin LIMIT 256";
            let rows = tx.select(sql, &[Value::unsigned(now.seconds())?])?;
            rows.iter().map(|row| Ok(row.digest(0)?)).collect::<Result<Vec<Digest>, Refusal>>()
        };
        let mut verdict = Ok(());
        for coin in self.seams.store.read(due).await? {
            let (bank, view) = (Arc::clone(self), self.members.snapshot());
            let work = move |tx: &mut dyn Tx| {
                let claims = ReclaimRow::of_coin(tx, &coin)?;
                Deciding { bank: &bank, view: &view, coin, claims, now }.decide(tx)
            };
            // One coin that cannot be decided does not hold up the others.
            let decided = self.seams.store.commit("bank.offline.decide", work).await;
            if let Err(refusal) = decided {
                let fault = Fault::from(refusal);
                tracing::error!(%fault, %coin, "claims could not be decided");
                verdict = verdict.and(Err(fault));
            }
        }
        verdict
    }
}

impl Deciding<'_> {
    fn decide(mut self, tx: &mut dyn Tx) -> Result<(), Refusal> {
        let undecided = self.claims.iter().filter(|row| row.paid.is_none()).count();
        if undecided == 0 {
            return Ok(());
        }
        let standings = self.claims.iter().map(ReclaimRow::standing).collect::<Result<Vec<_>, _>>()?;
        let paid = decide(&deposited_units(tx, &self.coin)?, &standings);
        for row in self.claims.iter_mut().filter(|row| row.paid.is_none()) {
            let amount = paid.get(&row.message).copied().unwrap_or(Minor::ZERO);
            let key = self.view.offline_keys().key(&row.key)?;
            row.paid = Some(amount);
            tx.update(&RECLAIM, &row.values()?)?;
            pay_claim(tx, row, key, amount, self.now)?;
        }
        self.charge_forks(tx)
    }

    /// Charges whoever answered twice, in the order of the charges' names, which the order of filing does not change.
    fn charge_forks(&self, tx: &mut dyn Tx) -> Result<(), Refusal> {
        let claims = self.claims.iter().map(ReclaimRow::followed).collect::<Result<Vec<Followed>, _>>()?;
        let Some(first) = self.claims.iter().find(|row| !row.marks().is_empty()) else { return Ok(()) };
        let value = self.view.offline_keys().key(&first.key)?.value;
        let mut rows = Vec::new();
        each_overlapping(tx, &self.coin, Interval::whole(value)?, |row| rows.push(row))?;
        let deposited = rows.iter().map(|row| row.deposited(value)).collect::<Result<Vec<_>, Refusal>>()?;
        let mut charges = Vec::new();
        for (claimant, charged) in charge_claims(&deposited, &claims) {
            let row = self.claims.iter().find(|row| row.message == claimant);
            let row = row.ok_or(StoreError::Missing("offline_reclaim"))?;
            for charge in charged {
                let terms = row.charge_terms(&self.bank.config.name, &charge);
                let terms = terms.ok_or(StoreError::Missing("offline_reclaim"))?;
                charges.push((terms.id(), terms, row, charge));
            }
        }
        charges.sort_by_key(|(id, ..)| *id);
        for (_, terms, row, charge) in &charges {
            let before = self.earlier(tx, charge, &rows)?;
            self.charge(tx, terms, (row, charge), &before)?;
        }
        Ok(())
    }

    /// The answer that a charge is held against, in the deposit or claim that goes before.
    fn earlier(&self, tx: &mut dyn Tx, charge: &Charge, deposited: &[MarkedRow]) -> Result<Hop, Refusal> {
        let deposit = deposited.iter().find(|row| row.marks.get(charge.hop) == Some(&charge.before));
        if let Some(row) = deposit {
            let paid = row.paid(tx)?;
            return Ok(hop_at(&paid, charge.hop).cloned().ok_or(StoreError::Missing("offline_chain"))?);
        }
        let claim = self.claims.iter().find(|row| row.marks().get(charge.hop) == Some(&charge.before));
        Ok(claim.ok_or(StoreError::Missing("offline_reclaim"))?.transfer(charge.hop)?)
    }

    /// Names whoever answered twice and makes it pay the claim that loses.
    fn charge(
        &self,
        tx: &mut dyn Tx,
        terms: &ClaimTerms,
        (row, charge): (&ReclaimRow, &Charge),
        before: &Hop,
    ) -> Result<(), Refusal> {
        let keys = self.view.offline_keys();
        let hop = row.transfer(charge.hop)?;
        let key = keys.key(&hop.key)?;
        let challenge = charge.answer.challenge.decode().map_err(|_| Rejection::Malformed("challenge"))?;
        let piece = hop.piece.verify(&key.public, &challenge);
        let piece = piece.map_err(|_| StoreError::Corrupt("offline_reclaim: a piece".to_owned()))?;
        let opening = extract(keys, &piece, before, &charge.before)?;
        expose(tx, &terms.message, key.times.reclaim_until, self.now)?;
        let mut claim = ClaimRow {
            claim: terms.id(),
            issuer: self.bank.name().to_owned(),
            debtor: key.bank.as_str().to_owned(),
            account: None,
            accusation: None,
            payment: row.message,
            presentment: row.message,
            coin: terms.message,
            amount: Minor::new(charge.units)?,
            paid: Minor::ZERO,
            due: key.times.deposit_until,
            outcome: None,
        };
        if key.bank != self.bank.config.name {
            let (claim, debtor) = (&claim.claim, &claim.debtor);
            tracing::error!(%claim, %debtor, "a customer of another bank owes for a claim that loses");
        } else if let Some((mut cheat, accused)) = accuse(tx, opening, &terms.message, self.now)? {
            if cheat.account == row.account {
                return Ok(());
            }
            claim.account = Some(cheat.account);
            claim.accusation = Some(accused.digest);
            claim.paid = cover(tx, &mut cheat, &claim.claim, claim.amount, &[row.account], self.now)?;
        }
        tx.insert(&CLAIM, &claim.values()?)?;
        Ok(note_first(tx, &claim.claim, claim.paid, self.now)?)
    }
}

fn pay_claim(
    tx: &mut dyn Tx,
    row: &ReclaimRow,
    key: &VerifiedKey,
    amount: Minor,
    now: Timestamp,
) -> Result<(), Refusal> {
    if amount.is_zero() {
        return Ok(());
    }
    let path = [id(Post::OfflineCirculation), row.account];
    let _ = book::transfer(tx, &along(Event::OfflineReclaim, &row.message, &path, amount), now.seconds())?;
    add_totals(tx, &Sums::from([((key.epoch, key.id), (0, amount))]), Totals::Reclaimed)?;
    if row.marks().is_empty() {
        count_reclaimed(tx, row.account, key.epoch, amount)?;
    }
    Ok(())
}
