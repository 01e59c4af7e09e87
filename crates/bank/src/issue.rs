//! Begin, finish, recover: the bank's side of blind issuance.

use std::collections::BTreeMap;
use std::sync::Arc;

use feiqian_crypto::snowblind::{SecretKey, commit_batch};
use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::store::{StoreExt, Tx};
use feiqian_money::Minor;
use feiqian_node::{Peer, offload};
use feiqian_online_cash::issue::{
    BeginRequest, BeginResponse, FinishRequest, FinishResponse, OpenSession, RecoverRequest, expand,
};
use feiqian_online_cash::keyset::MAX_DENOMINATIONS;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, Timestamp};

use crate::Bank;
use crate::accounts::Holder;
use crate::funding::Paid;
use crate::instances::{Whereabouts, check_voidable, elsewhere};
use crate::keys::{OwnKey, value_of};
use crate::refusal::Refusal;
use crate::register::{Side, Sums, add, add_totals, keep_evidence};
use crate::sessions::{self, Answer, Presence, SessionRow, State};
use crate::tables::SESSION;

/// While it lives, others see that its session is being answered; then the session's place in memory is gone.
struct Answering<'b> {
    bank: &'b Bank,
    session: Digest,
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.bank.sessions().remove(&self.session);
    }
}

fn busy() -> Fault {
    Fault::new(Code::Busy, "the session is being answered").hint("try again in a moment")
}

fn unknown() -> Fault {
    Fault::new(Code::SessionUnknown, "no such session")
}

fn voided() -> Fault {
    Fault::new(
        Code::Void,
        "the session can no longer be finished: it expired, the bank restarted, or its funding was refused",
    )
    .hint("begin a new session")
}

impl Bank {
    /// `POST /v1/account/issue/begin`.
    pub(crate) async fn account_begin(
        self: Arc<Self>,
        peer: Peer,
        request: BeginRequest,
    ) -> Result<BeginResponse, Fault> {
        let holder = self.holder(&peer).await?;
        self.begin(Some(holder.account), request).await
    }

    /// `POST /v1/issue/begin`.
    pub(crate) async fn anonymous_begin(
        self: Arc<Self>,
        _peer: Peer,
        request: BeginRequest,
    ) -> Result<BeginResponse, Fault> {
        self.begin(None, request).await
    }

    /// `POST /v1/account/issue/recover`.
    pub(crate) async fn account_recover(
        self: Arc<Self>,
        peer: Peer,
        request: RecoverRequest,
    ) -> Result<BeginResponse, Fault> {
        let holder = self.owner(&peer).await?;
        self.resume(Some(holder.account), request.request, None).await?.ok_or_else(unknown)
    }

    /// `POST /v1/issue/recover`.
    pub(crate) async fn anonymous_recover(
        self: Arc<Self>,
        _peer: Peer,
        request: RecoverRequest,
    ) -> Result<BeginResponse, Fault> {
        self.resume(None, request.request, None).await?.ok_or_else(unknown)
    }

    /// `POST /v1/account/issue/finish`.
    pub(crate) async fn account_finish(
        self: Arc<Self>,
        peer: Peer,
        request: FinishRequest,
    ) -> Result<FinishResponse, Fault> {
        let holder = self.owner(&peer).await?;
        self.finish(Some(holder), request, false).await
    }

    /// `POST /v1/issue/finish`.
    pub(crate) async fn anonymous_finish(
        self: Arc<Self>,
        _peer: Peer,
        request: FinishRequest,
    ) -> Result<FinishResponse, Fault> {
        self.finish(None, request, false).await
    }

    async fn begin(
        self: &Arc<Self>,
        account: Option<Id16>,
        request: BeginRequest,
    ) -> Result<BeginResponse, Fault> {
        if let Some(response) = self.resume(account, request.request, Some(&request)).await? {
            return Ok(response);
        }
        let (row, secrets) = self.draw_session(account, &request).await?;
        // Known to memory before it is durable: whoever reads the row finds its secrets.
        let most = self.config.max_open_sessions;
        self.sessions().add(row.session, secrets, row.expires, account.is_none(), self.now(), most)?;
        let (session, response) = (row.session, row.response());
        let written = self
            .seams
            .store
            .commit("bank.issue.begin", move |tx: &mut dyn Tx| {
                if sessions::find_request(tx, &row.request)?.is_some() {
                    return Ok(false);
                }
                tx.insert(&SESSION, &row.values()?)?;
                Ok::<_, Refusal>(true)
            })
            .await;
        match written {
            Ok(true) => Ok(response),
            other => {
                self.sessions().remove(&session);
                other?;
                // Another begin with this request id came first.
                self.resume(account, request.request, Some(&request)).await?.ok_or_else(busy)
            }
        }
    }

