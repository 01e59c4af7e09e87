//! Redeeming payments with coins of this bank: once each, once a request, never after expiry.

use std::sync::Arc;

use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::book;
use feiqian_ledger::store::{Row, StoreError, Tx, Value};
use feiqian_money::Minor;
use feiqian_node::MemberView;
use feiqian_online_cash::Rejection;
use feiqian_online_cash::coin::CoinId;
use feiqian_online_cash::deposit::{CashItem, Outcome, Receipt, ReceiptTerms};
use feiqian_online_cash::evidence::Statement;
use feiqian_online_cash::payment::VerifiedPayment;
use feiqian_online_cash::request::Route;
use feiqian_wire::Timestamp;
use feiqian_wire::error::{Code, Fault};

use crate::Bank;
use crate::refusal::{Refusal, from_blob, to_blob};
use crate::register::{Spending, Taking, key_of};
use crate::tables::{COIN, PAYMENT, REFUSED, RELEASE_MARK};

/// A redeemed payment as stored.
#[derive(Debug, Clone)]
pub(crate) struct PaymentRow {
    number: i64,
    pub(crate) digest: Digest,
    pub(crate) request: Digest,
    pub(crate) amount: Minor,
    /// Collecting bank and account; `None` when it was taken as new coins.
    pub(crate) route: Option<(String, String)>,
    pub(crate) presentment: Digest,
    pub(crate) receipt: Receipt,
    pub(crate) refunded: Minor,
    pub(crate) claimed: Minor,
    /// As encoded; `None` when it stands among the statements.
    statement: Option<Vec<u8>>,
}

impl PaymentRow {
    pub(crate) fn from_row(row: &Row) -> Result<Self, StoreError> {
        let bank = row.optional_text(4)?;
        let account = row.optional_text(5)?;
        Ok(Self {
            number: row.integer(0)?,
            digest: row.digest(1)?,
            request: row.digest(2)?,
            amount: row.minor(3)?,
            route: bank.zip(account).map(|(bank, account)| (bank.to_owned(), account.to_owned())),
            presentment: row.digest(6)?,
            receipt: from_blob(row.blob(7)?)?,
            refunded: row.minor(8)?,
            claimed: row.minor(9)?,
            statement: row.optional_blob(10)?.map(<[u8]>::to_vec),
        })
    }

    fn values(&self) -> Result<[Value; 11], StoreError> {
        let (bank, account) = self.route.clone().unzip();
        Ok([
            self.number.into(),
            self.digest.into(),
            self.request.into(),
            self.amount.into(),
            bank.into(),
            account.into(),
            self.presentment.into(),
            to_blob(&self.receipt)?.into(),
            self.refunded.into(),
            self.claimed.into(),
            self.statement.clone().into(),
        ])
    }

    pub(crate) fn find(tx: &mut dyn Tx, digest: &Digest) -> Result<Option<Self>, StoreError> {
        let rows = tx.select("SELECT number FROM payment WHERE digest = ?1", &[(*digest).into()])?;
        let Some(found) = rows.first() else { return Ok(None) };
        tx.find(&PAYMENT, &[found.integer(0)?.into()])?.map(|row| Self::from_row(&row)).transpose()
    }

    /// Replaces the row with what is refunded and claimed now.
    pub(crate) fn update(&self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        tx.update(&PAYMENT, &self.values()?)
    }

    pub(crate) fn delete(&self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        tx.delete(&PAYMENT, &[self.number.into()])
    }
}

/// What the books say of a payment before it is redeemed: one question, since every payment asks it.
struct Standing {
    /// Of when it was redeemed before.
    receipt: Option<Receipt>,
    is_request_paid: bool,
    /// What its presentment was answered with, for ever.
    refused: Option<Fault>,
    is_released: bool,
    released_until: Timestamp,
}

impl Standing {
    const SQL: &str = "SELECT (SELECT receipt FROM payment WHERE digest = ?1), \
        (SELECT digest FROM payment WHERE request = ?2), \
        (SELECT body FROM refused WHERE presentment = ?3), \
        (SELECT digest FROM released WHERE digest = ?1), \
        (SELECT until FROM release_mark WHERE id = 0)";

    fn read(
        tx: &mut dyn Tx,
        payment: &Digest,
        request: &Digest,
        presentment: &Digest,
    ) -> Result<Self, StoreError> {
        let rows = tx.select(Self::SQL, &[(*payment).into(), (*request).into(), (*presentment).into()])?;
        let row = rows.first().ok_or(StoreError::Missing("payment"))?;
        Ok(Self {
            receipt: row.optional_blob(0)?.map(from_blob).transpose()?,
            is_request_paid: row.optional_blob(1)?.is_some(),
            refused: row.optional_blob(2)?.map(from_blob).transpose()?,
            is_released: row.optional_blob(3)?.is_some(),
            released_until: Timestamp::new(row.optional_unsigned(4)?.unwrap_or(0)),
        })
    }
}

