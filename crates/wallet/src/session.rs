//! One issuance from plan to coins: the wallet's side of *begin* and *finish*, resumable at every commit.
//!
//! [`Wallet::drive`] takes a session from wherever it stands as far as it goes. Each arrow of
//! [`SessionState`] is one commit, made before the next byte leaves.

use feiqian_crypto::Digest;
use feiqian_crypto::snowblind::{Challenge, Response};
use feiqian_ledger::store::{StoreError, StoreExt, Tx};
use feiqian_money::{Denomination, DenominationSet, Minor, change};
use feiqian_node::CallError;
use feiqian_online_cash::Rejection;
use feiqian_online_cash::funding::{Funding, withdrawal_statement};
use feiqian_online_cash::issue::{
    BeginRequest, BeginResponse, FinishRequest, PendingIssue, SessionOffer, expand, outputs_of, value_of,
};
use feiqian_online_cash::keyset::{VerifiedKey, VerifiedKeyset};
use feiqian_online_cash::seed::CallerKind;
use feiqian_online_cash::signed::DocumentSignature;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, Timestamp};

use crate::failure::{Failure, Result};
use crate::held::HeldCoin;
use crate::pledge::{self, Pledge};
use crate::record::{
    CoinRow, Design, PlannedCoin, Purpose, ReceivedRow, SessionRow, SessionState, next_number, note,
};
use crate::sealed_rows::Place;
use crate::tables::{COIN, PAYEE_REQUEST, RECEIVED, SEEN, SESSION};
use crate::wallet::Wallet;

/// How a session ended.
pub(crate) enum Ended {
    /// Its coins are in the wallet.
    Done,
    /// It can never be finished; why.
    Void(Fault),
}

/// The names of a session's commits.
struct Points {
    plan: &'static str,
    offer: &'static str,
    sign: &'static str,
    coins: &'static str,
    void: &'static str,
}

/// Each name stands here in full: so it is found by who looks for all of them.
fn points(purpose: &Purpose) -> Points {
    match purpose {
        Purpose::Withdraw => Points {
            plan: "wallet.withdraw.plan",
            offer: "wallet.withdraw.offer",
            sign: "wallet.withdraw.sign",
            coins: "wallet.withdraw.coins",
            void: "wallet.withdraw.void",
        },
        Purpose::Refresh(_) => Points {
            plan: "wallet.refresh.plan",
            offer: "wallet.refresh.offer",
            sign: "wallet.refresh.sign",
            coins: "wallet.refresh.coins",
            void: "wallet.refresh.void",
        },
        Purpose::Receive(_) => Points {
            plan: "wallet.receive.plan",
            offer: "wallet.receive.offer",
            sign: "wallet.receive.sign",
            coins: "wallet.receive.coins",
            void: "wallet.receive.void",
        },
        Purpose::Refund { .. } => Points {
            plan: "wallet.refund.plan",
            offer: "wallet.refund.offer",
            sign: "wallet.refund.sign",
            coins: "wallet.refund.coins",
            void: "wallet.refund.void",
        },
    }
}

impl Purpose {
    pub(crate) fn caller(&self) -> CallerKind {
        match self {
            Self::Withdraw => CallerKind::Account,
            _ => CallerKind::Anonymous,
        }
    }
}

/// What a session is about to send: the funding, and for a refresh what must be written down with it.
struct Prepared {
    request: FinishRequest,
    statement: Option<(Digest, Vec<Pledge>)>,
}

/// The coins of an offer, blinded: from the challenges to the answers, where the wallet lives that long.
struct Blinded {
    session: Digest,
    pending: PendingIssue,
    challenges: Vec<Challenge>,
}

impl Wallet {
    /// Writes down a session for coins worth `amount` of `bank`; answers with its request id.
    pub(crate) async fn plan_session(
        &self,
        bank: &str,
        purpose: Purpose,
        amount: Minor,
        intent: Option<Digest>,
    ) -> Result<Digest> {
        self.keep_generation().await?;
        let keyset = self.issuing_keyset(bank).await?;
        let held = self.held(bank).await?;
        let denominations = denominations(&keyset, amount, &held)?;
        self.plan_outputs(&keyset, purpose, amount, (&denominations, intent)).await
    }

