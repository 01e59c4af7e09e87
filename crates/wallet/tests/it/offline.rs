//! Offline cash between honest people, towards banks that misbehave, and after a store was lost.

use std::sync::Arc;

use feiqian_ledger::store::{StoreError, StoreExt, Tx, Value as Stored};
use feiqian_offline_cash::carry::Carried;
use feiqian_offline_cash::deposit::Outcome;
use feiqian_offline_cash::pay::Payment;
use feiqian_wire::error::Code;
use serde_json::{Value, json};

use crate::flows::run;
use crate::offline_bank::{DEPOSIT_DAYS, OfflineTrick, PAY_DAYS, RECLAIM_DAYS, carried};
use crate::world::{DAY, Fragile, Owner, World};

pub(crate) fn payment(answer: &Value) -> Payment {
    match carried(answer) {
        Carried::Payment(payment) => payment,
        other => panic!("{other:?} is no payment"),
    }
}

/// Text of a message, whatever its length.
pub(crate) fn text(answer: &Value) -> String {
    match answer["uri"].as_str() {
        Some(uri) => uri.to_owned(),
        None => {
            let frames = answer["frames"].as_array().unwrap();
            frames.iter().map(|frame| frame.as_str().unwrap()).collect::<Vec<_>>().join("\n")
        }
    }
}

pub(crate) async fn funded(amount: &str) -> (Arc<World>, Owner) {
    let world = World::new();
    let alice = Owner::new(&world, "alice", 10_000);
    let done = run(&alice, json!({"command": "withdraw_offline", "amount": amount})).await.unwrap();
    assert_eq!(done["amount"].as_str().unwrap(), format!("{amount}.00"));
    (world, alice)
}

async fn offline_balance(owner: &Owner) -> Value {
    run(owner, json!({"command": "balance"})).await.unwrap()["offline"].clone()
}

fn cut(world: &World) {
    world.state().down.extend(["https://north:1", "https://center:1", "https://shop:1"]);
}

fn joined(world: &World) {
    world.state().down.clear();
}

#[tokio::test]
async fn a_request_is_paid_with_the_network_cut() {
    let (world, alice) = funded("40").await;
    assert_eq!((alice.account(), alice.audited_offline().await), (6_000, (4_000, 0)));
    let routes = world.state().routes.len();
    cut(&world);
    let request = world.till_request(1_250);
    let uri = Carried::Request(request.clone()).to_uri().unwrap();
    let command = json!({"command": "pay_offline", "request": uri});
    let paid = run(&alice, command.clone()).await.unwrap();
    assert_eq!((paid["outcome"].as_str(), paid["amount"].as_str()), (Some("given"), Some("12.50")));
    assert_eq!(run(&alice, command).await.unwrap(), paid, "a repeat is the same payment");
    assert_eq!(world.state().routes.len(), routes, "nobody was asked");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("payment");
    let again = run(&alice, json!({"command": "pay_offline", "request": uri, "out": file})).await.unwrap();
    assert_eq!((carried(&again), &again["payment"]), (carried(&paid), &paid["payment"]));
    joined(&world);
    assert!(matches!(world.till_deposit(&request, payment(&paid)), Outcome::Settled(_)));
    assert!(matches!(world.till_deposit(&request, payment(&again)), Outcome::Before(_)));
    assert_eq!(world.state().offline.booked(), (1_250, 0));
    assert_eq!(alice.audited_offline().await, (2_750, 0));
    let balance = offline_balance(&alice).await;
    assert_eq!((balance["balance"].as_str(), balance["pending"].as_str()), (Some("27.50"), Some("0.00")));
}

#[tokio::test]
async fn every_amount_can_be_paid_once() {
    let (world, alice) = funded("3").await;
    for minor in [1, 37, 99, 101, 62] {
        let request = world.till_request(minor);
        let uri = Carried::Request(request.clone()).to_uri().unwrap();
        let paid = run(&alice, json!({"command": "pay_offline", "request": uri})).await.unwrap();
        assert!(matches!(world.till_deposit(&request, payment(&paid)), Outcome::Settled(_)));
    }
    let uri = Carried::Request(world.till_request(1)).to_uri().unwrap();
    let poor = run(&alice, json!({"command": "pay_offline", "request": uri})).await.unwrap_err();
    assert_eq!((poor.code, world.state().offline.charged), (Code::InsufficientFunds, 0));
    assert_eq!((alice.audited_offline().await, world.state().offline.shop), ((0, 0), 300));
}

