//! Why a configuration cannot be followed: all that was found, each with its line.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    /// From 1; 0 where it stands in no file.
    pub line: usize,
    /// The key at fault, if it is one's.
    pub key: String,
    /// Why, and what to write.
    pub why: String,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ConfigError {
    /// The file could not be read.
    #[error("the configuration file {file} cannot be read: {source}")]
    Unreadable {
        /// Its path.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It was read, and cannot be followed.
    #[error("{0}")]
    Wrong(Faults),
    /// Nobody said what to protect.
    #[error(
        "no upstream is named: give --upstream URL, SEMEL_UPSTREAM, or `upstream` under [server] of the file of --config"
    )]
    NoUpstream,
}

/// All that is wrong, by line.
#[derive(Debug)]
pub(crate) struct Faults {
    /// As given; empty for none.
    pub file: String,
    /// At least one.
    pub list: Vec<Fault>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.list.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            if fault.line > 0 {
                write!(f, "{}:{}: ", self.file, fault.line)?;
            }
            if !fault.key.is_empty() {
                write!(f, "`{}`: ", fault.key)?;
            }
            f.write_str(&fault.why)?;
        }
        Ok(())
    }
}
