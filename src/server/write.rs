//! Revoke, RevokeUser, Restore.

use std::time::Duration;

use tonic::Status;

use crate::{
    fleet::Who,
    ledger::{Ledger, Named, Receipt, Restore, Revoke, WriteError},
    limits,
    model::{Reason, Target},
    proto::v1,
};

use super::{
    Service,
    check::{Judge, Unable, Unjudged},
    inward, material, outward,
    status::{self, BadField},
};

/// Revokes targets.
pub(super) async fn revoke(
    service: &Service,
    actor: &str,
    mut request: v1::RevokeRequest,
) -> Result<v1::RevokeResponse, Status> {
    let (judge, ledger) = (&service.judge, &service.judge.ledger);
    let wait_for = inward::wait_for(request.wait_for.take())?;
    let mut audit = Audit::of("Revoke", actor, &request.request_id, request.targets.len());
    let order = match are_genuine(judge, &request.targets).await {
        Ok(()) => parse_revoke(ledger, actor, request).map_err(Into::into),
        Err(status) => Err(status),
    };
    audit.revokes(&order);
    let receipts = carry_out(service, audit, order, async |mut order| {
        let asked = order.targets.len();
        order.targets.extend(material::named(judge, &order.targets));
        let mut receipts = ledger.revoke(order).await?;
        receipts.truncate(asked);
        material::advise(judge, &mut receipts);
        Ok(receipts)
    })
    .await?;
    Ok(v1::RevokeResponse {
        receipts: receipts.into_iter().map(outward::receipt).collect(),
        propagation: spread(service, wait_for).await,
    })
}

/// Revokes one user.
pub(super) async fn revoke_user(
    service: &Service,
    actor: &str,
    request: v1::RevokeUserRequest,
) -> Result<v1::RevokeUserResponse, Status> {
    let ledger = &service.judge.ledger;
    let wait_for = inward::wait_for(request.wait_for)?;
    let mut audit = Audit::of("RevokeUser", actor, &request.request_id, 1);
    let user = v1::target::Kind::User(v1::UserTarget {
        iss: request.iss,
        sub: request.sub,
    });
    let order = parse_revoke(
        ledger,
        actor,
        v1::RevokeRequest {
            targets: vec![v1::Target { kind: Some(user) }],
            rules: request.rules,
            expires_at: request.expires_at,
            reason: request.reason,
            comment: request.comment,
            request_id: request.request_id,
            wait_for: None,
            validate_only: request.validate_only,
        },
    );
    // The caller of this rpc knows no targets: its own fields are named.
    let order = order.map_err(|bad| BadField {
        field: bad.field.replace("targets[0].user.", ""),
        ..bad
    });
    audit.revokes(&order);
    let mut receipts = carry_out(service, audit, order, async |order| {
        ledger.revoke(order).await
    })
    .await?;
    Ok(v1::RevokeUserResponse {
        receipt: receipts.pop().map(outward::receipt),
        propagation: spread(service, wait_for).await,
    })
}

/// Lifts rules of targets.
pub(super) async fn restore(
    service: &Service,
    actor: &str,
    mut request: v1::RestoreRequest,
) -> Result<v1::RestoreResponse, Status> {
    let ledger = &service.judge.ledger;
    let wait_for = inward::wait_for(request.wait_for.take())?;
    let mut audit = Audit::of("Restore", actor, &request.request_id, request.targets.len());
    let order = parse_restore(ledger, actor, request);
    if let Ok(order) = &order {
        audit.name(order.targets.iter());
    }
    let judge = &service.judge;
    let receipts = carry_out(service, audit, order, async |mut order| {
        let asked = order.targets.len();
        let material = material::of(judge, order.targets.iter());
        order.targets.extend(material);
        let mut receipts = ledger.restore(order).await?;
        receipts.truncate(asked);
        Ok(receipts)
    })
    .await?;
    Ok(v1::RestoreResponse {
        receipts: receipts.into_iter().map(outward::receipt).collect(),
        propagation: spread(service, wait_for).await,
    })
}

/// Waits for followers, if that was asked for: what was written stands at or before the newest record
/// that came to this run first.
async fn spread(service: &Service, wait_for: Option<(Who, Duration)>) -> Option<v1::Propagation> {
    let (who, within) = wait_for?;
    let written = service.judge.ledger.first_head();
    let spread = service.spread(written, who, within, None).await;
    Some(outward::propagation(spread))
}

