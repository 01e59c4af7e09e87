//! Cheques, certificates and transfers: from the command tree to the roles.

use std::path::{Path, PathBuf};

use feiqian_wire::error::Fault;
use serde_json::{Value, json};

use crate::cli::{ChequeDeposit, ChequeWrite, MerchantCheque, Transfer, WalletCheque};
use crate::commands::{absolute, asked, command};
use crate::roles::Role;

fn optional(path: Option<&PathBuf>) -> Result<Option<PathBuf>, Fault> {
    path.map(|path| absolute(path)).transpose()
}

/// `feiqian wallet cheque …`
pub(crate) async fn wallet(what: WalletCheque, as_json: bool) -> Result<(), Fault> {
    let (at, sent) = match what {
        WalletCheque::Book { at, leaves } => (at, command("cheque_book", json!({"leaves": leaves}))),
        WalletCheque::Write(order) => write(order)?,
        WalletCheque::Sign { at, file, out } => {
            let fields = json!({"path": absolute(&file)?, "out": optional(out.as_ref())?});
            (at, command("cheque_sign", fields))
        }
        WalletCheque::List(at) => (at, command("cheque_list", Value::Null)),
        WalletCheque::Stop { of, reason } => {
            (of.at, command("cheque_stop", json!({"number": of.number, "reason": reason.as_str()})))
        }
        WalletCheque::Unstop(of) => (of.at, command("cheque_unstop", json!({"number": of.number}))),
        WalletCheque::Void(of) => (of.at, command("cheque_void", json!({"number": of.number}))),
        WalletCheque::Certify { of, out } => {
            let fields = json!({"number": of.number, "out": optional(out.as_ref())?});
            (of.at, command("cheque_certify", fields))
        }
        WalletCheque::Endorse { at, file, to, out } => {
            let fields = json!({"path": absolute(&file)?, "to": to, "out": absolute(&out)?});
            (at, command("cheque_endorse", fields))
        }
        WalletCheque::Deposit(ChequeDeposit { at, file, out }) => {
            let fields = json!({"path": absolute(&file)?, "out": optional(out.as_ref())?});
            (at, command("cheque_deposit", fields))
        }
        WalletCheque::Inbox { at, into } => {
            (at, command("cheque_inbox", json!({"folder": optional(into.as_ref())?})))
        }
    };
    asked(Role::Wallet, &at, sent, as_json).await
}

fn write(order: ChequeWrite) -> Result<(crate::cli::HomeOnly, Value), Fault> {
    let ChequeWrite { at, to, amount, date, memo, negotiable, certify, attach, joint, required, out, send } =
        order;
    let is_file = Path::new(&to).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("pem"));
    let (to, certificate) = if is_file { (None, Some(absolute(Path::new(&to))?)) } else { (Some(to), None) };
    let attach: Vec<PathBuf> = attach.iter().map(|path| absolute(path)).collect::<Result<_, _>>()?;
    let fields = json!({
        "to": to,
        "certificate": certificate,
        "amount": amount,
        "date": date,
        "memo": memo,
        "negotiable": negotiable,
        "certify": certify,
        "attach": attach,
        "joint": joint,
        "required": required,
        "out": optional(out.as_ref())?,
        "send": send,
    });
    Ok((at, command("cheque_write", fields)))
}

/// `feiqian merchant cheque …`
pub(crate) async fn merchant(what: MerchantCheque, as_json: bool) -> Result<(), Fault> {
    let (at, sent) = match what {
        MerchantCheque::Verify { at, file } => {
            (at, command("cheque_verify", json!({"path": absolute(&file)?})))
        }
        MerchantCheque::Deposit(ChequeDeposit { at, file, out }) => {
            let fields = json!({"path": absolute(&file)?, "out": optional(out.as_ref())?});
            (at, command("cheque_deposit", fields))
        }
        MerchantCheque::List(at) => (at, command("cheque_list", Value::Null)),
    };
    asked(Role::Merchant, &at, sent, as_json).await
}

/// `feiqian wallet transfer`
pub(crate) async fn transfer(order: Transfer, as_json: bool) -> Result<(), Fault> {
    let Transfer { at, to, amount, memo } = order;
    let sent = command("transfer", json!({"to": to, "amount": amount, "memo": memo}));
    asked(Role::Wallet, &at, sent, as_json).await
}
