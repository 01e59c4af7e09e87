//! Nym's compact e-cash, in the curve with pairings: a book of 50 tickets, of which one is spent.
//!
//! Three authorities, of which two must sign; what a spending or its check costs does not depend on their number. The
//! signatures on dates and coin indices, which a wallet fetches once, are made beforehand.

use std::hint::black_box;

use criterion::BatchSize;
use nym_compact_ecash::identify::{IdentifyResult, identify};
use nym_compact_ecash::scheme::Payment;
use nym_compact_ecash::scheme::Wallet;
use nym_compact_ecash::scheme::coin_indices_signatures::CoinIndexSignature;
use nym_compact_ecash::scheme::expiration_date_signatures::ExpirationDateSignature;
use nym_compact_ecash::tests::helpers::{
    generate_coin_indices_signatures, generate_expiration_date_signatures,
};
use nym_compact_ecash::{
    KeyPairAuth, PayInfo, VerificationKeyAuth, aggregate_verification_keys, aggregate_wallets,
    ecash_parameters, generate_keypair_user, issue, issue_verify, ttp_keygen, withdrawal_request,
};

use crate::{Criterion, group, operation};

/// 7 and 10 December 2023, midnight.
const SPENT: u32 = 1_701_907_200;
const EXPIRES: u32 = 1_702_166_400;
const TYPE: u8 = 1;

struct World {
    key: VerificationKeyAuth,
    dates: Vec<ExpirationDateSignature>,
    indices: Vec<CoinIndexSignature>,
    user: nym_compact_ecash::scheme::keygen::KeyPairUser,
    wallet: Wallet,
}

impl World {
    fn spend(&self, wallet: &mut Wallet, info: &PayInfo) -> Payment {
        let secret = self.user.secret_key();
        let (dates, indices) = (&self.dates, &self.indices);
        wallet.spend(ecash_parameters(), &self.key, secret, info, 1, dates, indices, SPENT).unwrap()
    }
}

pub(crate) fn run(criterion: &mut Criterion) {
    let authorities = ttp_keygen(2, 3).unwrap();
    let world = withdraw(criterion, &authorities);
    let (info, other) = (PayInfo { pay_info_bytes: [6; 72] }, PayInfo { pay_info_bytes: [7; 72] });
    let fresh = || world.wallet.clone();
    let payment = world.spend(&mut fresh(), &info);
    let again = world.spend(&mut fresh(), &other);
    let named = identify(&payment, &again, info, other);
    assert_eq!(named, IdentifyResult::DoubleSpendingPublicKeys(world.user.public_key()));

    let mut payer = group(criterion, operation::PAY);
    payer.bench_function("Nym, one ticket", |b| {
        b.iter_batched(fresh, |mut wallet| world.spend(&mut wallet, &info), BatchSize::SmallInput);
    });
    payer.finish();
    let mut verifier = group(criterion, operation::ACCEPT);
    verifier.bench_function("Nym, one ticket", |b| {
        b.iter(|| black_box(&payment).spend_verify(&world.key, &info, SPENT).unwrap());
    });
    verifier.finish();
    let mut whole = group(criterion, operation::PAY_WHOLE);
    whole.bench_function("Nym, one ticket", |b| {
        b.iter_batched(
            fresh,
            |mut wallet| world.spend(&mut wallet, &info).spend_verify(&world.key, &info, SPENT).unwrap(),
            BatchSize::SmallInput,
        );
    });
    whole.finish();
    let mut coin = group(criterion, operation::OFFLINE);
    coin.bench_function("Nym, name the double-spender", |b| {
        b.iter(|| identify(black_box(&payment), &again, info, other));
    });
    coin.finish();
}

fn withdraw(criterion: &mut Criterion, authorities: &[KeyPairAuth]) -> World {
    let keys: Vec<_> = authorities.iter().map(KeyPairAuth::verification_key).collect();
    let secrets: Vec<_> = authorities.iter().map(KeyPairAuth::secret_key).collect();
    let numbers = [1, 2, 3];
    let key = aggregate_verification_keys(&keys, Some(&numbers)).unwrap();
    let dates = generate_expiration_date_signatures(EXPIRES, &secrets, &keys, &key, &numbers).unwrap();
    let indices =
        generate_coin_indices_signatures(ecash_parameters(), &secrets, &keys, &key, &numbers).unwrap();
    let user = generate_keypair_user();
    let (request, info) = withdrawal_request(user.secret_key(), EXPIRES, TYPE).unwrap();
    let sign = |secret| issue(secret, user.public_key(), &request, EXPIRES, TYPE).unwrap();
    let signed: Vec<_> = secrets.iter().map(|secret| sign(secret)).collect();
    let check = |place: usize| {
        issue_verify(&keys[place], user.secret_key(), &signed[place], &info, place as u64 + 1).unwrap()
    };
    let shares: Vec<_> = (0..signed.len()).map(check).collect();
    let wallet = aggregate_wallets(&key, user.secret_key(), &shares, &info).unwrap();

    let mut bank = group(criterion, operation::SIGN);
    bank.bench_function("Nym, one authority, a book of 50 tickets", |b| {
        b.iter(|| sign(black_box(secrets[0])))
    });
    bank.finish();
    let mut blind = group(criterion, operation::BLIND);
    blind.bench_function("Nym, a book of 50 tickets", |b| {
        b.iter(|| withdrawal_request(black_box(user.secret_key()), EXPIRES, TYPE).unwrap());
    });
    blind.finish();
    let mut unblind = group(criterion, operation::UNBLIND);
    unblind.bench_function("Nym, one authority, a book of 50 tickets", |b| b.iter(|| check(black_box(0))));
    unblind.finish();
    World { key, dates, indices, user, wallet }
}