    /// Writes down a session for coins of these denominations, worth `amount`; answers with its request id.
    pub(crate) async fn plan_outputs(
        &self,
        keyset: &VerifiedKeyset,
        purpose: Purpose,
        amount: Minor,
        (denominations, intent): (&[Digest], Option<Digest>),
    ) -> Result<Digest> {
        let bank = keyset.keyset.bank.as_str();
        let outputs = outputs_of(denominations)?;
        let epoch = keyset.keyset.epoch.0;
        let point = points(&purpose).plan;
        let design = Design { purpose, outputs };
        let (seed_id, bank, created) =
            (self.request_ids(bank, design.purpose.caller(), epoch), bank.to_owned(), self.now());
        let caller = design.purpose.caller();
        // Ids are drawn in the commit that counts them; the seed stays out of it: a few candidates are passed in.
        let first = self
            .seams
            .store
            .read({
                let bank = bank.clone();
                move |tx| peek_number(tx, &bank, caller.as_str(), epoch)
            })
            .await?;
        let request = seed_id(first);
        self.seams
            .store
            .commit(point, move |tx| {
                if next_number(tx, &bank, caller.as_str(), epoch)? != first {
                    return Err(
                        Failure::new(Code::Busy, "another process drew the same number").hint("try again")
                    );
                }
                let row = SessionRow {
                    request,
                    bank: bank.clone(),
                    amount,
                    design: design.clone(),
                    offer: None,
                    finish: None,
                    state: SessionState::Planned,
                    created: created.seconds(),
                    intent,
                    reported: false,
                };
                Ok::<_, Failure>(tx.insert(&SESSION, &row.values()?)?)
            })
            .await?;
        Ok(request)
    }

