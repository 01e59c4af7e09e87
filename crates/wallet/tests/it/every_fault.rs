//! The wallet dies before and after each commit of what other tests do not kill: payees that refuse, delay or are never
//! reached, requests and files, sessions that end void, stores that were put back, cheques that are refused. Afterwards the
//! owner repeats the command, and owns what there is to own.

use std::collections::BTreeSet;
use std::sync::Arc;

use feiqian_store::{Options, SqliteStore};
use feiqian_wallet::RefreshPolicy;
use serde_json::{Value, json};

use crate::crashes::{Cut, interrupt};
use crate::flows::{balance, run};
use crate::offline::{funded, hand_over};
use crate::offline_bank::{DEPOSIT_DAYS, OfflineTrick, RECLAIM_DAYS};
use crate::world::{DAY, Fragile, Owner, Trick, World};

/// What a test is about: the world, who acts, and what to look into.
struct Scene {
    world: Arc<World>,
    owner: Owner,
    /// Whom the owner deals with, if that is somebody with a wallet.
    other: Option<Owner>,
    command: Value,
    dir: tempfile::TempDir,
}

impl Scene {
    fn new(world: Arc<World>, owner: Owner, command: Value) -> Self {
        Self { world, owner, other: None, command, dir: tempfile::tempdir().unwrap() }
    }

    /// Alice with so much in her wallet and nothing on her account; her command comes later.
    async fn with(amount: &str) -> Self {
        let world = World::new();
        let alice = Owner::new(&world, "alice", 1_000);
        run(&alice, json!({"command": "withdraw", "amount": amount})).await.unwrap();
        Self::new(world, alice, Value::Null)
    }

    fn pays(mut self, minor: u64, trick: Trick) -> Self {
        let uri = self.world.shop_request(minor, 600).to_uri().unwrap();
        self.command = json!({"command": "pay", "uri": uri});
        self.world.state().trick = trick;
        self
    }

    /// Bob acts, and Alice is whom he deals with.
    fn turned(mut self) -> Self {
        let bob = Owner::new(&self.world, "bob", 0);
        self.other = Some(std::mem::replace(&mut self.owner, bob));
        self
    }

    /// What the other one answers.
    async fn other(&self, command: Value) -> Value {
        run(self.other.as_ref().unwrap(), command).await.unwrap()
    }

    async fn again(&self) -> Result<Value, feiqian_wire::Fault> {
        run(&self.owner, self.command.clone()).await
    }

    /// The owner's coins and the wallet's own view of them; nobody spent anything twice.
    async fn owns(&self, minor: u64, place: &str) {
        let shown = (format!("{}.{:02}", minor / 100, minor % 100), "0.00".to_owned());
        assert_eq!(balance(&self.owner).await, shown, "{place}");
        assert_eq!((self.owner.audited().await, self.world.violations()), (minor, 0), "{place}");
    }
}

