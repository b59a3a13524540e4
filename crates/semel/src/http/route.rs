//! What a route decides, and which route a request falls under.
//!
//! Plain values with defaults: a layer's are written in code, a gateway's come from its
//! configuration. [`Route::check`] refuses what could never work, before the first request. The path
//! goes on in [`super::extract`].

use std::sync::Arc;

use http::{HeaderName, Method, header};
use semel_core::policy::PolicyError;
use semel_core::{Policy, Span};

use super::problem::RESERVED;
use super::status::IDEMPOTENCY_KEY;

/// Whether requests must, may, or do not bear a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Demand {
    /// No key, no service: 400 `key-missing`.
    Required,
    /// Whoever sends a key is protected.
    #[default]
    Optional,
    /// Keys are ignored.
    Off,
}

/// Where the key is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In this request header.
    Header(HeaderName),
    /// In the JSON body, at this pointer (RFC 6901), such as `/idempotency_key`.
    Body(String),
}

/// What a key may look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyFormat {
    /// Any 1 to 255 bytes of printable ASCII, compared byte for byte.
    #[default]
    Any,
    /// A UUID, for which letter case does not count.
    Uuid,
}

/// What becomes of a key that is easy to guess or likely to be chosen twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnWeak {
    /// It is used, and the caller warned.
    #[default]
    Warn,
    /// 400 `key-weak`.
    Reject,
}

/// Who owns the keys of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PrincipalSource {
    /// Whoever shows this `Authorization`: of the schemes `Bearer` and `Basic` only, as a keyed hash.
    #[default]
    Authorization,
    /// The value of this header, which somebody trustworthy must have set.
    Header(HeaderName),
    /// The [`super::extract::StablePrincipal`] that the application put among the extensions.
    Extension,
    /// Nobody: all callers share their keys. Only for an API with a single caller.
    None,
}

/// Which key the upstream sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forward {
    /// One derived from the record's identity: the same at each attempt, and no use to who steals it.
    #[default]
    Derived,
    /// The caller's own.
    Caller,
}

/// What becomes of a keyed request while the store does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreDown {
    /// 503 `store-unavailable`; nothing runs.
    #[default]
    Refuse,
    /// It runs unprotected. The promise of such a route is published as best effort.
    Pass,
}

/// The rules of one route.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// On which methods keys count. POST and PATCH unless said otherwise.
    pub methods: Vec<Method>,
    /// Whether they must bear one.
    pub demand: Demand,
    /// Where the key is.
    pub key: KeySource,
    /// What it may look like.
    pub key_format: KeyFormat,
    /// What becomes of a weak one.
    pub on_weak: OnWeak,
    /// Whose it is.
    pub principal: PrincipalSource,
    /// How long a duplicate may wait for its original. Default 5 s.
    pub wait_max: Span,
    /// Bytes of a request's body that are kept in memory; beyond, it is spooled. Default 1 MiB.
    pub body_memory_max: u64,
    /// Bytes of a request's body that are read at all. Default 64 MiB.
    pub body_max: u64,
    /// Bytes of a reply's body that are kept for replay. 0 keeps none. Default 1 MiB.
    pub reply_max: u64,
    /// Statuses that the handler gives only before it acts: they release the key.
    pub no_effect: Vec<u16>,
    /// Statuses that leave it open whether the handler's effect happened.
    pub doubt_on: Vec<u16>,
    /// Which key is passed on.
    pub forward: Forward,
    /// What a request gets while the store is down.
    pub store_down: StoreDown,
    /// How long a reply waits for its settle to be durable, before 503 `not-recorded`. Default 5 s.
    pub settle_wait: Span,
    /// The machine's rules.
    pub policy: Policy,
}

