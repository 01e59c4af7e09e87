//! A payment in a file, as `wallet pay --out` writes it, checked by anybody against what the center shows.

use serde_json::Value;

use crate::world::World;

#[test]
fn a_payment_in_a_file_is_verified_by_anybody() {
    let mut world = World::shopping("20.00");
    let center = world.url("center");
    let uri = world.request("7.50", "F-1");
    let file = world.home("payment.fq").display().to_string();
    world.ok(&["wallet", "pay", "--home", "@alice", &uri, "--out", &file]);

    let found = world.ok(&["verify", &file, "--center", &center]);
    for (field, expected) in
        [("kind", "payment"), ("amount", "7.50"), ("payee", "shop"), ("order", "F-1"), ("register", "open")]
    {
        assert_eq!(found[field], expected, "{found}");
    }
    assert_eq!((&found["valid"], &found["trusted"]), (&Value::Bool(true), &Value::Bool(true)), "{found}");

    let alone = world.run(&["verify", &file]);
    alone.refused("USAGE");
    assert_eq!(alone.exit, Some(2), "without a center nobody knows the coins' keys");
    let other = "00".repeat(32);
    world.run(&["verify", &file, "--center", &center, "--root", &other]).refused("WRONG_ROOT");

    let mut changed: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    changed["request"]["request"]["order"] = Value::from("F-2");
    std::fs::write(&file, changed.to_string()).unwrap();
    let refused = world.run(&["verify", &file, "--center", &center]);
    assert_eq!(refused.exit, Some(1), "another order than the payee signed");
    refused.refused("SIGNATURE_INVALID");
    world.stop_all();
}
