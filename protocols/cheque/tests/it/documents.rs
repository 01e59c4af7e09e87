//! The way of a good document.

use feiqian_cheque::progress::Phase;
use feiqian_cheque::steps::Mandate;
use feiqian_cheque::{
    BlockType, Bundle, ChequeError, Notice, Order, Outcome, Payee, PayeeKey, Rejection, ReturnCode, draw,
    examine, submit, verify,
};
use feiqian_crypto::Digest;
use feiqian_wire::U64;

use crate::world::{NOW, World, amount, at, joint_order, name, order, payee, text};

#[test]
fn a_cheque_goes_all_its_way_and_every_signature_is_good() {
    let world = World::new(1);
    let bundle = world.long_way();
    let read = Bundle::from_bytes(&bundle.to_bytes().unwrap()).unwrap();
    assert_eq!(read, bundle);
    let cheque = world.verified(read);
    let kinds: Vec<BlockType> = cheque.signatures().iter().map(|state| state.kind).collect();
    use BlockType::{Certify, Cheque, Countersign, Deposit, Endorse, Receipt, Return};
    let expected = [Cheque, Countersign, Certify, Endorse, Deposit, Return, Deposit, Receipt, Receipt];
    assert_eq!(kinds, expected);
    let signers: Vec<String> = cheque
        .signatures()
        .iter()
        .map(|state| {
            assert_eq!(state.fault, None);
            state.signer.as_ref().unwrap().to_string()
        })
        .collect();
    assert_eq!(signers[0], "customer alice of north");
    assert_eq!(signers[3], "merchant bob of south");
    assert_eq!(signers[5], "center center");
    assert_eq!(signers[8], "bank south");
    assert_eq!(cheque.phase(), Phase::Settled);
    assert_eq!(cheque.holder(), &payee(&world.carol));
    assert_eq!(cheque.endorsements(), 1);
    assert!(cheque.is_certified());
    assert_eq!(cheque.countersigned_at(), Some(at(NOW)));
    assert_eq!(cheque.returned(), Some(ReturnCode::Technical));
    assert_eq!(cheque.id(), bundle.id().unwrap());
    assert_eq!(cheque.tip(), bundle.tip().unwrap());
}

#[test]
fn two_of_three_joint_drawers_suffice_and_one_does_not() {
    let world = World::new(2);
    let mandate = joint_order(2).mandate;
    let drawn = world.draw(joint_order(2));
    assert!(!drawn.is_complete());
    let alone = drawn.into_bundle();
    let missing = Rejection::SignatureMissing { required: 2, found: 1 };
    assert_eq!(submit(alone.clone(), &world.trust()).unwrap_err(), missing.clone().into());
    assert_eq!(world.rejection(alone.clone()), missing);
    assert_eq!(missing.return_code(), ReturnCode::SignatureMissing);

    let examined = examine(alone.clone(), &world.trust()).unwrap();
    let both = feiqian_cheque::Drawn::from_examined(examined).unwrap();
    let both = both.join(&world.signer(&world.erin)).unwrap();
    assert!(both.is_complete());
    let issued = world.countersign(both.into_bundle(), &mandate).unwrap();
    assert_eq!(world.verified(issued).signatures().len(), 3);

    let all = world.draw(joint_order(2)).join(&world.signer(&world.dave)).unwrap();
    let all = all.join(&world.signer(&world.erin)).unwrap().into_bundle();
    world.verified(world.countersign(all, &mandate).unwrap());
}

#[test]
fn a_drawer_counts_once_and_strangers_do_not() {
    let world = World::new(3);
    let signer = |block, reason| ChequeError::from(Rejection::Signer { block, reason });
    let again = world.draw(joint_order(2)).join(&world.signer(&world.alice)).unwrap_err();
    assert_eq!(again, signer(1, "this drawer has signed already"));
    let stranger = world.draw(joint_order(2)).join(&world.signer(&world.bob)).unwrap_err();
    assert_eq!(stranger, signer(1, "not one of the drawers"));
    let leaf = world.book().tear_out(U64(1)).unwrap();
    let foreign = draw(leaf, order(false), &world.signer(&world.dave)).unwrap_err();
    assert_eq!(foreign, signer(0, "not one of the drawers"));
}

