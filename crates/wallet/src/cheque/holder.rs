//! What a holder does with a cheque: pass it on, deposit it, take those that were sent.

use std::path::Path;

use feiqian_cheque::messages::{
    ChequeDeposit, ChequeItem, ChequeOutcome, Document, EndorseRequest, InboxDelete, InboxResponse,
};
use feiqian_cheque::{Bundle, Cheque, Examined, ReturnCode, VerifiedCheque};
use feiqian_clearing::presentment::{ItemKind, presentment_id};
use feiqian_crypto::Digest;
use feiqian_ledger::store::StoreExt;
use feiqian_wire::error::Code;
use rand::RngExt as _;
use serde_json::{Value, json};

use crate::answer::show;
use crate::cheque::act::{Act, ActRow, Answer, Reached};
use crate::cheque::{
    document, intent, read_cheque, read_document, received, unusable, with_attachments, write_cheque,
};
use crate::failure::{Failure, Result};
use crate::wallet::Wallet;

fn depositing(cheque: &Digest) -> Digest {
    intent("deposit", &[&cheque.to_string()])
}

impl Wallet {
    async fn take_in(&self, id: Digest, cheque: &Cheque, file: &Document) -> Result<()> {
        let (now, cheque, file) = (self.now(), cheque.clone(), file.clone());
        self.seams
            .store
            .commit("wallet.cheque.take", move |tx| received::take_in(tx, &id, &cheque, &file, now))
            .await
    }

    /// Passes a negotiable cheque on: the drawee's register is told first, then the file is written.
    pub(crate) async fn endorse_cheque(&self, path: &Path, to: &str, out: &Path) -> Result<Value> {
        let (bundle, file) = read_cheque(path)?;
        let next = self.payee(to).await?;
        let verified = self.verified(bundle.clone()).await?;
        let (id, cheque) = (verified.id(), verified.cheque().clone());
        // The words: this very file, so that control that came back can be passed on again.
        let intent = intent("endorse", &[&id.to_string(), &verified.tip().to_string(), to]);
        self.take_in(id, &cheque, &file).await?;
        // The drawee needs no attachments; the next holder gets them.
        let endorsed = verified.endorse(next.payee.clone(), &self.signer()?, self.now())?;
        let endorsed = document(&endorsed.without_attachments())?;
        let act = Act::Endorse {
            bank: cheque.bank.clone(),
            cheque: id,
            request: EndorseRequest { cheque: endorsed },
        };
        let row = self.plan_act(intent, Digest(self.rng().random()), act).await?;
        // Written before it is told as done: with the register's control gone, the file is all there is.
        if let (Reached::Done(Answer::Line(_)), Act::Endorse { request, .. }) =
            (self.drive_act(&row).await?, &row.act)
        {
            write_cheque(out, &with_attachments(&request.cheque, &bundle)?)?;
        }
        let line = match self.finish_and_report(&self.reread(&row).await?).await? {
            Answer::Line(line) => line,
            _ => return Err(Failure::broken("another answer than a line of the register")),
        };
        show(&json!({
            "cheque": id,
            "number": cheque.number.0,
            "drawee": cheque.bank,
            "amount": cheque.amount.to_string(),
            "currency": cheque.amount.currency,
            "holder": next.payee.name,
            "state": line.state.as_str(),
            "file": out,
        }))
    }

    async fn reread(&self, row: &ActRow) -> Result<ActRow> {
        let intent = row.intent;
        let row = self.seams.store.read(move |tx| ActRow::latest(tx, &intent)).await?;
        row.ok_or_else(|| Failure::broken("an act is gone"))
    }

    /// Gives a cheque to the own bank for collection. The same cheque again gets the same answer, unless the
    /// owner was told that it came back: then it is presented again.
    pub(crate) async fn deposit_cheque(&self, path: &Path, out: Option<&Path>) -> Result<Value> {
        let (bundle, file) = read_cheque(path)?;
        let examined = self.examined(bundle.clone()).await?;
        let (id, cheque) = (examined.id(), examined.cheque().clone());
        let intent = depositing(&id);
        let known = self.seams.store.read(move |tx| ActRow::latest(tx, &intent)).await?;
        let row = match known {
            Some(row) if !starts_anew(&row) => row,
            known => {
                let base = presentable(examined, known.as_ref(), self).await?;
                self.take_in(id, &cheque, &file).await?;
                let deposited = self.sign_deposit_slip(base)?;
                let act = Act::Deposit { cheque: id, request: ChequeDeposit { cheque: deposited } };
                self.plan_new(intent, act).await?
            }
        };
        let reached = self.drive_act(&row).await?;
        if let Reached::Done(answer) = &reached {
            self.report_act(row.id).await?;
            if let (
                Some(out),
                Answer::Deposit(ChequeOutcome::Paid(file) | ChequeOutcome::Returned(_, file)),
            ) = (out, answer)
            {
                write_cheque(out, &with_attachments(file, &bundle)?)?;
            }
        }
        deposited(id, &cheque, reached, out)
    }

    fn sign_deposit_slip(&self, base: VerifiedCheque) -> Result<Document> {
        let item = ChequeItem::presented(&base.tip());
        let presentment =
            presentment_id(self.config.bank.as_str(), &self.config.account, ItemKind::Cheque, &item);
        let slip = base.deposit(
            self.config.bank.clone(),
            self.account_token()?,
            presentment,
            &self.signer()?,
            self.now(),
        )?;
        // They are between drawer and payee, not for the three parties that a presentment passes.
        document(&slip.without_attachments())
    }

