//! Offline cash: withdrawals, the deposit register, receipts, claims and reclaims against each other and the book.

use std::collections::{BTreeMap, BTreeSet};

use feiqian_clearing::presentment::ItemKind;
use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::book;
use feiqian_ledger::store::{StoreError, Tx};
use feiqian_offline_cash::deposit::Source;
use feiqian_offline_cash::interval::Interval;
use feiqian_offline_cash::keyset::{Keyset, Kind, VerifiedKey};
use feiqian_offline_cash::messages::ReclaimRequest;
use feiqian_offline_cash::reclaim::{charge_claims, decide};
use feiqian_offline_cash::withdraw::expand;
use feiqian_wire::Name;

use super::{Auditor, place};
use crate::chart::{Event, Post, id, transfer_id};
use crate::offline::register::{ChainRow, chain_of};
use crate::offline::tables::{CHAIN, DRAWN, IDENTITY, KEYSET, LINE, PAYMENT, RECLAIM, SESSION, TOTAL};
use crate::offline::{IdentityRow, PaymentRow, ReclaimRow, SessionRow};
use crate::outbox::{PresentmentRow, State as Way};
use crate::refusal::from_blob;
use crate::sessions::State;

/// What the offline rows say, minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OfflineSums {
    /// Σ value of coins signed in answered sessions.
    pub issued: u128,
    /// Σ of units that circulation paid at their first deposit.
    pub redeemed: u128,
    /// Σ of units paid to whoever claimed them.
    pub reclaimed: u128,
    /// Σ of charges to customers of this bank and others.
    pub charged: u128,
    /// Σ of what was paid of the charges.
    pub covered: u128,
    /// Customers' identities closed.
    pub closed: u64,
}

/// Recomputed sums of one key: coins, issued, redeemed, reclaimed.
type KeySums = [u128; 4];

/// What is gathered on the way.
#[derive(Default)]
pub(super) struct Gathered {
    keys: BTreeMap<Digest, VerifiedKey>,
    sums: BTreeMap<(u64, Digest), KeySums>,
    /// Withdrawn, reclaimed, blanks by account and epoch.
    drawn: BTreeMap<(Id16, u64), [u128; 3]>,
    pub(super) signing: BTreeMap<Id16, [u8; 32]>,
    lines: BTreeMap<(Digest, u64), [u8; 32]>,
    held: u128,
    chains: BTreeMap<Digest, Vec<ChainRow>>,
    /// Circulation of each payment.
    circulation: BTreeMap<Digest, u128>,
    /// Of each piece of each payment: its length.
    pieces: BTreeMap<(Digest, u32), u128>,
    /// Unpaid at first, by claim, from receipts.
    pub(super) unpaid: BTreeMap<Digest, u128>,
    /// Payments by presentment.
    pub(super) presented: BTreeMap<Digest, Digest>,
    /// What forks owe to reclaims that lost to them, by claim.
    pub(super) owed: BTreeMap<Digest, Owed>,
}

/// What a fork owes to a reclaim.
pub(super) struct Owed {
    pub(super) units: u64,
    /// *m* that was claimed, and by whom.
    pub(super) message: Digest,
    pub(super) account: Id16,
    /// *m* that was answered for twice.
    pub(super) coin: Digest,
}

pub(super) fn plus(sum: &mut u128, more: impl Into<u128>) {
    *sum = sum.saturating_add(more.into());
}

fn add(sums: &mut BTreeMap<(u64, Digest), KeySums>, key: &VerifiedKey, which: usize, amount: u128) {
    if let Some(sum) = sums.entry((key.epoch, key.id)).or_default().get_mut(which) {
        plus(sum, amount);
    }
}

