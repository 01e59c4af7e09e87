//! Offline cash at the center: pins, identities, exposed lists, holdings, claims, parts.

use std::sync::Arc;

use feiqian_clearing::presentment::{ItemKind, Presented, Presentment};
use feiqian_crypto::Digest;
use feiqian_money::Currency;
use feiqian_node::{Caller, Target, call};
use feiqian_offline_cash::accusation::{Accusation, Accused, BankAccusation, CustomerAccusation};
use feiqian_offline_cash::claim::{ClaimItem, LoneChain};
use feiqian_offline_cash::deposit::{ClaimTerms, Outcome, Source};
use feiqian_offline_cash::identity::AttestedIdentity;
use feiqian_offline_cash::messages::{
    ClaimOutcome, Exposed, ExposedResponse, OfflinePinEntry, PartItem, PartOutcome, SignedExposed,
};
use feiqian_offline_cash::register::{Deposited, settle};
use feiqian_offline_cash::signed::WireChain;
use feiqian_store::testing::{Lives, killed_everywhere};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, Name, Text};

use crate::bank::{DAY, TestBank, amount, rng};
use crate::offline_world::{Offline, Person, at, digest, keyset, minor, pin_request, presented};
use crate::wires::{NodeWires, Trouble};
use crate::world::NOW;

pub(crate) fn both(north: &str, south: &str) -> [String; 2] {
    [north.to_owned(), south.to_owned()]
}

async fn code<Req: serde::Serialize + Sync + 'static>(bank: &TestBank, path: &str, request: &Req) -> Code {
    bank.ask::<Req, serde_json::Value>(path, request).await.unwrap_err().code
}

#[tokio::test]
async fn a_keyset_is_pinned_once_for_everybody() {
    let mut scene = Offline::new().await;
    let north = Arc::clone(&scene.north.bank);
    let good = pin_request(&north, keyset(&north, 0, Currency::CNY, 1));
    let first: OfflinePinEntry = north.ask("/v1/offline/pin", &good).await.unwrap();
    scene.world.clock.set(at(NOW + 60));
    let again: OfflinePinEntry = north.ask("/v1/offline/pin", &good).await.unwrap();
    assert_eq!(again, first, "also later");

    let path = "/v1/offline/pin";
    assert_eq!(code(&scene.south.bank, path, &good).await, Code::Forbidden);
    let other = pin_request(&north, keyset(&north, 0, Currency::CNY, 7));
    assert_eq!(code(&north, path, &other).await, Code::Conflict);
    let reused = pin_request(&north, keyset(&north, 1, Currency::CNY, 1));
    assert_eq!(code(&north, path, &reused).await, Code::KeysetInvalid);
    let dollars = pin_request(&north, keyset(&north, 1, Currency::USD, 7));
    assert_eq!(code(&north, path, &dollars).await, Code::WrongCurrency);
    let mut forged = pin_request(&north, keyset(&north, 1, Currency::CNY, 7));
    forged.keyset.signature = good.keyset.signature.clone();
    assert_eq!(code(&north, path, &forged).await, Code::SignatureInvalid);

    for _ in 0..2 {
        let seen = scene.synced().await.snapshot();
        let digests: Vec<_> = seen.offline_keys().keysets().iter().map(|keyset| keyset.digest).collect();
        assert_eq!(digests, [scene.north.verified.digest, scene.south.verified.digest]);
        assert_eq!(seen.offline_entries().len(), 2);
        let restored = feiqian_node::MemberView::empty(seen.root().clone());
        let restored = restored.with_offline(seen.offline_entries().to_vec()).unwrap();
        assert_eq!(restored.offline_entries(), seen.offline_entries());
        assert_eq!(restored.with_offline(vec![first.clone()]).unwrap_err().code, Code::KeysetNotPinned);
        scene.world.assert_sound().await;
        scene.world.restart().await;
    }
}

