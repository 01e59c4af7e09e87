//! The short form of `cargo xtask soak`.

use std::time::Duration;

use feiqian_sim::run::soak::{Limit, run};

/// An epoch ends after seven days and is deleted under traffic; the books hold every day.
#[test]
fn epochs_come_and_go_under_traffic() {
    let limit = Limit { days: 9, real: Duration::from_secs(600) };
    let report = run(5, limit, |_| {}).unwrap();
    assert!(report.broken.is_empty(), "{:#?}", report.broken);
    assert_eq!(report.days.len(), 9);
    let rows = |day: usize, table| report.days[day].rows[&("bank", table)];
    let last = report.days.len() - 1;
    assert!(rows(last, "pruned_total") > 0, "no epoch was deleted");
    assert!(report.days[last].payments.0 > 20, "{:?}", report.days[last].payments);
}
