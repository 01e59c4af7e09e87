//! Offline cash at several homes: payments with offline coins, claims on the banks of cheats, and later parts, each at
//! the center and at both banks; and what merchants were told is settled.
//!
//! | item | who pays | counts at the center with |
//! |---|---|---|
//! | holding | the answering bank, which issued the coins | what it paid at once |
//! | claim | the answering bank, whose customer answered twice | what it paid at once; all, for want of an answer |
//! | part | the presenting bank | its amount |
//!
//! The answering bank books first, then the center, then the presenting bank. What stays unpaid follows as parts, so no
//! sum of a holding is compared but what was paid at once. A claim that was not answered in time the center books first,
//! with all of it: the answering bank, which may have booked an answer that nobody heard, books the rest when it is told.

use std::collections::BTreeMap;

use feiqian_bank::chart::{self, Post};
use feiqian_crypto::Digest;
use feiqian_ledger::audit::Finding;
use feiqian_ledger::store::{Row, StoreError, Tx};
use feiqian_offline_cash::deposit::Outcome;
use feiqian_offline_cash::messages::ClaimOutcome;

use super::books::{Forgotten, all, balance, decoded};
use super::purses::Issuer;

/// The first kind of item that is about offline cash, as banks and center number them.
pub(super) const FIRST_KIND: i64 = 4;

/// A kind of item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Holding,
    Claim,
    Part,
}

impl Kind {
    fn from_number(number: i64) -> Result<Self, StoreError> {
        match number {
            4 => Ok(Self::Holding),
            5 => Ok(Self::Claim),
            6 => Ok(Self::Part),
            _ => Err(StoreError::Corrupt(format!("items of kind {number}"))),
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Holding => "holding",
            Self::Claim => "claim",
            Self::Part => "part",
        }
    }

    /// The sign of what the answering bank books.
    fn answering(self, amount: u64) -> i128 {
        match self {
            Self::Holding | Self::Claim => i128::from(amount).saturating_neg(),
            Self::Part => i128::from(amount),
        }
    }
}

/// Where an item stands at one home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// On its way.
    Open,
    /// Final: it counts in the books.
    Booked,
    /// Final: it never counts.
    Refused,
}

/// What a bank knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OfflineBank {
    /// Offline coins in circulation, minor units, as all sums here.
    pub circulation: i128,
    /// What customers with an offline identity put up.
    pub collateral: i128,
    /// What other banks paid for their cheats, on its way to payees.
    pub claims_received: i128,
    /// What it booked for presentments of other banks.
    answered: BTreeMap<Digest, (Kind, u64)>,
    /// What it presents.
    presented: BTreeMap<Digest, (Kind, Stage)>,
    /// Payments that it took as issuing bank: presentment and amount.
    payments: BTreeMap<Digest, (Digest, u64)>,
    /// What claims of other banks were about.
    claimed: BTreeMap<Digest, u64>,
    /// Its coins.
    pub(super) issuer: Issuer,
    /// What it may have forgotten.
    pub(super) forgotten: Forgotten,
}

/// An item at the center.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OfflineItem {
    kind: Kind,
    collecting: String,
    issuing: String,
    state: Stage,
    /// What was presented.
    amount: u64,
    /// What one bank owes the other for it.
    settled: u64,
    /// When the center had it first.
    received: u64,
    /// Of a claim that was not answered in time: whether its bank has confirmed that it knows.
    told: Option<bool>,
}

/// What a merchant was told is settled, by payment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OfflineTill {
    settled: BTreeMap<Digest, (String, Digest, u64)>,
}

