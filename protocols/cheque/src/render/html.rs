//! The cheque as an HTML page that reflows on a phone and prints on paper.

use super::{Face, escape};
use crate::verify::Examined;

const STYLE: &str = "\
:root{color-scheme:light}\
body{margin:0;padding:1rem;background:#e6ebe4;color:#1f2d3d;font:16px/1.45 Georgia,'Songti SC','Noto Serif CJK SC',SimSun,serif}\
main{max-width:50rem;margin:auto;background:#f4f8f1;border:1px solid #1f2d3d;border-radius:10px;padding:1.2rem 1.4rem;box-shadow:inset 0 0 0 6px #f4f8f1,inset 0 0 0 7px #b9cdb4;overflow-wrap:anywhere}\
header{display:flex;flex-wrap:wrap;gap:.4rem 1.5rem;justify-content:space-between;align-items:center}\
h1{font-size:1.4rem;margin:0;text-transform:uppercase;letter-spacing:.04em}\
.crossing{border:solid #1f2d3d;border-width:1px 0;padding:.1rem .8rem;transform:rotate(-6deg);font-size:.8rem;letter-spacing:.08em}\
.slip{text-align:right;white-space:nowrap}.slip span{display:block}\
dl{display:grid;grid-template-columns:6.5rem 1fr;gap:.5rem 0;margin:1.4rem 0 1rem}\
dt{color:#5b6b7b;font-size:.8rem;padding-top:.25rem}\
dd{margin:0;border-bottom:1px solid #9fb59a}\
.figures{justify-self:end;border:1px solid #1f2d3d;background:#fff;padding:.2rem 1rem;font-size:1.25rem;font-weight:bold}\
.payee{font-size:1.15rem}small{color:#5b6b7b}\
ul{list-style:none;padding:0;margin:0;font-size:.85rem}li{padding:.25rem 0 .25rem 1.4rem;position:relative;border-top:1px dotted #9fb59a}\
li::before{position:absolute;left:0;font-weight:bold}.good::before{content:'\\2713'}.bad::before{content:'\\2717'}\
.good::before,.verdict.ok{color:#1b6e3c}.bad::before,.bad b,.verdict.no{color:#a61b1b}\
.verdict{font-weight:bold;font-size:1.05rem;margin:1rem 0 .2rem}.id{font:.7rem monospace;color:#5b6b7b;margin:0}\
@media(max-width:34rem){body{padding:.4rem}main{padding:1rem}dl{grid-template-columns:1fr;gap:0}dt{padding-top:.7rem}.figures{justify-self:stretch;text-align:right}.slip{flex:1 0 100%;display:flex;justify-content:space-between}}\
@media screen and (prefers-color-scheme:dark){body{background:#1b211d}}\
@media print{body{background:#fff;padding:0}main{box-shadow:none;break-inside:avoid}*{print-color-adjust:exact}}";

/// The cheque as a standalone HTML page.
#[must_use]
pub fn html(examined: &Examined) -> String {
    let face = Face::of(examined);
    format!(
        concat!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
            "<title>Cheque {number}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n",
            "<header><h1>{bank}</h1><div class=\"crossing\">{crossing}</div>",
            "<div class=\"slip\"><span>No. {number}</span><span>Date {date}</span></div></header>\n",
            "<dl>\n{fields}</dl>\n<ul>\n{signatures}</ul>\n",
            "<p class=\"verdict {class}\">{verdict}</p>\n<p class=\"id\">id {id}</p>\n</main>\n</body>\n</html>\n"
        ),
        number = escape(&face.number),
        style = STYLE,
        bank = escape(&face.bank),
        crossing = escape(face.crossing),
        date = escape(&face.date),
        fields = fields(&face),
        signatures = signatures(&face),
        class = if face.verdict.is_ok() { "ok" } else { "no" },
        verdict = escape(&face.verdict_text()),
        id = escape(&face.id),
    )
}

fn fields(face: &Face) -> String {
    let mut out = format!(
        "<dt>Pay to</dt><dd class=\"payee\">{} <small>{}</small></dd>\n",
        escape(&face.payee),
        escape(&face.payee_key)
    );
    out.push_str(&format!("<dt>Amount</dt><dd class=\"figures\">{}</dd>\n", escape(&face.figures)));
    let mut plain = vec![
        ("In words", face.english.clone()),
        ("大写", face.chinese.clone()),
        ("Memo", face.memo.clone()),
        ("Drawn on", face.account.clone()),
    ];
    plain.extend(face.holder.clone().map(|holder| ("Held by", holder)));
    for (name, present) in &face.attachments {
        plain.push(("Attached", format!("{name}{}", if *present { "" } else { " (removed)" })));
    }
    for (label, text) in plain.iter().filter(|(_, text)| !text.is_empty()) {
        let language = if *label == "大写" { " lang=\"zh\"" } else { "" };
        out.push_str(&format!("<dt{language}>{label}</dt><dd{language}>{}</dd>\n", escape(text)));
    }
    out
}

fn signatures(face: &Face) -> String {
    face.signatures
        .iter()
        .map(|line| {
            let class = if line.state.is_ok() { "good" } else { "bad" };
            format!("<li class=\"{class}\"><b>{}</b> · {}</li>\n", escape(line.block), escape(&line.text()))
        })
        .collect()
}
