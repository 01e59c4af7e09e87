//! The codes are those of the published table, row for row.

use feiqian_cheque::ReturnCode;

const PUBLISHED: &str = include_str!("../return-codes.csv");

fn field(text: &str) -> String {
    if text.contains(',') { format!("\"{text}\"") } else { text.to_owned() }
}

#[test]
fn the_enum_is_the_published_table() {
    let mut table = "code,meaning,x9,cts,iso20022,represent\n".to_owned();
    for code in ReturnCode::ALL {
        let (x9, cts) = (code.x9().unwrap_or(""), code.cts().unwrap_or(""));
        let row = [code.as_str(), code.meaning(), x9, cts, code.iso20022(), code.represent().as_str()];
        table.push_str(&row.map(field).join(","));
        table.push('\n');
    }
    assert_eq!(table.trim_end(), PUBLISHED.trim_end());
}

#[test]
fn every_code_is_read_back_and_others_are_not() {
    for code in ReturnCode::ALL {
        assert_eq!(code.as_str().parse(), Ok(*code));
        let json = serde_json::to_string(code).unwrap();
        assert_eq!(serde_json::from_str::<ReturnCode>(&json).unwrap(), *code);
    }
    assert!("stopped".parse::<ReturnCode>().is_err());
    let uncounted: Vec<&str> =
        ReturnCode::ALL.iter().filter(|code| !code.counts_as_attempt()).map(|code| code.as_str()).collect();
    assert_eq!(uncounted, ["LATE", "SETTLEMENT_FAILED", "TECHNICAL"]);
}
