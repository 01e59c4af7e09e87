//! Cheque files and certificates: what `openssl` says, what a changed byte does, attachments, revocation.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cheque_tools::{
    HOMES, altered, clearing, deposit, give_in, is_paid, order, patient, register, write,
};
use crate::world::{World, wait_until, words};

/// What anybody types who has a cheque and no program of ours; the book shows the same three lines.
const RECIPE: &str = r#"sed -E 's/.*"blocks":\[\{"payload":"([^"]*)","protected":"([^"]*)".*/\2.\1/' rent.json | tr -d '\n' > signed.txt
cut -d. -f1 signed.txt | sed -E 's/$/===/; s/^((.{4})*).*/\1/' | tr -- -_ +/ | openssl base64 -d -A | sed -E 's/.*"x5c":\["([^"]*)".*/\1/' | openssl base64 -d -A | openssl x509 -inform DER -out drawer.pem
sed -E 's/.*"blocks":\[\{[^}]*"signature":"([^"]*)".*/\1==/' rent.json | tr -- -_ +/ | openssl base64 -d -A | openssl pkeyutl -verify -rawin -certin -inkey drawer.pem -in signed.txt -sigfile /dev/stdin
"#;

/// And to see that the drawer's certificate leads to the center's root and is not revoked.
const CHAIN: &str = r#"curl -s --cacert root.pem -H 'accept: application/json' $CENTER/v1/crl | tr '"' '\n' | grep '^30' | while read -r list; do echo "$list" | xxd -r -p | openssl crl -inform DER; done > lists.pem
cut -d. -f1 signed.txt | sed -E 's/$/===/; s/^((.{4})*).*/\1/' | tr -- -_ +/ | openssl base64 -d -A | sed -E 's/.*"x5c":\["[^"]*","([^"]*)".*/\1/' | openssl base64 -d -A | openssl x509 -inform DER -out bank.pem
openssl verify -x509_strict -CAfile root.pem -untrusted bank.pem -crl_check_all -CRLfile lists.pem drawer.pem
"#;

const BOOK: &str = include_str!("../docs/src/cheques.md");

