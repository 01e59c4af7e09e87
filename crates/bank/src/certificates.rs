//! Account holders' certificates: what was issued, renewal, revocation, and the answer to whoever wants to pay.

use std::sync::Arc;

use feiqian_cheque::messages::{
    CertificateAnswer, CertificateLine, CertificateList, CertificateQuery, CertificateRenew,
    CertificateRevoke,
};
use feiqian_cheque::{Payee, PayeeKey};
use feiqian_crypto::Id16;
use feiqian_ledger::store::{Row, StoreError, StoreExt, Tx, Value};
use feiqian_node::Peer;
use feiqian_online_cash::account::{EnrolRequest, EnrolResponse};
use feiqian_online_cash::signed::WireChain;
use feiqian_pki::{CertificateRequest, Purpose, Revocation, RevocationReason, Serial, validate};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, Text, Timestamp};

use crate::Bank;
use crate::accounts::{EnrolledKeys, add_holder, open_account, pki_fault};
use crate::cheques::tables::CERTIFICATE;
use crate::refusal::{Refusal, from_blob, to_blob};
use crate::revocation::{is_revoked, revoke, revoke_signing, serial};

/// How many pairs of keys an account may have within a day.
const DAY_RENEWALS: u64 = 12;

/// A certificate as stored.
pub(crate) struct CertificateRow {
    pub(crate) serial: Serial,
    pub(crate) account: Id16,
    pub(crate) signing: bool,
    key: [u8; 32],
    fingerprint: feiqian_crypto::Digest,
    not_before: u64,
    not_after: u64,
    chain: WireChain,
}

impl CertificateRow {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            serial: serial(row.blob(0)?)?,
            account: row.id(1)?,
            signing: row.boolean(2)?,
            key: row.array(3)?,
            fingerprint: row.digest(4)?,
            not_before: row.unsigned(5)?,
            not_after: row.unsigned(6)?,
            chain: from_blob(row.blob(7)?)?,
        })
    }

    fn values(&self) -> Result<[Value; 8], StoreError> {
        Ok([
            (*self.serial.as_bytes()).into(),
            self.account.into(),
            self.signing.into(),
            self.key.into(),
            self.fingerprint.into(),
            Value::unsigned(self.not_before)?,
            Value::unsigned(self.not_after)?,
            to_blob(&self.chain)?.into(),
        ])
    }
}

impl Bank {
    /// Both certificates of an enrolment, to be stored with it.
    pub(crate) fn certificate_rows(
        &self,
        account: Id16,
        response: &EnrolResponse,
    ) -> Result<[CertificateRow; 2], Fault> {
        let row = |chain: &WireChain, signing: bool| {
            let purpose = if signing { Purpose::Signing } else { Purpose::Client };
            let now = self.now().seconds();
            let verified = validate(&chain.to_chain()?, &self.root, purpose, Revocation::Unchecked, now)
                .map_err(|error| pki_fault(&error))?;
            Ok::<_, Fault>(CertificateRow {
                serial: verified.serial,
                account,
                signing,
                key: verified.public_key,
                fingerprint: verified.fingerprint,
                not_before: verified.not_before,
                not_after: verified.not_after,
                chain: chain.clone(),
            })
        };
        Ok([row(&response.transport, false)?, row(&response.signing, true)?])
    }

    /// `GET /v1/account/certificate/list`.
    pub(crate) async fn certificate_list(
        self: Arc<Self>,
        peer: Peer,
        (): (),
    ) -> Result<CertificateList, Fault> {
        let holder = self.holder(&peer).await?;
        let work = move |tx: &mut dyn Tx| {
            let sql = format!(
                "SELECT {}, r.at FROM certificate LEFT JOIN revoked AS r ON r.serial = certificate.serial \
                 WHERE account = ?1 ORDER BY not_before DESC, signing DESC LIMIT 64",
                CERTIFICATE
                    .columns
                    .iter()
                    .map(|column| format!("certificate.{}", column.name))
                    .collect::<Vec<_>>()
                    .join(", ")
            );
            let rows = tx.select(&sql, &[holder.account.into()])?;
            let line = |row: &Row| {
                let certificate = CertificateRow::from_row(row)?;
                Ok(CertificateLine {
                    serial: Text::new(certificate.serial.to_string()).map_err(Fault::from)?,
                    signing: certificate.signing,
                    fingerprint: certificate.fingerprint,
                    not_before: Timestamp::new(certificate.not_before),
                    not_after: Timestamp::new(certificate.not_after),
                    revoked: row.optional_unsigned(8)?.map(Timestamp::new),
                })
            };
            rows.iter().map(line).collect::<Result<Vec<_>, Refusal>>()
        };
        Ok(CertificateList { lines: Bounded::new(self.seams.store.read(work).await?)? })
    }

