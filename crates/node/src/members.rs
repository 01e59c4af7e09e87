//! What the center tells everybody about its members: the log of pinned keysets and the directory of banks,
//! checked against the root and kept for use without asking again.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use feiqian_clearing::membership::{BankEntry, Directory};
use feiqian_crypto::Digest;
use feiqian_online_cash::Rejection;
use feiqian_online_cash::keyset::{PinEntry, PinLog, PinsRequest, PinsResponse};
use feiqian_online_cash::request::Authorities;
use feiqian_pki::{
    Chain, PkiError, Purpose, Revocation, RevocationList, Role, TrustedRoot, Verified, VerifiedAuthority,
    validate, validate_authority,
};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Timestamp, U64};

use crate::network::{CallError, Caller, Network, Target, call, call_unlisted};
use crate::offline::Offline;
use crate::revocation::{ListSet, ListsResponse};

/// How far another node's clock may be ahead of ours, seconds.
pub const CLOCK_SKEW: u64 = 300;

/// A checked bank of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// As the center shows it.
    pub entry: BankEntry,
    /// Its authority's certificate, checked against the root.
    pub authority: VerifiedAuthority,
}

/// One state of the members' view; immutable.
#[derive(Debug)]
pub struct MemberView {
    root: TrustedRoot,
    /// The pinned keysets.
    pub pins: Arc<PinLog>,
    entries: Arc<Vec<PinEntry>>,
    members: Arc<BTreeMap<String, Member>>,
    by_authority: Arc<BTreeMap<Digest, String>>,
    lists: ListSet,
    offline: Arc<Offline>,
}

impl MemberView {
    /// A view of nothing.
    pub fn empty(root: TrustedRoot) -> Self {
        Self {
            root,
            pins: Arc::default(),
            entries: Arc::default(),
            members: Arc::default(),
            by_authority: Arc::default(),
            lists: ListSet::default(),
            offline: Arc::default(),
        }
    }

    /// From a stored directory and log, checked anew.
    ///
    /// # Errors
    /// `CERTIFICATE_INVALID` or the codes of [`PinLog::append`].
    pub fn restore(
        root: TrustedRoot,
        directory: &Directory,
        entries: Vec<PinEntry>,
        now: Timestamp,
    ) -> Result<Self, Fault> {
        Self::empty(root).extended(directory, entries, now)
    }

    /// This view with a newer directory and more entries of the log.
    ///
    /// # Errors
    /// `CERTIFICATE_INVALID` when a member's authority is not of this root, or the codes of [`PinLog::append`].
    pub fn extended(
        &self,
        directory: &Directory,
        more: Vec<PinEntry>,
        now: Timestamp,
    ) -> Result<Self, Fault> {
        let (mut pins, mut entries) = (Arc::clone(&self.pins), Arc::clone(&self.entries));
        for entry in more {
            Arc::make_mut(&mut pins).append(entry.clone(), &self.root)?;
            Arc::make_mut(&mut entries).push(entry);
        }
        let mut members = BTreeMap::new();
        let mut by_authority = BTreeMap::new();
        for entry in directory.banks.iter() {
            let authority = check_authority(entry, &self.root, now)?;
            by_authority.insert(authority.fingerprint, entry.name.as_str().to_owned());
            members.insert(entry.name.as_str().to_owned(), Member { entry: entry.clone(), authority });
        }
        // What has not changed stays the one copy that every view has of it.
        let members = if members == *self.members { Arc::clone(&self.members) } else { Arc::new(members) };
        let by_authority = if by_authority == *self.by_authority {
            Arc::clone(&self.by_authority)
        } else {
            Arc::new(by_authority)
        };
        Ok(Self { pins, entries, members, by_authority, ..self.copied() })
    }

    /// This view with what of these lists is signed by the root or by a member, current, and newer than what it has.
    #[must_use]
    pub fn with_lists(&self, lists: &[RevocationList], now: Timestamp) -> Self {
        self.listed(lists, |set, authority, list| set.take(authority, list, now.seconds()))
    }

    /// As [`MemberView::with_lists`] for lists from the node's own store, where they were put when they were
    /// current: one that has ended meanwhile is kept, and closes the door until a newer one arrives.
    #[must_use]
    pub fn with_stored_lists(&self, lists: &[RevocationList]) -> Self {
        let signed =
            |authority: &[u8; 32], list: &RevocationList| list.verify(authority, list.this_update()).is_ok();
        self.listed(lists, |set, authority, list| signed(authority, list) && set.keep(authority, list))
    }

    /// This view with a list that this node itself has just signed with the key of `authority`: it counts even when
    /// the one before is of the same second.
    #[must_use]
    pub fn with_own_list(&self, authority: &[u8; 32], list: &RevocationList) -> Self {
        self.listed(std::slice::from_ref(list), |set, key, list| key == authority && set.replace(key, list))
    }