impl OfflineBank {
    /// Reads a bank's store.
    ///
    /// # Errors
    /// [`StoreError`] when a table cannot be read or understood.
    pub(super) fn read(tx: &mut dyn Tx, name: &str) -> Result<Self, StoreError> {
        let mut books = Self {
            circulation: balance(tx, chart::id(Post::OfflineCirculation))?,
            collateral: balance(tx, chart::id(Post::Collateral))?,
            claims_received: balance(tx, chart::id(Post::ClaimsReceived))?,
            ..Self::default()
        };
        let own = [name.into()];
        let holdings = "SELECT presentment, amount - unpaid FROM offline_payment WHERE bank <> ?1";
        let parts = "SELECT presentment, amount FROM offline_part WHERE ?1 <> ''";
        for (kind, sql) in [(Kind::Holding, holdings), (Kind::Part, parts)] {
            for row in tx.select(sql, &own)? {
                books.answered.insert(row.digest(0)?, (kind, row.unsigned(1)?));
            }
        }
        books.read_claims(tx, name)?;
        books.issuer = Issuer::read(tx)?;
        let presented = format!("SELECT id, kind, state FROM presentment WHERE kind >= {FIRST_KIND}");
        books.presented = all(tx, &presented, |row| {
            let state = match row.integer(2)? {
                0 => Stage::Open,
                1 => Stage::Booked,
                _ => Stage::Refused,
            };
            Ok((row.digest(0)?, (Kind::from_number(row.integer(1)?)?, state)))
        })?;
        books.payments = all(tx, "SELECT payment, presentment, amount FROM offline_payment", |row| {
            Ok((row.digest(0)?, (row.digest(1)?, row.unsigned(2)?)))
        })?;
        Ok(books)
    }

    /// What it paid at once of the claims of others, or all, where the center says that it did not answer.
    fn read_claims(&mut self, tx: &mut dyn Tx, name: &str) -> Result<(), StoreError> {
        let sql = "SELECT c.presentment, c.amount, c.outcome, coalesce(p.amount, 0) FROM offline_claim AS c \
                   LEFT JOIN offline_claim_part AS p ON p.claim = c.claim AND p.number = 0 \
                   WHERE c.issuer <> ?1";
        for row in tx.select(sql, &[name.into()])? {
            let (id, amount) = (row.digest(0)?, row.unsigned(1)?);
            let outcome = row.optional_blob(2)?.map(decoded::<ClaimOutcome>).transpose()?;
            let overdue = matches!(outcome, Some(ClaimOutcome::Unanswered(_)));
            let booked = if overdue { amount } else { row.unsigned(3)? };
            self.answered.insert(id, (Kind::Claim, booked));
            self.claimed.insert(id, amount);
        }
        Ok(())
    }

    pub(super) fn has_taken(&self, payment: &Digest) -> bool {
        self.payments.contains_key(payment)
    }
}

/// Reads the items of a center's store.
///
/// # Errors
/// [`StoreError`] when a table cannot be read or understood.
pub(super) fn read_items(tx: &mut dyn Tx) -> Result<BTreeMap<Digest, OfflineItem>, StoreError> {
    let sql = format!(
        "SELECT p.id, p.kind, p.collecting, p.issuing, p.state, coalesce(o.amount, 0), p.amount, n.told, p.received \
         FROM center_presentment AS p LEFT JOIN center_obligation AS o ON o.presentment = p.id \
         LEFT JOIN center_notice AS n ON n.presentment = p.id AND n.bank = p.issuing \
         WHERE p.kind >= {FIRST_KIND}"
    );
    all(tx, &sql, |row: &Row| {
        let item = OfflineItem {
            kind: Kind::from_number(row.integer(1)?)?,
            collecting: row.text(2)?.to_owned(),
            issuing: row.optional_text(3)?.unwrap_or_default().to_owned(),
            state: match row.integer(4)? {
                0 | 1 => Stage::Open,
                2 => Stage::Booked,
                _ => Stage::Refused,
            },
            settled: row.unsigned(5)?,
            amount: row.unsigned(6)?,
            told: row.optional(7, Row::boolean)?,
            received: row.unsigned(8)?,
        };
        Ok((row.digest(0)?, item))
    })
}

