//! The secret paths, each from its randomness to what is sent.

use std::hint::black_box;

use feiqian_crypto::acl::{self, CommitmentSecret, Depth, IdentitySecret, Slot};
use feiqian_crypto::share_tree::{Node, TreeBuilder, TreeSeed};
use feiqian_crypto::{
    Digest, EncodedPoint, EncodedScalar, Scalar, Transcript, generators, possession, scalar, snowblind,
};
use feiqian_offline_cash::seed::Seed as OfflineSeed;
use feiqian_online_cash::seed::{Place, Seed};
use feiqian_pki::KeyPair;
use rand::SeedableRng as _;
use rand::rngs::ChaCha12Rng;

use crate::mark::{SecretRandomness, published, secret};

const MESSAGE: Digest = Digest([7; 32]);

/// Randomness that everybody may know: of the other side, whose secrets are not looked at in a case.
fn open(seed: u64) -> ChaCha12Rng {
    ChaCha12Rng::seed_from_u64(seed)
}

fn slot() -> Slot<'static> {
    Slot { bank: b"bank", account: b"account", session: b"session", index: 0 }
}

fn depth(levels: u8) -> Depth {
    Depth::new(levels).expect("a depth")
}

/// The bank: a denomination key, a commitment, the answer to a challenge.
pub(crate) fn snowblind_signer() {
    let mut rng = SecretRandomness::new(10);
    let key = snowblind::SecretKey::generate(&mut rng);
    let stored = key.to_bytes();
    black_box(&stored);
    let (nonces, commitment) = snowblind::commit(&mut rng);
    // Sent to the wallet.
    published(&commitment);
    let challenge = snowblind::Challenge::try_from(EncodedScalar::from(scalar::random(&mut open(11))))
        .expect("a challenge");
    let response = nonces.respond(&key, &challenge);
    // Sent to the wallet.
    published(&response);
}

/// The bank: commitments ahead of need.
pub(crate) fn snowblind_batch() {
    let batch = snowblind::commit_batch(3, &mut SecretRandomness::new(20));
    for (nonces, commitment) in batch {
        published(&commitment);
        drop(nonces);
    }
}

/// The wallet: blinding a message, unblinding the answer.
pub(crate) fn snowblind_user() {
    let mut bank = open(30);
    let key = snowblind::SecretKey::generate(&mut bank);
    let (nonces, commitment) = snowblind::commit(&mut bank);
    // The message is the coin's public key, which nobody knows before it is spent.
    let message = secret(MESSAGE);
    let blinding = snowblind::Blinding::random(&mut SecretRandomness::new(31));
    let (pending, challenge) =
        snowblind::blind(key.public(), &message, &commitment, blinding).expect("an honest commitment");
    // Sent to the bank.
    published(&challenge);
    published(pending.challenge());
    let response = nonces.respond(&key, &challenge);
    let signature = pending.unblind(&response).expect("an honest answer");
    // Shown when the coin is spent.
    published(&signature);
    published(&message);
    snowblind::verify(key.public(), &message, &signature).expect("a signature");
}

/// The wallet: proof that coin keys are held.
pub(crate) fn possession() {
    let mut rng = SecretRandomness::new(40);
    let keys = [(); 3].map(|()| scalar::random(&mut rng));
    let publics = keys.map(|key| EncodedPoint::from(generators::multiply_g(&key)));
    // Of coins that are spent now.
    published(&publics);
    let proof = possession::prove(&keys, &publics, &MESSAGE, &mut rng).expect("keys that fit");
    // Sent to the payee.
    published(&proof);
    possession::verify(&publics, &MESSAGE, &proof).expect("a proof");
}

/// The bank: an offline key, an announcement, the answer to a challenge.
pub(crate) fn acl_bank() {
    let mut rng = SecretRandomness::new(50);
    let key = acl::SecretKey::generate(depth(1), &mut rng);
    // Part of the keyset.
    published(key.public());
    black_box(&key.to_bytes());
    let mut customer = open(51);
    let identity = IdentitySecret::generate(&mut customer);
    let commitment = identity.commit(CommitmentSecret::random(&mut customer));
    let context = slot().opening_context(key.public());
    let proof = commitment.prove(&context, &mut customer);
    let proven = acl::verify_opening(identity.public(), commitment.encoded(), &proof, &context)
        .expect("an honest opening");
    let (answers, announcement) = acl::announce(key.public(), &proven, &mut rng);
    // Sent to the wallet.
    published(&announcement);
    let challenge =
        acl::Challenge::try_from(EncodedScalar::from(scalar::random(&mut customer))).expect("a challenge");
    let answer = answers.respond(&key, &challenge);
    // Sent to the wallet.
    published(&answer);
}

