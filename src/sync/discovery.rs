//! From a configured entry to the nodes that stand behind it.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    fleet::{Group, Phase},
    limits,
};

use super::{Address, Place, Sync, follow::Follow, until};

/// Follows everybody behind an entry until `stop`.
pub(super) async fn follow_all(
    sync: &Sync,
    group: &Arc<Group>,
    address: &Address,
    stop: &CancellationToken,
) {
    match address {
        Address::Host { host, port } => {
            let place = Place::Host(host.clone(), *port);
            Follow::new(sync, group.member(&address.to_string()), place)
                .run()
                .await;
        }
        Address::Unix(path) => {
            let place = Place::Unix(path.clone());
            Follow::new(sync, group.member(&address.to_string()), place)
                .run()
                .await;
        }
        Address::Dns { name, port } => follow_name(sync, group, (name, *port), stop).await,
    }
}

/// An address that a name has or had.
struct Listed {
    /// For how long successful answers have lacked it.
    lacked: Duration,
    stop: CancellationToken,
}

/// The addresses of one name.
struct Name<'a> {
    sync: &'a Sync,
    group: &'a Arc<Group>,
    listed: BTreeMap<String, Listed>,
    /// When the last answer came; `None` after a failure: time without answers is no time in which
    /// answers lacked anybody.
    last_answer: Option<Instant>,
    follows: FuturesUnordered<BoxFuture<'static, ()>>,
}

async fn follow_name(
    sync: &Sync,
    group: &Arc<Group>,
    (host, port): (&str, u16),
    stop: &CancellationToken,
) {
    let mut name = Name {
        sync,
        group,
        listed: BTreeMap::new(),
        last_answer: None,
        follows: FuturesUnordered::new(),
    };
    let mut had_failed = false;
    loop {
        let answer = tokio::time::timeout(limits::DNS_INTERVAL, sync.net.resolve(host, port));
        let failure = match name.following_until(answer).await {
            Ok(Ok(found)) if !found.is_empty() => {
                name.answered(&found.into_iter().collect(), stop);
                None
            }
            // Somebody must be there: whoever asks may be it.
            Ok(Ok(_)) => Some("the name has no addresses".to_owned()),
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        if let Some(error) = &failure {
            name.last_answer = None;
            if !had_failed {
                tracing::warn!(name = host, error, "the name cannot be resolved");
            }
        }
        had_failed = failure.is_some();
        let pause = tokio::time::sleep(limits::DNS_INTERVAL);
        name.following_until(pause).await;
    }
}

impl Name<'_> {
    /// Goes on following while something else is waited for: a resolver may be slow, and records are
    /// not to wait for it.
    async fn following_until<T>(&mut self, done: impl Future<Output = T>) -> T {
        let mut done = std::pin::pin!(done);
        loop {
            tokio::select! {
                biased;
                done = &mut done => return done,
                Some(()) = self.follows.next() => {}
            }
        }
    }

    /// Sorted, so that of too many the same are followed each time.
    fn answered(&mut self, found: &BTreeSet<SocketAddr>, stop: &CancellationToken) {
        let since = self
            .last_answer
            .map_or(Duration::ZERO, |last| last.elapsed());
        self.last_answer = Some(Instant::now());
        for entry in self.listed.values_mut() {
            entry.lacked += since;
        }
        for address in found.iter().take(limits::UPSTREAMS_MAX) {
            if let Some(entry) = self.listed.get_mut(&address.to_string()) {
                entry.lacked = Duration::ZERO;
            } else {
                self.begin(*address, stop.child_token());
            }
        }
        self.tell_of_too_many(found.len());
        let group = self.group;
        let found: BTreeSet<String> = found.iter().map(ToString::to_string).collect();
        group.note_listed(|address| found.contains(address));
        self.listed.retain(|address, entry| {
            let stays = entry.lacked < limits::DNS_LACKED;
            if !stays {
                tracing::info!(
                    name = group.name,
                    address,
                    "no longer listed: not followed any more"
                );
                entry.stop.cancel();
                group.remove(address);
            }
            stays
        });
    }

    /// What is not followed must not look as if it were: it stands in the place of an upstream with
    /// which this node is never level.
    fn tell_of_too_many(&self, count: usize) {
        let is_told = self.group.has(&self.group.name);
        if count <= limits::UPSTREAMS_MAX {
            if is_told {
                self.group.remove(&self.group.name);
            }
            return;
        }
        let error = format!(
            "the name has {count} addresses, and {} are followed: have fewer in one mesh, or make \
             leaves of most",
            limits::UPSTREAMS_MAX
        );
        if !is_told {
            tracing::error!(name = self.group.name, error, "not everybody is followed");
        }
        self.group.member(&self.group.name).update(|view| {
            view.phase = Phase::Failed;
            view.last_error = error;
        });
    }

    fn begin(&mut self, address: SocketAddr, stop: CancellationToken) {
        let key = address.to_string();
        let follow = Follow::new(self.sync, self.group.member(&key), Place::Tcp(address));
        let listed = Listed {
            lacked: Duration::ZERO,
            stop: stop.clone(),
        };
        self.listed.insert(key, listed);
        self.follows.push(Box::pin(async move {
            until(&stop, Box::pin(follow.run())).await;
        }));
    }
}

#[cfg(test)]
mod tests;
