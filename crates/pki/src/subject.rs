//! Roles, purposes and subjects, and how they stand in a certificate.

use core::fmt;
use core::str::FromStr;

use rcgen::{DistinguishedName, DnType};
use serde::{Deserialize, Serialize};

use crate::error::{PkiError, Rejection};

/// The private arc of the roles: `2.25.237726700286431658341152367436962290557`.
///
/// `2.25.<UUID>` is open to everybody without registration (ITU-T X.667). The UUID is a version-8 one made of
/// the first 16 bytes of SHA-256("feiqian/v1/pki/roles"): `b2d87f3f-bb04-8f0a-b400-9a14d9ed5b7d`. Below it:
/// `.1` center, `.2` bank, `.3` merchant, `.4` customer.
pub const ROLE_ARC: &str = "2.25.237726700286431658341152367436962290557";

/// [`ROLE_ARC`] as the contents of a DER OBJECT IDENTIFIER.
const ROLE_ARC_CONTENTS: [u8; 20] = [
    0x69, 0x82, 0xe5, 0xd8, 0xbf, 0xcf, 0xf7, 0xb0, 0xa4, 0xbc, 0x95, 0xb4, 0x80, 0xa6, 0xc2, 0xcd, 0xcf,
    0xb5, 0xb6, 0x7d,
];

/// The longest name or account token, in bytes (X.520's bound of a common name).
pub const MAX_NAME_BYTES: usize = 64;

/// The organisational unit of the root certificate.
pub(crate) const ROOT_UNIT: &str = "center-root";
/// The organisational unit of a bank authority's certificate.
pub(crate) const BANK_AUTHORITY_UNIT: &str = "bank-authority";

/// What an end entity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The verification center, certified directly under the root.
    Center,
    /// A bank, certified under its own authority.
    Bank,
    /// A merchant with an account at a bank.
    Merchant,
    /// A wallet's owner with an account at a bank.
    Customer,
}

impl Role {
    /// All roles, in the order of their identifiers.
    pub const ALL: [Self; 4] = [Self::Center, Self::Bank, Self::Merchant, Self::Customer];

    /// The role's word: `center`, `bank`, `merchant`, `customer`; also the subject's organisational unit.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Center => "center",
            Self::Bank => "bank",
            Self::Merchant => "merchant",
            Self::Customer => "customer",
        }
    }

    /// The role's last arc under [`ROLE_ARC`].
    #[must_use]
    pub fn arc(self) -> u8 {
        match self {
            Self::Center => 1,
            Self::Bank => 2,
            Self::Merchant => 3,
            Self::Customer => 4,
        }
    }

    /// The role's extended key usage in dotted form.
    #[must_use]
    pub fn oid(self) -> String {
        format!("{ROLE_ARC}.{}", self.arc())
    }

    /// The contents (without tag and length) of the role's DER OBJECT IDENTIFIER: 21 bytes.
    pub(crate) fn oid_contents(self) -> [u8; 21] {
        let mut out = [0; 21];
        if let Some((last, arc)) = out.split_last_mut() {
            arc.copy_from_slice(&ROLE_ARC_CONTENTS);
            *last = self.arc();
        }
        out
    }

    /// The role of an OBJECT IDENTIFIER's contents.
    pub(crate) fn from_oid_contents(contents: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.oid_contents() == contents)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = PkiError;

    fn from_str(text: &str) -> Result<Self, PkiError> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(PkiError::Malformed("role"))
    }
}

/// What a leaf's key is for. Keys of different purposes are different keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// TLS of a node that serves and calls: `clientAuth`, `serverAuth` and the role.
    Node,
    /// TLS of one who only calls: `clientAuth` and the role.
    Client,
    /// Documents (keysets, requests, cheques): the role only, and critical.
    Signing,
}

/// A certificate's serial number: 16 bytes, positive, 126 of its bits random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial([u8; 16]);

impl Serial {
    /// A random serial. The first bits are `01`, so that it is positive and always 16 bytes long.
    pub fn random(rng: &mut impl rand_core::CryptoRng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        if let Some(first) = bytes.first_mut() {
            *first = (*first & 0x3f) | 0x40;
        }
        Self(bytes)
    }

    /// Reads the contents of a certificate's serial.
    ///
    /// # Errors
    ///
    /// [`PkiError::Malformed`] unless it is 16 bytes that begin with the bits `01`.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, PkiError> {
        match <[u8; 16]>::try_from(bytes) {
            Ok(serial) if serial.first().is_some_and(|first| first & 0xc0 == 0x40) => Ok(Self(serial)),
            _ => Err(PkiError::Malformed("serial number")),
        }
    }

    /// The 16 bytes, big-endian.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for Serial {
    type Err = PkiError;

    /// Reads 32 hex digits.
    fn from_str(text: &str) -> Result<Self, PkiError> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| PkiError::Malformed("serial number"))?;
        Self::from_slice(&bytes)
    }
}

