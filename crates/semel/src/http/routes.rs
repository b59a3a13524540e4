//! Which route a request falls under.
//!
//! By method and path, the first that matches; it must never depend on anything that a retry may
//! change, or the retry would be judged by other rules. The path goes on in [`super::extract`].

#[cfg(feature = "layer")]
mod tags;

use std::sync::Arc;

use http::Method;
use semel_core::Span;

use super::problem::RESERVED;
use super::route::{Demand, Route, RouteError};

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

    /// On which methods keys count, of those that the pattern is for.
    pub(crate) fn keyed_methods<'a>(&self, route: &'a Route) -> Vec<&'a Method> {
        let matched = |m: &&Method| self.methods.is_empty() || self.methods.contains(m);
        route.methods.iter().filter(matched).collect()
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
    /// Keys count on none of its methods.
    #[error(
        "route `{prefix}` matches no method on which keys count, so no key would ever count there: match others, or set keys to `off`"
    )]
    NoCommonMethod {
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
            if route.demand != Demand::Off && pattern.keyed_methods(route).is_empty() {
                return Err(RoutesError::NoCommonMethod { prefix });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Span = Span::from_secs(5);

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
    fn a_route_whose_methods_bear_no_key_is_refused_unless_keys_are_off() {
        let put = |route| Routes::default().with(pattern("/v1", &[Method::PUT]), route);
        let refused = put(Route::default()).check(DEADLINE);
        let none = RoutesError::NoCommonMethod { prefix: "/v1".to_owned() };
        assert_eq!(refused, Err(none));
        let counting = Route { methods: vec![Method::POST, Method::PUT], ..Route::default() };
        assert_eq!(put(counting).check(DEADLINE), Ok(()));
        assert_eq!(put(Route { demand: Demand::Off, ..Route::default() }).check(DEADLINE), Ok(()));
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
