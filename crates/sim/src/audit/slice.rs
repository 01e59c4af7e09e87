//! Parts of what is compared: a look that goes part by part needs no more memory however much there is.

use feiqian_crypto::Id16;
use feiqian_ledger::store::Value;

/// About how many coins a slice has in the registers of all banks.
const COINS: u64 = 20_000;

/// The most slices there can be: one for each first byte.
const MOST: u16 = 256;

/// The ids whose first byte lies in a range. Ids are digests or keys, so slices of one width have about as many each.
///
/// Each row belongs to a slice by the id under which it is looked up at another home. What has no such id belongs to the
/// first slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    first: u8,
    last: u8,
}

impl Slice {
    /// All ids.
    pub const ALL: Self = Self { first: 0, last: u8::MAX };

    /// All ids in `count` slices, in order; `count` is rounded up to a power of two, of which 256 is the largest.
    pub fn of(count: u16) -> impl Iterator<Item = Self> {
        let count = count.clamp(1, MOST).next_power_of_two();
        let width = MOST.checked_div(count).unwrap_or(MOST);
        (0..=u8::MAX).step_by(width.into()).map(move |first| {
            let next = u16::from(first).saturating_add(width);
            Self { first, last: u8::try_from(next.saturating_sub(1)).unwrap_or(u8::MAX) }
        })
    }

    /// How many slices keep each small where the banks have registered so many coins.
    pub(super) fn count(coins: u64) -> u16 {
        let count = coins.div_ceil(COINS).clamp(1, MOST.into());
        u16::try_from(count.next_power_of_two()).unwrap_or(MOST)
    }

    /// Whether it is the first, which has everything without an id.
    pub(super) const fn is_first(self) -> bool {
        self.first == 0
    }

    /// Whether none comes after it.
    pub(super) const fn is_last(self) -> bool {
        self.last == u8::MAX
    }

    /// Whether the id is of this slice.
    pub(super) fn has(self, id: &impl AsRef<[u8]>) -> bool {
        id.as_ref().first().is_some_and(|byte| (self.first..=self.last).contains(byte))
    }

    /// Whether the account with this token is of this slice.
    pub(super) fn has_account(self, token: &str) -> bool {
        token.parse::<Id16>().map_or(self.is_first(), |account| self.has(&account))
    }

    /// The condition of a `SELECT` that an id in `column` is of this slice, with its parameters. No id in a column is
    /// outside all slices: to either side the outermost have no bound.
    pub(super) fn condition(self, column: &str) -> (String, Vec<Value>) {
        let next = self.last.saturating_add(1);
        match (self.is_first(), self.is_last()) {
            (true, true) => ("1 = 1".to_owned(), Vec::new()),
            (true, false) => (format!("{column} < ?1"), vec![[next].into()]),
            (false, true) => (format!("{column} >= ?1"), vec![[self.first].into()]),
            (false, false) => {
                (format!("{column} >= ?1 AND {column} < ?2"), vec![[self.first].into(), [next].into()])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use feiqian_crypto::Digest;
    use feiqian_ledger::store::{Column, StoreError, StoreExt as _, Table, Tx};
    use feiqian_store::SqliteStore;

    use super::*;

    const COUNTS: [u16; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

    static THING: Table =
        Table { name: "thing", columns: &[Column::blob("id")], key: 1, constraints: &[], indexes: &[] };

    #[test]
    fn every_first_byte_is_of_one_slice() {
        for count in COUNTS {
            let slices: Vec<Slice> = Slice::of(count).collect();
            assert_eq!(slices.len(), usize::from(count));
            assert!(slices.first().unwrap().is_first() && slices.last().unwrap().is_last());
            assert_eq!(slices.iter().filter(|slice| slice.is_first()).count(), 1);
            assert_eq!(slices.iter().filter(|slice| slice.is_last()).count(), 1);
            for byte in 0..=u8::MAX {
                let has = slices.iter().filter(|slice| slice.has(&Digest([byte; 32]))).count();
                assert_eq!(has, 1, "{byte} in {count} slices");
            }
        }
        assert_eq!(Slice::of(1).collect::<Vec<_>>(), [Slice::ALL]);
        assert_eq!([Slice::of(0).count(), Slice::of(3).count(), Slice::of(999).count()], [1, 4, 256]);
    }

    #[tokio::test]
    async fn every_row_is_selected_by_one_slice_the_one_that_has_its_id() {
        let store = SqliteStore::open_in_memory(&[&THING]).unwrap();
        // Every first byte, the borders of each, and ids that are too short or too long.
        let ends = [[0x00; 31], [0x80; 31], [0xff; 31]];
        let of = |byte: u8| ends.map(|end| [&[byte][..], &end].concat()).into_iter().chain([vec![byte]]);
        let ids: Vec<Vec<u8>> = (0..=u8::MAX).flat_map(of).chain([Vec::new(), [0xff; 40].to_vec()]).collect();
        let rows = ids.clone();
        let insert = move |tx: &mut dyn Tx| -> Result<(), StoreError> {
            rows.iter().try_for_each(|id| tx.insert(&THING, &[id.clone().into()]))
        };
        store.commit("test.slice", insert).await.unwrap();
        for count in COUNTS {
            let mut selected = Vec::new();
            for slice in Slice::of(count) {
                let read = move |tx: &mut dyn Tx| -> Result<Vec<Vec<u8>>, StoreError> {
                    let (condition, bounds) = slice.condition("id");
                    let rows = tx.select(&format!("SELECT id FROM thing WHERE {condition}"), &bounds)?;
                    rows.iter().map(|row| row.blob(0).map(<[u8]>::to_vec)).collect()
                };
                let some = store.read(read).await.unwrap();
                assert!(some.iter().all(|id| id.is_empty() || slice.has(id)), "{slice:?}");
                selected.extend(some);
            }
            selected.sort();
            let mut all = ids.clone();
            all.sort();
            assert_eq!(selected, all, "{count} slices");
        }
    }

    #[test]
    fn small_worlds_are_looked_at_in_one_slice_and_large_ones_in_more() {
        let counts = [0, 20_000, 20_001, 80_000, 160_001, 5_120_001, u64::MAX].map(Slice::count);
        assert_eq!(counts, [1, 1, 2, 4, 16, 256, 256]);
    }

    #[test]
    fn an_account_is_of_the_slice_of_its_id_and_what_is_no_account_of_the_first() {
        for count in COUNTS {
            for token in ["00".repeat(16), "7f".repeat(16), "ff".repeat(16), "nobody".to_owned()] {
                let have: Vec<_> = Slice::of(count).filter(|slice| slice.has_account(&token)).collect();
                let [slice] = have.as_slice() else { panic!("{token}: {have:?}") };
                assert!(token != "nobody" || slice.is_first());
            }
        }
    }
}
