//! E-cheques made out to the merchant: verified at the center, deposited at its bank, asked for until final.

use std::path::{Path, PathBuf};

use feiqian_cheque::messages::{
    ChequeDeposit, ChequeDepositResponse, ChequeItem, ChequeOutcome, Document, MAX_DOCUMENT, Verdict,
    VerifyRequest, VerifyResponse,
};
use feiqian_cheque::{
    Bundle, Cheque, ChequeError, Examined, ReturnCode, Signer, Trust, VerifiedCheque, examine, verify,
};
use feiqian_clearing::presentment::{ItemKind, presentment_id};
use feiqian_crypto::Digest;
use feiqian_ledger::store::{Row, StoreError, StoreExt, Tx, Value as Stored};
use feiqian_node::{CallError, Caller, call};
use feiqian_pki::RevocationList;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, Limit, Text, codec};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::service::Merchant;
use crate::tables::CHEQUE;

/// States of a deposit as stored.
const PENDING: i64 = 0;
const PAID: i64 = 1;
const RETURNED: i64 = 2;
const REFUSED: i64 = 3;

/// A deposit of a cheque as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct DepositRow {
    pub(crate) presentment: Digest,
    pub(crate) id: Digest,
    pub(crate) cheque: Cheque,
    pub(crate) file: Document,
    pub(crate) outcome: Option<ChequeOutcome>,
    accepted: u64,
}

impl DepositRow {
    pub(crate) fn of(row: &Row) -> Result<Self, Failure> {
        let outcome = if row.is_null(5) { None } else { Some(codec::decode(row.blob(5)?, Limit::Large)?) };
        Ok(Self {
            presentment: row.digest(0)?,
            id: row.digest(1)?,
            cheque: codec::decode(row.blob(2)?, Limit::Large)?,
            file: Document::new(row.blob(3)?)?,
            outcome,
            accepted: row.unsigned(6)?,
        })
    }

    const fn state(&self) -> i64 {
        match self.outcome {
            None => PENDING,
            Some(ChequeOutcome::Paid(_)) => PAID,
            Some(ChequeOutcome::Returned(..)) => RETURNED,
            Some(ChequeOutcome::Refused(_)) => REFUSED,
        }
    }

    pub(crate) fn values(&self) -> Result<Vec<Stored>, Failure> {
        Ok(vec![
            self.presentment.into(),
            self.id.into(),
            codec::encode(&self.cheque)?.into(),
            self.file.to_vec().into(),
            self.state().into(),
            self.outcome.as_ref().map(codec::encode).transpose()?.into(),
            Stored::unsigned(self.accepted)?,
        ])
    }

    fn select(tx: &mut dyn Tx, rest: &str, parameters: &[Stored]) -> Result<Vec<Self>, Failure> {
        let sql = format!("SELECT {} FROM {} {rest}", CHEQUE.column_list(), CHEQUE.name);
        tx.select(&sql, parameters)?.iter().map(Self::of).collect()
    }

    /// The last deposit of a cheque.
    fn latest(tx: &mut dyn Tx, id: &Digest) -> Result<Option<Self>, Failure> {
        let rest = "WHERE cheque = ?1 ORDER BY state = 0 DESC, accepted DESC LIMIT 1";
        Ok(Self::select(tx, rest, &[(*id).into()])?.pop())
    }

    fn shown(&self, paid: bool) -> Value {
        let code = match &self.outcome {
            Some(ChequeOutcome::Returned(code, _)) => Some(*code),
            _ => None,
        };
        let outcome = match &self.outcome {
            None => "pending",
            Some(ChequeOutcome::Paid(_)) => "paid",
            Some(ChequeOutcome::Returned(..)) => "returned",
            Some(ChequeOutcome::Refused(_)) => "refused",
        };
        json!({
            "cheque": self.id,
            "number": self.cheque.number.0,
            "drawee": self.cheque.bank,
            "amount": self.cheque.amount.to_string(),
            "currency": self.cheque.amount.currency,
            "outcome": outcome,
            "paid": paid || self.state() == PAID,
            "code": code.map(ReturnCode::as_str),
            "iso20022": code.map(ReturnCode::iso20022),
            "meaning": code.map(ReturnCode::meaning),
            "presentment": self.presentment,
        })
    }
}

