//! Value that was never deposited: claims filed from `deposit_until`, decided at `reclaim_until`.

use std::sync::Arc;

use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::book;
use feiqian_ledger::store::{Row, StoreError, StoreExt, Tx, Value};
use feiqian_money::Minor;
use feiqian_node::Peer;
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::interval::Interval;
use feiqian_offline_cash::keyset::{Keys, Kind, VerifiedKey};
use feiqian_offline_cash::messages::{ReclaimRequest, ReclaimResponse, SessionRequest};
use feiqian_offline_cash::reclaim::{
    AttestedSession, ChainClaim, Claim, SessionRecord, Standing, VerifiedClaim, decide,
};
use feiqian_offline_cash::signed::WireChain;
use feiqian_offline_cash::withdraw::{Line, Origin, expand};
use feiqian_wire::Timestamp;
use feiqian_wire::error::{Code, Fault};

use super::identity::IdentityRow;
use super::register::{Sums, Totals, add_totals, deposited_units};
use super::sessions::{self, SessionRow};
use super::tables::RECLAIM;
use super::withdraw::count_reclaimed;
use crate::Bank;
use crate::accounts::Holder;
use crate::chart::{Event, Post, along, id};
use crate::refusal::{Refusal, from_blob, to_blob};

/// Claimed intervals as stored: transfers before them, start and length of each.
type Stored = (u32, Vec<(u64, u64)>);

/// A claim as stored.
#[derive(Debug, Clone)]
pub(crate) struct ReclaimRow {
    pub(crate) session: Digest,
    pub(crate) place: u16,
    pub(crate) message: Digest,
    pub(crate) account: Id16,
    /// *m* of the value coin.
    pub(crate) coin: Digest,
    /// The id of its key.
    pub(crate) key: Digest,
    pub(crate) due: Timestamp,
    pub(crate) body: Vec<u8>,
    pub(crate) standing: Stored,
    pub(crate) filed: u64,
    pub(crate) paid: Option<Minor>,
}

impl ReclaimRow {
    pub(crate) fn from_row(row: &Row) -> Result<Self, StoreError> {
        let paid = if row.is_null(10) { None } else { Some(row.minor(10)?) };
        Ok(Self {
            session: row.digest(0)?,
            place: row.small(1)?,
            message: row.digest(2)?,
            account: row.id(3)?,
            coin: row.digest(4)?,
            key: row.digest(5)?,
            due: Timestamp::new(row.unsigned(6)?),
            body: row.blob(7)?.to_vec(),
            standing: from_blob(row.blob(8)?)?,
            filed: row.unsigned(9)?,
            paid,
        })
    }

    fn values(&self) -> Result<[Value; 11], StoreError> {
        Ok([
            self.session.into(),
            u32::from(self.place).into(),
            self.message.into(),
            self.account.into(),
            self.coin.into(),
            self.key.into(),
            Value::unsigned(self.due.seconds())?,
            self.body.clone().into(),
            to_blob(&self.standing)?.into(),
            Value::unsigned(self.filed)?,
            self.paid.map_or(Value::Null, Value::from),
        ])
    }

    fn of_coin(tx: &mut dyn Tx, coin: &Digest) -> Result<Vec<Self>, StoreError> {
        let sql = format!(
            "SELECT {} FROM offline_reclaim WHERE coin = ?1 ORDER BY session, place",
            RECLAIM.column_list()
        );
        tx.select(&sql, &[(*coin).into()])?.iter().map(Self::from_row).collect()
    }

    pub(crate) fn standing(&self) -> Result<Standing, StoreError> {
        let corrupt = |_| StoreError::Corrupt("offline_reclaim: interval".to_owned());
        let intervals = self.standing.1.iter();
        Ok(Standing {
            claimant: self.message,
            hops: usize::try_from(self.standing.0).unwrap_or(usize::MAX),
            intervals: intervals
                .map(|(start, length)| Interval::new(*start, *length).map_err(corrupt))
                .collect::<Result<_, _>>()?,
        })
    }

    fn response(&self) -> ReclaimResponse {
        ReclaimResponse { decided_at: self.due, paid: self.paid }
    }
}

/// What a claim comes to before it is filed.
struct Filing {
    claim: Claim,
    standing: Standing,
    coin: Digest,
    key: VerifiedKey,
    body: Vec<u8>,
}

