//! URL-encoded forms by value: decoded name/value pairs, in their order.

use super::pointer::View;

/// Put by the decoder where the bytes are not UTF-8.
const REPLACEMENT: char = '\u{fffd}';

/// The canonical form of what `view` shows of a form, or `None` when its bytes are to be compared:
/// names or values that are not UTF-8 are decoded to one replacement, so two could look alike.
///
/// A pointer `/name` means all pairs of that name.
pub(super) fn canonical(body: &[u8], view: Option<View<'_>>) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len() + 64);
    for (name, value) in form_urlencoded::parse(body) {
        if name.contains(REPLACEMENT) || value.contains(REPLACEMENT) {
            return None;
        }
        let below = view.and_then(|view| view.child(name.as_bytes()));
        if below.is_some_and(|below| !below.is_partial()) {
            for text in [name, value] {
                out.extend_from_slice(&(text.len() as u64).to_le_bytes());
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::pointer::{Node, Pointer};

    fn whole(body: &str) -> Option<Vec<u8>> {
        canonical(body.as_bytes(), Some(View::default()))
    }

    #[test]
    fn plus_and_percent_20_are_the_same() {
        assert_eq!(whole("a=x+y&b=%7E"), whole("a=x%20y&b=~"));
        assert_ne!(whole("a=x+y"), whole("a=x%2By"));
    }

    #[test]
    fn order_and_borders_count() {
        assert_ne!(whole("a=1&b=2"), whole("b=2&a=1"));
        assert_ne!(whole("a=bc"), whole("ab=c"));
        assert_ne!(whole("a=1&a=2"), whole("a=1"));
    }

    #[test]
    fn what_is_not_utf_8_has_no_form() {
        assert_eq!(whole("a=%ff"), None);
        assert_eq!(canonical(b"a=\xfe", Some(View::default())), None);
    }

    #[test]
    fn pointers_name_fields() {
        let pointers = ["/card[number]", "/a~1b"].map(|text| text.parse::<Pointer>().unwrap());
        let tree = Node::tree(&pointers);
        let body = b"card[number]=1&a%2Fb=2&c=3";
        let excluded = canonical(body, View::new(None, Some(&tree)));
        assert_eq!(excluded, whole("c=3"));
        let included = canonical(body, View::new(Some(&tree), None));
        assert_eq!(included, whole("card[number]=1&a%2Fb=2"));
    }
}
