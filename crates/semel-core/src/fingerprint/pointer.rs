//! JSON pointers (RFC 6901) that leave fields out or name the only ones.

use std::fmt;
use std::str::FromStr;

/// A JSON pointer: `/metadata/sent_at`. In it `~1` stands for `/`, and `~0` for `~`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pointer {
    tokens: Vec<String>,
}

/// Why a text is no JSON pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PointerError {
    /// It is not empty and does not begin with a slash.
    #[error("a JSON pointer begins with `/`, as in `/metadata/sent_at` (RFC 6901)")]
    NoSlash,
    /// `~` before something other than `0` and `1`.
    #[error("in a JSON pointer `~` is written `~0` and `/` inside a name `~1` (RFC 6901)")]
    Escape,
}

impl Pointer {
    /// The names and indices on the way down, unescaped. The pointer to the whole has none.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().map(String::as_str)
    }
}

impl FromStr for Pointer {
    type Err = PointerError;

    fn from_str(text: &str) -> Result<Self, PointerError> {
        if text.is_empty() {
            return Ok(Self { tokens: Vec::new() });
        }
        let inner = text.strip_prefix('/').ok_or(PointerError::NoSlash)?;
        let tokens = inner.split('/').map(unescape).collect::<Result<_, _>>()?;
        Ok(Self { tokens })
    }
}

fn unescape(token: &str) -> Result<String, PointerError> {
    let mut pieces = token.split('~');
    let mut name = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (tilde, rest) = match (piece.strip_prefix('0'), piece.strip_prefix('1')) {
            (Some(rest), _) => ('~', rest),
            (_, Some(rest)) => ('/', rest),
            (None, None) => return Err(PointerError::Escape),
        };
        name.push(tilde);
        name.push_str(rest);
    }
    Ok(name)
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for token in &self.tokens {
            write!(f, "/{}", token.replace('~', "~0").replace('/', "~1"))?;
        }
        Ok(())
    }
}

/// Several pointers as one tree, so that a parser can follow them on its way down.
#[derive(Debug, Default)]
pub(super) struct Node<'a> {
    leaf: bool,
    children: Vec<(&'a str, Node<'a>)>,
}

impl<'a> Node<'a> {
    pub(super) fn tree(pointers: &'a [Pointer]) -> Self {
        let mut root = Self::default();
        for pointer in pointers {
            root.add(pointer.tokens());
        }
        root
    }

    fn add(&mut self, mut tokens: impl Iterator<Item = &'a str>) {
        let Some(token) = tokens.next() else {
            self.leaf = true;
            return;
        };
        if let Some((_, child)) = self.children.iter_mut().find(|(name, _)| *name == token) {
            return child.add(tokens);
        }
        let mut child = Self::default();
        child.add(tokens);
        self.children.push((token, child));
    }

    fn child(&self, name: &[u8]) -> Option<&Self> {
        self.children.iter().find(|(token, _)| token.as_bytes() == name).map(|(_, child)| child)
    }
}

/// Which of the values at some place in a document count.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct View<'a> {
    /// Only what lies at the leaves below; `None`: everything.
    only: Option<&'a Node<'a>>,
    /// All but what lies at the leaves below.
    without: Option<&'a Node<'a>>,
}

impl<'a> View<'a> {
    /// The view of a whole document, or `None` when nothing of it counts.
    pub(super) fn new(
        include: Option<&'a Node<'a>>,
        exclude: Option<&'a Node<'a>>,
    ) -> Option<Self> {
        let only = include.filter(|node| !node.leaf);
        if exclude.is_some_and(|node| node.leaf) {
            return None;
        }
        Some(Self { only, without: exclude })
    }

    /// The view of a member or element, or `None` when it does not count.
    pub(super) fn child(&self, name: &[u8]) -> Option<Self> {
        let only = match self.only {
            None => None,
            Some(node) => Some(node.child(name)?),
        };
        Self::new(only, self.without.and_then(|node| node.child(name)))
    }

    /// Whether this place counts only for what may lie below it.
    pub(super) const fn is_partial(&self) -> bool {
        self.only.is_some()
    }

    /// Whether no pointer leads here or below: all of it counts.
    pub(super) const fn is_whole(&self) -> bool {
        self.only.is_none() && self.without.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tilde_0_and_1_are_unescaped_once() {
        let pointer: Pointer = "/a~1b/~01/".parse().unwrap();
        assert_eq!(pointer.tokens().collect::<Vec<_>>(), ["a/b", "~1", ""]);
        assert_eq!(pointer.to_string(), "/a~1b/~01/");
        assert_eq!("".parse::<Pointer>().unwrap().tokens().count(), 0);
    }

    #[test]
    fn malformed_pointers_are_refused() {
        assert_eq!("a".parse::<Pointer>(), Err(PointerError::NoSlash));
        for text in ["/~", "/~2", "/a~"] {
            assert_eq!(text.parse::<Pointer>(), Err(PointerError::Escape), "{text}");
        }
    }
}
