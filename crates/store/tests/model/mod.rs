//! The book as a child would keep it: a list of what was accepted; every balance is added up anew from the start.

use feiqian_crypto::Id16;
use feiqian_ledger::{
    LedgerError,
    book::{Account, Kind, Limit, Outcome, Transfer},
};

#[derive(Clone, Default)]
pub struct Model {
    pub accounts: Vec<Account>,
    pub accepted: Vec<Transfer>,
}

/// Debits pending, debits posted, credits pending, credits posted.
pub type Balances = [i128; 4];

/// A refusal, as coarse as the model can know it.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    Conflict,
    Limit(Id16),
    Other,
}

impl From<&LedgerError> for Refusal {
    fn from(error: &LedgerError) -> Self {
        match error {
            LedgerError::ExistsWithDifferent(_) => Self::Conflict,
            LedgerError::LimitExceeded(id) => Self::Limit(*id),
            LedgerError::Store(error) => panic!("the store failed: {error}"),
            _ => Self::Other,
        }
    }
}

impl Model {
    pub fn open(&mut self, account: &Account) -> Result<Outcome, Refusal> {
        match self.accounts.iter().find(|known| known.id == account.id) {
            Some(known) if known == account => Ok(Outcome::Exists),
            Some(_) => Err(Refusal::Conflict),
            None => {
                self.accounts.push(account.clone());
                Ok(Outcome::Done)
            }
        }
    }

    pub fn find(&self, id: Id16) -> Option<&Transfer> {
        self.accepted.iter().find(|known| known.id == id)
    }

    pub fn resolver(&self, pending: Id16) -> Option<&Transfer> {
        self.accepted.iter().find(|known| known.kind.resolves() == Some(pending))
    }

    pub fn balances(&self, account: Id16) -> Balances {
        let mut sums = [0_i128; 4];
        for transfer in &self.accepted {
            let amount = i128::from(transfer.amount.value());
            let unresolved = self.resolver(transfer.id).is_none();
            let (pending, posted) = match transfer.kind {
                Kind::Pending { .. } => (if unresolved { amount } else { 0 }, 0),
                Kind::Posted | Kind::Post { .. } => (0, amount),
                Kind::Void { .. } | Kind::Expire { .. } => (0, 0),
            };
            if transfer.debit == account {
                sums[0] += pending;
                sums[1] += posted;
            }
            if transfer.credit == account {
                sums[2] += pending;
                sums[3] += posted;
            }
        }
        sums
    }

    pub fn transfer(&mut self, group: &[Transfer], now: u64) -> Result<Outcome, Refusal> {
        let known = group.iter().filter(|transfer| self.find(transfer.id).is_some()).count();
        if group.iter().any(|transfer| self.find(transfer.id).is_some_and(|known| known != transfer)) {
            return Err(Refusal::Conflict);
        }
        if known == group.len() && known > 0 {
            return Ok(Outcome::Exists);
        }
        if known > 0 {
            return Err(Refusal::Other);
        }
        let mut next = self.clone();
        for transfer in group {
            next.accept(transfer, now)?;
        }
        *self = next;
        Ok(Outcome::Done)
    }

    fn accept(&mut self, transfer: &Transfer, now: u64) -> Result<(), Refusal> {
        let account =
            |id: Id16| self.accounts.iter().find(|account| account.id == id).cloned().ok_or(Refusal::Other);
        if transfer.amount.value() == 0 || transfer.debit == transfer.credit {
            return Err(Refusal::Other);
        }
        let sides = [account(transfer.debit)?, account(transfer.credit)?];
        let in_time = match transfer.kind {
            Kind::Pending { expires } => expires.is_none_or(|expires| expires > now),
            Kind::Posted => true,
            Kind::Post { pending } | Kind::Void { pending } | Kind::Expire { pending } => {
                self.may_resolve(transfer, pending, now)
            }
        };
        if !in_time || sides[0].currency != sides[1].currency || self.find(transfer.id).is_some() {
            return Err(Refusal::Other);
        }
        self.accepted.push(transfer.clone());
        for side in sides {
            let [debits_pending, debits_posted, credits_pending, credits_posted] = self.balances(side.id);
            let kept = match side.limit {
                Limit::None => true,
                Limit::DebitsNotAboveCredits => debits_pending + debits_posted <= credits_posted,
                Limit::CreditsNotAboveDebits => credits_pending + credits_posted <= debits_posted,
            };
            if !kept {
                return Err(Refusal::Limit(side.id));
            }
        }
        Ok(())
    }

    fn may_resolve(&self, transfer: &Transfer, id: Id16, now: u64) -> bool {
        let Some(pending) = self.find(id) else { return false };
        let Kind::Pending { expires } = pending.kind else { return false };
        let over = expires.is_some_and(|expires| expires <= now);
        let fits = (pending.debit, pending.credit) == (transfer.debit, transfer.credit)
            && self.resolver(id).is_none();
        fits && match transfer.kind {
            Kind::Post { .. } => !over && transfer.amount <= pending.amount,
            Kind::Expire { .. } => over && transfer.amount == pending.amount,
            _ => transfer.amount == pending.amount,
        }
    }

    /// What must expire now, by the book's own ids.
    pub fn expire(&mut self, now: u64) -> usize {
        let due: Vec<Transfer> = self
            .accepted
            .iter()
            .filter(|transfer| transfer.kind.expires().is_some_and(|expires| expires <= now))
            .filter(|transfer| self.resolver(transfer.id).is_none())
            .map(Transfer::expire)
            .collect();
        self.accepted.extend(due.iter().cloned());
        due.len()
    }
}