/// Passes an amount from hand to hand, all messages as text; answers with the payee's last answer.
pub(crate) async fn hand_over(payer: &Owner, payee: &Owner, amount: &str) -> Value {
    let offer = run(payee, json!({"command": "offer", "amount": amount})).await.unwrap();
    let nonce = run(payer, json!({"command": "answer_offer", "file": text(&offer)})).await.unwrap();
    let opened = run(payee, json!({"command": "open_offer", "file": text(&nonce)})).await.unwrap();
    let shown = run(payer, json!({"command": "transfer_coin", "to": text(&opened)})).await.unwrap();
    assert_eq!((shown["outcome"].as_str(), &shown["code"]), (Some("compare"), &opened["code"]));
    let pass = json!({"command": "transfer_coin", "to": text(&opened), "code": opened["code"]});
    let given = run(payer, pass.clone()).await.unwrap();
    assert_eq!(run(payer, pass).await.unwrap(), given, "a repeat is the same transfer");
    let accept = json!({"command": "accept", "file": text(&given)});
    let taken = run(payee, accept.clone()).await.unwrap();
    assert_eq!(run(payee, accept).await.unwrap(), taken, "a repeat is told the same");
    taken
}

#[tokio::test]
async fn value_passes_from_hand_to_hand_and_divides() {
    let (world, alice) = funded("10").await;
    let (bob, carol) = (Owner::new(&world, "bob", 0), Owner::new(&world, "carol", 0));
    for owner in [&bob, &carol] {
        let got = run(owner, json!({"command": "blanks", "count": 12})).await.unwrap();
        assert_eq!(got["blanks"], 12);
    }
    cut(&world);
    assert_eq!(hand_over(&alice, &bob, "6.40").await["amount"], "6.40");
    assert_eq!(hand_over(&bob, &carol, "1.60").await["amount"], "1.60");
    let request = world.till_request(80);
    let uri = Carried::Request(request.clone()).to_uri().unwrap();
    let paid = run(&carol, json!({"command": "pay_offline", "request": uri})).await.unwrap();
    joined(&world);
    assert!(matches!(world.till_deposit(&request, payment(&paid)), Outcome::Settled(_)));
    let held = (alice.audited_offline().await, bob.audited_offline().await, carol.audited_offline().await);
    assert_eq!(held, ((360, 0), (480, 0), (80, 0)));
    let put = run(&bob, json!({"command": "deposit_offline", "amount": "3.20"})).await.unwrap();
    assert_eq!((put["outcome"].as_str(), put["paid"].as_str()), (Some("paid"), Some("3.20")));
    assert_eq!((bob.account(), bob.audited_offline().await), (320, (160, 0)));
    assert_eq!(world.state().offline.charged, 0);
}

