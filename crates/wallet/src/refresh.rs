//! Old coins into new ones: change, renewal, value that comes back.
//!
//! A coin is refreshed when it is partly spent, when a statement of it never took effect (its value comes back by
//! *releasing* that statement), or when its key is in the last third of its life; during grace only this is left.

use std::collections::{BTreeMap, BTreeSet};

use feiqian_crypto::Digest;
use feiqian_ledger::store::StoreExt;
use feiqian_money::Minor;
use feiqian_online_cash::coin::CoinId;
use feiqian_online_cash::funding::MAX_RELEASES;
use feiqian_online_cash::keyset::VerifiedKey;
use feiqian_wire::Timestamp;
use feiqian_wire::error::Fault;
use serde_json::Value;

use crate::answer::{Refreshed, show};
use crate::failure::Result;
use crate::held::HeldCoin;
use crate::pledge;
use crate::record::{PlannedCoin, Purpose, SessionRow};
use crate::session::Ended;
use crate::wallet::Wallet;

/// Most coins of one refresh: fewer than a message takes, so that one refusal holds up little.
const GROUP: usize = 64;

/// Rounds of one command: a voided session is retried with its release, a suspected group coin by coin.
const ROUNDS: usize = 4;

/// A coin that needs a refresh.
struct Due {
    plan: PlannedCoin,
    releases: Vec<Digest>,
    bank: String,
    alone: bool,
}

/// Whether a key is in the last third of its life.
fn ends_soon(key: &VerifiedKey, now: Timestamp) -> bool {
    let life = key.key.redeem_until.seconds_since(key.key.issue_from);
    let third = life.checked_div(3).unwrap_or(0);
    now >= key.key.redeem_until.saturating_sub(third)
}

impl Wallet {
    /// The owner's command: everything that is due, and refunds.
    pub(crate) async fn refresh(&self) -> Result<Value> {
        let mut trouble = self.settle_expired().await.err();
        let refunded = match self.claim_recent().await {
            Ok(refunded) => refunded,
            Err(failure) => {
                trouble.get_or_insert(failure);
                Minor::ZERO
            }
        };
        let (refreshed, coins) = match self.refresh_coins().await {
            Ok(done) => done,
            Err(failure) => {
                trouble.get_or_insert(failure);
                (Minor::ZERO, 0)
            }
        };
        match trouble {
            Some(failure) if refreshed.is_zero() && refunded.is_zero() => Err(failure),
            _ => show(&Refreshed {
                refreshed: self.amount(refreshed).to_string(),
                refunded: self.amount(refunded).to_string(),
                coins,
                currency: self.config.currency,
            }),
        }
    }

    /// Refreshes every coin that is due. Answers with the value and the number of old coins.
    pub(crate) async fn refresh_coins(&self) -> Result<(Minor, usize)> {
        let (mut total, mut count) = (Minor::ZERO, 0usize);
        let mut last: Option<Fault> = None;
        for _ in 0..ROUNDS {
            let groups = groups(self.due().await?);
            if groups.is_empty() {
                return Ok((total, count));
            }
            for (bank, plans) in groups {
                let amount = Minor::sum(plans.iter().map(|plan| plan.contribution))?;
                let coins = plans.len();
                let session = self.plan_session(&bank, Purpose::Refresh(plans), amount, None).await?;
                match self.drive(session).await? {
                    Ended::Done => {
                        total = total.checked_add(amount)?;
                        count = count.saturating_add(coins);
                    }
                    Ended::Void(fault) => last = Some(fault),
                }
            }
        }
        match last {
            Some(fault) if total.is_zero() => Err(fault.into()),
            _ => Ok((total, count)),
        }
    }

    /// The coins that are due and not already in an unfinished session.
    async fn due(&self) -> Result<Vec<Due>> {
        let (view, now) = (self.view(), self.now());
        self.seams
            .store
            .read(move |tx| {
                let busy: BTreeSet<CoinId> = SessionRow::unfinished(tx)?
                    .into_iter()
                    .flat_map(|session| match session.design.purpose {
                        Purpose::Refresh(planned) => planned,
                        _ => Vec::new(),
                    })
                    .map(|plan| plan.coin)
                    .collect();
                let mut due = Vec::new();
                let restoring = crate::restore::is_open(tx)?;
                let ends = |key: &VerifiedKey| key.check_grace(now).is_ok() && ends_soon(key, now);
                let renewal = view.pins.keysets().iter().flat_map(|keyset| &keyset.keys).any(ends)
                    && HeldCoin::denominations(tx)?.iter().any(|size| view.pins.key(size).is_ok_and(ends));
                // Coins that nothing was signed of are due with their keys only: of a full purse that is no coin, mostly.
                let coins = if renewal { HeldCoin::unspent(tx)? } else { HeldCoin::touched(tx)? };
                for coin in coins {
                    let suspect = coin.state == "suspect";
                    // Found again by the words: until that is done, it alone decides when each is refreshed.
                    if suspect && restoring {
                        continue;
                    }
                    let Ok(key) = view.pins.key(&coin.id.denomination) else { continue };
                    if busy.contains(&coin.id) || key.check_grace(now).is_err() {
                        continue;
                    }
                    let (left, releases) = pledge::refreshable(tx, &coin)?;
                    let wanted = suspect || !releases.is_empty() || left < coin.worth || ends_soon(key, now);
                    if left.is_zero() || !wanted || releases.len() > MAX_RELEASES {
                        continue;
                    }
                    due.push(Due {
                        plan: PlannedCoin { coin: coin.id, contribution: left },
                        releases,
                        bank: coin.bank,
                        alone: suspect,
                    });
                }
                Ok(due)
            })
            .await
    }
}

/// Groups of one bank within the limits of a message.
fn groups(due: Vec<Due>) -> Vec<(String, Vec<PlannedCoin>)> {
    let mut by_bank: BTreeMap<String, Vec<Due>> = BTreeMap::new();
    for coin in due {
        by_bank.entry(coin.bank.clone()).or_default().push(coin);
    }
    let mut groups = Vec::new();
    for (bank, due) in by_bank {
        let (mut plans, mut releases) = (Vec::new(), BTreeSet::new());
        for coin in due {
            if coin.alone {
                groups.push((bank.clone(), vec![coin.plan]));
                continue;
            }
            let together = releases.union(&coin.releases.iter().copied().collect()).count();
            if plans.len() >= GROUP || together > MAX_RELEASES {
                groups.push((bank.clone(), std::mem::take(&mut plans)));
                releases.clear();
            }
            releases.extend(coin.releases);
            plans.push(coin.plan);
        }
        if !plans.is_empty() {
            groups.push((bank, plans));
        }
    }
    groups
}
