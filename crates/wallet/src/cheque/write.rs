//! Writing a cheque: tear out a leaf, sign, have it countersigned, hand it over.

use std::path::{Path, PathBuf};

use feiqian_cheque::bundle::{Attachment, MAX_ATTACHMENT};
use feiqian_cheque::messages::{ChequeResponse, IssueRequest, SendRequest};
use feiqian_cheque::{Day, Drawn, Mandate, State, draw};
use feiqian_crypto::{Digest, Id16, Transcript};
use feiqian_ledger::store::StoreExt;
use feiqian_money::Amount;
use feiqian_wire::error::Code;
use feiqian_wire::{Blob, Bounded, Text, U64};
use serde_json::{Value, json};

use crate::ChequeOrder;
use crate::answer::show;
use crate::cheque::act::{Act, Answer, Miss, Reached};
use crate::cheque::leaf::{Attached, LeafRow, LeafState, Terms};
use crate::cheque::payee::Named;
use crate::cheque::{
    document, intent, read_cheque, read_document, read_file, unusable, with_attachments, write_cheque,
};
use crate::failure::{Failure, Result};
use crate::record::note;
use crate::wallet::Wallet;

/// Bytes of all attachments together: in base64 they leave room for the blocks.
const MAX_ATTACHED: usize = 320 * 1024;

impl Wallet {
    pub(crate) async fn write_cheque(&self, order: ChequeOrder) -> Result<Value> {
        if order.out.is_none() && !order.send {
            return Err(Failure::new(Code::Usage, "the cheque would go nowhere")
                .hint("add --out FILE, --send or both"));
        }
        let amount = self.read_amount(&order.amount)?;
        let attachments = read_attachments(&order.attach)?;
        let intent = words(&order, amount, &attachments);
        let adopted = self.seams.store.read(move |tx| LeafRow::unreported(tx, &intent)).await?;
        let row = match adopted {
            Some(row) => row,
            None => {
                let terms = self.decide(&order, amount, attachments).await?;
                self.tear_out(terms, intent).await?
            }
        };
        let row = self.drive_leaf(row).await?;
        self.hand_over(row, order.out.as_deref()).await
    }

    /// Everything that has to be known before a leaf is spoilt.
    async fn decide(
        &self,
        order: &ChequeOrder,
        amount: Amount,
        attachments: Bounded<Attached, 4>,
    ) -> Result<Terms> {
        let Named { payee, place } = match (&order.to, &order.certificate) {
            (Some(to), None) => self.payee(to).await?,
            (None, Some(path)) => self.payee_of_certificate(path).await?,
            _ => return Err(Failure::new(Code::Usage, "name one payee: BANK/ACCOUNT or a certificate file")),
        };
        let today = Day::of(self.now());
        let date = match &order.date {
            None => today,
            Some(text) => text.parse().map_err(|_| {
                Failure::new(Code::Usage, format!("`{text}` is no day")).hint("write it as 2026-12-01")
            })?,
        };
        if date.is_stale(today) {
            return Err(Failure::new(
                Code::Usage,
                format!("a cheque of {date} would be out of date already"),
            ));
        }
        // Refused before a leaf is torn out, not after.
        self.signer()?;
        Ok(Terms {
            payee,
            amount,
            date,
            memo: Text::new(order.memo.clone().unwrap_or_default())?,
            negotiable: order.negotiable,
            certify: order.certify,
            mandate: self.mandate(&order.joint, order.required).await?,
            attachments,
            send: order.send.then_some(place),
        })
    }

    /// The drawers who must sign. Others are named by account token or by name at the same bank.
    async fn mandate(&self, joint: &[String], required: Option<u8>) -> Result<Mandate> {
        let mut drawers = vec![self.account_token()?];
        for name in joint {
            drawers.push(if name.parse::<Id16>().is_ok() {
                Text::new(name.clone())?
            } else {
                self.payee(&format!("{}/{name}", self.config.bank)).await?.place.account
            });
        }
        let all = u8::try_from(drawers.len()).unwrap_or(u8::MAX);
        Mandate::joint(required.unwrap_or(all), drawers)
            .map_err(|error| Failure::new(Code::Usage, format!("the drawers: {error}")))
    }