    /// What coins of these denominations are worth together, and until when a session for them lasts.
    fn terms_of(&self, denominations: &[Digest], now: Timestamp) -> Result<(Minor, Timestamp), Fault> {
        let ring = self.ring.load();
        let keys =
            denominations.iter().map(|id| self.pinned_key(&ring, id)).collect::<Result<Vec<_>, _>>()?;
        let mut expires = now.saturating_add(self.config.session_seconds);
        for key in &keys {
            key.verified.check_issue(now)?;
            expires = expires.min(key.verified.key.issue_until);
        }
        Ok((value_of(keys.iter().copied())?, expires))
    }

    async fn draw_session(
        &self,
        account: Option<Id16>,
        request: &BeginRequest,
    ) -> Result<(SessionRow, OpenSession), Fault> {
        let now = self.now();
        let denominations = expand(&request.outputs)?;
        let (amount, expires) = self.terms_of(&denominations, now)?;
        let mut rng = self.seams.entropy.rng();
        let mut fresh = self.pool().take_ready(denominations.len());
        self.refill.notify_one();
        let missing = denominations.len().saturating_sub(fresh.len());
        if missing > 0 {
            fresh.extend(offload(&*self.seams.workers, move || commit_batch(missing, &mut rng)).await?);
        }
        let (secrets, commitments) = OpenSession::new(fresh);
        let row = SessionRow {
            session: self.random_digest(),
            request: request.request,
            account,
            outputs: request.outputs.clone(),
            amount,
            instance: self.instance,
            expires,
            commitments: Bounded::new(commitments)?,
            state: State::Open,
            answer: None,
        };
        Ok((row, secrets))
    }

    /// The state of the session with this request id, `None` when there is none. A session whose secrets are gone becomes void.
    async fn resume(
        self: &Arc<Self>,
        account: Option<Id16>,
        request: Digest,
        begin: Option<&BeginRequest>,
    ) -> Result<Option<BeginResponse>, Fault> {
        let row = self
            .seams
            .store
            .read(move |tx: &mut dyn Tx| Ok::<_, Refusal>(sessions::find_request(tx, &request)?))
            .await?;
        let Some(row) = row else { return Ok(None) };
        row.check_caller(account)?;
        if begin.is_some_and(|begin| begin.outputs != row.outputs) {
            return Err(Fault::new(Code::Conflict, "the request id was used with other outputs"));
        }
        if row.state != State::Open {
            return Ok(Some(row.response()));
        }
        match self.whereabouts(row.instance, row.expires).await? {
            // Its holder knows better, and says so when the session is to be finished.
            Whereabouts::Elsewhere(_) => return Ok(Some(row.response())),
            Whereabouts::Here | Whereabouts::Gone => {}
        }
        match self.presence(&row) {
            Presence::Waiting => Ok(Some(row.response())),
            Presence::Answering => Err(busy()),
            Presence::Gone => Ok(Some(self.void(row.session, None).await?.response())),
        }
    }

    /// Whether an open row may still be answered by this run.
    fn presence(&self, row: &SessionRow) -> Presence {
        let mut sessions = self.sessions();
        if row.instance != self.instance {
            return Presence::Gone;
        }
        if self.now() >= row.expires && sessions.presence(&row.session) == Presence::Waiting {
            sessions.remove(&row.session);
        }
        sessions.presence(&row.session)
    }

    /// Voids a session durably unless it was answered; answers with the row as it then is.
    async fn void(&self, session: Digest, refusal: Option<&Refusal>) -> Result<SessionRow, Fault> {
        let evidence = match refusal {
            Some(Refusal::DoubleSpent(evidence)) => Some(evidence.clone()),
            _ => None,
        };
        let (bank, now, me) = (self.config.name.clone(), self.now(), self.instance);
        let work = move |tx: &mut dyn Tx| {
            if let Some(row) = sessions::find(tx, &session)?.filter(|row| row.state == State::Open) {
                check_voidable(tx, me, row.instance, row.expires, now)?;
            }
            if let Some(evidence) = &evidence
                && let Some(refused) = evidence.statements.first()
            {
                keep_evidence(tx, &refused.digest(&bank), evidence, now)?;
            }
            sessions::void(tx, &session)?.ok_or_else(|| Refusal::Fault(unknown()))
        };
        Ok(self.seams.store.commit("bank.issue.void", work).await?)
    }

