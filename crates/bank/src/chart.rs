//! The bank's chart of accounts, and the transfers that its events make.
//!
//! | account | kind | limit | code |
//! |---|---|---|---|
//! | circulation | liability: coins in circulation | debits ≤ credits | 10 |
//! | refunds payable | liability | debits ≤ credits | 11 |
//! | certified cheques | liability: reserved, pending until paid | debits ≤ credits | 12 |
//! | offline circulation | liability: offline coins in circulation | debits ≤ credits | 13 |
//! | collateral | liability: what customers with an offline identity put up | debits ≤ credits | 14 |
//! | claims received | liability: paid by other banks for their cheats, on its way to payees | debits ≤ credits | 15 |
//! | due to clearing, due from clearing | suspense: paid cheques that are not settled, else zero | none | 20, 21 |
//! | settlement | asset: mirror of the account at the center | credits ≤ debits | 30 |
//! | vault | asset: base money paid in by customers | credits ≤ debits | 31 |
//! | capital | counterpart of the settlement account's funding | debits ≤ credits | 40 |
//! | fees, losses | income, expense | none | 50, 51 |
//! | customers | liability | debits ≤ credits | 100 |

use feiqian_crypto::{Digest, Id16, Transcript};
use feiqian_ledger::LedgerError;
use feiqian_ledger::book::{Account, Limit, Transfer, open_account};
use feiqian_ledger::store::Tx;
use feiqian_money::{Currency, Minor};

/// The bank's own accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Post {
    /// Coins in circulation.
    Circulation,
    /// Refunds booked and not claimed.
    RefundsPayable,
    /// On its way to the center.
    DueToClearing,
    /// On its way from the center.
    DueFromClearing,
    /// The settlement account at the center, mirrored.
    Settlement,
    /// Base money paid in.
    Vault,
    /// What the owners put on the settlement account.
    Capital,
    /// Fees earned.
    Fees,
    /// Losses.
    Losses,
    /// Reserved for certified cheques.
    CertifiedCheques,
    /// Offline coins in circulation.
    OfflineCirculation,
    /// Collateral of offline identities.
    Collateral,
    /// What other banks paid for customers of theirs who answered twice, until the payee has it.
    ClaimsReceived,
}

/// All of the bank's own accounts.
pub const POSTS: [Post; 13] = [
    Post::Circulation,
    Post::RefundsPayable,
    Post::DueToClearing,
    Post::DueFromClearing,
    Post::Settlement,
    Post::Vault,
    Post::Capital,
    Post::Fees,
    Post::Losses,
    Post::CertifiedCheques,
    Post::OfflineCirculation,
    Post::Collateral,
    Post::ClaimsReceived,
];

/// The code of customers' accounts.
pub const CUSTOMER: u16 = 100;

impl Post {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Circulation => "circulation",
            Self::RefundsPayable => "refunds_payable",
            Self::DueToClearing => "due_to_clearing",
            Self::DueFromClearing => "due_from_clearing",
            Self::Settlement => "settlement",
            Self::Vault => "vault",
            Self::Capital => "capital",
            Self::Fees => "fees",
            Self::Losses => "losses",
            Self::CertifiedCheques => "certified_cheques",
            Self::OfflineCirculation => "offline_circulation",
            Self::Collateral => "collateral",
            Self::ClaimsReceived => "claims_received",
        }
    }

    const fn code(self) -> u16 {
        match self {
            Self::Circulation => 10,
            Self::RefundsPayable => 11,
            Self::DueToClearing => 20,
            Self::DueFromClearing => 21,
            Self::Settlement => 30,
            Self::Vault => 31,
            Self::Capital => 40,
            Self::Fees => 50,
            Self::Losses => 51,
            Self::CertifiedCheques => 12,
            Self::OfflineCirculation => 13,
            Self::Collateral => 14,
            Self::ClaimsReceived => 15,
        }
    }

    const fn limit(self) -> Limit {
        match self {
            Self::Circulation
            | Self::RefundsPayable
            | Self::Capital
            | Self::CertifiedCheques
            | Self::OfflineCirculation
            | Self::Collateral
            | Self::ClaimsReceived => Limit::DebitsNotAboveCredits,
            Self::Settlement | Self::Vault => Limit::CreditsNotAboveDebits,
            _ => Limit::None,
        }
    }
}

/// The ledger id of one of the bank's own accounts: `D("bank/account"; word)`, first 16 bytes.
#[must_use]
pub fn id(post: Post) -> Id16 {
    Id16::from_digest(&Transcript::new("bank/account").text(post.as_str()).into_digest())
}

/// Opens the bank's own accounts; a repeat changes nothing.
pub(crate) fn open_posts(tx: &mut dyn Tx, currency: Currency, now: u64) -> Result<(), LedgerError> {
    for post in POSTS {
        let account = Account { id: id(post), currency, code: post.code(), limit: post.limit() };
        let _ = open_account(tx, &account, now)?;
    }
    Ok(())
}

/// Opens a customer's account.
pub(crate) fn open_customer(
    tx: &mut dyn Tx,
    id: Id16,
    currency: Currency,
    now: u64,
) -> Result<(), LedgerError> {
    let account = Account { id, currency, code: CUSTOMER, limit: Limit::DebitsNotAboveCredits };
    open_account(tx, &account, now).map(|_| ())
}

