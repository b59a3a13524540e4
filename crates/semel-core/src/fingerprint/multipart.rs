//! Multipart bodies by their parts (RFC 2046 §5.1.1), not by the boundary that a client makes anew
//! at each attempt.
//!
//! Strict: a preamble, an epilogue, a line that only begins like a delimiter, a bare line feed in a
//! delimiter or in a header: the body has no form, and its bytes are compared.

/// The canonical form of a multipart body, or `None` when its bytes are to be compared.
pub(super) fn canonical(body: &[u8], content_type: &[u8]) -> Option<Vec<u8>> {
    let boundary = boundary(content_type)?;
    let delimiter = [b"--", boundary.as_slice()].concat();
    let mut out = Vec::with_capacity(body.len() + 64);
    let (mut at, mut part_start) = (0, None);
    // A delimiter can only begin a line, so each byte is looked at once whatever the boundary is.
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let start = at;
        at += line.len();
        let Some(rest) = line.strip_prefix(delimiter.as_slice()) else { continue };
        match part_start {
            Some(from) => {
                // The line break before a delimiter belongs to it.
                let part = body.get(from..start)?;
                write_part(part.strip_suffix(b"\r\n")?, &mut out)?;
            }
            None if start > 0 => return None,
            None => {}
        }
        let (last, rest) = match rest.strip_prefix(b"--") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let padding = rest.strip_suffix(b"\r\n").or(last.then_some(rest))?;
        if !padding.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            return None;
        }
        if last {
            return (at == body.len()).then_some(out);
        }
        part_start = Some(at);
    }
    None
}

/// Header lines with lower-cased names and trimmed values, then the content: each with its length.
fn write_part(part: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (mut head, mut content) = (Vec::new(), None);
    let mut rest = part;
    while content.is_none() {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let (line, behind) = rest.split_at_checked(end + 1)?;
        rest = behind;
        let line = line.strip_suffix(b"\r\n")?;
        if line.is_empty() {
            content = Some(rest);
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        // A continuation line, a space before the colon and a bare carriage return are read
        // differently by different readers.
        if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) || value.contains(&b'\r') {
            return None;
        }
        head.push((name.to_ascii_lowercase(), value.strip_prefix(b":")?.trim_ascii()));
    }
    write_length(head.len(), out);
    for (name, value) in head {
        write(&name, out);
        write(value, out);
    }
    write(content?, out);
    Some(())
}

fn write_length(length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&(length as u64).to_le_bytes());
}

fn write(bytes: &[u8], out: &mut Vec<u8>) {
    write_length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// The one `boundary` parameter of 1 to 70 characters (RFC 2046 §5.1.1), quoted or not.
fn boundary(content_type: &[u8]) -> Option<Vec<u8>> {
    let mut found = None;
    let (_, parameters) =
        content_type.split_at_checked(content_type.iter().position(|byte| *byte == b';')?)?;
    for parameter in parameters.split(|byte| *byte == b';') {
        let Some(equals) = parameter.iter().position(|byte| *byte == b'=') else { continue };
        let (name, value) = parameter.split_at_checked(equals)?;
        if !name.trim_ascii().eq_ignore_ascii_case(b"boundary") {
            continue;
        }
        let value = value.strip_prefix(b"=")?.trim_ascii();
        let value = match value.strip_prefix(b"\"") {
            Some(open) => open.strip_suffix(b"\"")?,
            None => value,
        };
        let plain = |byte: &u8| matches!(byte, b' '..=b'~') && !b"\"\\;".contains(byte);
        if found.is_some() || !(1..=70).contains(&value.len()) || !value.iter().all(plain) {
            return None;
        }
        found = Some(value.to_vec());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(boundary: &str, body: &str) -> Option<Vec<u8>> {
        let body = body.replace('\n', "\r\n").replace("@@", boundary);
        canonical(
            body.as_bytes(),
            format!("multipart/form-data; boundary=\"{boundary}\"").as_bytes(),
        )
    }

    const TWO: &str = "--@@\nContent-Disposition: form-data; name=\"a\"\n\n1\n--@@\n\
                       content-type: text/plain\n\n\n\n2\n--@@--\n";

    #[test]
    fn the_boundary_does_not_count() {
        assert!(form("x", TWO).is_some());
        assert_eq!(form("x", TWO), form("----WebKitFormBoundary7MA4YWxk", TWO));
        assert_eq!(form("x", TWO), form("x", TWO.trim_end()));
        let shouted = TWO.replace("Content-Disposition: ", "CONTENT-disposition:");
        assert_eq!(form("x", TWO), form("x", &shouted));
    }

    #[test]
    fn parts_count() {
        for (from, to) in [("1", "3"), ("name=\"a\"", "name=\"b\""), ("\n\n\n\n2", "\n\n\n2")] {
            let other = form("x", &TWO.replace(from, to));
            assert!(other.is_some() && other != form("x", TWO), "{from}");
        }
        let one = "--@@\n\n1\n--@@--\n";
        let split = "--@@\n\n\n--@@\n\n1\n--@@--\n";
        assert_ne!(form("x", one), form("x", split));
    }

    #[test]
    fn what_is_broken_has_no_form() {
        for body in [
            "",
            "--@@\n\n1\n",
            "--@@\n\n1\n--@@",
            "preamble\n--@@\n\n1\n--@@--\n",
            "--@@\n\n1\n--@@--\nepilogue",
            "--@@\n\n1\n--@@tail\n\n2\n--@@--\n",
            "--@@\nno colon\n\n1\n--@@--\n",
            "--@@\na: 1\n folded: 2\n\n1\n--@@--\n",
            "--@@\n--@@--\n",
        ] {
            assert_eq!(form("x", body), None, "{body}");
        }
        assert_eq!(canonical(b"--x\n\n1\n--x--\n", b"multipart/form-data; boundary=x"), None);
    }

    #[test]
    fn there_is_one_boundary() {
        for (content_type, expected) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            ("multipart/form-data; charset=utf-8; Boundary = \"a b\"", Some("a b")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=a; boundary=b", None),
            ("multipart/form-data; boundary=\"a;b\"", None),
        ] {
            let found = boundary(content_type.as_bytes());
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{content_type}");
        }
    }
}