    fn listed(
        &self,
        lists: &[RevocationList],
        mut put: impl FnMut(&mut ListSet, &[u8; 32], &RevocationList) -> bool,
    ) -> Self {
        let mut set = self.lists.clone();
        // One that is held was checked when it came.
        for list in lists.iter().filter(|list| !self.lists.all().contains(list)) {
            let members = self.members.values().map(|member| &member.authority.public_key);
            let _taken = std::iter::once(self.root.public_key())
                .chain(members)
                .any(|authority| put(&mut set, authority, list));
        }
        Self { lists: set, ..self.copied() }
    }

    fn copied(&self) -> Self {
        Self {
            root: self.root.clone(),
            pins: Arc::clone(&self.pins),
            entries: Arc::clone(&self.entries),
            members: Arc::clone(&self.members),
            by_authority: Arc::clone(&self.by_authority),
            lists: self.lists.clone(),
            offline: Arc::clone(&self.offline),
        }
    }

    /// This view, with what of it equals parts of `other` shared with it: for many nodes in one process.
    #[must_use]
    pub fn sharing(&self, other: &Self) -> Self {
        fn one<T: PartialEq>(own: &Arc<T>, other: &Arc<T>) -> Arc<T> {
            Arc::clone(if own == other { other } else { own })
        }
        // The log of keys follows from the entries and the root.
        let same_log = self.entries == other.entries && self.root == other.root;
        Self {
            pins: Arc::clone(if same_log { &other.pins } else { &self.pins }),
            entries: one(&self.entries, &other.entries),
            members: one(&self.members, &other.members),
            by_authority: one(&self.by_authority, &other.by_authority),
            lists: if self.lists.all() == other.lists.all() {
                other.lists.clone()
            } else {
                self.lists.clone()
            },
            offline: Arc::new(self.offline.sharing(&other.offline, self.root == other.root)),
            ..self.copied()
        }
    }

    pub(crate) fn offline(&self) -> &Offline {
        &self.offline
    }

    pub(crate) fn with_offline_part(&self, offline: Offline) -> Self {
        Self { offline: Arc::new(offline), ..self.copied() }
    }

    /// The newest revocation lists: for judging documents, and for keeping.
    pub fn lists(&self) -> &ListSet {
        &self.lists
    }

    /// The root everything was checked against.
    pub fn root(&self) -> &TrustedRoot {
        &self.root
    }

    /// The log as received, for keeping.
    pub fn entries(&self) -> &[PinEntry] {
        &self.entries
    }

    /// All members by name.
    pub fn members(&self) -> &BTreeMap<String, Member> {
        &self.members
    }

    /// A member by name.
    ///
    /// # Errors
    /// `WRONG_BANK` when the center knows no such bank.
    pub fn member(&self, bank: &str) -> Result<&Member, Fault> {
        self.members
            .get(bank)
            .ok_or_else(|| Fault::new(Code::WrongBank, format!("the center knows no bank named {bank}")))
    }

    /// Where a bank listens.
    ///
    /// # Errors
    /// `WRONG_BANK`, or `UNAVAILABLE` when it has not registered yet.
    pub fn target(&self, bank: &str) -> Result<Target, Fault> {
        let member = self.member(bank)?;
        if member.entry.url.as_str().is_empty() {
            return Err(Fault::new(Code::Unavailable, format!("bank {bank} has not registered its address"))
                .hint(format!("start it: feiqian bank run --home <home of {bank}>")));
        }
        Ok(Target::named(member.entry.url.as_str(), Role::Bank, bank))
    }

    /// A bank's document-signing key.
    ///
    /// # Errors
    /// `WRONG_BANK`, `UNAVAILABLE` or `CERTIFICATE_INVALID`.
    pub fn signer(&self, bank: &str, now: Timestamp) -> Result<[u8; 32], Fault> {
        let member = self.member(bank)?;
        let invalid = |error: String| Fault::new(Code::CertificateInvalid, error);
        let certificates = member.entry.signer.iter().map(|der| der.to_vec()).collect();
        let chain = Chain::new(certificates).map_err(|_| {
            Fault::new(Code::Unavailable, format!("bank {bank} has not registered its signing key"))
        })?;
        let verified = self.judge(&chain, member, now).map_err(|error| invalid(error.to_string()))?;
        if verified.subject.role() != Role::Bank || verified.subject.name() != bank {
            return Err(invalid(format!("the directory's signing key is not that of bank {bank}")));
        }
        Ok(verified.public_key)
    }

