//! The owner's offline identity: registered once, used only after the center's attestation was checked.

use feiqian_crypto::acl::IdentitySecret;
use feiqian_ledger::store::{StoreExt, Tx};
use feiqian_node::Caller;
use feiqian_offline_cash::identity::{
    Account, AttestedIdentity, IdentityRecord, Registrant, Registration, SignedIdentity,
};
use feiqian_offline_cash::messages::{OfflineRegisterRequest, OfflineTerms};
use feiqian_offline_cash::signed::WireChain;
use feiqian_pki::KeyPair;
use feiqian_wire::error::Code;
use feiqian_wire::{Blob, Text};

use crate::document_key;
use crate::failure::{Failure, Result};
use crate::record::{decode, encode};
use crate::tables::SETTING;
use crate::wallet::{Wallet, read_setting, write_setting};

/// The setting that keeps the attestation.
const IDENTITY: &str = "offline_identity";

/// A document-signing key of this wallet.
pub(super) enum Signer<'a> {
    /// The one of its present certificate.
    Current(&'a KeyPair),
    /// One of before, drawn from the words again.
    Drawn(Box<KeyPair>),
}

impl std::ops::Deref for Signer<'_> {
    type Target = KeyPair;

    fn deref(&self) -> &KeyPair {
        match self {
            Self::Current(key) => key,
            Self::Drawn(key) => key,
        }
    }
}

impl Wallet {
    pub(super) fn offline_account(&self) -> Result<Account> {
        Ok(Text::new(self.config.account.clone())?)
    }

    pub(super) fn offline_secret(&self) -> Result<IdentitySecret> {
        Ok(self.offline_seed.identity(self.config.bank.as_str(), &self.config.account)?)
    }

    /// The own bank's terms.
    pub(super) async fn offline_terms(&self) -> Result<OfflineTerms> {
        let to = self.bank_target(self.config.bank.as_str()).await?;
        Ok(self.ask(&to, Caller::Certified, "/v1/account/offline/terms", &()).await?)
    }

    /// Makes sure that the identity is registered and attested; a stored attestation is enough.
    pub(super) async fn offline_identity(&self, terms: &OfflineTerms) -> Result<AttestedIdentity> {
        if terms.closed {
            return Err(Failure::new(Code::IdentityClosed, "the bank has closed this offline identity"));
        }
        let stored = self.seams.store.read(|tx| read_setting(tx, IDENTITY)).await?;
        if let Some(body) = stored {
            let attested = decode(&body, &SETTING)?;
            self.check_attested(&attested)?;
            return Ok(attested);
        }
        let attested = match &terms.identity {
            Some(attested) => attested.clone(),
            None => self.register_identity(terms).await?,
        };
        self.check_attested(&attested)?;
        let body = encode(&attested)?;
        let keep = move |tx: &mut dyn Tx| write_setting(tx, IDENTITY, body.clone());
        self.seams.store.commit("wallet.offline.identity", keep).await?;
        Ok(attested)
    }

    /// Repeating it after a lost answer shows the bank the same record.
    async fn register_identity(&self, terms: &OfflineTerms) -> Result<AttestedIdentity> {
        let request = self.registration(terms)?;
        let to = self.bank_target(self.config.bank.as_str()).await?;
        Ok(self.ask(&to, Caller::Certified, "/v1/account/offline/register", &request).await?)
    }

    fn registration(&self, terms: &OfflineTerms) -> Result<OfflineRegisterRequest> {
        let (secret, signing_key) = (self.offline_secret()?, self.signing.public_key());
        let (bank, account) = (self.config.bank.as_str(), self.config.account.as_str());
        let registrant = Registrant { bank, account, signing_key: &signing_key };
        let registration = Registration::new(&secret, &registrant, &mut self.rng());
        let record = IdentityRecord {
            bank: self.config.bank.clone(),
            account: self.offline_account()?,
            identity: *secret.public(),
            signing_key: Blob::new(signing_key.to_vec())?,
            collateral: terms.collateral,
        };
        let chain = WireChain::from_chain(&self.signing_chain)?;
        let identity = SignedIdentity::sign(record, &self.signing, chain)?;
        Ok(OfflineRegisterRequest { registration, identity })
    }

    /// The center has attested this account, this identity and this key, and nothing else.
    fn check_attested(&self, attested: &AttestedIdentity) -> Result<()> {
        let record = attested.verify(self.view().root())?;
        let ours = record.bank == self.config.bank
            && record.account.as_str() == self.config.account
            && record.identity == *self.offline_secret()?.public();
        if !ours {
            return Err(Failure::new(
                Code::IdentityUnknown,
                "the bank shows the attestation of another identity than this wallet's",
            ));
        }
        self.document_key(&record.signing_key()?).map(drop)
    }

    /// The key that signs the withdrawals and claims of the offline identity: the one of its record, whatever certificate
    /// the wallet has today.
    pub(super) async fn offline_signer(&self) -> Result<Signer<'_>> {
        let stored = self.seams.store.read(|tx| read_setting(tx, IDENTITY)).await?;
        let attested: AttestedIdentity = match stored {
            Some(body) => decode(&body, &SETTING)?,
            None => {
                let attested = self.offline_terms().await?.identity;
                attested.ok_or(feiqian_offline_cash::Rejection::IdentityUnknown)?
            }
        };
        self.check_attested(&attested)?;
        self.document_key(&attested.identity.record.signing_key()?)
    }

    fn document_key(&self, public: &[u8; 32]) -> Result<Signer<'_>> {
        if self.signing.public_key() == *public {
            return Ok(Signer::Current(&self.signing));
        }
        let (seed, account) = (&self.offline_seed, &self.config.account);
        let number = document_key::number_of(seed, account, public).ok_or_else(|| {
            Failure::new(
                Code::CertificateInvalid,
                "the offline identity was registered with a key that is not of this wallet's words",
            )
        })?;
        Ok(Signer::Drawn(Box::new(document_key::key(seed, account, number))))
    }
}
