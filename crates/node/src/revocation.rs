//! The revocation lists of the root and of every bank, as the center shows them and as a node keeps them.
//!
//! A list is signed by its authority, so it does not matter who brings it. A node keeps the newest it has seen of
//! each authority and never goes back to an older one. Once it has seen one, it believes that authority's
//! certificates only while the list is current: a list that fails to arrive closes the door.

use std::collections::BTreeMap;

use feiqian_pki::{BACKDATE_SECONDS, MAX_REVOCATION_LIST_BYTES, Revocation, RevocationList};
use feiqian_wire::{Blob, Bounded};

/// The center's answer to `GET /v1/crl`: its own list and the newest it has of each bank, DER, in any order.
pub type ListsResponse = Bounded<Blob<MAX_REVOCATION_LIST_BYTES>, 257>;

/// Whether a list is dated so far ahead of `now` that nobody whose clock is right takes it: the clock of whoever made it was
/// wrong then, or is now. Such a list counts as none, also where it is kept already.
#[must_use]
pub fn is_ahead(list: &RevocationList, now: u64) -> bool {
    list.this_update() > now.saturating_add(BACKDATE_SECONDS)
}

/// The newest list of each authority, by the authority's key.
#[derive(Debug, Clone, Default)]
pub struct ListSet {
    by_authority: BTreeMap<[u8; 32], RevocationList>,
    all: Vec<RevocationList>,
    /// The last list of an authority that gave way because it was ahead: it does not come back from another view.
    gave_way: BTreeMap<[u8; 32], RevocationList>,
}

impl ListSet {
    /// Takes a list if `authority` signed it, it is current, and it is newer than what is kept; one kept that [is
    /// ahead](is_ahead) was taken when this node's clock was wrong, and gives way. Answers whether it was taken.
    pub fn take(&mut self, authority: &[u8; 32], list: &RevocationList, now: u64) -> bool {
        if list.verify(authority, now).is_err() {
            return false;
        }
        if let Some(known) = self.of(authority).filter(|known| is_ahead(known, now)).cloned() {
            self.gave_way.insert(*authority, known);
            return self.replace(authority, list);
        }
        self.keep(authority, list)
    }

    /// As [`ListSet::take`] for a list that was checked before it was stored: it may have ended meanwhile, and then
    /// closes the door.
    pub fn keep(&mut self, authority: &[u8; 32], list: &RevocationList) -> bool {
        if self.gave_way.get(authority) == Some(list) {
            return false;
        }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure to set up fails the test")]

    use feiqian_pki::{Authority, KeyPair};
    use rand::SeedableRng;
    use rand::rngs::ChaCha12Rng;

    use super::*;

    const NOW: u64 = 1_800_000_000;
    const DAY: u64 = 86_400;

    #[test]
    fn a_list_taken_while_the_clock_was_wrong_gives_way_to_one_of_now() {
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let key = KeyPair::generate(&mut rng);
        let authority = key.public_key();
        let root = Authority::root("center", key, NOW, &mut rng).unwrap();
        let list = |number, from: u64| root.issue_crl(&[], number, from, from + DAY).unwrap();
        let (old, of_now, later, ahead) =
            (list(1, NOW - 9), list(2, NOW), list(3, NOW + 60), list(4, NOW + DAY));
        let mut set = ListSet::default();
        assert!(!set.take(&authority, &ahead, NOW), "nobody whose clock is right takes it");
        assert!(set.take(&authority, &ahead, NOW + DAY), "the clock is wrong by a day");
        assert!(set.take(&authority, &of_now, NOW), "and right again");
        assert!(!set.take(&authority, &old, NOW), "it never goes back otherwise");
        assert!(!set.keep(&authority, &ahead), "nor does the other come back from a view that has it yet");
        assert!(set.take(&authority, &later, NOW), "nodes' clocks may differ");
        assert!(!set.take(&authority, &of_now, NOW));
        assert_eq!(set.of(&authority), Some(&later));
    }
}
