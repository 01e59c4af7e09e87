//! What the center tells everybody about offline cash: the log of pinned offline keysets and the exposed coins, checked
//! against the root and kept for use without asking again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::keyset::KeyBook;
use feiqian_offline_cash::messages::{
    ExposedRequest, ExposedResponse, OfflinePinEntry, OfflinePinsRequest, OfflinePinsResponse, SignedExposed,
};
use feiqian_offline_cash::policy::Exposed;
use feiqian_pki::TrustedRoot;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Text, Timestamp, U64};

use crate::members::{MemberView, Members};
use crate::network::Network;

/// The offline part of a [`MemberView`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Offline {
    entries: Arc<Vec<OfflinePinEntry>>,
    keys: Arc<KeyBook>,
    lists: Arc<BTreeMap<String, SignedExposed>>,
    exposed: Exposed,
}

impl Offline {
    fn append(&mut self, entry: OfflinePinEntry, root: &TrustedRoot) -> Result<(), Rejection> {
        let keyset = entry.keyset.clone().verify_with_chain(&entry.signer, entry.pinned_at, root)?;
        if self.keys.keyset(&keyset.digest).is_ok() {
            return Err(Rejection::KeysetNotPinned("a keyset stands in the log twice"));
        }
        Arc::make_mut(&mut self.keys).add(keyset)?;
        Arc::make_mut(&mut self.entries).push(entry);
        Ok(())
    }

    /// Takes a list unless a later one of its bank is known.
    fn take(&mut self, list: SignedExposed) {
        let bank = list.list.bank.as_str().to_owned();
        if self.lists.get(&bank).is_none_or(|known| known.list.as_of <= list.list.as_of) {
            Arc::make_mut(&mut self.lists).insert(bank, list);
        }
    }

    /// This, with what of it equals parts of `other` shared with it.
    pub(crate) fn sharing(&self, other: &Self, same_root: bool) -> Self {
        // The keys follow from the entries and the root.
        let same_log = same_root && self.entries == other.entries;
        let (log, lists) =
            (if same_log { other } else { self }, if self.lists == other.lists { other } else { self });
        Self {
            entries: Arc::clone(&log.entries),
            keys: Arc::clone(&log.keys),
            lists: Arc::clone(&lists.lists),
            exposed: self.exposed.clone(),
        }
    }

    fn listed(mut self, as_of: Timestamp) -> Self {
        let coins: BTreeSet<_> =
            self.lists.values().flat_map(|list| list.list.coins.iter().copied()).collect();
        self.exposed = Exposed { as_of: self.exposed.as_of.max(as_of), coins };
        self
    }
}

impl MemberView {
    /// This view with more entries of the log of offline keysets, each checked: from the center, or from the node's own
    /// store.
    ///
    /// # Errors
    /// `CERTIFICATE_INVALID`, `SIGNATURE_INVALID`, `KEYSET_INVALID` or `KEYSET_NOT_PINNED` when an entry does not hold or
    /// stands beside one that it contradicts.
    pub fn with_offline(&self, more: Vec<OfflinePinEntry>) -> Result<Self, Fault> {
        let mut offline = self.offline().clone();
        for entry in more {
            offline.append(entry, self.root())?;
        }
        Ok(self.with_offline_part(offline))
    }

    /// This view with these exposed lists, so far as a member has signed them and none later of it is known. `as_of` is
    /// when the center showed them; by a clock that is ahead it counts as `now`.
    #[must_use]
    pub fn with_exposed(&self, lists: Vec<SignedExposed>, as_of: Timestamp, now: Timestamp) -> Self {
        let mut offline = self.offline().clone();
        // One that is held was checked when it came.
        let held = |list: &SignedExposed| self.exposed_lists().get(list.list.bank.as_str()) == Some(list);
        for list in lists.into_iter().filter(|list| !held(list)) {
            match self.check_exposed(&list, now) {
                Ok(()) => offline.take(list),
                Err(fault) => {
                    tracing::warn!(bank = %list.list.bank, %fault, "an exposed list does not hold");
                }
            }
        }
        self.with_offline_part(offline.listed(as_of.min(now)))
    }