    /// `handed`: by another process of this bank, which took this one for the holder of the secrets.
    pub(crate) async fn finish(
        self: &Arc<Self>,
        holder: Option<Holder>,
        request: FinishRequest,
        handed: bool,
    ) -> Result<FinishResponse, Fault> {
        let session = request.session;
        let row = self
            .seams
            .store
            .read(move |tx: &mut dyn Tx| Ok::<_, Refusal>(sessions::find(tx, &session)?))
            .await?
            .ok_or_else(unknown)?;
        row.check_caller(holder.as_ref().map(|holder| holder.account))?;
        if row.state != State::Open {
            return repeated(&row, &request);
        }
        if let Some(holder) = &holder {
            holder.check_current()?;
        }
        if request.challenges.len() != row.commitments.len() {
            return Err(Fault::new(Code::AmountMismatch, "one challenge for each commitment"));
        }
        match self.whereabouts(row.instance, row.expires).await? {
            Whereabouts::Elsewhere(_) if handed => return Err(elsewhere()),
            Whereabouts::Elsewhere(url) => {
                return self.hand(&url, "/v1/instance/finish", holder.as_ref(), &request).await;
            }
            Whereabouts::Here | Whereabouts::Gone => {}
        }
        if self.presence(&row) == Presence::Gone {
            return repeated(&self.void(session, None).await?, &request);
        }
        // From here on only this call can answer the session.
        let taken = self.sessions().take(&session);
        let secrets = match taken {
            Ok(secrets) => secrets,
            Err(Presence::Answering) => return Err(busy()),
            Err(_) => return repeated(&self.void(session, None).await?, &request),
        };
        let _answering = Answering { bank: self, session };
        match self.answer(&row, holder.as_ref(), &request, secrets).await {
            Ok(response) => Ok(response),
            Err(refusal) => {
                // The secrets are gone, so the session is void whatever the reason; it only has to be written down.
                if let Err(fault) = self.void(session, Some(&refusal)).await {
                    tracing::warn!(%fault, "a session whose funding was refused is not marked void yet");
                }
                Err(refusal.into())
            }
        }
    }

    async fn answer(
        self: &Arc<Self>,
        row: &SessionRow,
        holder: Option<&Holder>,
        request: &FinishRequest,
        secrets: OpenSession,
    ) -> Result<FinishResponse, Refusal> {
        let now = self.now();
        let denominations = expand(&row.outputs)?;
        let ring = self.ring.load_full();
        let keys = denominations.iter().map(|id| ring.key(id)).collect::<Result<Vec<&OwnKey>, _>>()?;
        let paid = self.check_funding(row, holder, request, &denominations, now).await?;
        let secret_keys = keys.iter().map(|key| key.secret.as_deref()).collect::<Option<Vec<&SecretKey>>>();
        let secret_keys =
            secret_keys.ok_or_else(|| Fault::new(Code::KeyExpired, "the keys no longer issue"))?;
        let answers = secrets.answer(&secret_keys, &request.challenges)?;
        let answers = Bounded::new(answers).map_err(Fault::from)?;
        let answer = Answer {
            challenges: request.challenges.clone(),
            answers: answers.clone(),
            funding: paid.kind(),
            reference: paid.reference(),
            proof: paid.proof().to_vec(),
        };
        let mut issued = Sums::new();
        for key in &keys {
            add(&mut issued, (key.verified.epoch, key.verified.id), key.verified.key.value)?;
        }
        let released = paid.released_sessions();
        let view = self.members.snapshot();
        let finish = Finish { session: row.session, instance: self.instance, answer, issued, paid };
        let work = move |tx: &mut dyn Tx| finish.book(tx, &view, now);
        self.seams.store.commit("bank.issue.finish", work).await?;
        let mut sessions = self.sessions();
        released.iter().for_each(|session| sessions.remove(session));
        metrics::counter!("feiqian_bank_coins_issued_total")
            .increment(u64::try_from(answers.len()).unwrap_or(u64::MAX));
        Ok(FinishResponse { answers })
    }
}

/// The answer to a finish of a session that is no longer open.
fn repeated(row: &SessionRow, request: &FinishRequest) -> Result<FinishResponse, Fault> {
    match &row.answer {
        Some(answer) if answer.challenges == request.challenges => {
            Ok(FinishResponse { answers: answer.answers.clone() })
        }
        Some(_) => Err(Fault::new(Code::Conflict, "the session was finished with other challenges")),
        None => Err(voided()),
    }
}

/// Everything that one transaction does when a session is answered.
struct Finish {
    session: Digest,
    instance: Id16,
    answer: Answer,
    issued: BTreeMap<(u64, Digest), feiqian_money::Minor>,
    paid: Paid,
}

impl Finish {
    fn book(
        &self,
        tx: &mut dyn Tx,
        view: &feiqian_node::MemberView,
        now: feiqian_wire::Timestamp,
    ) -> Result<(), Refusal> {
        let mut row = sessions::find(tx, &self.session)?.ok_or_else(unknown)?;
        if row.state != State::Open || row.instance != self.instance || now >= row.expires {
            return Err(voided().into());
        }
        self.paid.book(tx, &row, view, now)?;
        add_totals(tx, &self.issued, Side::Issued)?;
        row.state = State::Answered;
        row.answer = Some(self.answer.clone());
        Ok(tx.update(&SESSION, &row.values()?)?)
    }
}

const _: () = assert!(MAX_DENOMINATIONS <= 32, "a keyset's file and table hold 32 keys");
