//! Paying a request, and checking a payment before it is accepted or redeemed.
//!
//! ```text
//! payee   SignedRequest ──▶ payer   Wish::choose, pay ──▶ Unsent<Payment> ── store ──▶ Payment
//! payee   ExpectPayment::accept ──▶ Accepted, stored, deposited later
//! ```

use feiqian_crypto::Digest;
use feiqian_money::{Amount, Minor};
use feiqian_wire::{Bounded, Limit, Name, Timestamp, codec};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::chain::{KeysetView, Paid, payment_set};
use crate::held::Held;
use crate::holding::{Misuse, Unsent, Unspent};
use crate::keyset::Keys;
use crate::policy::Counter;
use crate::purse::{BEFORE_PAYING, SpendError, Until, Wish, one_bank};
use crate::request::{Authorities, SignedRequest, VerifiedRequest};
use crate::verify::{Traced, VerifiedChain, trace_payment, verify_traced};
use crate::{MAX_PIECES, Rejection};

/// Bytes of an encoded payment, at most: its request and what a bank wraps around it must fit one message with it.
pub const MAX_PAYMENT_BYTES: usize = Limit::Large.bytes().saturating_sub(64 << 10);

/// Pieces given for one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payment {
    /// The request's digest.
    pub request: Digest,
    /// At most [`MAX_PIECES`], each with the way it came.
    pub chains: Bounded<Paid, MAX_PIECES>,
}

/// A payment and the request it pays: what every party on the way to the issuing bank checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CashItem {
    /// Signed by the payee.
    pub request: SignedRequest,
    /// For it.
    pub payment: Payment,
}

impl CashItem {
    /// The set that names the payment, recomputed from the chains; their equations are not checked.
    ///
    /// # Errors
    /// The [`Rejection`] of the first rule of a chain's grammar that it breaks.
    pub fn set(&self, keys: &dyn Keys) -> Result<Digest, Rejection> {
        trace_payment(&self.payment.request, &self.payment.chains, keys).map(|(set, _)| set)
    }
}

impl VerifiedRequest {
    /// What pays it.
    #[must_use]
    pub fn wish(&self, now: Timestamp) -> Wish<'_> {
        Wish {
            amount: self.request.amount,
            keysets: &self.request.keysets,
            at: now,
            until: Until::Pay,
            most_pieces: MAX_PIECES,
            most_hops: BEFORE_PAYING,
            one_bank: true,
        }
    }

    /// What pays it when it is the payer's own, for a deposit.
    #[must_use]
    pub fn own_wish(&self, now: Timestamp) -> Wish<'_> {
        Wish { until: Until::Deposit, ..self.wish(now) }
    }
}

/// Pays a request with pieces that [`Wish::choose`] chose. The payment may be sent once it is stored.
///
/// # Errors
/// [`SpendError::Refused`] with the pieces when the request has expired, a piece may not be used for it or they do not sum
/// to it; [`SpendError::Misuse`].
pub fn pay(
    request: &VerifiedRequest,
    pieces: Vec<Unspent>,
    now: Timestamp,
) -> Result<Unsent<Payment>, SpendError> {
    pay_as(request, request.wish(now), pieces)
}

/// Pays a request of one's own: as [`pay`], with pieces that [`own_wish`](VerifiedRequest::own_wish) chose. Banks take
/// what can no longer be given to others.
///
/// # Errors
/// As [`pay`].
pub fn pay_oneself(
    request: &VerifiedRequest,
    pieces: Vec<Unspent>,
    now: Timestamp,
) -> Result<Unsent<Payment>, SpendError> {
    pay_as(request, request.own_wish(now), pieces)
}

fn pay_as(
    request: &VerifiedRequest,
    wish: Wish<'_>,
    pieces: Vec<Unspent>,
) -> Result<Unsent<Payment>, SpendError> {
    let allowed = request.check_open(wish.at).and_then(|()| wish.check_all(&pieces));
    if let Err(because) = allowed {
        return Err(SpendError::Refused { unspent: pieces, because });
    }
    let places: Vec<_> = pieces.iter().map(Unspent::place).collect();
    let set = payment_set(&request.digest, &places);
    let (mut answers, mut chains) = (Vec::new(), Vec::new());
    for piece in pieces {
        let (answer, chain) = piece.pay(&set)?;
        answers.push(answer);
        chains.push(chain);
    }
    let chains = Bounded::new(chains).map_err(|_| Misuse::TooLarge)?;
    let unsent = Unsent::new(answers, Payment { request: request.digest, chains })?;
    if unsent.bytes().len() > MAX_PAYMENT_BYTES {
        return Err(Misuse::TooLarge.into());
    }
    Ok(unsent)
}

