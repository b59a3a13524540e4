//! The charge application behind each Rust peer: the tester's own sample in an axum service.

use std::io;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use semel_conform::sample::App;
use tokio::net::TcpListener;

/// The charges, for a peer to stand before.
///
/// # Panics
/// Without `LEAGUE_LEDGER`, the file that effects are written to.
#[must_use]
pub fn charges() -> Router {
    let ledger = std::env::var("LEAGUE_LEDGER").expect("the league names a ledger");
    Router::new().fallback(charge).with_state(App::with_ledger(ledger.into()))
}

async fn charge(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, 8 << 20).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    match app.handle(http::Request::from_parts(parts, body)).await {
        Ok(reply) => reply.map(Body::new),
        Err(broken) => panic!("the charge ended without an answer: {broken}"),
    }
}

/// Serves it where the league said.
///
/// # Errors
/// When the port cannot be had.
///
/// # Panics
/// Without `LEAGUE_PORT`.
pub async fn serve(app: Router) -> io::Result<()> {
    let port = std::env::var("LEAGUE_PORT").expect("the league names a port");
    axum::serve(TcpListener::bind(format!("127.0.0.1:{port}")).await?, app).await
}
