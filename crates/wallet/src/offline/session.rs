//! One withdrawal of coins or blanks from plan to coins, resumable at every commit.
//!
//! [`Wallet::drive_offline`] takes a session from wherever it stands as far as it goes. Each arrow of [`State`] is one
//! commit, made before the next byte leaves: the commitments with their session, the announcements with the signed request,
//! the coins.

use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreError, StoreExt, Tx};
use feiqian_money::Minor;
use feiqian_node::{CallError, Caller};
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::keyset::{Keys, Kind, VerifiedKey};
use feiqian_offline_cash::withdraw::{
    BeginRequest, BeginResponse, Coin, CommitRequest, CommitResponse, Customer, ExpectAnnouncements,
    FinishRequest, FinishResponse, PendingWithdrawal, RecoverRequest, announcement_digest, expand,
    outputs_of, session_id,
};
use feiqian_online_cash::seed::CallerKind;
use feiqian_pki::KeyPair;
use feiqian_wire::error::{Code, Fault};
use rand::RngExt as _;

use super::rows::{CoinRow, SessionRow, State, kind_name};
use super::tables::{OFFLINE_COIN, OFFLINE_SESSION};
use crate::failure::{Failure, Result};
use crate::record::{next_number, note};
use crate::sealed_rows::Place;
use crate::session::peek_number;
use crate::tables::SEEN;
use crate::wallet::Wallet;

/// The counter of request ids.
pub(super) const KIND: &str = "offline";

/// How a session ended.
pub(super) enum Ended {
    /// Its coins are in the wallet.
    Done,
    /// The bank had answered it to a wallet that this store knows nothing of.
    Restored,
    /// It can never be finished; why.
    Void(Fault),
}

/// The keys of a session's coins, in order.
pub(super) fn keys_of<'a>(keys: &'a dyn Keys, ids: &[Digest]) -> Result<Vec<&'a VerifiedKey>> {
    Ok(ids.iter().map(|id| keys.key(id)).collect::<Result<_, _>>()?)
}

impl Wallet {
    /// The request id of a number: of the seed alone, so that a wallet that lost its store asks for the same ones.
    pub(super) fn offline_request(&self, number: u64) -> Digest {
        let (seed, bank) = (&self.seed, self.config.bank.as_str());
        seed.request_id(&[0; 16], bank, CallerKind::Account, 0, number)
    }

    pub(super) async fn next_offline_number(&self) -> Result<u64> {
        let bank = self.config.bank.as_str().to_owned();
        self.seams.store.read(move |tx| peek_number(tx, &bank, KIND, 0)).await
    }