impl OfflineTill {
    /// Reads a merchant's store.
    ///
    /// # Errors
    /// [`StoreError`] when a table cannot be read or understood.
    pub(super) fn read(tx: &mut dyn Tx) -> Result<Self, StoreError> {
        let sql = "SELECT payment, outcome FROM merchant_offline_payment WHERE state = 1";
        let mut settled = BTreeMap::new();
        for row in tx.select(sql, &[])? {
            let (Outcome::Settled(receipt) | Outcome::Before(receipt)) = decoded(row.blob(1)?)? else {
                return Err(StoreError::Corrupt("a settled payment that was refused".to_owned()));
            };
            let terms = receipt.terms;
            let told = (terms.bank.as_str().to_owned(), terms.presentment, terms.amount.minor.value());
            settled.insert(row.digest(0)?, told);
        }
        Ok(Self { settled })
    }

    /// What it was told is settled stands at the bank that issued the coins.
    pub(super) fn compare<'a>(
        &self,
        bank: impl Fn(&str) -> Option<&'a OfflineBank>,
        findings: &mut Vec<Finding>,
    ) {
        for (payment, (issuing, presentment, amount)) in &self.settled {
            let Some(books) = bank(issuing) else { continue };
            if books.payments.get(payment) != Some(&(*presentment, *amount)) {
                let detail = format!("settled with {amount} there, not so at bank {issuing}");
                findings.push(Finding::new(8, format!("merchant, offline payment {payment}"), detail));
            }
        }
    }
}

impl OfflineItem {
    /// By how much the mirror of the bank `name` is ahead of the center's account for this item, minor units, signed;
    /// what breaks a rule excuses nothing, and is a finding of invariant 5 or 8.
    pub(super) fn ahead(&self, id: &Digest, name: &str, bank: &OfflineBank) -> Result<i128, (u8, String)> {
        let answering = if self.issuing == name { self.answered(id, name, bank)? } else { 0 };
        let presenting = if self.collecting == name { self.presented(id, name, bank)? } else { 0 };
        Ok(answering.saturating_add(presenting))
    }

    fn answered(&self, id: &Digest, name: &str, bank: &OfflineBank) -> Result<i128, (u8, String)> {
        use Stage::{Booked, Open, Refused};
        match (self.state, bank.answered.get(id)) {
            (_, Some((kind, _))) if *kind != self.kind => {
                Err((8, format!("a {} at bank {name}", kind.as_str())))
            }
            _ if self.kind == Kind::Claim && bank.claimed.get(id).is_some_and(|it| *it != self.amount) => {
                Err((8, format!("of {}, at bank {name} of another amount", self.amount)))
            }
            (Open, Some((_, amount))) => Ok(self.kind.answering(*amount)),
            // All was taken from a bank that has yet to hear of it.
            (Booked, answer) if self.told == Some(false) => {
                let booked = answer.map_or(0, |(_, amount)| *amount);
                if booked > self.settled {
                    return Err((
                        8,
                        format!("settled with {}, bank {name} has booked {booked}", self.settled),
                    ));
                }
                Ok(self.kind.answering(booked).saturating_sub(self.kind.answering(self.settled)))
            }
            (Open | Refused, None) => Ok(0),
            (Booked, Some((_, amount))) if *amount == self.settled => Ok(0),
            (Booked, Some((_, amount))) => {
                Err((8, format!("settled with {}, bank {name} has booked {amount}", self.settled)))
            }
            (Booked, None) => {
                Err((8, format!("settled with {}, bank {name} has booked nothing", self.settled)))
            }
            (Refused, Some(_)) => Err((5, format!("refused at the center, bank {name} has booked it"))),
        }
    }