#[tokio::test]
async fn two_rounds_at_a_time_see_one_log() {
    let scene = Offline::new().await;
    let root = scene.world.center.view().root().clone();
    let url = &scene.world.center.config().url;
    let members = feiqian_node::Members::new(feiqian_node::MemberView::empty(root), url);
    let wires = NodeWires { wires: Arc::clone(&scene.world.wires), own: None };
    scene.world.wires.trouble("/v1/offline/pins", &[Trouble::Slow]);
    let (slow, fast) = tokio::join!(members.sync(&wires, at(NOW)), members.sync(&wires, at(NOW)));
    slow.unwrap();
    fast.unwrap();
    assert_eq!(members.snapshot().offline_entries().len(), 2);
}

#[tokio::test]
async fn identity_key_and_account_are_each_in_one_record() {
    let scene = Offline::new().await;
    let north = &scene.north.bank;
    let alice = Person::of(north, "alice", 1);
    let request = alice.request(100);
    let path = "/v1/offline/identity";
    let attested: AttestedIdentity = north.ask(path, &request).await.unwrap();
    assert_eq!(attested.verify(scene.world.center.view().root()).unwrap(), &request.identity.record);
    scene.world.clock.set(at(NOW + 60));
    let again: AttestedIdentity = north.ask(path, &request).await.unwrap();
    assert_eq!(again, attested);
    assert_eq!(code(&scene.south.bank, path, &request).await, Code::Forbidden);

    // Another collateral, another identity for the account, another account with the identity or the key.
    assert_eq!(code(north, path, &alice.request(200)).await, Code::Conflict);
    assert_eq!(code(north, path, &Person::of(north, "alice", 2).request(100)).await, Code::Conflict);
    let mut bob = Person::of(north, "bob", 3);
    bob.secret = alice.secret;
    assert_eq!(code(north, path, &bob.request(100)).await, Code::Conflict);
    let mut carol = Person::of(north, "carol", 4);
    carol.account.key = feiqian_pki::KeyPair::from_seed(&[9; 32]);
    assert_eq!(code(north, path, &carol.request(100)).await, Code::CertificateInvalid);

    // The proof is the registrant's, over this account.
    let (dave, erin) = (Person::of(north, "dave", 5).request(100), Person::of(north, "erin", 6).request(100));
    let mut mixed = dave.clone();
    mixed.registration = erin.registration.clone();
    assert_eq!(code(north, path, &mixed).await, Code::RequestMismatch);
    let mut false_proof = dave.clone();
    false_proof.registration.proof = erin.registration.proof;
    assert_eq!(code(north, path, &false_proof).await, Code::PossessionInvalid);
    let mut unsigned = dave.clone();
    unsigned.identity.signature = erin.identity.signature.clone();
    assert_eq!(code(north, path, &unsigned).await, Code::SignatureInvalid);
    let _: AttestedIdentity = north.ask(path, &dave).await.unwrap();
    scene.world.assert_sound().await;
}

fn listed(bank: &TestBank, as_of: u64, coins: &[Digest]) -> SignedExposed {
    let mut coins = coins.to_vec();
    coins.sort_unstable();
    let bank_name = Name::new(bank.name.clone()).unwrap();
    let list = Exposed { bank: bank_name, as_of: at(as_of), coins: Bounded::new(coins).unwrap() };
    SignedExposed::sign(list, &bank.signer).unwrap()
}