fn unusable(path: &Path, error: impl std::fmt::Display) -> Fault {
    Fault::new(Code::Usage, format!("{}: {error}", path.display()))
}

fn read(path: &Path) -> Result<(Bundle, Document), Fault> {
    let most = u64::try_from(MAX_DOCUMENT).unwrap_or(u64::MAX);
    let bytes = feiqian_node::files::read_bounded(path, most).map_err(|error| unusable(path, error))?;
    let bytes = bytes.trim_ascii_end();
    let bundle = Bundle::from_bytes(bytes).map_err(|error| {
        Fault::new(Code::Malformed, format!("{} is no e-cheque: {error}", path.display()))
    })?;
    Ok((bundle, Document::new(bytes)?))
}

/// Want of a revocation list passes, and is no verdict.
fn judged(error: ChequeError) -> Fault {
    if error.lacks_list() {
        return Fault::new(Code::Unavailable, error.to_string())
            .hint("the center has no current revocation list of that bank yet: try again in a minute");
    }
    error.into()
}

/// What a call brought, where it settles that the deposit was not taken and will not be.
///
/// After a call that may have arrived, what the bank's door says today (a certificate revoked, an account closed since
/// then, another root) says nothing of what was done before.
fn refusal(error: CallError, untried: bool) -> Result<Fault, Fault> {
    let heard = matches!(error, CallError::Fault(_));
    let fault = Fault::from(error);
    let of_the_door = matches!(
        fault.code,
        Code::UnsupportedVersion
            | Code::Unauthenticated
            | Code::CertificateNotAllowed
            | Code::Forbidden
            | Code::AccountClosed
            | Code::CertificateInvalid
            | Code::WrongRoot
    );
    if fault.is_definitive() && (untried || heard && !of_the_door) { Ok(fault) } else { Err(fault) }
}

fn document(bundle: &Bundle) -> Result<Document, Fault> {
    Ok(Document::new(bundle.to_bytes()?)?)
}

fn bundle_of(file: &Document) -> Result<Bundle, Fault> {
    Ok(Bundle::from_bytes(file).map_err(ChequeError::from)?)
}

impl Merchant {
    /// The newest revocation lists ever seen: what the center shows now joins them where it is newer. They say
    /// themselves until when they hold.
    async fn lists(&self) -> Result<Vec<RevocationList>, Fault> {
        let asked = self.sync().await;
        let lists = self.view().lists().all().to_vec();
        if lists.is_empty() {
            asked?;
        }
        Ok(lists)
    }

    async fn examined(&self, bundle: Bundle) -> Result<Examined, Fault> {
        let lists = self.lists().await?;
        Ok(examine(bundle, &Trust::new(&self.keys.root, &lists, self.seams.clock.now()))?)
    }

    async fn verified(&self, bundle: Bundle) -> Result<VerifiedCheque, Fault> {
        let lists = self.lists().await?;
        verify(bundle, &Trust::new(&self.keys.root, &lists, self.seams.clock.now())).map_err(judged)
    }

