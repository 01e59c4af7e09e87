//! Cheques and transfers under gross settlement: paid, returned, lost, duplicated, queued, resolved.

use std::sync::Arc;
use std::time::Duration;

use feiqian_center::{Caps, Settlement};
use feiqian_cheque::messages::{ChequeItem, ChequeOutcome, Document, VerifyRequest, VerifyResponse};
use feiqian_cheque::{ReturnCode, State};
use feiqian_clearing::presentment::{ItemKind, Presented, Presentment};
use feiqian_clearing::remittance::{TransferItem, TransferOutcome, TransferReturn, TransferTerms};
use feiqian_crypto::Digest;
use feiqian_node::{Caller, Target, call};
use feiqian_online_cash::signed::WireChain;
use feiqian_store::testing::{Lives, MortalStore, killed_everywhere};
use feiqian_wire::error::Code;
use feiqian_wire::{Bounded, Name, Text, Timestamp, U64};
use serde_json::json;

use crate::bank::{Account, TestBank, amount};
use crate::cheque::present;
use crate::wires::{NodeWires, Trouble};
use crate::world::{NOW, World};

/// Alice of north draws on her account for Bob of south.
pub(crate) struct Town {
    pub(crate) world: World,
    pub(crate) north: Arc<TestBank>,
    pub(crate) south: Arc<TestBank>,
    pub(crate) west: Arc<TestBank>,
    pub(crate) alice: Account,
    pub(crate) bob: Account,
    pub(crate) carol: Account,
}

impl Town {
    pub(crate) async fn new(settlement: Settlement, caps: Caps, funding: &str) -> Self {
        let world = World::clearing(settlement, caps, funding).await;
        let (north, south) = (world.bank("north").await, world.bank("south").await);
        let west = world.bank("west").await;
        world.center.collect_lists().await;
        let (alice, bob, carol) = (north.account("alice"), south.account("bob"), west.account("carol"));
        Self { world, north, south, west, alice, bob, carol }
    }

    pub(crate) async fn gross(funding: &str) -> Self {
        Self::new(Settlement::Gross, Caps::Prefunded, funding).await
    }

    pub(crate) fn cheque(&self, minor: u64, number: u64) -> Presentment<ChequeItem> {
        self.bob.deposit(self.alice.cheque(&self.bob, minor, number, false))
    }

    pub(crate) async fn settlements(&self) -> [String; 3] {
        let world = &self.world;
        [world.settlement("north").await, world.settlement("south").await, world.settlement("west").await]
    }

    pub(crate) async fn restart_on(&mut self, store: Arc<MortalStore>) -> bool {
        let alive = self.world.restart_on(store as _).await.is_ok();
        if alive {
            for bank in [&self.north, &self.south, &self.west] {
                bank.follow(&self.world);
            }
        }
        alive
    }
}

#[tokio::test]
async fn a_cheque_is_paid_settled_and_both_banks_are_told() {
    let town = Town::gross("1000").await;
    let cheque = town.cheque(25_000, 1);
    let first = present(&town.south, &cheque).await.unwrap();
    assert!(matches!(first, ChequeOutcome::Paid(_)), "{first:?}");
    assert_eq!(present(&town.south, &cheque).await.unwrap(), first);
    assert_eq!(town.settlements().await, ["750.00", "1250.00", "1000.00"]);
    town.world.wires.trouble("/v1/settled", &[Trouble::AnswerLost, Trouble::Unreachable]);
    assert!(!town.world.center.tell_banks().await.unwrap());
    assert!(town.world.center.tell_banks().await.unwrap());
    assert_eq!(town.north.told(&cheque), Some((0, true)));
    assert_eq!(town.south.told(&cheque), Some((0, true)));
    assert_eq!(town.west.told(&cheque), None);
    town.world.assert_sound().await;
}

