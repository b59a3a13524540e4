//! A run: which cases, in what order, and what came of each.
//!
//! Before the first case it makes sure that the target is there, takes the operation and can be
//! counted; a target that cannot be judged is an error, never a pass.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::Instant;

use crate::case::{Case, Halt, Need, Verdict};
use crate::control::{self, Broken};
use crate::preflight;
use crate::receiver::Receiver;
use crate::report::required;
use crate::sample::{App, serve};
use crate::target::{Effects, Sent, Target, Timing};
use crate::trial::{DECLARED_MAX, Rig, Trial};

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The unit of time.
    pub unit: Duration,
    /// How long a reply may take at most.
    pub patience: Duration,
    /// Which cases, by id with `*` for any text; empty for all.
    pub select: Vec<String>,
    /// Whether a SHOULD counts.
    pub strict: bool,
    /// Whether to end at the first failure that counts.
    pub fail_fast: bool,
    /// Governs the order and all choices.
    pub seed: u64,
    /// How often each case is run; its worst verdict counts.
    pub repeat: u32,
    /// Cases at once, where their effects can be told apart.
    pub at_once: usize,
    /// A host that is not this machine and may be tested, by its name in the URL.
    pub allowed_host: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            unit: Duration::from_millis(200),
            patience: Duration::from_secs(30),
            select: Vec::new(),
            strict: false,
            fail_fast: false,
            seed: 0,
            repeat: 1,
            at_once: 8,
            allowed_host: None,
        }
    }
}

/// What came of one case.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The case.
    pub case: &'static Case,
    /// The worst of its runs.
    pub verdict: Verdict,
    /// How long all of them took.
    pub took: Duration,
    /// What it noticed.
    pub notes: Vec<String>,
    /// Commands that send what it sent.
    pub commands: Vec<String>,
}

impl Finding {
    /// Whether it is a failure that counts.
    #[must_use]
    pub fn counts(&self, strict: bool) -> bool {
        required(self.case.level, strict)
            && matches!(self.verdict, Verdict::Fail { .. } | Verdict::Error(_))
    }
}

/// All findings of a run.
#[derive(Clone, Debug)]
pub struct Findings {
    /// What was tested.
    pub target: String,
    /// Where it is.
    pub url: String,
    /// Which HTTP was spoken with it, and what of TLS was not checked.
    pub spoken: String,
    /// In the order of the list of cases.
    pub all: Vec<Finding>,
    /// As given.
    pub options: Options,
    /// How long the whole run took.
    pub took: Duration,
    /// Whether every selected case was run.
    pub ended: Ended,
    /// Requests sent, probes among them.
    pub requests: u64,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// After its last case.
    Whole,
    /// At the first failure, as asked.
    AtFailure,
    /// When it was told to stop.
    Interrupted,
    /// Where what a case broke could not be mended: whatever comes after means nothing.
    NotMended,
}

impl Ended {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Whole, Self::AtFailure, Self::Interrupted, Self::NotMended];

    /// As reports write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotMended => "not-mended",
            Self::Whole => "whole",
            Self::AtFailure => "at-failure",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What happens during a run.
#[derive(Debug)]
pub enum Event<'a> {
    /// So many cases will run.
    Begins(usize),
    /// One begins.
    Case(&'static Case),
    /// One ended.
    Found(&'a Finding),
}

/// Why nothing was judged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// No case has such an id.
    #[error("no case matches {select}: `--list` shows them all{nearest}")]
    NothingMatched {
        /// As given.
        select: String,
        /// "; did you mean …?", or nothing.
        nearest: String,
    },
    /// Not this machine.
    #[error(
        "{host} is not this machine, and a test sends what no customer would: if you may test it, say --i-may-test-this-host {host}"
    )]
    NotAllowed {
        /// As in the URL.
        host: String,
    },
    /// An address of the tester's own could not be had.
    #[error("the tester cannot listen on {addr} for {what}: {error}")]
    Listen {
        /// Which.
        addr: SocketAddr,
        /// For what.
        what: &'static str,
        /// Why.
        error: std::io::Error,
    },
    /// The target cannot be judged.
    #[error("{0}")]
    Unfit(String),
    /// The run was told to stop, and the target was left broken.
    #[error("stopped, and what was broken could not be mended: {0}")]
    NotMended(String),
}

