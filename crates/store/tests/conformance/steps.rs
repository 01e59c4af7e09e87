//! A schema's steps: a store of an older program is brought to today's layout, whole or not at all.

use feiqian_ledger::audit::check_rows;
use feiqian_ledger::store::{Column, Rebuilt, Row, Step, Store, StoreError, StoreExt as _, Table, Tx, Value};
use feiqian_store::OpenError;

use crate::place::{Database, File, Place};

/// Version 1: one table for everything.
static V1: Table = Table {
    name: "item",
    columns: &[Column::blob("owner"), Column::integer("number"), Column::text("body")],
    key: 2,
    constraints: &["UNIQUE (body)"],
    indexes: &["(number)"],
};
static GONE: Table = Table {
    name: "scratch",
    columns: &[Column::integer("id")],
    key: 1,
    constraints: &[],
    indexes: &["(id)"],
};
/// Version 2: its length is kept too.
static V2: Table = Table {
    name: "item",
    columns: &[
        Column::blob("owner"),
        Column::integer("number"),
        Column::text("body"),
        Column::integer("size"),
    ],
    key: 2,
    constraints: &["UNIQUE (body)", "CHECK (size > 0)"],
    indexes: &["(size)"],
};
/// Version 3: another name and another key.
static V3: Table = Table {
    name: "entry",
    columns: &[
        Column::integer("size"),
        Column::blob("owner"),
        Column::integer("number"),
        Column::text("body").optional(),
        Column::integer("place"),
    ],
    key: 3,
    constraints: &["UNIQUE (place)"],
    indexes: &["(number)"],
};

fn with_size(row: &Row, _: i64) -> Result<Vec<Value>, StoreError> {
    let size = i64::try_from(row.text(2)?.len()).unwrap();
    Ok([row.0.as_slice(), &[size.into()]].concat())
}

fn size_first(row: &Row, place: i64) -> Result<Vec<Value>, StoreError> {
    let [owner, number, body, size] = row.0.as_slice() else { panic!("{row:?}") };
    Ok(vec![size.clone(), owner.clone(), number.clone(), body.clone(), place.into()])
}

static TO_2: Step =
    Step { to: 2, rebuilt: &[Rebuilt { before: &V1, after: &V2, carry: with_size }], dropped: &[&GONE] };
static TO_3: Step =
    Step { to: 3, rebuilt: &[Rebuilt { before: &V2, after: &V3, carry: size_first }], dropped: &[] };
static HISTORY_2: &[Step] = &[TO_2];
static HISTORY_3: &[Step] = &[TO_2, TO_3];

/// More than one question brings.
const ROWS: i64 = 2_345;

async fn old<P: Place>() -> P {
    let place = P::new();
    let store = place.open_as("test", 1, &[&V1, &GONE]).unwrap();
    let fill = |tx: &mut dyn Tx| {
        for number in 0..ROWS {
            let owner = vec![u8::try_from(number % 7).unwrap(); 2];
            tx.insert(&V1, &[owner.into(), number.into(), format!("body {number}").into()])?;
        }
        tx.insert(&GONE, &[1_i64.into()])
    };
    store.commit("fill", fill).await.unwrap();
    place
}

