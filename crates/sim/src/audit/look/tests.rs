//! Worlds whose stores are spoilt after they have run, looked at in one slice and in many.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::indexing_slicing, reason = "columns are named by their place in their table")]

use async_trait::async_trait;
use feiqian_ledger::store::{BoxFuture, Row, Value};

use super::*;
use crate::Source;
use crate::adversary::Adversary;
use crate::run::cell::{self, Options, Own};

/// Two banks and every instrument.
const MIXED: &str = "duration = \"8h\"\nseed = 17\n[population]\nwallets = 8\nmerchants = { count = 2 }\n\
    [workload]\npayments_per_wallet_per_day = 24.0\nbetween_wallets = 0.4\nrefunds = 0.1\n\
    instruments = { online_cash = 0.4, offline_cash = 0.2, cheque = 0.25, transfer = 0.15 }\n\
    [[bank]]\nname = \"first\"\ncustomers = 0.5\n[[bank]]\nname = \"second\"\n";

/// What to do with a row: write the value to the column, or delete the row.
enum Change {
    Set(usize, fn(&Row) -> Value),
    Delete,
}

fn plus_one(row: &Row, column: usize) -> Value {
    row.integer(column).unwrap().saturating_add(1).into()
}

fn table(place: &Place, name: &str) -> &'static Table {
    let tables = match place {
        Place::Center => feiqian_center::TABLES,
        Place::Bank(_) => feiqian_bank::tables::TABLES,
        Place::Merchant(_) => feiqian_merchant::TABLES,
        Place::Wallet(..) => feiqian_wallet::tables::TABLES,
    };
    tables.iter().find(|table| table.name == name).unwrap()
}

impl Look<'_> {
    /// Changes every second row of the table, in all places that have it; how many there were.
    async fn spoil(
        &self,
        places: &[&Place],
        name: &str,
        only: &'static str,
        change: &'static Change,
    ) -> usize {
        let mut changed = 0;
        for place in places {
            let table = table(place, name);
            let work = move |tx: &mut dyn Tx| {
                let sql = format!("SELECT {} FROM {} WHERE {only}", table.column_list(), table.name);
                let rows = tx.select(&sql, &[])?;
                let some: Vec<&Row> = rows.iter().step_by(2).collect();
                for row in &some {
                    match change {
                        Change::Delete => tx.delete(table, &row.0[..table.key])?,
                        Change::Set(column, value) => {
                            let mut values = row.0.clone();
                            values[*column] = value(row);
                            tx.update(table, &values)?;
                        }
                    }
                }
                Ok(some.len())
            };
            let some = self.world.write(self.node(place).unwrap(), work).await.unwrap();
            changed = some.saturating_add(changed);
        }
        changed
    }
}

fn told(compared: &Compared) -> Vec<(u8, &str, &str)> {
    let findings = compared.findings.iter();
    findings.map(|finding| (finding.invariant, finding.place.as_str(), finding.detail.as_str())).collect()
}

/// The same is found in one slice and in many, and the same sums come out.
fn assert_same(look: &Look<'_>, places: &[Place], what: &str) -> Compared {
    let (whole, unread) = look.compare(places, 1);
    for slices in [2, 8, 32] {
        let (some, unread_in_some) = look.compare(places, slices);
        assert_eq!(told(&whole), told(&some), "{what}, {slices} slices");
        assert_eq!(
            (&whole.circulation, &whole.settlement, whole.closed),
            (&some.circulation, &some.settlement, some.closed),
            "{what}, {slices} slices"
        );
        assert!(unread.keys().eq(unread_in_some.keys()), "{what}, {slices} slices");
    }
    whole
}

/// Role, table, condition, change, and the place of a finding that this makes.
type Damage = (&'static str, &'static str, &'static str, Change, &'static str);

static DAMAGE: [Damage; 15] = [
    ("bank", "coin", "spent > 1", Change::Set(4, |_| 1.into()), "denomination"),
    ("wallet", "coin", "rest = 0", Change::Set(6, |row| plus_one(row, 6)), "wallet coin"),
    ("wallet", "coin", "1 = 1", Change::Delete, "denomination"),
    ("wallet", "issue_session", "state = 'done'", Change::Set(7, |_| "void".into()), "session of request"),
    ("wallet", "payment", "state = 'paid'", Change::Set(4, |row| plus_one(row, 4)), "wallet of account"),
    (
        "merchant",
        "merchant_payment",
        "state = 1",
        Change::Set(2, |row| plus_one(row, 2)),
        "merchant of account",
    ),
    ("bank", "cheque", "amount > 0", Change::Set(6, |row| plus_one(row, 6)), "cheque number"),
    ("bank", "transfer_order", "incoming = 0", Change::Set(5, |row| plus_one(row, 5)), ", transfer "),
    ("bank", "transfer_order", "incoming = 1", Change::Set(4, |row| plus_one(row, 4)), "(transfer)"),
    ("bank", "presentment", "kind = 2", Change::Set(5, |row| plus_one(row, 5)), ", deposit "),
    ("bank", "presentment", "kind = 0", Change::Set(8, |_| 0.into()), "mirror of the settlement account"),
    ("bank", "payment", "bank IS NOT NULL", Change::Delete, "(payment)"),
    ("bank", "cheque_presentment", "1 = 1", Change::Set(6, |_| 0.into()), "(cheque)"),
    ("center", "center_presentment", "kind = 2", Change::Set(4, |row| plus_one(row, 4)), "(cheque)"),
    ("center", "center_presentment", "kind < 4", Change::Delete, "presentment"),
];

