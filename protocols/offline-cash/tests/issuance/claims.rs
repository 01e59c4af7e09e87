use std::collections::BTreeMap;

use feiqian_crypto::share_tree::Node;
use feiqian_crypto::{Digest, EncodedScalar, Scalar};
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::chain::{Blank, Hop, Link, Passed, START, transfer_challenge};
use feiqian_offline_cash::interval::Interval;
use feiqian_offline_cash::reclaim::{
    AttestedSession, ChainClaim, Claim, Followed, SessionRecord, Standing, charge_claims, decide,
};
use feiqian_offline_cash::register::{Deposited, Mark, Register};
use feiqian_offline_cash::withdraw::{Coin, restore};
use feiqian_wire::codec::{decode, encode};
use feiqian_wire::{Bounded, Limit};
use proptest::prelude::*;

use crate::world::{Drawn, NOW, Person, World, at, digest, minor, stream};

fn node(number: u64) -> Node {
    Node::new(number).unwrap()
}

fn record<'a>(person: &'a Person, drawn: &'a Drawn, index: usize) -> SessionRecord<'a> {
    let key: &[u8] = &person.attested.identity.record.signing_key;
    SessionRecord {
        identity: person.secret.public(),
        signing_key: key.try_into().unwrap(),
        commitment: &drawn.answered.commitments[index],
        nu: &drawn.answered.announcements[index].nu,
    }
}

#[test]
fn the_customer_claims_what_was_not_deposited() {
    let mut world = World::new(80);
    let ann = world.person("north", 1);
    let drawn = world.draw(&ann, "session", &[4, 4]);
    let key = world.north.key(4);
    let coin = &drawn.coins[0];
    let nodes = [node(2), node(6)];
    let claim = coin.claim(&ann.customer(), key, &nodes, &ann.signer, &mut stream(1)).unwrap();
    let verified = claim.verify(key, &record(&ann, &drawn, 0)).unwrap();
    assert_eq!((verified.message, &verified.origin), (*coin.tree.message(), &coin.origin));
    let standing = verified.standing(Interval::whole(minor(8)).unwrap(), 0).unwrap();
    let part = |start, length| Interval::new(start, length).unwrap();
    assert_eq!(standing.intervals, [part(0, 4), part(4, 2)]);
    assert_eq!(decode::<Claim>(&encode(&claim).unwrap(), Limit::Small).unwrap(), claim);

    let restored = restore(&ann.customer(), &[key, key], &drawn.answered).unwrap();
    let whole = restored[1].claim(&ann.customer(), key, &ann.signer, &mut stream(2)).unwrap();
    let whole = whole.verify(key, &record(&ann, &drawn, 1)).unwrap();
    assert_eq!(whole.nodes, [Node::ROOT]);
    assert_eq!(whole.message, *drawn.coins[1].tree.message());
}

