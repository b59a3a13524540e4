//! What the verdicts come to: how the run ends, a grade, and the one sentence that the API may
//! promise. All of it is worked out here, from the cases alone.
//!
//! | grade | what was seen |
//! |---|---|
//! | A | every MUST and SHOULD that the target could be put to holds, failed attempts and crashes among them |
//! | B | every MUST holds |
//! | C | a MUST fails, without an effect too many and without a leak |
//! | D | an effect too many, where something else went wrong: an attempt, its claim, its store, the key |
//! | F | an effect too many on a plain retry, on requests at once or after a lost reply; or another caller's reply |
//!
//! A tester sees the outside. That an effect happens exactly once is known where its database is, so
//! no sentence here says so.

use std::fmt;

use super::{Judged, Report, required};
use crate::case::{Harm, Level, Verdict};
use crate::run::Ended;

/// Topics without which nothing is known of retries.
const BASIS: [&str; 3] = ["replay", "claim", "lost"];

/// How a run ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything that is required and could be tried holds, and something was.
    Passed,
    /// Something that is required does not hold.
    Failed,
    /// Neither: with why.
    Unjudged(String),
    /// It was told to stop.
    Interrupted,
}

impl Outcome {
    /// The exit code.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::Unjudged(_) => 2,
            Self::Interrupted => 130,
        }
    }
}

/// How the run ends. What was not judged is never a success.
#[must_use]
pub fn outcome(report: &Report) -> Outcome {
    let strict = report.options.strict;
    if report.ended == Ended::Interrupted {
        return Outcome::Interrupted;
    }
    let all: Vec<_> = report.cases.iter().filter(|case| required(case.level, strict)).collect();
    if all.iter().any(|case| matches!(case.verdict, Verdict::Fail { .. })) {
        return Outcome::Failed;
    }
    if report.ended == Ended::NotMended {
        let why = "what a case broke could not be mended, and the others were not run";
        return Outcome::Unjudged(why.to_owned());
    }
    let untold: Vec<_> = all.iter().copied().filter(|case| untold(case)).collect();
    if !untold.is_empty() {
        let n = cases(untold.len(), "required case");
        return Outcome::Unjudged(format!("{n} could not be told: {}", ids(&untold)));
    }
    if all.iter().any(|case| case.verdict == Verdict::Pass) {
        return Outcome::Passed;
    }
    let why = match (all.is_empty(), strict) {
        (true, false) => "no MUST is among the cases; with --strict every SHOULD counts, too",
        (true, true) => "neither a MUST nor a SHOULD is among the cases",
        (false, _) => "every case that counts was skipped: the target lacks what they need",
    };
    Outcome::Unjudged(why.to_owned())
}

/// A letter for how much harm a retry can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// Every MUST and SHOULD, a crash among them.
    A,
    /// Every MUST.
    B,
    /// A MUST fails, without an effect too many or a leak.
    C,
    /// An effect too many where something else went wrong.
    D,
    /// A plain retry does harm.
    F,
    /// Too little could be judged.
    Ungraded,
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::D => "D",
            Self::F => "F",
            Self::Ungraded => "not graded",
        })
    }
}

/// What the verdicts come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The letter.
    pub grade: Grade,
    /// Why that letter.
    pub why: String,
    /// What the API may honestly promise, as one sentence.
    pub promise: String,
}

/// Grades a run, and derives the promise.
#[must_use]
pub fn judge(report: &Report) -> Judgement {
    let seen = Seen::of(report);
    let (grade, why) = grade(&seen);
    Judgement { grade, why, promise: promise(&seen, grade) }
}

/// The cases that decide.
struct Seen<'a> {
    leaked: Vec<&'a Judged>,
    doubled_plainly: Vec<&'a Judged>,
    doubled: Vec<&'a Judged>,
    other: Vec<&'a Judged>,
    should: Vec<&'a Judged>,
    untold: Vec<&'a Judged>,
    /// Why the run does not carry a grade, if so.
    too_little: Option<String>,
    /// What went wrong and was borne.
    attempt: bool,
    /// A crash past the effect of a slow operation: any other may have come where none could harm.
    crash: bool,
    /// A store that was down: one that was slow did not fail.
    store: bool,
    lease: bool,
    retention: bool,
    tenants: bool,
}

