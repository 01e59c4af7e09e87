//! The steps: each consumes what it continues and gives back what travels.
//!
//! ```text
//! drawer     Allotment ─ Leaf ─ draw ─▶ Drawn ─ join* ─▶ Bundle ──▶ drawee bank, with a Notice
//! drawee     Submitted ─ countersign ─▶ Bundle ──▶ payee        VerifiedCheque ─ certify ─▶ Bundle
//! holder     VerifiedCheque ─ endorse | deposit ─▶ Bundle ──▶ next holder | collecting bank
//! banks      VerifiedCheque ─ give_back | receipt ─▶ Bundle ──▶ back to the holder
//! ```

use feiqian_crypto::Digest;
use feiqian_money::Amount;
use feiqian_wire::{Bounded, Name, Text, Timestamp, U64};
use serde::{Deserialize, Serialize};

use crate::block::{Block, Signer};
use crate::book::{Allotment, Leaf};
use crate::bundle::{Attachment, Bundle};
use crate::codes::ReturnCode;
use crate::content::{
    AccountToken, AttachmentRef, Body, Certify, Cheque, Countersign, Deposit, Endorse, MAX_ATTACHMENTS,
    MAX_DRAWERS, Outcome, Payee, Receipt, Return,
};
use crate::date::Day;
use crate::error::{ChequeError, Rejection};
use crate::progress::{Progress, Step};
use crate::verify::{Submitted, VerifiedCheque};
use crate::words;

/// Who may sign cheques on an account, and how many must.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mandate {
    /// How many of the drawers must sign.
    pub required: u8,
    /// Account tokens at the drawee bank, in rising order.
    pub drawers: Bounded<AccountToken, MAX_DRAWERS>,
}

impl Mandate {
    /// The mandate of an account with one holder.
    ///
    /// # Errors
    /// [`ChequeError::Misuse`] never in practice: one fits.
    pub fn single(account: &AccountToken) -> Result<Self, ChequeError> {
        Self::joint(1, vec![account.clone()])
    }

    /// `required` of these drawers, in any order.
    ///
    /// # Errors
    /// [`ChequeError::Misuse`] when there are none or too many, or it cannot be met.
    pub fn joint(required: u8, mut drawers: Vec<AccountToken>) -> Result<Self, ChequeError> {
        drawers.sort();
        drawers.dedup();
        if !(1..=drawers.len()).contains(&usize::from(required)) {
            return Err(ChequeError::Misuse("the mandate cannot be met"));
        }
        let drawers = Bounded::new(drawers).map_err(|_| ChequeError::Misuse("too many drawers"))?;
        Ok(Self { required, drawers })
    }
}

/// What the drawer decides. The number comes from the cheque book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The drawee bank.
    pub bank: Name,
    /// Who signs.
    pub mandate: Mandate,
    /// To whom.
    pub payee: Payee,
    /// How much.
    pub amount: Amount,
    /// From when.
    pub date: Day,
    /// For the payee.
    pub memo: Text<256>,
    /// Whether it may be endorsed.
    pub negotiable: bool,
    /// Files to bind: name, media type, content.
    pub attachments: Vec<(Text<128>, Text<64>, Attachment)>,
}

/// A cheque that drawers are signing.
#[derive(Debug, PartialEq, Eq)]
pub struct Drawn {
    bundle: Bundle,
    progress: Progress,
}