/// Kills at each commit of the command, before it and after it, each time in a fresh world; `points` must be among those.
async fn killed_everywhere(
    points: &[&'static str],
    prepare: impl AsyncFn() -> Scene,
    check: impl AsyncFn(&Scene, &str),
) {
    let mut met = BTreeSet::new();
    for after in [false, true] {
        for number in 1..80 {
            let scene = prepare().await;
            let cut = if after { Cut::After(number) } else { Cut::Before(number) };
            if !interrupt(&scene.owner, cut, scene.command.clone()).await {
                assert!(number > 1, "{} commits nothing", scene.command);
                break;
            }
            let point = *scene.owner.store.point.lock().unwrap();
            met.insert((point, after));
            check(&scene, &format!("{cut:?}: {point}")).await;
        }
    }
    for point in points {
        assert!(met.contains(&(*point, false)) && met.contains(&(*point, true)), "{point}: {met:?}");
    }
}

/// What a payee does not take comes back after the request's time; until then the same again is told `outcome`.
async fn comes_back(points: &[&'static str], trick: Trick, outcome: Option<&str>) {
    let prepare = async || Scene::with("10").await.pays(333, trick);
    killed_everywhere(points, prepare, async |scene, place| {
        let told = scene.again().await.ok();
        assert_eq!(told.as_ref().and_then(|told| told["outcome"].as_str()), outcome, "{place}");
        scene.world.advance(601);
        scene.world.state().trick = Trick::None;
        run(&scene.owner, json!({"command": "refresh"})).await.unwrap();
        scene.owns(1_000, place).await;
    })
    .await;
}

#[tokio::test]
async fn a_payment_that_waits_at_the_payee_comes_back_after_its_time() {
    comes_back(&["wallet.pay.sign", "wallet.pay.taken"], Trick::ShopPending, Some("pending")).await;
}

#[tokio::test]
async fn a_payment_that_is_refused_comes_back_after_its_time() {
    comes_back(&["wallet.pay.refused"], Trick::ShopRefuses, None).await;
}

#[tokio::test]
async fn a_payment_that_never_arrived_lapses_once() {
    let prepare = async || {
        let mut scene = Scene::with("10").await.pays(333, Trick::None);
        scene.world.state().down.insert("https://shop:1");
        assert!(scene.again().await.is_err());
        scene.world.state().down.clear();
        scene.world.advance(601);
        scene.command = json!({"command": "refresh"});
        scene
    };
    killed_everywhere(&["wallet.pay.lapse", "wallet.refresh.sign"], prepare, async |scene, place| {
        scene.again().await.unwrap();
        scene.owns(1_000, place).await;
        assert_eq!(scene.world.deposited(), 0, "{place}");
    })
    .await;
}

#[tokio::test]
async fn a_payment_whose_answer_was_lost_is_settled_by_the_banks_word() {
    let prepare = async || {
        let mut scene = Scene::with("10").await.pays(333, Trick::None);
        scene.world.state().lose_path = Some("/v1/pay");
        assert!(scene.again().await.is_err());
        scene.world.state().lose_path = None;
        // The payee cannot be asked any more, and the request has expired.
        scene.world.state().down.insert("https://shop:1");
        scene.world.advance(601);
        scene.command = json!({"command": "refresh"});
        scene
    };
    killed_everywhere(&["wallet.pay.settle"], prepare, async |scene, place| {
        scene.again().await.unwrap();
        scene.owns(667, place).await;
        assert_eq!(scene.world.deposited(), 333, "{place}");
    })
    .await;
}

#[tokio::test]
async fn a_request_is_made_once_for_each_answer() {
    let prepare = async || {
        let mut scene = Scene::with("10").await.turned();
        scene.command = json!({"command": "request", "amount": "3.33"});
        scene
    };
    let points = ["wallet.request.number", "wallet.request.keep"];
    killed_everywhere(&points, prepare, async |scene, place| {
        // Whoever saw no request makes another one: each has a key of its own, and one is paid.
        let asked = scene.again().await.unwrap();
        scene.other(json!({"command": "pay", "uri": asked["uri"]})).await;
        run(&scene.owner, json!({"command": "receive"})).await.unwrap();
        scene.owns(333, place).await;
        assert_eq!(scene.other.as_ref().unwrap().audited().await, 667, "{place}");
    })
    .await;
}

#[tokio::test]
async fn a_payment_that_goes_into_a_file_after_all_is_taken_once() {
    let prepare = async || {
        let mut scene = Scene::with("10").await;
        let bob = Owner::new(&scene.world, "bob", 0);
        let asked = run(&bob, json!({"command": "request", "amount": "3.33"})).await.unwrap();
        scene.other = Some(bob);
        scene.world.state().lose_path = Some("/v1/drop/put");
        assert!(run(&scene.owner, json!({"command": "pay", "uri": asked["uri"]})).await.is_err());
        scene.world.state().lose_path = None;
        let out = scene.dir.path().join("payment.json");
        scene.command = json!({"command": "pay", "uri": asked["uri"], "out": out});
        scene
    };
    let points = ["wallet.pay.redirect", "wallet.pay.delivered"];
    killed_everywhere(&points, prepare, async |scene, place| {
        assert_eq!(scene.again().await.unwrap()["outcome"], "delivered", "{place}");
        let file = scene.dir.path().join("payment.json");
        scene.other(json!({"command": "receive", "path": file})).await;
        run(&scene.owner, json!({"command": "refresh"})).await.unwrap();
        scene.owns(667, place).await;
        assert_eq!(scene.other.as_ref().unwrap().audited().await, 333, "{place}");
    })
    .await;
}

/// Bob has written down a payment of 3.33 by Alice, who took it back when its time was over.
async fn taken_too_late() -> Scene {
    for number in 1..20 {
        let mut scene = Scene::with("10").await.turned();
        let request = json!({"command": "request", "amount": "3.33", "expires_seconds": 600});
        let asked = run(&scene.owner, request).await.unwrap();
        scene.other(json!({"command": "pay", "uri": asked["uri"]})).await;
        scene.command = json!({"command": "receive"});
        assert!(interrupt(&scene.owner, Cut::After(number), scene.command.clone()).await);
        if *scene.owner.store.point.lock().unwrap() == "wallet.receive.take" {
            scene.world.advance(601);
            scene.other(json!({"command": "refresh"})).await;
            let alice = balance(scene.other.as_ref().unwrap()).await;
            assert_eq!(alice, ("10.00".to_owned(), "0.00".to_owned()));
            return scene;
        }
    }
    panic!("no payment was taken")
}

#[tokio::test]
async fn a_receipt_that_came_too_late_is_refused_once() {
    killed_everywhere(&["wallet.receive.refused"], taken_too_late, async |scene, place| {
        let _ = scene.again().await;
        scene.owns(0, place).await;
        let status = run(&scene.owner, json!({"command": "status"})).await.unwrap();
        assert_eq!(status["unfinished"], json!([]), "{place}");
    })
    .await;
}

#[tokio::test]
async fn sessions_that_the_bank_voids_are_begun_anew() {
    let withdraw = async || {
        let world = World::new();
        let alice = Owner::new(&world, "alice", 1_000);
        world.state().trick = Trick::VoidBeforeFinish;
        Scene::new(world, alice, json!({"command": "withdraw", "amount": "10"}))
    };
    killed_everywhere(&["wallet.withdraw.void"], withdraw, async |scene, place| {
        let reported = place.contains("After") && place.ends_with("wallet.withdraw.report");
        if !reported {
            scene.again().await.unwrap();
        }
        scene.owns(1_000, place).await;
        assert_eq!(scene.owner.account(), 0, "{place}");
    })
    .await;
    let pay = async || Scene::with("10").await.pays(333, Trick::VoidBeforeFinish);
    killed_everywhere(&["wallet.refresh.void"], pay, async |scene, place| {
        assert_eq!(scene.again().await.unwrap()["outcome"], "paid", "{place}");
        scene.world.state().trick = Trick::None;
        run(&scene.owner, json!({"command": "refresh"})).await.unwrap();
        scene.owns(667, place).await;
    })
    .await;
    let receive = async || {
        let mut scene = Scene::with("10").await.turned();
        let asked = run(&scene.owner, json!({"command": "request", "amount": "3.33"})).await.unwrap();
        scene.other(json!({"command": "pay", "uri": asked["uri"]})).await;
        scene.world.state().trick = Trick::VoidBeforeFinish;
        scene.command = json!({"command": "receive"});
        scene
    };
    killed_everywhere(&["wallet.receive.void"], receive, async |scene, place| {
        scene.again().await.unwrap();
        scene.owns(333, place).await;
    })
    .await;
    let refund = async || {
        let mut scene = Scene::with("10").await.pays(333, Trick::None);
        let paid = scene.again().await.unwrap();
        scene.world.refund(&serde_json::from_value(paid["payment"].clone()).unwrap(), 33);
        scene.world.state().trick = Trick::VoidBeforeFinish;
        scene.command = json!({"command": "refresh"});
        scene
    };
    let points = ["wallet.refund.plan", "wallet.refund.sign", "wallet.refund.void"];
    killed_everywhere(&points, refund, async |scene, place| {
        // What the bank voids now is asked for by the next refresh.
        let _ = scene.again().await;
        scene.again().await.unwrap();
        scene.owns(700, place).await;
    })
    .await;
}

#[tokio::test]
async fn an_offline_session_that_the_bank_voids_is_begun_anew() {
    let prepare = async || {
        let world = World::new();
        let alice = Owner::new(&world, "alice", 1_000);
        run(&alice, json!({"command": "withdraw_offline", "amount": "1"})).await.unwrap();
        world.state().offline.trick = OfflineTrick::Restarted;
        Scene::new(world, alice, json!({"command": "withdraw_offline", "amount": "2"}))
    };
    killed_everywhere(&["wallet.offline.void"], prepare, async |scene, place| {
        let reported = place.contains("After") && place.ends_with("wallet.offline.report");
        if !reported {
            scene.again().await.unwrap();
        }
        assert_eq!((scene.owner.account(), scene.owner.audited_offline().await), (700, (300, 0)), "{place}");
    })
    .await;
}

/// Alice's wallet on a copy that was made of its store before she did `after_copy`.
async fn put_back(world: &Arc<World>, before: &[Value], after_copy: &[Value]) -> (Owner, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let open = |file: &str| {
        let path = dir.path().join(file);
        let store = SqliteStore::open(path, feiqian_wallet::tables::TABLES, Options::new("wallet")).unwrap();
        let mut owner = Owner::over(world, "alice", 1_000, Fragile::new(Arc::new(store)));
        owner.refresh = RefreshPolicy::Lazy;
        owner
    };
    {
        let alice = open("store.db");
        for command in before {
            run(&alice, command.clone()).await.unwrap();
        }
    }
    for name in ["store.db", "store.db-wal"] {
        let from = dir.path().join(name);
        if from.exists() {
            std::fs::copy(&from, dir.path().join(name.replace("store", "old"))).unwrap();
        }
    }
    {
        let alice = open("store.db");
        for command in after_copy {
            run(&alice, command.clone()).await.unwrap();
        }
    }
    let mut old = open("old.db");
    old.evidence_dir = Some(dir.path().to_path_buf());
    (old, dir)
}

#[tokio::test]
async fn a_store_put_back_is_frozen_whenever_it_dies() {
    let prepare = async || {
        let world = World::new();
        // The first session was begun and never answered, the second was.
        world.state().offline.trick = OfflineTrick::Restarted;
        let withdraw = json!({"command": "withdraw_offline", "amount": "5"});
        let (owner, dir) = put_back(&world, &[json!({"command": "balance"})], &[withdraw]).await;
        Scene { world, owner, other: None, command: json!({"command": "restore_offline"}), dir }
    };
    killed_everywhere(&["wallet.offline.freeze"], prepare, async |scene, place| {
        scene.again().await.unwrap();
        assert_eq!(
            scene.owner.audited_offline().await,
            (0, 500),
            "{place}: nothing old is spent, all is claimed"
        );
    })
    .await;
}

#[tokio::test]
async fn evidence_against_a_store_put_back_is_kept_once() {
    let prepare = async || {
        let world = World::new();
        let pay = |minor| json!({"command": "pay", "uri": world.shop_request(minor, 600).to_uri().unwrap()});
        let withdraw = json!({"command": "withdraw", "amount": "5.12"});
        let (command, first) = (pay(511), pay(512));
        let (owner, dir) = put_back(&world, &[withdraw], &[first]).await;
        Scene { world, owner, other: None, command, dir }
    };
    killed_everywhere(&["wallet.evidence.keep"], prepare, async |scene, place| {
        assert!(scene.again().await.is_err(), "{place}: it stays refused");
        let files = std::fs::read_dir(scene.dir.path()).unwrap();
        let evidence = files.filter(|file| {
            file.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "json")
        });
        assert_eq!(evidence.count(), 1, "{place}");
        assert_eq!(scene.world.deposited(), 512, "{place}");
    })
    .await;
}

#[tokio::test]
async fn a_refused_cheque_and_what_the_register_says_are_kept_once() {
    let prepare = async || {
        let world = World::new();
        let alice = Owner::new(&world, "alice", 1_000);
        alice.open().await;
        Owner::new(&world, "bob", 0).open().await;
        run(&alice, json!({"command": "cheque_book", "leaves": 3})).await.unwrap();
        let mut scene = Scene::new(world, alice, Value::Null);
        let out = scene.dir.path().join("cheque");
        scene.command = json!({"command": "cheque_write", "to": "north/bob", "amount": "20", "certify": true, "out": out});
        scene
    };
    killed_everywhere(&["wallet.cheque.refused"], &prepare, async |scene, place| {
        assert!(scene.again().await.is_err(), "{place}: it stays refused");
        let list = run(&scene.owner, json!({"command": "cheque_list"})).await.unwrap();
        let cheques = list["cheques"].as_array().unwrap();
        assert!(cheques.iter().all(|cheque| cheque["state"] == "REFUSED"), "{place}: {list}");
        assert_eq!(scene.owner.account(), 1_000, "{place}");
        assert!(!scene.dir.path().join("cheque").exists(), "{place}: nothing is handed out");
    })
    .await;
    let prepare = async || {
        let mut scene = prepare().await;
        let out = scene.dir.path().join("cheque");
        let write = json!({"command": "cheque_write", "to": "north/bob", "amount": "5", "out": out});
        run(&scene.owner, write).await.unwrap();
        scene.command = json!({"command": "cheque_list"});
        scene
    };
    killed_everywhere(&["wallet.cheque.register"], prepare, async |scene, place| {
        let list = scene.again().await.unwrap();
        assert_eq!(list["cheques"].as_array().map(Vec::len), Some(1), "{place}: {list}");
        assert_eq!((&list["register"], &list["leaves"]), (&json!("current"), &json!(2)), "{place}");
    })
    .await;
}

#[tokio::test]
async fn what_was_received_is_claimed_once_whichever_message_its_holder_dies_over() {
    for answered in [false, true] {
        let mut steps = 0;
        for number in 1..20 {
            let (world, alice) = funded("1").await;
            let bob = Owner::new(&world, "bob", 0);
            run(&bob, json!({"command": "blanks", "count": 4})).await.unwrap();
            hand_over(&alice, &bob, "0.32").await;
            world.advance(DEPOSIT_DAYS * DAY);
            let cut = if answered { Cut::Answered(number) } else { Cut::Send(number) };
            if !interrupt(&bob, cut, json!({"command": "reclaim"})).await {
                break;
            }
            steps += 1;
            run(&bob, json!({"command": "reclaim"})).await.unwrap();
            world.advance((RECLAIM_DAYS - DEPOSIT_DAYS) * DAY);
            let done = run(&bob, json!({"command": "reclaim"})).await.unwrap();
            assert_eq!((done["paid"].as_str(), bob.account()), (Some("0.32"), 32), "{number}, {answered}");
        }
        assert!(steps >= 2, "cut at {steps} places");
    }
}
