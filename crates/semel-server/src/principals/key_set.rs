//! The public keys that tokens are verified by: a JWK set (RFC 7517) in a file.
//!
//! A key is used for what it says it is for and for nothing else: its kind decides which algorithms
//! fit, never the token, or a public RSA key could be taken for a shared secret. A file that cannot be
//! used is an error as a whole; at a later reading what stood before goes on.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

/// Every algorithm by its name (RFC 7518 §3.1, RFC 8037); those of a shared secret stand last.
pub(crate) const ALGORITHMS: [(&str, Algorithm); 12] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
    ("HS256", Algorithm::HS256),
    ("HS384", Algorithm::HS384),
    ("HS512", Algorithm::HS512),
];

/// The name of an algorithm.
pub(crate) fn algorithm_name(algorithm: Algorithm) -> &'static str {
    let found = ALGORITHMS.iter().find(|(_, known)| *known == algorithm);
    found.map_or("unknown", |(name, _)| *name)
}

/// Why a file holds no keys to verify by.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum KeySetError {
    /// The file system refused.
    #[error("{} cannot be read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It holds something else.
    #[error("{}: {why}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
}

/// Keys that were read.
#[derive(Debug)]
pub(super) struct KeySet(Vec<SigningKey>);

struct SigningKey {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl KeySet {
    /// Reads a JWK set, for tokens signed by one of `allowed`.
    fn parse(text: &str, allowed: &[Algorithm]) -> Result<Self, String> {
        let document: Value =
            serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
        let list = document.get("keys").and_then(Value::as_array);
        let list = list.ok_or("it is no JWK set: an object with a list `keys` is expected")?;
        let mut keys: Vec<SigningKey> = Vec::new();
        for value in list {
            let Some(key) = signing_key(value, allowed)? else { continue };
            let twin = |other: &&SigningKey| {
                other.id == key.id && other.algorithms.iter().any(|a| key.algorithms.contains(a))
            };
            if let (Some(id), Some(_)) = (&key.id, keys.iter().find(twin)) {
                return Err(format!(
                    "two keys go by the id `{id}`: which of them counts is not certain"
                ));
            }
            keys.push(key);
        }
        if let Some(unserved) = allowed.iter().find(|one| shared(**one) && !serves(&keys, **one)) {
            let name = algorithm_name(*unserved);
            return Err(format!(
                "`jwt_algorithms` names {name}, and no key of kind `oct` is there for it: leave {name} out"
            ));
        }
        if keys.is_empty() {
            return Err(format!(
                "none of its {} keys fits `jwt_algorithms`, so no token would ever hold",
                list.len()
            ));
        }
        Ok(Self(keys))
    }

    /// The one key for a token with this key id and algorithm. Without an id there must be only one.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&DecodingKey> {
        let fits = |key: &&SigningKey| {
            key.algorithms.contains(&algorithm) && (id.is_none() || key.id.as_deref() == id)
        };
        let mut found = self.0.iter().filter(fits);
        match (found.next(), found.next()) {
            (Some(only), None) => Some(&only.key),
            (_, _) => None,
        }
    }

    /// Whether any key verifies this algorithm.
    pub(super) fn serves(&self, algorithm: Algorithm) -> bool {
        serves(&self.0, algorithm)
    }
}

fn serves(keys: &[SigningKey], algorithm: Algorithm) -> bool {
    keys.iter().any(|key| key.algorithms.contains(&algorithm))
}

/// Whether whoever can verify can also sign.
fn shared(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
}

