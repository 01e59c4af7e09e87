//! What was signed away of each coin, and the rule that no set of signed statements ever exceeds a coin's value.
//!
//! Everything signed with a coin's key is kept for ever. [`check`] is called before a signature is made, [`record`]
//! checks again in the commit that must be durable before the signature leaves. The rule: what the new statement takes
//! of a coin, plus **all that was ever signed** of it and that the new statement does not release, is at most its value.
//!
//! Why that suffices: take any set of statements of which none releases another. Its newest member passed the check
//! when it was signed, all the others were there, and it releases none of them. So their sum is within the value.
//!
//! A statement may be released only once it is certain that it never took effect: the bank said so ([`void`]).

use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreError, Tx, Value};
use feiqian_money::Minor;
use feiqian_online_cash::coin::CoinId;
use feiqian_wire::Timestamp;

use crate::failure::{Failure, Result};
use crate::held::HeldCoin;
use crate::record::{CoinRow, next_number};
use crate::tables::{COIN, CONTRIBUTION, STATEMENT};

/// What a statement is to take of one coin, and which earlier statements of this coin it releases.
#[derive(Clone, Debug)]
pub(crate) struct Pledge {
    pub(crate) coin: CoinId,
    pub(crate) amount: Minor,
    pub(crate) releases: Vec<Digest>,
}

/// What was signed of a coin.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    pub(crate) statement: Digest,
    pub(crate) amount: Minor,
    pub(crate) state: String,
    pub(crate) released_by: Option<Digest>,
}

/// Everything ever signed of a coin, in the order of signing.
pub(crate) fn signed(tx: &mut dyn Tx, coin: &CoinId) -> Result<Vec<Signed>> {
    let sql = "SELECT c.digest, c.amount, s.state, c.released_by FROM contribution c \
               JOIN signed_statement s ON s.digest = c.digest \
               WHERE c.denomination = ?1 AND c.coin_key = ?2 ORDER BY s.number";
    let rows = tx.select(sql, &[coin.denomination.into(), coin.key.to_bytes().into()])?;
    rows.iter()
        .map(|row| {
            Ok(Signed {
                statement: row.digest(0)?,
                amount: row.minor(1)?,
                state: row.text(2)?.to_owned(),
                released_by: if row.is_null(3) { None } else { Some(row.digest(3)?) },
            })
        })
        .collect()
}

/// What a coin can give a refresh, and the statements that refresh must release.
pub(crate) fn refreshable(tx: &mut dyn Tx, coin: &HeldCoin) -> Result<(Minor, Vec<Digest>)> {
    if coin.is_untouched() {
        return Ok((coin.worth, Vec::new()));
    }
    let (void, counted): (Vec<Signed>, Vec<Signed>) =
        signed(tx, &coin.id)?.into_iter().partition(|signed| signed.state == "void");
    let taken = Minor::sum(counted.iter().map(|signed| signed.amount))?;
    let left =
        coin.worth.checked_sub(taken).map_err(|_| Failure::broken("a coin is signed beyond its value"))?;
    Ok((left, void.into_iter().map(|signed| signed.statement).collect()))
}

/// What a coin can give a payment: its rest, or nothing while a statement waits to be released.
pub(crate) fn payable(tx: &mut dyn Tx, coin: &HeldCoin) -> Result<Minor> {
    let all = if coin.is_untouched() { Vec::new() } else { signed(tx, &coin.id)? };
    if coin.state != "good" || all.iter().any(|signed| signed.state == "void") {
        return Ok(Minor::ZERO);
    }
    Ok(coin.rest)
}

/// The rule of the module, for every coin of a statement to be signed.
///
/// # Errors
/// `BROKEN_INVARIANT` when the statement would exceed a coin's value, or releases what may not be released.
pub(crate) fn check(tx: &mut dyn Tx, pledges: &[Pledge]) -> Result<()> {
    for pledge in pledges {
        let coin =
            CoinRow::find(tx, &pledge.coin)?.ok_or_else(|| Failure::broken("a coin that is not ours"))?;
        let all = signed(tx, &pledge.coin)?;
        for release in &pledge.releases {
            if !all.iter().any(|signed| signed.statement == *release && signed.state == "void") {
                return Err(Failure::broken("a statement that may still act cannot be released"));
            }
        }
        let counted = all.iter().filter(|signed| !pledge.releases.contains(&signed.statement));
        let taken = Minor::sum(counted.map(|signed| signed.amount).chain([pledge.amount]))?;
        if pledge.amount.is_zero() || taken > coin.worth {
            return Err(Failure::broken("the statement would take more of a coin than its value"));
        }
    }
    Ok(())
}

/// Checks the rule and writes the statement down. A statement written down before is left as it is.
pub(crate) fn record(
    tx: &mut dyn Tx,
    statement: Digest,
    (kind, bank, owner): (&str, &str, Digest),
    now: Timestamp,
    pledges: &[Pledge],
) -> Result<()> {
    if tx.find(&STATEMENT, &[statement.into()])?.is_some() {
        return Ok(());
    }
    check(tx, pledges)?;
    let signed_at = Value::unsigned(now.seconds())?;
    let number = Value::unsigned(next_number(tx, "", "statement", 0)?)?;
    tx.insert(
        &STATEMENT,
        &[statement.into(), kind.into(), bank.into(), owner.into(), "open".into(), signed_at, number],
    )?;
    for pledge in pledges {
        for release in &pledge.releases {
            release_one(tx, &pledge.coin, release, statement)?;
        }
        tx.insert(&CONTRIBUTION, &contribution(&pledge.coin, statement, pledge.amount, None))?;
        update_rest(tx, &pledge.coin)?;
    }
    Ok(())
}

fn contribution(coin: &CoinId, statement: Digest, amount: Minor, released_by: Option<Digest>) -> [Value; 5] {
    [
        coin.denomination.into(),
        coin.key.to_bytes().into(),
        statement.into(),
        amount.into(),
        released_by.into(),
    ]
}

fn release_one(tx: &mut dyn Tx, coin: &CoinId, released: &Digest, by: Digest) -> Result<()> {
    let key = [coin.denomination.into(), coin.key.to_bytes().into(), (*released).into()];
    let row = tx.find(&CONTRIBUTION, &key)?.ok_or(StoreError::Missing(CONTRIBUTION.name))?;
    tx.update(&CONTRIBUTION, &contribution(coin, *released, row.minor(3)?, Some(by)))?;
    Ok(())
}

fn update_rest(tx: &mut dyn Tx, id: &CoinId) -> Result<()> {
    let mut coin = CoinRow::find(tx, id)?.ok_or(StoreError::Missing(COIN.name))?;
    let live = signed(tx, id)?;
    let taken =
        Minor::sum(live.iter().filter(|signed| signed.released_by.is_none()).map(|signed| signed.amount))?;
    coin.rest =
        coin.worth.checked_sub(taken).map_err(|_| Failure::broken("a coin is signed beyond its value"))?;
    tx.update(&COIN, &coin.values())?;
    Ok(())
}

/// Notes that a statement took effect (`effective`), or that it never did and never will (`void`).
pub(crate) fn resolve(tx: &mut dyn Tx, statement: &Digest, state: &str) -> Result<()> {
    let row = tx.find(&STATEMENT, &[(*statement).into()])?.ok_or(StoreError::Missing(STATEMENT.name))?;
    let mut values = row.0;
    if let Some(place) = values.get_mut(4) {
        *place = state.into();
    }
    tx.update(&STATEMENT, &values)?;
    Ok(())
}