/// Spoils a world when all in it has ended.
struct Spoiler(fn(Arc<World>) -> BoxFuture<'static, ()>);

#[async_trait]
impl Adversary for Spoiler {
    fn begin(&mut self, _world: &Arc<World>) {}

    async fn finish(&mut self, _world: &Arc<World>) {}

    async fn report(&mut self, world: &Arc<World>) -> serde_json::Value {
        (self.0)(Arc::clone(world)).await;
        json!({"attempts": 1, "successes": 1, "won": true})
    }
}

fn at_the_end(spoil: fn(Arc<World>) -> BoxFuture<'static, ()>) {
    let scenario = Source::parse(MIXED, "").unwrap().scenario().unwrap();
    let own = vec![Own::new("spoiler", move || Box::new(Spoiler(spoil)))];
    let outcome = cell::run(&scenario, &Options { own, ..Options::default() }).unwrap();
    assert!(outcome.held, "it was sound before it was spoilt");
}

fn role(place: &Place) -> &'static str {
    match place {
        Place::Center => "center",
        Place::Bank(_) => "bank",
        Place::Merchant(_) => "merchant",
        Place::Wallet(..) => "wallet",
    }
}

async fn every_damage(world: Arc<World>) {
    let look = Look { world: &world, depth: Depth::Books };
    let places = look.places().await;
    assert_eq!(told(&assert_same(&look, &places, "sound")), []);
    for (who, name, only, change, place) in &DAMAGE {
        let before = look.compare(&places, 1).0.findings;
        let whose: Vec<&Place> = places.iter().filter(|place| role(place) == *who).collect();
        let changed = look.spoil(&whose, name, only, change).await;
        assert!(changed > 0, "nothing of {who} {name} to spoil");
        let after = assert_same(&look, &places, name).findings;
        let new = after.iter().filter(|finding| finding.place.contains(place) && !before.contains(finding));
        assert!(new.count() > 0, "{who} {name}: nothing new of {place}");
    }
}

#[test]
fn a_spoilt_world_shows_the_same_in_one_slice_and_in_many() {
    at_the_end(|world| Box::pin(every_damage(world)));
}

async fn forgotten_items(world: Arc<World>) {
    let look = Look { world: &world, depth: Depth::Books };
    let places = look.places().await;
    let all = [&Place::Center];
    for name in ["center_notice", "center_obligation", "center_presentment"] {
        look.spoil(&all, name, "1 = 1", &Change::Delete).await;
    }
    let unknown = assert_same(&look, &places, "forgotten").findings.len();
    let mark = table(&Place::Center, "center_prune_mark");
    let forget = move |tx: &mut dyn Tx| tx.put(mark, &[0.into(), 0.into(), i64::MAX.into()]);
    world.write(world.center(), forget).await.unwrap();
    let cleared = assert_same(&look, &places, "cleared").findings.len();
    assert!(cleared < unknown, "{cleared} of {unknown} are still unknown");
}

#[test]
fn what_the_center_has_cleared_and_forgotten_is_asked_for_in_every_slice() {
    at_the_end(|world| Box::pin(forgotten_items(world)));
}

/// One answered session whose outputs cannot be read, in a late slice.
static UNREADABLE: Change = Change::Set(3, |_| vec![0xff; 3].into());

async fn an_unreadable_row(world: Arc<World>) {
    let look = Look { world: &world, depth: Depth::Books };
    let places = look.places().await;
    let bank = Place::Bank(0);
    let late = "state = 1 AND request > x'b0'";
    assert!(look.spoil(&[&bank], "session", late, &UNREADABLE).await > 0);
    let compared = assert_same(&look, &places, "unreadable");
    assert!(!compared.closed && compared.circulation.len() == 1, "the bank has no part in it");
    for slices in [1, 8] {
        let unreadable: Vec<StoreError> = look.compare(&places, slices).1.into_values().collect();
        assert!(matches!(unreadable.as_slice(), [StoreError::Corrupt(_)]), "{unreadable:?}");
        let verdict = look.judge(&places, slices);
        assert!(!verdict.held() && verdict.findings.iter().any(|(node, _)| node == "bank:first"));
    }
}

#[test]
fn a_store_that_cannot_be_read_to_its_end_has_no_part_in_any_slice() {
    at_the_end(|world| Box::pin(an_unreadable_row(world)));
}
