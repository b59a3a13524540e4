//! Where reports go. A file that cannot be written is told before the first case, not after the last; one
//! that stands there is replaced once the new one is whole.

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
    place: Place,
    form: Form,
}

impl Output {
    const fn to_stdout(&self) -> bool {
        matches!(self.place, Place::Stdout)
    }
}

/// Where a report goes.
enum Place {
    Stdout,
    /// What is no file (a pipe, a device), or stands in a folder that takes no other: as it is.
    There(File),
    /// Beside the file, which it replaces once it is whole.
    Beside(File, Part),
}

/// A file that is gone with this, unless it took the place of another.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Place {
    /// Makes sure that the file can be written, and leaves it as it is until then.
    fn find(path: &Path) -> io::Result<Self> {
        if stdout(path) {
            return Ok(Self::Stdout);
        }
        let stands = std::fs::metadata(path);
        if stands.as_ref().is_ok_and(|held| !held.is_file()) {
            return File::options().write(true).open(path).map(Self::There);
        }
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let part = PathBuf::from(name);
        match File::create(&part) {
            Ok(file) => Ok(Self::Beside(file, Part(part))),
            Err(_) if stands.is_ok() => File::options().write(true).open(path).map(Self::There),
            Err(error) => Err(error),
        }
    }

    fn write(self, path: &Path, text: &str) -> io::Result<()> {
        match self {
            Self::Stdout => Ok(()),
            Self::There(mut file) => {
                file.write_all(text.as_bytes())?;
                // A pipe has no length.
                if file.metadata()?.is_file() { file.set_len(text.len() as u64) } else { Ok(()) }
            }
            Self::Beside(mut file, part) => {
                file.write_all(text.as_bytes())?;
                // A link stays one.
                let to = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
                std::fs::rename(&part.0, to)
            }
        }
    }
}

/// The files to write.
pub(super) struct Outputs(Vec<Output>);

impl Outputs {
    /// Looks whether those that are named can be written; `-` is stdout.
    ///
    /// # Errors
    /// When a file cannot be made, or two would go to stdout.
    pub(super) fn open(wanted: &[(&Option<PathBuf>, Form)]) -> Result<Self, Refusal> {
        let mut outputs = Vec::new();
        for (path, form) in wanted {
            let Some(path) = path else { continue };
            let place = Place::find(path).map_err(|error| unwritten(path, &error))?;
            outputs.push(Output { path: path.clone(), place, form: *form });
        }
        let outputs = Self(outputs);
        if outputs.0.iter().filter(|output| output.to_stdout()).count() > 1 {
            return Err(Refusal("only one report can go to stdout".to_owned()));
        }
        Ok(outputs)
    }

    /// Whether nothing is to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one goes to stdout, so that nothing else may.
    pub(super) fn take_stdout(&self) -> bool {
        self.0.iter().any(Output::to_stdout)
    }

    /// Writes them.
    ///
    /// # Errors
    /// When one cannot be written.
    pub(super) fn write(self, reports: &[Report]) -> Result<(), Refusal> {
        for output in self.0 {
            let text = (output.form)(reports);
            if output.to_stdout() {
                data(&text)?;
            }
            let path = output.path;
            output.place.write(&path, &text).map_err(|error| unwritten(&path, &error))?;
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
