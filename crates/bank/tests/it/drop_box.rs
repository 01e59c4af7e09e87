//! Drop boxes.

use feiqian_crypto::Scalar;
use feiqian_online_cash::coin::public_key;
use feiqian_online_cash::drop_box::{BoxAccess, BoxAction, BoxMessages, MAX_MESSAGES, PutRequest, Sealed};
use feiqian_wire::Timestamp;
use feiqian_wire::error::{Code, Fault};

use crate::world::{NOW, Node, World, code, rng};

fn put_request(secret: &Scalar, text: &[u8], n: u64, keep: u64) -> PutRequest {
    let payee = public_key(secret);
    let message = Sealed::seal(&payee, text, &mut rng(n)).unwrap();
    PutRequest { payee, message, keep_until: Timestamp::new(NOW + keep) }
}

async fn put(node: &Node, request: &PutRequest) -> Result<(), Fault> {
    node.ask(None, "/v1/drop/put", request).await
}

async fn access(node: &Node, secret: &Scalar, action: BoxAction) -> Vec<Sealed> {
    let access = BoxAccess::sign("north", secret, action, &mut rng(2)).unwrap();
    let answer: BoxMessages = node.ask(None, "/v1/drop/access", &access).await.unwrap();
    answer.messages.into_vec()
}

#[tokio::test]
async fn messages_wait_for_their_owner_within_bounds() {
    let world = World::new();
    let node = world.tuned("north", 10, |config| config.drop_box.total_bytes = 2000).await;
    let (secret, other) = (Scalar::from(7_u64), Scalar::from(8_u64));
    let first = put_request(&secret, b"a payment", 1, 100);
    put(&node, &first).await.unwrap();
    put(&node, &first).await.unwrap();
    let found = access(&node, &secret, BoxAction::Collect).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].open(&secret).unwrap(), b"a payment");
    assert!(access(&node, &other, BoxAction::Collect).await.is_empty());
    let mut stolen = BoxAccess::sign("north", &other, BoxAction::Collect, &mut rng(2)).unwrap();
    stolen.payee = public_key(&secret);
    assert_eq!(
        code(node.ask::<_, BoxMessages>(None, "/v1/drop/access", &stolen).await),
        Code::PossessionInvalid
    );

    for n in 2..=u64::try_from(MAX_MESSAGES).unwrap() {
        put(&node, &put_request(&secret, b"more", n, 1000)).await.unwrap();
    }
    assert_eq!(code(put(&node, &put_request(&secret, b"too many", 99, 1000)).await), Code::LimitExceeded);
    assert_eq!(code(put(&node, &put_request(&other, &[0; 1500], 98, 1000)).await), Code::Busy);
    assert_eq!(code(put(&node, &put_request(&other, b"late", 97, 0)).await), Code::Expired);
    // The oldest one's time is over; another one is deleted.
    world.at(100);
    let left = access(&node, &secret, BoxAction::Collect).await;
    assert_eq!(left.len(), MAX_MESSAGES - 1);
    assert!(access(&node, &secret, BoxAction::Delete(left[0].digest())).await.is_empty());
    assert_eq!(access(&node, &secret, BoxAction::Collect).await.len(), MAX_MESSAGES - 2);
    // Tending prunes, although the center is away.
    assert_eq!(code(node.bank.tend().await), Code::Unavailable);
    put(&node, &put_request(&other, &[0; 900], 96, 1000)).await.unwrap();
    node.assert_sound().await;
}
