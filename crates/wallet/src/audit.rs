//! Recomputes everything a wallet's store says, and tells what a closed world's books need to know of it.
//!
//! Checked: every row against its check; every coin's key against its secret (where the store's key is given: the owner of a
//! wallet under a passphrase may be audited without it) and its signature under the pinned denomination key; every coin's rest against the contributions; that no set of signed statements of which none
//! releases another takes more of a coin than its value; every leaf of the cheque book, every cheque received and
//! every call to a bank against the documents in it. Of offline cash: that no coin or blank answered twice.

mod cheques;

use std::collections::BTreeMap;

use feiqian_crypto::batch::{self, Item};
use feiqian_crypto::snowblind::{PublicKey, Signature};
use feiqian_crypto::{Digest, Transcript};
use feiqian_ledger::audit::{Finding, check_rows};
use feiqian_ledger::store::Tx;
use feiqian_money::Minor;
use feiqian_online_cash::coin::{self, CoinId};
use feiqian_online_cash::funding::Funding;
use feiqian_online_cash::issue::FinishRequest;
use feiqian_online_cash::keyset::DenominationKey;
use feiqian_wire::error::Fault;
use rand::SeedableRng as _;
use rand::rngs::ChaCha12Rng;

use crate::Config;
use crate::failure::Failure;
use crate::pledge::{self, Signed};
use crate::record::{CoinRow, PaymentRow, ReceivedRow, SessionRow};
use crate::sealed_rows::{Place, StoreKey};
use crate::tables::{COIN, TABLES};
use crate::wallet::read_members;

pub use cheques::{Deposited, DrawnCheque, Instruments, LeafStage, OrderedTransfer, instruments};

/// How many signatures are checked together.
const TOGETHER: usize = 1024;

/// A coin as the books of its bank should know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldCoin {
    /// Its name at the bank.
    pub coin: CoinId,
    /// The issuing bank.
    pub bank: String,
    /// Its value.
    pub value: Minor,
    /// What it has not signed away, or has back from statements that never took effect.
    pub available: Minor,
}

/// An issuance that is not finished: value that may be on either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSession {
    /// The session, once the bank has named it.
    pub session: Option<Digest>,
    /// The request id of its begin.
    pub request: Digest,
    /// The issuing bank.
    pub bank: String,
    /// What its coins will be worth.
    pub value: Minor,
    /// `withdraw`, `refresh`, `receive` or `refund`.
    pub kind: String,
    /// Whether its request may have been sent.
    pub signed: bool,
}

/// A payment whose fate is not sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenPayment {
    /// The payment.
    pub payment: Digest,
    /// The issuing bank of its coins.
    pub bank: String,
    /// How much.
    pub value: Minor,
    /// `signed`, `taken`, `delivered` or `refused`.
    pub state: String,
}

/// An offline coin, or a blank and what it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldOffline {
    /// *m*.
    pub message: Digest,
    /// The bank whose key signed it; empty when that is not pinned.
    pub bank: String,
    /// A blank: `worth` is what it took, and may be of another bank.
    pub blank: bool,
    /// Its value, minor units.
    pub worth: Minor,
    /// What of it was not answered for.
    pub rest: Minor,
    /// It can only be reclaimed.
    pub restored: bool,
}

/// A withdrawal of offline coins or blanks that is not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenOffline {
    /// The session, once the bank has named it.
    pub session: Option<Digest>,
    /// The request id of its begin.
    pub request: Digest,
    /// What its coins will be worth; zero for blanks.
    pub value: Minor,
    /// `coins` or `blanks`.
    pub kind: String,
    /// Whether its request may have been sent.
    pub signed: bool,
}

