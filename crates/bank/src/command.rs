//! The operator's commands, as JSON: `{"command": "account_open", "name": "alice", "role": "customer"}`.

use std::sync::Arc;

use feiqian_cheque::messages::RegisterLine;
use feiqian_cheque::{Day, Mandate as MandateOf, ReturnCode, State};
use feiqian_crypto::{Digest, Id16, Transcript};
use feiqian_ledger::book::{self, AccountState};
use feiqian_ledger::store::{Row, StoreError, StoreExt, Tx, Value};
use feiqian_money::{Amount, Currency, Minor};
use feiqian_online_cash::evidence::Evidence;
use feiqian_pki::{RevocationReason, Role};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Name, Text, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::Bank;
use crate::accounts::{AccountRow, SECRET_BYTES, code_digest};
use crate::chart::{self, Event, POSTS, Post, along, id};
use crate::cheques::register::ChequeRow;
use crate::cheques::tables::{CHEQUE, MANDATE};
use crate::offline::end_identity;
use crate::refusal::{Refusal, from_blob, to_blob};
use crate::revocation::revoke_signing;
use crate::tables::{ACCOUNT, ENROLMENT};

/// What the operator can ask of a bank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Opens an account and gives an enrolment code; for an account that exists, a new code (the old one ends).
    AccountOpen {
        /// Unique at this bank: `a-z`, `0-9`, `-`, at most 32.
        name: Name,
        /// `customer` or `merchant`.
        role: Role,
    },
    /// Pays base money in.
    AccountFund {
        /// The account's name.
        name: Name,
        /// Major units, as `12.50`.
        amount: String,
        /// The same reference with the same amount acts once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
    },
    /// Pays base money out.
    AccountPayout {
        /// The account's name.
        name: Name,
        /// Major units, as `12.50`.
        amount: String,
        /// The same reference with the same amount acts once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
    },
    /// All accounts.
    AccountList,
    /// Closes an account whose balance is zero and which has no pending presentment and no open session. One whose offline
    /// identity has collateral here is `closing`: the identity ends, the collateral comes to the account when no claim can
    /// come any more, and the account is closed with the same command then.
    AccountClose {
        /// The account's name.
        name: Name,
    },
    /// Double spends that were refused, with their evidence, newest first, at most 100.
    Evidence,
    /// Balances, keysets and load.
    Status,
    /// An account's statement: closes a new one when something was posted since the last.
    Statement {
        /// The account's name.
        name: Name,
        /// Shows that one instead.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        number: Option<u64>,
    },
    /// The register of cheques, newest first, at most 1000 used leaves.
    Cheques,
    /// Who may sign cheques on an account.
    Mandate {
        /// The account's name.
        name: Name,
        /// How many must sign.
        required: u8,
        /// The names of the accounts whose holders may.
        drawers: Vec<Name>,
    },
    /// Customers who answered twice for an offline coin, newest first, at most 1000.
    Accusations,
    /// One accusation as a document that anybody can check.
    Accusation {
        /// As in the list of accusations.
        id: Digest,
    },
}

/// A cheque as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChequeLine {
    /// The name of the account it is drawn on.
    pub name: String,
    /// Its number.
    pub number: u64,
    /// From when it is payable.
    pub date: Option<Day>,
    /// To whom.
    pub payee: Option<Text<128>>,
    /// How much, in major units.
    pub amount: Option<String>,
    /// The currency of `amount`.
    pub currency: String,
    /// Where it stands.
    pub state: State,
    /// The code of the last return.
    pub code: Option<ReturnCode>,
    /// Whether the amount is reserved.
    pub reserved: bool,
    /// The cheque's id.
    pub cheque: Digest,
}

impl ChequeLine {
    fn of(name: String, line: RegisterLine, currency: Currency) -> Self {
        let RegisterLine { id, number, state, amount, date, payee, code, reserved } = line;
        Self {
            name,
            number: number.0,
            date,
            payee,
            amount: amount.map(|amount| amount.to_string()),
            currency: currency.code().to_owned(),
            state,
            code,
            reserved,
            cheque: id,
        }
    }
}

