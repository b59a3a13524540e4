//! `semel config`: looks at what `semel serve` would run by, and starts nothing.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::output::{self, Failure};
use super::serve::ServeArgs;
use crate::config::{ConfigError, Explicit, REFERENCE, Resolved, Setting, Settings};

/// Look at the settings of `semel serve`: check a file, show every value with its origin
#[derive(Args, Clone, Debug)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Clone, Debug)]
enum Command {
    /// Check the settings: exit 0 when `semel serve` could run by them, 1 when it could not
    Check {
        #[command(flatten)]
        serve: Box<ServeArgs>,
    },
    /// Show every value in force and who decided it: flag, environment, file and line, or default
    Show {
        #[command(flatten)]
        serve: Box<ServeArgs>,
        /// One JSON object, for programs
        #[arg(long)]
        json: bool,
    },
    /// Print a file that names every key with its default, to begin one's own from
    Default,
}

impl ConfigArgs {
    /// Answers on stdout.
    pub(crate) fn run(self, explicit: &Explicit) -> Result<ExitCode, Failure> {
        match self.command {
            Command::Check { serve } => {
                let settings = Settings::load(*serve, explicit).map_err(|error| match error {
                    ConfigError::Wrong(faults) => Failure::no(faults.to_string()),
                    other => Failure::from(other),
                })?;
                let routes = settings.routes.len();
                let file = if settings.file.is_empty() { "no file" } else { &settings.file };
                output::data(&format!("{file}: nothing is wrong; {routes} routes\n"))?;
            }
            Command::Show { serve, json } => {
                let settings = Settings::load(*serve, explicit)?;
                let shown = if json { as_json(&settings) } else { as_text(&settings) };
                output::data(&shown)?;
            }
            Command::Default => output::data(REFERENCE)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A section each, a line a value, as the file would write it.
fn as_text(settings: &Settings) -> String {
    let file = &settings.file;
    let mut text = section("[server]", &settings.server, file);
    text.push_str(&format!("\n{}", section("[defaults]", &settings.default.settings, file)));
    for route in &settings.routes {
        let mut head = format!("[[route]]  # {file}:{}\n", route.line);
        head.push_str(&format!("path = {}", json!(route.pattern.prefix)));
        if !route.pattern.methods.is_empty() {
            head.push_str(&format!("\nmatch_methods = {}", methods(route)));
        }
        text.push_str(&format!("\n{}", section(&head, &route.settings, file)));
    }
    text
}

fn section(head: &str, settings: &[Setting], file: &str) -> String {
    let mut text = format!("{head}\n");
    for Setting { name, value, origin } in settings {
        let set = match value {
            Value::Null => format!("# {name} is not set"),
            value => format!("{name} = {value}"),
        };
        text.push_str(&format!("{set:<48}  # {}\n", origin.name(file)));
    }
    text
}

fn methods(route: &Resolved) -> Value {
    json!(route.pattern.methods.iter().map(http::Method::as_str).collect::<Vec<_>>())
}

fn as_json(settings: &Settings) -> String {
    let file = &settings.file;
    let routes: Vec<Value> = settings
        .routes
        .iter()
        .map(|route| {
            json!({
                "path": route.pattern.prefix,
                "match_methods": methods(route),
                "origin": format!("{file}:{}", route.line),
                "settings": members(&route.settings, file),
            })
        })
        .collect();
    let shown = json!({
        "file": if file.is_empty() { Value::Null } else { json!(file) },
        "server": members(&settings.server, file),
        "defaults": members(&settings.default.settings, file),
        "routes": routes,
    });
    format!("{shown}\n")
}

fn members(settings: &[Setting], file: &str) -> Value {
    let member = |setting: &Setting| {
        let shown = json!({ "value": setting.value, "origin": setting.origin.name(file) });
        (setting.name.to_owned(), shown)
    };
    Value::Object(settings.iter().map(member).collect::<Map<_, _>>())
}
