//! What the wallet holds, without the secrets: as much of each coin as choosing, counting and making change need.

use feiqian_crypto::{Digest, EncodedPoint};
use feiqian_ledger::store::{Row, Tx};
use feiqian_money::Minor;
use feiqian_online_cash::coin::CoinId;

use crate::failure::Result;

/// A coin without its secret and signature. The index of [`crate::tables::COIN`] holds just this of every coin with a rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeldCoin {
    pub(crate) id: CoinId,
    pub(crate) bank: String,
    pub(crate) worth: Minor,
    pub(crate) rest: Minor,
    pub(crate) state: String,
}

/// Its columns.
const COLUMNS: &str = "denomination, coin_key, bank, worth, rest, state";

impl HeldCoin {
    fn of(row: &Row) -> Result<Self> {
        Ok(Self {
            id: CoinId { denomination: row.digest(0)?, key: EncodedPoint(row.array(1)?) },
            bank: row.text(2)?.to_owned(),
            worth: row.minor(3)?,
            rest: row.minor(4)?,
            state: row.text(5)?.to_owned(),
        })
    }

    /// Every coin that may still give something: not refused, and not wholly and finally spent.
    pub(crate) fn unspent(tx: &mut dyn Tx) -> Result<Vec<Self>> {
        Self::left(tx, "")
    }

    /// Those of [`HeldCoin::unspent`] that were signed away in part or that the bank doubts.
    pub(crate) fn touched(tx: &mut dyn Tx) -> Result<Vec<Self>> {
        Self::left(tx, "AND (rest < worth OR state = 'suspect')")
    }

    /// Those with a rest on which `condition` holds, and all that a void statement took whole. In the order of their keys.
    fn left(tx: &mut dyn Tx, condition: &str) -> Result<Vec<Self>> {
        let rest = format!(
            "SELECT {COLUMNS} FROM coin WHERE rest > 0 AND state <> 'refused' {condition} ORDER BY denomination, coin_key"
        );
        // Most rows are of coins spent long ago: those are reached by the few statements that never took effect.
        let whole = format!(
            "SELECT {COLUMNS} FROM coin WHERE rest = 0 AND state <> 'refused' AND (denomination, coin_key) IN \
             (SELECT c.denomination, c.coin_key FROM signed_statement s JOIN contribution c ON c.digest = s.digest \
             WHERE s.state = 'void' AND c.released_by IS NULL)"
        );
        let mut rows = tx.select(&rest, &[])?;
        let given_back = tx.select(&whole, &[])?;
        let is_sorted = given_back.is_empty();
        rows.extend(given_back);
        let mut coins: Vec<Self> = rows.iter().map(Self::of).collect::<Result<_>>()?;
        if !is_sorted {
            coins.sort_by_key(|coin| coin.id);
        }
        Ok(coins)
    }

    /// How many coins of each worth nothing was signed of, at one bank.
    pub(crate) fn whole(tx: &mut dyn Tx, bank: &str) -> Result<Vec<(Minor, u32)>> {
        let sql = "SELECT worth, count(*) FROM coin WHERE bank = ?1 AND rest > 0 AND rest = worth AND state <> 'refused' \
                   GROUP BY worth ORDER BY worth";
        tx.select(sql, &[bank.into()])?.iter().map(|row| Ok((row.minor(0)?, row.small(1)?))).collect()
    }

    /// The denominations of all coins with a rest.
    pub(crate) fn denominations(tx: &mut dyn Tx) -> Result<Vec<Digest>> {
        let sql = "SELECT DISTINCT denomination FROM coin WHERE rest > 0 ORDER BY denomination";
        tx.select(sql, &[])?.iter().map(|row| Ok(row.digest(0)?)).collect()
    }

    /// Whether nothing was ever signed of it: what was signed and not released is missing in its rest, and whatever
    /// was released was released by something that is.
    pub(crate) fn is_untouched(&self) -> bool {
        self.rest == self.worth
    }
}
