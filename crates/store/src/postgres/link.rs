//! One connection: making it, its prepared statements, its exchanges with the server.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use feiqian_ledger::store::{Row, StoreError, Table, Value};
use tokio::runtime::Runtime;
use tokio_postgres::{
    Client, Config, NoTls, SimpleQueryMessage, Statement,
    error::SqlState,
    types::{ToSql, Type},
};

use super::{
    dialect::TableSql,
    tls::Tls,
    trouble::Trouble,
    value::{Bound, Stored, type_of},
};

/// Where numbers that nobody can guess come from: the pauses between repeats and the names of writers.
pub type Randomness = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What all connections of a store share.
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) tls: Option<Tls>,
    /// The address for messages, without the password.
    pub(crate) shown: String,
    /// How long to wait for a lock, and for a server that is away.
    pub(crate) patience: Duration,
    /// How often a group is run again after conflicts.
    pub(crate) retries: u32,
    pub(crate) randomness: Randomness,
}

/// Prepared statements kept a connection; beyond that all are forgotten.
const PREPARED: usize = 512;

pub(crate) struct Link {
    client: Client,
    prepared: BTreeMap<(String, Vec<u32>), Statement>,
    tables: BTreeMap<&'static str, Arc<TableSql>>,
}

/// Why there is no connection, and whether waiting may help.
pub(crate) struct Refusal {
    pub(crate) reason: String,
    pub(crate) passing: bool,
}

impl Link {
    /// One attempt to connect and to prepare the session.
    pub(crate) fn connect(runtime: &Runtime, settings: &Settings) -> Result<Self, Refusal> {
        let client = runtime.block_on(async {
            let client = match &settings.tls {
                Some(tls) => {
                    let (client, connection) = settings.config.connect(tls.clone()).await?;
                    drive(connection);
                    client
                }
                None => {
                    let (client, connection) = settings.config.connect(NoTls).await?;
                    drive(connection);
                    client
                }
            };
            client.batch_execute(&session(settings.patience)).await?;
            Ok(client)
        });
        let client = client.map_err(|error: tokio_postgres::Error| Refusal {
            passing: passes(&error),
            reason: Trouble::from(error).error().to_string(),
        })?;
        Ok(Self { client, prepared: BTreeMap::new(), tables: BTreeMap::new() })
    }

    /// Statements without parameters and without an answer, in one exchange.
    pub(crate) fn batch(&self, runtime: &Runtime, sql: &str) -> Result<(), Trouble> {
        Ok(runtime.block_on(self.client.batch_execute(sql))?)
    }

    /// The first value of the first row of an answer as text.
    pub(crate) fn ask(&self, runtime: &Runtime, sql: &str) -> Result<Option<String>, Trouble> {
        let messages = runtime.block_on(self.client.simple_query(sql))?;
        Ok(messages.into_iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.try_get(0).ok().flatten().map(str::to_owned),
            _ => None,
        }))
    }

    /// The generated statements of a table.
    pub(crate) fn table(&mut self, table: &Table) -> Arc<TableSql> {
        Arc::clone(self.tables.entry(table.name).or_insert_with(|| Arc::new(TableSql::new(table))))
    }

    /// Executes a statement whose parameters have the types of the columns they meet. Answers how many rows it changed.
    pub(crate) fn execute(&mut self, runtime: &Runtime, sql: &str, values: &[Value]) -> Result<u64, Trouble> {
        let statement = self.prepare(runtime, sql, &[])?;
        fits(&statement, values)?;
        let bound: Vec<Bound<'_>> = values.iter().map(Bound).collect();
        let bound: Vec<&(dyn ToSql + Sync)> = bound.iter().map(|value| value as _).collect();
        Ok(runtime.block_on(self.client.execute(&statement, &bound))?)
    }

    /// The rows of a statement; its parameters have the types of the values where `typed`, else of the columns they meet.
    pub(crate) fn query(
        &mut self,
        runtime: &Runtime,
        sql: &str,
        values: &[Value],
        typed: bool,
    ) -> Result<Vec<Row>, Trouble> {
        let types: Vec<Type> = if typed { values.iter().map(type_of).collect() } else { Vec::new() };
        let statement = self.prepare(runtime, sql, &types)?;
        fits(&statement, values)?;
        let bound: Vec<Bound<'_>> = values.iter().map(Bound).collect();
        let bound: Vec<&(dyn ToSql + Sync)> = bound.iter().map(|value| value as _).collect();
        let rows = runtime.block_on(self.client.query(&statement, &bound))?;
        rows.iter().map(read_row).collect()
    }

    fn prepare(&mut self, runtime: &Runtime, sql: &str, types: &[Type]) -> Result<Statement, Trouble> {
        let key = (sql.to_owned(), types.iter().map(Type::oid).collect());
        if let Some(statement) = self.prepared.get(&key) {
            return Ok(statement.clone());
        }
        let statement = runtime.block_on(self.client.prepare_typed(sql, types))?;
        if self.prepared.len() >= PREPARED {
            self.prepared.clear();
        }
        self.prepared.insert(key, statement.clone());
        Ok(statement)
    }
}

/// Lets the connection's own task run on the thread that uses it.
fn drive<S, T>(connection: tokio_postgres::Connection<S, T>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to PostgreSQL ended");
        }
    });
}

/// What every session is set to. A commit that waits for less than the disk would answer what a power cut undoes.
fn session(patience: Duration) -> String {
    format!(
        "SET lock_timeout = {}; SET idle_in_transaction_session_timeout = '60s'; SET client_min_messages = error; \
         SELECT set_config('synchronous_commit', 'on', false) \
         WHERE current_setting('synchronous_commit') IN ('off', 'local')",
        patience.as_millis()
    )
}

/// Whether the server may take us in a moment: it starts, has no free place, or cannot be reached.
fn passes(error: &tokio_postgres::Error) -> bool {
    let Some(code) = error.code() else {
        // A setting that makes no sense stays so; a socket that answers nothing may come back.
        return std::error::Error::source(error).is_some_and(|cause| cause.is::<std::io::Error>())
            || error.is_closed();
    };
    *code == SqlState::TOO_MANY_CONNECTIONS
        || *code == SqlState::CANNOT_CONNECT_NOW
        || *code == SqlState::ADMIN_SHUTDOWN
        || *code == SqlState::CRASH_SHUTDOWN
}

/// The values fit the parameters. Asked here because the client library could only fail as if the line were broken.
fn fits(statement: &Statement, values: &[Value]) -> Result<(), Trouble> {
    let parameters = statement.params();
    if parameters.len() != values.len() {
        let text = format!("{} parameters instead of {}", values.len(), parameters.len());
        return Err(Trouble::Refused(StoreError::Misuse(text)));
    }
    for (number, (value, kind)) in (1..).zip(values.iter().zip(parameters)) {
        let fitting = match value {
            Value::Null => true,
            Value::Integer(_) => *kind == Type::INT8,
            Value::Text(_) => *kind == Type::TEXT,
            Value::Blob(_) => *kind == Type::BYTEA,
        };
        if !fitting {
            let text = format!("parameter {number} is no {kind}");
            return Err(Trouble::Refused(StoreError::Constraint(text)));
        }
    }
    Ok(())
}

fn read_row(row: &tokio_postgres::Row) -> Result<Row, Trouble> {
    let mut values = Vec::with_capacity(row.len());
    for index in 0..row.len() {
        let value = row.try_get::<_, Stored>(index).map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            Trouble::Refused(StoreError::Corrupt(format!("value {index} is {cause}")))
        })?;
        values.push(value.0);
    }
    Ok(Row(values))
}
