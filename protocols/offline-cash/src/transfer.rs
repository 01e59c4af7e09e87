//! Passing value on, from hand to hand.
//!
//! The payee lists as many of its blanks as it takes pieces: **one blank a piece**, since a blank that took two would have
//! to answer twice. The list alone is unauthenticated, so both screens show a short code over nonces of both sides. The
//! payee is bound to its offer and nonce before it sees the payer's, so nobody between the two can grind for a code:
//!
//! | step | who | sends |
//! |---|---|---|
//! | [`Offer::commit`] | payee | [`OfferCommitment`] |
//! | [`OfferCommitment::answer`] | payer | its [`Nonce`] |
//! | [`PendingOffer::open`] | payee | [`OfferOpening`]; shows the code |
//! | [`ExpectOpening::check`] | payer | shows the code; people compare: [`ShownOffer::codes_agree`] |
//! | [`pass`] | payer | [`Transfer`], once it is stored |
//! | [`OpenOffer::receive`] | payee | stores its [`Holding`]s |

use std::collections::BTreeSet;

use feiqian_crypto::{Digest, Transcript};
use feiqian_money::{Amount, Currency};
use feiqian_wire::{Bounded, Timestamp};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::chain::{Blank, KeysetView, MAX_KEYSETS, Passed};
use crate::holding::{Holding, Misuse, Unsent, Unspent};
use crate::keyset::{Keys, Kind};
use crate::pay::check_sum;
use crate::policy::Counter;
use crate::purse::{BEFORE_PASSING, SpendError, Until, Wish};
use crate::request::{check_open, hash_keysets};
use crate::verify::verify_traced;
use crate::{MAX_PIECES, Rejection};

/// What a payee will take on which blanks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// How much, in which currency.
    pub amount: Amount,
    /// As many as pieces are taken: at least one, at most [`MAX_PIECES`], each fresh.
    pub blanks: Bounded<Blank, MAX_PIECES>,
    /// The keysets that the payee knows: a transfer uses no others.
    pub keysets: Bounded<KeysetView, MAX_KEYSETS>,
    /// First second at which nothing is taken any more.
    pub expires: Timestamp,
}

impl Offer {
    /// `D("offline-cash/offer"; minor, currency, n, (key, m)…, n, (bank, epoch, keyset digest)…, expires)`.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let start = Transcript::new("offline-cash/offer").integer(self.amount.minor.value());
        let blank =
            |transcript: Transcript, blank: &Blank| transcript.digest(&blank.key).digest(&blank.message);
        let listed = start.text(self.amount.currency.code()).list(&self.blanks, blank);
        hash_keysets(listed, &self.keysets).integer(self.expires.seconds()).into_digest()
    }

    /// Is it well formed: some amount, distinct blanks under pinned blank keys of the currency, which it shows?
    fn check(&self, keys: &dyn Keys) -> Result<(), Rejection> {
        if self.amount.minor.is_zero() || self.blanks.is_empty() {
            return Err(Rejection::RequestInvalid("an offer to take nothing"));
        }
        let distinct: BTreeSet<_> = self.blanks.iter().map(|blank| blank.message).collect();
        if distinct.len() != self.blanks.len() {
            return Err(Rejection::RequestInvalid("a blank stands twice"));
        }
        self.blanks.iter().try_for_each(|blank| check_blank(blank, self.amount.currency, &self.keysets, keys))
    }

    /// The commitment to it under the payee's nonce, and the code under both.
    #[cfg(feature = "vectors")]
    pub(crate) fn bound(&self, payee: &Nonce, payer: &Nonce) -> (Digest, ShortCode) {
        let digest = self.digest();
        (commitment(&digest, payee), ShortCode::of(&digest, payee, payer))
    }

    /// What can be passed to it.
    #[must_use]
    pub fn wish(&self, now: Timestamp) -> Wish<'_> {
        Wish {
            amount: self.amount,
            keysets: &self.keysets,
            at: now,
            until: Until::Pay,
            most_pieces: self.blanks.len(),
            most_hops: BEFORE_PASSING,
            one_bank: false,
        }
    }

    /// Binds the payee to this offer and to a fresh nonce. Returns what stays and what travels.
    ///
    /// # Errors
    /// [`Rejection::RequestInvalid`] and others for an offer that no payer would take.
    pub fn commit(
        self,
        keys: &dyn Keys,
        rng: &mut impl CryptoRng,
    ) -> Result<(PendingOffer, OfferCommitment), Rejection> {
        self.check(keys)?;
        let nonce = Nonce::random(rng);
        let commitment = OfferCommitment(commitment(&self.digest(), &nonce));
        Ok((PendingOffer { offer: self, nonce }, commitment))
    }
}