impl<'a> Seen<'a> {
    fn of(report: &'a Report) -> Self {
        let all = &report.cases;
        let failed = |level: Level, harms: &[Harm]| -> Vec<&'a Judged> {
            let fails = |case: &&Judged| match &case.verdict {
                Verdict::Fail { harm, .. } => case.level == level && harms.contains(harm),
                _ => false,
            };
            all.iter().filter(fails).collect()
        };
        let musts = || all.iter().filter(|case| case.level == Level::Must);
        let held = |pick: &dyn Fn(&Judged) -> bool| {
            musts().any(|case| case.verdict == Verdict::Pass && pick(case))
        };
        let needs = |case: &Judged, what: &str| case.needs.iter().any(|need| need == what);
        let (doubled_plainly, doubled) = failed(Level::Must, &[Harm::Doubled])
            .into_iter()
            .partition(|case| BASIS.contains(&case.topic()));
        Self {
            leaked: failed(Level::Must, &[Harm::Leaked]),
            doubled_plainly,
            doubled,
            other: failed(Level::Must, &[Harm::Other]),
            should: failed(Level::Should, &Harm::ALL),
            untold: musts().filter(|case| untold(case)).collect(),
            too_little: too_little(report),
            attempt: held(&|case| {
                ["behaviour.fails-after", "behaviour.breaks-after"].iter().any(|n| needs(case, n))
            }),
            crash: held(&|case| {
                let past_effect = needs(case, "crash") && needs(case, "behaviour.slow-after");
                case.topic() == "lease" && past_effect
            }),
            store: held(&|case| case.topic() == "store" && needs(case, "store-down")),
            lease: held(&|case| case.topic() == "lease" && needs(case, "timing.lease")),
            retention: held(&|case| case.topic() == "retention"),
            tenants: held(&|case| needs(case, "tenant-b")),
        }
    }
}

fn untold(case: &Judged) -> bool {
    matches!(case.verdict, Verdict::Inconclusive(_) | Verdict::Error(_))
}

/// Why so small a run says too little, if so.
fn too_little(report: &Report) -> Option<String> {
    match report.ended {
        Ended::AtFailure => return Some("the run ended at its first failure".to_owned()),
        Ended::Interrupted => return Some("the run was stopped".to_owned()),
        Ended::NotMended => return Some("the target could not be mended".to_owned()),
        Ended::Whole => {}
    }
    if !report.options.select.is_empty() {
        return Some("only some cases were run".to_owned());
    }
    let judged = |topic: &&&str| {
        let told = |case: &Judged| matches!(case.verdict, Verdict::Pass | Verdict::Fail { .. });
        let must = |case: &&Judged| case.level == Level::Must && case.topic() == **topic;
        !report.cases.iter().filter(must).any(told)
    };
    let missing: Vec<&str> = BASIS.iter().filter(judged).copied().collect();
    (!missing.is_empty()).then(|| format!("no MUST of {} could be judged", missing.join(", ")))
}

fn grade(seen: &Seen<'_>) -> (Grade, String) {
    if !seen.leaked.is_empty() {
        return (Grade::F, format!("a caller got another caller's reply: {}", ids(&seen.leaked)));
    }
    if !seen.doubled_plainly.is_empty() {
        let why = format!("a retry had its effect twice: {}", ids(&seen.doubled_plainly));
        return (Grade::F, why);
    }
    if let Some(why) = &seen.too_little {
        return (Grade::Ungraded, why.clone());
    }
    if !seen.doubled.is_empty() {
        return (Grade::D, format!("an effect too many: {}", ids(&seen.doubled)));
    }
    if !seen.other.is_empty() {
        let n = cases(seen.other.len(), "MUST");
        return (
            Grade::C,
            format!("{n} not held, without an effect too many: {}", ids(&seen.other)),
        );
    }
    if !seen.untold.is_empty() {
        let n = cases(seen.untold.len(), "MUST");
        return (Grade::Ungraded, format!("{n} could not be told: {}", ids(&seen.untold)));
    }
    if !seen.should.is_empty() {
        let n = cases(seen.should.len(), "SHOULD");
        let why = format!("every MUST that was tried holds; {n} not held: {}", ids(&seen.should));
        return (Grade::B, why);
    }
    let holds = "every MUST and SHOULD that was tried holds";
    match (seen.attempt, seen.crash) {
        (true, true) => (Grade::A, format!("{holds}, failed attempts and crashes among them")),
        (true, false) => (Grade::B, format!("{holds}; crashes past the effect were not tried")),
        (false, true) => (Grade::B, format!("{holds}; failed attempts were not tried")),
        (false, false) => (
            Grade::B,
            format!("{holds}; failed attempts and crashes past the effect were not tried"),
        ),
    }
}

