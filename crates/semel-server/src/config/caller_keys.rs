//! Keys of `[server]` for the callers' side, and what contradicts each other among them.

use std::collections::BTreeSet;

use serde_json::json;

use super::fault::Fault;
use super::file::Table;
use super::key::{bytes, duration};
use super::server_keys::{ServerKey, choice, chosen, path};
use crate::cli::serve::ServeArgs;
use crate::cli::values;
use crate::tls::ClientRule;

pub(super) const KEYS: [ServerKey; 10] = [
    ServerKey {
        name: "tls_certificate",
        set: |args, given| path(given).map(|path| args.callers.tls_certificate = path),
        get: |args| json!(args.callers.tls_certificate),
        flag: None,
    },
    ServerKey {
        name: "tls_key",
        set: |args, given| path(given).map(|path| args.callers.tls_key = path),
        get: |args| json!(args.callers.tls_key),
        flag: None,
    },
    ServerKey {
        name: "tls_client_ca",
        set: |args, given| path(given).map(|path| args.callers.tls_client_ca = path),
        get: |args| json!(args.callers.tls_client_ca),
        flag: None,
    },
    ServerKey {
        name: "tls_client",
        set: |args, given| chosen::<ClientRule>(given).map(|rule| args.callers.tls_client = rule),
        get: |args| choice(&args.callers.tls_client),
        flag: None,
    },
    ServerKey {
        name: "h2c",
        set: |args, given| given.switch().map(|on| args.callers.h2c = on),
        get: |args| json!(args.callers.h2c),
        flag: None,
    },
    ServerKey {
        name: "keep_alive",
        set: |args, given| given.duration().map(|time| args.callers.keep_alive = time),
        get: |args| duration(args.callers.keep_alive),
        flag: None,
    },
    ServerKey {
        name: "reply_pause",
        set: |args, given| given.duration().map(|time| args.callers.reply_pause = time),
        get: |args| duration(args.callers.reply_pause),
        flag: None,
    },
    ServerKey {
        name: "headers_max",
        set: |args, given| match given.count(1)? {
            max @ ..=4096 => {
                args.callers.headers_max = max;
                Ok(())
            }
            more => Err(format!("{more} is not between 1 and 4096")),
        },
        get: |args| json!(args.callers.headers_max),
        flag: None,
    },
    ServerKey {
        name: "head_max",
        set: |args, given| {
            values::head_bounds(given.bytes()?).map(|size| args.callers.head_max = size)
        },
        get: |args| bytes(args.callers.head_max),
        flag: None,
    },
    ServerKey {
        name: "streams_max",
        set: |args, given| given.count(1).map(|max| args.callers.streams_max = max),
        get: |args| json!(args.callers.streams_max),
        flag: None,
    },
];

/// What only shows when all of them are known.
pub(super) fn check(args: &ServeArgs, table: &Table, faults: &mut BTreeSet<Fault>) {
    let callers = &args.callers;
    let (certificate, key) = (callers.tls_certificate.is_some(), callers.tls_key.is_some());
    let mut fault = |key: &str, why: &str| {
        let line = table.get(key).map_or(0, |entry| entry.line);
        faults.insert(Fault { line, key: key.to_owned(), why: why.to_owned() });
    };
    if certificate && !key {
        fault(
            "tls_certificate",
            "a certificate is of no use without its private key; give `tls_key`, too",
        );
    }
    if key && !certificate {
        fault(
            "tls_key",
            "a private key is of no use without its certificate; give `tls_certificate`, too",
        );
    }
    if callers.tls_client_ca.is_some() && !certificate {
        fault(
            "tls_client_ca",
            "callers show certificates under TLS only; give `tls_certificate` and `tls_key`, too",
        );
    }
    if callers.tls_client != ClientRule::default() && callers.tls_client_ca.is_none() {
        fault(
            "tls_client",
            "it says nothing without `tls_client_ca`, the authorities by which a certificate is checked",
        );
    }
    if callers.h2c && certificate {
        fault(
            "h2c",
            "it is HTTP/2 without TLS, and with `tls_certificate` there is nothing without TLS; under TLS \
             HTTP/2 is spoken in any case",
        );
    }
}
