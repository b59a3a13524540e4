//! Which record an inquiry names.
//!
//! Its key travels in a header and its principal where the route has it. Where all routes read both alike, as
//! most services have it, the key alone is enough. Where they do not, one key could name several records: the
//! inquiry then says which route it is about, by `?path=/v1/charges` (and `&method=PUT` where methods differ
//! there). Must never guess: an answer about another record would call a key absent that has run, and a void
//! would hold for nothing.

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, header};
use semel_core::{Earlier, Key, Policy, Principal, RecordId, Scope, Secret, Span, Timestamp};

use super::extract::{Keyed, Keying, Within, keying};
use super::route::{Demand, KeyFormat, KeySource, Mode, OnWeak, PrincipalSource, Route};
use super::status::IDEMPOTENCY_KEY;
use super::{Code, Problem, Routes};

/// The record and key that an inquiry names, or what it is told instead.
pub type Named = Result<(RecordId, Key), Box<Problem>>;

/// What an inquiry says of the route that it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The path that the key was sent to.
    pub path: Option<String>,
    /// The method that it was sent by.
    pub method: Option<String>,
}

impl About {
    /// Reads `path` and `method` of a query.
    ///
    /// # Errors
    /// `route-unnamed` where one is there twice.
    pub fn from_query(query: &str) -> Result<Self, Box<Problem>> {
        let one = |name: &str| {
            let mut values =
                form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
            let value = values.next().map(|(_, value)| value.into_owned());
            match values.next() {
                Some(_) => Err(unnamed(format!("Its query has `{name}` twice."))),
                None => Ok(value),
            }
        };
        Ok(Self { path: one("path")?, method: one("method")? })
    }
}

/// Of which service an inquiry asks, with which secret, and when.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The name of the service, part of every scope.
    pub service: &'a str,
    /// Keys the hash of a credential, and the id of a record.
    pub secret: &'a Secret,
    /// The present time.
    pub now: Timestamp,
}

/// How an inquiry is read: a way for each route that reads keys in its own.
#[derive(Clone, Debug)]
pub struct Ways {
    routes: Routes,
    list: Vec<Route>,
    held: Span,
}

impl Ways {
    /// Those of `routes`.
    #[must_use]
    pub fn of(routes: &Routes) -> Self {
        let mut protected: Vec<&Route> = all(routes).filter(|route| protects(route)).collect();
        if protected.is_empty() {
            protected.push(routes.default_route());
        }
        let held = protected.iter().map(|route| route.policy.memory).max().unwrap_or_default();
        let mut list = Vec::new();
        for route in &protected {
            add(&mut list, way(route));
        }
        for way in &mut list {
            for route in &protected {
                be_as_careful(&mut way.policy, &route.policy);
            }
        }
        Self { routes: routes.clone(), list, held }
    }

    /// What judges the time that a key itself carries: the rules of the route that is named. Where none
    /// is, the most careful ones, for the key may have run on any route, and been forgotten there.
    ///
    /// # Errors
    /// As [`Self::chosen`].
    pub fn judged_by(&self, about: &About) -> Result<Policy, Box<Problem>> {
        Ok(self.chosen(about)?.as_ref().unwrap_or(self.first()).policy.clone())
    }

    /// How long a void must hold: as long as any route remembers, for the key may come on each.
    #[must_use]
    pub const fn held(&self) -> Span {
        self.held
    }

    /// What is one for all: what browsers are told where no route is named.
    #[must_use]
    pub fn first(&self) -> &Route {
        self.list.first().expect("a list of ways is never empty")
    }

