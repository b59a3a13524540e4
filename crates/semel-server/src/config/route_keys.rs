//! The rules of a route by their names in the file. Bodies and browsers have theirs in
//! [`super::grpc_keys`], [`super::compare_keys`] and [`super::cors_keys`].

use http::Method;
use semel::http::Route;
use semel::http::route::{
    Demand, Forward, KeyFormat, KeySource, Mode, OnWeak, PrincipalSource, Reauthorize, StoreDown,
};
use semel_core::Span;
use semel_core::policy::OnLapse;
use serde_json::json;

use super::key::{Key, bytes, span, texts, word};
use super::{compare_keys, cors_keys, given, grpc_keys, quota_keys, reconcile_keys};
use crate::cli::suggest::nearest;
use crate::cli::values;
use crate::principals;

const MODES: [(&str, Mode); 2] = [("enforce", Mode::Enforce), ("observe", Mode::Observe)];
const DEMANDS: [(&str, Demand); 3] =
    [("required", Demand::Required), ("optional", Demand::Optional), ("off", Demand::Off)];
const FORMATS: [(&str, KeyFormat); 2] = [("any", KeyFormat::Any), ("uuid", KeyFormat::Uuid)];
const WEAK: [(&str, OnWeak); 2] = [("warn", OnWeak::Warn), ("reject", OnWeak::Reject)];
const LAPSES: [(&str, OnLapse); 2] = [("hold", OnLapse::Hold), ("rerun", OnLapse::Rerun)];
const FORWARDS: [(&str, Forward); 2] = [("derived", Forward::Derived), ("caller", Forward::Caller)];
const DOWN: [(&str, StoreDown); 2] = [("refuse", StoreDown::Refuse), ("pass", StoreDown::Pass)];

/// Every rule, in the order in which they are shown.
pub(super) fn all() -> impl Iterator<Item = &'static Key<Route>> {
    KEYS.iter()
        .chain(&TIMES)
        .chain(&grpc_keys::KEYS)
        .chain(&compare_keys::KEYS)
        .chain(&quota_keys::KEYS)
        .chain(&reconcile_keys::KEYS)
        .chain(&cors_keys::KEYS)
}

