//! Begin, commit, finish, recover: the bank's side of withdrawing offline coins and blanks.

use std::collections::BTreeMap;
use std::sync::Arc;

use feiqian_crypto::acl::SecretKey;
use feiqian_crypto::{Digest, Id16, Transcript};
use feiqian_ledger::book;
use feiqian_ledger::store::{StoreError, StoreExt, Tx, Value};
use feiqian_money::Minor;
use feiqian_node::Peer;
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::keyset::{Kind, VerifiedKey};
use feiqian_offline_cash::withdraw::{
    AnsweredSession, BeginRequest, BeginResponse, Caps, CommitRequest, CommitResponse, Drawn,
    ExpectCommitments, FinishRequest, FinishResponse, RecoverRequest, SignedWithdrawal, expand, session_id,
};
use feiqian_wire::Bounded;
use feiqian_wire::error::{Code, Fault};

use super::identity::{IdentityRow, open_identity};
use super::register::{Sums, Totals, add_totals};
use super::sessions::{self, Answer, OpenCoins, SessionRow, Slot, Taken};
use super::tables::{DRAWN, LINE, SESSION};
use crate::Bank;
use crate::accounts::{Holder, open_account};
use crate::chart::{Event, Post, along, id};
use crate::instances::{Handed, Whereabouts, check_voidable, elsewhere};
use crate::refusal::{Refusal, to_blob};
use crate::sessions::State;

fn busy() -> Fault {
    Fault::new(Code::Busy, "the session is being worked on").hint("try again in a moment")
}

fn unknown() -> Fault {
    Fault::new(Code::SessionUnknown, "no such session")
}

fn voided() -> Fault {
    let void = "the session can no longer be finished: it expired, the bank restarted, or it was refused";
    Fault::new(Code::Void, void).hint("begin a new session")
}

/// While it lives, its session is at work; then it is gone from memory unless it was put back.
struct AtWork<'b> {
    bank: &'b Bank,
    session: Digest,
    back: Option<Slot>,
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        let mut sessions = self.bank.offline.sessions();
        match self.back.take() {
            Some(slot) => sessions.put(&self.session, slot),
            None => sessions.remove(&self.session),
        }
    }
}

impl Bank {
    /// `POST /v1/account/offline/begin`.
    pub(crate) async fn offline_begin(
        self: Arc<Self>,
        peer: Peer,
        request: BeginRequest,
    ) -> Result<BeginResponse, Fault> {
        let holder = self.holder(&peer).await?;
        let id = request.request;
        if let Some(response) = self.offline_resume(holder.account, id, Some(&request)).await? {
            return Ok(response);
        }
        let (row, coins) = self.name_session(&holder, &request)?;
        let (session, response) = (row.session, row.response());
        let most = OpenCoins {
            all: self.config.offline.max_open_coins,
            each: self.config.offline.max_open_coins_each,
        };
        self.offline.sessions().add(&row, coins, self.now(), most)?;
        let work = move |tx: &mut dyn Tx| {
            open_identity(tx, row.account)?;
            if sessions::find_request(tx, &row.request)?.is_some() {
                return Ok(false);
            }
            tx.insert(&SESSION, &row.values()?)?;
            Ok::<_, Refusal>(true)
        };
        match self.seams.store.commit("bank.offline.begin", work).await {
            Ok(true) => Ok(response),
            other => {
                self.offline.sessions().remove(&session);
                other?;
                // Another begin with this request id came first.
                self.offline_resume(holder.account, id, Some(&request)).await?.ok_or_else(busy)
            }
        }
    }