/// Tests the target.
///
/// # Errors
/// When nothing could be judged.
pub async fn run(
    target: Target,
    options: Options,
    tell: impl FnMut(Event<'_>),
) -> Result<Findings, RunError> {
    run_until(target, options, std::future::pending(), tell).await
}

/// Tests the target until it is told to stop: then what was found so far is returned, and what a
/// case had broken is mended.
///
/// # Errors
/// When nothing could be judged.
pub async fn run_until(
    target: Target,
    options: Options,
    stop: impl Future<Output = ()>,
    tell: impl FnMut(Event<'_>),
) -> Result<Findings, RunError> {
    let cases = selected(&options.select)?;
    allowed(&target, &options)?;
    let began = Instant::now();
    let (name, url) = (target.name.clone(), target.address.base());
    let (rig, origin) = rig(target, &options).await?;
    let tell = Mutex::new(tell);
    let mut all = Vec::new();
    let running = async {
        preflight::check(&rig).await.map_err(RunError::Unfit)?;
        Ok(every(&rig, cases, &options, &tell, &mut all).await)
    };
    let ended = tokio::select! {
        biased;
        ended = running => ended?,
        () = stop => Ended::Interrupted,
    };
    if let (Ended::Interrupted, Err(halt)) = (ended, control::mend(&rig).await) {
        return Err(RunError::NotMended(preflight::told(halt)));
    }
    drop(origin);
    let place = |case: &Case| crate::cases::all().position(|c| c.id == case.id);
    all.sort_by_key(|finding: &Finding| place(finding.case));
    let requests = rig.requests.load(Ordering::Relaxed);
    let spoken = rig.target.address.spoken();
    Ok(Findings { target: name, url, spoken, all, options, took: began.elapsed(), ended, requests })
}

/// Runs the cases: first those that bear others beside them.
async fn every(
    rig: &Arc<Rig>,
    cases: Vec<&'static Case>,
    options: &Options,
    tell: &Mutex<impl FnMut(Event<'_>)>,
    all: &mut Vec<Finding>,
) -> Ended {
    let say = |event: Event<'_>| (tell.lock().unwrap_or_else(PoisonError::into_inner))(event);
    say(Event::Begins(cases.len()));
    let cases = ordered(cases, options.seed, &rig.target.timing);
    let (alone, together): (Vec<_>, Vec<_>) = cases.into_iter().partition(|case| case.alone);
    let at_once = if rig.target.effects.by_operation() { options.at_once.max(1) } else { 1 };
    for (group, width) in [(together, at_once), (alone, 1)] {
        let running = group.into_iter().map(|case| async move {
            say(Event::Case(case));
            find(rig, case, options.repeat).await
        });
        let mut running = stream::iter(running).buffer_unordered(width);
        while let Some((finding, mended)) = running.next().await {
            say(Event::Found(&finding));
            let last = options.fail_fast && finding.counts(options.strict);
            all.push(finding);
            if !mended {
                return Ended::NotMended;
            }
            if last {
                return Ended::AtFailure;
            }
        }
    }
    Ended::Whole
}

/// The cases that one of the patterns names; all, without any.
///
/// # Errors
/// When there is none: nothing matched is no success.
pub fn selected(select: &[String]) -> Result<Vec<&'static Case>, RunError> {
    let matches = |case: &Case| select.is_empty() || select.iter().any(|p| glob(p, case.id));
    let cases: Vec<_> = crate::cases::all().filter(|case| matches(case)).collect();
    for pattern in select {
        if !crate::cases::all().any(|case| glob(pattern, case.id)) {
            let near = crate::nearest::nearest(pattern, crate::cases::all().map(|case| case.id));
            let nearest = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            return Err(RunError::NothingMatched { select: format!("`{pattern}`"), nearest });
        }
    }
    if cases.is_empty() {
        let (select, nearest) = (select.join(", "), String::new());
        return Err(RunError::NothingMatched { select, nearest });
    }
    Ok(cases)
}

/// Whether the text is of the pattern, in which `*` stands for any text.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices()
                .map(|(at, _)| at)
                .chain([rest.len()])
                .any(|at| rest.get(at..).is_some_and(|tail| glob(after, tail)))
        }),
    }
}