    /// Is an exposed list signed by the member that it names, and not of the future?
    ///
    /// # Errors
    /// `WRONG_BANK`, `UNAVAILABLE` or `CERTIFICATE_INVALID` when its signer is not known, `SIGNATURE_INVALID`,
    /// `REQUEST_INVALID`.
    pub fn check_exposed(&self, list: &SignedExposed, now: Timestamp) -> Result<(), Fault> {
        let said = list.list.as_of;
        if said > now.saturating_add(crate::members::CLOCK_SKEW) {
            return Err(Fault::new(Code::RequestInvalid, "an exposed list of the future"));
        }
        let key = self.receipt_signer(list.list.bank.as_str(), said, now)?;
        Ok(list.verify(&key)?)
    }

    /// The pinned offline keysets.
    #[must_use]
    pub fn offline_keys(&self) -> &KeyBook {
        &self.offline().keys
    }

    /// The log of offline keysets as received, for keeping.
    #[must_use]
    pub fn offline_entries(&self) -> &[OfflinePinEntry] {
        &self.offline().entries
    }

    /// The exposed coins of all banks, and when the center last showed them.
    #[must_use]
    pub fn exposed(&self) -> &Exposed {
        &self.offline().exposed
    }

    /// The exposed lists by bank as received, for keeping together with [`MemberView::exposed`]'s time.
    #[must_use]
    pub fn exposed_lists(&self) -> &BTreeMap<String, SignedExposed> {
        &self.offline().lists
    }
}

/// A center that knows nothing of offline cash is like one that shows an empty log.
fn none_yet<T>(answer: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(fault) if fault.code == Code::NotFound => Ok(None),
        Err(fault) => Err(fault),
    }
}

impl Members {
    /// Asks the center for the entries of the offline log that are not known yet, and for the exposed lists.
    pub(crate) async fn sync_offline(&self, network: &dyn Network, now: Timestamp) -> Result<(), Fault> {
        let known = self.snapshot().offline_entries().len();
        let more = self.ask_offline_pins(network, known).await?;
        let view = self.snapshot();
        // Another round may have been faster.
        let behind = view.offline_entries().len().saturating_sub(known);
        self.replace(view.with_offline(more.into_iter().skip(behind).collect())?);
        let Some((lists, as_of)) = self.ask_exposed(network).await? else { return Ok(()) };
        self.replace(self.snapshot().with_exposed(lists, as_of, now));
        Ok(())
    }

    async fn ask_offline_pins(
        &self,
        network: &dyn Network,
        known: usize,
    ) -> Result<Vec<OfflinePinEntry>, Fault> {
        let mut more = Vec::new();
        loop {
            let from = U64(u64::try_from(known.saturating_add(more.len())).unwrap_or(u64::MAX));
            let asked = self.ask(network, "/v1/offline/pins", &OfflinePinsRequest { from }).await;
            let part: Option<OfflinePinsResponse> = none_yet(asked)?;
            match part {
                Some(part) if !part.entries.is_empty() => more.extend(part.entries.into_vec()),
                _ => return Ok(more),
            }
        }
    }

    /// All exposed lists, and since when they stand at the center; `None` when it shows none.
    async fn ask_exposed(
        &self,
        network: &dyn Network,
    ) -> Result<Option<(Vec<SignedExposed>, Timestamp)>, Fault> {
        let (mut lists, mut after, mut as_of) = (Vec::new(), Text::default(), None);
        loop {
            let request = ExposedRequest { after: after.clone() };
            let part: Option<ExposedResponse> =
                none_yet(self.ask(network, "/v1/offline/exposed", &request).await)?;
            let Some(part) = part else { return Ok(None) };
            // The oldest answer counts for all.
            let since = *as_of.get_or_insert(part.as_of);
            let Some(last) = part.lists.last() else { return Ok(Some((lists, since))) };
            let next = Text::new(last.list.bank.as_str())?;
            if next.as_str() <= after.as_str() {
                return Err(Fault::new(Code::Unavailable, "the center shows exposed lists out of order"));
            }
            after = next;
            lists.extend(part.lists.into_vec());
        }
    }
}
