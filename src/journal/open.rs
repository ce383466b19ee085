//! Opening a journal, and everything that can be wrong with one.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use arc_swap::ArcSwap;

use redb::{Builder, Database, DatabaseError, ReadableDatabase as _, StorageBackend};

use crate::limits;

use super::{
    BOOTS, EXPIRY, FORMAT, Journal, JournalError, LIVE, META, RECORDS, REQUESTS,
    backing::{Disk, Overlay},
    place::{self, FILE, Place},
};

/// Where a journal is kept.
#[derive(Debug)]
pub enum Storage {
    /// A file in this directory, made when it is not there.
    Directory(PathBuf),
    /// The process's memory.
    Memory,
}

/// What the names of journals that are still being made begin with.
const UNFINISHED: &str = "journal.redb.new-";

impl Journal {
    /// Opens a journal, or makes one.
    pub fn open(storage: &Storage) -> Result<Self, JournalError> {
        match storage {
            Storage::Memory => Self::open_with(redb::backends::InMemoryBackend::new(), false),
            Storage::Directory(directory) => Self::open_file(directory),
        }
    }

    /// Opens a journal on a storage of the caller's, as tests do.
    pub fn open_with(backend: impl StorageBackend, durable: bool) -> Result<Self, JournalError> {
        let disk = Disk::new(backend).map_err(redb::Error::Io)?;
        let db = builder().create_with_backend(disk.clone());
        let db = db.map_err(|error| explain(error, "in memory"))?;
        Self::checked(db, disk, durable)
    }

    /// The disk has failed: goes on from what it holds, in memory. Nothing is durable from now on.
    pub fn go_on_in_memory(&self) -> Result<(), JournalError> {
        if self.failed.get().is_some() {
            let twice = "memory over the failed disk failed too".to_owned();
            return Err(JournalError::Failed(twice));
        }
        let overlay = Overlay::over(self.disk.clone()).map_err(redb::Error::Io)?;
        let mut builder = Builder::new();
        builder.set_cache_size(limits::JOURNAL_CACHE_BYTES);
        let db = builder.create_with_backend(overlay);
        let db = db.map_err(|error| explain(error, "over the disk that failed"))?;
        let failed = self.db.swap(Arc::new(db));
        drop(self.failed.set(failed));
        Ok(())
    }

    fn open_file(directory: &Path) -> Result<Self, JournalError> {
        let path = directory.join(FILE);
        let unusable = |source| JournalError::Directory {
            path: directory.display().to_string(),
            source,
        };
        make_private(directory).map_err(unusable)?;
        if !place::has_journal(directory)? {
            Self::make(directory, &path)?;
        }
        let journal = Self {
            place: Some(Place::of(&path).map_err(unusable)?),
            ..Self::at(&path, directory)?
        };
        // It may have been replaced between the two.
        if let Some(place) = &journal.place {
            place.check()?;
        }
        place::mark(directory).map_err(unusable)?;
        remove_unfinished(directory);
        Ok(journal)
    }

    /// What was revoked in this directory may be forgotten, if its journal is gone or empty.
    pub fn accept_empty(directory: &Path) -> Result<(), JournalError> {
        place::accept_empty(directory).map_err(|source| JournalError::Directory {
            path: directory.display().to_string(),
            source,
        })
    }

    /// Makes a journal under another name and gives it its own once it is whole: a process that is
    /// killed in its very first start would leave behind what looks like a damaged journal.
    fn make(directory: &Path, path: &Path) -> Result<(), JournalError> {
        let unusable = |source| JournalError::Directory {
            path: directory.display().to_string(),
            source,
        };
        let random =
            getrandom::u64().map_err(|error| unusable(std::io::Error::other(error.to_string())))?;
        let unfinished = directory.join(format!("{UNFINISHED}{random:016x}"));
        drop(Self::at(&unfinished, directory)?);
        // A link never takes the place of a journal that another process has made meanwhile, and
        // such a process may have tidied this one away. Some network file systems have no links.
        if std::fs::hard_link(&unfinished, path).is_err() && !path.try_exists().map_err(unusable)? {
            std::fs::rename(&unfinished, path).map_err(unusable)?;
        }
        // The name must survive a power cut too, not only the contents.
        let synced = std::fs::File::open(directory).and_then(|dir| dir.sync_all());
        synced.map_err(unusable)
    }