/// The sentence, from the worst that was seen upwards.
fn promise(seen: &Seen<'_>, grade: Grade) -> String {
    let twice = "a retry can have its effect twice";
    let leaks = "a caller can get another caller's reply";
    match (seen.doubled_plainly.is_empty(), seen.leaked.is_empty()) {
        (false, true) => return format!("Nothing: {twice}."),
        (true, false) => return format!("Nothing: {leaks}."),
        (false, false) => return format!("Nothing: {twice}, and {leaks}."),
        (true, true) => {}
    }
    if grade == Grade::Ungraded {
        return "Nothing yet: too little could be judged.".to_owned();
    }
    let per = if seen.tenants { "per key and caller" } else { "per key" };
    let mut sentence = format!("At most one effect {per}");
    if !seen.doubled.is_empty() {
        let mut when: Vec<&str> = seen.doubled.iter().map(|case| exception(case.topic())).collect();
        when.dedup();
        sentence.push_str(&format!(" while nothing else goes wrong; not {}", list(&when, "or")));
        return sentence + ".";
    }
    let trials = [
        (seen.attempt, "a failed attempt", "failed attempts"),
        (seen.crash, "a crash", "crashes past the effect"),
        (seen.store, "a failing store", "a failing store"),
        (seen.lease, "", "attempts that outlive their claim"),
        (seen.retention, "", "old keys"),
    ];
    let borne = |t: &&(bool, &str, &str)| t.0 && !t.1.is_empty();
    let borne: Vec<&str> = trials.iter().filter(borne).map(|t| t.1).collect();
    let untried: Vec<&str> = trials.iter().filter(|(tried, ..)| !tried).map(|t| t.2).collect();
    if !seen.crash {
        sentence.push_str(" while the process lives");
    }
    if !borne.is_empty() {
        sentence.push_str(&format!(", also through {}", list(&borne, "and")));
    }
    if !seen.other.is_empty() {
        sentence.push_str(", but what a retry is told cannot be relied on");
    }
    match untried.as_slice() {
        [] => {}
        ["a failing store"] => sentence.push_str("; a failing store was not tried"),
        _ => sentence.push_str(&format!("; {} were not tried", list(&untried, "and"))),
    }
    sentence + "."
}

/// When it is that the effect may double, by the topic that showed it.
fn exception(topic: &str) -> &'static str {
    match topic {
        "mismatch" => "when a key is used for another request",
        "identity" => "when a key or its caller is written another way",
        "failure" => "when an attempt fails",
        "lease" => "when an attempt outlives its claim or dies",
        "retention" => "when a key is old",
        "store" => "when its store fails",
        "method" => "with every method",
        "version" => "when writers race",
        "side" => "for what it sends on",
        "framing" => "when a request is framed oddly",
        _ => "in every case that was tried",
    }
}

/// `a, b or c`.
fn list(words: &[&str], last_by: &str) -> String {
    match words {
        [] => String::new(),
        [word] => (*word).to_owned(),
        [first @ .., last] => format!("{} {last_by} {last}", first.join(", ")),
    }
}

fn cases(n: usize, what: &str) -> String {
    if n == 1 { format!("one {what}") } else { format!("{n} {what}s") }
}

