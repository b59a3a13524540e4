//! What a route decides.
//!
//! Plain values with defaults: a layer's are written in code, a gateway's come from its
//! configuration. [`Route::check`] refuses what could never work, before the first request. Which
//! route a request falls under is [`super::routes`]'s to say.

use http::uri::PathAndQuery;
use http::{HeaderName, Method, header};
use semel_core::fingerprint::{FingerprintRules, Pointer};
use semel_core::policy::PolicyError;
use semel_core::{Policy, Span};

use super::cors::{Cors, CorsError};
use super::grpc::{GrpcCode, GrpcRules};
use super::problem::RESERVED;
use super::quota::Quota;
use super::reconcile::{Reconcile, ReconcileError};
use super::status::IDEMPOTENCY_KEY;
use super::verify::Verified;

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
    /// The [`super::StablePrincipal`] that the application put among the extensions.
    Extension,
    /// Whom a [`Verifier`](super::verify::Verifier) vouches for: a claim of a token, a certificate.
    Verified(Verified),
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
    /// It runs unprotected. The promise of such a route is published as best effort. A claim whose
    /// write turns out to have landed is left *in doubt*, so that no retry runs once the store is back.
    Pass,
}

/// Whether keys protect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// They do.
    #[default]
    Enforce,
    /// Every request runs; what enforcing would have answered is counted. Never refuses, delays or
    /// fails a request. Turning enforce on starts empty.
    Observe,
}

/// A question to the service, asked before each replay with the caller's own credentials: anything but
/// 2xx is passed on in place of the stored reply, and the record stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reauthorize {
    /// A safe method.
    pub method: Method,
    /// Path, and query if any: `/me`.
    pub path: String,
}

/// The rules of one route.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Whether keys protect at all.
    pub mode: Mode,
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
    /// Bytes of a request's body that are kept in memory; beyond, it is spooled to a file without a
    /// name and compared by its bytes. Default 1 MiB. Where the key lies in the body, all of it is
    /// kept in memory: it has to be read there.
    pub body_memory_max: u64,
    /// Bytes of a request's body that are read at all. Default 64 MiB.
    pub body_max: u64,
    /// Bytes of a reply's body that are kept for replay. 0 keeps none. Default 1 MiB.
    pub reply_max: u64,
    /// Statuses that the handler gives only before it acts: they release the key.
    pub no_effect: Vec<u16>,
    /// Statuses that leave it open whether the handler's effect happened.
    pub doubt_on: Vec<u16>,
    /// The same for the statuses of calls where the service answers in gRPC, always with 200.
    pub grpc: GrpcRules,
    /// Which key is passed on.
    pub forward: Forward,
    /// What a request gets while the store is down.
    pub store_down: StoreDown,
    /// What of a request is compared with the first one under its key.
    pub fingerprint: FingerprintRules,
    /// What one principal may take of this route. Default: as much as it likes.
    pub quota: Quota,
    /// What is asked before each replay. Default: nothing, so that a replay goes to whoever shows the
    /// same principal and key.
    pub reauthorize: Option<Reauthorize>,
    /// What is asked of the service about a key in doubt. Default: nothing; then a person resolves it.
    pub reconcile: Option<Reconcile>,
    /// What browsers are told on answers that are Semel's own. Default: nothing; then preflights pass
    /// untouched, too.
    pub cors: Option<Cors>,
    /// How long a reply waits for its settle to be durable, before 503 `not-recorded`. Default 5 s.
    pub settle_wait: Span,
    /// The machine's rules.
    pub policy: Policy,
}

