//! `POST /v1/keys/ID/reconcile`: the upstream is asked now what became of a key in doubt.

use http::StatusCode;
use semel::core::RecordId;
use semel::engine::{Engine, Reconciled, Reconciler};
use semel::http::rfc3339;
use serde_json::{Value, json};

use super::access::Who;
use super::audit::Audit;
use super::keys::noted;
use super::problem::{Told, refused, store_failed};
use super::render;

/// Asks, once it is noted that somebody wants it: it may settle or release the key.
pub(super) async fn ask(
    engine: &Engine,
    reconciler: Option<&Reconciler>,
    audit: &Audit,
    who: &Who,
    id: RecordId,
) -> Told {
    let asked = noted(engine, audit, who, id, "reconcile".to_owned(), Value::Null).await;
    if let Err(error) = asked {
        let why = format!("nothing was done, for it could not be noted: {error}");
        return refused(StatusCode::SERVICE_UNAVAILABLE, why);
    }
    let came = match reconciler {
        Some(reconciler) => reconciler.ask(id).await,
        None => Ok(None),
    };
    let told = match came {
        Ok(came) => told(engine, id, came).await,
        Err(error) => store_failed(&error),
    };
    let ended = json!({ "http": told.0.as_u16(), "why": told.1.get("detail") });
    let ended = noted(engine, audit, who, id, "reconcile-ended".to_owned(), ended).await;
    if let Err(error) = ended {
        tracing::error!(%error, "the end of an act could not be noted");
    }
    told
}

async fn told(engine: &Engine, id: RecordId, came: Option<Reconciled>) -> Told {
    let done = match came {
        Some(Reconciled::Settled) => "settled by what the upstream knows of it",
        Some(Reconciled::Released) => "released: the upstream knows of no such operation",
        other => return refused(StatusCode::CONFLICT, why(other)),
    };
    let record = match engine.show(id).await {
        Ok(Some(record)) => render::record(&id, &record, engine.secret()),
        Ok(None) | Err(_) => Value::Null,
    };
    (StatusCode::OK, json!({ "done": done, "record": record }))
}

/// Why it is as it was.
fn why(came: Option<Reconciled>) -> String {
    match came {
        Some(Reconciled::TooSoon(from)) => {
            let from = rfc3339(from);
            format!(
                "nothing was found, and that proves nothing before {from}: until then the request may still be under way"
            )
        }
        Some(Reconciled::NoProof) => "nothing was found, and that proves nothing: the route's look-up is not declared consistent (`reconcile.consistent`)".to_owned(),
        Some(Reconciled::Unknown) => "the look-up said nothing certain; the server's log tells what came of it".to_owned(),
        Some(Reconciled::Changed) => "somebody else changed the key meanwhile: ask again".to_owned(),
        Some(Reconciled::NotInDoubt) => "the key is not in doubt".to_owned(),
        Some(Reconciled::OtherRoute | Reconciled::Settled | Reconciled::Released) | None => {
            "no look-up is for this key: its route names none, or one that needs the caller's key, or the key was claimed under other routes than today's; find out and resolve it".to_owned()
        }
    }
}