#[tokio::test]
async fn an_offer_is_opened_to_one_payer_and_wrong_codes_pay_nothing() {
    let (world, alice) = funded("10").await;
    let bob = Owner::new(&world, "bob", 0);
    run(&bob, json!({"command": "blanks", "count": 8})).await.unwrap();
    let offer = run(&bob, json!({"command": "offer", "amount": "2"})).await.unwrap();
    let nonce = run(&alice, json!({"command": "answer_offer", "file": text(&offer)})).await.unwrap();
    let again = run(&alice, json!({"command": "answer_offer", "file": text(&offer)})).await.unwrap();
    assert_eq!(again, nonce, "one nonce for one commitment");
    let opened = run(&bob, json!({"command": "open_offer", "file": text(&nonce)})).await.unwrap();
    assert_eq!(run(&bob, json!({"command": "open_offer", "file": text(&nonce)})).await.unwrap(), opened);
    let other = Owner::new(&world, "mallory", 0);
    run(&other, json!({"command": "balance"})).await.unwrap();
    let second = run(&other, json!({"command": "answer_offer", "file": text(&offer)})).await.unwrap();
    let refused = run(&bob, json!({"command": "open_offer", "file": text(&second)})).await.unwrap_err();
    assert_eq!(refused.code, Code::RequestMismatch, "a second payer's nonce opens nothing");
    let own: u32 = opened["code"].as_str().unwrap().replace(' ', "").parse().unwrap();
    let wrong = format!("{:06}", (own + 1) % 1_000_000);
    let pass = json!({"command": "transfer_coin", "to": text(&opened), "code": wrong});
    assert_eq!(run(&alice, pass).await.unwrap_err().code, Code::RequestMismatch);
    assert_eq!(alice.audited_offline().await, (1_000, 0));
    let balance = offline_balance(&bob).await;
    assert_eq!(balance["blanks"].as_u64(), Some(8 - offer["blanks"].as_u64().unwrap()));
}

#[tokio::test]
async fn a_second_transfer_for_an_offer_is_refused() {
    let (world, alice) = funded("10").await;
    let bob = Owner::new(&world, "bob", 0);
    run(&bob, json!({"command": "blanks", "count": 8})).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    run(&bob, json!({"command": "offer", "amount": "2", "out": file("c")})).await.unwrap();
    run(&alice, json!({"command": "answer_offer", "file": file("c"), "out": file("n")})).await.unwrap();
    let opened =
        run(&bob, json!({"command": "open_offer", "file": file("n"), "out": file("o")})).await.unwrap();
    let pass = json!({"command": "transfer_coin", "to": file("o"), "code": opened["code"], "out": file("t")});
    let given = run(&alice, pass).await.unwrap();
    let Carried::Transfer(mut transfer) = carried(&given) else { panic!("no transfer") };
    run(&bob, json!({"command": "accept", "file": file("t")})).await.unwrap();
    let mut chains = transfer.chains.to_vec();
    chains.reverse();
    let mut link = chains[0].links.to_vec();
    link[0].nonce = feiqian_crypto::Digest([3; 32]);
    chains[0].links = feiqian_wire::Bounded::new(link).unwrap();
    transfer.chains = feiqian_wire::Bounded::new(chains).unwrap();
    std::fs::write(file("x"), Carried::Transfer(transfer).to_file().unwrap()).unwrap();
    let refused = run(&bob, json!({"command": "accept", "file": file("x")})).await.unwrap_err();
    assert_eq!((refused.code, bob.audited_offline().await), (Code::BlankAnswered, (200, 0)));
}

#[tokio::test]
async fn pieces_of_exposed_coins_and_old_lists_are_refused() {
    let (world, alice) = funded("10").await;
    let bob = Owner::new(&world, "bob", 0);
    run(&bob, json!({"command": "blanks", "count": 8})).await.unwrap();
    let offer = run(&bob, json!({"command": "offer", "amount": "2"})).await.unwrap();
    let nonce = run(&alice, json!({"command": "answer_offer", "file": text(&offer)})).await.unwrap();
    let opened = run(&bob, json!({"command": "open_offer", "file": text(&nonce)})).await.unwrap();
    let pass = json!({"command": "transfer_coin", "to": text(&opened), "code": opened["code"]});
    let given = run(&alice, pass).await.unwrap();
    let accept = json!({"command": "accept", "file": text(&given)});
    let Carried::Transfer(transfer) = carried(&given) else { panic!("no transfer") };
    world.expose(&transfer);
    bob.open().await.sync_members().await.unwrap();
    let refused = run(&bob, accept.clone()).await.unwrap_err();
    assert_eq!(refused.code, Code::CoinExposed);
    world.state().offline.exposed.clear();
    world.advance(1);
    bob.open().await.sync_members().await.unwrap();
    cut(&world);
    world.advance(2 * DAY);
    assert_eq!(
        run(&bob, accept.clone()).await.unwrap()["amount"],
        "2.00",
        "a list of two days is good enough"
    );
    assert_eq!(bob.audited_offline().await, (200, 0));
    let carol = Owner::new(&world, "carol", 0);
    joined(&world);
    run(&carol, json!({"command": "blanks", "count": 8})).await.unwrap();
    world.advance(8 * DAY);
    let offer = run(&carol, json!({"command": "offer", "amount": "1"})).await.unwrap();
    let nonce = run(&alice, json!({"command": "answer_offer", "file": text(&offer)})).await.unwrap();
    let opened = run(&carol, json!({"command": "open_offer", "file": text(&nonce)})).await.unwrap();
    let pass = json!({"command": "transfer_coin", "to": text(&opened), "code": opened["code"]});
    let given = run(&alice, pass).await.unwrap();
    let refused = run(&carol, json!({"command": "accept", "file": text(&given)})).await.unwrap_err();
    assert_eq!(refused.code, Code::Expired, "a list of eight days is too old");
    carol.open().await.sync_members().await.unwrap();
    let taken = run(&carol, json!({"command": "accept", "file": text(&given)})).await.unwrap();
    assert_eq!(taken["amount"], "1.00", "nothing was lost by the refusal");
}