async fn check(store: &(dyn Store + '_), table: &'static Table) {
    let work = move |tx: &mut dyn Tx| {
        let rows = tx.select(&format!("SELECT count(*) FROM {}", table.name), &[])?;
        assert_eq!(rows[0].integer(0)?, ROWS);
        let sum = tx.select(&format!("SELECT sum(size) FROM {}", table.name), &[])?;
        let expected: usize = (0..ROWS).map(|number| format!("body {number}").len()).sum();
        assert_eq!(usize::try_from(sum[0].integer(0)?).unwrap(), expected);
        let findings = check_rows(tx, &[table])?;
        assert!(findings.is_empty(), "{findings:?}");
        Ok::<_, StoreError>(())
    };
    store.read(work).await.unwrap();
}

async fn a_store_of_any_older_version_comes_to_todays_layout<P: Place>() {
    // All steps at once.
    let place = old::<P>().await;
    let store = place.open_after(HISTORY_3, &[&V3]).unwrap();
    check(&*store, &V3).await;
    let found = |tx: &mut dyn Tx| tx.find(&V3, &[6_i64.into(), vec![2_u8; 2].into(), 2_i64.into()]);
    let row: Option<Row> = store.read(found).await.unwrap();
    assert_eq!(row.unwrap().text(3).unwrap(), "body 2");
    // The old order's places, over all questions: 1, 2, …
    let last = |tx: &mut dyn Tx| {
        let rows = tx.select("SELECT min(place), max(place) FROM entry", &[])?;
        Ok::<_, StoreError>((rows[0].integer(0)?, rows[0].integer(1)?))
    };
    assert_eq!(store.read(last).await.unwrap(), (1, ROWS));
    let old_names = |tx: &mut dyn Tx| Ok::<_, StoreError>([tx.select("SELECT 1 FROM item", &[]).is_err()]);
    assert_eq!(store.read(old_names).await, Ok([true]));
    drop(store);
    // Opened again, nothing is left to do.
    check(&*place.open_after(HISTORY_3, &[&V3]).unwrap(), &V3).await;
    assert_eq!(place.open_read_only().unwrap().1, 3);
    // The older program is told to make way.
    let older = place.open_after(HISTORY_2, &[&V2]).map(drop);
    assert!(matches!(older, Err(OpenError::Newer { found: 3, known: 2, .. })), "{older:?}");

    // One by one.
    let place = old::<P>().await;
    check(&*place.open_after(HISTORY_2, &[&V2]).unwrap(), &V2).await;
    assert_eq!(place.open_read_only().unwrap().1, 2);
    check(&*place.open_after(HISTORY_3, &[&V3]).unwrap(), &V3).await;
}

async fn a_new_store_begins_with_todays_layout<P: Place>() {
    let place = P::new();
    drop(place.open_after(HISTORY_3, &[&V3]).unwrap());
    assert_eq!(place.open_read_only().unwrap().1, 3);
}

async fn a_step_that_fails_changes_nothing<P: Place>() {
    fn refuses(row: &Row, place: i64) -> Result<Vec<Value>, StoreError> {
        if row.integer(1)? == ROWS - 1 {
            return Err(StoreError::Corrupt("a body that no program wrote".to_owned()));
        }
        with_size(row, place)
    }
    static BROKEN: &[Step] =
        &[Step { to: 2, rebuilt: &[Rebuilt { before: &V1, after: &V2, carry: refuses }], dropped: &[&GONE] }];
    let place = old::<P>().await;
    let failed = place.open_after(BROKEN, &[&V2]).map(drop);
    assert!(
        matches!(&failed, Err(OpenError::Database { reason, .. }) if reason.contains("no program wrote")),
        "{failed:?}"
    );
    assert_eq!(place.open_read_only().unwrap().1, 1);
    drop(place.open_as("test", 1, &[&V1, &GONE]).unwrap());
    check(&*place.open_after(HISTORY_2, &[&V2]).unwrap(), &V2).await;
}

async fn a_row_that_was_tampered_with_is_not_made_whole<P: Place>() {
    let place = old::<P>().await;
    place.tamper("UPDATE item SET body = 'forged' WHERE number = 1500");
    let failed = place.open_after(HISTORY_2, &[&V2]).map(drop);
    assert!(
        matches!(&failed, Err(OpenError::Database { reason, .. }) if reason.contains("not as it was written")),
        "{failed:?}"
    );
    assert_eq!(place.open_read_only().unwrap().1, 1);
}

async fn a_table_that_is_not_the_old_one_is_left_alone<P: Place>() {
    let place = P::new();
    drop(place.open_as("test", 1, &[&V2, &GONE]).unwrap());
    let failed = place.open_after(HISTORY_2, &[&V2]).map(drop);
    assert!(matches!(&failed, Err(OpenError::OtherLayout { table, .. }) if table == "item"), "{failed:?}");
    assert_eq!(place.open_read_only().unwrap().1, 1);
}

on_both! {
    a_store_of_any_older_version_comes_to_todays_layout
    a_new_store_begins_with_todays_layout
    a_step_that_fails_changes_nothing
    a_row_that_was_tampered_with_is_not_made_whole
    a_table_that_is_not_the_old_one_is_left_alone
}

#[tokio::test]
async fn of_programs_that_open_an_older_store_at_once_one_takes_the_steps() {
    let place = old::<Database>().await;
    let opened = std::thread::scope(|scope| {
        let opening: Vec<_> =
            (0..4).map(|_| scope.spawn(|| place.open_after(HISTORY_3, &[&V3]).unwrap())).collect();
        opening.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    for store in opened {
        check(&*store, &V3).await;
    }
}
