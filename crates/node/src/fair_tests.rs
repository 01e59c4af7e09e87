#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

fn at(text: &str) -> Client {
    Client::of(None, Some(PeerAddress(text.parse().unwrap())))
}

fn small() -> Arc<Fair> {
    let shares = Shares {
        requests: 4,
        anonymous: 3,
        per_address: 2,
        per_certificate: 2,
        line: 3,
        patience_ms: 100,
        per_second: 0,
        connections: 2,
    };
    Arc::new(Fair::new(shares))
}

fn code<T: std::fmt::Debug>(result: Result<T, Fault>) -> Code {
    result.unwrap_err().code
}

#[test]
fn shares_of_nothing_are_refused() {
    Shares::default().check().unwrap();
    let nobody = Shares { per_address: 0, ..Shares::default() };
    let more_than_all = Shares { requests: 10, ..Shares::default() };
    for wrong in [nobody, more_than_all, Shares { line: 0, ..Shares::default() }] {
        assert_eq!(code(wrong.check()), Code::Usage);
    }
}

#[test]
fn what_a_table_does_not_say_stays() {
    let till = Shares::of_a_till();
    till.check().unwrap();
    let said = |text: &str| till.or_as_said(toml::from_str::<toml::Value>(text).unwrap());
    assert_eq!(said("").unwrap(), till);
    let more = said("connections = 7\nper_second = 0").unwrap();
    assert_eq!(more, Shares { connections: 7, per_second: 0, ..till });
    for wrong in ["connection = 7", "line = -1", "line = \"many\"", "line = [1]"] {
        assert!(said(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn an_address_counts_as_one_subscriber() {
    assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:1"));
    assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
    assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
    assert_ne!(at("10.0.0.1"), at("10.0.0.2"));
}

#[tokio::test(start_paused = true)]
async fn whoever_has_used_up_a_share_waits_alone() {
    let fair = small();
    let enter = |client: &Client| fair.enter(client.clone()).unwrap();
    let (greedy, other, customer) = (at("10.0.0.1"), at("10.0.0.2"), Client::Account("customer".to_owned()));
    let greedy: Vec<Entered> = (0..3).map(|_| enter(&greedy)).collect();
    assert_eq!(code(fair.enter(at("10.0.0.1"))), Code::Busy, "the line is full");
    let [first, second, third] = greedy.as_slice() else { unreachable!() };
    let (held, _also) = (first.place().await.unwrap(), second.place().await.unwrap());
    let before = Instant::now();
    assert_eq!(code(third.place().await), Code::Busy);
    assert_eq!(before.elapsed(), Duration::from_millis(100));
    // The third anonymous place goes to another address, the next one to nobody; a customer's is kept.
    let another = enter(&other);
    let _third = another.place().await.unwrap();
    assert_eq!(code(enter(&at("10.0.0.3")).place().await), Code::Busy);
    let paying = enter(&customer);
    let _fourth = paying.place().await.unwrap();
    // Who waits gets the place that becomes free.
    let (freed, waited) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(held);
        },
        third.place()
    );
    let ((), _place) = (freed, waited.unwrap());
    drop(greedy);
    assert_eq!(fair.lines().len(), 2, "a line that is empty is forgotten");
}

#[tokio::test(start_paused = true)]
async fn rates_are_those_of_the_runtimes_time() {
    let fair = Arc::new(Fair::new(Shares { per_second: 10, ..Shares::default() }));
    let burst = |client: &Client| (0..100).filter(|_| fair.enter(client.clone()).is_ok()).count();
    assert_eq!(burst(&at("10.0.0.1")), 20);
    assert_eq!(burst(&at("10.0.0.2")), 20, "each address has its own");
    assert_eq!(burst(&Client::Account("customer".to_owned())), 100);
    assert_eq!(burst(&Client::Unknown), 100);
    tokio::time::advance(Duration::from_millis(500)).await;
    assert_eq!(burst(&at("10.0.0.1")), 5);
}

#[test]
fn a_route_with_few_places_keeps_some_for_others() {
    let seats = Seats::new(16);
    let (greedy, other) = (at("10.0.0.1"), at("10.0.0.2"));
    let taken: Vec<Seat<'_>> = std::iter::from_fn(|| seats.take(&greedy).ok()).collect();
    assert_eq!(taken.len(), 4);
    let _other = seats.take(&other).unwrap();
    drop(taken);
    let _again = seats.take(&greedy).unwrap();
    let one = Seats::new(1);
    let only = one.take(&greedy).unwrap();
    assert_eq!(code(one.take(&other).map(drop)), Code::Busy);
    drop(only);
    assert_eq!(one.held().1.len(), 0);
    drop(one.take(&other).unwrap());
}

#[test]
fn connections_are_counted_by_address() {
    let doors = Doors::new(2);
    let address = "10.0.0.1".parse().unwrap();
    let (one, _two) = (doors.enter(address).unwrap(), doors.enter(address).unwrap());
    assert!(doors.enter(address).is_none());
    assert!(doors.enter("10.0.0.2".parse().unwrap()).is_some());
    drop(one);
    assert!(doors.enter(address).is_some());
    assert_eq!(doors.open.lock().unwrap().len(), 1);
}
