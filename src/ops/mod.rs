//! HTTP for operators: `/metrics`, `/livez`, `/readyz`.

mod metrics;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};

use crate::server::Service;

/// The type of what `/metrics` answers with.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is served of one node.
pub fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .with_state(service)
}

async fn metrics(State(service): State<Arc<Service>>) -> impl IntoResponse {
    let text = metrics::of(&service.status());
    ([(header::CONTENT_TYPE, EXPOSITION)], text)
}

async fn readyz(State(service): State<Arc<Service>>) -> impl IntoResponse {
    let status = service.status();
    if status.ready {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    let why = match status.not_ready_because.as_str() {
        "" => "shutting down",
        why => why,
    };
    (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n"))
}
