//! Learning the root.

use feiqian_node::{Endpoint, NetworkError, TrustPin, first_contact};
use feiqian_pki::{Purpose, Role};

use crate::world::World;

fn reason(error: NetworkError) -> String {
    match error {
        NetworkError::Untrusted { reason, .. } => reason,
        other => panic!("expected distrust, got {other:?}"),
    }
}

#[tokio::test]
async fn a_pin_finds_its_root_and_no_other() {
    let (world, other) = (World::new("center"), World::new("other"));
    let node = world.node().await;
    let pin = TrustPin { fingerprint: Some(world.trusted().fingerprint()) };
    let endpoint: Endpoint = node.endpoint(pin).to_string().parse().unwrap();
    assert_eq!(first_contact(&endpoint, world.clock.clone()).await.unwrap(), world.trusted());
    let pin = TrustPin { fingerprint: Some(other.trusted().fingerprint()) };
    let refused = reason(first_contact(&node.endpoint(pin), world.clock.clone()).await.unwrap_err());
    assert!(refused.contains("pinned"), "{refused}");
}

#[tokio::test]
async fn without_a_pin_only_this_machine_is_believed() {
    let world = World::new("center");
    let node = world.node().await;
    let endpoint = node.endpoint(TrustPin::default());
    assert_eq!(first_contact(&endpoint, world.clock.clone()).await.unwrap(), world.trusted());
    let far: Endpoint = "https://192.0.2.1:7000".parse().unwrap();
    let refused = reason(first_contact(&far, world.clock.clone()).await.unwrap_err());
    assert!(refused.contains("sha256"), "{refused}");
}

#[tokio::test]
async fn a_root_that_does_not_stand_behind_the_node_is_refused() {
    let (world, other) = (World::new("center"), World::new("other"));
    let node = world.node().await;
    // A node that shows somebody else's root with its own certificate.
    let (key, chain) = other.leaf(Role::Bank, "first", Purpose::Node);
    let leaf_and_authority = chain.certificates().iter().take(2).cloned().collect();
    let chain = feiqian_pki::Chain::new(leaf_and_authority).unwrap();
    node.identity.renew(&feiqian_node::Identity::new(key, chain, world.trusted())).unwrap();
    let pin = TrustPin { fingerprint: Some(world.trusted().fingerprint()) };
    reason(first_contact(&node.endpoint(pin), world.clock.clone()).await.unwrap_err());
}
