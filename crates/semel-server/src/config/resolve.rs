//! Which value counts: flag before environment before file before default. What `[[route]]` says of its
//! own stands above all: a flag speaks of every route, and the file has singled one out.

use std::collections::BTreeSet;

use semel::http::Route;
use semel::http::route::PrincipalSource;
use semel::http::routes::{Pattern, Routes, RoutesError};
use semel_core::Span;
use serde_json::Value;

use super::fault::Fault;
use super::file::{File, MATCHING, Table};
use super::key::Key;
use super::origin::{Explicit, Origin};
use super::{caller_keys, cors_keys, reconcile_keys, route_keys, server_keys};
use crate::cli::serve::ServeArgs;
use crate::cli::values::{self, Scope};
use crate::principals::{Principals, Unbindable};

/// A value with who decided it.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub name: &'static str,
    /// As the file would write it; null for none.
    pub value: Value,
    pub origin: Origin,
}

/// A route of the file.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    pub pattern: Pattern,
    pub route: Route,
    pub settings: Vec<Setting>,
    pub line: usize,
}

/// All settings, and what is wrong with them.
#[derive(Debug)]
pub(super) struct All {
    pub args: ServeArgs,
    pub server: Vec<Setting>,
    pub default: Resolved,
    pub routes: Vec<Resolved>,
    pub principals: Principals,
    pub faults: BTreeSet<Fault>,
}

/// Lays the file under what was given explicitly.
pub(super) fn resolve(mut args: ServeArgs, explicit: &Explicit, file: &File) -> All {
    let mut faults = BTreeSet::new();
    let server = server(&mut args, explicit, &file.server, &mut faults);
    caller_keys::check(&args, &file.server, &mut faults);
    let principals = principals(&args, file, &mut faults);
    let bound = principals.as_ref();
    let mut rules =
        Rules { args: &args, explicit, defaults: &file.defaults, bound, faults: &mut faults };
    let default = rules.resolve(&Table { line: file.defaults.line, ..Table::default() }, "*");
    let routes: Vec<Resolved> = file.routes.iter().map(|own| rules.route(own)).collect();
    let deadline = Span::from(args.keys.store_deadline);
    check(&default, &routes, file, deadline, &mut faults);
    All { args, server, default, routes, principals: principals.unwrap_or_default(), faults }
}

/// What verifies principals, where any is to be verified; `None` where it cannot be read, which is a
/// fault by itself.
fn principals(args: &ServeArgs, file: &File, faults: &mut BTreeSet<Fault>) -> Option<Principals> {
    let by_token = |table: &Table| {
        let scope = table.get("scope").and_then(|entry| entry.value.text().ok());
        scope.is_some_and(|scope| scope.starts_with("jwt:"))
    };
    let certificates = args.callers.tls_client_ca.is_some();
    let tables = [&file.defaults].into_iter().chain(&file.routes);
    if !matches!(args.scope, Scope::Jwt(_)) && !tables.into_iter().any(by_token) {
        return Some(Principals::default().with_certificates(certificates));
    }
    let read = Principals::read(&args.jwt);
    read.map(|read| read.with_certificates(certificates))
        .map_err(|Unbindable { key, why }| {
            // What is missing is missing beside the file that it would be about.
            let table = &file.server;
            let line =
                table.get(key).or_else(|| table.get("jwks_file")).map_or(0, |entry| entry.line);
            faults.insert(Fault { line, key: key.to_owned(), why });
        })
        .ok()
}

fn server(
    args: &mut ServeArgs,
    explicit: &Explicit,
    table: &Table,
    faults: &mut BTreeSet<Fault>,
) -> Vec<Setting> {
    let mut scratch = args.clone();
    let settings = server_keys::all().map(|key| {
        let given = explicit.get(key.name);
        let mut origin = given.unwrap_or(Origin::Default);
        if let Some(entry) = table.get(key.name) {
            // What a flag overrides must be right all the same: the flag may be gone tomorrow.
            let target = if given.is_some() { &mut scratch } else { &mut *args };
            if let Err(why) = (key.set)(target, &entry.value) {
                faults.insert(Fault { line: entry.line, key: entry.name.clone(), why });
            }
            origin = given.unwrap_or(Origin::File(entry.line));
        }
        Setting { name: key.name, value: (key.get)(args), origin }
    });
    settings.collect()
}

/// What the rules of routes are made from.
struct Rules<'a> {
    args: &'a ServeArgs,
    explicit: &'a Explicit,
    defaults: &'a Table,
    /// What verifies principals, where that could be read.
    bound: Option<&'a Principals>,
    faults: &'a mut BTreeSet<Fault>,
}

