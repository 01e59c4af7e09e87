//! What a command prints: one JSON object for programs, tables for eyes.

use std::collections::BTreeSet;
use std::io::Write as _;

use comfy_table::{ContentArrangement, Table, TableComponent, presets};
use feiqian_wire::error::{Code, Fault};
use serde_json::{Map, Value, json};

/// Columns that a reader looks for first; others follow by name.
const FIRST: &[&str] = &[
    "invariant",
    "step",
    "work",
    "role",
    "name",
    "bank",
    "account",
    "at",
    "kind",
    "order",
    "number",
    "cycle",
    "batch",
    "threads",
    "date",
    "drawee",
    "payee",
    "purpose",
    "serial",
    "event",
    "side",
    "amount",
    "balance",
    "currency",
    "state",
    "outcome",
    "code",
];

/// How many digits of a digest a list shows: enough to tell its rows apart. JSON has them all.
const DIGITS: usize = 12;
/// How many digits a digest has.
const DIGEST: usize = 64;

/// Exit code of a command that was used wrongly.
pub(crate) const USED_WRONGLY: u8 = 2;

/// The exit code of a fault; the table is in `feiqian --help`.
pub(crate) fn exit_code(fault: &Fault) -> u8 {
    match fault.code {
        Code::Usage => USED_WRONGLY,
        Code::BrokenInvariant => 4,
        code if code.is_definitive() => 1,
        _ => 3,
    }
}

/// A fault as JSON shows it.
pub(crate) fn error_object(fault: &Fault) -> Value {
    json!({"error": {"code": fault.code, "message": fault.message, "hint": fault.hint}})
}

/// The field `name` of an object, null when there is none.
pub(crate) fn at<'a>(value: &'a Value, name: &str) -> &'a Value {
    value.get(name).unwrap_or(&Value::Null)
}

/// Sets the field `name` of an object.
pub(crate) fn set(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Value::Object(fields) = object {
        fields.insert(name.to_owned(), value.into());
    }
}

/// Prints one line; a reader that hung up is no reason to fail.
pub(crate) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Prints a command's result.
pub(crate) fn result(value: &Value, as_json: bool) {
    if as_json {
        line(&value.to_string());
    } else {
        line(&render(value));
    }
}

/// Prints a fault: JSON on standard output, words on standard error.
pub(crate) fn fault(fault: &Fault, as_json: bool) {
    if as_json {
        return line(&error_object(fault).to_string());
    }
    eprintln!("feiqian: {}: {}", fault.code, fault.message);
    if let Some(hint) = &fault.hint {
        eprintln!("  {hint}");
    }
}

/// A value as tables: its plain fields as one, each list of objects as another.
pub(crate) fn render(value: &Value) -> String {
    let Value::Object(fields) = value else { return plain(value) };
    let mut parts = Vec::new();
    let says = |value: &Value| !value.is_null() && value.as_str() != Some("");
    let mut simple: Vec<_> =
        fields.iter().filter(|(_, value)| !is_list_of_objects(value) && says(value)).collect();
    simple.sort_by_key(|(name, _)| place(name));
    let none = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    if !simple.is_empty() {
        let mut table = table();
        for (name, value) in simple {
            let text = if none(value) { "none".to_owned() } else { cell(name, value) };
            table.add_row([name.replace('_', " "), text]);
        }
        parts.push(table.to_string());
    }
    for (name, value) in fields {
        if let (true, Value::Array(items)) = (is_list_of_objects(value), value) {
            parts.push(format!("{}\n{}", name.replace('_', " "), list(items)));
        }
    }
    if parts.is_empty() { "done".to_owned() } else { parts.join("\n\n") }
}

/// A table in the style of this program.
pub(crate) fn table() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    for line in [
        TableComponent::HorizontalLines,
        TableComponent::LeftBorderIntersections,
        TableComponent::MiddleIntersections,
        TableComponent::RightBorderIntersections,
    ] {
        table.remove_style(line);
    }
    table
}

fn is_list_of_objects(value: &Value) -> bool {
    value.as_array().is_some_and(|items| !items.is_empty() && items.iter().all(Value::is_object))
}

