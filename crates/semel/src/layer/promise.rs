//! What a protected API promises, as it publishes it.

use semel_core::Span;
use semel_core::store::Capabilities;
use serde_json::{Value, json};

use crate::http::Routes;
use crate::http::route::{Demand, KeySource, Mode, PrincipalSource, Reauthorize, Route, StoreDown};

/// What a layer protects: the service's name (keys of one service never meet those of another on the
/// same store) and its routes.
#[derive(Clone, Debug)]
pub struct Protection {
    /// The service's name, part of every record's identity.
    pub service: String,
    /// The rules of its routes.
    pub routes: Routes,
}

impl Protection {
    /// A service with its routes.
    #[must_use]
    pub fn new(service: impl Into<String>, routes: Routes) -> Self {
        Self { service: service.into(), routes }
    }

    /// The answer to `GET /.well-known/idempotency`: a client can read it before its first write.
    #[must_use]
    pub fn published(&self, store: &Capabilities) -> Value {
        let mut routes: Vec<Value> = self
            .routes
            .iter()
            .map(|(pattern, route)| published_route(&pattern.prefix, route, store))
            .collect();
        routes.push(published_route("*", self.routes.default_route(), store));
        json!({
            "service": self.service,
            "compatible_with": "draft-ietf-httpapi-idempotency-key-header-07",
            "inquiry": crate::http::problem::INQUIRY,
            "store": { "kind": store.name, "survives": survives(store) },
            "routes": routes,
        })
    }
}

fn survives(store: &Capabilities) -> Vec<&'static str> {
    [
        (store.survives_process_crash, "process-crash"),
        (store.survives_power_loss, "power-loss"),
        (store.survives_failover, "failover"),
    ]
    .into_iter()
    .filter_map(|(does, what)| does.then_some(what))
    .collect()
}

fn seconds(span: Span) -> Value {
    if span.is_forever() { json!("forever") } else { json!(span.as_ms() / 1000) }
}

fn published_route(path: &str, route: &Route, store: &Capabilities) -> Value {
    if route.demand == Demand::Off {
        return json!({ "path": path, "key": "off" });
    }
    let key = match &route.key {
        KeySource::Header(name) => json!({ "header": name.as_str() }),
        KeySource::Body(pointer) => json!({ "body": pointer }),
    };
    let methods: Vec<&str> = route.methods.iter().map(http::Method::as_str).collect();
    let quota = route.quota.map(|quota| {
        json!({ "keys": quota.keys, "window": seconds(quota.window), "counted_by": "process" })
    });
    json!({
        "path": path,
        "quota": quota,
        "methods": methods,
        "key": if route.demand == Demand::Required { "required" } else { "optional" },
        "key_in": key,
        "principal": match &route.principal {
            PrincipalSource::Authorization => "authorization",
            PrincipalSource::Header(name) => name.as_str(),
            PrincipalSource::Extension => "application",
            PrincipalSource::None => "none",
        },
        "retention": seconds(route.policy.retention),
        "memory": seconds(route.policy.memory),
        "promise": promise(route, store),
        "assumptions": assumptions(route),
    })
}

/// The strongest sentence that holds.
fn promise(route: &Route, store: &Capabilities) -> &'static str {
    if route.mode == Mode::Observe {
        return "none: keys are observed, and every request runs";
    }
    if route.store_down == StoreDown::Pass {
        return "best effort: while the store is down, requests run unprotected";
    }
    if !store.survives_process_crash {
        return "at most one execution, until restart: the store is in memory";
    }
    "at most one execution; an ambiguous end is reported as in doubt, never run again in silence"
}

fn assumptions(route: &Route) -> Vec<String> {
    let mut assumptions = no_effect(route);
    if let Some(Reauthorize { method, path }) = &route.reauthorize {
        assumptions.push(format!(
            "who gets a success from {method} {path} may see the stored replies of its principal"
        ));
    }
    assumptions
}

fn no_effect(route: &Route) -> Vec<String> {
    if route.no_effect.is_empty() {
        return Vec::new();
    }
    let statuses: Vec<String> = route.no_effect.iter().map(u16::to_string).collect();
    vec![format!(
        "a reply with status {} is given only before anything happens",
        statuses.join(" or ")
    )]
}