impl Auditor<'_> {
    pub(super) fn offline(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let mut gathered = Gathered::default();
        self.offline_keysets(tx, &mut gathered)?;
        self.offline_identities(tx, &mut gathered)?;
        self.offline_sessions(tx, &mut gathered)?;
        self.offline_lines(tx, &mut gathered)?;
        self.offline_chains(tx, &mut gathered)?;
        self.offline_payments(tx, &mut gathered)?;
        self.offline_reclaims(tx, &mut gathered)?;
        self.offline_claims(tx, &mut gathered)?;
        self.offline_totals(tx, &gathered)?;
        self.offline_balances(tx, &gathered)
    }

    fn offline_keysets(&mut self, tx: &mut dyn Tx, gathered: &mut Gathered) -> Result<(), StoreError> {
        self.walk(tx, &KEYSET, |auditor, _, row| {
            let at = place(&KEYSET, row);
            let keyset: Keyset = from_blob(row.blob(2)?)?;
            if keyset.bank.as_str() != auditor.audited.bank
                || Ok(keyset.epoch.0) != row.unsigned(0)
                || Ok(keyset.digest()) != row.digest(1)
            {
                auditor.find(7, at.as_str(), "bank, epoch or digest is not the keyset's");
            }
            match keyset.verify(&auditor.audited.signer) {
                Ok(verified) => gathered.keys.extend(verified.keys.into_iter().map(|key| (key.id, key))),
                Err(error) => auditor.find(7, at, error.to_string()),
            }
            Ok(())
        })
    }

    fn offline_identities(&mut self, tx: &mut dyn Tx, gathered: &mut Gathered) -> Result<(), StoreError> {
        self.walk(tx, &IDENTITY, |auditor, _, row| {
            let at = place(&IDENTITY, row);
            let identity = IdentityRow::from_row(row)?;
            let record = identity.record();
            let key = record.signing_key().unwrap_or([0; 32]);
            let signed = identity.signed.signature.verify(&key, &record.digest(), "identity record").is_ok();
            let attested = identity.attested.as_ref().is_none_or(|known| known.identity.record == *record);
            let certified = record.collateral.minor == identity.collateral;
            if !signed || !attested || !certified || record.account.as_str() != identity.account.to_string() {
                auditor.find(7, at, "the record is not the account's, not signed, or not the one attested");
            }
            gathered.signing.insert(identity.account, key);
            plus(&mut gathered.held, identity.held.value());
            plus_one(&mut auditor.out.offline.closed, identity.closed.is_some());
            Ok(())
        })
    }

    fn offline_sessions(&mut self, tx: &mut dyn Tx, gathered: &mut Gathered) -> Result<(), StoreError> {
        self.walk(tx, &SESSION, |auditor, tx, row| {
            let session = SessionRow::from_row(row)?;
            if session.state == State::Answered {
                auditor.offline_answered(tx, &session, &place(&SESSION, row), gathered)?;
            }
            Ok(())
        })
    }

    fn offline_answered(
        &mut self,
        tx: &mut dyn Tx,
        row: &SessionRow,
        at: &str,
        gathered: &mut Gathered,
    ) -> Result<(), StoreError> {
        let answer = row.answer.as_ref().ok_or(StoreError::Missing("offline_session"))?;
        let (statement, session) = (&answer.withdrawal.statement, &answer.session);
        let signed =
            gathered.signing.get(&row.account).is_some_and(|key| answer.withdrawal.verify(key).is_ok());
        let said = session.commitments.iter().zip(&session.announcements);
        let said = said.zip(session.challenges.iter().zip(&session.answers));
        let fits = statement.session == row.session
            && session.session == row.session
            && session.outputs == row.outputs
            && statement.lines.len() == session.answers.len()
            && statement.lines.iter().zip(said).all(
                |(line, ((commitment, announced), (challenge, answer)))| {
                    let sum = answer.c.decode().and_then(|c| Ok(c + answer.d.decode()?));
                    (line.commitment, line.nu, line.challenge)
                        == (*commitment, announced.nu, challenge.encoded())
                        && sum.is_ok_and(|sum| sum == *challenge.scalar())
                },
            );
        if !signed || !fits {
            self.find(7, at, "the customer's statement is not signed or not of this session");
        }
        let mut value = 0_u128;
        for key in expand(&row.outputs).unwrap_or_default() {
            let Some(key) = gathered.keys.get(&key) else {
                self.find(3, at, "a coin under an unknown key");
                continue;
            };
            plus(&mut value, key.value.value());
            add(&mut gathered.sums, key, 0, 1);
            add(&mut gathered.sums, key, 1, key.value.value().into());
            let [withdrawn, _, blanks] = gathered.drawn.entry((row.account, key.epoch)).or_default();
            plus(withdrawn, key.value.value());
            plus(blanks, u8::from(key.kind == Kind::Blank));
        }
        plus(&mut self.out.offline.issued, value);
        if value != u128::from(row.amount.value()) {
            self.find(3, at, format!("the amount is {}, its coins are worth {value}", row.amount));
        }
        self.booked(tx, Event::OfflineWithdraw, &row.session, value, at)?;
        let lines = (0_u64..).zip(statement.lines.iter());
        gathered.lines.extend(lines.map(|(index, line)| ((row.session, index), line.commitment.to_bytes())));
        Ok(())
    }

    /// The first transfer of an event is booked with this amount; with zero, not at all.
    pub(super) fn booked(
        &mut self,
        tx: &mut dyn Tx,
        event: Event,
        reference: &Digest,
        expected: u128,
        at: &str,
    ) -> Result<(), StoreError> {
        let booked = amount_of(tx, event, reference)?;
        if booked != expected {
            let word = Event::word(event as u16);
            self.find(3, at, format!("{word} is booked with {booked} minor units, expected {expected}"));
        }
        Ok(())
    }

    fn offline_lines(&mut self, tx: &mut dyn Tx, gathered: &mut Gathered) -> Result<(), StoreError> {
        self.walk(tx, &LINE, |auditor, _, row| {
            let known = gathered.lines.remove(&(row.digest(1)?, row.unsigned(2)?));
            if known != Some(row.array::<32>(0)?) {
                auditor.find(7, place(&LINE, row), "no such line in its session");
            }
            Ok(())
        })?;
        for (session, index) in gathered.lines.keys() {
            self.find(7, format!("offline_session ({session})"), format!("line {index} cannot be found"));
        }
        Ok(())
    }

    fn offline_chains(&mut self, tx: &mut dyn Tx, gathered: &mut Gathered) -> Result<(), StoreError> {
        self.walk(tx, &CHAIN, |auditor, _, row| {
            let at = place(&CHAIN, row);
            let chain = ChainRow::from_row(row)?;
            let Some(key) = gathered.keys.get(&chain.key) else {
                auditor.find(3, at, "a coin under an unknown key");
                return Ok(());
            };
            let same = chain.deposited(key.value).is_ok()
                && chain_of(&chain.marks) == Some(chain.chain)
                && chain.paid()?.links.len().saturating_add(1) == chain.marks.len();
            if !same {
                auditor.find(7, at.as_str(), "marks, interval and chain do not agree");
            }
            add(&mut gathered.sums, key, 2, chain.circulation.value().into());
            plus(&mut auditor.out.offline.redeemed, chain.circulation.value());
            plus(gathered.circulation.entry(chain.payment).or_default(), chain.circulation.value());
            gathered.pieces.insert((chain.payment, chain.piece), chain.interval.length().into());
            gathered.chains.entry(chain.coin).or_default().push(chain);
            Ok(())
        })?;
        for (coin, chains) in &gathered.chains {
            let paid: u128 = chains.iter().map(|chain| u128::from(chain.circulation.value())).sum();
            let covered = union(chains.iter().map(|chain| chain.interval));
            if paid != covered {
                let detail = format!("circulation paid {paid} of {covered} units that were deposited");
                self.find(3, format!("offline coin {coin}"), detail);
            }
        }
        Ok(())
    }

    fn offline_payments(&mut self, tx: &mut dyn Tx, gathered: &mut Gathered) -> Result<(), StoreError> {
        self.walk(tx, &PAYMENT, |auditor, tx, row| {
            let at = place(&PAYMENT, row);
            let payment = PaymentRow::from_row(row)?;
            let terms = &payment.receipt.terms;
            let fits = terms.payment == payment.payment
                && terms.request == payment.request
                && terms.collecting_bank.as_str() == payment.bank
                && terms.account.as_str() == payment.account
                && terms.amount.minor == payment.amount
                && terms.unpaid() == Ok(payment.unpaid)
                && terms.presentment == payment.presentment
                && terms.at.seconds() == payment.taken;
            if !fits || payment.receipt.verify(&auditor.audited.signer).is_err() {
                auditor.find(7, at.as_str(), "the receipt is not this payment's, or does not hold");
            }
            gathered.presented.insert(payment.presentment, payment.payment);
            let mut circulation = 0_u128;
            let mut pieces: BTreeMap<u32, u128> = BTreeMap::new();
            for part in terms.parts.iter() {
                plus(pieces.entry(part.piece).or_default(), part.amount.value());
                match part.source {
                    Source::Circulation => plus(&mut circulation, part.amount.value()),
                    Source::Unpaid { claim } => {
                        plus(gathered.unpaid.entry(claim).or_default(), part.amount.value());
                    }
                    Source::Charged { .. } => {}
                }
            }
            let stored = gathered.circulation.remove(&payment.payment).unwrap_or(0);
            if circulation != stored {
                let detail = format!("the receipt says {circulation} from circulation, its chains {stored}");
                auditor.find(3, at.as_str(), detail);
            }
            for (piece, amount) in pieces {
                if gathered.pieces.remove(&(payment.payment, piece)) != Some(amount) {
                    auditor.find(3, at.as_str(), format!("piece {piece} is not in the register"));
                }
            }
            auditor.booked(tx, Event::OfflineRedeem, &payment.presentment, circulation, &at)
        })?;
        for (payment, piece) in gathered.pieces.keys() {
            self.find(3, format!("offline_chain of ({payment})"), format!("piece {piece} has no receipt"));
        }
        Ok(())
    }

    fn offline_reclaims(&mut self, tx: &mut dyn Tx, gathered: &mut Gathered) -> Result<(), StoreError> {
        let mut coins: BTreeMap<Digest, Vec<ReclaimRow>> = BTreeMap::new();
        self.walk(tx, &RECLAIM, |auditor, tx, row| {
            let at = place(&RECLAIM, row);
            let claim = ReclaimRow::from_row(row)?;
            let paid = claim.paid.map_or(0, |paid| u128::from(paid.value()));
            if !is_sound(&claim, gathered)? {
                auditor.find(7, at.as_str(), "the claim is not signed, or the row is not about it");
            }
            let entry = book::find_transfer(tx, transfer_id(Event::OfflineReclaim, 0, &claim.message))
                .map_err(|error| StoreError::Corrupt(error.to_string()))?;
            if entry.is_some_and(|entry| entry.transfer.credit != claim.account) {
                auditor.find(3, at.as_str(), "another account was paid");
            }
            auditor.booked(tx, Event::OfflineReclaim, &claim.message, paid, &at)?;
            plus(&mut auditor.out.offline.reclaimed, paid);
            if let Some(key) = gathered.keys.get(&claim.key) {
                add(&mut gathered.sums, key, 3, paid);
                if claim.standing.0 == 0 {
                    let [_, reclaimed, _] = gathered.drawn.entry((claim.account, key.epoch)).or_default();
                    plus(reclaimed, paid);
                }
            }
            coins.entry(claim.coin).or_default().push(claim);
            Ok(())
        })?;
        for (coin, claims) in coins {
            if claims.iter().all(|claim| claim.paid.is_none()) {
                continue;
            }
            let deposited: Vec<Interval> =
                gathered.chains.get(&coin).into_iter().flatten().map(|chain| chain.interval).collect();
            let standings = claims.iter().map(ReclaimRow::standing).collect::<Result<Vec<_>, _>>()?;
            let decided = decide(&deposited, &standings);
            if claims.iter().any(|claim| claim.paid != decided.get(&claim.message).copied()) {
                self.find(3, format!("offline coin {coin}"), "claims were decided otherwise");
            }
            self.reclaim_charges(&coin, &claims, gathered)?;
        }
        Ok(())
    }

    /// The charging rule once more, on what is deposited and claimed.
    fn reclaim_charges(
        &mut self,
        coin: &Digest,
        claims: &[ReclaimRow],
        gathered: &mut Gathered,
    ) -> Result<(), StoreError> {
        let rows = gathered.chains.get(coin).into_iter().flatten();
        let deposited = rows.map(|row| row.deposited(gathered.keys.get(&row.key)?.value).ok());
        let followed = claims.iter().map(ReclaimRow::followed).collect::<Result<Vec<_>, _>>()?;
        let (Some(deposited), Ok(bank)) =
            (deposited.collect::<Option<Vec<_>>>(), Name::new(self.audited.bank.clone()))
        else {
            // What is wrong with them is found elsewhere.
            return Ok(());
        };
        for (claimant, charges) in charge_claims(&deposited, &followed) {
            let Some(row) = claims.iter().find(|row| row.message == claimant) else { continue };
            for charge in charges {
                let Some(terms) = row.charge_terms(&bank, &charge) else {
                    self.find(7, format!("offline coin {coin}"), "a mark is not canonical");
                    continue;
                };
                let (message, account, coin) = (row.message, row.account, charge.answer.message);
                gathered.owed.insert(terms.id(), Owed { units: charge.units, message, account, coin });
            }
        }
        Ok(())
    }

    fn offline_totals(&mut self, tx: &mut dyn Tx, gathered: &Gathered) -> Result<(), StoreError> {
        let mut unseen: BTreeSet<_> = gathered.sums.keys().copied().collect();
        self.walk(tx, &TOTAL, |auditor, _, row| {
            let key = (row.unsigned(0)?, row.digest(1)?);
            unseen.remove(&key);
            let stored: Vec<u128> =
                (2..6).map(|at| row.unsigned(at).map(u128::from)).collect::<Result<_, _>>()?;
            let summed = gathered.sums.get(&key).copied().unwrap_or_default();
            if stored != summed {
                let detail =
                    format!("coins, issued, redeemed, reclaimed are {stored:?}, recomputed {summed:?}");
                auditor.find(3, place(&TOTAL, row), detail);
            }
            Ok(())
        })?;
        for (epoch, key) in unseen {
            self.find(3, format!("offline_total ({epoch}, {key})"), "the row is missing");
        }
        let mut drawn = gathered.drawn.clone();
        self.walk(tx, &DRAWN, |auditor, _, row| {
            let stored: Vec<u128> =
                (2..5).map(|at| row.unsigned(at).map(u128::from)).collect::<Result<_, _>>()?;
            let summed = drawn.remove(&(row.id(0)?, row.unsigned(1)?)).unwrap_or_default();
            if stored != summed {
                let detail = format!("withdrawn, reclaimed, blanks are {stored:?}, recomputed {summed:?}");
                auditor.find(3, place(&DRAWN, row), detail);
            }
            Ok(())
        })?;
        for (account, epoch) in drawn.keys() {
            self.find(3, format!("offline_drawn ({account}, {epoch})"), "the row is missing");
        }
        Ok(())
    }

    fn offline_balances(&mut self, tx: &mut dyn Tx, gathered: &Gathered) -> Result<(), StoreError> {
        let mut waiting: BTreeMap<Id16, u128> = BTreeMap::new();
        self.walk(tx, &crate::tables::PRESENTMENT, |_, _, row| {
            let part = PresentmentRow::from_row(row)?;
            // What another bank's money could not be handed on for stays; collateral is held again.
            let waits = part.state == Way::Pending
                || (part.state == Way::Refused && part.account != id(Post::Collateral));
            if part.kind == ItemKind::Part && waits {
                plus(waiting.entry(part.account).or_default(), part.amount.value());
            }
            Ok(())
        })?;
        let on = |post| waiting.get(&id(post)).copied().unwrap_or(0);
        let sums = self.out.offline;
        let circulation = sums.issued.saturating_sub(sums.redeemed).saturating_sub(sums.reclaimed);
        let expected = [
            (Post::OfflineCirculation, circulation),
            (Post::Collateral, gathered.held.saturating_add(on(Post::Collateral))),
            (Post::ClaimsReceived, on(Post::ClaimsReceived)),
        ];
        for (post, expected) in expected {
            let state =
                book::account(tx, id(post)).map_err(|error| StoreError::Corrupt(error.to_string()))?;
            let holds = state.map(|state| state.balance());
            if holds != i128::try_from(expected).ok() {
                let detail = format!("holds {holds:?} minor units, recomputed {expected}");
                self.find(3, format!("account {}", post.as_str()), detail);
            }
        }
        Ok(())
    }
}

