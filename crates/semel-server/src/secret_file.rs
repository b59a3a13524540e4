//! The file that holds the server secret: 64 hexadecimal digits, readable by its owner alone.
//!
//! It is made once, at the first start of a new store, and never again: with another secret every
//! key would look new, and every retry would run a second time. It lies beside the store and never
//! inside it, so that a copy of the store alone opens no reply.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SecretFileError {
    /// It holds something else.
    #[error(
        "{} does not hold a server secret (64 hexadecimal digits; found {found}): bring the right file back from a copy; a new one would make every retry run again",
        path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it holds, without telling it.
        found: String,
    },
    /// It lies where the store lies.
    #[error(
        "the secret file {} lies inside the store's directory: whoever copies the store would have the secret too; move it out and name it with --secret-file",
        path.display()
    )]
    InsideStore {
        /// The file.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("the secret file {} could not be {verb}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `made`.
        verb: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Where the secret of the store in `dir` lies unless it is said otherwise: `DIR.secret`.
pub(crate) fn beside(dir: &Path) -> PathBuf {
    // "data/" and "data" are one directory.
    let mut name = dir.components().collect::<PathBuf>().into_os_string();
    name.push(".secret");
    PathBuf::from(name)
}

/// Refuses a secret file inside the store's directory.
///
/// # Errors
/// [`SecretFileError::InsideStore`].
pub(crate) fn check_place(path: &Path, store: &Path) -> Result<(), SecretFileError> {
    let whole = |path: &Path| {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let parent = fs::canonicalize(parent).or_else(|_| std::path::absolute(parent));
        parent.map(|parent| parent.join(path.file_name().unwrap_or_default()))
    };
    match (whole(path), whole(store)) {
        (Ok(path), Ok(store)) if path.starts_with(&store) => {
            Err(SecretFileError::InsideStore { path })
        }
        (Ok(_) | Err(_), Ok(_) | Err(_)) => Ok(()),
    }
}

/// The secret in the file; `None` when there is no such file.
///
/// # Errors
/// When it cannot be read or holds something else.
pub(crate) fn read(path: &Path) -> Result<Option<[u8; 32]>, SecretFileError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(SecretFileError::Io { path: path.to_owned(), verb: "read", source });
        }
    };
    let open_to = fs::metadata(path).map_or(0, |meta| meta.permissions().mode() & 0o077);
    if open_to != 0 {
        tracing::warn!(
            file = %path.display(),
            "the secret file can be read by others than its owner: run chmod 600 on it"
        );
    }
    let digits = text.trim_ascii();
    let secret = parse(digits).ok_or_else(|| SecretFileError::Malformed {
        path: path.to_owned(),
        found: format!("{} bytes", digits.len()),
    })?;
    Ok(Some(secret))
}

fn parse(digits: &[u8]) -> Option<[u8; 32]> {
    let mut secret = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in secret.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(*pair.first()?).to_digit(16)?;
        let low = char::from(*pair.last()?).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(secret)
}

/// Makes the file with this secret, durably. It never replaces one.
///
/// # Errors
/// When there is such a file already, or it cannot be written.
pub(crate) fn create(path: &Path, secret: &[u8; 32]) -> Result<(), SecretFileError> {
    let made = || -> io::Result<()> {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(format!(".{}", std::process::id()));
        let unfinished = PathBuf::from(unfinished);
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        let text: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let written = writeln!(file, "{text}").and_then(|()| file.sync_all());
        // A link, because it fails where the name is taken: of two processes that start at once,
        // one makes the secret and the other must read it.
        let linked = written.and_then(|()| fs::hard_link(&unfinished, path));
        fs::remove_file(&unfinished)?;
        linked?;
        File::open(parent)?.sync_all()
    };
    made().map_err(|source| SecretFileError::Io { path: path.to_owned(), verb: "made", source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_reads_back_and_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = beside(&dir.path().join("data/"));
        assert_eq!(path, dir.path().join("data.secret"));
        assert_eq!(read(&path).unwrap(), None);
        create(&path, &[0xa7; 32]).unwrap();
        assert_eq!(read(&path).unwrap(), Some([0xa7; 32]));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(create(&path, &[1; 32]).is_err());
        assert_eq!(read(&path).unwrap(), Some([0xa7; 32]));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing unfinished is left");
    }

    #[test]
    fn a_damaged_secret_is_an_error_and_not_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        for wrong in ["", "a7", &"z".repeat(64), &"a".repeat(65)] {
            fs::write(&path, wrong).unwrap();
            let error = read(&path).unwrap_err();
            assert!(matches!(error, SecretFileError::Malformed { .. }), "{wrong}");
            assert!(wrong.is_empty() || !error.to_string().contains(wrong), "it is not told");
        }
    }

    #[test]
    fn a_secret_inside_the_store_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("data");
        fs::create_dir(&store).unwrap();
        assert!(check_place(&store.join("secret"), &store).is_err());
        assert!(check_place(&store.join("../data/secret"), &store).is_err());
        assert!(check_place(&beside(&store), &store).is_ok());
    }
}