    /// The leaf is used up from here on, whatever happens.
    async fn tear_out(&self, terms: Terms, intent: Digest) -> Result<LeafRow> {
        let now = self.now().seconds();
        self.seams
            .store
            .commit("wallet.cheque.tear", move |tx| {
                let mut row = LeafRow::first_free(tx)?.ok_or_else(|| {
                    Failure::new(Code::NotFound, "no leaf is left in the cheque book")
                        .hint("get one with `feiqian wallet cheque book --leaves 10`")
                })?;
                row.state = LeafState::Torn;
                row.terms = Some(terms.clone());
                row.intent = Some(intent);
                row.torn_at = now;
                row.save(tx)?;
                Ok::<_, Failure>(row)
            })
            .await
    }

    /// Brings a leaf that is torn out as far as it goes: signed, then issued or refused.
    pub(crate) async fn drive_leaf(&self, row: LeafRow) -> Result<LeafRow> {
        let untried = row.state == LeafState::Torn;
        let row = if untried { self.sign_leaf(row).await? } else { row };
        if row.state == LeafState::Signed { self.issue(row, untried).await } else { Ok(row) }
    }

    async fn sign_leaf(&self, mut row: LeafRow) -> Result<LeafRow> {
        let drawn = {
            let signer = self.signer()?;
            let leaf = row.book.tear_out(U64(row.number))?;
            draw(leaf, order_of(row.terms()?, &self.config.bank)?, &signer)?
        };
        row.state = if drawn.is_complete() { LeafState::Signed } else { LeafState::Drawn };
        row.cheque = Some(drawn.id());
        row.notice = Some(drawn.notice());
        row.file = Some(document(&drawn.into_bundle())?);
        self.save_leaf("wallet.cheque.sign", row).await
    }

    async fn save_leaf(&self, point: &'static str, row: LeafRow) -> Result<LeafRow> {
        self.seams
            .store
            .commit(point, move |tx| {
                row.save(tx)?;
                Ok::<_, Failure>(row.clone())
            })
            .await
    }

    /// Cheque and payment notice to the drawee, which countersigns. Attachments are the payee's to see, not the bank's.
    async fn issue(&self, mut row: LeafRow, untried: bool) -> Result<LeafRow> {
        let (Some(cheque), Some(notice)) = (row.file.clone(), row.notice.clone()) else {
            return Err(Failure::broken("a signed cheque without file or notice"));
        };
        let certify = row.terms()?.certify;
        let ours = read_document(&cheque)?;
        let request =
            IssueRequest { cheque: document(&ours.clone().without_attachments())?, notice, certify };
        let asked: Result<ChequeResponse, Miss> =
            self.told(self.config.bank.as_str(), "/v1/account/cheque/issue", &request).await;
        match asked {
            Ok(answer) => {
                self.check_extended(&cheque, &answer.cheque, certify).await?;
                row.state = LeafState::Issued;
                row.file = Some(with_attachments(&answer.cheque, &ours)?);
                self.save_issued(row).await
            }
            Err(miss) => {
                row.refusal = Some(miss.refusal(untried)?);
                row.state = LeafState::Refused;
                self.save_leaf("wallet.cheque.refused", row).await
            }
        }
    }