    /// The way of the route that is named, if one is.
    ///
    /// # Errors
    /// `route-unnamed` where it is not certain which one is meant, or keys do not count there.
    pub fn chosen(&self, about: &About) -> Result<Option<Route>, Box<Problem>> {
        let path = match (&about.path, &about.method) {
            (Some(path), _) => path,
            (None, Some(_)) => return Err(unnamed("It names a method, and names no path.")),
            (None, None) => return Ok(None),
        };
        if !path.starts_with('/') || path.contains(['?', '#']) {
            return Err(unnamed("Its `path` must begin with `/`, without a query."));
        }
        if let Some(name) = &about.method {
            let found = self.counting(name, path).map(way);
            return found.map(Some).ok_or_else(|| self.no_such_method(name, path));
        }
        let mut methods: Vec<&Method> =
            all(&self.routes).flat_map(|route| &route.methods).collect();
        methods.sort_by_key(|method| method.as_str());
        methods.dedup();
        let mut found = Vec::new();
        for route in methods.iter().filter_map(|method| self.counting(method.as_str(), path)) {
            add(&mut found, way(route));
        }
        match found.len() {
            0 => Err(unnamed(format!("Keys do not count at `{path}`."))),
            1 => Ok(found.pop()),
            _ => Err(unnamed(format!(
                "It names no method, and at `{path}` methods differ in how they read keys."
            ))),
        }
    }

    /// The route of a request on which keys count.
    fn counting(&self, method: &str, path: &str) -> Option<&Route> {
        let method = Method::from_bytes(method.as_bytes()).ok()?;
        let route = self.routes.find(&method, path);
        (protects(route) && route.methods.contains(&method)).then_some(route)
    }

    fn no_such_method(&self, name: &str, path: &str) -> Box<Problem> {
        let upper = name.to_ascii_uppercase();
        let hint = match self.counting(&upper, path) {
            Some(_) => format!(" Did you mean `{upper}`?"),
            None => String::new(),
        };
        unnamed(format!("`{name}` is not a method on which keys count at `{path}`.{hint}"))
    }

    /// The record that a request's key and principal name, of the route that its query names.
    ///
    /// # Errors
    /// As for any keyed request; `route-unnamed` where routes differ in what they would read here.
    pub fn named(&self, about: &About, request: &Parts, asked: &Asked<'_>) -> Named {
        // A key is the same key in whichever header it came.
        let came_in = match about.path {
            Some(_) => None,
            None => self.came_in(request)?,
        };
        self.agreed(about, |way| match &came_in {
            Some(name) => {
                let way = Route { key: KeySource::Header(name.clone()), ..way.clone() };
                read(request, &way, asked)
            }
            None => read(request, way, asked),
        })
    }

    /// The header that the key came in, of those that any route reads one from.
    fn came_in(&self, request: &Parts) -> Result<Option<HeaderName>, Box<Problem>> {
        let mut found: Option<&HeaderName> = None;
        for name in self.list.iter().filter_map(key_header) {
            if request.headers.contains_key(name) && *found.get_or_insert(name) != name {
                return Err(unnamed("It brings a key in more than one header, and names no path."));
            }
        }
        Ok(found.cloned())
    }

    /// The record of a key in the scope of a principal: the value of whichever header names it.
    ///
    /// # Errors
    /// As [`Self::named`].
    pub fn find(
        &self,
        about: &About,
        key: &HeaderValue,
        principal: Option<&HeaderValue>,
        asked: &Asked<'_>,
    ) -> Named {
        self.agreed(about, |way| {
            if let PrincipalSource::Verified(verified) = &way.principal {
                return vouched(way, key, verified.named(principal)?, asked);
            }
            let mut request = Request::new(()).into_parts().0;
            let named_by = match &way.principal {
                PrincipalSource::Authorization => Some(&header::AUTHORIZATION),
                PrincipalSource::Header(name) => Some(name),
                PrincipalSource::Verified(_)
                | PrincipalSource::Extension
                | PrincipalSource::None => None,
            };
            for (name, value) in [(key_header(way), Some(key)), (named_by, principal)] {
                if let (Some(name), Some(value)) = (name, value) {
                    request.headers.append(name, value.clone());
                }
            }
            read(&request, way, asked)
        })
    }