/// A key that verifies something of what is allowed; `None` for others, which a set may hold as well
/// (RFC 7517 §5).
fn signing_key(value: &Value, allowed: &[Algorithm]) -> Result<Option<SigningKey>, String> {
    let Ok(jwk) = serde_json::from_value::<Jwk>(value.clone()) else { return Ok(None) };
    let for_something_else = matches!(&jwk.common.public_key_use, Some(kind) if *kind != PublicKeyUse::Signature)
        || matches!(&jwk.common.key_operations, Some(list) if !list.contains(&KeyOperations::Verify));
    if for_something_else {
        return Ok(None);
    }
    let mut algorithms = fitting(&jwk)?;
    algorithms.retain(|one| allowed.contains(one));
    if let Some(named) = &jwk.common.key_algorithm {
        algorithms.retain(|one| KeyAlgorithm::from(*one) == *named);
    }
    if algorithms.is_empty() {
        return Ok(None);
    }
    let id = jwk.common.key_id.clone();
    if value.get("d").is_some() {
        let id = id.as_deref().unwrap_or("without an id");
        return Err(format!(
            "the key `{id}` is a private one, which signs tokens and has no place here: keep its public part only"
        ));
    }
    let key = DecodingKey::from_jwk(&jwk).map_err(|error| format!("a key is damaged: {error}"))?;
    Ok(Some(SigningKey { id, algorithms, key }))
}

/// The algorithms that a key of this kind can verify.
fn fitting(jwk: &Jwk) -> Result<Vec<Algorithm>, String> {
    use Algorithm as A;
    Ok(match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => {
            vec![A::RS256, A::RS384, A::RS512, A::PS256, A::PS384, A::PS512]
        }
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => vec![A::ES256],
            EllipticCurve::P384 => vec![A::ES384],
            _ => Vec::new(),
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            vec![A::EdDSA]
        }
        // RFC 7518 §3.2: a key at least as long as the hash. Of base64, four characters are three bytes.
        AlgorithmParameters::OctetKey(key) => {
            let bytes = key.value.trim_end_matches('=').len() * 3 / 4;
            let long_enough = |(_, least): &(A, usize)| bytes >= *least;
            let all = [(A::HS256, 32), (A::HS384, 48), (A::HS512, 64)];
            all.into_iter().filter(long_enough).map(|(one, _)| one).collect()
        }
        _ => Vec::new(),
    })
}

/// Which version of a file was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen(Option<(u64, u64, i64, i64)>);

impl Seen {
    fn of(path: &Path) -> Self {
        let seen = |meta: fs::Metadata| (meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec());
        Self(fs::metadata(path).ok().map(seen))
    }
}

/// A JWK set that follows its file.
#[derive(Debug)]
pub(crate) struct KeySetFile {
    path: PathBuf,
    allowed: Vec<Algorithm>,
    now: RwLock<Arc<KeySet>>,
    seen: Mutex<Seen>,
}

impl KeySetFile {
    /// Reads the file.
    ///
    /// # Errors
    /// [`KeySetError`].
    pub(crate) fn open(path: &Path, allowed: Vec<Algorithm>) -> Result<Self, KeySetError> {
        // Before the file is read: what changes meanwhile is noticed.
        let seen = Seen::of(path);
        let now = RwLock::new(Arc::new(read(path, &allowed)?));
        Ok(Self { path: path.to_owned(), allowed, now, seen: Mutex::new(seen) })
    }

    /// The keys that count at present.
    pub(super) fn keys(&self) -> Arc<KeySet> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the file again if it has changed. One that cannot be used leaves the keys as they are, and
    /// is told once. Reads from disk, so it is no call for a task of the runtime.
    pub(crate) fn follow(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let there = Seen::of(&self.path);
        if *seen == there {
            return;
        }
        *seen = there;
        let result = match read(&self.path, &self.allowed) {
            Ok(keys) => {
                let count = keys.0.len();
                *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
                tracing::info!(file = %self.path.display(), keys = count, "the keys that verify tokens were read again");
                "taken"
            }
            Err(error) => {
                tracing::error!(%error, "the keys that verify tokens stay as they were before their file changed");
                "refused"
            }
        };
        metrics::counter!("semel_jwks_reloads_total", "result" => result).increment(1);
    }
}

fn read(path: &Path, allowed: &[Algorithm]) -> Result<KeySet, KeySetError> {
    let text = fs::read_to_string(path)
        .map_err(|source| KeySetError::Io { path: path.to_owned(), source })?;
    KeySet::parse(&text, allowed).map_err(|why| KeySetError::Unfit { path: path.to_owned(), why })
}
