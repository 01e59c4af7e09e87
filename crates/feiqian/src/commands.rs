//! From the command tree to the roles.

use std::path::{Path, PathBuf};

use feiqian_crypto::{Digest, Id16, Transcript};
use feiqian_wire::error::{Code, Fault};
use serde_json::{Map, Value, json};

use crate::ask::ask;
use crate::cli::{
    AccountAmount, AccountCommand, Bank, Center, Command, CustomerRole, Cycle, HomeOnly, Merchant, Wallet,
};
use crate::roles::{self, Role};
use crate::{certificates, cheques, offline, output, qr, run};

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
        Center::Cycle(Cycle::Close(at)) => {
            asked(role, &at, command("cycle_close", Value::Null), as_json).await?;
        }
        Center::Settle(at) => asked(role, &at, command("settle", Value::Null), as_json).await?,
        Center::Positions(at) => asked(role, &at, command("positions", Value::Null), as_json).await?,
        Center::Status(at) => asked(role, &at, command("status", Value::Null), as_json).await?,
    }
    Ok(())
}

/// `feiqian bank …`
pub(crate) async fn bank(what: Bank, as_json: bool) -> Result<(), Fault> {
    match what {
        Bank::Init(args) => output::result(&roles::init_bank(&args).await?, as_json),
        Bank::Run(args) => run::run(Role::Bank, &args).await?,
        Bank::Account(what) => account(what, as_json).await?,
        Bank::Statement { at, name, iso20022 } => statement(&at, &name, iso20022.as_deref(), as_json).await?,
        Bank::Offline(what) => offline::bank(what, as_json).await?,
        Bank::Status(at) => asked(Role::Bank, &at, command("status", Value::Null), as_json).await?,
    }
    Ok(())
}

/// A message of ISO 20022 is printed as it is, unless JSON was asked for.
async fn statement(at: &HomeOnly, name: &str, iso20022: Option<&str>, as_json: bool) -> Result<(), Fault> {
    let sent = command("statement", json!({"name": name, "iso20022": iso20022}));
    let answer = ask(Role::Bank, &at.home, sent).await?;
    match answer.get("xml").and_then(Value::as_str) {
        Some(xml) if !as_json => output::line(xml),
        _ => output::result(&answer, as_json),
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
        Merchant::Request { at, amount, order, expires, qr } => {
            let fields = json!({"amount": amount, "order": order, "expires_seconds": expires});
            request(role, &at.home, command("request", fields), qr, as_json).await?;
        }
        Merchant::Orders(at) => asked(role, &at, command("orders", Value::Null), as_json).await?,
        Merchant::Refund { at, order, amount, id } => {
            let refund = id.map(|id| named("refund", &order, &id));
            let fields = json!({"order": order, "amount": amount, "refund": refund});
            asked(role, &at, command("refund", fields), as_json).await?;
        }
        Merchant::Cheque(what) => cheques::merchant(what, as_json).await?,
        Merchant::Offline(what) => offline::merchant(what, as_json).await?,
        Merchant::Status(at) => asked(role, &at, command("status", Value::Null), as_json).await?,
    }
    Ok(())
}

/// `feiqian wallet …`
pub(crate) async fn wallet(what: Wallet, as_json: bool) -> Result<(), Fault> {
    let role = Role::Wallet;
    match what {
        Wallet::Init(args) => output::result(&roles::init_wallet(&args).await?, as_json),
        Wallet::Run(args) => run::run(role, &args).await?,
        Wallet::Withdraw { at, amount } => {
            asked(role, &at, command("withdraw", json!({"amount": amount})), as_json).await?;
        }
        Wallet::Deposit { at, amount } => {
            asked(role, &at, command("deposit", json!({"amount": amount})), as_json).await?;
        }
        Wallet::Balance(at) => asked(role, &at, command("balance", Value::Null), as_json).await?,
        Wallet::History(at) => asked(role, &at, command("history", Value::Null), as_json).await?,
        Wallet::Refresh(at) => asked(role, &at, command("refresh", Value::Null), as_json).await?,
        Wallet::Pay { at, uri, out } => {
            let out = out.as_deref().map(absolute).transpose()?;
            asked(role, &at, command("pay", json!({"uri": uri, "out": out})), as_json).await?;
        }
        Wallet::Request { at, amount, order, expires, qr } => {
            let fields = json!({"amount": amount, "order": order, "expires_seconds": expires});
            request(role, &at.home, command("request", fields), qr, as_json).await?;
        }
        Wallet::Receive { at, file } => {
            let file = file.as_deref().map(absolute).transpose()?;
            asked(role, &at, command("receive", json!({"path": file})), as_json).await?;
        }
        Wallet::Cheque(what) => cheques::wallet(what, as_json).await?,
        Wallet::Transfer(order) => cheques::transfer(order, as_json).await?,
        Wallet::Certificate(what) => certificates::run(what, as_json).await?,
        Wallet::Offline(what) => offline::wallet(what, as_json).await?,
        Wallet::Status(at) => asked(role, &at, command("status", Value::Null), as_json).await?,
    }
    Ok(())
}

/// A request for payment, drawn as well where that is wanted.
pub(crate) async fn request(
    role: Role,
    home: &Path,
    command: Value,
    draw: bool,
    as_json: bool,
) -> Result<(), Fault> {
    let answer = ask(role, home, command).await?;
    if draw && !as_json {
        let frames = answer.get("frames").and_then(Value::as_array).into_iter().flatten();
        for text in answer.get("uri").into_iter().chain(frames).filter_map(Value::as_str) {
            output::line(&qr::draw(text)?);
        }
    }
    output::result(&answer, as_json);
    Ok(())
}

/// The path as a node in another working folder understands it.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Fault> {
    std::path::absolute(path)
        .map_err(|error| Fault::new(Code::Usage, format!("{} is no path: {error}", path.display())))
}
