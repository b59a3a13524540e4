//! What a response tells a browser, on its way out: see [`crate::http::cors`]. Says nothing where the
//! route has no `cors`.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, header};

use super::answer::Own;
use super::body::Body;
use crate::http::Route;
use crate::http::cors::{add_exposed_headers, add_request_headers};
use crate::http::prefer::PREFER;
use crate::http::route::{KeySource, PrincipalSource};
use crate::http::status::IDEMPOTENCY_STATUS;

/// What is known of the asking browser once the request is gone.
#[derive(Debug)]
pub(super) struct Browser {
    route: Arc<Route>,
    origin: Option<HeaderValue>,
    preflight: bool,
}

impl Browser {
    pub(super) fn of(route: &Arc<Route>, request: &Parts, preflight: bool) -> Option<Self> {
        route.cors.as_ref()?;
        let origin = request.headers.get(header::ORIGIN).cloned();
        Some(Self { route: Arc::clone(route), origin, preflight })
    }

    /// Adds what the browser must be told.
    pub(super) fn tell(&self, response: &mut Response<Body>) {
        let Some(cors) = &self.route.cors else { return };
        if response.extensions().get::<Own>().is_some() {
            cors.allow(self.origin.as_ref(), response.headers_mut());
        } else if self.preflight {
            add_request_headers(response.headers_mut(), &names_sent(&self.route));
        } else if response.headers().contains_key(IDEMPOTENCY_STATUS) {
            add_exposed_headers(response.headers_mut());
        }
    }
}

/// The request headers that a script must be allowed to send for its request to be protected.
fn names_sent(route: &Route) -> Vec<HeaderName> {
    match &route.key {
        KeySource::Header(name) => vec![name.clone(), PREFER],
        KeySource::Body(_) => vec![PREFER],
    }
}

/// The request headers that are read on the reserved path.
pub(super) fn names_read(route: &Route) -> Vec<HeaderName> {
    let mut names = names_sent(route);
    match &route.principal {
        PrincipalSource::Authorization => names.push(header::AUTHORIZATION),
        PrincipalSource::Header(name) => names.push(name.clone()),
        PrincipalSource::Verified(verified) => names.extend(verified.header()),
        PrincipalSource::Extension | PrincipalSource::None => {}
    }
    names
}
