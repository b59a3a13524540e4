use std::path::Path;

use clap::{CommandFactory, FromArgMatches, Parser};
use http::Method;
use semel::http::Route;
use semel::http::grpc::GrpcRules;
use semel::http::route::{Demand, Reauthorize};
use semel_core::fingerprint::FingerprintRules;
use semel_core::{Policy, Span};

use super::resolve::Setting;
use super::{ConfigError, Explicit, REFERENCE, Settings, route_keys, server_keys};
use crate::cli::serve::ServeArgs;

#[derive(Debug, Parser)]
#[command(no_binary_name = true)]
struct Flags {
    #[command(flatten)]
    serve: ServeArgs,
}

fn read(flags: &[&str], text: &str) -> Result<Settings, ConfigError> {
    let matches = Flags::command().try_get_matches_from(flags).unwrap();
    let explicit = Explicit::of(&matches);
    let args = Flags::from_arg_matches(&matches).unwrap().serve;
    Settings::read(args, &explicit, "semel.toml", text)
}

fn faults(text: &str) -> String {
    match read(&[], text) {
        Ok(settings) => panic!("it was taken: {settings:?}"),
        Err(error) => error.to_string(),
    }
}

fn origin(settings: &[Setting], name: &str) -> String {
    let setting = settings.iter().find(|setting| setting.name == name).unwrap();
    format!("{} {}", setting.value, setting.origin.name("f"))
}