    fn name_session(&self, holder: &Holder, request: &BeginRequest) -> Result<(SessionRow, usize), Fault> {
        let now = self.now();
        let ids = expand(&request.outputs)?;
        let ring = self.offline.ring.load();
        let mut expires = now.saturating_add(self.config.session_seconds);
        let mut amount = Minor::ZERO;
        for id in &ids {
            let key = &self.pinned_offline_key(&ring, id)?.verified;
            key.check_issue(now)?;
            expires = expires.min(key.times.issue_until);
            amount = amount.checked_add(key.value)?;
        }
        let row = SessionRow {
            session: session_id(&self.config.name, &holder.token, &request.request, &request.salt),
            request: request.request,
            account: holder.account,
            outputs: request.outputs.clone(),
            amount,
            instance: self.instance,
            expires,
            state: State::Open,
            answer: None,
        };
        Ok((row, ids.len()))
    }

    /// `POST /v1/account/offline/recover`.
    pub(crate) async fn offline_recover(
        self: Arc<Self>,
        peer: Peer,
        request: RecoverRequest,
    ) -> Result<BeginResponse, Fault> {
        let holder = self.owner(&peer).await?;
        self.offline_resume(holder.account, request.request, None).await?.ok_or_else(unknown)
    }

    /// The state of the session with this request id, `None` when there is none. One that memory has lost becomes void.
    async fn offline_resume(
        self: &Arc<Self>,
        account: Id16,
        request: Digest,
        begin: Option<&BeginRequest>,
    ) -> Result<Option<BeginResponse>, Fault> {
        let work = move |tx: &mut dyn Tx| Ok::<_, Refusal>(sessions::find_request(tx, &request)?);
        let Some(row) = self.seams.store.read(work).await? else { return Ok(None) };
        row.check_caller(account)?;
        if begin.is_some_and(|begin| begin.outputs != row.outputs) {
            return Err(Fault::new(Code::Conflict, "the request id was used with other outputs"));
        }
        let elsewhere = row.state == State::Open
            && matches!(self.whereabouts(row.instance, row.expires).await?, Whereabouts::Elsewhere(_));
        if row.state != State::Open || elsewhere || self.has_session(&row) {
            return Ok(Some(row.response()));
        }
        Ok(Some(self.void_session(row.session).await?.response()))
    }

    fn has_session(&self, row: &SessionRow) -> bool {
        row.instance == self.instance && self.offline.sessions().has(&row.session, self.now())
    }

    async fn void_session(&self, session: Digest) -> Result<SessionRow, Fault> {
        let (now, me) = (self.now(), self.instance);
        let work = move |tx: &mut dyn Tx| {
            if let Some(row) = sessions::find(tx, &session)?.filter(|row| row.state == State::Open) {
                check_voidable(tx, me, row.instance, row.expires, now)?;
            }
            sessions::void(tx, &session)?.ok_or_else(|| Refusal::Fault(unknown()))
        };
        Ok(self.seams.store.commit("bank.offline.void", work).await?)
    }

    async fn session_row(&self, account: Id16, session: Digest) -> Result<SessionRow, Fault> {
        let work = move |tx: &mut dyn Tx| Ok::<_, Refusal>(sessions::find(tx, &session)?);
        let row = self.seams.store.read(work).await?.ok_or_else(unknown)?;
        row.check_caller(account)?;
        Ok(row)
    }

    /// The session out of memory for one step; void when it is not there.
    async fn take_session(&self, row: &SessionRow) -> Result<(Slot, AtWork<'_>), Fault> {
        let session = row.session;
        let taken = if row.instance == self.instance {
            self.offline.sessions().take(&session, self.now())
        } else {
            Taken::Gone
        };
        match taken {
            Taken::Slot(slot) => Ok((slot, AtWork { bank: self, session, back: None })),
            Taken::Busy => Err(busy()),
            Taken::Gone => {
                self.void_session(session).await?;
                Err(voided())
            }
        }
    }

    async fn identity_row(&self, account: Id16) -> Result<IdentityRow, Fault> {
        Ok(self.seams.store.read(move |tx: &mut dyn Tx| open_identity(tx, account)).await?)
    }

    /// `POST /v1/account/offline/commit`.
    pub(crate) async fn offline_commit(
        self: Arc<Self>,
        peer: Peer,
        request: CommitRequest,
    ) -> Result<CommitResponse, Fault> {
        let holder = self.holder(&peer).await?;
        self.commit_session(holder, request, false).await
    }

