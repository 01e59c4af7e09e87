//! The few operations on scalars that the protocols share.

use curve25519_dalek::Scalar;
use rand_core::CryptoRng;
use zeroize::Zeroize;

/// A uniform scalar: 64 random bytes read as a little-endian integer and reduced modulo *q*.
pub fn random(rng: &mut impl CryptoRng) -> Scalar {
    let mut wide = [0; 64];
    rng.fill_bytes(&mut wide);
    let scalar = Scalar::from_bytes_mod_order_wide(&wide);
    wide.zeroize();
    scalar
}

/// A uniform scalar other than zero.
pub fn random_non_zero(rng: &mut impl CryptoRng) -> Scalar {
    loop {
        let scalar = random(rng);
        if scalar != Scalar::ZERO {
            return scalar;
        }
    }
}

/// `value`⁵. Five is the smallest exponent above 1 that is prime to *q* − 1, so this permutes the scalars.
#[must_use]
pub fn fifth_power(value: &Scalar) -> Scalar {
    let square = value * value;
    square * square * value
}

/// 64 bytes given as two halves, reduced modulo *q*.
#[cfg(feature = "testing")]
pub(crate) fn from_halves(low: &[u8; 32], high: &[u8; 32]) -> Scalar {
    let mut wide = [0; 64];
    wide.iter_mut().zip(low.iter().chain(high)).for_each(|(to, from)| *to = *from);
    Scalar::from_bytes_mod_order_wide(&wide)
}
