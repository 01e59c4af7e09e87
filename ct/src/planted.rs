//! What must be reported.

use std::hint::black_box;

use curve25519_dalek::traits::VartimeMultiscalarMul;
use curve25519_dalek::{RistrettoPoint, Scalar};
use feiqian_crypto::{generators, scalar};

use crate::mark::{SecretRandomness, published};

/// Square-and-multiply as a schoolbook has it: the work depends on the bits.
pub(crate) fn branch() {
    let secret = scalar::random(&mut SecretRandomness::new(1));
    let mut sum = 0_u32;
    for byte in secret.as_bytes() {
        if byte & 1 == 1 {
            sum = black_box(sum.wrapping_add(1));
        }
    }
    published(black_box(&sum));
}

/// A function that its own library calls variable-time.
pub(crate) fn vartime() {
    let secret: Scalar = scalar::random(&mut SecretRandomness::new(2));
    let point = RistrettoPoint::vartime_multiscalar_mul([secret], [generators::g()]);
    published(black_box(&point));
}