#[tokio::test]
async fn exposed_coins_are_collected_and_shown_to_everybody() {
    let mut scene = Offline::new().await;
    let (north, south) = (Arc::clone(&scene.north.bank), Arc::clone(&scene.south.bank));
    let (one, two) = (digest("one"), digest("two"));
    let path = "/v1/offline/expose";
    let () = north.ask(path, &listed(&north, NOW, &[one])).await.unwrap();
    let () = north.ask(path, &listed(&north, NOW - 1, &[two])).await.unwrap();
    assert_eq!(code(&south, path, &listed(&north, NOW + 1, &[two])).await, Code::Forbidden);
    let mut forged = listed(&north, NOW + 1, &[two]);
    forged.list.coins = Bounded::default();
    assert_eq!(code(&north, path, &forged).await, Code::SignatureInvalid);
    let mut disordered = listed(&north, NOW + 1, &[one, two]);
    disordered.list.coins = Bounded::collect(disordered.list.coins.iter().rev().copied()).unwrap();
    assert_eq!(code(&north, path, &disordered).await, Code::RequestInvalid);
    assert_eq!(code(&north, path, &listed(&north, NOW + DAY, &[])).await, Code::RequestInvalid);

    *south.desk.exposed.lock().unwrap() = Some(listed(&south, NOW, &[two]));
    scene.world.center.collect_exposed().await;
    for _ in 0..2 {
        let seen = scene.synced().await.snapshot();
        assert_eq!(seen.exposed().coins, [one, two].into());
        assert_eq!(seen.exposed().as_of, at(NOW));
        assert_eq!(seen.exposed_lists().len(), 2);
        scene.world.assert_sound().await;
        scene.world.restart().await;
        north.follow(&scene.world);
    }
    let wires = NodeWires { wires: Arc::clone(&scene.world.wires), own: None };
    let center = Target::anyone(scene.world.center.config().url.clone());
    let page: ExposedResponse =
        call(&wires, &center, Caller::Anonymous, "/v1/offline/exposed", &()).await.unwrap();
    assert_eq!(page.lists.len(), 2);
    // A later list replaces: what expired leaves it.
    scene.world.clock.set(at(NOW + 60));
    let () = north.ask(path, &listed(&north, NOW + 60, &[])).await.unwrap();
    assert_eq!(scene.synced().await.snapshot().exposed().coins, [two].into());
}

const UNPAID: Source = Source::Unpaid { claim: Digest([7; 32]) };
const CHARGED: Source = Source::Charged { accusation: Digest([8; 32]) };

/// A payment of 4 with one coin.
fn holding(scene: &Offline) -> Presentment<feiqian_offline_cash::pay::CashItem> {
    let alice = Person::of(&scene.north.bank, "alice", 1);
    let coin = alice.draw(&scene.north, "session", 3);
    presented(scene.pay(coin.unspent(&scene.north), "order"))
}

fn answer(scene: &Offline, id: Digest, outcome: Result<Outcome, Fault>) {
    scene.north.bank.desk.holdings.lock().unwrap().insert(id, outcome);
}

#[tokio::test]
async fn only_what_is_paid_of_a_holding_is_settled() {
    type Parts = [(u64, Source)];
    let cases: [(&Parts, [String; 2]); 3] = [
        (&[(4, Source::Circulation)], both("999.96", "1000.04")),
        (&[(2, Source::Circulation), (1, CHARGED), (1, UNPAID)], both("999.97", "1000.03")),
        (&[(4, UNPAID)], both("1000.00", "1000.00")),
    ];
    for (parts, balances) in cases {
        let scene = Offline::new().await;
        let presentment = holding(&scene);
        scene.world.wires.trouble("/v1/pay/holding", &[Trouble::AnswerLost]);
        let receipt = scene.receipt(&presentment.item, presentment.id, parts);
        answer(&scene, presentment.id, Ok(Outcome::Settled(receipt.clone())));
        assert_eq!(scene.present(&presentment).await.unwrap_err().code, Code::Unavailable);
        scene.world.assert_sound().await;
        let first = scene.present(&presentment).await.unwrap();
        assert_eq!(first.outcome, Outcome::Settled(receipt));
        assert_eq!(scene.present(&presentment).await.unwrap(), first);
        assert_eq!(scene.settlements().await, balances);
        let report = scene.world.audited().await;
        assert_eq!((report.findings, report.forwarded), (vec![], 0));
        assert!(report.settlements.iter().all(|it| it.reserved.is_zero() && it.announced.is_zero()));
    }
}

