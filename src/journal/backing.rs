//! What stands below the database: the disk, and once that has failed, memory over it.
//!
//! redb refuses everything after a write that failed, reads too. The bytes that were there before can
//! still be read, so the node goes on from them, and what comes after is kept in memory only.

use std::{
    collections::BTreeMap,
    io,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard},
};

use redb::{BackendError, StorageBackend};

const PAGE: usize = 4096;

/// A disk that outlives the database on it, with its locks.
///
/// redb never overwrites what the last commit needs, but for the file's first page, which says where
/// everything is: so with that page as it was synced last, the disk holds the last commit, whatever
/// became of a later one.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    backend: Arc<dyn StorageBackend>,
    first_page: Arc<Mutex<FirstPage>>,
}

#[derive(Debug)]
struct FirstPage {
    written: Box<[u8; PAGE]>,
    synced: Box<[u8; PAGE]>,
}

impl Disk {
    pub(super) fn new(backend: impl StorageBackend) -> io::Result<Self> {
        let mut page = Box::new([0; PAGE]);
        if backend.len()? >= PAGE as u64 {
            backend.read(0, &mut *page)?;
        }
        Ok(Self {
            backend: Arc::new(backend),
            first_page: Arc::new(Mutex::new(FirstPage {
                written: page.clone(),
                synced: page,
            })),
        })
    }

    fn first_page(&self) -> MutexGuard<'_, FirstPage> {
        self.first_page
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.backend.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.backend.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.backend.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let written = self.first_page().written.clone();
        self.backend.sync_data()?;
        self.first_page().synced = written;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let within = usize::try_from(offset).ok().filter(|within| *within < PAGE);
        if let Some(within) = within {
            let mut page = self.first_page();
            let places = page.written.iter_mut().skip(within);
            places.zip(data).for_each(|(to, from)| *to = *from);
        }
        self.backend.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.backend.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.backend.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.query_lock_range(start, end)
    }
}

/// What was written since the disk failed.
#[derive(Debug, Default)]
struct Written {
    pages: BTreeMap<u64, Box<[u8; PAGE]>>,
    len: u64,
}

/// Memory over a disk that is only read.
#[derive(Debug)]
pub(super) struct Overlay {
    disk: Disk,
    /// Nothing of the disk beyond this is looked at: it was cut off, or never there.
    disk_len: u64,
    written: RwLock<Written>,
}

impl Overlay {
    pub(super) fn over(disk: Disk) -> io::Result<Self> {
        let len = disk.len()?;
        let first = disk.first_page().synced.clone();
        let pages = BTreeMap::from([(0, first)]);
        Ok(Self {
            disk,
            disk_len: len,
            written: RwLock::new(Written { pages, len }),
        })
    }

    fn page(&self, written: &Written, number: u64) -> io::Result<Box<[u8; PAGE]>> {
        if let Some(page) = written.pages.get(&number) {
            return Ok(page.clone());
        }
        let mut page = Box::new([0; PAGE]);
        let offset = number * PAGE as u64;
        let there = self.disk_len.saturating_sub(offset).min(PAGE as u64);
        let there = usize::try_from(there).unwrap_or(PAGE);
        if let Some(part) = page.get_mut(..there).filter(|part| !part.is_empty()) {
            self.disk.read(offset, part)?;
        }
        Ok(page)
    }

    fn read_lock(&self) -> RwLockReadGuard<'_, Written> {
        self.written.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pages that a span touches: the number of each, where in it, and how much.
fn pages(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let mut at = offset;
    let end = offset + len as u64;
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let within = usize::try_from(at % PAGE as u64).unwrap_or_default();
        let count = usize::try_from(end - at).unwrap_or(PAGE).min(PAGE - within);
        let page = (at / PAGE as u64, within, count);
        at += count as u64;
        Some(page)
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.read_lock().len)
    }

    fn read(&self, offset: u64, mut out: &mut [u8]) -> io::Result<()> {
        let written = self.read_lock();
        for (number, within, count) in pages(offset, out.len()) {
            let page = self.page(&written, number)?;
            let (to, rest) = out.split_at_mut(count);
            to.copy_from_slice(page.get(within..within + count).unwrap_or_default());
            out = rest;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut written = self.written.write().unwrap_or_else(PoisonError::into_inner);
        // What is cut off reads as zeros should it grow again: such pages are taken over as they are.
        for number in len / PAGE as u64..written.len.div_ceil(PAGE as u64) {
            let mut page = self.page(&written, number)?;
            let kept = usize::try_from(len.saturating_sub(number * PAGE as u64)).unwrap_or(PAGE);
            page.iter_mut().skip(kept).for_each(|byte| *byte = 0);
            written.pages.insert(number, page);
        }
        written.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, mut data: &[u8]) -> io::Result<()> {
        let end = offset + data.len() as u64;
        let mut written = self.written.write().unwrap_or_else(PoisonError::into_inner);
        for (number, within, count) in pages(offset, data.len()) {
            let mut page = self.page(&written, number)?;
            let (from, rest) = data.split_at(count);
            if let Some(to) = page.get_mut(within..within + count) {
                to.copy_from_slice(from);
            }
            written.pages.insert(number, page);
            data = rest;
        }
        written.len = written.len.max(end);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redb::backends::InMemoryBackend;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn an_overlay_reads_as_a_disk_that_takes_writes(
            steps in proptest::collection::vec((0_u64..20_000, 0_usize..9_000, any::<u8>(), any::<bool>()), 1..30)
        ) {
            let (below, plain) = (InMemoryBackend::new(), InMemoryBackend::new());
            for disk in [&below, &plain] {
                disk.set_len(10_000).unwrap();
                disk.write(100, &[7; 5_000]).unwrap();
            }
            let overlay = Overlay::over(Disk::new(below).unwrap()).unwrap();
            let disks: [&dyn StorageBackend; 2] = [&overlay, &plain];
            for (offset, len, byte, cuts) in steps {
                for disk in disks {
                    if cuts {
                        disk.set_len(offset).unwrap();
                    } else {
                        let end = offset + len as u64;
                        disk.set_len(end.max(disk.len().unwrap())).unwrap();
                        disk.write(offset, &vec![byte; len]).unwrap();
                    }
                }
                let read = disks.map(|disk| {
                    let mut all = vec![0; usize::try_from(disk.len().unwrap()).unwrap()];
                    disk.read(0, &mut all).unwrap();
                    all
                });
                prop_assert!(read[0] == read[1]);
            }
        }
    }
}
