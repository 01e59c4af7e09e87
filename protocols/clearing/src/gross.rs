//! Gross settlement: every item at once, against prefunded settlement accounts.
//!
//! The payer bank's cover is **reserved before** the item is forwarded, so an item that was paid always settles.
//!
//! ```text
//!             reserve ok            paid
//! Received ──────────────▶ Forwarded ─────▶ Settled
//!     │                        │ refused
//!     │ no cover, invalid      ▼
//!     └───────────────────▶ Refused
//! ```

use serde::{Deserialize, Serialize};

/// Where a presentment stands at the center.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Checked, cover not reserved; may be presented again.
    Received,
    /// Cover reserved; the payer bank is asked until it answers.
    Forwarded,
    /// Paid: the obligation is booked and settled. Final.
    Settled,
    /// Refused, and any reserve released. Final.
    Refused,
}

/// What happens to a presentment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The payer bank's settlement account covers the amount; it is reserved.
    Reserve,
    /// The payer bank paid.
    Pay,
    /// The payer bank, or the center itself, refused.
    Refuse,
}

/// An event that the state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} is not possible in state {state:?}")]
pub struct Illegal {
    /// Where the presentment stands.
    pub state: State,
    /// What was tried.
    pub event: Event,
}

/// All states, for tables and tests.
pub const STATES: [State; 4] = [State::Received, State::Forwarded, State::Settled, State::Refused];
/// All events.
pub const EVENTS: [Event; 3] = [Event::Reserve, Event::Pay, Event::Refuse];

impl State {
    /// The next state.
    ///
    /// # Errors
    /// [`Illegal`] for every pair that the diagram does not show.
    pub fn after(self, event: Event) -> Result<Self, Illegal> {
        match (self, event) {
            (Self::Received, Event::Reserve) => Ok(Self::Forwarded),
            (Self::Received | Self::Forwarded, Event::Refuse) => Ok(Self::Refused),
            (Self::Forwarded, Event::Pay) => Ok(Self::Settled),
            (state, event) => Err(Illegal { state, event }),
        }
    }

    /// Is there no way out?
    pub fn is_final(self) -> bool {
        EVENTS.iter().all(|event| self.after(*event).is_err())
    }

    /// As stored.
    pub fn number(self) -> i64 {
        match self {
            Self::Received => 0,
            Self::Forwarded => 1,
            Self::Settled => 2,
            Self::Refused => 3,
        }
    }

    /// From the store.
    pub fn from_number(number: i64) -> Option<Self> {
        STATES.into_iter().find(|state| state.number() == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_state_and_event_is_decided() {
        let legal: Vec<_> = STATES
            .into_iter()
            .flat_map(|state| EVENTS.map(|event| (state, event)))
            .filter_map(|(state, event)| state.after(event).ok().map(|next| (state, event, next)))
            .collect();
        assert_eq!(
            legal,
            [
                (State::Received, Event::Reserve, State::Forwarded),
                (State::Received, Event::Refuse, State::Refused),
                (State::Forwarded, Event::Pay, State::Settled),
                (State::Forwarded, Event::Refuse, State::Refused),
            ]
        );
        assert_eq!(STATES.map(State::is_final), [false, false, true, true]);
        assert!(STATES.iter().all(|state| State::from_number(state.number()) == Some(*state)));
        assert_eq!(State::from_number(9), None);
    }
}
