//! What a protected API promises, as it publishes it.

use http::Method;
use semel_core::Span;
use semel_core::policy::OnLapse;
use semel_core::store::Capabilities;
use serde_json::{Value, json};

use crate::http::Routes;
use crate::http::quota::{PerWindow, Quota};
use crate::http::route::{
    Demand, KeyFormat, KeySource, Mode, OnWeak, PrincipalSource, Reauthorize, Route, StoreDown,
};
use crate::http::routes::Pattern;

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
            .map(|(pattern, route)| published_route(Some(pattern), route, store))
            .collect();
        routes.push(published_route(None, self.routes.default_route(), store));
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

/// `pattern`: which requests the route is for; `None` for all that no other takes.
fn published_route(pattern: Option<&Pattern>, route: &Route, store: &Capabilities) -> Value {
    let path = pattern.map_or("*", |pattern| &pattern.prefix);
    let matched = pattern.filter(|pattern| !pattern.methods.is_empty());
    let matched = matched.map(|pattern| names(&pattern.methods.iter().collect::<Vec<_>>()));
    if route.demand == Demand::Off {
        return json!({ "path": path, "for_methods": matched, "key": "off" });
    }
    let methods = match pattern {
        Some(pattern) => names(&pattern.keyed_methods(route)),
        None => names(&route.methods.iter().collect::<Vec<_>>()),
    };
    let key = match &route.key {
        KeySource::Header(name) => json!({ "header": name.as_str() }),
        KeySource::Body(pointer) => json!({ "body": pointer }),
    };
    let quota = published_quota(&route.quota);
    json!({
        "path": path,
        "for_methods": matched,
        "mode": if route.mode == Mode::Observe { "observe" } else { "enforce" },
        "quota": quota,
        "methods": methods,
        "key": if route.demand == Demand::Required { "required" } else { "optional" },
        "key_in": key,
        "key_format": if route.key_format == KeyFormat::Uuid { "uuid" } else { "any" },
        "weak_keys": if route.on_weak == OnWeak::Reject { "rejected" } else { "warned" },
        "principal": match &route.principal {
            PrincipalSource::Authorization => "authorization",
            PrincipalSource::Header(name) => name.as_str(),
            PrincipalSource::Extension => "application",
            PrincipalSource::Verified(verified) => verified.name(),
            PrincipalSource::None => "none",
        },
        "wait": seconds(route.wait_max),
        "body_max": route.body_max,
        "retention": seconds(route.policy.retention),
        "memory": seconds(route.policy.memory),
        "promise": promise(route, store),
        "assumptions": assumptions(route),
    })
}

/// `null` where nothing is bounded.
fn published_quota(quota: &Quota) -> Value {
    if quota.is_none() {
        return Value::Null;
    }
    let per = |per: Option<PerWindow>| {
        per.map(|PerWindow { most, window }| json!({ "most": most, "window": seconds(window) }))
    };
    json!({
        "keys": per(quota.keys),
        "bytes": per(quota.bytes),
        "per_second": quota.per_second,
        "in_flight": quota.in_flight,
        "counted_by": "process",
    })
}

fn names(methods: &[&Method]) -> Vec<String> {
    methods.iter().map(ToString::to_string).collect()
}

/// Whether a lost execution is run again by itself.
fn reruns(route: &Route) -> bool {
    route.policy.on_lapse == OnLapse::Rerun && route.policy.attempts_max > 1
}

/// The strongest sentence that holds.
fn promise(route: &Route, store: &Capabilities) -> String {
    if route.mode == Mode::Observe {
        return "none: keys are observed, and every request runs".to_owned();
    }
    if route.store_down == StoreDown::Pass {
        return "best effort: while the store is down, requests run unprotected".to_owned();
    }
    let until =
        if store.survives_process_crash { "" } else { ", until restart: the store is in memory" };
    if reruns(route) {
        let most = route.policy.attempts_max;
        return format!(
            "effectively once, where the service behind honours the key that it is sent: what may have been lost is run again under it, {most} times in all at most{until}"
        );
    }
    if until.is_empty() {
        return "at most one execution; an ambiguous end is reported as in doubt, never run again in silence"
            .to_owned();
    }
    format!("at most one execution{until}")
}

fn assumptions(route: &Route) -> Vec<String> {
    if route.mode == Mode::Observe {
        return Vec::new();
    }
    let mut assumptions = no_effect(route);
    if reruns(route) {
        assumptions.push(
            "the service behind has one effect for one key, however often it is sent".to_owned(),
        );
    }
    if let Some(asked) = route.reconcile.as_ref().filter(|asked| asked.consistent) {
        assumptions.push(format!(
            "an operation that {} {} does not find, asked twice after the grace, has not happened",
            asked.method, asked.target
        ));
    }
    if let Some(Reauthorize { method, path }) = &route.reauthorize {
        assumptions.push(format!(
            "who gets a success from {method} {path} may see the stored replies of its principal"
        ));
    }
    assumptions
}

fn no_effect(route: &Route) -> Vec<String> {
    let statuses: Vec<String> = route.no_effect.iter().map(u16::to_string).collect();
    let codes: Vec<String> = route.grpc.no_effect.iter().map(ToString::to_string).collect();
    let assumed = |what: &str, list: &[String]| match list {
        [] => None,
        list => Some(format!("{what} {} is given only before anything happens", list.join(" or "))),
    };
    let http = assumed("a reply with status", &statuses);
    let grpc = assumed("the gRPC status", &codes);
    http.into_iter().chain(grpc).collect()
}
