//! Whom the members' view is taken from, and whose receipts it judges.

use feiqian_clearing::membership::{BankEntry, Directory};
use feiqian_node::{MemberView, Members, Target};
use feiqian_online_cash::signed::WireChain;
use feiqian_pki::{Purpose, Role};
use feiqian_wire::{Blob, Bounded, Code, Name, Text, Timestamp};

use crate::world::{NOW, World};

const YEAR: u64 = 365 * 86_400;

fn at(seconds: u64) -> Timestamp {
    Timestamp::new(seconds)
}

#[tokio::test]
async fn no_other_node_of_the_root_poses_as_the_center() {
    let world = World::new("center");
    let bank = world.node().await;
    let members = Members::new(MemberView::empty(world.trusted()), &bank.url);
    assert_eq!(*members.center(), Target::named(&bank.url, Role::Center, "center"));
    let fault = members.sync(&world.nobody(), at(NOW)).await.unwrap_err();
    assert_eq!(fault.code, Code::Unavailable);
    assert!(fault.message.contains("is not to be trusted"), "{fault}");
}

#[test]
fn a_receipt_outlives_the_certificate_it_was_signed_under() {
    let world = World::new("center");
    let (key, chain) = world.leaf(Role::Bank, "first", Purpose::Signing);
    let entry = BankEntry {
        name: Name::new("first").unwrap(),
        currency: "CNY".parse().unwrap(),
        url: Text::default(),
        authority: Blob::new(world.bank.chain().leaf()).unwrap(),
        signer: WireChain::from_chain(&chain).unwrap().0,
    };
    let directory = Directory { banks: Bounded::new(vec![entry]).unwrap() };
    let view = MemberView::restore(world.trusted(), &directory, Vec::new(), at(NOW)).unwrap();
    let late = at(NOW + YEAR + 10);
    assert_eq!(view.signer("first", late).unwrap_err().code, Code::CertificateInvalid);
    assert_eq!(view.receipt_signer("first", at(NOW + 5), late).unwrap(), key.public_key());
    // Signed after the end, or said to be signed in a future in which it is valid.
    for (signed, now) in [(at(NOW + YEAR + 5), late), (at(NOW + 5), at(NOW - YEAR))] {
        assert_eq!(view.receipt_signer("first", signed, now).unwrap_err().code, Code::CertificateInvalid);
    }
}

#[test]
fn views_share_what_is_the_same_and_keep_what_is_their_own() {
    let world = World::new("center");
    let entry = |url: &str| BankEntry {
        name: Name::new("first").unwrap(),
        currency: "CNY".parse().unwrap(),
        url: Text::new(url).unwrap(),
        authority: Blob::new(world.bank.chain().leaf()).unwrap(),
        signer: Bounded::default(),
    };
    let view = |url: &str| {
        let directory = Directory { banks: Bounded::new(vec![entry(url)]).unwrap() };
        MemberView::restore(world.trusted(), &directory, Vec::new(), at(NOW)).unwrap()
    };
    let (one, same, other) = (view("https://one:1"), view("https://one:1"), view("https://other:1"));
    let shares = |a: &MemberView, b: &MemberView| std::ptr::eq(a.members(), b.members());
    assert!(!shares(&one, &same) && shares(&same.sharing(&one), &one));
    let kept = other.sharing(&one);
    assert!(shares(&kept, &other), "what differs stays its own");
    assert_eq!(kept.member("first").unwrap().entry.url.as_str(), "https://other:1");
}
