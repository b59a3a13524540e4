//! APIs of which less can be seen than of the samples: what the tester may say of them, and what
//! not.

use std::time::Duration;

use semel_conform::case::{Harm, Verdict};
use semel_conform::run::Ended;

use crate::small::{Small, TENANTS, Ways};

fn untold(verdict: &Verdict, told: &str) -> bool {
    matches!(verdict, Verdict::Inconclusive(why) if why.contains(told))
}

fn leaked(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Fail { harm: Harm::Leaked, .. })
}

fn doubled(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Fail { harm: Harm::Doubled, .. })
}

#[tokio::test]
async fn an_effect_that_comes_late_is_waited_for_as_long_as_the_first_one_took() {
    let late = Duration::from_millis(200);
    let wrong = Small::start(Ways { late, heedless: true, ..Ways::default() }).await;
    let right = Small::start(Ways { late, ..Ways::default() }).await;
    for case in ["method/patch-once", "replay/one-effect", "lost/client-leaves-in-body"] {
        let verdict = wrong.verdict("", case).await;
        assert!(doubled(&verdict), "{case}: {verdict:?}");
        let verdict = right.verdict("", case).await;
        assert_eq!(verdict, Verdict::Pass, "{case}");
    }
    let verdict = right.verdict("", "replay/different-keys").await;
    assert_eq!(verdict, Verdict::Pass);
}

#[tokio::test]
async fn effects_that_a_crash_forgot_are_no_proof_that_none_was_doubled() {
    let small = Small::start(Ways { forgets: true, ..Ways::default() }).await;
    for case in [
        "lease/crash-after-effect-one-effect",
        "lease/crashes-in-a-row",
        "lease/acknowledged-survives-crash",
    ] {
        let verdict = small.verdict("", case).await;
        assert!(untold(&verdict, "forgot"), "{case}: {verdict:?}");
    }
}

#[tokio::test]
async fn what_runs_anew_on_an_empty_store_that_held_the_effects_too_is_seen() {
    let small = Small::start(Ways { forgets: true, ..Ways::default() }).await;
    let verdict = small.verdict("", "store/empty-not-new").await;
    assert!(doubled(&verdict), "{verdict:?}");
    let small = Small::start(Ways::default()).await;
    assert_eq!(small.verdict("", "store/empty-not-new").await, Verdict::Pass);
}

#[tokio::test]
async fn an_api_that_asks_for_no_credential_gives_nothing_away() {
    let small = Small::start(Ways::default()).await;
    let accepts = "[tenant_a]\nheaders = { Accept = \"application/json\" }";
    let verdict = small.verdict(accepts, "identity/no-credential").await;
    assert!(
        matches!(&verdict, Verdict::Skipped(why) if why.contains("asks for no credential")),
        "{verdict:?}"
    );
}

#[tokio::test]
async fn a_reply_without_a_word_of_its_own_shows_no_leak_and_no_absence_of_one() {
    let numbers = |numbers, shares| Ways { numbers, shares, ..Ways::default() };
    for (ways, leaks) in [
        (numbers(0, true), true),
        (numbers(482_910_000, true), true),
        (numbers(0, false), false),
        (numbers(482_910_000, false), false),
    ] {
        let small = Small::start(ways).await;
        let verdict = small.verdict(TENANTS, "identity/canary").await;
        assert_eq!(leaked(&verdict), leaks, "{verdict:?}");
        assert_eq!(verdict == Verdict::Pass, !leaks, "{verdict:?}");
    }
    let small = Small::start(numbers(10, true)).await;
    let verdict = small.verdict(TENANTS, "identity/canary").await;
    assert!(untold(&verdict, "no word of its own"), "{verdict:?}");
}

#[tokio::test]
async fn replies_that_say_nothing_are_judged_by_the_effects() {
    let silent = |shares| Ways { silent: true, shares, ..Ways::default() };
    let right = Small::start(silent(false)).await;
    for case in ["lost/reply-cut", "identity/two-tenants", "identity/canary"] {
        assert_eq!(right.verdict(TENANTS, case).await, Verdict::Pass, "{case}");
    }
    let wrong = Small::start(silent(true)).await;
    for case in ["identity/two-tenants", "identity/two-tenants-at-once"] {
        let verdict = wrong.verdict(TENANTS, case).await;
        assert!(leaked(&verdict), "{case}: {verdict:?}");
    }
}

#[tokio::test]
async fn a_time_of_production_is_not_waited_for() {
    let small = Small::start(Ways::default()).await;
    let lease = "[timing]\nsettles_within = \"72h\"";
    let verdict = small.verdict(lease, "lease/crash-after-effect-one-effect").await;
    assert!(
        matches!(&verdict, Verdict::Skipped(why) if why.contains("longer than a test waits")),
        "{verdict:?}"
    );
}

#[tokio::test]
async fn a_service_that_does_not_start_on_an_empty_store_is_right_and_started_again_on_its_own() {
    let small = Small::start(Ways::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty").display().to_string();
    let file = small.file("");
    let lines = file.lines().map(|line| match line.split_once(" = ") {
        Some(("start", _)) => format!("start = \"test ! -e {empty}\""),
        Some(("store_empty", _)) => format!("store_empty = \"touch {empty}\""),
        Some(("store_up", _)) => format!("store_up = \"rm {empty}\""),
        _ => line.to_owned(),
    });
    let text: Vec<String> = lines.collect();
    let findings = small.findings_of(&text.join("\n"), &["store/empty-not-new"]).await;
    let found = &findings.all[0];
    assert_eq!((&found.verdict, findings.ended), (&Verdict::Pass, Ended::Whole));
    assert!(found.notes[0].contains("does not start on an empty store"), "{:?}", found.notes);
}

#[tokio::test]
async fn a_second_request_that_runs_under_a_key_is_an_effect_too_many() {
    let small = Small::start(Ways { heedless: true, ..Ways::default() }).await;
    let verdict = small.verdict("", "mismatch/other-body").await;
    assert!(doubled(&verdict), "{verdict:?}");
}