fn list(items: &[Value]) -> String {
    let objects: Vec<&Map<String, Value>> = items.iter().filter_map(Value::as_object).collect();
    let names: BTreeSet<&str> = objects.iter().flat_map(|object| object.keys()).map(String::as_str).collect();
    // A column that says nothing of any row is left out.
    let says =
        |name: &&str| objects.iter().any(|object| object.get(*name).is_some_and(|value| !value.is_null()));
    let mut columns: Vec<&str> = names.into_iter().filter(says).collect();
    columns.sort_by_key(|name| place(name));
    let mut table = table();
    table.set_header(columns.iter().map(|name| name.replace('_', " ")));
    for object in objects {
        table.add_row(
            columns
                .iter()
                .map(|name| object.get(*name).map(|value| shortened(cell(name, value))).unwrap_or_default()),
        );
    }
    table.to_string()
}

/// Where a reader looks for the field `name`.
fn place(name: &str) -> usize {
    FIRST.iter().position(|first| *first == name).unwrap_or(FIRST.len())
}

/// A digest cut short; other text as it is.
fn shortened(text: String) -> String {
    let is_digest = text.len() == DIGEST && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match text.get(..DIGITS) {
        Some(begin) if is_digest => format!("{begin}…"),
        _ => text,
    }
}

fn cell(name: &str, value: &Value) -> String {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| format!("{}: {}", name.replace('_', " "), cell(name, value)))
            .collect::<Vec<_>>()
            .join("\n"),
        Value::Array(items) => items.iter().map(|item| cell(name, item)).collect::<Vec<_>>().join("\n"),
        other => time(name, other).unwrap_or_else(|| plain(other)),
    }
}

/// Unix seconds as people write times; in JSON they stay numbers.
fn time(name: &str, value: &Value) -> Option<String> {
    let is_time =
        matches!(name, "at" | "now" | "expires" | "from" | "until" | "revoked" | "not_before" | "not_after")
            || name == "deposit_by"
            || name.ends_with("_until")
            || name.ends_with("_at");
    let seconds = value.as_i64().or_else(|| value.as_str()?.parse().ok()).filter(|_| is_time)?;
    let time = jiff::Timestamp::from_second(seconds).ok()?;
    Some(time.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_have_the_documented_exit_codes() {
        let of = |code| exit_code(&Fault::new(code, "x"));
        assert_eq!(of(Code::Usage), 2);
        assert_eq!(of(Code::InsufficientFunds), 1);
        assert_eq!(of(Code::NodeUnreachable), 3);
        assert_eq!(of(Code::BrokenInvariant), 4);
    }

    #[test]
    fn an_error_is_one_object_with_code_message_and_hint() {
        let object = error_object(&Fault::new(Code::Locked, "in use").hint("wait"));
        assert_eq!(object, json!({"error": {"code": "LOCKED", "message": "in use", "hint": "wait"}}));
    }

    #[test]
    fn fields_and_lists_become_tables() {
        let text = render(
            &json!({"balance": "1.00", "entries": [{"what": "pay", "amount": "2.00"}, {"what": "x"}]}),
        );
        for part in ["balance", "1.00", "entries", "what", "pay", "2.00"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn lists_leave_out_what_says_nothing_and_cut_digests() {
        let digest = "28c656389906055de16fa2cf98759624647a938d34a084ae25df807b51ea57e8";
        let row =
            |code: Option<&str>| json!({"cheque": digest, "number": 7, "code": code, "state": "ISSUED"});
        let text = render(&json!({"cheques": [row(None)], "received": []}));
        assert!(text.contains("28c656389906…") && !text.contains(digest), "{text}");
        assert!(!text.contains("code") && text.contains("none"), "{text}");
        assert!(text.find("number") < text.find("state"), "{text}");
        let text = render(&json!({"cheques": [row(None), row(Some("STOPPED"))], "id": digest}));
        assert!(text.contains("code") && text.contains("STOPPED"), "{text}");
        assert!(text.contains(digest), "a single one is whole: {text}");
    }

    #[test]
    fn times_are_written_as_people_write_them() {
        let text = render(&json!({"expires": "1795310836", "seconds": "1795310836"}));
        assert!(text.contains("2026-11-22 01:27:16Z"), "{text}");
        assert!(text.contains("1795310836"), "only times are: {text}");
    }
}
