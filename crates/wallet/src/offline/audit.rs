//! Recomputes what the store says of offline cash.
//!
//! Checked: every coin's secret, tree and signature under its pinned key; every rest against the answers; **the rule**, that
//! no two answers of a coin or blank overlap; that a blank without a chain answered nothing; that everything given away has
//! its answers, and every answer its owner.

use std::collections::{BTreeMap, BTreeSet};

use feiqian_crypto::Digest;
use feiqian_crypto::acl::PublicKey;
use feiqian_crypto::share_tree::{SecretTree, TreeBuilder};
use feiqian_ledger::audit::Finding;
use feiqian_ledger::store::Tx;
use feiqian_money::Minor;
use feiqian_offline_cash::keyset::{Kind, OfflineKey};
use feiqian_offline_cash::register::Mark;

use super::members::read_offline;
use super::purse::taken;
use super::rows::{ClaimRow, CoinRow, PaymentRow, SessionRow, answers_of, kind_name};
use crate::audit::{Audit, HeldOffline, OpenOffline};
use crate::failure::Result;
use crate::sealed_rows::{Place, StoreKey};

/// A pinned key, whose bank signs with it, and its trees.
struct Pinned {
    bank: String,
    key: OfflineKey,
    trees: Option<TreeBuilder>,
}

/// Adds what is found of offline cash, and what a closed world's books need to know of it.
pub(crate) fn run(tx: &mut dyn Tx, key: Option<&StoreKey>, audit: &mut Audit) -> Result<()> {
    let mut keys = pinned(tx)?;
    for row in CoinRow::select(tx, "1 = 1", &[])? {
        let answers = answers_of(tx, &row.message)?;
        let mut find = |invariant: u8, detail: &str| {
            audit.findings.push(Finding::new(invariant, format!("offline_coin {}", row.message), detail));
        };
        let bank = match keys.get_mut(&row.key) {
            None => {
                find(8, "its key is not pinned");
                String::new()
            }
            Some(pinned) => {
                if let Some(wrong) = check_secret(&row, key, pinned) {
                    find(8, wrong);
                }
                pinned.bank.clone()
            }
        };
        for wrong in check_answers(&row, &answers) {
            find(6, wrong);
        }
        audit.offline.push(HeldOffline {
            message: row.message,
            bank,
            blank: row.kind == Kind::Blank,
            worth: row.worth,
            rest: row.rest,
            restored: row.restored,
        });
    }
    check_owners(tx, audit)?;
    open_ends(tx, audit)
}

fn pinned(tx: &mut dyn Tx) -> Result<BTreeMap<Digest, Pinned>> {
    let offline = read_offline(tx)?;
    let mut keys = BTreeMap::new();
    for keyset in offline.entries().iter().map(|entry| &entry.keyset) {
        for key in keyset.keys.iter() {
            let bank = keyset.bank.as_str().to_owned();
            keys.insert(keyset.key_id(key), Pinned { bank, key: *key, trees: None });
        }
    }
    Ok(keys)
}

fn check_secret(row: &CoinRow, key: Option<&StoreKey>, pinned: &mut Pinned) -> Option<&'static str> {
    if row.kind != pinned.key.kind || (row.kind == Kind::Value && row.worth != pinned.key.value) {
        return Some("kind or value differ from its key's");
    }
    if row.chain.as_ref().is_some_and(|chain| chain.blank.message != row.message) {
        return Some("what it took was passed to another blank");
    }
    let (sealed, place) = (row.secret.as_ref()?, Place::OfflineCoin(&row.message));
    let Some(key) = key else {
        return (!sealed.fits(place)).then_some("its sealed secret has another length");
    };
    let Ok(secret) = key.open_array(place, sealed) else {
        return Some("its sealed secret was changed, or is that of another row");
    };
    if pinned.trees.is_none() {
        let public = PublicKey::from_encoded(pinned.key.key, pinned.key.depth).ok();
        pinned.trees = public.as_ref().map(TreeBuilder::new);
    }
    let Some(trees) = &pinned.trees else { return Some("its key is no point") };
    match SecretTree::import(trees, &secret) {
        Ok(tree) if *tree.message() == row.message => None,
        Ok(_) => Some("its name is not that of its secret"),
        Err(_) => Some("secret, tree and signature do not fit"),
    }
}

/// The rule, and the rest.
fn check_answers(row: &CoinRow, answers: &[Mark]) -> Vec<&'static str> {
    let mut wrong = Vec::new();
    let overlaps = answers.iter().enumerate().any(|(place, one)| {
        answers.iter().skip(place.saturating_add(1)).any(|other| one.node.overlaps(other.node))
    });
    if overlaps {
        wrong.push("it answered twice for the same units");
    }
    if row.kind == Kind::Blank && row.chain.is_none() && !answers.is_empty() {
        wrong.push("a blank that took nothing has answered");
    }
    let parts = answers.iter().map(|mark| taken(row, mark)).collect::<Result<Vec<_>>>();
    let left = parts.ok().and_then(|parts| row.worth.checked_sub(Minor::sum(parts).ok()?).ok());
    if left != Some(row.rest) {
        wrong.push("its rest is not its worth less what it answered for");
    }
    wrong
}

fn check_owners(tx: &mut dyn Tx, audit: &mut Audit) -> Result<()> {
    let rows = tx.select("SELECT DISTINCT owner FROM offline_answer", &[])?;
    let answered: BTreeSet<Digest> = rows.iter().map(|row| row.digest(0)).collect::<Result<_, _>>()?;
    let rows = tx.select("SELECT owner FROM offline_payment", &[])?;
    let given: BTreeSet<Digest> = rows.iter().map(|row| row.digest(0)).collect::<Result<_, _>>()?;
    for owner in answered.symmetric_difference(&given) {
        let detail = "what was given away and what was answered differ";
        audit.findings.push(Finding::new(2, format!("offline_payment {owner}"), detail));
    }
    Ok(())
}

fn open_ends(tx: &mut dyn Tx, audit: &mut Audit) -> Result<()> {
    for row in SessionRow::unfinished(tx)? {
        audit.offline_sessions.push(OpenOffline {
            session: row.session,
            request: row.request,
            value: row.amount,
            kind: kind_name(row.kind).to_owned(),
            signed: row.finish.is_some(),
        });
    }
    audit.offline_deposits = PaymentRow::open(tx)?.iter().map(|row| (row.payment, row.amount)).collect();
    for claim in ClaimRow::select(tx, "1 = 1", &[])? {
        if CoinRow::find(tx, &claim.message)?.is_none() {
            let place = format!("offline_claim {}", claim.message);
            audit.findings.push(Finding::new(2, place, "a claim on a coin that is not here"));
        }
    }
    Ok(())
}
