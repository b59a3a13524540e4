//! The playground: one page that asks "How often was the customer charged?", its files, and the
//! count that answers it.
//!
//! The page talks to the origin that served it. Behind a gateway that is the gateway, so the page's
//! keyed requests are protected and it can count what happens to those without a key.

use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use serde::Serialize;

use crate::api::App;
use crate::charge::Charge;
use crate::error::ApiError;
use crate::ledger::Ledger;
use crate::params::Params;

const PAGE: &str = include_str!("../playground/playground.html");

/// Name, media type and text of every other file.
const FILES: [(&str, &str, &str); 3] = [
    ("tokens.css", "text/css; charset=utf-8", include_str!("../playground/tokens.css")),
    ("playground.css", "text/css; charset=utf-8", include_str!("../playground/playground.css")),
    (
        "playground.js",
        "text/javascript; charset=utf-8",
        include_str!("../playground/playground.js"),
    ),
];

/// How often the customer of one run was charged.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Counts {
    run: String,
    /// Charges whose metadata say `lane` = `with`.
    with: usize,
    /// Charges whose metadata say `lane` = `without`.
    without: usize,
}

impl Counts {
    fn of(ledger: &Ledger, run: String) -> Self {
        let count = |lane: &str| {
            ledger.times_charged(|Charge { asked, .. }| {
                let pair = |name: &str| asked.metadata.get(name).map(String::as_str);
                pair("run") == Some(run.as_str()) && pair("lane") == Some(lane)
            })
        };
        let (with, without) = (count("with"), count("without"));
        Self { run, with, without }
    }
}

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(page))
        .route("/playground/state", get(state))
        .route("/playground/{file}", get(file))
}

async fn page() -> Response {
    served("text/html; charset=utf-8", PAGE)
}

async fn file(Path(name): Path<String>) -> Result<Response, ApiError> {
    match FILES.iter().find(|(file, ..)| *file == name) {
        Some((_, media_type, text)) => Ok(served(media_type, text)),
        None => {
            let path = format!("/playground/{name}");
            Err(ApiError::NoSuchRoute { method: "GET".into(), path })
        }
    }
}

async fn state(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<impl IntoResponse, ApiError> {
    let params = Params::query(&query.unwrap_or_default())?;
    params.only(&["run"])?;
    let run = params.text("run")?.ok_or(ApiError::ParamMissing("run"))?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(Counts::of(&app.ledger, run))))
}

fn served(media_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, media_type),
        // A rebuilt binary must not meet the script of the one before it.
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'",
        ),
    ];
    (headers, text).into_response()
}
