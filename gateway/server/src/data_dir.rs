//! The data folder: what lies where, and the lock that keeps a second process out.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// A Unix socket's path must stay under 108 bytes (`sun_path`).
const SOCKET_PATH_BYTES_MAX: usize = 100;

/// A data folder that exists.
#[derive(Debug, Clone)]
pub(crate) struct DataDir {
    root: PathBuf,
}

/// Held as long as this process may write to the folder's ledger.
#[derive(Debug)]
pub(crate) struct DataDirLock {
    _file: File,
}

impl DataDir {
    /// Makes the folder where it is missing, readable for its owner only.
    pub(crate) fn create(root: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(root)
            .with_context(|| format!("cannot make the data folder {}", root.display()))?;
        let folder = Self::existing(root)?;
        restrict(&folder.root)?;
        Ok(folder)
    }

    /// A folder that must be there already.
    pub(crate) fn existing(root: &Path) -> anyhow::Result<Self> {
        let root = root.canonicalize().with_context(|| {
            format!(
                "there is no data folder {}: name that of a `sluice dev`, or start one",
                root.display()
            )
        })?;
        Ok(Self { root })
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The SQLite ledger.
    pub(crate) fn ledger(&self) -> PathBuf {
        self.root.join("ledger.sqlite")
    }

    /// Keys for tokens and passes.
    pub(crate) fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// What `sluice dev` printed when it was ready.
    pub(crate) fn ready_file(&self) -> PathBuf {
        self.root.join("ready.json")
    }

    /// The folder of a private Redis.
    pub(crate) fn redis(&self, name: &str) -> PathBuf {
        self.root.join(format!("redis-{name}"))
    }

    /// The socket of a private Redis. Where the data folder's path is too long for one, a short
    /// folder under the system's temporary folder, named after a hash of the data folder.
    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        let inside = self.root.join("run").join(format!("{name}.sock"));
        if inside.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
            return inside;
        }
        let hash = blake3::hash(self.root.as_os_str().as_encoded_bytes()).to_hex();
        std::env::temp_dir()
            .join(format!("sluice-{}", &hash[..12]))
            .join(format!("{name}.sock"))
    }

    /// Takes the lock.
    ///
    /// # Errors
    /// When another process holds it; the message says which.
    pub(crate) fn lock(&self) -> anyhow::Result<DataDirLock> {
        let path = self.root.join("lock");
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder).unwrap_or_default();
                bail!(
                    "the data folder {} is in use by process {}; stop it first (SQLite serves one \
                     process; more need the CQL ledger)",
                    self.root.display(),
                    holder.trim()
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(DataDirLock { _file: file })
    }
}

/// Only the owner may enter: keys and sockets live here.
pub(crate) fn restrict(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
        .with_context(|| format!("cannot restrict {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_told_who_holds_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::create(folder.path()).unwrap();
        let held = data.lock().unwrap();
        let refused = data.lock().unwrap_err().to_string();
        assert!(
            refused.contains(&std::process::id().to_string()),
            "{refused}"
        );
        drop(held);
        data.lock().unwrap();
    }

    #[test]
    fn a_long_path_gets_a_short_socket() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(90)).join("e".repeat(60));
        let data = DataDir::create(&deep).unwrap();
        assert!(data.socket("claims").as_os_str().len() < 108);
        let near = DataDir::create(folder.path()).unwrap();
        assert!(near.socket("claims").starts_with(near.root()));
    }
}
