//! The routes under `/v1`, and the step from a request to the books and back.

use axum::Router;
use axum::extract::{Path, RawQuery, Request, State};
use axum::response::Response;
use axum::routing::{delete, get, post};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::account::Caller;
use crate::charge::{Currency, NewCharge, NewRefund, Payer};
use crate::error::ApiError;
use crate::ledger::{Ledger, LedgerError, check_amount};
use crate::params::{Params, invalid};
use crate::trouble::{Target, Troubles};
use crate::{playground, reply, switches};

/// The card that no bank lets pay.
const DECLINED: &str = "tok_chargeDeclined";

/// What every handler sees.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) ledger: Ledger,
    pub(crate) troubles: Troubles,
}

pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/v1/charges", post(create_charge).get(list_charges))
        .route("/v1/charges/{id}", get(show_charge))
        .route("/v1/refunds", post(create_refund))
        .route("/v1/balance", get(show_balance))
        .route("/_trouble", post(switches::add).get(switches::list).delete(switches::clear))
        .route("/_trouble/{id}", delete(switches::remove))
        .merge(playground::routes())
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_route)
        .with_state(app)
}

async fn create_charge(
    State(app): State<App>,
    Caller(account): Caller,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    let asked = new_charge(&params, idempotency_key(&headers))?;
    let strike = app.troubles.draw(Target::Charges, &asked.metadata);
    strike.before().await?;
    let charge = app.ledger.charge(&account, asked).map_err(about("amount"))?;
    Ok(strike.after(StatusCode::OK, &reply::charge(&charge)).await)
}

fn new_charge(params: &Params, idempotency_key: Option<String>) -> Result<NewCharge, ApiError> {
    let amount = params.whole("amount")?.ok_or(ApiError::ParamMissing("amount"))?;
    check_amount(amount).map_err(about("amount"))?;
    let currency = params.text("currency")?.ok_or(ApiError::ParamMissing("currency"))?;
    let currency = Currency::parse(&currency)
        .ok_or_else(|| invalid("currency", "it must be three letters, such as usd"))?;
    if params.yes_or_no("capture")? == Some(false) {
        return Err(invalid("capture", "this service captures at once: leave it out or send true"));
    }
    let payer = match (params.text("source")?, params.text("customer")?) {
        (Some(source), _) if source == DECLINED => return Err(ApiError::CardDeclined),
        (Some(source), None) => Payer::Source(source),
        (None, Some(customer)) => Payer::Customer(customer),
        (None, None) => return Err(ApiError::ParamMissing("source")),
        (Some(_), Some(_)) => return Err(invalid("source", "send a source or a customer")),
    };
    let (description, metadata) = (params.text("description")?, params.metadata()?);
    let shipping = params.group("shipping")?;
    Ok(NewCharge { amount, currency, payer, description, metadata, shipping, idempotency_key })
}

async fn create_refund(
    State(app): State<App>,
    Caller(account): Caller,
    params: Params,
) -> Result<Response, ApiError> {
    let asked = NewRefund {
        charge: params.text("charge")?.ok_or(ApiError::ParamMissing("charge"))?,
        amount: params.whole("amount")?,
        reason: params.text("reason")?,
        metadata: params.metadata()?,
    };
    let strike = app.troubles.draw(Target::Refunds, &asked.metadata);
    strike.before().await?;
    let refund = app.ledger.refund(&account, asked).map_err(|error| {
        let param = match error {
            LedgerError::NoSuchCharge(_) | LedgerError::AlreadyRefunded(_) => "charge",
            LedgerError::AmountOutOfRange(_) | LedgerError::RefundTooLarge { .. } => "amount",
        };
        about(param)(error)
    })?;
    Ok(strike.after(StatusCode::OK, &reply::refund(&refund)).await)
}

async fn show_charge(
    State(app): State<App>,
    Caller(account): Caller,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let found = app.ledger.find(&account, &id);
    let charge = found.ok_or_else(|| about("id")(LedgerError::NoSuchCharge(id)))?;
    read(&app, reply::charge(&charge)).await
}

async fn list_charges(
    State(app): State<App>,
    Caller(account): Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let params = Params::query(&query.unwrap_or_default())?;
    params.only(&["limit", "starting_after", "idempotency_key"])?;
    let limit = match params.whole("limit")?.map_or(Some(10), |limit| usize::try_from(limit).ok()) {
        Some(limit @ 1..=100) => limit,
        _ => return Err(invalid("limit", "it must be from 1 to 100")),
    };
    let mut charges = app.ledger.charges(&account);
    if let Some(id) = params.text("starting_after")? {
        let at = charges.iter().position(|charge| charge.id == id);
        let at = at.ok_or_else(|| about("starting_after")(LedgerError::NoSuchCharge(id)))?;
        charges.drain(..=at);
    }
    if let Some(key) = params.text("idempotency_key")? {
        let key = Some(unquoted(&key));
        charges.retain(|charge| charge.asked.idempotency_key.as_deref() == key);
    }
    let page: Vec<Value> = charges.iter().take(limit).map(reply::charge).collect();
    read(&app, reply::list("/v1/charges", &page, charges.len() > limit)).await
}

async fn show_balance(
    State(app): State<App>,
    Caller(account): Caller,
) -> Result<Response, ApiError> {
    read(&app, reply::balance(&app.ledger.balance(&account))).await
}

async fn read(app: &App, body: Value) -> Result<Response, ApiError> {
    let strike = app.troubles.draw(Target::Reads, &Default::default());
    strike.before().await?;
    Ok(strike.after(StatusCode::OK, &body).await)
}

async fn no_such_route(request: Request) -> ApiError {
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    ApiError::NoSuchRoute { method, path }
}

fn about(param: &'static str) -> impl FnOnce(LedgerError) -> ApiError {
    move |error| ApiError::Ledger { param, error }
}

fn idempotency_key(headers: &HeaderMap) -> Option<String> {
    let key = headers.get("idempotency-key")?.to_str().ok()?;
    Some(unquoted(key).to_owned())
}

/// RFC 9651 writes a key as a string in quotation marks; a query that looks for it need not.
fn unquoted(key: &str) -> &str {
    key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key)
}