    /// The key that a receipt of `bank` said to be signed at `signed_at` is judged by: a receipt outlives the
    /// certificate it was signed under. The claimed time counts to at most [`CLOCK_SKEW`] seconds past `now`; where
    /// the certificate was renewed since then for the same key, it counts as valid now.
    ///
    /// # Errors
    /// As [`MemberView::signer`].
    pub fn receipt_signer(
        &self,
        bank: &str,
        signed_at: Timestamp,
        now: Timestamp,
    ) -> Result<[u8; 32], Fault> {
        self.signer(bank, signed_at.min(now.saturating_add(CLOCK_SKEW))).or_else(|_| self.signer(bank, now))
    }

    fn validate_payee(&self, leaf: &[u8], issuer: &Digest, now: Timestamp) -> Result<Verified, Rejection> {
        let invalid = |error: String| Rejection::CertificateInvalid(error);
        let member = self
            .by_authority
            .get(issuer)
            .and_then(|bank| self.members.get(bank))
            .ok_or_else(|| invalid("its issuer is no member of the center".into()))?;
        let chain = Chain::new(vec![leaf.to_vec(), member.entry.authority.to_vec()])
            .map_err(|error| invalid(error.to_string()))?;
        self.judge(&chain, member, now).map_err(|error| invalid(error.to_string()))
    }

    /// A signing chain under this member's authority: by lists, once they were seen.
    fn judge(&self, chain: &Chain, member: &Member, now: Timestamp) -> Result<Verified, PkiError> {
        let authority = Chain::new(vec![member.entry.authority.to_vec()])?;
        let by_root = self.lists.revocation(self.root.public_key());
        validate_authority(&authority, &self.root, by_root, now.seconds())?;
        let revocation = self.lists.revocation(&member.authority.public_key);
        validate(chain, &self.root, Purpose::Signing, revocation, now.seconds())
    }
}

fn check_authority(
    entry: &BankEntry,
    root: &TrustedRoot,
    now: Timestamp,
) -> Result<VerifiedAuthority, Fault> {
    let invalid = |error: String| Fault::new(Code::CertificateInvalid, error);
    let chain = Chain::new(vec![entry.authority.to_vec()]).map_err(|error| invalid(error.to_string()))?;
    let authority = validate_authority(&chain, root, Revocation::Unchecked, now.seconds())
        .map_err(|error| invalid(error.to_string()))?;
    if authority.bank != entry.name.as_str() {
        return Err(invalid(format!("the directory's authority of {} is another bank's", entry.name)));
    }
    Ok(authority)
}

impl Authorities for MemberView {
    fn payee(&self, leaf: &[u8], issuer: &Digest, now: Timestamp) -> Result<Verified, Rejection> {
        self.validate_payee(leaf, issuer, now)
    }
}

impl feiqian_offline_cash::request::Authorities for MemberView {
    fn payee(
        &self,
        leaf: &[u8],
        issuer: &Digest,
        now: Timestamp,
    ) -> Result<Verified, feiqian_offline_cash::Rejection> {
        Authorities::payee(self, leaf, issuer, now).map_err(|rejection| {
            feiqian_offline_cash::Rejection::CertificateInvalid(match rejection {
                Rejection::CertificateInvalid(reason) => reason,
                other => other.to_string(),
            })
        })
    }
}

/// Judges the payees of offline payments that are deposited, at banks and the center, and of payments redeemed long ago.
///
/// The goods were given away when the payment was accepted, perhaps long ago and with no network. So a certificate that
/// was renewed or revoked since stays good here: whoever has its key can only have the account credited that it names.
#[derive(Debug, Clone, Copy)]
pub struct Deposited<'a>(pub &'a MemberView);

impl Deposited<'_> {
    fn judge(&self, leaf: &[u8], issuer: &Digest, at: Timestamp) -> Result<Verified, String> {
        let member = self.0.by_authority.get(issuer).and_then(|bank| self.0.members.get(bank));
        let member = member.ok_or_else(|| "its issuer is no member of the center".to_owned())?;
        let chain = Chain::new(vec![leaf.to_vec(), member.entry.authority.to_vec()])
            .map_err(|error| error.to_string())?;
        validate(&chain, &self.0.root, Purpose::Signing, Revocation::Unchecked, at.seconds())
            .map_err(|error| error.to_string())
    }
}

impl Authorities for Deposited<'_> {
    fn payee(&self, leaf: &[u8], issuer: &Digest, at: Timestamp) -> Result<Verified, Rejection> {
        self.judge(leaf, issuer, at).map_err(Rejection::CertificateInvalid)
    }
}

impl feiqian_offline_cash::request::Authorities for Deposited<'_> {
    fn payee(
        &self,
        leaf: &[u8],
        issuer: &Digest,
        at: Timestamp,
    ) -> Result<Verified, feiqian_offline_cash::Rejection> {
        self.judge(leaf, issuer, at).map_err(feiqian_offline_cash::Rejection::CertificateInvalid)
    }
}

