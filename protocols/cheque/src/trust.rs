//! Against what a cheque is judged: the root, the revocation lists, the time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use feiqian_pki::{
    Chain, PkiError, Purpose, Rejection, Revocation, RevocationList, RevocationReason, Revoked, Serial,
    TrustedRoot, Verified, validate, validate_authority,
};
use feiqian_wire::Timestamp;

/// The root, the revocation lists and the time: made once for a batch, shared between threads.
///
/// Which list speaks for an authority is found once and remembered.
pub struct Trust<'a> {
    root: &'a TrustedRoot,
    lists: &'a [RevocationList],
    now: Timestamp,
    /// For each authority's key: the newest current list that it signed.
    current: Mutex<BTreeMap<[u8; 32], Option<usize>>>,
}

impl fmt::Debug for Trust<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("root", &self.root.name())
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl<'a> Trust<'a> {
    /// Judges under this root, with these lists, at this time.
    ///
    /// # Security
    /// Fails closed: an issuer without a list that is current `now` makes every certificate of it unacceptable.
    #[must_use]
    pub fn new(root: &'a TrustedRoot, lists: &'a [RevocationList], now: Timestamp) -> Self {
        Self { root, lists, now, current: Mutex::new(BTreeMap::new()) }
    }

    /// The time at which it is judged.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> &TrustedRoot {
        self.root
    }

    /// Judges a signer's chain at the time of its signature.
    ///
    /// `stamped`: somebody else vouches for `at`. Then only a revocation up to `at` counts. Otherwise the signer
    /// could have written any time it liked, so every revocation counts, except that the certificate was merely
    /// replaced by a newer one later.
    pub(crate) fn judge(&self, chain: &Chain, at: Timestamp, stamped: bool) -> Result<Verified, PkiError> {
        let verified = validate(chain, self.root, Purpose::Signing, Revocation::Unchecked, at.seconds())?;
        let issuer_key = match chain.issuer() {
            None => *self.root.public_key(),
            Some(issuer) => {
                let authority = validate_authority(&issuer, self.root, Revocation::Unchecked, at.seconds())?;
                self.check_revocation(self.root.public_key(), &authority.serial, at, false)?;
                authority.public_key
            }
        };
        self.check_revocation(&issuer_key, &verified.serial, at, stamped)?;
        Ok(verified)
    }

    fn check_revocation(
        &self,
        issuer: &[u8; 32],
        serial: &Serial,
        at: Timestamp,
        stamped: bool,
    ) -> Result<(), PkiError> {
        let list = self.list_of(issuer).ok_or(Rejection::RevocationUnknown)?;
        let forgives = |entry: &Revoked| {
            entry.at > at.seconds() && (stamped || entry.reason == RevocationReason::Superseded)
        };
        match list.find(serial) {
            Some(entry) if !forgives(entry) => Err(Rejection::Revoked.into()),
            _ => Ok(()),
        }
    }

    /// The newest current list of that authority, of those it signed.
    fn list_of(&self, issuer: &[u8; 32]) -> Option<&RevocationList> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let index = *current.entry(*issuer).or_insert_with(|| {
            let valid = |list: &RevocationList| list.verify(issuer, self.now.seconds()).is_ok();
            let lists = self.lists.iter().enumerate().filter(|(_, list)| valid(list));
            lists.max_by_key(|(_, list)| list.this_update()).map(|(index, _)| index)
        });
        index.and_then(|index| self.lists.get(index))
    }
}
