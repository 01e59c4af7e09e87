//! What an audit over several homes reads from each: only what has to agree with other homes, and of that a [`Slice`] at a
//! time, where there is much.
//!
//! | slice by | rows |
//! |---|---|
//! | coin key | spent register; wallets' coins |
//! | request | answered sessions; wallets' sessions |
//! | digest of a payment | payments at their bank; what wallets and merchants were told of them |
//! | presentment | items, and what is known of them at both banks; deposits of cheques; transfers |
//! | account | the cheque register; leaves of cheque books |
//! | none: the first slice | balances, fundings, customers, everything about offline cash |
//!
//! [`Slice`]: super::slice::Slice

mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use feiqian_cheque::State;
use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::store::StoreError;
use feiqian_wallet::audit::{DrawnCheque, OrderedTransfer};

use super::offline::{OfflineBank, OfflineItem, OfflineTill};
use super::purses::Purse;
pub(super) use read::{all, balance, decoded};

/// A coin's name: denomination and key.
pub type CoinName = (Digest, [u8; 32]);

/// One denomination of one epoch at its bank, minor units.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Denomination {
    /// What one coin is worth.
    pub value: u64,
    /// Signed in answered sessions.
    pub issued: u64,
    /// Taken back.
    pub redeemed: u64,
}

/// What is cleared, numbered as all stores do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Payment,
    Refund,
    Cheque,
    Transfer,
}

impl Kind {
    fn from_number(number: i64) -> Result<Self, StoreError> {
        Ok(match number {
            0 => Self::Payment,
            1 => Self::Refund,
            2 => Self::Cheque,
            3 => Self::Transfer,
            _ => return Err(StoreError::Corrupt(format!("items of kind {number}"))),
        })
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Refund => "refund",
            Self::Cheque => "cheque",
            Self::Transfer => "transfer",
        }
    }
}

/// One item as a bank has it: presented by itself, or answered for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) kind: Kind,
    /// The account there that it is credited or debited to, where the row says so.
    pub(super) account: Option<String>,
    /// The other bank, where the row says so.
    pub(super) other: Option<String>,
    pub(super) amount: u64,
    pub(super) state: ItemState,
}

/// Where an item stands at one home, a bank or the center.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemState {
    /// On its way: received, forwarded, pending.
    Open,
    /// A cheque paid by its drawee; the leg between the banks is not final.
    Paid,
    /// Final: it counts in the books.
    Booked,
    /// Final: it never counts.
    Refused,
    /// Final: a cheque that was paid and taken back.
    Unwound,
}

/// A number of a bank's cheque register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Registered {
    pub(super) cheque: Option<Digest>,
    pub(super) amount: Option<u64>,
    pub(super) state: State,
}

/// A transfer as the sending bank has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) account: String,
    pub(super) amount: u64,
    /// Whether it was booked; `None` while it is on its way.
    pub(super) booked: Option<bool>,
    /// 0 inside one bank.
    pub(super) sequence: u64,
}

/// Where a wallet's issuance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issuance {
    /// Its coins may yet come.
    Open,
    /// Its coins are stored.
    Stored,
    /// The wallet has given it up.
    Void,
}

impl Issuance {
    /// Of what two copies of one wallet say, what is better for its owner.
    pub(super) const fn better(self, other: Self) -> Self {
        match (self, other) {
            (Self::Stored, _) | (_, Self::Stored) => Self::Stored,
            (Self::Open, _) | (_, Self::Open) => Self::Open,
            (Self::Void, Self::Void) => Self::Void,
        }
    }
}

/// What a bank knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BankBooks {
    /// Its name.
    pub name: String,
    /// The currency of its books.
    pub currency: String,
    /// By denomination id.
    pub denominations: BTreeMap<Digest, Denomination>,
    /// The spent register.
    pub spent: BTreeMap<CoinName, u64>,
    /// Outputs of answered sessions, by the wallet's request id.
    pub answered: BTreeMap<Digest, Vec<Digest>>,
    /// Accounts of enrolled customers (not merchants), by token.
    pub customers: BTreeSet<String>,
    /// Balance of the ledger account "circulation".
    pub circulation: i128,
    /// Balance of the mirror of the settlement account, as an asset.
    pub mirror: i128,
    /// Balance of all customers together.
    pub deposits: i128,
    /// Refunds booked and not claimed.
    pub refunds_payable: i128,
    /// Ids of all booked transfers that fund the settlement account.
    pub fundings: BTreeSet<Id16>,
    /// Redeemed payments by their digest.
    pub payments: BTreeMap<Digest, u64>,
    /// What it has answered as issuing, drawee or receiving bank, by presentment.
    pub(super) given: BTreeMap<Digest, Side>,
    /// What it presents at the center.
    pub(super) presentments: BTreeMap<Digest, Side>,
    /// The cheque register, by account and number.
    pub(super) register: BTreeMap<(String, u64), Registered>,
    /// Transfers sent, by presentment.
    pub(super) sent: BTreeMap<Digest, Sent>,
    /// Sequence numbers of transfers received from other banks, by presentment.
    pub received: BTreeMap<Digest, u64>,
    /// Paid for own cheques and not settled.
    pub due_to_clearing: i128,
    /// Paid to own customers' cheques and not settled.
    pub due_from_clearing: i128,
    /// Denominations of epochs that have ended: what was spent of their coins may be forgotten.
    pub ended: BTreeSet<Digest>,
    /// What it may have forgotten.
    pub(super) forgotten: Forgotten,
    /// Offline cash.
    pub offline: OfflineBank,
}

