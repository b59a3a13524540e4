//! The paths of the admin listener: what each is, and who may use it. The OpenAPI document says the same,
//! and a test compares the two.

use http::Method;

use super::tokens::Role;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Live,
    Ready,
    OpenApi,
    Metrics,
    Store,
    Policy,
    List,
    Find,
    Show,
    Resolve,
    Reconcile,
    Void,
    Erase,
}

/// One path under one method.
pub(super) struct Endpoint {
    pub(super) asked: Asked,
    pub(super) method: Method,
    /// `{id}` stands for any segment.
    pub(super) path: &'static str,
    /// Who may; `None` for everybody.
    pub(super) role: Option<Role>,
}

const fn get(path: &'static str, role: Option<Role>, asked: Asked) -> Endpoint {
    Endpoint { asked, method: Method::GET, path, role }
}

const fn post(path: &'static str, role: Role, asked: Asked) -> Endpoint {
    Endpoint { asked, method: Method::POST, path, role: Some(role) }
}

const LOOK: Option<Role> = Some(Role::Metadata);

/// All of them.
pub(super) static ENDPOINTS: [Endpoint; 13] = [
    get("/health/live", None, Asked::Live),
    get("/health/ready", None, Asked::Ready),
    get("/openapi.json", None, Asked::OpenApi),
    get("/metrics", LOOK, Asked::Metrics),
    get("/v1/store", LOOK, Asked::Store),
    get("/v1/policy", LOOK, Asked::Policy),
    get("/v1/keys", LOOK, Asked::List),
    post("/v1/keys/find", Role::Metadata, Asked::Find),
    get("/v1/keys/{id}", LOOK, Asked::Show),
    post("/v1/keys/{id}/resolve", Role::Resolve, Asked::Resolve),
    post("/v1/keys/{id}/reconcile", Role::Resolve, Asked::Reconcile),
    post("/v1/keys/{id}/void", Role::Resolve, Asked::Void),
    post("/v1/keys/{id}/erase", Role::Purge, Asked::Erase),
];

/// What stands at a path.
pub(super) enum Found {
    /// This, with the segment that stands for `{id}`, if there is one.
    Endpoint(&'static Endpoint, String),
    /// Something, under these methods only.
    Other(String),
    /// Nothing.
    Nothing,
}

/// What a request asks for. HEAD is GET without the body. A path that stands there as it is counts before
/// one with `{id}` in it: `/v1/keys/find` is no id (OpenAPI 3.1 §4.8.8.2).
pub(super) fn find(method: &Method, path: &str) -> Found {
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    let as_it_is = ENDPOINTS.iter().any(|endpoint| endpoint.path == path);
    let mut others: Vec<&str> = Vec::new();
    for endpoint in ENDPOINTS.iter().filter(|endpoint| !as_it_is || endpoint.path == path) {
        let Some(id) = fits(endpoint.path, path) else { continue };
        if endpoint.method == *method {
            return Found::Endpoint(endpoint, id.to_owned());
        }
        others.push(if endpoint.method == Method::GET { "GET, HEAD" } else { "POST" });
    }
    if others.is_empty() { Found::Nothing } else { Found::Other(others.join(", ")) }
}

/// The segment in place of `{id}`, or nothing in it; `None` where the path is another.
fn fits<'a>(template: &str, path: &'a str) -> Option<&'a str> {
    let (mut templates, mut segments) = (template.split('/'), path.split('/'));
    let mut id = "";
    loop {
        match (templates.next(), segments.next()) {
            (None, None) => return Some(id),
            (Some("{id}"), Some(segment)) if !segment.is_empty() => id = segment,
            (Some(template), Some(segment)) if template == segment => {}
            (Some(_) | None, Some(_)) | (Some(_), None) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;
    use crate::admin::openapi::DOCUMENT;

    #[test]
    fn paths_and_methods_are_told_apart() {
        let at = |method: &str, path: &str| match find(&method.parse().unwrap(), path) {
            Found::Endpoint(endpoint, id) => format!("{:?} {id}", endpoint.asked),
            Found::Other(allowed) => allowed,
            Found::Nothing => "nothing".to_owned(),
        };
        assert_eq!(at("GET", "/v1/keys/ab"), "Show ab");
        assert_eq!(at("HEAD", "/health/ready"), "Ready ");
        assert_eq!(at("POST", "/v1/keys/ab/void"), "Void ab");
        assert_eq!(at("POST", "/v1/keys/find"), "Find ");
        assert_eq!(at("GET", "/v1/keys/find"), "POST");
        assert_eq!(at("TRACE", "/metrics"), "GET, HEAD");
        for path in ["/", "/v1/keys/", "/v1/keys/ab/", "/v1/keys//void", "/v1/keys/ab/burn"] {
            assert_eq!(at("GET", path), "nothing", "{path}");
        }
    }

    /// method, path, role: as they are served, and as the document has them.
    #[test]
    fn the_document_and_the_paths_are_the_same() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let mut written = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let security = operation.get("security").unwrap_or(&document["security"]);
                let role = security.as_array().unwrap().first().map(|one| one["bearer"][0].clone());
                written.push((method.to_uppercase(), path.clone(), role.unwrap_or_default()));
                assert!(operation["operationId"].is_string(), "{method} {path}");
                let answers = operation["responses"].as_object().unwrap();
                let acts = method == "post";
                assert!(answers.contains_key("403"), "{method} {path}: what a page is told");
                assert_eq!(answers.contains_key("415"), acts, "{method} {path}");
                assert_eq!(operation.get("requestBody").is_some(), acts, "{method} {path}");
            }
        }
        let served = ENDPOINTS.iter().map(|endpoint| {
            let role = endpoint.role.map_or(Value::Null, |role| json!(role.name()));
            (endpoint.method.to_string(), endpoint.path.to_owned(), role)
        });
        let key = |(method, path, role): (String, String, Value)| {
            format!("{method} {path} {}", role.as_str().unwrap_or("-"))
        };
        let written: BTreeSet<String> = written.into_iter().map(key).collect();
        assert_eq!(written, served.map(key).collect());
    }
}