#[tokio::test]
async fn a_receipt_that_does_not_hold_is_no_outcome() {
    let scene = Offline::new().await;
    let presentment = holding(&scene);
    let item = &presentment.item;
    let all = [(4, Source::Circulation)];
    let alice = Person::of(&scene.north.bank, "alice", 1);
    let other = scene.pay(alice.draw(&scene.north, "another", 3).unspent(&scene.north), "another");
    let elsewhere = scene.receipt(item, digest("elsewhere"), &all);
    let ours = scene.receipt(item, presentment.id, &all);
    let lies = [
        Outcome::Settled(elsewhere.clone()),
        Outcome::Before(ours.clone()),
        Outcome::Settled(scene.receipt_by(&scene.south.bank.signer, item, presentment.id, &all)),
        Outcome::Settled(scene.receipt(&other, presentment.id, &all)),
        Outcome::Refused(Fault::new(
            Code::DenominationUnknown,
            "a blank of a bank that it does not know yet",
        )),
        Outcome::Refused(Fault::new(Code::CertificateInvalid, "test")),
    ];
    for lie in lies {
        answer(&scene, presentment.id, Ok(lie));
        assert_eq!(scene.present(&presentment).await.unwrap_err().code, Code::Unavailable);
        assert_eq!(scene.world.audited().await.forwarded, 1);
    }
    for code in [Code::Busy, Code::Internal, Code::DenominationUnknown, Code::CertificateInvalid] {
        answer(&scene, presentment.id, Err(Fault::new(code, "test")));
        assert_eq!(scene.present(&presentment).await.unwrap_err().code, Code::Unavailable);
    }
    answer(&scene, presentment.id, Ok(Outcome::Before(elsewhere.clone())));
    assert_eq!(scene.present(&presentment).await.unwrap().outcome, Outcome::Before(elsewhere));
    assert_eq!(scene.settlements().await, both("1000.00", "1000.00"));
    scene.world.assert_sound().await;

    // The center's own checks: another's account, a piece that does not verify.
    let mut broken = other.clone();
    let mut chains = broken.payment.chains.into_vec();
    chains[0].last.piece = presentment.item.payment.chains[0].last.piece.clone();
    broken.payment.chains = Bounded::new(chains).unwrap();
    let refused = scene.present(&presented(broken)).await.unwrap().outcome;
    assert!(matches!(refused, Outcome::Refused(fault) if fault.code == Code::PieceInvalid));
    let mut stolen = presented(other);
    stolen.account = Text::new("thief").unwrap();
    assert_eq!(scene.present(&stolen).await.unwrap_err().code, Code::Malformed);
    scene.world.assert_sound().await;
}

/// A fork at a blank of the second bank: its customer passed all of 4 units on and then paid them again.
struct Fork {
    scene: Offline,
    presentment: Presentment<ClaimItem>,
    /// What the second bank says when it is honest.
    accusation: CustomerAccusation,
}

impl Fork {
    async fn new() -> Self {
        let scene = Offline::new().await;
        let alice = Person::of(&scene.north.bank, "alice", 1);
        let bob = Person::of(&scene.south.bank, "bob", 2);
        let attested = bob.register().await;
        let coin = alice.draw(&scene.north, "coin", 3);
        let blank = bob.draw(&scene.south, "blank", 0);
        let piece = coin.unspent(&scene.north).remove(0);
        let received = scene.hand(piece, &blank);
        let paid = scene.pay(blank.received(&received, &scene.south), "one");
        let again = scene.pay(blank.received(&received, &scene.south), "two");
        let (first, second) = (scene.verify(&paid), scene.verify(&again));
        let [stored, fork] = [&first, &second].map(|payment| Deposited::of(&payment.chains[0]).unwrap());
        let settlement = settle(&fork, [&stored]).unwrap();
        let [charge] = settlement.charges[..] else { panic!("{settlement:?}") };
        assert_eq!((charge.hop, charge.units, settlement.circulation), (1, 4, 0));
        let terms = ClaimTerms::of(&second, &second.chains[0], &charge).unwrap();
        let lone = |item: &feiqian_offline_cash::pay::CashItem, set| LoneChain {
            chain: item.payment.chains[0].clone(),
            set,
        };
        let claim = ClaimItem {
            terms,
            amount: amount(4),
            charged: Bounded::new(vec![lone(&again, second.set)]).unwrap(),
            hop: 1,
            before: Bounded::new(vec![lone(&paid, first.set)]).unwrap(),
        };
        let verified = claim.verify(scene.world.center.view().offline_keys(), &mut rng(1)).unwrap();
        assert_eq!(verified.debtor.as_str(), "south");
        assert_eq!(verified.opening.identity().unwrap(), *bob.secret.public());
        let accusation =
            CustomerAccusation::new(verified.opening, blank.withdrawal.clone(), attested).unwrap();
        let presentment = presented_claim(claim);
        Self { scene, presentment, accusation }
    }

