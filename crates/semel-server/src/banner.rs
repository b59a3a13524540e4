//! What is said at the start and at the end, on stderr: what is protected, what is promised, what is
//! assumed.

use std::net::SocketAddr;

use semel::engine::Drained;
use serde_json::Value;

use crate::cli::serve::ServeArgs;
use crate::cli::values::Scope;

/// The gateway passes credentials on and does not check them.
const REPLAYS: &str =
    "  replays   go to whoever shows the same principal and key, without asking the upstream";

/// The lines at the start. `published` is what the API itself tells of its promise.
pub(crate) fn lines(
    args: &ServeArgs,
    published: &Value,
    made: &[String],
    addr: SocketAddr,
    admin: SocketAddr,
) -> Vec<String> {
    let mut lines: Vec<String> = made.iter().map(|what| format!("made {what}")).collect();
    lines.push(format!("semel protects {} as service `{}`", args.upstream, args.service));
    for route in published["routes"].as_array().into_iter().flatten() {
        let methods: Vec<&str> =
            route["methods"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let path = route["path"].as_str().unwrap_or("*");
        lines.push(format!("  route     {path} ({})", methods.join(", ")));
        if let Some(promise) = route["promise"].as_str() {
            lines.push(format!("  promise   {promise}"));
        }
        for assumed in route["assumptions"].as_array().into_iter().flatten() {
            lines.push(format!("  assuming  {}", assumed.as_str().unwrap_or_default()));
        }
    }
    lines.push(format!("  keys of   {}", scope(&args.scope)));
    lines.push(REPLAYS.to_owned());
    lines.push(format!("  store     {}", args.store));
    lines.push(format!("listening on http://{addr}"));
    lines.push(format!("admin on http://{admin}"));
    lines
}

fn scope(scope: &Scope) -> String {
    match scope {
        Scope::Authorization => {
            "each Bearer or Basic credential (a rotated one begins anew; see --scope)".to_owned()
        }
        Scope::Header(name) => format!("each value of `{name}`, which callers must not choose"),
        Scope::None => "everybody together: for an API with one caller only".to_owned(),
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