/// An account as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountAnswer {
    /// The token: 32 hex digits.
    pub account: String,
    /// Its name.
    pub name: String,
    /// `customer` or `merchant`.
    pub role: Role,
    /// `open`, `closing` or `closed`.
    pub state: String,
    /// What may be drawn, major units.
    pub balance: String,
    /// Its currency.
    pub currency: String,
    /// Whether its holder has enrolled.
    pub enrolled: bool,
    /// The enrolment code, only when it was just made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// One of the bank's keysets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysetLine {
    /// Its epoch.
    pub epoch: u64,
    /// Its digest.
    pub digest: String,
    /// First second at which it no longer signs.
    pub issue_until: u64,
    /// First second at which its coins no longer pay.
    pub redeem_until: u64,
    /// First second at which its coins can no longer be refreshed.
    pub grace_until: u64,
    /// Whether the center shows it.
    pub pinned: bool,
}

/// The bank as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusAnswer {
    /// `bank`.
    pub role: String,
    /// Its name.
    pub name: String,
    /// Its currency.
    pub currency: String,
    /// Balances of its own accounts by name, major units; negative where debits exceed credits.
    pub balances: std::collections::BTreeMap<String, String>,
    /// Open accounts.
    pub accounts: u64,
    /// What all customers' accounts hold, major units.
    pub deposits: String,
    /// Its keysets, oldest first.
    pub keysets: Vec<KeysetLine>,
    /// Sessions open in memory.
    pub sessions: usize,
    /// Coins in them.
    pub session_coins: usize,
    /// Commitments ready.
    pub pool: usize,
    /// Items on their way to the center.
    pub pending_presentments: u64,
    /// Double spends refused.
    pub double_spends: u64,
    /// Members of the center known here.
    pub members: usize,
    /// The processes of the bank that live, by name, with the address the others reach each at; none for a bank that is
    /// alone on its store.
    pub instances: std::collections::BTreeMap<String, String>,
    /// What waits, by queue.
    pub queues: std::collections::BTreeMap<String, feiqian_node::queues::Waiting>,
    /// The bank's clock.
    pub now: u64,
}

fn to_json(answer: &impl Serialize) -> Result<Json, Fault> {
    serde_json::to_value(answer).map_err(|error| Fault::new(Code::Internal, error.to_string()))
}

impl Bank {
    /// Carries out a command given as JSON.
    pub(crate) async fn run_command(self: Arc<Self>, command: Json) -> Result<Json, Fault> {
        let command: Command =
            serde_json::from_value(command).map_err(|error| Fault::new(Code::Usage, error.to_string()))?;
        match command {
            Command::AccountOpen { name, role } => to_json(&self.account_open(name, role).await?),
            Command::AccountFund { name, amount, reference } => {
                to_json(&self.move_base(name, &amount, reference, Event::PayIn).await?)
            }
            Command::AccountPayout { name, amount, reference } => {
                to_json(&self.move_base(name, &amount, reference, Event::PayOut).await?)
            }
            Command::AccountList => {
                Ok(serde_json::json!({ "accounts": to_json(&self.account_list().await?)? }))
            }
            Command::AccountClose { name } => to_json(&self.account_close(name).await?),
            Command::Evidence => Ok(serde_json::json!({ "evidence": to_json(&self.evidence().await?)? })),
            Command::Status => to_json(&self.status().await?),
            Command::Statement { name, number } => to_json(&self.statement(name, number).await?),
            Command::Cheques => Ok(serde_json::json!({ "cheques": to_json(&self.cheques().await?)? })),
            Command::Mandate { name, required, drawers } => {
                to_json(&self.set_mandate(name, required, drawers).await?)
            }
            Command::Accusations => {
                Ok(serde_json::json!({ "accusations": to_json(&self.accusations().await?)? }))
            }
            Command::Accusation { id } => to_json(&self.accusation(id).await?),
        }
    }

