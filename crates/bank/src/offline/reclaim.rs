//! Value that was never deposited: claims filed from `deposit_until`. They are decided at `reclaim_until`, see `decide`.

use std::sync::Arc;

use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::store::{Row, StoreError, StoreExt, Tx, Value};
use feiqian_money::Minor;
use feiqian_node::Peer;
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::interval::Interval;
use feiqian_offline_cash::keyset::{Keys, Kind, VerifiedKey};
use feiqian_offline_cash::messages::{ReclaimRequest, ReclaimResponse, SessionRequest};
use feiqian_offline_cash::reclaim::{
    AttestedSession, ChainClaim, Claim, Followed, SessionRecord, Standing, VerifiedClaim,
};
use feiqian_offline_cash::register::Mark;
use feiqian_offline_cash::signed::WireChain;
use feiqian_offline_cash::withdraw::{Line, Origin, expand};
use feiqian_wire::Timestamp;
use feiqian_wire::error::{Code, Fault};

use super::identity::IdentityRow;
use super::sessions::{self, SessionRow};
use super::tables::RECLAIM;
use crate::Bank;
use crate::accounts::Holder;
use crate::refusal::{Refusal, from_blob, to_blob};

/// What is claimed, as stored: transfers before it, start and length of each interval, the marks of the transfers.
type Stored = (u32, Vec<(u64, u64)>, Vec<Mark>);

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

    pub(super) fn values(&self) -> Result<[Value; 11], StoreError> {
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

    pub(super) fn of_coin(tx: &mut dyn Tx, coin: &Digest) -> Result<Vec<Self>, StoreError> {
        let sql = format!(
            "SELECT {} FROM offline_reclaim WHERE coin = ?1 ORDER BY session, place",
            RECLAIM.column_list()
        );
        tx.select(&sql, &[(*coin).into()])?.iter().map(Self::from_row).collect()
    }

    /// The claim on this coin or blank.
    pub(super) fn of_message(tx: &mut dyn Tx, message: &Digest) -> Result<Option<Self>, StoreError> {
        let sql = format!("SELECT {} FROM offline_reclaim WHERE message = ?1", RECLAIM.column_list());
        tx.select(&sql, &[(*message).into()])?.first().map(Self::from_row).transpose()
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

    /// The transfers before it.
    pub(crate) fn marks(&self) -> &[Mark] {
        &self.standing.2
    }

    pub(crate) fn followed(&self) -> Result<Followed, StoreError> {
        Ok(Followed { standing: self.standing()?, marks: self.marks().to_vec() })
    }

    /// What came to the account: from circulation, and what was paid so far of what others owe it for their forks.
    fn response(&self, tx: &mut dyn Tx) -> Result<ReclaimResponse, Refusal> {
        let sql = "SELECT coalesce(sum(paid), 0) FROM offline_claim WHERE payment = ?1";
        let covered = tx.select(sql, &[self.message.into()])?.first().map(|row| row.minor(0)).transpose()?;
        let paid = self.paid.map(|paid| paid.checked_add(covered.unwrap_or(Minor::ZERO))).transpose()?;
        Ok(ReclaimResponse { decided_at: self.due, paid })
    }
}

/// What a claim comes to before it is filed.
struct Filing {
    claim: Claim,
    standing: Standing,
    marks: Vec<Mark>,
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
                row => row.map(|row| row.response(tx)).transpose(),
            }
        };
        if let Some(response) = self.seams.store.read(known).await? {
            return Ok(response);
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
        Ok(Filing { claim, coin: verified.message, standing, marks: Vec::new(), key, body })
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
        let marks = chain.hops().iter().map(Mark::from).collect();
        Ok(Filing { claim: claim.claim, standing, marks, coin, key, body })
    }

    async fn file_claim(self: &Arc<Self>, holder: &Holder, filing: Filing) -> Result<ReclaimResponse, Fault> {
        let now = self.now();
        let intervals = filing.standing.intervals.iter();
        let standing: Stored = (
            u32::try_from(filing.standing.hops).unwrap_or(u32::MAX),
            intervals.map(|interval| (interval.start(), interval.length())).collect(),
            filing.marks,
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
                    return known.response(tx);
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
                other => {
                    other?;
                    row.response(tx)
                }
            }
        };
        Ok(self.seams.store.commit("bank.offline.reclaim", work).await?)
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
