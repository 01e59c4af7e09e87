//! Prints the test vectors of this crate as JSON: of online cash, or with the argument `offline` of offline cash.

use feiqian_crypto::vectors;

fn main() -> Result<(), serde_json::Error> {
    let offline = std::env::args().nth(1).is_some_and(|argument| argument == "offline");
    let document = if offline { vectors::generate_offline() } else { vectors::generate() };
    println!("{}", serde_json::to_string_pretty(&document)?);
    Ok(())
}