    fn at(path: &Path, directory: &Path) -> Result<Self, JournalError> {
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        let backend = file
            .map_err(|error| DatabaseError::Storage(redb::StorageError::Io(error)))
            .and_then(redb::backends::FileBackend::new);
        let opened = backend.and_then(|backend| {
            let disk = Disk::new(backend).map_err(redb::StorageError::Io)?;
            let db = builder().create_with_backend(disk.clone())?;
            Ok((db, disk))
        });
        let (db, disk) = opened.map_err(|error| match error {
            DatabaseError::Storage(redb::StorageError::Io(source))
                if damage_of(&source).is_none() =>
            {
                JournalError::Directory {
                    path: directory.display().to_string(),
                    source,
                }
            }
            other => explain(other, &path.display().to_string()),
        })?;
        Self::checked(db, disk, true)
    }

    fn checked(db: Database, disk: Disk, durable: bool) -> Result<Self, JournalError> {
        let journal = Self {
            db: ArcSwap::from_pointee(db),
            disk,
            failed: OnceLock::new(),
            place: None,
            durable,
        };
        let is_empty = journal
            .db
            .load()
            .begin_read()?
            .list_tables()?
            .next()
            .is_none();
        if is_empty {
            journal.lay_out()?;
        }
        let format = journal.meta("format");
        let found = match format? {
            Some(bytes) => bytes.try_into().map_or(0, u64::from_be_bytes),
            None => 0,
        };
        match found {
            FORMAT => Ok(journal),
            0 => Err(JournalError::Damaged("it has no format".to_owned())),
            _ => Err(JournalError::Newer { found }),
        }
    }

    /// Makes every table, so that readers need not ask whether they exist.
    fn lay_out(&self) -> Result<(), JournalError> {
        let txn = self.db.load().begin_write()?;
        txn.open_table(RECORDS)?;
        txn.open_table(LIVE)?;
        txn.open_table(EXPIRY)?;
        txn.open_table(BOOTS)?;
        txn.open_table(REQUESTS)?;
        txn.open_table(super::REQUESTS_BY_AGE)?;
        txn.open_table(META)?
            .insert("format", FORMAT.to_be_bytes().as_slice())?;
        txn.commit()?;
        Ok(())
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(limits::JOURNAL_CACHE_BYTES);
    // Whatever happened to the file since it was written is found now, not in the middle of the
    // night: without this a damaged page is met when it is first read.
    builder.set_check_integrity_on_open(true);
    builder
}

fn explain(error: DatabaseError, path: &str) -> JournalError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            JournalError::InUse {
                path: path.to_owned(),
            }
        }
        DatabaseError::UpgradeRequired(_) | DatabaseError::RepairAborted => {
            JournalError::Damaged(error.to_string())
        }
        DatabaseError::Storage(redb::StorageError::Io(source)) => match damage_of(&source) {
            Some(damage) => JournalError::Damaged(damage.to_owned()),
            None => redb::StorageError::Io(source).into(),
        },
        other => other.into(),
    }
}

/// What an error says of the file's contents, when it is not the disk's or the directory's.
fn damage_of(error: &std::io::Error) -> Option<&'static str> {
    match error.kind() {
        std::io::ErrorKind::InvalidData => Some("it is not a journal"),
        std::io::ErrorKind::UnexpectedEof => Some("it is cut short"),
        _ => None,
    }
}

/// Makes the data directory, for its owner only: it tells who was logged out, when and why.
fn make_private(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

/// Removes what first starts left behind that were killed. One that cannot be removed does no harm.
fn remove_unfinished(directory: &Path) {
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
    for file in files {
        if file
            .file_name()
            .as_encoded_bytes()
            .starts_with(UNFINISHED.as_bytes())
        {
            drop(std::fs::remove_file(file.path()));
        }
    }
}