#[test]
fn a_claim_is_of_one_coin_session_and_customer() {
    let mut world = World::new(81);
    let (ann, bob) = (world.person("north", 1), world.person("north", 2));
    let (drawn, bobs) = (world.draw(&ann, "ann", &[4, 4]), world.draw(&bob, "bob", &[4]));
    let key = world.north.key(4);
    let make = |coin: &Coin, who: &Person| {
        coin.claim(&who.customer(), key, &[node(2)], &who.signer, &mut stream(3)).unwrap()
    };
    let claim = make(&drawn.coins[0], &ann);
    let record = record(&ann, &drawn, 0);
    assert!(claim.verify(key, &record).is_ok());
    let refused = |claim: &Claim, record: &SessionRecord<'_>| claim.verify(key, record).unwrap_err();
    let invalid = |rejection| matches!(rejection, Rejection::ClaimInvalid(_));

    // A false γ, which would claim a coin that never existed, in every way that is open to it.
    for gamma in [Scalar::ZERO, Scalar::ONE, claim.gamma.decode().unwrap() + Scalar::ONE] {
        let gamma = EncodedScalar::from(gamma);
        assert!(invalid(refused(&Claim { gamma, ..claim.clone() }, &record)));
    }
    let gamma = EncodedScalar([0xff; 32]);
    assert!(invalid(refused(&Claim { gamma, ..claim.clone() }, &record)));
    // A coin that was received, claimed as one's own: Bob's signature in Ann's session.
    let foreign = make(&bobs.coins[0], &bob);
    let stolen = Claim { origin: claim.origin.clone(), ..foreign.clone() };
    assert!(invalid(refused(&stolen, &record)));
    // The other coin of the same session.
    let other = SessionRecord { commitment: &drawn.answered.commitments[1], ..record };
    assert!(invalid(refused(&claim, &other)));
    let other = SessionRecord { nu: &drawn.answered.announcements[1].nu, ..record };
    assert!(invalid(refused(&claim, &other)));
    assert!(invalid(refused(&Claim { root: digest("another tree"), ..claim.clone() }, &record)));

    let proof = Rejection::ProofInvalid("claim");
    let nodes = Bounded::new(vec![Node::ROOT]).unwrap();
    assert_eq!(refused(&Claim { nodes, ..claim.clone() }, &record), proof, "more than was proven");
    let mut origin = claim.origin.clone();
    origin.index = 1;
    assert_eq!(refused(&Claim { origin, ..claim.clone() }, &record), proof);
    let identity = SessionRecord { identity: bob.secret.public(), ..record };
    assert_eq!(refused(&claim, &identity), proof);
    let signing_key = bob.signer.public_key();
    let signer = SessionRecord { signing_key: &signing_key, ..record };
    assert_eq!(refused(&claim, &signer), Rejection::SignatureInvalid("claim"));
    assert!(invalid(claim.verify(world.north.key(3), &record).unwrap_err()));
}

#[test]
fn claimed_nodes_are_disjoint_and_of_the_coin() {
    let mut world = World::new(82);
    let ann = world.person("north", 1);
    let drawn = world.draw(&ann, "session", &[3]);
    let key = world.north.key(3);
    for wrong in [&[][..], &[2, 2], &[2, 4], &[1, 7], &[8]] {
        let nodes: Vec<Node> = wrong.iter().map(|number| node(*number)).collect();
        let refused = drawn.coins[0].claim(&ann.customer(), key, &nodes, &ann.signer, &mut stream(4));
        assert!(matches!(refused, Err(Rejection::ClaimInvalid(_))), "{wrong:?}");
    }
    let other =
        drawn.coins[0].claim(&ann.customer(), world.north.key(2), &[node(2)], &ann.signer, &mut stream(4));
    assert!(matches!(other, Err(Rejection::ClaimInvalid(_))), "another key");
}

/// Ann of north passes the left half of a coin of 8 on to Carol of south.
fn passed_on(world: &mut World) -> (Person, Drawn, Person, ChainClaim) {
    let (ann, carol) = (world.person("north", 1), world.person("south", 2));
    let (value, blank) = (world.draw(&ann, "value", &[4]), world.draw(&carol, "blank", &[0]));
    let (coin, taker) = (&value.coins[0], &blank.coins[0]);
    let (nonce, payee) = (digest("nonce"), *taker.tree.message());
    let challenge = transfer_challenge(&START, coin.tree.message(), node(2), &payee, &nonce);
    let piece = coin.tree.spend_again(node(2), &challenge).unwrap();
    let link = Link { hop: Hop { key: coin.key, piece }, nonce };
    let chain =
        Passed { links: Bounded::new(vec![link]).unwrap(), blank: Blank { key: taker.key, message: payee } };
    let key = world.south.key(0);
    let claim = taker.claim(&carol.customer(), key, &[node(3)], &carol.signer, &mut stream(5)).unwrap();
    let session = AttestedSession::attest(
        taker.origin.clone(),
        key.id,
        (blank.answered.commitments[0], blank.answered.announcements[0].nu),
        carol.attested.clone(),
        at(NOW),
        (&world.south.signer, world.south.chain.clone()),
    )
    .unwrap();
    (ann, value, carol, ChainClaim { chain, claim, session })
}