    fn answer(&self, outcome: Result<ClaimOutcome, Fault>) {
        self.scene.south.bank.desk.claims.lock().unwrap().insert(self.presentment.id, outcome);
    }

    fn honest(&self, paid: u64) -> ClaimOutcome {
        ClaimOutcome::Answered { accusation: self.accusation.clone(), paid: minor(paid) }
    }

    /// What the second bank was told, how often, if it was always the same.
    fn told(&self) -> usize {
        let told = self.scene.south.bank.desk.overdue.lock().unwrap();
        assert!(told.iter().all(|word| *word == told[0]));
        told.len()
    }

    async fn present(&self) -> Result<Presented<ClaimOutcome>, Fault> {
        self.scene.north.bank.ask("/v1/offline/claim", &self.presentment).await
    }
}

fn presented_claim(claim: ClaimItem) -> Presentment<ClaimItem> {
    let (bank, digest) = (claim.terms.issuing_bank.clone(), claim.digest());
    Presentment::new(bank, Text::default(), claim.amount, ItemKind::Claim, &digest, claim)
}

#[tokio::test]
async fn the_bank_of_a_cheat_names_it_and_pays_what_it_can() {
    for (paid, balances) in
        [(4, both("1000.04", "999.96")), (3, both("1000.03", "999.97")), (0, both("1000.00", "1000.00"))]
    {
        let fork = Fork::new().await;
        fork.answer(Ok(fork.honest(paid)));
        let first = fork.present().await.unwrap();
        assert_eq!(first.outcome, fork.honest(paid));
        assert_eq!(fork.present().await.unwrap(), first);
        assert_eq!(fork.scene.settlements().await, balances);
        fork.scene.world.assert_sound().await;
    }
}

#[tokio::test]
async fn a_claim_is_answered_by_its_accusation_alone() {
    let fork = Fork::new().await;
    let carol = Person::of(&fork.scene.south.bank, "carol", 3);
    let mut framed = fork.accusation.clone();
    framed.identity = carol.register().await;
    let framed = ClaimOutcome::Answered { accusation: framed, paid: minor(4) };
    let refused = ClaimOutcome::Refused(Fault::new(Code::ClaimInvalid, "we do not want to"));
    for lie in [framed, refused, fork.honest(5)] {
        fork.answer(Ok(lie));
        assert_eq!(fork.present().await.unwrap_err().code, Code::Unavailable);
    }
    for code in [Code::WrongBank, Code::IdentityUnknown, Code::KeyExpired] {
        fork.answer(Err(Fault::new(code, "test")));
        assert_eq!(fork.present().await.unwrap_err().code, Code::Unavailable);
    }
    assert_eq!(fork.scene.world.audited().await.forwarded, 1);
    fork.answer(Ok(fork.honest(4)));
    assert_eq!(fork.present().await.unwrap().outcome, fork.honest(4));
    fork.scene.world.assert_sound().await;
}