/// What a bank sends for an opening of a customer.
fn at_the_counter(
    key: &acl::SecretKey,
    identity: &IdentitySecret,
    commitment: &acl::PendingCommitment,
    rng: &mut SecretRandomness,
) -> (acl::SecretAnswers, acl::Announcement) {
    let context = slot().opening_context(key.public());
    let proof = commitment.prove(&context, rng);
    // Sent to the bank.
    published(&proof);
    let encoded = *commitment.encoded();
    published(&encoded);
    let proven =
        acl::verify_opening(identity.public(), &encoded, &proof, &context).expect("an honest opening");
    acl::announce(key.public(), &proven, &mut open(61))
}

/// The wallet: its identity and one blind signature with attributes.
pub(crate) fn acl_holder() {
    let key = acl::SecretKey::generate(depth(1), &mut open(60));
    let mut rng = SecretRandomness::new(62);
    let identity = IdentitySecret::generate(&mut rng);
    // Registered at the bank.
    published(identity.public());
    let registered = identity.prove(&MESSAGE, &mut rng);
    published(&registered);
    let commitment = identity.commit(CommitmentSecret::random(&mut rng));
    let (answers, announcement) = at_the_counter(&key, &identity, &commitment, &mut rng);
    let root = secret(MESSAGE);
    let blinding = acl::Blinding::random(&mut rng);
    let (pending, challenge) =
        acl::blind(key.public(), commitment, &announcement, blinding, &root).expect("an announcement");
    // Sent to the bank.
    published(&challenge);
    published(pending.challenge());
    let answer = answers.respond(&key, &challenge);
    let (signature, vector) = pending.finish(&answer).expect("an honest answer");
    // Shown when the first part of the coin is spent.
    published(&signature);
    drop(vector);
}

/// The wallet: a divisible coin, stored, read again, and two answers of its tree.
pub(crate) fn share_tree() {
    let key = acl::SecretKey::generate(depth(2), &mut open(70));
    let builder = TreeBuilder::new(key.public());
    let mut rng = SecretRandomness::new(71);
    let identity = IdentitySecret::generate(&mut rng);
    // Registered at the bank.
    published(identity.public());
    let commitment = identity.commit(CommitmentSecret::random(&mut rng));
    let (answers, announcement) = at_the_counter(&key, &identity, &commitment, &mut rng);
    let tree = builder.build(TreeSeed::random(&mut rng));
    let blinding = acl::Blinding::random(&mut rng);
    let (pending, challenge) = tree.begin(commitment, &announcement, blinding).expect("an announcement");
    // Sent to the bank.
    published(&challenge);
    published(pending.challenge());
    let coin = pending.finish(&answers.respond(&key, &challenge)).expect("an honest answer");
    black_box(&coin.export());
    let pay = Transcript::new("ct/pay").integer(1).into_scalar();
    let left = Node::new(2).expect("a node");
    for node in coin.into_nodes(&[left]) {
        let piece = node.spend(&pay).expect("a challenge that fits");
        // Sent to the payee; its ancestors lie in a list of their own.
        published(&piece);
        published(piece.ancestors.as_slice());
    }
}

/// The wallet: what is derived from its words for coins of an online bank.
pub(crate) fn online_seed() {
    let seed = Seed::from_bytes(secret([9; 64]));
    let mut bank = open(80);
    let key = snowblind::SecretKey::generate(&mut bank);
    let (_nonces, commitment) = snowblind::commit(&mut bank);
    let (denomination, session) = (Digest([1; 32]), Digest([2; 32]));
    let place = Place {
        bank: "north",
        denomination: &denomination,
        session: &session,
        index: 0,
        commitment: &commitment,
    };
    let coin: Scalar = seed.coin_key(&place);
    let public = feiqian_online_cash::coin::public_key(&coin);
    black_box(&public);
    let blinding = seed.blinding(&place, key.public(), &secret(MESSAGE));
    black_box(&blinding);
    black_box(&seed.payee_key(&[3; 16], 4));
    black_box(&seed.transport_key("north", 0));
}

/// The wallet: what is derived from its words for offline coins.
pub(crate) fn offline_seed() {
    let seed = OfflineSeed::from_bytes(secret([9; 64]));
    let identity = seed.identity("north", "account").expect("an identity that is not zero");
    published(identity.public());
    black_box(&seed.document_key("account", 0));
}

/// Every role: a document-signing key and a signature.
pub(crate) fn documents() {
    let pair = KeyPair::from_seed(&secret([5; 32]));
    let signature = pair.sign(b"a document");
    // Sent with the document.
    published(&signature);
}
