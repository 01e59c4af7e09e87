//! What can be spent now, and the rule that keeps an honest owner honest.

use std::collections::BTreeMap;

use feiqian_crypto::Digest;
use feiqian_crypto::share_tree::{SecretTree, TreeBuilder};
use feiqian_ledger::store::{StoreExt, Tx};
use feiqian_money::Minor;
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::held::Held;
use feiqian_offline_cash::holding::{History, Holding, Misuse, Unspent};
use feiqian_offline_cash::interval::Interval;
use feiqian_offline_cash::keyset::{Keys, Kind, VerifiedKey};
use feiqian_offline_cash::purse::{SpendError, Wish};
use feiqian_offline_cash::register::Mark;
use feiqian_offline_cash::verify::verify_passed;
use feiqian_wire::error::Code;

use super::rows::{CoinRow, answers_of, less};
use super::tables::{OFFLINE_ANSWER, OFFLINE_COIN};
use crate::failure::{Failure, Result};
use crate::sealed_rows::{Place, StoreKey};
use crate::wallet::Wallet;

impl From<Misuse> for Failure {
    fn from(misuse: Misuse) -> Self {
        match misuse {
            Misuse::TooLarge | Misuse::ChainTooLong => Self::new(Code::LimitExceeded, misuse.to_string()),
            _ => Self::broken(format!("an offline coin: {misuse}")),
        }
    }
}

/// Reads coins of the store: one builder a key.
pub(super) struct Trees<'a>(&'a StoreKey, BTreeMap<Digest, TreeBuilder>);

impl<'a> Trees<'a> {
    pub(super) fn sealed_with(key: &'a StoreKey) -> Self {
        Self(key, BTreeMap::new())
    }

    pub(super) fn read(&mut self, row: &CoinRow, key: &VerifiedKey) -> Result<SecretTree> {
        let secret = row.secret.as_ref().ok_or_else(|| Failure::broken("a rebuilt coin is read"))?;
        let secret = self.0.open_array(Place::OfflineCoin(&row.message), secret)?;
        let builder = self.1.entry(key.id).or_insert_with(|| TreeBuilder::new(&key.public));
        let tree = SecretTree::import(builder, &secret);
        let tree = tree.map_err(|_| Failure::broken("a stored offline coin does not read"))?;
        if *tree.message() == row.message {
            Ok(tree)
        } else {
            Err(Failure::broken("a coin under another name"))
        }
    }
}

/// Who gets what is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taker {
    /// Somebody who checks it against a policy, without a bank. What they refuse is answered for all the same, so what
    /// they would refuse by this wallet's own policy is not given to them.
    Hand,
    /// The own bank, which takes what is valid.
    Bank,
}

impl Wallet {
    /// Everything that may be spent: of good coins, what the store has no answer of.
    async fn open_purse(&self, taker: Taker) -> Result<Vec<Unspent>> {
        let read = |tx: &mut dyn Tx| {
            let rows = CoinRow::select(tx, "state = 'good' AND rest > 0", &[])?;
            let with_answers = |row: CoinRow| Ok((answers_of(tx, &row.message)?, row));
            rows.into_iter().map(with_answers).collect::<Result<Vec<_>>>()
        };
        let rows = self.seams.store.read(read).await?;
        let (view, now) = (self.view(), self.now());
        let book = view.offline_keys();
        let exposed = |message: &Digest| taker == Taker::Hand && view.exposed().coins.contains(message);
        let (mut trees, mut purse) = (Trees::sealed_with(&self.store_key), Vec::new());
        for (answers, row) in rows {
            let key = book.key(&row.key)?;
            let until = if taker == Taker::Hand { key.times.pay_until } else { key.times.reclaim_until };
            if now >= until || exposed(&row.message) {
                continue;
            }
            let history = History::Complete(&answers);
            let Some(chain) = &row.chain else {
                purse.extend(Unspent::of_coin(trees.read(&row, key)?, key, history)?);
                continue;
            };
            let holding = Holding::read(chain, book, &mut self.rng())?;
            if !holding.chain().hops().iter().any(|hop| exposed(hop.piece().message())) {
                purse.extend(holding.open(trees.read(&row, key)?, key, history)?);
            }
        }
        Ok(purse)
    }