impl Default for Route {
    /// A layer's route: the handler is the application's own, so no status proves anything.
    fn default() -> Self {
        Self {
            methods: vec![Method::POST, Method::PATCH],
            demand: Demand::default(),
            key: KeySource::Header(IDEMPOTENCY_KEY),
            key_format: KeyFormat::default(),
            on_weak: OnWeak::default(),
            principal: PrincipalSource::default(),
            wait_max: Span::from_secs(5),
            body_memory_max: 1 << 20,
            body_max: 64 << 20,
            reply_max: 1 << 20,
            no_effect: Vec::new(),
            doubt_on: Vec::new(),
            forward: Forward::default(),
            store_down: StoreDown::default(),
            settle_wait: Span::from_secs(5),
            policy: Policy::default(),
        }
    }
}

/// No reply that is larger is ever kept: it is held in memory whole while it is sealed.
pub const REPLY_LIMIT: u64 = 1 << 30;

/// Why a route could never work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// Bounds of time and attempts.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Keys are asked for on no method.
    #[error(
        "the route lists no methods, so no key would ever count: list some, or set it to `off`"
    )]
    NoMethods,
    /// A method that changes nothing, or makes a tunnel.
    #[error("{method} bears no idempotency key (RFC 9110 §9.2.1): take it off the route's methods")]
    SafeMethod {
        /// As configured.
        method: Method,
    },
    /// A header that has another meaning.
    #[error(
        "the key cannot be read from `{name}`, which has a meaning of its own: name another header"
    )]
    KeyHeader {
        /// As configured.
        name: HeaderName,
    },
    /// One header cannot say both.
    #[error("`{name}` is named as key and as principal: a key must not say whose it is")]
    KeyIsPrincipal {
        /// As configured.
        name: HeaderName,
    },
    /// Not RFC 6901.
    #[error(
        "`{pointer}` is no JSON pointer to a member: begin with `/`, write `~` as `~0` and `/` as `~1`"
    )]
    Pointer {
        /// As configured.
        pointer: String,
    },
    /// No body could be read.
    #[error("the largest body is 0 bytes, so its key could never be read: raise `body_max`")]
    NoBody,
    /// Memory beyond what is read.
    #[error(
        "`body_memory_max` ({memory} bytes) is above `body_max` ({max} bytes): lower it or raise the other"
    )]
    BodyMemory {
        /// As configured.
        memory: u64,
        /// As configured.
        max: u64,
    },
    /// Beyond [`REPLY_LIMIT`].
    #[error("`reply_max` is {max} bytes; no reply above {REPLY_LIMIT} bytes can be kept")]
    ReplyMax {
        /// As configured.
        max: u64,
    },
    /// No such status, or an informational one.
    #[error("{status} is no final HTTP status (200 to 599)")]
    Status {
        /// As configured.
        status: u16,
    },
    /// A success that says that nothing happened.
    #[error(
        "{status} is in `no_effect`, but 2xx and 3xx mean that it happened: its key would run twice"
    )]
    SuccessWithoutEffect {
        /// As configured.
        status: u16,
    },
    /// Proof and doubt at once.
    #[error("{status} is in `no_effect` and in `doubt_on`: it cannot be proof and doubt at once")]
    ProofAndDoubt {
        /// As configured.
        status: u16,
    },
    /// Every reply would come too late.
    #[error(
        "`settle_wait` is zero: every reply would be answered 503 not-recorded; set some seconds"
    )]
    NoSettleWait,
}

impl Route {
    /// A gateway's route: an upstream that Semel did not write. 401 and 429 are taken to be given
    /// before anything happens; 502, 503 and 504 leave it open.
    #[must_use]
    pub fn gateway() -> Self {
        Self { no_effect: vec![401, 429], doubt_on: vec![502, 503, 504], ..Self::default() }
    }

    /// Checks what could never work, for a store whose writes carry `deadline`.
    ///
    /// # Errors
    /// The first thing found, with the value at fault.
    pub fn check(&self, deadline: Span) -> Result<(), RouteError> {
        if self.demand == Demand::Off {
            return Ok(());
        }
        self.policy.check(deadline)?;
        self.check_key()?;
        self.check_sizes()?;
        self.check_statuses()?;
        if self.settle_wait == Span::ZERO {
            return Err(RouteError::NoSettleWait);
        }
        Ok(())
    }