/// A checked payment about to be redeemed, with the receipt it would get.
pub(crate) struct Redemption {
    pub(crate) spending: Spending,
    pub(crate) receipt: Receipt,
    pub(crate) expires: Timestamp,
}

impl Redemption {
    /// The receipt of when the payment was redeemed before, to the same presentment.
    pub(crate) fn repeated(&self, tx: &mut dyn Tx) -> Result<Option<Receipt>, StoreError> {
        let known = PaymentRow::find(tx, &self.spending.digest)?.map(|known| known.receipt);
        Ok(known.filter(|receipt| receipt.presentment == self.receipt.presentment))
    }

    /// Redeems the payment, or gives the receipt of when it was redeemed before.
    pub(crate) fn redeem(
        &self,
        tx: &mut dyn Tx,
        view: &MemberView,
        now: Timestamp,
    ) -> Result<Option<Receipt>, Refusal> {
        let digest = self.spending.digest;
        let standing = Standing::read(tx, &digest, &self.receipt.request, &self.receipt.presentment)?;
        if let Some(receipt) = standing.receipt {
            return Ok(Some(receipt));
        }
        if let Some(fault) = standing.refused {
            return Err(fault.into());
        }
        if now.max(standing.released_until) >= self.expires || standing.is_released {
            let (expired, now) = (self.expires.seconds(), now.seconds());
            return Err(Rejection::Expired { expired, now }.into());
        }
        if standing.is_request_paid {
            return Err(Fault::new(Code::RequestAlreadyPaid, "another payment paid the request").into());
        }
        self.spending.book(tx, view)?;
        let route = match &self.receipt.route {
            Route::Account { bank, account } => Some((bank.as_str().to_owned(), account.as_str().to_owned())),
            Route::Received => None,
        };
        let newest = tx.select("SELECT coalesce(max(number), 0) FROM payment", &[])?;
        let newest = newest.first().map_or(Ok(0), |row| row.integer(0))?;
        let row = PaymentRow {
            number: newest.checked_add(1).ok_or(StoreError::Missing("number"))?,
            digest,
            request: self.receipt.request,
            amount: self.receipt.amount.minor,
            route,
            presentment: self.receipt.presentment,
            receipt: self.receipt.clone(),
            refunded: Minor::ZERO,
            claimed: Minor::ZERO,
            statement: Some(to_blob(&self.spending.statement)?),
        };
        tx.insert(&PAYMENT, &row.values()?)?;
        Ok(None)
    }
}

/// The refusal that a presentment was answered with, as an error.
pub(crate) fn check_refused(tx: &mut dyn Tx, presentment: &Digest) -> Result<(), Refusal> {
    match tx.find(&REFUSED, &[(*presentment).into()])? {
        None => Ok(()),
        Some(row) => Err(Refusal::Fault(from_blob(row.blob(1)?)?)),
    }
}

/// Refuses a presentment for ever; gives the refusal that counts, which is the first.
pub(crate) fn keep_refusal(tx: &mut dyn Tx, presentment: &Digest, fault: &Fault) -> Result<Fault, Refusal> {
    if let Some(row) = tx.find(&REFUSED, &[(*presentment).into()])? {
        return Ok(from_blob(row.blob(1)?)?);
    }
    let newest = tx.select("SELECT max(epoch) FROM keyset", &[])?;
    let newest = newest.first().map_or(Ok(None), |row| row.optional_unsigned(0))?.unwrap_or(0);
    tx.insert(&REFUSED, &[(*presentment).into(), to_blob(fault)?.into(), Value::unsigned(newest)?])?;
    Ok(fault.clone())
}

/// The latest time of this bank's clock at which a payment was called expired. What expires by then is never redeemed,
/// also when the clock turns back.
pub(crate) fn released_until(tx: &mut dyn Tx) -> Result<Timestamp, StoreError> {
    let row = tx.find(&RELEASE_MARK, &[0_i64.into()])?;
    Ok(Timestamp::new(row.map_or(Ok(0), |row| row.unsigned(1))?))
}

/// Moves the mark of [`released_until`] on to `now`, never back.
pub(crate) fn release_until(tx: &mut dyn Tx, now: Timestamp) -> Result<(), StoreError> {
    let values = [0_i64.into(), Value::unsigned(now.seconds())?];
    match tx.find(&RELEASE_MARK, &[0_i64.into()])? {
        None => tx.insert(&RELEASE_MARK, &values),
        Some(row) if row.unsigned(1)? < now.seconds() => tx.update(&RELEASE_MARK, &values),
        Some(_) => Ok(()),
    }
}