/// A token that nobody vouches for names no token that could be used: revoking it by mistake would
/// look like success.
async fn are_genuine(judge: &Judge, targets: &[v1::Target]) -> Result<(), Status> {
    if judge.verification.is_none() {
        return Ok(());
    }
    for (number, target) in targets.iter().take(limits::BATCH_MAX).enumerate() {
        let Some(v1::target::Kind::Token(token)) = &target.kind else {
            continue;
        };
        if !token.jwt.is_empty() {
            let genuine = judge.is_genuine(&token.jwt).await;
            genuine.map_err(|unjudged| match unjudged {
                Unjudged::Invalid(invalid) => {
                    let field = format!("targets[{number}].token.jwt");
                    BadField::new(field, invalid.detail).into()
                }
                Unjudged::NoKeys(why) => status::unable(&Unable::NoKeys(why)),
                Unjudged::KeysAskedFor => {
                    let why = "newer keys of the token's issuer are being fetched".to_owned();
                    status::unable(&Unable::NoKeys(why))
                }
            })?;
        }
    }
    Ok(())
}

fn parse_revoke(
    ledger: &Ledger,
    actor: &str,
    mut request: v1::RevokeRequest,
) -> Result<Revoke, BadField> {
    let reason = inward::reason(request.reason, "reason")?;
    let expires_at = inward::time(request.expires_at, "expires_at")?;
    let validate_only = std::mem::take(&mut request.validate_only);
    let request_id = request.request_id.clone();
    let comment = request.comment.clone();
    let terms = inward::terms(actor, comment, request_id, validate_only, &request)?;
    Ok(Revoke {
        targets: inward::targets(request.targets, ledger)?,
        rules: inward::rules(request.rules)?,
        expires_at,
        reason,
        terms,
    })
}

fn parse_restore(
    ledger: &Ledger,
    actor: &str,
    mut request: v1::RestoreRequest,
) -> Result<Restore, BadField> {
    let kinds = inward::rule_kinds(&request.rules)?;
    let validate_only = std::mem::take(&mut request.validate_only);
    let request_id = request.request_id.clone();
    let comment = request.comment.clone();
    let terms = inward::terms(actor, comment, request_id, validate_only, &request)?;
    let named = inward::targets(request.targets, ledger)?;
    Ok(Restore {
        targets: named
            .into_iter()
            .map(|Named { target, .. }| target)
            .collect(),
        kinds,
        terms,
    })
}

async fn carry_out<T>(
    service: &Service,
    audit: Audit,
    order: Result<T, impl Into<Status>>,
    write: impl AsyncFnOnce(T) -> Result<Vec<Receipt>, WriteError>,
) -> Result<Vec<Receipt>, Status> {
    let mut done = match order {
        Ok(order) => write(order).await.map_err(status::of_write),
        Err(bad) => Err(bad.into()),
    };
    if let (Ok(receipts), true) = (&mut done, service.fleet().upstreams.lack_hubs()) {
        for receipt in receipts {
            receipt.warnings.push(
                "no hub can be reached: only this node has it, until one takes it".to_owned(),
            );
        }
    }
    audit.line(done.as_ref().err());
    done
}

/// Targets that an audit line names; the rest is counted.
const AUDITED_TARGETS_MAX: usize = 5;

/// One line for every write: who asked for what and why, and what came of it; never a token.
struct Audit {
    rpc: &'static str,
    actor: String,
    request_id: String,
    count: usize,
    named: Vec<String>,
    reason: Reason,
}

impl Audit {
    fn of(rpc: &'static str, actor: &str, request_id: &str, count: usize) -> Self {
        // Not checked yet: it may be megabytes, or hold what would pass for another line.
        let shown = request_id.chars().filter(|c| !c.is_control()).take(64);
        Self {
            rpc,
            actor: actor.to_owned(),
            request_id: shown.collect(),
            count,
            named: Vec::new(),
            reason: Reason::default(),
        }
    }

    /// A request that cannot be read names nothing that could be trusted in a log.
    fn revokes<E>(&mut self, order: &Result<Revoke, E>) {
        if let Ok(order) = order {
            self.reason = order.reason;
            self.name(order.targets.iter().map(|named| &named.target));
        }
    }

    fn name<'a>(&mut self, targets: impl Iterator<Item = &'a Target>) {
        let named = targets.take(AUDITED_TARGETS_MAX);
        self.named = named.map(Target::to_string).collect();
    }

    fn line(&self, refused: Option<&Status>) {
        let outcome = refused.map_or("done".to_owned(), |status| format!("{:?}", status.code()));
        tracing::info!(
            target: "rescind::audit",
            rpc = self.rpc,
            actor = %self.actor,
            request_id = %self.request_id,
            count = self.count,
            targets = self.named.join(", "),
            reason = ?self.reason,
            outcome,
            "write"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The id is logged before it is checked: one of megabytes, or with a line break in it, once
    /// went to the log as it was.
    #[test]
    fn an_audit_line_is_one_short_line_whatever_the_request_id() {
        for (id, shown) in [
            ("order-17".to_owned(), "order-17".to_owned()),
            ("ü".repeat(1_000_000), "ü".repeat(64)),
            (
                "a\nrescind::audit: forged\u{1b}[2J".to_owned(),
                "arescind::audit: forged[2J".to_owned(),
            ),
        ] {
            assert_eq!(Audit::of("Revoke", "ip:::1", &id, 1).request_id, shown);
        }
    }
}