    fn check_key(&self) -> Result<(), RouteError> {
        if self.methods.is_empty() {
            return Err(RouteError::NoMethods);
        }
        let safe = |m: &&Method| m.is_safe() || **m == Method::CONNECT;
        if let Some(method) = self.methods.iter().find(safe) {
            return Err(RouteError::SafeMethod { method: method.clone() });
        }
        match &self.key {
            KeySource::Header(name) if taken(name) => {
                Err(RouteError::KeyHeader { name: name.clone() })
            }
            KeySource::Header(name) if self.principal == PrincipalSource::Header(name.clone()) => {
                Err(RouteError::KeyIsPrincipal { name: name.clone() })
            }
            KeySource::Body(pointer) if !is_pointer(pointer) => {
                Err(RouteError::Pointer { pointer: pointer.clone() })
            }
            KeySource::Body(_) if self.body_max == 0 => Err(RouteError::NoBody),
            KeySource::Header(_) | KeySource::Body(_) => Ok(()),
        }
    }

    fn check_sizes(&self) -> Result<(), RouteError> {
        if self.body_memory_max > self.body_max {
            let (memory, max) = (self.body_memory_max, self.body_max);
            return Err(RouteError::BodyMemory { memory, max });
        }
        if self.reply_max > REPLY_LIMIT {
            return Err(RouteError::ReplyMax { max: self.reply_max });
        }
        Ok(())
    }

    fn check_statuses(&self) -> Result<(), RouteError> {
        for &status in self.no_effect.iter().chain(&self.doubt_on) {
            if !(200..=599).contains(&status) {
                return Err(RouteError::Status { status });
            }
        }
        for &status in &self.no_effect {
            if status < 400 {
                return Err(RouteError::SuccessWithoutEffect { status });
            }
            if self.doubt_on.contains(&status) {
                return Err(RouteError::ProofAndDoubt { status });
            }
        }
        Ok(())
    }
}

fn taken(name: &HeaderName) -> bool {
    let own = name.as_str().starts_with("idempotency-") && name != IDEMPOTENCY_KEY;
    own || [header::AUTHORIZATION, header::COOKIE, header::HOST, header::CONTENT_LENGTH]
        .contains(name)
}

fn is_pointer(pointer: &str) -> bool {
    // RFC 6901 §3: after each `~` stands 0 or 1. The empty pointer names the whole document.
    let escaped = pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    pointer.starts_with('/') && escaped
}

/// Which requests a route is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// The path and all below it: `/v1/charges` is for `/v1/charges` and `/v1/charges/7`, not for
    /// `/v1/chargesheet`.
    pub prefix: String,
    /// These methods only; empty for any.
    pub methods: Vec<Method>,
}

impl Pattern {
    /// Whether this is for a request.
    #[must_use]
    pub fn matches(&self, method: &Method, path: &str) -> bool {
        (self.methods.is_empty() || self.methods.contains(method)) && below(path, &self.prefix)
    }

    /// Whether every request that `later` is for is for this pattern already.
    fn covers(&self, later: &Self) -> bool {
        let methods = self.methods.is_empty()
            || (!later.methods.is_empty()
                && later.methods.iter().all(|m| self.methods.contains(m)));
        methods && below(&later.prefix, &self.prefix)
    }
}

/// Whether `path` is `prefix` or lies below it, by whole segments.
fn below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'))
}

/// The routes of a listener: the first that matches decides, else the default.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    list: Vec<(Pattern, Arc<Route>)>,
    default: Arc<Route>,
}