/// Checks the chains of a payment that was accepted and stored earlier, to know what its coins answered. Whose request
/// it was is not looked at: that certificate may have ended since.
///
/// # Errors
/// The [`Rejection`] of the first chain that does not hold.
///
/// # Security
/// Variable time: everything here is public.
pub fn verify_stored(
    item: &CashItem,
    keys: &dyn Keys,
    rng: &mut impl CryptoRng,
) -> Result<Vec<VerifiedChain>, Rejection> {
    let (_, chains) = trace_payment(&item.payment.request, &item.payment.chains, keys)?;
    verify_traced(chains, rng).into_iter().collect()
}

/// A payment whose request, chains, pieces and sum were checked.
///
/// Whether its units were spent before is the issuing bank's register to say.
#[derive(Debug, Clone)]
pub struct VerifiedPayment {
    /// Names the payment: `D("offline-cash/payment-set"; …)`.
    pub set: Digest,
    /// The request it pays.
    pub request: VerifiedRequest,
    /// The issuing bank of all its value coins.
    pub bank: Name,
    /// One a piece, in order.
    pub chains: Vec<VerifiedChain>,
}

impl VerifiedPayment {
    /// First second at which its deposit is refused: the earliest `reclaim_until` of its chains.
    #[must_use]
    pub fn closes(&self) -> Timestamp {
        let closes = self.chains.iter().map(|chain| chain.terms().reclaim_until);
        closes.min().unwrap_or_default()
    }

    /// May it be deposited now?
    ///
    /// # Errors
    /// [`Rejection::KeyExpired`].
    pub fn check_deposit(&self, now: Timestamp) -> Result<(), Rejection> {
        (now < self.closes()).then_some(()).ok_or(Rejection::KeyExpired)
    }
}

/// What a payment is checked against.
#[derive(Clone, Copy)]
pub struct Checker<'a> {
    /// The pinned keys.
    pub keys: &'a dyn Keys,
    /// Who may be a payee.
    pub authorities: &'a dyn Authorities,
    /// The checking party's clock.
    pub now: Timestamp,
}

impl core::fmt::Debug for Checker<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Checker").field("now", &self.now).finish_non_exhaustive()
    }
}

impl Checker<'_> {
    /// Checks one payment: the request's signature, that the payment is for it, every chain, one issuing bank and
    /// currency, the keysets that the request shows, no repeat or overlap within it, the sum.
    ///
    /// Not the request's expiry: the issuing bank redeems what was paid in time.
    ///
    /// # Errors
    /// The [`Rejection`] of the first rule that it breaks.
    ///
    /// # Security
    /// Variable time: everything here is public.
    pub fn verify(&self, item: &CashItem, rng: &mut impl CryptoRng) -> Result<VerifiedPayment, Rejection> {
        let verified = self.verify_many(core::slice::from_ref(item), rng).pop();
        verified.unwrap_or(Err(Rejection::PieceInvalid("a payment without pieces")))
    }

    /// Checks many payments with one multiscalar multiplication over all their pieces; a bad one does not spoil the
    /// others. The answers are in the order of `items`.
    pub fn verify_many(
        &self,
        items: &[CashItem],
        rng: &mut impl CryptoRng,
    ) -> Vec<Result<VerifiedPayment, Rejection>> {
        let mut traced = Vec::new();
        let prepare = |item| {
            let (prepared, chains) = self.prepare(item)?;
            let count = chains.len();
            traced.extend(chains);
            Ok((prepared, count))
        };
        let prepared: Vec<Result<_, Rejection>> = items.iter().map(prepare).collect();
        let mut verified = verify_traced(traced, rng).into_iter();
        let answers = prepared.into_iter().map(|prepared| {
            let (Prepared { set, request, bank }, count) = prepared?;
            let chains: Vec<_> = verified.by_ref().take(count).collect();
            let chains = chains.into_iter().collect::<Result<Vec<_>, _>>()?;
            Held::new().check(&chains)?;
            Ok(VerifiedPayment { set, request, bank, chains })
        });
        answers.collect()
    }

    /// Everything that costs no group operation but for the request's signature.
    fn prepare<'c>(&'c self, item: &'c CashItem) -> Result<(Prepared, Vec<Traced<'c>>), Rejection> {
        let request = item.request.verify(self.authorities, self.now)?;
        if item.payment.request != request.digest {
            return Err(Rejection::RequestMismatch);
        }
        let (set, chains) = trace_payment(&request.digest, &item.payment.chains, self.keys)?;
        let first = chains.first().ok_or(Rejection::PieceInvalid("a payment without pieces"))?;
        let bank = first.terms().bank.clone();
        one_bank(&bank, chains.iter().map(|chain| &chain.terms().bank))?;
        let sum = check_sum(request.request.amount, &request.request.keysets, &chains);
        sum.map(|()| (Prepared { set, request, bank }, chains))
    }
}

