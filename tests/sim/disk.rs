//! A disk that outlives its host, forgets what was not synced when the power goes, and can be
//! restored from a backup, lost, or cloned.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use redb::StorageBackend;

/// What stands on a disk, for good.
pub(crate) type Image = Vec<u8>;

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    /// How to take back what was not synced yet, oldest first.
    undo: Vec<Undo>,
    /// Only the latest opening may still touch the disk: a process that was killed does not.
    openings: u64,
    /// How many more writes and syncs happen before the power goes.
    power_for: Option<u64>,
}

#[derive(Debug)]
enum Undo {
    Bytes(usize, Vec<u8>),
    Len(usize, Vec<u8>),
}

/// A disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

impl Disk {
    /// One that holds this.
    pub(crate) fn holding(image: Image) -> Self {
        let disk = Self::default();
        disk.with(|state| state.bytes = image);
        disk
    }

    /// Opens it: whoever had it open before can no longer touch it.
    pub(crate) fn open(&self) -> Opening {
        let number = self.with(|state| {
            state.openings += 1;
            state.openings
        });
        Opening {
            disk: self.clone(),
            number,
        }
    }

    /// The power goes after so many more writes and syncs.
    pub(crate) fn cut_power_after(&self, actions: u64) {
        self.with(|state| state.power_for = Some(actions));
    }

    /// Whether the power is gone.
    pub(crate) fn is_dark(&self) -> bool {
        self.with(|state| state.power_for == Some(0))
    }

    /// The process is gone: what was not synced never was.
    pub(crate) fn crash(&self) {
        self.with(|state| {
            state.openings += 1;
            state.power_for = None;
            while let Some(undo) = state.undo.pop() {
                match undo {
                    Undo::Bytes(at, old) => state.bytes[at..at + old.len()].copy_from_slice(&old),
                    Undo::Len(len, tail) => {
                        state.bytes.truncate(len - tail.len());
                        state.bytes.extend(tail);
                        state.bytes.resize(len, 0);
                    }
                }
            }
        });
    }

    /// What would be there after a crash now.
    pub(crate) fn image(&self) -> Image {
        let copy = Self::default();
        let (bytes, undo) = self.with(|state| {
            let undo = state.undo.iter().map(Undo::copy).collect();
            (state.bytes.clone(), undo)
        });
        copy.with(|state| (state.bytes, state.undo) = (bytes, undo));
        copy.crash();
        copy.with(|state| std::mem::take(&mut state.bytes))
    }

    /// Another content: a backup, a clone, or nothing.
    pub(crate) fn replace(&self, image: Image) {
        self.crash();
        self.with(|state| state.bytes = image);
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Undo {
    fn copy(&self) -> Self {
        match self {
            Self::Bytes(at, old) => Self::Bytes(*at, old.clone()),
            Self::Len(len, tail) => Self::Len(*len, tail.clone()),
        }
    }
}

impl State {
    fn write(&mut self, at: usize, data: &[u8]) {
        let end = at + data.len();
        if self.bytes.len() < end {
            self.set_len(end);
        }
        self.undo
            .push(Undo::Bytes(at, self.bytes[at..end].to_vec()));
        self.bytes[at..end].copy_from_slice(data);
    }

    fn set_len(&mut self, len: usize) {
        let tail = self.bytes.get(len..).unwrap_or_default().to_vec();
        self.undo.push(Undo::Len(self.bytes.len(), tail));
        self.bytes.resize(len, 0);
    }
}

/// What one opening of the disk holds.
#[derive(Debug)]
pub(crate) struct Opening {
    disk: Disk,
    number: u64,
}

impl Opening {
    fn act(&self, action: impl FnOnce(&mut State)) -> io::Result<()> {
        self.disk.with(|state| {
            if state.openings != self.number {
                return Err(io::Error::other("the process is gone"));
            }
            match &mut state.power_for {
                Some(0) => return Err(io::Error::other("the power is gone")),
                Some(left) => *left -= 1,
                None => {}
            }
            action(state);
            Ok(())
        })
    }
}

impl StorageBackend for Opening {
    fn len(&self) -> io::Result<u64> {
        self.disk.with(|state| Ok(state.bytes.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = place(offset);
        self.disk.with(|state| {
            let from = state.bytes.get(start..start + out.len());
            out.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.act(|state| state.set_len(place(len)))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.act(|state| state.undo.clear())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.act(|state| state.write(place(offset), data))
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("a disk that fits in memory")
}
