//! What a person sees.

use feiqian_cheque::render::{html, svg, terminal};
use feiqian_cheque::{Order, Payee, examine};
use feiqian_pki::RevocationReason;

use crate::world::{NOW, World, amount, lists, order, payee, revoked, text};

fn pages(world: &World) -> [String; 3] {
    let cheque = world.verified(world.long_way());
    [terminal(&cheque), svg(&cheque), html(&cheque)]
}

/// Walks the tags and wants every one closed; answers with the text between them.
fn check_tags(page: &str, void: &[&str]) -> String {
    let (mut open, mut shown) = (Vec::new(), String::new());
    for piece in page.split('<').skip(1) {
        let (tag, after) = piece.split_once('>').unwrap();
        assert!(!after.contains('>') || open.last() == Some(&"style"), "a bare > in {after:?}");
        let name = tag.split([' ', '/', '\n']).next().unwrap();
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed));
        } else if !tag.ends_with('/') && !tag.starts_with('!') && !void.contains(&name) {
            open.push(name);
        }
        shown.push_str(after);
    }
    assert!(open.is_empty(), "{open:?}");
    shown
}

#[test]
fn everything_a_cheque_says_is_on_every_page() {
    let world = World::new(90);
    for page in pages(&world) {
        let plain =
            page.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
        for needed in [
            "Bob's Tea <House> & Söhne"
                .replace('\'', if page.contains("&#39;") { "&#39;" } else { "'" })
                .as_str(),
            "250.00 CNY",
            "Two hundred fifty and 00/100 CNY",
            "人民币贰佰伍拾元整",
            "2026-12-01",
            "000007",
            "NEGOTIABLE",
            "for \"tea\" & <cake>",
            "invoice.txt",
            "customer alice of north",
            "countersign",
            "technical · center center",
            "paid · bank north",
            "certify",
            "endorse",
            "CAROL",
            "VALID",
            "settled",
        ] {
            assert!(plain.contains(needed), "{needed} is missing in {page}");
        }
        assert!(!page.contains("NOT VALID"));
    }
}

#[test]
fn pages_are_well_formed_and_load_nothing() {
    let world = World::new(91);
    let [text, svg, html] = pages(&world);
    check_tags(&svg, &[]);
    let shown = check_tags(&html, &["meta", "br"]);
    assert!(shown.contains("&lt;House&gt;"));
    for page in [&svg, &html] {
        assert!(!page.contains("<House>") && !page.contains("<cake>"));
        for loader in ["<script", "<link", "<img", "@import", "url(", "href", "src=", "onload", "https://"] {
            assert!(!page.contains(loader), "{loader}");
        }
        let elsewhere = page.matches("http://").count();
        assert_eq!(elsewhere, usize::from(page.starts_with("<svg")), "only the namespace's name");
    }
    assert!(text.lines().all(|line| !line.is_empty()));
}

#[test]
fn markup_in_every_text_stays_text() {
    let world = World::new(92);
    let nasty = r#"</title></text><script>alert("1")</script>'&amp;"#;
    let attachments = order(true).attachments.into_iter().map(|(_, kind, file)| (text(nasty), kind, file));
    let bent = Order {
        payee: Payee { name: text(nasty), ..payee(&world.bob) },
        memo: text(nasty),
        attachments: attachments.collect(),
        ..order(true)
    };
    let cheque = world.verified(world.issued(bent));
    for page in [svg(&cheque), html(&cheque)] {
        assert!(!page.contains("<script"), "{page}");
        check_tags(&page, &["meta", "br"]);
    }
}

#[test]
fn long_texts_are_shown_whole_in_lines_of_one_width() {
    let world = World::new(93);
    let long = Order {
        payee: Payee { name: text(&"飞钱".repeat(21)), ..payee(&world.bob) },
        amount: amount(9_223_372_036_854_775_807),
        memo: text(&"w".repeat(256)),
        ..order(false)
    };
    let cheque = world.verified(world.issued(long));
    let page = terminal(&cheque);
    let kept: String = page.chars().filter(|it| *it == 'w').collect();
    assert!(kept.len() >= 256);
    let wide = |line: &str| -> usize {
        line.chars().map(|it| if ('\u{2e80}'..='\u{ffff}').contains(&it) { 2 } else { 1 }).sum()
    };
    assert!(page.lines().all(|line| wide(line) == 80), "{page}");
    assert!(page.contains("A/C PAYEE ONLY"));
    let joined: String = page.chars().filter(|it| "飞钱".contains(*it)).collect();
    assert_eq!(joined.chars().count(), 42);
}

#[test]
fn a_bad_cheque_says_which_signature_is_bad() {
    let world = World::new(94);
    let bundle = world.issued(order(false)).without_attachments();
    let entry = [revoked(&world.alice, &world.root, NOW - 1, RevocationReason::KeyCompromise)];
    let lists = lists(&[], &entry, &[], &world, NOW);
    let trust = feiqian_cheque::Trust::new(&world.root, &lists, feiqian_wire::Timestamp::new(NOW));
    let examined = examine(bundle, &trust).unwrap();
    assert!(examined.signatures()[0].fault.is_some() && examined.signatures()[1].fault.is_none());
    for page in [terminal(&examined), svg(&examined), html(&examined)] {
        assert!(page.contains("NOT VALID") && page.contains("is revoked"), "{page}");
        assert!(page.contains("(removed)"));
    }
    let drawn = examine(world.draw(order(false)).into_bundle(), &world.trust()).unwrap();
    assert!(terminal(&drawn).contains("has not countersigned"));
}
