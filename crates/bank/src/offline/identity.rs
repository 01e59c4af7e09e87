//! Customers' offline identities: registered here, recorded and attested at the center, closed after a double spend.

use std::sync::Arc;

use feiqian_crypto::acl::Identity;
use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::book;
use feiqian_ledger::store::{Row, StoreError, StoreExt, Tx, Value};
use feiqian_money::Minor;
use feiqian_node::{Caller, Peer, call};
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::identity::{AttestedIdentity, IdentityRecord, Registrant, SignedIdentity};
use feiqian_offline_cash::messages::{IdentityRequest, OfflineRegisterRequest, OfflineTerms};
use feiqian_wire::error::{Code, Fault};

use super::tables::IDENTITY;
use crate::Bank;
use crate::accounts::{Holder, open_account};
use crate::chart::{Event, Post, along, id};
use crate::refusal::{Refusal, from_blob, to_blob};

/// An identity as stored.
#[derive(Debug, Clone)]
pub(crate) struct IdentityRow {
    pub(crate) account: Id16,
    pub(crate) signed: SignedIdentity,
    pub(crate) attested: Option<AttestedIdentity>,
    pub(crate) collateral: Minor,
    /// What is left of the collateral.
    pub(crate) held: Minor,
    pub(crate) opened: u64,
    pub(crate) closed: Option<u64>,
}

impl IdentityRow {
    pub(crate) fn from_row(row: &Row) -> Result<Self, StoreError> {
        let attested = row.optional_blob(4)?;
        let known = Self {
            account: row.id(0)?,
            signed: from_blob(row.blob(3)?)?,
            attested: attested.map(from_blob).transpose()?,
            collateral: row.minor(5)?,
            held: row.minor(6)?,
            opened: row.unsigned(7)?,
            closed: row.optional_unsigned(8)?,
        };
        let record = known.record();
        let fits = record.identity.encoded().to_bytes() == row.array::<32>(1)?
            && *record.signing_key == row.array::<32>(2)?[..];
        fits.then_some(known).ok_or_else(|| StoreError::Corrupt("offline_identity: not its record".into()))
    }

    fn values(&self) -> Result<[Value; 9], StoreError> {
        let record = self.record();
        Ok([
            self.account.into(),
            record.identity.encoded().to_bytes().into(),
            record.signing_key.to_vec().into(),
            to_blob(&self.signed)?.into(),
            self.attested.as_ref().map(to_blob).transpose()?.into(),
            self.collateral.into(),
            self.held.into(),
            Value::unsigned(self.opened)?,
            self.closed.map_or(Ok(Value::Null), Value::unsigned)?,
        ])
    }

    pub(crate) fn find(tx: &mut dyn Tx, account: Id16) -> Result<Option<Self>, StoreError> {
        tx.find(&IDENTITY, &[account.into()])?.map(|row| Self::from_row(&row)).transpose()
    }

    pub(crate) fn update(&self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        tx.update(&IDENTITY, &self.values()?)
    }

    /// What stands at the center.
    pub(crate) fn record(&self) -> &IdentityRecord {
        &self.signed.record
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.record().identity
    }

    fn is_of(&self, signed: &SignedIdentity) -> bool {
        *self.record() == signed.record
    }
}

/// The account's identity, attested and open for withdrawal.
pub(crate) fn open_identity(tx: &mut dyn Tx, account: Id16) -> Result<IdentityRow, Refusal> {
    let row = IdentityRow::find(tx, account)?.filter(|row| row.attested.is_some());
    let row = row.ok_or(Rejection::IdentityUnknown)?;
    match row.closed {
        None => Ok(row),
        Some(_) => Err(Rejection::IdentityClosed.into()),
    }
}

impl Bank {
    async fn identity_of(&self, account: Id16) -> Result<Option<IdentityRow>, Fault> {
        let work = move |tx: &mut dyn Tx| Ok::<_, Refusal>(IdentityRow::find(tx, account)?);
        Ok(self.seams.store.read(work).await?)
    }

    /// `GET /v1/account/offline/terms`.
    pub(crate) async fn offline_terms(self: Arc<Self>, peer: Peer, (): ()) -> Result<OfflineTerms, Fault> {
        let holder = self.owner(&peer).await?;
        let known = self.identity_of(holder.account).await?;
        let ring = self.offline.ring.load();
        let collateral = known.as_ref().map_or(self.config.offline.collateral(), |row| row.collateral);
        Ok(OfflineTerms {
            collateral: self.amount(collateral),
            caps: self.config.offline.caps(),
            keyset: self.issuing_keyset(&ring).ok().map(|keyset| keyset.digest),
            closed: known.as_ref().is_some_and(|row| row.closed.is_some()),
            identity: known.and_then(|row| row.attested),
        })
    }