/// A payment that was checked up to its pieces' equations.
struct Prepared {
    set: Digest,
    request: VerifiedRequest,
    bank: Name,
}

/// Are the chains of the currency and of keysets that the payee shows, and do they sum to what it asks?
pub(crate) fn check_sum(
    amount: Amount,
    keysets: &[KeysetView],
    chains: &[Traced<'_>],
) -> Result<(), Rejection> {
    for terms in chains.iter().map(Traced::terms) {
        if terms.currency != amount.currency {
            return Err(Rejection::WrongCurrency);
        }
        terms.check_shown(keysets)?;
    }
    if Minor::sum(chains.iter().map(|chain| chain.interval().value())) == Ok(amount.minor) {
        Ok(())
    } else {
        Err(Rejection::AmountMismatch("the pieces do not sum to what is asked"))
    }
}

/// Could the payee's bank present it?
fn check_size(payment: &Payment) -> Result<(), Rejection> {
    match codec::encode(payment) {
        Ok(bytes) if bytes.len() <= MAX_PAYMENT_BYTES => Ok(()),
        _ => Err(Rejection::LimitExceeded("bytes of a payment")),
    }
}

/// A payee's request that waits for its payment. It takes one.
///
/// ```compile_fail,E0277
/// # use feiqian_offline_cash::pay::ExpectPayment;
/// fn two_tills(expect: &ExpectPayment) -> ExpectPayment {
///     ExpectPayment::clone(expect)
/// }
/// ```
#[derive(Debug)]
pub struct ExpectPayment {
    request: SignedRequest,
}

/// A payment that was taken: to be stored before the goods are handed over, and deposited.
#[derive(Debug)]
pub struct Accepted {
    /// As it is stored and deposited.
    pub item: CashItem,
    /// As it was checked.
    pub payment: VerifiedPayment,
}

impl ExpectPayment {
    /// Waits for a payment of a request of our own.
    #[must_use]
    pub fn new(request: SignedRequest) -> Self {
        Self { request }
    }

    /// The request.
    #[must_use]
    pub fn request(&self) -> &SignedRequest {
        &self.request
    }

    /// Takes a payment, with no connection to anybody. The same payment again is answered from the store.
    ///
    /// # Errors
    /// This, to wait on, with the [`Rejection`]: as [`Checker::verify`] and [`Counter::check`],
    /// [`Rejection::LimitExceeded`] for a payment beyond [`MAX_PAYMENT_BYTES`], and [`Rejection::Expired`].
    #[allow(clippy::result_large_err, reason = "the request goes on waiting")]
    pub fn accept(
        self,
        payment: Payment,
        authorities: &dyn Authorities,
        counter: &Counter<'_>,
        rng: &mut impl CryptoRng,
    ) -> Result<Accepted, (Self, Rejection)> {
        let item = CashItem { request: self.request.clone(), payment };
        let checker = Checker { keys: counter.keys, authorities, now: counter.now };
        let checked =
            check_size(&item.payment).and_then(|()| checker.verify(&item, rng)).and_then(|payment| {
                payment.request.check_open(counter.now)?;
                counter.check(&payment.chains)?;
                Ok(payment)
            });
        match checked {
            Ok(payment) => Ok(Accepted { item, payment }),
            Err(rejection) => Err((self, rejection)),
        }
    }
}