/// Why a list of routes could never work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RoutesError {
    /// One of them could not.
    #[error("route `{prefix}`: {source}")]
    Route {
        /// Its prefix; `*` for the default.
        prefix: String,
        /// Why.
        source: RouteError,
    },
    /// Not a path.
    #[error("route `{prefix}` does not begin with `/`, so no path would match it")]
    Prefix {
        /// As configured.
        prefix: String,
    },
    /// Semel answers there itself.
    #[error("route `{prefix}` lies below {RESERVED}, where Semel answers for itself: move it")]
    Reserved {
        /// As configured.
        prefix: String,
    },
    /// An earlier one takes all that it is for.
    #[error(
        "route `{prefix}` is never reached: `{earlier}` stands before it and takes all of it; put it first"
    )]
    Unreachable {
        /// As configured.
        prefix: String,
        /// The one before.
        earlier: String,
    },
}

impl Routes {
    /// One route for everything.
    #[must_use]
    pub fn new(default: Route) -> Self {
        Self { list: Vec::new(), default: Arc::new(default) }
    }

    /// With one more, after those that stand.
    #[must_use]
    pub fn with(mut self, pattern: Pattern, route: Route) -> Self {
        self.list.push((pattern, Arc::new(route)));
        self
    }

    /// The rules of a request, by its method and the path of its target, undecoded.
    #[must_use]
    pub fn find(&self, method: &Method, path: &str) -> &Arc<Route> {
        let found = self.list.iter().find(|(pattern, _)| pattern.matches(method, path));
        found.map_or(&self.default, |(_, route)| route)
    }

    /// Each with its pattern, in the order that they are tried; the default is not among them.
    pub fn iter(&self) -> impl Iterator<Item = (&Pattern, &Arc<Route>)> {
        self.list.iter().map(|(pattern, route)| (pattern, route))
    }

    /// The rules of whatever no pattern matches.
    #[must_use]
    pub const fn default_route(&self) -> &Arc<Route> {
        &self.default
    }

