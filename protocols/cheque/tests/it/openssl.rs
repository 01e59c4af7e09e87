//! The `openssl` command line alone verifies a cheque file: base64 and the leaf's key, nothing of ours.
//!
//! `openssl` is required; without it these tests fail.

use std::path::Path;
use std::process::Command;

use feiqian_cheque::{Bundle, verify};
use tempfile::TempDir;

use crate::world::{World, order};

/// What a person types, for block `$1` of `$2`; `sed` stands for any way to take a member out of JSON.
const RECIPE: &str = r#"
set -e
n=$(( $1 + 1 ))
member() { grep -o "\"$1\":\"[A-Za-z0-9_-]*\"" "$2" | sed -n "${n}p" | cut -d'"' -f4; }
unbase64() { tr -- '-_' '+/' | awk '{ while (length($0) % 4) $0 = $0 "="; print }' | openssl base64 -d -A; }
member protected "$2" | unbase64 | grep -o '"x5c":\["[^"]*"' | cut -d'"' -f4 | openssl base64 -d -A | openssl x509 -inform DER -noout -pubkey > leaf.pub
printf '%s.%s' "$(member protected "$2")" "$(member payload "$2")" > signed; member signature "$2" | unbase64 > signature
openssl pkeyutl -verify -pubin -inkey leaf.pub -rawin -in signed -sigfile signature
"#;

fn openssl(dir: &Path, block: usize) -> bool {
    let output = Command::new("bash")
        .current_dir(dir)
        .args(["-o", "pipefail", "-c", RECIPE, "recipe", &block.to_string(), "cheque.json"])
        .output()
        .expect("bash and openssl are needed by this test");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let good = output.status.success();
    assert_eq!(good, said.contains("Signature Verified Successfully"), "{said}");
    good
}

#[test]
fn openssl_alone_verifies_every_block_and_refuses_a_changed_byte() {
    let world = World::new(80);
    let bundle = world.long_way().without_attachments();
    let dir = TempDir::new().unwrap();
    let file = bundle.to_bytes().unwrap();
    let path = dir.path().join("cheque.json");
    std::fs::write(&path, &file).unwrap();
    for block in 0..bundle.blocks.len() {
        assert!(openssl(dir.path(), block), "block {block}");
    }
    // One character of a payload, of a signature, of a header's type.
    let text = String::from_utf8(file).unwrap();
    for member in ["\"payload\":\"", "\"signature\":\"", "\"protected\":\""] {
        let start = text.find(member).unwrap() + member.len() + 30;
        let mut changed = text.clone().into_bytes();
        changed[start] = if changed[start] == b'A' { b'B' } else { b'A' };
        std::fs::write(&path, &changed).unwrap();
        assert!(!openssl(dir.path(), 0), "{member} changed");
        let ours = Bundle::from_bytes(&changed).is_ok_and(|bundle| verify(bundle, &world.trust()).is_ok());
        assert!(!ours, "{member} changed");
        assert!(openssl(dir.path(), 1), "the next block is as it was");
    }
}

#[test]
fn openssl_accepts_the_chain_of_a_block() {
    let world = World::new(81);
    let bundle = world.issued(order(false));
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("root.pem"), world.root.to_pem()).unwrap();
    std::fs::write(dir.path().join("cheque.json"), bundle.to_bytes().unwrap()).unwrap();
    let script = r#"
set -e
header=$(grep -o '"protected":"[A-Za-z0-9_-]*"' cheque.json | sed -n 1p | cut -d'"' -f4 | tr -- '-_' '+/' | awk '{ while (length($0) % 4) $0 = $0 "="; print }' | openssl base64 -d -A)
x5c=$(printf %s "$header" | grep -o '"x5c":\[.*\]')
printf %s "$x5c" | cut -d'"' -f4 | openssl base64 -d -A | openssl x509 -inform DER > leaf.pem
printf %s "$x5c" | cut -d'"' -f6 | openssl base64 -d -A | openssl x509 -inform DER > authority.pem
openssl verify -x509_strict -check_ss_sig -attime 1796119200 -CAfile root.pem -untrusted authority.pem leaf.pem
"#;
    let output = Command::new("bash").current_dir(dir.path()).args(["-c", script]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