    /// Issued; what is to be sent is planned in the same commit.
    async fn save_issued(&self, row: LeafRow) -> Result<LeafRow> {
        let now = self.now();
        let bank = self.config.bank.as_str().to_owned();
        self.seams
            .store
            .commit("wallet.cheque.issued", move |tx| {
                row.save(tx)?;
                let (Some(cheque), Some(file)) = (row.cheque, row.file.clone()) else {
                    return Err(Failure::broken("an issued cheque without file"));
                };
                let terms = row.terms()?;
                note(tx, now, "cheque", terms.amount.minor, &bank, &cheque)?;
                if let Some(place) = &terms.send {
                    let request = SendRequest { account: place.account.clone(), cheque: file };
                    let act = Act::Send { bank: place.bank.clone(), request };
                    crate::cheque::act::insert(tx, sending(&cheque), cheque, act, now)?;
                }
                Ok::<_, Failure>(row.clone())
            })
            .await
    }

    /// Gives the file to whoever asked for it; after that the same words write another cheque.
    async fn hand_over(&self, mut row: LeafRow, out: Option<&Path>) -> Result<Value> {
        let mut sent = false;
        if row.state == LeafState::Issued
            && let Some(cheque) = row.cheque
            && row.terms()?.send.is_some()
        {
            sent = self.send(cheque).await?;
        }
        if let (Some(out), Some(file), None) = (out, &row.file, &row.refusal) {
            write_cheque(out, file)?;
        }
        row.reported = true;
        let row = self.save_leaf("wallet.cheque.report", row).await?;
        if let Some(fault) = row.refusal {
            return Err(fault.into());
        }
        let shown = shown(&row, out, sent)?;
        show(&shown)
    }

    async fn send(&self, cheque: Digest) -> Result<bool> {
        let intent = sending(&cheque);
        let row = self.seams.store.read(move |tx| crate::cheque::act::ActRow::latest(tx, &intent)).await?;
        let Some(row) = row else { return Ok(false) };
        match self.drive_act(&row).await? {
            Reached::Done(Answer::Refused(fault)) => {
                Err(Failure::from(fault)
                    .hint("the cheque is good: hand its file over, `--out FILE` writes it"))
            }
            Reached::Done(_) => Ok(true),
            Reached::Waiting { .. } => Ok(false),
        }
    }

    /// A joint drawer signs; the drawer whose account it is hands in what enough have signed.
    pub(crate) async fn sign_cheque(&self, path: &Path, out: Option<&Path>) -> Result<Value> {
        let (bundle, _) = read_cheque(path)?;
        let examined = self.examined(bundle).await?;
        let (id, account, bank) =
            (examined.id(), examined.cheque().account.clone(), examined.cheque().bank.clone());
        if bank == self.config.bank && account.as_str() == self.config.account {
            return self.hand_in(Drawn::from_examined(examined)?, id, out).await;
        }
        let out = out.ok_or_else(|| Failure::new(Code::Usage, "name the file to write with --out"))?;
        let shown = json!({
            "cheque": id,
            "number": examined.cheque().number.0,
            "amount": examined.cheque().amount.to_string(),
            "currency": examined.cheque().amount.currency,
            "drawee": bank,
            "account": account,
            "file": out,
        });
        let drawn = Drawn::from_examined(examined)?.join(&self.signer()?)?;
        let complete = drawn.is_complete();
        write_cheque(out, &document(&drawn.into_bundle())?)?;
        let mut shown = shown;
        if let Value::Object(fields) = &mut shown {
            fields.insert("complete".to_owned(), Value::Bool(complete));
        }
        Ok(shown)
    }

    async fn hand_in(&self, drawn: Drawn, id: Digest, out: Option<&Path>) -> Result<Value> {
        let row = self.seams.store.read(move |tx| LeafRow::of_cheque(tx, &id)).await?;
        let mut row =
            row.ok_or_else(|| Failure::new(Code::NotFound, "this wallet did not draw that cheque"))?;
        if row.state == LeafState::Drawn {
            if !drawn.is_complete() {
                return Err(Failure::new(Code::SignatureInvalid, "not enough drawers have signed yet"));
            }
            row.notice = Some(drawn.notice());
            row.file = Some(document(&drawn.into_bundle())?);
            row.state = LeafState::Signed;
            row.reported = false;
            row = self.save_leaf("wallet.cheque.sign", row).await?;
            row = self.issue(row, true).await?;
        }
        let row = self.drive_leaf(row).await?;
        self.hand_over(row, out).await
    }
}

