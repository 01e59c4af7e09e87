//! Framing: a bank that accuses an honest customer of double spending, with everything a bank has: the withdrawals that the
//! customer signed, its identity's record, the pieces that shops deposited, accusations of others, and the authority
//! that certifies customers' keys. In the control the bank has stolen the customer's wallet besides.

use std::sync::Arc;

use async_trait::async_trait;
use feiqian_crypto::acl::IdentitySecret;
use feiqian_crypto::share_tree::Opening;
use feiqian_crypto::{EncodedScalar, Id16};
use feiqian_ledger::store::{StoreError, Tx};
use feiqian_node::{Caller, Target, call};
use feiqian_offline_cash::accusation::{Accusation, Accused, CustomerAccusation};
use feiqian_offline_cash::identity::{AttestedIdentity, Registrant, Registration, SignedIdentity};
use feiqian_offline_cash::messages::IdentityRequest;
use feiqian_offline_cash::signed::WireChain;
use feiqian_offline_cash::withdraw::SignedWithdrawal;
use feiqian_pki::{CertificateRequest, KeyPair, Purpose, Role, Subject};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Bounded, Limit, codec};
use rand::RngExt as _;
use rand::rngs::ChaCha12Rng;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::crook::{amount_text, port};
use super::{Adversary, moments};
use crate::measure::stats::share;
use crate::scenario::specs::AdversarySpec;
use crate::workload::hand::text_of;
use crate::world::World;
use crate::world::fabric::NodeId;

/// What the customer withdraws, and pays honestly in two parts, minor units.
const WITHDRAWN: u64 = 2048;
const PAID: [u64; 2] = [512, 256];
/// How long a certificate of the bank's own making is valid, seconds.
const VALID: u64 = 86_400;

/// A bank without scruples.
pub struct Framer {
    guesses: u64,
    control: bool,
    victim: usize,
    attempts: u64,
    verified: u64,
    work: JoinSet<()>,
}

impl Framer {
    /// One that guesses `spec.count` times for each coin, and accuses the customer with the wallet of this number.
    #[must_use]
    pub fn new(spec: &AdversarySpec, victim: usize) -> Self {
        let (guesses, control, work) = (spec.count, spec.control, JoinSet::new());
        Self { guesses, control, victim, attempts: 0, verified: 0, work }
    }
}

#[async_trait]
impl Adversary for Framer {
    fn begin(&mut self, world: &Arc<World>) {
        let (there, victim, stolen) = (Arc::clone(world), self.victim, self.control);
        self.work.spawn(async move {
            let times = moments(&there, "framer", 1);
            tokio::time::sleep(times.first().copied().unwrap_or_default()).await;
            // Without a withdrawal there is nobody to frame: the report then has no attempts.
            let _ = live(&there, victim, stolen).await;
        });
    }

    async fn finish(&mut self, world: &Arc<World>) {
        while self.work.join_next().await.is_some() {}
        // Shops deposit by themselves, and within minutes.
        tokio::time::sleep(std::time::Duration::from_secs(900)).await;
        let Ok(records) = Records::read(world, self.victim).await else { return };
        let mut rng = world.stream("framer/forge");
        let mut forged = records.forge(self.guesses, &mut rng).unwrap_or_default();
        forged.extend(records.with_own_key(world, &mut rng).await.unwrap_or_default());
        forged.extend(records.accusations.clone());
        for accusation in forged {
            self.attempts = self.attempts.saturating_add(1);
            let verified = Accusation::Customer(accusation).verify(world.root());
            let names = |accused: &Accused| matches!(accused, Accused::Customer { origin, .. } if *origin.account == *records.account);
            if verified.is_ok_and(|accused| names(&accused)) {
                self.verified = self.verified.saturating_add(1);
            }
        }
    }

    async fn report(&mut self, _world: &Arc<World>) -> Value {
        json!({
            "attempts": self.attempts,
            "successes": self.verified,
            "success": share(self.verified, self.attempts),
            "won": self.verified > 0,
        })
    }
}

