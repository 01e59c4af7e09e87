//! What pays for new coins: four kinds, checked outside the transaction, booked inside.

use std::sync::Arc;

use feiqian_crypto::batch::{self, Item};
use feiqian_crypto::possession::{self, Proof};
use feiqian_crypto::{Digest, EncodedPoint, Id16};
use feiqian_ledger::book;
use feiqian_ledger::store::{Tx, Value};
use feiqian_money::Minor;
use feiqian_node::MemberView;
use feiqian_online_cash::coin::{self, CoinId};
use feiqian_online_cash::deposit::CashItem;
use feiqian_online_cash::evidence::Statement;
use feiqian_online_cash::funding::{
    CoinFunding, Funding, Released, received_statement, refunded_statement, withdrawal_statement,
};
use feiqian_online_cash::issue::FinishRequest;
use feiqian_online_cash::request::{Payee, Route};
use feiqian_online_cash::signed::DocumentSignature;
use feiqian_online_cash::{MAX_COINS, Rejection};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, Timestamp};

use crate::Bank;
use crate::accounts::{Holder, count, open_account};
use crate::chart::{Event, Post, along, id};
use crate::payments::{PaymentRow, Redemption};
use crate::refusal::{Refusal, to_blob};
use crate::register::{self, Spending, Taking};
use crate::sessions::{self, FundingKind, SessionRow, State};
use crate::tables::RELEASED;

/// Funding whose signatures, proofs and sums were checked.
pub(crate) enum Paid {
    Account { account: Id16, statement: Digest, proof: Vec<u8> },
    Coins { spending: Spending, released: Vec<Release> },
    Received(Box<Redemption>),
    Refunded { payment: Digest, coins: Vec<CoinId>, proof: Vec<u8> },
}

/// An earlier statement that a refresh gives up.
pub(crate) enum Release {
    Payment { digest: Digest, expires: Timestamp },
    Refresh { session: Digest },
}

impl Bank {
    /// Checks all that needs no look at the books.
    pub(crate) async fn check_funding(
        self: &Arc<Self>,
        row: &SessionRow,
        holder: Option<&Holder>,
        request: &FinishRequest,
        denominations: &[Digest],
        now: Timestamp,
    ) -> Result<Paid, Refusal> {
        match (&request.funding, holder) {
            (Funding::Account { signature }, Some(holder)) => {
                self.check_account(row, holder, request, denominations, signature)
            }
            (Funding::Coins(funding), None) => self.check_coins(row, request, funding, now),
            (Funding::Received { item, possession }, None) => {
                self.check_received(row, request, item, possession, now).await
            }
            (Funding::Refunded { payment, amount, coins, possession }, None) => {
                self.check_refunded(row, request, payment, *amount, coins, possession)
            }
            _ => {
                Err(Fault::new(Code::SessionForeign, "this funding belongs to another kind of caller").into())
            }
        }
    }

    fn check_account(
        &self,
        row: &SessionRow,
        holder: &Holder,
        request: &FinishRequest,
        denominations: &[Digest],
        signature: &DocumentSignature,
    ) -> Result<Paid, Refusal> {
        let statement = withdrawal_statement(
            self.name(),
            holder.token.as_str(),
            &row.session,
            denominations,
            Minor::ZERO,
            &request.challenges,
        );
        signature.verify(&holder.signing_key, &statement, "withdrawal")?;
        let proof = to_blob(&(Digest(holder.signing_key), signature))?;
        Ok(Paid::Account { account: holder.account, statement, proof })
    }

