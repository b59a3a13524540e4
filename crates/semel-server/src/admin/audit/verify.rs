//! Looks a log through: is every line as it was written, and where it was written?

use std::io::{self, BufRead};

use semel::core::Secret;

use super::line::{Head, LineFault, check};

/// Faults told of one file; more are only counted.
const FAULTS_MAX: usize = 100;

/// What a file came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    /// Whole lines, right or wrong.
    pub(crate) lines: u64,
    /// The last line that was written under this secret.
    pub(crate) head: Head,
    /// The number of a line in the file, and what is wrong with it: the first hundred.
    pub(crate) faults: Vec<(u64, LineFault)>,
    /// How many there are in all.
    pub(crate) faults_in_all: u64,
}

/// Reads `log` to its end. A log may begin anew behind no line only at its first.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn verify(secret: &Secret, mut log: impl BufRead) -> io::Result<Verified> {
    let mut found = Verified { lines: 0, head: Head::EMPTY, faults: Vec::new(), faults_in_all: 0 };
    let mut line = Vec::new();
    loop {
        line.clear();
        if log.read_until(b'\n', &mut line)? == 0 {
            return Ok(found);
        }
        found.lines += 1;
        // A line without its end was cut off.
        let whole = line.strip_suffix(b"\n");
        let checked = whole
            .map_or(Err((LineFault::Unreadable, None)), |line| check(secret, &found.head, line));
        match checked {
            Ok(head) => found.head = head,
            Err((fault, head)) => {
                found.faults_in_all += 1;
                if found.faults.len() < FAULTS_MAX {
                    found.faults.push((found.lines, fault));
                }
                found.head = head.unwrap_or(found.head);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admin::audit::line::{Entry, write};

    fn secret() -> Secret {
        Secret::new(&[7; 32])
    }

    fn lines(secret: &Secret, count: u64) -> Vec<String> {
        let mut head = Head::EMPTY;
        let line = |n: u64| {
            let (at, record) = ("2025-01-01T00:00:00Z", "ab".repeat(32));
            let detail = json!({ "n": n, "text": "a \",\"mac\":\" in it" });
            let (who, peer, act) = ("alice", "10.0.0.7", "void");
            let entry = Entry { at, who, peer, record: &record, act, detail: &detail };
            let (line, next) = write(secret, &head, &entry);
            head = next;
            line
        };
        (1..=count).map(line).collect()
    }

    fn faults(lines: &[String]) -> Vec<(u64, LineFault)> {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        verify(&secret(), text.as_bytes()).unwrap().faults
    }

    #[test]
    fn a_log_as_it_was_written_has_no_fault() {
        let lines = lines(&secret(), 5);
        assert_eq!(faults(&lines), []);
        assert_eq!(faults(&lines[..3]), [], "a tail that is gone is told by its number alone");
        let all: String = lines.iter().map(|line| format!("{line}\n")).collect();
        assert_eq!(verify(&secret(), all.as_bytes()).unwrap().head.seq, 5);
        assert_eq!(verify(&secret(), &b""[..]).unwrap().head, Head::EMPTY);
    }

    #[test]
    fn every_changed_byte_is_found() {
        let lines = lines(&secret(), 3);
        for at in 0..lines[1].len() {
            let mut changed = lines.clone();
            let mut bytes = changed[1].clone().into_bytes();
            bytes[at] ^= 1;
            changed[1] = String::from_utf8(bytes).unwrap();
            assert_ne!(faults(&changed), [], "byte {at}");
        }
    }

    #[test]
    fn lines_taken_out_put_in_or_moved_are_found() {
        let lines = lines(&secret(), 5);
        let moved = |found| LineFault::Moved { found };
        assert_eq!(faults(&lines[1..]), [(1, moved(2))], "the first");
        let mut out = lines.clone();
        out.remove(2);
        assert_eq!(faults(&out), [(3, moved(4))]);
        let mut twice = lines.clone();
        twice.insert(2, lines[1].clone());
        assert_eq!(faults(&twice), [(3, moved(2))]);
        let mut swapped = lines.clone();
        swapped.swap(1, 2);
        assert_eq!(faults(&swapped), [(2, moved(3)), (3, moved(2)), (4, moved(4))]);
        let mut cut = lines.clone();
        cut[2].truncate(40);
        assert_eq!(faults(&cut), [(3, LineFault::Unreadable), (4, moved(4))]);
    }

    #[test]
    fn lines_of_another_secret_and_a_line_without_its_end_are_found() {
        let forged = lines(&Secret::new(&[8; 32]), 2);
        assert_eq!(faults(&forged), [(1, LineFault::Changed), (2, LineFault::Changed)]);
        let right = lines(&secret(), 1);
        let cut = verify(&secret(), right[0].as_bytes()).unwrap();
        assert_eq!(cut.faults, [(1, LineFault::Unreadable)]);
    }
}