/// On a paused clock: an idle center looks around every half minute, and an hour has passed.
#[tokio::test]
async fn an_idle_center_tells_the_banks_at_once() {
    tokio::time::pause();
    let town = Town::gross("1000").await;
    let shutdown = feiqian_node::Shutdown::new();
    let service: Arc<dyn feiqian_node::Service> = Arc::clone(&town.world.center) as _;
    let task = tokio::spawn(service.background(shutdown.clone()));
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    for number in 1..=3 {
        let cheque = town.cheque(25_000, number);
        present(&town.south, &cheque).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(town.north.told(&cheque), Some((0, true)));
        assert_eq!(town.south.told(&cheque), Some((0, true)));
    }
    shutdown.trigger();
    task.await.unwrap();
    town.world.assert_sound().await;
}

#[tokio::test]
async fn a_bounced_cheque_comes_back_with_its_code_and_moves_nothing() {
    let town = Town::gross("1000").await;
    *town.north.bounce.lock().unwrap() = Some(ReturnCode::InsufficientFunds);
    // More than the bank has: what its drawer cannot pay keeps nobody waiting.
    let cheque = town.cheque(5_000_000, 1);
    let outcome = present(&town.south, &cheque).await.unwrap();
    assert!(matches!(outcome, ChequeOutcome::Returned(ReturnCode::InsufficientFunds, _)), "{outcome:?}");
    assert_eq!(present(&town.south, &cheque).await.unwrap(), outcome);
    assert_eq!(town.settlements().await, ["1000.00", "1000.00", "1000.00"]);
    town.world.assert_sound().await;
}