    /// `POST /v1/instance/offline/commit`.
    pub(crate) async fn instance_offline_commit(
        self: Arc<Self>,
        peer: Peer,
        handed: Handed<CommitRequest>,
    ) -> Result<CommitResponse, Fault> {
        let holder = self.handed_holder(&peer, handed.bearer.as_ref()).await?.ok_or_else(unknown)?;
        holder.check_current()?;
        self.commit_session(holder, handed.request, true).await
    }

    /// The instance that holds a session when it is another; a call that was handed over goes no further.
    async fn holder_of(&self, row: &SessionRow, handed: bool) -> Result<Option<String>, Fault> {
        match self.whereabouts(row.instance, row.expires).await? {
            Whereabouts::Elsewhere(_) if handed => Err(elsewhere()),
            Whereabouts::Elsewhere(url) => Ok(Some(url)),
            Whereabouts::Here | Whereabouts::Gone => Ok(None),
        }
    }

    async fn commit_session(
        self: Arc<Self>,
        holder: Holder,
        request: CommitRequest,
        handed: bool,
    ) -> Result<CommitResponse, Fault> {
        let row = self.session_row(holder.account, request.session).await?;
        match (row.state, &row.answer) {
            (State::Open, _) => {}
            (State::Answered, Some(answer)) => return announced(&answer.session, &request),
            _ => return Err(voided()),
        }
        if let Some(url) = self.holder_of(&row, handed).await? {
            return self.hand(&url, "/v1/instance/offline/commit", Some(&holder), &request).await;
        }
        let identity = self.identity_row(holder.account).await?;
        let bytes = to_blob(&request).map_err(Refusal::from)?;
        let digest = Transcript::new("bank/offline-commit").bytes(&bytes).into_digest();
        let (slot, mut work) = self.take_session(&row).await?;
        if let Slot::Announced { request: known, open } = slot {
            let response = (known == digest).then(|| open.response());
            work.back = Some(Slot::Announced { request: known, open });
            return response.ok_or_else(|| Fault::new(Code::Conflict, "the session has other commitments"));
        }
        let ring = self.offline.ring.load_full();
        let ids = expand(&row.outputs)?;
        let keys = ids.iter().map(|id| ring.key(id).map(|own| &own.verified));
        let keys = keys.collect::<Result<Vec<&VerifiedKey>, _>>()?;
        let terms = ExpectCommitments::new(self.config.name.clone(), holder.token, row.session, &keys);
        let announced = terms
            .and_then(|terms| terms.announce(identity.identity(), &request, &mut self.seams.entropy.rng()));
        match announced {
            Ok((open, response)) => {
                work.back = Some(Slot::Announced { request: digest, open });
                Ok(response)
            }
            Err(rejection) => {
                work.back = Some(Slot::Named);
                Err(rejection.into())
            }
        }
    }

    /// `POST /v1/account/offline/finish`.
    pub(crate) async fn offline_finish(
        self: Arc<Self>,
        peer: Peer,
        request: FinishRequest,
    ) -> Result<FinishResponse, Fault> {
        let holder = self.owner(&peer).await?;
        self.finish_session(holder, request, false).await
    }

    /// `POST /v1/instance/offline/finish`.
    pub(crate) async fn instance_offline_finish(
        self: Arc<Self>,
        peer: Peer,
        handed: Handed<FinishRequest>,
    ) -> Result<FinishResponse, Fault> {
        let holder = self.handed_holder(&peer, handed.bearer.as_ref()).await?.ok_or_else(unknown)?;
        self.finish_session(holder, handed.request, true).await
    }

