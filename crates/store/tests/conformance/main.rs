//! The seam's promises, the same tests on both stores; and what only a store on a network has to promise.
#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

/// Each of the tests on both stores.
macro_rules! on_both {
    ($($test:ident)*) => {
        mod sqlite {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test::<super::File>().await;
            }
        )*}
        mod postgres {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test::<super::Database>().await;
            }
        )*}
    };
}

mod place;
mod postgres;
mod promises;
mod proxy;
mod steps;

use feiqian_ledger::store::{Column, Store, StoreError, StoreExt as _, Table, Value};

pub(crate) static NOTE: Table = Table {
    name: "note",
    columns: &[Column::integer("id"), Column::text("body"), Column::blob("mark").optional()],
    key: 1,
    constraints: &["UNIQUE (body)", "CONSTRAINT body_not_empty CHECK (length(body) > 0)"],
    indexes: &["(mark)", "(id) WHERE mark IS NULL"],
};
pub(crate) static PAIR: Table = Table {
    name: "pair",
    columns: &[Column::blob("left_id"), Column::integer("right_id")],
    key: 2,
    constraints: &[],
    indexes: &[],
};
pub(crate) static TABLES: &[&Table] = &[&NOTE, &PAIR];

pub(crate) fn note(id: i64, body: &str) -> [Value; 3] {
    [id.into(), body.into(), Value::Null]
}

pub(crate) async fn count(store: &(dyn Store + '_)) -> i64 {
    number(store, "SELECT count(*) FROM note").await.unwrap()
}

pub(crate) async fn number(store: &(dyn Store + '_), sql: &'static str) -> Result<i64, StoreError> {
    store.read(move |tx| tx.select(sql, &[])?.first().map_or(Ok(-1), |row| row.integer(0))).await
}