impl Serialize for Serial {
    /// Hex in human-readable formats, 16 raw bytes otherwise.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Serial {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
        } else {
            Self::from_slice(&<[u8; 16]>::deserialize(deserializer)?).map_err(D::Error::custom)
        }
    }
}

/// Whom a certificate names. In X.509: CN = [`Subject::name`], OU = the role's word, O = the bank.
///
/// Names are 1 to 64 bytes of `a-z`, `0-9` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Subject {
    role: Role,
    name: String,
    bank: Option<String>,
}

impl Subject {
    /// The center of that name.
    ///
    /// # Errors
    ///
    /// [`Rejection::Subject`] when the name is not one.
    pub fn center(name: &str) -> Result<Self, PkiError> {
        Self::new(Role::Center, name, None)
    }

    /// The bank of that name.
    ///
    /// # Errors
    ///
    /// [`Rejection::Subject`] when the name is not one.
    pub fn bank(name: &str) -> Result<Self, PkiError> {
        Self::new(Role::Bank, name, Some(name))
    }

    /// The merchant `name`, customer of `bank`.
    ///
    /// # Errors
    ///
    /// [`Rejection::Subject`] when a name is not one.
    pub fn merchant(name: &str, bank: &str) -> Result<Self, PkiError> {
        Self::new(Role::Merchant, name, Some(bank))
    }

    /// The holder of the account with that token at `bank`.
    ///
    /// # Errors
    ///
    /// [`Rejection::Subject`] when the token or the name is not one.
    pub fn customer(token: &str, bank: &str) -> Result<Self, PkiError> {
        Self::new(Role::Customer, token, Some(bank))
    }

    /// A subject of any role. A center has no bank; a bank's bank is itself; the others have one.
    ///
    /// # Errors
    ///
    /// [`Rejection::Subject`] when a name is not one, or the bank does not fit the role.
    pub fn new(role: Role, name: &str, bank: Option<&str>) -> Result<Self, PkiError> {
        check_name(name)?;
        bank.map_or(Ok(()), check_name)?;
        match (role, bank) {
            (Role::Center, Some(_)) => Err(Rejection::Subject("a center is of no bank").into()),
            (Role::Bank, other) if other != Some(name) => {
                Err(Rejection::Subject("a bank is of itself").into())
            }
            (Role::Merchant | Role::Customer, None) => Err(Rejection::Subject("a bank is missing").into()),
            _ => Ok(Self { role, name: name.to_owned(), bank: bank.map(str::to_owned) }),
        }
    }

    /// The role.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The name of a center, bank or merchant, or the token of a customer's account.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bank; a bank's is itself, a center has none.
    #[must_use]
    pub fn bank_name(&self) -> Option<&str> {
        self.bank.as_deref()
    }

    /// The X.509 name.
    pub(crate) fn distinguished_name(&self) -> DistinguishedName {
        distinguished_name(self.bank.as_deref(), self.role.as_str(), &self.name)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.role, &self.bank) {
            (Role::Merchant | Role::Customer, Some(bank)) => {
                write!(f, "{} {} of {bank}", self.role, self.name)
            }
            _ => write!(f, "{} {}", self.role, self.name),
        }
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            role: Role,
            name: String,
            bank: Option<String>,
        }
        let fields = Fields::deserialize(deserializer)?;
        Self::new(fields.role, &fields.name, fields.bank.as_deref()).map_err(serde::de::Error::custom)
    }
}

/// Checks 1 to [`MAX_NAME_BYTES`] bytes of `a-z`, `0-9`, `-`.
pub(crate) fn check_name(name: &str) -> Result<(), PkiError> {
    let letters = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if letters && (1..=MAX_NAME_BYTES).contains(&name.len()) {
        Ok(())
    } else {
        Err(Rejection::Subject("names are 1 to 64 of a-z, 0-9 and -").into())
    }
}

/// An X.509 name of at most organisation, organisational unit and common name, in this order.
pub(crate) fn distinguished_name(bank: Option<&str>, unit: &str, name: &str) -> DistinguishedName {
    let mut out = DistinguishedName::new();
    if let Some(bank) = bank {
        out.push(DnType::OrganizationName, bank);
    }
    out.push(DnType::OrganizationalUnitName, unit);
    out.push(DnType::CommonName, name);
    out
}