fn check_blank(
    blank: &Blank,
    currency: Currency,
    keysets: &[KeysetView],
    keys: &dyn Keys,
) -> Result<(), Rejection> {
    let key = keys.key(&blank.key)?;
    if key.kind != Kind::Blank {
        return Err(Rejection::RequestInvalid("a blank that is none"));
    }
    if key.currency != currency {
        return Err(Rejection::WrongCurrency);
    }
    let shown =
        |view: &KeysetView| view.bank == key.bank && view.epoch.0 == key.epoch && view.digest == key.keyset;
    let shown = keysets.iter().any(shown);
    shown.then_some(()).ok_or(Rejection::KeysetNotPinned("the offer does not show the keyset of its blank"))
}

/// 32 fresh random bytes of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nonce(pub Digest);

impl Nonce {
    fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self(Digest(bytes))
    }
}

/// Binds the payee to its offer and nonce: `D("offline-cash/offer-commitment"; offer digest, nonce)`, 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OfferCommitment(pub Digest);

fn commitment(offer: &Digest, nonce: &Nonce) -> Digest {
    Transcript::new("offline-cash/offer-commitment").digest(offer).digest(&nonce.0).into_digest()
}

/// The six digits that both screens show: the first 8 bytes, little-endian, of
/// `D("offline-cash/short-code"; offer digest, payee's nonce, payer's nonce)` modulo 10⁶.
///
/// # Security
///
/// Somebody between the two, who must commit to one side before the other opens, meets the same code once in a million
/// attempts, and every failed attempt shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShortCode(u32);

impl ShortCode {
    fn of(offer: &Digest, payee: &Nonce, payer: &Nonce) -> Self {
        let transcript = Transcript::new("offline-cash/short-code").digest(offer).digest(&payee.0);
        let digest = transcript.digest(&payer.0).into_digest();
        let number = digest.0.first_chunk().copied().map_or(0, u64::from_le_bytes);
        Self(u32::try_from(number.checked_rem(1_000_000).unwrap_or(0)).unwrap_or(0))
    }
}

impl core::fmt::Display for ShortCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (high, low) = (self.0.checked_div(1000), self.0.checked_rem(1000));
        write!(f, "{:03} {:03}", high.unwrap_or(0), low.unwrap_or(0))
    }
}

/// The opening of a commitment: the offer at last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfferOpening {
    /// The offer.
    pub offer: Offer,
    /// The payee's nonce.
    pub nonce: Nonce,
}

/// The payee's side between commitment and opening. Its nonce is shown to one payer only.
///
/// ```compile_fail,E0382
/// # use feiqian_offline_cash::transfer::{Nonce, PendingOffer};
/// fn grind(pending: PendingOffer, one: &Nonce, other: &Nonce) {
///     pending.open(one);
///     pending.open(other);
/// }
/// ```
#[derive(Debug)]
pub struct PendingOffer {
    offer: Offer,
    nonce: Nonce,
}

impl PendingOffer {
    /// Opens the commitment to the payer's nonce. Returns what stays, what travels, and the code to show.
    #[must_use]
    pub fn open(self, payer: &Nonce) -> (OpenOffer, OfferOpening, ShortCode) {
        let Self { offer, nonce } = self;
        let code = ShortCode::of(&offer.digest(), &nonce, payer);
        (OpenOffer::new(offer.clone()), OfferOpening { offer, nonce }, code)
    }
}

impl OfferCommitment {
    /// The payer's answer: a fresh nonce. Returns what stays and what travels.
    pub fn answer(self, rng: &mut impl CryptoRng) -> (ExpectOpening, Nonce) {
        let nonce = Nonce::random(rng);
        (ExpectOpening { commitment: self, nonce }, nonce)
    }
}

/// The payer's side between its nonce and the opening.
#[derive(Debug)]
pub struct ExpectOpening {
    commitment: OfferCommitment,
    nonce: Nonce,
}

impl ExpectOpening {
    /// Checks the opening and the offer; the code is to be shown.
    ///
    /// # Errors
    /// [`Rejection::RequestMismatch`] when it opens another commitment; [`Rejection::RequestInvalid`],
    /// [`Rejection::KeyUnknown`], [`Rejection::KeysetNotPinned`], [`Rejection::WrongCurrency`] for an offer that is not
    /// well formed.
    pub fn check(self, opening: OfferOpening, keys: &dyn Keys) -> Result<ShownOffer, Rejection> {
        let OfferOpening { offer, nonce } = opening;
        let digest = offer.digest();
        if commitment(&digest, &nonce) != self.commitment.0 {
            return Err(Rejection::RequestMismatch);
        }
        offer.check(keys)?;
        let code = ShortCode::of(&digest, &nonce, &self.nonce);
        Ok(ShownOffer { offer, code })
    }
}

/// An offer whose code is on the screen.
#[derive(Debug)]
pub struct ShownOffer {
    offer: Offer,
    code: ShortCode,
}

impl ShownOffer {
    /// The code.
    #[must_use]
    pub fn code(&self) -> ShortCode {
        self.code
    }

    /// The offer, to show its amount.
    #[must_use]
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// The people have compared the codes on both screens, and they agree.
    #[must_use]
    pub fn codes_agree(self) -> ConfirmedOffer {
        ConfirmedOffer(self.offer)
    }
}