/// What is asked of a request, and what becomes of it.
const KEYS: [Key<Route>; 15] = [
    Key {
        name: "mode",
        set: |route, given| given.word(&MODES).map(|mode| route.mode = mode),
        get: |route| word(&MODES, &route.mode),
        flag: None,
    },
    Key {
        name: "required",
        set: |route, given| given.word(&DEMANDS).map(|demand| route.demand = demand),
        get: |route| word(&DEMANDS, &route.demand),
        flag: None,
    },
    Key {
        name: "methods",
        set: |route, given| given.methods().map(|methods| route.methods = methods),
        get: |route| texts(&route.methods),
        flag: None,
    },
    Key {
        name: "key_in",
        set: |route, given| given.read(key_source).map(|source| route.key = source),
        get: |route| match &route.key {
            KeySource::Header(name) => json!(format!("header:{name}")),
            KeySource::Body(pointer) => json!(format!("body:{pointer}")),
        },
        flag: None,
    },
    Key {
        name: "key_format",
        set: |route, given| given.word(&FORMATS).map(|format| route.key_format = format),
        get: |route| word(&FORMATS, &route.key_format),
        flag: None,
    },
    Key {
        name: "weak",
        set: |route, given| given.word(&WEAK).map(|weak| route.on_weak = weak),
        get: |route| word(&WEAK, &route.on_weak),
        flag: None,
    },
    Key {
        name: "scope",
        set: |route, given| {
            given.read(values::scope).map(|scope| route.principal = principals::named(&scope))
        },
        get: |route| match &route.principal {
            PrincipalSource::Authorization => json!("authorization"),
            PrincipalSource::Header(name) => json!(format!("header:{name}")),
            PrincipalSource::Verified(verified) => json!(verified.name()),
            PrincipalSource::None | PrincipalSource::Extension => json!("none"),
        },
        flag: Some(|route, args| route.principal = principals::named(&args.scope)),
    },
    Key {
        name: "body_max",
        set: |route, given| given.bytes().map(|max| route.body_max = max),
        get: |route| bytes(route.body_max),
        flag: Some(|route, args| route.body_max = args.keys.body_max),
    },
    Key {
        name: "body_memory_max",
        set: |route, given| given.bytes().map(|max| route.body_memory_max = max),
        get: |route| bytes(route.body_memory_max),
        flag: None,
    },
    Key {
        name: "reply_max",
        set: |route, given| given.bytes().map(|max| route.reply_max = max),
        get: |route| bytes(route.reply_max),
        flag: Some(|route, args| route.reply_max = args.keys.reply_max),
    },
    Key {
        name: "no_effect",
        set: |route, given| given.statuses().map(|statuses| route.no_effect = statuses),
        get: |route| json!(route.no_effect),
        flag: None,
    },
    Key {
        name: "doubt_on",
        set: |route, given| given.statuses().map(|statuses| route.doubt_on = statuses),
        get: |route| json!(route.doubt_on),
        flag: None,
    },
    Key {
        name: "forward",
        set: |route, given| given.word(&FORWARDS).map(|forward| route.forward = forward),
        get: |route| word(&FORWARDS, &route.forward),
        flag: None,
    },
    Key {
        name: "store_down",
        set: |route, given| given.word(&DOWN).map(|down| route.store_down = down),
        get: |route| word(&DOWN, &route.store_down),
        flag: None,
    },
    Key {
        name: "reauthorize",
        set: |route, given| given.read(reauthorize).map(|asked| route.reauthorize = asked),
        get: |route| match &route.reauthorize {
            Some(asked) => json!(format!("{} {}", asked.method, asked.path)),
            None => json!("off"),
        },
        flag: None,
    },
];

/// How long, how often.
const TIMES: [Key<Route>; 11] = [
    Key {
        name: "wait",
        set: |route, given| given.duration().map(|wait| route.wait_max = Span::from(wait)),
        get: |route| span(route.wait_max),
        flag: Some(|route, args| route.wait_max = Span::from(args.keys.wait)),
    },
    Key {
        name: "settle_wait",
        set: |route, given| given.duration().map(|wait| route.settle_wait = Span::from(wait)),
        get: |route| span(route.settle_wait),
        flag: None,
    },
    Key {
        name: "retention",
        set: |route, given| given.span().map(|span| route.policy.retention = span),
        get: |route| span(route.policy.retention),
        flag: Some(|route, args| route.policy.retention = args.keys.retention),
    },
    Key {
        name: "memory",
        set: |route, given| given.span().map(|span| route.policy.memory = span),
        get: |route| span(route.policy.memory),
        flag: Some(|route, args| route.policy.memory = args.keys.memory),
    },
    Key {
        name: "lease",
        set: |route, given| given.duration().map(|lease| route.policy.lease = Span::from(lease)),
        get: |route| span(route.policy.lease),
        flag: Some(|route, args| route.policy.lease = Span::from(args.keys.lease)),
    },
    Key {
        name: "ceiling",
        set: |route, given| given.duration().map(|end| route.policy.ceiling = Span::from(end)),
        get: |route| span(route.policy.ceiling),
        flag: Some(|route, args| route.policy.ceiling = Span::from(args.keys.ceiling)),
    },
    Key {
        name: "on_lapse",
        set: |route, given| given.word(&LAPSES).map(|lapse| route.policy.on_lapse = lapse),
        get: |route| word(&LAPSES, &route.policy.on_lapse),
        flag: None,
    },
    Key {
        name: "attempts_max",
        set: |route, given| given.count(1).map(|max| route.policy.attempts_max = max),
        get: |route| json!(route.policy.attempts_max),
        flag: None,
    },
    Key {
        name: "max_upstream",
        set: |route, given| given.duration().map(|max| route.policy.max_upstream = Span::from(max)),
        get: |route| span(route.policy.max_upstream),
        flag: Some(|route, args| route.policy.max_upstream = Span::from(args.keys.max_upstream)),
    },
    Key {
        name: "pause",
        set: |route, given| given.duration().map(|pause| route.policy.pause = Span::from(pause)),
        get: |route| span(route.policy.pause),
        flag: Some(|route, args| route.policy.pause = Span::from(args.keys.pause)),
    },
    Key {
        name: "skew",
        set: |route, given| given.duration().map(|skew| route.policy.skew = Span::from(skew)),
        get: |route| span(route.policy.skew),
        flag: None,
    },
];

