//! What a decision needs to know of a token.

use std::borrow::Cow;

use super::UnixNanos;

/// A claim's name and one of its values.
pub type NamedValue<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The claims of one token, by whatever names it carries them. An empty text is an absent claim.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims<'a> {
    /// Issuer; never empty once the default issuer was filled in.
    pub iss: Cow<'a, str>,
    /// JWT ID.
    pub jti: Cow<'a, str>,
    /// The user.
    pub sub: Cow<'a, str>,
    /// The session.
    pub sid: Cow<'a, str>,
    /// The client.
    pub client_id: Cow<'a, str>,
    /// The key that signed it.
    pub kid: Cow<'a, str>,
    /// Issued at.
    pub iat: Option<UnixNanos>,
    /// Expires at.
    pub exp: Option<UnixNanos>,
    /// Not before.
    pub nbf: Option<UnixNanos>,
    /// When the user last authenticated.
    pub auth_time: Option<UnixNanos>,
    /// The token's version.
    pub version: Option<u64>,
    /// Further claims that a revocation may name, with each of their values.
    pub other: Vec<NamedValue<'a>>,
    /// SHA-256 of the signing input, where it is known and needed.
    pub digest: Option<[u8; 32]>,
}
