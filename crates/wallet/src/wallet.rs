//! The running wallet: its keys, its view of the members, its store.

use std::path::PathBuf;
use std::sync::Arc;

use feiqian_clearing::membership::Directory;
use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreError, StoreExt, Tx, Value};
use feiqian_money::Amount;
use feiqian_node::{Identity, Lap, MemberView, Members, Seams};
use feiqian_offline_cash::seed::Seed as OfflineSeed;
use feiqian_online_cash::evidence::Evidence;
use feiqian_online_cash::keyset::PinEntry;
use feiqian_online_cash::recovery::FIRST_GENERATION;
use feiqian_online_cash::seed::Seed;
use feiqian_pki::{Chain, KeyPair, RevocationList, TrustedRoot, fingerprint};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Bounded, Timestamp};
use rand::rngs::ChaCha12Rng;
use tokio::sync::Mutex;

use crate::Config;
use crate::failure::{Failure, Result};
use crate::offline::read_offline;
use crate::record::{decode, encode};
use crate::refund::Schedule;
use crate::sealed_rows::{StoreKey, seal_all};
use crate::tables::{EVIDENCE, PIN, REVOCATION_LIST, SETTING};

/// The setting of a store whose secrets are sealed.
const SEALED: &str = "sealed";

/// What a wallet is made of, wherever it comes from: the files of a home, or a simulated world.
#[derive(Debug)]
pub struct Parts {
    /// Settings.
    pub config: Config,
    /// The seed that everything is drawn from.
    pub seed: Seed,
    /// The same seed, as offline coins are drawn from it.
    pub offline_seed: OfflineSeed,
    /// The document-signing key of the account.
    pub signing: KeyPair,
    /// Its certificate chain: leaf, bank authority.
    pub signing_chain: Chain,
    /// The center's root.
    pub root: TrustedRoot,
    /// The TLS key and chain that certified calls show; only told on by [`Wallet::client_identity`], since a wallet
    /// never listens.
    pub identity: Option<Arc<Identity>>,
    /// Folder for evidence of double spends; none to keep it in the store alone.
    pub evidence_dir: Option<PathBuf>,
}

/// A running wallet.
pub struct Wallet {
    pub(crate) config: Config,
    pub(crate) seed: Seed,
    pub(crate) offline_seed: OfflineSeed,
    /// What the secrets in the store are sealed with.
    pub(crate) store_key: Arc<StoreKey>,
    pub(crate) signing: KeyPair,
    pub(crate) signing_chain: Chain,
    pub(crate) leaf: Blob<768>,
    pub(crate) issuer: Digest,
    pub(crate) members: Members,
    pub(crate) seams: Seams,
    pub(crate) generation: [u8; 16],
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) evidence_dir: Option<PathBuf>,
    /// When the background asks next about a payment, see [`mod@crate::refund`].
    pub(crate) asked: std::sync::Mutex<Schedule>,
    /// One command or round at a time: what a command has read must not change under it.
    pub(crate) gate: Mutex<()>,
    /// Where deleting of sessions goes on, and of payments.
    pub(crate) pruning: [Lap; 2],
}

