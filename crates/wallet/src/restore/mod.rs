//! A wallet made again from its words alone.
//!
//! | module | idea |
//! |---|---|
//! | [`home`] | the home on the new machine: words, certificates, a generation of its own |
//! | [`tables`] | what a restore keeps |
//! | [`counted`] | a network that counts what a restore costs |
//! | `search` | how many request ids were used, found in a logarithmic number of questions |
//! | `answers` | the coins that the banks' stored answers give |
//! | `coins` | what they have given, and new coins in their place |
//!
//! # What is asked, and what it shows
//!
//! ```text
//! own bank, with the certificate   generations; the sessions of withdrawals
//! every bank, anonymously          the sessions of refreshes, receipts and refunds, each by its request id
//!                                  the state of every coin, each with a proof of possession
//!                                  a refresh of every coin that has something left, each alone
//! ```
//!
//! Request ids are hashed with a key of the words and coins are not linked to sessions, so no question says that it belongs
//! with another. Every anonymous call takes a connection of its own, in random order; [`Pace::pause_ms`] spreads them
//! over time. What remains is that a bank sees many such questions come in one stretch of time, perhaps from one address.
//!
//! A coin is refreshed only for what its bank says it still has: a restored wallet knows of no payment that the lost one
//! signed, and would else sign for more than the coin's value. Payments that were handed over and not yet deposited are known
//! to nobody here: with its coins refreshed such a payment is refused.

mod answers;
mod coins;
pub mod counted;
pub mod home;
mod search;
pub mod tables;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use feiqian_crypto::Id16;
use feiqian_ledger::store::{StoreExt, Tx};
use feiqian_money::Minor;
use feiqian_node::{Caller, Target};
use feiqian_online_cash::recovery::{FIRST_GENERATION, Generations, GenerationsRequest};
use feiqian_pki::Role;
use feiqian_wire::error::{Code, Fault};
use rand::RngExt as _;
use rand::seq::SliceRandom as _;
use serde::Serialize;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::answer::show;
use crate::failure::{Failure, Result};
use crate::record::note;
use crate::wallet::{Wallet, read_setting, write_setting};

pub(crate) use coins::refund_coins;

/// Faults after which nothing more is begun in a stage.
const PATIENCE: usize = 16;

/// How fast a restore asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How many questions at a time, at least 1.
    pub ways: usize,
    /// Mean pause before each anonymous question, milliseconds; the pause is uniform between nothing and twice this.
    pub pause_ms: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { ways: 8, pause_ms: 0 }
    }
}

/// How far a stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done, for people.
    pub stage: &'static str,
    /// Questions answered.
    pub done: usize,
    /// Questions of this stage.
    pub of: usize,
}

/// Told of the progress.
pub type Watch = dyn Fn(Progress) + Send + Sync;

#[derive(Serialize)]
struct Restored {
    account: String,
    bank: String,
    restored: String,
    currency: feiqian_money::Currency,
    coins: u64,
    spent_coins: u64,
    foreign_sessions: u64,
    refunded: String,
    offline: Value,
    unknown: &'static str,
}

/// Said with every answer.
const UNKNOWN: &str = "payments handed over and not yet deposited are not known here and are refused from now on; requests that \
     nobody has paid and offline value taken from others are lost; coins are renewed under new keys";

/// Whether this wallet is being made from words and that is not done.
pub(crate) fn is_open(tx: &mut dyn Tx) -> Result<bool> {
    Ok(read_setting(tx, "restore")?.as_deref() == Some(b"open"))
}

impl Wallet {
    /// Finds everything that the words give and makes it this wallet's: `{"account","bank","restored","currency","coins",
    /// "spent_coins","foreign_sessions","refunded","offline":{"coins","amount","currency"},"unknown"}`.
    ///
    /// Interrupted anywhere, it goes on from there when it is called again; called again after its end it finds nothing new.
    ///
    /// # Errors
    /// `CONFLICT` for a wallet that was not made from words; whatever keeps it from its end: then it is called again.
    pub async fn restore(self: &Arc<Self>, pace: Pace, watch: &Watch) -> Result<Value, Fault> {
        let _turn = self.gate.lock().await;
        Ok(self.restore_all(pace, watch).await?)
    }

    async fn restore_all(self: &Arc<Self>, pace: Pace, watch: &Watch) -> Result<Value> {
        let known = self.seams.store.read(|tx| read_setting(tx, "restore")).await?;
        if known.is_none() {
            return Err(Failure::new(Code::Conflict, "this wallet was not made from words")
                .hint("it has all its coins already; make another home with `feiqian wallet restore`"));
        }
        self.sync().await?;
        let mut trouble = self.find_sessions(pace, watch).await?;
        trouble.extend(self.find_coins(pace, watch).await?);
        trouble.extend(self.ask_states(pace, watch).await?);
        trouble.extend(self.resume(crate::resume::Scope::Begun).await?);
        trouble.extend(self.take_refunds(pace, watch).await?);
        trouble.extend(self.renew_coins(pace, watch).await?);
        watch(Progress { stage: "offline coins", done: 0, of: 1 });
        let offline = match self.restore_offline().await {
            Ok(found) => found,
            Err(Failure::Fault(fault)) => {
                trouble.push(fault);
                Value::Null
            }
            Err(store) => return Err(store),
        };
        if let Some(fault) = trouble.into_iter().next_back() {
            let hint = "nothing is lost: the same command again goes on from here";
            return Err(Fault { hint: None, ..fault }.hint(hint).into());
        }
        self.close_restore().await?;
        self.restored(offline).await
    }