/// The customer withdraws and pays, as everybody does; a stolen wallet spends the same once more.
async fn live(world: &World, victim: usize, stolen: bool) -> Result<(), Fault> {
    let wallet = world.wallets().get(victim).copied();
    let wallet = wallet.ok_or_else(|| Fault::new(Code::NotFound, "no such wallet"))?;
    let amount = amount_text(world, WITHDRAWN);
    world.command(wallet, json!({"command": "withdraw_offline", "amount": amount})).await?;
    let twin = if stolen { Some(world.twin(wallet).await?) } else { None };
    for (place, minor) in PAID.into_iter().enumerate() {
        let Some(shop) = world.merchants().first() else { return Ok(()) };
        let request = ask(world, *shop, minor, &format!("framed-{place}")).await?;
        let paid = json!({"command": "pay_offline", "request": request});
        let payment = world.command(wallet, paid).await?;
        world.command(*shop, json!({"command": "accept", "file": text_of(&payment)})).await?;
    }
    // At another shop: one that holds a part of a coin does not take it twice.
    if let (Some(twin), Some(shop)) = (twin, world.merchants().last()) {
        world.hides_coins(victim);
        let request = ask(world, *shop, WITHDRAWN, "stolen").await?;
        let payment = twin.command(json!({"command": "pay_offline", "request": request})).await?;
        world.command(*shop, json!({"command": "accept", "file": text_of(&payment)})).await?;
    }
    Ok(())
}

async fn ask(world: &World, shop: NodeId, minor: u64, order: &str) -> Result<String, Fault> {
    let amount = amount_text(world, minor);
    let asked = json!({"command": "offline_request", "amount": amount, "order": order});
    Ok(text_of(&world.command(shop, asked).await?))
}

/// What the bank knows of the customer, and of others who were accused.
struct Records {
    bank: NodeId,
    bank_name: String,
    account: String,
    withdrawals: Vec<SignedWithdrawal>,
    identity: AttestedIdentity,
    accusations: Vec<CustomerAccusation>,
}

type Rows = (Vec<Vec<u8>>, Vec<Vec<u8>>, Vec<Vec<u8>>);

impl Records {
    async fn read(world: &World, victim: usize) -> Result<Self, Fault> {
        let missing = || Fault::new(Code::NotFound, "the bank knows nothing of the customer");
        let (_, config) = world.wallet_details(victim).ok_or_else(missing)?;
        let (account, bank_name) = (config.account.clone(), config.bank.as_str().to_owned());
        let bank = world.bank_of_wallet(victim).ok_or_else(missing)?;
        let token: Id16 = account.parse().map_err(|_| missing())?;
        let read = move |tx: &mut dyn Tx| -> Result<Rows, StoreError> {
            let mut column = |sql: &str, of: &[feiqian_ledger::store::Value]| {
                let rows = tx.select(sql, of)?;
                rows.iter().map(|row| Ok(row.blob(0)?.to_vec())).collect::<Result<Vec<_>, StoreError>>()
            };
            let own =
                "SELECT withdrawal FROM offline_session WHERE account = ?1 AND state = 1 ORDER BY session";
            let identity =
                "SELECT attested FROM offline_identity WHERE account = ?1 AND attested IS NOT NULL";
            let accused = "SELECT body FROM offline_accusation ORDER BY digest LIMIT 100";
            Ok((column(own, &[token.into()])?, column(identity, &[token.into()])?, column(accused, &[])?))
        };
        let rows = world.read(bank, read).await;
        let (withdrawals, identities, accusations) =
            rows.map_err(|error| Fault::new(Code::Internal, error.to_string()))?;
        let identity = identities.first().ok_or_else(missing)?;
        Ok(Self {
            bank,
            bank_name,
            account,
            withdrawals: decoded(&withdrawals)?,
            identity: codec::decode(identity, Limit::Large)?,
            accusations: decoded(&accusations)?,
        })
    }

    /// Openings that are guessed, put into the customer's own papers; papers of others with the customer's name.
    fn forge(&self, guesses: u64, rng: &mut ChaCha12Rng) -> Result<Vec<CustomerAccusation>, Fault> {
        let mut forged = Vec::new();
        for withdrawal in &self.withdrawals {
            for (index, line) in (0_u16..).zip(withdrawal.statement.lines.iter()) {
                for _ in 0..guesses {
                    let opening = guess(line.nu, rng);
                    let identity = self.identity.clone();
                    let plain =
                        CustomerAccusation { opening, index, withdrawal: withdrawal.clone(), identity };
                    forged.push(CustomerAccusation {
                        withdrawal: replaced(withdrawal, index, &opening)?,
                        ..plain.clone()
                    });
                    let mut invented = plain.clone();
                    if let Ok(identity) = opening.identity() {
                        invented.identity.identity.record.identity = identity;
                    }
                    forged.push(CustomerAccusation {
                        withdrawal: replaced(withdrawal, index, &opening)?,
                        ..invented.clone()
                    });
                    forged.extend([plain, invented]);
                }
            }
            for other in &self.accusations {
                forged.push(CustomerAccusation { withdrawal: withdrawal.clone(), ..other.clone() });
                forged.push(CustomerAccusation { identity: self.identity.clone(), ..other.clone() });
            }
        }
        Ok(forged)
    }

