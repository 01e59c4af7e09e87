//! Offline cash: from the command tree to the roles, and `feiqian verify` of an accusation.

use std::path::{Path, PathBuf};

use feiqian_node::files::write_private;
use feiqian_offline_cash::accusation::{Accusation, Accused};
use feiqian_offline_cash::signed::WireChain;
use feiqian_pki::TrustedRoot;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Limit, codec};
use serde_json::{Value, json};

use crate::ask::ask;
use crate::cli::{BankOffline, HandOut, HandToHand, HomeOnly, MerchantOffline, WalletOffline};
use crate::commands::{absolute, asked, command};
use crate::messages;
use crate::output;
use crate::roles::Role;
use crate::verify::{Trust, trust};

fn optional(path: Option<&PathBuf>) -> Result<Option<PathBuf>, Fault> {
    path.map(|path| absolute(path)).transpose()
}

/// `feiqian:…` text as it is, the name of a file as a node in another working folder understands it.
fn source(text: String) -> Result<String, Fault> {
    if text.trim_start().starts_with("feiqian:") {
        return Ok(text);
    }
    let path = absolute(Path::new(&text))?;
    let name = path.into_os_string().into_string();
    name.map_err(|_| Fault::new(Code::Usage, format!("{text}: the name of its folder is no text")))
}

/// `feiqian bank accusations`
///
/// # Errors
/// The bank's; `USAGE` when the file cannot be written.
pub(crate) async fn bank(what: BankOffline, as_json: bool) -> Result<(), Fault> {
    let BankOffline::Accusations { at, id, out } = what;
    let Some(id) = id else {
        return asked(Role::Bank, &at, command("accusations", Value::Null), as_json).await;
    };
    let document = ask(Role::Bank, &at.home, command("accusation", json!({"id": id}))).await?;
    let text = serde_json::to_string_pretty(&document)
        .map_err(|error| Fault::new(Code::Internal, error.to_string()))?;
    let Some(path) = out else {
        output::line(&if as_json { document.to_string() } else { text });
        return Ok(());
    };
    write_private(&path, text.as_bytes())
        .map_err(|error| Fault::new(Code::Usage, format!("cannot write {}: {error}", path.display())))?;
    output::result(&json!({"accusation": id, "bytes": text.len(), "file": path}), as_json);
    Ok(())
}

/// `feiqian merchant accept`, `deposit-queue`
///
/// # Errors
/// The merchant's.
pub(crate) async fn merchant(what: MerchantOffline, as_json: bool) -> Result<(), Fault> {
    let role = Role::Merchant;
    match what {
        MerchantOffline::Accept { at, payment } => {
            asked(role, &at, command("accept", json!({"file": source(payment)?})), as_json).await
        }
        MerchantOffline::DepositQueue(at) => {
            asked(role, &at, command("deposit_queue", Value::Null), as_json).await
        }
    }
}

/// `feiqian wallet pay --offline`
///
/// # Errors
/// The wallet's.
pub(crate) async fn pay(
    at: &HomeOnly,
    request: String,
    (out, qr): (Option<&PathBuf>, bool),
    as_json: bool,
) -> Result<(), Fault> {
    let fields = json!({"request": source(request)?, "out": optional(out)?});
    messages::asked(Role::Wallet, &at.home, command("pay_offline", fields), qr, as_json).await
}

/// The commands of `feiqian wallet` about offline cash alone.
///
/// # Errors
/// The wallet's.
pub(crate) async fn wallet(what: WalletOffline, as_json: bool) -> Result<(), Fault> {
    let role = Role::Wallet;
    match what {
        WalletOffline::Blanks { at, count } => {
            asked(role, &at, command("blanks", json!({"count": count})), as_json).await
        }
        WalletOffline::TransferCoin { at, to, code, hand_out } => {
            let fields = json!({"to": source(to)?, "code": code, "out": optional(hand_out.out.as_ref())?});
            messages::asked(role, &at.home, command("transfer_coin", fields), hand_out.qr, as_json).await
        }
        WalletOffline::Accept { at, transfer } => {
            asked(role, &at, command("accept", json!({"file": source(transfer)?})), as_json).await
        }
        WalletOffline::Hand(what) => hand_to_hand(what, as_json).await,
    }
}

