//! The history of a schema: what an older program's tables looked like, and how their rows become those of today.

use super::{ROW_CHECK, Row, StoreError, Table, Tx, Value, row_check};

/// How a row of an older table becomes one of the newer table: the old values in the order of its columns, without the
/// row check, to the new ones. The number is the row's place in the order of the old key, from 1.
pub type Carry = fn(&Row, i64) -> Result<Vec<Value>, StoreError>;

/// One table that a [`Step`] lays out anew.
#[derive(Debug, Clone, Copy)]
pub struct Rebuilt {
    /// As it was.
    pub before: &'static Table,
    /// As it is from then on. Its name may be another.
    pub after: &'static Table,
    /// What becomes of each row.
    pub carry: Carry,
}

/// One step of a schema. A store opened by a newer program takes all steps that it lacks, in order, in one transaction:
/// it has the layout of before or of today, never one between.
///
/// New tables and other indexes need no step: they are made where they are missing.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// The version it leads to; each step's is higher than that of the step before.
    pub to: i64,
    /// The tables it lays out anew.
    pub rebuilt: &'static [Rebuilt],
    /// The tables it gives up, with what they hold.
    pub dropped: &'static [&'static Table],
}

/// How many rows one question brings.
const BATCH: usize = 1_000;

/// How far the rows of one table are carried.
#[derive(Debug, Default)]
pub struct Carried {
    /// The key of the last row.
    last: Option<Vec<Value>>,
    /// How many rows.
    rows: i64,
}

impl Rebuilt {
    /// Carries the next rows of the old table, which stands under the name `aside`, to the new one, and whether there were
    /// any.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] for a row that was changed behind the program's back: a migration must not make it look
    /// whole. Else what [`Rebuilt::carry`] or the store answers.
    pub fn carry_on(&self, tx: &mut dyn Tx, aside: &str, carried: &mut Carried) -> Result<bool, StoreError> {
        let after = carried.last.as_deref();
        let keys = self.before.key_list();
        let columns = self.before.column_list();
        let rest = match after {
            None => String::new(),
            Some(key) => {
                let marks: Vec<String> = (1..=key.len()).map(|number| format!("?{number}")).collect();
                format!("WHERE ({keys}) > ({}) ", marks.join(", "))
            }
        };
        let sql = format!("SELECT {columns}, {ROW_CHECK} FROM {aside} {rest}ORDER BY {keys} LIMIT {BATCH}");
        let rows = tx.select(&sql, after.unwrap_or_default())?;
        let is_any = !rows.is_empty();
        for Row(mut values) in rows {
            let check = values.pop();
            if check != Some(row_check(self.before, &values).into()) {
                let table = self.before.name;
                return Err(StoreError::Corrupt(format!("a row of {table} is not as it was written")));
            }
            carried.last = values.get(..self.before.key).map(<[Value]>::to_vec);
            carried.rows = carried.rows.saturating_add(1);
            tx.insert(self.after, &(self.carry)(&Row(values), carried.rows)?)?;
        }
        Ok(is_any)
    }
}