    /// What all ways read alike, or the one that is named.
    fn agreed(&self, about: &About, read: impl Fn(&Route) -> Named) -> Named {
        if let Some(way) = self.chosen(about)? {
            return read(&way);
        }
        let mut found: Option<Named> = None;
        let mut uuid_alone = None;
        for way in &self.list {
            let here = read(way);
            let no_uuid = |problem: &Problem| {
                way.key_format == KeyFormat::Uuid && problem.code == Code::KeyMalformed
            };
            match (&here, &found) {
                // No key of such a route.
                (Err(problem), _) if no_uuid(problem) => uuid_alone = Some(here),
                (_, None) => found = Some(here),
                (Ok((id, _)), Some(Ok((first, _)))) if id == first => {}
                (Err(_), Some(Err(_))) => {}
                (Ok(_) | Err(_), Some(_)) => {
                    return Err(unnamed(
                        "Routes of this API read this key, or whose it is, in ways of their own, and no path is named.",
                    ));
                }
            }
        }
        found.or(uuid_alone).expect("a list of ways is never empty")
    }
}

fn unnamed(why: impl Into<String>) -> Box<Problem> {
    Problem::route_unnamed(why).into()
}

fn all(routes: &Routes) -> impl Iterator<Item = &Route> {
    [routes.default_route()]
        .into_iter()
        .chain(routes.iter().map(|(_, route)| route))
        .map(AsRef::as_ref)
}

fn protects(route: &Route) -> bool {
    route.demand != Demand::Off && route.mode == Mode::Enforce
}

/// Adds a way that is not there yet. Of two alike, one stays, and is as careful as both.
fn add(list: &mut Vec<Route>, new: Route) {
    let alike = |known: &&mut Route| {
        known.key == new.key
            && known.key_format == new.key_format
            && known.principal == new.principal
    };
    match list.iter_mut().find(alike) {
        Some(known) => be_as_careful(&mut known.policy, &new.policy),
        None => list.push(new),
    }
}

/// Judges a key's own time by both: what is too old by one of them may have run and been forgotten.
fn be_as_careful(policy: &mut Policy, other: &Policy) {
    policy.memory = policy.memory.min(other.memory);
    policy.skew = policy.skew.max(other.skew);
    policy.birth = policy.birth.max(other.birth);
    policy.earlier = match (policy.earlier, other.earlier) {
        (Some(one), Some(two)) => {
            Some(Earlier { memory: one.memory.min(two.memory), until: one.until.max(two.until) })
        }
        (one, two) => one.or(two),
    };
}

/// The route's reading of a key, whatever the method.
fn way(route: &Route) -> Route {
    let mut way = route.clone();
    way.methods = vec![Method::GET, Method::HEAD, Method::DELETE, Method::POST];
    way.demand = Demand::Required;
    way.on_weak = OnWeak::Warn;
    if let KeySource::Body(_) = way.key {
        way.key = KeySource::Header(IDEMPOTENCY_KEY);
    }
    way
}

/// The header that a way's key travels in.
fn key_header(way: &Route) -> Option<&HeaderName> {
    match &way.key {
        KeySource::Header(name) => Some(name),
        KeySource::Body(_) => None,
    }
}

fn read(request: &Parts, way: &Route, asked: &Asked<'_>) -> Named {
    let Asked { service, secret, now } = *asked;
    match keying(request, &[], &Within { route: way, service, secret, now })? {
        Keying::Keyed(Keyed { key, scope, .. }) => Ok((secret.record_id(&scope, &key), key)),
        Keying::NotKeyed(_) => Err(Problem::path_unknown().into()),
    }
}