/// Draws a cheque on a leaf of the book: the first drawer's signature.
///
/// # Errors
/// [`Rejection::Content`] for an order that contradicts itself; [`Rejection::Signer`] when the signer is not one
/// of the drawers; [`ChequeError::Misuse`] for too many attachments.
pub fn draw(leaf: Leaf, order: Order, signer: &Signer<'_>) -> Result<Drawn, ChequeError> {
    const TOO_MANY: ChequeError = ChequeError::Misuse("too many attachments");
    let (account, number) = leaf.into_parts();
    let words = Text::new(words::english(order.amount)).map_err(|_| ChequeError::Misuse("words too long"))?;
    let mut refs = Vec::with_capacity(MAX_ATTACHMENTS);
    let mut files = Vec::with_capacity(MAX_ATTACHMENTS);
    for (name, media_type, file) in order.attachments {
        refs.push(AttachmentRef { name, media_type, sha256: *file.sha256() });
        files.push(file);
    }
    let cheque = Cheque {
        account,
        amount: order.amount,
        attachments: Bounded::new(refs).map_err(|_| TOO_MANY)?,
        bank: order.bank,
        date: order.date,
        drawers: order.mandate.drawers,
        memo: order.memo,
        negotiable: order.negotiable,
        number,
        payee: order.payee,
        required: order.mandate.required,
        words,
    };
    cheque.check()?;
    let mut bundle =
        Bundle { attachments: Bounded::new(files).map_err(|_| TOO_MANY)?, blocks: Bounded::default() };
    // The id is the digest of the block that is signed now: known to the walk before it takes it.
    let body = Body::Cheque(cheque.clone());
    let block = Block::sign(body.kind(), &body.write(None)?, signer)?;
    let mut progress = Progress::new(cheque, block.digest());
    take(&mut progress, &body, &block, signer)?;
    bundle.push(block)?;
    Ok(Drawn { bundle, progress })
}

impl Drawn {
    /// Takes up a cheque that other drawers have signed, to join them. Their signatures must have been checked.
    ///
    /// # Errors
    /// [`Rejection::Order`] when it is past drawing; the fault that examining found.
    pub fn from_examined(examined: crate::verify::Examined) -> Result<Self, ChequeError> {
        if let Some(fault) = examined.fault() {
            return Err(fault.clone());
        }
        if examined.phase() != crate::progress::Phase::Drawn {
            let block = examined.signatures().len();
            return Err(Rejection::Order { block, kind: crate::block::BlockType::Cheque }.into());
        }
        let progress = examined.progress.clone();
        Ok(Self { bundle: examined.into_bundle(), progress })
    }

    /// Another joint drawer signs the same.
    ///
    /// # Errors
    /// [`Rejection::Signer`] when it is not a drawer, or has signed already.
    pub fn join(mut self, signer: &Signer<'_>) -> Result<Self, ChequeError> {
        let body = Body::Cheque(self.progress.cheque.clone());
        append(&mut self.bundle, &mut self.progress, &body, signer)?;
        Ok(self)
    }

    /// Whether enough drawers have signed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.progress.check_mandate().is_ok()
    }

    /// The cheque's id.
    #[must_use]
    pub fn id(&self) -> Digest {
        self.progress.root
    }

    /// The payment notice that goes to the drawee bank with it.
    #[must_use]
    pub fn notice(&self) -> Notice {
        Notice::of(self.progress.root, &self.progress.cheque)
    }

    /// The document so far: to the next drawer, or to the drawee bank.
    #[must_use]
    pub fn into_bundle(self) -> Bundle {
        self.bundle
    }
}

/// The drawer's payment notice: what the drawee keeps from issue and checks again at payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// The cheque's id.
    pub id: Digest,
    /// The account.
    pub account: AccountToken,
    /// The number.
    pub number: U64,
    /// How much.
    pub amount: Amount,
    /// From when.
    pub date: Day,
    /// To whom.
    pub payee: Payee,
}

impl Notice {
    fn of(id: Digest, cheque: &Cheque) -> Self {
        Self {
            id,
            account: cheque.account.clone(),
            number: cheque.number,
            amount: cheque.amount,
            date: cheque.date,
            payee: cheque.payee.clone(),
        }
    }

    /// Compares a cheque with its notice.
    ///
    /// # Errors
    /// [`Rejection::NoticeMismatch`].
    pub fn check(&self, cheque: &VerifiedCheque) -> Result<(), Rejection> {
        if *self == Self::of(cheque.id(), cheque.cheque()) { Ok(()) } else { Err(Rejection::NoticeMismatch) }
    }
}

impl Submitted {
    /// The drawee bank's time stamp: the number is of the account's book, the mandate is the account's, the
    /// drawers' certificates are valid now (checked when it was submitted).
    ///
    /// # Errors
    /// [`Rejection::WrongBank`], [`Rejection::Register`]; [`Rejection::Signer`] when the signer is not the drawee.
    pub fn countersign(
        self,
        book: &Allotment,
        mandate: &Mandate,
        signer: &Signer<'_>,
        at: Timestamp,
    ) -> Result<Bundle, ChequeError> {
        let cheque = self.cheque();
        if signer.identity().subject.name() != cheque.bank.as_str() {
            return Err(Rejection::WrongBank.into());
        }
        if book.account != cheque.account || !book.contains(cheque.number) {
            return Err(Rejection::Register("the number is not of the account's cheque book").into());
        }
        if mandate.required != cheque.required || mandate.drawers != cheque.drawers {
            return Err(Rejection::Register("the mandate is not the account's").into());
        }
        let body = Countersign { account: cheque.account.clone(), at, number: cheque.number };
        extend(self.0, &Body::Countersign(body), signer)
    }
}

