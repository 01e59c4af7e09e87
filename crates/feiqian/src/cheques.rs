//! Cheques, certificates and transfers: from the command tree to the roles.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use feiqian_wire::error::Fault;
use serde_json::{Value, json};

use crate::ask::ask;
use crate::cli::{ChequeDeposit, ChequeWrite, HomeOnly, MerchantCheque, Transfer, WalletCheque};
use crate::commands::{absolute, asked, command};
use crate::output::{self, at};
use crate::roles::Role;

/// How long a cheque that was paid is waited for to be settled: without cycles it is within a second.
const SETTLING: Duration = Duration::from_secs(2);
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

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
        WalletCheque::Deposit(order) => return deposit(Role::Wallet, order, as_json).await,
        WalletCheque::Inbox { at, into } => {
            (at, command("cheque_inbox", json!({"folder": optional(into.as_ref())?})))
        }
    };
    asked(Role::Wallet, &at, sent, as_json).await
}

fn write(order: ChequeWrite) -> Result<(HomeOnly, Value), Fault> {
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
        MerchantCheque::Deposit(order) => return deposit(Role::Merchant, order, as_json).await,
        MerchantCheque::List(at) => (at, command("cheque_list", Value::Null)),
    };
    asked(Role::Merchant, &at, sent, as_json).await
}

/// Hands a cheque in and shows what became of it. One that the drawee has paid is looked at again for a moment: the
/// same deposit gets the newest answer.
async fn deposit(role: Role, order: ChequeDeposit, as_json: bool) -> Result<(), Fault> {
    let ChequeDeposit { at: HomeOnly { home }, file, out } = order;
    let sent = command("cheque_deposit", json!({"path": absolute(&file)?, "out": optional(out.as_ref())?}));
    let begun = Instant::now();
    let mut told = ask(role, &home, sent.clone()).await?;
    while is_settling(&told) && begun.elapsed() < SETTLING {
        tokio::time::sleep(LOOK_AGAIN).await;
        told = ask(role, &home, sent.clone()).await?;
    }
    output::result(&told, as_json);
    if !as_json {
        output::line(&in_words(&told));
    }
    Ok(())
}

fn is_settling(told: &Value) -> bool {
    *at(told, "outcome") == "pending" && *at(told, "paid") == true
}

/// What a deposit's answer means for its holder.
fn in_words(told: &Value) -> String {
    let code = at(told, "code").as_str().unwrap_or_default();
    let meaning = at(told, "meaning").as_str().unwrap_or_default();
    match at(told, "outcome").as_str() {
        Some("paid") => "Paid and settled: the amount is on the account.".to_owned(),
        Some("returned") => format!("Returned unpaid: {meaning} ({code}). Nothing was credited."),
        _ if is_settling(told) => {
            "Paid by the drawee; credited when the banks have settled. The same command again shows it."
                .to_owned()
        }
        _ => {
            "On its way to the drawee; the bank keeps on asking. The same command again shows it.".to_owned()
        }
    }
}

/// `feiqian wallet transfer`
pub(crate) async fn transfer(order: Transfer, as_json: bool) -> Result<(), Fault> {
    let Transfer { at, to, amount, memo } = order;
    let sent = command("transfer", json!({"to": to, "amount": amount, "memo": memo}));
    let told = ask(Role::Wallet, &at.home, sent).await?;
    output::result(&told, as_json);
    if !as_json {
        output::line(&transfer_in_words(&told));
    }
    Ok(())
}

/// What a transfer's answer means for who ordered it.
fn transfer_in_words(told: &Value) -> String {
    let text = |name: &str| output::at(told, name).as_str().unwrap_or_default();
    match text("outcome") {
        "booked" => "Done: the amount is on the other account.".to_owned(),
        "returned" => {
            let code = text("code");
            let meaning = code.parse().map_or("", feiqian_cheque::ReturnCode::meaning);
            format!("Returned: {meaning} ({code}). The amount is back on the own account.")
        }
        _ => "On its way; the same command again shows what became of it.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_is_told_in_words() {
        let returned = json!({"outcome": "returned", "code": "ACCOUNT_UNKNOWN", "iso20022": "AC01"});
        let words = transfer_in_words(&returned);
        assert_eq!(
            words,
            "Returned: no such account (ACCOUNT_UNKNOWN). The amount is back on the own account."
        );
        assert!(transfer_in_words(&json!({"outcome": "booked"})).starts_with("Done"));
        assert!(transfer_in_words(&json!({"outcome": "pending"})).starts_with("On its way"));
    }

    #[test]
    fn a_deposit_is_told_in_words() {
        let pending = json!({"outcome": "pending", "paid": true});
        assert!(in_words(&pending).starts_with("Paid by the drawee; credited when"));
        assert!(is_settling(&pending));
        let sent = json!({"outcome": "pending", "paid": false});
        assert!(in_words(&sent).starts_with("On its way"));
        assert!(!is_settling(&sent));
        let returned = json!({"outcome": "returned", "code": "STOPPED", "meaning": "stop order in force"});
        assert_eq!(
            in_words(&returned),
            "Returned unpaid: stop order in force (STOPPED). Nothing was credited."
        );
        assert!(in_words(&json!({"outcome": "paid", "paid": true})).starts_with("Paid and settled"));
    }
}
