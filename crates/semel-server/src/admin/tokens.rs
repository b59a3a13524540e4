//! Who shows which token, and what that lets them do.
//!
//! A file holds one token, which may do everything, or a line for each operator:
//!
//! ```text
//! # roles          name     token, or its hash
//! metadata         grafana  sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//! metadata,resolve alice    kZ5nq0Yc3f1v9mWb7RtXe2
//! all              root     blake3:…
//! ```
//!
//! What is shown is compared by its hash, in the same time wherever the first difference lies, and with all
//! tokens whichever of them it is.

use std::fs;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};

use super::access::AccessError;

/// Shorter tokens could be guessed.
pub(super) const TOKEN_MIN: usize = 16;

/// What an operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Look: states, numbers, metrics, reports.
    Metadata,
    /// Say what became of a key in doubt, look it up, and void keys.
    Resolve,
    /// Drop replies.
    Purge,
}

impl Role {
    const ALL: [Self; 3] = [Self::Metadata, Self::Resolve, Self::Purge];

    /// The word in the file.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Resolve => "resolve",
            Self::Purge => "purge",
        }
    }
}

/// The roles of one operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Roles([bool; Role::ALL.len()]);

impl Roles {
    pub(super) const EVERY: Self = Self([true; Role::ALL.len()]);

    pub(super) fn has(self, role: Role) -> bool {
        Role::ALL.iter().zip(self.0).any(|(known, held)| *known == role && held)
    }

    fn parse(text: &str) -> Option<Self> {
        if text == "all" {
            return Some(Self::EVERY);
        }
        let mut roles = Self::default();
        for word in text.split(',') {
            let at = Role::ALL.iter().position(|role| role.name() == word)?;
            *roles.0.get_mut(at)? = true;
        }
        Some(roles)
    }
}

/// One who may come in.
#[derive(Clone)]
struct Holder {
    roles: Roles,
    name: String,
    hash: Hash,
}

#[derive(Clone, Copy)]
enum Hash {
    Blake3([u8; 32]),
    Sha256([u8; 32]),
}

/// All who may.
#[derive(Clone)]
pub(super) struct Tokens(Vec<Holder>);

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|holder| &holder.name)).finish()
    }
}

impl Tokens {
    /// Those of a file.
    pub(super) fn read(path: &Path) -> Result<Self, AccessError> {
        let text = text(path)?;
        let lines = lines(&text);
        if let [(_, line)] = &lines[..]
            && !line.contains(char::is_whitespace)
        {
            let only = Holder { roles: Roles::EVERY, name: "operator".into(), hash: plain(line) };
            return match line.len() >= TOKEN_MIN || hashed(line).is_some() {
                true => Ok(Self(vec![Holder { hash: hashed(line).unwrap_or(only.hash), ..only }])),
                false => Err(AccessError::Short { path: path.to_owned(), least: TOKEN_MIN }),
            };
        }
        let holders: Vec<Holder> = lines
            .iter()
            .map(|(number, line)| {
                holder(line).map_err(|why| AccessError::Line {
                    path: path.to_owned(),
                    line: *number,
                    why,
                })
            })
            .collect::<Result<_, _>>()?;
        if holders.is_empty() {
            return Err(AccessError::Short { path: path.to_owned(), least: TOKEN_MIN });
        }
        Ok(Self(holders))
    }

    /// Whose token this is, and what they may do.
    pub(super) fn find(&self, shown: &[u8]) -> Option<(&str, Roles)> {
        let by_blake3 = *blake3::hash(shown).as_bytes();
        let mut by_sha256 = [0; 32];
        by_sha256.copy_from_slice(digest(&SHA256, shown).as_ref());
        let mut found = None;
        for holder in &self.0 {
            let fits = match &holder.hash {
                Hash::Blake3(hash) => same(hash, &by_blake3),
                Hash::Sha256(hash) => same(hash, &by_sha256),
            };
            if fits {
                found = Some((holder.name.as_str(), holder.roles));
            }
        }
        found
    }
}

/// The token that a client shows: its file holds nothing else.
///
/// # Errors
/// When the file cannot be read, or holds something else or too short a token.
pub(crate) fn token(path: &Path) -> Result<Vec<u8>, AccessError> {
    let text = text(path)?;
    let token = text.trim_ascii();
    if token.len() < TOKEN_MIN {
        return Err(AccessError::Short { path: path.to_owned(), least: TOKEN_MIN });
    }
    if token.contains(char::is_whitespace) {
        return Err(AccessError::Several { path: path.to_owned() });
    }
    Ok(token.as_bytes().to_vec())
}

