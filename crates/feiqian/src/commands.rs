//! From the command tree to the roles.

use std::path::{Path, PathBuf};

use feiqian_crypto::{Digest, Id16, Transcript};
use feiqian_money::{Amount, Currency, Minor};
use feiqian_wire::error::{Code, Fault};
use serde_json::{Map, Value, json};

use crate::ask::ask;
use crate::cli::{
    AccountAmount, AccountCommand, Bank, Center, Command, CustomerRole, Cycle, HomeOnly, Merchant, Message,
    Wallet,
};
use crate::roles::{self, Role};
use crate::{
    acts, backup, certificates, cheques, messages, offline, output, passphrase, restore, run, statement,
};

/// What is logged unless it is said otherwise: a node tells what it does, a command only what is wrong.
pub(crate) fn log_level(command: &Command) -> &'static str {
    let runs = matches!(
        command,
        Command::Center(Center::Run(_))
            | Command::Bank(Bank::Run(_))
            | Command::Merchant(Merchant::Run(_))
            | Command::Wallet(Wallet::Run(_))
    );
    if runs { "info" } else { "error" }
}

/// An operator's command as its role reads it: `{"command": name, …}`.
pub(crate) fn command(name: &str, fields: Value) -> Value {
    let mut object = Map::new();
    object.insert("command".to_owned(), Value::from(name));
    if let Value::Object(fields) = fields {
        object.extend(fields.into_iter().filter(|(_, value)| !value.is_null()));
    }
    Value::Object(object)
}

/// The id of an act that the operator has given a name.
fn named(act: &str, about: &str, id: &str) -> Digest {
    Transcript::new("cli/act").text(act).text(about).text(id).into_digest()
}

pub(crate) async fn asked(role: Role, at: &HomeOnly, command: Value, as_json: bool) -> Result<(), Fault> {
    output::result(&ask(role, &at.home, command).await?, as_json);
    Ok(())
}

/// `feiqian center …`
pub(crate) async fn center(what: Center, as_json: bool) -> Result<(), Fault> {
    let role = Role::Center;
    match what {
        Center::Init(args) => output::result(&roles::init_center(&args).await?, as_json),
        Center::Join(args) => output::result(&roles::join_center(&args).await?, as_json),
        Center::Run(args) => run::run(role, &args).await?,
        Center::Invite { at, bank } => {
            asked(role, &at, command("invite", json!({"bank": bank})), as_json).await?;
        }
        Center::Fund { at, bank, amount, id } => {
            let funding = id.map(|id| Id16::from_digest(&named("fund", &bank, &id)));
            let fields = json!({"bank": bank, "amount": amount, "funding": funding});
            asked(role, &at, command("fund", fields), as_json).await?;
        }
        Center::Banks(at) => asked(role, &at, command("banks", Value::Null), as_json).await?,
        Center::Cycle(Cycle::Close(at)) => cycles(&at, "cycle_close", as_json).await?,
        Center::Settle(at) => asked(role, &at, command("settle", Value::Null), as_json).await?,
        Center::Positions(at) => cycles(&at, "positions", as_json).await?,
        Center::Revoke { at, bank, reason } => {
            asked(role, &at, command("revoke", json!({"bank": bank, "reason": reason})), as_json).await?;
        }
        Center::Backup(args) => output::result(&backup::back_up(Role::Center, &args)?, as_json),
        Center::Restore(args) => output::result(&backup::restore(Role::Center, &args).await?, as_json),
        Center::Log(at) => acts::show(Role::Center, &at, as_json)?,
        Center::Passphrase(what) => passphrase::run(Role::Center, &what, as_json).await?,
        Center::Status(at) => asked(role, &at, command("status", Value::Null), as_json).await?,
    }
    Ok(())
}

/// Shows cycles; to people each bank's position in words, as they write amounts.
async fn cycles(at: &HomeOnly, name: &str, as_json: bool) -> Result<(), Fault> {
    let mut told = ask(Role::Center, &at.home, command(name, Value::Null)).await?;
    if !as_json {
        let cycles = told.get_mut("cycles").and_then(Value::as_array_mut).into_iter().flatten();
        cycles.for_each(in_words);
    }
    output::result(&told, as_json);
    Ok(())
}

