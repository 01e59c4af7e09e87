//! Offline cash at the center: pinned offline keysets, identities, exposed coins, and the three items that clear it.

pub(crate) mod claims;
pub(crate) mod exposed;
pub(crate) mod holdings;
pub(crate) mod identities;
pub(crate) mod parts;
pub(crate) mod pins;