/// What an audit found and saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// What is wrong; empty when all is well.
    pub findings: Vec<Finding>,
    /// Every coin of the store, spent ones too.
    pub coins: Vec<HeldCoin>,
    /// Unfinished issuances.
    pub sessions: Vec<OpenSession>,
    /// Unsettled payments.
    pub payments: Vec<OpenPayment>,
    /// Payments made out to this wallet that are not coins yet: payment and value.
    pub receipts: Vec<(Digest, Minor)>,
    /// Every offline coin and blank of the store, spent ones too.
    pub offline: Vec<HeldOffline>,
    /// Unfinished withdrawals of offline coins and blanks, at the own bank.
    pub offline_sessions: Vec<OpenOffline>,
    /// Offline deposits on the own account whose outcome is not known: payment and value.
    pub offline_deposits: Vec<(Digest, Minor)>,
}

/// Whose wallet it is, for matching it with its bank's books: bank and account token.
#[must_use]
pub fn owner(config: &Config) -> (String, String) {
    (config.bank.as_str().to_owned(), config.account.clone())
}

/// Audits a store of [`TABLES`]. Reads only. Without `key` secrets stay sealed, and only their lengths are checked.
///
/// # Errors
/// When the store cannot be read at all; what is wrong inside it are findings.
pub fn audit(tx: &mut dyn Tx, key: Option<&StoreKey>) -> Result<Audit, Fault> {
    Ok(run(tx, key)?)
}

fn run(tx: &mut dyn Tx, key: Option<&StoreKey>) -> Result<Audit, Failure> {
    let mut audit = Audit { findings: check_rows(tx, TABLES)?, ..Audit::default() };
    let (keys, releases) = (denominations(tx)?, releases(tx)?);
    let mut signatures = Vec::new();
    let sql = format!("SELECT {} FROM coin ORDER BY denomination, coin_key", COIN.column_list());
    for row in tx.select(&sql, &[])? {
        match CoinRow::of(&row) {
            Ok(coin) => {
                check_coin(tx, (&coin, key), (&keys, &releases), &mut audit)?;
                signatures.push((coin.id, coin.signature));
            }
            Err(failure) => {
                audit.findings.push(Finding::new(7, COIN.name, Fault::from(failure).message.as_str()))
            }
        }
    }
    signatures.chunks(TOGETHER).for_each(|some| check_signatures(some, &keys, &mut audit.findings));
    for row in SessionRow::unfinished(tx)? {
        audit.sessions.push(OpenSession {
            session: row.offer.as_ref().map(|offer| offer.session),
            request: row.request,
            kind: row.design.purpose.as_str().to_owned(),
            bank: row.bank,
            value: row.amount,
            signed: row.finish.is_some(),
        });
    }
    for row in PaymentRow::unsettled(tx)? {
        audit.payments.push(OpenPayment {
            payment: row.payment,
            bank: row.bank,
            value: row.amount,
            state: row.state,
        });
    }
    cheques::check(tx, &mut audit)?;
    let taken = ReceivedRow::select(tx, "state = 'taken'", &[])?;
    audit.receipts = taken.iter().map(|row| (row.payment, row.amount)).collect();
    crate::offline::audit::run(tx, key, &mut audit)?;
    Ok(audit)
}

/// The keys that signed coins, decoded where they can be.
type Denominations = BTreeMap<Digest, (DenominationKey, Option<PublicKey>)>;
/// What each refresh releases of each coin.
type Releases = BTreeMap<(Digest, CoinId), Vec<Digest>>;

fn releases(tx: &mut dyn Tx) -> Result<Releases, Failure> {
    let mut releases = Releases::new();
    for row in SessionRow::signed(tx)? {
        let Some(FinishRequest { session, challenges, funding: Funding::Coins(funding) }) = &row.finish
        else {
            continue;
        };
        let statement = funding.statement(&row.bank, session, challenges);
        for input in funding.inputs.iter() {
            releases.insert((statement, input.stated.coin), input.stated.releases.to_vec());
        }
    }
    Ok(releases)
}

fn denominations(tx: &mut dyn Tx) -> Result<Denominations, Failure> {
    let (_, entries) = read_members(tx)?;
    let keys = entries.iter().flat_map(|entry| entry.keyset.keys.iter());
    Ok(keys.map(|key| (key.id(), (key.clone(), PublicKey::from_encoded(key.key).ok()))).collect())
}