    /// From now on the wallet's coins are as any others.
    async fn close_restore(&self) -> Result<()> {
        let (now, bank) = (self.now(), self.config.bank.as_str().to_owned());
        let reference = feiqian_crypto::Digest([0; 32]);
        let work = move |tx: &mut dyn Tx| {
            if !is_open(tx)? {
                return Ok(());
            }
            write_setting(tx, "restore", b"done".to_vec())?;
            let amount = totals(tx)?.rest;
            if amount.is_zero() {
                return Ok::<_, Failure>(());
            }
            note(tx, now, "restore", amount, &bank, &reference)
        };
        self.seams.store.commit("wallet.restore.close", work).await
    }

    async fn restored(&self, offline: Value) -> Result<Value> {
        let totals = self.seams.store.read(totals).await?;
        show(&Restored {
            account: self.config.account.clone(),
            bank: self.config.bank.as_str().to_owned(),
            restored: self.amount(totals.rest).to_string(),
            currency: self.config.currency,
            coins: totals.kept,
            spent_coins: totals.spent,
            foreign_sessions: totals.foreign,
            refunded: self.amount(totals.refunded).to_string(),
            offline,
            unknown: UNKNOWN,
        })
    }

    /// Tells the own bank this wallet's generation; answers with all the others of these words.
    async fn tell_generation(&self) -> Result<Vec<[u8; 16]>> {
        let own = (self.generation != FIRST_GENERATION).then_some(Id16(self.generation));
        // With its address from the settings: also where the center has not been asked for its members yet.
        let to =
            Target::named(self.config.bank_url.clone(), Role::Bank, self.config.bank.as_str().to_owned());
        let request = GenerationsRequest { add: own };
        let known: Generations =
            self.ask(&to, Caller::Certified, "/v1/account/generations", &request).await?;
        if own.is_some_and(|own| !known.known.contains(&own)) {
            return Err(Failure::new(Code::Malformed, "the bank did not keep the generation"));
        }
        let told = |tx: &mut dyn Tx| write_setting(tx, "generation-told", Vec::new());
        self.seams.store.commit("wallet.generation.told", told).await?;
        let others = known.known.iter().map(|id| id.0).filter(|id| *id != self.generation);
        let first = (self.generation != FIRST_GENERATION).then_some(FIRST_GENERATION);
        Ok(first.into_iter().chain(others).collect())
    }

    /// Before anything is asked with a generation drawn at random, the own bank knows it: else the words would not find it.
    pub(crate) async fn keep_generation(&self) -> Result<()> {
        if self.generation == FIRST_GENERATION {
            return Ok(());
        }
        match self.seams.store.read(|tx| read_setting(tx, "generation-told")).await? {
            Some(_) => Ok(()),
            None => self.tell_generation().await.map(drop),
        }
    }

    /// Works on all items in random order. Faults are collected, a failing store ends everything.
    async fn each<T, F, Work>(
        &self,
        (pace, watch, stage): (Pace, &Watch, &'static str),
        mut items: Vec<T>,
        work: F,
    ) -> Result<Vec<Fault>>
    where
        T: Send + 'static,
        F: Fn(T) -> Work,
        Work: Future<Output = Result<()>> + Send + 'static,
    {
        items.shuffle(&mut self.rng());
        let (of, mut done, mut trouble) = (items.len(), 0_usize, Vec::new());
        let (mut tasks, mut items) = (JoinSet::new(), items.into_iter());
        watch(Progress { stage, done, of });
        loop {
            while tasks.len() < pace.ways.max(1) && trouble.len() < PATIENCE {
                let Some(item) = items.next() else { break };
                let (pause, work) = (self.pause(pace), work(item));
                tasks.spawn(async move {
                    if !pause.is_zero() {
                        tokio::time::sleep(pause).await;
                    }
                    work.await
                });
            }
            match tasks.join_next().await {
                None => return Ok(trouble),
                Some(Ok(Ok(()))) => {
                    done = done.saturating_add(1);
                    watch(Progress { stage, done, of });
                }
                Some(Ok(Err(Failure::Fault(fault)))) => trouble.push(fault),
                Some(Ok(Err(store))) => return Err(store),
                Some(Err(error)) => return Err(Failure::broken(format!("a part of the restore: {error}"))),
            }
        }
    }

    fn pause(&self, pace: Pace) -> Duration {
        if pace.pause_ms == 0 {
            return Duration::ZERO;
        }
        Duration::from_millis(self.rng().random_range(0..=pace.pause_ms.saturating_mul(2)))
    }
}

/// What was found.
struct Totals {
    kept: u64,
    rest: Minor,
    spent: u64,
    foreign: u64,
    refunded: Minor,
}

fn totals(tx: &mut dyn Tx) -> Result<Totals> {
    let mut count = |sql: &str| -> Result<(u64, Minor)> {
        let rows = tx.select(sql, &[])?;
        let row = rows.first().ok_or_else(|| Failure::broken("a count without a row"))?;
        Ok((row.unsigned(0)?, row.minor(1)?))
    };
    let (kept, rest) =
        count("SELECT count(*), coalesce(sum(rest), 0) FROM restore_coin WHERE state = 'kept'")?;
    let (spent, _) = count("SELECT count(*), 0 FROM restore_coin WHERE state = 'spent'")?;
    let (foreign, _) = count("SELECT count(*), 0 FROM restore_request WHERE state = 'foreign'")?;
    let (_, refunded) =
        count("SELECT count(*), coalesce(sum(amount), 0) FROM restore_refund WHERE state = 'done'")?;
    Ok(Totals { kept, rest, spent, foreign, refunded })
}
