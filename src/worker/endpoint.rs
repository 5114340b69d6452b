//! `/healthz` and `/metrics` over HTTP/1.1, for a monitor on the same machine. One request a connection, few connections at once,
//! a time limit for each: a monitor that misbehaves costs the worker nothing.

use super::health::Examiner;
use crate::store::StoreError;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::warn;

/// Connections at once.
const CONNECTIONS_MAX: usize = 8;
/// Longest time for a connection, from its first byte to its last.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause after a connection could not be accepted (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

const JSON: &str = "application/json";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// Answers until it is dropped.
pub async fn serve(listener: TcpListener, examiner: Examiner) {
    let examiner = Arc::new(examiner);
    let mut connections: JoinSet<()> = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        while connections.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(error = %error.kind(), "a connection to the health end point could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let examiner = Arc::clone(&examiner);
        connections.spawn(async move {
            let service = service_fn(|request| {
                let examiner = Arc::clone(&examiner);
                async move { Ok::<_, Infallible>(answer(&request, &examiner).await) }
            });
            let connection = http1::Builder::new()
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            // A client that hangs up or takes too long is its own loss.
            timeout(CONNECTION_TIMEOUT, connection).await.ok();
        });
    }
}

async fn answer(request: &Request<Incoming>, examiner: &Examiner) -> Response<Full<Bytes>> {
    let known = matches!(request.uri().path(), "/healthz" | "/metrics");
    if !known {
        return response(StatusCode::NOT_FOUND, TEXT, "/healthz or /metrics\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET only\n");
        let headers = refused.headers_mut();
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let told = async {
        let health = examiner.examine().await?;
        if request.uri().path() == "/metrics" {
            let numbers = examiner.count().await?;
            return Ok(response(
                StatusCode::OK,
                PROMETHEUS,
                health.metrics(&numbers),
            ));
        }
        let status = if health.is_well() {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        Ok::<_, StoreError>(response(status, JSON, format!("{}\n", health.json())))
    };
    match told.await {
        Ok(response) => response,
        Err(error) => {
            let problem = format!("the store does not answer: {error}");
            warn!(error = %error, "health could not be examined");
            let json = serde_json::json!({ "status": "failing", "problems": [problem] });
            response(StatusCode::SERVICE_UNAVAILABLE, JSON, format!("{json}\n"))
        }
    }
}

fn response(
    status: StatusCode,
    kind: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
