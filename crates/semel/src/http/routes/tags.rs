//! What names a route in the records of its keys.

use std::sync::Arc;

use semel_core::{RouteTag, Secret};

use super::Routes;
use crate::http::route::{Demand, Forward, Mode, Route};

impl Routes {
    /// Gives each route on which keys are enforced its [`RouteTag`]. It depends on the service, on all
    /// patterns that decide which requests the route takes (those before it, and its own), and on which
    /// key the service behind is shown: a look-up that is right for one operation under this tag is
    /// right for all.
    pub(crate) fn name(&mut self, service: &str, secret: &Secret) {
        let mut takes: Vec<String> = Vec::new();
        for (pattern, route) in &mut self.list {
            takes.push(pattern.prefix.clone());
            takes.push(pattern.methods.iter().map(|m| format!("{m} ")).collect());
            let route = Arc::make_mut(route);
            route.policy.route = tag(route, &takes, service, secret);
        }
        takes.push("*".to_owned());
        let default = Arc::make_mut(&mut self.default);
        default.policy.route = tag(default, &takes, service, secret);
    }
}

fn tag(route: &Route, takes: &[String], service: &str, secret: &Secret) -> Option<RouteTag> {
    if route.mode == Mode::Observe || route.demand == Demand::Off {
        return None;
    }
    let shown = match route.forward {
        Forward::Derived => "derived",
        Forward::Caller => "caller",
    };
    let parts = [service, shown].into_iter().chain(takes.iter().map(String::as_str));
    Some(secret.route_tag(parts.map(str::as_bytes)))
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::http::Pattern;

    fn pattern(prefix: &str, methods: &[Method]) -> Pattern {
        Pattern { prefix: prefix.to_owned(), methods: methods.to_vec() }
    }

    #[test]
    fn a_tag_changes_with_whatever_decides_which_requests_a_route_takes() {
        let secret = Secret::new(&[7; 32]);
        let charges = || pattern("/v1/charges", &[Method::POST]);
        let all = || pattern("/v1", &[]);
        let tags = |service: &str, mut routes: Routes| {
            routes.name(service, &secret);
            let named = routes.iter().map(|(_, route)| route.policy.route).collect::<Vec<_>>();
            [named, vec![routes.default_route().policy.route]].concat()
        };
        let two =
            || Routes::default().with(charges(), Route::default()).with(all(), Route::default());
        let before = tags("shop", two());
        assert!(before.iter().all(Option::is_some));
        assert_eq!(before, tags("shop", two()), "it is the same at every start");
        // One more at the end: those before it take what they took, and the default takes less.
        let more = tags("shop", two().with(pattern("/v2", &[]), Route::default()));
        assert_eq!((&more[..2], more[3] == before[2]), (&before[..2], false));
        // One more in front: what it takes, the others took.
        let front = Routes::default().with(charges(), Route::default());
        let front = front.with(pattern("/v1/refunds", &[]), Route::default());
        let front = tags("shop", front.with(all(), Route::default()));
        assert_eq!(front[0], before[0]);
        assert!(front.iter().skip(1).all(|tag| !before.contains(tag)));
        let callers = Route { forward: Forward::Caller, ..Route::default() };
        let callers = Routes::default().with(charges(), callers).with(all(), Route::default());
        assert_ne!(tags("shop", callers)[0], before[0], "the service knows another key");
        assert!(tags("other", two()).iter().all(|tag| !before.contains(tag)));
        let observed = Route { mode: Mode::Observe, ..Route::default() };
        assert_eq!(tags("shop", Routes::new(observed)), [None]);
    }
}
