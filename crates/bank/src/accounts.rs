//! Accounts, enrolment, and whose certificate a call bears.

use std::sync::Arc;

use feiqian_crypto::{Digest, Id16, Transcript};
use feiqian_ledger::book;
use feiqian_ledger::store::{Row, StoreError, StoreExt, Tx, Value};
use feiqian_money::Minor;
use feiqian_node::Peer;
use feiqian_online_cash::account::{AccountStatus, EnrolRequest, EnrolResponse};
use feiqian_online_cash::signed::WireChain;
use feiqian_pki::{CertificateRequest, PkiError, Purpose, RevocationReason, Role, Serial, Subject};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Text, Timestamp};

use crate::Bank;
use crate::certificates::replace;
use crate::instances::Bearer;
use crate::refusal::{Refusal, from_blob, to_blob};
use crate::revocation::{is_revoked, revoke_account};
use crate::tables::{ACCOUNT, ENROLMENT, HOLDER};

/// Hex digits of the secret part of an enrolment code.
pub(crate) const SECRET_BYTES: usize = 12;

/// An account as stored.
#[derive(Debug, Clone)]
pub(crate) struct AccountRow {
    pub(crate) id: Id16,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) opened: u64,
    pub(crate) closed: Option<u64>,
    pub(crate) withdrawn: Minor,
    pub(crate) deposited: Minor,
}

impl AccountRow {
    pub(crate) fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id(0)?,
            name: row.text(1)?.to_owned(),
            role: row.parse(2)?,
            opened: row.unsigned(3)?,
            closed: row.optional_unsigned(4)?,
            withdrawn: row.minor(5)?,
            deposited: row.minor(6)?,
        })
    }

    pub(crate) fn values(&self) -> Result<[Value; 7], StoreError> {
        Ok([
            self.id.into(),
            self.name.as_str().into(),
            self.role.as_str().into(),
            Value::unsigned(self.opened)?,
            self.closed.map_or(Ok(Value::Null), Value::unsigned)?,
            self.withdrawn.into(),
            self.deposited.into(),
        ])
    }

    fn check_open(&self) -> Result<(), Fault> {
        match self.closed {
            None => Ok(()),
            Some(_) => Err(Fault::new(Code::AccountClosed, "the account is closed")),
        }
    }
}

/// The account with this id, which must be open.
pub(crate) fn open_account(tx: &mut dyn Tx, id: Id16) -> Result<AccountRow, Refusal> {
    let row = tx.find(&ACCOUNT, &[id.into()])?;
    let row = row.ok_or_else(|| Fault::new(Code::AccountUnknown, "no such account at this bank"))?;
    let account = AccountRow::from_row(&row)?;
    account.check_open()?;
    Ok(account)
}

/// Adds to what an account has withdrawn or deposited ever.
pub(crate) fn count(tx: &mut dyn Tx, id: Id16, withdrawn: Minor, deposited: Minor) -> Result<(), Refusal> {
    let row = tx.find(&ACCOUNT, &[id.into()])?;
    let row = row.ok_or_else(|| Fault::new(Code::AccountUnknown, "no such account at this bank"))?;
    let mut account = AccountRow::from_row(&row)?;
    account.withdrawn = account.withdrawn.checked_add(withdrawn)?;
    account.deposited = account.deposited.checked_add(deposited)?;
    Ok(tx.update(&ACCOUNT, &account.values()?)?)
}

/// Who makes a call on an account.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(crate) account: Id16,
    pub(crate) token: Text<64>,
    /// The document-signing key enrolled together with the certificate's; enrolled last unless `barred`.
    pub(crate) signing_key: [u8; 32],
    /// The certificate's key and serial.
    transport_key: [u8; 32],
    serial: Serial,
    /// Why this certificate begins nothing new: the account is closed, or was enrolled with other keys since.
    pub(crate) barred: Option<Fault>,
}

impl Holder {
    /// Refuses whoever may only look after what was begun.
    pub(crate) fn check_current(&self) -> Result<(), Fault> {
        self.barred.clone().map_or(Ok(()), Err)
    }

    /// What another process of this bank needs to find the same holder.
    pub(crate) fn bearer(&self) -> Bearer {
        let (transport_key, serial) = (self.transport_key, *self.serial.as_bytes());
        Bearer { token: self.token.clone(), transport_key, serial }
    }
}

/// Who a certificate says its bearer is.
#[derive(Debug, Clone)]
pub(crate) struct Claimed {
    pub(crate) account: Id16,
    pub(crate) token: Text<64>,
    transport_key: [u8; 32],
    serial: Serial,
}

