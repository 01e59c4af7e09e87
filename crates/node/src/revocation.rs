//! The revocation lists of the root and of every bank, as the center shows them and as a node keeps them.
//!
//! A list is signed by its authority, so it does not matter who brings it. A node keeps the newest it has seen of
//! each authority and never goes back to an older one. Once it has seen one, it believes that authority's
//! certificates only while the list is current: a list that fails to arrive closes the door.

use std::collections::BTreeMap;

use feiqian_pki::{MAX_REVOCATION_LIST_BYTES, Revocation, RevocationList};
use feiqian_wire::{Blob, Bounded};

/// The center's answer to `GET /v1/crl`: its own list and the newest it has of each bank, DER, in any order.
pub type ListsResponse = Bounded<Blob<MAX_REVOCATION_LIST_BYTES>, 257>;

/// The newest list of each authority, by the authority's key.
#[derive(Debug, Clone, Default)]
pub struct ListSet {
    by_authority: BTreeMap<[u8; 32], RevocationList>,
    all: Vec<RevocationList>,
}

impl ListSet {
    /// Takes a list if `authority` signed it, it is current, and it is newer than what is kept. Answers whether it
    /// was taken.
    pub fn take(&mut self, authority: &[u8; 32], list: &RevocationList, now: u64) -> bool {
        if list.verify(authority, now).is_err() {
            return false;
        }
        self.keep(authority, list)
    }

    /// As [`ListSet::take`] for a list that was checked before it was stored: it may have ended meanwhile, and then
    /// closes the door.
    pub fn keep(&mut self, authority: &[u8; 32], list: &RevocationList) -> bool {
        let known = self.by_authority.get(authority);
        if known.is_some_and(|known| known.this_update() >= list.this_update() && known != list) {
            return false;
        }
        let changed = known != Some(list);
        self.replace(authority, list) && changed
    }

    /// Puts a list in place of what is kept, whichever is newer. Always answers that it was taken.
    pub(crate) fn replace(&mut self, authority: &[u8; 32], list: &RevocationList) -> bool {
        self.by_authority.insert(*authority, list.clone());
        self.all = self.by_authority.values().cloned().collect();
        true
    }

    /// The newest list of an authority.
    #[must_use]
    pub fn of(&self, authority: &[u8; 32]) -> Option<&RevocationList> {
        self.by_authority.get(authority)
    }

    /// Authorities' keys with their lists.
    #[must_use]
    pub fn pairs(&self) -> Vec<([u8; 32], RevocationList)> {
        self.by_authority.iter().map(|(authority, list)| (*authority, list.clone())).collect()
    }

    /// All lists, for judging documents.
    #[must_use]
    pub fn all(&self) -> &[RevocationList] {
        &self.all
    }

    /// How certificates of `authority` under `root` are judged: by lists, once one of `authority` was seen.
    #[must_use]
    pub fn revocation(&self, authority: &[u8; 32]) -> Revocation<'_> {
        if self.by_authority.contains_key(authority) {
            Revocation::Required(&self.all)
        } else {
            Revocation::Unchecked
        }
    }
}
