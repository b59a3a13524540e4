//! `jwks_file` and `jwt_*` of `[server]`: which tokens hold, where a scope is a claim of one.

use std::path::PathBuf;

use serde_json::json;

use super::key::{Key, duration, texts};
use crate::cli::serve::ServeArgs;
use crate::cli::values;

pub(super) const KEYS: [Key<ServeArgs>; 5] = [
    Key {
        name: "jwks_file",
        set: |args, given| given.name().map(|path| args.jwt.jwks_file = Some(PathBuf::from(path))),
        get: |args| json!(args.jwt.jwks_file),
        flag: None,
    },
    Key {
        name: "jwt_issuer",
        set: |args, given| given.name().map(|name| args.jwt.jwt_issuer = Some(name.to_owned())),
        get: |args| json!(args.jwt.jwt_issuer),
        flag: None,
    },
    Key {
        name: "jwt_audience",
        set: |args, given| {
            let names = given.list(|one| one.name().map(str::to_owned));
            names.map(|names| args.jwt.jwt_audience = names)
        },
        get: |args| json!(args.jwt.jwt_audience),
        flag: None,
    },
    Key {
        name: "jwt_algorithms",
        set: |args, given| {
            let names = given.list(|one| one.read(values::signing));
            names.map(|names| args.jwt.jwt_algorithms = names)
        },
        get: |args| texts(&args.jwt.jwt_algorithms),
        flag: None,
    },
    Key {
        name: "jwt_leeway",
        set: |args, given| given.duration().map(|time| args.jwt.jwt_leeway = time),
        get: |args| duration(args.jwt.jwt_leeway),
        flag: None,
    },
];