/// Does a claim say what its row says, and did its customer sign it?
fn is_sound(row: &ReclaimRow, gathered: &Gathered) -> Result<bool, StoreError> {
    let request: ReclaimRequest = from_blob(&row.body)?;
    let (claim, of_coin) = match &request {
        ReclaimRequest::Withdrawn(claim) => (claim, true),
        ReclaimRequest::Received(claim) => (&claim.claim, false),
    };
    let (Some(signing), Some(key)) = (gathered.signing.get(&row.account), gathered.keys.get(&row.key)) else {
        return Ok(false);
    };
    let signed = claim.customer.verify(signing, &claim.digest(&row.message), "claim").is_ok();
    let origin = (claim.origin.session, claim.origin.index) == (row.session, row.place)
        && claim.origin.account.as_str() == row.account.to_string();
    // What a blank took is checked with its chain when the claim is filed.
    let whole =
        Interval::whole(key.value).map_err(|_| StoreError::Corrupt("offline_keyset: a value".into()))?;
    let claimed: Option<Vec<Interval>> = claim.nodes.iter().map(|node| whole.part(*node)).collect();
    let stands = !of_coin
        || (row.coin == row.message
            && row.key == claim.key
            && row.standing()?.hops == 0
            && claimed.as_ref() == Some(&row.standing()?.intervals));
    Ok(signed && origin && stands && row.due == key.times.reclaim_until)
}

/// With what the first transfer of an event is booked; zero when it is not.
pub(super) fn amount_of(tx: &mut dyn Tx, event: Event, reference: &Digest) -> Result<u128, StoreError> {
    let entry = book::find_transfer(tx, transfer_id(event, 0, reference))
        .map_err(|error| StoreError::Corrupt(error.to_string()))?;
    Ok(entry.map_or(0, |entry| u128::from(entry.transfer.amount.value())))
}

fn plus_one(count: &mut u64, when: bool) {
    *count = count.saturating_add(u64::from(when));
}

/// How many units some intervals cover together.
fn union(intervals: impl Iterator<Item = Interval>) -> u128 {
    let mut sorted: Vec<Interval> = intervals.collect();
    sorted.sort();
    let (mut covered, mut end) = (0_u128, 0_u64);
    for interval in sorted {
        let start = interval.start().max(end);
        plus(&mut covered, interval.end().saturating_sub(start));
        end = end.max(interval.end());
    }
    covered
}