impl Default for Route {
    /// A layer's route: the handler is the application's own, so no status proves anything.
    fn default() -> Self {
        Self {
            mode: Mode::default(),
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
            grpc: GrpcRules::default(),
            forward: Forward::default(),
            store_down: StoreDown::default(),
            fingerprint: FingerprintRules::default(),
            quota: Quota::default(),
            reauthorize: None,
            reconcile: None,
            cors: None,
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
    /// A call that worked had its effect.
    #[error("OK is in `grpc.no_effect`, but it means that it happened: its key would run twice")]
    OkWithoutEffect,
    /// A status of gRPC cannot prove and doubt.
    #[error(
        "{code} is in `grpc.no_effect` and in `grpc.doubt_on`: it cannot be proof and doubt at once"
    )]
    GrpcProofAndDoubt {
        /// As configured.
        code: GrpcCode,
    },
    /// Every reply would come too late.
    #[error(
        "`settle_wait` is zero: every reply would be answered 503 not-recorded; set some seconds"
    )]
    NoSettleWait,
    /// It would change something, or could not be asked.
    #[error(
        "`reauthorize` ({method} {path}) must be a safe method, and a path that begins with `/` outside {RESERVED}"
    )]
    Reauthorize {
        /// As configured.
        method: Method,
        /// As configured.
        path: String,
    },
    /// A look-up that finds nothing, or whose word could not be believed.
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
    /// Cross-origin answers.
    #[error(transparent)]
    Cors(#[from] CorsError),
    /// Nobody could begin a key, or for no time at all.
    #[error(
        "`quota.{what}` ({many}) lets nobody begin a key, or bounds nothing: raise it, or leave it out"
    )]
    Quota {
        /// Which.
        what: &'static str,
        /// As configured.
        many: String,
    },
}

impl Route {
    /// A gateway's route: an upstream that Semel did not write. 401 and 429 are taken to be given
    /// before anything happens; 502, 503 and 504 leave it open.
    #[must_use]
    pub fn gateway() -> Self {
        Self {
            no_effect: vec![401, 429],
            doubt_on: vec![502, 503, 504],
            grpc: GrpcRules::gateway(),
            ..Self::default()
        }
    }

    /// Checks what could never work, for a store whose writes carry `deadline`.
    ///
    /// # Errors
    /// The first thing found, with the value at fault.
    pub fn check(&self, deadline: Span) -> Result<(), RouteError> {
        if let Some(cors) = &self.cors {
            cors.check()?;
        }
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
        if let Some(Reauthorize { method, path }) = &self.reauthorize {
            let target = path.parse::<PathAndQuery>();
            if !method.is_safe()
                || !target
                    .is_ok_and(|t| t.path().starts_with('/') && !t.path().starts_with(RESERVED))
            {
                let (method, path) = (method.clone(), path.clone());
                return Err(RouteError::Reauthorize { method, path });
            }
        }
        if let Some(reconcile) = &self.reconcile {
            reconcile.check(self)?;
        }
        if let Some((what, many)) = self.quota.fault() {
            return Err(RouteError::Quota { what, many });
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
            KeySource::Body(pointer) if !names_a_member(pointer) => {
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
        for &code in &self.grpc.no_effect {
            if code == GrpcCode::OK {
                return Err(RouteError::OkWithoutEffect);
            }
            if self.grpc.doubt_on.contains(&code) {
                return Err(RouteError::GrpcProofAndDoubt { code });
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

fn names_a_member(pointer: &str) -> bool {
    // The empty pointer names the whole document.
    pointer.parse::<Pointer>().is_ok_and(|pointer| pointer.tokens().next().is_some())
}

#[cfg(test)]
mod tests {
    use super::super::quota::PerWindow;
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
        let keys = |most| {
            let keys = Some(PerWindow { most, window: DEADLINE });
            Quota { keys, ..Quota::default() }
        };
        let tenant = header("x-tenant");
        let reauthorize = |method, path: &str| {
            let path = path.to_owned();
            Route { reauthorize: Some(Reauthorize { method, path }), ..ok() }
        };
        let refused =
            |method, path: &str| RouteError::Reauthorize { method, path: path.to_owned() };
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
            (
                Route { quota: keys(0), ..ok() },
                RouteError::Quota { what: "keys", many: format!("0 in {DEADLINE}") },
            ),
            (
                Route { quota: Quota { in_flight: Some(0), ..Quota::default() }, ..ok() },
                RouteError::Quota { what: "in_flight", many: "0".to_owned() },
            ),
            (reauthorize(Method::POST, "/me"), refused(Method::POST, "/me")),
            (reauthorize(Method::GET, "me"), refused(Method::GET, "me")),
            (reauthorize(Method::GET, RESERVED), refused(Method::GET, RESERVED)),
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
}
