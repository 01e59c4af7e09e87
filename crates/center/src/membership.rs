//! Admission, registration, the directory.

use feiqian_clearing::membership::{
    AdmitRequest, AdmitResponse, BankEntry, ChainBytes, Directory, Funding, MAX_BANKS, MAX_FUNDINGS,
    RegisterRequest, RegisterResponse,
};
use feiqian_crypto::{Digest, Id16, Transcript};
use feiqian_ledger::book::Outcome;
use feiqian_ledger::store::{Row, StoreExt, Tx, Value};
use feiqian_money::Amount;
use feiqian_node::{Endpoint, endpoint::TrustPin};
use feiqian_offline_cash::messages::OfflinePinEntry;
use feiqian_online_cash::keyset::PinEntry;
use feiqian_online_cash::signed::WireChain;
use feiqian_pki::{CertificateRequest, Purpose, Revocation, Role, Subject, validate};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Bounded, Limit, Timestamp, codec};
use tokio::sync::MutexGuard;

use crate::config::Admission;
use crate::failure::{Failure, certificate, own_keys};
use crate::service::Center;
use crate::tables::{BANK, FUNDING, INVITATION, PIN};
use crate::{offline, pins, settlement};

/// A member as stored.
#[derive(Debug, Clone)]
pub(crate) struct Bank {
    pub(crate) entry: BankEntry,
    authority_key: [u8; 32],
    chain: ChainBytes,
    admitted: u64,
}

impl Bank {
    pub(crate) fn from_row(row: &Row) -> Result<Self, Failure> {
        let chain: ChainBytes = codec::decode(row.blob(3)?, Limit::Medium)?;
        let entry = BankEntry {
            name: row.parse(0)?,
            currency: row.parse(1)?,
            url: row.parse(4)?,
            authority: chain.first().cloned().unwrap_or_default(),
            signer: codec::decode(row.blob(5)?, Limit::Medium)?,
        };
        Ok(Self { entry, authority_key: row.array(2)?, chain, admitted: row.unsigned(6)? })
    }

    fn values(&self) -> Result<[Value; 7], Failure> {
        Ok([
            self.entry.name.as_str().into(),
            self.entry.currency.code().into(),
            self.authority_key.into(),
            codec::encode(&self.chain)?.into(),
            self.entry.url.as_str().into(),
            codec::encode(&self.entry.signer)?.into(),
            Value::unsigned(self.admitted)?,
        ])
    }
}

pub(crate) fn find_bank(tx: &mut dyn Tx, name: &str) -> Result<Option<Bank>, Failure> {
    tx.find(&BANK, &[name.into()])?.map(|row| Bank::from_row(&row)).transpose()
}

pub(crate) fn all_banks(tx: &mut dyn Tx) -> Result<Vec<Bank>, Failure> {
    let sql = format!("SELECT {} FROM {} ORDER BY name", BANK.column_list(), BANK.name);
    tx.select(&sql, &[])?.iter().map(Bank::from_row).collect()
}

/// Members, and what is new in both logs.
type Changed = (Vec<Bank>, Vec<PinEntry>, Vec<OfflinePinEntry>);

impl Center {
    /// Brings the view to what the store holds. The guard shows that nobody else is changing it.
    pub(crate) async fn reload(&self, _changing: &MutexGuard<'_, ()>) -> Result<(), Fault> {
        let view = self.members.snapshot();
        let (known, known_offline) = (view.entries().len(), view.offline_entries().len());
        let read = move |tx: &mut dyn Tx| -> Result<Changed, Failure> {
            let offline = offline::pins::entries_from(tx, known_offline)?;
            Ok((all_banks(tx)?, pins::entries_from(tx, known)?, offline))
        };
        let (banks, entries, offline) = self.seams.store.read(read).await?;
        let banks = banks.into_iter().map(|bank| bank.entry).collect();
        let directory = Directory { banks: Bounded::new(banks)? };
        let view = view.extended(&directory, entries, self.seams.clock.now())?;
        self.members.replace(view.with_offline(offline)?);
        Ok(())
    }
}