fn in_words(cycle: &mut Value) {
    let currency: Option<Currency> =
        output::at(cycle, "currency").as_str().and_then(|code| code.parse().ok());
    let net = cycle.get_mut("net").and_then(Value::as_object_mut);
    for position in net.into_iter().flat_map(Map::values_mut) {
        let words = currency.and_then(|currency| position_in_words(position.as_str()?, currency));
        if let Some(words) = words {
            *position = Value::from(words);
        }
    }
}

/// A signed number of minor units as what the bank owes or is owed.
fn position_in_words(position: &str, currency: Currency) -> Option<String> {
    let (verb, digits) = match position.strip_prefix('-') {
        Some(digits) => ("owes", digits),
        None => ("is owed", position),
    };
    let minor = Minor::new(digits.parse().ok()?).ok()?;
    Some(format!("{verb} {}", Amount::new(minor, currency)))
}

/// `feiqian bank …`
pub(crate) async fn bank(what: Bank, as_json: bool) -> Result<(), Fault> {
    match what {
        Bank::Init(args) => output::result(&roles::init_bank(&args).await?, as_json),
        Bank::Join(args) => output::result(&roles::join_bank(&args).await?, as_json),
        Bank::Run(args) => run::run(Role::Bank, &args).await?,
        Bank::Account(what) => account(what, as_json).await?,
        Bank::Statement { at, name, number, iso20022 } => {
            statement(&at, (&name, number), iso20022, as_json).await?;
        }
        Bank::Cheques(at) => asked(Role::Bank, &at, command("cheques", Value::Null), as_json).await?,
        Bank::Offline(what) => offline::bank(what, as_json).await?,
        Bank::Backup(args) => output::result(&backup::back_up(Role::Bank, &args)?, as_json),
        Bank::Restore(args) => output::result(&backup::restore(Role::Bank, &args).await?, as_json),
        Bank::Log(at) => acts::show(Role::Bank, &at, as_json)?,
        Bank::Passphrase(what) => passphrase::run(Role::Bank, &what, as_json).await?,
        Bank::Status(at) => asked(Role::Bank, &at, command("status", Value::Null), as_json).await?,
    }
    Ok(())
}

/// A message of ISO 20022 is printed as it is, unless JSON was asked for.
async fn statement(
    at: &HomeOnly,
    (name, number): (&str, Option<u64>),
    message: Option<Message>,
    as_json: bool,
) -> Result<(), Fault> {
    let sent = command("statement", json!({"name": name, "number": number}));
    let answer = ask(Role::Bank, &at.home, sent).await?;
    let Some(message) = message else {
        output::result(&answer, as_json);
        return Ok(());
    };
    let written = statement::export(answer, message)?;
    match written.get("xml").and_then(Value::as_str) {
        Some(xml) if !as_json => output::line(xml),
        _ => output::result(&written, true),
    }
    Ok(())
}

async fn account(what: AccountCommand, as_json: bool) -> Result<(), Fault> {
    let (at, sent) = match what {
        AccountCommand::Open { at, name, role } => {
            let role = match role {
                CustomerRole::Customer => "customer",
                CustomerRole::Merchant => "merchant",
            };
            (at, command("account_open", json!({"name": name, "role": role})))
        }
        AccountCommand::Fund(AccountAmount { at, name, amount, id }) => {
            (at, command("account_fund", json!({"name": name, "amount": amount, "reference": id})))
        }
        AccountCommand::Payout(AccountAmount { at, name, amount, id }) => {
            (at, command("account_payout", json!({"name": name, "amount": amount, "reference": id})))
        }
        AccountCommand::List(at) => (at, command("account_list", Value::Null)),
        AccountCommand::Mandate { at, name, required, drawers } => {
            (at, command("mandate", json!({"name": name, "required": required, "drawers": drawers})))
        }
        AccountCommand::Close { at, name } => (at, command("account_close", json!({"name": name}))),
    };
    asked(Role::Bank, &at, sent, as_json).await
}

