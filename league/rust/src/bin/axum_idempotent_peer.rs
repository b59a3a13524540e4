//! `axum-idempotent` 0.6: the layer in its direct key mode, on sessions of `ruts` in memory.
//!
//! As the README's example, but for a route that begins a session, which the layer asks for: the callers
//! log in first.

use std::error::Error;
use std::sync::Arc;

use axum::routing::post;
use axum_idempotent::{IdempotentLayer, IdempotentOptions};
use http::StatusCode;
use ruts::store::Ttl;
use ruts::store::moka::MokaStore;
use ruts::{CookieOptions, Session, SessionLayer};
use tower_cookies::CookieManagerLayer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sessions = Arc::new(MokaStore::builder().build());
    let options = IdempotentOptions::default()
        .use_idempotency_key_header(Some("Idempotency-Key"), false)
        .expire_after(60 * 5);
    let app = semel_league::charges()
        .layer(IdempotentLayer::<MokaStore>::new(options))
        .route("/login", post(log_in))
        .layer(
            SessionLayer::new(sessions).with_cookie_options(CookieOptions::build().name("session")),
        )
        .layer(CookieManagerLayer::new());
    semel_league::serve(app).await?;
    Ok(())
}

async fn log_in(session: Session<MokaStore>) -> StatusCode {
    let Ok(hour) = Ttl::new(3600) else { return StatusCode::INTERNAL_SERVER_ERROR };
    match session.set("user", &"somebody", hour, None).await {
        Ok(_) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