#[test]
fn a_holder_of_received_value_claims_with_the_whole_chain() {
    let mut world = World::new(83);
    let (ann, value, _, claim) = passed_on(&mut world);
    let (chain, standing) = claim.verify(&world.book, &world.root, &mut stream(6)).unwrap();
    assert_eq!(chain.coin(), Some(value.coins[0].tree.message()));
    assert_eq!((standing.hops, &standing.intervals[..]), (1, &[Interval::new(2, 2).unwrap()][..]));
    assert_eq!(standing.claimant, claim.chain.blank.message);

    // Ann, who passed it on, claims the whole coin: Carol's longer chain wins what Carol claims.
    let key = world.north.key(4);
    let whole =
        value.coins[0].claim(&ann.customer(), key, &[Node::ROOT], &ann.signer, &mut stream(7)).unwrap();
    let whole = whole.verify(key, &record(&ann, &value, 0)).unwrap();
    let whole = whole.standing(Interval::whole(minor(8)).unwrap(), 0).unwrap();
    let paid = decide(&[], &[whole.clone(), standing.clone()]);
    assert_eq!(paid[&whole.claimant], minor(6));
    assert_eq!(paid[&standing.claimant], minor(2));
    let paid = decide(&[Interval::new(0, 4).unwrap()], &[whole.clone(), standing.clone()]);
    assert_eq!(
        (paid[&whole.claimant], paid[&standing.claimant]),
        (minor(4), minor(0)),
        "deposits beat claims"
    );
    assert_eq!(decode::<ChainClaim>(&encode(&claim).unwrap(), Limit::Medium).unwrap(), claim);
}

#[test]
fn chain_blank_and_session_must_be_about_each_other() {
    let mut world = World::new(84);
    let (ann, value, carol, claim) = passed_on(&mut world);
    let verify = |claim: &ChainClaim| claim.verify(&world.book, &world.root, &mut stream(8)).map(|_| ());
    assert_eq!(verify(&claim), Ok(()));
    let changed = |change: &dyn Fn(&mut ChainClaim)| {
        let mut claim = claim.clone();
        change(&mut claim);
        verify(&claim)
    };
    let invalid = |verdict: Result<(), Rejection>| matches!(verdict, Err(Rejection::ClaimInvalid(_)));
    assert!(invalid(changed(&|claim| claim.session.origin.index = 1)));
    assert!(invalid(changed(&|claim| claim.session.key = world.north.key(0).id)));
    assert!(invalid(changed(&|claim| claim.chain.blank.message = digest("another blank"))));
    assert!(changed(&|claim| claim.session.nu = EncodedScalar::from(Scalar::ONE)).is_err());
    assert!(changed(&|claim| claim.session.commitment = value.answered.commitments[0]).is_err());
    assert!(changed(&|claim| claim.session.identity = ann.attested.clone()).is_err());
    assert!(
        changed(&|claim| claim.session.chain = world.north.chain.clone()).is_err(),
        "another bank's word"
    );
    assert!(changed(&|claim| claim.session.attested_at = at(NOW + 1)).is_err());
    assert!(
        changed(&|claim| {
            let mut links = claim.chain.links.to_vec();
            links[0].nonce = digest("another nonce");
            claim.chain.links = Bounded::new(links).unwrap();
        })
        .is_err()
    );
    // Value coins are claimed by who withdrew them, not by a chain.
    let key = world.north.key(4);
    let own = value.coins[0].claim(&ann.customer(), key, &[node(3)], &ann.signer, &mut stream(9)).unwrap();
    let session = AttestedSession::attest(
        own.origin.clone(),
        key.id,
        (value.answered.commitments[0], value.answered.announcements[0].nu),
        ann.attested.clone(),
        at(NOW),
        (&world.north.signer, world.north.chain.clone()),
    )
    .unwrap();
    assert!(invalid(verify(&ChainClaim { claim: own, session, ..claim.clone() })));
    assert_eq!(carol.attested.identity.record.bank, claim.session.origin.bank);
}