/// The record of a key whose principal an operator names, as nothing is shown that could be verified.
fn vouched(way: &Route, key: &HeaderValue, whose: Principal, asked: &Asked<'_>) -> Named {
    let nobody = Route { principal: PrincipalSource::None, ..way.clone() };
    let mut request = Request::new(()).into_parts().0;
    if let Some(name) = key_header(way) {
        request.headers.append(name, key.clone());
    }
    let (_, key) = read(&request, &nobody, asked)?;
    Ok((asked.secret.record_id(&Scope::new(asked.service, whose), &key), key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::routes::Pattern;
    use semel_core::Policy;

    fn routes(route: Route) -> Routes {
        let pattern = Pattern { prefix: "/v1/charges".to_owned(), methods: vec![] };
        Routes::default().with(pattern, route)
    }

    fn x_key() -> KeySource {
        KeySource::Header(HeaderName::from_static("x-key"))
    }

    #[test]
    fn a_key_is_judged_by_the_route_that_is_named_or_by_the_shortest_memory() {
        let (hour, month) = (Span::from_secs(3600), Policy::default().memory);
        let about = |path: &str| About { path: Some(path.to_owned()), method: None };
        let remembers = |memory: Span| Policy { memory, ..Policy::default() };
        let short = Route { policy: remembers(hour), ..Route::default() };
        // Nothing is claimed there, so nothing was forgotten and no void need hold.
        let off = Pattern { prefix: "/off".to_owned(), methods: vec![] };
        let off_route =
            |memory| Route { demand: Demand::Off, policy: remembers(memory), ..Route::default() };
        for memory in [Span::from_secs(60), Span::FOREVER] {
            let ways = Ways::of(&routes(short.clone()).with(off.clone(), off_route(memory)));
            let judged = |about: &About| ways.judged_by(about).unwrap().memory;
            assert_eq!(ways.held(), month);
            assert_eq!(judged(&about("/v1/charges")), hour);
            assert_eq!(judged(&about("/elsewhere")), month);
            assert_eq!(judged(&About::default()), hour);
        }
        // Also where the other route reads keys in its own way.
        let ways = Ways::of(&routes(Route { key: x_key(), ..short }));
        assert_eq!(ways.judged_by(&About::default()).unwrap().memory, hour);
    }

    #[test]
    fn routes_that_read_keys_alike_are_one_way() {
        let count = |route| Ways::of(&routes(route)).list.len();
        let base = Route::default;
        assert_eq!(count(Route { key: KeySource::Body("/key".to_owned()), ..base() }), 1);
        assert_eq!(count(Route { key_format: KeyFormat::Uuid, ..base() }), 2);
        assert_eq!(count(Route { key: x_key(), ..base() }), 2);
        // Where nothing is claimed, nothing can be asked about.
        assert_eq!(count(Route { key: x_key(), demand: Demand::Off, ..base() }), 1);
        assert_eq!(count(Route { key: x_key(), mode: Mode::Observe, ..base() }), 1);
    }

    #[test]
    fn a_key_is_found_as_a_request_with_it_is_read() {
        let tenant = HeaderName::from_static("x-tenant");
        let route =
            Route { principal: PrincipalSource::Header(tenant), key: x_key(), ..Route::default() };
        let ways = Ways::of(&routes(route));
        let (key, acme) =
            (HeaderValue::from_static("order-7-Zk93JsT0qLx2"), HeaderValue::from_static("acme"));
        let secret = Secret::new(&[7; 32]);
        let asked = Asked {
            service: "shop",
            secret: &secret,
            now: Timestamp::from_unix_ms(1_775_001_600_000),
        };
        let about = About { path: Some("/v1/charges".to_owned()), method: None };
        let found = ways.find(&about, &key, Some(&acme), &asked).unwrap();
        let uri = "/.well-known/idempotency/key?path=/v1/charges";
        let request = Request::get(uri).header("x-key", &key).header("x-tenant", &acme);
        let request = request.body(()).unwrap().into_parts().0;
        assert_eq!(ways.named(&about, &request, &asked).unwrap(), found);
        let nobody = ways.find(&about, &key, None, &asked).unwrap_err();
        assert_eq!(nobody.code, Code::ScopeMissing);
        let unnamed = ways.find(&About::default(), &key, Some(&acme), &asked).unwrap_err();
        assert_eq!(unnamed.code, Code::RouteUnnamed);
    }
}
