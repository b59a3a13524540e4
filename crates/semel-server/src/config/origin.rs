//! Where a value comes from.

use std::collections::BTreeMap;

use clap::ArgMatches;
use clap::parser::ValueSource;

/// Who decided a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A flag of the command.
    Flag,
    /// A variable of the environment.
    Environment,
    /// A line of the file.
    File(usize),
    /// Nobody: it is as it comes.
    Default,
}

impl Origin {
    /// `flag`, `environment`, `semel.toml:7`, `default`.
    pub(crate) fn name(self, file: &str) -> String {
        match self {
            Self::Flag => "flag".to_owned(),
            Self::Environment => "environment".to_owned(),
            Self::File(line) => format!("{file}:{line}"),
            Self::Default => "default".to_owned(),
        }
    }
}

/// The values that somebody gave by flag or environment, by the names of their flags with `_`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Explicit(BTreeMap<String, Origin>);

impl Explicit {
    /// Of the command that was called.
    pub(crate) fn of(matches: &ArgMatches) -> Self {
        if let Some((_, inner)) = matches.subcommand() {
            return Self::of(inner);
        }
        let given = matches.ids().filter_map(|id| {
            let origin = match matches.value_source(id.as_str())? {
                ValueSource::CommandLine => Origin::Flag,
                ValueSource::EnvVariable => Origin::Environment,
                _ => return None,
            };
            Some((id.to_string(), origin))
        });
        Self(given.collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<Origin> {
        self.0.get(name).copied()
    }
}
