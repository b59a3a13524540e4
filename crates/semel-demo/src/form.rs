//! Reads a form with brackets, as the Stripe SDKs send it, into the tree that JSON would have said.
//!
//! `metadata[order]=42` is an object, `lines[0]=a&lines[1]=b` and `lines[]=a` are lists,
//! `shipping[address][city]=Bonn` nests. Every leaf is text. A form that says two things for one
//! name is refused: for money, the last word is a guess.

use serde_json::{Map, Value};
use thiserror::Error;

/// The most pairs of a form, and the deepest nesting of a name.
const MAX_PAIRS: usize = 1000;
const MAX_DEPTH: usize = 8;

/// Why a form cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum FormError {
    #[error("a form has at most {MAX_PAIRS} fields")]
    TooManyPairs,
    #[error("the name '{0}' is not of the form name[key][key], at most {MAX_DEPTH} deep")]
    Name(String),
    #[error("the name '{0}' has two values, or is used both as a value and as a group")]
    Conflict(String),
}

/// Parses `application/x-www-form-urlencoded` (WHATWG URL, section 5.1) with brackets in names.
pub(crate) fn parse(body: &[u8]) -> Result<Map<String, Value>, FormError> {
    let mut root = Map::new();
    for (count, (name, value)) in form_urlencoded::parse(body).enumerate() {
        if count == MAX_PAIRS {
            return Err(FormError::TooManyPairs);
        }
        let path = split(&name).ok_or_else(|| FormError::Name(name.to_string()))?;
        insert(&mut root, &path, value.into_owned())
            .ok_or_else(|| FormError::Conflict(name.to_string()))?;
    }
    Ok(root.into_iter().map(|(name, value)| (name, lists(value))).collect())
}

/// `a[b][c]` as `a`, `b`, `c`.
fn split(name: &str) -> Option<Vec<&str>> {
    let (head, rest) = match name.find('[') {
        Some(at) => name.split_at(at),
        None => (name, ""),
    };
    let mut path = vec![head];
    let mut rest = rest;
    while !rest.is_empty() {
        let (key, after) = rest.strip_prefix('[')?.split_once(']')?;
        path.push(key);
        rest = after;
    }
    (!head.is_empty() && path.len() <= MAX_DEPTH).then_some(path)
}

/// `None` where the place is taken.
fn insert(group: &mut Map<String, Value>, path: &[&str], value: String) -> Option<()> {
    let (key, rest) = path.split_first()?;
    // `[]` takes the next free place.
    let key = if key.is_empty() { group.len().to_string() } else { (*key).to_owned() };
    if rest.is_empty() {
        return match group.contains_key(&key) {
            true => None,
            false => group.insert(key, Value::String(value)).is_none().then_some(()),
        };
    }
    let inner = group.entry(key).or_insert_with(|| Value::Object(Map::new()));
    insert(inner.as_object_mut()?, rest, value)
}

/// Turns each group whose keys are 0, 1, 2 … into a list.
fn lists(value: Value) -> Value {
    let Value::Object(group) = value else { return value };
    let mut group: Map<String, Value> = group.into_iter().map(|(k, v)| (k, lists(v))).collect();
    let places: Vec<String> = (0..group.len()).map(|place| place.to_string()).collect();
    if group.is_empty() || !places.iter().all(|place| group.contains_key(place)) {
        return Value::Object(group);
    }
    Value::Array(places.iter().filter_map(|place| group.remove(place)).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(form: &str) -> Value {
        Value::Object(parse(form.as_bytes()).unwrap())
    }

    #[test]
    fn both_spellings_of_a_space_and_bytes_beyond_ascii_say_the_same() {
        let expected = json!({"amount": "2000", "metadata": {"order": "42 & more", "a": "é"}});
        let python = "amount=2000&metadata[order]=42+%26+more&metadata[a]=%C3%A9";
        let node = "amount=2000&metadata[order]=42%20%26%20more&metadata[a]=%C3%A9";
        let escaped = "amount=2000&metadata%5Border%5D=42%20%26%20more&metadata%5Ba%5D=%c3%a9";
        for form in [python, node, escaped] {
            assert_eq!(read(form), expected, "{form}");
        }
    }

    #[test]
    fn groups_nest_and_lists_keep_their_order() {
        assert_eq!(
            read("s[address][line1]=x&s[address][line2]=&s[name]=n"),
            json!({"s": {"address": {"line1": "x", "line2": ""}, "name": "n"}})
        );
        assert_eq!(read("a[1]=y&a[0]=x"), json!({"a": ["x", "y"]}));
        assert_eq!(read("a[]=x&a[]=y"), json!({"a": ["x", "y"]}));
        assert_eq!(read("a[0][id]=x&a[1][id]=y"), json!({"a": [{"id": "x"}, {"id": "y"}]}));
        let long: String = (0..12).map(|i| format!("a[{i}]={i}&")).collect();
        assert_eq!(read(&long)["a"][11], json!("11"));
        // A gap makes it a group: nothing is moved to another place.
        assert_eq!(read("a[0]=x&a[2]=y"), json!({"a": {"0": "x", "2": "y"}}));
        assert_eq!(read(""), json!({}));
    }

    #[test]
    fn two_values_for_one_name_are_refused() {
        for form in ["a=1&a=2", "a=1&a[b]=2", "a[b]=1&a=2", "a[b]=1&a[b]=1", "a[0]=1&a[0][b]=2"] {
            assert!(matches!(parse(form.as_bytes()), Err(FormError::Conflict(_))), "{form}");
        }
    }

    #[test]
    fn names_that_cannot_be_read_are_refused() {
        let deep = format!("a{}=1", "[b]".repeat(MAX_DEPTH));
        for form in ["[a]=1", "=1", "a[b=1", "a[b]c=1", "a[b]]=1", deep.as_str()] {
            assert!(matches!(parse(form.as_bytes()), Err(FormError::Name(_))), "{form}");
        }
        let many: String = (0..=MAX_PAIRS).map(|i| format!("a{i}=1&")).collect();
        assert_eq!(parse(many.as_bytes()), Err(FormError::TooManyPairs));
    }
}