/// The digest under which an invitation code is kept: the store alone lets nobody in.
pub(crate) fn code_digest(code: &str) -> Digest {
    Transcript::new("center/invitation").text(code).into_digest()
}

fn code_invalid() -> Fault {
    Fault::new(Code::CodeInvalid, "the invitation code is wrong, used, or for another bank")
        .hint("ask the center's operator: feiqian center invite --bank NAME")
}

/// Certifies a bank's authority and opens its settlement account. The same key again gets the same certificate.
pub(crate) async fn admit(center: &Center, request: AdmitRequest) -> Result<AdmitResponse, Fault> {
    let csr = CertificateRequest::verify(&request.authority).map_err(certificate)?;
    let name = request.name.clone();
    let subject = Subject::bank(&name).map_err(certificate)?;
    if *csr.subject() != subject {
        return Err(Fault::new(
            Code::CertificateInvalid,
            format!("the certificate request is not of bank {name}"),
        ));
    }
    let code = match (center.config.admission, &request.code) {
        (Admission::Open, _) => None,
        (Admission::Code, Some(code)) => Some(code_digest(code)),
        (Admission::Code, None) => Some(code_digest("")),
    };
    let funding = center.config.initial_funding(request.currency)?;
    let now = center.seams.clock.now().seconds();
    let changing = center.changing.lock().await;
    let chain = center
        .keys
        .authority
        .issue_bank_authority(&csr, &name, now, &mut center.seams.entropy.rng())
        .map_err(own_keys)?;
    let entry = BankEntry {
        name,
        currency: request.currency,
        url: Default::default(),
        authority: Blob::new(chain.leaf())?,
        signer: Bounded::default(),
    };
    let bank = Bank {
        entry,
        authority_key: *csr.public_key(),
        chain: WireChain::from_chain(&chain)?.0,
        admitted: now,
    };
    let work = move |tx: &mut dyn Tx| admit_once(tx, &bank, code, funding, now);
    let authority = center.seams.store.commit("center.admit", work).await?;
    center.reload(&changing).await?;
    Ok(AdmitResponse { authority })
}

fn admit_once(
    tx: &mut dyn Tx,
    bank: &Bank,
    code: Option<Digest>,
    funding: Amount,
    now: u64,
) -> Result<ChainBytes, Failure> {
    let name = bank.entry.name.as_str();
    if let Some(known) = find_bank(tx, name)? {
        let same = known.authority_key == bank.authority_key && known.entry.currency == bank.entry.currency;
        let taken = || Fault::new(Code::Conflict, format!("a bank named {name} is a member already"));
        return if same {
            Ok(known.chain)
        } else {
            Err(taken().hint("choose another name with --name").into())
        };
    }
    if let Some(code) = code {
        let invited = tx.find(&INVITATION, &[code.into()])?.ok_or_else(code_invalid)?;
        if invited.text(1)? != name || invited.boolean(3)? {
            return Err(code_invalid().into());
        }
        tx.update(&INVITATION, &[code.into(), name.into(), invited.value(2)?.clone(), true.into()])?;
    }
    let members = tx.select("SELECT count(*) FROM center_bank", &[])?;
    if members.first().map_or(Ok(0), |row| row.unsigned(0))? >= MAX_BANKS as u64 {
        return Err(
            Fault::new(Code::LimitExceeded, format!("a center has at most {MAX_BANKS} members")).into()
        );
    }
    tx.insert(&BANK, &bank.values()?)?;
    settlement::open_accounts(tx, name, bank.entry.currency, now)?;
    if !funding.minor.is_zero() {
        record_funding(tx, settlement::initial_funding(name), name, funding, now)?;
    }
    Ok(bank.chain.clone())
}

