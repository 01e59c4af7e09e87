//! Verdicts that were reached before: the same chain comes with every connection and under every document.
//!
//! A verdict depends on the chain, the root, the purpose, the revocation lists and the time. All but the time stand in
//! the key, a SHA-256 over everything that is judged. A favourable verdict says from when until when it holds: the same
//! lists are current and no certificate ends. Unfavourable ones are not remembered.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use feiqian_crypto::Digest;
use sha2::{Digest as _, Sha256};

use crate::chain::{Chain, TrustedRoot};
use crate::revocation::{Revocation, RevocationList};

/// Most verdicts of one generation; two generations are kept.
const MOST: usize = 4096;

/// Everything that a verdict depends on besides the time.
pub(crate) fn key(what: &[u8], chain: &Chain, root: &TrustedRoot, revocation: Revocation<'_>) -> Digest {
    let mut hash = Sha256::new();
    let mut field = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    field(what);
    field(root.as_der());
    field(&(chain.certificates().len() as u64).to_be_bytes());
    chain.certificates().iter().for_each(|der| field(der));
    match revocation {
        Revocation::Unchecked => field(b"unchecked"),
        Revocation::Required(lists) => lists.iter().for_each(|list| field(&list.digest().0)),
    }
    Digest(hash.finalize().into())
}

/// The first second at which a verdict of `now` has to be reached anew: a list ends or begins to count, or a certificate
/// has ended (`not_after`, the last second of the one that ends first).
pub(crate) fn until(revocation: Revocation<'_>, not_after: u64, now: u64) -> u64 {
    let changes = |list: &RevocationList| {
        let begins = list.this_update().saturating_sub(crate::BACKDATE_SECONDS);
        [begins, list.next_update()].into_iter().filter(|at| *at > now).min()
    };
    let lists = match revocation {
        Revocation::Unchecked => None,
        Revocation::Required(lists) => lists.iter().filter_map(changes).min(),
    };
    lists.unwrap_or(u64::MAX).min(not_after)
}

struct Held<T> {
    from: u64,
    until: u64,
    verdict: T,
}

/// Favourable verdicts, the latest used: when a generation is full, the one before it goes.
struct Generations<T> {
    young: BTreeMap<Digest, Held<T>>,
    old: BTreeMap<Digest, Held<T>>,
}

impl<T: Clone> Generations<T> {
    const fn new() -> Self {
        Self { young: BTreeMap::new(), old: BTreeMap::new() }
    }

    fn find(&mut self, key: &Digest, now: u64) -> Option<T> {
        if !self.young.contains_key(key) {
            let held = self.old.remove(key)?;
            self.put(*key, held);
        }
        let held = self.young.get(key)?;
        (held.from..held.until).contains(&now).then(|| held.verdict.clone())
    }

    fn put(&mut self, key: Digest, held: Held<T>) {
        if self.young.len() >= MOST {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, held);
    }
}

/// Verdicts of one kind, of this process.
pub(crate) struct Known<T>(Mutex<Generations<T>>);

impl<T: Clone> Known<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Generations::new()))
    }

    /// The verdict of this key, if it holds at `now`; else the one that `judge` reaches, which says until when it holds.
    pub(crate) fn or<E>(
        &self,
        key: Digest,
        now: u64,
        judge: impl FnOnce() -> Result<(T, u64), E>,
    ) -> Result<T, E> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(verdict) = lock().find(&key, now) {
            return Ok(verdict);
        }
        let (verdict, until) = judge()?;
        lock().put(key, Held { from: now, until, verdict: verdict.clone() });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u64) -> Digest {
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(number.to_be_bytes()).for_each(|(to, from)| *to = from);
        Digest(bytes)
    }

    fn ask(known: &Known<u64>, number: u64, now: u64, verdict: Result<u64, ()>) -> Result<u64, ()> {
        known.or(digest(number), now, || verdict.map(|verdict| (verdict, 20)))
    }

    #[test]
    fn a_verdict_is_used_again_while_it_holds_and_refusals_never() {
        let known = Known::new();
        assert_eq!(ask(&known, 1, 10, Err(())), Err(()));
        assert_eq!(ask(&known, 1, 10, Ok(7)), Ok(7));
        assert_eq!(ask(&known, 1, 19, Err(())), Ok(7), "still the one of before");
        for outside in [9, 20] {
            assert_eq!(ask(&known, 1, outside, Err(())), Err(()));
        }
        assert_eq!(ask(&known, 2, 10, Err(())), Err(()), "another key");
    }

    #[test]
    fn what_was_not_used_for_long_is_forgotten() {
        let known = Known::new();
        let most = MOST as u64;
        for number in 0..most {
            assert_eq!(ask(&known, number, 10, Ok(1)), Ok(1));
        }
        assert_eq!(ask(&known, most, 10, Ok(1)), Ok(1));
        assert_eq!(ask(&known, 0, 10, Err(())), Ok(1), "of the generation before");
        for number in 0..most {
            let number = number.saturating_add(10_000);
            assert_eq!(ask(&known, number, 10, Ok(1)), Ok(1));
        }
        assert_eq!(ask(&known, 0, 10, Err(())), Ok(1), "it was used");
        assert_eq!(ask(&known, 1, 10, Err(())), Err(()), "it was not");
        let generations = known.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(generations.young.len() <= MOST && generations.old.len() <= MOST);
    }
}