/// The reference file with every key as if it were set.
fn set() -> String {
    let lines = REFERENCE.lines().map(|line| match line.strip_prefix('#') {
        Some(key) if !key.starts_with(' ') => key,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_reference_file_names_every_key_with_its_default() {
    assert_eq!(read(&[], REFERENCE).unwrap().args.upstream, None, "it sets nothing by itself");
    let (told, built_in) = (read(&[], &set()).unwrap(), read(&[], "").unwrap());
    assert_eq!(told.default.route, built_in.default.route);
    // Those that come without a value stand there as an example.
    let examples = [
        "upstream",
        "admin_token_file",
        "audit_file",
        "secret_file",
        "tls_certificate",
        "tls_key",
        "tls_client_ca",
        "jwks_file",
        "jwt_issuer",
    ];
    for (told, built_in) in told.server.iter().zip(&built_in.server) {
        let example = examples.contains(&told.name);
        assert_eq!(built_in.value.is_null(), example, "{}", told.name);
        assert!(example || told.value == built_in.value, "{told:?} {built_in:?}");
    }
    for (told, built_in) in told.default.settings.iter().zip(&built_in.default.settings) {
        assert_eq!((told.name, &told.value), (built_in.name, &built_in.value));
    }
    for setting in told.server.iter().chain(&told.default.settings) {
        assert!(setting.origin.name("f").starts_with("f:"), "{} is not named", setting.name);
    }
}

#[test]
fn every_rule_of_a_route_has_a_key() {
    // Without `..`: who adds a rule must come by here and give it a key.
    let Route {
        mode: _,
        methods: _,
        demand: _,
        key: _,
        key_format: _,
        on_weak: _,
        principal: _,
        wait_max: _,
        body_memory_max: _,
        body_max: _,
        reply_max: _,
        no_effect: _,
        doubt_on: _,
        grpc,
        forward: _,
        store_down: _,
        fingerprint,
        quota: _,
        reauthorize: _,
        reconcile: _,
        cors: _,
        settle_wait: _,
        policy,
    } = Route::gateway();
    let GrpcRules { no_effect: _, doubt_on: _ } = grpc;
    let FingerprintRules { json: _, forms: _, exclude: _, include: _, headers: _ } = fingerprint;
    let Policy {
        lease: _,
        ceiling: _,
        on_lapse: _,
        attempts_max: _,
        retention: _,
        memory: _,
        max_upstream: _,
        pause: _,
        skew: _,
        // Not the file's to say: the store and its note know it.
        birth: _,
        earlier: _,
        // The layer names its routes itself.
        route: _,
    } = policy;
    let text = "[[route]]\npath = \"/p\"\nmode = \"observe\"\nrequired = \"required\"\nmethods = [\"PUT\"]
key_in = \"body:/k\"\nkey_format = \"uuid\"\nweak = \"reject\"\nscope = \"header:X-Who\"
body_max = \"2MiB\"\nbody_memory_max = 10\nreply_max = 11\nno_effect = [402]\ndoubt_on = [500]
forward = \"caller\"\nstore_down = \"pass\"\nreauthorize = \"GET /me\"\nwait = \"1s\"\nsettle_wait = \"2s\"
retention = \"2d\"\nmemory = \"forever\"\nlease = \"11s\"\nceiling = \"12s\"\non_lapse = \"rerun\"
attempts_max = 2\nmax_upstream = \"13s\"\npause = \"14s\"\nskew = \"15s\"\nquota.keys = \"9/1m\"
quota.bytes = \"8KiB/2m\"\nquota.per_second = 7\nquota.in_flight = 6
grpc.no_effect = []\ngrpc.doubt_on = [\"INTERNAL\"]
fingerprint.numbers = \"exact-spelling\"\nfingerprint.forms = \"bytes\"\nfingerprint.exclude = [\"/a\"]
fingerprint.include = [\"/b\"]\nfingerprint.headers = [\"X-C\"]\ncors.origins = [\"https://s.example\"]
reconcile.lookup = \"GET /c/{key}\"
reconcile.found = \"/d\"\nreconcile.not_found = [404]\nreconcile.consistent = true
reconcile.header_file = \"/dev/null\"\ncors.credentials = true\ncors.expose = [\"X-D\"]\ncors.max_age = \"3m\"\n";
    let settings = read(&[], text).unwrap();
    let route = &settings.routes[0];
    let default = &settings.default;
    for (set, built_in) in route.settings.iter().zip(&default.settings) {
        let differs = set.value != built_in.value;
        assert!(differs || set.name == "fingerprint.json", "{} is not taken", set.name);
    }
    let (route, default) = (&route.route, &default.route);
    let same = [
        route.mode == default.mode,
        route.demand == default.demand,
        route.key == default.key,
        route.principal == default.principal,
        route.fingerprint == default.fingerprint,
        route.cors == default.cors,
        route.grpc == default.grpc,
        route.quota == default.quota,
        route.policy.on_lapse == default.policy.on_lapse,
    ];
    assert_eq!(same, [false; 9]);
    // The grace also covers the making of the connection.
    assert_eq!(route.policy.pause, Span::from_secs(14 + 5));
}

#[test]
fn what_is_shown_can_be_read_again() {
    let text = "[defaults]\nquota.keys = \"9/90s\"\nquota.bytes = \"1MiB/2d\"\nretention = \"49h\"\nbody_max = 1500\ncors.origins = [\"*\"]";
    let first = read(&["--pause", "250ms"], text).unwrap();
    let shown = first.default.settings.iter().map(|s| format!("{} = {}", s.name, s.value));
    let shown = shown.collect::<Vec<_>>().join("\n");
    let again = read(&[], &format!("[defaults]\n{shown}\n")).unwrap();
    assert_eq!(again.default.route, first.default.route);
}

#[test]
fn a_flag_stands_above_the_file_and_the_routes_own_above_all() {
    let text = "[server]\nservice = \"shop\"\nstore_deadline = \"2s\"\n[defaults]\nwait = \"2s\"
lease = \"20s\"\n[[route]]\npath = \"/a\"\nwait = \"3s\"\n[[route]]\npath = \"/b\"\n";
    let settings = read(&["--wait", "1s", "--service", "till"], text).unwrap();
    let (default, [a, b]) = (&settings.default, &settings.routes[..]) else { panic!() };
    assert_eq!(origin(&default.settings, "wait"), "\"1s\" flag");
    assert_eq!(origin(&default.settings, "lease"), "\"20s\" f:6");
    assert_eq!(origin(&default.settings, "memory"), "\"30d\" default");
    assert_eq!(origin(&a.settings, "wait"), "\"3s\" f:9");
    assert_eq!(origin(&b.settings, "wait"), "\"1s\" flag");
    assert_eq!(origin(&b.settings, "lease"), "\"20s\" f:6");
    assert_eq!(origin(&settings.server, "service"), "\"till\" flag");
    assert_eq!(origin(&settings.server, "store_deadline"), "\"2s\" f:3");
    assert_eq!((settings.args.service.as_str(), a.line), ("till", 7));
    assert_eq!(a.route.wait_max, Span::from_secs(3));
    assert_eq!(
        (default.route.wait_max, b.route.wait_max),
        (Span::from_secs(1), Span::from_secs(1))
    );
}

#[test]
fn a_route_can_take_back_what_the_defaults_say() {
    let text = "[defaults]\nrequired = \"required\"\nquota.keys = \"1/1s\"\nreauthorize = \"GET /me\"
cors.origins = [\"*\"]\n[[route]]\npath = \"/a\"\nmatch_methods = [\"PUT\", \"POST\"]\nrequired = \"off\"
quota.keys = \"off\"\nreauthorize = \"off\"\ncors.origins = []\n";
    let settings = read(&[], text).unwrap();
    let (default, a) = (&settings.default.route, &settings.routes[0]);
    let me = Reauthorize { method: Method::GET, path: "/me".to_owned() };
    assert_eq!((default.demand, &default.reauthorize), (Demand::Required, &Some(me)));
    assert!(default.cors.is_some() && !default.quota.is_none());
    assert_eq!((a.route.demand, &a.route.reauthorize), (Demand::Off, &None));
    assert!(a.route.cors.is_none() && a.route.quota.is_none());
    assert_eq!(a.pattern.methods, [Method::PUT, Method::POST]);
}

#[test]
fn what_is_wrong_is_named_with_its_line_its_key_and_the_nearest_right_one() {
    for (text, told) in [
        (
            "[defaults]\n\nwiat = \"1s\"",
            "semel.toml:3: `wiat`: [defaults] has no such key; did you mean `wait`?",
        ),
        ("[defaults]\nexclude = []", "did you mean `fingerprint.exclude`?"),
        (
            "[defaults.fingerprint]\nexclud = []",
            "semel.toml:2: `fingerprint.exclud`: [defaults] has no such key; did you mean `fingerprint.exclude`?",
        ),
        (
            "[defaults]\nstore = \"memory:\"",
            "semel.toml:2: `store`: it belongs under [server], not [defaults]",
        ),
        ("[server]\nwait = \"1s\"", "`wait`: it belongs under [defaults], not [server]"),
        ("[defaults]\npath = \"/a\"", "`path`: it belongs under [[route]], not [defaults]"),
        ("wait = \"1s\"", "semel.toml:1: `wait`: it belongs under [defaults]"),
        ("[[routes]]\npath = \"/\"", "did you mean [[route]]?"),
        ("[route]\npath = \"/\"", "write [[route]]"),
        ("[sever]\n", "did you mean [server]?"),
        ("[server]\nadmin_token = \"s3cret\"", "no secret stands in this file"),
        (
            "[defaults]\nwait = 10",
            "semel.toml:2: `wait`: a length of time is a text with its unit; did you mean \"10s\"?",
        ),
        ("[defaults]\nwait = \"10\"", "did you mean `10s`?"),
        ("[defaults]\nwait = \"forever\"", "it must end"),
        (
            "[defaults]\nrequired = true",
            "it wants a text in quotation marks, and was given true or false",
        ),
        ("[defaults]\nrequired = \"require\"", "did you mean \"required\"?"),
        ("[defaults]\nmethods = \"POST\"", "it wants a list in brackets, and was given a text"),
        ("[defaults]\nmethods = [\"post\"]", "\"post\": did you mean `POST`?"),
        (
            "[defaults]\nmethods = [\"GET\"]",
            "semel.toml:2: `methods`: route `*`: GET bears no idempotency key",
        ),
        ("[defaults]\nkey_in = \"/k\"", "did you mean `body:/k`?"),
        ("[defaults]\nkey_in = \"X-Key\"", "did you mean `header:X-Key`?"),
        ("[defaults]\nattempts_max = 0", "0 is not between 1 and"),
        ("[defaults]\nno_effect = [200]", "2xx and 3xx mean that it happened"),
        ("[defaults]\nno_effect = [503]", "it cannot be proof and doubt at once"),
        ("[defaults]\ngrpc.no_effect = [\"OK\"]", "its key would run twice"),
        ("[defaults]\ngrpc.no_effect = [\"UNAVAILABLE\"]", "it cannot be proof and doubt at once"),
        ("[defaults]\ngrpc.doubt_on = [\"unavailible\"]", "did you mean `UNAVAILABLE`?"),
        ("[defaults]\nreauthorize = \"POST /me\"", "must be a safe method"),
        ("[defaults]\nreconcile.lookup = \"/c\"", "write a method and a path"),
        ("[defaults]\nreconcile.lookup = \"POST /{derived_key}\"", "use GET"),
        ("[defaults]\nreconcile.lookup = \"GET /c\"", "names no key"),
        ("[defaults]\nreconcile.lookup = \"GET /{key}\"", "the service never sees on this route"),
        ("[defaults]\nreconcile.header_file = \"/no/such\"", "cannot be read"),
        (
            "[[route]]\npath = \"/a\"\nreconcile.not_found = [404]",
            "semel.toml:3: `reconcile.not_found`: it says nothing without `reconcile.lookup`",
        ),
        ("[defaults]\nquota.keys = \"10\"", "write how much and in which length of time"),
        ("[defaults]\nquota.bytes = \"x/1h\"", "like \"64MiB/24h\""),
        (
            "[defaults]\nquota = \"1000/1h\"",
            "semel.toml:2: `quota`: it is a group of keys; name the one that is meant: quota.keys, quota.bytes",
        ),
        ("[defaults]\nquota.keys = \"0/1h\"", "lets nobody begin a key"),
        (
            "[defaults]\nfingerprint.json = \"bytes\"\nfingerprint.numbers = \"exact-spelling\"",
            "semel.toml:3: `fingerprint.numbers`: JSON is compared by its bytes",
        ),
        (
            "[defaults]\ncors.origins = [\"*\"]\ncors.credentials = true",
            "semel.toml:2: `cors.origins`: route `*`",
        ),
        (
            "[[route]]\npath = \"/a\"\ncors.credentials = true",
            "`cors.credentials`: it says nothing without `cors.origins`",
        ),
        (
            "[defaults]\nmemory = \"1h\"\nretention = \"2h\"",
            "semel.toml:2: `memory`: route `*`: memory (1 h) is shorter",
        ),
        ("[[route]]\npath = \"/a\"\n\nlease = \"4s\"", "semel.toml:4: `lease`: route `/a`"),
        ("[[route]]\nrequired = \"off\"", "semel.toml:1: `path`: a route needs the path"),
        ("[[route]]\npath = \"/v1/*\"", "leave `*` out"),
        ("[[route]]\npath = \"v1\"", "does not begin with `/`"),
        ("[[route]]\npath = \"/.well-known/idempotency\"", "where Semel answers for itself"),
        (
            "[[route]]\npath = \"/a\"\n[[route]]\npath = \"/a/b\"",
            "semel.toml:4: `path`: route `/a/b` is never reached",
        ),
        ("[[route]]\npath = \"/a\"\nmatch_methods = []", "it lists no method"),
        (
            "[[route]]\npath = \"/a\"\nmatch_methods = [\"PUT\"]",
            "semel.toml:3: `match_methods`: route `/a` matches no method on which keys count",
        ),
        ("[defaults]\nscope = \"jwt\"", "semel.toml:2: `scope`: \"jwt\": write the claim"),
        (
            "[[route]]\npath = \"/a\"\nscope = \"jwt:sub\"",
            "semel.toml:3: `scope`: no token can be verified without `jwks_file` under [server]",
        ),
        (
            "[server]\njwks_file = \"/nowhere\"\n[defaults]\nscope = \"jwt:sub\"",
            "semel.toml:2: `jwt_issuer`: with `jwks_file`, it must say who makes the tokens",
        ),
        (
            "[server]\njwt_issuer = \"i\"\njwks_file = \"/nowhere\"\n[defaults]\nscope = \"jwt:sub\"",
            "semel.toml:3: `jwt_audience`: with `jwks_file`, it must name this API",
        ),
        (
            "[server]\njwt_issuer = \"i\"\njwt_audience = [\"a\"]\njwks_file = \"/nowhere\"\n[defaults]\nscope = \"jwt:sub\"",
            "semel.toml:4: `jwks_file`: /nowhere cannot be read",
        ),
        (
            "[server]\njwt_algorithms = [\"none\"]",
            "semel.toml:2: `jwt_algorithms`: \"none\": whoever likes could make such a token",
        ),
        ("[server]\njwt_algorithms = [\"RS265\"]", "did you mean `RS256`?"),
        ("[server]\nlisten = \"8080\"", "write an address and a port"),
        ("[server]\nown_host = \"yes\"", "true or false, without quotation marks"),
        ("[server]\nforwarded = \"drop\"", "use \"append\" or \"replace\" or \"off\""),
        ("[server]\nupstream = \"http://a:b@host\"", "holds credentials"),
        ("[server]\nlisten = 1\n[server]\n", "semel.toml:3: it is no TOML: duplicate key"),
        ("[server\n", "semel.toml:1: it is no TOML"),
    ] {
        let said = faults(text);
        assert!(said.contains(told), "{text}\nsays {said}\nnot  {told}");
        assert!(!said.contains("s3cret") && !said.contains("a:b"), "a secret is told: {said}");
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once_and_by_line() {
    let said =
        faults("[[route]]\npath = \"/a\"\nwiat = \"1s\"\nlease = 3\n[defaults]\nweak = \"no\"\n");
    let lines: Vec<&str> = said.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(lines, ["semel.toml:3", "semel.toml:4", "semel.toml:6"]);
    // Also what a flag overrides: it may be gone tomorrow.
    let overridden = read(&["--wait", "1s"], "[defaults]\nwait = \"x\"").unwrap_err();
    assert!(overridden.to_string().starts_with("semel.toml:2: `wait`"), "{overridden}");
}

#[test]
fn the_page_names_the_same_keys_and_defaults() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/config.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let told: Vec<(&str, &str)> = rows
        .filter_map(|row| {
            let (key, rest) = row.split_once("` | ")?;
            Some((key, rest.split(" | ").next()?))
        })
        .collect();
    let built_in = read(&[], "").unwrap();
    let settings = built_in.server.iter().chain(&built_in.default.settings);
    let mut known = vec![("path", "–".to_owned()), ("match_methods", "–".to_owned())];
    known.extend(settings.map(|setting| match setting.value.is_null() {
        true => (setting.name, "–".to_owned()),
        false => (setting.name, format!("`{}`", setting.value)),
    }));
    let names = |list: &[(&str, &str)]| {
        let mut names: Vec<_> =
            list.iter().map(|(key, default)| format!("{key} {default}")).collect();
        names.sort();
        names
    };
    let known: Vec<(&str, &str)> =
        known.iter().map(|(key, value)| (*key, value.as_str())).collect();
    assert_eq!(names(&told), names(&known));
    assert_eq!(known.len(), 2 + server_keys::all().count() + route_keys::all().count());
}
