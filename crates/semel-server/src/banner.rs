//! What is said at the start and at the end, on stderr: what is protected, what is promised, what is
//! assumed.

use std::net::SocketAddr;

use semel::engine::Drained;
use semel::http::Route;
use semel::http::route::{KeySource, Mode, PrincipalSource, Reauthorize};
use serde_json::Value;

use crate::config::Settings;

/// The lines at the start. `published` is what the API itself tells of its promise.
pub(crate) fn lines(
    settings: &Settings,
    published: &Value,
    made: &[String],
    addr: SocketAddr,
    admin: SocketAddr,
) -> Vec<String> {
    let args = &settings.args;
    let mut lines: Vec<String> = made.iter().map(|what| format!("made {what}")).collect();
    let upstream = args.upstream.as_ref().map(ToString::to_string).unwrap_or_default();
    lines.push(format!("semel protects {upstream} as service `{}`", args.service));
    let told = published["routes"].as_array().into_iter().flatten();
    for (resolved, told) in settings.routes.iter().chain([&settings.default]).zip(told) {
        lines.extend(route(&resolved.route, told));
    }
    lines.push(format!("  store     {}", args.store));
    if !settings.file.is_empty() {
        lines.push(format!("  settings  {}", settings.file));
    }
    let scheme = if args.callers.tls_certificate.is_some() { "https" } else { "http" };
    lines.push(format!("listening on {scheme}://{addr}"));
    lines.push(format!("admin on http://{admin}"));
    lines
}

/// What is told of one route.
fn route(route: &Route, told: &Value) -> Vec<String> {
    let path = told["path"].as_str().unwrap_or("*");
    let Some(promise) = told["promise"].as_str() else {
        let matched = joined(&told["for_methods"]);
        let matched = if matched.is_empty() { "all methods".to_owned() } else { matched };
        return vec![format!("  route     {path} ({matched}): keys are ignored")];
    };
    let key = told["key"].as_str().unwrap_or_default();
    let place = match &route.key {
        KeySource::Header(name) => format!("header `{name}`"),
        KeySource::Body(pointer) => format!("JSON body at `{pointer}`"),
    };
    let methods = joined(&told["methods"]);
    let mut lines = vec![
        format!("  route     {path} ({methods}): key {key}, in {place}"),
        format!("  promise   {promise}"),
    ];
    for assumed in told["assumptions"].as_array().into_iter().flatten() {
        lines.push(format!("  assuming  {}", assumed.as_str().unwrap_or_default()));
    }
    lines.push(format!("  keys of   {}", scope(&route.principal)));
    if route.mode == Mode::Enforce {
        lines.push(format!("  replays   {}", replays(route)));
    }
    lines
}

fn joined(methods: &Value) -> String {
    let methods: Vec<&str> =
        methods.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    methods.join(", ")
}

/// The gateway passes credentials on and does not check them.
fn replays(route: &Route) -> String {
    match &route.reauthorize {
        Some(Reauthorize { method, path }) => format!(
            "go to whoever shows the same principal and key, once {method} {path} answers it with success"
        ),
        None => {
            "go to whoever shows the same principal and key, without asking the upstream".to_owned()
        }
    }
}

fn scope(principal: &PrincipalSource) -> String {
    match principal {
        PrincipalSource::Authorization => {
            "each Bearer or Basic credential (a rotated one begins anew; see --scope)".to_owned()
        }
        PrincipalSource::Header(name) => {
            format!("each value of `{name}`, which callers must not choose")
        }
        PrincipalSource::Verified(verified) => {
            format!(
                "each `{}` that is verified; a new credential of the same one is the same",
                verified.name()
            )
        }
        PrincipalSource::Extension | PrincipalSource::None => {
            "everybody together: for an API with one caller only".to_owned()
        }
    }
}

/// The line at the end.
pub(crate) fn drained(drained: Drained) -> String {
    match (drained.in_doubt, drained.unfinished) {
        (0, 0) => "stopped: all that was under way has finished".to_owned(),
        (in_doubt, 0) => format!("stopped: {in_doubt} executions were cut off and are in doubt"),
        (in_doubt, unfinished) => format!(
            "stopped: {in_doubt} executions were cut off and are in doubt; of {unfinished} the store \
             took no word, they are in doubt once their leases end"
        ),
    }
}
