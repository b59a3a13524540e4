//! What commands print, and how they end.

use std::io::{self, BufRead, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use serde_json::Value;

/// Why a command ends without its answer.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// The answer is no: exit 1.
    pub(crate) fn no(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }

    /// It could not be told: exit 2.
    pub(crate) fn unknown(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::unknown(error.to_string())
    }
}

/// Says why on stderr.
pub(crate) fn fail(failure: &Failure) -> ExitCode {
    note(&format!("semel: {}", failure.message));
    ExitCode::from(failure.code)
}

/// One line on stderr. Whether anybody reads it makes no difference to what is done.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Data on stdout. A reader that has enough and closes the pipe is no failure.
///
/// # Errors
/// When stdout cannot be written otherwise (a full disk).
pub(crate) fn data(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::unknown(format!("the output could not be written: {error}"))),
    }
}

/// Asks a person before what cannot be undone; a script must say `--yes`.
///
/// # Errors
/// When nobody can be asked, or the answer is not yes.
pub(crate) fn confirm(question: &str) -> Result<(), Failure> {
    let unasked = || Failure::unknown("it cannot be undone, so it must be confirmed: add --yes");
    if !io::stdin().is_terminal() {
        return Err(unasked());
    }
    note(&format!("{question} It cannot be undone. Type yes:"));
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    if line.trim() == "yes" { Ok(()) } else { Err(Failure::no("nothing was done")) }
}

/// One object: a line a member for people, one line of JSON for programs.
pub(crate) fn shown(record: &Value, as_json: bool) -> String {
    if as_json {
        return format!("{record}\n");
    }
    let mut text = String::new();
    for (name, value) in record.as_object().into_iter().flatten() {
        let value = match value {
            Value::String(value) => value.clone(),
            Value::Null => "-".to_owned(),
            other => other.to_string(),
        };
        text.push_str(&format!("{:<14}  {value}\n", name.replace('_', " ")));
    }
    text
}
