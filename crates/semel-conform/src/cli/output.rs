//! Where reports go. A file that cannot be written is told before the first case, not after the last.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::Refusal;
use crate::report::Report;

/// How reports are written.
pub(super) type Form = fn(&[Report]) -> String;

/// One file to write.
struct Output {
    path: PathBuf,
    /// `None` for stdout.
    file: Option<File>,
    form: Form,
}

/// The files to write.
pub(super) struct Outputs(Vec<Output>);

impl Outputs {
    /// Opens those that are named; `-` is stdout.
    ///
    /// # Errors
    /// When a file cannot be made, or two would go to stdout.
    pub(super) fn open(wanted: &[(&Option<PathBuf>, Form)]) -> Result<Self, Refusal> {
        let mut outputs = Vec::new();
        for (path, form) in wanted {
            let Some(path) = path else { continue };
            let make = || File::create(path).map_err(|error| unwritten(path, &error));
            let file = if stdout(path) { None } else { Some(make()?) };
            outputs.push(Output { path: path.clone(), file, form: *form });
        }
        if outputs.iter().filter(|output| output.file.is_none()).count() > 1 {
            return Err(Refusal("only one report can go to stdout".to_owned()));
        }
        Ok(Self(outputs))
    }

    /// Whether nothing is to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one goes to stdout, so that nothing else may.
    pub(super) fn take_stdout(&self) -> bool {
        self.0.iter().any(|output| output.file.is_none())
    }

    /// Writes them.
    ///
    /// # Errors
    /// When one cannot be written.
    pub(super) fn write(self, reports: &[Report]) -> Result<(), Refusal> {
        for output in self.0 {
            let text = (output.form)(reports);
            match output.file {
                None => data(&text)?,
                Some(mut file) => file
                    .write_all(text.as_bytes())
                    .map_err(|error| unwritten(&output.path, &error))?,
            }
        }
        Ok(())
    }
}

fn unwritten(path: &Path, error: &io::Error) -> Refusal {
    Refusal(format!("{} cannot be written: {error}", path.display()))
}

/// Whether the path stands for stdout.
fn stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Data on stdout. A reader that has enough and closes the pipe is no failure.
///
/// # Errors
/// When stdout cannot be written otherwise (a full disk).
pub(super) fn data(text: &str) -> Result<(), Refusal> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Refusal(format!("stdout cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}
