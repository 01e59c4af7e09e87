//! The cheque as one SVG picture, 760 units wide, as high as it needs.

use super::{Face, escape, wrap};
use crate::verify::Examined;

const INK: &str = "#1f2d3d";
const FAINT: &str = "#5b6b7b";
const GOOD: &str = "#1b6e3c";
const BAD: &str = "#a61b1b";
/// Fonts that every system replaces by its own; Chinese capitals fall back to what it has.
const FONT: &str = "Georgia, 'Songti SC', 'Noto Serif CJK SC', SimSun, serif";

/// The cheque as a standalone SVG document.
#[must_use]
pub fn svg(examined: &Examined) -> String {
    let face = Face::of(examined);
    let mut sheet = Sheet { body: String::new(), y: 44 };
    sheet.heading(&face);
    sheet.order(&face);
    sheet.signatures(&face);
    let height = sheet.y.saturating_add(16);
    let inner = height.saturating_sub(12);
    format!(
        concat!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" width="760" height="{height}" "#,
            r#"role="img" aria-label="Cheque {number} over {figures}" font-family="{font}">"#,
            r##"<rect x="6" y="6" width="748" height="{inner}" rx="10" fill="#f4f8f1" stroke="{ink}"/>"##,
            r##"<rect x="12" y="12" width="736" height="{inside}" rx="7" fill="none" stroke="#b9cdb4" stroke-dasharray="2 2"/>"##,
            "{body}</svg>\n"
        ),
        height = height,
        inner = inner,
        inside = inner.saturating_sub(12),
        number = escape(&face.number),
        figures = escape(&face.figures),
        font = FONT,
        ink = INK,
        body = sheet.body,
    )
}

struct Sheet {
    body: String,
    /// Where the next line stands.
    y: usize,
}

impl Sheet {
    fn text(&mut self, x: usize, size: usize, fill: &str, extra: &str, text: &str) {
        self.body.push_str(&format!(
            r#"<text x="{x}" y="{}" font-size="{size}" fill="{fill}"{extra}>{}</text>"#,
            self.y,
            escape(text)
        ));
    }

    fn down(&mut self, by: usize) {
        self.y = self.y.saturating_add(by);
    }

    /// Bank, crossing, number and date.
    fn heading(&mut self, face: &Face) {
        const END: &str = r#" text-anchor="end""#;
        self.text(32, 22, INK, r#" font-weight="bold""#, &face.bank.to_uppercase());
        self.text(728, 15, INK, END, &format!("No. {}", face.number));
        self.down(24);
        self.text(728, 15, INK, END, &format!("Date {}", face.date));
        // The two lines of a crossing.
        self.body.push_str(&format!(
            r#"<g transform="rotate(-8 330 52)"><path d="M250 40H410M250 62H410" stroke="{INK}"/><text x="330" y="56" font-size="13" fill="{INK}" text-anchor="middle" letter-spacing="1">{}</text></g>"#,
            escape(face.crossing)
        ));
        self.down(36);
    }

    /// A label with as many lines as its text needs, over a rule.
    fn field(&mut self, label: &str, size: usize, columns: usize, text: &str) {
        self.text(32, 12, FAINT, "", label);
        for line in wrap(text, columns) {
            self.text(130, size, INK, "", &line);
            self.down(size.saturating_add(7));
        }
        let rule = self.y.saturating_sub(size);
        self.body.push_str(&format!(r##"<path d="M130 {rule}H728" stroke="#9fb59a" stroke-width=".7"/>"##));
        self.down(6);
    }

    fn order(&mut self, face: &Face) {
        self.field("Pay to", 17, 54, &format!("{} ({})", face.payee, face.payee_key));
        let box_y = self.y.saturating_sub(20);
        self.body.push_str(&format!(
            r##"<rect x="500" y="{box_y}" width="228" height="30" fill="#ffffff" stroke="{INK}"/>"##
        ));
        // The largest amounts have 24 characters: smaller, they still fit the box.
        let size = if face.figures.len() > 17 { 14 } else { 18 };
        self.text(614, size, INK, r#" text-anchor="middle" font-weight="bold""#, &face.figures);
        self.text(32, 12, FAINT, "", "Amount");
        self.down(34);
        self.field("In words", 15, 62, &face.english);
        self.field("大写", 16, 66, &face.chinese);
        self.field("Memo", 13, 72, &face.memo);
        self.field("Drawn on", 13, 72, &face.account);
        if let Some(holder) = &face.holder {
            self.field("Held by", 13, 72, holder);
        }
        for (name, present) in &face.attachments {
            self.field("Attached", 13, 72, &format!("{name}{}", if *present { "" } else { " (removed)" }));
        }
    }

    fn signatures(&mut self, face: &Face) {
        self.down(4);
        for line in &face.signatures {
            let (mark, colour) = if line.state.is_ok() { ("✓", GOOD) } else { ("✗", BAD) };
            self.text(32, 13, colour, "", mark);
            let text = format!("{} · {}", line.block, line.text());
            for part in wrap(&text, 92) {
                self.text(50, 12, INK, "", &part);
                self.down(17);
            }
        }
        self.down(8);
        let colour = if face.verdict.is_ok() { GOOD } else { BAD };
        for part in wrap(&face.verdict_text(), 72) {
            self.text(32, 15, colour, r#" font-weight="bold""#, &part);
            self.down(19);
        }
        self.text(32, 10, FAINT, r#" font-family="monospace""#, &format!("id {}", face.id));
        self.down(10);
    }
}