/// At most three of them by name.
fn ids(all: &[&Judged]) -> String {
    let named: Vec<&str> = all.iter().take(3).map(|case| case.id.as_str()).collect();
    let more = all.len() - named.len();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{fails, judged, report};
    use super::*;
    use Level::{Info, Must, Should};

    fn basis() -> Vec<Judged> {
        BASIS.map(|topic| judged(&format!("{topic}/a"), Must, Verdict::Pass)).to_vec()
    }

    fn needing(id: &str, need: &str, verdict: Verdict) -> Judged {
        Judged { needs: vec![need.to_owned()], ..judged(id, Must, verdict) }
    }

    fn with(more: impl IntoIterator<Item = Judged>) -> Judgement {
        judge(&report(basis().into_iter().chain(more).collect()))
    }

    #[test]
    fn the_promise_says_no_more_than_was_tried() {
        let attempt = || needing("failure/after", "behaviour.fails-after", Verdict::Pass);
        let needs = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let crash = || Judged {
            needs: needs(&["crash", "behaviour.slow-after"]),
            ..judged("lease/crash-after", Must, Verdict::Pass)
        };
        let early_crash = || needing("lease/crash-in", "crash", Verdict::Pass);
        let store = || needing("store/down", "store-down", Verdict::Pass);
        let slow_store = || needing("store/slow", "store-slow", Verdict::Pass);
        let lease = || needing("lease/longer", "timing.lease", Verdict::Pass);
        let old = || judged("retention/spent", Must, Verdict::Pass);
        let tenants = || needing("identity/two", "tenant-b", Verdict::Pass);
        let lesser = |level| judged("hygiene/x", level, fails(Harm::Other));
        for (more, grade, promise) in [
            (
                vec![],
                Grade::B,
                "At most one effect per key while the process lives; failed attempts, crashes past the effect, a failing store, attempts that outlive their claim and old keys were not tried.",
            ),
            (
                vec![tenants(), attempt()],
                Grade::B,
                "At most one effect per key and caller while the process lives, also through a failed attempt; crashes past the effect, a failing store, attempts that outlive their claim and old keys were not tried.",
            ),
            (
                vec![early_crash(), slow_store(), attempt(), old()],
                Grade::B,
                "At most one effect per key while the process lives, also through a failed attempt; crashes past the effect, a failing store and attempts that outlive their claim were not tried.",
            ),
            (
                vec![crash(), attempt(), lease(), old()],
                Grade::A,
                "At most one effect per key, also through a failed attempt and a crash; a failing store was not tried.",
            ),
            (
                vec![crash(), store(), attempt(), old()],
                Grade::A,
                "At most one effect per key, also through a failed attempt, a crash and a failing store; attempts that outlive their claim were not tried.",
            ),
            (
                vec![crash(), attempt()],
                Grade::A,
                "At most one effect per key, also through a failed attempt and a crash; a failing store, attempts that outlive their claim and old keys were not tried.",
            ),
            (
                vec![crash(), store(), tenants(), attempt(), lease(), old()],
                Grade::A,
                "At most one effect per key and caller, also through a failed attempt, a crash and a failing store.",
            ),
            (
                vec![crash(), store()],
                Grade::B,
                "At most one effect per key, also through a crash and a failing store; failed attempts, attempts that outlive their claim and old keys were not tried.",
            ),
            (
                vec![crash(), store(), attempt(), lease(), old(), lesser(Should)],
                Grade::B,
                "At most one effect per key, also through a failed attempt, a crash and a failing store.",
            ),
            (
                vec![crash(), store(), attempt(), lease(), old(), lesser(Info)],
                Grade::A,
                "At most one effect per key, also through a failed attempt, a crash and a failing store.",
            ),
        ] {
            let judgement = with(more);
            assert_eq!((judgement.grade, judgement.promise.as_str()), (grade, promise));
        }
    }

    #[test]
    fn harm_decides_the_grade() {
        let fail = |id: &str, harm| judged(id, Must, fails(harm));
        for (more, grade, promise) in [
            (
                vec![fail("replay/x", Harm::Doubled)],
                Grade::F,
                "Nothing: a retry can have its effect twice.",
            ),
            (
                vec![fail("identity/x", Harm::Leaked)],
                Grade::F,
                "Nothing: a caller can get another caller's reply.",
            ),
            (
                vec![fail("lost/x", Harm::Doubled), fail("identity/x", Harm::Leaked)],
                Grade::F,
                "Nothing: a retry can have its effect twice, and a caller can get another caller's reply.",
            ),
            (
                vec![fail("lease/x", Harm::Doubled), fail("failure/x", Harm::Doubled)],
                Grade::D,
                "At most one effect per key while nothing else goes wrong; not when an attempt outlives its claim or dies or when an attempt fails.",
            ),
            (
                vec![fail("replay/x", Harm::Other)],
                Grade::C,
                "At most one effect per key while the process lives, but what a retry is told cannot be relied on; failed attempts, crashes past the effect, a failing store, attempts that outlive their claim and old keys were not tried.",
            ),
        ] {
            let judgement = with(more);
            assert_eq!((judgement.grade, judgement.promise.as_str()), (grade, promise));
        }
    }

    #[test]
    fn a_crash_that_doubles_is_no_crash_that_was_borne() {
        let more = [
            needing("lease/a", "crash", Verdict::Pass),
            needing("lease/b", "crash", fails(Harm::Doubled)),
        ];
        let judgement = with(more);
        assert_eq!(judgement.grade, Grade::D);
        assert!(!judgement.promise.contains("through a crash"), "{}", judgement.promise);
    }

    #[test]
    fn what_was_not_judged_is_not_graded() {
        let skipped = |id: &str| judged(id, Must, Verdict::Skipped("no x".into()));
        let mut some = report(basis());
        some.options.select = vec!["replay/*".to_owned()];
        let mut stopped = report(basis());
        stopped.ended = Ended::Interrupted;
        let lost = report(vec![basis()[0].clone(), basis()[1].clone(), skipped("lost/a")]);
        let untold =
            basis().into_iter().chain([judged("store/a", Must, Verdict::Inconclusive("x".into()))]);
        for report in [&report(vec![]), &some, &stopped, &lost, &report(untold.collect())] {
            let judgement = judge(report);
            assert_eq!(judgement.grade, Grade::Ungraded, "{}", judgement.why);
            assert_eq!(judgement.promise, "Nothing yet: too little could be judged.");
        }
        // Harm that was seen is seen, however little was run.
        some.cases.push(judged("claim/x", Must, fails(Harm::Doubled)));
        assert_eq!(judge(&some).grade, Grade::F);
    }

    #[test]
    fn no_sentence_claims_exactly_once() {
        let crash = needing("lease/crash", "crash", Verdict::Pass);
        assert!(!with([crash]).promise.to_lowercase().contains("exactly"));
    }

    #[test]
    fn only_what_was_judged_succeeds() {
        let of = |verdicts: &[(Level, Verdict)], strict: bool| {
            let cases =
                verdicts.iter().map(|(level, verdict)| judged("a/b", *level, verdict.clone()));
            let mut report = report(cases.collect());
            report.options.strict = strict;
            outcome(&report).code()
        };
        let skipped = || Verdict::Skipped("x".into());
        let inconclusive = || Verdict::Inconclusive("x".into());
        let error = || Verdict::Error("x".into());
        let fail = || fails(Harm::Other);
        for (verdicts, strict, code) in [
            (vec![], false, 2),
            (vec![(Must, Verdict::Pass)], false, 0),
            (vec![(Must, skipped())], false, 2),
            (vec![(Must, Verdict::Pass), (Must, skipped())], false, 0),
            (vec![(Must, Verdict::Pass), (Must, inconclusive())], false, 2),
            (vec![(Must, Verdict::Pass), (Must, error())], false, 2),
            (vec![(Must, Verdict::Pass), (Must, fail()), (Must, error())], false, 1),
            (vec![(Must, Verdict::Pass), (Should, fail())], false, 0),
            (vec![(Must, Verdict::Pass), (Should, fail())], true, 1),
            (vec![(Must, Verdict::Pass), (Should, inconclusive())], false, 0),
            (vec![(Must, Verdict::Pass), (Should, inconclusive())], true, 2),
            (vec![(Should, Verdict::Pass)], false, 2),
            (vec![(Should, Verdict::Pass)], true, 0),
            (vec![(Info, Verdict::Pass)], true, 2),
            (vec![(Must, Verdict::Pass), (Info, fail())], true, 0),
        ] {
            assert_eq!(of(&verdicts, strict), code, "{verdicts:?} strict {strict}");
        }
        let mut stopped = report(vec![judged("a/b", Must, fails(Harm::Other))]);
        stopped.ended = Ended::Interrupted;
        assert_eq!(outcome(&stopped).code(), 130);
    }
}