#[tokio::test]
async fn a_bank_that_names_nobody_in_time_is_liable_itself() {
    let fork = Fork::new().await;
    let world = &fork.scene.world;
    let limit = world.center.config().answer_seconds;
    assert_eq!(fork.present().await.unwrap_err().code, Code::Unavailable);
    world.clock.set(at(NOW + limit - 1));
    world.turn().await;
    assert_eq!(world.audited().await.forwarded, 1);
    world.clock.set(at(NOW + limit));
    world.turn().await;
    assert_eq!(fork.scene.settlements().await, both("1000.04", "999.96"));
    let ClaimOutcome::Unanswered(non_answer) = fork.present().await.unwrap().outcome else { panic!() };
    // Pieces and statement are evidence that anybody checks.
    let view = world.center.view();
    let verified = fork.presentment.item.verify(view.offline_keys(), &mut rng(1)).unwrap();
    let mut evidence = BankAccusation {
        pieces: verified.pieces.clone(),
        keyset: fork.scene.south.verified.keyset.clone(),
        signer: WireChain::from_chain(&fork.scene.south.bank.signer_chain).unwrap(),
        non_answer,
    };
    let accused = Accusation::Bank(evidence.clone()).verify(view.root()).unwrap();
    assert!(matches!(accused, Accused::Bank { bank, .. } if bank.as_str() == "south"));
    evidence.non_answer.statement.asked_at = at(NOW - 1);
    Accusation::Bank(evidence).verify(view.root()).unwrap_err();
    // Too late for another word.
    fork.answer(Ok(fork.honest(1)));
    assert!(matches!(fork.present().await.unwrap().outcome, ClaimOutcome::Unanswered(_)));
    world.assert_sound().await;
}

#[tokio::test]
async fn a_bank_that_did_not_answer_is_told_what_it_has_paid() {
    let mut fork = Fork::new().await;
    let limit = fork.scene.world.center.config().answer_seconds;
    assert_eq!(fork.present().await.unwrap_err().code, Code::Unavailable);
    fork.scene.south.bank.deaf.store(true, std::sync::atomic::Ordering::Relaxed);
    fork.scene.world.clock.set(at(NOW + limit));
    fork.scene.world.turn().await;
    assert_eq!(fork.scene.settlements().await, both("1000.04", "999.96"));
    // It does not hear; the word waits, also over a restart.
    assert!(!fork.scene.world.center.tell_banks().await.unwrap());
    assert_eq!(fork.told(), 0);
    fork.scene.world.restart().await;
    fork.scene.world.assert_sound().await;
    fork.scene.south.bank.deaf.store(false, std::sync::atomic::Ordering::Relaxed);
    // Its answer is lost: it is told again, and then no more.
    fork.scene.world.wires.trouble("/v1/pay/claim/overdue", &[Trouble::AnswerLost]);
    assert!(!fork.scene.world.center.tell_banks().await.unwrap());
    assert!(fork.scene.world.center.tell_banks().await.unwrap());
    assert!(fork.scene.world.center.tell_banks().await.unwrap());
    assert_eq!(fork.told(), 2);
    let word = fork.scene.south.bank.desk.overdue.lock().unwrap()[0].clone();
    let item = &fork.presentment.item;
    assert_eq!((word.presentment, &word.terms), (fork.presentment.id, &item.terms));
    assert_eq!(word.amount, amount(4));
    let statement = word.statement.verify(fork.scene.world.center.view().root()).unwrap();
    assert_eq!((statement.bank.as_str(), statement.coin), ("south", item.terms.message));
    assert_eq!(statement.opening, fork.accusation.opening);
    fork.scene.world.assert_sound().await;
    // Who has answered is told nothing.
    let honest = Fork::new().await;
    honest.answer(Ok(honest.honest(1)));
    honest.present().await.unwrap();
    assert!(honest.scene.world.center.tell_banks().await.unwrap());
    assert_eq!(honest.told(), 0);
}