    /// Pieces that pay exactly what is wished.
    pub(super) async fn choose_pieces(&self, mut wish: Wish<'_>, taker: Taker) -> Result<Vec<Unspent>> {
        if taker == Taker::Hand {
            let policy = &self.config.offline;
            wish.at = wish.at.saturating_add(policy.margin_seconds);
            wish.most_hops = wish.most_hops.min(policy.longest_chain.saturating_sub(1));
        }
        let purse = self.open_purse(taker).await?;
        let usable = purse.iter().filter(|part| wish.check(part).is_ok()).map(Unspent::value);
        let usable = Minor::sum(usable)?;
        wish.choose(purse)
            .map(|chosen| chosen.pieces)
            .map_err(|error| self.cannot_spend(error, usable, &wish))
    }

    /// Says in amounts what a wish fails on.
    fn cannot_spend(&self, error: SpendError, usable: Minor, wish: &Wish<'_>) -> Failure {
        let show = |minor: u64| Minor::new(minor).map(|minor| self.amount(minor).to_string());
        match error {
            SpendError::Refused { .. } if usable < wish.amount.minor => Failure::new(
                Code::InsufficientFunds,
                format!(
                    "offline coins for {} can be used here, {} are asked",
                    self.amount(usable),
                    wish.amount
                ),
            )
            .hint("withdraw more with `wallet withdraw --offline`"),
            SpendError::Refused { because: Rejection::NoExactChange { below, above }, .. } => {
                let near: Vec<String> =
                    [below, above].into_iter().flatten().filter_map(|minor| show(minor).ok()).collect();
                let hint = match near.as_slice() {
                    [] => "no other amount near it can be paid".to_owned(),
                    near => format!("these can be paid: {}", near.join(", ")),
                };
                Failure::new(Code::NoExactChange, "no set of offline pieces makes this amount").hint(hint)
            }
            SpendError::Refused { because, .. } => because.into(),
            SpendError::Misuse(misuse) => misuse.into(),
            other => Failure::broken(other.to_string()),
        }
    }

    /// All chains that blanks of this wallet took and that can still be spent by somebody: what a second piece is held
    /// against.
    pub(super) async fn held_chains(&self) -> Result<Held> {
        let rows = self.seams.store.read(|tx| CoinRow::select(tx, "chain IS NOT NULL", &[])).await?;
        let (view, now) = (self.view(), self.now());
        let book = view.offline_keys();
        let chains: Vec<_> = rows.into_iter().filter_map(|row| row.chain).collect();
        let mut held = Held::new();
        for chain in verify_passed(&chains, book, &mut self.rng()) {
            let chain = chain?;
            if now < chain.terms().reclaim_until {
                held.add(&chain)?;
            }
        }
        Ok(held)
    }
}

/// What an answer takes from its coin: the part of its worth that the node stands for.
pub(super) fn taken(coin: &CoinRow, mark: &Mark) -> Result<Minor> {
    let part = Interval::whole(coin.worth)?.part(mark.node);
    Ok(part.ok_or_else(|| Failure::broken("an answer for less than a minor unit"))?.value())
}

/// Stores answers, if the rule allows them: none overlaps one that was ever given.
pub(super) fn record_answers(tx: &mut dyn Tx, owner: &Digest, answers: &[Mark]) -> Result<()> {
    for mark in answers {
        let mut coin = CoinRow::load(tx, &mark.message)?;
        let before = answers_of(tx, &mark.message)?;
        if coin.restored || before.iter().any(|known| known.node.overlaps(mark.node)) {
            return Err(Failure::new(
                Code::Busy,
                "a coin was spent by another process of this wallet meanwhile",
            )
            .hint("nothing was spent now: try again"));
        }
        if coin.kind == Kind::Blank && coin.chain.is_none() {
            return Err(Failure::broken("a blank that took nothing would answer"));
        }
        let value = taken(&coin, mark)?;
        less(&mut coin, value)?;
        let values = [
            mark.message.into(),
            u32::try_from(u64::from(mark.node)).unwrap_or(u32::MAX).into(),
            mark.challenge.0.into(),
            (*owner).into(),
        ];
        tx.insert(&OFFLINE_ANSWER, &values)?;
        tx.update(&OFFLINE_COIN, &coin.values()?)?;
    }
    Ok(())
}