impl Bank {
    /// `POST /v1/account/offline/reclaim`.
    pub(crate) async fn offline_reclaim(
        self: Arc<Self>,
        peer: Peer,
        request: ReclaimRequest,
    ) -> Result<ReclaimResponse, Fault> {
        let holder = self.owner(&peer).await?;
        let body = to_blob(&request).map_err(Refusal::from)?;
        let origin = match &request {
            ReclaimRequest::Withdrawn(claim) => claim.origin.clone(),
            ReclaimRequest::Received(claim) => claim.claim.origin.clone(),
        };
        if origin.bank != self.config.name || origin.account != holder.token {
            return Err(Rejection::ClaimInvalid("of another account").into());
        }
        let at = [origin.session.into(), u32::from(origin.index).into()];
        let asked = body.clone();
        let known = move |tx: &mut dyn Tx| {
            let row = tx.find(&RECLAIM, &at)?.map(|row| ReclaimRow::from_row(&row)).transpose()?;
            match row {
                Some(row) if row.body != asked => {
                    Err(Fault::new(Code::Conflict, "the coin or blank was claimed otherwise").into())
                }
                row => Ok::<_, Refusal>(row),
            }
        };
        if let Some(row) = self.seams.store.read(known).await? {
            return Ok(row.response());
        }
        let filing = match request {
            ReclaimRequest::Withdrawn(claim) => self.check_claim(&holder, claim, body).await?,
            ReclaimRequest::Received(claim) => self.check_chain_claim(claim, body)?,
        };
        filing.key.check_claim(self.now())?;
        self.file_claim(&holder, filing).await
    }

    async fn check_claim(&self, holder: &Holder, claim: Claim, body: Vec<u8>) -> Result<Filing, Fault> {
        let ring = self.offline.ring.load_full();
        let key = ring.key(&claim.key)?.verified.clone();
        if key.kind != Kind::Value {
            return Err(Rejection::ClaimInvalid("a blank is claimed with the chain that it took").into());
        }
        let (row, line) = self.line_of(holder, &claim.origin).await?;
        let verified = self.verify_claimed(&claim, &key, &row, &line)?;
        let standing = verified.standing(Interval::whole(key.value)?, 0)?;
        Ok(Filing { claim, coin: verified.message, standing, key, body })
    }

    fn verify_claimed(
        &self,
        claim: &Claim,
        key: &VerifiedKey,
        row: &IdentityRow,
        line: &Line,
    ) -> Result<VerifiedClaim, Rejection> {
        let signing_key = row.record().signing_key()?;
        let record = SessionRecord {
            identity: row.identity(),
            signing_key: &signing_key,
            commitment: &line.commitment,
            nu: &line.nu,
        };
        if line.key != *key.public.encoded() {
            return Err(Rejection::ClaimInvalid("another key"));
        }
        claim.verify(key, &record)
    }

    /// A coin's line in the bank's own record of its session, and whose it is.
    async fn line_of(&self, holder: &Holder, origin: &Origin) -> Result<(IdentityRow, Line), Fault> {
        let (account, session, index) = (holder.account, origin.session, origin.index);
        let work = move |tx: &mut dyn Tx| {
            let unknown = || Fault::new(Code::SessionUnknown, "no such coin was withdrawn from the account");
            let row: SessionRow = sessions::find(tx, &session)?.ok_or_else(unknown)?;
            row.check_caller(account)?;
            let answer = row.answer.ok_or_else(unknown)?;
            let line = answer.withdrawal.statement.lines.get(usize::from(index)).copied();
            let identity = IdentityRow::find(tx, account)?.ok_or(Rejection::IdentityUnknown)?;
            Ok::<_, Refusal>((identity, line.ok_or_else(unknown)?))
        };
        Ok(self.seams.store.read(work).await?)
    }

    fn check_chain_claim(&self, claim: ChainClaim, body: Vec<u8>) -> Result<Filing, Fault> {
        let view = self.members.snapshot();
        let keys = view.offline_keys();
        let (chain, standing) = claim.verify(keys, &self.root, &mut self.seams.entropy.rng())?;
        let first = chain.hops().first().ok_or(Rejection::PieceInvalid("a chain without hops"))?;
        if *first.bank() != self.config.name {
            return Err(Rejection::WrongBank(first.bank().to_string()).into());
        }
        let (coin, key) = (*first.piece().message(), keys.key(first.key())?.clone());
        Ok(Filing { claim: claim.claim, standing, coin, key, body })
    }

