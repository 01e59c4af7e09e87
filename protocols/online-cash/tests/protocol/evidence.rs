//! Double spends that anyone can check, and why an honest wallet cannot be accused.

use feiqian_crypto::Digest;
use feiqian_crypto::snowblind::Challenge;
use feiqian_money::Currency;
use feiqian_online_cash::Rejection;
use feiqian_online_cash::coin::Coin;
use feiqian_online_cash::evidence::{Evidence, Statement, smallest_sufficient};
use feiqian_online_cash::funding::{CoinFunding, PlannedInput, Released, StatedInput};
use feiqian_online_cash::payment::{Checker, Payment};
use feiqian_online_cash::request::request_digest;
use feiqian_online_cash::signed::WireChain;
use feiqian_wire::Bounded;
use proptest::prelude::*;

use crate::world::{DAY, NOW, World, at, digest, minor};

fn paid(world: &mut World, request: &str, coins: &[(&Coin, u64)]) -> Statement {
    let coins: Vec<_> = coins.iter().map(|(coin, given)| (*coin, minor(*given))).collect();
    let request = request_digest(at(NOW + 600), &digest(request));
    let payment = Payment::sign(&request, &coins, &mut world.rng).unwrap();
    let shares = payment.coins.iter().map(|coin| coin.share).collect();
    Statement::Payment { request, shares: Bounded::new(shares).unwrap(), possession: payment.possession }
}

fn refreshed(
    world: &mut World,
    session: &str,
    coin: &Coin,
    given: u64,
    released: &[Released],
    challenges: &[Challenge],
) -> Statement {
    let releases = released.iter().map(|released| released.digest("north")).collect();
    let plan = [PlannedInput { coin, contribution: minor(given), releases }];
    let session = digest(session);
    let funding =
        CoinFunding::sign("north", &session, &plan, released.to_vec(), challenges, &mut world.rng).unwrap();
    let inputs: Vec<StatedInput> = funding.inputs.iter().map(|input| input.stated.clone()).collect();
    Statement::Refresh {
        session,
        inputs: Bounded::new(inputs).unwrap(),
        challenges: Bounded::new(challenges.to_vec()).unwrap(),
        possession: funding.possession,
    }
}

/// The statement as a later refresh shows it.
fn given_up(statement: &Statement, request: &str) -> Released {
    match statement {
        Statement::Payment { shares, .. } => {
            Released::Payment { expires: at(NOW + 600), body: digest(request), shares: shares.clone() }
        }
        Statement::Refresh { session, inputs, challenges, .. } => {
            Released::Refresh { session: *session, inputs: inputs.clone(), challenges: challenges.clone() }
        }
    }
}

fn evidence(world: &World, coin: &Coin, statements: &[Statement]) -> Evidence {
    Evidence {
        coin: coin.id,
        signature: coin.signature,
        statements: Bounded::new(statements.to_vec()).unwrap(),
        keyset: world.north.keyset.clone(),
        pinned_at: at(NOW),
        signer: WireChain::from_chain(&world.north.chain).unwrap(),
    }
}

#[test]
fn a_double_spend_is_evidence_for_everybody() {
    let mut world = World::new(41);
    let (coins, said) = world.draw_and_tell("north", &[3, 2]);
    let five = paid(&mut world, "a", &[(&coins[0], 5), (&coins[1], 4)]);
    let four = paid(&mut world, "b", &[(&coins[0], 4)]);
    let all = refreshed(&mut world, "s", &coins[0], 8, &[], &said.challenges);
    for (statements, signed) in [
        (vec![five.clone(), four.clone()], 9),
        (vec![all.clone(), four.clone()], 12),
        (vec![all, five.clone(), four], 17),
    ] {
        let finding = evidence(&world, &coins[0], &statements).verify(&world.root).unwrap();
        assert_eq!((finding.bank.as_str(), finding.coin), ("north", coins[0].id));
        assert_eq!((finding.value.minor, finding.signed.minor), (minor(8), minor(signed)));
        assert_eq!(finding.value.currency, Currency::CNY);
        let digests: Vec<_> = statements.iter().map(|statement| statement.digest("north")).collect();
        assert_eq!(finding.statements, digests);
    }
    let three = paid(&mut world, "c", &[(&coins[0], 3)]);
    let whole = evidence(&world, &coins[0], &[five, three]).verify(&world.root);
    assert!(matches!(whole, Err(Rejection::EvidenceInvalid(_))), "eight of eight is no double spend");
}

