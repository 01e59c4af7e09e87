//! E-cheques: the own cheque book, cheques that came to us, and how both are judged.
//!
//! | module | idea |
//! |---|---|
//! | `act` | one call that changes something at a bank, durable and repeated word for word |
//! | `leaf`, `write` | a leaf is torn out before it is signed, signed before it is sent |
//! | `order` | stop, unstop, void, certify |
//! | `received`, `holder` | endorse, deposit, and the box of cheques that others sent |
//! | `payee` | from an account or certificate to the payee line |
//! | `list` | what there is, with the drawee's register |

pub(crate) mod act;
mod holder;
pub(crate) mod leaf;
mod list;
mod order;
mod payee;
pub(crate) mod received;
mod write;

use std::path::{Path, PathBuf};

use feiqian_cheque::book::Allotment;
use feiqian_cheque::messages::{BookRequest, ChequeOutcome, Document, MAX_DOCUMENT};
use feiqian_cheque::progress::Phase;
use feiqian_cheque::{Bundle, ChequeError, Examined, Signer, Trust, VerifiedCheque, examine, verify};
use feiqian_crypto::{Digest, Transcript};
use feiqian_ledger::store::StoreExt;
use feiqian_pki::RevocationList;
use feiqian_wire::Text;
use feiqian_wire::error::{Code, Fault};
use rand::RngExt as _;
use serde_json::{Value, json};

use crate::answer::show;
use crate::failure::{Failure, Result};
use crate::wallet::{Wallet, read_lists};
use act::{Act, ActRow, Answer, Reached, lying};

pub(crate) use order::reason as stop_reason;
pub(crate) use payee::read_place;

/// A path that is not there or cannot be read, by name.
fn unusable(path: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::new(Code::Usage, format!("{}: {error}", path.display()))
}

fn read_file(path: &Path, most: usize) -> Result<Vec<u8>> {
    let most = u64::try_from(most).unwrap_or(u64::MAX);
    feiqian_node::files::read_bounded(path, most).map_err(|error| unusable(path, error))
}

/// Reads a cheque file.
fn read_cheque(path: &Path) -> Result<(Bundle, Document)> {
    let bytes = read_file(path, MAX_DOCUMENT)?;
    let bundle = Bundle::from_bytes(bytes.trim_ascii_end()).map_err(|error| {
        Failure::new(Code::Malformed, format!("{} is no e-cheque: {error}", path.display()))
    })?;
    Ok((bundle, Document::new(bytes.trim_ascii_end())?))
}

fn write_cheque(path: &Path, file: &Document) -> Result<()> {
    feiqian_node::files::write_private(path, file).map_err(|error| {
        unusable(path, error).hint("the cheque is stored: repeat the command with another --out FILE")
    })
}

fn document(bundle: &Bundle) -> Result<Document> {
    Document::new(bundle.to_bytes()?).map_err(|_| {
        Failure::new(Code::TooLarge, "the cheque's file is too large").hint("attach smaller files")
    })
}

fn read_document(file: &Document) -> Result<Bundle> {
    Ok(Bundle::from_bytes(file).map_err(ChequeError::from)?)
}

/// The file with the attachments of `from` in place of its own: banks are sent none, and give none back.
fn with_attachments(file: &Document, from: &Bundle) -> Result<Document> {
    let mut bundle = read_document(file)?;
    bundle.attachments = from.attachments.clone();
    document(&bundle)
}

/// Names an act by its words.
fn intent(kind: &str, words: &[&str]) -> Digest {
    let mut transcript = Transcript::new("wallet/cheque/intent").text(kind);
    for word in words {
        transcript = transcript.text(word);
    }
    transcript.into_digest()
}

impl Wallet {
    /// The newest revocation lists ever seen: what the center shows now joins them where it is newer. They say
    /// themselves until when they hold.
    async fn lists(&self) -> Result<Vec<RevocationList>> {
        let asked = self.sync().await;
        let kept = self.seams.store.read(read_lists).await?;
        let view = self.view().with_stored_lists(&kept);
        match asked {
            Err(Failure::Fault(_)) if !view.lists().all().is_empty() => {}
            asked => asked?,
        }
        Ok(view.lists().all().to_vec())
    }

    /// Looks at a document, good or not.
    async fn examined(&self, bundle: Bundle) -> Result<Examined> {
        let lists = self.lists().await?;
        let view = self.view();
        let examined = examine(bundle, &Trust::new(view.root(), &lists, self.now()))?;
        match examined.fault() {
            Some(fault) if fault.lacks_list() => Err(unjudged(&fault.to_string())),
            _ => Ok(examined),
        }
    }

    /// Wants a document good and countersigned.
    async fn verified(&self, bundle: Bundle) -> Result<VerifiedCheque> {
        let lists = self.lists().await?;
        let view = self.view();
        verify(bundle, &Trust::new(view.root(), &lists, self.now()))
            .map_err(|error| if error.lacks_list() { unjudged(&error.to_string()) } else { error.into() })
    }

