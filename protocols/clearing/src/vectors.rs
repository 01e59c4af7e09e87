//! The builder of the published test vectors of clearing: presentment ids. The document's layout is that of the
//! cryptographic vectors.

use feiqian_crypto::Digest;
use serde_json::{Value, json};

use crate::presentment::{ItemKind, presentment_id};

/// All vectors of this crate as one document.
#[must_use]
pub fn generate() -> Value {
    let item = Digest([0x5a; 32]);
    let case = |name: &str, bank: &str, account: &str, kind: ItemKind| {
        json!({
            "name": name, "operation": "clearing/presentment",
            "inputs": { "bank": bank, "account": account, "kind": kind.as_str(), "item": item },
            "outputs": { "id": presentment_id(bank, account, kind, &item) },
            "valid": true, "reason": Value::Null,
        })
    };
    let vectors = [
        case("a payment", "south", "d4e5f6", ItemKind::Payment),
        case("the same item as a refund", "south", "d4e5f6", ItemKind::Refund),
        case("for another account", "south", "d4e5f7", ItemKind::Payment),
        case("at another bank", "north", "d4e5f6", ItemKind::Payment),
        case("names do not run together", "southd", "4e5f6", ItemKind::Payment),
    ];
    json!({ "suite": "feiqian/v1", "group": "ristretto255", "vectors": vectors })
}