    async fn finish_session(
        self: Arc<Self>,
        holder: Holder,
        request: FinishRequest,
        handed: bool,
    ) -> Result<FinishResponse, Fault> {
        let row = self.session_row(holder.account, request.session).await?;
        if row.state != State::Open {
            return repeated(&row, &request);
        }
        holder.check_current()?;
        if let Some(url) = self.holder_of(&row, handed).await? {
            return self.hand(&url, "/v1/instance/offline/finish", Some(&holder), &request).await;
        }
        let identity = self.identity_row(holder.account).await?;
        let (slot, mut work) = self.take_session(&row).await?;
        let Slot::Announced { request: committed, open } = slot else {
            work.back = Some(slot);
            return Err(Fault::new(Code::RequestMismatch, "the session waits for commitments"));
        };
        let accepted = match open.accept(&request, &identity.record().signing_key()?) {
            Ok(accepted) => accepted,
            Err(rejection) => {
                work.back = Some(Slot::Announced { request: committed, open });
                return Err(rejection.into());
            }
        };
        let (commitments, announcements) = (open.commitments().to_vec(), open.response().announcements);
        let ring = self.offline.ring.load_full();
        let keys =
            expand(&row.outputs)?.iter().map(|id| ring.key(id).cloned()).collect::<Result<Vec<_>, _>>()?;
        let secrets = keys.iter().map(|key| key.secret.as_deref()).collect::<Option<Vec<&SecretKey>>>();
        let secrets = secrets.ok_or_else(|| Fault::new(Code::KeyExpired, "the keys no longer issue"))?;
        let response = open.answer(&secrets, &accepted)?;
        let session = AnsweredSession {
            session: row.session,
            outputs: row.outputs.clone(),
            commitments: Bounded::new(commitments)?,
            announcements,
            challenges: request.challenges.clone(),
            answers: response.answers.clone(),
        };
        let keys: Vec<VerifiedKey> = keys.into_iter().map(|key| key.verified).collect();
        self.book_withdrawal(&holder, row.session, accepted.signed().clone(), session, keys).await?;
        metrics::counter!("feiqian_bank_offline_coins_issued_total")
            .increment(u64::try_from(response.answers.len()).unwrap_or(u64::MAX));
        Ok(response)
    }

    /// Debit, signed statement and answers at once; whatever refuses it voids the session, whose secrets are gone.
    async fn book_withdrawal(
        &self,
        holder: &Holder,
        session: Digest,
        withdrawal: SignedWithdrawal,
        answered: AnsweredSession,
        keys: Vec<VerifiedKey>,
    ) -> Result<(), Fault> {
        let (now, caps, instance) = (self.now(), self.config.offline.caps(), self.instance);
        let account = holder.account;
        let drawn = by_epoch(&keys)?;
        let answer = Answer { withdrawal, session: answered };
        let work = move |tx: &mut dyn Tx| {
            let mut row = sessions::find(tx, &session)?.ok_or_else(unknown)?;
            if row.state != State::Open || row.instance != instance || now >= row.expires {
                return Err(Refusal::Fault(voided()));
            }
            open_account(tx, account)?;
            open_identity(tx, account)?;
            for (epoch, (value, blanks)) in &drawn {
                draw(tx, account, *epoch, &caps, *value, *blanks)?;
            }
            if !row.amount.is_zero() {
                let path = [account, id(Post::OfflineCirculation)];
                let transfers = along(Event::OfflineWithdraw, &session, &path, row.amount);
                let _ = book::transfer(tx, &transfers, now.seconds())?;
            }
            let mut issued = Sums::new();
            for key in &keys {
                let sum = issued.entry((key.epoch, key.id)).or_insert((0, Minor::ZERO));
                *sum = (sum.0.saturating_add(1), sum.1.checked_add(key.value)?);
            }
            add_totals(tx, &issued, Totals::Issued)?;
            for (place, line) in (0_u32..).zip(answer.withdrawal.statement.lines.iter()) {
                let values = [line.commitment.to_bytes().into(), session.into(), place.into()];
                match tx.insert(&LINE, &values) {
                    Err(StoreError::Exists(_)) => return Err(Rejection::SessionRepeated.into()),
                    other => other?,
                }
            }
            row.state = State::Answered;
            row.answer = Some(answer.clone());
            Ok(tx.update(&SESSION, &row.values()?)?)
        };
        match self.seams.store.commit("bank.offline.finish", work).await {
            Ok(()) => Ok(()),
            Err(refusal) => {
                if let Err(fault) = self.void_session(session).await {
                    tracing::warn!(%fault, "an offline session that was refused is not marked void yet");
                }
                Err(refusal.into())
            }
        }
    }
}

