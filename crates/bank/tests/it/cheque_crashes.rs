//! A bank dies before or after every commit of a cheque's way: it ends paid once or returned once.

use feiqian_cheque::State;
use feiqian_cheque::messages::ChequeDepositResponse;
use feiqian_node::Shutdown;

use crate::cheque_world::{Banks, payee, today};

/// Everything from writing to settlement, each step tried again until it is done.
async fn whole_way(banks: &mut Banks, amount: u64) {
    let order = banks.order(payee(&banks.south, &banks.bob), amount, today(), false);
    let request = banks.drawn(1, order, true).await;
    let mut cheque = None;
    for _ in 0..3 {
        match banks.issue(&request).await {
            Ok(file) => cheque = Some(file),
            Err(fault) => {
                assert!(!fault.is_definitive(), "{fault}");
                banks.world.restart(&mut banks.north).await;
                banks.world.connect(&banks.south, &banks.north).await;
                banks.world.publish(&[&banks.north, &banks.south, &banks.west]).await;
                banks.lists().await;
            }
        }
    }
    let slip = banks.slip(&cheque.unwrap(), "south", &banks.bob);
    let mut presentment = None;
    for _ in 0..4 {
        match banks.deposit(&slip).await {
            Ok(ChequeDepositResponse::Pending { presentment: id, paid: true }) => presentment = Some(id),
            Ok(ChequeDepositResponse::Pending { paid: false, .. }) => {
                let _ = banks.south.bank.drain_outbox(&Shutdown::new()).await;
            }
            Ok(other) => panic!("{other:?}"),
            Err(fault) => assert!(!fault.is_definitive(), "{fault}"),
        }
    }
    let presentment = presentment.unwrap();
    for node in [&banks.north, &banks.south] {
        for _ in 0..3 {
            let _ = banks.tell(node, presentment, true).await;
        }
    }
}

#[tokio::test]
async fn killed_at_any_commit_it_is_paid_once() {
    let mut points = 0_usize;
    for (drawee, point) in [
        (true, "bank.cheque.issue"),
        (true, "bank.pay.cheque"),
        (true, "bank.cheque.settled"),
        (false, "bank.cheque.present"),
        (false, "bank.cheque.outcome"),
        (false, "bank.cheque.settled"),
    ] {
        for after in [false, true] {
            let mut banks = Banks::new().await;
            let node = if drawee { &banks.north } else { &banks.south };
            *node.store.plan.lock().unwrap() = Some((point, after));
            whole_way(&mut banks, 2_500).await;
            let node = if drawee { &banks.north } else { &banks.south };
            assert_eq!(*node.store.plan.lock().unwrap(), None, "{point} was never reached");
            let which = format!("{point} {}", if after { "after" } else { "before" });
            assert_eq!(banks.balances().await, ("75.00".into(), "25.00".into()), "{which}");
            assert_eq!(banks.state(1).await, State::Settled, "{which}");
            banks.sound().await;
            points += 1;
        }
    }
    assert_eq!(points, 12);
}

#[tokio::test]
async fn killed_at_any_commit_of_a_return_it_is_returned_once() {
    for after in [false, true] {
        for point in ["bank.pay.cheque", "bank.cheque.outcome"] {
            let banks = Banks::new().await;
            let cheque = banks.cheque(1, 10_001).await;
            let node = if point == "bank.pay.cheque" { &banks.north } else { &banks.south };
            *node.store.plan.lock().unwrap() = Some((point, after));
            let slip = banks.slip(&cheque, "south", &banks.bob);
            let first = banks.deposit(&slip).await.unwrap();
            assert!(matches!(first, ChequeDepositResponse::Pending { paid: false, .. }), "{first:?}");
            banks.sound().await;
            let second = banks.deposit(&slip).await.unwrap();
            assert!(matches!(second, ChequeDepositResponse::Final(_)), "{second:?}");
            assert_eq!(banks.deposit(&slip).await.unwrap(), second);
            assert_eq!(banks.state(1).await, State::Returned, "one attempt, not two");
            assert_eq!(banks.balances().await, ("100.00".into(), "0.00".into()));
            banks.sound().await;
        }
    }
}
