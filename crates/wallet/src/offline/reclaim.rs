//! Value that was never deposited: claimed from `deposit_until` of its key, decided at `reclaim_until`.
//!
//! A claim gives up the anonymity of its coin, and there is one for each: what it names is written down before it leaves.
//! Of received value only what the own bank issued can be claimed there.

use feiqian_crypto::Digest;
use feiqian_crypto::share_tree::{Node, SecretTree};
use feiqian_ledger::store::{StoreExt, Tx};
use feiqian_money::Minor;
use feiqian_node::{CallError, Caller};
use feiqian_offline_cash::MAX_PIECES;
use feiqian_offline_cash::interval::Interval;
use feiqian_offline_cash::keyset::{Keys, Times, VerifiedKey};
use feiqian_offline_cash::messages::{ReclaimRequest, ReclaimResponse, SessionRequest};
use feiqian_offline_cash::reclaim::{AttestedSession, ChainClaim};
use feiqian_offline_cash::verify::verify_passed;
use feiqian_offline_cash::withdraw::{Coin, Origin};
use feiqian_pki::KeyPair;
use feiqian_wire::error::Code;
use serde_json::{Value, json};

use super::purse::Trees;
use super::rows::{ClaimRow, CoinRow, answers_of};
use super::tables::OFFLINE_CLAIM;
use crate::answer::show;
use crate::failure::{Failure, Result};
use crate::record::{decode, encode, note};
use crate::wallet::Wallet;

/// A coin to be claimed, with the nodes that are.
struct Due {
    row: CoinRow,
    nodes: Vec<Node>,
    amount: Minor,
}

impl Wallet {
    /// Claims what is due: `{"filed","decided","paid","refused","waiting","currency"}`. `everything` claims what was spent
    /// as well, which counts only where no payee deposited it or passed it on.
    pub(crate) async fn reclaim(&self, everything: bool) -> Result<Value> {
        let due = self.claimable(everything).await?;
        for Due { row, nodes, amount } in due {
            let body = self.write_claim(&row, &nodes).await?;
            let (message, created) = (row.message, self.now().seconds());
            let state = "open".to_owned();
            let claim = ClaimRow { message, amount, body, state, decided_at: None, paid: None, created };
            let keep = move |tx: &mut dyn Tx| match ClaimRow::find(tx, &message)? {
                Some(_) => Ok::<_, Failure>(()),
                None => Ok(tx.insert(&OFFLINE_CLAIM, &claim.values()?)?),
            };
            self.seams.store.commit("wallet.offline.claim", keep).await?;
        }
        self.resume_claims().await?;
        let claims = self.seams.store.read(|tx| ClaimRow::select(tx, "1 = 1", &[])).await?;
        let of = |state: &str| {
            let own = claims.iter().filter(|claim| claim.state == state);
            Ok::<_, Failure>(self.amount(Minor::sum(own.map(|claim| claim.amount))?).to_string())
        };
        let paid = Minor::sum(claims.iter().filter_map(|claim| claim.paid))?;
        show(&json!({
            "filed": of("filed")?, "decided": of("decided")?, "paid": self.amount(paid).to_string(),
            "refused": of("refused")?, "waiting": of("open")?, "currency": self.config.currency,
        }))
    }

    /// Coins whose time to claim has come, and that were not claimed.
    async fn claimable(&self, everything: bool) -> Result<Vec<Due>> {
        let unclaimed = "worth > 0 AND secret IS NOT NULL \
                         AND NOT EXISTS (SELECT 1 FROM offline_claim c WHERE c.message = offline_coin.message)";
        let read = move |tx: &mut dyn Tx| {
            let rows = CoinRow::select(tx, unclaimed, &[])?;
            let nodes = |row: CoinRow| {
                let answered: Vec<Node> =
                    answers_of(tx, &row.message)?.iter().map(|mark| mark.node).collect();
                Ok::<_, Failure>((row, answered))
            };
            rows.into_iter().map(nodes).collect::<Result<Vec<_>>>()
        };
        let (view, now) = (self.view(), self.now());
        let book = view.offline_keys();
        let mut due = Vec::new();
        for (row, answered) in self.seams.store.read(read).await? {
            let key = book.key(&row.key)?;
            // What a claim on received value is filed by are the times of the value coin that it came from.
            let (times, own) = match &row.chain {
                None => (key.times, true),
                Some(chain) => {
                    let chain = verify_passed(std::slice::from_ref(chain), book, &mut self.rng()).pop();
                    let chain = chain.ok_or_else(|| Failure::broken("a holding without its chain"))??;
                    let first = chain.hops().first().ok_or_else(|| Failure::broken("an empty chain"))?;
                    (book.key(first.key())?.times, *first.bank() == self.config.bank)
                }
            };
            if !own || now < times.deposit_until || times.reclaim_until <= now {
                continue;
            }
            let nodes = match row.restored || everything {
                true => vec![Node::ROOT],
                false => free_nodes(key, &row, &answered)?,
            };
            if !nodes.is_empty() {
                let amount = if row.restored || everything { row.worth } else { row.rest };
                due.push(Due { row, nodes, amount });
            }
        }
        Ok(due)
    }

