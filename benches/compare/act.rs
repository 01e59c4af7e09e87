//! Anonymous Credit Tokens: an account of credits in one token, of which 12.50 is spent and the rest comes back in a new
//! token. 32 bits for the credits.

use std::hint::black_box;

use anonymous_credit_tokens::{Params, PreIssuance, PrivateKey};
use curve25519_dalek_4::Scalar;
use rand_chacha_03::ChaCha12Rng;
use rand_chacha_03::rand_core::SeedableRng as _;

use crate::payee::PRICE;
use crate::{Criterion, group, operation};

const BITS: usize = 32;
/// 20.48 in hand.
const CREDITS: u64 = 2048;

pub(crate) fn run(criterion: &mut Criterion) {
    let mut rng = ChaCha12Rng::seed_from_u64(20);
    let params = Params::new("feiqian", "benches", "local", "2026-01-01");
    let key = PrivateKey::random(&mut rng);
    let (credits, price) = (Scalar::from(CREDITS), Scalar::from(PRICE));
    let begun = PreIssuance::random(&mut rng);
    let request = begun.request(&params, &mut rng);
    let response = key.issue::<BITS>(&params, &request, credits, Scalar::ZERO, &mut rng).unwrap();
    let finish = || begun.to_credit_token::<BITS>(&params, key.public(), &request, &response).unwrap();
    let token = finish();

    let mut bank = group(criterion, operation::SIGN);
    bank.bench_function("ACT", |b| {
        b.iter(|| key.issue::<BITS>(&params, black_box(&request), credits, Scalar::ZERO, &mut rng).unwrap());
    });
    bank.finish();
    let mut blind = group(criterion, operation::BLIND);
    blind.bench_function("ACT", |b| {
        b.iter(|| PreIssuance::random(&mut rng).request(black_box(&params), &mut rng));
    });
    blind.finish();
    let mut unblind = group(criterion, operation::UNBLIND);
    unblind.bench_function("ACT", |b| b.iter(finish));
    unblind.finish();

    let (proof, _) = token.prove_spend::<BITS>(&params, price, &mut rng).unwrap();
    let mut payer = group(criterion, operation::PAY);
    payer.bench_function("ACT, L = 32", |b| {
        b.iter(|| token.prove_spend::<BITS>(black_box(&params), price, &mut rng).unwrap());
    });
    payer.finish();
    let mut verifier = group(criterion, operation::ACCEPT);
    verifier.bench_function("ACT, L = 32, with the refund", |b| {
        b.iter(|| key.refund(&params, black_box(&proof), Scalar::ZERO, &mut rng).unwrap());
    });
    verifier.finish();
    let mut whole = group(criterion, operation::PAY_WHOLE);
    whole.bench_function("ACT, L = 32, with unlinkable change", |b| {
        b.iter(|| {
            let (proof, rest) = token.prove_spend::<BITS>(black_box(&params), price, &mut rng).unwrap();
            let refund = key.refund(&params, &proof, Scalar::ZERO, &mut rng).unwrap();
            rest.to_credit_token(&params, &proof, &refund, key.public()).unwrap()
        });
    });
    whole.finish();
}
