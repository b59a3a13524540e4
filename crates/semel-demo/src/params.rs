//! The parameters of a request, whichever way they were encoded, and the refusals by name.

use std::collections::BTreeMap;

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::form;

/// The most pairs of a charge's metadata, and the most characters of a name and of a value.
const METADATA: (usize, usize, usize) = (50, 40, 500);

/// What a body said: a form's leaves are text, JSON's may be numbers too.
#[derive(Debug)]
pub(crate) struct Params(Map<String, Value>);

impl Params {
    fn read(media_type: Option<&str>, body: &[u8]) -> Result<Self, ApiError> {
        let essence = media_type.map(|m| m.split(';').next().unwrap_or_default().trim());
        match essence.map(str::to_ascii_lowercase).as_deref() {
            None if body.is_empty() => Ok(Self(Map::new())),
            Some("application/x-www-form-urlencoded") => Ok(Self(form::parse(body)?)),
            Some("application/json") => match serde_json::from_slice(body) {
                Ok(Value::Object(members)) => Ok(Self(members)),
                Ok(_) => Err(ApiError::Json("it is another kind of value".into())),
                Err(error) => Err(ApiError::Json(error.to_string())),
            },
            _ => Err(ApiError::MediaType),
        }
    }

    /// A query, which has the form of a form.
    pub(crate) fn query(query: &str) -> Result<Self, ApiError> {
        Ok(Self(form::parse(query.as_bytes())?))
    }

    /// Refuses every name that is not listed: a filter that is misspelt must not list everything.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), ApiError> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(ApiError::ParamUnknown(name.clone())),
            None => Ok(()),
        }
    }

    /// Absent, null and an empty text are one: SDKs send the empty text to unset a value.
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null() && value.as_str() != Some(""))
    }

    pub(crate) fn text(&self, name: &'static str) -> Result<Option<String>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(invalid(name, "it must be text")),
        }
    }

    /// A whole number: digits in a form; digits or a number without fraction or exponent in JSON.
    pub(crate) fn whole(&self, name: &'static str) -> Result<Option<i64>, ApiError> {
        let number = match self.get(name) {
            None => return Ok(None),
            Some(Value::String(text)) if text.bytes().all(|b| b.is_ascii_digit() || b == b'-') => {
                text.parse().ok()
            }
            Some(value) => value.as_i64(),
        };
        number.map(Some).ok_or_else(|| invalid(name, "it must be a whole number"))
    }

    pub(crate) fn yes_or_no(&self, name: &'static str) -> Result<Option<bool>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(Value::String(text)) if text == "true" => Ok(Some(true)),
            Some(Value::String(text)) if text == "false" => Ok(Some(false)),
            Some(_) => Err(invalid(name, "it must be true or false")),
        }
    }

    /// A group or a list, as it came.
    pub(crate) fn group(&self, name: &'static str) -> Result<Option<Value>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some(group @ Value::Object(_)) => Ok(Some(group.clone())),
            Some(_) => Err(invalid(name, "it must be a group of values")),
        }
    }

    pub(crate) fn metadata(&self) -> Result<BTreeMap<String, String>, ApiError> {
        let mut pairs = BTreeMap::new();
        let mut take = |name: &str, value: &Value| {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(value) => value.to_string(),
                _ => return Err(invalid(&format!("metadata[{name}]"), "it must be text")),
            };
            if name.chars().count() > METADATA.1 || text.chars().count() > METADATA.2 {
                let wants = "a name has at most 40 characters and a value 500";
                return Err(invalid(&format!("metadata[{name}]"), wants));
            }
            pairs.insert(name.to_owned(), text);
            Ok(())
        };
        match self.get("metadata") {
            None => {}
            Some(Value::Object(group)) => {
                group.iter().try_for_each(|(name, value)| take(name, value))?;
            }
            // Names 0, 1, 2 … look like a list, and are names here.
            Some(Value::Array(list)) => {
                list.iter().enumerate().try_for_each(|(at, value)| take(&at.to_string(), value))?;
            }
            Some(_) => return Err(invalid("metadata", "it must be a group of pairs")),
        }
        if pairs.len() > METADATA.0 {
            return Err(invalid("metadata", "it has at most 50 pairs"));
        }
        Ok(pairs)
    }
}

