//! Where the secrets of denomination keys are kept: one file for each epoch.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use feiqian_node::Home;
use feiqian_wire::error::Fault;
use zeroize::Zeroizing;

/// Offline epochs are numbered from here on: offline epoch 3 is `OFFLINE | 3`.
pub const OFFLINE: u64 = 1 << 63;

/// Keeps the secret keys of each epoch: 32 bytes a denomination, ascending by value; of an offline epoch ([`OFFLINE`])
/// the blanks' first.
///
/// # Security
/// What it holds lets its holder make money.
pub trait EpochSecrets: Send + Sync {
    /// Writes an epoch's secrets durably, replacing what was there.
    ///
    /// # Errors
    /// `INTERNAL` when they cannot be kept.
    fn write(&self, epoch: u64, secrets: &[u8]) -> Result<(), Fault>;

    /// Reads an epoch's secrets; `None` when they were deleted or never written.
    ///
    /// # Errors
    /// `INTERNAL` when they cannot be read.
    fn read(&self, epoch: u64) -> Result<Option<Zeroizing<Vec<u8>>>, Fault>;

    /// Deletes an epoch's secrets; nothing happens when there are none.
    ///
    /// # Errors
    /// `INTERNAL` when they cannot be deleted.
    fn delete(&self, epoch: u64) -> Result<(), Fault>;
}

/// Key files `epoch-N.keys` and `offline-N.keys` in a home.
#[derive(Debug, Clone)]
pub struct HomeSecrets(Home);

impl HomeSecrets {
    /// In this home.
    #[must_use]
    pub fn new(home: Home) -> Self {
        Self(home)
    }
}

/// The name of the key file of an epoch.
pub(crate) fn key_file(epoch: u64) -> String {
    match epoch.checked_sub(OFFLINE) {
        Some(offline) => format!("offline-{offline}.keys"),
        None => format!("epoch-{epoch}.keys"),
    }
}

impl EpochSecrets for HomeSecrets {
    fn write(&self, epoch: u64, secrets: &[u8]) -> Result<(), Fault> {
        self.0.write_key(&key_file(epoch), secrets)
    }

    fn read(&self, epoch: u64) -> Result<Option<Zeroizing<Vec<u8>>>, Fault> {
        self.0.read_key(&key_file(epoch))
    }

    fn delete(&self, epoch: u64) -> Result<(), Fault> {
        self.0.delete_key(&key_file(epoch))
    }
}

/// Secrets in memory, for simulated worlds: shared by an `Arc`, they survive a simulated restart.
#[derive(Default)]
pub struct MemorySecrets(Mutex<BTreeMap<u64, Zeroizing<Vec<u8>>>>);

impl std::fmt::Debug for MemorySecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemorySecrets(redacted)")
    }
}

impl EpochSecrets for MemorySecrets {
    fn write(&self, epoch: u64, secrets: &[u8]) -> Result<(), Fault> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(epoch, Zeroizing::new(secrets.to_vec()));
        Ok(())
    }

    fn read(&self, epoch: u64) -> Result<Option<Zeroizing<Vec<u8>>>, Fault> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&epoch).cloned())
    }

    fn delete(&self, epoch: u64) -> Result<(), Fault> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&epoch);
        Ok(())
    }
}