fn sending(cheque: &Digest) -> Digest {
    intent("send", &[&cheque.to_string()])
}

/// What the owner is told of an own cheque.
fn shown(row: &LeafRow, out: Option<&Path>, sent: bool) -> Result<Value> {
    let terms = row.terms()?;
    let certified = row.state == LeafState::Issued && terms.certify;
    let state = match row.state {
        LeafState::Issued if certified => State::Certified.as_str(),
        LeafState::Issued => State::Issued.as_str(),
        _ => State::Signed.as_str(),
    };
    Ok(json!({
        "number": row.number,
        "cheque": row.cheque,
        "state": state,
        "amount": terms.amount.to_string(),
        "currency": terms.amount.currency,
        "payee": terms.payee.name,
        "date": terms.date,
        "complete": row.state != LeafState::Drawn,
        "file": out,
        "sent": sent,
    }))
}

fn words(order: &ChequeOrder, amount: Amount, attachments: &[Attached]) -> Digest {
    let hashes: Vec<String> = attachments
        .iter()
        .map(|it| Transcript::new("wallet/attached").bytes(&it.bytes).into_digest().to_string())
        .collect();
    let certificate = order.certificate.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let required = order.required.map(|required| required.to_string()).unwrap_or_default();
    let amount = amount.to_string();
    let flags = format!("{} {} {}", order.negotiable, order.certify, order.send);
    let (joint, hashes) = (order.joint.join(" "), hashes.join(" "));
    intent(
        "write",
        &[
            order.to.as_deref().unwrap_or_default(),
            &certificate,
            &amount,
            order.date.as_deref().unwrap_or_default(),
            order.memo.as_deref().unwrap_or_default(),
            &flags,
            &joint,
            &required,
            &hashes,
        ],
    )
}

fn order_of(terms: &Terms, bank: &feiqian_wire::Name) -> Result<feiqian_cheque::Order> {
    let mut attachments = Vec::with_capacity(terms.attachments.len());
    for it in terms.attachments.iter() {
        let file = Attachment::new(&it.bytes).map_err(feiqian_cheque::ChequeError::from)?;
        attachments.push((it.name.clone(), it.media_type.clone(), file));
    }
    Ok(feiqian_cheque::Order {
        bank: bank.clone(),
        mandate: terms.mandate.clone(),
        payee: terms.payee.clone(),
        amount: terms.amount,
        date: terms.date,
        memo: terms.memo.clone(),
        negotiable: terms.negotiable,
        attachments,
    })
}

fn read_attachments(paths: &[PathBuf]) -> Result<Bounded<Attached, 4>> {
    let mut attached = Vec::with_capacity(paths.len());
    let mut total = 0usize;
    for path in paths {
        let bytes = read_file(path, MAX_ATTACHMENT)?;
        total = total.saturating_add(bytes.len());
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("attachment");
        let name = Text::new(name).map_err(|error| unusable(path, error))?;
        attached.push(Attached {
            name,
            media_type: Text::fitted(media_type(path)),
            bytes: Blob::new(bytes)?,
        });
    }
    if total > MAX_ATTACHED {
        return Err(Failure::new(
            Code::TooLarge,
            format!("attachments of {total} bytes, at most {MAX_ATTACHED} fit"),
        ));
    }
    Bounded::new(attached).map_err(|_| Failure::new(Code::Usage, "at most 4 files can be attached"))
}

fn media_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()).unwrap_or_default() {
        "pdf" => "application/pdf",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "svg" => "image/svg+xml",
        "txt" | "md" => "text/plain",
        "json" => "application/json",
        _ => "application/octet-stream",
    }
}