    async fn account_open(self: &Arc<Self>, name: Name, role: Role) -> Result<AccountAnswer, Fault> {
        if !matches!(role, Role::Customer | Role::Merchant) {
            return Err(Fault::new(Code::Usage, "an account is a customer's or a merchant's"));
        }
        let now = self.now().seconds();
        let mut rng = self.seams.entropy.rng();
        let fresh = Id16::random(&mut rng);
        let secret = self.random_digest();
        let secret = hex::encode(secret.as_bytes().get(..SECRET_BYTES).unwrap_or_default());
        let (currency, expires) = (self.config.currency, now.saturating_add(self.config.enrolment_seconds));
        let work = move |tx: &mut dyn Tx| {
            let row = match find_named(tx, name.as_str())? {
                Some(row) if row.role != role => {
                    return Err(Fault::new(
                        Code::Conflict,
                        format!("{name} is the account of a {}", row.role),
                    )
                    .into());
                }
                Some(row) if row.closed.is_some() => {
                    return Err(Fault::new(Code::AccountClosed, format!("account {name} is closed")).into());
                }
                Some(row) => row,
                None => {
                    let (withdrawn, deposited) = (Minor::ZERO, Minor::ZERO);
                    let name = name.as_str().to_owned();
                    let row =
                        AccountRow { id: fresh, name, role, opened: now, closed: None, withdrawn, deposited };
                    tx.insert(&ACCOUNT, &row.values()?)?;
                    chart::open_customer(tx, row.id, currency, now)?;
                    row
                }
            };
            let unused = tx
                .select("SELECT code FROM enrolment WHERE account = ?1 AND body IS NULL", &[row.id.into()])?;
            for old in unused {
                tx.delete(&ENROLMENT, &[old.digest(0)?.into()])?;
            }
            let code = format!("{}-{secret}", row.id);
            let values = [
                code_digest(&code).into(),
                row.id.into(),
                Value::unsigned(expires)?,
                Value::Null,
                Value::Null,
            ];
            tx.insert(&ENROLMENT, &values)?;
            let mut answer = answer_of(tx, &row)?;
            answer.code = Some(code);
            Ok::<_, Refusal>(answer)
        };
        Ok(self.seams.store.commit("bank.account.open", work).await?)
    }

    async fn move_base(
        self: &Arc<Self>,
        name: Name,
        amount: &str,
        reference: Option<String>,
        event: Event,
    ) -> Result<AccountAnswer, Fault> {
        let amount = Amount::parse(amount, self.config.currency)
            .map_err(|error| Fault::new(Code::Usage, error.to_string()))?;
        if amount.minor.is_zero() {
            return Err(Fault::new(Code::Usage, "the amount is more than zero"));
        }
        let now = self.now().seconds();
        let reference = match reference {
            Some(text) => Transcript::new("bank/reference").text(name.as_str()).text(&text).into_digest(),
            None => self.random_digest(),
        };
        let work = move |tx: &mut dyn Tx| {
            let row = open_named(tx, name.as_str())?;
            let path = match event {
                Event::PayIn => [id(Post::Vault), row.id],
                _ => [row.id, id(Post::Vault)],
            };
            let _ = book::transfer(tx, &along(event, &reference, &path, amount.minor), now)?;
            answer_of(tx, &row)
        };
        let point = if event == Event::PayIn { "bank.account.fund" } else { "bank.account.payout" };
        Ok(self.seams.store.commit(point, work).await?)
    }

    async fn account_list(self: &Arc<Self>) -> Result<Vec<AccountAnswer>, Fault> {
        let work = |tx: &mut dyn Tx| {
            let rows =
                tx.select(&format!("SELECT {} FROM account ORDER BY name", ACCOUNT.column_list()), &[])?;
            rows.iter()
                .map(|row| answer_of(tx, &AccountRow::from_row(row)?))
                .collect::<Result<Vec<_>, Refusal>>()
        };
        Ok(self.seams.store.read(work).await?)
    }

    async fn account_close(self: &Arc<Self>, name: Name) -> Result<AccountAnswer, Fault> {
        let (now, instance, reference) = (self.now().seconds(), self.instance, self.random_digest());
        let work = move |tx: &mut dyn Tx| {
            let mut row = find_named(tx, name.as_str())?.ok_or_else(|| unknown(name.as_str()))?;
            if row.closed.is_none() {
                let state = state_of(tx, row.id)?;
                let pending = !state.debits_pending.is_zero() || !state.credits_pending.is_zero();
                if state.balance() != 0 || pending {
                    return Err(Fault::new(Code::Conflict, "the account is not empty")
                        .hint("pay its balance out first, and let what is pending end")
                        .into());
                }
                if in_use(tx, row.id, instance, now)? {
                    return Err(Fault::new(
                        Code::Conflict,
                        "the account has items on their way or open sessions",
                    )
                    .hint("let what is pending end")
                    .into());
                }
                let sql = "SELECT count(*) FROM cheque WHERE account = ?1 AND state = ?2";
                let paid = tx.select(sql, &[row.id.into(), State::Paid.number().into()])?;
                if paid.first().map_or(Ok(0), |row| row.unsigned(0))? > 0 {
                    return Err(
                        Fault::new(Code::Conflict, "a paid cheque of the account is not settled").into()
                    );
                }
                if end_identity(tx, row.id, &reference, Timestamp::new(now))? {
                    let answer = answer_of(tx, &row)?;
                    return Ok(AccountAnswer { state: "closing".to_owned(), ..answer });
                }
                row.closed = Some(now);
                tx.update(&ACCOUNT, &row.values()?)?;
                // Nothing more is signed for it; its holder still fetches what was answered before.
                revoke_signing(tx, row.id, now, RevocationReason::CessationOfOperation)?;
            }
            answer_of(tx, &row)
        };
        let answer = self.seams.store.commit("bank.account.close", work).await?;
        self.publish_revocation_list().await?;
        Ok(answer)
    }