/// An offer that is the payee's own: both screens showed one code.
#[derive(Debug)]
pub struct ConfirmedOffer(Offer);

impl ConfirmedOffer {
    /// The offer.
    #[must_use]
    pub fn offer(&self) -> &Offer {
        &self.0
    }
}

/// Pieces passed to the blanks of one offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// The offer's digest.
    pub offer: Digest,
    /// At most [`MAX_PIECES`], each to another blank of the offer.
    pub chains: Bounded<Passed, MAX_PIECES>,
}

/// Passes pieces, chosen by [`Offer::wish`], to an offer: each to its own blank. The transfer may be sent once it is stored.
///
/// # Errors
/// [`SpendError::Refused`] with the pieces when the offer has expired, a piece may not be used for it or they do not sum to
/// it; [`SpendError::Misuse`].
pub fn pass(
    offer: ConfirmedOffer,
    pieces: Vec<Unspent>,
    now: Timestamp,
    rng: &mut impl CryptoRng,
) -> Result<Unsent<Transfer>, SpendError> {
    let ConfirmedOffer(offer) = offer;
    let allowed = check_open(offer.expires, now).and_then(|()| offer.wish(now).check_all(&pieces));
    if let Err(because) = allowed {
        return Err(SpendError::Refused { unspent: pieces, because });
    }
    let (mut answers, mut chains) = (Vec::new(), Vec::new());
    for (piece, blank) in pieces.into_iter().zip(offer.blanks.iter()) {
        let (answer, chain) = piece.pass(blank, Nonce::random(rng).0)?;
        answers.push(answer);
        chains.push(chain);
    }
    let chains = Bounded::new(chains).map_err(|_| Misuse::TooLarge)?;
    Ok(Unsent::new(answers, Transfer { offer: offer.digest(), chains })?)
}

/// The payee's offer that waits for its transfer. It takes one; the blanks of an offer stand in no other.
///
/// ```compile_fail,E0277
/// # use feiqian_offline_cash::transfer::OpenOffer;
/// fn twice(open: &OpenOffer) -> OpenOffer {
///     OpenOffer::clone(open)
/// }
/// ```
#[derive(Debug)]
pub struct OpenOffer {
    offer: Offer,
}

impl OpenOffer {
    /// Waits for the transfer to an offer of our own that was opened, as the wallet's store kept it.
    #[must_use]
    pub fn new(offer: Offer) -> Self {
        Self { offer }
    }

    /// The offer.
    #[must_use]
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Takes a transfer, with no connection to anybody. `taken` are the *m* of all our blanks that ever took a piece; those
    /// of the holdings are added to it in the transaction that stores these. The same transfer again is answered from the
    /// store.
    ///
    /// # Errors
    /// This, to wait on, with the [`Rejection`]: [`Rejection::RequestMismatch`], [`Rejection::Expired`],
    /// [`Rejection::BlankAnswered`] for a second piece on a blank, [`Rejection::WrongCurrency`],
    /// [`Rejection::KeysetNotPinned`], [`Rejection::AmountMismatch`], those of [`verify_passed`](crate::verify::verify_passed)
    /// and of [`Counter::check`].
    ///
    /// # Security
    ///
    /// Two overlapping answers of one blank under different pasts would expose an honest holder, and nothing protects it
    /// then: so a blank takes one piece, ever.
    #[allow(clippy::result_large_err, reason = "the offer goes on waiting")]
    pub fn receive(
        self,
        transfer: &Transfer,
        taken: &BTreeSet<Digest>,
        counter: &Counter<'_>,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<Holding>, (Self, Rejection)> {
        self.check(transfer, taken, counter, rng).map_err(|rejection| (self, rejection))
    }

    fn check(
        &self,
        transfer: &Transfer,
        taken: &BTreeSet<Digest>,
        counter: &Counter<'_>,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<Holding>, Rejection> {
        let Offer { amount, blanks, keysets, expires } = &self.offer;
        if transfer.offer != self.offer.digest() {
            return Err(Rejection::RequestMismatch);
        }
        check_open(*expires, counter.now)?;
        let mut used = BTreeSet::new();
        for Passed { blank, .. } in transfer.chains.iter() {
            if !blanks.contains(blank) {
                return Err(Rejection::RequestMismatch);
            }
            if taken.contains(&blank.message) || !used.insert(blank.message) {
                return Err(Rejection::BlankAnswered);
            }
        }
        let traced = transfer.chains.iter().map(|chain| chain.trace(counter.keys));
        let traced = traced.collect::<Result<Vec<_>, _>>()?;
        check_sum(*amount, keysets, &traced)?;
        let chains = verify_traced(traced, rng).into_iter().collect::<Result<Vec<_>, _>>()?;
        counter.check(&chains)?;
        let received = chains.into_iter().zip(transfer.chains.iter());
        Ok(received.map(|(chain, passed)| Holding::new(chain, passed.blank)).collect())
    }
}
