//! Taking a payment with coins of this bank: circulation pays every unit once, whoever answered twice pays the rest, and
//! what that does not cover is owed. All of it in one transaction.

use std::collections::BTreeMap;

use feiqian_clearing::presentment::{ItemKind, Presentment};
use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::book;
use feiqian_ledger::store::{Row, StoreError, Tx, Value};
use feiqian_money::Minor;
use feiqian_node::MemberView;
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::claim::{ClaimItem, LoneChain};
use feiqian_offline_cash::deposit::{ClaimTerms, Part, Receipt, ReceiptTerms, Source, settle_payment};
use feiqian_offline_cash::keyset::Keys;
use feiqian_offline_cash::pay::{CashItem, VerifiedPayment};
use feiqian_offline_cash::register::{Charge, Mark, Settlement};
use feiqian_offline_cash::verify::{VerifiedChain, VerifiedHop};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, Text, Timestamp};

use super::accused::{accuse, cover, expose, extract};
use super::claims::ClaimRow;
use super::evidence::Evidence;
use super::parts::note_first;
use super::register::{ChainRow, MarkedRow, Sums, Totals, add_totals, deciding, hop_at};
use super::tables::{CHAIN, CLAIM, PAYMENT};
use crate::Bank;
use crate::chart::{Event, Post, along, id};
use crate::outbox::{PresentmentRow, State};
use crate::payments::check_refused;
use crate::refusal::{Refusal, from_blob, to_blob};

/// A payment that was taken, as stored.
#[derive(Debug, Clone)]
pub(crate) struct PaymentRow {
    /// The set that names it.
    pub(crate) payment: Digest,
    pub(crate) request: Digest,
    /// Collecting bank and account.
    pub(crate) bank: String,
    pub(crate) account: String,
    pub(crate) amount: Minor,
    /// What was owed when it was taken.
    pub(crate) unpaid: Minor,
    pub(crate) presentment: Digest,
    pub(crate) receipt: Receipt,
    pub(crate) taken: u64,
}

impl PaymentRow {
    pub(crate) fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            payment: row.digest(0)?,
            request: row.digest(1)?,
            bank: row.text(2)?.to_owned(),
            account: row.text(3)?.to_owned(),
            amount: row.minor(4)?,
            unpaid: row.minor(5)?,
            presentment: row.digest(6)?,
            receipt: from_blob(row.blob(7)?)?,
            taken: row.unsigned(8)?,
        })
    }

    fn values(&self) -> Result<[Value; 9], StoreError> {
        Ok([
            self.payment.into(),
            self.request.into(),
            self.bank.as_str().into(),
            self.account.as_str().into(),
            self.amount.into(),
            self.unpaid.into(),
            self.presentment.into(),
            to_blob(&self.receipt)?.into(),
            Value::unsigned(self.taken)?,
        ])
    }

    pub(crate) fn find(tx: &mut dyn Tx, payment: &Digest) -> Result<Option<Self>, StoreError> {
        tx.find(&PAYMENT, &[(*payment).into()])?.map(|row| Self::from_row(&row)).transpose()
    }
}

/// A checked payment about to be taken.
pub(super) struct Taking<'a> {
    pub(super) bank: &'a Bank,
    pub(super) view: &'a MemberView,
    pub(super) item: &'a CashItem,
    pub(super) payment: &'a VerifiedPayment,
    pub(super) presentment: Digest,
    /// Where the money goes: an account here, or through clearing.
    pub(super) to: Vec<Id16>,
    pub(super) now: Timestamp,
}

/// What one claim of the payment is about: units of one or more of its pieces, charged to one answer.
struct Charged<'a> {
    terms: ClaimTerms,
    hop: &'a VerifiedHop,
    charge: Charge,
    /// Piece and units.
    pieces: Vec<(u32, Minor)>,
    /// A stored chain with the earlier answer.
    earlier: MarkedRow,
}