fn check_coin(
    tx: &mut dyn Tx,
    (row, store_key): (&CoinRow, Option<&StoreKey>),
    (keys, releases): (&Denominations, &Releases),
    audit: &mut Audit,
) -> Result<(), Failure> {
    let place = format!("coin {}", row.id.key);
    let mut find =
        |invariant, detail: String| audit.findings.push(Finding::new(invariant, place.clone(), detail));
    match store_key.map(|key| row.coin(key)) {
        None if row.secret.fits(Place::Coin(&row.id)) => {}
        Some(Ok(coin)) if coin.id == row.id => {}
        _ => find(8, "the key is not that of the secret".into()),
    }
    match keys.get(&row.id.denomination) {
        None => find(8, "its denomination is not pinned".into()),
        Some((key, _)) => {
            let says = (key.value, key.bank.as_str(), key.currency.code());
            if says != (row.worth, row.bank.as_str(), row.currency.as_str()) {
                find(8, "value, bank or currency differ from the denomination's".into());
            }
        }
    }
    let signed = pledge::signed(tx, &row.id)?;
    let live = signed.iter().filter(|signed| signed.released_by.is_none()).map(|signed| signed.amount);
    if row.worth.checked_sub(Minor::sum(live)?).ok() != Some(row.rest) {
        find(3, "its rest is not its value less what is signed away".into());
    }
    if let Some(broken) = check_rule(row, &signed, releases) {
        find(6, broken);
    }
    let kept = signed.iter().filter(|signed| signed.state != "void").map(|signed| signed.amount);
    let available = row.worth.checked_sub(Minor::sum(kept)?).unwrap_or(Minor::ZERO);
    audit.coins.push(HeldCoin { coin: row.id, bank: row.bank.clone(), value: row.worth, available });
    Ok(())
}

/// Checks the banks' signatures together, and names the coins whose does not verify.
fn check_signatures(coins: &[(CoinId, Signature)], keys: &Denominations, findings: &mut Vec<Finding>) {
    let mut weights = Transcript::new("wallet/audit/weights");
    let (mut places, mut items, mut unsigned) = (Vec::new(), Vec::new(), Vec::new());
    for (id, signature) in coins {
        match keys.get(&id.denomination) {
            // The coin's own check has found it.
            None => {}
            Some((_, None)) => unsigned.push(id),
            Some((_, Some(key))) => {
                let (message, signature) = (coin::message(&id.key), *signature);
                weights = weights.digest(&id.denomination).digest(&message).bytes(&signature.to_bytes());
                places.push(id);
                items.push(Item::Signature { key, message, signature });
            }
        }
    }
    // Whoever made the coins had to make them before the weights were known: these are of all of them.
    let mut rng = ChaCha12Rng::from_seed(weights.into_digest().0);
    let blamed = batch::verify(&items, &mut rng).err().map(|blame| blame.indices).unwrap_or_default();
    unsigned.extend(blamed.into_iter().filter_map(|index| places.get(index)));
    findings.extend(unsigned.into_iter().map(|id| {
        Finding::new(8, format!("coin {}", id.key), "the bank's signature does not verify".to_owned())
    }));
}

/// Replays the rule: each statement with all signed before it that it does not release.
fn check_rule(coin: &CoinRow, signed: &[Signed], releases: &Releases) -> Option<String> {
    let none = Vec::new();
    for (place, one) in signed.iter().enumerate() {
        let released = releases.get(&(one.statement, coin.id)).unwrap_or(&none);
        let earlier = signed.iter().take(place).filter(|earlier| !released.contains(&earlier.statement));
        let sum = Minor::sum(earlier.map(|earlier| earlier.amount).chain([one.amount]));
        if sum.as_ref().is_ok_and(|sum| *sum <= coin.worth) {
            continue;
        }
        return Some(format!("statement {} takes more than is left of {}", one.statement, coin.worth));
    }
    None
}