/// The members' view kept up to date from the center.
#[derive(Debug)]
pub struct Members {
    center: Target,
    view: ArcSwap<MemberView>,
}

impl Members {
    /// Starts from a view (empty or restored) and the center's URL.
    ///
    /// # Security
    /// Only the root's own center is listened to: another node of the same root could show a log of its own.
    pub fn new(view: MemberView, center_url: &str) -> Self {
        let center = Target::named(center_url, Role::Center, view.root().name());
        Self { center, view: ArcSwap::from_pointee(view) }
    }

    /// The center.
    pub fn center(&self) -> &Target {
        &self.center
    }

    /// The newest view.
    pub fn snapshot(&self) -> Arc<MemberView> {
        self.view.load_full()
    }

    /// Shares with `other` what this view has in common with its one, see [`MemberView::sharing`].
    pub fn share(&self, other: &Self) {
        let other = other.snapshot();
        self.view.rcu(|own| own.sharing(&other));
    }

    /// Replaces the view. A revocation list that somebody else put into the present one meanwhile stays, where it is
    /// newer: no view goes back to an older list.
    pub fn replace(&self, view: MemberView) {
        let view = Arc::new(view);
        self.view.rcu(|present| {
            let is_same = present.lists.pairs() == view.lists.pairs();
            if is_same { Arc::clone(&view) } else { Arc::new(view.with_stored_lists(present.lists.all())) }
        });
    }

    /// Puts revocation lists that were kept from an earlier life into force, also those that have ended meanwhile.
    pub fn restore_lists(&self, network: &dyn Network, lists: &[RevocationList]) {
        self.replace(self.snapshot().with_stored_lists(lists));
        self.enforce(network);
    }

    /// Puts the view's revocation lists into force for connections.
    pub fn enforce(&self, network: &dyn Network) {
        if let Some(trust) = network.trust() {
            trust.enforce(&self.snapshot().lists.pairs());
        }
    }

    /// Asks the center for the revocation lists, its directory, the entries of its logs that are not known yet and the
    /// exposed coins, and puts the revocation lists into force. Anonymous.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the center cannot be reached; `CERTIFICATE_INVALID`, `SIGNATURE_INVALID`, `KEYSET_NOT_PINNED`
    /// or `KEYSET_INVALID` when what it shows does not hold.
    pub async fn sync(&self, network: &dyn Network, now: Timestamp) -> Result<(), Fault> {
        let lists = self.ask_lists(network).await?;
        // The root's own first: the connection to the center is judged by it.
        self.replace(self.snapshot().with_lists(&lists, now));
        self.enforce(network);
        let directory: Directory = self.ask(network, "/v1/directory", &()).await?;
        let view = self.snapshot();
        let mut more = Vec::new();
        loop {
            let known = view.entries.len().saturating_add(more.len());
            let request = PinsRequest { from: U64(u64::try_from(known).unwrap_or(u64::MAX)) };
            let part: PinsResponse = self.ask(network, "/v1/keysets", &request).await?;
            if part.entries.is_empty() {
                break;
            }
            more.extend(part.entries.into_vec());
        }
        self.replace(view.extended(&directory, more, now)?.with_lists(&lists, now));
        self.enforce(network);
        self.sync_offline(network, now).await
    }

    /// What the center shows now. A center that shows none yet is like one that shows an empty answer: what is kept
    /// here goes on to count, and ends.
    async fn ask_lists(&self, network: &dyn Network) -> Result<Vec<RevocationList>, Fault> {
        let shown: ListsResponse = match call_unlisted(network, &self.center, "/v1/crl", &()).await {
            Ok(shown) => shown,
            Err(CallError::Fault(fault)) if fault.code == Code::NotFound => ListsResponse::default(),
            Err(error) => return Err(self.unreachable(error)),
        };
        // One that cannot be read is as good as none.
        Ok(shown.iter().filter_map(|der| RevocationList::from_der(der).ok()).collect())
    }

    fn unreachable(&self, error: CallError) -> Fault {
        match error {
            CallError::Fault(fault) => fault,
            unreachable => {
                Fault::new(Code::Unavailable, format!("the center cannot be reached: {unreachable}"))
                    .hint(format!("start the center at {} and try again", self.center.url))
            }
        }
    }

    pub(crate) async fn ask<Req, Res>(
        &self,
        network: &dyn Network,
        path: &str,
        request: &Req,
    ) -> Result<Res, Fault>
    where
        Req: serde::Serialize + Sync + 'static,
        Res: serde::de::DeserializeOwned,
    {
        let asked = call(network, &self.center, Caller::Anonymous, path, request).await;
        asked.map_err(|error| self.unreachable(error))
    }
}