/// Books base money for a member; the same id and amount again changes nothing.
pub(crate) fn record_funding(
    tx: &mut dyn Tx,
    id: Id16,
    bank: &str,
    amount: Amount,
    now: u64,
) -> Result<(), Failure> {
    if settlement::fund(tx, id, bank, amount, now)? == Outcome::Exists {
        return Ok(());
    }
    let number = fundings(tx, bank)?.len();
    if number >= MAX_FUNDINGS {
        return Err(Fault::new(
            Code::LimitExceeded,
            format!("a member is funded at most {MAX_FUNDINGS} times"),
        )
        .into());
    }
    let number = Value::unsigned(u64::try_from(number).unwrap_or(u64::MAX))?;
    let currency = amount.currency.code().into();
    let booked = Value::unsigned(now)?;
    Ok(tx.insert(&FUNDING, &[id.into(), bank.into(), number, amount.minor.into(), currency, booked])?)
}

fn fundings(tx: &mut dyn Tx, bank: &str) -> Result<Vec<Funding>, Failure> {
    let sql =
        format!("SELECT {} FROM {} WHERE bank = ?1 ORDER BY number", FUNDING.column_list(), FUNDING.name);
    let rows = tx.select(&sql, &[bank.into()])?;
    rows.iter()
        .map(|row| {
            let amount = Amount::new(row.minor(3)?, row.parse(4)?);
            Ok(Funding { id: row.id(0)?, amount, at: Timestamp::new(row.unsigned(5)?) })
        })
        .collect()
}

/// Notes where a member listens and which key signs its documents; answers with its fundings.
pub(crate) async fn register(
    center: &Center,
    caller: &str,
    request: RegisterRequest,
) -> Result<RegisterResponse, Fault> {
    let endpoint = Endpoint::new(&request.url, TrustPin::default())
        .map_err(|error| Fault::new(Code::Malformed, format!("url: {error}")))?;
    if request.url.contains('#') || endpoint.url().len() > 192 {
        return Err(Fault::new(Code::Malformed, "url: an address without fragment"));
    }
    let now = center.seams.clock.now();
    let chain = WireChain(request.signer.clone()).to_chain()?;
    let signer = validate(&chain, &center.keys.root, Purpose::Signing, Revocation::Unchecked, now.seconds())
        .map_err(certificate)?;
    if signer.subject.role() != Role::Bank || signer.subject.name() != caller {
        return Err(Fault::new(
            Code::CertificateInvalid,
            format!("the signing key is not that of bank {caller}"),
        ));
    }
    let changing = center.changing.lock().await;
    let name = caller.to_owned();
    let work = move |tx: &mut dyn Tx| -> Result<Vec<Funding>, Failure> {
        let mut bank = find_bank(tx, &name)?.ok_or_else(|| not_admitted(&name))?;
        bank.entry.url = request.url.clone();
        bank.entry.signer = request.signer.clone();
        tx.update(&BANK, &bank.values()?)?;
        fundings(tx, &name)
    };
    let fundings = center.seams.store.commit("center.register", work).await?;
    center.reload(&changing).await?;
    Ok(RegisterResponse { fundings: Bounded::new(fundings)? })
}

pub(crate) fn not_admitted(bank: &str) -> Fault {
    Fault::new(Code::WrongBank, format!("no bank named {bank} is a member"))
}

/// All members, by name.
pub(crate) fn directory(center: &Center) -> Result<Directory, Fault> {
    let view = center.members.snapshot();
    let banks = view.members().values().map(|member| member.entry.clone());
    Ok(Directory { banks: Bounded::collect(banks)? })
}

/// How many keysets are pinned, in the same transaction as what depends on it.
pub(crate) fn count_pins(tx: &mut dyn Tx) -> Result<u64, Failure> {
    let rows = tx.select(&format!("SELECT count(*) FROM {}", PIN.name), &[])?;
    Ok(rows.first().map_or(Ok(0), |row| row.unsigned(0))?)
}