impl Charged<'_> {
    fn amount(&self) -> Result<Minor, Refusal> {
        Ok(Minor::sum(self.pieces.iter().map(|(_, units)| *units))?)
    }

    fn largest_first(&self) -> Vec<(u32, Minor)> {
        let mut pieces = self.pieces.clone();
        pieces.sort_by_key(|(piece, units)| (std::cmp::Reverse(*units), *piece));
        pieces
    }

    /// `paid` of it from this source, the rest as a claim: piece by piece.
    fn parts(&self, paid: Minor, accusation: Option<Digest>) -> Result<Vec<Part>, Refusal> {
        let (mut left, mut parts) = (paid, Vec::new());
        for (piece, units) in &self.pieces {
            let covered = left.min(*units);
            left = left.checked_sub(covered)?;
            let rest = units.checked_sub(covered)?;
            let sources = [
                (covered, accusation.map(|accusation| Source::Charged { accusation })),
                (rest, Some(Source::Unpaid { claim: self.terms.id() })),
            ];
            for (amount, source) in sources {
                if let Some(source) = source
                    && !amount.is_zero()
                {
                    parts.push(Part { piece: *piece, amount, source });
                }
            }
        }
        Ok(parts)
    }
}

impl Taking<'_> {
    /// Takes the payment, or gives the receipt of when it was taken before.
    pub(super) fn take(&self, tx: &mut dyn Tx) -> Result<Receipt, Refusal> {
        let payment = self.payment;
        if let Some(known) = PaymentRow::find(tx, &payment.set)? {
            return Ok(known.receipt);
        }
        check_refused(tx, &self.presentment)?;
        payment.check_deposit(self.now)?;
        self.check_new(tx)?;
        let mut stored: BTreeMap<(Digest, u64), Vec<MarkedRow>> = BTreeMap::new();
        let settlements = settle_payment(payment, |coin, interval| {
            let same = |chain: &&VerifiedChain| chain.coin() == Some(coin) && chain.interval() == interval;
            let hops = payment.chains.iter().find(same).map_or(&[][..], VerifiedChain::hops);
            let marks: Vec<Mark> = hops.iter().map(Mark::from).collect();
            let rows = deciding(tx, coin, interval, &marks)?;
            let value = self.coin_value(coin)?;
            let deposited = rows.iter().map(|row| row.deposited(value)).collect::<Result<Vec<_>, Refusal>>();
            stored.insert((*coin, interval.start()), rows);
            deposited
        })?;
        let mut parts = self.book_circulation(tx, &settlements)?;
        for charged in self.charged(&settlements, &stored)? {
            parts.extend(self.charge(tx, &charged, &stored)?);
        }
        parts.sort();
        self.keep_chains(tx, &settlements)?;
        self.keep(tx, parts)
    }

    /// A request is redeemed for one payment; a coin of which claims were decided is closed, whatever the clock says.
    fn check_new(&self, tx: &mut dyn Tx) -> Result<(), Refusal> {
        let request = &self.payment.request;
        let other =
            tx.select("SELECT payment FROM offline_payment WHERE request = ?1", &[request.digest.into()])?;
        if !other.is_empty() {
            return Err(Fault::new(Code::RequestAlreadyPaid, "another payment paid the request").into());
        }
        for coin in self.payment.chains.iter().filter_map(VerifiedChain::coin) {
            let decided = "SELECT 1 FROM offline_reclaim WHERE coin = ?1 AND paid IS NOT NULL LIMIT 1";
            if !tx.select(decided, &[(*coin).into()])?.is_empty() {
                return Err(Rejection::KeyExpired.into());
            }
        }
        Ok(())
    }

    fn first_hop(&self, coin: &Digest) -> Result<&VerifiedHop, Refusal> {
        let chain = self.payment.chains.iter().find(|chain| chain.coin() == Some(coin));
        let hop = chain.and_then(|chain| chain.hops().first());
        hop.ok_or_else(|| Rejection::PieceInvalid("a chain without hops").into())
    }

    fn coin_value(&self, coin: &Digest) -> Result<Minor, Refusal> {
        Ok(self.view.offline_keys().key(self.first_hop(coin)?.key())?.value)
    }

    /// The first chain on a unit is paid from circulation.
    fn book_circulation(&self, tx: &mut dyn Tx, settlements: &[Settlement]) -> Result<Vec<Part>, Refusal> {
        let (mut parts, mut sums, mut total) = (Vec::new(), Sums::new(), Minor::ZERO);
        for (piece, (chain, settlement)) in (0_u32..).zip(self.payment.chains.iter().zip(settlements)) {
            let amount = Minor::new(settlement.circulation)?;
            if amount.is_zero() {
                continue;
            }
            parts.push(Part { piece, amount, source: Source::Circulation });
            total = total.checked_add(amount)?;
            let hop = chain.hops().first().ok_or(Rejection::PieceInvalid("a chain without hops"))?;
            let key = self.view.offline_keys().key(hop.key())?;
            let sum = sums.entry((key.epoch, key.id)).or_insert((0, Minor::ZERO));
            sum.1 = sum.1.checked_add(amount)?;
        }
        add_totals(tx, &sums, Totals::Redeemed)?;
        if !total.is_zero() {
            let path: Vec<Id16> =
                std::iter::once(id(Post::OfflineCirculation)).chain(self.to.iter().copied()).collect();
            let transfers = along(Event::OfflineRedeem, &self.presentment, &path, total);
            let _ = book::transfer(tx, &transfers, self.now.seconds())?;
        }
        Ok(parts)
    }

    /// The charges by claim, in the order of claims: two pieces that came through one answer are charged together.
    fn charged(
        &self,
        settlements: &[Settlement],
        stored: &BTreeMap<(Digest, u64), Vec<MarkedRow>>,
    ) -> Result<Vec<Charged<'_>>, Refusal> {
        let mut claims: BTreeMap<Digest, Charged<'_>> = BTreeMap::new();
        for (piece, (chain, settlement)) in (0_u32..).zip(self.payment.chains.iter().zip(settlements)) {
            for charge in &settlement.charges {
                let terms = ClaimTerms::of(self.payment, chain, charge)?;
                let hop = chain.hops().get(charge.hop).ok_or(Rejection::PieceInvalid("no such hop"))?;
                let units = Minor::new(charge.units)?;
                let earlier = earlier_of(chain, charge, stored)?;
                let fresh =
                    || Charged { terms: terms.clone(), hop, charge: *charge, pieces: Vec::new(), earlier };
                claims.entry(terms.id()).or_insert_with(fresh).pieces.push((piece, units));
            }
        }
        Ok(claims.into_values().collect())
    }

    /// Names whoever answered twice and makes it pay; or claims on the bank whose customer it is.
    fn charge(
        &self,
        tx: &mut dyn Tx,
        charged: &Charged<'_>,
        stored: &BTreeMap<(Digest, u64), Vec<MarkedRow>>,
    ) -> Result<Vec<Part>, Refusal> {
        let (keys, amount) = (self.view.offline_keys(), charged.amount()?);
        let key = keys.key(charged.hop.key())?;
        let mut claim = ClaimRow {
            claim: charged.terms.id(),
            issuer: self.bank.name().to_owned(),
            debtor: charged.hop.bank().as_str().to_owned(),
            account: None,
            accusation: None,
            payment: self.payment.set,
            presentment: self.presentment,
            coin: charged.terms.message,
            amount,
            paid: Minor::ZERO,
            due: key.times.deposit_until,
            outcome: None,
        };
        if claim.debtor == self.bank.name() {
            let paid = charged.earlier.paid(tx)?;
            let hop = hop_at(&paid, charged.charge.hop).ok_or(StoreError::Missing("offline_chain"))?;
            let opening = extract(keys, charged.hop.piece(), hop, &charged.charge.before)?;
            expose(tx, &claim.coin, key.times.reclaim_until, self.now)?;
            if let Some((mut row, accused)) = accuse(tx, opening, &claim.coin, self.now)? {
                claim.account = Some(row.account);
                claim.accusation = Some(accused.digest);
                claim.paid = cover(tx, &mut row, &claim.claim, amount, &self.to, self.now)?;
            }
        } else {
            self.claim_elsewhere(tx, charged, &claim, stored)?;
        }
        tx.insert(&CLAIM, &claim.values()?)?;
        note_first(tx, &claim.claim, claim.paid, self.now)?;
        charged.parts(claim.paid, claim.accusation)
    }

    /// Puts the claim on its way to the bank that issued the blank: one for all pieces that came through one answer.
    fn claim_elsewhere(
        &self,
        tx: &mut dyn Tx,
        charged: &Charged<'_>,
        claim: &ClaimRow,
        stored: &BTreeMap<(Digest, u64), Vec<MarkedRow>>,
    ) -> Result<(), Refusal> {
        let mut evidence = Evidence::new(charged.charge.hop);
        for (piece, units) in charged.largest_first() {
            let index = usize::try_from(piece).unwrap_or(usize::MAX);
            let shown = self.item.payment.chains.get(index).zip(self.payment.chains.get(index));
            let (body, chain) = shown.ok_or(Rejection::PieceInvalid("no such piece"))?;
            let value = self.coin_value(chain.coin().ok_or(Rejection::PieceInvalid("no such piece"))?)?;
            let lone = LoneChain { chain: body.clone(), set: self.payment.set };
            evidence.add(tx, lone, (chain, units), (stored_for(chain, stored), value))?;
        }
        let units = evidence.amount()?;
        if units.is_zero() {
            tracing::error!(claim = %claim.claim, "no claim can show that it is owed");
            return Ok(());
        }
        let item = ClaimItem {
            terms: charged.terms.clone(),
            amount: self.bank.amount(units),
            charged: Bounded::new(evidence.charged)
                .map_err(|_| Rejection::LimitExceeded("claimed chains"))?,
            hop: u16::try_from(charged.charge.hop).unwrap_or(u16::MAX),
            before: Bounded::new(evidence.before)
                .map_err(|_| Rejection::LimitExceeded("chains of a claim"))?,
        };
        let amount = item.amount;
        let presentment = Presentment::new(
            self.bank.config.name.clone(),
            Text::default(),
            amount,
            ItemKind::Claim,
            &item.digest(),
            item,
        );
        let row = PresentmentRow {
            id: presentment.id,
            kind: ItemKind::Claim,
            account: id(Post::ClaimsReceived),
            reference: claim.claim,
            bank: claim.debtor.clone(),
            amount: units,
            expires: Timestamp::MAX,
            body: to_blob(&presentment)?,
            state: State::Pending,
            outcome: None,
            created: self.now.seconds(),
            tried: 0,
        };
        row.insert_new(tx)
    }

    fn keep_chains(&self, tx: &mut dyn Tx, settlements: &[Settlement]) -> Result<(), Refusal> {
        let bodies = self.item.payment.chains.iter();
        let chains = self.payment.chains.iter().zip(bodies).zip(settlements);
        for (piece, ((chain, body), settlement)) in (0_u32..).zip(chains) {
            let first = chain.hops().first().ok_or(Rejection::PieceInvalid("a chain without hops"))?;
            let marks = Bounded::collect(chain.hops().iter().map(Mark::from));
            let row = ChainRow {
                coin: *first.piece().message(),
                chain: chain.digest(),
                interval: chain.interval(),
                key: *first.key(),
                payment: self.payment.set,
                piece,
                marks: marks.map_err(|_| Rejection::LimitExceeded("hops of a chain"))?,
                circulation: Minor::new(settlement.circulation)?,
                body: to_blob(body)?,
            };
            tx.insert(&CHAIN, &row.values()?)?;
        }
        Ok(())
    }

    fn keep(&self, tx: &mut dyn Tx, parts: Vec<Part>) -> Result<Receipt, Refusal> {
        let terms = ReceiptTerms::new(self.payment, self.presentment, parts, self.now)?;
        let unpaid = terms.unpaid()?;
        let receipt = terms.sign(&self.bank.signer)?;
        let row = PaymentRow {
            payment: self.payment.set,
            request: self.payment.request.digest,
            bank: receipt.terms.collecting_bank.as_str().to_owned(),
            account: receipt.terms.account.as_str().to_owned(),
            amount: receipt.terms.amount.minor,
            unpaid,
            presentment: self.presentment,
            receipt: receipt.clone(),
            taken: self.now.seconds(),
        };
        tx.insert(&PAYMENT, &row.values()?)?;
        Ok(receipt)
    }
}

fn stored_for<'s>(
    chain: &VerifiedChain,
    stored: &'s BTreeMap<(Digest, u64), Vec<MarkedRow>>,
) -> &'s [MarkedRow] {
    let coin = chain.coin().copied().unwrap_or(feiqian_offline_cash::chain::START);
    stored.get(&(coin, chain.interval().start())).map_or(&[], Vec::as_slice)
}

/// A stored chain that holds the earlier answer of a charge.
fn earlier_of(
    chain: &VerifiedChain,
    charge: &Charge,
    stored: &BTreeMap<(Digest, u64), Vec<MarkedRow>>,
) -> Result<MarkedRow, Refusal> {
    let mut rows = stored_for(chain, stored).iter();
    let found = rows.find(|row| row.marks.get(charge.hop) == Some(&charge.before));
    Ok(found.cloned().ok_or(StoreError::Missing("offline_chain"))?)
}
