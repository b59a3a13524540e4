//! What is tested: the file that is named, what the flags say, or a sample that is started here.

use std::path::PathBuf;
use std::process::ExitCode;

use toml::{Table, Value};

use super::args::{ApiArgs, RunArgs};
use super::{Refusal, output};
use crate::nearest::nearest;
use crate::sample::{self, Sample};
use crate::target::{self, Target};
use crate::wire::{Secret, Wanted};

/// What is tested.
pub(super) struct Source {
    /// Its description.
    pub(super) target: Target,
    /// The command that tests it again.
    pub(super) command: String,
    /// It runs as long as this is held.
    pub(super) sample: Option<Sample>,
}

/// Finds it.
///
/// # Errors
/// When nothing is named, or its description is wrong.
pub(super) async fn find(args: &RunArgs, program: &str) -> Result<Source, Refusal> {
    let api = &args.api;
    let command = command(args, program);
    if let Some(path) = &api.target {
        return Ok(Source { target: spoken_to(target::read(path)?, api)?, command, sample: None });
    }
    if let Some(name) = &api.sample {
        let Some(started) = sample::start_named(name, args.unit).await else {
            return Err(no_sample(name));
        };
        let sample = started.map_err(|error| Refusal(format!("the sample: {error}")))?;
        let target = spoken_to(target::parse(&sample.target)?, api)?;
        return Ok(Source { target, command, sample: Some(sample) });
    }
    Ok(Source { target: target::parse(&text(api)?)?, command, sample: None })
}

/// The target, spoken to as the flags say: each stands above the file's word.
fn spoken_to(target: Target, api: &ApiArgs) -> Result<Target, Refusal> {
    let mut transport = target.transport.clone();
    if let Some(wanted) = api.http.as_deref().and_then(Wanted::named) {
        transport.http = wanted;
    }
    if let Some(path) = &api.cacert {
        (transport.cacert, transport.insecure) = (Some(path.clone()), false);
    }
    if api.insecure {
        (transport.cacert, transport.insecure) = (None, true);
    }
    if let (Some(cert), Some(key)) = (&api.cert, &api.key) {
        transport.identity = Some((cert.clone(), key.clone()));
    }
    Ok(target.over(transport)?)
}

fn no_sample(name: &str) -> Refusal {
    let hint = match nearest(name, sample::names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "--list-samples shows them all".to_owned(),
    };
    Refusal(format!("there is no sample `{name}`; {hint}"))
}

