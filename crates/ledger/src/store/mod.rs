//! The seam between what a role must remember and the database that remembers it.
//!
//! A role describes its [`Table`]s as constants and touches them only inside a piece of work handed to
//! [`StoreExt::commit`] (read and write, all or nothing, durable before it is answered) or
//! [`StoreExt::read`] (one snapshot, no writes). Inside the work a [`Tx`] offers whole-row writes by
//! primary key and free reading. The statements are portable SQL, the values three plain kinds, and work may
//! run more than once, so that an embedded database and a distributed one can stand behind the same trait.
//!
//! Every row carries one more column, [`ROW_CHECK`], computed over the table's name and all values of the row
//! whenever it is written. Writes go only through [`Tx::insert`], [`Tx::update`] and [`Tx::delete`], so no write can
//! forget it; [`crate::audit::check_rows`] recomputes it and names a row in which a single bit was changed.
//!
//! ```
//! use feiqian_ledger::store::{Column, StoreError, Table, Tx};
//!
//! static NOTE: Table = Table {
//!     name: "note",
//!     columns: &[Column::blob("id"), Column::text("body"), Column::integer("read_at").optional()],
//!     key: 1,
//!     constraints: &["CHECK (length(body) > 0)"],
//!     indexes: &["(read_at)"],
//! };
//!
//! fn remember(tx: &mut dyn Tx, id: [u8; 16], body: &str) -> Result<(), StoreError> {
//!     tx.insert(&NOTE, &[id.into(), body.into(), None::<i64>.into()])
//! }
//! ```

mod check;
mod error;
mod seam;
mod step;
mod table;
mod value;

pub use check::{ROW_CHECK, row_check};
pub use error::StoreError;
pub use seam::{BoxFuture, Store, StoreExt, Tx, Work};
pub use step::{Carried, Carry, Rebuilt, Step};
pub use table::{Column, Kind, Table};
pub use value::{Row, Value};