#[tokio::test]
async fn banks_that_repeat_themselves_get_no_second_challenge() {
    for (trick, code) in [
        (OfflineTrick::RepeatSession, Code::Conflict),
        (OfflineTrick::RepeatAnnouncements, Code::Conflict),
        (OfflineTrick::UnpinnedKeyset, Code::KeysetNotPinned),
        (OfflineTrick::WrongAnswers, Code::SignatureInvalid),
    ] {
        let (world, alice) = funded("1").await;
        world.state().offline.trick = trick;
        let fault = run(&alice, json!({"command": "withdraw_offline", "amount": "1"})).await.unwrap_err();
        assert_eq!(fault.code, code, "{trick:?}");
        assert_eq!(alice.audited_offline().await, (100, 0));
        let pending = if trick == OfflineTrick::WrongAnswers { "1.00" } else { "0.00" };
        assert_eq!(offline_balance(&alice).await["pending"], pending, "{trick:?}");
    }
}

#[tokio::test]
async fn an_identity_of_somebody_else_is_not_taken() {
    let (world, _) = funded("1").await;
    let bob = Owner::new(&world, "bob", 1_000);
    world.state().offline.trick = OfflineTrick::ForeignIdentity;
    let fault = run(&bob, json!({"command": "withdraw_offline", "amount": "1"})).await.unwrap_err();
    assert_eq!((fault.code, bob.account()), (Code::IdentityUnknown, 1_000));
    world.state().offline.trick = OfflineTrick::None;
    run(&bob, json!({"command": "withdraw_offline", "amount": "1"})).await.unwrap();
    assert_eq!(bob.audited_offline().await, (100, 0));
}

#[tokio::test]
async fn what_payees_would_refuse_is_not_given_to_them_but_deposited() {
    let (world, alice) = funded("10").await;
    let bob = Owner::new(&world, "bob", 0);
    run(&bob, json!({"command": "blanks", "count": 8})).await.unwrap();
    let transfer = hand_over(&alice, &bob, "2").await;
    assert_eq!(transfer["outcome"], "taken");
    let body = bob.store.inner.read(|tx| tx.select("SELECT transfer FROM offline_offer", &[])).await.unwrap();
    let transfer = feiqian_wire::codec::decode(body[0].blob(0).unwrap(), feiqian_wire::codec::Limit::Large);
    world.expose(&transfer.unwrap());
    bob.open().await.sync_members().await.unwrap();
    let uri = Carried::Request(world.till_request(200)).to_uri().unwrap();
    let refused = run(&bob, json!({"command": "pay_offline", "request": uri})).await.unwrap_err();
    assert_eq!((refused.code, bob.audited_offline().await), (Code::InsufficientFunds, (200, 0)));
    run(&bob, json!({"command": "deposit_offline", "amount": "2"})).await.unwrap();
    assert_eq!((bob.account(), bob.audited_offline().await), (200, (0, 0)));
    // So it is with coins in their last day.
    world.advance(PAY_DAYS * DAY - 3_600);
    let uri = Carried::Request(world.till_request(100)).to_uri().unwrap();
    let refused = run(&alice, json!({"command": "pay_offline", "request": uri})).await.unwrap_err();
    assert_eq!(refused.code, Code::InsufficientFunds);
    run(&alice, json!({"command": "deposit_offline", "amount": "1"})).await.unwrap();
    assert_eq!((alice.account(), world.state().offline.charged), (9_100, 0));
}

