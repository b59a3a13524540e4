//! `reconcile.*`: what the upstream is asked about a key in doubt. Without `reconcile.lookup`, nothing.

use std::path::PathBuf;

use http::Method;
use semel::http::Route;
use semel::http::reconcile::{Reconcile, headers_of};
use semel_core::fingerprint::Pointer;
use serde_json::json;

use super::given;
use super::key::Key;

pub(super) const KEYS: [Key<Route>; 5] = [
    Key {
        name: "reconcile.lookup",
        set: |route, given| {
            let (method, target) = given.read(lookup)?;
            let reconcile = of(route);
            (reconcile.method, reconcile.target) = (method, target);
            Ok(())
        },
        get: |route| match route.reconcile.as_ref().filter(|r| !r.target.is_empty()) {
            Some(asked) => json!(format!("{} {}", asked.method, asked.target)),
            None => json!("off"),
        },
        flag: None,
    },
    Key {
        name: "reconcile.found",
        set: |route, given| {
            let pointer: Pointer = given.read(|text| text.parse().map_err(|e| format!("{e}")))?;
            of(route).found = Some(pointer).filter(|pointer| pointer.tokens().next().is_some());
            Ok(())
        },
        get: |route| {
            let found = route.reconcile.as_ref().and_then(|asked| asked.found.as_ref());
            json!(found.map(ToString::to_string).unwrap_or_default())
        },
        flag: None,
    },
    Key {
        name: "reconcile.not_found",
        set: |route, given| given.statuses().map(|statuses| of(route).not_found = statuses),
        get: |route| json!(route.reconcile.as_ref().map_or(&[][..], |asked| &asked.not_found)),
        flag: None,
    },
    Key {
        name: "reconcile.consistent",
        set: |route, given| given.switch().map(|is| of(route).consistent = is),
        get: |route| json!(route.reconcile.as_ref().is_some_and(|asked| asked.consistent)),
        flag: None,
    },
    Key {
        name: "reconcile.header_file",
        set: |route, given| {
            let path = given.text()?;
            of(route).header_file = match path {
                "" => None,
                path => Some(readable(path)?),
            };
            Ok(())
        },
        get: |route| {
            let file = route.reconcile.as_ref().and_then(|asked| asked.header_file.as_ref());
            json!(file.map(|path| path.display().to_string()).unwrap_or_default())
        },
        flag: None,
    },
];

/// The route's look-up; one that asks nothing until its target is named.
fn of(route: &mut Route) -> &mut Reconcile {
    route.reconcile.get_or_insert_with(|| Reconcile::get(""))
}

/// Takes a look-up away that asks nothing.
pub(super) fn finish(route: &mut Route) {
    if route.reconcile.as_ref().is_some_and(|asked| asked.target.is_empty()) {
        route.reconcile = None;
    }
}

/// `METHOD PATH`, or `off`.
fn lookup(given: &str) -> Result<(Method, String), String> {
    if given == "off" {
        return Ok((Method::GET, String::new()));
    }
    let Some((method, target)) = given.split_once(' ') else {
        let form = "write a method and a path, like \"GET /charges?idempotency_key={derived_key}\", or \"off\"";
        return Err(form.to_owned());
    };
    Ok((given::method(method)?, target.trim().to_owned()))
}

/// A file of headers that can be read now: it will be read again at each look-up.
fn readable(path: &str) -> Result<PathBuf, String> {
    let text =
        std::fs::read_to_string(path).map_err(|e| format!("\"{path}\" cannot be read: {e}"))?;
    headers_of(&text).map_err(|why| format!("\"{path}\", {why}"))?;
    Ok(PathBuf::from(path))
}
