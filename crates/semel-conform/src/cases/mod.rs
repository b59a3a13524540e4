//! The cases, by topic: one file each.

mod again;
mod claim;
mod document;
mod failure;
mod framing;
mod hygiene;
mod identity;
mod lease;
mod lost;
mod method;
mod mismatch;
mod outage;
mod replay;
mod retention;
mod reuse;
mod saying;
mod side;
mod store;
mod timing;
mod version;

use crate::case::Case;

/// Every case, topic by topic.
pub fn all() -> impl Iterator<Item = &'static Case> {
    [
        replay::CASES,
        claim::CASES,
        lost::CASES,
        mismatch::CASES,
        identity::CASES,
        failure::CASES,
        lease::CASES,
        retention::CASES,
        store::CASES,
        method::CASES,
        version::CASES,
        side::CASES,
        framing::CASES,
        hygiene::CASES,
    ]
    .into_iter()
    .flatten()
}

/// A case whose closure is an `async fn` of this module.
macro_rules! case {
    ($id:literal, $level:ident, $run:path, needs: [$($need:expr),*], $requirement:literal, $source:literal) => {
        case!(@ $id, $level, $run, [$($need),*], $requirement, $source, false)
    };
    ($id:literal, $level:ident, $run:path, needs: [$($need:expr),*], $requirement:literal, $source:literal, alone) => {
        case!(@ $id, $level, $run, [$($need),*], $requirement, $source, true)
    };
    (@ $id:literal, $level:ident, $run:path, [$($need:expr),*], $requirement:literal, $source:literal, $alone:literal) => {
        $crate::case::Case {
            id: $id,
            level: $crate::case::Level::$level,
            requirement: $requirement,
            source: $source,
            needs: &[$($need),*],
            alone: $alone,
            run: |trial| Box::pin($run(trial)),
        }
    };
}
pub(crate) use case;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::all;

    #[test]
    fn ids_are_of_one_form_and_never_twice() {
        let mut seen = BTreeSet::new();
        for case in all() {
            let word = |part: &str| {
                !part.is_empty()
                    && part
                        .chars()
                        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            };
            let parts: Vec<_> = case.id.split('/').collect();
            assert!(parts.len() == 2 && parts.iter().all(|part| word(part)), "{}", case.id);
            assert!(seen.insert(case.id), "{} twice", case.id);
            assert!(case.requirement.ends_with('.') && !case.source.is_empty(), "{}", case.id);
        }
    }
}
