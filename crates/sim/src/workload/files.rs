//! Cheques between two hands: files, as people pass them on. They live for as long as the payment does, in memory
//! where the system offers it.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use feiqian_wire::error::{Code, Fault};

/// Counts the folders of this process: many worlds run side by side.
static FOLDERS: AtomicU64 = AtomicU64::new(0);

/// A folder of one world's own, made when it is first needed and taken away at the world's end. Its name is no part of
/// what happens in the world.
#[derive(Debug, Default)]
pub(crate) struct Files(OnceLock<PathBuf>);

/// One file, gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Carried(PathBuf);

impl Carried {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        // It may never have been written.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Files {
    fn folder(&self) -> Result<&Path, Fault> {
        if let Some(folder) = self.0.get() {
            return Ok(folder);
        }
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("feiqian-world-{}-{number}", std::process::id());
        let made = [PathBuf::from("/dev/shm"), std::env::temp_dir()].into_iter().find_map(|place| {
            let folder = place.join(&name);
            feiqian_node::files::create_private_dir(&folder).is_ok().then_some(folder)
        });
        let made = made.ok_or_else(|| Fault::new(Code::Internal, "there is no place for cheques"))?;
        Ok(self.0.get_or_init(|| made))
    }

    /// A file that is not written yet.
    ///
    /// # Errors
    /// `INTERNAL` when there is no folder to be had.
    pub(crate) fn carry(&self, name: &str) -> Result<Carried, Fault> {
        Ok(Carried(self.folder()?.join(format!("{name}.json"))))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if let Some(folder) = self.0.get() {
            // What cannot be removed now is the system's to remove.
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}
