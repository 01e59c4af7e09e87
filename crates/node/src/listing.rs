//! What a node can be asked: the list of its calls, as it answers `GET /v1/routes`.
//!
//! It says the same to everybody and nothing about state. Tests of hostile input take the routes from here, so a route
//! that is added is tried by itself.

use std::any::type_name;

use feiqian_wire::{Bounded, Text, U64};
use serde::{Deserialize, Serialize};

/// The most calls of one node.
pub const MOST_CALLS: usize = 256;

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedCall {
    /// `GET` or `POST`.
    pub method: Text<8>,
    /// The path.
    pub path: Text<128>,
    /// `open`, `anonymous`, `account`, or the roles that may call, with commas.
    pub access: Text<64>,
    /// The most bytes of a request.
    pub limit: U64,
    /// The message that is the request, as the documentation names it; `()` for none.
    pub request: Text<128>,
    /// The message that is the answer.
    pub answer: Text<128>,
}

/// The calls of a node.
pub type Calls = Bounded<ListedCall, MOST_CALLS>;

/// A message's name without the modules it lies in: `Presentment<CashItem>`. Of a name that two crates use, the crate
/// stays: `offline_cash::CashItem`.
#[must_use]
pub fn message_name<T: ?Sized>() -> String {
    let (mut name, mut word) = (String::new(), String::new());
    for character in type_name::<T>().chars() {
        if character.is_alphanumeric() || matches!(character, '_' | ':') {
            word.push(character);
        } else {
            name.push_str(&short(&word));
            word.clear();
            name.push(character);
        }
    }
    name.push_str(&short(&word));
    name
}

/// `offline_cash::Receipt` of `feiqian_offline_cash::deposit::Receipt`, `Receipt` of any other `…::Receipt`.
fn short(path: &str) -> String {
    let last = path.rsplit("::").next().unwrap_or_default();
    if path.starts_with("feiqian_offline_cash::") { format!("offline_cash::{last}") } else { last.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_documentation() {
        assert_eq!(message_name::<Vec<ListedCall>>(), "Vec<ListedCall>");
        assert_eq!(message_name::<()>(), "()");
        assert_eq!(message_name::<Bounded<Option<ListedCall>, 7>>(), "Bounded<Option<ListedCall>, 7>");
        assert_eq!(
            message_name::<feiqian_offline_cash::request::SignedRequest>(),
            "offline_cash::SignedRequest"
        );
    }
}
