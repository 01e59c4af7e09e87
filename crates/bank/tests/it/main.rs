//! The bank driven through its router: the tests act as center, customer, merchant and wallet with the protocol's own steps.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "a failure to set up fails the test; sums are small"
)]

mod accounts;
mod batches;
mod certificates;
mod cheque_audit;
mod cheque_crashes;
mod cheque_doubles;
mod cheque_guards;
mod cheque_world;
mod cheques;
mod clearing;
mod deaths;
mod drop_box;
mod every_fault;
mod house_faults;
mod housekeeping;
mod instances;
mod issue;
mod lists;
mod message_faults;
mod model;
mod offline_audit;
mod offline_charges;
mod offline_clearing;
mod offline_crashes;
mod offline_many;
mod offline_overdue;
mod offline_reclaims;
mod offline_withdraw;
mod offline_world;
mod payments;
mod reconcile;
mod refunds;
mod remittance;
mod upgrade;
mod world;
