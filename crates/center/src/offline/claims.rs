//! Claims on the bank of a cheat among the items. That bank names its customer and pays what it can; one that does not
//! in time is liable itself, and pays all. It is told so until it has heard.

use feiqian_clearing::presentment::{ItemKind, Presentment};
use feiqian_crypto::Digest;
use feiqian_offline_cash::accusation::{Accusation, NonAnswer, SignedNonAnswer};
use feiqian_offline_cash::claim::{ClaimItem, VerifiedChargeClaim};
use feiqian_offline_cash::messages::{ClaimOutcome, OverdueClaim};
use feiqian_offline_cash::signed::WireChain;
use feiqian_wire::Timestamp;
use feiqian_wire::error::{Code, Fault};

use crate::failure::Failure;
use crate::items::{Bench, Checked, Item, Stated, Verdict, unsound};
use crate::settlement::{self, Owed};
use crate::stored::{Stored, corrupt};

fn verified(item: &ClaimItem, bench: &Bench<'_>) -> Result<VerifiedChargeClaim, Fault> {
    Ok(item.verify(bench.view.offline_keys(), &mut bench.entropy.rng())?)
}

/// What the bank is told of a claim that it did not answer in time.
pub(crate) fn overdue_of(stored: &Stored) -> Result<OverdueClaim, Failure> {
    let presentment = stored.presentment::<ClaimItem>()?;
    let Some(ClaimOutcome::Unanswered(statement)) = stored.outcome::<ClaimItem>()? else {
        return Err(corrupt("its bank has answered"));
    };
    let (terms, amount) = (presentment.item.terms, presentment.amount);
    Ok(OverdueClaim { presentment: stored.id, terms, amount, statement })
}

/// When the keyset of a key was pinned.
fn pinned_at(bench: &Bench<'_>, key: &Digest) -> Result<Timestamp, Fault> {
    let book = bench.view.offline_keys();
    let keyset = feiqian_offline_cash::keyset::Keys::key(book, key)?.keyset;
    let mut entries = bench.view.offline_entries().iter();
    let entry = entries.find(|entry| entry.keyset.digest() == keyset);
    entry
        .map(|entry| entry.pinned_at)
        .ok_or_else(|| Fault::new(Code::Internal, "a key that was never pinned"))
}

impl Item for ClaimItem {
    type Outcome = ClaimOutcome;

    const KIND: ItemKind = ItemKind::Claim;
    const FORWARD: &'static str = "/v1/pay/claim";
    const DEFERRED: bool = false;

    fn digest(&self) -> Result<Digest, Fault> {
        Ok(Self::digest(self))
    }

    fn stated(&self, _bench: &Bench<'_>) -> Result<Stated, Fault> {
        let route = (self.terms.issuing_bank.as_str().to_owned(), String::new());
        Ok(Stated { amount: self.amount, route: Some(route) })
    }

    async fn check(presentment: &Presentment<Self>, bench: &Bench<'_>) -> Checked<ClaimOutcome> {
        let checked = presentment.item.verify(bench.view.offline_keys(), &mut bench.entropy.rng());
        let debtor = checked.map(|claim| claim.debtor.as_str().to_owned()).map_err(Fault::from);
        Checked::of(debtor, Self::refused)
    }

    fn owed(presentment: &Presentment<Self>, issuing: &str) -> Owed {
        Owed {
            debtor: issuing.to_owned(),
            creditor: presentment.collecting_bank.as_str().to_owned(),
            amount: presentment.amount,
            code: settlement::CLAIM,
        }
    }

    fn judge(
        presentment: &Presentment<Self>,
        _issuing: &str,
        outcome: &ClaimOutcome,
        bench: &Bench<'_>,
    ) -> Result<Verdict, Fault> {
        let ClaimOutcome::Answered { accusation, paid } = outcome else {
            return Err(unsound("only an accusation answers a claim whose evidence holds"));
        };
        let held = Accusation::Customer(accusation.clone()).verify(bench.view.root());
        held.map_err(|error| unsound(error.to_string()))?;
        let claim = verified(&presentment.item, bench)?;
        claim.check_answer(accusation, *paid).map_err(|error| unsound(error.to_string()))?;
        Ok(Self::verdict(presentment, outcome))
    }

    fn verdict(presentment: &Presentment<Self>, outcome: &ClaimOutcome) -> Verdict {
        match outcome {
            ClaimOutcome::Answered { paid, .. } => Verdict::paying(*paid, presentment.amount.minor),
            ClaimOutcome::Unanswered(_) => Verdict::Settle,
            ClaimOutcome::Refused(_) => Verdict::Release,
        }
    }

    /// No fault of the bank ends a claim: its evidence holds.
    fn ends(_: Code) -> bool {
        false
    }

    fn overdue(
        presentment: &Presentment<Self>,
        asked_at: Timestamp,
        bench: &Bench<'_>,
    ) -> Result<Option<ClaimOutcome>, Fault> {
        if bench.now < asked_at.saturating_add(bench.answer_seconds) {
            return Ok(None);
        }
        let claim = verified(&presentment.item, bench)?;
        let statement = NonAnswer {
            bank: claim.debtor.clone(),
            key: claim.key,
            pinned_at: pinned_at(bench, &claim.key)?,
            coin: claim.terms.message,
            opening: claim.opening,
            asked_at,
            decided_at: bench.now,
        };
        let chain = WireChain::from_chain(&bench.keys.signer_chain)?;
        Ok(Some(ClaimOutcome::Unanswered(SignedNonAnswer::sign(statement, &bench.keys.signer, chain)?)))
    }

    fn is_news_to_payer(outcome: &ClaimOutcome) -> bool {
        matches!(outcome, ClaimOutcome::Unanswered(_))
    }

    fn refused(fault: Fault) -> ClaimOutcome {
        ClaimOutcome::Refused(fault)
    }

    fn failed(_: &Presentment<Self>, _: Option<&ClaimOutcome>, _: &Bench<'_>) -> Result<ClaimOutcome, Fault> {
        Ok(ClaimOutcome::Refused(Fault::new(Code::SettlementFailed, "the banks could not settle it")))
    }
}