    /// The center's word on a cheque, and what the document says.
    pub(crate) async fn cheque_verify(&self, path: PathBuf) -> Result<Value, Fault> {
        let (bundle, file) = read(&path)?;
        let request = VerifyRequest { cheques: Bounded::new(vec![file])? };
        let network = &*self.seams.network;
        let answer: VerifyResponse =
            call(network, self.members.center(), Caller::Anonymous, "/v1/cheque/verify", &request).await?;
        let id = bundle.id().map_err(ChequeError::from)?;
        let verdict: Option<&Verdict> = answer.verdicts.first().filter(|verdict| verdict.id == id);
        let verdict =
            verdict.ok_or_else(|| Fault::new(Code::Unavailable, "the center answered for another cheque"))?;
        let examined = self.examined(bundle).await?;
        let cheque = examined.cheque();
        Ok(json!({
            "cheque": id,
            "good": verdict.good,
            "code": verdict.code.map(ReturnCode::as_str),
            "iso20022": verdict.code.map(ReturnCode::iso20022),
            "reason": verdict.reason,
            "register": verdict.register.map(feiqian_cheque::State::as_str),
            "number": cheque.number.0,
            "drawee": cheque.bank,
            "amount": cheque.amount.to_string(),
            "currency": cheque.amount.currency,
            "payee": cheque.payee.name,
            "date": cheque.date,
        }))
    }

    /// Deposits a cheque. One that is pending or paid gets the same answer again; one that came back is presented
    /// again.
    pub(crate) async fn cheque_deposit(&self, path: PathBuf, out: Option<PathBuf>) -> Result<Value, Fault> {
        let (bundle, _) = read(&path)?;
        let id = bundle.id().map_err(ChequeError::from)?;
        let known = self.seams.store.read(move |tx| DepositRow::latest(tx, &id)).await?;
        let (row, untried) = match known {
            Some(row) if matches!(row.state(), PENDING | PAID) => (row, false),
            known => (self.plan_cheque(bundle.clone(), known).await?, true),
        };
        let (row, paid) = self.drive_cheque(row, untried).await?;
        match &row.outcome {
            Some(ChequeOutcome::Refused(fault)) => return Err(fault.clone()),
            Some(ChequeOutcome::Paid(file) | ChequeOutcome::Returned(_, file)) => {
                if let Some(out) = out {
                    let mut back = bundle_of(file)?;
                    back.attachments = bundle.attachments;
                    let file = document(&back)?;
                    feiqian_node::files::write_private(&out, &file).map_err(|error| unusable(&out, error))?;
                }
            }
            None => self.pending.notify_one(),
        }
        Ok(row.shown(paid))
    }

    /// Signs the deposit block onto the newest file and keeps it before it is sent.
    async fn plan_cheque(&self, given: Bundle, known: Option<DepositRow>) -> Result<DepositRow, Fault> {
        let newest = match known.and_then(|row| row.outcome) {
            Some(ChequeOutcome::Returned(_, file)) => {
                let back = bundle_of(&file)?;
                if back.blocks.len() > given.blocks.len() { back } else { given }
            }
            _ => given,
        };
        let verified = self.verified(newest).await?;
        let now = self.seams.clock.now();
        let item = ChequeItem::presented(&verified.tip());
        let presentment = presentment_id(&self.config.bank, &self.config.account, ItemKind::Cheque, &item);
        let (id, cheque) = (verified.id(), verified.cheque().clone());
        let file = {
            let signer = Signer::new(&self.keys.signer, &self.keys.signer_chain, &self.keys.root, now)?;
            let account = Text::new(self.config.account.as_str())?;
            let slip = verified.deposit(self.config.bank.clone(), account, presentment, &signer, now)?;
            // They are between drawer and payee, not for the three parties that a presentment passes.
            document(&slip.without_attachments())?
        };
        let row = DepositRow { presentment, id, cheque, file, outcome: None, accepted: now.seconds() };
        let kept = row.clone();
        let work = move |tx: &mut dyn Tx| -> Result<(), Failure> {
            // One that was refused before it reached the drawee is presented under the same id.
            Ok(tx.put(&CHEQUE, &kept.values()?)?)
        };
        self.seams.store.commit("merchant.cheque.plan", work).await?;
        Ok(row)
    }

