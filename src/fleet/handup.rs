//! Callers of a leaf that wait until a hub, and its followers, have what they wrote.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{oneshot, watch};

use super::{Propagation, Wait};

/// Somebody who waits.
#[derive(Debug)]
pub struct Waiting {
    /// For what.
    pub wait: Wait,
    answer: oneshot::Sender<Propagation>,
}

impl Waiting {
    /// A hub has it, and this is how far it has spread from there.
    pub fn answer(self, spread: Propagation) {
        // A caller that went away meanwhile needs no answer.
        drop(self.answer.send(spread));
    }
}

/// Those who wait.
#[derive(Debug)]
pub struct HandUp {
    waiting: Mutex<Vec<Waiting>>,
    news: watch::Sender<()>,
}

impl Default for HandUp {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            news: watch::Sender::new(()),
        }
    }
}

impl HandUp {
    /// Waits until a hub answers, or for as long as was asked.
    pub async fn wait(&self, wait: Wait, hubs: Vec<String>) -> Propagation {
        let (answer, answered) = oneshot::channel();
        self.lock().push(Waiting { wait, answer });
        self.news.send_replace(());
        let nobody = Propagation {
            expected: 1,
            applied: 0,
            pending: hubs
                .into_iter()
                .map(|hub| format!("hub {hub}: no hub has it yet"))
                .collect(),
        };
        match tokio::time::timeout(wait.within, answered).await {
            Ok(Ok(spread)) => spread,
            Ok(Err(_)) | Err(_) => nobody,
        }
    }

    /// Those who wait for something up to a seq, the longest patience first.
    pub fn take(&self, up_to: u64) -> Vec<Waiting> {
        let mut waiting = self.lock();
        waiting.retain(|waiting| !waiting.answer.is_closed());
        let (mut taken, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut *waiting)
            .into_iter()
            .partition(|waiting| waiting.wait.seq <= up_to);
        *waiting = rest;
        taken.sort_by_key(|waiting| std::cmp::Reverse(waiting.wait.within));
        taken
    }

    /// The hub did not answer: another may.
    pub fn put_back(&self, waiting: Vec<Waiting>) {
        self.lock().extend(waiting);
        self.news.send_replace(());
    }

    /// Changes when somebody begins to wait.
    pub fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Whether anybody waits.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