    /// The bank certifies a key of its own in the customer's name, and makes out everything anew with it.
    async fn with_own_key(
        &self,
        world: &World,
        rng: &mut ChaCha12Rng,
    ) -> Result<Vec<CustomerAccusation>, Fault> {
        let wrong = |error: String| Fault::new(Code::Internal, error);
        let (key, secret) = (KeyPair::from_seed(&rng.random()), IdentitySecret::generate(rng));
        let subject = Subject::customer(&self.account, &self.bank_name).map_err(|e| wrong(e.to_string()))?;
        let request = CertificateRequest::create(&key, &subject).map_err(|e| wrong(e.to_string()))?;
        let request = CertificateRequest::verify(&request).map_err(|e| wrong(e.to_string()))?;
        let authority = world.authority_of(self.bank).await?;
        let now = world.now().seconds();
        let chain = authority.issue_leaf(&request, &subject, Purpose::Signing, &[], VALID, now, rng);
        let chain = WireChain::from_chain(&chain.map_err(|error| wrong(error.to_string()))?)?;
        let mut record = self.identity.identity.record.clone();
        (record.identity, record.signing_key) = (*secret.public(), Blob::new(key.public_key().to_vec())?);
        let signed = SignedIdentity::sign(record.clone(), &key, chain)?;
        let signing_key = key.public_key();
        let registrant =
            Registrant { bank: &self.bank_name, account: &self.account, signing_key: &signing_key };
        let registration = Registration::new(&secret, &registrant, rng);
        // The center's word of the customer's true record, and what the center says of the new one.
        let mut attested = vec![AttestedIdentity { identity: signed.clone(), ..self.identity.clone() }];
        let asked = IdentityRequest { identity: signed, registration };
        let center = Target::named("https://center.sim:443", Role::Center, "center");
        let port = port(world, self.bank);
        let answer = call(&port, &center, Caller::Certified, "/v1/offline/identity", &asked).await;
        attested.extend(answer.ok());
        let mut forged = Vec::new();
        for (withdrawal, identity) in
            self.withdrawals.iter().flat_map(|it| attested.iter().map(move |id| (it, id)))
        {
            let Some(line) = withdrawal.statement.lines.first() else { continue };
            let mut opening = guess(line.nu, rng);
            opening.identity_secret = EncodedScalar(*secret.to_bytes());
            let statement = replaced(withdrawal, 0, &opening)?.statement;
            let withdrawal = SignedWithdrawal::sign(statement, &key)?;
            forged.push(CustomerAccusation { opening, index: 0, withdrawal, identity: identity.clone() });
        }
        Ok(forged)
    }
}

fn decoded<T: serde::de::DeserializeOwned>(rows: &[Vec<u8>]) -> Result<Vec<T>, Fault> {
    rows.iter().map(|row| Ok(codec::decode(row, Limit::Large)?)).collect()
}

/// An opening with the bank's own *ν* and secrets that it can only guess.
fn guess(nu: EncodedScalar, rng: &mut ChaCha12Rng) -> Opening {
    let r = EncodedScalar(*IdentitySecret::generate(rng).to_bytes());
    let identity_secret = EncodedScalar(*IdentitySecret::generate(rng).to_bytes());
    Opening { r, identity_secret, nu }
}

/// The statement with another commitment in one line, under the signature that it had.
fn replaced(withdrawal: &SignedWithdrawal, index: u16, opening: &Opening) -> Result<SignedWithdrawal, Fault> {
    let commitment = opening.commitment().map_err(|error| Fault::new(Code::Internal, error.to_string()))?;
    let mut lines = withdrawal.statement.lines.to_vec();
    if let Some(line) = lines.get_mut(usize::from(index)) {
        line.commitment = commitment;
    }
    let mut withdrawal = withdrawal.clone();
    withdrawal.statement.lines = Bounded::new(lines)?;
    Ok(withdrawal)
}
