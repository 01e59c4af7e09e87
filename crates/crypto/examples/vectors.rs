//! Prints the test vectors of this crate as JSON.

fn main() -> Result<(), serde_json::Error> {
    println!("{}", serde_json::to_string_pretty(&feiqian_crypto::vectors::generate())?);
    Ok(())
}