/// What a script says in this folder, and whether its last line was content.
fn shell(world: &World, folder: &Path, script: &str) -> (bool, String) {
    let center = world.url("center").split_once('#').unwrap().0.to_owned();
    let run = Command::new("sh").current_dir(folder).env("CENTER", center).args(["-c", script]).output();
    let output = run.expect("sh, openssl, curl and xxd are needed by this test");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether the recipe accepts the cheque in this folder.
fn openssl(world: &World, folder: &Path) -> bool {
    for left in ["signed.txt", "drawer.pem"] {
        let _ = std::fs::remove_file(folder.join(left));
    }
    let (good, said) = shell(world, folder, RECIPE);
    assert_eq!(good, said.contains("Signature Verified Successfully"), "{said}");
    good
}

/// Whether the chain holds of the cheque that the recipe looked at last.
fn chain_holds(world: &World, folder: &Path) -> bool {
    let (good, said) = shell(world, folder, CHAIN);
    assert_eq!(good, said.contains("drawer.pem: OK"), "{said}");
    good
}

#[test]
fn openssl_alone_accepts_what_was_written_and_refuses_one_changed_byte() {
    assert!(BOOK.contains(RECIPE) && BOOK.contains(CHAIN), "the book shows other commands");
    let world = clearing("gross");
    let cheque = write(&world, "alice", "south/shop", "250.00", "rent", &["--memo", "rent"]);
    let folder = world.folder().join("elsewhere");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(world.home("center").join("root.pem"), folder.join("root.pem")).unwrap();
    let file = std::fs::read(cheque.path(&world)).unwrap();
    let spoiled = folder.join("rent.json");
    let put = |bytes: &[u8]| std::fs::write(&spoiled, bytes).unwrap();
    let spoiled = spoiled.to_str().unwrap();
    put(&file);
    assert!(openssl(&world, &folder) && chain_holds(&world, &folder));
    let text = String::from_utf8(file.clone()).unwrap();
    let center = world.url("center");
    world.ok(&["verify", spoiled, "--center", &center]);
    for member in ["\"payload\":\"", "\"protected\":\"", "\"signature\":\""] {
        // Inside the first block, well away from the padding bits of its last character.
        let start = text.find(member).unwrap() + member.len() + 30;
        let mut changed = file.clone();
        changed[start] = if changed[start] == b'A' { b'B' } else { b'A' };
        put(&changed);
        assert!(!openssl(&world, &folder), "{member} changed");
        assert_eq!(world.run(&["verify", spoiled, "--center", &center]).exit, Some(1), "{member} changed");
        let answer = patient(&world, &["merchant", "cheque", "deposit", "--home", "@shop", spoiled]);
        assert_eq!(answer.exit, Some(1), "{member} changed: {}", answer.value);
        let verdict = patient(&world, &["merchant", "cheque", "verify", "--home", "@shop", spoiled]);
        assert_ne!(verdict.value["good"], json!(true), "{member} changed: {}", verdict.value);
    }
    // Another center's root vouches for nobody here.
    world.ok(&["center", "init", "--home", "@other", "--name", "other"]);
    let other = world.home("other").join("root.pem");
    put(&file);
    let refused = world.run(&["verify", spoiled, "--root", other.to_str().unwrap()]);
    refused.refused("CERTIFICATE_INVALID");
    assert!(openssl(&world, &folder) && chain_holds(&world, &folder));
    // A revoked certificate is refused once the center shows its bank's new list.
    let revoked = serial(&world, "alice");
    world.ok(&["wallet", "certificate", "revoke", "--home", "@alice", &revoked]);
    let refused = wait_until(crate::cheque_tools::PATIENCE, || (!chain_holds(&world, &folder)).then_some(()));
    assert!(refused.is_some());
    is_paid(&world, "shop", &cheque.file);
}

#[test]
fn every_part_of_a_file_is_guarded() {
    let world = clearing("gross");
    let cheque = write(&world, "alice", "south/shop", "44.00", "given", &[]);
    let other = write(&world, "alice", "south/shop", "1.00", "other", &[]);
    let text = std::fs::read_to_string(cheque.path(&world)).unwrap();
    let others: Value = serde_json::from_str(&std::fs::read_to_string(other.path(&world)).unwrap()).unwrap();
    let put = |name: &str, text: &str| {
        std::fs::write(world.home(name), text).unwrap();
        format!("@{name}")
    };
    let bad = [
        put("spaces.json", &text.replacen(',', ", ", 1)),
        put("trailing.json", &format!("{text}{{}}")),
        put("twice.json", &text.replacen('{', "{\"attachments\":[],", 1)),
        put("empty.json", ""),
        altered(&world, &cheque.file, "no-blocks.json", |file| file["blocks"] = json!([])),
        altered(&world, &cheque.file, "uncountersigned.json", |file| {
            file["blocks"].as_array_mut().unwrap().pop();
        }),
        altered(&world, &cheque.file, "foreign-block.json", |file| {
            file["blocks"][1] = others["blocks"][1].clone();
        }),
        altered(&world, &cheque.file, "doubled.json", |file| {
            let last = file["blocks"][1].clone();
            file["blocks"].as_array_mut().unwrap().push(last);
        }),
        altered(&world, &cheque.file, "more.json", |file| file["more"] = json!(1)),
        altered(&world, &cheque.file, "attached.json", |file| {
            file["attachments"] = json!([{"data": "aGk", "sha256": "00".repeat(32)}]);
        }),
    ];
    for file in &bad {
        for command in [
            ["merchant", "cheque", "deposit", "--home", "@shop", file],
            ["wallet", "cheque", "deposit", "--home", "@bob", file],
        ] {
            let answer = patient(&world, &command);
            assert_eq!(answer.exit, Some(1), "{command:?}: {}", answer.value);
            assert!(!answer.code().is_empty());
        }
    }
    assert_eq!(world.account("north", "alice"), "1000.00");
    is_paid(&world, "shop", &cheque.file);
    world.books_hold(&HOMES);
}

#[test]
fn an_attachment_can_be_taken_out_but_not_changed() {
    let world = clearing("gross");
    std::fs::write(world.home("bill.txt"), "one chair, 99.00").unwrap();
    let path = world.home("bill.txt");
    let cheque = write(&world, "alice", "south/shop", "99.00", "with", &["--attach", path.to_str().unwrap()]);
    let file: Value = serde_json::from_str(&std::fs::read_to_string(cheque.path(&world)).unwrap()).unwrap();
    assert_eq!(file["attachments"].as_array().unwrap().len(), 1);
    let changed = altered(&world, &cheque.file, "changed.json", |file| {
        let data = file["attachments"][0]["data"].as_str().unwrap().to_owned();
        let first = if data.starts_with('b') { "c" } else { "b" };
        file["attachments"][0]["data"] = json!(format!("{first}{}", &data[1..]));
    });
    assert_eq!(give_in(&world, "shop", &changed).exit, Some(1));
    let without = altered(&world, &cheque.file, "without.json", |file| file["attachments"] = json!([]));
    let verdict = patient(&world, &["merchant", "cheque", "verify", "--home", "@shop", &without]).ok();
    assert_eq!((&verdict["good"], &verdict["cheque"]), (&json!(true), &json!(cheque.id)), "{verdict}");
    is_paid(&world, "shop", &without);
    let told = deposit(&world, "shop", &cheque.file);
    assert_eq!(told["outcome"], "paid", "it is the same cheque: {told}");
    assert_eq!(world.account("south", "shop"), "99.00");
    world.books_hold(&HOMES);
}

#[test]
fn shown_as_a_page_a_picture_and_in_the_terminal() {
    let world = clearing("gross");
    let cheque = write(&world, "alice", "south/shop", "250.07", "rent", &["--memo", "<b>&rent"]);
    let (center, path) = (world.url("center"), cheque.path(&world));
    let shown = [
        "cheque",
        "show",
        path.to_str().unwrap(),
        "--center",
        &center,
        "--html",
        "@page.html",
        "--svg",
        "@picture.svg",
    ];
    let value = world.ok(&shown);
    assert_eq!(
        (&value["valid"], &value["trusted"], &value["amount"]),
        (&json!(true), &json!(true), &json!("250.07")),
        "{value}"
    );
    let (page, picture) = (
        std::fs::read_to_string(world.home("page.html")).unwrap(),
        std::fs::read_to_string(world.home("picture.svg")).unwrap(),
    );
    for text in [&page, &picture] {
        assert!(text.contains("250.07") && text.contains("贰佰伍拾"), "{text}");
        assert!(
            text.contains("&lt;b&gt;&amp;rent") && !text.contains("<b>&"),
            "what the drawer wrote is no markup"
        );
    }
    assert!(picture.contains("<svg") && page.contains("<html"));
    // Without a root nothing is shown as good.
    let value = world.ok(&["cheque", "show", path.to_str().unwrap()]);
    assert_eq!((&value["valid"], &value["trusted"]), (&json!(false), &json!(false)), "{value}");
}

/// The serial number of the certificate for documents that is in use.
fn serial(world: &World, name: &str) -> String {
    let listed = world.ok(&["wallet", "certificate", "list", "--home", &format!("@{name}")]);
    assert_eq!(listed["bank"], "answered", "{listed}");
    let all = listed["certificates"].as_array().unwrap();
    let found = all
        .iter()
        .find(|it| it["purpose"] == "documents" && it["current"] == true && it["revoked"].is_null());
    found.unwrap_or_else(|| panic!("{listed}"))["serial"].as_str().unwrap().to_owned()
}

#[test]
fn a_revoked_drawer_writes_nothing_more_and_what_was_countersigned_before_holds() {
    let world = clearing("gross");
    let before = write(&world, "alice", "south/shop", "10.00", "before", &[]);
    let revoked = serial(&world, "alice");
    // Times are whole seconds, and what is revoked in the second of the countersignature is refused.
    std::thread::sleep(Duration::from_millis(1_100));
    world.ok(&["wallet", "certificate", "revoke", "--home", "@alice", &revoked]);
    // At once, at the bank: no list has to travel for that.
    let again = words("wallet cheque write --home @alice --to south/shop --amount 2.00 --out @after.json");
    let refused = patient(&world, &again);
    assert_eq!(refused.exit, Some(1), "{}", refused.value);
    assert!(!world.home("after.json").exists());
    // And at the center, as soon as it has the list.
    let held = world.ok(&["wallet", "certificate", "list", "--home", "@alice"]);
    assert!(
        held["certificates"]
            .as_array()
            .unwrap()
            .iter()
            .any(|it| it["serial"] == revoked.as_str() && !it["revoked"].is_null()),
        "{held}"
    );
    // The countersignature says that it was good when it was written.
    is_paid(&world, "shop", &before.file);
    // With a new certificate she writes again.
    let code = world.enrol("north", "alice", "customer");
    world.ok(&["wallet", "certificate", "apply", "--home", "@alice", "--code", &code]);
    assert_ne!(serial(&world, "alice"), revoked);
    let after = write(&world, "alice", "south/shop", "3.00", "new", &[]);
    is_paid(&world, "shop", &after.file);
    assert_eq!(world.account("south", "shop"), "13.00");
    world.books_hold(&HOMES);
}

#[test]
fn a_revoked_payee_does_not_collect_until_it_has_a_new_certificate() {
    let world = clearing("gross");
    let cheque = write(&world, "alice", "south/bob", "10.00", "cheque", &[]);
    let revoked = serial(&world, "bob");
    world.ok(&["wallet", "certificate", "revoke", "--home", "@bob", &revoked, "--compromised"]);
    let refused = give_in(&world, "bob", &cheque.file);
    assert_ne!(refused.value["paid"], json!(true), "{}", refused.value);
    assert_eq!(refused.exit, Some(1), "{}", refused.value);
    assert_eq!(register(&world, "alice", &cheque.number)["state"], "ISSUED");
    let code = world.enrol("south", "bob", "customer");
    world.ok(&["wallet", "certificate", "apply", "--home", "@bob", "--code", &code]);
    is_paid(&world, "bob", &cheque.file);
    world.books_hold(&HOMES);
}

#[test]
fn certificates_are_renewed_and_deleted() {
    let world = clearing("gross");
    let old = serial(&world, "alice");
    let renewed = world.ok(&["wallet", "certificate", "renew", "--home", "@alice"]);
    assert_eq!(renewed["renewed"], true, "{renewed}");
    assert_eq!(renewed["serial"], serial(&world, "alice").as_str());
    assert_ne!(serial(&world, "alice"), old);
    let cheque = write(&world, "alice", "south/shop", "10.00", "cheque", &[]);
    is_paid(&world, "shop", &cheque.file);
    // Keys in use go only when that is said aloud.
    let kept = world.run(&["wallet", "certificate", "delete", "--home", "@alice"]);
    assert_eq!(kept.exit, Some(1), "{}", kept.value);
    write(&world, "alice", "south/shop", "1.00", "still", &[]);
    world.ok(&["wallet", "certificate", "delete", "--home", "@alice", "--force"]);
    let gone = world.run(&["wallet", "cheque", "list", "--home", "@alice"]);
    assert_eq!(gone.exit, Some(1), "{}", gone.value);
    let code = world.enrol("north", "alice", "customer");
    world.ok(&["wallet", "certificate", "apply", "--home", "@alice", "--code", &code]);
    let cheque = write(&world, "alice", "south/shop", "7.00", "again", &[]);
    is_paid(&world, "shop", &cheque.file);
    assert_eq!(world.account("south", "shop"), "17.00");
    world.books_hold(&HOMES);
}

/// The revocation lists that a center shows, each in a file.
fn lists(world: &World) -> Vec<String> {
    let url = world.url("center").split_once('#').unwrap().0.to_owned();
    let root = world.home("center").join("root.pem");
    let body = world.home("lists");
    let asked = Command::new("curl")
        .args([
            "-sS",
            "-f",
            "--cacert",
            root.to_str().unwrap(),
            "-H",
            "Accept: application/json",
            "-o",
            body.to_str().unwrap(),
        ])
        .arg(format!("{url}/v1/crl"))
        .status();
    assert!(asked.expect("curl is needed by this test").success());
    let shown: Value = serde_json::from_slice(&std::fs::read(&body).unwrap()).unwrap();
    let mut files = Vec::new();
    for (number, list) in shown.as_array().unwrap().iter().enumerate() {
        let path = world.home(&format!("list-{number}.der"));
        std::fs::write(&path, list_bytes(list)).unwrap();
        files.push(path.to_str().unwrap().to_owned());
    }
    files
}

fn list_bytes(list: &Value) -> Vec<u8> {
    hex::decode(list.as_str().unwrap()).unwrap()
}

#[test]
fn without_every_authoritys_list_nothing_is_believed() {
    let world = clearing("gross");
    let cheque = write(&world, "alice", "south/shop", "10.00", "cheque", &[]);
    let path = cheque.path(&world).to_str().unwrap().to_owned();
    let root = world.home("center").join("root.pem").to_str().unwrap().to_owned();
    let lists = lists(&world);
    assert!(lists.len() >= 3, "center, north and south: {lists:?}");
    let verify = |chosen: &[&String]| {
        let mut arguments = vec!["verify", path.as_str(), "--root", root.as_str()];
        for list in chosen {
            arguments.extend(["--crl", list.as_str()]);
        }
        world.run(&arguments)
    };
    let all: Vec<&String> = lists.iter().collect();
    assert_eq!(verify(&all).ok()["trusted"], true);
    assert_eq!(verify(&[]).exit, Some(1), "no list at all");
    let mut needed = 0;
    for missing in 0..lists.len() {
        let rest: Vec<&String> =
            lists.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, list)| list).collect();
        needed += usize::from(verify(&rest).exit != Some(0));
    }
    assert_eq!(needed, 2, "the root's list and the drawee's");
    order(&world, "void", &cheque.number, &[]).ok();
}

#[test]
fn a_bank_whose_authority_is_revoked_is_believed_no_more() {
    let world = clearing("gross");
    let cheque = write(&world, "alice", "south/shop", "10.00", "cheque", &[]);
    let other = write(&world, "alice", "south/shop", "5.00", "other", &[]);
    is_paid(&world, "shop", &other.file);
    let revoke = ["center", "revoke", "--home", "@center", "--bank", "north", "--reason"];
    world.run(&[&revoke[..], &["weather"]].concat()).refused("USAGE");
    world.run(&[&revoke[..], &["key_compromise"]].concat()).ok();
    let (center, path) = (world.url("center"), cheque.path(&world));
    let refused = wait_until(crate::cheque_tools::PATIENCE, || {
        (world.run(&["verify", path.to_str().unwrap(), "--center", &center]).exit == Some(1)).then_some(())
    });
    assert!(refused.is_some());
    let answer = give_in(&world, "shop", &cheque.file);
    assert_ne!(answer.value["paid"], json!(true), "{}", answer.value);
    assert_eq!(world.account("south", "shop"), "5.00");
}