#[test]
fn every_change_to_evidence_is_refused() {
    let mut world = World::new(42);
    let (coins, said) = world.draw_and_tell("north", &[3, 3]);
    let statements = [
        paid(&mut world, "a", &[(&coins[0], 5), (&coins[1], 1)]),
        refreshed(&mut world, "s", &coins[0], 4, &[], &said.challenges),
    ];
    let good = evidence(&world, &coins[0], &statements);
    good.verify(&world.root).unwrap();
    let foreign = World::new(43);
    let change = |change: &dyn Fn(&mut Evidence)| {
        let mut bent = good.clone();
        change(&mut bent);
        bent
    };
    let restate = |place: usize, change: &dyn Fn(&mut Statement)| {
        let mut statements = good.statements.clone().into_vec();
        change(&mut statements[place]);
        Evidence { statements: Bounded::new(statements).unwrap(), ..good.clone() }
    };
    let pay = |statement: &mut Statement, change: &dyn Fn(&mut Vec<feiqian_online_cash::payment::Share>)| {
        if let Statement::Payment { shares, .. } = statement {
            let mut changed = shares.clone().into_vec();
            change(&mut changed);
            *shares = Bounded::new(changed).unwrap();
        }
    };
    let bent = [
        change(&|e| e.coin = coins[1].id),
        change(&|e| e.coin.denomination = digest("none")),
        change(&|e| e.signature = coins[1].signature),
        change(&|e| e.keyset.epoch.0 += 1),
        change(&|e| e.keyset = world.south.keyset.clone()),
        change(&|e| e.signer = WireChain::from_chain(&world.south.chain).unwrap()),
        change(&|e| e.signer = WireChain(Bounded::default())),
        change(&|e| e.pinned_at = at(NOW + 400 * DAY)),
        change(&|e| e.statements = Bounded::default()),
        change(&|e| e.statements = Bounded::new(vec![statements[0].clone(); 2]).unwrap()),
        change(&|e| e.statements = Bounded::new(statements[..1].to_vec()).unwrap()),
        restate(0, &|s| pay(s, &|shares| shares[0].contribution = minor(8))),
        restate(0, &|s| pay(s, &|shares| shares.swap(0, 1))),
        restate(0, &|s| pay(s, &|shares| shares.truncate(1))),
        restate(0, &|s| pay(s, &|shares| shares.push(shares[0]))),
        restate(0, &|s| pay(s, &|shares| shares.remove(0).contribution = minor(1))),
        restate(0, &|s| {
            if let Statement::Payment { request, .. } = s {
                *request = digest("another request");
            }
        }),
        restate(1, &|s| {
            if let Statement::Refresh { session, .. } = s {
                *session = digest("another session");
            }
        }),
        restate(1, &|s| {
            if let Statement::Refresh { challenges, .. } = s {
                *challenges = Bounded::default();
            }
        }),
        restate(1, &|s| {
            if let (Statement::Refresh { possession, .. }, Statement::Payment { possession: other, .. }) =
                (s, &statements[0])
            {
                *possession = *other;
            }
        }),
    ];
    for (place, bent) in bent.iter().enumerate() {
        assert_ne!(*bent, good, "mutation {place} changes something");
        assert!(bent.verify(&world.root).is_err(), "mutation {place}");
    }
    assert!(matches!(good.verify(&foreign.root), Err(Rejection::CertificateInvalid(_))));
}

/// One key under two denominations is two coins: what a bank takes as such must stand as evidence too.
#[test]
fn one_key_under_two_denominations_hides_no_double_spend() {
    let mut world = World::new(44);
    let coin = world.draw("north", &[3]).remove(0);
    let secret = feiqian_crypto::EncodedScalar(*coin.secret_bytes()).decode().unwrap();
    // The same K, blindly signed under another denomination as well.
    let key = world.keys(&world.north, &[2]).remove(0);
    let (nonces, commitment) = feiqian_crypto::snowblind::commit(&mut world.rng);
    let blinding = feiqian_crypto::snowblind::Blinding::random(&mut world.rng);
    let message = feiqian_online_cash::coin::message(&coin.id.key);
    let (pending, challenge) =
        feiqian_crypto::snowblind::blind(&key.public, &message, &commitment, blinding).unwrap();
    let signature = pending.unblind(&nonces.respond(&world.north.secrets[2], &challenge)).unwrap();
    let twin = Coin::new(&key, secret, signature).unwrap();
    assert_eq!(twin.id.key, coin.id.key);
    let request = world.request(12);
    let item = world.pay(&request, &[(&coin, 8), (&twin, 4)]);
    let directory = world.directory();
    let checker = Checker { pins: &world.pins, authorities: &directory, now: at(NOW) };
    let taken = checker.verify(&item, &mut world.rng).expect("two coins");
    let first = Statement::of_payment(&taken).unwrap();
    let second = paid(&mut world, "again", &[(&coin, 1)]);
    evidence(&world, &coin, &[first, second]).verify(&world.root).unwrap();
}

#[test]
fn what_a_refresh_releases_is_not_counted_with_it() {
    let mut world = World::new(45);
    let (coins, said) = world.draw_and_tell("north", &[3]);
    let coin = &coins[0];
    let expired = paid(&mut world, "a", &[(coin, 5)]);
    // The session of the first refresh is voided; the second releases it and the payment.
    let voided = refreshed(&mut world, "s1", coin, 8, &[given_up(&expired, "a")], &said.challenges);
    let both = [given_up(&expired, "a"), given_up(&voided, "")];
    let last = refreshed(&mut world, "s2", coin, 8, &both, &said.challenges);
    let all = [expired.clone(), voided.clone(), last.clone()];
    for subset in 1..8usize {
        let chosen: Vec<_> =
            all.iter().enumerate().filter(|(i, _)| subset >> i & 1 == 1).map(|(_, s)| s.clone()).collect();
        let found = evidence(&world, coin, &chosen).verify(&world.root);
        assert!(matches!(found, Err(Rejection::EvidenceInvalid(_))), "subset {subset}");
    }
    // A cheat's second refresh that releases nothing counts, with whatever it is shown.
    let cheat = refreshed(&mut world, "s3", coin, 8, &[], &said.challenges);
    evidence(&world, coin, &[last.clone(), cheat.clone()]).verify(&world.root).unwrap();
    let chosen =
        smallest_sufficient("north", &coin.id, minor(8), vec![expired, voided, last, cheat]).unwrap();
    assert_eq!(chosen.len(), 2);
    evidence(&world, coin, &chosen).verify(&world.root).unwrap();
}

