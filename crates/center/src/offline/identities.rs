//! Offline identities: the center keeps the record that a customer signed, and attests that identity, key and account
//! are each in one record only.
//!
//! # Security
//!
//! The record is signed by the customer's own document-signing key, and the proof shows that whoever sent it knows *L1*
//! behind *I*: a bank can neither make an identity for a customer nor take a customer's for itself.

use feiqian_ledger::store::{Row, StoreExt, Tx, Value};
use feiqian_offline_cash::identity::{AttestedIdentity, Registrant, SignedIdentity};
use feiqian_offline_cash::messages::IdentityRequest;
use feiqian_offline_cash::signed::WireChain;
use feiqian_pki::{Purpose, validate};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Limit, codec};

use crate::failure::{Failure, certificate};
use crate::service::Center;
use crate::tables::IDENTITY;

pub(crate) fn attested_of(row: &Row) -> Result<AttestedIdentity, Failure> {
    Ok(codec::decode(row.blob(4)?, Limit::Large)?)
}

/// Checks that the record is of a customer of `caller`, by the lists that are in force, and that its secret is known.
fn check(center: &Center, caller: &str, request: &IdentityRequest) -> Result<(), Fault> {
    let record = &request.identity.record;
    if record.bank.as_str() != caller {
        return Err(Fault::new(Code::Forbidden, format!("bank {caller} registers its own customers only")));
    }
    if request.registration.identity != record.identity {
        return Err(Fault::new(Code::RequestMismatch, "the proof is of another identity"));
    }
    let (view, now) = (center.members.snapshot(), center.seams.clock.now());
    let member = view.member(caller)?;
    if member.entry.currency != record.collateral.currency {
        let kept = format!("bank {caller} keeps {}", member.entry.currency);
        return Err(Fault::new(Code::WrongCurrency, kept));
    }
    request.identity.verify(view.root(), now)?;
    let chain = request.identity.chain.to_chain()?;
    let by_bank = view.lists().revocation(&member.authority.public_key);
    validate(&chain, view.root(), Purpose::Signing, by_bank, now.seconds()).map_err(certificate)?;
    let signing_key = record.signing_key()?;
    let registrant = Registrant {
        bank: record.bank.as_str(),
        account: record.account.as_str(),
        signing_key: &signing_key,
    };
    Ok(request.registration.verify(&registrant)?)
}

/// Keeps and attests an identity. The same record again gets the same attestation; one that shares its identity, key or
/// account with another is a conflict.
pub(crate) async fn register(
    center: &Center,
    caller: &str,
    request: IdentityRequest,
) -> Result<AttestedIdentity, Fault> {
    let record = request.identity.record.clone();
    let known = center.seams.store.read(move |tx: &mut dyn Tx| known(tx, &record.digest())).await?;
    if let Some(known) = known
        && known.identity.record.bank.as_str() == caller
    {
        return Ok(known);
    }
    check(center, caller, &request)?;
    let (keys, now) = (&center.keys, center.seams.clock.now());
    let chain = WireChain::from_chain(&keys.signer_chain)?;
    let attested = AttestedIdentity::attest(request.identity, now, &keys.signer, chain, &keys.root)?;
    let work = move |tx: &mut dyn Tx| keep(tx, &attested);
    Ok(center.seams.store.commit("center.offline.identity", work).await?)
}

fn known(tx: &mut dyn Tx, record: &feiqian_crypto::Digest) -> Result<Option<AttestedIdentity>, Failure> {
    let sql = format!("SELECT {} FROM {} WHERE record = ?1", IDENTITY.column_list(), IDENTITY.name);
    tx.select(&sql, &[(*record).into()])?.first().map(attested_of).transpose()
}

fn keep(tx: &mut dyn Tx, attested: &AttestedIdentity) -> Result<AttestedIdentity, Failure> {
    let record = &attested.identity.record;
    if let Some(known) = known(tx, &record.digest())? {
        return Ok(known);
    }
    let key = record.signing_key().map_err(Fault::from)?;
    let owner = owner_of(record);
    let identity = *record.identity.encoded().as_bytes();
    for (column, value, what) in [
        ("identity", Value::from(identity), "the identity"),
        ("signing_key", Value::from(key), "the signing key"),
        ("owner", Value::from(owner.clone()), "the account"),
    ] {
        let sql = format!("SELECT 1 FROM {} WHERE {column} = ?1", IDENTITY.name);
        if !tx.select(&sql, &[value])?.is_empty() {
            let taken = Fault::new(Code::Conflict, format!("{what} stands in another record"));
            return Err(taken
                .hint("a record is for ever: its identity, key and account are in no other")
                .into());
        }
    }
    let values =
        [identity.into(), key.into(), owner.into(), record.digest().into(), codec::encode(attested)?.into()];
    tx.insert(&IDENTITY, &values)?;
    Ok(attested.clone())
}

/// Bank and account in one column: a name holds no slash.
pub(crate) fn owner_of(record: &feiqian_offline_cash::identity::IdentityRecord) -> String {
    format!("{}/{}", record.bank, record.account)
}

/// Does a stored row say what its attestation says, and does that hold?
pub(crate) fn check_row(row: &Row, root: &feiqian_pki::TrustedRoot) -> Result<(), Failure> {
    let attested = attested_of(row)?;
    let record = attested.verify(root).map_err(Fault::from)?;
    let SignedIdentity { record: signed, .. } = &attested.identity;
    let said = (
        *signed.identity.encoded().as_bytes(),
        record.signing_key().map_err(Fault::from)?,
        owner_of(record),
        record.digest(),
    );
    let stated = (row.array(0)?, row.array(1)?, row.text(2)?.to_owned(), row.digest(3)?);
    if said == stated {
        Ok(())
    } else {
        Err(Fault::new(Code::Internal, "the row is not about its record").into())
    }
}
