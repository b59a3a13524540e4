//! `cors.*`: what browsers are told on answers that are Semel's own. Without `cors.origins`, nothing.

use semel::http::Route;
use semel::http::cors::{Cors, Origins};
use semel_core::Span;
use serde_json::json;

use super::key::{Key, span, texts};

pub(super) const KEYS: [Key<Route>; 4] = [
    Key {
        name: "cors.origins",
        set: |route, given| {
            let list = given.list(|one| one.name().map(str::to_owned))?;
            let origins = match list.iter().any(|origin| origin == "*") {
                true if list.len() > 1 => {
                    return Err("\"*\" is every origin already; leave the others out".to_owned());
                }
                true => Origins::Any,
                false => Origins::List(list),
            };
            of(route).origins = origins;
            Ok(())
        },
        get: |route| match route.cors.as_ref().map(|cors| &cors.origins) {
            Some(Origins::Any) => json!(["*"]),
            Some(Origins::List(list)) => json!(list),
            None => json!([]),
        },
        flag: None,
    },
    Key {
        name: "cors.credentials",
        set: |route, given| given.switch().map(|with| of(route).credentials = with),
        get: |route| json!(route.cors.as_ref().is_some_and(|cors| cors.credentials)),
        flag: None,
    },
    Key {
        name: "cors.expose",
        set: |route, given| given.headers().map(|names| of(route).expose = names),
        get: |route| texts(route.cors.as_ref().map_or(&[], |cors| &cors.expose[..])),
        flag: None,
    },
    Key {
        name: "cors.max_age",
        set: |route, given| given.duration().map(|age| of(route).max_age = Span::from(age)),
        get: |route| span(route.cors.as_ref().map_or(MAX_AGE, |cors| cors.max_age)),
        flag: None,
    },
];

const MAX_AGE: Span = Span::from_secs(600);

/// The route's answers to browsers; without an origin until one is named.
fn of(route: &mut Route) -> &mut Cors {
    route.cors.get_or_insert_with(|| Cors {
        origins: Origins::List(Vec::new()),
        credentials: false,
        expose: Vec::new(),
        max_age: MAX_AGE,
    })
}

/// Takes answers away that no origin could read.
pub(super) fn finish(route: &mut Route) {
    let nobody = |cors: &Cors| cors.origins == Origins::List(Vec::new());
    if route.cors.as_ref().is_some_and(nobody) {
        route.cors = None;
    }
}
