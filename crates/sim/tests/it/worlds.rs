use feiqian_sim::Source;
use feiqian_sim::run::cell::{Options, Outcome, run};

pub(crate) fn scenario(text: &str) -> feiqian_sim::Scenario {
    Source::parse(text, "").unwrap().scenario().unwrap()
}

fn day(text: &str) -> Outcome {
    let outcome = run(&scenario(text), &Options::default()).unwrap();
    assert!(outcome.held, "{:#}", serde_json::Value::Object(outcome.summary));
    outcome
}

const FIRST_DAY: &str = include_str!("../../../../scenarios/first-day.toml");

#[test]
fn the_first_day_holds_and_is_the_same_twice() {
    let (one, two) = (day(FIRST_DAY), day(FIRST_DAY));
    assert_eq!(one.digest, two.digest);
    assert_eq!(one.summary, two.summary);
    assert_eq!(one.series, two.series);
}

#[test]
fn a_world_with_every_fault_comes_to_rest_with_whole_books() {
    let text = "duration = \"6h\"\nseed = 11\n[population]\nwallets = 8\n[workload]\nbetween_wallets = 0.2\n\
        payments_per_wallet_per_day = 12.0\n[network]\nloss = 0.02\nduplicate = 0.05\nreorder = 0.1\n\
        [[bank]]\nname = \"first\"\ncustomers = 0.5\n[[bank]]\nname = \"second\"\n\
        [[fault]]\nkind = \"crash\"\nnode = \"bank:first\"\nat = \"1h\"\nfor = \"2m\"\n\
        [[fault]]\nkind = \"crash\"\nnode = \"center\"\npoint = \"center.present.forward\"\nnumber = 2\nfor = \"1m\"\n\
        [[fault]]\nkind = \"crash\"\nnode = \"wallet:1\"\npoint = \"wallet.pay.sign\"\nwhen = \"after\"\nfor = \"5m\"\n\
        [[fault]]\nkind = \"partition\"\nnode = \"bank:second\"\nat = \"2h\"\nfor = \"10m\"\n\
        [[fault]]\nkind = \"slow\"\nnode = \"merchant:0\"\nfactor = 30.0\nat = \"3h\"\nfor = \"30m\"\n\
        [[fault]]\nkind = \"clock-skew\"\nnode = \"wallet:2\"\noffset = \"-90s\"\nat = \"4h\"\nfor = \"1h\"\n";
    let outcome = day(text);
    assert_eq!(outcome.summary["faults"].as_array().unwrap().len(), 4, "the timed ones are told");
    assert!(outcome.summary["payments"]["paid"].as_u64().unwrap() > 15);
}

#[test]
fn a_trace_is_paid_row_by_row() {
    let dir = tempfile::tempdir().unwrap();
    let trace = "time,payer,payee,amount,currency,instrument\n0,ann,bakery,3.20,CNY,online_cash\n\
        600,bob,bakery,4.10,CNY,\n1200,ann,bob,10.00,CNY,online_cash\n1800,bob,books,20.00,,\n";
    std::fs::write(dir.path().join("p.csv"), trace).unwrap();
    let source = Source::parse("[workload]\ntrace = \"p.csv\"\n", dir.path()).unwrap();
    let outcome = run(&source.scenario().unwrap(), &Options::default()).unwrap();
    assert!(outcome.held);
    assert_eq!(outcome.summary["payments"]["paid"], 4);
    assert_eq!(outcome.summary["payments"]["value_minor"], 3730);
}

const CHAPTER: &str = include_str!("../../../../docs/src/simulation.md");

/// Rows as PaySim writes them, made by hand: nothing here is anybody's data.
const PAYSIM: &str = "step,type,amount,nameOrig,oldbalanceOrg,newbalanceOrig,nameDest,oldbalanceDest,newbalanceDest,\
    isFraud,isFlaggedFraud\n\
    1,PAYMENT,98.64,C101,1701.0,1602.36,M201,0.0,0.0,0,0\n\
    1,CASH_IN,500.0,C102,0.0,500.0,C103,900.0,400.0,0,0\n\
    2,PAYMENT,1864.28,C102,2124.9,260.62,M202,0.0,0.0,0,0\n\
    2,TRANSFER,181.0,C101,1602.36,1421.36,C102,260.62,441.62,1,0\n\
    3,CASH_OUT,181.0,C102,441.62,260.62,C103,400.0,219.0,1,0\n\
    3,DEBIT,53.5,C103,219.0,165.5,C101,1421.36,1474.86,0,0\n\
    4,TRANSFER,77.7,C103,165.5,87.8,C104,0.0,77.7,0,0\n";