    /// A new attempt, whether or not the owner was told of the one before.
    async fn plan_new(&self, intent: Digest, act: Act) -> Result<ActRow> {
        let (now, id) = (self.now(), Digest(self.rng().random()));
        self.seams
            .store
            .commit("wallet.cheque.plan", move |tx| {
                if let Act::Deposit { cheque, request } = &act {
                    received::advance(tx, cheque, &request.cheque, received::State::Deposited)?;
                }
                crate::cheque::act::insert(tx, intent, id, act.clone(), now)
            })
            .await
    }

    /// Takes the cheques that others put into the own box, and writes each into `folder`.
    pub(crate) async fn cheque_inbox(&self, folder: Option<&Path>) -> Result<Value> {
        let own = self.config.bank.as_str();
        let folder = folder.map(Path::to_path_buf).or_else(|| self.folder());
        let mut taken = Vec::new();
        loop {
            let answer: InboxResponse = self.certified(own, "/v1/account/cheque/inbox", &()).await?;
            if answer.cheques.is_empty() {
                break;
            }
            for file in answer.cheques.iter() {
                taken.push(self.take_from_box(file, folder.as_deref()).await?);
                let delete = InboxDelete { file: ChequeItem { cheque: file.clone() }.file_digest() };
                let (): () = self.certified(own, "/v1/account/cheque/inbox/delete", &delete).await?;
            }
        }
        show(&json!({"cheques": taken}))
    }

    async fn take_from_box(&self, file: &Document, folder: Option<&Path>) -> Result<Value> {
        let examined = match read_document(file) {
            Ok(bundle) => self.examined(bundle).await?,
            Err(_) => return Ok(json!({"good": false, "reason": "it is no e-cheque"})),
        };
        let id = examined.id();
        self.take_in(id, examined.cheque(), file).await?;
        let path = match folder {
            None => None,
            Some(folder) => {
                feiqian_node::files::create_private_dir(folder).map_err(|error| unusable(folder, error))?;
                // Two files of one cheque stay two: none takes the other's place.
                let (id, digest) =
                    (id.to_string(), ChequeItem { cheque: file.clone() }.file_digest().to_string());
                let short = |text: &str| text.get(..16).unwrap_or_default().to_owned();
                let path = folder.join(format!("cheque-{}-{}.json", short(&id), short(&digest)));
                write_cheque(&path, file)?;
                Some(path)
            }
        };
        let mut shown = judged(&examined);
        if let Value::Object(fields) = &mut shown {
            fields.insert("file".to_owned(), json!(path));
        }
        Ok(shown)
    }
}

/// Whether the last attempt leaves room for another: the owner was told that it was refused or came back. Whether the
/// drawee takes it again is the drawee's to say: a stop may have been lifted.
fn starts_anew(row: &ActRow) -> bool {
    let failed =
        matches!(&row.answer, Some(Answer::Deposit(ChequeOutcome::Returned(..)) | Answer::Refused(_)));
    failed && row.reported
}

/// What the next deposit block goes onto: the file that came back, where the owner still has the one before.
async fn presentable(given: Examined, known: Option<&ActRow>, wallet: &Wallet) -> Result<VerifiedCheque> {
    let back: Option<Bundle> = match known.and_then(|row| row.answer.as_ref()) {
        Some(Answer::Deposit(ChequeOutcome::Returned(_, file))) => Some(read_document(file)?),
        _ => None,
    };
    match back {
        Some(back) if back.blocks.len() > given.bundle().blocks.len() => wallet.verified(back).await,
        _ => Ok(given.into_verified()?),
    }
}

/// What a document says of itself.
pub(crate) fn judged(examined: &Examined) -> Value {
    let cheque = examined.cheque();
    let fault = examined.fault();
    json!({
        "cheque": examined.id(),
        "number": cheque.number.0,
        "drawee": cheque.bank,
        "amount": cheque.amount.to_string(),
        "currency": cheque.amount.currency,
        "payee": cheque.payee.name,
        "date": cheque.date,
        "good": fault.is_none(),
        "code": fault.map(|fault| fault.return_code().as_str()),
        "reason": fault.map(ToString::to_string),
    })
}

fn deposited(id: Digest, cheque: &Cheque, reached: Reached, out: Option<&Path>) -> Result<Value> {
    let mut code: Option<ReturnCode> = None;
    let (outcome, presentment, paid) = match reached {
        Reached::Waiting { presentment, paid } => ("pending", Some(presentment), paid),
        Reached::Done(Answer::Deposit(ChequeOutcome::Paid(_))) => ("paid", None, true),
        Reached::Done(Answer::Deposit(ChequeOutcome::Returned(why, _))) => {
            code = Some(why);
            ("returned", None, false)
        }
        Reached::Done(Answer::Deposit(ChequeOutcome::Refused(fault)) | Answer::Refused(fault)) => {
            return Err(fault.into());
        }
        Reached::Done(_) => {
            return Err(Failure::new(Code::Internal, "another answer than that of a deposit"));
        }
    };
    show(&json!({
        "cheque": id,
        "number": cheque.number.0,
        "drawee": cheque.bank,
        "amount": cheque.amount.to_string(),
        "currency": cheque.amount.currency,
        "outcome": outcome,
        "paid": paid,
        "code": code.map(ReturnCode::as_str),
        "iso20022": code.map(ReturnCode::iso20022),
        "meaning": code.map(ReturnCode::meaning),
        "presentment": presentment,
        "file": if outcome == "pending" { None } else { out },
    }))
}