#[tokio::test]
async fn a_broken_cheque_never_reaches_the_drawee() {
    let town = Town::gross("1000").await;
    let mut cheque = town.cheque(25_000, 1);
    let mut bundle = feiqian_cheque::Bundle::from_bytes(&cheque.item.cheque).unwrap();
    let mut blocks = bundle.blocks.clone().into_vec();
    blocks[1].signature = blocks[0].signature.clone();
    bundle.blocks = Bounded::new(blocks).unwrap();
    cheque.item.cheque = Document::new(bundle.to_bytes().unwrap()).unwrap();
    let digest = cheque.item.digest().unwrap();
    let cheque = Presentment::new(
        cheque.collecting_bank,
        cheque.account,
        cheque.amount,
        ItemKind::Cheque,
        &digest,
        cheque.item,
    );
    let outcome = present(&town.south, &cheque).await.unwrap();
    assert!(matches!(outcome, ChequeOutcome::Returned(ReturnCode::SignatureInvalid, _)), "{outcome:?}");
    assert_eq!(town.north.paid_cheques(), 0);
    town.world.assert_sound().await;
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_until_it_comes() {
    let mut town = Town::gross("1000").await;
    let cheque = town.cheque(25_000, 1);
    town.world.wires.trouble("/v1/pay/cheque", &[Trouble::AnswerLost, Trouble::Unreachable]);
    assert_eq!(present(&town.south, &cheque).await.unwrap_err().code, Code::Unavailable);
    assert_eq!(town.north.paid_cheques(), 1, "it was paid");
    town.world.assert_sound().await;
    let disk = Arc::new(MortalStore::new(Arc::clone(&town.world.disk), None));
    assert!(town.restart_on(disk).await);
    town.world.turn().await;
    town.world.turn().await;
    assert!(matches!(present(&town.south, &cheque).await.unwrap(), ChequeOutcome::Paid(_)));
    assert_eq!(town.settlements().await, ["750.00", "1250.00", "1000.00"]);
    assert_eq!(town.north.paid_cheques(), 1);
    town.world.assert_sound().await;
}

#[tokio::test]
async fn of_two_banks_that_present_one_cheque_at_once_one_is_paid() {
    let town = Town::gross("1000").await;
    let cheque = town.alice.cheque(&town.bob, 25_000, 1, true);
    let copy = town.bob.endorse(cheque.clone(), &town.carol);
    let (at_south, at_west) = (town.bob.deposit(cheque), town.carol.deposit(copy));
    let (first, second) = tokio::join!(present(&town.south, &at_south), present(&town.west, &at_west));
    let outcomes = [first.unwrap(), second.unwrap()];
    let paid = outcomes.iter().filter(|it| matches!(it, ChequeOutcome::Paid(_))).count();
    let duplicate = |it: &&ChequeOutcome| matches!(it, ChequeOutcome::Returned(ReturnCode::Duplicate, _));
    assert_eq!((paid, outcomes.iter().filter(duplicate).count()), (1, 1), "{outcomes:?}");
    assert_eq!(town.world.settlement("north").await, "750.00");
    town.world.assert_sound().await;
}

#[tokio::test]
async fn a_gridlock_of_three_banks_is_resolved() {
    let town = Town::gross("0").await;
    let (first, second) =
        (town.cheque(5_000, 1), town.carol.deposit(town.bob.cheque(&town.carol, 5_000, 1, false)));
    let third = town.alice.deposit(town.carol.cheque(&town.alice, 4_999, 1, false));
    for (bank, cheque) in [(&town.south, &first), (&town.west, &second), (&town.north, &third)] {
        assert_eq!(present(bank, cheque).await.unwrap_err().code, Code::SettlementFailed, "it is queued");
        town.world.assert_sound().await;
    }
    let positions = town.world.command(json!({"command": "positions"})).await.unwrap();
    assert_eq!(positions["banks"][0]["queued"], "50.00");
    // One cent of cover, and all three go together.
    let fund = json!({"command": "fund", "bank": "north", "amount": "0.01", "funding": null});
    town.world.command(fund).await.unwrap();
    for (bank, cheque) in [(&town.south, &first), (&town.west, &second), (&town.north, &third)] {
        assert!(matches!(present(bank, cheque).await.unwrap(), ChequeOutcome::Paid(_)));
    }
    assert_eq!(town.settlements().await, ["0.00", "0.00", "0.01"]);
    town.world.turn().await;
    assert_eq!(town.west.told(&third), Some((0, true)));
    town.world.assert_sound().await;
}

#[tokio::test]
async fn killed_at_any_commit_of_a_presentment_it_ends_paid_once() {
    let points = killed_everywhere(clear).await;
    let wanted = ["center.present.reserve", "center.present.outcome", "center.notice.told"];
    assert!(wanted.iter().all(|point| points.contains(point)), "{points:?}");
}

async fn clear(lives: Lives) {
    let mut town = Town::gross("1000").await;
    let cheque = town.cheque(25_000, 1);
    for _ in 0..6 {
        if town.restart_on(lives.next(Arc::clone(&town.world.disk))).await {
            town.world.turn().await;
            let _ = present(&town.south, &cheque).await;
            town.world.turn().await;
        }
        town.world.assert_sound().await;
        if town.north.told(&cheque).is_some() && town.south.told(&cheque).is_some() {
            break;
        }
    }
    let alive = Arc::new(MortalStore::new(Arc::clone(&town.world.disk), None));
    assert!(town.restart_on(alive).await);
    assert!(matches!(present(&town.south, &cheque).await.unwrap(), ChequeOutcome::Paid(_)));
    assert_eq!((town.north.told(&cheque), town.south.told(&cheque)), (Some((0, true)), Some((0, true))));
    assert_eq!(town.settlements().await, ["750.00", "1250.00", "1000.00"]);
    assert_eq!(town.north.paid_cheques(), 1);
}

#[tokio::test]
async fn the_verification_service_judges_a_batch_and_asks_the_register() {
    let town = Town::gross("1000").await;
    let paid = town.cheque(25_000, 1);
    present(&town.south, &paid).await.unwrap();
    let fresh = town.alice.cheque(&town.bob, 100, 2, false);
    let mut altered = fresh.clone();
    let mut blocks = altered.blocks.clone().into_vec();
    blocks[1].signature = blocks[0].signature.clone();
    altered.blocks = Bounded::new(blocks).unwrap();
    let file = |bundle: &feiqian_cheque::Bundle| Document::new(bundle.to_bytes().unwrap()).unwrap();
    let files = vec![paid.item.cheque.clone(), file(&fresh), file(&altered), Document::new(*b"{}").unwrap()];
    let request = VerifyRequest { cheques: Bounded::new(files).unwrap() };
    let wires = NodeWires { wires: Arc::clone(&town.world.wires), own: None };
    let center = Target::anyone(town.world.center.config().url.clone());
    let verify = async || -> VerifyResponse {
        call(&wires, &center, Caller::Anonymous, "/v1/cheque/verify", &request).await.unwrap()
    };
    let verdicts = verify().await.verdicts;
    let good: Vec<bool> = verdicts.iter().map(|it| it.good).collect();
    assert_eq!(good, [true, true, false, false]);
    assert_eq!(verdicts[0].register, Some(State::Paid));
    assert_eq!(verdicts[1].register, None);
    assert_eq!(verdicts[2].code, Some(ReturnCode::SignatureInvalid));
    assert_eq!(verdicts[3].code, Some(ReturnCode::Altered));
    town.world.wires.trouble("/v1/cheque/state", &[Trouble::Unreachable]);
    let verdicts = verify().await.verdicts;
    assert!(verdicts[0].good, "the document is judged without the drawee, too");
    assert_eq!(verdicts[0].register, None);
}

#[tokio::test]
async fn a_transfer_is_booked_once_and_an_altered_one_returned() {
    let town = Town::gross("1000").await;
    let terms = |to_bank: &str| TransferTerms {
        id: Digest([1; 32]),
        bank: Name::new("north").unwrap(),
        account: Text::new("alice").unwrap(),
        to_bank: Name::new(to_bank).unwrap(),
        to_account: Text::new("bob").unwrap(),
        amount: amount(3_000),
        memo: Text::new("rent").unwrap(),
    };
    let item = |terms: TransferTerms| {
        let order = terms.sign(&town.alice.key).unwrap();
        let chain = WireChain::from_chain(&town.alice.chain).unwrap().0;
        TransferItem::sign(order, chain, U64(1), Timestamp::new(NOW), &town.north.signer).unwrap()
    };
    let presentment = |item: TransferItem| {
        let terms = item.order.terms.clone();
        let digest = terms.digest();
        Presentment::new(terms.bank, terms.account, terms.amount, ItemKind::Transfer, &digest, item)
    };
    let send = async |item: TransferItem| -> TransferOutcome {
        let presented: Presented<TransferOutcome> =
            town.north.ask("/v1/present/transfer", &presentment(item)).await.unwrap();
        presented.outcome
    };
    assert_eq!(send(item(terms("south"))).await, TransferOutcome::Booked);
    assert_eq!(send(item(terms("south"))).await, TransferOutcome::Booked);
    assert_eq!(town.south.books.lock().unwrap().credited.len(), 1);
    assert_eq!(town.settlements().await, ["970.00", "1030.00", "1000.00"]);
    let mut altered = item(TransferTerms { id: Digest([2; 32]), ..terms("south") });
    altered.sequence = U64(9);
    assert_eq!(send(altered).await, TransferOutcome::Returned(TransferReturn::SignatureInvalid));
    let nowhere = item(TransferTerms { id: Digest([3; 32]), ..terms("nowhere") });
    assert_eq!(send(nowhere).await, TransferOutcome::Returned(TransferReturn::WrongBank));
    // More than the bank has: it comes back at once, and holds up nobody.
    let large = item(TransferTerms { id: Digest([4; 32]), amount: amount(97_001), ..terms("south") });
    assert_eq!(send(large).await, TransferOutcome::Returned(TransferReturn::SettlementFailed));
    let fits = item(TransferTerms { id: Digest([5; 32]), amount: amount(97_000), ..terms("south") });
    assert_eq!(send(fits).await, TransferOutcome::Booked);
    town.world.assert_sound().await;
}