    fn check_coins(
        &self,
        row: &SessionRow,
        request: &FinishRequest,
        funding: &CoinFunding,
        now: Timestamp,
    ) -> Result<Paid, Refusal> {
        funding.check_shape(self.name())?;
        if funding.total()? != row.amount {
            return Err(Rejection::AmountMismatch("the coins do not sum to the new coins").into());
        }
        let ring = self.ring.load();
        let mut takings = Vec::with_capacity(funding.inputs.len());
        let mut checks = Vec::with_capacity(funding.inputs.len().saturating_add(1));
        for input in funding.inputs.iter() {
            let stated = &input.stated;
            let key = &self.pinned_key(&ring, &stated.coin.denomination)?.verified;
            key.check_grace(now)?;
            self.check_not_ended([key.epoch])?;
            if stated.coin.key.to_bytes() == [0; 32] {
                return Err(Rejection::Malformed("coin key is the identity").into());
            }
            if stated.contribution > key.key.value {
                return Err(Rejection::ContributionInvalid.into());
            }
            let message = coin::message(&stated.coin.key);
            checks.push(Item::Signature { key: &key.public, message, signature: input.signature });
            takings.push(Taking {
                coin: stated.coin,
                contribution: stated.contribution,
                value: key.key.value,
                epoch: key.epoch,
                signature: input.signature,
            });
        }
        let digest = funding.statement(self.name(), &row.session, &request.challenges);
        let keys: Vec<EncodedPoint> = takings.iter().map(|taking| taking.coin.key).collect();
        checks.push(Item::Possession { keys, statement: digest, proof: funding.possession });
        let last = checks.len().saturating_sub(1);
        batch::verify(&checks, &mut self.seams.entropy.rng()).map_err(|blame| {
            if blame.indices.first() == Some(&last) {
                Rejection::PossessionInvalid
            } else {
                Rejection::SignatureInvalid("coin")
            }
        })?;
        let statement = Statement::Refresh {
            session: row.session,
            inputs: Bounded::<_, MAX_COINS>::collect(funding.inputs.iter().map(|input| input.stated.clone()))
                .map_err(Fault::from)?,
            challenges: request.challenges.clone(),
            possession: funding.possession,
        };
        let released = self.check_released(row, funding, now)?;
        let bank = self.name().to_owned();
        Ok(Paid::Coins { spending: Spending { bank, digest, statement, takings }, released })
    }

    fn check_released(
        &self,
        row: &SessionRow,
        funding: &CoinFunding,
        now: Timestamp,
    ) -> Result<Vec<Release>, Refusal> {
        let mut released = Vec::with_capacity(funding.released.len());
        for shown in funding.released.iter() {
            released.push(match shown {
                Released::Payment { expires, .. } if now < *expires => {
                    let (expires, now) = (expires.seconds(), now.seconds());
                    return Err(Rejection::NotExpired { expires, now }.into());
                }
                Released::Payment { expires, .. } => {
                    Release::Payment { digest: shown.digest(self.name()), expires: *expires }
                }
                Released::Refresh { session, .. } if *session == row.session => {
                    return Err(Rejection::Malformed("a refresh releases itself").into());
                }
                Released::Refresh { session, .. } => Release::Refresh { session: *session },
            });
        }
        Ok(released)
    }

    async fn check_received(
        self: &Arc<Self>,
        row: &SessionRow,
        request: &FinishRequest,
        item: &CashItem,
        possession: &Proof,
        now: Timestamp,
    ) -> Result<Paid, Refusal> {
        let payment = self.verify_own(&Arc::new(item.clone())).await?;
        let (Route::Received, Payee::Key(payee)) =
            (&payment.request.request.route, &payment.request.request.payee)
        else {
            return Err(Rejection::WrongRoute.into());
        };
        let amount = payment.request.request.amount.minor;
        let statement =
            received_statement(self.name(), &row.session, &payment.digest, amount, &request.challenges);
        possession::verify(&[*payee], &statement, possession).map_err(|_| Rejection::PossessionInvalid)?;
        if amount != row.amount {
            return Err(Rejection::AmountMismatch("the payment is not worth the new coins").into());
        }
        Ok(Paid::Received(Box::new(self.redemption(item, &payment, row.session, now)?)))
    }

    fn check_refunded(
        &self,
        row: &SessionRow,
        request: &FinishRequest,
        payment: &Digest,
        amount: Minor,
        coins: &[CoinId],
        possession: &Proof,
    ) -> Result<Paid, Refusal> {
        if amount != row.amount {
            return Err(Rejection::AmountMismatch("the claim is not worth the new coins").into());
        }
        let statement = refunded_statement(self.name(), &row.session, payment, amount, &request.challenges);
        let keys: Vec<EncodedPoint> = coins.iter().map(|coin| coin.key).collect();
        possession::verify(&keys, &statement, possession).map_err(|_| Rejection::PossessionInvalid)?;
        Ok(Paid::Refunded { payment: *payment, coins: coins.to_vec(), proof: to_blob(possession)? })
    }
}

impl Paid {
    pub(crate) fn kind(&self) -> FundingKind {
        match self {
            Self::Account { .. } => FundingKind::Account,
            Self::Coins { .. } => FundingKind::Coins,
            Self::Received(_) => FundingKind::Received,
            Self::Refunded { .. } => FundingKind::Refunded,
        }
    }