    async fn write_claim(&self, row: &CoinRow, nodes: &[Node]) -> Result<Vec<u8>> {
        let session = match &row.chain {
            None => None,
            Some(_) => Some(self.attested_session(row).await?),
        };
        let (view, signer) = (self.view(), self.offline_signer().await?);
        let key = view.offline_keys().key(&row.key)?;
        let tree = Trees::sealed_with(&self.store_key).read(row, key)?;
        let claim = self.claim_of(row, tree, (key, nodes), &signer)?;
        let request = match (&row.chain, session) {
            (Some(chain), Some(session)) => {
                ReclaimRequest::Received(ChainClaim { chain: chain.clone(), claim, session })
            }
            _ => ReclaimRequest::Withdrawn(claim),
        };
        encode(&request)
    }

    fn claim_of(
        &self,
        row: &CoinRow,
        tree: SecretTree,
        (key, nodes): (&VerifiedKey, &[Node]),
        signer: &KeyPair,
    ) -> Result<feiqian_offline_cash::reclaim::Claim> {
        let (bank, account) = (self.config.bank.clone(), self.offline_account()?);
        let origin = Origin { bank, account, session: row.session, index: row.place };
        let coin = Coin { origin, key: key.id, tree };
        self.as_customer(|customer| Ok(coin.claim(customer, key, nodes, signer, &mut self.rng())?))
    }

    async fn attested_session(&self, row: &CoinRow) -> Result<AttestedSession> {
        let to = self.bank_target(self.config.bank.as_str()).await?;
        let request = SessionRequest { session: row.session, index: row.place };
        Ok(self.ask(&to, Caller::Certified, "/v1/account/offline/session", &request).await?)
    }

    /// Files the claims whose time has come, and asks what became of those that are decided by now.
    pub(super) async fn resume_claims(&self) -> Result<()> {
        let read = |tx: &mut dyn Tx| {
            let claims = ClaimRow::select(tx, "state IN ('open', 'filed')", &[])?;
            let with_coin = |claim: ClaimRow| Ok::<_, Failure>((CoinRow::load(tx, &claim.message)?, claim));
            claims.into_iter().map(with_coin).collect::<Result<Vec<_>>>()
        };
        let now = self.now();
        for (coin, claim) in self.seams.store.read(read).await? {
            let waits = match claim.decided_at {
                // A claim on received value was written when its time had come.
                None => coin.chain.is_none() && now < self.times_of(&coin.key)?.deposit_until,
                Some(decided_at) => now.seconds() < decided_at,
            };
            if !waits {
                self.file(claim).await?;
            }
        }
        Ok(())
    }

    fn times_of(&self, key: &Digest) -> Result<Times> {
        Ok(self.view().offline_keys().key(key)?.times)
    }

    async fn file(&self, claim: ClaimRow) -> Result<()> {
        let to = self.bank_target(self.config.bank.as_str()).await?;
        let request: ReclaimRequest = decode(&claim.body, &OFFLINE_CLAIM)?;
        let path = "/v1/account/offline/reclaim";
        let answer: Result<ReclaimResponse, CallError> =
            self.ask(&to, Caller::Certified, path, &request).await;
        let mut row = claim;
        match answer {
            Ok(ReclaimResponse { decided_at, paid }) => {
                row.decided_at = Some(decided_at.seconds());
                row.paid = paid;
                row.state = if paid.is_some() { "decided" } else { "filed" }.to_owned();
            }
            // By the bank's clock it is not time yet.
            Err(CallError::Fault(fault)) if fault.code == Code::NotExpired => return Ok(()),
            // About the caller, not the claim.
            Err(CallError::Fault(fault))
                if matches!(fault.code, Code::Unauthenticated | Code::Forbidden | Code::AccountClosed) =>
            {
                return Err(fault.into());
            }
            Err(CallError::Fault(fault)) if fault.is_definitive() => {
                tracing::warn!(%fault, "a claim was refused");
                row.state = "refused".to_owned();
            }
            Err(error) => return Err(error.into()),
        }
        let (now, bank) = (self.now(), self.config.bank.as_str().to_owned());
        let store = move |tx: &mut dyn Tx| {
            if let Some(paid) = row.paid {
                note(tx, now, "offline_reclaim", paid, &bank, &row.message)?;
            }
            Ok::<_, Failure>(tx.update(&OFFLINE_CLAIM, &row.values()?)?)
        };
        self.seams.store.commit("wallet.offline.claimed", store).await
    }
}

/// The greatest nodes of a coin that nothing of was answered, coarsest first, none finer than a minor unit.
fn free_nodes(key: &VerifiedKey, row: &CoinRow, answered: &[Node]) -> Result<Vec<Node>> {
    let whole = Interval::whole(row.worth)?;
    let free = |node: &Node| !answered.iter().any(|other| other.overlaps(*node));
    let greatest = Node::all(key.public.depth())
        .filter(free)
        .filter(|node| !node.parent().is_some_and(|parent| free(&parent)))
        .filter(|node| whole.part(*node).is_some());
    let mut nodes: Vec<Node> = greatest.collect();
    nodes.truncate(MAX_PIECES);
    Ok(nodes)
}
