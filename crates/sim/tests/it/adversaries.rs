//! Every attack against the defence, where it must lose, and in its control, where it must win.

use feiqian_sim::run::cell::{Options, Outcome, run};
use serde_json::Value;

use crate::worlds::scenario;

const WORLD: &str = "duration = \"6h\"\nseed = 3\n[population]\nwallets = 6\nmerchants = { count = 3 }\n\
    [workload]\npayments_per_wallet_per_day = 12.0\nbetween_wallets = 0.2\n\
    [[bank]]\nname = \"first\"\ncustomers = 0.5\n[[bank]]\nname = \"second\"\n";

fn attacked(kind: &str, count: u32, control: bool) -> (Outcome, Value) {
    let text = format!("{WORLD}[[adversary]]\nkind = \"{kind}\"\ncount = {count}\ncontrol = {control}\n");
    let outcome = run(&scenario(&text), &Options::default()).unwrap();
    let attack = outcome.summary["attacks"][kind].clone();
    (outcome, attack)
}

/// The defence holds and the control is won; both were really tried.
fn both(kind: &str, count: u32, control_count: u32) -> (Value, Value) {
    let (outcome, lost) = attacked(kind, count, false);
    assert!(lost["attempts"].as_u64().unwrap() > 0, "{kind} tried nothing: {lost}");
    assert_eq!(lost["won"], false, "{kind} won: {lost}");
    assert!(outcome.held, "{kind}: {:#}", outcome.summary["verdict"]);
    let (_, won) = attacked(kind, control_count, true);
    assert_eq!(won["won"], true, "{kind} lost even its control: {won}");
    (lost, won)
}

#[test]
fn a_double_spender_wins_only_where_the_register_forgets() {
    let (lost, won) = both("double-spender", 4, 4);
    let offline = &lost["offline"];
    // Each in another way: the whole twice, a part after the whole and before it, and after a part was passed on.
    for (what, count) in [("taken_twice", 4), ("named", 4), ("not_named", 0), ("shops_unpaid_minor", 0)] {
        assert_eq!(offline[what], count, "{what}: {lost:#}");
    }
    assert_eq!(lost["falsely_named"], 0, "who passed value on in good faith is not named: {lost:#}");
    assert!(won["offline"]["not_named"].as_u64().unwrap() > 0, "{won:#}");
}

#[test]
fn a_kiter_wins_only_where_a_bank_forgets_balances() {
    let (lost, won) = both("kiter", 2, 2);
    assert_eq!((&lost["gained_minor"], &lost["paid_twice"]), (&0.into(), &0.into()), "{lost:#}");
    assert!(lost["presented_twice"].as_u64().unwrap() > 0, "{lost:#}");
    assert!(won["gained_minor"].as_u64().unwrap() > 0, "{won:#}");
}

#[test]
fn a_bank_frames_nobody_whose_wallet_it_has_not_stolen() {
    let (lost, _) = both("framer", 3, 1);
    assert!(lost["attempts"].as_u64().unwrap() > 20, "{lost:#}");
}

#[test]
fn a_replayer_wins_only_where_payments_are_forgotten() {
    both("replayer", 300, 300);
}

#[test]
fn a_tamperer_wins_only_where_nothing_protects_answers() {
    both("tamperer", 60, 60);
}

#[test]
fn a_thief_wins_only_with_the_stolen_store() {
    both("thief", 5, 5);
}

#[test]
fn a_crasher_wins_only_where_answers_come_before_writes() {
    both("crasher", 15, 30);
}

#[test]
fn the_ros_forger_wins_only_against_the_textbook() {
    both("forger-ros", 1, 1);
}

fn linkage(text: &str) -> Value {
    let outcome = run(&scenario(text), &Options::default()).unwrap();
    assert!(outcome.held, "{:#}", outcome.summary["verdict"]);
    outcome.summary["linkage"].clone()
}

/// Everybody withdraws what one payment takes and spends it at once: there is nobody to hide among.
const ALONE: &str = "duration = \"2d\"\nseed = 5\n[population]\nwallets = 4\n\
    [workload]\npayments_per_wallet_per_day = 8.0\namount = \"uniform(1.00, 60.00)\"\n\
    [wallet]\nwithdraw = { below = \"0.00\", to = \"0.00\" }\n[[adversary]]\nkind = \"colluders\"\n";

/// Many withdraw the same and spend it a day later.
const CROWD: &str = "duration = \"2d\"\nseed = 5\n[population]\nwallets = 20\n\
    [workload]\npayments_per_wallet_per_day = 8.0\namount = \"5.00\"\n\
    [wallet]\nwithdraw = { below = \"5.00\", to = \"40.00\" }\nspend_delay = \"exp(12h)\"\n\
    [[adversary]]\nkind = \"colluders\"\n";

#[test]
fn colluders_link_whoever_hides_among_nobody_and_hardly_anybody_in_a_crowd() {
    let alone = linkage(ALONE);
    assert!(alone["top1"]["rate"].as_f64().unwrap() > 0.9, "{alone:#}");
    let crowd = linkage(CROWD);
    assert!(crowd["judged"].as_u64().unwrap() > 50, "{crowd:#}");
    assert!(crowd["top1"]["rate"].as_f64().unwrap() < 0.3, "{crowd:#}");
    assert!(crowd["entropy_bits"]["mean"].as_f64().unwrap() > 2.0, "{crowd:#}");
}
