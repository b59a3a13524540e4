//! The status codes of gRPC.

use std::fmt;
use std::str::FromStr;

/// How a call ended: one of the seventeen statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrpcCode(u8);

/// In the order of their numbers.
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// No status has such a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no status of gRPC: they are written like `UNAVAILABLE`")]
pub struct GrpcCodeError {
    /// As given.
    pub given: String,
}

impl GrpcCode {
    /// It worked.
    pub const OK: Self = Self(0);
    /// Somebody, mostly the caller, gave it up.
    pub const CANCELLED: Self = Self(1);
    /// What a status becomes that says nothing.
    pub const UNKNOWN: Self = Self(2);
    /// The request is wrong, whatever the state.
    pub const INVALID_ARGUMENT: Self = Self(3);
    /// Its time was over.
    pub const DEADLINE_EXCEEDED: Self = Self(4);
    /// There is no such thing.
    pub const NOT_FOUND: Self = Self(5);
    /// The caller may not.
    pub const PERMISSION_DENIED: Self = Self(7);
    /// Out of quota.
    pub const RESOURCE_EXHAUSTED: Self = Self(8);
    /// Not in this state; the same request will not do.
    pub const FAILED_PRECONDITION: Self = Self(9);
    /// Something else is under way; may be tried again from further up.
    pub const ABORTED: Self = Self(10);
    /// There is no such call.
    pub const UNIMPLEMENTED: Self = Self(12);
    /// Something broke.
    pub const INTERNAL: Self = Self(13);
    /// Try again soon.
    pub const UNAVAILABLE: Self = Self(14);
    /// Nobody knows who the caller is.
    pub const UNAUTHENTICATED: Self = Self(16);

    /// The status of this number; one that has no meaning is `UNKNOWN`, as the specification has it.
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        if number < NAMES.len() as u32 { Self(number as u8) } else { Self::UNKNOWN }
    }

    /// As on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// `UNAVAILABLE`.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES[usize::from(self.0)]
    }

    /// All names.
    #[must_use]
    pub const fn names() -> &'static [&'static str] {
        &NAMES
    }
}

impl fmt::Display for GrpcCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for GrpcCode {
    type Err = GrpcCodeError;

    fn from_str(given: &str) -> Result<Self, GrpcCodeError> {
        let found = NAMES.iter().position(|name| *name == given);
        let number = found.and_then(|number| u8::try_from(number).ok());
        number.map(Self).ok_or_else(|| GrpcCodeError { given: given.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_belong_together() {
        for number in 0..17 {
            let code = GrpcCode::from_number(number);
            assert_eq!(u32::from(code.number()), number);
            assert_eq!(code.name().parse(), Ok(code));
        }
        assert_eq!(GrpcCode::UNAUTHENTICATED.name(), "UNAUTHENTICATED");
        assert_eq!(GrpcCode::UNAVAILABLE.name(), "UNAVAILABLE");
        assert_eq!(GrpcCode::FAILED_PRECONDITION.name(), "FAILED_PRECONDITION");
        assert_eq!(GrpcCode::PERMISSION_DENIED.name(), "PERMISSION_DENIED");
        assert!("unavailable".parse::<GrpcCode>().is_err());
    }
}
