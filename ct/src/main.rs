//! Runs everything that works with secrets while valgrind's memcheck watches, the secrets marked undefined: a branch or
//! an address that depends on one is reported. `cargo xtask constant-time` builds and runs it.
//!
//! Each case publishes, with [`mark::published`], what the scheme sends away; from there on nothing depends on a
//! secret in the scheme's sense. Verdicts inside the library (a check that fails for a cheating peer only, a draw
//! that is repeated when it is zero) cannot be published from here: `declassified.supp` names them, with the reason.
//!
//! Two planted cases branch on a secret on purpose. If valgrind does not report them, the run fails: it looks at
//! nothing.

mod cases;
mod mark;
mod planted;

use std::process::ExitCode;

/// A case: what it runs, and whether reports are expected.
struct Case {
    name: &'static str,
    run: fn(),
    leaks: bool,
}

const fn clean(name: &'static str, run: fn()) -> Case {
    Case { name, run, leaks: false }
}

const CASES: [Case; 12] = [
    Case { name: "planted: a branch on a secret bit", run: planted::branch, leaks: true },
    Case { name: "planted: a vartime multiplication", run: planted::vartime, leaks: true },
    clean("snowblind: key, commit, respond", cases::snowblind_signer),
    clean("snowblind: a batch of commitments", cases::snowblind_batch),
    clean("snowblind: blind, unblind", cases::snowblind_user),
    clean("possession: prove", cases::possession),
    clean("acl: key, announce, respond", cases::acl_bank),
    clean("acl: identity, commit, prove, blind, finish", cases::acl_holder),
    clean("share tree: build, withdraw, answer", cases::share_tree),
    clean("online seed: coin, payee, transport, blinding", cases::online_seed),
    clean("offline seed: identity, document key", cases::offline_seed),
    clean("documents: Ed25519 key and signature", cases::documents),
];

fn main() -> ExitCode {
    let mut wrong = 0;
    for Case { name, run, leaks } in CASES {
        let before = crabgrind::count_errors();
        run();
        let reports = crabgrind::count_errors() - before;
        let good = (reports > 0) == leaks;
        wrong += u32::from(!good);
        println!("{} {reports:>4} reports   {name}", if good { "ok    " } else { "WRONG " });
    }
    println!("{} cases, {wrong} wrong", CASES.len());
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
