//! Listing beside what cannot be read.

use std::pin::pin;

use semel_core::Store;
use semel_core::machine::Answer;
use semel_core::store::{Filter, Listing, Page};

use super::rig::{Rig, claim, id, poll};

fn list(rig: &Rig, limit: usize) -> Vec<Listing> {
    let mut pages: Vec<Listing> = Vec::new();
    loop {
        let after = pages.last().and_then(|page| page.next);
        let page = Page { after, limit };
        let listed = poll(pin!(rig.store.list(Filter::default(), page))).expect("at once");
        pages.push(listed.expect("one bad record fails no listing"));
        if pages.last().is_none_or(|page| page.next.is_none()) {
            return pages;
        }
    }
}

/// One damaged record failed every page that it would have been on, and all behind it.
#[test]
fn a_record_that_cannot_be_read_is_told_and_all_others_are_listed() {
    let mut rig = Rig::new();
    for n in 0..20 {
        assert_eq!(rig.act(id(n), &claim(1)), Ok(Answer::Execute));
    }
    rig.complete(id(20), 700);
    let file = "log-00000001.seg";
    let bytes = rig.disk.bytes(file).expect("it is there");
    let reply = bytes.windows(64).position(|bytes| bytes.iter().all(|byte| *byte == 0x5a));
    rig.disk.flip_bit(file, reply.expect("its reply is in the log") as u64, 1);
    for limit in [3, 100] {
        let pages = list(&rig, limit);
        let listed: Vec<_> =
            pages.iter().flat_map(|page| &page.records).map(|(id, _)| *id).collect();
        assert_eq!(listed.len(), 20, "in pages of {limit}");
        assert!(listed.is_sorted() && !listed.contains(&id(20)));
        let unreadable: Vec<_> = pages.iter().flat_map(|page| &page.unreadable).collect();
        assert_eq!(unreadable.len(), 1, "in pages of {limit}: {unreadable:?}");
        assert!(unreadable[0].why.contains(file), "{unreadable:?}");
        let most = pages.iter().map(|page| page.records.len() + page.unreadable.len()).max();
        assert!(most <= Some(limit));
    }
}