    async fn cheques(self: &Arc<Self>) -> Result<Vec<ChequeLine>, Fault> {
        let currency = self.config.currency;
        let work = move |tx: &mut dyn Tx| {
            let columns: Vec<String> = CHEQUE.columns.iter().map(|it| format!("c.{}", it.name)).collect();
            let sql = format!(
                "SELECT {}, a.name FROM cheque AS c JOIN account AS a ON a.id = c.account WHERE c.state > 0 \
                 ORDER BY a.name, c.number DESC LIMIT 1000",
                columns.join(", ")
            );
            let line = |row: &Row| {
                let name = row.text(CHEQUE.columns.len())?.to_owned();
                Ok(ChequeLine::of(name, ChequeRow::from_row(row)?.line(currency), currency))
            };
            tx.select(&sql, &[])?.iter().map(line).collect::<Result<Vec<_>, Refusal>>()
        };
        Ok(self.seams.store.read(work).await?)
    }

    async fn set_mandate(
        self: &Arc<Self>,
        name: Name,
        required: u8,
        drawers: Vec<Name>,
    ) -> Result<MandateOf, Fault> {
        let work = move |tx: &mut dyn Tx| {
            let account = open_named(tx, name.as_str())?;
            let mut tokens = Vec::with_capacity(drawers.len());
            for drawer in &drawers {
                let row = open_named(tx, drawer.as_str())?;
                tokens.push(Text::new(row.id.to_string()).map_err(Fault::from)?);
            }
            let mandate = MandateOf::joint(required, tokens)
                .map_err(|error| Fault::new(Code::Usage, error.to_string()))?;
            let values = [account.id.into(), to_blob(&mandate)?.into()];
            tx.put(&MANDATE, &values)?;
            Ok::<_, Refusal>(mandate)
        };
        Ok(self.seams.store.commit("bank.cheque.mandate", work).await?)
    }

    async fn evidence(self: &Arc<Self>) -> Result<Vec<Evidence>, Fault> {
        let work = |tx: &mut dyn Tx| {
            let rows = tx.select("SELECT body FROM evidence ORDER BY at DESC, statement LIMIT 100", &[])?;
            rows.iter().map(|row| Ok(from_blob(row.blob(0)?)?)).collect::<Result<Vec<Evidence>, Refusal>>()
        };
        Ok(self.seams.store.read(work).await?)
    }

    async fn status(self: &Arc<Self>) -> Result<StatusAnswer, Fault> {
        let currency = self.config.currency;
        let work = move |tx: &mut dyn Tx| {
            let mut balances = std::collections::BTreeMap::new();
            for post in POSTS {
                let balance = state_of(tx, id(post))?.balance();
                balances.insert(post.as_str().to_owned(), signed(balance, currency));
            }
            let sql = "SELECT count(*), coalesce(sum(credits_posted - debits_posted), 0) FROM ledger_account WHERE code = ?1";
            let customers = tx.select(sql, &[chart::CUSTOMER.into()])?;
            let deposits = customers.first().map_or(Ok(0), |row| row.integer(1))?;
            let accounts = number(tx, "SELECT count(*) FROM account WHERE closed IS NULL")?;
            let pending = number(tx, "SELECT count(*) FROM presentment WHERE state = 0")?;
            let double_spends = number(tx, "SELECT count(*) FROM evidence")?;
            Ok::<_, Refusal>((balances, signed(deposits.into(), currency), accounts, pending, double_spends))
        };
        let (balances, deposits, accounts, pending_presentments, double_spends) =
            self.seams.store.read(work).await?;
        let view = self.members.snapshot();
        let ring = self.ring.load();
        let keysets = ring.keysets.iter().map(|known| KeysetLine {
            epoch: known.keyset.epoch.0,
            digest: known.digest.to_string(),
            issue_until: known.keyset.issue_until().seconds(),
            redeem_until: known.keyset.keys.first().map_or(0, |key| key.redeem_until.seconds()),
            grace_until: known.keyset.grace_until.seconds(),
            pinned: view.pins.contains(&known.digest),
        });
        let keysets = keysets.collect();
        let (sessions, session_coins) = self.sessions().load();
        let pool = self.pool().len();
        Ok(StatusAnswer {
            role: "bank".to_owned(),
            name: self.name().to_owned(),
            currency: currency.code().to_owned(),
            balances,
            accounts,
            deposits,
            keysets,
            sessions,
            session_coins,
            pool,
            pending_presentments,
            double_spends,
            members: view.members().len(),
            instances: self.instances().await?,
            queues: self.queues().await?,
            now: self.now().seconds(),
        })
    }
}

