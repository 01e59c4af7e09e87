//! Negative answers, kept: a message that comes twice, or late, gets the answer that was given, and pays nothing after it.
//!
//! The transaction that pays reads them, so that a refusal and a payment of the same message never both happen.

use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreError, Tx, Value};
use feiqian_wire::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cheques::tables::DECLINED;
use crate::refusal::{from_blob, to_blob};

/// Which message: the presentment's id, and a digest of what came under it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message {
    pub(crate) presentment: Digest,
    pub(crate) content: Digest,
}

impl Message {
    fn key(self) -> [Value; 2] {
        [self.presentment.into(), self.content.into()]
    }

    /// What it was answered, if that was a refusal or return.
    pub(crate) fn declined<O: DeserializeOwned>(self, tx: &mut dyn Tx) -> Result<Option<O>, StoreError> {
        tx.find(&DECLINED, &self.key())?.map(|row| from_blob(row.blob(2)?)).transpose()
    }

    /// Writes the answer down, unless there is one.
    pub(crate) fn decline<O: Serialize>(
        self,
        tx: &mut dyn Tx,
        answer: &O,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if tx.find(&DECLINED, &self.key())?.is_some() {
            return Ok(());
        }
        let [presentment, content] = self.key();
        tx.insert(
            &DECLINED,
            &[presentment, content, to_blob(answer)?.into(), Value::unsigned(now.seconds())?],
        )
    }
}
