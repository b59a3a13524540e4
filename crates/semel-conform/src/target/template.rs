//! Text with places to fill: `{unique}`, `{amount}`, …
//!
//! A brace that begins no known name stands for itself, so that JSON needs no escaping.

use std::collections::BTreeMap;

/// The names that can be filled, and what they are for.
pub const NAMES: [(&str, &str); 6] = [
    ("unique", "a value that no other operation has, of a-z, 0-9 and -"),
    ("amount", "what is asked for: another amount is another request"),
    ("pad", "at least 2,000 bytes that come before the amount, for fingerprints that stop early"),
    ("slow_ms", "how long a slow operation takes, in milliseconds"),
    ("behaviour", "the name of the way that the operation should go; empty for the plain one"),
    ("key", "the idempotency key, for what is asked about it"),
];

/// What a template is filled with.
pub type Values = BTreeMap<&'static str, String>;

/// Text with places to fill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(String);

/// Why a text cannot be filled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// A name that nothing fills, but that looks like one.
    #[error("`{{{name}}}` is filled by nothing; the names are {known}{nearest}")]
    Unknown {
        /// As written.
        name: String,
        /// All that are known.
        known: String,
        /// "; did you mean …?", or nothing.
        nearest: String,
    },
}

impl Template {
    /// Text as it was written.
    ///
    /// # Errors
    /// A word in braces that is no name: `{uniqe}` would be sent as it stands.
    pub fn new(text: &str) -> Result<Self, TemplateError> {
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            rest = rest.get(at + 1..).unwrap_or_default();
            let Some(end) = rest.find('}') else { break };
            let name = rest.get(..end).unwrap_or_default();
            let word = |c: char| c.is_ascii_lowercase() || c == '_';
            let looks_like_one = !name.is_empty() && name.chars().all(word);
            if looks_like_one && !NAMES.iter().any(|(known, _)| *known == name) {
                let known: Vec<_> = NAMES.iter().map(|(n, _)| format!("{{{n}}}")).collect();
                let near = crate::nearest::nearest(name, NAMES.iter().map(|(n, _)| *n));
                let nearest = near.map_or(String::new(), |n| format!("; did you mean `{{{n}}}`?"));
                let (name, known) = (name.to_owned(), known.join(", "));
                return Err(TemplateError::Unknown { name, known, nearest });
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether that name occurs.
    #[must_use]
    pub fn mentions(&self, name: &str) -> bool {
        self.0.contains(&format!("{{{name}}}"))
    }

    /// With every place filled.
    #[must_use]
    pub fn fill(&self, values: &Values) -> String {
        let mut text = self.0.clone();
        for (name, value) in values {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_and_json_stands() {
        let template = Template::new(r#"{"ref":"{unique}","amount":{amount},"x":{}}"#).unwrap();
        let values = Values::from([("unique", "u-1".into()), ("amount", "7".into())]);
        assert_eq!(template.fill(&values), r#"{"ref":"u-1","amount":7,"x":{}}"#);
        assert!(template.mentions("unique") && !template.mentions("pad"));
    }

    #[test]
    fn a_misspelt_name_is_told() {
        let error = Template::new("/charges/{uniqe}").unwrap_err().to_string();
        assert!(error.contains("did you mean `{unique}`"), "{error}");
    }
}