#[test]
fn the_drawee_countersigns_only_its_own() {
    let world = World::new(4);
    let mandate = order(false).mandate;
    let submitted = || submit(world.draw(order(false)).into_bundle(), &world.trust()).unwrap();
    let bank = world.signer(&world.north_bank);
    let other = world.signer(&world.south_bank);
    let now = at(NOW);
    let book = world.book();
    assert_eq!(
        submitted().countersign(&book, &mandate, &other, now).unwrap_err(),
        Rejection::WrongBank.into()
    );
    let later = feiqian_cheque::Allotment::after(text("alice"), 10, 10).unwrap();
    let foreign = feiqian_cheque::Allotment::after(text("dave"), 0, 10).unwrap();
    for book in [later, foreign] {
        let refused = submitted().countersign(&book, &mandate, &bank, now).unwrap_err();
        assert!(matches!(refused, ChequeError::Rejected(Rejection::Register(_))), "{refused:?}");
    }
    for mandate in [joint_order(2).mandate, Mandate::single(&text("dave")).unwrap()] {
        let refused = submitted().countersign(&book, &mandate, &bank, now).unwrap_err();
        assert!(matches!(refused, ChequeError::Rejected(Rejection::Register(_))), "{refused:?}");
    }
    let customer = world.signer(&world.alice);
    assert!(submitted().countersign(&book, &mandate, &customer, now).is_err());
    let issued = submitted().countersign(&book, &mandate, &bank, now).unwrap();
    assert!(matches!(
        submit(issued, &world.trust()).unwrap_err(),
        ChequeError::Rejected(Rejection::Order { .. })
    ));
    let drawn = world.draw(order(false)).into_bundle();
    assert_eq!(world.rejection(drawn), Rejection::NotCountersigned);
}

#[test]
fn account_payee_only_is_not_endorsed_and_only_the_holder_deposits() {
    let world = World::new(5);
    let issued = world.issued(order(false));
    let refused = world
        .verified(issued.clone())
        .endorse(payee(&world.carol), &world.signer(&world.bob), at(NOW))
        .unwrap_err();
    assert_eq!(refused, Rejection::NotNegotiable.into());
    let stranger = world.deposit(issued.clone(), &world.carol, Digest([1; 32]), NOW).unwrap_err();
    assert_eq!(stranger, Rejection::NotHolder.into());
    // The holder's signature, but into somebody else's account.
    let elsewhere = world
        .verified(issued.clone())
        .deposit(name("south"), text("carol"), Digest([1; 32]), &world.signer(&world.bob), at(NOW))
        .unwrap_err();
    assert_eq!(elsewhere, Rejection::NotHolder.into());
    assert_eq!(Rejection::NotHolder.return_code(), ReturnCode::NotTransferable);
    let deposited = world.deposit(issued, &world.bob, Digest([1; 32]), NOW).unwrap();
    let again = world.deposit(deposited, &world.bob, Digest([2; 32]), NOW).unwrap_err();
    assert!(matches!(again, ChequeError::Rejected(Rejection::Order { block: 3, .. })), "{again:?}");
}

#[test]
fn a_payee_known_by_certificate_needs_that_certificate() {
    let world = World::new(6);
    let fingerprint = feiqian_pki::fingerprint(world.bob.chain.leaf());
    let known = Payee { name: text("Bob"), known_by: PayeeKey::Certificate(fingerprint) };
    let issued = world.issued(Order { payee: known, ..order(false) });
    assert!(world.deposit(issued.clone(), &world.carol, Digest([1; 32]), NOW).is_err());
    world.verified(world.deposit(issued, &world.bob, Digest([1; 32]), NOW).unwrap());
}

#[test]
fn outcomes_are_written_by_those_who_know_them() {
    let world = World::new(7);
    let deposited = world.deposit(world.issued(order(false)), &world.bob, Digest([1; 32]), NOW).unwrap();
    let verified = || world.verified(deposited.clone());
    let now = at(NOW);
    for (person, may_return, may_pay) in [
        (&world.north_bank, true, true),
        (&world.center_signer, true, true),
        (&world.south_bank, true, false),
        (&world.bob, false, false),
        (&world.alice, false, false),
    ] {
        let signer = world.signer(person);
        let returned = verified().give_back(ReturnCode::InsufficientFunds, &signer, now);
        assert_eq!(returned.is_ok(), may_return, "{}", person.token);
        let paid = verified().receipt(Outcome::Paid, &signer, now);
        assert_eq!(paid.is_ok(), may_pay, "{}", person.token);
    }
    let bank = world.signer(&world.north_bank);
    assert!(verified().receipt(Outcome::Settled, &bank, now).is_err(), "not before it is paid");
    let paid = verified().receipt(Outcome::Paid, &bank, now).unwrap();
    assert!(world.verified(paid.clone()).give_back(ReturnCode::Stopped, &bank, now).is_err());
    let unwound = world.verified(paid).give_back(ReturnCode::SettlementFailed, &bank, now).unwrap();
    let again = world.deposit(unwound, &world.bob, Digest([2; 32]), NOW).unwrap();
    assert_eq!(world.verified(again).phase(), Phase::Deposited);
}

