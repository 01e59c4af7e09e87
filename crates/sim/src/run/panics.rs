//! Panics inside a world. Nodes, tasks and stores catch them, as they must in production; a run in which anything
//! panicked is no result all the same, so the first one on each thread is kept in mind.

use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    static FIRST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Has every panic of this process noted on its thread, and forgets what this thread noted before.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let payload = info.payload();
            let text = payload.downcast_ref::<&str>().copied();
            let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            let text = text.unwrap_or("without a word");
            let place = info.location().map(|at| format!(" ({}:{})", at.file(), at.line()));
            let said = format!("{text}{}", place.unwrap_or_default());
            FIRST.with_borrow_mut(|first| {
                first.get_or_insert(said);
            });
            before(info);
        }));
    });
    let _ = take();
}

/// The first panic on this thread since it was last asked.
pub(crate) fn take() -> Option<String> {
    FIRST.with_borrow_mut(Option::take)
}

/// Takes over what another thread, which did a part of this one's work, had in mind.
pub(crate) fn take_over(first: Option<String>) {
    FIRST.with_borrow_mut(|known| *known = known.take().or(first));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_that_somebody_caught_is_remembered_once() {
        watch();
        assert!(std::panic::catch_unwind(|| panic!("out of {}", "luck")).is_err());
        let told = take().unwrap_or_default();
        assert!(told.starts_with("out of luck (") && told.contains("panics.rs"), "{told}");
        assert_eq!(take(), None);
    }
}
