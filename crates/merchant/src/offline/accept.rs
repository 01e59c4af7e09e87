//! Taking a payment with no connection to anybody.

use feiqian_clearing::presentment::{ItemKind, presentment_id};
use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreExt, Tx};
use feiqian_node::MemberView;
use feiqian_node::carried;
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::carry::Carried;
use feiqian_offline_cash::held::Held as Pieces;
use feiqian_offline_cash::keyset::Keys as _;
use feiqian_offline_cash::pay::{Accepted, ExpectPayment, Payment, verify_stored};
use feiqian_offline_cash::policy::Counter;
use feiqian_offline_cash::request::Authorities;
use feiqian_pki::{Chain, Purpose, Revocation, Verified, fingerprint, validate};
use feiqian_wire::Timestamp;
use feiqian_wire::error::{Code, Fault};
use serde::Serialize;

use super::rows::{Asked, Held, Standing};
use super::tables::{OFFLINE_COIN, OFFLINE_PAYMENT};
use crate::failure::Failure;
use crate::keys::Keys;
use crate::payments::corrupt;
use crate::service::Merchant;

/// Believes the requests that this merchant signed itself: they come from its own store, so no revocation list is asked,
/// which would close the till a while after its last connection.
struct Own<'a>(&'a Keys);

impl Authorities for Own<'_> {
    fn payee(&self, leaf: &[u8], issuer: &Digest, now: Timestamp) -> Result<Verified, Rejection> {
        let invalid = |error: String| Rejection::CertificateInvalid(error);
        let own = self.0.signer_chain.certificates();
        let authority = own.iter().skip(1).find(|der| fingerprint(der) == *issuer);
        let authority = authority.ok_or_else(|| invalid("not of this merchant's bank".to_owned()))?;
        let chain = Chain::new(vec![leaf.to_vec(), authority.clone()]);
        let chain = chain.map_err(|error| invalid(error.to_string()))?;
        validate(&chain, &self.0.root, Purpose::Signing, Revocation::Unchecked, now.seconds())
            .map_err(|error| invalid(error.to_string()))
    }
}

/// Answer to a payment that was taken.
#[derive(Debug, Serialize)]
pub(crate) struct Taken {
    outcome: &'static str,
    payment: Digest,
    order: String,
    amount: String,
    currency: feiqian_money::Currency,
    pieces: usize,
    bytes: usize,
    state: &'static str,
    deposit_by: u64,
}

impl Taken {
    fn of(held: &Held) -> Result<Self, Fault> {
        let message = Carried::Payment(held.item.payment.clone());
        Ok(Self {
            outcome: "accepted",
            payment: held.payment,
            order: held.item.request.request.order.as_str().to_owned(),
            amount: held.amount.to_string(),
            currency: held.amount.currency,
            pieces: held.item.payment.chains.len(),
            bytes: message.to_file()?.len(),
            state: held.state.as_str(),
            deposit_by: held.deposit_by,
        })
    }
}

/// *m* of every coin and blank of a payment.
pub(super) fn coins(payment: &Payment, view: &MemberView) -> Result<Vec<Digest>, Rejection> {
    let hops = payment
        .chains
        .iter()
        .flat_map(|chain| chain.links.iter().map(|link| &link.hop).chain(std::iter::once(&chain.last)));
    let coin = |hop: &feiqian_offline_cash::chain::Hop| {
        let key = view.offline_keys().key(&hop.key)?;
        let coin = hop.piece.message(&key.public);
        coin.map_err(|_| Rejection::PieceInvalid("not a piece of its key"))
    };
    hops.map(coin).collect()
}

impl Merchant {
    /// Takes a payment from text, frames or a file; the same again is answered from the store.
    pub(crate) async fn offline_accept(&self, source: &str) -> Result<Taken, Fault> {
        let Carried::Payment(payment) = carried::read(source)? else {
            return Err(Fault::new(Code::Usage, "this is no payment")
                .hint("a till takes what `wallet pay --offline` wrote for its request"));
        };
        // One at a time: what is held must not change between comparing and storing.
        let _turn = self.accepting.lock().await;
        let (view, request) = (self.view(), payment.request);
        let coins = coins(&payment, &view);
        let known = coins.clone().unwrap_or_default();
        let work = move |tx: &mut dyn Tx| -> Result<_, Failure> {
            let asked = Asked::find(tx, &request)?;
            Ok((asked, Held::of_request(tx, &request)?, Held::with_coins(tx, &known)?))
        };
        let (asked, paid, related) = self.seams.store.read(work).await?;
        let asked = asked
            .ok_or_else(|| Fault::new(Code::RequestMismatch, "no such request was made at this till"))?;
        match paid {
            Some(known) if known.item.payment == payment => return Taken::of(&known),
            Some(_) => {
                return Err(Fault::new(Code::RequestAlreadyPaid, "another payment paid this request"));
            }
            None => {}
        }
        let accepted = self.check_offline(asked, payment, &related, &view)?;
        let held = self.store_accepted(accepted, coins?).await?;
        self.pending.notify_one();
        Taken::of(&held)
    }

    fn check_offline(
        &self,
        asked: Asked,
        payment: Payment,
        related: &[Held],
        view: &MemberView,
    ) -> Result<Accepted, Fault> {
        let (own, keys, now) = (Own(&self.keys), view.offline_keys(), self.seams.clock.now());
        let mut rng = self.seams.entropy.rng();
        let mut held = Pieces::new();
        for related in related {
            let chains = verify_stored(&related.item, keys, &mut rng);
            let chains = chains.map_err(|error| Fault::from(corrupt(&error.to_string())))?;
            chains.iter().try_for_each(|chain| held.add(chain))?;
        }
        let policy = &self.config.offline.policy;
        let counter = Counter { keys, policy, exposed: view.exposed(), held: &held, now };
        let expect = ExpectPayment::new(asked.signed);
        expect.accept(payment, &own, &counter, &mut rng).map_err(|(_, rejection)| {
            let unseen = matches!(&rejection, Rejection::KeyUnknown(_) | Rejection::KeysetNotPinned(_));
            let fault = Fault::from(rejection);
            if unseen { fault.hint("connect the merchant to the center, and ask again") } else { fault }
        })
    }

    /// Durable before anybody hears of it.
    async fn store_accepted(&self, accepted: Accepted, coins: Vec<Digest>) -> Result<Held, Fault> {
        let Accepted { item, payment } = accepted;
        let now = self.seams.clock.now().seconds();
        let digest = item.digest()?;
        let deposit_by = payment.chains.iter().map(|chain| chain.terms().deposit_until.seconds()).min();
        let fresh = Held {
            payment: payment.set,
            request: payment.request.digest,
            amount: payment.request.request.amount,
            item,
            presentment: presentment_id(&self.config.bank, &self.config.account, ItemKind::Holding, &digest),
            deposit_by: deposit_by.unwrap_or_default(),
            state: Standing::Queued,
            outcome: None,
            accepted: now,
            tried: 0,
        };
        let work = move |tx: &mut dyn Tx| -> Result<Held, Failure> {
            tx.insert(&OFFLINE_PAYMENT, &fresh.values()?)?;
            let coins: std::collections::BTreeSet<_> = coins.iter().copied().collect();
            for coin in coins {
                tx.insert(&OFFLINE_COIN, &[coin.into(), fresh.payment.into()])?;
            }
            Ok(fresh.clone())
        };
        Ok(self.seams.store.commit("merchant.offline.accept", work).await?)
    }
}
