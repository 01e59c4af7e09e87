//! Outgoing messages of the roles as named fault points, for tests: `send.<role>.<route>` before a message leaves,
//! `answered.<role>.<route>` when its answer is there. A route is its path without `/v1/`, in points: `account.issue.begin`.

use feiqian_node::fault::{Moment, watch};
use feiqian_store::fault;

use crate::cli::Command;

/// From now on each message of this command is a fault point, if it is a role's.
pub(crate) fn watch_messages(command: &Command) {
    let role = match command {
        Command::Center(_) => "center",
        Command::Bank(_) => "bank",
        Command::Merchant(_) => "merchant",
        Command::Wallet(_) => "wallet",
        _ => return,
    };
    watch(move |moment, path| {
        let moment = match moment {
            Moment::Send => "send",
            Moment::Answered => "answered",
        };
        let route = path.trim_start_matches("/v1/").replace('/', ".");
        fault::reached(&format!("{moment}.{role}.{route}"));
    });
}