impl VerifiedCheque {
    /// The drawee bank says that the amount is reserved.
    ///
    /// # Errors
    /// [`Rejection::Order`] when it is certified or past it; [`Rejection::Signer`].
    pub fn certify(self, signer: &Signer<'_>, at: Timestamp) -> Result<Bundle, ChequeError> {
        let body = Certify { amount: self.cheque().amount, at };
        extend(self.0, &Body::Certify(body), signer)
    }

    /// The holder passes it on.
    ///
    /// # Errors
    /// [`Rejection::NotNegotiable`], [`Rejection::EndorsementBroken`], [`Rejection::Order`].
    pub fn endorse(self, to: Payee, signer: &Signer<'_>, at: Timestamp) -> Result<Bundle, ChequeError> {
        let sequence = U64(self.endorsements().saturating_add(1));
        extend(self.0, &Body::Endorse(Endorse { at, sequence, to }), signer)
    }

    /// The last holder gives it to its bank.
    ///
    /// `presentment`: the id under which the bank presents it. It must differ each time: made of
    /// [`tip`](crate::verify::Examined::tip), which a return moves on.
    ///
    /// # Errors
    /// [`Rejection::NotHolder`], [`Rejection::Order`].
    pub fn deposit(
        self,
        bank: Name,
        account: AccountToken,
        presentment: Digest,
        signer: &Signer<'_>,
        at: Timestamp,
    ) -> Result<Bundle, ChequeError> {
        extend(self.0, &Body::Deposit(Deposit { account, at, bank, presentment }), signer)
    }

    /// A bank or the center gives it back unpaid.
    ///
    /// # Errors
    /// [`Rejection::Order`] when it is not deposited; [`Rejection::Signer`].
    pub fn give_back(
        self,
        code: ReturnCode,
        signer: &Signer<'_>,
        at: Timestamp,
    ) -> Result<Bundle, ChequeError> {
        let presentment = self.presentment()?;
        extend(self.0, &Body::Return(Return { at, code, presentment }), signer)
    }

    /// A bank or the center says that it is paid, or settled.
    ///
    /// # Errors
    /// [`Rejection::Order`] when it is not deposited; [`Rejection::Signer`].
    pub fn receipt(
        self,
        outcome: Outcome,
        signer: &Signer<'_>,
        at: Timestamp,
    ) -> Result<Bundle, ChequeError> {
        let presentment = self.presentment()?;
        extend(self.0, &Body::Receipt(Receipt { at, outcome, presentment }), signer)
    }

    fn presentment(&self) -> Result<Digest, ChequeError> {
        let deposit = self.deposit_slip().ok_or(ChequeError::Misuse("it was never deposited"))?;
        Ok(deposit.presentment)
    }
}

fn extend(
    examined: crate::verify::Examined,
    body: &Body,
    signer: &Signer<'_>,
) -> Result<Bundle, ChequeError> {
    let mut progress = examined.progress.clone();
    let mut bundle = examined.into_bundle();
    append(&mut bundle, &mut progress, body, signer)?;
    Ok(bundle)
}

fn append(
    bundle: &mut Bundle,
    progress: &mut Progress,
    body: &Body,
    signer: &Signer<'_>,
) -> Result<(), ChequeError> {
    let block = Block::sign(body.kind(), &body.write(progress.link())?, signer)?;
    take(progress, body, &block, signer)?;
    bundle.push(block)
}

/// The verifier's own walk decides whether the new block may stand there.
fn take(progress: &mut Progress, body: &Body, block: &Block, signer: &Signer<'_>) -> Result<(), ChequeError> {
    let step = Step {
        index: progress.blocks,
        body,
        link: progress.link(),
        digest: block.digest(),
        signer: Some(signer.identity()),
    };
    Ok(progress.step(&step)?)
}
