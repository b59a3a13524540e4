//! What commands print, and how they end.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

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