#[test]
fn the_chapters_line_turns_rows_of_paysim_into_a_trace() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("paysim.csv"), PAYSIM).unwrap();
    let blocks = CHAPTER.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let block = blocks.into_iter().find(|block| block.contains("paysim.csv")).unwrap();
    let conversion = block.split("feiqian simulate").next().unwrap();
    let done =
        std::process::Command::new("sh").arg("-ec").arg(conversion).current_dir(&dir).status().unwrap();
    assert!(done.success());
    let text = std::fs::read_to_string(dir.path().join("paysim.toml")).unwrap();
    let mut source = Source::parse(&text, dir.path()).unwrap();
    source.set("workload.trace", "paysim-trace.csv").unwrap();
    let outcome = run(&source.scenario().unwrap(), &Options::default()).unwrap();
    assert!(outcome.held, "{:#}", serde_json::Value::Object(outcome.summary));
    let payments = &outcome.summary["payments"];
    assert_eq!((&payments["paid"], &payments["failed"]), (&4.into(), &0.into()), "{payments}");
    assert_eq!(payments["value_minor"], 222_162);
    assert_eq!(ended(&outcome, "pay_transfer", "done"), 2, "{:#}", outcome.summary["operations"]);
}

#[test]
fn a_replay_stops_at_its_event() {
    let options = Options { until_event: Some(2_000), ..Options::default() };
    let outcome = run(&scenario(FIRST_DAY), &options).unwrap();
    let stopped = outcome.summary["verdict"]["stopped_at_event"].as_u64().unwrap();
    assert!((2_000..2_100).contains(&stopped), "{stopped}");
}

/// Two banks and every instrument.
const MIXED: &str = "duration = \"12h\"\nseed = 13\n[population]\nwallets = 8\nmerchants = { count = 2 }\n\
    [workload]\npayments_per_wallet_per_day = 20.0\nbetween_wallets = 0.4\nrefunds = 0.1\n\
    instruments = { online_cash = 0.2, offline_cash = 0.35, cheque = 0.3, transfer = 0.15 }\n\
    [[bank]]\nname = \"first\"\ncustomers = 0.5\n[[bank]]\nname = \"second\"\n";

/// How often an operation ended so.
fn ended(outcome: &Outcome, operation: &str, so: &str) -> u64 {
    outcome.summary["operations"][operation]["outcomes"][so].as_u64().unwrap_or(0)
}

#[test]
fn every_instrument_pays_and_the_books_hold() {
    let outcome = day(MIXED);
    for operation in ["pay_online_cash", "pay_offline_cash", "pay_cheque", "pay_transfer"] {
        assert!(ended(&outcome, operation, "done") > 3, "{operation}: {:#}", outcome.summary["operations"]);
    }
    let cheques = ended(&outcome, "pay_cheque", "done");
    assert_eq!(ended(&outcome, "cheque_deposit", "done"), cheques, "{:#}", outcome.summary["operations"]);
    assert!(ended(&outcome, "withdraw_offline", "done") > 0);
    assert_eq!(outcome.summary["payments"]["failed"], 0, "{:#}", outcome.summary["operations"]);
}

#[test]
fn cheques_are_netted_in_cycles_that_the_operator_settles() {
    let netted = "[settlement]\nmode = \"net\"\ncycle = \"2h\"\n[wallet]\nselection = \"boltzmann\"\n";
    let net = day(&format!("{MIXED}{netted}"));
    let cheques = ended(&net, "pay_cheque", "done");
    assert_eq!(ended(&net, "cheque_deposit", "done"), cheques, "{:#}", net.summary["operations"]);
    let waited =
        |outcome: &Outcome| outcome.summary["operations"]["cheque_deposit"]["latency_ms"]["p50"].as_f64();
    let gross = day(MIXED);
    assert!(waited(&net) > waited(&gross), "a cycle takes its time: {:?} {:?}", waited(&net), waited(&gross));
}