/// Value and blanks of each epoch.
fn by_epoch(keys: &[VerifiedKey]) -> Result<BTreeMap<u64, (Minor, u32)>, Fault> {
    let mut sums: BTreeMap<u64, (Minor, u32)> = BTreeMap::new();
    for key in keys {
        let sum = sums.entry(key.epoch).or_insert((Minor::ZERO, 0));
        match key.kind {
            Kind::Value => sum.0 = sum.0.checked_add(key.value)?,
            Kind::Blank => sum.1 = sum.1.saturating_add(1),
        }
    }
    Ok(sums)
}

/// What an identity has drawn of an epoch.
fn drawn_of(tx: &mut dyn Tx, account: Id16, epoch: u64) -> Result<Option<Drawn>, StoreError> {
    let row = tx.find(&DRAWN, &[account.into(), Value::unsigned(epoch)?])?;
    let read = |row: feiqian_ledger::store::Row| {
        Ok(Drawn { withdrawn: row.minor(2)?, reclaimed: row.minor(3)?, blanks: row.small(4)? })
    };
    row.map(read).transpose()
}

fn put_drawn(tx: &mut dyn Tx, account: Id16, epoch: u64, drawn: Drawn) -> Result<(), StoreError> {
    let values = [
        account.into(),
        Value::unsigned(epoch)?,
        drawn.withdrawn.into(),
        drawn.reclaimed.into(),
        drawn.blanks.into(),
    ];
    tx.put(&DRAWN, &values)
}

/// Adds to what an identity has drawn, within its caps.
fn draw(
    tx: &mut dyn Tx,
    account: Id16,
    epoch: u64,
    caps: &Caps,
    value: Minor,
    blanks: u32,
) -> Result<(), Refusal> {
    let zero = Drawn { withdrawn: Minor::ZERO, reclaimed: Minor::ZERO, blanks: 0 };
    let known = drawn_of(tx, account, epoch)?.unwrap_or(zero);
    let after = caps.check(&known, value, blanks)?;
    Ok(put_drawn(tx, account, epoch, after)?)
}

/// Adds to what an identity has reclaimed of what it drew itself.
pub(super) fn count_reclaimed(
    tx: &mut dyn Tx,
    account: Id16,
    epoch: u64,
    value: Minor,
) -> Result<(), Refusal> {
    if let Some(mut drawn) = drawn_of(tx, account, epoch)? {
        drawn.reclaimed = drawn.reclaimed.checked_add(value)?;
        put_drawn(tx, account, epoch, drawn)?;
    }
    Ok(())
}

/// The announcements of an answered session, for the same commitments.
fn announced(session: &AnsweredSession, request: &CommitRequest) -> Result<CommitResponse, Fault> {
    let same = request.commitments.len() == session.commitments.len()
        && request
            .commitments
            .iter()
            .zip(&session.commitments)
            .all(|(asked, known)| asked.commitment == *known);
    if same {
        return Ok(CommitResponse { announcements: session.announcements.clone() });
    }
    Err(Fault::new(Code::Conflict, "the session has other commitments"))
}

/// The answer to a finish of a session that is no longer open.
fn repeated(row: &SessionRow, request: &FinishRequest) -> Result<FinishResponse, Fault> {
    match &row.answer {
        Some(answer) if answer.session.challenges == request.challenges => {
            Ok(FinishResponse { answers: answer.session.answers.clone() })
        }
        Some(_) => Err(Fault::new(Code::Conflict, "the session was finished with other challenges")),
        None => Err(voided()),
    }
}
