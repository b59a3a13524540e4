//! What happens to a disk.

use std::collections::BTreeMap;

use super::super::feed::Feed;
use super::sound::Sound;

/// The files of a directory.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

const SECTOR: usize = 512;
const EVENTS_MAX: usize = 8;
/// Names that a directory may come to hold.
const NAMES: [&str; 8] = [
    "LAST",
    "LAST.tmp",
    "STORE",
    "STORE.tmp",
    "log-00000001.seg",
    "log-00000009.seg",
    "log-00000003.idx",
    "spent-00000001.tbl",
];

/// The files of a log after the events that `feed` chooses.
pub(super) fn damaged(sound: &Sound, mut feed: Feed<'_>) -> Files {
    let mut files = sound.files.clone();
    for _ in 0..EVENTS_MAX {
        if feed.is_empty() || files.is_empty() {
            break;
        }
        strike(sound, &mut files, &mut feed);
    }
    files
}

fn chosen(files: &Files, feed: &mut Feed<'_>) -> String {
    let n = feed.below(files.len().min(256));
    files.keys().nth(n).cloned().unwrap_or_default()
}

/// A place in a file: mostly where sectors begin, and then a few bytes on.
fn place(len: usize, feed: &mut Feed<'_>) -> usize {
    let sector = usize::from(feed.u16()) % (len / SECTOR + 1);
    (sector * SECTOR + usize::from(feed.byte())).min(len)
}

fn sectors(len: usize, feed: &mut Feed<'_>) -> std::ops::Range<usize> {
    let from = place(len, feed) / SECTOR * SECTOR;
    from..(from + SECTOR * (1 + feed.below(8))).min(len)
}

fn strike(sound: &Sound, files: &mut Files, feed: &mut Feed<'_>) {
    let event = feed.below(10);
    let name = chosen(files, feed);
    let other = chosen(files, feed);
    let from_other = files.get(&other).cloned().unwrap_or_default();
    let bytes = files.get_mut(&name).expect("a name that was chosen is there");
    match event {
        0 => {
            let at = place(bytes.len(), feed);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << feed.below(8);
            }
        }
        1 => {
            let range = sectors(bytes.len(), feed);
            bytes[range].fill(0);
        }
        2 => {
            let at = place(bytes.len(), feed);
            let new = feed.bytes(64);
            let end = (at + new.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&new[..end - at]);
        }
        3 => bytes.truncate(place(bytes.len(), feed)),
        4 => drop(files.remove(&name)),
        // Sectors, or the whole file, as they were before.
        5 => {
            let Some(old) = sound.before.get(&name) else { return };
            let range = if feed.flag() { 0..bytes.len() } else { sectors(bytes.len(), feed) };
            let range = range.start.min(old.len())..range.end.min(old.len());
            bytes[range.clone()].copy_from_slice(&old[range]);
        }
        // Sectors that were meant for another place.
        6 => {
            let range = sectors(bytes.len(), feed);
            let from = place(from_other.len(), feed) / SECTOR * SECTOR;
            let strayed = from_other.get(from..from + range.len()).unwrap_or_default();
            bytes[range.start..range.start + strayed.len()].copy_from_slice(strayed);
        }
        7 => *bytes = feed.bytes(255).to_vec(),
        8 => bytes.extend_from_slice(feed.bytes(64)),
        _ => {
            let named = NAMES[feed.below(NAMES.len())].to_owned();
            let content = if feed.flag() { from_other } else { feed.bytes(255).to_vec() };
            files.insert(named, content);
        }
    }
}
