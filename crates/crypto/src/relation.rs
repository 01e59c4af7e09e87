//! Linear relations between points, many of them decided by one multiscalar multiplication.
//!
//! A row says *gG* + *hH* + *h*₀*H0* + *h*₁*H1* + (key) + Σ terms = 0. Every row of every relation is multiplied by a
//! random 128-bit weight of its own and all are added up; generators, keys and the points of one relation are merged. A
//! sum with a false row in it vanishes with probability 2⁻¹²⁸.

use std::collections::BTreeMap;

use curve25519_dalek::traits::{IsIdentity, VartimeMultiscalarMul};
use curve25519_dalek::{RistrettoPoint, Scalar};
use rand_core::CryptoRng;

use crate::encoded::EncodedPoint;
use crate::generators;

/// Rows over common points. Everything in it is public.
#[derive(Debug)]
pub(crate) struct Relation {
    /// A point that other relations share, under its encoding.
    pub(crate) key: Option<(EncodedPoint, RistrettoPoint)>,
    /// The points of this relation alone.
    pub(crate) points: Vec<RistrettoPoint>,
    pub(crate) rows: Vec<Row>,
}

/// The scalars of one row; `terms` are places in [`Relation::points`] with their scalars.
#[derive(Debug, Default)]
pub(crate) struct Row {
    pub(crate) g: Scalar,
    pub(crate) h: Scalar,
    pub(crate) h0: Scalar,
    pub(crate) h1: Scalar,
    pub(crate) key: Scalar,
    pub(crate) terms: Vec<(usize, Scalar)>,
}

/// The merged sum of weighted rows.
#[derive(Default)]
struct Sum {
    /// The scalars of *G*, *H*, *H0* and *H1*.
    fixed: [Scalar; 4],
    keys: BTreeMap<EncodedPoint, (RistrettoPoint, Scalar)>,
    scalars: Vec<Scalar>,
    points: Vec<RistrettoPoint>,
}

impl Sum {
    fn add(&mut self, relation: &Relation, mut weight: impl FnMut() -> Scalar) {
        let mut merged = vec![Scalar::ZERO; relation.points.len()];
        let mut key_scalar = Scalar::ZERO;
        for row in &relation.rows {
            let weight = weight();
            for (sum, scalar) in self.fixed.iter_mut().zip([row.g, row.h, row.h0, row.h1]) {
                *sum += weight * scalar;
            }
            key_scalar += weight * row.key;
            for (place, scalar) in &row.terms {
                if let Some(sum) = merged.get_mut(*place) {
                    *sum += weight * scalar;
                }
            }
        }
        if let Some((encoded, point)) = relation.key {
            self.keys.entry(encoded).or_insert((point, Scalar::ZERO)).1 += key_scalar;
        }
        self.scalars.extend(merged);
        self.points.extend(&relation.points);
    }

    fn vanishes(mut self) -> bool {
        for (point, scalar) in self.keys.into_values() {
            self.points.push(point);
            self.scalars.push(scalar);
        }
        let fixed = [generators::g(), generators::h(), generators::h0(), generators::h1()];
        // Most relations use one or two generators: a scalar of zero would cost as much as any other.
        for (scalar, point) in self.fixed.into_iter().zip(fixed).filter(|(scalar, _)| *scalar != Scalar::ZERO)
        {
            self.points.push(point);
            self.scalars.push(scalar);
        }
        RistrettoPoint::vartime_multiscalar_mul(&self.scalars, &self.points).is_identity()
    }
}

/// Whether all rows of all relations hold, up to a chance of 2⁻¹²⁸; a sum that does not vanish has a false row for sure.
pub(crate) fn sum_vanishes<'a>(
    relations: impl Iterator<Item = &'a Relation>,
    rng: &mut impl CryptoRng,
) -> bool {
    let mut sum = Sum::default();
    for relation in relations {
        sum.add(relation, || random_weight(rng));
    }
    sum.vanishes()
}

impl Relation {
    /// Whether every row holds, one by one and without chance.
    pub(crate) fn holds(&self) -> bool {
        self.rows.iter().all(|row| {
            let mut sum = Sum::default();
            let (places, scalars): (Vec<_>, Vec<_>) = row.terms.iter().copied().unzip();
            sum.points.extend(places.into_iter().filter_map(|place| self.points.get(place)));
            sum.scalars = scalars;
            sum.fixed = [row.g, row.h, row.h0, row.h1];
            if let Some((encoded, point)) = self.key {
                sum.keys.insert(encoded, (point, row.key));
            }
            sum.vanishes()
        })
    }
}

/// 128 random bits, never zero.
fn random_weight(rng: &mut impl CryptoRng) -> Scalar {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    Scalar::from(u128::from_le_bytes(bytes).max(1))
}
