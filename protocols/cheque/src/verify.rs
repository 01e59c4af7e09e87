//! Verifying a whole document: every signature's state, and one verdict.

use std::ops::Deref;

use feiqian_crypto::Digest;
use feiqian_pki::{Subject, Verified};
use feiqian_wire::Timestamp;

use crate::block::{BlockType, Opened};
use crate::bundle::Bundle;
use crate::codes::ReturnCode;
use crate::content::{Body, Cheque, Deposit, Link, Payee};
use crate::error::{ChequeError, Rejection};
use crate::progress::{CLOCK_SKEW_SECONDS, Phase, Progress, Step, is_stamped};
use crate::trust::Trust;

/// What verification found about one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureState {
    /// The block's type.
    pub kind: BlockType,
    /// Of a return its code, of a receipt its outcome.
    pub says: Option<&'static str>,
    /// Who signed, as certified; `None` when the certificate does not hold.
    pub signer: Option<Subject>,
    /// The time at which the signer's certificate was judged.
    pub judged_at: Timestamp,
    /// The rule it breaks; `None` when it is good.
    pub fault: Option<Rejection>,
}

/// A document that was read and looked at, good or not: what a person is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    pub(crate) bundle: Bundle,
    pub(crate) progress: Progress,
    signatures: Vec<SignatureState>,
    fault: Option<ChequeError>,
}

/// A document in which every signature is good, every rule is kept and the drawee has countersigned.
///
/// Whether it will be paid is the drawee's register to say: a file can be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCheque(pub(crate) Examined);

/// What drawers hand to the drawee bank: every signature is good, the mandate it names is met, not countersigned.
#[derive(Debug, PartialEq, Eq)]
pub struct Submitted(pub(crate) Examined);

impl Deref for VerifiedCheque {
    type Target = Examined;

    fn deref(&self) -> &Examined {
        &self.0
    }
}

impl Deref for Submitted {
    type Target = Examined;

    fn deref(&self) -> &Examined {
        &self.0
    }
}

impl Examined {
    /// The cheque's id: the digest of its first block.
    #[must_use]
    pub fn id(&self) -> Digest {
        self.progress.root
    }

    /// The digest of the last good block: what the next one follows.
    #[must_use]
    pub fn tip(&self) -> Digest {
        self.progress.tip
    }

    /// What the first drawer signed.
    #[must_use]
    pub fn cheque(&self) -> &Cheque {
        &self.progress.cheque
    }

    /// Every block's state, first to last.
    #[must_use]
    pub fn signatures(&self) -> &[SignatureState] {
        &self.signatures
    }

    /// Why it is not good; `None` when it is.
    #[must_use]
    pub fn fault(&self) -> Option<&ChequeError> {
        self.fault.as_ref()
    }

    /// How far it has come.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.progress.phase
    }

    /// Who holds it: the payee, or to whom it was last endorsed.
    #[must_use]
    pub fn holder(&self) -> &Payee {
        &self.progress.holder
    }

    /// How often it was endorsed.
    #[must_use]
    pub fn endorsements(&self) -> u64 {
        self.progress.endorsements
    }

    /// Whether the drawee has reserved the amount.
    #[must_use]
    pub fn is_certified(&self) -> bool {
        self.progress.certified
    }

    /// The drawee's time stamp.
    #[must_use]
    pub fn countersigned_at(&self) -> Option<Timestamp> {
        self.progress.countersigned_at
    }

    /// The last deposit.
    #[must_use]
    pub fn deposit_slip(&self) -> Option<&Deposit> {
        self.progress.deposit.as_ref()
    }

    /// The code of the last return.
    #[must_use]
    pub fn returned(&self) -> Option<ReturnCode> {
        self.progress.returned
    }

    /// The document itself.
    #[must_use]
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// The document itself.
    #[must_use]
    pub fn into_bundle(self) -> Bundle {
        self.bundle
    }

    /// Wants it good and countersigned.
    ///
    /// # Errors
    /// The first rule it breaks, in the order of the blocks; [`Rejection::NotCountersigned`].
    pub fn into_verified(self) -> Result<VerifiedCheque, ChequeError> {
        match (self.fault.clone(), self.progress.phase) {
            (Some(fault), _) => Err(fault),
            (None, Phase::Drawn) => {
                self.progress.check_mandate()?;
                Err(Rejection::NotCountersigned.into())
            }
            (None, _) => Ok(VerifiedCheque(self)),
        }
    }

    /// Wants it good, signed by enough drawers and not yet countersigned.
    ///
    /// # Errors
    /// The first rule it breaks; [`Rejection::SignatureMissing`]; [`Rejection::Order`] when it is past that.
    pub fn into_submitted(self) -> Result<Submitted, ChequeError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.progress.check_mandate()?;
        if self.progress.phase != Phase::Drawn {
            return Err(Rejection::Order { block: self.progress.blocks, kind: BlockType::Countersign }.into());
        }
        Ok(Submitted(self))
    }
}

