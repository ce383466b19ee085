//! The deadline that a caller gives with a call.
//!
//! tonic ends such a call by itself, but says CANCELLED, which clients take for their own doing and do
//! not retry. So it is ended here, a moment before.

use std::time::Duration;

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use crate::limits;

use super::status;

/// Ends a call at its deadline with `DEADLINE_EXCEEDED`.
pub async fn keep_deadline(request: Request, next: Next) -> Response {
    let timeout = request.headers().get("grpc-timeout");
    let Some(timeout) = timeout.and_then(|text| parse(text.to_str().ok()?)) else {
        return next.run(request).await;
    };
    let before = limits::DEADLINE_MARGIN.min(timeout / 2);
    tokio::time::timeout(timeout.saturating_sub(before), next.run(request))
        .await
        .unwrap_or_else(|_| {
            status::deadline_exceeded()
                .into_http::<axum::body::Body>()
                .into_response()
        })
}

/// At most eight digits and a unit, as gRPC over HTTP/2 has it; what is none is no deadline.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_call_that_is_not_answered_by_its_deadline_ends_with_deadline_exceeded() {
        let hangs = axum::routing::any(std::future::pending::<()>);
        let answers = axum::routing::any(async || "answered");
        let layer = axum::middleware::from_fn(keep_deadline);
        let router = axum::Router::new()
            .route("/hangs", hangs)
            .route("/answers", answers)
            .layer(layer);
        let ask = async |path: &str, timeout: &str| {
            let request = Request::get(path).header("grpc-timeout", timeout);
            let request = request.body(axum::body::Body::empty()).unwrap();
            let answer = router.clone().oneshot(request).await.unwrap();
            let status = answer.headers().get("grpc-status");
            status.map(|status| status.to_str().unwrap().to_owned())
        };
        // 4 is DEADLINE_EXCEEDED.
        for timeout in ["0m", "1n", "3m", "20m"] {
            let status = ask("/hangs", timeout).await;
            assert_eq!(status.as_deref(), Some("4"), "{timeout}");
        }
        assert_eq!(ask("/answers", "20S").await, None);
        assert_eq!(ask("/answers", "nonsense").await, None);
    }

    #[test]
    fn deadlines_are_read_as_grpc_writes_them() {
        for (text, expected) in [
            ("1S", Some(Duration::from_secs(1))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3_600))),
            ("2M", Some(Duration::from_secs(120))),
            ("5m", Some(Duration::from_millis(5))),
            ("5u", Some(Duration::from_micros(5))),
            ("0n", Some(Duration::ZERO)),
            ("100000000m", None),
            ("m", None),
            ("", None),
            ("+1S", None),
            ("1s", None),
            ("1ü", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