#[tokio::test]
async fn the_audit_finds_a_second_answer_and_a_wrong_rest() {
    use feiqian_wallet::offline::tables::{OFFLINE_ANSWER, OFFLINE_COIN};
    let (world, alice) = funded("10").await;
    let uri = Carried::Request(world.till_request(37)).to_uri().unwrap();
    run(&alice, json!({"command": "pay_offline", "request": uri})).await.unwrap();
    let damage = |tx: &mut dyn Tx| {
        let answers = tx.select("SELECT message, node, challenge, owner FROM offline_answer", &[])?;
        let mut values = answers[0].0.clone();
        values[1] = Stored::from(if answers[0].unsigned(1)? == 1 { 2_u32 } else { 1 });
        tx.insert(&OFFLINE_ANSWER, &values)?;
        let sql =
            format!("SELECT {} FROM offline_coin WHERE rest = worth LIMIT 1", OFFLINE_COIN.column_list());
        let mut values = tx.select(&sql, &[])?[0].0.clone();
        values[6] = Stored::from(0_u32);
        tx.update(&OFFLINE_COIN, &values)?;
        Ok::<_, StoreError>(())
    };
    alice.store.inner.commit("test.damage", damage).await.unwrap();
    let found = alice.audit().await.findings;
    let of = |detail: &str| found.iter().filter(|finding| finding.detail.contains(detail)).count();
    assert_eq!((of("answered twice"), of("its rest")), (1, 2), "{found:?}");
}

#[tokio::test]
async fn a_bank_that_restarts_gets_another_session() {
    let (world, alice) = funded("1").await;
    world.state().offline.trick = OfflineTrick::Restarted;
    run(&alice, json!({"command": "withdraw_offline", "amount": "2"})).await.unwrap();
    assert_eq!((alice.account(), alice.audited_offline().await), (9_700, (300, 0)));
}

#[tokio::test]
async fn a_wallet_made_from_its_words_spends_nothing_old_and_reclaims_it() {
    let (world, alice) = funded("5").await;
    let request = world.till_request(200);
    let uri = Carried::Request(request.clone()).to_uri().unwrap();
    let paid = run(&alice, json!({"command": "pay_offline", "request": uri})).await.unwrap();
    // The store is lost; the words make a new one. Its first withdrawal shows that there was another.
    let fresh = Owner::over(&world, "alice", 0, Fragile::in_memory());
    run(&fresh, json!({"command": "withdraw_offline", "amount": "1"})).await.unwrap();
    assert_eq!((fresh.account(), fresh.audited_offline().await), (9_400, (100, 500)));
    let uri = Carried::Request(world.till_request(150)).to_uri().unwrap();
    let poor = run(&fresh, json!({"command": "pay_offline", "request": uri})).await.unwrap_err();
    assert_eq!(poor.code, Code::InsufficientFunds, "no share of an old coin, ever");
    let balance = offline_balance(&fresh).await;
    assert_eq!((balance["balance"].as_str(), balance["reclaimable"].as_str()), (Some("1.00"), Some("5.00")));
    // What was spent and not deposited yet beats the claim.
    world.advance(DEPOSIT_DAYS * DAY);
    let filed = run(&fresh, json!({"command": "reclaim"})).await.unwrap();
    assert_eq!((filed["filed"].as_str(), filed["paid"].as_str()), (Some("6.00"), Some("0.00")));
    assert!(matches!(world.till_deposit(&request, payment(&paid)), Outcome::Settled(_)));
    world.advance((RECLAIM_DAYS - DEPOSIT_DAYS) * DAY);
    let decided = run(&fresh, json!({"command": "reclaim"})).await.unwrap();
    assert_eq!((decided["paid"].as_str(), decided["waiting"].as_str()), (Some("4.00"), Some("0.00")));
    assert_eq!((fresh.account(), world.state().offline.shop), (9_800, 200));
}