    /// A payment that ended long ago, and of which nothing more comes, goes from the outbox.
    fn may_be_forgotten(&self, bank: &OfflineBank) -> bool {
        let is_whole = match self.state {
            Stage::Open => false,
            Stage::Booked => self.settled == self.amount,
            Stage::Refused => true,
        };
        self.kind == Kind::Holding && is_whole && bank.forgotten.has_presented(self.received)
    }

    fn presented(&self, id: &Digest, name: &str, bank: &OfflineBank) -> Result<i128, (u8, String)> {
        use Stage::{Booked, Open, Refused};
        match (self.state, bank.presented.get(id)) {
            (_, None) if self.may_be_forgotten(bank) => Ok(0),
            (_, None) => Err((8, format!("bank {name} knows nothing of it"))),
            (_, Some((kind, _))) if *kind != self.kind => {
                Err((8, format!("a {} at bank {name}", kind.as_str())))
            }
            // The center has booked what the bank will learn of: the opposite of the answering bank's.
            (Booked, Some((_, Open))) => Ok(self.kind.answering(self.settled)),
            (Booked, Some((_, Booked))) | (Open | Refused, Some((_, Open | Refused))) => Ok(0),
            (Booked, Some((_, Refused))) => {
                Err((5, format!("settled at the center, refused at bank {name}")))
            }
            (Open | Refused, Some((_, Booked))) => {
                Err((5, format!("booked at bank {name}, not settled at the center")))
            }
        }
    }
}

/// The sum of [`OfflineItem::ahead`] over all items.
pub(super) fn ahead(items: &BTreeMap<Digest, OfflineItem>, name: &str, bank: &OfflineBank) -> i128 {
    let each = items.iter().map(|(id, item)| item.ahead(id, name, bank).unwrap_or(0));
    each.fold(0, i128::saturating_add)
}

