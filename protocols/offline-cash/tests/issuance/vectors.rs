use feiqian_offline_cash::vectors;

#[test]
fn the_vectors_are_what_they_say() {
    let document = vectors::generate();
    let all = document["vectors"].as_array().unwrap();
    let refused = all.iter().filter(|vector| vector["valid"] == false).count();
    assert!(all.len() > 40 && refused > 20, "{} vectors, {refused} to be refused", all.len());
    assert_eq!(document, vectors::generate(), "the builder is deterministic");
}
