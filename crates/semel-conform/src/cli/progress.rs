//! What is seen while a run lasts: on a terminal one line that changes, elsewhere a line for each
//! case. Failures are told as they come.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::paint;
use crate::case::Verdict;
use crate::report::text::Paint;
use crate::run::{Event, Finding};

/// How often the line changes when nothing happens.
const TICK: Duration = Duration::from_millis(250);
/// The width of the line where the terminal does not say.
const WIDTH: usize = 79;

/// The progress of one run.
pub(super) struct Progress {
    state: Arc<Mutex<State>>,
    ticking: Option<JoinHandle<()>>,
}

struct State {
    quiet: bool,
    live: bool,
    strict: bool,
    paint: Paint,
    began: Instant,
    total: usize,
    found: usize,
    failed: usize,
    running: BTreeSet<&'static str>,
}

impl Progress {
    /// Before the first case.
    pub(super) fn begin(quiet: bool, strict: bool) -> Self {
        let ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let live = !quiet && !ci && !dumb && io::stderr().is_terminal();
        let state = Arc::new(Mutex::new(State {
            quiet,
            live,
            strict,
            paint: paint(&io::stderr()),
            began: Instant::now(),
            total: 0,
            found: 0,
            failed: 0,
            running: BTreeSet::new(),
        }));
        let ticking = live.then(|| {
            let state = Arc::clone(&state);
            tokio::spawn(async move {
                let mut ticks = tokio::time::interval(TICK);
                loop {
                    ticks.tick().await;
                    of(&state).draw();
                }
            })
        });
        Self { state, ticking }
    }

    /// Something happened.
    pub(super) fn tell(&self, event: &Event<'_>) {
        let mut state = of(&self.state);
        match event {
            Event::Begins(total) => state.total = *total,
            Event::Case(case) => {
                state.running.insert(case.id);
            }
            Event::Found(finding) => state.found(finding),
        }
        state.draw();
    }

    /// After the last case.
    pub(super) fn end(self) {
        if let Some(ticking) = self.ticking {
            ticking.abort();
        }
        let mut state = of(&self.state);
        state.clear();
        // A tick that was about to draw draws nothing more.
        state.live = false;
    }
}

fn of(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn found(&mut self, finding: &Finding) {
        self.found += 1;
        self.running.remove(finding.case.id);
        let counts = finding.counts(self.strict);
        self.failed += usize::from(counts);
        if self.quiet || (self.live && !counts) {
            return;
        }
        let line = self.line(finding, counts);
        self.clear();
        let _ = writeln!(io::stderr(), "{line}");
    }

    fn line(&self, finding: &Finding, counts: bool) -> String {
        let (paint, case) = (self.paint, finding.case);
        let word = match finding.verdict {
            Verdict::Pass => paint.good("● pass  "),
            Verdict::Fail { .. } if counts => paint.bad("✕ fail  "),
            Verdict::Fail { .. } => paint.unsure("✕ fail  "),
            Verdict::Skipped(_) => paint.faint("– skip  "),
            Verdict::Inconclusive(_) => paint.unsure("◐ unsure"),
            Verdict::Error(_) => paint.unsure("⊘ error "),
        };
        let (n, total) = (self.found, self.total);
        let width = total.to_string().len();
        let mut line = format!("[{n:>width$}/{total}] {word} {:<6} {}", case.level.name(), case.id);
        match &finding.verdict {
            Verdict::Fail { expected, observed, .. } => {
                line.push_str(&format!("\n      expected {expected}\n      observed {observed}"));
            }
            Verdict::Inconclusive(why) | Verdict::Error(why) => {
                line.push_str(&format!("\n      {why}"));
            }
            Verdict::Pass | Verdict::Skipped(_) => {}
        }
        line
    }

    /// The line that changes.
    fn draw(&self) {
        if !self.live {
            return;
        }
        let elapsed = self.began.elapsed().as_secs();
        let mut line = match self.total {
            0 => format!("  looking whether it can be judged  {elapsed} s"),
            total => format!("  {} of {total}, {} failed, {elapsed} s", self.found, self.failed),
        };
        for (n, id) in self.running.iter().enumerate() {
            let more = self.running.len() - n;
            let next = format!("{}{id}", if n == 0 { "  " } else { ", " });
            if line.len() + next.len() + " +64".len() > width() {
                line.push_str(&format!(" +{more}"));
                break;
            }
            line.push_str(&next);
        }
        let _ = write!(io::stderr(), "\r\u{1b}[K{}", self.paint.faint(&line));
        let _ = io::stderr().flush();
    }

    fn clear(&self) {
        if self.live {
            let _ = write!(io::stderr(), "\r\u{1b}[K");
        }
    }
}

/// Columns of the terminal, as a shell exports them.
fn width() -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    columns.unwrap_or(WIDTH)
}