/// Every item of the center at both banks, as far as they are given.
pub(super) fn compare<'a>(
    items: &BTreeMap<Digest, OfflineItem>,
    bank: impl Fn(&str) -> Option<&'a OfflineBank>,
    findings: &mut Vec<Finding>,
) {
    for (id, item) in items {
        for name in [&item.issuing, &item.collecting] {
            let Some(books) = bank(name) else { continue };
            if let Err((invariant, detail)) = item.ahead(id, name, books) {
                let place = format!("center, presentment {id} ({})", item.kind.as_str());
                findings.push(Finding::new(invariant, place, detail));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Digest = Digest([1; 32]);

    fn item(kind: Kind, state: Stage) -> OfflineItem {
        let settled = if state == Stage::Booked { 700 } else { 0 };
        let (collecting, issuing) = ("south".into(), "north".into());
        OfflineItem { kind, collecting, issuing, state, amount: 700, settled, received: 5_000, told: None }
    }

    fn answering(kind: Kind, amount: Option<u64>) -> OfflineBank {
        let answered = amount.map(|amount| (ID, (kind, amount))).into_iter().collect();
        OfflineBank { answered, ..OfflineBank::default() }
    }

    fn presenting(kind: Kind, state: Option<Stage>) -> OfflineBank {
        let presented = state.map(|state| (ID, (kind, state))).into_iter().collect();
        OfflineBank { presented, ..OfflineBank::default() }
    }

    #[test]
    fn the_answering_bank_is_ahead_until_the_center_has_booked() {
        use Stage::{Booked, Open, Refused};
        for (kind, sign) in [(Kind::Holding, -1), (Kind::Claim, -1), (Kind::Part, 1)] {
            let ahead = |state, amount| {
                item(kind, state).ahead(&ID, "north", &answering(kind, amount)).map_err(|broken| broken.0)
            };
            assert_eq!(ahead(Open, None), Ok(0));
            assert_eq!(ahead(Open, Some(700)), Ok(sign * 700));
            assert_eq!(ahead(Booked, Some(700)), Ok(0));
            assert_eq!(ahead(Refused, None), Ok(0));
            assert_eq!(ahead(Booked, Some(701)), Err(8));
            assert_eq!(ahead(Booked, None), Err(8));
            assert_eq!(ahead(Refused, Some(700)), Err(5));
        }
    }

    #[test]
    fn a_bank_that_did_not_answer_is_behind_until_it_is_told() {
        let unanswered = |told| OfflineItem { told: Some(told), ..item(Kind::Claim, Stage::Booked) };
        let ahead = |told, booked| {
            let bank = answering(Kind::Claim, booked);
            unanswered(told).ahead(&ID, "north", &bank).map_err(|broken| broken.0)
        };
        // It knows nothing, or it had answered with 300 too late, or it has heard and its word was lost.
        assert_eq!([ahead(false, None), ahead(false, Some(300))], [Ok(700), Ok(400)]);
        assert_eq!([ahead(false, Some(700)), ahead(true, Some(700))], [Ok(0), Ok(0)]);
        assert_eq!([ahead(true, None), ahead(true, Some(300)), ahead(false, Some(701))], [Err(8); 3]);
        let mut other = answering(Kind::Claim, Some(700));
        other.claimed.insert(ID, 701);
        assert_eq!(unanswered(true).ahead(&ID, "north", &other).map_err(|broken| broken.0), Err(8));
    }

    #[test]
    fn the_presenting_bank_is_behind_until_it_is_told() {
        use Stage::{Booked, Open, Refused};
        for (kind, sign) in [(Kind::Holding, -1), (Kind::Claim, -1), (Kind::Part, 1)] {
            let ahead = |state, row| {
                item(kind, state).ahead(&ID, "south", &presenting(kind, row)).map_err(|broken| broken.0)
            };
            assert_eq!(ahead(Open, Some(Open)), Ok(0));
            assert_eq!(ahead(Booked, Some(Open)), Ok(sign * 700));
            assert_eq!(ahead(Booked, Some(Booked)), Ok(0));
            assert_eq!(ahead(Refused, Some(Refused)), Ok(0));
            assert_eq!(ahead(Refused, Some(Open)), Ok(0));
            assert_eq!(ahead(Booked, Some(Refused)), Err(5));
            assert_eq!(ahead(Open, Some(Booked)), Err(5));
            assert_eq!(ahead(Refused, Some(Booked)), Err(5));
            assert_eq!(ahead(Booked, None), Err(8));
            let forgotten = Forgotten { redeemed: 0, presented: 5_000 };
            let forgets = OfflineBank { forgotten, ..OfflineBank::default() };
            let ahead = |item: &OfflineItem| item.ahead(&ID, "south", &forgets).map_err(|broken| broken.0);
            let gone = if kind == Kind::Holding { Ok(0) } else { Err(8) };
            assert_eq!([ahead(&item(kind, Booked)), ahead(&item(kind, Refused))], [gone, gone]);
            let part_paid = OfflineItem { settled: 699, ..item(kind, Booked) };
            let later = OfflineItem { received: 5_000 + 2 * 86_400, ..item(kind, Booked) };
            for stays in [item(kind, Open), part_paid, later] {
                assert_eq!(ahead(&stays), Err(8), "{stays:?}");
            }
        }
    }

    #[test]
    fn what_a_till_was_told_stands_at_the_issuing_bank() {
        let (payment, other) = (Digest([2; 32]), Digest([3; 32]));
        let till = OfflineTill { settled: [(payment, ("north".to_owned(), ID, 700))].into_iter().collect() };
        let broken = |row: Option<(Digest, u64)>| {
            let payments = row.map(|row| (payment, row)).into_iter().collect();
            let north = OfflineBank { payments, ..OfflineBank::default() };
            let mut findings = Vec::new();
            till.compare(|name| (name == "north").then_some(&north), &mut findings);
            findings.len()
        };
        assert_eq!(broken(Some((ID, 700))), 0);
        assert_eq!([broken(None), broken(Some((ID, 701))), broken(Some((other, 700)))], [1, 1, 1]);
    }
}
