//! The configuration file of `semel serve`, laid under flags and environment.
//!
//! The path: `file` reads the text into tables and names what it does not know, [`resolve`] decides
//! which value counts and where it comes from, and what could never work is refused with its line.
//! Nothing is begun before all of it is right. No key holds a secret: files that hold one are named.

mod caller_keys;
mod compare_keys;
mod cors_keys;
mod fault;
mod file;
mod given;
mod grpc_keys;
mod jwt_keys;
mod key;
mod origin;
mod quota_keys;
mod reconcile_keys;
mod resolve;
mod route_keys;
mod server_keys;
#[cfg(test)]
mod tests;

use semel::http::Route;
use semel::http::routes::Routes;
use semel::layer::Protection;
use semel_core::{Earlier, Timestamp};

use crate::cli::serve::ServeArgs;
use crate::gateway::Target;
use crate::memories::Remembers;
use crate::principals::Principals;

pub(crate) use fault::{ConfigError, Faults};
pub(crate) use origin::Explicit;
pub(crate) use resolve::{Resolved, Setting};

/// The file that names every key with its default.
pub(crate) const REFERENCE: &str = include_str!("../../semel.default.toml");

/// What a server runs by.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// All that is one for the whole process.
    pub args: ServeArgs,
    /// The file's path as it was given; empty for none.
    pub file: String,
    /// With their origins.
    pub server: Vec<Setting>,
    /// The rules of what no route of the file matches.
    pub default: Resolved,
    /// The routes of the file, in order.
    pub routes: Vec<Resolved>,
    /// What verifies the principals of routes.
    pub principals: Principals,
}

impl Settings {
    /// By flags and environment, and the file that they name.
    ///
    /// # Errors
    /// [`ConfigError`], with all that is wrong.
    pub(crate) fn load(args: ServeArgs, explicit: &Explicit) -> Result<Self, ConfigError> {
        let Some(path) = args.config.clone() else {
            return Self::read(args, explicit, "", "");
        };
        let file = path.display().to_string();
        let text = std::fs::read_to_string(&path)
            .map_err(|source| ConfigError::Unreadable { file: file.clone(), source })?;
        Self::read(args, explicit, &file, &text)
    }

    /// By flags alone.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub(crate) fn of_flags(args: ServeArgs) -> Result<Self, ConfigError> {
        Self::read(args, &Explicit::default(), "", "")
    }

    fn read(
        args: ServeArgs,
        explicit: &Explicit,
        file: &str,
        text: &str,
    ) -> Result<Self, ConfigError> {
        let (tables, mut faults) = file::parse(text);
        let all = resolve::resolve(args, explicit, &tables);
        faults.extend(all.faults);
        faults.sort();
        if !faults.is_empty() {
            return Err(ConfigError::Wrong(Faults { file: file.to_owned(), list: faults }));
        }
        let (args, server, default, routes) = (all.args, all.server, all.default, all.routes);
        let principals = all.principals;
        Ok(Self { args, file: file.to_owned(), server, default, routes, principals })
    }

    /// The API to protect.
    ///
    /// # Errors
    /// When nobody named one.
    pub(crate) fn upstream(&self) -> Result<Target, ConfigError> {
        self.args.upstream.clone().ok_or(ConfigError::NoUpstream)
    }

    /// The largest reply that any route keeps.
    pub(crate) fn reply_max(&self) -> u64 {
        let largest = self.routes.iter().map(|resolved| resolved.route.reply_max).max();
        largest.unwrap_or(0).max(self.default.route.reply_max)
    }

    /// How long each route remembers, of those on which keys count.
    pub(crate) fn remember(&self) -> Vec<Remembers> {
        let routes = self.routes.iter().map(|resolved| (Some(&resolved.pattern), &resolved.route));
        let all = [(None, &self.default.route)].into_iter().chain(routes);
        all.filter_map(|(pattern, route)| Remembers::of(pattern, route)).collect()
    }

    /// What the layer protects. `birth`: when the store was accepted in place of another, if it was;
    /// `earlier`: how long was remembered before, where it was shorter.
    pub(crate) fn protection(&self, birth: Timestamp, earlier: Option<Earlier>) -> Protection {
        let born = |route: &Route| {
            let mut route = route.clone();
            (route.policy.birth, route.policy.earlier) = (birth, earlier);
            route
        };
        let mut routes = Routes::new(born(&self.default.route));
        for Resolved { pattern, route, .. } in &self.routes {
            routes = routes.with(pattern.clone(), born(route));
        }
        Protection::new(self.args.service.clone(), routes)
    }
}
