//! Idempotency keys and scopes.

/// An idempotency key: 1 to 255 bytes of printable ASCII, compared byte for byte.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key(String);

impl Key {
    /// The bytes of the key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Whose key it is.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    service: String,
    principal: Vec<u8>,
}

impl Scope {
    /// The service's name.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The principal's bytes.
    #[must_use]
    pub fn principal(&self) -> &[u8] {
        &self.principal
    }
}
