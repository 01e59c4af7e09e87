//! Messages by hand that are for another command.

use feiqian_offline_cash::carry::Carried;
use feiqian_wire::error::Code;

use crate::failure::Failure;

/// What a message is, for telling the owner that it is for another command.
pub(super) fn wrong_message(carried: &Carried) -> Failure {
    let (what, hint) = match carried {
        Carried::Request(_) => ("a request for payment", "pay it with `wallet pay --offline`"),
        Carried::Payment(_) => ("a payment", "the shop that asked for it takes it: `merchant accept`"),
        Carried::Commitment(_) => ("the beginning of an offer", "answer it with `wallet offline answer`"),
        Carried::Nonce(_) => {
            ("a payer's answer to an offer", "open the offer to it with `wallet offline accept`")
        }
        Carried::Opening(_) => ("an opened offer", "pass value to it with `wallet transfer-coin --to`"),
        Carried::Transfer(_) => ("a transfer", "take it with `wallet accept`"),
    };
    Failure::new(Code::Usage, format!("this is {what}")).hint(hint)
}
