//! A cheque as a person recognises it: terminal text, SVG, and an HTML page; all of them printable.
//!
//! Pure functions of what was examined, good or not: the verdict and each signature's state are part of the
//! picture. Nothing is loaded from elsewhere, everything that came from outside is escaped.

mod html;
mod svg;
mod terminal;

pub use html::html;
pub use svg::svg;
pub use terminal::terminal;

use crate::content::{Payee, PayeeKey};
use crate::date::moment;
use crate::progress::Phase;
use crate::verify::{Examined, SignatureState};
use crate::words;

/// Everything that is shown, as text.
struct Face {
    bank: String,
    number: String,
    date: String,
    payee: String,
    payee_key: String,
    figures: String,
    english: String,
    chinese: String,
    memo: String,
    account: String,
    crossing: &'static str,
    holder: Option<String>,
    /// Each attachment: its name, and whether it is here.
    attachments: Vec<(String, bool)>,
    phase: String,
    verdict: Result<(), String>,
    signatures: Vec<Line>,
    id: String,
}

/// One signature.
struct Line {
    block: &'static str,
    /// What a return or receipt says.
    says: Option<String>,
    signer: String,
    at: String,
    state: Result<(), String>,
}

impl Face {
    fn of(examined: &Examined) -> Self {
        let cheque = examined.cheque();
        let present = |sha256| examined.bundle().attachments.iter().any(|it| it.sha256() == sha256);
        Self {
            bank: cheque.bank.to_string(),
            number: format!("{:06}", cheque.number.0),
            date: cheque.date.to_string(),
            payee: cheque.payee.name.to_string(),
            payee_key: known_by(&cheque.payee),
            figures: cheque.amount.labelled().to_string(),
            english: words::english(cheque.amount),
            chinese: words::chinese(cheque.amount),
            memo: cheque.memo.to_string(),
            account: format!("{}/{}", cheque.bank, cheque.account),
            crossing: if cheque.negotiable { "NEGOTIABLE" } else { "A/C PAYEE ONLY" },
            holder: (examined.endorsements() > 0)
                .then(|| format!("{} ({})", examined.holder().name, known_by(examined.holder()))),
            attachments: cheque
                .attachments
                .iter()
                .map(|it| (it.name.to_string(), present(&it.sha256)))
                .collect(),
            phase: phase(examined),
            verdict: verdict(examined),
            signatures: examined.signatures().iter().map(Line::of).collect(),
            id: examined.id().to_string(),
        }
    }

    fn verdict_text(&self) -> String {
        match &self.verdict {
            Ok(()) => format!("VALID · {}", self.phase),
            Err(reason) => format!("NOT VALID · {reason}"),
        }
    }
}

impl Line {
    fn of(state: &SignatureState) -> Self {
        Self {
            block: state.kind.as_str(),
            says: state.says.map(|says| says.to_lowercase().replace('_', " ")),
            signer: state.signer.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string),
            at: moment(state.judged_at),
            state: match &state.fault {
                None => Ok(()),
                Some(fault) => Err(fault.to_string()),
            },
        }
    }

    /// All but the block's type.
    fn text(&self) -> String {
        let state = self.state.as_ref().map_or_else(String::as_str, |()| "good");
        let says = self.says.as_ref().map_or_else(String::new, |says| format!("{says} · "));
        format!("{says}{} · {} · {state}", self.signer, self.at)
    }
}

fn known_by(payee: &Payee) -> String {
    match &payee.known_by {
        PayeeKey::Account { bank, account } => format!("{bank}/{account}"),
        PayeeKey::Certificate(fingerprint) => {
            format!("certificate {}…", fingerprint.to_string().get(..16).unwrap_or_default())
        }
    }
}

fn phase(examined: &Examined) -> String {
    let word = match examined.phase() {
        Phase::Drawn => "drawn",
        Phase::Issued if examined.is_certified() => "certified",
        Phase::Issued => "issued",
        Phase::Deposited => "deposited",
        Phase::Paid => "paid",
        Phase::Settled => "settled",
        Phase::Returned => {
            return examined.returned().map_or_else(
                || "returned".to_owned(),
                |code| format!("returned: {} ({})", code, code.meaning()),
            );
        }
    };
    word.to_owned()
}

/// Good so far: a cheque that is still being drawn says what it lacks.
fn verdict(examined: &Examined) -> Result<(), String> {
    match examined.fault() {
        Some(fault) => Err(fault.to_string()),
        None if examined.phase() == Phase::Drawn => {
            let mandate = examined.progress.check_mandate();
            mandate.map_err(|missing| missing.to_string())?;
            Err("the drawee bank has not countersigned".to_owned())
        }
        None => Ok(()),
    }
}

/// Escapes for element content and for quoted attributes, in XML and in HTML.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// Columns that a character takes: two for the wide ones of East Asia.
fn columns(character: char) -> usize {
    match u32::from(character) {
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// Breaks text into lines of at most `most` columns, at spaces where there are some.
fn wrap(text: &str, most: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let gap = usize::from(!line.is_empty());
        if width(&line).saturating_add(gap).saturating_add(width(word)) > most && !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        for character in word.chars() {
            if width(&line).saturating_add(columns(character)) > most {
                lines.push(std::mem::take(&mut line));
            }
            line.push(character);
        }
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_ends_a_context_is_escaped() {
        assert_eq!(escape(r#"<a b="c" d='e'>&"#), "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;");
    }

    #[test]
    fn lines_are_never_too_wide_and_lose_nothing() {
        let text = "Two hundred fifty thousand 人民币贰拾伍万元整 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        for most in 2..40 {
            let lines = wrap(text, most);
            assert!(lines.iter().all(|line| width(line) <= most), "{most}: {lines:?}");
            let kept: String = lines.concat().split(' ').collect();
            assert_eq!(kept, text.split(' ').collect::<String>());
        }
        assert_eq!(wrap("", 10), [""]);
    }
}
