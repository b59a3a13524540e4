//! `report`: reports that were written as JSON, shown again, several side by side.

use std::path::Path;
use std::process::ExitCode;

use super::args::ReportArgs;
use super::output::{self, Outputs};
use super::{Refusal, paint};
use crate::report::{Report, html, json, markdown, text};

/// Reads them and writes what is asked; without a file, the summary of each.
///
/// # Errors
/// When one cannot be read or written.
pub(super) fn merge(args: &ReportArgs) -> Result<ExitCode, Refusal> {
    let reports: Vec<Report> =
        args.reports.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
    let outputs = Outputs::open(&[(&args.markdown, markdown::write), (&args.html, html::write)])?;
    if outputs.is_empty() {
        let paint = paint(&std::io::stdout());
        let all: String = reports.iter().map(|report| text::write(report, paint)).collect();
        output::data(&all)?;
    }
    outputs.write(&reports)?;
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<Report, Refusal> {
    let shown = path.display();
    let text =
        std::fs::read_to_string(path).map_err(|error| Refusal(format!("{shown}: {error}")))?;
    json::read(&text).map_err(|error| Refusal(format!("{shown}: {error}")))
}
