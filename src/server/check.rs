//! Check, CheckBatch, CheckStream.

use std::cell::RefCell;

use crate::{
    ledger::Ledger,
    limits,
    model::{Invalid, RuleKind, Verdict},
    proto::v1::{self, check_request::Credential},
    token,
};

use super::{inward, outward, status::BadField};

thread_local! {
    /// What a token is decoded into: one for each thread, so that a Check allocates little.
    static BUFFER: RefCell<token::Buffer> = RefCell::default();
}

/// Judges one token.
pub(super) async fn check(ledger: &Ledger, request: &v1::CheckRequest) -> v1::CheckResponse {
    let verdict = judge(ledger, request).unwrap_or_else(Verdict::Invalid);
    let mut response = outward::verdict(&verdict);
    // Only a denial that somebody commented on needs the journal.
    if let Verdict::Revoked(found) = &verdict
        && let Some(seq) = found.comment_at
        && let Some(shown) = &mut response.r#match
    {
        shown.comment = comment(ledger, seq, found.rule).await;
    }
    response
}

/// Judges several, in order.
pub(super) async fn batch(
    ledger: &Ledger,
    checks: &[v1::CheckRequest],
) -> Result<Vec<v1::CheckResponse>, BadField> {
    if checks.len() > limits::BATCH_MAX {
        return Err(BadField::new(
            "checks",
            format!(
                "{} are given, and at most {} fit one request: send several",
                checks.len(),
                limits::BATCH_MAX
            ),
        ));
    }
    let mut results = Vec::with_capacity(checks.len());
    for request in checks {
        results.push(check(ledger, request).await);
    }
    Ok(results)
}

async fn comment(ledger: &Ledger, seq: u64, rule: RuleKind) -> String {
    // The denial stands whether or not its comment can be read.
    let record = ledger.record(seq).await.ok().flatten();
    record
        .and_then(|record| outward::comment_of(&record, rule))
        .unwrap_or_default()
}

fn judge(ledger: &Ledger, request: &v1::CheckRequest) -> Result<Verdict, Invalid> {
    if let Some(bound) = request.max_staleness
        && inward::duration(bound).is_none()
    {
        return Err(Invalid::new(
            "max_staleness is negative or not a Duration: give seconds, and 0 to 999,999,999 \
             nanoseconds",
        ));
    }
    match &request.credential {
        Some(Credential::Token(token)) => BUFFER.with_borrow_mut(|buffer| {
            let parts = token::Parts::decode(token, buffer)?;
            let semantics = ledger.semantics();
            let iss = parts.iss(semantics)?;
            let names = ledger.claim_names(&iss);
            let wanted = token::Wanted {
                claims: names.as_deref().unwrap_or_default(),
                digest: ledger.knows_digests(),
            };
            Ok(ledger.judge(&parts.claims(semantics, wanted)?))
        }),
        Some(Credential::Claims(claims)) => {
            Ok(ledger.judge(&inward::claims(claims, ledger.semantics())?))
        }
        None => Err(Invalid::new("no credential is given: set token or claims")),
    }
}
