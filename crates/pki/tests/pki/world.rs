//! A center, two banks and their people.

use feiqian_pki::{
    Authority, CertificateRequest, Chain, KeyPair, PkiError, Purpose, Revocation, RevocationList, Serial,
    Subject, TrustedRoot, Verified, validate,
};
use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;

/// 2026-01-01T00:00:00Z.
pub(crate) const NOW: u64 = 1_767_225_600;
pub(crate) const DAY: u64 = 86_400;
/// The validity of the leaves made here, in seconds.
pub(crate) const LEAF: u64 = 90 * DAY;

pub(crate) struct World {
    pub(crate) rng: ChaCha12Rng,
    pub(crate) center: Authority,
    pub(crate) bank: Authority,
    pub(crate) other_bank: Authority,
    pub(crate) root: TrustedRoot,
}

/// An end entity: its key and its chain.
pub(crate) struct Entity {
    pub(crate) key: KeyPair,
    pub(crate) chain: Chain,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let key = KeyPair::generate(&mut rng);
        let center = Authority::root("center", key, NOW, &mut rng).unwrap();
        let bank = bank_authority(&center, "north", &mut rng);
        let other_bank = bank_authority(&center, "south", &mut rng);
        let root = center.trusted_root().unwrap();
        Self { rng, center, bank, other_bank, root }
    }

    pub(crate) fn leaf(&mut self, subject: &Subject, purpose: Purpose) -> Entity {
        let issuer = match subject.bank_name() {
            None => &self.center,
            Some("north") => &self.bank,
            Some(_) => &self.other_bank,
        };
        let names = match purpose {
            Purpose::Node => vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            _ => vec![],
        };
        let key = KeyPair::generate(&mut self.rng);
        let request = request(&key, subject);
        let chain = issuer.issue_leaf(&request, subject, purpose, &names, LEAF, NOW, &mut self.rng).unwrap();
        Entity { key, chain }
    }

    pub(crate) fn customer(&mut self, purpose: Purpose) -> Entity {
        self.leaf(&Subject::customer("a1b2c3", "north").unwrap(), purpose)
    }

    pub(crate) fn check(&self, chain: &Chain, purpose: Purpose) -> Result<Verified, PkiError> {
        validate(chain, &self.root, purpose, Revocation::Unchecked, NOW)
    }

    /// Lists of the root and of the bank "north", with these serials revoked by the bank.
    pub(crate) fn lists(&self, by_bank: &[Serial], by_root: &[Serial]) -> [RevocationList; 2] {
        [list(&self.center, by_root, 1), list(&self.bank, by_bank, 1)]
    }
}

pub(crate) fn list(authority: &Authority, serials: &[Serial], number: u64) -> RevocationList {
    let revoked: Vec<_> = serials
        .iter()
        .map(|serial| feiqian_pki::Revoked {
            serial: *serial,
            at: NOW - DAY,
            reason: feiqian_pki::RevocationReason::KeyCompromise,
        })
        .collect();
    authority.issue_crl(&revoked, number, NOW, NOW + DAY).unwrap()
}

pub(crate) fn request(key: &KeyPair, subject: &Subject) -> CertificateRequest {
    CertificateRequest::verify(&CertificateRequest::create(key, subject).unwrap()).unwrap()
}

pub(crate) fn bank_authority(center: &Authority, bank: &str, rng: &mut ChaCha12Rng) -> Authority {
    let key = KeyPair::generate(rng);
    let request = request(&key, &Subject::bank(bank).unwrap());
    let chain = center.issue_bank_authority(&request, bank, NOW, rng).unwrap();
    Authority::from_parts(key, chain).unwrap()
}

/// Parameters of a certificate that no authority of ours would issue: the caller bends what it wants.
pub(crate) fn forged_params(o: Option<&str>, ou: &str, cn: &str) -> rcgen::CertificateParams {
    let mut params = rcgen::CertificateParams::default();
    let mut name = rcgen::DistinguishedName::new();
    if let Some(o) = o {
        name.push(rcgen::DnType::OrganizationName, o);
    }
    name.push(rcgen::DnType::OrganizationalUnitName, ou);
    name.push(rcgen::DnType::CommonName, cn);
    params.distinguished_name = name;
    params.serial_number = Some(rcgen::SerialNumber::from_slice(&[0x41; 16]));
    params.not_before = rcgen::date_time_ymd(2025, 1, 1);
    params.not_after = rcgen::date_time_ymd(2027, 1, 1);
    params.is_ca = rcgen::IsCa::ExplicitNoCa;
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    params
}

/// Signs forged parameters with an authority's real key, under its real name.
pub(crate) fn forge(
    params: &rcgen::CertificateParams,
    key: &KeyPair,
    issuer: (Option<&str>, &str, &str),
    issuer_key: &KeyPair,
) -> Vec<u8> {
    let mut issuer_params = forged_params(issuer.0, issuer.1, issuer.2);
    issuer_params.key_usages = vec![];
    let issuer = rcgen::Issuer::from_params(&issuer_params, issuer_key);
    params.signed_by(key, &issuer).unwrap().der().to_vec()
}

/// The extended key usage of a role: the extension our authorities write, or bent.
pub(crate) fn usage(critical: bool, oids: &[&[u8]]) -> rcgen::CustomExtension {
    let mut body = vec![];
    for oid in oids {
        body.extend([0x06, u8::try_from(oid.len()).unwrap()]);
        body.extend(*oid);
    }
    let mut content = vec![0x30, u8::try_from(body.len()).unwrap()];
    content.extend(body);
    let mut extension = rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 37], content);
    extension.set_criticality(critical);
    extension
}

/// The contents of a role's object identifier, computed from the published UUID.
pub(crate) fn role_oid(arc: u8) -> Vec<u8> {
    let uuid: u128 = 0xb2d8_7f3f_bb04_8f0a_b400_9a14_d9ed_5b7d;
    let mut groups = vec![u8::try_from(uuid & 0x7f).unwrap()];
    let mut rest = uuid >> 7;
    while rest > 0 {
        groups.push(0x80 | u8::try_from(rest & 0x7f).unwrap());
        rest >>= 7;
    }
    groups.push(2 * 40 + 25);
    groups.reverse();
    groups.push(arc);
    groups
}