pub(crate) fn invalid(param: &str, wants: &'static str) -> ApiError {
    ApiError::ParamInvalid { param: param.to_owned(), wants }
}

impl<S: Send + Sync> FromRequest<S> for Params {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let media_type = request.headers().get(CONTENT_TYPE);
        let media_type = media_type.map(|m| m.to_str().unwrap_or_default().to_owned());
        let body = Bytes::from_request(request, state).await.map_err(|_| ApiError::Body)?;
        Self::read(media_type.as_deref(), &body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Option<&str> = Some("application/x-www-form-urlencoded; charset=utf-8");
    const JSON: Option<&str> = Some("application/json");

    fn read(media_type: Option<&str>, body: &str) -> Params {
        Params::read(media_type, body.as_bytes()).unwrap()
    }

    #[test]
    fn both_encodings_say_the_same() {
        let form = "amount=2000&currency=usd&metadata[n]=7&capture=true&shipping[name]=x";
        let json = r#"{"amount":2000,"currency":"usd","metadata":{"n":7},"capture":true,"shipping":{"name":"x"}}"#;
        for params in [read(FORM, form), read(JSON, json)] {
            assert_eq!(params.whole("amount").unwrap(), Some(2000));
            assert_eq!(params.text("currency").unwrap().as_deref(), Some("usd"));
            assert_eq!(params.metadata().unwrap()["n"], "7");
            assert_eq!(params.yes_or_no("capture").unwrap(), Some(true));
            assert_eq!(params.group("shipping").unwrap().unwrap()["name"], "x");
            assert_eq!(params.text("source").unwrap(), None);
        }
    }

    #[test]
    fn an_amount_is_never_rounded() {
        for body in ["10.5", "1e3", "2000.0", "99999999999999999999", "true", "[1]"] {
            let params = read(JSON, &format!(r#"{{"amount":{body}}}"#));
            assert!(params.whole("amount").is_err(), "{body}");
        }
        for body in ["10.5", "1e3", "+5", " 5", "5%20", "0x10", "--5"] {
            let params = read(FORM, &format!("amount={body}"));
            assert!(params.whole("amount").is_err(), "{body}");
        }
        assert_eq!(read(FORM, "amount=-5").whole("amount").unwrap(), Some(-5));
    }

    #[test]
    fn metadata_is_flat_bounded_text() {
        assert_eq!(read(FORM, "metadata[0]=x").metadata().unwrap()["0"], "x");
        assert!(read(FORM, "metadata[a][b]=x").metadata().is_err());
        assert!(read(FORM, "metadata=x").metadata().is_err());
        let name = "n".repeat(41);
        assert!(read(FORM, &format!("metadata[{name}]=x")).metadata().is_err());
        let value = "v".repeat(501);
        assert!(read(FORM, &format!("metadata[a]={value}")).metadata().is_err());
        let many: String = (0..51).map(|i| format!("metadata[k{i}]=x&")).collect();
        assert!(read(FORM, &many).metadata().is_err());
    }

    #[test]
    fn a_body_that_cannot_be_read_is_refused() {
        for (media_type, body) in [
            (None, "amount=1"),
            (Some("text/plain"), "amount=1"),
            (JSON, "[1]"),
            (JSON, "{"),
            (FORM, "a=1&a=2"),
        ] {
            assert!(Params::read(media_type, body.as_bytes()).is_err(), "{media_type:?} {body}");
        }
        assert!(Params::read(None, b"").is_ok());
    }

    #[test]
    fn a_misspelt_filter_is_refused() {
        let params = Params::query("limit=3&idempotncy_key=x").unwrap();
        assert!(params.only(&["limit", "idempotncy_key"]).is_ok());
        let refused = params.only(&["limit", "idempotency_key"]);
        assert!(matches!(refused, Err(ApiError::ParamUnknown(name)) if name == "idempotncy_key"));
    }
}
