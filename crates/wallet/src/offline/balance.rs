//! Offline cash in the balance and the status.

use feiqian_ledger::store::{StoreExt, Tx};
use feiqian_money::Minor;
use feiqian_offline_cash::chain::Passed;
use feiqian_offline_cash::keyset::{KeyBook, Keys, Kind};
use feiqian_wire::Timestamp;
use serde::Serialize;

use super::rows::{ClaimRow, CoinRow, PaymentRow, SessionRow};
use crate::answer::Open;
use crate::failure::{Failure, Result};
use crate::wallet::Wallet;

/// What is held offline: `balance` pays now; `pending` is on its way in or back to the account; `reclaimable` no longer
/// pays, or never may, and is claimed when its time comes.
#[derive(Serialize)]
pub(crate) struct Offline {
    balance: String,
    pending: String,
    reclaimable: String,
    /// Own coins that pay.
    coins: usize,
    /// Holdings that pay: value that others passed on, those first that end first; at most [`LISTED`].
    received: Vec<ReceivedLine>,
    /// Blanks that can be offered.
    blanks: usize,
    /// First second at which some of it no longer pays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pay_until: Option<u64>,
}

/// A piece that somebody passed on, and what of it is left.
#[derive(Serialize)]
pub(crate) struct ReceivedLine {
    amount: String,
    /// Whose coin it is.
    bank: String,
    /// How often it was passed on.
    hops: usize,
    /// First second at which it no longer pays.
    pay_until: u64,
}

/// The most holdings that a balance lists.
const LISTED: usize = 200;

/// What the store says.
struct Rows {
    coins: Vec<CoinRow>,
    claims: Vec<ClaimRow>,
    sessions: Vec<SessionRow>,
    deposits: Vec<PaymentRow>,
    open_offers: Vec<feiqian_crypto::Digest>,
}

fn rows(tx: &mut dyn Tx) -> Result<Rows> {
    let committed = super::rows::OfferRow::in_state(tx, "committed")?;
    Ok(Rows {
        coins: CoinRow::select(tx, "rest > 0 OR (kind = 'blank' AND chain IS NULL)", &[])?,
        claims: ClaimRow::select(tx, "state IN ('decided', 'refused')", &[])?,
        sessions: SessionRow::unfinished(tx)?,
        deposits: PaymentRow::open(tx)?,
        open_offers: committed.into_iter().map(|offer| offer.offer).collect(),
    })
}

/// First second at which a coin or holding no longer pays: the earliest of its keys.
fn pays_until(row: &CoinRow, book: &KeyBook) -> Result<Timestamp> {
    let mut until = book.key(&row.key)?.times.pay_until;
    for link in row.chain.iter().flat_map(|chain| chain.links.iter()) {
        until = until.min(book.key(&link.hop.key)?.times.pay_until);
    }
    Ok(until)
}

impl Wallet {
    pub(crate) async fn offline_balance(&self) -> Result<Offline> {
        let Rows { coins, claims, sessions, deposits, open_offers } = self.seams.store.read(rows).await?;
        let (view, now) = (self.view(), self.now());
        let book = view.offline_keys();
        let (mut ready, mut later, mut own, mut blanks) = (Minor::ZERO, Minor::ZERO, 0_usize, 0_usize);
        let mut received = Vec::new();
        let mut earliest: Option<Timestamp> = None;
        for coin in &coins {
            let until = pays_until(coin, book)?;
            let pays = !coin.restored && now < until;
            if coin.kind == Kind::Blank && coin.chain.is_none() {
                let free = coin.offer.is_none_or(|offer| open_offers.contains(&offer));
                blanks = blanks.saturating_add(usize::from(pays && free));
            } else if pays {
                ready = ready.checked_add(coin.rest)?;
                match &coin.chain {
                    Some(chain) => received.push(self.received_line(coin, chain, until, book)?),
                    None => own = own.saturating_add(1),
                }
                earliest = Some(earliest.map_or(until, |known| known.min(until)));
            } else if !claims.iter().any(|claim| claim.message == coin.message)
                && now < book.key(&coin.key)?.times.reclaim_until
            {
                later = later.checked_add(coin.rest)?;
            }
        }
        received.sort_by_key(|line: &ReceivedLine| line.pay_until);
        received.truncate(LISTED);
        let pending = sessions.iter().map(|row| row.amount).chain(deposits.iter().map(|row| row.amount));
        Ok(Offline {
            balance: self.amount(ready).to_string(),
            pending: self.amount(Minor::sum(pending)?).to_string(),
            reclaimable: self.amount(later).to_string(),
            coins: own,
            received,
            blanks,
            pay_until: earliest.map(Timestamp::seconds),
        })
    }

    fn received_line(
        &self,
        coin: &CoinRow,
        chain: &Passed,
        until: Timestamp,
        book: &KeyBook,
    ) -> Result<ReceivedLine> {
        let first = chain.links.first().ok_or_else(|| Failure::broken("a holding without its coin"))?;
        Ok(ReceivedLine {
            amount: self.amount(coin.rest).to_string(),
            bank: book.key(&first.hop.key)?.bank.as_str().to_owned(),
            hops: chain.links.len(),
            pay_until: until.seconds(),
        })
    }

    /// What of offline cash is unfinished.
    pub(crate) async fn offline_unfinished(&self) -> Result<Vec<Open>> {
        let read = |tx: &mut dyn Tx| {
            let claims = ClaimRow::select(tx, "state IN ('open', 'filed')", &[])?;
            Ok::<_, Failure>((SessionRow::unfinished(tx)?, PaymentRow::open(tx)?, claims))
        };
        let (sessions, deposits, claims) = self.seams.store.read(read).await?;
        let open = |kind: &str, state: &str, amount: Minor, reference| Open {
            kind: kind.to_owned(),
            state: state.to_owned(),
            amount: self.amount(amount).to_string(),
            bank: self.config.bank.as_str().to_owned(),
            reference,
        };
        let mut all = Vec::new();
        for row in &sessions {
            let kind = if row.kind == Kind::Blank { "blanks" } else { "withdraw_offline" };
            all.push(open(kind, row.state.as_str(), row.amount, row.request));
        }
        all.extend(deposits.iter().map(|row| open("deposit_offline", &row.state, row.amount, row.payment)));
        all.extend(claims.iter().map(|row| open("reclaim", &row.state, row.amount, row.message)));
        Ok(all)
    }
}
