//! `[server]`: what the flags of `semel serve` say of the whole process, under the same names.

use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::caller_keys;
use super::given::Given;
use super::jwt_keys;
use super::key::{Key, duration};
use crate::cli::serve::ServeArgs;
use crate::cli::values;
use crate::gateway::Forwarding;
use crate::telemetry::LogFormat;

pub(super) type ServerKey = Key<ServeArgs>;

/// Every key of the section.
pub(super) fn all() -> impl Iterator<Item = &'static ServerKey> {
    KEYS.iter().chain(&caller_keys::KEYS).chain(&jwt_keys::KEYS)
}

const KEYS: [ServerKey; 21] = [
    ServerKey {
        name: "upstream",
        // Not repeated in an error: it may hold a password.
        set: |args, given| values::upstream(given.text()?).map(|url| args.upstream = Some(url)),
        get: |args| json!(args.upstream.as_ref().map(ToString::to_string)),
        flag: None,
    },
    ServerKey {
        name: "listen",
        set: |args, given| given.read(address).map(|at| args.listen = at),
        get: |args| json!(args.listen),
        flag: None,
    },
    ServerKey {
        name: "admin",
        set: |args, given| given.read(address).map(|at| args.admin = at),
        get: |args| json!(args.admin),
        flag: None,
    },
    ServerKey {
        name: "admin_token_file",
        set: |args, given| path(given).map(|path| args.admin_token_file = path),
        get: |args| json!(args.admin_token_file),
        flag: None,
    },
    ServerKey {
        name: "audit_file",
        set: |args, given| path(given).map(|path| args.audit_file = path),
        get: |args| json!(args.audit_file),
        flag: None,
    },
    ServerKey {
        name: "store",
        set: |args, given| given.read(values::store).map(|store| args.store = store),
        get: |args| json!(args.store.to_string()),
        flag: None,
    },
    ServerKey {
        name: "secret_file",
        set: |args, given| path(given).map(|path| args.secret_file = path),
        get: |args| json!(args.secret_file),
        flag: None,
    },
    ServerKey {
        name: "service",
        set: |args, given| given.name().map(|name| args.service = name.to_owned()),
        get: |args| json!(args.service),
        flag: None,
    },
    ServerKey {
        name: "store_deadline",
        set: |args, given| given.duration().map(|time| args.keys.store_deadline = time),
        get: |args| duration(args.keys.store_deadline),
        flag: None,
    },
    ServerKey {
        name: "in_flight_max",
        set: |args, given| given.count(1).map(|max| args.keys.in_flight_max = max),
        get: |args| json!(args.keys.in_flight_max),
        flag: None,
    },
    ServerKey {
        name: "connect_timeout",
        set: |args, given| given.duration().map(|time| args.traffic.connect_timeout = time),
        get: |args| duration(args.traffic.connect_timeout),
        flag: None,
    },
    ServerKey {
        name: "reply_timeout",
        set: |args, given| given.duration().map(|time| args.traffic.reply_timeout = time),
        get: |args| duration(args.traffic.reply_timeout),
        flag: None,
    },
    ServerKey {
        name: "idle_timeout",
        set: |args, given| given.duration().map(|time| args.traffic.idle_timeout = time),
        get: |args| duration(args.traffic.idle_timeout),
        flag: None,
    },
    ServerKey {
        name: "head_timeout",
        set: |args, given| given.duration().map(|time| args.traffic.head_timeout = time),
        get: |args| duration(args.traffic.head_timeout),
        flag: None,
    },
    ServerKey {
        name: "body_pause",
        set: |args, given| given.duration().map(|time| args.traffic.body_pause = time),
        get: |args| duration(args.traffic.body_pause),
        flag: None,
    },
    ServerKey {
        name: "connections_max",
        set: |args, given| given.count(1).map(|max| args.traffic.connections_max = max),
        get: |args| json!(args.traffic.connections_max),
        flag: None,
    },
    ServerKey {
        name: "drain",
        set: |args, given| given.duration().map(|time| args.traffic.drain = time),
        get: |args| duration(args.traffic.drain),
        flag: None,
    },
    ServerKey {
        name: "own_host",
        set: |args, given| given.switch().map(|own| args.traffic.own_host = own),
        get: |args| json!(args.traffic.own_host),
        flag: None,
    },
    ServerKey {
        name: "forwarded",
        set: |args, given| chosen::<Forwarding>(given).map(|rule| args.traffic.forwarded = rule),
        get: |args| choice(&args.traffic.forwarded),
        flag: None,
    },
    ServerKey {
        name: "log",
        set: |args, given| given.name().map(|filter| args.logs.log = filter.to_owned()),
        get: |args| json!(args.logs.log),
        flag: None,
    },
    ServerKey {
        name: "log_format",
        set: |args, given| chosen::<LogFormat>(given).map(|format| args.logs.log_format = format),
        get: |args| choice(&args.logs.log_format),
        flag: None,
    },
];

fn address(given: &str) -> Result<std::net::SocketAddr, String> {
    given.parse().map_err(|_| "write an address and a port, like 127.0.0.1:8080".to_owned())
}

pub(super) fn path(given: &Given) -> Result<Option<PathBuf>, String> {
    given.name().map(|path| Some(PathBuf::from(path)))
}

/// One of the words that the flag takes.
pub(super) fn chosen<T: ValueEnum + Copy + 'static>(given: &Given) -> Result<T, String> {
    let named = |variant: &T| variant.to_possible_value();
    let names: Vec<_> = T::value_variants().iter().filter_map(named).collect();
    let text = given.text()?;
    T::from_str(text, false).map_err(|_| {
        let names: Vec<String> = names.iter().map(|n| format!("\"{}\"", n.get_name())).collect();
        format!("\"{text}\" is not known here; use {}", names.join(" or "))
    })
}

pub(super) fn choice<T: ValueEnum>(chosen: &T) -> Value {
    json!(chosen.to_possible_value().map(|value| value.get_name().to_owned()))
}