impl Rules<'_> {
    fn route(&mut self, own: &Table) -> Resolved {
        let [path_key, methods_key] = MATCHING;
        let path = match own.get(path_key) {
            Some(entry) => entry.value.read(prefix).unwrap_or_else(|why| {
                self.fault(entry.line, path_key, why);
                String::new()
            }),
            None => {
                let why = "a route needs the path that it is for, such as path = \"/v1/charges\"";
                self.fault(own.line, path_key, why.to_owned());
                String::new()
            }
        };
        let mut resolved = self.resolve(own, &path);
        if let Some(entry) = own.get(methods_key) {
            match entry.value.methods() {
                Ok(methods) if methods.is_empty() => {
                    let why = "it lists no method, so the route would match nothing; leave it out to match all";
                    self.fault(entry.line, methods_key, why.to_owned());
                }
                Ok(methods) => resolved.pattern.methods = methods,
                Err(why) => self.fault(entry.line, methods_key, why),
            }
        }
        resolved
    }

    /// A route's rules: its own, else a flag's, else the file's for all routes, else as they come.
    fn resolve(&mut self, own: &Table, path: &str) -> Resolved {
        let mut route = Route::gateway();
        for key in route_keys::all() {
            if let Some(take) = key.flag {
                take(&mut route, self.args);
            }
        }
        let mut origins = Vec::new();
        for key in route_keys::all() {
            origins.push(self.apply(key, own, &mut route));
        }
        let settings: Vec<Setting> = route_keys::all()
            .zip(origins)
            .map(|(key, origin)| Setting { name: key.name, value: (key.get)(&route), origin })
            .collect();
        self.finish(&mut route, own);
        let pattern = Pattern { prefix: path.to_owned(), methods: Vec::new() };
        Resolved { pattern, route, settings, line: own.line }
    }

    fn apply(&mut self, key: &Key<Route>, own: &Table, route: &mut Route) -> Origin {
        let given = self.explicit.get(key.name).filter(|_| key.flag.is_some());
        let general = self.defaults.get(key.name);
        if let (Some(entry), Some(_)) = (general, given)
            && let Err(why) = (key.set)(&mut route.clone(), &entry.value)
        {
            self.fault(entry.line, &entry.name, why);
        }
        let entry = match (own.get(key.name), given) {
            (Some(entry), _) => entry,
            (None, Some(origin)) => return origin,
            (None, None) => match general {
                Some(entry) => entry,
                None => return Origin::Default,
            },
        };
        if let Err(why) = (key.set)(route, &entry.value) {
            self.fault(entry.line, &entry.name, why);
        }
        Origin::File(entry.line)
    }

    /// What follows from several rules.
    fn finish(&mut self, route: &mut Route, own: &Table) {
        cors_keys::finish(route);
        let own_cors = own.entries.iter().find(|entry| entry.name.starts_with("cors."));
        if let (None, Some(entry)) = (&route.cors, own_cors.filter(|e| e.name != "cors.origins")) {
            let why = "it says nothing without `cors.origins`, which names who may read answers";
            self.fault(entry.line, &entry.name, why.to_owned());
        }
        reconcile_keys::finish(route);
        let own_ask = own.entries.iter().find(|entry| entry.name.starts_with("reconcile."));
        if let (None, Some(entry)) =
            (&route.reconcile, own_ask.filter(|e| e.name != "reconcile.lookup"))
        {
            let why = "it says nothing without `reconcile.lookup`, which names what is asked";
            self.fault(entry.line, &entry.name, why.to_owned());
        }
        self.bind(route, own);
        if own.get("body_memory_max").is_none() {
            route.body_memory_max = route.body_memory_max.min(route.body_max);
        }
        // The last look at the lease comes before the connection is made.
        let connecting = Span::from(self.args.traffic.connect_timeout);
        route.policy.pause = route.policy.pause.plus(connecting);
    }

    /// Gives a principal that is to be verified what verifies it.
    fn bind(&mut self, route: &mut Route, own: &Table) {
        let (PrincipalSource::Verified(verified), Some(bound)) = (&route.principal, self.bound)
        else {
            return;
        };
        let scope = values::scope(verified.name()).expect("the scope was read before by this");
        match bound.bind(&scope) {
            Ok(principal) => route.principal = principal,
            Err(Unbindable { key, why }) => {
                let entry = own.get("scope").or_else(|| self.defaults.get("scope"));
                self.fault(entry.map_or(0, |entry| entry.line), key, why);
            }
        }
    }

    fn fault(&mut self, line: usize, key: &str, why: String) {
        self.faults.insert(Fault { line, key: key.to_owned(), why });
    }
}

/// A path that routes can be found by.
fn prefix(given: &str) -> Result<String, String> {
    if let Some(sign) = given.chars().find(|c| matches!(c, '*' | '?' | '#' | ' ' | '{')) {
        let why = "a path matches itself and all below it, by whole segments";
        return Err(format!("{why}; leave `{sign}` out"));
    }
    Ok(given.to_owned())
}

/// Checks what only shows when all rules are known.
fn check(
    default: &Resolved,
    routes: &[Resolved],
    file: &File,
    deadline: Span,
    faults: &mut BTreeSet<Fault>,
) {
    let mut all = Routes::new(default.route.clone());
    if let Err(error) = all.check(deadline) {
        faults.insert(speak(&error, default, &file.defaults, file));
        return;
    }
    for (resolved, own) in routes.iter().zip(&file.routes) {
        // A path that could not be read has its fault already.
        if resolved.pattern.prefix.is_empty() {
            continue;
        }
        let with = all.clone().with(resolved.pattern.clone(), resolved.route.clone());
        match with.check(deadline) {
            Ok(()) => all = with,
            Err(error) => {
                faults.insert(speak(&error, resolved, own, file));
            }
        }
    }
}

/// A fault of a route, at the line that is the most to blame.
fn speak(error: &RoutesError, resolved: &Resolved, own: &Table, file: &File) -> Fault {
    let (keys, why) = match error {
        RoutesError::Route { prefix, source } => {
            (route_keys::at_fault(source), format!("route `{prefix}`: {source}"))
        }
        RoutesError::NoCommonMethod { .. } => {
            (&["match_methods", "methods"][..], error.to_string())
        }
        _ => (&["path"][..], error.to_string()),
    };
    let own_line = keys.iter().find_map(|key| own.get(key));
    let blamed = own_line.or_else(|| keys.iter().find_map(|key| file.defaults.get(key)));
    let key = blamed.map(|entry| entry.name.as_str()).or(keys.first().copied());
    Fault {
        line: blamed.map_or(resolved.line, |entry| entry.line),
        key: key.unwrap_or_default().to_owned(),
        why,
    }
}
