//! The bank: accounts, blind issuance, the spent register, deposits and refunds on both sides of the center.
//!
//! | module | idea |
//! |---|---|
//! | [`config`], [`mod@init`], [`tables`] | settings, a new home, what is remembered |
//! | [`mod@audit`] | everything recomputed from primary rows |
//! | [`chart`] | the chart of accounts |
//! | `accounts` | opening, enrolment, the holder of a call's certificate |
//! | `keys`, [`secrets`] | denomination keys: schedule, rotation, pinning |
//! | `sessions`, `issue`, `funding` | begin, finish, recover; what pays for new coins |
//! | `register`, `payments` | the spent register; redeeming payments |
//! | `deposit`, `outbox`, `refund` | the collecting side, the issuing side |
//! | `cheques` | the register of own cheques, cheques deposited here, boxes |
//! | `certificates`, `revocation` | account holders' certificates, the revocation list |
//! | `offline` | offline cash: identities, withdrawal, the deposit register, accusations, claims, reclaim |
//! | `remittance`, `statements` | transfers between accounts; account statements |
//! | `outcome`, `drop_box` | what anybody may ask or leave |
//! | `recovery`, [`restored`] | what a wallet asks that has nothing but its words; the bank itself after a restore |
//! | `command`, `service` | the operator; routes and background work |
//!
//! Every state-changing call carries an id and acts once; what must survive is committed before the first byte leaves.
//! Commits are named `bank.operation.step`:
//!
//! | commit | what becomes durable at once |
//! |---|---|
//! | `bank.open.chart` | the chart of accounts |
//! | `bank.keyset.create` | an epoch's keyset (its secrets are already safe) |
//! | `bank.members.keep`, `bank.funding.book` | the center's news; fundings of the settlement account |
//! | `bank.account.open`, `.fund`, `.payout`, `.close`, `bank.enrol` | what the operator and an enrolment did |
//! | `bank.issue.begin`, `.finish`, `.void` | a session; funding and answers; its end without answers |
//! | `bank.deposit.own`, `bank.deposit.present`, `bank.deposit.outcome` | an own deposit; an item before it is sent; its outcome and credit |
//! | `bank.pay.payment`, `bank.pay.evidence`, `bank.pay.refund` | the issuing side |
//! | `bank.pay.refused` | a final refusal of a presentment, before it is told |
//! | `bank.outbox.try` | when an item was last tried |
//! | `bank.refund.own`, `bank.refund.present`, `bank.refund.outcome` | the payee's side of refunds |
//! | `bank.outcome.release` | the time until which expired payments are refused for ever |
//! | `bank.cheque.book`, `.issue`, `.certify`, `.order`, `.endorse`, `.expire` | the register of own cheques |
//! | `bank.cheque.own`, `bank.pay.cheque` | an own cheque is presented and paid or returned, here or through the center |
//! | `bank.cheque.present`, `bank.cheque.outcome` | a deposited cheque before it is sent; its outcome and the pending credit |
//! | `bank.cheque.settled` | the center's word on the leg between the banks, on either side |
//! | `bank.cheque.send`, `.inbox`, `.prune`, `.mandate` | boxes; who may sign |
//! | `bank.generation.add` | a wallet was made from words |
//! | `bank.restore.void` | sessions that were open when a backup was made |
//! | `bank.certificate.renew`, `.revoke` | certificates; the list is made right after |
//! | `bank.transfer.own`, `.present`, `.outcome`, `bank.pay.transfer` | remittances |
//! | `bank.offline.keyset`, `.register`, `.attest`, `.unregister`, `.release` | an epoch's offline keyset; an identity, its attestation, its end; collateral that goes back |
//! | `bank.offline.begin`, `.finish`, `.void` | a session; debit, signed statement and answers; its end without answers |
//! | `bank.offline.deposit`, `bank.pay.holding` | an offline payment taken here or for another bank: chains, charges, receipt |
//! | `bank.offline.present`, `.outcome` | a deposited payment before it is sent; its outcome and credit |
//! | `bank.offline.claimed`, `.claim`, `.claims`, `.losses` | a claim answered; another bank's answer; what was paid when due |
//! | `bank.offline.overdue` | a claim that the center ended for want of an answer: charge, loss and what it took |
//! | `bank.offline.part`, `bank.pay.part` | the answer to a part that was sent; one that was received |
//! | `bank.offline.reclaim`, `.decide`, `.prune` | a claim on value never deposited; its decision; the exposed list |
//! | `bank.statement.close` | an account statement |
//! | `bank.instance.enter`, `.beat`, `.leave` | the lease of one of several processes |
//! | `bank.keyset.forget`, `bank.list.date` | secrets of an ended epoch; the date of a revocation list, among several processes |
//! | `bank.drop.put`, `.delete`, `.prune` | drop boxes |
//! | `bank.epoch.end`, `bank.coin.prune`, `bank.issue.prune`, `bank.refused.prune` | an epoch has ended; what is deleted of it |
//! | `bank.released.prune`, `bank.outbox.prune` | expired payments; delivered items |
//!
//! # Enrolment codes
//!
//! A code is `TOKEN-SECRET`: 32 hex digits of the account's token, which is the name that both certificate requests must
//! bear (`Subject::customer(token, bank)` or `Subject::merchant(token, bank)`), and 24 hex digits of a secret.
//!
//! # Security
//! One-time secrets of open sessions live in memory only and are consumed by one answer; a restart voids every open session of
//! that process.

mod accounts;
pub mod audit;
mod bank;
mod certificates;
pub mod chart;
mod cheques;
mod command;
pub mod config;
mod declined;
mod deposit;
mod drop_box;
mod funding;
mod housekeeping;
pub mod init;
mod instances;
mod issue;
mod keys;
mod members;
mod offline;
mod outbox;
mod outcome;
mod payments;
mod reconcile;
mod recovery;
mod refund;
mod refusal;
mod register;
mod remittance;
pub mod restored;
mod revocation;
pub mod secrets;
mod service;
mod sessions;
mod statements;
pub mod tables;

pub use bank::{Bank, Keys, Parts};
pub use command::{AccountAnswer, ChequeLine, Command, KeysetLine, StatusAnswer};
pub use config::Config;
pub use init::{InitOptions, JoinOptions, init, join, load, open};
pub use instances::{Bearer, Handed};
pub use offline::AccusationLine;
pub use statements::{StatementAnswer, StatementLine};