#[test]
fn the_smallest_sufficient_set_is_chosen() {
    let mut world = World::new(46);
    let coin = world.draw("north", &[3]).remove(0);
    let mut statements: Vec<_> =
        (0..7).map(|n| paid(&mut world, &format!("small {n}"), &[(&coin, 1)])).collect();
    let choose =
        |statements: &[Statement]| smallest_sufficient("north", &coin.id, minor(8), statements.to_vec());
    assert_eq!(choose(&statements), None);
    statements.push(statements[0].clone());
    assert_eq!(choose(&statements), None, "a repeat counts once");
    statements.push(paid(&mut world, "two", &[(&coin, 2)]));
    assert_eq!(choose(&statements).unwrap().len(), 8);
    statements.push(paid(&mut world, "seven", &[(&coin, 7)]));
    let chosen = choose(&statements).unwrap();
    assert_eq!(chosen.len(), 2);
    evidence(&world, &coin, &chosen).verify(&world.root).unwrap();
}

/// What may happen to a coin of 8 in an honest wallet.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Pays so much at most; whether the payment is deposited before its request expires.
    Pay(u64, bool),
    /// Refreshes the rest; whether the session is answered.
    Refresh(bool),
}

fn arb_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1u64..=8, any::<bool>()).prop_map(|(given, paid)| Step::Pay(given, paid)),
        any::<bool>().prop_map(Step::Refresh),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A wallet that signs a payment only within what it has never signed away, and a refresh of the rest that
    /// releases all that is void, leaves nothing that accuses it, whatever its payees and its bank do.
    #[test]
    fn an_honest_wallet_is_never_accused(steps in proptest::collection::vec(arb_step(), 1..7)) {
        let mut world = World::new(47);
        let (coins, said) = world.draw_and_tell("north", &[3]);
        let coin = &coins[0];
        let (mut live, mut signed) = (0, 0);
        let (mut statements, mut void) = (Vec::new(), Vec::<Released>::new());
        for (place, step) in steps.into_iter().enumerate() {
            let label = format!("step {place}");
            match step {
                Step::Pay(given, deposited) if signed + given <= 8 => {
                    let statement = paid(&mut world, &label, &[(coin, given)]);
                    signed += given;
                    if deposited { live += given } else { void.push(given_up(&statement, &label)) }
                    statements.push(statement);
                }
                Step::Refresh(answered) if live < 8 => {
                    let rest = 8 - live;
                    let statement = refreshed(&mut world, &label, coin, rest, &void, &said.challenges);
                    signed += rest;
                    if answered { live = 8 } else { void.push(given_up(&statement, &label)) }
                    statements.push(statement);
                }
                _ => {}
            }
        }
        let digests: Vec<Digest> = statements.iter().map(|statement| statement.digest("north")).collect();
        for subset in 1u32..1 << digests.len() {
            let chosen: Vec<_> =
                statements.iter().enumerate().filter(|(i, _)| subset >> i & 1 == 1).map(|(_, s)| s.clone()).collect();
            let found = evidence(&world, coin, &chosen).verify_with_key(&world.north.signer.public_key());
            prop_assert!(matches!(found, Err(Rejection::EvidenceInvalid(_))), "{:?}", found);
        }
        prop_assert_eq!(smallest_sufficient("north", &coin.id, minor(8), statements), None);
    }

    /// One unit more than the coin's value, however it was divided, is evidence.
    #[test]
    fn one_unit_more_is_evidence(cuts in proptest::collection::btree_set(1u64..16, 0..4)) {
        let mut world = World::new(48);
        let coin = world.draw("north", &[4]).remove(0);
        let mut bounds: Vec<u64> = [0].into_iter().chain(cuts).chain([16]).collect();
        bounds.dedup();
        let parts: Vec<u64> = bounds.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mut statements: Vec<_> = parts
            .iter()
            .enumerate()
            .map(|(place, part)| paid(&mut world, &format!("part {place}"), &[(&coin, *part)]))
            .collect();
        let exact = evidence(&world, &coin, &statements).verify(&world.root);
        prop_assert!(matches!(exact, Err(Rejection::EvidenceInvalid(_))));
        statements.push(paid(&mut world, "one more", &[(&coin, 1)]));
        let finding = evidence(&world, &coin, &statements).verify(&world.root).unwrap();
        prop_assert_eq!(finding.signed.minor, minor(17));
    }
}