/// `header:NAME` or `body:POINTER`.
fn key_source(given: &str) -> Result<KeySource, String> {
    match given.split_once(':') {
        Some(("header", name)) => given::header(name).map(KeySource::Header),
        Some(("body", pointer)) => Ok(KeySource::Body(pointer.to_owned())),
        Some((kind, rest)) => Err(match nearest(kind, ["header", "body"]) {
            Some(near) => format!("did you mean `{near}:{rest}`?"),
            None => "write header:NAME or body:/POINTER".to_owned(),
        }),
        None if given.starts_with('/') => Err(format!("did you mean `body:{given}`?")),
        None => Err(format!("did you mean `header:{given}`?")),
    }
}

/// `METHOD PATH`, or `off`.
fn reauthorize(given: &str) -> Result<Option<Reauthorize>, String> {
    if given == "off" {
        return Ok(None);
    }
    let Some((method, path)) = given.split_once(' ') else {
        return Err("write a method and a path, like \"GET /me\", or \"off\"".to_owned());
    };
    let method: Method = given::method(method)?;
    Ok(Some(Reauthorize { method, path: path.trim().to_owned() }))
}

/// The keys that a route's error speaks of.
pub(super) fn at_fault(error: &semel::http::route::RouteError) -> &'static [&'static str] {
    use semel::http::route::RouteError as E;
    use semel_core::policy::PolicyError as P;
    match error {
        E::Policy(P::NoLease | P::DeadlineNotBelowLease { .. }) => &["lease"],
        E::Policy(P::CeilingBelowLease { .. }) => &["ceiling", "lease"],
        E::Policy(P::TooShort { what: "retention", .. }) => &["retention"],
        E::Policy(P::TooShort { .. }) => &["memory"],
        E::Policy(P::MemoryBelowRetention { .. }) => &["memory", "retention"],
        E::Policy(P::NoAttempts) => &["attempts_max"],
        E::NoMethods | E::SafeMethod { .. } => &["methods"],
        E::KeyHeader { .. } | E::Pointer { .. } => &["key_in"],
        E::KeyIsPrincipal { .. } => &["key_in", "scope"],
        E::NoBody => &["body_max", "key_in"],
        E::BodyMemory { .. } => &["body_memory_max", "body_max"],
        E::ReplyMax { .. } => &["reply_max"],
        E::Status { .. } | E::ProofAndDoubt { .. } => &["no_effect", "doubt_on"],
        E::SuccessWithoutEffect { .. } => &["no_effect"],
        E::OkWithoutEffect => &["grpc.no_effect"],
        E::GrpcProofAndDoubt { .. } => &["grpc.no_effect", "grpc.doubt_on"],
        E::NoSettleWait => &["settle_wait"],
        E::Reauthorize { .. } => &["reauthorize"],
        E::Reconcile(_) => &["reconcile.lookup", "reconcile.not_found", "reconcile.consistent"],
        E::Cors(_) => &["cors.origins", "cors.credentials"],
        E::Quota { .. } => &["quota.keys", "quota.bytes", "quota.per_second", "quota.in_flight"],
        _ => &[],
    }
}
