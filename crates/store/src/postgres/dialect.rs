//! The portable SQL of the roles in PostgreSQL's words.

use std::fmt::Write as _;

use feiqian_ledger::store::{ROW_CHECK, Table};

use super::value::type_name;
use crate::statements;

/// The statements of one table, with `$1` for a parameter.
pub(crate) struct TableSql {
    /// Answers no row where the key or another unique value is taken: an error would end the transaction.
    pub(crate) insert: String,
    pub(crate) update: String,
    pub(crate) delete: String,
    pub(crate) find: String,
}

impl TableSql {
    pub(crate) fn new(table: &Table) -> Self {
        let portable = statements::TableSql::new(table);
        let of = |sql: &str| translate(sql).map_or_else(|| sql.to_owned(), |translated| translated.sql);
        Self {
            insert: format!("{} ON CONFLICT DO NOTHING", of(&portable.insert)),
            update: of(&portable.update),
            delete: of(&portable.delete),
            find: of(&portable.find),
        }
    }
}

/// A translated statement.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Translated {
    pub(crate) sql: String,
    /// The highest number of a parameter.
    pub(crate) parameters: usize,
}

/// `?1` becomes `$1` and `x'0F'` becomes `'\x0F'::bytea`, outside of quoted text. `None` for a `?` without a number and for a quote
/// that does not end.
pub(crate) fn translate(portable: &str) -> Option<Translated> {
    let mut sql = String::with_capacity(portable.len().saturating_add(8));
    let mut parameters = 0_usize;
    let mut rest = portable.chars().peekable();
    // Whether the last character belongs to a word: the `x` of `max'` opens no literal.
    let mut in_word = false;
    while let Some(character) = rest.next() {
        match character {
            '?' => {
                let mut digits = String::new();
                while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                    digits.push(digit);
                }
                let number: usize = digits.parse().ok().filter(|number| *number > 0)?;
                parameters = parameters.max(number);
                let _ = write!(sql, "${number}");
            }
            'x' | 'X' if !in_word && rest.peek() == Some(&'\'') => {
                rest.next();
                sql.push_str("'\\x");
                copy_quoted(&mut rest, '\'', &mut sql)?;
                sql.push_str("::bytea");
            }
            quote @ ('\'' | '"') => {
                sql.push(quote);
                copy_quoted(&mut rest, quote, &mut sql)?;
            }
            other => sql.push(other),
        }
        in_word = character.is_ascii_alphanumeric() || character == '_';
    }
    Some(Translated { sql, parameters })
}

/// Copies up to and with the closing quote. A doubled quote closes and opens again, which copies it as well.
fn copy_quoted(rest: &mut impl Iterator<Item = char>, quote: char, sql: &mut String) -> Option<()> {
    for character in rest {
        sql.push(character);
        if character == quote {
            return Some(());
        }
    }
    None
}

/// `CREATE TABLE …`; its text is also what a later program compares its own with.
pub(crate) fn create_table(table: &Table) -> String {
    let mut sql = format!("CREATE TABLE {} (", table.name);
    for column in table.columns {
        let null = if column.nullable { "" } else { " NOT NULL" };
        let _ = write!(sql, "{} {}{null}, ", column.name, type_name(column.kind));
    }
    let _ = write!(sql, "{ROW_CHECK} BYTEA NOT NULL, PRIMARY KEY ({})", table.key_list());
    for constraint in table.constraints {
        let _ = write!(sql, ", {constraint}");
    }
    sql.push(')');
    sql
}

#[cfg(test)]
mod tests {
    use super::{Translated, translate};

    fn is(portable: &str, sql: &str, parameters: usize) {
        assert_eq!(translate(portable), Some(Translated { sql: sql.to_owned(), parameters }));
    }

    #[test]
    fn marks_and_literals_are_translated_outside_of_quotes() {
        is("SELECT a FROM b WHERE c = ?1 AND d > ?12", "SELECT a FROM b WHERE c = $1 AND d > $12", 12);
        is(
            "SELECT '?1', \"?2\", 'it''s ?3' FROM b LIMIT ?1",
            "SELECT '?1', \"?2\", 'it''s ?3' FROM b LIMIT $1",
            1,
        );
        is("SELECT x'0Fa0', max(x), x", "SELECT '\\x0Fa0'::bytea, max(x), x", 0);
        is("SELECT 'a' || X'00'", "SELECT 'a' || '\\x00'::bytea", 0);
        is("SELECT 飞 FROM 钱", "SELECT 飞 FROM 钱", 0);
        for broken in ["SELECT ?", "SELECT ?0", "SELECT 'open", "SELECT x'00", "SELECT ?99999999999999999999"]
        {
            assert_eq!(translate(broken), None, "{broken}");
        }
    }
}
