//! What there is to run: cases and samples.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::args::RunArgs;
use super::{Refusal, output};
use crate::case::Case;
use crate::run::selected;
use crate::sample::{self, Flaw};

/// Shows the cases that `--case` selects, or all.
///
/// # Errors
/// When nothing is selected.
pub(super) fn cases(args: &RunArgs) -> Result<ExitCode, Refusal> {
    let cases = selected(&args.select)?;
    if args.json.is_some() {
        let all: Vec<Value> = cases.iter().map(|case| object(case)).collect();
        output::data(&format!("{}\n", serde_json::to_string_pretty(&all)?))?;
        return Ok(ExitCode::SUCCESS);
    }
    let width = cases.iter().map(|case| case.id.len()).max().unwrap_or(0);
    let mut text = String::new();
    for case in &cases {
        text.push_str(&format!(
            "{:<width$}  {:<6}  {}\n",
            case.id,
            case.level.name(),
            case.requirement
        ));
    }
    text.push_str(&format!("\n{} cases\n", cases.len()));
    output::data(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn object(case: &Case) -> Value {
    let needs: Vec<String> = case.needs.iter().map(|need| need.name()).collect();
    json!({
        "id": case.id,
        "level": case.level.name(),
        "requirement": case.requirement,
        "source": case.source,
        "needs": needs,
        "alone": case.alone,
    })
}

/// Shows the samples.
///
/// # Errors
/// When stdout cannot be written.
pub(super) fn samples(as_json: bool) -> Result<ExitCode, Refusal> {
    let all: Vec<(&str, &str)> = sample::names().map(|name| (name, what(name))).collect();
    let text = if as_json {
        let all: Vec<Value> =
            all.iter().map(|(name, what)| json!({ "name": name, "what": what })).collect();
        format!("{}\n", serde_json::to_string_pretty(&all)?)
    } else {
        all.iter().map(|(name, what)| format!("{name:<26}  {what}\n")).collect()
    };
    output::data(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn what(name: &str) -> &'static str {
    Flaw::named(name).map_or("Nothing is wrong: it passes every MUST and SHOULD.", Flaw::what)
}