impl Bank {
    /// Checks an item. Before it refuses a bank, key or payee that it does not know, it asks the center for news:
    /// `UNAVAILABLE` when there is no answer, since a refusal would be final.
    pub(crate) async fn verify_item(
        self: &Arc<Self>,
        item: &Arc<CashItem>,
    ) -> Result<Box<VerifiedPayment>, Fault> {
        match self.cash.ask(Arc::clone(item)).await? {
            Err(Rejection::DenominationUnknown(_) | Rejection::CertificateInvalid(_)) => {
                self.sync().await?;
                Ok(self.cash.ask(Arc::clone(item)).await??)
            }
            verdict => Ok(verdict?),
        }
    }

    /// The same, for coins of this bank alone.
    pub(crate) async fn verify_own(
        self: &Arc<Self>,
        item: &Arc<CashItem>,
    ) -> Result<Box<VerifiedPayment>, Fault> {
        let payment = self.verify_item(item).await?;
        if payment.issuing_bank != self.config.name {
            return Err(Rejection::WrongBank(format!("the coins are of {}", payment.issuing_bank)).into());
        }
        if payment.request.request.amount.currency != self.config.currency {
            return Err(Rejection::WrongCurrency.into());
        }
        Ok(payment)
    }

    /// What redeems a checked payment to this presentment.
    pub(crate) fn redemption(
        &self,
        item: &CashItem,
        payment: &VerifiedPayment,
        presentment: Digest,
        now: Timestamp,
    ) -> Result<Redemption, Rejection> {
        self.check_not_ended(payment.coins.iter().map(|coin| coin.epoch))?;
        let terms = ReceiptTerms {
            bank: self.config.name.clone(),
            payment: payment.digest,
            request: payment.request.digest,
            amount: payment.request.request.amount,
            route: payment.request.request.route.clone(),
            presentment,
            paid_at: now,
        };
        let takings = payment.coins.iter().zip(item.payment.coins.iter()).map(|(coin, shown)| Taking {
            coin: coin.share.coin,
            contribution: coin.share.contribution,
            value: coin.value,
            epoch: coin.epoch,
            signature: shown.signature,
        });
        let spending = Spending {
            bank: self.name().to_owned(),
            digest: payment.digest,
            statement: Statement::of_payment(payment)?,
            takings: takings.collect(),
        };
        Ok(Redemption {
            spending,
            receipt: terms.sign(&self.signer)?,
            expires: payment.request.request.expires,
        })
    }

    /// Has the store bring into memory what redeeming looks at, while the redemption waits for its turn.
    pub(crate) fn look_ahead(&self, redemption: &Redemption, transfers: Vec<Id16>) {
        let (digest, request) = (redemption.spending.digest, redemption.receipt.request);
        let coins: Vec<CoinId> = redemption.spending.takings.iter().map(|taking| taking.coin).collect();
        let work = move |tx: &mut dyn Tx| {
            let sql = "SELECT (SELECT number FROM payment WHERE digest = ?1), \
                       (SELECT number FROM payment WHERE request = ?2)";
            let _ = tx.select(sql, &[digest.into(), request.into()])?;
            for coin in &coins {
                let _ = tx.find(&COIN, &key_of(coin))?;
            }
            for transfer in &transfers {
                // What is damaged will be found by who needs it.
                let _ = book::find_transfer(tx, *transfer);
            }
            Ok(())
        };
        self.seams.store.look_ahead(Box::new(work));
    }
}

/// The outcome of a redemption for `presentment`, given the receipt of an earlier one.
pub(crate) fn outcome_of(earlier: Option<Receipt>, own: &Receipt) -> Outcome {
    match earlier {
        None => Outcome::Paid(own.clone()),
        Some(receipt) if receipt.presentment == own.presentment => Outcome::Paid(receipt),
        Some(receipt) => Outcome::AlreadyPaid(receipt),
    }
}

/// A refusal as an outcome, when it is final; otherwise the fault, after which the same may be tried again.
pub(crate) fn refused(refusal: Refusal) -> Result<Outcome, Fault> {
    match refusal {
        Refusal::DoubleSpent(evidence) => Ok(Outcome::DoubleSpent(*evidence)),
        Refusal::Fault(fault) if fault.is_definitive() => Ok(Outcome::Refused(fault)),
        Refusal::Fault(fault) => Err(fault),
    }
}
