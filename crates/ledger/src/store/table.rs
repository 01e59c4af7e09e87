//! Tables as constants: one description from which every database generates its own statements.

/// The kind of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A signed 64-bit integer (SQLite `INTEGER`, PostgreSQL `BIGINT`).
    Integer,
    /// UTF-8 text.
    Text,
    /// Bytes (SQLite `BLOB`, PostgreSQL `BYTEA`).
    Blob,
}

/// One column of a [`Table`]. Columns are `NOT NULL` unless made [`Column::optional`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// The name, `[a-z_]+`, not a word of SQL.
    pub name: &'static str,
    /// The kind of its values.
    pub kind: Kind,
    /// Whether it may be null. A key column may not.
    pub nullable: bool,
}

impl Column {
    /// A column of integers.
    #[must_use]
    pub const fn integer(name: &'static str) -> Self {
        Self { name, kind: Kind::Integer, nullable: false }
    }

    /// A column of text.
    #[must_use]
    pub const fn text(name: &'static str) -> Self {
        Self { name, kind: Kind::Text, nullable: false }
    }

    /// A column of bytes.
    #[must_use]
    pub const fn blob(name: &'static str) -> Self {
        Self { name, kind: Kind::Blob, nullable: false }
    }

    /// The same column, allowed to be null.
    #[must_use]
    pub const fn optional(self) -> Self {
        Self { name: self.name, kind: self.kind, nullable: true }
    }
}

/// A table: what its rows hold, by what they are found, what the database itself must refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// The name, `[a-z_]+`, unique in a store.
    pub name: &'static str,
    /// The columns in order; a row's values come in the same order.
    pub columns: &'static [Column],
    /// How many of the first columns form the primary key (at least 1).
    pub key: usize,
    /// Table constraints in portable SQL: `CHECK (…)`, `UNIQUE (…)`, with or without `CONSTRAINT name` in front.
    pub constraints: &'static [&'static str],
    /// Further indexes, each a column list in parentheses, with a `WHERE` clause behind it if it is partial.
    pub indexes: &'static [&'static str],
}

impl Table {
    /// The columns of the primary key.
    #[must_use]
    pub fn key_columns(&self) -> &'static [Column] {
        self.columns.get(..self.key).unwrap_or(self.columns)
    }

    /// The names of all columns, comma-separated, as a `SELECT` wants them (without the row check).
    #[must_use]
    pub fn column_list(&self) -> String {
        list(self.columns)
    }

    /// The names of the key columns, comma-separated.
    #[must_use]
    pub fn key_list(&self) -> String {
        list(self.key_columns())
    }
}

fn list(columns: &[Column]) -> String {
    columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
}