    /// Checks every route, and that each can be reached.
    ///
    /// # Errors
    /// The first thing found, with the route's prefix.
    pub fn check(&self, deadline: Span) -> Result<(), RoutesError> {
        let named = |prefix: &str, source| RoutesError::Route { prefix: prefix.to_owned(), source };
        self.default.check(deadline).map_err(|e| named("*", e))?;
        for (at, (pattern, route)) in self.list.iter().enumerate() {
            let prefix = pattern.prefix.clone();
            if !prefix.starts_with('/') {
                return Err(RoutesError::Prefix { prefix });
            }
            if below(&prefix, RESERVED) {
                return Err(RoutesError::Reserved { prefix });
            }
            if let Some((earlier, _)) = self.list.iter().take(at).find(|(e, _)| e.covers(pattern)) {
                return Err(RoutesError::Unreachable { prefix, earlier: earlier.prefix.clone() });
            }
            route.check(deadline).map_err(|e| named(&prefix, e))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Span = Span::from_secs(5);

    fn header(name: &'static str) -> HeaderName {
        HeaderName::from_static(name)
    }

    #[test]
    fn the_defaults_keep_their_bounds_and_differ_where_the_upstream_is_foreign() {
        assert_eq!(Route::default().check(DEADLINE), Ok(()));
        assert_eq!(Route::gateway().check(DEADLINE), Ok(()));
        assert_eq!(Route::default().no_effect, [0_u16; 0]);
        assert_eq!(Route::gateway().no_effect, [401, 429]);
        assert_eq!(Route::gateway().doubt_on, [502, 503, 504]);
    }

    #[test]
    fn what_could_never_work_is_refused_by_name() {
        let ok = Route::default;
        let body = |p: &str| KeySource::Body(p.to_owned());
        let tenant = header("x-tenant");
        let cases = [
            (Route { methods: vec![], ..ok() }, RouteError::NoMethods),
            (
                Route { methods: vec![Method::POST, Method::GET], ..ok() },
                RouteError::SafeMethod { method: Method::GET },
            ),
            (
                Route { key: KeySource::Header(header("idempotency-fence")), ..ok() },
                RouteError::KeyHeader { name: header("idempotency-fence") },
            ),
            (
                Route {
                    key: KeySource::Header(tenant.clone()),
                    principal: PrincipalSource::Header(tenant.clone()),
                    ..ok()
                },
                RouteError::KeyIsPrincipal { name: tenant },
            ),
            (
                Route { key: body("idempotency_key"), ..ok() },
                RouteError::Pointer { pointer: "idempotency_key".to_owned() },
            ),
            (
                Route { key: body("/a~2"), ..ok() },
                RouteError::Pointer { pointer: "/a~2".to_owned() },
            ),
            (
                Route { key: body("/a~1b"), body_max: 0, body_memory_max: 0, ..ok() },
                RouteError::NoBody,
            ),
            (Route { body_max: 9, ..ok() }, RouteError::BodyMemory { memory: 1 << 20, max: 9 }),
            (
                Route { reply_max: REPLY_LIMIT + 1, ..ok() },
                RouteError::ReplyMax { max: REPLY_LIMIT + 1 },
            ),
            (Route { doubt_on: vec![100], ..ok() }, RouteError::Status { status: 100 }),
            (
                Route { no_effect: vec![202], ..ok() },
                RouteError::SuccessWithoutEffect { status: 202 },
            ),
            (
                Route { no_effect: vec![503], ..Route::gateway() },
                RouteError::ProofAndDoubt { status: 503 },
            ),
            (Route { settle_wait: Span::ZERO, ..ok() }, RouteError::NoSettleWait),
            (
                Route { policy: Policy { lease: Span::ZERO, ..Policy::default() }, ..ok() },
                RouteError::Policy(PolicyError::NoLease),
            ),
        ];
        for (route, error) in cases {
            assert_eq!(route.check(DEADLINE), Err(error));
        }
    }

    fn pattern(prefix: &str, methods: &[Method]) -> Pattern {
        Pattern { prefix: prefix.to_owned(), methods: methods.to_vec() }
    }

    #[test]
    fn the_first_match_decides_by_whole_segments() {
        let required = || Route { demand: Demand::Required, ..Route::default() };
        let off = || Route { demand: Demand::Off, ..Route::default() };
        let routes = Routes::default()
            .with(pattern("/v1/charges", &[Method::POST]), required())
            .with(pattern("/v1/", &[]), off());
        for (method, path, demand) in [
            (Method::POST, "/v1/charges", Demand::Required),
            (Method::POST, "/v1/charges/7/capture", Demand::Required),
            (Method::POST, "/v1/chargesheet", Demand::Off),
            (Method::PATCH, "/v1/charges", Demand::Off),
            (Method::POST, "/v2/charges", Demand::Optional),
            (Method::POST, "/v1", Demand::Optional),
        ] {
            assert_eq!(routes.find(&method, path).demand, demand, "{method} {path}");
        }
        assert_eq!(routes.check(DEADLINE), Ok(()));
    }

    #[test]
    fn a_route_that_is_never_reached_is_refused() {
        let routes = Routes::default()
            .with(pattern("/v1", &[]), Route::default())
            .with(pattern("/v1/charges", &[Method::POST]), Route::default());
        let unreachable = RoutesError::Unreachable {
            prefix: "/v1/charges".to_owned(),
            earlier: "/v1".to_owned(),
        };
        assert_eq!(routes.check(DEADLINE), Err(unreachable));

        let narrower_first = Routes::default()
            .with(pattern("/v1", &[Method::POST]), Route::default())
            .with(pattern("/v1/charges", &[]), Route::default());
        assert_eq!(narrower_first.check(DEADLINE), Ok(()));
    }

    #[test]
    fn a_prefix_must_be_a_path_of_the_applications_own() {
        let with = |prefix: &str| Routes::default().with(pattern(prefix, &[]), Route::default());
        assert!(matches!(with("v1").check(DEADLINE), Err(RoutesError::Prefix { .. })));
        let reserved = with("/.well-known/idempotency/key").check(DEADLINE);
        assert!(matches!(reserved, Err(RoutesError::Reserved { .. })));
        let bad = Routes::new(Route { methods: vec![], ..Route::default() }).check(DEADLINE);
        assert!(matches!(bad, Err(RoutesError::Route { prefix, .. }) if prefix == "*"));
    }
}
