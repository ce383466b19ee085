//! What only followers call: `AckWatch`, `MergeRecords`, `GetDigests`.

use futures_util::{Stream, StreamExt as _};
use tonic::Status;

use crate::{
    fleet::{Moment, NodeId, Reached, Who},
    ledger::{Cursor, Digested, Ledger, Merge, Merged, Resume},
    model::{Record, UnixNanos},
    proto::v1,
    wire,
};

use super::{
    Service,
    filter::Filter,
    inward, outward,
    status::{self, BadField},
};

/// How far whoever has made a cursor durable has come.
pub(super) fn reached(ledger: &Ledger, cursor: Cursor) -> Option<Reached> {
    match ledger.resume(cursor) {
        Resume::After(seq) => Some(Reached {
            seq,
            is_complete: cursor.is_complete(),
        }),
        Resume::Reset => None,
    }
}

/// How far a follower has come.
pub(super) fn ack(service: &Service, request: &v1::AckWatchRequest) -> Result<(), Status> {
    let ledger = &service.judge.ledger;
    let place = service
        .watchers
        .get(request.watch_id)
        .ok_or_else(status::no_such_watch)?;
    let reached = match request.cursor.as_slice() {
        [] => None,
        bytes => {
            let cursor = Cursor::decode(bytes)
                .ok_or_else(|| BadField::new("cursor", "these bytes never were a cursor"))?;
            if cursor.filters != Filter::default().digest() {
                let problem = "is of a watch with kinds or issuers, which says nothing of the rest";
                return Err(BadField::new("cursor", problem).into());
            }
            reached(ledger, cursor)
        }
    };
    if let Some(follower) = place.follower {
        if service.watchers.is_cloned(&place, service.fleet().steady()) {
            tracing::error!(
                node = %follower.run.node,
                watcher = %place.watcher,
                "two live processes follow under one node id: a data directory was copied"
            );
            return Err(status::cloned());
        }
        let followers = &service.fleet().followers;
        let now = Moment {
            wall: ledger.wall(),
            steady: service.fleet().steady(),
            head: ledger.condition().head,
        };
        followers.acked(follower.run, reached, now);
    }
    if request.nonce != 0 {
        place.hear(request.nonce);
    }
    Ok(())
}

/// What has been handed up so far.
#[derive(Default)]
struct HandedUp {
    head: u64,
    changed: u64,
    skipped: u64,
    first_skipped: String,
    leaf: Option<NodeId>,
    wait_for: Option<(Who, std::time::Duration)>,
}

/// Takes in what a leaf hands up.
pub(super) async fn merge(
    service: &Service,
    actor: &str,
    messages: impl Stream<Item = Result<v1::MergeRecordsRequest, Status>>,
) -> Result<v1::MergeRecordsResponse, Status> {
    let ledger = &service.judge.ledger;
    let mut messages = std::pin::pin!(messages);
    let mut up = HandedUp::default();
    let mut is_first = true;
    while let Some(message) = messages.next().await {
        let message = message?;
        if std::mem::take(&mut is_first) {
            up.begin(ledger, &message)?;
        }
        ledger.learn_leads(wire::leads_in(message.clock_leads));
        up.take_in(ledger, message.revocations).await?;
    }
    if up.skipped > 0 {
        tracing::warn!(
            actor,
            skipped = up.skipped,
            first = up.first_skipped,
            "records that a leaf handed up were not taken in"
        );
    }
    let propagation = match up.wait_for {
        Some((who, within)) => Some(service.spread(up.head, who, within, up.leaf).await),
        None => None,
    };
    Ok(v1::MergeRecordsResponse {
        cursor: ledger
            .cursor(up.head, up.head, Filter::default().digest())
            .encode(),
        changed: up.changed,
        skipped: up.skipped,
        first_skipped: up.first_skipped,
        propagation: propagation.map(outward::propagation),
    })
}

impl HandedUp {
    fn begin(&mut self, ledger: &Ledger, first: &v1::MergeRecordsRequest) -> Result<(), Status> {
        if first.hub_boot != ledger.boot().0 {
            return Err(status::another_boot());
        }
        if let Some(follower) = &first.follower {
            let (node, _) = inward::follower(follower, "follower")?;
            if node.0 == ledger.node() {
                return Err(status::cloned());
            }
            self.leaf = Some(node);
        }
        self.wait_for = inward::wait_for(first.wait_for)?;
        self.head = ledger.condition().head;
        Ok(())
    }

    async fn take_in(
        &mut self,
        ledger: &Ledger,
        revocations: Vec<v1::Revocation>,
    ) -> Result<(), Status> {
        let mut records: Vec<Record> = Vec::with_capacity(revocations.len());
        for revocation in revocations {
            match wire::record_in(revocation) {
                Ok(record) => records.push(record),
                Err(problem) => {
                    self.skipped += 1;
                    if self.first_skipped.is_empty() {
                        self.first_skipped = problem;
                    }
                }
            }
        }
        let order = Merge {
            records,
            place: None,
            handed_up: true,
            afresh: false,
        };
        let Merged { changed, head, .. } = ledger.merge(order).await.map_err(status::of_write)?;
        self.changed += changed;
        self.head = self.head.max(head);
        Ok(())
    }
}

/// Digests of what is live here.
pub(super) async fn digests(
    service: &Service,
    request: v1::GetDigestsRequest,
) -> Result<v1::GetDigestsResponse, Status> {
    let ledger = &service.judge.ledger;
    let runs_out_after = UnixNanos::from_nanos(request.runs_out_after_ns);
    if runs_out_after < ledger.wall() {
        return Err(BadField::new(
            "runs_out_after_ns",
            "lies in the past: what has run out is forgotten at another moment on each node",
        )
        .into());
    }
    let Some(turn) = service.digests.take(service.fleet()) else {
        return Err(status::digests_under_way());
    };
    let of = Digested {
        written_before: UnixNanos::from_nanos(request.written_before_ns),
        runs_out_after,
    };
    let digests = ledger.digests(of, turn).await;
    let digests = digests.map_err(|error| status::of_journal(&error))?;
    let bytes = digests
        .ranges
        .iter()
        .flat_map(|digest| digest.to_be_bytes());
    Ok(v1::GetDigestsResponse {
        digests: bytes.collect(),
        records: digests.records,
    })
}