fn text(path: &Path) -> Result<String, AccessError> {
    fs::read_to_string(path).map_err(|source| AccessError::File { path: path.to_owned(), source })
}

/// Each with its number; neither comments nor empty ones.
fn lines(text: &str) -> Vec<(usize, &str)> {
    let numbered = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).collect()
}

fn holder(line: &str) -> Result<Holder, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [roles, name, token] = words[..] else {
        return Err(format!("it has {} words: write ROLES NAME TOKEN", words.len()));
    };
    let roles = Roles::parse(roles).ok_or_else(|| {
        "its first word names what is no role: write metadata, resolve, purge, some of them \
         with commas between, or all"
            .to_owned()
    })?;
    if token.starts_with("sha256:") || token.starts_with("blake3:") {
        let hash = hashed(token);
        let hash = hash.ok_or_else(|| "its hash is not 64 hexadecimal digits".to_owned())?;
        return Ok(Holder { roles, name: name.to_owned(), hash });
    }
    if token.len() < TOKEN_MIN {
        return Err(format!("its token is shorter than {TOKEN_MIN} characters"));
    }
    Ok(Holder { roles, name: name.to_owned(), hash: plain(token) })
}

fn plain(token: &str) -> Hash {
    Hash::Blake3(*blake3::hash(token.as_bytes()).as_bytes())
}

/// `sha256:` or `blake3:` and 64 hexadecimal digits.
fn hashed(token: &str) -> Option<Hash> {
    let (kind, digits) = token.split_once(':')?;
    let hash = *blake3::Hash::from_hex(digits).ok()?.as_bytes();
    match kind {
        "sha256" => Some(Hash::Sha256(hash)),
        "blake3" => Some(Hash::Blake3(hash)),
        _ => None,
    }
}

/// Takes the same time wherever the first difference lies.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    blake3::Hash::from_bytes(*a) == blake3::Hash::from_bytes(*b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Tokens, AccessError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        Tokens::read(file.path())
    }

    #[test]
    fn one_token_alone_may_do_everything() {
        let tokens = of("0123456789abcdef\n").unwrap();
        assert_eq!(tokens.find(b"0123456789abcdef"), Some(("operator", Roles::EVERY)));
        assert_eq!(tokens.find(b"0123456789abcdeX"), None);
        assert_eq!(tokens.find(b""), None);
    }

    #[test]
    fn each_line_is_an_operator_with_roles() {
        // printf %s test-token-of-some-length | sha256sum
        let sha = digest(&SHA256, b"test-token-of-some-length");
        let hex: String = sha.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let blake = blake3::hash(b"another-token-of-length").to_hex();
        let tokens = of(&format!(
            "# who\nmetadata grafana sha256:{hex}\n\nmetadata,resolve alice 0123456789abcdef\nall root blake3:{blake}\n"
        ))
        .unwrap();
        let (name, roles) = tokens.find(b"test-token-of-some-length").unwrap();
        assert_eq!(name, "grafana");
        assert!(roles.has(Role::Metadata) && !roles.has(Role::Resolve) && !roles.has(Role::Purge));
        let (name, roles) = tokens.find(b"0123456789abcdef").unwrap();
        assert_eq!(
            (name, roles.has(Role::Resolve), roles.has(Role::Purge)),
            ("alice", true, false)
        );
        assert_eq!(tokens.find(b"another-token-of-length").unwrap().1, Roles::EVERY);
        assert_eq!(tokens.find(format!("sha256:{hex}").as_bytes()), None, "a hash is no token");
        assert!(!format!("{tokens:?}").contains(&hex));
    }

    #[test]
    fn a_file_that_says_something_else_is_refused_with_its_line() {
        for (text, line) in [
            ("metadata a 0123456789abcdef\nroot b 0123456789abcdef\n", 2),
            ("all a short\n", 1),
            ("all 0123456789abcdef\n", 1),
            ("all a sha256:abc\n", 1),
            ("all,purge a 0123456789abcdef\n", 1),
        ] {
            match of(text) {
                Err(AccessError::Line { line: found, .. }) => assert_eq!(found, line, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(matches!(of("short"), Err(AccessError::Short { .. })));
        assert!(matches!(of("# nobody\n"), Err(AccessError::Short { .. })));
    }
}