#[tokio::test]
async fn a_store_put_back_to_an_older_state_is_found_out_and_frozen() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let (path, backup) = (dir.path().join("store.db"), dir.path().join("backup.db"));
    let open = |path: &std::path::Path| {
        let options = feiqian_store::Options::new("wallet");
        let store = feiqian_store::SqliteStore::open(path, feiqian_wallet::tables::TABLES, options).unwrap();
        Owner::over(&world, "alice", 10_000, Fragile::new(Arc::new(store)))
    };
    {
        let alice = open(&path);
        run(&alice, json!({"command": "withdraw_offline", "amount": "5"})).await.unwrap();
    }
    for ending in ["", "-wal"] {
        let named = |path: &std::path::Path| format!("{}{ending}", path.display());
        if std::path::Path::new(&named(&path)).exists() {
            std::fs::copy(named(&path), named(&backup)).unwrap();
        }
    }
    {
        let alice = open(&path);
        let uri = Carried::Request(world.till_request(200)).to_uri().unwrap();
        run(&alice, json!({"command": "pay_offline", "request": uri})).await.unwrap();
        run(&alice, json!({"command": "withdraw_offline", "amount": "1"})).await.unwrap();
    }
    let alice = open(&backup);
    assert_eq!(alice.audited_offline().await, (500, 0), "the old state cannot know");
    run(&alice, json!({"command": "restore_offline"})).await.unwrap();
    assert_eq!(alice.audited_offline().await, (0, 600));
    let uri = Carried::Request(world.till_request(100)).to_uri().unwrap();
    let poor = run(&alice, json!({"command": "pay_offline", "request": uri})).await.unwrap_err();
    assert_eq!(poor.code, Code::InsufficientFunds);
}

#[tokio::test]
async fn what_was_never_deposited_is_claimed_by_who_holds_it() {
    let (world, alice) = funded("8").await;
    let bob = Owner::new(&world, "bob", 0);
    run(&bob, json!({"command": "blanks", "count": 12})).await.unwrap();
    hand_over(&alice, &bob, "2").await;
    world.advance(PAY_DAYS * DAY);
    let uri = Carried::Request(world.till_request(100)).to_uri().unwrap();
    let late = run(&alice, json!({"command": "pay_offline", "request": uri})).await.unwrap_err();
    assert_eq!(late.code, Code::InsufficientFunds, "expired coins do not pay");
    assert_eq!(offline_balance(&alice).await["reclaimable"], "6.00");
    let early = run(&alice, json!({"command": "reclaim"})).await.unwrap();
    assert_eq!((early["filed"].as_str(), early["waiting"].as_str()), (Some("0.00"), Some("0.00")));
    world.advance((DEPOSIT_DAYS - PAY_DAYS) * DAY);
    // Alice claims all that she ever had; Bob's chains are longer.
    let filed = run(&alice, json!({"command": "reclaim", "everything": true})).await.unwrap();
    assert_eq!(filed["filed"], "8.00");
    let filed = run(&bob, json!({"command": "reclaim"})).await.unwrap();
    assert_eq!(filed["filed"], "2.00");
    world.advance((RECLAIM_DAYS - DEPOSIT_DAYS) * DAY);
    let paid = run(&bob, json!({"command": "reclaim"})).await.unwrap();
    assert_eq!((paid["paid"].as_str(), bob.account()), (Some("2.00"), 200));
    let paid = run(&alice, json!({"command": "reclaim"})).await.unwrap();
    assert_eq!((paid["paid"].as_str(), alice.account()), (Some("6.00"), 9_800));
    let again = run(&bob, json!({"command": "reclaim"})).await.unwrap();
    assert_eq!((again["paid"].as_str(), bob.account()), (Some("2.00"), 200), "once");
}
