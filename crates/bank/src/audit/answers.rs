//! Stored answers against their commitments: *B* = *bG* + *yH* and *zG* = *A* + (*c* + *y*⁵)*X*, weighted and summed.

use feiqian_crypto::scalar::fifth_power;
use feiqian_crypto::snowblind::{Challenge, Commitment, PublicKey, Response};
use feiqian_crypto::{Digest, Malformed, RistrettoPoint, Scalar, generators};
use rand_core::CryptoRng;

/// How many coins are checked by one multiscalar multiplication.
const BATCH: usize = 2048;

struct Equation {
    session: Digest,
    /// Coefficients of *G* and *H*.
    g: Scalar,
    h: Scalar,
    terms: [(Scalar, RistrettoPoint); 3],
}

/// Collects equations and names the sessions whose answers do not fit.
#[derive(Default)]
pub(super) struct Answers {
    equations: Vec<Equation>,
    pub(super) wrong: Vec<Digest>,
}

impl Answers {
    /// Adds one coin of a session.
    pub(super) fn add(
        &mut self,
        session: Digest,
        key: &PublicKey,
        commitment: &Commitment,
        challenge: &Challenge,
        answer: &Response,
        rng: &mut impl CryptoRng,
    ) {
        match equation(session, key, commitment, challenge, answer, rng) {
            Ok(equation) => self.equations.push(equation),
            Err(_) => self.wrong.push(session),
        }
        if self.equations.len() >= BATCH {
            self.check();
        }
    }

    /// Checks what was collected; a false batch is split to name the sessions.
    pub(super) fn check(&mut self) {
        let equations = std::mem::take(&mut self.equations);
        split(&equations, &mut self.wrong);
        self.wrong.sort_unstable();
        self.wrong.dedup();
    }
}

/// One equation for both rules, each with a weight of its own.
fn equation(
    session: Digest,
    key: &PublicKey,
    commitment: &Commitment,
    challenge: &Challenge,
    answer: &Response,
    rng: &mut impl CryptoRng,
) -> Result<Equation, Malformed> {
    let (z, b, y) = (answer.z.decode()?, answer.b.decode()?, answer.y.decode_non_zero()?);
    let (first, second) = (weight(rng), weight(rng));
    let exponent = challenge.scalar() + fifth_power(&y);
    Ok(Equation {
        session,
        g: first * z + second * b,
        h: second * y,
        terms: [
            (-first, commitment.a.decode()?),
            (-first * exponent, *key.point()),
            (-second, commitment.b.decode()?),
        ],
    })
}

fn split(equations: &[Equation], wrong: &mut Vec<Digest>) {
    if equations.is_empty() || vanishes(equations) {
        return;
    }
    if let [one] = equations {
        wrong.push(one.session);
        return;
    }
    let (left, right) = equations.split_at(equations.len() / 2);
    split(left, wrong);
    split(right, wrong);
}

fn vanishes(equations: &[Equation]) -> bool {
    let (mut g, mut h) = (Scalar::ZERO, Scalar::ZERO);
    for equation in equations {
        g += equation.g;
        h += equation.h;
    }
    let terms =
        equations.iter().flat_map(|equation| equation.terms.iter().map(|(scalar, point)| (scalar, point)));
    generators::vartime_sum(&g, &h, terms) == RistrettoPoint::default()
}

/// 128 random bits, never zero.
fn weight(rng: &mut impl CryptoRng) -> Scalar {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    Scalar::from(u128::from_le_bytes(bytes).max(1))
}
