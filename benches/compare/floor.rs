//! Single operations of the group, the field beneath and the hash: what no implementation on this library goes below.

use std::hint::black_box;

use criterion::Throughput;
use curve25519_dalek::constants::RISTRETTO_BASEPOINT_POINT;
use curve25519_dalek::ristretto::CompressedRistretto;
use curve25519_dalek::traits::{MultiscalarMul as _, VartimeMultiscalarMul as _};
use curve25519_dalek::{RistrettoPoint, Scalar};
use feiqian_crypto::scalar::random;
use rand_core::Rng as _;
use sha2::{Digest as _, Sha512};

use crate::{BATCHES, Criterion, group, operation, rng};

/// 128 random bits, as the weights of a batch are.
fn weight(rng: &mut impl rand_core::Rng) -> Scalar {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    Scalar::from(u128::from_le_bytes(bytes))
}

pub(crate) fn run(criterion: &mut Criterion) {
    let mut rng = rng();
    let mut group = group(criterion, operation::FLOOR);
    let (one, other) = (random(&mut rng), random(&mut rng));
    let points: Vec<_> = (0..1024).map(|_| RistrettoPoint::mul_base(&random(&mut rng))).collect();
    let encoded: Vec<CompressedRistretto> = points.iter().map(RistrettoPoint::compress).collect();
    let (point, bytes) = (points[0], encoded[0]);

    group.bench_function("fixed-base multiplication", |b| {
        b.iter(|| RistrettoPoint::mul_base(black_box(&one)));
    });
    group.bench_function("variable-base multiplication", |b| b.iter(|| black_box(point) * black_box(one)));
    group.bench_function("double-base multiplication, variable time", |b| {
        b.iter(|| {
            RistrettoPoint::vartime_double_scalar_mul_basepoint(
                black_box(&one),
                black_box(&point),
                black_box(&other),
            )
        });
    });
    let (three, scalars) = ([points[0], points[1], points[2]], [one, other, one + other]);
    group.bench_function("whole multiscalar multiplication of 3, constant time", |b| {
        b.iter(|| RistrettoPoint::multiscalar_mul(black_box(&scalars), &three));
    });
    group.bench_function("whole multiscalar multiplication of 3", |b| {
        b.iter(|| RistrettoPoint::vartime_multiscalar_mul(black_box(&scalars), &three));
    });
    group.bench_function("decompression", |b| b.iter(|| black_box(bytes).decompress()));
    group.bench_function("compression", |b| b.iter(|| black_box(point).compress()));
    group.bench_function("addition", |b| b.iter(|| black_box(point) + RISTRETTO_BASEPOINT_POINT));
    group.bench_function("scalar multiplication", |b| b.iter(|| black_box(one) * black_box(other)));
    group.bench_function("scalar inversion", |b| b.iter(|| black_box(one).invert()));
    let mut text = [0; 160];
    rng.fill_bytes(&mut text);
    group.bench_function("SHA-512 of 160 bytes", |b| b.iter(|| Sha512::digest(black_box(text))));

    for size in BATCHES {
        group.throughput(Throughput::Elements(size as u64));
        let (points, encoded) = (&points[..size], &encoded[..size]);
        let full: Vec<_> = (0..size).map(|_| random(&mut rng)).collect();
        let short: Vec<_> = (0..size).map(|_| weight(&mut rng)).collect();
        group.bench_function(format!("multiscalar multiplication of {size}"), |b| {
            b.iter(|| RistrettoPoint::vartime_multiscalar_mul(black_box(&full), points));
        });
        // The least a batch of signatures can cost: its points decoded, each taken with a weight of 128 bits.
        group.bench_function(
            format!("{size} decompressions and their 128-bit multiscalar multiplication"),
            |b| {
                b.iter(|| {
                    let decoded = black_box(encoded).iter().map(CompressedRistretto::decompress);
                    RistrettoPoint::optional_multiscalar_mul(&short, decoded)
                });
            },
        );
        group.bench_function(format!("{size} compressions of doubles with one inversion"), |b| {
            b.iter(|| RistrettoPoint::double_and_compress_batch(black_box(points)));
        });
    }
    group.finish();
}