    /// Does something with the secrets that withdrawals are derived from.
    pub(super) fn as_customer<T>(&self, work: impl FnOnce(&Customer<'_>) -> Result<T>) -> Result<T> {
        let (identity, account) = (self.offline_secret()?, self.offline_account()?);
        let bank = &self.config.bank;
        work(&Customer { seed: &self.offline_seed, identity: &identity, bank, account: &account })
    }

    /// Writes a withdrawal down; answers with its request id.
    pub(super) async fn plan_offline(
        &self,
        (kind, amount): (Kind, Minor),
        keys: &[Digest],
        intent: Digest,
    ) -> Result<Digest> {
        let outputs = outputs_of(keys)?;
        let number = self.next_offline_number().await?;
        let (request, now, bank) =
            (self.offline_request(number), self.now(), self.config.bank.as_str().to_owned());
        let salt = Digest(self.rng().random());
        let plan = move |tx: &mut dyn Tx| {
            if next_number(tx, &bank, KIND, 0)? != number {
                return Err(
                    Failure::new(Code::Busy, "another process drew the same number").hint("try again")
                );
            }
            let row = SessionRow {
                request,
                kind,
                amount,
                outputs: outputs.clone(),
                salt: Some(salt),
                session: None,
                commitments: None,
                announced: None,
                finish: None,
                state: State::Planned,
                created: now.seconds(),
                intent: Some(intent),
                reported: false,
            };
            Ok::<_, Failure>(tx.insert(&OFFLINE_SESSION, &row.values()?)?)
        };
        self.seams.store.commit("wallet.offline.plan", plan).await?;
        Ok(request)
    }

    /// Takes a session as far as it goes.
    pub(super) async fn drive_offline(&self, request: Digest) -> Result<Ended> {
        let mut pending = None;
        loop {
            let row = self.seams.store.read(move |tx| SessionRow::load(tx, &request)).await?;
            let void = match row.state {
                State::Planned => self.begin_offline(row).await?,
                State::Committed => match self.sign_offline(row).await? {
                    Ok(challenged) => {
                        pending = Some(challenged);
                        None
                    }
                    Err(fault) => Some(fault),
                },
                State::Signed => self.finish_offline(row, pending.take()).await?,
                State::Done => return Ok(Ended::Done),
                State::Restored => return Ok(Ended::Restored),
                State::Void => return Ok(Ended::Void(Fault::new(Code::Void, "the session is void"))),
            };
            if let Some(fault) = void {
                return Ok(Ended::Void(fault));
            }
        }
    }

    /// Asks for a session, and writes its commitments down before they leave.
    async fn begin_offline(&self, row: SessionRow) -> Result<Option<Fault>> {
        let to = self.bank_target(self.config.bank.as_str()).await?;
        let salt = row.salt.ok_or_else(|| Failure::broken("a planned offline session without its salt"))?;
        let message = BeginRequest { request: row.request, salt, outputs: row.outputs.clone() };
        let path = "/v1/account/offline/begin";
        let offer = match self.ask(&to, Caller::Certified, path, &message).await {
            Ok(BeginResponse::Open(offer)) => offer,
            Ok(BeginResponse::Answered(answered)) => {
                self.take_restored(row, answered, None).await?;
                return Ok(None);
            }
            Ok(BeginResponse::Void) => {
                return self.void_offline(row, Fault::new(Code::Void, "the bank voided the session")).await;
            }
            Err(CallError::Fault(fault)) if fault.code == Code::Conflict => {
                return self.known_before(row, fault).await;
            }
            Err(CallError::Fault(fault)) if fault.is_definitive() => {
                return self.void_offline(row, fault).await;
            }
            Err(error) => return Err(error.into()),
        };
        let named = session_id(&self.config.bank, &self.offline_account()?, &row.request, &salt);
        if offer.session != named {
            // An old session under a new request: what it gives is an old coin.
            return self.void_offline(row, Fault::from(Rejection::SessionRepeated)).await;
        }
        if offer.expires <= self.now() {
            return self.void_offline(row, Fault::new(Code::Expired, "the session has expired")).await;
        }
        let commitments = self.commitments(&row, &offer.session)?;
        let request = row.request;
        let accept = move |tx: &mut dyn Tx| {
            let mut row = SessionRow::load(tx, &request)?;
            tx.insert(&SEEN, &[offer.session.into(), request.into()])?;
            (row.session, row.commitments) = (Some(offer.session), Some(commitments.clone()));
            row.state = State::Committed;
            Ok(tx.update(&OFFLINE_SESSION, &row.values()?)?)
        };
        match self.seams.store.commit("wallet.offline.commit", accept).await {
            Err(Failure::Store(StoreError::Exists(_))) => {
                self.void_offline(row, Fault::from(Rejection::SessionRepeated)).await
            }
            other => other.map(|()| None),
        }
    }

    /// The bank knows this request id with other outputs: some wallet of these words, of which this store knows nothing,
    /// has used it.
    async fn known_before(&self, row: SessionRow, fault: Fault) -> Result<Option<Fault>> {
        match self.recover_offline(row.request).await {
            Ok(BeginResponse::Answered(answered)) => {
                self.take_restored(row, answered, None).await?;
                Ok(None)
            }
            Ok(_) => {
                self.freeze_offline(None).await?;
                self.void_offline(row, fault).await
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn recover_offline(&self, request: Digest) -> Result<BeginResponse, CallError> {
        let to = self.bank_target(self.config.bank.as_str()).await;
        let to = to.map_err(|failure| CallError::Fault(failure.into()))?;
        self.ask(&to, Caller::Certified, "/v1/account/offline/recover", &RecoverRequest { request }).await
    }

    fn commitments(&self, row: &SessionRow, session: &Digest) -> Result<CommitRequest> {
        let (view, ids) = (self.view(), expand(&row.outputs)?);
        let keys = keys_of(view.offline_keys(), &ids)?;
        self.as_customer(|customer| {
            // Whether it was seen is decided by the commit that follows.
            let (_, request) =
                ExpectAnnouncements::begin(customer, &keys, session, |_| false, &mut self.rng())?;
            Ok(request)
        })
    }

    /// Move 2 again, from what is stored.
    fn challenge(
        &self,
        row: &SessionRow,
        session: &Digest,
        announced: &CommitResponse,
        signer: &KeyPair,
    ) -> Result<(PendingWithdrawal, FinishRequest)> {
        let (view, ids) = (self.view(), expand(&row.outputs)?);
        let keys = keys_of(view.offline_keys(), &ids)?;
        self.as_customer(|customer| {
            let expect = ExpectAnnouncements::resume(customer, &keys, session)?;
            Ok(expect.challenge(customer, announced, |_| false, signer)?)
        })
    }

    /// Sends the commitments, and writes announcements and signed request down before that leaves.
    async fn sign_offline(&self, row: SessionRow) -> Result<Result<PendingWithdrawal, Fault>> {
        let (Some(session), Some(commitments)) = (row.session, &row.commitments) else {
            return Err(Failure::broken("an offline session without its commitments"));
        };
        let to = self.bank_target(self.config.bank.as_str()).await?;
        let path = "/v1/account/offline/commit";
        let announced: CommitResponse = match self.ask(&to, Caller::Certified, path, commitments).await {
            Ok(announced) => announced,
            Err(CallError::Fault(fault)) if fault.is_definitive() => {
                return Ok(Err(self.voided(row, fault).await?));
            }
            Err(error) => return Err(error.into()),
        };
        let signer = self.offline_signer().await?;
        let (pending, finish) = match self.challenge(&row, &session, &announced, &signer) {
            Ok(challenged) => challenged,
            Err(Failure::Fault(fault)) => return Ok(Err(self.voided(row, fault).await?)),
            Err(error) => return Err(error),
        };
        let seen = self.announcement_digests(&row, &announced)?;
        let request = row.request;
        let sign = move |tx: &mut dyn Tx| {
            let mut row = SessionRow::load(tx, &request)?;
            if row.state != State::Committed {
                return Err(Failure::broken("a session changed while it was signed"));
            }
            for digest in &seen {
                tx.insert(&SEEN, &[(*digest).into(), request.into()])?;
            }
            (row.announced, row.finish) = (Some(announced.clone()), Some(finish.clone()));
            row.state = State::Signed;
            Ok(tx.update(&OFFLINE_SESSION, &row.values()?)?)
        };
        match self.seams.store.commit("wallet.offline.sign", sign).await {
            Err(Failure::Store(StoreError::Exists(_))) => {
                Ok(Err(self.voided(row, Fault::from(Rejection::SessionRepeated)).await?))
            }
            other => other.map(|()| Ok(pending)),
        }
    }

    fn announcement_digests(&self, row: &SessionRow, announced: &CommitResponse) -> Result<Vec<Digest>> {
        let (view, ids) = (self.view(), expand(&row.outputs)?);
        let keys = keys_of(view.offline_keys(), &ids)?;
        let coins = keys.iter().zip(announced.announcements.iter());
        Ok(coins.map(|(key, announcement)| announcement_digest(key, announcement)).collect())
    }

    /// Sends the signed request and takes the coins.
    async fn finish_offline(
        &self,
        row: SessionRow,
        pending: Option<PendingWithdrawal>,
    ) -> Result<Option<Fault>> {
        let (Some(session), Some(announced), Some(request)) =
            (row.session, row.announced.clone(), row.finish.clone())
        else {
            return Err(Failure::broken("a signed offline session without its request"));
        };
        let to = self.bank_target(self.config.bank.as_str()).await?;
        let path = "/v1/account/offline/finish";
        let response: FinishResponse = match self.ask(&to, Caller::Certified, path, &request).await {
            Ok(response) => response,
            // What was signed is given up only on the bank's clear word about this session.
            Err(CallError::Fault(fault)) if fault.is_definitive() => {
                match self.recover_offline(row.request).await {
                    Ok(BeginResponse::Answered(answered)) if answered.challenges == request.challenges => {
                        FinishResponse { answers: answered.answers }
                    }
                    Ok(BeginResponse::Open(_)) if fault.code == Code::Conflict => return Err(fault.into()),
                    Ok(_) => return self.void_offline(row, fault).await,
                    Err(CallError::Fault(unknown)) if unknown.code == Code::SessionUnknown => {
                        return self.void_offline(row, fault).await;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        };
        let pending = match pending {
            Some(pending) => pending,
            None => self.challenge(&row, &session, &announced, &*self.offline_signer().await?)?.0,
        };
        let coins = pending.finish(&response).map_err(|rejection| {
            Failure::from(rejection)
                .hint("the bank's answer is kept out; it owes the coins for the signed request in the store")
        })?;
        self.keep_coins(row, coins).await?;
        Ok(None)
    }

    async fn keep_coins(&self, row: SessionRow, coins: Vec<Coin>) -> Result<()> {
        let (view, now) = (self.view(), self.now());
        let mut rows = Vec::with_capacity(coins.len());
        for Coin { origin, key, tree } in &coins {
            let key = view.offline_keys().key(key)?;
            rows.push(CoinRow {
                message: *tree.message(),
                kind: key.kind,
                key: key.id,
                session: origin.session,
                place: origin.index,
                worth: key.value,
                rest: key.value,
                secret: Some(self.store_key.seal(Place::OfflineCoin(tree.message()), &*tree.export())?),
                chain: None,
                offer: None,
                restored: false,
                created: now.seconds(),
            });
        }
        let bank = self.config.bank.as_str().to_owned();
        let keep = move |tx: &mut dyn Tx| {
            for coin in &rows {
                tx.insert(&OFFLINE_COIN, &coin.values()?)?;
            }
            let mut done = row.clone();
            done.state = State::Done;
            tx.update(&OFFLINE_SESSION, &done.values()?)?;
            let (kind, session) = (kind_name(row.kind), row.session.unwrap_or(row.request));
            note(tx, now, &format!("offline_{kind}"), row.amount, &bank, &session)
        };
        self.seams.store.commit("wallet.offline.coins", keep).await
    }

    pub(super) async fn void_offline(&self, row: SessionRow, fault: Fault) -> Result<Option<Fault>> {
        self.voided(row, fault).await.map(Some)
    }

    async fn voided(&self, row: SessionRow, fault: Fault) -> Result<Fault> {
        tracing::info!(%fault, "offline session void");
        let void = move |tx: &mut dyn Tx| {
            let mut void = SessionRow::load(tx, &row.request)?;
            void.state = State::Void;
            Ok::<_, Failure>(tx.update(&OFFLINE_SESSION, &void.values()?)?)
        };
        self.seams.store.commit("wallet.offline.void", void).await?;
        Ok(fault)
    }

    /// Goes on with the withdrawals, deposits and claims that were begun.
    pub(crate) async fn resume_offline(&self) -> Result<Vec<Fault>> {
        let mut trouble = Vec::new();
        for row in self.seams.store.read(SessionRow::unfinished).await? {
            if let Err(failure) = self.drive_offline(row.request).await {
                match failure {
                    Failure::Fault(fault) if fault.code == Code::NodeUnreachable => {
                        trouble.push(fault);
                        return Ok(trouble);
                    }
                    Failure::Fault(fault) => trouble.push(fault),
                    store @ Failure::Store(_) => return Err(store),
                }
            }
        }
        for outcome in [self.resume_offline_deposits().await, self.resume_claims().await] {
            match outcome {
                Err(Failure::Fault(fault)) => trouble.push(fault),
                other => other?,
            }
        }
        Ok(trouble)
    }
}
