//! Killing the process at a chosen commit or message, to test what survives. Compiled only with the feature `test-faults`.
//!
//! `FEIQIAN_FAULT=point@before#2` kills the process (SIGKILL) just before the commit that contains the second work of that point;
//! `point@after#2` just after it, before anybody is answered. `FEIQIAN_FAULT_TRACE=file` appends the name of every
//! point that reaches a commit, one a line. What is no commit has a point for each of its moments: there it is
//! `point@before`, and `point@after` is never reached.

use std::sync::{
    LazyLock,
    atomic::{AtomicU64, Ordering},
};

use crate::killed::{append, note_killed};

struct Fault {
    point: String,
    after: bool,
    number: u64,
}

fn parse(text: &str) -> Option<Fault> {
    let (point, rest) = text.split_once('@')?;
    let (side, number) = rest.split_once('#').unwrap_or((rest, "1"));
    let after = match side {
        "before" => false,
        "after" => true,
        _ => return None,
    };
    Some(Fault { point: point.to_owned(), after, number: number.parse().ok()? })
}

static FAULT: LazyLock<Option<Fault>> = LazyLock::new(|| {
    let text = std::env::var("FEIQIAN_FAULT").ok()?;
    let fault = parse(&text);
    if fault.is_none() {
        tracing::error!(%text, "FEIQIAN_FAULT is not point@before#n or point@after#n and is ignored");
    }
    fault
});
static TRACE: LazyLock<Option<std::ffi::OsString>> =
    LazyLock::new(|| std::env::var_os("FEIQIAN_FAULT_TRACE"));
static SEEN: AtomicU64 = AtomicU64::new(0);

/// Counts the points of a commit that is about to happen and kills if it is the chosen one; true asks to be killed after it.
pub(crate) fn before_commit(points: &[&'static str]) -> bool {
    trace(points);
    let Some(fault) = FAULT.as_ref() else { return false };
    let mut chosen = false;
    for _ in points.iter().filter(|point| **point == fault.point) {
        chosen |= SEEN.fetch_add(1, Ordering::SeqCst).checked_add(1) == Some(fault.number);
    }
    if chosen {
        note_killed(&fault.point);
    }
    if chosen && !fault.after {
        kill();
    }
    chosen
}

/// A point that is no commit: kills if it is the chosen one.
pub fn reached(point: &str) {
    trace(&[point]);
    let Some(fault) = FAULT.as_ref().filter(|fault| !fault.after && fault.point == point) else { return };
    if SEEN.fetch_add(1, Ordering::SeqCst).checked_add(1) == Some(fault.number) {
        note_killed(point);
        kill();
    }
}

fn trace(points: &[&str]) {
    let Some(path) = TRACE.as_ref() else { return };
    append(path, &points.iter().flat_map(|point| [point, "\n"]).collect::<String>());
}

/// Ends this process as a power cut would end it: no destructor runs, no buffer is flushed.
pub(crate) fn kill() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_notation_is_read_and_nonsense_refused() {
        let fault = parse("bank/issue@after#12").map(|fault| (fault.point, fault.after, fault.number));
        assert_eq!(fault, Some(("bank/issue".to_owned(), true, 12)));
        assert!(parse("x@before").is_some_and(|fault| fault.number == 1 && !fault.after));
        assert!(parse("x").is_none() && parse("x@during#1").is_none() && parse("x@after#two").is_none());
    }
}
