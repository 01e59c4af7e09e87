//! Messages that people carry by hand: shown as text, or drawn as a QR code, or as a sequence of them where one is not
//! enough.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

use feiqian_offline_cash::carry::Carried;
use feiqian_wire::error::{Code, Fault};
use serde_json::Value;

use crate::ask::ask;
use crate::output;
use crate::qr;
use crate::roles::Role;

/// How long a code of a sequence stands on the screen.
const FRAME: Duration = Duration::from_millis(400);

/// Has `command` carried out, and shows its answer with the message in it.
///
/// # Errors
/// The node's; `TOO_LARGE` when a text fits no QR code.
pub(crate) async fn asked(
    role: Role,
    home: &Path,
    command: Value,
    draw: bool,
    as_json: bool,
) -> Result<(), Fault> {
    let mut answer = ask(role, home, command).await?;
    if as_json {
        output::result(&answer, true);
        return Ok(());
    }
    let texts = texts(&mut answer, draw)?;
    output::result(&answer, false);
    if !draw {
        texts.iter().for_each(|text| output::line(text));
        return Ok(());
    }
    let codes: Vec<String> = texts.iter().map(|text| qr::draw(text)).collect::<Result<_, _>>()?;
    if codes.len() > 1 && std::io::stdout().is_terminal() && std::io::stdin().is_terminal() {
        return animate(&codes).await;
    }
    for (number, code) in (1_usize..).zip(&codes) {
        if codes.len() > 1 {
            output::line(&format!("{number} of {}", codes.len()));
        }
        output::line(code);
    }
    Ok(())
}

/// Takes the message's texts out of an answer: a table would break them.
fn texts(answer: &mut Value, draw: bool) -> Result<Vec<String>, Fault> {
    let Value::Object(fields) = answer else { return Ok(Vec::new()) };
    let written = fields.get("file").and_then(Value::as_str).map(str::to_owned);
    if let Some(Value::String(uri)) = fields.remove("uri") {
        // What was written to a file is not shown as well, unless it is to be drawn.
        return Ok(if written.is_some() && !draw { Vec::new() } else { vec![uri] });
    }
    if let Some(Value::Array(frames)) = fields.remove("frames") {
        let frames: Vec<String> = frames.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        fields.insert("texts".to_owned(), Value::from(frames.len()));
        return Ok(frames);
    }
    match written.filter(|_| draw) {
        Some(file) => frames_of(Path::new(&file)),
        None => Ok(Vec::new()),
    }
}

/// The texts of a message that is in a file.
fn frames_of(file: &Path) -> Result<Vec<String>, Fault> {
    let bytes = std::fs::read(file)
        .map_err(|error| Fault::new(Code::Usage, format!("cannot read {}: {error}", file.display())))?;
    Ok(Carried::from_file(&bytes)?.to_frames()?)
}

/// Shows one code after the other in the same place, over and over, until the reader presses Enter.
async fn animate(codes: &[String]) -> Result<(), Fault> {
    let mut enter = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()).map(drop));
    for (number, code) in (1_usize..).zip(codes).cycle() {
        let (count, mut out) = (codes.len(), std::io::stdout().lock());
        // A terminal that hung up is no reason to fail.
        let _ = writeln!(out, "\u{1b}[2J\u{1b}[H{code}\n{number} of {count}; Enter ends")
            .and_then(|()| out.flush());
        drop(out);
        if tokio::time::timeout(FRAME, &mut enter).await.is_ok() {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure to set up fails the test")]

    use feiqian_offline_cash::transfer::Nonce;
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_leave_the_table() {
        let mut answer = json!({"amount": "1.00", "uri": "feiqian:offline:AA"});
        assert_eq!(texts(&mut answer, false).unwrap(), ["feiqian:offline:AA"]);
        assert_eq!(answer, json!({"amount": "1.00"}));
        let mut answer = json!({"frames": ["feiqian:frame:1/2:x:A", "feiqian:frame:2/2:x:B"]});
        assert_eq!(texts(&mut answer, true).unwrap().len(), 2);
        assert_eq!(answer, json!({"texts": 2}));
        let mut answer = json!({"uri": "feiqian:offline:AA", "file": "/tmp/a.fq"});
        assert!(texts(&mut answer.clone(), false).unwrap().is_empty());
        assert_eq!(texts(&mut answer, true).unwrap(), ["feiqian:offline:AA"]);
    }

    #[test]
    fn what_is_in_a_file_is_drawn_from_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("answer.fq");
        let message = Carried::Nonce(Nonce(feiqian_crypto::Digest([7; 32])));
        std::fs::write(&file, message.to_file().unwrap()).unwrap();
        let mut answer = json!({"file": file});
        assert_eq!(texts(&mut answer, true).unwrap(), message.to_frames().unwrap());
        assert!(texts(&mut json!({"file": file}), false).unwrap().is_empty());
        assert!(texts(&mut json!({"file": "/nonexistent"}), true).is_err());
    }
}
