//! Plain text in a box.

use super::{Face, Line, width, wrap};
use crate::verify::Examined;

/// Columns between the borders.
const INNER: usize = 76;

/// The cheque as text of 80 columns, without colours.
#[must_use]
pub fn terminal(examined: &Examined) -> String {
    let face = Face::of(examined);
    let mut page = Page(String::new());
    page.rule('┌', '┐');
    page.pair(&format!("BANK {}", face.bank.to_uppercase()), &format!("No. {}", face.number));
    page.pair(&format!("// {} //", face.crossing), &format!("Date {}", face.date));
    page.line("");
    page.field("Pay to", &format!("{} ({})", face.payee, face.payee_key));
    page.field("Amount", &face.figures);
    page.field("In words", &face.english);
    page.field("大写", &face.chinese);
    page.field("Memo", &face.memo);
    page.field("Drawn on", &face.account);
    if let Some(holder) = &face.holder {
        page.field("Held by", holder);
    }
    for (name, present) in &face.attachments {
        page.field("Attached", &format!("{name}{}", if *present { "" } else { " (removed)" }));
    }
    page.rule('├', '┤');
    face.signatures.iter().for_each(|line| page.signature(line));
    page.rule('├', '┤');
    wrap(&face.verdict_text(), INNER).iter().for_each(|line| page.line(line));
    page.line(&format!("id {}", face.id));
    page.rule('└', '┘');
    page.0
}

struct Page(String);

impl Page {
    fn rule(&mut self, left: char, right: char) {
        self.0.push_str(&format!("{left}{}{right}\n", "─".repeat(INNER.saturating_add(2))));
    }

    fn line(&mut self, text: &str) {
        let padding = " ".repeat(INNER.saturating_sub(width(text)));
        self.0.push_str(&format!("│ {text}{padding} │\n"));
    }

    /// One text on the left, one on the right.
    fn pair(&mut self, left: &str, right: &str) {
        let used = width(left).saturating_add(width(right));
        let gap = " ".repeat(INNER.saturating_sub(used).max(1));
        self.line(&format!("{left}{gap}{right}"));
    }

    fn field(&mut self, label: &str, text: &str) {
        const LABEL: usize = 10;
        let mut label = format!("{label}{}", " ".repeat(LABEL.saturating_sub(width(label))));
        for line in wrap(text, INNER.saturating_sub(LABEL)) {
            self.line(&format!("{label}{line}"));
            label = " ".repeat(LABEL);
        }
    }

    fn signature(&mut self, line: &Line) {
        const LABEL: usize = 14;
        let mark = if line.state.is_ok() { '✓' } else { '✗' };
        let mut label = format!("{:<LABEL$}", format!("{mark} {}", line.block));
        for part in wrap(&line.text(), INNER.saturating_sub(LABEL)) {
            self.line(&format!("{label}{part}"));
            label = " ".repeat(LABEL);
        }
    }
}
