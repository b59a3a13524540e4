//! Fences, and the store's own contract.

use super::{Found, Story, Terms};

pub(super) fn fence(story: &Story, _: &Terms, found: &mut Found<'_>) {
    let mut last: Option<(u64, u32, bool)> = None;
    for write in story.written.iter().filter(|write| !write.foreign) {
        let (fence, revision) = (write.fence, write.revision);
        if let Some((last_fence, last_revision, deleted)) = last {
            let rises = if deleted {
                fence > last_fence
            } else if write.state.is_none() {
                // A deletion names the version that it deletes.
                (fence, revision) >= (last_fence, last_revision)
            } else {
                (fence, revision) > (last_fence, last_revision)
            };
            if !rises {
                found.add(
                    write.at,
                    format!("{fence}.{revision} written after {last_fence}.{last_revision}"),
                );
            }
        }
        last = Some((fence, revision, write.state.is_none()));
    }
    for (n, begin) in story.begins.iter().enumerate() {
        if story.begins[..n].iter().any(|earlier| earlier.fence == begin.fence) {
            found.add(begin.at, format!("two executions under fence {}", begin.fence));
        }
    }
    for effect in &story.effects {
        // Under a policy of running again an old request may still arrive at an upstream that
        // compares no fences.
        let overtaken = story
            .begins
            .iter()
            .any(|begin| begin.at < effect.at && begin.fence > effect.fence && !begin.rerun);
        if overtaken {
            found.add(effect.at, format!("effect {} under an old fence", effect.value));
        }
    }
}

pub(super) fn deadline(story: &Story, _: &Terms, found: &mut Found<'_>) {
    for write in story.written.iter().filter(|write| write.late_ms > 0) {
        let (fence, revision) = (write.fence, write.revision);
        found.add(write.at, format!("{fence}.{revision} written {} ms late", write.late_ms));
    }
}

pub(super) fn incarnation(story: &Story, _: &Terms, found: &mut Found<'_>) {
    for write in story.written.iter().filter(|write| write.foreign) {
        let (fence, revision) = (write.fence, write.revision);
        found.add(write.at, format!("{fence}.{revision} written to a store that was not the one"));
    }
}