    /// Asks the bank; says also whether the drawee has paid where that is not final. `untried`: no call before this
    /// one can have arrived.
    async fn drive_cheque(&self, mut row: DepositRow, untried: bool) -> Result<(DepositRow, bool), Fault> {
        if row.outcome.is_some() {
            return Ok((row, false));
        }
        let request = ChequeDeposit { cheque: row.file.clone() };
        let network = &*self.seams.network;
        let asked: Result<ChequeDepositResponse, CallError> =
            call(network, &self.bank(), Caller::Certified, "/v1/account/cheque/deposit", &request).await;
        let outcome = match asked {
            Ok(ChequeDepositResponse::Pending { paid, .. }) => return Ok((row, paid)),
            Ok(ChequeDepositResponse::Final(outcome)) => outcome,
            Err(error) => ChequeOutcome::Refused(refusal(error, untried)?),
        };
        self.check_outcome(&row, &outcome).await?;
        row.outcome = Some(outcome);
        let kept = row.clone();
        let work = move |tx: &mut dyn Tx| -> Result<(), Failure> {
            match tx.update(&CHEQUE, &kept.values()?) {
                Err(StoreError::Missing(_)) => Err(Fault::new(Code::Internal, "a deposit is gone").into()),
                done => Ok(done?),
            }
        };
        self.seams.store.commit("merchant.cheque.outcome", work).await?;
        Ok((row, false))
    }

    /// What came back is what was sent, with more blocks; a paid one has its receipt, which holds. What was before it
    /// was good when it was sent: a certificate revoked or a list ended since then does not undo a payment.
    async fn check_outcome(&self, row: &DepositRow, outcome: &ChequeOutcome) -> Result<(), Fault> {
        use feiqian_cheque::progress::Phase;
        let (ChequeOutcome::Paid(file) | ChequeOutcome::Returned(_, file)) = outcome else { return Ok(()) };
        // Never definitive: what the bank has answered must not be taken for a refusal.
        let lying = |what: &str| Fault::new(Code::Unavailable, format!("the bank answered with {what}"));
        let theirs = Bundle::from_bytes(file).map_err(|error| lying(&error.to_string()))?;
        let ours = bundle_of(&row.file)?;
        if !theirs.blocks.starts_with(&ours.blocks) {
            return Err(lying("another cheque"));
        }
        if matches!(outcome, ChequeOutcome::Returned(..)) {
            return Ok(());
        }
        let examined = self.examined(theirs).await.map_err(|fault| lying(&fault.message))?;
        let added = examined.signatures().get(ours.blocks.len()..).unwrap_or_default();
        if let Some(broken) = added.iter().find_map(|block| block.fault.clone()) {
            return Err(lying(&ChequeError::from(broken).to_string()));
        }
        if added.is_empty() || !matches!(examined.phase(), Phase::Paid | Phase::Settled) {
            return Err(lying("a cheque without its receipt"));
        }
        Ok(())
    }

    /// Asks again for every pending deposit; answers whether none is left.
    pub(crate) async fn resume_cheques(&self) -> Result<bool, Fault> {
        let read =
            |tx: &mut dyn Tx| DepositRow::select(tx, "WHERE state = 0 ORDER BY accepted LIMIT 256", &[]);
        let mut settled = true;
        for row in self.seams.store.read(read).await? {
            match self.drive_cheque(row, false).await {
                Ok((row, _)) => settled &= row.outcome.is_some(),
                Err(fault) => {
                    tracing::info!(%fault, "a cheque is asked for again later");
                    settled = false;
                }
            }
        }
        Ok(settled)
    }

    /// The newest deposits.
    pub(crate) async fn cheque_list(&self) -> Result<Value, Fault> {
        let read =
            |tx: &mut dyn Tx| DepositRow::select(tx, "ORDER BY accepted DESC, presentment LIMIT 1000", &[]);
        let rows = self.seams.store.read(read).await?;
        Ok(json!({"cheques": rows.iter().map(|row| row.shown(false)).collect::<Vec<_>>()}))
    }
}