    /// `POST /v1/account/offline/register`.
    pub(crate) async fn offline_register(
        self: Arc<Self>,
        peer: Peer,
        request: OfflineRegisterRequest,
    ) -> Result<AttestedIdentity, Fault> {
        let holder = self.owner(&peer).await?;
        let known = self.identity_of(holder.account).await?;
        if let Some(row) = &known {
            if !row.is_of(&request.identity) {
                let conflict = Fault::new(Code::Conflict, "another offline identity is registered");
                return Err(conflict.hint("an account has one"));
            }
            if let Some(attested) = &row.attested {
                return Ok(attested.clone());
            }
        }
        holder.check_current()?;
        // What was kept before is held against the terms that it was kept under.
        let collateral = known.as_ref().map_or(self.config.offline.collateral(), |row| row.collateral);
        self.check_registration(&holder, &request, collateral)?;
        if known.is_none() {
            self.keep_registration(&holder, &request).await?;
        }
        let OfflineRegisterRequest { registration, identity } = request;
        let asked = IdentityRequest { identity, registration };
        let network = &*self.seams.network;
        let answer: Result<AttestedIdentity, Fault> =
            call(network, &self.center, Caller::Certified, "/v1/offline/identity", &asked)
                .await
                .map_err(Fault::from);
        match answer {
            Ok(attested) => self.keep_attested(holder.account, &asked.identity, attested).await,
            Err(fault) => {
                if fault.is_definitive() {
                    self.drop_registration(holder.account).await?;
                }
                Err(fault)
            }
        }
    }

    fn check_registration(
        &self,
        holder: &Holder,
        request: &OfflineRegisterRequest,
        collateral: Minor,
    ) -> Result<(), Fault> {
        let (account, signing_key) = (holder.token.as_str(), &holder.signing_key);
        request.registration.verify(&Registrant { bank: self.name(), account, signing_key })?;
        let record = &request.identity.record;
        let own = record.bank == self.config.name
            && record.account == holder.token
            && record.identity == request.registration.identity
            && record.signing_key()? == holder.signing_key;
        if !own {
            return Err(Rejection::RequestMismatch.into());
        }
        if record.collateral != self.amount(collateral) {
            return Err(Rejection::AmountMismatch("the collateral is not that of the terms").into());
        }
        Ok(request.identity.verify(&self.root, self.now())?)
    }

    /// The collateral leaves the account before the center hears of it.
    async fn keep_registration(
        self: &Arc<Self>,
        holder: &Holder,
        request: &OfflineRegisterRequest,
    ) -> Result<(), Fault> {
        let (now, reference, collateral) =
            (self.now().seconds(), self.random_digest(), self.config.offline.collateral());
        let row = IdentityRow {
            account: holder.account,
            signed: request.identity.clone(),
            attested: None,
            collateral,
            held: collateral,
            opened: now,
            closed: None,
        };
        let work = move |tx: &mut dyn Tx| {
            open_account(tx, row.account)?;
            if let Some(known) = IdentityRow::find(tx, row.account)? {
                let same = known.is_of(&row.signed);
                let other = || Fault::new(Code::Conflict, "another offline identity is registered");
                return same.then_some(()).ok_or_else(|| other().into());
            }
            match tx.insert(&IDENTITY, &row.values()?) {
                Err(StoreError::Exists(_)) => {
                    return Err(Fault::new(Code::Conflict, "the identity or key is another account's").into());
                }
                other => other?,
            }
            move_collateral(tx, &reference, [row.account, id(Post::Collateral)], row.collateral, now)
        };
        Ok(self.seams.store.commit("bank.offline.register", work).await?)
    }

    async fn keep_attested(
        self: &Arc<Self>,
        account: Id16,
        signed: &SignedIdentity,
        attested: AttestedIdentity,
    ) -> Result<AttestedIdentity, Fault> {
        if *attested.verify(&self.root)? != signed.record {
            return Err(Fault::new(Code::SignatureInvalid, "the center attested another record"));
        }
        let work = move |tx: &mut dyn Tx| {
            let mut row = IdentityRow::find(tx, account)?.ok_or(Rejection::IdentityUnknown)?;
            if row.attested.is_none() {
                row.attested = Some(attested.clone());
                row.update(tx)?;
            }
            row.attested.ok_or_else(|| Rejection::IdentityUnknown.into())
        };
        let kept: Result<AttestedIdentity, Refusal> =
            self.seams.store.commit("bank.offline.attest", work).await;
        Ok(kept?)
    }

    /// The center will never record it: the collateral goes back.
    async fn drop_registration(self: &Arc<Self>, account: Id16) -> Result<(), Fault> {
        let (now, reference) = (self.now().seconds(), self.random_digest());
        let work = move |tx: &mut dyn Tx| {
            if let Some(row) = IdentityRow::find(tx, account)?
                && row.attested.is_none()
            {
                move_collateral(tx, &reference, [id(Post::Collateral), account], row.held, now)?;
                tx.delete(&IDENTITY, &[account.into()])?;
            }
            Ok::<_, Refusal>(())
        };
        Ok(self.seams.store.commit("bank.offline.unregister", work).await?)
    }
}

pub(super) fn move_collateral(
    tx: &mut dyn Tx,
    reference: &Digest,
    path: [Id16; 2],
    amount: Minor,
    now: u64,
) -> Result<(), Refusal> {
    if !amount.is_zero() {
        let _ = book::transfer(tx, &along(Event::Collateral, reference, &path, amount), now)?;
    }
    Ok(())
}
