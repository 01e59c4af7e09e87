//! What is sent: withdrawals of random challenges, payments and renewals of real coins.
//!
//! Payments are made ahead of time, whole requests as they travel. Coins come from the bank as a wallet gets them. Only
//! for withdrawals the challenges are random numbers: the bank cannot tell, and the load spends no time on them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use feiqian_crypto::snowblind::Challenge;
use feiqian_crypto::{Digest, EncodedScalar, scalar};
use feiqian_money::{Amount, Minor};
use feiqian_node::{Clock as _, Entropy as _, Format, SystemClock, SystemEntropy};
use feiqian_online_cash::MAX_COINS;
use feiqian_online_cash::account::DepositResponse;
use feiqian_online_cash::coin::Coin;
use feiqian_online_cash::deposit::{CashItem, Outcome};
use feiqian_online_cash::funding::{CoinFunding, Funding, PlannedInput, withdrawal_statement};
use feiqian_online_cash::issue::{
    BeginRequest, BeginResponse, FinishRequest, FinishResponse, Output, PendingIssue, SessionOffer,
};
use feiqian_online_cash::keyset::VerifiedKey;
use feiqian_online_cash::payment::Payment;
use feiqian_online_cash::request::{Delivery, Payee, PaymentRequest, Route, SignedRequest};
use feiqian_online_cash::seed::Seed;
use feiqian_online_cash::signed::DocumentSignature;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, Name, Text};
use rand::RngExt as _;
use tokio::task::JoinSet;

use super::line::{self, Line};
use super::load::Operation;
use super::town::{Customer, internal, patiently};

/// Coins a withdrawal asks for.
pub(super) const COINS: u16 = 10;
/// Coins a withdrawal brings while material is made.
const BATCH: u16 = 128;
/// Random challenges; each withdrawal takes ten of them, from another place.
const CHALLENGES: usize = 4096;
/// How long what is made ahead can be used, seconds.
const GOOD_FOR: u64 = 6 * 3600;
const BEGIN: &str = "/v1/account/issue/begin";
const FINISH: &str = "/v1/account/issue/finish";

/// Numbers that no request had before.
struct Numbers {
    base: [u8; 32],
    next: AtomicU64,
}

impl Numbers {
    fn new() -> Self {
        Self { base: SystemEntropy.rng().random(), next: AtomicU64::new(0) }
    }

    fn next(&self) -> (u64, Digest) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut bytes = self.base;
        for (byte, counted) in bytes.iter_mut().zip(number.to_le_bytes()) {
            *byte ^= counted;
        }
        (number, Digest(bytes))
    }
}

fn challenges() -> Result<Vec<Challenge>, Fault> {
    let mut rng = SystemEntropy.rng();
    let random = (0..CHALLENGES).map(|_| Challenge::try_from(EncodedScalar::from(&scalar::random(&mut rng))));
    random.collect::<Result<_, _>>().map_err(internal)
}

fn some(challenges: &[Challenge], number: u64, count: usize) -> Result<Bounded<Challenge, MAX_COINS>, Fault> {
    let from = usize::try_from(number).unwrap_or_default().wrapping_rem(CHALLENGES);
    Ok(Bounded::collect(challenges.iter().cycle().skip(from).take(count).copied())?)
}

fn begin_body(denomination: Digest, count: u16, request: Digest) -> Result<Vec<u8>, Fault> {
    let outputs = Bounded::new(vec![Output { denomination, count }])?;
    Format::Bincode.encode(&BeginRequest { request, outputs })
}

fn opened(answer: BeginResponse) -> Result<SessionOffer, Fault> {
    match answer {
        BeginResponse::Open(offer) => Ok(offer),
        other => Err(internal(format!("a new session is {other:?}"))),
    }
}

/// Signs for a withdrawal as the account's holder.
fn finish_body(
    by: &Customer,
    session: Digest,
    denomination: Digest,
    challenges: Bounded<Challenge, MAX_COINS>,
) -> Result<Vec<u8>, Fault> {
    let denominations = vec![denomination; challenges.len()];
    let account = by.account.as_str();
    let statement =
        withdrawal_statement(&by.bank, account, &session, &denominations, Minor::ZERO, &challenges);
    let funding = Funding::Account { signature: DocumentSignature::sign(&by.signing, &statement)? };
    Format::Bincode.encode(&FinishRequest { session, challenges, funding })
}

/// Withdrawals of [`COINS`] coins of the smallest value, begin and finish.
pub(super) struct Issue {
    by: Arc<Customer>,
    denomination: Digest,
    challenges: Vec<Challenge>,
    numbers: Numbers,
    authority: String,
}