fn allowed(target: &Target, options: &Options) -> Result<(), RunError> {
    let host = target.address.host();
    if target.address.is_loopback() || options.allowed_host.as_deref() == Some(host) {
        return Ok(());
    }
    Err(RunError::NotAllowed { host: host.to_owned() })
}

async fn rig(
    target: Target,
    options: &Options,
) -> Result<(Arc<Rig>, Option<crate::sample::Serving>), RunError> {
    let listen = |addr, what| move |error| RunError::Listen { addr, what, error };
    let (app, origin) = match target.effects {
        Effects::Origin(addr) => {
            let app = App::default();
            let handler = app.clone();
            let handle = move |request| {
                let app = handler.clone();
                async move { app.handle(request).await }
            };
            let serving = serve(addr, handle).await.map_err(listen(addr, "the upstream"))?;
            (Some(app), Some(serving))
        }
        Effects::Probe { .. } | Effects::Command(_) => (None, None),
    };
    let mut receivers = Vec::new();
    for effect in &target.side_effects {
        receivers.push(match effect.sent {
            Sent::Receiver(addr) => {
                Some(Receiver::listen(addr).await.map_err(listen(addr, "webhooks"))?)
            }
            Sent::Probe { .. } | Sent::Command(_) => None,
        });
    }
    let mut salt = [0; 16];
    getrandom::fill(&mut salt)
        .map_err(|error| RunError::Unfit(format!("this machine gives no randomness: {error}")))?;
    let rig = Rig {
        target,
        unit: options.unit,
        patience: options.patience,
        seed: options.seed,
        salt,
        origin: app,
        receivers,
        lag: OnceLock::new(),
        broken: Broken::default(),
        requests: AtomicU64::new(0),
    };
    Ok((Arc::new(rig), origin))
}

