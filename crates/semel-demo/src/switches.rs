//! `/_trouble`: the switches of [`Troubles`] over HTTP, as its documentation describes them.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::api::App;
use crate::error::ApiError;
use crate::params::invalid;
use crate::trouble::{Kind, Standing, Target, Trouble, TroubleId};

const MAX_DELAY_MS: u64 = 600_000;

/// What is posted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTrouble {
    kind: Name,
    delay_ms: Option<u64>,
    times: Option<u32>,
    #[serde(default)]
    standing: bool,
    on: Option<On>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Name {
    Slow,
    SlowReply,
    FailBefore,
    FailAfter,
    DropReply,
    Truncate,
    Die,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum On {
    Writes,
    Charges,
    Refunds,
    Reads,
}

/// What is answered.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    id: u64,
    kind: Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u128>,
    on: On,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    struck: u32,
    /// Null: without end.
    left: Option<u32>,
}

impl NewTrouble {
    fn read(self) -> Result<Trouble, ApiError> {
        let delay = match (self.kind, self.delay_ms) {
            (Name::Slow | Name::SlowReply, None) => Err(ApiError::ParamMissing("delay_ms")),
            (Name::Slow | Name::SlowReply, Some(ms)) if ms <= MAX_DELAY_MS => {
                Ok(Duration::from_millis(ms))
            }
            (Name::Slow | Name::SlowReply, Some(_)) => {
                Err(invalid("delay_ms", "it is at most 600000"))
            }
            (_, None) => Ok(Duration::ZERO),
            (_, Some(_)) => Err(invalid("delay_ms", "it goes with slow and slow_reply")),
        }?;
        let times = match (self.times, self.standing) {
            (None, true) => None,
            (times, false) => Some(times.unwrap_or(1)),
            (Some(_), true) => return Err(invalid("times", "it excludes standing")),
        };
        let kind = match self.kind {
            Name::Slow => Kind::Slow(delay),
            Name::SlowReply => Kind::SlowReply(delay),
            Name::FailBefore => Kind::FailBefore,
            Name::FailAfter => Kind::FailAfter,
            Name::DropReply => Kind::DropReply,
            Name::Truncate => Kind::Truncate,
            Name::Die => Kind::Die,
        };
        let on = match self.on.unwrap_or(On::Writes) {
            On::Writes => Target::Writes,
            On::Charges => Target::Charges,
            On::Refunds => Target::Refunds,
            On::Reads => Target::Reads,
        };
        Ok(Trouble { kind, times, on, metadata: self.metadata })
    }
}

impl From<Standing> for Shown {
    fn from(standing: Standing) -> Self {
        let left = standing.left();
        let Standing { id, trouble, struck } = standing;
        let (kind, delay) = match trouble.kind {
            Kind::Slow(delay) => (Name::Slow, Some(delay)),
            Kind::SlowReply(delay) => (Name::SlowReply, Some(delay)),
            Kind::FailBefore => (Name::FailBefore, None),
            Kind::FailAfter => (Name::FailAfter, None),
            Kind::DropReply => (Name::DropReply, None),
            Kind::Truncate => (Name::Truncate, None),
            Kind::Die => (Name::Die, None),
        };
        let on = match trouble.on {
            Target::Writes => On::Writes,
            Target::Charges => On::Charges,
            Target::Refunds => On::Refunds,
            Target::Reads => On::Reads,
        };
        let delay_ms = delay.map(|d| d.as_millis());
        Self { id: id.0, kind, delay_ms, on, metadata: trouble.metadata, struck, left }
    }
}

pub(crate) async fn add(
    State(app): State<App>,
    body: Result<Json<NewTrouble>, JsonRejection>,
) -> Result<(StatusCode, Json<Shown>), ApiError> {
    // Only `application/json` is taken, which a page of another origin cannot send unasked.
    let Json(new) = body.map_err(|refused| ApiError::Json(refused.body_text()))?;
    let trouble = new.read()?;
    let id = app.troubles.add(trouble.clone());
    Ok((StatusCode::CREATED, Json(Standing { id, trouble, struck: 0 }.into())))
}

pub(crate) async fn list(State(app): State<App>) -> Json<Vec<Shown>> {
    Json(app.troubles.list().into_iter().map(Shown::from).collect())
}

pub(crate) async fn clear(State(app): State<App>) -> StatusCode {
    app.troubles.clear();
    StatusCode::NO_CONTENT
}

pub(crate) async fn remove(
    State(app): State<App>,
    Path(id): Path<u64>,
) -> Result<StatusCode, ApiError> {
    match app.troubles.remove(TroubleId(id)) {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ApiError::NoSuchTrouble(id)),
    }
}