/// Prints the target file that the flags stand for.
///
/// # Errors
/// When they stand for none.
pub(super) fn print(args: &RunArgs) -> Result<ExitCode, Refusal> {
    let text = text(&args.api)?;
    target::parse(&text)?;
    output::data(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The target file that the flags stand for.
///
/// # Errors
/// When they say too little, or a header is none.
fn text(api: &ApiArgs) -> Result<String, Refusal> {
    let missing = |what: &str| Refusal(what.to_owned());
    let url = api.url.as_ref().ok_or_else(|| {
        missing(
            "say what to test: --target FILE, --url URL with --path or --origin, or --sample NAME",
        )
    })?;
    let mut file = Table::new();
    file.insert("url".into(), url.clone().into());
    file.insert("key_header".into(), api.key_header.clone().into());
    if let Some(http) = &api.http {
        file.insert("http".into(), http.clone().into());
    }
    let files = [("cacert", &api.cacert), ("cert", &api.cert), ("key", &api.key)];
    let given = files.into_iter().filter_map(|(name, path)| Some((name, path.as_ref()?)));
    let mut tls: Table =
        given.map(|(name, path)| (name.to_owned(), path.display().to_string().into())).collect();
    if api.insecure {
        tls.insert("insecure".into(), true.into());
    }
    if !tls.is_empty() {
        file.insert("tls".into(), tls.into());
    }
    let (operation_headers, all_headers) = headers(&api.header)?;
    if !all_headers.is_empty() {
        let tenant = Table::from_iter([("headers".to_owned(), Value::Table(all_headers))]);
        file.insert("tenant_a".into(), tenant.into());
    }
    let mut effects = Table::new();
    if let Some(origin) = api.origin {
        effects.insert("origin".into(), origin.to_string().into());
    } else {
        let path = api.path.as_ref().ok_or_else(|| {
            missing("say where the operation is sent: --path PATH; or --origin ADDR for a gateway")
        })?;
        let mut operation = Table::new();
        operation.insert("method".into(), api.method.clone().into());
        operation.insert("path".into(), path.clone().into());
        operation.insert("headers".into(), operation_headers.into());
        operation.insert("body".into(), api.body.clone().unwrap_or_default().into());
        file.insert("operation".into(), operation.into());
    }
    for (name, value) in [
        ("probe", &api.count_probe),
        ("pointer", &api.count_pointer),
        ("command", &api.count_command),
    ] {
        if let Some(value) = value {
            effects.insert(name.into(), value.clone().into());
        }
    }
    if effects.is_empty() {
        return Err(missing(
            "say how effects are counted: --count-probe PATH or --count-command COMMAND",
        ));
    }
    file.insert("effects".into(), effects.into());
    Ok(toml::to_string(&file)?)
}

/// Those of the operation alone, and those of every request.
fn headers(lines: &[String]) -> Result<(Table, Table), Refusal> {
    let (mut operation, mut all) = (Table::new(), Table::new());
    for line in lines {
        let Some((name, value)) = line.split_once(':').filter(|(name, _)| !name.trim().is_empty())
        else {
            return Err(Refusal(format!("--header `{line}` is no header: write 'Name: value'")));
        };
        let (name, value) = (name.trim().to_owned(), Value::from(value.trim()));
        if of_body(&name) {
            operation.insert(name, value)
        } else {
            all.insert(name, value)
        };
    }
    Ok((operation, all))
}

/// The command that tests the same again: with all that changes what is found, but for cases and
/// seed.
fn command(args: &RunArgs, program: &str) -> String {
    let api = &args.api;
    let path = |path: &PathBuf| path.display().to_string();
    let mut parts = vec![program.to_owned()];
    let mut flag = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            parts.push(format!("{name} {}", quoted(&value)));
        }
    };
    flag("--target", api.target.as_ref().map(path));
    flag("--sample", api.sample.clone());
    flag("--url", api.url.clone());
    flag("--http", api.http.clone());
    flag("--cacert", api.cacert.as_ref().map(path));
    flag("--cert", api.cert.as_ref().map(path));
    flag("--key", api.key.as_ref().map(path));
    flag("--method", Some(api.method.clone()).filter(|method| method != "POST"));
    flag("--path", api.path.clone());
    flag("--body", api.body.clone());
    flag("--key-header", Some(api.key_header.clone()).filter(|name| name != "Idempotency-Key"));
    flag("--count-probe", api.count_probe.clone());
    flag("--count-pointer", api.count_pointer.clone());
    flag("--count-command", api.count_command.clone());
    flag("--origin", api.origin.map(|addr| addr.to_string()));
    flag("--unit", Some(args.unit.as_millis()).filter(|ms| *ms != 200).map(|ms| format!("{ms}ms")));
    flag(
        "--timeout",
        Some(args.timeout.as_millis()).filter(|ms| *ms != 30_000).map(|ms| format!("{ms}ms")),
    );
    flag("--i-may-test-this-host", args.i_may_test_this_host.clone());
    if api.insecure {
        parts.push("--insecure".to_owned());
    }
    parts.extend(api.header.iter().map(|line| format!("--header {}", shown(line))));
    parts.join(" ")
}

/// A header without its value, which may be a credential: as the `curl` commands of a report write it.
fn shown(line: &str) -> String {
    match line.split_once(':') {
        Some((name, value)) if !of_body(name.trim()) => {
            let secret = Secret::of("TENANT_A", name.trim(), value.trim());
            format!("\"{}: ${}\"", secret.name, secret.variable)
        }
        _ => quoted(line),
    }
}

/// Whether a header goes with the operation alone.
fn of_body(name: &str) -> bool {
    name.to_ascii_lowercase().starts_with("content-")
}

/// As a POSIX shell reads it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