/// Verifies a document at whatever point of its way it is, from the countersignature on.
///
/// # Errors
/// [`ChequeError`]: the first rule it breaks.
pub fn verify(bundle: Bundle, trust: &Trust<'_>) -> Result<VerifiedCheque, ChequeError> {
    examine(bundle, trust)?.into_verified()
}

/// Verifies what drawers hand in for countersigning. Their certificates are judged now.
///
/// # Errors
/// [`ChequeError`]: the first rule it breaks.
pub fn submit(bundle: Bundle, trust: &Trust<'_>) -> Result<Submitted, ChequeError> {
    examine(bundle, trust)?.into_submitted()
}

/// Looks at a document, good or not.
///
/// # Errors
/// [`ChequeError`] when there is nothing to show: a block's form is broken, or the first is no cheque block.
pub fn examine(bundle: Bundle, trust: &Trust<'_>) -> Result<Examined, ChequeError> {
    let blocks = read_blocks(&bundle)?;
    let Some((Read { body: Body::Cheque(cheque), opened, .. }, _)) = blocks.split_first() else {
        return Err(Rejection::Order { block: 0, kind: first_kind(&blocks) }.into());
    };
    let mut walk = Walk {
        trust,
        stamp: blocks.iter().find_map(|block| match &block.body {
            Body::Countersign(it) => Some(it.at),
            _ => None,
        }),
        progress: Progress::new(cheque.clone(), opened.digest),
        signatures: Vec::with_capacity(blocks.len()),
        broken: false,
    };
    let content = cheque.check().map_err(ChequeError::from);
    let content = content.and_then(|()| bundle.check_attachments(&cheque.attachments));
    blocks.iter().enumerate().for_each(|(index, block)| walk.take(index, block));
    let first = walk.signatures.iter().find_map(|state| state.fault.clone());
    let fault = content.err().or(first.map(ChequeError::from));
    Ok(Examined { bundle, progress: walk.progress, signatures: walk.signatures, fault })
}

struct Read {
    opened: Opened,
    body: Body,
    link: Option<Link>,
}

fn read_blocks(bundle: &Bundle) -> Result<Vec<Read>, ChequeError> {
    let blocks = bundle.blocks.iter().enumerate();
    blocks
        .map(|(index, block)| {
            let opened = block.open(index)?;
            let (body, link) = Body::read(opened.kind, &opened.payload)?;
            Ok(Read { opened, body, link })
        })
        .collect()
}

fn first_kind(blocks: &[Read]) -> BlockType {
    blocks.first().map_or(BlockType::Cheque, |block| block.body.kind())
}

struct Walk<'a> {
    trust: &'a Trust<'a>,
    /// The drawee's time stamp, as the document claims; good or not, its own block says.
    stamp: Option<Timestamp>,
    progress: Progress,
    signatures: Vec<SignatureState>,
    /// After a block that does not fit, what follows is judged by its signature only.
    broken: bool,
}

impl Walk<'_> {
    fn take(&mut self, index: usize, block: &Read) {
        let kind = block.body.kind();
        let judged_at = block.body.at().or(self.stamp).unwrap_or(self.trust.now());
        let signer = self.judge(index, block, judged_at);
        let identity = signer.as_ref().ok();
        let step = Step {
            index,
            body: &block.body,
            link: block.link,
            digest: block.opened.digest,
            signer: identity,
        };
        let order = if self.broken { Ok(()) } else { self.progress.step(&step) };
        self.broken |= order.is_err();
        let subject = identity.map(|identity| identity.subject.clone());
        let fault = signer.err().or(order.err());
        let says = block.body.says();
        self.signatures.push(SignatureState { kind, says, signer: subject, judged_at, fault });
    }

    fn judge(&self, block: usize, read: &Read, at: Timestamp) -> Result<Verified, Rejection> {
        // The time stamp is the countersignature's to answer for, not the drawer's.
        let stamped = is_stamped(read.body.kind()) && self.stamp.is_some();
        if !stamped && at > self.trust.now().saturating_add(CLOCK_SKEW_SECONDS) {
            return Err(Rejection::Time { block });
        }
        let verified = self
            .trust
            .judge(&read.opened.chain, at, stamped)
            .map_err(|reason| Rejection::Certificate { block, reason })?;
        let good = read.opened.check_signature(&verified.public_key);
        good.map_err(|_| Rejection::Signature { block })?;
        Ok(verified)
    }
}