impl Claimed {
    fn new(token: &str, transport_key: [u8; 32], serial: Serial) -> Result<Self, Fault> {
        let account =
            token.parse().map_err(|_| Fault::new(Code::AccountUnknown, "no such account at this bank"))?;
        Ok(Self { account, token: Text::new(token)?, transport_key, serial })
    }

    /// The account's holder, if it is by what the books say.
    pub(crate) fn holder(&self, tx: &mut dyn Tx) -> Result<Holder, Refusal> {
        let row = tx.find(&ACCOUNT, &[self.account.into()])?;
        let row = row.ok_or_else(|| Fault::new(Code::AccountUnknown, "no such account at this bank"))?;
        let closed = AccountRow::from_row(&row)?.check_open().err();
        let superseded = || Fault::new(Code::Forbidden, "the account has been enrolled with other keys");
        if is_revoked(tx, &self.serial)? {
            return Err(Fault::new(Code::CertificateInvalid, "the certificate is revoked").into());
        }
        let sql = "SELECT signing_key, transport_key FROM holder WHERE account = ?1 ORDER BY number DESC";
        for (age, row) in tx.select(sql, &[self.account.into()])?.iter().enumerate() {
            if row.array::<32>(1)? == self.transport_key {
                let Self { account, token, transport_key, serial } = self.clone();
                let barred = closed.or_else(|| (age > 0).then(superseded));
                let signing_key = row.array(0)?;
                return Ok(Holder { account, token, signing_key, transport_key, serial, barred });
            }
        }
        Err(closed.unwrap_or_else(superseded).into())
    }
}

/// The digest under which a code is stored.
pub(crate) fn code_digest(code: &str) -> Digest {
    Transcript::new("bank/enrolment-code").text(code).into_digest()
}

pub(crate) fn pki_fault(error: &PkiError) -> Fault {
    Fault::new(Code::CertificateInvalid, error.to_string())
}

impl Bank {
    /// The account of a certified caller; it must be open, and the certificate of the keys enrolled last.
    pub(crate) async fn holder(&self, peer: &Peer) -> Result<Holder, Fault> {
        let holder = self.owner(peer).await?;
        holder.check_current()?;
        Ok(holder)
    }

    /// The account of a certified caller, also when it is closed or the certificate is of keys that were renewed: what
    /// was answered or paid to an account stays within its holder's reach. A revoked certificate opens nothing.
    pub(crate) async fn owner(&self, peer: &Peer) -> Result<Holder, Fault> {
        self.read_holder(self.claimed(peer)?).await
    }

    /// What a caller's certificate says of its account; the books have not been asked.
    pub(crate) fn claimed(&self, peer: &Peer) -> Result<Claimed, Fault> {
        let verified = peer.certified()?;
        let subject = &verified.subject;
        if subject.bank_name() != Some(self.name()) {
            return Err(Fault::new(Code::Forbidden, "the certificate is of another bank's customer"));
        }
        Claimed::new(subject.name(), verified.public_key, verified.serial)
    }

    /// The holder of the account `token` by the key and serial of a certificate that was verified.
    pub(crate) async fn owner_of(
        &self,
        token: &str,
        transport_key: [u8; 32],
        serial: Serial,
    ) -> Result<Holder, Fault> {
        self.read_holder(Claimed::new(token, transport_key, serial)?).await
    }

    async fn read_holder(&self, claimed: Claimed) -> Result<Holder, Fault> {
        Ok(self.seams.store.read(move |tx: &mut dyn Tx| claimed.holder(tx)).await?)
    }

    /// `POST /v1/enrol`.
    pub(crate) async fn enrol(
        self: Arc<Self>,
        _peer: Peer,
        request: EnrolRequest,
    ) -> Result<EnrolResponse, Fault> {
        let code = code_digest(request.code.as_str());
        let body = to_blob(&request).map_err(Refusal::from)?;
        let invalid = || Fault::new(Code::CodeInvalid, "the enrolment code is wrong, used or expired");
        let now = self.now();
        let asked = body.clone();
        let (account, done) = self
            .seams
            .store
            .read(move |tx: &mut dyn Tx| {
                let row = tx.find(&ENROLMENT, &[code.into()])?.ok_or_else(invalid)?;
                match (row.optional_blob(3)?, row.optional_blob(4)?) {
                    (Some(used), Some(response)) if used == asked => {
                        return Ok((None, Some(from_blob::<EnrolResponse>(response)?)));
                    }
                    (None, None) if now.seconds() < row.unsigned(2)? => {}
                    _ => return Err(invalid().into()),
                }
                Ok::<_, Refusal>((Some(open_account(tx, row.id(1)?)?), None))
            })
            .await?;
        if let Some(response) = done {
            return Ok(response);
        }
        let account = account.ok_or_else(invalid)?;
        let (response, keys) = self.certify(&account, &request)?;
        let stored = to_blob(&response).map_err(Refusal::from)?;
        let id = account.id;
        let rows = self.certificate_rows(id, &response)?;
        let work = move |tx: &mut dyn Tx| {
            let row = tx.find(&ENROLMENT, &[code.into()])?.ok_or_else(invalid)?;
            if let Some(used) = row.optional_blob(3)? {
                // Redeemed in the meantime, perhaps by the same request.
                let response = row.optional_blob(4)?.filter(|_| used == body).ok_or_else(invalid)?;
                return Ok(from_blob(response)?);
            }
            open_account(tx, id)?;
            // A new code for an account that was enrolled before: the keys before are replaced.
            revoke_account(tx, id, now.seconds(), RevocationReason::Superseded)?;
            replace(tx, id, &keys, &rows, now)?;
            let expires = Value::unsigned(row.unsigned(2)?)?;
            tx.update(
                &ENROLMENT,
                &[code.into(), id.into(), expires, body.clone().into(), stored.clone().into()],
            )?;
            Ok::<EnrolResponse, Refusal>(response.clone())
        };
        let response = self.seams.store.commit("bank.enrol", work).await?;
        self.publish_revocation_list().await?;
        Ok(response)
    }