impl std::fmt::Debug for Wallet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wallet").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Wallet {
    /// Starts a wallet over its store (of [`crate::tables::TABLES`]). Nothing is sent.
    ///
    /// # Errors
    /// `CERTIFICATE_INVALID` when the signing chain or the stored members' view does not hold, `MALFORMED` for
    /// certificates beyond their size, the store's failures.
    pub async fn new(parts: Parts, seams: Seams) -> Result<Arc<Self>, Fault> {
        Ok(Self::start(parts, seams).await?)
    }

    async fn start(parts: Parts, seams: Seams) -> Result<Arc<Self>> {
        let certificates = parts.signing_chain.certificates();
        let issuer = certificates
            .get(1)
            .map(|der| fingerprint(der))
            .ok_or_else(|| Failure::new(Code::CertificateInvalid, "the signing chain lacks its authority"))?;
        let leaf = Blob::new(parts.signing_chain.leaf().to_vec())?;
        let store_key = Arc::new(StoreKey::of(&parts.seed));
        let key = Arc::clone(&store_key);
        let generation = seams.store.commit("wallet.open.generation", move |tx| open_store(tx, &key)).await?;
        let read = |tx: &mut dyn Tx| Ok::<_, Failure>((read_members(tx)?, read_offline(tx)?));
        let ((directory, entries), offline) = seams.store.read(read).await?;
        let now = seams.clock.now();
        let view = MemberView::restore(parts.root.clone(), &directory, entries, now)?;
        let view = offline.add_to(&view, now)?;
        let members = Members::new(view, &parts.config.center_url);
        Ok(Arc::new(Self {
            config: parts.config,
            seed: parts.seed,
            offline_seed: parts.offline_seed,
            store_key,
            signing: parts.signing,
            signing_chain: parts.signing_chain,
            leaf,
            issuer,
            members,
            seams,
            generation,
            identity: parts.identity,
            evidence_dir: parts.evidence_dir,
            asked: std::sync::Mutex::default(),
            gate: Mutex::new(()),
            pruning: Default::default(),
        }))
    }

    /// The TLS identity of certified calls, where the parts had one.
    #[must_use]
    pub fn client_identity(&self) -> Option<Arc<Identity>> {
        self.identity.clone()
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.seams.clock.now()
    }

    pub(crate) fn rng(&self) -> ChaCha12Rng {
        self.seams.entropy.rng()
    }

    pub(crate) fn view(&self) -> Arc<MemberView> {
        self.members.snapshot()
    }

    /// Asks the center for its members and pinned keysets and keeps them: after `init`, so that the first command does not
    /// need the center.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the center cannot be reached, or the code of what it shows that does not hold.
    pub async fn sync_members(&self) -> Result<(), Fault> {
        let _turn = self.gate.lock().await;
        Ok(self.sync().await?)
    }

    /// Shares with another wallet of the same process what both know of the members: for worlds of many wallets.
    pub fn share_members(&self, other: &Self) {
        self.members.share(&other.members);
    }

    /// Asks the center for news of its members and keeps them, so that the next start needs no center.
    pub(crate) async fn sync(&self) -> Result<()> {
        let (known, known_offline) = (self.view().entries().len(), self.view().offline_entries().len());
        self.members.sync(&*self.seams.network, self.now()).await?;
        let view = self.view();
        let more: Vec<Vec<u8>> = view.entries().iter().skip(known).map(encode).collect::<Result<_>>()?;
        let banks = view.members().values().map(|member| member.entry.clone()).collect();
        let directory = encode(&Directory { banks: Bounded::new(banks)? })?;
        let lists = view.lists().pairs();
        self.seams
            .store
            .commit("wallet.members.save", move |tx| {
                write_setting(tx, "directory", directory.clone())?;
                lists.iter().try_for_each(|(authority, list)| keep_list(tx, authority, list))?;
                for (number, entry) in (known..).zip(&more) {
                    let number = Value::unsigned(u64::try_from(number).unwrap_or(u64::MAX))?;
                    if tx.find(&PIN, std::slice::from_ref(&number))?.is_none() {
                        tx.insert(&PIN, &[number, entry.clone().into()])?;
                    }
                }
                Ok::<_, Failure>(())
            })
            .await?;
        self.keep_offline(known_offline).await
    }

    /// The document-signing key of a bank, after asking the center if it is not known yet.
    pub(crate) async fn bank_signer(&self, bank: &str) -> Result<[u8; 32]> {
        if let Ok(key) = self.view().signer(bank, self.now()) {
            return Ok(key);
        }
        self.sync().await?;
        Ok(self.view().signer(bank, self.now())?)
    }

    pub(crate) fn amount(&self, minor: feiqian_money::Minor) -> Amount {
        Amount::new(minor, self.config.currency)
    }

    /// Keeps evidence of a double spend, and puts it where the owner finds it; answers with the place.
    pub(crate) async fn keep_evidence(
        &self,
        payment: Digest,
        evidence: &Evidence,
    ) -> Result<Option<PathBuf>> {
        let body = encode(evidence)?;
        let now = self.now();
        self.seams
            .store
            .commit("wallet.evidence.keep", move |tx| {
                if tx.find(&EVIDENCE, &[payment.into()])?.is_none() {
                    tx.insert(
                        &EVIDENCE,
                        &[payment.into(), body.clone().into(), Value::unsigned(now.seconds())?],
                    )?;
                }
                Ok::<_, Failure>(())
            })
            .await?;
        let Some(dir) = &self.evidence_dir else { return Ok(None) };
        let path = dir.join(format!("evidence-{payment}.json"));
        let json = feiqian_wire::codec::encode_json(evidence)?;
        feiqian_node::files::write_private(&path, &json).map_err(|error| {
            Failure::new(Code::Internal, format!("cannot write {}: {error}", path.display()))
        })?;
        Ok(Some(path))
    }
}