#[test]
fn attachments_can_be_removed_and_not_changed() {
    let world = World::new(8);
    let bundle = world.issued(order(false));
    let bound = bundle.attachments.first().unwrap().clone();
    assert_eq!(bound.bytes().unwrap(), b"forty cups of tea");
    let bare = bundle.clone().without_attachments();
    assert_eq!(world.verified(bare.clone()).id(), world.verified(bundle.clone()).id());
    let mut removed = bundle;
    assert!(removed.remove_attachment(bound.sha256()) && !removed.remove_attachment(bound.sha256()));
    assert_eq!(removed, bare);
}

#[test]
fn a_notice_is_of_one_cheque() {
    let world = World::new(9);
    let drawn = world.draw(order(false));
    let notice = drawn.notice();
    let issued = world.verified(world.countersign(drawn.into_bundle(), &order(false).mandate).unwrap());
    notice.check(&issued).unwrap();
    let changed = [
        Notice { id: Digest([9; 32]), ..notice.clone() },
        Notice { account: text("dave"), ..notice.clone() },
        Notice { number: U64(8), ..notice.clone() },
        Notice { amount: amount(25_001), ..notice.clone() },
        Notice { date: "2026-12-02".parse().unwrap(), ..notice.clone() },
        Notice { payee: payee(&world.carol), ..notice },
    ];
    for notice in changed {
        assert_eq!(notice.check(&issued), Err(Rejection::NoticeMismatch));
    }
}

#[test]
fn an_order_that_contradicts_itself_is_not_drawn() {
    let world = World::new(10);
    let bad = [
        Order { amount: amount(0), ..order(false) },
        Order { payee: Payee { name: text(""), ..payee(&world.bob) }, ..order(false) },
        Order { attachments: [order(false).attachments, order(false).attachments].concat(), ..order(false) },
        Order { mandate: Mandate { required: 2, ..order(false).mandate }, ..order(false) },
        Order { mandate: Mandate { required: 0, ..order(false).mandate }, ..order(false) },
    ];
    for order in bad {
        let leaf = world.book().tear_out(U64(1)).unwrap();
        let refused = draw(leaf, order, &world.signer(&world.alice)).unwrap_err();
        assert!(matches!(refused, ChequeError::Rejected(Rejection::Content(_))), "{refused:?}");
    }
    assert!(Mandate::joint(3, vec![text("alice"), text("alice")]).is_err());
}

#[test]
fn many_threads_may_share_one_trust() {
    let world = World::new(11);
    let bundle = world.long_way();
    let trust = world.trust();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| verify(bundle.clone(), &trust).unwrap());
        }
    });
}

#[test]
fn a_holder_leaves_room_for_what_the_banks_must_say() {
    let world = World::new(90);
    let bank = world.signer(&world.north_bank);
    let center = world.signer(&world.center_signer);
    let mut bundle = world.verified(world.issued(order(true))).certify(&bank, at(NOW + 1)).unwrap();
    let technical = feiqian_cheque::ReturnCode::Technical;
    for round in 0_u8.. {
        assert!(round < 64, "no end");
        let before = bundle.blocks.len();
        let slip = match world.deposit(bundle.clone(), &world.bob, Digest([round; 32]), NOW + 2) {
            Ok(slip) => slip,
            Err(error) => {
                let full = Rejection::Full { block: before };
                assert_eq!(error, full.into());
                assert_eq!(before, feiqian_cheque::bundle::MAX_BLOCKS - 1);
                break;
            }
        };
        // Either way fits.
        let paid = world.verified(slip.clone()).receipt(Outcome::Paid, &bank, at(NOW + 3)).unwrap();
        world.verified(paid).receipt(Outcome::Settled, &bank, at(NOW + 4)).unwrap();
        bundle = world.verified(slip).give_back(technical, &center, at(NOW + 3)).unwrap();
    }
    let mut passed = world.issued(order(true));
    let mut refused = None;
    for _ in 0..64 {
        let holders = [&world.bob, &world.carol];
        let from = holders[passed.blocks.len() % 2];
        let to = holders[(passed.blocks.len() + 1) % 2];
        match world.verified(passed.clone()).endorse(payee(to), &world.signer(from), at(NOW + 2)) {
            Ok(next) => passed = next,
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    let last = passed.blocks.len();
    assert_eq!(refused, Some(Rejection::Full { block: last }.into()));
    let holder = if last.is_multiple_of(2) { &world.bob } else { &world.carol };
    let slip = world.deposit(passed, holder, Digest([9; 32]), NOW + 3).unwrap();
    let paid = world.verified(slip).receipt(Outcome::Paid, &bank, at(NOW + 4)).unwrap();
    world.verified(paid).receipt(Outcome::Settled, &bank, at(NOW + 5)).unwrap();
}