impl Issue {
    pub(super) fn new(by: Arc<Customer>) -> Result<Self, Fault> {
        let denomination = smallest(&by)?.id;
        let authority = by.certified()?.authority();
        Ok(Self { by, denomination, challenges: challenges()?, numbers: Numbers::new(), authority })
    }
}

impl Operation for Issue {
    async fn once(&self, line: &mut Line) -> Result<bool, Fault> {
        let (number, request) = self.numbers.next();
        let begin = line::post(&self.authority, BEGIN, &begin_body(self.denomination, COINS, request)?);
        let offer = opened(line.ask(&begin).await?)?;
        let challenges = some(&self.challenges, number, usize::from(COINS))?;
        let body = finish_body(&self.by, offer.session, self.denomination, challenges)?;
        let answer: FinishResponse = line.ask(&line::post(&self.authority, FINISH, &body)).await?;
        if answer.answers.len() != usize::from(COINS) {
            return Err(internal("a withdrawal brought another number of coins"));
        }
        Ok(true)
    }
}

fn smallest(of: &Customer) -> Result<&VerifiedKey, Fault> {
    of.keyset.keys.iter().min_by_key(|key| key.key.value).ok_or_else(|| internal("a keyset without keys"))
}

/// A key of twice the smallest value.
fn twice(of: &Customer) -> Result<&VerifiedKey, Fault> {
    let wanted = smallest(of)?.key.value.value().saturating_mul(2);
    let mut keys = of.keyset.keys.iter();
    keys.find(|key| key.key.value.value() == wanted).ok_or_else(|| internal("a keyset without that value"))
}

/// Withdraws real coins, as a wallet does.
async fn withdraw(
    by: &Customer,
    line: &mut Line,
    authority: &str,
    key: &VerifiedKey,
    count: u16,
) -> Result<Vec<Coin>, Fault> {
    let request = Digest(SystemEntropy.rng().random());
    let begin = line::post(authority, BEGIN, &begin_body(key.id, count, request)?);
    let offer = opened(line.ask(&begin).await?)?;
    let seed = Seed::from_bytes(SystemEntropy.rng().random());
    let keys = vec![key; usize::from(count)];
    let (pending, challenges) = PendingIssue::new(&seed, &keys, &offer.session, &offer.commitments)?;
    let body = finish_body(by, offer.session, key.id, Bounded::new(challenges)?)?;
    let answer: FinishResponse = line.ask(&line::post(authority, FINISH, &body)).await?;
    Ok(pending.finish(&answer.answers)?)
}

/// Which of the bank's keys signs the coins.
type Choice = fn(&Customer) -> Result<&VerifiedKey, Fault>;

/// Waits until the bank issues: it pins its keyset by itself and has to hear from the center that it did.
///
/// # Errors
/// The bank's refusal when it does not come to that.
pub(super) async fn wait_for_issue(by: &Customer) -> Result<(), Fault> {
    let dialer = by.certified()?;
    patiently(async || {
        let mut line = Line::open(&dialer).await?;
        withdraw(by, &mut line, &dialer.authority(), smallest(by)?, 1).await.map(drop)
    })
    .await
}

/// Withdraws at least `count` coins, on as many connections as there are cores, and makes something of each.
async fn make<T: Send + 'static>(
    by: &Arc<Customer>,
    (value, count): (Choice, usize),
    of_each: impl Fn(Coin) -> Result<T, Fault> + Clone + Send + Sync + 'static,
) -> Result<Vec<T>, Fault> {
    let left = Arc::new(AtomicUsize::new(count.div_ceil(usize::from(BATCH))));
    let workers = std::thread::available_parallelism().map_or(1, usize::from).saturating_mul(2);
    let mut under_way = JoinSet::new();
    for _ in 0..workers {
        let (by, left, of_each) = (Arc::clone(by), Arc::clone(&left), of_each.clone());
        under_way.spawn(async move {
            let dialer = by.certified()?;
            let mut line = Line::open(&dialer).await?;
            let mut made = Vec::new();
            let taken =
                || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            while taken().is_ok() {
                let coins = withdraw(&by, &mut line, &dialer.authority(), value(&by)?, BATCH).await?;
                for coin in coins {
                    made.push(of_each(coin)?);
                }
            }
            Ok::<_, Fault>(made)
        });
    }
    let mut all = Vec::with_capacity(count);
    while let Some(ended) = under_way.join_next().await {
        all.extend(ended.map_err(internal)??);
    }
    Ok(all)
}

/// Deposits, whole requests, in any order.
pub(super) struct Deposits {
    requests: Mutex<VecDeque<Vec<u8>>>,
}