    async fn file_claim(self: &Arc<Self>, holder: &Holder, filing: Filing) -> Result<ReclaimResponse, Fault> {
        let now = self.now();
        let intervals = filing.standing.intervals.iter();
        let standing: Stored = (
            u32::try_from(filing.standing.hops).unwrap_or(u32::MAX),
            intervals.map(|interval| (interval.start(), interval.length())).collect(),
        );
        let row = ReclaimRow {
            session: filing.claim.origin.session,
            place: filing.claim.origin.index,
            message: filing.standing.claimant,
            account: holder.account,
            coin: filing.coin,
            key: filing.key.id,
            due: filing.key.times.reclaim_until,
            body: filing.body,
            standing,
            filed: now.seconds(),
            paid: None,
        };
        let work = move |tx: &mut dyn Tx| {
            let at = [row.session.into(), u32::from(row.place).into()];
            if let Some(known) = tx.find(&RECLAIM, &at)? {
                let known = ReclaimRow::from_row(&known)?;
                if known.body == row.body {
                    return Ok(known.response());
                }
                return Err(Fault::new(Code::Conflict, "the coin or blank was claimed otherwise").into());
            }
            if ReclaimRow::of_coin(tx, &row.coin)?.iter().any(|other| other.paid.is_some()) {
                return Err(Rejection::KeyExpired.into());
            }
            match tx.insert(&RECLAIM, &row.values()?) {
                Err(StoreError::Exists(_)) => {
                    Err(Fault::new(Code::Conflict, "the coin or blank was claimed before").into())
                }
                other => Ok::<_, Refusal>(other.map(|()| row.response())?),
            }
        };
        Ok(self.seams.store.commit("bank.offline.reclaim", work).await?)
    }

    /// Decides the claims on all coins whose time has come: the longest valid chain on every unit that nobody deposited.
    pub(crate) async fn decide_claims(self: &Arc<Self>) -> Result<(), Fault> {
        let now = self.now();
        let due = move |tx: &mut dyn Tx| {
            let sql = "SELECT DISTINCT coin FROM offline_reclaim WHERE due <= ?1 AND paid IS NULL \
                       ORDER BY coin LIMIT 256";
            let rows = tx.select(sql, &[Value::unsigned(now.seconds())?])?;
            rows.iter().map(|row| Ok(row.digest(0)?)).collect::<Result<Vec<Digest>, Refusal>>()
        };
        for coin in self.seams.store.read(due).await? {
            let ring = self.offline.ring.load_full();
            let work = move |tx: &mut dyn Tx| {
                let rows = ReclaimRow::of_coin(tx, &coin)?;
                let standings = rows.iter().map(ReclaimRow::standing).collect::<Result<Vec<_>, _>>()?;
                let paid = decide(&deposited_units(tx, &coin)?, &standings);
                for mut row in rows.into_iter().filter(|row| row.paid.is_none()) {
                    let amount = paid.get(&row.message).copied().unwrap_or(Minor::ZERO);
                    let key = &ring.key(&row.key)?.verified;
                    row.paid = Some(amount);
                    tx.update(&RECLAIM, &row.values()?)?;
                    pay_claim(tx, &row, key, amount, now)?;
                }
                Ok::<_, Refusal>(())
            };
            self.seams.store.commit("bank.offline.decide", work).await?;
        }
        Ok(())
    }

    /// `POST /v1/account/offline/session`: this bank's word for a session of the caller.
    pub(crate) async fn offline_session(
        self: Arc<Self>,
        peer: Peer,
        request: SessionRequest,
    ) -> Result<AttestedSession, Fault> {
        let holder = self.owner(&peer).await?;
        let SessionRequest { session, index } = request;
        let (bank, account) = (self.config.name.clone(), holder.token.clone());
        let origin = Origin { bank, account, session, index };
        let (identity, line) = self.line_of(&holder, &origin).await?;
        let row = self.seams.store.read(move |tx: &mut dyn Tx| {
            Ok::<_, Refusal>(sessions::find(tx, &session)?.ok_or(StoreError::Missing("offline_session"))?)
        });
        let keys = expand(&row.await?.outputs)?;
        let key = keys.get(usize::from(index)).copied().ok_or(Rejection::ClaimInvalid("no such coin"))?;
        let attested = identity.attested.ok_or(Rejection::IdentityUnknown)?;
        let chain = WireChain(self.signer_chain.0.clone());
        let opened = (line.commitment, line.nu);
        Ok(AttestedSession::attest(origin, key, opened, attested, self.now(), (&self.signer, chain))?)
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
    if row.standing.0 == 0 {
        count_reclaimed(tx, row.account, key.epoch, amount)?;
    }
    Ok(())
}