    fn request_ids<'a>(
        &'a self,
        bank: &'a str,
        caller: CallerKind,
        epoch: u64,
    ) -> impl Fn(u64) -> Digest + use<'a> {
        move |counter| self.seed.request_id(&self.generation, bank, caller, epoch, counter)
    }

    /// How many whole coins of each size the wallet holds of a bank.
    async fn held(&self, bank: &str) -> Result<std::collections::BTreeMap<Denomination, u32>> {
        let bank = bank.to_owned();
        let counted = move |tx: &mut dyn Tx| HeldCoin::whole(tx, &bank);
        let sizes = self.seams.store.read(counted).await?;
        sizes.into_iter().map(|(worth, count)| Ok((Denomination::of_value(worth)?, count))).collect()
    }

    /// Takes a session as far as it goes.
    ///
    /// # Errors
    /// Whatever leaves it undecided: it goes on from there next time.
    pub(crate) async fn drive(&self, request: Digest) -> Result<Ended> {
        let mut blinded = None;
        loop {
            let row = self.seams.store.read(move |tx| SessionRow::load(tx, &request)).await?;
            let void = match row.state {
                SessionState::Planned => self.begin(row).await?,
                SessionState::Offered => self.sign(row, &mut blinded).await?,
                SessionState::Signed => match self.finish(row, blinded.take()).await? {
                    None => return Ok(Ended::Done),
                    void => void,
                },
                SessionState::Done => return Ok(Ended::Done),
                SessionState::Void => return Ok(Ended::Void(Fault::new(Code::Void, "the session is void"))),
            };
            if let Some(fault) = void {
                return Ok(Ended::Void(fault));
            }
        }
    }

    /// Move 1: asks for commitments and writes them down before anything is drawn from them.
    async fn begin(&self, row: SessionRow) -> Result<Option<Fault>> {
        let to = self.bank_target(&row.bank).await?;
        let message = BeginRequest { request: row.request, outputs: row.design.outputs.clone() };
        let offer = match self.call_begin(&to, row.design.purpose.caller(), &message).await {
            Ok(BeginResponse::Open(offer)) => offer,
            Ok(BeginResponse::Answered(answered)) if answered.outputs == row.design.outputs => {
                // An answer of before this store was put back to an older state: the same challenges get it again.
                SessionOffer {
                    session: answered.session,
                    expires: Timestamp::MAX,
                    commitments: answered.commitments,
                }
            }
            Ok(BeginResponse::Answered(_)) => {
                return self.void(row, Fault::from(Rejection::BankMisbehaved)).await;
            }
            Ok(BeginResponse::Void) => {
                return self.void(row, Fault::new(Code::Void, "the bank voided the session")).await;
            }
            Err(CallError::Fault(fault)) if fault.is_definitive() => return self.void(row, fault).await,
            Err(error) => return Err(error.into()),
        };
        let expected = expand(&row.design.outputs)?.len();
        if offer.commitments.len() != expected {
            return self.void(row, Fault::from(Rejection::BankMisbehaved)).await;
        }
        match self.accept(row.clone(), offer).await {
            Err(Failure::Store(StoreError::Exists(_))) => {
                self.void(row, Fault::from(Rejection::SessionRepeated)).await
            }
            other => other.map(|()| None),
        }
    }

    /// Writes the offer down. A session id or commitments seen before are refused by their uniqueness.
    async fn accept(&self, row: SessionRow, offer: SessionOffer) -> Result<()> {
        let point = points(&row.design.purpose).offer;
        self.seams
            .store
            .commit(point, move |tx| {
                tx.insert(&SEEN, &[offer.session.into(), row.request.into()])?;
                for commitment in offer.commitments.iter() {
                    let pair = [commitment.a.to_bytes(), commitment.b.to_bytes()].concat();
                    tx.insert(&SEEN, &[pair.into(), row.request.into()])?;
                }
                let mut row = row.clone();
                (row.offer, row.state) = (Some(offer.clone()), SessionState::Offered);
                Ok(tx.update(&SESSION, &row.values()?)?)
            })
            .await
    }

    /// Move 2: computes the challenges, signs the funding, and writes both down before they leave.
    async fn sign(&self, row: SessionRow, blinded: &mut Option<Blinded>) -> Result<Option<Fault>> {
        let offer =
            row.offer.clone().ok_or_else(|| Failure::broken("an offered session without its offer"))?;
        if offer.expires <= self.now() {
            return self
                .void(row, Fault::new(Code::Expired, "the session expired before it was finished"))
                .await;
        }
        let made = match self.blind(&row, &offer) {
            Ok(made) => made,
            Err(Failure::Fault(fault)) => return self.void(row, fault).await,
            Err(error) => return Err(error),
        };
        let challenges = Bounded::new(made.challenges.clone())?;
        let prepared = match self.prepare(&row, &offer.session, challenges).await {
            Ok(prepared) => prepared,
            // Nothing was signed or sent: what it was planned on has changed meanwhile.
            Err(Failure::Fault(fault)) => return self.void(row, fault).await,
            Err(error) => return Err(error),
        };
        let (point, now) = (points(&row.design.purpose).sign, self.now());
        self.seams
            .store
            .commit(point, move |tx| {
                let mut row = SessionRow::load(tx, &row.request)?;
                if row.state != SessionState::Offered {
                    return Err(Failure::broken("a session changed while it was signed"));
                }
                if let Some((statement, pledges)) = &prepared.statement {
                    pledge::record(tx, *statement, ("refresh", &row.bank, row.request), now, pledges)?;
                }
                (row.finish, row.state) = (Some(prepared.request.clone()), SessionState::Signed);
                Ok(tx.update(&SESSION, &row.values()?)?)
            })
            .await?;
        *blinded = Some(made);
        Ok(None)
    }

    /// The pending issue of an offer. The same comes out of the seed whenever it is needed.
    fn blind(&self, row: &SessionRow, offer: &SessionOffer) -> Result<Blinded> {
        let view = self.view();
        let keys = expand(&row.design.outputs)?;
        let keys: Vec<&VerifiedKey> = keys.iter().map(|id| view.pins.key(id)).collect::<Result<_, _>>()?;
        if value_of(keys.iter().copied())? != row.amount
            || keys.iter().any(|key| key.key.bank.as_str() != row.bank)
        {
            return Err(Failure::broken("a session's outputs differ from its amount"));
        }
        let (pending, challenges) = PendingIssue::new(&self.seed, &keys, &offer.session, &offer.commitments)?;
        Ok(Blinded { session: offer.session, pending, challenges })
    }

    async fn prepare(
        &self,
        row: &SessionRow,
        session: &Digest,
        challenges: Bounded<Challenge, { feiqian_online_cash::MAX_COINS }>,
    ) -> Result<Prepared> {
        let mut statement = None;
        let funding = match &row.design.purpose {
            Purpose::Withdraw => {
                let denominations = expand(&row.design.outputs)?;
                let account = &self.config.account;
                let digest = withdrawal_statement(
                    &row.bank,
                    account,
                    session,
                    &denominations,
                    Minor::ZERO,
                    &challenges,
                );
                Funding::Account { signature: DocumentSignature::sign(&self.signing, &digest)? }
            }
            Purpose::Refresh(planned) => {
                let (funding, pledges) = self.fund_with_coins(row, session, planned, &challenges).await?;
                statement = Some((funding.statement(&row.bank, session, &challenges), pledges));
                Funding::Coins(funding)
            }
            Purpose::Receive(payment) => self.fund_with_payment(row, session, *payment, &challenges).await?,
            Purpose::Refund { payment, amount } => {
                self.fund_with_refund(row, session, (*payment, *amount), &challenges).await?
            }
        };
        Ok(Prepared { request: FinishRequest { session: *session, challenges, funding }, statement })
    }

    /// Move 3: sends what was written down, checks the answers, and takes the coins.
    async fn finish(&self, row: SessionRow, blinded: Option<Blinded>) -> Result<Option<Fault>> {
        let (Some(offer), Some(request)) = (row.offer.clone(), row.finish.clone()) else {
            return Err(Failure::broken("a signed session without its request"));
        };
        let to = self.bank_target(&row.bank).await?;
        let kind = row.design.purpose.caller();
        let answers = match self.call_finish(&to, kind, &request).await {
            Ok(response) => response.answers.into_vec(),
            Err(CallError::Fault(fault)) if fault.is_definitive() => {
                // The bank may have answered before, to a request whose answer was lost. What was signed is given up
                // only on the bank's clear word about this session: a refusal to speak (account closed, busy, not
                // allowed) says nothing about it, and the coins may already be signed.
                match self.call_recover(&to, kind, row.request).await {
                    Ok(BeginResponse::Answered(answered)) if answered.challenges == request.challenges => {
                        answered.answers.into_vec()
                    }
                    Ok(BeginResponse::Open(_)) if fault.code == Code::Conflict => return Err(fault.into()),
                    Ok(_) => return self.void(row, fault).await,
                    Err(CallError::Fault(unknown)) if unknown.code == Code::SessionUnknown => {
                        return self.void(row, fault).await;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        };
        let Blinded { pending, challenges, .. } =
            match blinded.filter(|blinded| blinded.session == offer.session) {
                Some(blinded) => blinded,
                None => self.blind(&row, &offer)?,
            };
        if challenges != *request.challenges {
            return Err(Failure::broken("the challenges of a session cannot be computed again"));
        }
        self.take_coins(row, pending, request, &answers).await?;
        Ok(None)
    }

    async fn take_coins(
        &self,
        row: SessionRow,
        pending: PendingIssue,
        request: FinishRequest,
        answers: &[Response],
    ) -> Result<()> {
        let coins = pending.finish(answers).map_err(|rejection| {
            Failure::from(rejection)
                .hint("the bank's answer is kept out; it owes the coins for the signed request in the store")
        })?;
        let view = self.view();
        let mut rows = Vec::with_capacity(coins.len());
        for coin in &coins {
            let worth = view.pins.key(&coin.id.denomination)?.key.value;
            rows.push(CoinRow {
                id: coin.id,
                secret: self.store_key.seal(Place::Coin(&coin.id), &*coin.secret_bytes())?,
                signature: coin.signature,
                bank: row.bank.clone(),
                currency: self.config.currency.code().to_owned(),
                worth,
                rest: worth,
                state: "good".to_owned(),
                session: row.request,
            });
        }
        let (point, now) = (points(&row.design.purpose).coins, self.now());
        self.seams
            .store
            .commit(point, move |tx| {
                for coin in &rows {
                    tx.insert(&COIN, &coin.values())?;
                }
                complete(tx, &row, &request, now)?;
                let mut done = row.clone();
                done.state = SessionState::Done;
                Ok(tx.update(&SESSION, &done.values()?)?)
            })
            .await
    }

    /// Gives a session up. What it signed is void from now on, and must be released by the next refresh of its coins.
    async fn void(&self, row: SessionRow, fault: Fault) -> Result<Option<Fault>> {
        tracing::info!(%fault, purpose = row.design.purpose.as_str(), "session void");
        let point = points(&row.design.purpose).void;
        let code = fault.code;
        self.seams
            .store
            .commit(point, move |tx| {
                let mut void = SessionRow::load(tx, &row.request)?;
                if let (Purpose::Refresh(planned), Some(finish)) = (&void.design.purpose, &void.finish) {
                    if let Funding::Coins(funding) = &finish.funding {
                        let statement = funding.statement(&void.bank, &finish.session, &finish.challenges);
                        pledge::resolve(tx, &statement, "void")?;
                    }
                    if code == Code::DoubleSpent {
                        distrust(tx, planned)?;
                    }
                }
                void.state = SessionState::Void;
                Ok::<_, Failure>(tx.update(&SESSION, &void.values()?)?)
            })
            .await?;
        Ok(Some(fault))
    }
}

/// The denominations of an issuance: tops up what the wallet holds.
pub(crate) fn denominations(
    keyset: &VerifiedKeyset,
    amount: Minor,
    held: &std::collections::BTreeMap<Denomination, u32>,
) -> Result<Vec<Digest>> {
    let largest = keyset.keys.last().map(|key| key.key.value).unwrap_or_default();
    let set = DenominationSet::up_to(Denomination::of_value(largest)?.exponent())?;
    let split = change::split(amount, &set, held).map_err(|error| {
        Failure::from(error).hint("an issuance makes at most 256 coins: take a smaller amount")
    })?;
    split
        .iter()
        .map(|size| {
            let key = keyset.keys.iter().find(|key| key.key.value == size.value());
            key.map(|key| key.id).ok_or_else(|| {
                Failure::new(Code::KeysetInvalid, format!("the keyset has no coin worth {size} minor units"))
            })
        })
        .collect()
}

pub(crate) fn peek_number(tx: &mut dyn Tx, bank: &str, kind: &str, epoch: u64) -> Result<u64> {
    let key = [bank.into(), kind.into(), feiqian_ledger::store::Value::unsigned(epoch)?];
    let row = tx.find(&crate::tables::COUNTER, &key)?;
    Ok(row.map_or(Ok(0), |row| row.unsigned(3))?)
}

/// What a finished session means for the rest of the wallet.
fn complete(tx: &mut dyn Tx, row: &SessionRow, request: &FinishRequest, now: Timestamp) -> Result<()> {
    let kind = row.design.purpose.as_str();
    match (&row.design.purpose, &request.funding) {
        (Purpose::Refresh(_), Funding::Coins(funding)) => {
            let statement = funding.statement(&row.bank, &request.session, &request.challenges);
            pledge::resolve(tx, &statement, "effective")?;
            note(tx, now, kind, row.amount, &row.bank, &request.session)
        }
        (Purpose::Receive(payment), _) => {
            let mut received = ReceivedRow::find(tx, payment)?.ok_or(StoreError::Missing(RECEIVED.name))?;
            received.state = "done".to_owned();
            tx.update(&RECEIVED, &received.values()?)?;
            let request = tx.find(&PAYEE_REQUEST, &[received.request.into()])?;
            let mut values = request.ok_or(StoreError::Missing(PAYEE_REQUEST.name))?.0;
            if let Some(state) = values.get_mut(4) {
                *state = "paid".into();
            }
            tx.update(&PAYEE_REQUEST, &values)?;
            note(tx, now, kind, row.amount, &row.bank, payment)
        }
        (Purpose::Refund { payment, amount }, _) => note(tx, now, kind, *amount, &row.bank, payment),
        _ => note(tx, now, kind, row.amount, &row.bank, &request.session),
    }
}

/// A bank says that a coin among these is spent beyond its value: each is tried alone, and one that fails alone is
/// given up.
fn distrust(tx: &mut dyn Tx, planned: &[PlannedCoin]) -> Result<()> {
    let state = if planned.len() > 1 { "suspect" } else { "refused" };
    for plan in planned {
        if let Some(mut coin) = CoinRow::find(tx, &plan.coin)? {
            coin.state = state.to_owned();
            tx.update(&COIN, &coin.values())?;
        }
    }
    Ok(())
}
