//! A disk in memory that remembers every write and every sync, so that it can be looked at as it
//! was at any moment, with or without what was not synced yet; and that fails when told to.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use redb::StorageBackend;

/// One thing done to the disk.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    /// Kept only by disks that record.
    actions: Option<Vec<Action>>,
    /// How many more actions succeed.
    healthy_for: Option<u64>,
    /// Only the latest handle may still touch the disk.
    openings: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<Mutex<State>>);

impl Disk {
    pub(super) fn recording() -> Self {
        let disk = Self::default();
        disk.with(|state| state.actions = Some(Vec::new()));
        disk
    }

    /// A disk with these bytes.
    pub(super) fn holding(bytes: &[u8]) -> Self {
        let disk = Self::default();
        disk.with(|state| state.bytes = bytes.to_vec());
        disk
    }

    pub(super) fn open(&self) -> Handle {
        let number = self.with(|state| {
            state.openings += 1;
            state.openings
        });
        Handle {
            disk: self.clone(),
            number,
        }
    }

    /// From now on, this many writes and syncs succeed, and no more after them.
    pub(super) fn fail_after(&self, actions: u64) {
        self.with(|state| state.healthy_for = Some(actions));
    }

    pub(super) fn heal(&self) {
        self.with(|state| state.healthy_for = None);
    }

    /// How much was done so far.
    pub(super) fn position(&self) -> usize {
        self.with(|state| state.actions.as_ref().map_or(0, Vec::len))
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.with(|state| state.bytes.clone())
    }

    pub(super) fn actions(&self) -> Vec<Action> {
        self.with(|state| state.actions.clone().unwrap_or_default())
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Action {
    pub(super) fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => write(bytes, *offset, data),
            Self::SetLen(len) => bytes.resize(place(*len), 0),
            Self::Sync => {}
        }
    }

    /// A write of which only the first part reached the disk.
    pub(super) fn torn(&self, share: f64) -> Self {
        match self {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "any length up to the whole will do"
            )]
            Self::Write(offset, data) => {
                let len = (data.len() as f64 * share) as usize;
                Self::Write(*offset, data[..len.min(data.len())].to_vec())
            }
            other => other.clone(),
        }
    }
}

/// What one opening of the disk holds.
#[derive(Debug)]
pub(super) struct Handle {
    disk: Disk,
    number: u64,
}

impl Handle {
    fn act(&self, action: Action) -> io::Result<()> {
        self.disk.with(|state| {
            if state.openings != self.number {
                return Err(io::Error::other("the disk was opened again"));
            }
            match &mut state.healthy_for {
                Some(0) => return Err(io::Error::other("the disk has failed")),
                Some(left) => *left -= 1,
                None => {}
            }
            action.apply(&mut state.bytes);
            if let Some(actions) = &mut state.actions {
                actions.push(action);
            }
            Ok(())
        })
    }
}

impl StorageBackend for Handle {
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
        self.act(Action::SetLen(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.act(Action::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.act(Action::Write(offset, data.to_vec()))
    }
}

fn write(bytes: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let (start, end) = (place(offset), place(offset) + data.len());
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[start..end].copy_from_slice(data);
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}