    /// Our file with blocks of banks behind it, which are good and stand where they may. What was before them was
    /// good when it was sent: a certificate revoked or a list ended since then does not undo what a bank has done.
    /// A fault here is never a refusal of what was asked.
    async fn continued(&self, ours: &Document, theirs: &Document) -> Result<Examined> {
        let bundle = continuation(ours, theirs)?;
        let known = read_document(ours)?.blocks.len();
        let lists = self.lists().await.map_err(never_final)?;
        let view = self.view();
        let examined = examine(bundle, &Trust::new(view.root(), &lists, self.now()))
            .map_err(|error| lying(&format!("a cheque that does not hold: {error}")))?;
        let added = examined.signatures().get(known..).unwrap_or_default();
        match added.iter().find_map(|block| block.fault.clone()).map(ChequeError::from) {
            _ if added.is_empty() => Err(lying("a cheque without a block of its own")),
            Some(fault) if fault.lacks_list() => Err(unjudged(&fault.to_string())),
            Some(fault) => Err(lying(&format!("a cheque that does not hold: {fault}"))),
            None => Ok(examined),
        }
    }

    fn signer(&self) -> Result<Signer<'_>> {
        Signer::new(&self.signing, &self.signing_chain, self.view().root(), self.now()).map_err(|_| {
            Failure::new(Code::CertificateInvalid, "the own signing certificate does not hold any more")
                .hint("renew it with `feiqian wallet certificate renew`")
        })
    }

    fn account_token(&self) -> Result<Text<64>> {
        Ok(Text::new(self.config.account.clone())?)
    }

    fn check_book(&self, request: &BookRequest, book: &Allotment) -> Result<()> {
        let fits = book.account.as_str() == self.config.account
            && book.leaves == u32::from(request.leaves)
            && book.first.0 > 0;
        if fits { Ok(()) } else { Err(lying("another cheque book than was asked for")) }
    }

    /// The bank's answer is our file with blocks of the drawee behind it, and it holds.
    async fn check_extended(&self, ours: &Document, theirs: &Document, certified: bool) -> Result<()> {
        let examined = self.continued(ours, theirs).await?;
        let good = examined.phase() == Phase::Issued && (examined.is_certified() || !certified);
        if good { Ok(()) } else { Err(lying("a cheque that is not what was asked for")) }
    }

    /// A paid cheque carries its receipt; a returned one is ours, with a return behind it where one had room.
    async fn check_outcome(&self, ours: &Document, outcome: &ChequeOutcome) -> Result<()> {
        match outcome {
            ChequeOutcome::Refused(_) => Ok(()),
            ChequeOutcome::Returned(_, file) => continuation(ours, file).map(drop),
            ChequeOutcome::Paid(file) => match self.continued(ours, file).await?.phase() {
                Phase::Paid | Phase::Settled => Ok(()),
                _ => Err(lying("a cheque without its receipt")),
            },
        }
    }

    /// Gets leaves.
    pub(crate) async fn cheque_book(&self, leaves: u16) -> Result<Value> {
        let id = Digest(self.rng().random());
        let intent = intent("book", &[&leaves.to_string()]);
        let act = Act::Book(BookRequest { request: id, leaves });
        let row = self.plan_act(intent, id, act).await?;
        match self.finish_and_report(&row).await? {
            Answer::Book(book) => show(&json!({
                "first": book.first.0,
                "last": book.numbers().last().map_or(book.first.0, |number| number.0),
                "leaves": book.leaves,
                "account": book.account,
            })),
            _ => Err(Failure::broken("another answer than a cheque book")),
        }
    }

    /// Drives an act that cannot wait; what was refused becomes the command's fault.
    async fn finish_and_report(&self, row: &ActRow) -> Result<Answer> {
        match self.drive_act(row).await? {
            Reached::Done(answer) => {
                self.report_act(row.id).await?;
                match answer {
                    Answer::Refused(fault) => Err(fault.into()),
                    answer => Ok(answer),
                }
            }
            Reached::Waiting { .. } => Err(Failure::broken("only a deposit waits")),
        }
    }

    /// Goes on with everything about cheques that is unfinished.
    pub(crate) async fn resume_cheques(&self, trouble: &mut Vec<Fault>) -> Result<()> {
        for leaf in self.seams.store.read(leaf::LeafRow::unfinished).await? {
            gather(self.drive_leaf(leaf).await.map(drop), trouble)?;
        }
        for row in self.seams.store.read(ActRow::open).await? {
            gather(self.drive_act(&row).await.map(drop), trouble)?;
        }
        Ok(())
    }

    /// Where files go that nobody named a place for.
    fn folder(&self) -> Option<PathBuf> {
        self.evidence_dir.as_ref().map(|home| home.join("cheques"))
    }
}

fn gather(outcome: Result<()>, trouble: &mut Vec<Fault>) -> Result<()> {
    match outcome {
        Err(Failure::Fault(fault)) => {
            trouble.push(fault);
            Ok(())
        }
        other => other,
    }
}

/// Want of a revocation list passes, and is no verdict.
fn unjudged(why: &str) -> Failure {
    Failure::new(Code::Unavailable, why)
        .hint("the center has no current revocation list of that bank yet: try again in a minute")
}

/// What a bank answered, if the blocks of `ours` are its first ones. Attachments come back as they please.
fn continuation(ours: &Document, theirs: &Document) -> Result<Bundle> {
    let bundle = Bundle::from_bytes(theirs).map_err(|error| lying(&format!("no e-cheque: {error}")))?;
    if bundle.blocks.starts_with(&read_document(ours)?.blocks) {
        Ok(bundle.without_attachments())
    } else {
        Err(lying("another cheque"))
    }
}

/// After a bank has answered, our own troubles say nothing of what it did.
fn never_final(failure: Failure) -> Failure {
    match failure {
        Failure::Fault(fault) if fault.is_definitive() => {
            Failure::new(Code::Unavailable, fault.message.as_str())
        }
        failure => failure,
    }
}