fn unknown(name: &str) -> Fault {
    Fault::new(Code::AccountUnknown, format!("no account named {name}"))
}

fn find_named(tx: &mut dyn Tx, name: &str) -> Result<Option<AccountRow>, StoreError> {
    let sql = format!("SELECT {} FROM account WHERE name = ?1", ACCOUNT.column_list());
    tx.select(&sql, &[name.into()])?.first().map(AccountRow::from_row).transpose()
}

/// The account of this name, open or closed.
pub(crate) fn open_or_closed(tx: &mut dyn Tx, name: &str) -> Result<AccountRow, Refusal> {
    Ok(find_named(tx, name)?.ok_or_else(|| unknown(name))?)
}

/// The account of this name, which must be open.
pub(crate) fn open_named(tx: &mut dyn Tx, name: &str) -> Result<AccountRow, Refusal> {
    let row = find_named(tx, name)?.ok_or_else(|| unknown(name))?;
    match row.closed {
        None => Ok(row),
        Some(_) => Err(Fault::new(Code::AccountClosed, format!("account {name} is closed")).into()),
    }
}

/// Whether something on its way may still move the account's money.
fn in_use(tx: &mut dyn Tx, account: Id16, instance: Id16, now: u64) -> Result<bool, StoreError> {
    let presented = "SELECT 1 FROM presentment WHERE state = 0 AND account = ?1 LIMIT 1";
    let session = "SELECT 1 FROM session WHERE state = 0 AND expires > ?2 AND account = ?1 AND \
         (instance = ?3 OR instance IN (SELECT id FROM instance WHERE until > ?2)) LIMIT 1";
    let open = [account.into(), Value::unsigned(now)?, instance.into()];
    Ok(!tx.select(presented, &[account.into()])?.is_empty() || !tx.select(session, &open)?.is_empty())
}

fn state_of(tx: &mut dyn Tx, account: Id16) -> Result<AccountState, Refusal> {
    Ok(book::account(tx, account)?.ok_or(StoreError::Missing("ledger_account"))?)
}

fn answer_of(tx: &mut dyn Tx, row: &AccountRow) -> Result<AccountAnswer, Refusal> {
    let state = state_of(tx, row.id)?;
    let currency = state.account.currency;
    let enrolled = tx.select("SELECT 1 FROM holder WHERE account = ?1 LIMIT 1", &[row.id.into()])?;
    Ok(AccountAnswer {
        account: row.id.to_string(),
        name: row.name.clone(),
        role: row.role,
        state: if row.closed.is_some() { "closed" } else { "open" }.to_owned(),
        balance: Amount::new(state.available_to_debit(), currency).to_string(),
        currency: currency.code().to_owned(),
        enrolled: !enrolled.is_empty(),
        code: None,
    })
}

fn number(tx: &mut dyn Tx, sql: &str) -> Result<u64, StoreError> {
    tx.select(sql, &[])?.first().map_or(Ok(0), |row| row.unsigned(0))
}

/// A balance in major units, with its sign.
fn signed(balance: i128, currency: feiqian_money::Currency) -> String {
    let minor = u64::try_from(balance.unsigned_abs())
        .ok()
        .and_then(|minor| Minor::new(minor).ok())
        .unwrap_or(Minor::MAX);
    let sign = if balance < 0 { "-" } else { "" };
    format!("{sign}{}", Amount::new(minor, currency))
}

const _: () = assert!(SECRET_BYTES <= Digest::LENGTH, "the secret is a part of a random digest");
