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
use crate::cli::{BankOffline, MerchantOffline, WalletOffline};
use crate::commands::{absolute, asked, command, request};
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

/// `feiqian bank accusations`, `feiqian bank accusation`
///
/// # Errors
/// The bank's; `USAGE` when the file cannot be written.
pub(crate) async fn bank(what: BankOffline, as_json: bool) -> Result<(), Fault> {
    match what {
        BankOffline::Accusations(at) => {
            asked(Role::Bank, &at, command("accusations", Value::Null), as_json).await
        }
        BankOffline::Accusation { at, id, out } => {
            let document = ask(Role::Bank, &at.home, command("accusation", json!({"id": id}))).await?;
            let text = serde_json::to_string_pretty(&document)
                .map_err(|error| Fault::new(Code::Internal, error.to_string()))?;
            let Some(path) = out else {
                output::line(&if as_json { document.to_string() } else { text });
                return Ok(());
            };
            write_private(&path, text.as_bytes()).map_err(|error| {
                Fault::new(Code::Usage, format!("cannot write {}: {error}", path.display()))
            })?;
            output::result(&json!({"accusation": id, "file": path}), as_json);
            Ok(())
        }
    }
}

/// `feiqian merchant offline-request`, `accept`, `deposit-queue`
///
/// # Errors
/// The merchant's.
pub(crate) async fn merchant(what: MerchantOffline, as_json: bool) -> Result<(), Fault> {
    let role = Role::Merchant;
    match what {
        MerchantOffline::OfflineRequest { at, amount, order, expires, out, qr } => {
            let out = optional(out.as_ref())?;
            let fields = json!({"amount": amount, "order": order, "expires_seconds": expires, "out": out});
            request(role, &at.home, command("offline_request", fields), qr, as_json).await
        }
        MerchantOffline::Accept { at, payment } => {
            asked(role, &at, command("accept", json!({"file": source(payment)?})), as_json).await
        }
        MerchantOffline::DepositQueue(at) => {
            asked(role, &at, command("deposit_queue", Value::Null), as_json).await
        }
    }
}

/// The commands of `feiqian wallet` about offline cash.
///
/// # Errors
/// The wallet's.
pub(crate) async fn wallet(what: WalletOffline, as_json: bool) -> Result<(), Fault> {
    let (at, sent) = match what {
        WalletOffline::WithdrawOffline { at, amount } => {
            (at, command("withdraw_offline", json!({"amount": amount})))
        }
        WalletOffline::Blanks { at, count } => (at, command("blanks", json!({"count": count}))),
        WalletOffline::PayOffline { at, request, out } => {
            let fields = json!({"request": source(request)?, "out": optional(out.as_ref())?});
            (at, command("pay_offline", fields))
        }
        WalletOffline::Offer { at, amount, blanks, expires, out } => {
            let out = optional(out.as_ref())?;
            let fields = json!({"amount": amount, "blanks": blanks, "expires_seconds": expires, "out": out});
            (at, command("offer", fields))
        }
        WalletOffline::TransferCoin { at, to, code, out } => {
            let fields = json!({"to": source(to)?, "code": code, "out": optional(out.as_ref())?});
            (at, command("transfer_coin", fields))
        }
        WalletOffline::Accept { at, message, out } => {
            let fields = json!({"file": source(message)?, "out": optional(out.as_ref())?});
            (at, command("accept", fields))
        }
        WalletOffline::DepositOffline { at, amount } => {
            (at, command("deposit_offline", json!({"amount": amount})))
        }
        WalletOffline::Reclaim { at, everything } => {
            (at, command("reclaim", json!({"everything": everything})))
        }
        WalletOffline::RestoreOffline(at) => (at, command("restore_offline", Value::Null)),
    };
    asked(Role::Wallet, &at, sent, as_json).await
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