/// The generation of a store, which gets its first one here; and its secrets sealed, if an older program wrote them.
fn open_store(tx: &mut dyn Tx, key: &StoreKey) -> Result<[u8; 16]> {
    if read_setting(tx, SEALED)?.is_none() {
        seal_all(tx, key)?;
        write_setting(tx, SEALED, Vec::new())?;
    }
    let Some(stored) = read_setting(tx, "generation")? else {
        write_setting(tx, "generation", FIRST_GENERATION.to_vec())?;
        return Ok(FIRST_GENERATION);
    };
    stored.try_into().map_err(|_| Failure::broken("the stored generation has another length"))
}

pub(crate) fn read_setting(tx: &mut dyn Tx, name: &str) -> Result<Option<Vec<u8>>> {
    let row = tx.find(&SETTING, &[name.into()])?;
    Ok(row.map(|row| row.blob(1).map(<[u8]>::to_vec)).transpose()?)
}

pub(crate) fn write_setting(tx: &mut dyn Tx, name: &str, body: Vec<u8>) -> Result<()> {
    Ok(tx.put(&SETTING, &[name.into(), body.into()])?)
}

/// Keeps a list that the view took, unless the one kept before is newer: what was revoked once stays revoked.
fn keep_list(tx: &mut dyn Tx, authority: &[u8; 32], list: &RevocationList) -> Result<()> {
    let values = [authority.as_slice().into(), list.as_der().into()];
    let Some(row) = tx.find(&REVOCATION_LIST, &[authority.as_slice().into()])? else {
        return Ok(tx.insert(&REVOCATION_LIST, &values)?);
    };
    let older =
        RevocationList::from_der(row.blob(1)?).is_ok_and(|kept| kept.this_update() < list.this_update());
    if older {
        tx.update(&REVOCATION_LIST, &values)?;
    }
    Ok(())
}

/// The lists kept, ended ones too: those close the door until a newer one arrives.
pub(crate) fn read_lists(tx: &mut dyn Tx) -> Result<Vec<RevocationList>> {
    let rows = tx.select("SELECT list FROM revocation_list ORDER BY authority", &[])?;
    let corrupt = |error| StoreError::Corrupt(format!("{}: {error}", REVOCATION_LIST.name));
    rows.iter().map(|row| Ok(RevocationList::from_der(row.blob(0)?).map_err(corrupt)?)).collect()
}

/// The stored directory and log.
pub(crate) fn read_members(tx: &mut dyn Tx) -> Result<(Directory, Vec<PinEntry>)> {
    let directory = match read_setting(tx, "directory")? {
        Some(body) => decode(&body, &SETTING)?,
        None => Directory { banks: Bounded::new(Vec::new())? },
    };
    let rows = tx.select("SELECT entry FROM pin ORDER BY number", &[])?;
    let entries = rows.iter().map(|row| decode(row.blob(0)?, &PIN)).collect::<Result<_>>()?;
    Ok((directory, entries))
}