    pub(crate) fn reference(&self) -> Digest {
        match self {
            Self::Account { statement, .. } => *statement,
            Self::Coins { spending, .. } => spending.digest,
            Self::Received(redemption) => redemption.spending.digest,
            Self::Refunded { payment, .. } => *payment,
        }
    }

    pub(crate) fn proof(&self) -> &[u8] {
        match self {
            Self::Account { proof, .. } | Self::Refunded { proof, .. } => proof,
            Self::Coins { .. } | Self::Received(_) => &[],
        }
    }

    pub(crate) fn released_sessions(&self) -> Vec<Digest> {
        let Self::Coins { released, .. } = self else { return Vec::new() };
        let session = |release: &Release| match release {
            Release::Refresh { session } => Some(*session),
            Release::Payment { .. } => None,
        };
        released.iter().filter_map(session).collect()
    }

    /// Books the funding of a session: all or nothing.
    pub(crate) fn book(
        &self,
        tx: &mut dyn Tx,
        row: &SessionRow,
        view: &MemberView,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        match self {
            Self::Account { account, .. } => book_withdrawal(tx, row, *account, now),
            Self::Coins { spending, released } => {
                released.iter().try_for_each(|release| book_release(tx, release))?;
                spending.book(tx, view)
            }
            Self::Received(redemption) => match redemption.redeem(tx, view, now)? {
                None => Ok(()),
                Some(_) => Err(Fault::new(Code::RequestAlreadyPaid, "the payment was taken before").into()),
            },
            Self::Refunded { payment, coins, .. } => book_claim(tx, row, payment, coins, now),
        }
    }
}

fn book_withdrawal(tx: &mut dyn Tx, row: &SessionRow, account: Id16, now: Timestamp) -> Result<(), Refusal> {
    open_account(tx, account)?;
    let transfers = along(Event::Withdraw, &row.session, &[account, id(Post::Circulation)], row.amount);
    let _ = book::transfer(tx, &transfers, now.seconds())?;
    count(tx, account, row.amount, Minor::ZERO)
}

fn book_release(tx: &mut dyn Tx, release: &Release) -> Result<(), Refusal> {
    match release {
        Release::Payment { digest, expires } => {
            if PaymentRow::find(tx, digest)?.is_some() {
                return Err(Fault::new(Code::Conflict, "a released payment was redeemed").into());
            }
            release_payment(tx, digest, *expires)
        }
        Release::Refresh { session } => match sessions::void(tx, session)? {
            Some(row) if row.state == State::Answered => {
                Err(Fault::new(Code::Conflict, "a released refresh took effect").into())
            }
            // A session not known here has no secrets anywhere: it can never be answered.
            _ => Ok(()),
        },
    }
}

/// Marks a payment as never to be redeemed.
fn release_payment(tx: &mut dyn Tx, digest: &Digest, expires: Timestamp) -> Result<(), Refusal> {
    if tx.find(&RELEASED, &[(*digest).into()])?.is_none() {
        // Whoever names a time beyond the database's integers means the end of time.
        let expires = i64::try_from(expires.seconds()).unwrap_or(i64::MAX);
        tx.insert(&RELEASED, &[(*digest).into(), Value::Integer(expires)])?;
    }
    Ok(())
}

fn book_claim(
    tx: &mut dyn Tx,
    row: &SessionRow,
    payment: &Digest,
    coins: &[CoinId],
    now: Timestamp,
) -> Result<(), Refusal> {
    let unknown = || Fault::new(Code::RefundUnknown, "no refund of this payment");
    let mut known = PaymentRow::find(tx, payment)?.ok_or_else(unknown)?;
    let Some(Statement::Payment { shares, .. }) = register::statement(tx, payment)? else {
        return Err(unknown().into());
    };
    if !shares.iter().map(|share| &share.coin).eq(coins) {
        return Err(Fault::new(Code::PossessionInvalid, "not the coins of the payment").into());
    }
    if known.refunded.is_zero() {
        return Err(unknown().into());
    }
    let claimed = known.claimed.checked_add(row.amount)?;
    if claimed > known.refunded {
        return Err(Fault::new(Code::RefundExceeded, "more than is left of the refund").into());
    }
    known.claimed = claimed;
    known.update(tx)?;
    let transfers =
        along(Event::Claim, &row.session, &[id(Post::RefundsPayable), id(Post::Circulation)], row.amount);
    let _ = book::transfer(tx, &transfers, now.seconds())?;
    Ok(())
}