/// A claim runs out; the center may die on the way, in one of its lives. It is decided once, and the bank hears of it.
async fn run_out(lives: Lives) {
    let mut fork = Fork::new().await;
    let limit = fork.scene.world.center.config().answer_seconds;
    for round in 0..6 {
        let store = lives.next(Arc::clone(&fork.scene.world.disk));
        if fork.scene.world.restart_on(store).await.is_ok() {
            for bank in [&fork.scene.north.bank, &fork.scene.south.bank] {
                bank.follow(&fork.scene.world);
            }
            fork.scene.world.clock.set(at(NOW + limit * round));
            let _ = fork.present().await;
            let told = fork.scene.world.center.tell_banks().await;
            fork.scene.world.assert_sound().await;
            if fork.told() > 0 && matches!(told, Ok(true)) {
                break;
            }
        }
    }
    assert!(fork.told() > 0, "it was never told");
    assert_eq!(fork.scene.settlements().await, both("1000.04", "999.96"));
}

#[tokio::test]
async fn killed_at_any_commit_the_bank_of_a_cheat_pays_once_and_is_told() {
    let points = killed_everywhere(run_out).await;
    for point in ["center.present.reserve", "center.present.outcome", "center.notice.told"] {
        assert!(points.contains(&point), "{points:?}");
    }
}

fn twice(chain: &LoneChain) -> Bounded<LoneChain, { feiqian_offline_cash::MAX_PIECES }> {
    Bounded::new(vec![chain.clone(), chain.clone()]).unwrap()
}

fn of_another_payment(chain: &LoneChain) -> Bounded<LoneChain, { feiqian_offline_cash::MAX_PIECES }> {
    Bounded::new(vec![LoneChain { set: digest("another payment"), ..chain.clone() }]).unwrap()
}

#[tokio::test]
async fn a_claim_shows_what_it_claims() {
    let fork = Fork::new().await;
    let good = &fork.presentment.item;
    let north = &fork.scene.north.bank;
    type Change = fn(&mut ClaimItem);
    let changes: [(Change, Code); 7] = [
        (|claim| claim.amount = amount(5), Code::AmountMismatch),
        (|claim| claim.hop = 0, Code::AmountMismatch),
        (|claim| claim.before = Bounded::default(), Code::AmountMismatch),
        (|claim| claim.charged = Bounded::default(), Code::PieceInvalid),
        (|claim| claim.charged = twice(&claim.charged[0]), Code::PieceInvalid),
        (|claim| claim.charged = of_another_payment(&claim.charged[0]), Code::PieceInvalid),
        (|claim| claim.terms.payment = digest("another payment"), Code::RequestMismatch),
    ];
    for (change, expected) in changes {
        let fork = Fork::new().await;
        let mut claim = good.clone();
        change(&mut claim);
        let answer: Presented<ClaimOutcome> =
            fork.scene.north.bank.ask("/v1/offline/claim", &presented_claim(claim)).await.unwrap();
        let ClaimOutcome::Refused(fault) = answer.outcome else { panic!("{answer:?}") };
        assert_eq!(fault.code, expected, "{fault}");
        fork.scene.world.assert_sound().await;
    }
    // One presentment of a claim for ever.
    fork.answer(Ok(fork.honest(4)));
    fork.present().await.unwrap();
    let mut less = good.clone();
    less.amount = amount(3);
    assert_eq!(code(north, "/v1/offline/claim", &presented_claim(less)).await, Code::Conflict);
    assert_eq!(code(&fork.scene.south.bank, "/v1/offline/claim", &fork.presentment).await, Code::Forbidden);
}

pub(crate) fn part(number: u32, minor: u64, to: &str) -> Presentment<PartItem> {
    let item = PartItem {
        from: Name::new("north").unwrap(),
        to: Name::new(to).unwrap(),
        account: Text::new("shop").unwrap(),
        claim: digest("claim"),
        presentment: digest("presentment"),
        number,
        amount: amount(minor),
    };
    let digest = item.digest();
    Presentment::new(item.from.clone(), item.account.clone(), item.amount, ItemKind::Part, &digest, item)
}

