//! Which record an inquiry names.
//!
//! Its key travels in a header and its principal where the route has it. Where all routes read both alike, as
//! most services have it, the key alone is enough. Where they do not, one key could name several records: the
//! inquiry then says which route it is about, by `?path=/v1/charges` (and `&method=PUT`; else it is POST). Must
//! never guess: an answer about another record would call a key absent that has run, and a void would hold for
//! nothing.

use http::request::Parts;
use http::{HeaderName, Method};
use semel_core::{Key, RecordId, Span};

use super::service::Shared;
use crate::http::extract::{Keyed, Keying};
use crate::http::route::{Demand, KeyFormat, KeySource, Mode, OnWeak, Route};
use crate::http::status::IDEMPOTENCY_KEY;
use crate::http::{Code, Problem, Routes};

/// How an inquiry is read: a way for each route that reads keys in its own.
#[derive(Clone, Debug)]
pub(super) struct Ways {
    list: Vec<Route>,
    memory: Span,
}

impl Ways {
    pub(super) fn of(routes: &Routes) -> Self {
        let default = routes.default_route();
        let all = || [default].into_iter().chain(routes.iter().map(|(_, route)| route));
        // It names no route, so a void must hold as long as the longest memory of all.
        let memory = all().map(|route| route.policy.memory).max().unwrap_or_default();
        let protects = |r: &&_| {
            let route: &Route = r;
            route.demand != Demand::Off && route.mode == Mode::Enforce
        };
        let mut list: Vec<Route> = Vec::new();
        for route in all().map(AsRef::as_ref).filter(protects) {
            let way = way(route, memory);
            if !list.iter().any(|known| alike(known, &way)) {
                list.push(way);
            }
        }
        if list.is_empty() {
            list.push(way(default, memory));
        }
        Self { list, memory }
    }

    /// What is one for all: the bounds of time, and what browsers are told where no route is named.
    pub(super) fn first(&self) -> &Route {
        self.list.first().expect("a list of ways is never empty")
    }

    /// The headers that keys travel in.
    fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.list.iter().filter_map(|way| match &way.key {
            KeySource::Header(name) => Some(name),
            KeySource::Body(_) => None,
        })
    }
}

fn alike(one: &Route, other: &Route) -> bool {
    one.key == other.key && one.key_format == other.key_format && one.principal == other.principal
}

/// The route's reading of a key, whatever the method.
fn way(route: &Route, memory: Span) -> Route {
    let mut way = route.clone();
    way.methods = vec![Method::GET, Method::HEAD, Method::DELETE, Method::POST];
    way.demand = Demand::Required;
    way.on_weak = OnWeak::Warn;
    if let KeySource::Body(_) = way.key {
        way.key = KeySource::Header(IDEMPOTENCY_KEY);
    }
    way.policy.memory = memory;
    way
}

/// The way that the request's query names, if it names one.
pub(super) fn chosen(shared: &Shared, request: &Parts) -> Option<Route> {
    let query = request.uri.query().unwrap_or_default();
    let value = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let path = value("path")?;
    let method = value("method").and_then(|method| Method::from_bytes(method.as_bytes()).ok());
    let route = shared.protection.routes.find(&method.unwrap_or(Method::POST), &path);
    Some(way(route, shared.ways.memory))
}

/// The record that the request's key and principal name.
///
/// # Errors
/// As for any keyed request; `route-unnamed` where routes differ in what they would read here.
pub(super) fn named(shared: &Shared, request: &Parts) -> Result<(RecordId, Key), Box<Problem>> {
    if let Some(way) = chosen(shared, request) {
        return read(shared, request, &way);
    }
    // A key is the same key in whichever header it came.
    let header = shared.ways.headers().find(|name| request.headers.contains_key(*name)).cloned();
    let mut found: Option<Result<(RecordId, Key), Box<Problem>>> = None;
    let mut uuid_alone = None;
    for way in &shared.ways.list {
        let mut way = way.clone();
        if let Some(name) = &header {
            way.key = KeySource::Header(name.clone());
        }
        let here = read(shared, request, &way);
        let no_uuid = |problem: &Problem| {
            way.key_format == KeyFormat::Uuid && problem.code == Code::KeyMalformed
        };
        match (&here, &found) {
            // No key of such a route.
            (Err(problem), _) if no_uuid(problem) => uuid_alone = Some(here),
            (_, None) => found = Some(here),
            (Ok((id, _)), Some(Ok((first, _)))) if id == first => {}
            (Err(_), Some(Err(_))) => {}
            (Ok(_) | Err(_), Some(_)) => return Err(Problem::route_unnamed().into()),
        }
    }
    found.or(uuid_alone).expect("a list of ways is never empty")
}

fn read(shared: &Shared, request: &Parts, way: &Route) -> Result<(RecordId, Key), Box<Problem>> {
    match shared.keying(request, &[], way)? {
        Keying::Keyed(Keyed { key, scope, .. }) => {
            Ok((shared.engine.secret().record_id(&scope, &key), key))
        }
        Keying::NotKeyed(_) => Err(Problem::path_unknown().into()),
    }
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

    #[test]
    fn an_inquiry_judges_by_the_longest_memory_of_all_routes() {
        let year = Span::from_secs(365 * 86_400);
        let policy = Policy { memory: year, ..Policy::default() };
        let ways = Ways::of(&routes(Route { policy, ..Route::default() }));
        assert_eq!((ways.list.len(), ways.first().policy.memory), (1, year));
    }

    #[test]
    fn routes_that_read_keys_alike_are_one_way() {
        let count = |route| Ways::of(&routes(route)).list.len();
        let base = Route::default;
        let x_key = KeySource::Header(HeaderName::from_static("x-key"));
        assert_eq!(count(Route { key: KeySource::Body("/key".to_owned()), ..base() }), 1);
        assert_eq!(count(Route { key_format: KeyFormat::Uuid, ..base() }), 2);
        assert_eq!(count(Route { key: x_key.clone(), ..base() }), 2);
        // Where nothing is claimed, nothing can be asked about.
        assert_eq!(count(Route { key: x_key.clone(), demand: Demand::Off, ..base() }), 1);
        assert_eq!(count(Route { key: x_key, mode: Mode::Observe, ..base() }), 1);
    }
}
