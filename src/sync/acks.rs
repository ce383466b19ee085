//! What this node tells an upstream: how far it is durable here, and nonces.
//!
//! A heartbeat that echoes a nonce says that everything acknowledged before the nonce was *sent* has
//! been sent to us: so delays, half-open links and buffered heartbeats make a node look staler than
//! it is, never fresher.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::{fleet::Fleet, limits, proto::v1};

use super::connection::Client;

/// What is to be told.
#[derive(Debug, Default)]
struct Told {
    /// The newest cursor that is durable here and was not told yet.
    cursor: Option<Vec<u8>>,
    /// When that is to be told.
    due: Option<Instant>,
    /// Nonces that were not echoed yet, and when they were sent, by the steady clock.
    nonces: VecDeque<(u64, Duration)>,
    last_nonce: u64,
}

/// The acknowledgements of one watch.
#[derive(Debug)]
pub(super) struct Acks {
    watch_id: u64,
    told: Mutex<Told>,
    news: Notify,
}

impl Acks {
    pub(super) fn new(watch_id: u64) -> Self {
        Self {
            watch_id,
            told: Mutex::default(),
            news: Notify::new(),
        }
    }

    /// Everything up to a cursor is durable here. Somebody may wait for what was news to this node;
    /// the rest can be told with what comes next, as most of what comes in a mesh.
    pub(super) fn durable(&self, cursor: Vec<u8>, was_news: bool) {
        let mut told = self.lock();
        told.cursor = Some(cursor);
        let now = Instant::now();
        let due = if was_news {
            now
        } else {
            now + limits::ACK_PATIENCE
        };
        if told.due.is_none_or(|before| due < before) {
            told.due = Some(due);
            self.news.notify_one();
        }
    }

    /// When an echoed nonce was sent; those before it are done with too.
    pub(super) fn echoed(&self, nonce: u64) -> Option<Duration> {
        let mut told = self.lock();
        let place = told.nonces.iter().position(|(sent, _)| *sent == nonce)?;
        let (_, sent_at) = told.nonces.drain(..=place).next_back()?;
        Some(sent_at)
    }

    /// Tells, one call at a time; returns what went wrong.
    pub(super) async fn run(&self, mut client: Client, fleet: &Fleet) -> String {
        let mut nonce_due = Instant::now();
        loop {
            let due = self.lock().due.unwrap_or(nonce_due).min(nonce_due);
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(due) => {}
                // Perhaps it is due earlier now.
                () = self.news.notified() => continue,
            }
            let began = Instant::now();
            let is_due = began >= nonce_due;
            if is_due {
                nonce_due = began + limits::PEER_HEARTBEAT;
            }
            let request = self.request(is_due, fleet);
            let answer = tokio::time::timeout(limits::PEER_CALL_TIMEOUT, client.ack_watch(request));
            match answer.await {
                Ok(Ok(_)) => {}
                Ok(Err(status)) => return format!("acknowledging: {}", status.message()),
                Err(_) => return "acknowledging: no answer in time".to_owned(),
            }
            // A busy upstream is told less often: what holds by then goes into one word.
            let pause =
                (began.elapsed() * 4).clamp(limits::ACK_INTERVAL_MIN, limits::ACK_INTERVAL_MAX);
            tokio::time::sleep(pause).await;
        }
    }

    fn request(&self, is_nonce_due: bool, fleet: &Fleet) -> v1::AckWatchRequest {
        let mut told = self.lock();
        let nonce = if is_nonce_due {
            told.last_nonce += 1;
            let nonce = told.last_nonce;
            // Before it is sent, so that the age is never too small.
            told.nonces.push_back((nonce, fleet.steady()));
            if told.nonces.len() > limits::NONCES_MAX {
                told.nonces.pop_front();
            }
            nonce
        } else {
            0
        };
        told.due = None;
        v1::AckWatchRequest {
            watch_id: self.watch_id,
            cursor: told.cursor.take().unwrap_or_default(),
            nonce,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