async fn hand_to_hand(what: HandToHand, as_json: bool) -> Result<(), Fault> {
    let role = Role::Wallet;
    let (at, name, mut fields, hand_out) = match what {
        HandToHand::Offer { at, amount, blanks, expires, hand_out } => {
            let fields = json!({"amount": amount, "blanks": blanks, "expires_seconds": expires});
            (at, "offer", fields, hand_out)
        }
        HandToHand::Answer { at, offer, hand_out } => {
            (at, "answer_offer", json!({"file": source(offer)?}), hand_out)
        }
        HandToHand::Accept { at, answer, hand_out } => {
            (at, "open_offer", json!({"file": source(answer)?}), hand_out)
        }
        HandToHand::Reclaim { at, everything } => {
            return asked(role, &at, command("reclaim", json!({"everything": everything})), as_json).await;
        }
        HandToHand::Restore(at) => {
            return asked(role, &at, command("restore_offline", Value::Null), as_json).await;
        }
    };
    let HandOut { out, qr } = hand_out;
    output::set(&mut fields, "out", json!(optional(out.as_ref())?));
    messages::asked(role, &at.home, command(name, fields), qr, as_json).await
}

/// A wallet's balance for eyes: what it holds online and offline, line by line, and what others passed on.
pub(crate) fn side_by_side(mut balance: Value) -> Value {
    let taken = balance.as_object_mut().and_then(|fields| fields.remove("offline"));
    let Some(mut offline) = taken else { return balance };
    let received = offline.as_object_mut().and_then(|fields| fields.remove("received"));
    output::set(&mut balance, "kind", "online");
    output::set(&mut offline, "kind", "offline");
    output::set(&mut offline, "currency", output::at(&balance, "currency").clone());
    let holdings = received.as_ref().and_then(Value::as_array).map_or(0, Vec::len);
    output::set(&mut offline, "received", holdings);
    json!({"held": [balance, offline], "received": received})
}

/// An accusation, if the bytes are one.
pub(crate) fn accusation(bytes: &[u8]) -> Option<Accusation> {
    codec::decode_json(bytes, Limit::Large).or_else(|_| codec::decode(bytes, Limit::Large)).ok()
}

/// The chain that leads to the root inside a document.
fn carried(accusation: &Accusation) -> &WireChain {
    match accusation {
        Accusation::Customer(accusation) => &accusation.identity.center,
        Accusation::Bank(accusation) => &accusation.signer,
    }
}

/// `feiqian verify` of an accusation: whom it names, by signatures and the opening alone.
///
/// # Errors
/// `WRONG_ROOT` when it stands under another root than the named one; the code of the first rule that it breaks.
pub(crate) fn check(accusation: &Accusation, root: Option<&str>) -> Result<Value, Fault> {
    let named = trust(root)?;
    let trusted = !matches!(named, Trust::None);
    let root = match named {
        Trust::Root(root) => root,
        Trust::None => carried_root(accusation)?,
        Trust::Fingerprint(wanted) => {
            let root = carried_root(accusation)?;
            if root.fingerprint() != wanted {
                let stands = root.fingerprint();
                let what = format!("it stands under the root {stands}, trusted is {wanted}");
                return Err(Fault::new(Code::WrongRoot, what));
            }
            root
        }
    };
    let mut value = match accusation.verify(&root)? {
        Accused::Customer { origin, collateral, .. } => json!({
            "kind": "accusation",
            "accused": "customer",
            "bank": origin.bank,
            "account": origin.account,
            "session": origin.session,
            "index": origin.index,
            "collateral": collateral.to_string(),
            "currency": collateral.currency,
        }),
        Accused::Bank { bank, coin, .. } => {
            json!({"kind": "accusation", "accused": "bank", "bank": bank, "coin": coin})
        }
    };
    output::set(&mut value, "valid", Value::Bool(true));
    output::set(&mut value, "trusted", Value::Bool(trusted));
    output::set(&mut value, "root", json!(root.fingerprint()));
    if !trusted {
        let warning = "nobody vouches for this root: name the one you trust with --root";
        output::set(&mut value, "warning", Value::from(warning));
    }
    Ok(value)
}

fn carried_root(accusation: &Accusation) -> Result<TrustedRoot, Fault> {
    let chain = carried(accusation).to_chain()?;
    TrustedRoot::from_chain(&chain)
        .map_err(|error| Fault::new(Code::CertificateInvalid, format!("it carries no root: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_balance_shows_both_kinds_in_one_table() {
        let line = json!({"amount": "5.00", "bank": "north", "hops": 1, "pay_until": 1_795_310_836});
        let offline = json!({"balance": "12.50", "pending": "0.00", "reclaimable": "0.00", "coins": 4,
            "received": [line], "blanks": 8, "pay_until": 1_795_310_836});
        let told = json!({"balance": "37.50", "pending": "0.00", "currency": "CNY", "coins": 27, "offline": offline});
        let text = output::render(&side_by_side(told));
        for part in ["online", "37.50", "27", "offline", "12.50", "blanks", "received", "5.00", "hops"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let line = |kind: &str| text.lines().find(|line| line.contains(kind)).unwrap_or_default().to_owned();
        assert!(line("offline").contains("12.50") && line("online").contains("37.50"), "{text}");
    }
}
