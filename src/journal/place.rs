//! Where a journal's file is, and that it stays there.
//!
//! A journal that is gone looks like a first start, in which everything that was revoked is forgotten
//! without a word. So a mark beside it says that there was one; and a running node sees to it that what it
//! writes is still what the next start will read.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::JournalError;
use crate::atomic_file;

/// The journal's file in a data directory.
pub(super) const FILE: &str = "journal.redb";
/// Says that there was a journal.
const MARK: &str = "journal.mark";
const MARK_TEXT: &[u8] =
    b"A journal of revocations is kept in this directory. Should it be gone, rescind \
refuses to start here, so that nothing is forgotten in silence (--accept-empty-journal).\n";

/// The file that is open, by its path and its number.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    file: (u64, u64),
}

impl Place {
    /// Where the journal that was just opened is.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            file: number(&fs::metadata(path)?),
        })
    }

    /// Whether the next start will find what is written now.
    pub(super) fn check(&self) -> Result<(), JournalError> {
        let found = fs::metadata(&self.path);
        if found.is_ok_and(|found| number(&found) == self.file) {
            return Ok(());
        }
        Err(JournalError::Moved {
            path: self.path.display().to_string(),
        })
    }
}

fn number(of: &Metadata) -> (u64, u64) {
    (of.dev(), of.ino())
}

/// Refuses a directory whose journal is gone. `Ok(false)`: there never was one.
pub(super) fn has_journal(directory: &Path) -> Result<bool, JournalError> {
    let path = directory.join(FILE);
    let unusable = |source| JournalError::Directory {
        path: directory.display().to_string(),
        source,
    };
    let lost = |how| JournalError::Lost {
        path: path.display().to_string(),
        how,
    };
    match fs::metadata(&path) {
        Ok(found) if found.len() == 0 => Err(lost("has 0 bytes")),
        Ok(_) => Ok(true),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(error)),
        Err(_) if directory.join(MARK).try_exists().map_err(unusable)? => Err(lost("is gone")),
        Err(_) => Ok(false),
    }
}

/// Notes that there is a journal.
pub(super) fn mark(directory: &Path) -> io::Result<()> {
    let path = directory.join(MARK);
    if path.try_exists()? {
        return Ok(());
    }
    atomic_file::write(&path, MARK_TEXT)
}

/// A person says that what was revoked here may be forgotten: a journal that is gone or empty counts as one
/// that never was. A journal that holds anything is left alone.
pub(super) fn accept_empty(directory: &Path) -> io::Result<()> {
    let path = directory.join(FILE);
    match fs::metadata(&path) {
        Ok(found) if found.len() > 0 => return Ok(()),
        Ok(_) => fs::remove_file(&path)?,
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    match fs::remove_file(directory.join(MARK)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
