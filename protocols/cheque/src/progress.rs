//! What may follow what, and who may sign it: one walk over the blocks, used by verifier and by every step that
//! adds a block, so that they cannot disagree.
//!
//! ```text
//! cheque (k drawers) → countersign → (certify | endorse)* → deposit ─┬→ receipt paid ─┬→ receipt settled
//!                                                             ▲      └→ return ◀──────┘ SETTLEMENT_FAILED
//!                                                             └──────────┘
//! ```

use std::collections::BTreeSet;

use feiqian_crypto::Digest;
use feiqian_pki::{Role, Subject, Verified};
use feiqian_wire::Timestamp;

use crate::block::BlockType;
use crate::bundle::MAX_BLOCKS;
use crate::codes::ReturnCode;
use crate::content::{
    Body, Certify, Cheque, Countersign, Deposit, Endorse, Link, Outcome, Payee, Receipt, Return, is_account,
};
use crate::error::Rejection;

/// By how many seconds clocks of different nodes may differ.
pub const CLOCK_SKEW_SECONDS: u64 = 300;

/// How many blocks banks add after a deposit: a receipt, and that it is settled or undone.
const BANKS_BLOCKS: usize = 2;

/// How far a document has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Drawers are signing.
    Drawn,
    /// The drawee has countersigned: it can be passed on and deposited.
    Issued,
    /// It lies at a collecting bank.
    Deposited,
    /// It came back unpaid.
    Returned,
    /// It was paid.
    Paid,
    /// The payment is final.
    Settled,
}

/// A block as the walk sees it.
pub(crate) struct Step<'a> {
    pub(crate) index: usize,
    pub(crate) body: &'a Body,
    pub(crate) link: Option<Link>,
    pub(crate) digest: Digest,
    /// `None` when the signer could not be established; that is a fault of its own.
    pub(crate) signer: Option<&'a Verified>,
}

/// The state of the walk after some blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) root: Digest,
    pub(crate) tip: Digest,
    pub(crate) cheque: Cheque,
    /// Drawers who have signed.
    pub(crate) signed: BTreeSet<String>,
    /// Drawers' blocks whose signer is not established: each is a fault already, so none is missing besides.
    unknown: usize,
    pub(crate) phase: Phase,
    pub(crate) holder: Payee,
    /// Endorsements so far.
    pub(crate) endorsements: u64,
    pub(crate) certified: bool,
    pub(crate) countersigned_at: Option<Timestamp>,
    pub(crate) deposit: Option<Deposit>,
    pub(crate) returned: Option<ReturnCode>,
    pub(crate) blocks: usize,
}

impl Progress {
    /// The walk before the first block of this cheque.
    pub(crate) fn new(cheque: Cheque, root: Digest) -> Self {
        let holder = cheque.payee.clone();
        Self {
            root,
            tip: root,
            cheque,
            signed: BTreeSet::new(),
            unknown: 0,
            phase: Phase::Drawn,
            holder,
            endorsements: 0,
            certified: false,
            countersigned_at: None,
            deposit: None,
            returned: None,
            blocks: 0,
        }
    }

    /// How the next block is linked.
    pub(crate) fn link(&self) -> Option<Link> {
        (self.blocks > 0).then_some(Link { prev: self.tip, root: self.root })
    }

    /// Whether enough drawers have signed.
    pub(crate) fn check_mandate(&self) -> Result<(), Rejection> {
        let (required, found) = (self.cheque.required, self.signed.len());
        if found.saturating_add(self.unknown) >= usize::from(required) {
            Ok(())
        } else {
            Err(Rejection::SignatureMissing { required, found })
        }
    }

    /// Takes the next block. After an error the walk stands where it stood.
    pub(crate) fn step(&mut self, step: &Step<'_>) -> Result<(), Rejection> {
        self.check_link(step)?;
        self.check_time(step)?;
        let order = Rejection::Order { block: step.index, kind: step.body.kind() };
        match (self.phase, step.body) {
            (Phase::Drawn, Body::Cheque(it)) => self.draw(it, step),
            (Phase::Drawn, Body::Countersign(it)) => self.countersign(it, step),
            (Phase::Issued, Body::Certify(it)) if !self.certified => self.certify(it, step),
            (Phase::Issued, Body::Endorse(it)) => self.endorse(it, step),
            (Phase::Issued | Phase::Returned, Body::Deposit(it)) => self.deposit(it, step),
            (Phase::Deposited, Body::Return(it)) => self.give_back(it, step),
            (Phase::Paid, Body::Return(it)) if it.code == ReturnCode::SettlementFailed => {
                self.give_back(it, step)
            }
            (Phase::Deposited, Body::Receipt(it)) if it.outcome == Outcome::Paid => self.receipt(it, step),
            (Phase::Paid, Body::Receipt(it)) if it.outcome == Outcome::Settled => self.receipt(it, step),
            _ => Err(order),
        }?;
        self.tip = step.digest;
        self.blocks = self.blocks.saturating_add(1);
        Ok(())
    }

    fn check_link(&self, step: &Step<'_>) -> Result<(), Rejection> {
        let (block, kind) = (step.index, step.body.kind());
        match (self.link(), step.link) {
            (None, None) => Ok(()),
            (Some(wanted), Some(found)) if wanted == found => Ok(()),
            (Some(wanted), Some(found)) if wanted.root != found.root => Err(Rejection::Root { block }),
            (Some(_), Some(_)) => Err(Rejection::Prev { block, kind }),
            // A first block in the middle, or a later one at the beginning.
            _ => Err(Rejection::Root { block }),
        }
    }