/// Up to when a bank may have deleted what it knew, Unix seconds; 0 for nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Forgotten {
    /// Payments redeemed: no coin of an epoch that has ended paid later.
    pub(super) redeemed: u64,
    /// Items presented.
    pub(super) presented: u64,
}

impl Forgotten {
    /// By how much clocks may differ, seconds.
    const SKEW: u64 = 86_400;

    /// Whether a payment acknowledged then may be forgotten.
    pub(super) fn has_redeemed(self, at: u64) -> bool {
        self.redeemed > 0 && at < self.redeemed.saturating_add(Self::SKEW)
    }

    /// Whether an item presented then may be forgotten.
    pub(super) fn has_presented(self, at: u64) -> bool {
        self.presented > 0 && at < self.presented.saturating_add(Self::SKEW)
    }
}

/// An item at the center.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) kind: Kind,
    pub(super) collecting: String,
    pub(super) issuing: String,
    pub(super) amount: u64,
    pub(super) state: ItemState,
    /// When it came, Unix seconds.
    pub(super) received: u64,
}

/// What the center knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CenterBooks {
    /// Members with the posted balance of their settlement account.
    pub settlement: BTreeMap<String, i128>,
    /// Fundings: bank and amount.
    pub fundings: BTreeMap<Id16, (String, u64)>,
    /// Presentments.
    pub(super) items: BTreeMap<Digest, Item>,
    /// Which banks have confirmed the end of which item.
    pub told: BTreeSet<(Digest, String)>,
    /// What is booked for items that it may have forgotten since.
    pub(super) cleared: BTreeSet<Id16>,
    /// Presentments of offline cash.
    pub(super) offline: BTreeMap<Digest, OfflineItem>,
}

/// A coin in a wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletCoin {
    /// The bank.
    pub bank: Arc<str>,
    /// Its value, minor units.
    pub worth: u64,
}

/// A payment that was acknowledged as paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// The bank that issued the coins.
    pub bank: Arc<str>,
    /// How much, minor units.
    pub amount: u64,
    /// When, Unix seconds.
    pub(super) at: u64,
}

/// What a wallet knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WalletBooks {
    /// The bank.
    pub bank: String,
    /// The account's token.
    pub account: String,
    /// By name.
    pub coins: BTreeMap<CoinName, WalletCoin>,
    /// All issuances by request id.
    pub sessions: BTreeMap<Digest, Issuance>,
    /// Payments that were acknowledged as paid.
    pub paid: BTreeMap<Digest, Acknowledged>,
    /// Leaves of the own cheque book.
    pub(super) drawn: Vec<DrawnCheque>,
    /// Deposits of cheques.
    pub(super) deposits: Vec<Deposit>,
    /// Transfers ordered.
    pub(super) transfers: Vec<OrderedTransfer>,
    /// Offline coins and holdings.
    pub(super) offline: Purse,
}

/// A cheque that was deposited at the own bank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deposit {
    pub(super) presentment: Digest,
    pub(super) cheque: Digest,
    pub(super) amount: Option<u64>,
    /// Whether it was paid for good; `None` while that is not known.
    pub(super) paid: Option<bool>,
}

/// What a merchant knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MerchantBooks {
    /// The bank.
    pub bank: String,
    /// The account's token.
    pub account: String,
    /// Payments that were acknowledged as paid.
    pub paid: BTreeMap<Digest, Acknowledged>,
    /// Deposits of cheques.
    pub(super) deposits: Vec<Deposit>,
    /// Offline payments that were acknowledged as settled.
    pub offline: OfflineTill,
    /// Offline payments that wait.
    pub(super) purse: Purse,
}