/// `feiqian merchant …`
pub(crate) async fn merchant(what: Merchant, as_json: bool) -> Result<(), Fault> {
    let role = Role::Merchant;
    match what {
        Merchant::Init(args) => output::result(&roles::init_merchant(&args).await?, as_json),
        Merchant::Run(args) => run::run(role, &args).await?,
        Merchant::Request { at, amount, order, offline, expires, out, qr } => {
            let out = out.as_deref().map(absolute).transpose()?;
            let name = if offline { "offline_request" } else { "request" };
            let fields = json!({"amount": amount, "order": order, "expires_seconds": expires, "out": out});
            messages::asked(role, &at.home, command(name, fields), qr, as_json).await?;
        }
        Merchant::Orders(at) => asked(role, &at, command("orders", Value::Null), as_json).await?,
        Merchant::Refund { at, order, amount, id } => {
            let refund = id.map(|id| named("refund", &order, &id));
            let fields = json!({"order": order, "amount": amount, "refund": refund});
            asked(role, &at, command("refund", fields), as_json).await?;
        }
        Merchant::Cheque(what) => cheques::merchant(what, as_json).await?,
        Merchant::Offline(what) => offline::merchant(what, as_json).await?,
        Merchant::Backup(args) => output::result(&backup::back_up(Role::Merchant, &args)?, as_json),
        Merchant::Restore(args) => output::result(&backup::restore(Role::Merchant, &args).await?, as_json),
        Merchant::Passphrase(what) => passphrase::run(Role::Merchant, &what, as_json).await?,
        Merchant::Status(at) => asked(role, &at, command("status", Value::Null), as_json).await?,
    }
    Ok(())
}

/// `feiqian wallet …`
pub(crate) async fn wallet(what: Wallet, as_json: bool) -> Result<(), Fault> {
    let role = Role::Wallet;
    match what {
        Wallet::Init(args) => output::result(&roles::init_wallet(&args).await?, as_json),
        Wallet::Restore(args) => output::result(&restore::run(&args, as_json).await?, as_json),
        Wallet::Run(args) => run::run(role, &args).await?,
        Wallet::Withdraw { at, offline, amount } => {
            let name = if offline { "withdraw_offline" } else { "withdraw" };
            asked(role, &at, command(name, json!({"amount": amount})), as_json).await?;
        }
        Wallet::Deposit { at, offline, amount } => {
            let name = if offline { "deposit_offline" } else { "deposit" };
            asked(role, &at, command(name, json!({"amount": amount})), as_json).await?;
        }
        Wallet::Balance(at) => {
            let told = ask(role, &at.home, command("balance", Value::Null)).await?;
            output::result(&if as_json { told } else { offline::side_by_side(told) }, as_json);
        }
        Wallet::History(at) => asked(role, &at, command("history", Value::Null), as_json).await?,
        Wallet::Refresh(at) => asked(role, &at, command("refresh", Value::Null), as_json).await?,
        Wallet::Pay { at, offline: true, uri, out, qr } => {
            offline::pay(&at, uri, (out.as_ref(), qr), as_json).await?;
        }
        Wallet::Pay { at, uri, out, .. } => {
            let out = out.as_deref().map(absolute).transpose()?;
            asked(role, &at, command("pay", json!({"uri": uri, "out": out})), as_json).await?;
        }
        Wallet::Request { at, amount, order, expires, qr } => {
            let fields = json!({"amount": amount, "order": order, "expires_seconds": expires});
            messages::asked(role, &at.home, command("request", fields), qr, as_json).await?;
        }
        Wallet::Receive { at, file } => {
            let file = file.as_deref().map(absolute).transpose()?;
            asked(role, &at, command("receive", json!({"path": file})), as_json).await?;
        }
        Wallet::Cheque(what) => cheques::wallet(what, as_json).await?,
        Wallet::Transfer(order) => cheques::transfer(order, as_json).await?,
        Wallet::Certificate(what) => certificates::run(what, as_json).await?,
        Wallet::Offline(what) => offline::wallet(what, as_json).await?,
        Wallet::Passphrase(what) => passphrase::run(Role::Wallet, &what, as_json).await?,
        Wallet::Status(at) => asked(role, &at, command("status", Value::Null), as_json).await?,
    }
    Ok(())
}

/// The path as a node in another working folder understands it.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Fault> {
    std::path::absolute(path)
        .map_err(|error| Fault::new(Code::Usage, format!("{} is no path: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_said_in_words() {
        let mut cycle =
            json!({"currency": "CNY", "net": {"east": "-700", "hub": "0", "west": "700"}, "sum": "0"});
        in_words(&mut cycle);
        let net = json!({"east": "owes 7.00", "hub": "is owed 0.00", "west": "is owed 7.00"});
        assert_eq!(cycle, json!({"currency": "CNY", "net": net, "sum": "0"}));
    }
}