impl Deposits {
    /// Payments of a coin of `payer` each to the account of `payee`.
    pub(super) async fn make(
        payer: &Arc<Customer>,
        payee: &Arc<Customer>,
        count: usize,
    ) -> Result<Self, Fault> {
        let (to, authority) = (Arc::clone(payee), payee.certified()?.authority());
        let requests = make(payer, (smallest, count), move |coin| deposit(&to, &authority, &coin)).await?;
        Ok(Self { requests: Mutex::new(requests.into()) })
    }

    /// Puts what another load left before the own.
    pub(super) fn with_rest(self, rest: &Self) -> Self {
        let rest = std::mem::take(&mut *rest.requests.lock().unwrap_or_else(PoisonError::into_inner));
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).extend(rest);
        self
    }

    pub(super) fn len(&self) -> usize {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

fn deposit(payee: &Customer, authority: &str, coin: &Coin) -> Result<Vec<u8>, Fault> {
    let mut rng = SystemEntropy.rng();
    let expires = SystemClock.now().saturating_add(GOOD_FOR);
    let value = smallest(payee)?.key.value;
    let request = PaymentRequest {
        payee: Payee::Certified { leaf: payee.leaf.clone(), issuer: payee.issuer },
        name: Text::new("shop")?,
        amount: Amount::new(value, feiqian_money::Currency::CNY),
        order: Text::new("bench")?,
        route: Route::Account { bank: Name::new(payee.bank.as_str())?, account: payee.account.clone() },
        delivery: Delivery::ByHand,
        refund_until: expires,
        view: payee.view().pins.view(),
        expires,
        nonce: Digest(rng.random()),
    };
    let request = SignedRequest::by_account_holder(request, &payee.signing)?;
    let payment = Payment::sign(&request.request.digest(), &[(coin, value)], &mut rng)?;
    let body = Format::Bincode.encode(&CashItem { request, payment })?;
    Ok(line::post(authority, "/v1/deposit", &body))
}

impl Operation for Deposits {
    async fn once(&self, line: &mut Line) -> Result<bool, Fault> {
        let next = self.requests.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(request) = next else { return Ok(false) };
        loop {
            match line.ask(&request).await? {
                DepositResponse::Final(Outcome::Paid(_)) => return Ok(true),
                DepositResponse::Final(Outcome::Refused(fault)) => return Err(fault),
                DepositResponse::Final(other) => {
                    return Err(internal(format!("a payment came to {other:?}")));
                }
                DepositResponse::Pending { .. } => line.wait().await,
            }
        }
    }
}

/// Renewals of a coin into two of half its value, without a certificate.
pub(super) struct Refreshes {
    by: Arc<Customer>,
    denomination: Digest,
    challenges: Vec<Challenge>,
    numbers: Numbers,
    authority: String,
    coins: Mutex<Vec<Coin>>,
}

impl Refreshes {
    pub(super) async fn make(by: &Arc<Customer>, count: usize) -> Result<Self, Fault> {
        Ok(Self {
            denomination: smallest(by)?.id,
            challenges: challenges()?,
            numbers: Numbers::new(),
            authority: by.anonymous()?.authority(),
            coins: Mutex::new(make(by, (twice, count), Ok).await?),
            by: Arc::clone(by),
        })
    }

    /// Adds what another load left.
    pub(super) fn with_rest(self, rest: &Self) -> Self {
        let rest = std::mem::take(&mut *rest.coins.lock().unwrap_or_else(PoisonError::into_inner));
        self.coins.lock().unwrap_or_else(PoisonError::into_inner).extend(rest);
        self
    }

    pub(super) fn len(&self) -> usize {
        self.coins.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Operation for Refreshes {
    async fn once(&self, line: &mut Line) -> Result<bool, Fault> {
        let next = self.coins.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some(coin) = next else { return Ok(false) };
        let (number, request) = self.numbers.next();
        let begin =
            line::post(&self.authority, "/v1/issue/begin", &begin_body(self.denomination, 2, request)?);
        let session = opened(line.ask(&begin).await?)?.session;
        let challenges = some(&self.challenges, number, 2)?;
        let contribution = twice(&self.by)?.key.value;
        let planned = [PlannedInput { coin: &coin, contribution, releases: Vec::new() }];
        let mut rng = SystemEntropy.rng();
        let funding =
            CoinFunding::sign(&self.by.bank, &session, &planned, Vec::new(), &challenges, &mut rng)?;
        let request = FinishRequest { session, challenges, funding: Funding::Coins(funding) };
        let body = Format::Bincode.encode(&request)?;
        let answer: FinishResponse =
            line.ask(&line::post(&self.authority, "/v1/issue/finish", &body)).await?;
        if answer.answers.len() != 2 {
            return Err(Fault::new(Code::Internal, "a renewal brought another number of coins"));
        }
        Ok(true)
    }
}
