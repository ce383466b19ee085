//! The signature algorithms of RFC 7518 section 3.1 and RFC 8037.

use std::{fmt, str::FromStr};

/// A signature algorithm; `none` is not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// ECDSA with P-384 and SHA-384.
    Es384,
    /// ECDSA with P-521 and SHA-512.
    Es512,
    /// `EdDSA` with Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All of them, with their names in `alg`.
    pub const ALL: [(Self, &'static str); 13] = [
        (Self::Hs256, "HS256"),
        (Self::Hs384, "HS384"),
        (Self::Hs512, "HS512"),
        (Self::Rs256, "RS256"),
        (Self::Rs384, "RS384"),
        (Self::Rs512, "RS512"),
        (Self::Ps256, "PS256"),
        (Self::Ps384, "PS384"),
        (Self::Ps512, "PS512"),
        (Self::Es256, "ES256"),
        (Self::Es384, "ES384"),
        (Self::Es512, "ES512"),
        (Self::EdDsa, "EdDSA"),
    ];

    /// Those with a shared secret.
    pub const HMAC: [Self; 3] = [Self::Hs256, Self::Hs384, Self::Hs512];

    /// Those with an RSA key.
    pub const RSA: [Self; 6] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
    ];

    /// Its name in `alg`.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(algorithm, _)| *algorithm == self)
            .map_or("", |(_, name)| name)
    }

    /// Whether `alg` means this algorithm: RFC 9864 calls `EdDSA` with Ed25519 `Ed25519`.
    pub fn is_named(self, alg: &str) -> bool {
        self.name() == alg || (self == Self::EdDsa && alg == "Ed25519")
    }

    /// The shortest secret (RFC 7518 section 3.2); `None` for those without one.
    pub fn secret_bytes_min(self) -> Option<usize> {
        match self {
            Self::Hs256 => Some(32),
            Self::Hs384 => Some(48),
            Self::Hs512 => Some(64),
            _ => None,
        }
    }

    /// As jsonwebtoken calls it; it does not know ES512.
    pub(super) fn of_jsonwebtoken(self) -> Option<jsonwebtoken::Algorithm> {
        self.name().parse().ok()
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL
            .iter()
            .find(|(algorithm, _)| algorithm.is_named(name))
            .map(|(algorithm, _)| *algorithm)
            .ok_or(())
    }
}