/// In an order that the seed decides.
fn shuffled(mut cases: Vec<&'static Case>, seed: u64) -> Vec<&'static Case> {
    cases.sort_by_cached_key(|case| {
        let mut hasher = blake3::Hasher::new_derive_key("semel conform 2026 order");
        hasher.update(&seed.to_le_bytes()).update(case.id.as_bytes());
        *hasher.finalize().as_bytes()
    });
    cases
}

/// In the order of a run: who waits longest begins first, so that the run does not wait for it at its end;
/// all else as the seed decides.
fn ordered(cases: Vec<&'static Case>, seed: u64, timing: &Timing) -> Vec<&'static Case> {
    let mut cases = shuffled(cases, seed);
    cases.sort_by_key(|case| Reverse(waits(case, timing)));
    cases
}

/// About how long a case waits, by the times of the target that it needs. Those of a lease or of an upstream
/// are seconds, as is whatever else a case waits for.
fn waits(case: &Case, timing: &Timing) -> Duration {
    let time = |need: &Need| match need {
        Need::Retention => timing.retention,
        Need::Memory => timing.memory,
        _ => None,
    };
    case.needs.iter().filter_map(time).sum()
}

/// Runs one case as often as asked, and keeps its worst verdict; with whether what it broke is mended.
async fn find(rig: &Arc<Rig>, case: &'static Case, repeat: u32) -> (Finding, bool) {
    let began = Instant::now();
    let mut worst: Option<Finding> = None;
    let mut mended = true;
    for turn in 0..repeat.max(1) {
        let (mut verdict, commands, mut notes) = once(rig, case, turn).await;
        if let Err(halt) = control::mend(rig).await {
            mended = false;
            let why = format!(
                "what the case broke could not be mended, and the run ends here: {}",
                preflight::told(halt)
            );
            match verdict {
                Verdict::Fail { .. } => notes.push(why),
                _ => verdict = Verdict::Error(why),
            }
        }
        let took = began.elapsed();
        let finding = Finding { case, verdict, took, notes, commands };
        let graver = |kept: &Finding| finding.verdict.gravity() > kept.verdict.gravity();
        match &mut worst {
            Some(kept) if !graver(kept) => kept.took = took,
            _ => worst = Some(finding),
        }
        let skipped = matches!(worst, Some(Finding { verdict: Verdict::Skipped(_), .. }));
        if skipped || !mended {
            break;
        }
    }
    (worst.expect("each case is run at least once"), mended)
}

async fn once(
    rig: &Arc<Rig>,
    case: &'static Case,
    turn: u32,
) -> (Verdict, Vec<String>, Vec<String>) {
    let missing: Vec<_> = case.needs.iter().filter_map(|need| need.missing(&rig.target)).collect();
    if !missing.is_empty() {
        return (Verdict::Skipped(missing.join("; ")), Vec::new(), Vec::new());
    }
    let (trial, outcome) = match Trial::begin(Arc::clone(rig), case.id, turn).await {
        Ok(trial) => {
            let bound = case_bound(rig);
            let outcome = tokio::time::timeout(bound, (case.run)(&trial)).await;
            let late = || Halt::Inconclusive(format!("the case did not end within {bound:?}"));
            let outcome = outcome.unwrap_or_else(|_| Err(late()));
            (trial, outcome)
        }
        Err((trial, halt)) => (trial, Err(halt)),
    };
    let (commands, notes) = trial.told();
    (Verdict::from(outcome), commands, notes)
}

/// No case takes longer; what does hangs.
fn case_bound(rig: &Rig) -> Duration {
    let timing = &rig.target.timing;
    let spans = [timing.lease, timing.retention, timing.memory, timing.settles_within];
    let declared: Duration = spans.into_iter().flatten().map(|span| span.min(DECLARED_MAX)).sum();
    let lag = rig.lag.get().copied().unwrap_or_default();
    // The cases that count most often count 16 times.
    rig.patience * 4 + declared * 4 + lag * 2 * 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_select_by_id() {
        for (pattern, text, matches) in [
            ("replay/*", "replay/status", true),
            ("*status", "replay/status", true),
            ("*/*", "replay/status", true),
            ("replay", "replay/status", false),
            ("replay/status", "replay/status", true),
            ("replay/*x", "replay/status", false),
        ] {
            assert_eq!(glob(pattern, text), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn nothing_matched_is_an_error_with_the_nearest_id() {
        let error = selected(&["replay/statsu".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("did you mean `replay/status`"), "{error}");
    }

    #[test]
    fn the_seed_decides_the_order() {
        let ids = |seed| -> Vec<_> {
            shuffled(crate::cases::all().collect(), seed).iter().map(|case| case.id).collect()
        };
        assert_eq!(ids(1), ids(1));
        assert_ne!(ids(1), ids(2));
    }

    #[test]
    fn who_waits_longest_begins_first_and_the_seed_decides_the_rest() {
        let ms = |ms| Some(Duration::from_millis(ms));
        let timing = Timing { retention: ms(10), memory: ms(20), ..Timing::default() };
        let run = |seed| ordered(crate::cases::all().collect(), seed, &timing);
        let times: Vec<_> = run(1).iter().map(|case| waits(case, &timing)).collect();
        assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
        assert_eq!((times.first(), times.last()), (ms(30).as_ref(), Some(&Duration::ZERO)));
        let ids = |seed| run(seed).iter().map(|case| case.id).collect::<Vec<_>>();
        assert_eq!(ids(1), ids(1));
        assert_ne!(ids(1), ids(2));
    }
}