#[tokio::test]
async fn a_part_is_paid_by_the_bank_that_presents_it() {
    let scene = Offline::new().await;
    let north = &scene.north.bank;
    let ask = async |part: &Presentment<PartItem>| -> Result<Presented<PartOutcome>, Fault> {
        north.ask("/v1/present/part", part).await
    };
    let first = part(0, 3, "south");
    scene.world.wires.trouble("/v1/pay/part", &[Trouble::AnswerLost]);
    assert_eq!(ask(&first).await.unwrap_err().code, Code::Unavailable);
    assert_eq!(ask(&first).await.unwrap().outcome, PartOutcome::Booked);
    assert_eq!(ask(&first).await.unwrap().outcome, PartOutcome::Booked);
    assert_eq!(ask(&part(1, 2, "south")).await.unwrap().outcome, PartOutcome::Booked);
    assert_eq!(scene.south.bank.desk.parts.lock().unwrap().len(), 2);
    assert_eq!(scene.settlements().await, both("999.95", "1000.05"));
    let nowhere = ask(&part(2, 1, "west")).await.unwrap().outcome;
    assert!(matches!(nowhere, PartOutcome::Refused(fault) if fault.code == Code::WrongBank));
    assert_eq!(ask(&part(3, 1, "north")).await.unwrap_err().code, Code::WrongRoute);
    assert_eq!(code(&scene.south.bank, "/v1/present/part", &first).await, Code::Forbidden);
    // Cover is asked for first: it waits like a payment.
    let waits = part(4, 200_000, "south");
    assert_eq!(ask(&waits).await.unwrap_err().code, Code::SettlementFailed);
    scene.world.clock.set(at(NOW + 1));
    assert_eq!(ask(&part(5, 1, "south")).await.unwrap_err().code, Code::SettlementFailed);
    let fund = serde_json::json!({"command": "fund", "bank": "north", "amount": "2000"});
    scene.world.command(fund).await.unwrap();
    scene.world.turn().await;
    assert_eq!(ask(&waits).await.unwrap().outcome, PartOutcome::Booked);
    assert_eq!(scene.settlements().await, both("999.94", "3000.06"));
    scene.world.assert_sound().await;
}

/// Pins, registers, exposes and clears a holding of which 3 of 4 are paid; the center's store may die on the way.
async fn live(lives: Lives) {
    let mut scene = Offline::unpinned().await;
    for _ in 0..4 {
        let store = lives.next(Arc::clone(&scene.world.disk));
        if scene.world.restart_on(store).await.is_ok() {
            let done = clear(&scene).await;
            if done.is_ok() {
                assert_eq!(scene.settlements().await, both("999.97", "1000.03"));
                scene.world.assert_sound().await;
                return;
            }
        }
        scene.world.assert_sound().await;
    }
    panic!("it never ended");
}

pub(crate) async fn clear(scene: &Offline) -> Result<(), Fault> {
    let (north, south) = (&scene.north.bank, &scene.south.bank);
    for bank in [north, south] {
        bank.follow(&scene.world);
    }
    scene.north.pin().await?;
    scene.south.pin().await?;
    let alice = Person::of(north, "alice", 1);
    let _: AttestedIdentity = north.ask("/v1/offline/identity", &alice.request(100)).await?;
    let () = north.ask("/v1/offline/expose", &listed(north, NOW, &[digest("coin")])).await?;
    let presentment = holding(scene);
    let parts = [(3, Source::Circulation), (1, UNPAID)];
    let receipt = scene.receipt(&presentment.item, presentment.id, &parts);
    answer(scene, presentment.id, Ok(Outcome::Settled(receipt)));
    let answer: Presented<Outcome> = south.ask("/v1/present/holding", &presentment).await?;
    assert!(matches!(answer.outcome, Outcome::Settled(_)));
    Ok(())
}

#[tokio::test]
async fn killed_at_any_commit_it_goes_on() {
    let points = killed_everywhere(live).await;
    for point in ["center.offline.pin", "center.offline.identity", "center.offline.exposed"] {
        assert!(points.contains(&point), "{points:?}");
    }
}
