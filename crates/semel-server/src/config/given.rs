//! What a file holds behind a key, read strictly: a wrong type is named with the right one.

use http::{HeaderName, Method};
use semel_core::Span;
use toml::Spanned;
use toml::de::DeValue;

use crate::cli::suggest::nearest;
use crate::cli::values;

/// A value as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// In quotation marks.
    Text(String),
    /// A whole number, as written.
    Number(String),
    /// `true` or `false`.
    Switch(bool),
    /// In brackets.
    List(Vec<Given>),
    /// What no key takes: a date, a fraction, a table.
    Other(&'static str),
}

impl Given {
    pub(super) fn of(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Integer(number) if number.radix() == 10 => {
                Self::Number(number.as_str().replace('_', ""))
            }
            DeValue::Integer(_) => Self::Other("a number that is not decimal"),
            DeValue::Boolean(switch) => Self::Switch(*switch),
            DeValue::Array(list) => {
                Self::List(list.iter().map(|one: &Spanned<_>| Self::of(one.get_ref())).collect())
            }
            DeValue::Float(_) => Self::Other("a fraction"),
            DeValue::Datetime(_) => Self::Other("a date"),
            DeValue::Table(_) => Self::Other("a table"),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Number(_) => "a number",
            Self::Switch(_) => "true or false",
            Self::List(_) => "a list",
            Self::Other(kind) => kind,
        }
    }

    fn wanted(&self, what: &str) -> String {
        format!("it wants {what}, and was given {}", self.kind())
    }

    pub(super) fn text(&self) -> Result<&str, String> {
        match self {
            Self::Text(text) => Ok(text),
            _ => Err(self.wanted("a text in quotation marks")),
        }
    }

    /// A text that means something, such as a name or a path.
    pub(super) fn name(&self) -> Result<&str, String> {
        match self.text()? {
            "" => Err("it is empty".to_owned()),
            text => Ok(text),
        }
    }

    pub(super) fn switch(&self) -> Result<bool, String> {
        match self {
            Self::Switch(switch) => Ok(*switch),
            _ => Err(self.wanted("true or false, without quotation marks")),
        }
    }

    /// A whole number of at least `least`.
    pub(super) fn count(&self, least: u32) -> Result<u32, String> {
        let Self::Number(number) = self else {
            return Err(self.wanted("a whole number, without quotation marks"));
        };
        let count = number.parse().ok().filter(|count| *count >= least);
        count.ok_or_else(|| format!("{number} is not between {least} and {}", u32::MAX))
    }

    /// A text that `read` understands.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, String> {
        let text = self.text()?;
        read(text).map_err(|why| format!("\"{text}\": {why}"))
    }

    /// A length of time; `forever` too.
    pub(super) fn span(&self) -> Result<Span, String> {
        match self {
            Self::Number(number) => Err(format!(
                "a length of time is a text with its unit; did you mean \"{number}s\"?"
            )),
            _ => self.read(values::span),
        }
    }

    /// A length of time that ends.
    pub(super) fn duration(&self) -> Result<std::time::Duration, String> {
        match self {
            Self::Text(_) => self.read(values::duration),
            _ => self.span().map(Span::to_duration),
        }
    }

    /// A number of bytes, as a text with its unit or as a number.
    pub(super) fn bytes(&self) -> Result<u64, String> {
        match self {
            Self::Number(number) => values::bytes(number),
            _ => self.read(values::bytes),
        }
    }

    /// One of these words.
    pub(super) fn word<T: Copy>(&self, words: &[(&'static str, T)]) -> Result<T, String> {
        let text = self.text()?;
        let names = || words.iter().map(|(name, _)| *name);
        words.iter().find(|(name, _)| *name == text).map(|(_, meant)| *meant).ok_or_else(|| {
            match nearest(text, names()) {
                Some(near) => format!("\"{text}\" is not known here; did you mean \"{near}\"?"),
                None => {
                    let all: Vec<String> = names().map(|name| format!("\"{name}\"")).collect();
                    format!("\"{text}\" is not known here; use {}", all.join(" or "))
                }
            }
        })
    }

    /// A list, each member read alike.
    pub(super) fn list<T>(
        &self,
        read: impl Fn(&Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        match self {
            Self::List(list) => list.iter().map(read).collect(),
            _ => Err(self.wanted("a list in brackets")),
        }
    }

    pub(super) fn headers(&self) -> Result<Vec<HeaderName>, String> {
        self.list(|one| one.read(header))
    }

    pub(super) fn methods(&self) -> Result<Vec<Method>, String> {
        self.list(|one| one.read(method))
    }

    pub(super) fn statuses(&self) -> Result<Vec<u16>, String> {
        self.list(|one| {
            let status = one.count(0)?;
            u16::try_from(status).map_err(|_| format!("{status} is no HTTP status"))
        })
    }
}

/// A header's name.
pub(super) fn header(given: &str) -> Result<HeaderName, String> {
    HeaderName::try_from(given).map_err(|_| "no header has such a name".to_owned())
}

/// A method. They are case-sensitive (RFC 9110 §9.1), and a misspelled one would match nothing.
pub(super) fn method(given: &str) -> Result<Method, String> {
    const KNOWN: [&str; 9] =
        ["POST", "PATCH", "PUT", "DELETE", "GET", "HEAD", "OPTIONS", "CONNECT", "TRACE"];
    match nearest(given, KNOWN) {
        Some(near) if near != given => Err(format!("did you mean `{near}`?")),
        _ => Method::from_bytes(given.as_bytes()).map_err(|_| "no method has such a name".into()),
    }
}