    /// `POST /v1/account/certificate/renew`: certificates for new keys; the one for documents before is revoked as
    /// superseded.
    ///
    /// The one for connections opens no account any more. It is not revoked, so that a customer whom the answer did
    /// not reach can send the same request again.
    pub(crate) async fn certificate_renew(
        self: Arc<Self>,
        peer: Peer,
        request: CertificateRenew,
    ) -> Result<EnrolResponse, Fault> {
        let holder = match self.holder(&peer).await {
            Err(refused) if refused.code == Code::Forbidden => {
                return self.renewed_before(&peer, &request).await?.ok_or(refused);
            }
            holder => holder?,
        };
        let id = holder.account;
        let account = self.seams.store.read(move |tx: &mut dyn Tx| open_account(tx, id)).await?;
        let enrol = EnrolRequest {
            code: Text::default(),
            transport: request.transport,
            signing: request.signing,
            hosts: request.hosts,
        };
        let (response, keys) = self.certify(&account, &enrol)?;
        if keys.signing == holder.signing_key {
            return Err(Fault::new(Code::RequestInvalid, "a renewal is for new keys"));
        }
        let rows = self.certificate_rows(id, &response)?;
        let now = self.now();
        let work = move |tx: &mut dyn Tx| {
            open_account(tx, id)?;
            let sql = "SELECT signing_key, transport_key FROM holder WHERE account = ?1 ORDER BY number DESC LIMIT 1";
            if let Some(newest) = tx.select(sql, &[id.into()])?.first()
                && newest.array(0)? == keys.signing
                && newest.array(1)? == keys.transport
            {
                // The same request, at the same time: what the other one issued must not be revoked.
                let chains = (chain_of(tx, id, keys.transport, now)?, chain_of(tx, id, keys.signing, now)?);
                return Ok(Some(chains));
            }
            check_renewals(tx, id, now)?;
            revoke_signing(tx, id, now.seconds(), RevocationReason::Superseded)?;
            replace(tx, id, &keys, &rows, now)?;
            Ok::<_, Refusal>(None)
        };
        let issued = self.seams.store.commit("bank.certificate.renew", work).await?;
        self.publish_revocation_list().await?;
        Ok(match issued {
            Some((transport, signing)) => EnrolResponse { transport, signing, ..response },
            None => response,
        })
    }

    /// The answer again, to the holder of the certificate before, if it asks for the keys that it was given.
    async fn renewed_before(
        &self,
        peer: &Peer,
        request: &CertificateRenew,
    ) -> Result<Option<EnrolResponse>, Fault> {
        let caller = peer.certified()?;
        let Ok(account) = caller.subject.name().parse::<Id16>() else { return Ok(None) };
        let key = |csr: &[u8]| {
            CertificateRequest::verify(csr).map(|it| *it.public_key()).map_err(|error| pki_fault(&error))
        };
        let (transport, signing, before) =
            (key(&request.transport)?, key(&request.signing)?, caller.public_key);
        let now = self.now();
        let work = move |tx: &mut dyn Tx| {
            let sql = "SELECT signing_key, transport_key FROM holder WHERE account = ?1 ORDER BY number DESC LIMIT 2";
            let rows = tx.select(sql, &[account.into()])?;
            let [newest, previous] = rows.as_slice() else { return Ok(None) };
            let same = newest.array(0)? == signing && newest.array(1)? == transport;
            if !same || previous.array(1)? != before {
                return Ok(None);
            }
            let chains = (chain_of(tx, account, transport, now)?, chain_of(tx, account, signing, now)?);
            Ok::<_, Refusal>(Some(chains))
        };
        let Some((transport, signing)) = self.seams.store.read(work).await? else { return Ok(None) };
        let (bank, account) = (self.config.name.clone(), Text::new(account.to_string())?);
        Ok(Some(EnrolResponse { bank, account, transport, signing }))
    }