/// What a transfer is for; the number is its code in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    PayIn = 1,
    PayOut = 2,
    Capital = 3,
    Withdraw = 10,
    DepositOwn = 11,
    Redeem = 12,
    Collect = 13,
    RefundOwn = 20,
    RefundSend = 21,
    RefundReceive = 22,
    Claim = 23,
    ChequeReserve = 30,
    ChequePay = 31,
    ChequeSettle = 32,
    ChequeUnwind = 33,
    ChequeCollect = 34,
    ChequeReceive = 35,
    TransferOwn = 40,
    TransferSend = 41,
    TransferReceive = 42,
    Collateral = 50,
    OfflineWithdraw = 51,
    /// A deposit from circulation, for an account here or another bank.
    OfflineRedeem = 52,
    /// From the account of somebody who answered twice.
    OfflineCharge = 53,
    /// From the collateral.
    OfflineSeize = 54,
    /// By the bank itself.
    OfflineLoss = 55,
    OfflineCollect = 56,
    OfflineReclaim = 57,
    /// Another bank pays a claim of this one, and on to the payee.
    ClaimReceive = 58,
    ClaimForward = 59,
    PartReceive = 60,
}

impl Event {
    /// The word of a code in the ledger.
    pub(crate) fn word(code: u16) -> &'static str {
        let words = [
            (Self::PayIn, "pay_in"),
            (Self::PayOut, "pay_out"),
            (Self::Capital, "capital"),
            (Self::Withdraw, "withdraw"),
            (Self::DepositOwn, "deposit"),
            (Self::Redeem, "redeem"),
            (Self::Collect, "deposit"),
            (Self::RefundOwn, "refund"),
            (Self::RefundSend, "refund"),
            (Self::RefundReceive, "refund"),
            (Self::Claim, "claim"),
            (Self::ChequeReserve, "cheque_certified"),
            (Self::ChequePay, "cheque_paid"),
            (Self::ChequeSettle, "cheque_settled"),
            (Self::ChequeUnwind, "cheque_unwound"),
            (Self::ChequeCollect, "cheque_collected"),
            (Self::ChequeReceive, "cheque_collected"),
            (Self::TransferOwn, "transfer"),
            (Self::TransferSend, "transfer_sent"),
            (Self::TransferReceive, "transfer_received"),
            (Self::Collateral, "collateral"),
            (Self::OfflineWithdraw, "withdraw_offline"),
            (Self::OfflineRedeem, "deposit_offline"),
            (Self::OfflineCharge, "double_spend_charge"),
            (Self::OfflineSeize, "double_spend_collateral"),
            (Self::OfflineLoss, "double_spend_loss"),
            (Self::OfflineCollect, "deposit_offline"),
            (Self::OfflineReclaim, "reclaim_offline"),
            (Self::ClaimReceive, "claim_received"),
            (Self::ClaimForward, "claim_forwarded"),
            (Self::PartReceive, "deposit_offline"),
        ];
        words.into_iter().find(|(event, _)| *event as u16 == code).map_or("other", |(_, word)| word)
    }
}

/// The id of the `leg`-th transfer of an event about `reference`: `D("bank/transfer"; code, leg, reference)`.
pub(crate) fn transfer_id(event: Event, leg: u64, reference: &Digest) -> Id16 {
    let digest = Transcript::new("bank/transfer")
        .integer(u64::from(event as u16))
        .integer(leg)
        .digest(reference)
        .into_digest();
    Id16::from_digest(&digest)
}

/// Moves `amount` along `path`, debiting each account and crediting the next: linked transfers.
pub(crate) fn along(event: Event, reference: &Digest, path: &[Id16], amount: Minor) -> Vec<Transfer> {
    legs(event, reference, path)
        .map(|(id, debit, credit)| Transfer::posted(id, debit, credit, amount, event as u16))
        .collect()
}

/// The same, only reserving.
pub(crate) fn reserve_along(event: Event, reference: &Digest, path: &[Id16], amount: Minor) -> Vec<Transfer> {
    legs(event, reference, path)
        .map(|(id, debit, credit)| Transfer::pending(id, debit, credit, amount, event as u16, None))
        .collect()
}

fn legs<'a>(
    event: Event,
    reference: &'a Digest,
    path: &'a [Id16],
) -> impl Iterator<Item = (Id16, Id16, Id16)> + 'a {
    (0_u64..)
        .zip(path.iter().zip(path.iter().skip(1)))
        .map(move |(leg, (debit, credit))| (transfer_id(event, leg, reference), *debit, *credit))
}

/// What resolves the pending transfers of [`reserve_along`]: posts them, or voids them.
pub(crate) fn resolve(reserved: &[Transfer], post: bool) -> Vec<Transfer> {
    reserved
        .iter()
        .map(|pending| {
            let word = if post { "post" } else { "void" };
            let id =
                Id16::from_digest(&Transcript::new("bank/resolve").text(word).id(&pending.id).into_digest());
            if post { pending.post(id, pending.amount) } else { pending.void(id) }
        })
        .collect()
}