    pub(crate) fn certify(
        &self,
        account: &AccountRow,
        request: &EnrolRequest,
    ) -> Result<(EnrolResponse, EnrolledKeys), Fault> {
        let token = account.id.to_string();
        let subject =
            Subject::new(account.role, &token, Some(self.name())).map_err(|error| pki_fault(&error))?;
        let hosts: Vec<String> = request
            .hosts
            .split(',')
            .map(|host| host.trim().to_owned())
            .filter(|host| !host.is_empty())
            .collect();
        let purpose = if account.role == Role::Merchant { Purpose::Node } else { Purpose::Client };
        if purpose == Purpose::Client && !hosts.is_empty() {
            return Err(Fault::new(Code::Malformed, "a customer names no hosts"));
        }
        let transport = CertificateRequest::verify(&request.transport).map_err(|error| pki_fault(&error))?;
        let signing = CertificateRequest::verify(&request.signing).map_err(|error| pki_fault(&error))?;
        if transport.public_key() == signing.public_key() {
            return Err(Fault::new(Code::CertificateInvalid, "TLS key and document-signing key must differ"));
        }
        let (now, mut rng) = (self.now().seconds(), self.seams.entropy.rng());
        let validity = self.config.certificate_seconds;
        let mut issue = |request: &CertificateRequest, purpose, hosts: &[String]| {
            let chain = self.authority.issue_leaf(request, &subject, purpose, hosts, validity, now, &mut rng);
            Ok::<_, Fault>(WireChain::from_chain(&chain.map_err(|error| pki_fault(&error))?)?)
        };
        let response = EnrolResponse {
            bank: self.config.name.clone(),
            account: Text::new(token.as_str())?,
            transport: issue(&transport, purpose, &hosts)?,
            signing: issue(&signing, Purpose::Signing, &[])?,
        };
        Ok((response, EnrolledKeys { signing: *signing.public_key(), transport: *transport.public_key() }))
    }

    /// `GET /v1/account`.
    pub(crate) async fn account_status(self: Arc<Self>, peer: Peer, (): ()) -> Result<AccountStatus, Fault> {
        let holder = self.holder(&peer).await?;
        let id = holder.account;
        let (row, available) = self
            .seams
            .store
            .read(move |tx: &mut dyn Tx| {
                let row = open_account(tx, id)?;
                let state = book::account(tx, id)?.ok_or(StoreError::Missing("ledger_account"))?;
                Ok::<_, Refusal>((row, state.available_to_debit()))
            })
            .await?;
        Ok(AccountStatus {
            account: holder.token,
            available: self.amount(available),
            withdrawn: row.withdrawn,
            deposited: row.deposited,
        })
    }
}

/// The keys of a new pair of certificates.
pub(crate) struct EnrolledKeys {
    pub(crate) signing: [u8; 32],
    pub(crate) transport: [u8; 32],
}

/// The account's keys from now on.
pub(crate) fn add_holder(
    tx: &mut dyn Tx,
    account: Id16,
    keys: &EnrolledKeys,
    now: Timestamp,
) -> Result<(), StoreError> {
    let number = tx.select("SELECT count(*) FROM holder WHERE account = ?1", &[account.into()])?;
    let number = number.first().map_or(Ok(0), |row| row.integer(0))?;
    let at = Value::unsigned(now.seconds())?;
    tx.insert(&HOLDER, &[account.into(), number.into(), keys.signing.into(), keys.transport.into(), at])
}