    /// `POST /v1/account/certificate/revoke`.
    pub(crate) async fn certificate_revoke(
        self: Arc<Self>,
        peer: Peer,
        request: CertificateRevoke,
    ) -> Result<(), Fault> {
        let holder = self.holder(&peer).await?;
        let wanted: Serial =
            request.serial.parse().map_err(|_| Fault::new(Code::RequestInvalid, "not a serial number"))?;
        let now = self.now().seconds();
        let reason = if request.compromised {
            RevocationReason::KeyCompromise
        } else {
            RevocationReason::CessationOfOperation
        };
        let work = move |tx: &mut dyn Tx| {
            let row = tx.find(&CERTIFICATE, &[(*wanted.as_bytes()).into()])?;
            let row = row.map(|row| CertificateRow::from_row(&row)).transpose()?;
            match row {
                Some(row) if row.account == holder.account => Ok(revoke(tx, &wanted, now, reason)?),
                _ => Err::<(), Refusal>(
                    Fault::new(Code::NotFound, "the account has no such certificate").into(),
                ),
            }
        };
        self.seams.store.commit("bank.certificate.revoke", work).await?;
        self.publish_revocation_list().await
    }

    /// `POST /v1/certificate`: by the customer of any bank, to write a payee line.
    pub(crate) async fn certificate_of(
        self: Arc<Self>,
        _peer: Peer,
        request: CertificateQuery,
    ) -> Result<CertificateAnswer, Fault> {
        let asked = request.account.clone();
        let now = self.now();
        let work = move |tx: &mut dyn Tx| {
            let account = match asked.parse::<Id16>() {
                Ok(id) => open_account(tx, id)?,
                // A person writes the account's name.
                Err(_) => crate::command::open_named(tx, asked.as_str())?,
            };
            let chain = signing_chain(tx, account.id, now)?;
            Ok::<_, Refusal>((account, chain))
        };
        let (account, chain) = self.seams.store.read(work).await?;
        let token = Text::new(account.id.to_string())?;
        let known_by = PayeeKey::Account { bank: self.config.name.clone(), account: token };
        let payee = Payee { name: Text::fitted(&account.name), known_by };
        Ok(CertificateAnswer { payee, bank: self.config.name.clone(), chain: chain.0, at: now })
    }
}

/// The chain of the account's document key, if it is not revoked.
pub(crate) fn signing_chain(tx: &mut dyn Tx, account: Id16, now: Timestamp) -> Result<WireChain, Refusal> {
    let sql = "SELECT signing_key FROM holder WHERE account = ?1 ORDER BY number DESC LIMIT 1";
    let key = tx.select(sql, &[account.into()])?.first().map(|row| row.array(0)).transpose()?;
    chain_of(tx, account, key.ok_or_else(no_certificate)?, now)
}

/// The newest chain of a key of the account that is neither revoked nor expired.
///
/// The key decides and not the time alone: a certificate before and its renewal may be of the same second.
pub(crate) fn chain_of(
    tx: &mut dyn Tx,
    account: Id16,
    key: [u8; 32],
    now: Timestamp,
) -> Result<WireChain, Refusal> {
    let sql = format!(
        "SELECT {} FROM certificate WHERE account = ?1 AND key = ?2 AND not_after >= ?3 \
         ORDER BY not_before DESC, serial LIMIT 8",
        CERTIFICATE.column_list()
    );
    for row in tx.select(&sql, &[account.into(), key.into(), Value::unsigned(now.seconds())?])? {
        let row = CertificateRow::from_row(&row)?;
        if !is_revoked(tx, &row.serial)? {
            return Ok(row.chain);
        }
    }
    Err(no_certificate().into())
}

fn no_certificate() -> Fault {
    Fault::new(Code::CertificateInvalid, "the account has no valid certificate")
}

/// Each renewal adds an entry to the revocation list that everybody fetches.
fn check_renewals(tx: &mut dyn Tx, account: Id16, now: Timestamp) -> Result<(), Refusal> {
    let since = Value::unsigned(now.seconds().saturating_sub(86_400))?;
    let sql = "SELECT count(*) FROM holder WHERE account = ?1 AND enrolled > ?2";
    let renewed = tx.select(sql, &[account.into(), since])?.first().map_or(Ok(0), |row| row.unsigned(0))?;
    if renewed >= DAY_RENEWALS {
        return Err(Fault::new(Code::LimitExceeded, "too many new certificates for this account today")
            .hint("renew tomorrow")
            .into());
    }
    Ok(())
}

/// The account's holder has other keys from now on.
pub(crate) fn replace(
    tx: &mut dyn Tx,
    account: Id16,
    keys: &EnrolledKeys,
    rows: &[CertificateRow; 2],
    now: Timestamp,
) -> Result<(), Refusal> {
    add_holder(tx, account, keys, now)?;
    for row in rows {
        tx.insert(&CERTIFICATE, &row.values()?)?;
    }
    Ok(())
}