/// What each claimant is paid, unit by unit.
fn naive(deposited: &[Interval], claims: &[Standing]) -> BTreeMap<Digest, u64> {
    let covers = |interval: &Interval, unit: u64| interval.start() <= unit && unit < interval.end();
    let mut paid: BTreeMap<Digest, u64> = claims.iter().map(|claim| (claim.claimant, 0)).collect();
    for unit in (0..64).filter(|unit| !deposited.iter().any(|interval| covers(interval, *unit))) {
        let claimed =
            claims.iter().filter(|claim| claim.intervals.iter().any(|interval| covers(interval, unit)));
        let best = claimed.max_by_key(|claim| (claim.hops, std::cmp::Reverse(claim.claimant)));
        if let Some(best) = best {
            *paid.get_mut(&best.claimant).unwrap() += 1;
        }
    }
    paid
}

fn arb_interval() -> impl Strategy<Value = Interval> {
    (1_u64..128).prop_map(|number| Interval::whole(minor(64)).unwrap().part(node(number)).unwrap())
}

fn arb_standings() -> impl Strategy<Value = Vec<Standing>> {
    let standing = (0_usize..4, prop::collection::vec(arb_interval(), 0..6));
    prop::collection::vec(standing, 0..8).prop_map(|standings| {
        let named = standings.into_iter().enumerate();
        named
            .map(|(number, (hops, intervals))| Standing {
                claimant: digest(&number.to_string()),
                hops,
                intervals,
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn every_unit_goes_to_the_longest_chain_once(
        deposited in prop::collection::vec(arb_interval(), 0..6),
        claims in arb_standings(),
        rotate in 0_usize..8,
    ) {
        let paid = decide(&deposited, &claims);
        let mut turned = claims.clone();
        turned.rotate_left(rotate.min(claims.len()));
        prop_assert_eq!(&decide(&deposited, &turned), &paid, "the order of filing does not matter");
        let paid: BTreeMap<_, _> = paid.into_iter().map(|(claimant, paid)| (claimant, paid.value())).collect();
        prop_assert_eq!(paid, naive(&deposited, &claims));
    }
}

const VALUE: u64 = 16;

/// Chains of a world with few choices, so that they meet: the next blank is named by the hop before, and none goes below a
/// unit.
fn arb_marks() -> impl Strategy<Value = Vec<Mark>> {
    prop::collection::vec((1_u64..32, 1_u64..3), 1..4).prop_map(|choices| {
        let (mut marks, mut left, mut name) = (Vec::new(), 4, "coin".to_owned());
        for (number, challenge) in choices {
            let number = number >> u64::from(number.ilog2()).saturating_sub(left);
            left -= u64::from(number.ilog2());
            let message = digest(&name);
            marks.push(Mark { message, node: node(number), challenge: Scalar::from(challenge).into() });
            name = format!("{name}/{number}/{challenge}");
        }
        marks
    })
}

/// A payment's challenge is never a transfer's.
fn paid(mut marks: Vec<Mark>, number: u64) -> Deposited {
    if let Some(last) = marks.last_mut() {
        last.challenge = Scalar::from(1_000 + number).into();
    }
    Deposited::new(minor(VALUE), marks).unwrap()
}

/// A blank takes one piece, so there is one claim for a chain; it is on all of the chain.
fn claimed(chains: std::collections::BTreeSet<Vec<Mark>>) -> Vec<Followed> {
    let claim = |marks: Vec<Mark>| {
        let interval = Deposited::new(minor(VALUE), marks.clone()).unwrap().interval();
        let claimant = digest(&format!("claimant of {marks:?}"));
        Followed { standing: Standing { claimant, hops: marks.len(), intervals: vec![interval] }, marks }
    };
    chains.into_iter().map(claim).collect()
}

/// Of one unit: who is paid from circulation, and by whose coin each further claimant is paid; as the rule says it.
fn unit(
    unit: u64,
    deposited: &[Deposited],
    claims: &[Followed],
) -> (Option<Digest>, BTreeMap<Digest, Digest>) {
    let covers = |at: &Interval| at.start() <= unit && unit < at.end();
    let mut before: Vec<&[Mark]> =
        deposited.iter().filter(|chain| covers(&chain.interval())).map(Deposited::marks).collect();
    let mut ranked: Vec<&Followed> = claims.iter().collect();
    ranked.sort_by_key(|claim| (std::cmp::Reverse(claim.standing.hops), claim.standing.claimant));
    let (mut first, mut charged) = (None, BTreeMap::new());
    for claim in ranked {
        if !claim.standing.intervals.iter().any(covers) {
            continue;
        }
        let marks = &claim.marks[..];
        let shared =
            |other: &&[Mark]| other.iter().zip(marks).take_while(|(one, other)| one == other).count();
        match before.iter().map(shared).max() {
            None => first = Some(claim.standing.claimant),
            Some(longest) if longest == marks.len() => {}
            Some(longest) => {
                charged.insert(claim.standing.claimant, marks[longest].message);
            }
        }
        before.push(marks);
    }
    (first, charged)
}

proptest! {
    #[test]
    fn forks_are_charged_unit_by_unit_whatever_the_order_and_prefixes_are_not(
        deposits in prop::collection::vec(arb_marks(), 0..4),
        chains in prop::collection::btree_set(arb_marks(), 0..6),
        rotate in 0_usize..6,
    ) {
        let deposited: Vec<Deposited> =
            (0..).zip(deposits).map(|(number, marks)| paid(marks, number)).collect();
        let claims = claimed(chains);
        let charged = charge_claims(&deposited, &claims);
        let (mut turned, mut reversed) = (claims.clone(), deposited.clone());
        turned.rotate_left(rotate.min(claims.len()));
        reversed.reverse();
        prop_assert_eq!(&charge_claims(&reversed, &turned), &charged, "neither order matters");

        let units: Vec<_> = (0..VALUE).map(|at| unit(at, &deposited, &claims)).collect();
        let mut expected: BTreeMap<(Digest, Digest), u64> = BTreeMap::new();
        for (claimant, holder) in units.iter().flat_map(|(_, charged)| charged) {
            *expected.entry((*claimant, *holder)).or_default() += 1;
        }
        let mut found = BTreeMap::new();
        for (claimant, charges) in &charged {
            for charge in charges {
                prop_assert_eq!(charge.answer.message, charge.before.message);
                prop_assert!(charge.answer.node.overlaps(charge.before.node));
                prop_assert!(charge.answer != charge.before);
                found.insert((*claimant, charge.answer.message), charge.units);
            }
        }
        prop_assert_eq!(found, expected);

        // Circulation pays each unit at most once: deposits first, then the claims that go first.
        let mut register = Register::new(minor(VALUE)).unwrap();
        let redeemed: u64 =
            deposited.iter().map(|chain| register.deposit(chain.clone()).unwrap().circulation).sum();
        let intervals: Vec<Interval> = deposited.iter().map(Deposited::interval).collect();
        let standings: Vec<Standing> = claims.iter().map(|claim| claim.standing.clone()).collect();
        let reclaimed: u64 = decide(&intervals, &standings).values().map(|paid| paid.value()).sum();
        prop_assert_eq!(reclaimed, units.iter().filter(|(first, _)| first.is_some()).count() as u64);
        prop_assert!(redeemed + reclaimed <= VALUE);
    }
}