    /// Nothing after the countersignature is older than it, as far as clocks agree.
    fn check_time(&self, step: &Step<'_>) -> Result<(), Rejection> {
        match (self.countersigned_at, step.body.at()) {
            (Some(stamp), Some(at)) if at.saturating_add(CLOCK_SKEW_SECONDS) < stamp => {
                Err(Rejection::Time { block: step.index })
            }
            _ => Ok(()),
        }
    }

    fn draw(&mut self, cheque: &Cheque, step: &Step<'_>) -> Result<(), Rejection> {
        let block = step.index;
        if *cheque != self.cheque {
            return Err(Rejection::Altered { block });
        }
        let Some(signer) = step.signer else {
            self.unknown = self.unknown.saturating_add(1);
            return Ok(());
        };
        if !cheque.is_drawer(&signer.subject) {
            return Err(Rejection::Signer { block, reason: "not one of the drawers" });
        }
        if !self.signed.insert(signer.subject.name().to_owned()) {
            return Err(Rejection::Signer { block, reason: "this drawer has signed already" });
        }
        Ok(())
    }

    fn countersign(&mut self, it: &Countersign, step: &Step<'_>) -> Result<(), Rejection> {
        self.check_drawee(step)?;
        self.check_mandate()?;
        if it.account != self.cheque.account || it.number != self.cheque.number {
            return Err(Rejection::Altered { block: step.index });
        }
        self.countersigned_at = Some(it.at);
        self.phase = Phase::Issued;
        Ok(())
    }

    fn certify(&mut self, it: &Certify, step: &Step<'_>) -> Result<(), Rejection> {
        self.check_drawee(step)?;
        if it.amount != self.cheque.amount {
            return Err(Rejection::Altered { block: step.index });
        }
        self.certified = true;
        Ok(())
    }

    fn endorse(&mut self, it: &Endorse, step: &Step<'_>) -> Result<(), Rejection> {
        let block = step.index;
        if !self.cheque.negotiable {
            return Err(Rejection::NotNegotiable);
        }
        self.check_room(step, BANKS_BLOCKS.saturating_add(1))?;
        let sequence = self.endorsements.saturating_add(1);
        if it.sequence.0 != sequence {
            return Err(Rejection::EndorsementMissing { block });
        }
        if it.to.name.is_empty() {
            return Err(Rejection::Content("no payee"));
        }
        if step.signer.is_some_and(|signer| !self.holder.is(signer)) {
            return Err(Rejection::EndorsementBroken { block });
        }
        self.endorsements = sequence;
        self.holder = it.to.clone();
        Ok(())
    }

    /// Room for this block and so many after it. What a holder adds must leave the banks room for a receipt and its
    /// settlement, or for a return: a file in which they could say nothing could be neither paid nor given back.
    fn check_room(&self, step: &Step<'_>, after: usize) -> Result<(), Rejection> {
        let needed = self.blocks.saturating_add(1).saturating_add(after);
        if needed <= MAX_BLOCKS { Ok(()) } else { Err(Rejection::Full { block: step.index }) }
    }

    fn deposit(&mut self, it: &Deposit, step: &Step<'_>) -> Result<(), Rejection> {
        self.check_room(step, BANKS_BLOCKS)?;
        let own = |signer: &Verified| is_account(&signer.subject, &it.bank, &it.account);
        if step.signer.is_some_and(|signer| !self.holder.is(signer) || !own(signer)) {
            return Err(Rejection::NotHolder);
        }
        self.deposit = Some(it.clone());
        self.phase = Phase::Deposited;
        Ok(())
    }

    fn give_back(&mut self, it: &Return, step: &Step<'_>) -> Result<(), Rejection> {
        self.check_clearing(step, &it.presentment, true)?;
        self.returned = Some(it.code);
        self.phase = Phase::Returned;
        Ok(())
    }

    fn receipt(&mut self, it: &Receipt, step: &Step<'_>) -> Result<(), Rejection> {
        // That it was paid is for the payer's bank to say; that it is settled, for either.
        self.check_clearing(step, &it.presentment, it.outcome == Outcome::Settled)?;
        self.phase = match it.outcome {
            Outcome::Paid => Phase::Paid,
            Outcome::Settled => Phase::Settled,
        };
        Ok(())
    }

    fn check_drawee(&self, step: &Step<'_>) -> Result<(), Rejection> {
        match step.signer {
            Some(signer) if !is_bank(&signer.subject, &self.cheque.bank) => {
                Err(Rejection::Signer { block: step.index, reason: "not the drawee bank" })
            }
            _ => Ok(()),
        }
    }

    fn check_clearing(
        &self,
        step: &Step<'_>,
        presentment: &Digest,
        collecting_may: bool,
    ) -> Result<(), Rejection> {
        let deposit = self.deposit.as_ref();
        if deposit.is_none_or(|deposit| deposit.presentment != *presentment) {
            return Err(Rejection::Altered { block: step.index });
        }
        let allowed = |subject: &Subject| {
            let collecting = || deposit.is_some_and(|deposit| is_bank(subject, &deposit.bank));
            subject.role() == Role::Center
                || is_bank(subject, &self.cheque.bank)
                || (collecting_may && collecting())
        };
        if step.signer.is_some_and(|signer| !allowed(&signer.subject)) {
            let reason = "neither a bank of this cheque nor the center";
            return Err(Rejection::Signer { block: step.index, reason });
        }
        Ok(())
    }
}

fn is_bank(subject: &Subject, bank: &str) -> bool {
    subject.role() == Role::Bank && subject.name() == bank
}

/// Whose time judges the signer's certificate.
///
/// A drawer's is judged at the drawee's time stamp. Everybody else gives the time himself.
pub(crate) fn is_stamped(kind: BlockType) -> bool {
    kind == BlockType::Cheque
}
