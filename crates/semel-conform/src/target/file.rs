//! The target file: TOML, read strictly. A wrong line is told with its number, the key, and the
//! nearest right one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::{
    Control, Effects, Resource, Sent, Shape, SideEffect, SideEffectKind, Target, Template,
    TemplateError, Timing,
};
use crate::behaviour::Behaviour;
use crate::nearest::nearest;
use crate::wire::{Address, AddressError, Transport, TransportError, Wanted};

/// Why a target file describes nothing that can be tested.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The file could not be read.
    #[error("{path}: {error}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// It is no TOML, or a key is unknown or of another kind.
    #[error("{0}")]
    Toml(String),
    /// A URL.
    #[error("url: {0}")]
    Url(#[from] AddressError),
    /// How it is to be spoken to.
    #[error("tls: {0}")]
    Tls(#[from] TransportError),
    /// A template.
    #[error("{place}: {error}")]
    Template {
        /// Which.
        place: String,
        /// Why.
        error: TemplateError,
    },
    /// A value.
    #[error("{place}: {what}")]
    Value {
        /// Which.
        place: String,
        /// What is wrong, and what would do.
        what: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Option<String>,
    url: String,
    http: Option<String>,
    tls: Option<TlsFile>,
    key_header: Option<String>,
    read: Option<String>,
    published: Option<String>,
    other_host: Option<String>,
    operation: Option<ShapeFile>,
    #[serde(default)]
    behaviours: Vec<String>,
    #[serde(default)]
    behaviour: BTreeMap<String, Change>,
    other_operation: Option<ShapeFile>,
    tenant_a: Option<Tenant>,
    tenant_b: Option<Tenant>,
    rotated: Option<Tenant>,
    effects: EffectsFile,
    #[serde(default)]
    timing: TimingFile,
    #[serde(default)]
    control: ControlFile,
    resource: Option<ResourceFile>,
    #[serde(default)]
    side_effect: Vec<SideEffectFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsFile {
    cacert: Option<PathBuf>,
    #[serde(default)]
    insecure: bool,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShapeFile {
    #[serde(default = "post")]
    method: String,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
}

fn post() -> String {
    "POST".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    method: Option<String>,
    path: Option<String>,
    headers: Option<BTreeMap<String, String>>,
    body: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tenant {
    headers: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EffectsFile {
    probe: Option<String>,
    pointer: Option<String>,
    command: Option<String>,
    origin: Option<SocketAddr>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TimingFile {
    lease: Option<String>,
    retention: Option<String>,
    memory: Option<String>,
    settles_within: Option<String>,
    upstream_timeout: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ControlFile {
    kill: Option<String>,
    stop: Option<String>,
    start: Option<String>,
    store_down: Option<String>,
    store_slow: Option<String>,
    store_read_only: Option<String>,
    store_empty: Option<String>,
    store_answer_lost: Option<String>,
    store_up: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourceFile {
    path: String,
    body: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    requires_match: bool,
    #[serde(default)]
    versioned: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SideEffectFile {
    kind: String,
    receiver: Option<SocketAddr>,
    probe: Option<String>,
    pointer: Option<String>,
    command: Option<String>,
}

/// Reads a target file.
///
/// # Errors
/// With the file's name, the line and what would do.
pub fn read(path: &Path) -> Result<Target, TargetError> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| TargetError::Read { path: shown.clone(), error })?;
    parse(&text).map_err(|error| match error {
        TargetError::Toml(message) => TargetError::Toml(format!("{shown}: {message}")),
        other => TargetError::Value { place: shown, what: other.to_string() },
    })
}

/// Reads the text of a target file.
///
/// # Errors
/// With the line and what would do.
pub fn parse(text: &str) -> Result<Target, TargetError> {
    let file: File =
        toml::from_str(text).map_err(|error| TargetError::Toml(explain(&error.to_string())))?;
    let origin = file.effects.origin.is_some();
    let plain = match (file.operation, origin) {
        (Some(operation), _) => operation,
        (None, true) => charge("/charges"),
        (None, false) => {
            let what = "[operation] is missing: say how the operation is sent".to_owned();
            return Err(TargetError::Value { place: "operation".to_owned(), what });
        }
    };
    let operation = shape("operation", &plain)?;
    let behaviours = behaviours(&plain, &file.behaviours, &file.behaviour, origin)?;
    let other = file.other_operation.or_else(|| origin.then(|| charge("/refunds")));
    let other = other.as_ref();
    let bearer = |name: &str| {
        let value = format!("Bearer {name}");
        origin.then(|| Tenant { headers: BTreeMap::from([("Authorization".to_owned(), value)]) })
    };
    let probe = |path: &str| origin.then(|| path.to_owned());
    let read = file.read.or_else(|| probe("/charges?reference={unique}"));
    let read = read.map(|text| path("read", &text)).transpose()?;
    let transport = transport(file.http.as_deref(), file.tls)?;
    let resource_file = file.resource.or_else(|| origin.then(document));
    Ok(Target {
        name: file.name.unwrap_or_else(|| file.url.clone()),
        address: Address::parse(&file.url)?.over(&transport)?,
        transport,
        key_header: file.key_header.unwrap_or_else(|| "Idempotency-Key".to_owned()),
        operation,
        behaviours,
        other_operation: other.map(|other| shape("other_operation", other)).transpose()?,
        tenant_a: file.tenant_a.or_else(|| bearer("conform-a")).map(tenant).unwrap_or_default(),
        tenant_b: file.tenant_b.or_else(|| bearer("conform-b")).map(tenant),
        rotated: file.rotated.map(tenant),
        other_host: file.other_host,
        effects: effects(file.effects)?,
        read,
        published: file.published,
        timing: timing(&file.timing)?,
        control: control(file.control),
        resource: resource_file.map(resource).transpose()?,
        side_effects: file.side_effect.into_iter().map(side_effect).collect::<Result<_, _>>()?,
    })
}

fn transport(http: Option<&str>, tls: Option<TlsFile>) -> Result<Transport, TargetError> {
    let http = match http {
        None => Wanted::default(),
        Some(name) => Wanted::named(name).ok_or_else(|| {
            let what = format!("`{name}` is no HTTP of the tester's: write auto, 1.1 or 2");
            TargetError::Value { place: "http".to_owned(), what }
        })?,
    };
    let Some(TlsFile { cacert, insecure, cert, key }) = tls else {
        return Ok(Transport { http, ..Transport::default() });
    };
    let identity = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        _ => {
            let what = "a certificate and its key come together: say tls.cert and tls.key";
            return Err(TargetError::Value { place: "tls".to_owned(), what: what.to_owned() });
        }
    };
    Ok(Transport { http, cacert, insecure, identity })
}

/// An unknown key gets the nearest known one beside it.
fn explain(message: &str) -> String {
    let message = message.trim_end();
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let near = match quoted.split_first() {
        Some((given, known)) if message.contains("unknown field") => {
            nearest(given, known.iter().copied())
        }
        _ => None,
    };
    match near {
        Some(near) => format!("{message}\ndid you mean `{near}`?"),
        None => message.to_owned(),
    }
}

fn unknown_behaviour(name: &str) -> TargetError {
    let names = Behaviour::ALL.map(Behaviour::name);
    let near = nearest(name, names);
    let what = match near {
        Some(near) => format!("there is no such behaviour; did you mean `{near}`?"),
        None => format!("there is no such behaviour; there are {}", names.join(", ")),
    };
    TargetError::Value { place: format!("behaviour.{name}"), what }
}

fn template(place: &str, text: &str) -> Result<Template, TargetError> {
    Template::new(text).map_err(|error| TargetError::Template { place: place.to_owned(), error })
}

fn path(place: &str, text: &str) -> Result<Template, TargetError> {
    if !text.starts_with('/') {
        let what = format!("`{text}` is no path: it begins with `/`");
        return Err(TargetError::Value { place: place.to_owned(), what });
    }
    template(place, text)
}

fn headers(
    place: &str,
    headers: &BTreeMap<String, String>,
) -> Result<Vec<(String, Template)>, TargetError> {
    let one = |(name, value): (&String, &String)| {
        let value = template(&format!("{place}.headers.{name}"), value)?;
        Ok((name.clone(), value))
    };
    headers.iter().map(one).collect()
}

fn shape(place: &str, file: &ShapeFile) -> Result<Shape, TargetError> {
    Ok(Shape {
        method: file.method.to_ascii_uppercase(),
        path: path(&format!("{place}.path"), &file.path)?,
        headers: headers(place, &file.headers)?,
        body: template(&format!("{place}.body"), &file.body)?,
    })
}

/// The operation of the tester's own upstream.
fn charge(path: &str) -> ShapeFile {
    let body = r#"{"reference":"{unique}","behaviour":"{behaviour}","slow_ms":{slow_ms},"pad":"{pad}","amount":{amount}}"#;
    let media = ("Content-Type".to_owned(), "application/json".to_owned());
    ShapeFile {
        method: post(),
        path: path.to_owned(),
        headers: BTreeMap::from([media]),
        body: body.to_owned(),
    }
}

/// The document of the tester's own upstream: with versions, which a gateway lets pass.
fn document() -> ResourceFile {
    ResourceFile {
        path: "/resources/{unique}".to_owned(),
        body: r#"{"amount":{amount}}"#.to_owned(),
        headers: BTreeMap::from([("Content-Type".to_owned(), "application/json".to_owned())]),
        requires_match: false,
        versioned: true,
    }
}

/// Those that are listed go by `{behaviour}` in the operation; those with a table of their own, by
/// that.
fn behaviours(
    plain: &ShapeFile,
    listed: &[String],
    tables: &BTreeMap<String, Change>,
    origin: bool,
) -> Result<BTreeMap<Behaviour, Shape>, TargetError> {
    let mut all = BTreeMap::new();
    let operation = shape("operation", plain)?;
    if origin || listed.iter().any(|name| name == "all") {
        all.extend(Behaviour::ALL.map(|behaviour| (behaviour, operation.clone())));
    }
    for name in listed.iter().filter(|name| *name != "all") {
        let behaviour = Behaviour::named(name).ok_or_else(|| unknown_behaviour(name))?;
        all.insert(behaviour, operation.clone());
    }
    let mentions = operation.body.mentions("behaviour")
        || operation.path.mentions("behaviour")
        || operation.headers.iter().any(|(_, value)| value.mentions("behaviour"));
    if !listed.is_empty() && !mentions {
        let what = "the listed behaviours would change nothing: put `{behaviour}` into the operation, or write a table [behaviour.NAME] for each".to_owned();
        return Err(TargetError::Value { place: "behaviours".to_owned(), what });
    }
    for (name, change) in tables {
        let behaviour = Behaviour::named(name).ok_or_else(|| unknown_behaviour(name))?;
        all.insert(behaviour, changed(name, plain, change)?);
    }
    Ok(all)
}

/// The operation, but for what the behaviour changes.
fn changed(name: &str, operation: &ShapeFile, change: &Change) -> Result<Shape, TargetError> {
    let mut headers = operation.headers.clone();
    headers.extend(change.headers.clone().unwrap_or_default());
    let file = ShapeFile {
        method: change.method.clone().unwrap_or_else(|| operation.method.clone()),
        path: change.path.clone().unwrap_or_else(|| operation.path.clone()),
        headers,
        body: change.body.clone().unwrap_or_else(|| operation.body.clone()),
    };
    shape(&format!("behaviour.{name}"), &file)
}

fn tenant(file: Tenant) -> Vec<(String, String)> {
    file.headers.into_iter().collect()
}

fn effects(file: EffectsFile) -> Result<Effects, TargetError> {
    let wrong = |what: &str| TargetError::Value { place: "effects".into(), what: what.to_owned() };
    let by_key = |text: &Option<String>| text.as_ref().is_some_and(|text| text.contains("{key}"));
    if by_key(&file.probe) || by_key(&file.command) {
        return Err(wrong(
            "`{key}` tells no operation from another: cases send one operation under several keys, and without any; count by `{unique}`",
        ));
    }
    match (file.probe, file.command, file.origin) {
        (Some(probe), None, None) => Ok(Effects::Probe {
            path: path("effects.probe", &probe)?,
            pointer: pointer("effects.pointer", file.pointer)?,
        }),
        (None, Some(command), None) => Ok(Effects::Command(template("effects.command", &command)?)),
        (None, None, Some(address)) => Ok(Effects::Origin(address)),
        (None, None, None) => Err(wrong("say how effects are counted: probe, command or origin")),
        _ => Err(wrong("say one way to count effects: probe, command or origin")),
    }
}

fn pointer(place: &str, given: Option<String>) -> Result<String, TargetError> {
    let pointer = given.unwrap_or_default();
    if pointer.is_empty() || pointer.starts_with('/') {
        return Ok(pointer);
    }
    let what = format!("`{pointer}` is no JSON pointer: write `/{pointer}`");
    Err(TargetError::Value { place: place.to_owned(), what })
}

fn timing(file: &TimingFile) -> Result<Timing, TargetError> {
    let read = |place: &str, given: &Option<String>| {
        let given = given.as_deref();
        given.map(|text| duration(text).map_err(|what| wrong_time(place, what))).transpose()
    };
    Ok(Timing {
        lease: read("timing.lease", &file.lease)?,
        retention: read("timing.retention", &file.retention)?,
        memory: read("timing.memory", &file.memory)?,
        settles_within: read("timing.settles_within", &file.settles_within)?,
        upstream_timeout: read("timing.upstream_timeout", &file.upstream_timeout)?,
    })
}

fn wrong_time(place: &str, what: String) -> TargetError {
    TargetError::Value { place: place.to_owned(), what }
}

/// `250ms`, `10s`, `5m`, `24h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time: write 250ms, 10s, 5m or 24h");
    let at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(at);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let ms = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => None,
    };
    ms.map(Duration::from_millis).ok_or_else(wrong)
}

fn control(file: ControlFile) -> Control {
    Control {
        kill: file.kill,
        stop: file.stop,
        start: file.start,
        store_down: file.store_down,
        store_slow: file.store_slow,
        store_read_only: file.store_read_only,
        store_empty: file.store_empty,
        store_answer_lost: file.store_answer_lost,
        store_up: file.store_up,
    }
}

fn resource(file: ResourceFile) -> Result<Resource, TargetError> {
    Ok(Resource {
        path: path("resource.path", &file.path)?,
        body: template("resource.body", &file.body)?,
        headers: headers("resource", &file.headers)?,
        requires_match: file.requires_match,
        versioned: file.versioned,
    })
}

fn side_effect(file: SideEffectFile) -> Result<SideEffect, TargetError> {
    let place = || "side_effect".to_owned();
    let kinds = [SideEffectKind::Webhook, SideEffectKind::Email, SideEffectKind::Message];
    let kind = kinds.into_iter().find(|kind| kind.name() == file.kind);
    let kind = kind.ok_or_else(|| TargetError::Value {
        place: "side_effect.kind".to_owned(),
        what: format!("`{}` is none of webhook, email, message", file.kind),
    })?;
    let sent = match (file.receiver, file.probe, file.command) {
        (Some(address), None, None) => Sent::Receiver(address),
        (None, Some(probe), None) => Sent::Probe {
            path: path("side_effect.probe", &probe)?,
            pointer: pointer("side_effect.pointer", file.pointer)?,
        },
        (None, None, Some(command)) => Sent::Command(template("side_effect.command", &command)?),
        _ => {
            let what = "say one way to list what was sent: receiver, probe or command".to_owned();
            return Err(TargetError::Value { place: place(), what });
        }
    };
    Ok(SideEffect { kind, sent })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
url = "http://127.0.0.1:9000"
[operation]
path = "/v1/charges"
headers = { Content-Type = "application/json" }
body = '{"reference":"{unique}","amount":{amount}}'
[behaviour.slow]
body = '{"reference":"{unique}","delay":{slow_ms}}'
[effects]
probe = "/v1/charges?reference={unique}"
pointer = "/data"
"#;

    #[test]
    fn a_small_file_describes_a_target() {
        let target = parse(SMALL).unwrap();
        assert_eq!(target.key_header, "Idempotency-Key");
        assert_eq!(target.operation.method, "POST");
        assert!(target.effects.by_operation());
        let slow = &target.behaviours[&Behaviour::Slow];
        assert!(slow.body.mentions("slow_ms") && slow.headers.len() == 1);
    }

    #[test]
    fn each_fault_is_told_with_what_would_do() {
        for (from, to, told) in [
            ("key_header", "keyheader", "did you mean `key_header`"),
            ("[behaviour.slow]", "[behaviour.slwo]", "did you mean `slow`"),
            ("{unique}", "{uniqe}", "did you mean `{unique}`"),
            ("path = \"/v1", "path = \"v1", "begins with `/`"),
            ("pointer = \"/data\"", "pointer = \"data\"", "write `/data`"),
            ("probe =", "command = \"true\"\nprobe =", "one way"),
            ("reference={unique}\"", "reference={key}\"", "count by `{unique}`"),
            ("127.0.0.1:9000", "127.0.0.1:9000/v1", "paths belong to the operation"),
        ] {
            let text = format!("key_header = \"Idempotency-Key\"\n{SMALL}").replace(from, to);
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains(told), "{from} -> {to}: {error}");
        }
        let error = parse(&format!("keyheader = \"x\"\n{SMALL}")).unwrap_err().to_string();
        assert!(error.contains("line 1"), "{error}");
    }

    #[test]
    fn times_are_read_strictly() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["5", "s", "1.5s", "5d", "-1s", "99999999999999999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
