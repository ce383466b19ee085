//! The first stage: a compact JWS taken apart.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use crate::{
    limits,
    model::{Claims, Invalid, Semantics},
};

use super::{
    claims::{self, Wanted},
    json::{Array, Fault, Object, Value},
};

/// Room for what base64url hides, used again for the next token. It grows with the longest token
/// seen, to about [`limits::TOKEN_BYTES_MAX`].
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
}

/// A token taken apart, its signature not looked at.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    /// What the header says.
    pub header: Header<'a>,
    /// The claims as they stand in the token.
    pub members: Object<'a>,
    /// What was signed: header and claims as received, with the dot between them.
    pub signing_input: &'a str,
    /// The signature's bytes.
    pub signature: &'a [u8],
    /// The signature as received, in base64url.
    pub signature_text: &'a str,
}

/// The JOSE header.
#[derive(Clone, Debug)]
pub struct Header<'a> {
    /// The algorithm it claims; never `none`.
    pub alg: Cow<'a, str>,
    /// The key it claims; empty when it names none.
    pub kid: Cow<'a, str>,
    /// Its type; empty when it has none.
    pub typ: Cow<'a, str>,
    /// All of its members.
    pub members: Object<'a>,
}

/// Reads the claims of a token. The signature is not looked at.
///
/// # Errors
/// When the token cannot be judged safely, with what is wrong and what to do.
pub fn decode<'a, N: AsRef<str>>(
    token: &'a str,
    buffer: &'a mut Buffer,
    semantics: &'a Semantics,
    wanted: Wanted<'a, N>,
) -> Result<Claims<'a>, Invalid> {
    Parts::decode_within(token, buffer, semantics.token_bytes_max)?.claims(semantics, wanted)
}

impl<'a> Parts<'a> {
    /// Takes a token apart. A leading `Bearer ` (RFC 6750) is tolerated.
    ///
    /// # Errors
    /// When it is not one strict compact JWS whose header can be honoured.
    pub fn decode(token: &'a str, buffer: &'a mut Buffer) -> Result<Self, Invalid> {
        Self::decode_within(token, buffer, limits::TOKEN_BYTES_MAX)
    }

    /// The same, of a token that has no more bytes than the setting `max_token_bytes` says.
    ///
    /// # Errors
    /// Also when it is longer.
    pub fn decode_within(
        token: &'a str,
        buffer: &'a mut Buffer,
        token_bytes_max: usize,
    ) -> Result<Self, Invalid> {
        let token = without_scheme(token);
        let most = token_bytes_max.min(limits::TOKEN_BYTES_MAX);
        if token.len() > most {
            return Err(Invalid::new(format!(
                "the token has {} bytes; at most {most} are accepted (setting max_token_bytes)",
                token.len(),
            )));
        }
        let (header_text, payload_text, signature_text) = split(token)?;
        let signing_input = token
            .get(..header_text.len() + 1 + payload_text.len())
            .unwrap_or_default();

        // Decoded, the parts are shorter than the token, but each is given whole groups of three
        // bytes, which is up to two more than its text.
        let room_len = token.len() + 3 * 2;
        if buffer.bytes.len() < room_len {
            buffer.bytes.resize(room_len, 0);
        }
        let room = buffer.bytes.as_mut_slice();
        let (header, room) = decode_part(header_text, "header", room)?;
        let (payload, room) = decode_part(payload_text, "claims", room)?;
        let (signature, _) = decode_part(signature_text, "signature", room)?;

        let header = Header::parse(header)?;
        let members =
            Object::parse(payload).map_err(|fault| claims_fault(&fault, payload, &header))?;
        Ok(Self {
            header,
            members,
            signing_input,
            signature,
            signature_text,
        })
    }

    /// The issuer the token belongs to: its `iss`, else the default issuer.
    ///
    /// # Errors
    /// When `iss` is not a text or too long, or is missing without a default issuer.
    pub fn iss(&self, semantics: &'a Semantics) -> Result<Cow<'a, str>, Invalid> {
        claims::iss(&self.members, semantics)
    }

    /// The claims a decision needs, by the settings of the token's issuer.
    ///
    /// # Errors
    /// When one of them has a type or size that leaves open what it means.
    pub fn claims<N: AsRef<str>>(
        &self,
        semantics: &'a Semantics,
        wanted: Wanted<'a, N>,
    ) -> Result<Claims<'a>, Invalid> {
        claims::read(self, semantics, wanted)
    }

    /// SHA-256 of the signing input: what a token without `jti` is known by.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.signing_input.as_bytes()).into()
    }
}

/// The token after `Bearer` and its spaces; the scheme is case-insensitive (RFC 9110 section 11.1).
fn without_scheme(token: &str) -> &str {
    match token.split_at_checked(6) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") && rest.starts_with(' ') => {
            rest.trim_start_matches(' ')
        }
        _ => token,
    }
}

fn split(token: &str) -> Result<(&str, &str, &str), Invalid> {
    if token.is_empty() {
        return Err(Invalid::new("the token is empty"));
    }
    // Before its parts are counted: there may be any number of dots inside.
    if token.trim_start().starts_with('{') {
        return Err(Invalid::new(
            "the token is a JWS in its JSON serialization (RFC 7515 section 7.2); a JWT is always \
             compact, header.claims.signature (RFC 7519 section 1)",
        ));
    }
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Invalid::new(match token.split('.').count() {
            1 => Cow::Borrowed(
                "the token has no dots: it is opaque, not a JWT; only header.claims.signature \
                 can be read (RFC 7515 section 7.1)",
            ),
            5 => Cow::Borrowed(
                "the token has five parts: it is an encrypted JWE (RFC 7516); decrypt it and give \
                 the signed token inside, or its claims",
            ),
            count => Cow::Owned(format!(
                "the token has {count} parts; a compact JWS has three, header.claims.signature \
                 (RFC 7515 section 7.1)"
            )),
        }));
    };
    if signature.is_empty() {
        return Err(Invalid::new(
            "the token has no signature: an unsecured JWS (RFC 7515 appendix A.5) is not accepted",
        ));
    }
    for (part, name) in [(header, "header"), (payload, "claims")] {
        if part.is_empty() {
            return Err(Invalid::new(format!("the token's {name} part is empty")));
        }
    }
    Ok((header, payload, signature))
}

/// Decodes one part into the front of `room`; also returns the rest of the room.
fn decode_part<'a>(
    part: &str,
    name: &str,
    room: &'a mut [u8],
) -> Result<(&'a [u8], &'a mut [u8]), Invalid> {
    let estimate = base64::decoded_len_estimate(part.len()).min(room.len());
    let (own, rest) = room
        .split_at_mut_checked(estimate)
        .unwrap_or((&mut [], &mut []));
    let len = URL_SAFE_NO_PAD
        .decode_slice(part, own)
        .map_err(|_| not_base64url(part, name))?;
    let own: &[u8] = own;
    Ok((own.get(..len).unwrap_or_default(), rest))
}

/// Says what is wrong with a part that did not decode, in the words of the likeliest cause.
fn not_base64url(part: &str, name: &str) -> Invalid {
    if part.contains(|c: char| c.is_ascii_whitespace()) {
        return Invalid::new(
            "the token holds whitespace; give it as one text without spaces or line breaks",
        );
    }
    let outside =
        |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '+' | '/' | '='));
    let cause = if part.contains(outside) {
        "it holds a character that base64url does not have"
    } else if part.contains('=') {
        "it is padded with `=`, which RFC 7515 section 2 leaves out"
    } else if part.contains(['+', '/']) {
        "it is in the standard alphabet with `+` and `/` instead of `-` and `_`"
    } else if part.len() % 4 == 1 {
        "its length is impossible; was the token cut?"
    } else {
        "its last character has spare bits that are not zero, so that one token has several texts"
    };
    Invalid::new(format!("the token's {name} part is not base64url: {cause}"))
}

fn claims_fault(fault: &Fault, payload: &[u8], header: &Header<'_>) -> Invalid {
    let is_nested = matches!(
        header.members.get("cty"),
        Some(Value::Text(cty)) if cty.eq_ignore_ascii_case("jwt")
    );
    if is_nested && payload.first() != Some(&b'{') {
        return Invalid::new(
            "the token holds another token (header `cty` is JWT, RFC 7519 section 5.2); give the \
             inner one",
        );
    }
    Invalid::new(format!("the token's claims {fault}"))
}

impl<'a> Header<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, Invalid> {
        let members = Object::parse(bytes)
            .map_err(|fault| Invalid::new(format!("the members of the token's header {fault}")))?;
        let alg = text(&members, "alg")?;
        if alg.is_empty() {
            return Err(Invalid::new(
                "the token's header has no `alg` (RFC 7515 section 4.1.1)",
            ));
        }
        if alg.eq_ignore_ascii_case("none") {
            return Err(Invalid::new(
                "the token's header says that it is not signed (`alg` is none); only signed \
                 tokens are accepted",
            ));
        }
        refuse_extensions(&members)?;
        let kid = text(&members, "kid")?;
        claims::check_size("header `kid`", &kid)?;
        let typ = text(&members, "typ")?;
        Ok(Self {
            alg,
            kid,
            typ,
            members,
        })
    }
}

fn text<'a>(members: &Object<'a>, name: &str) -> Result<Cow<'a, str>, Invalid> {
    match members.get(name) {
        Some(Value::Text(text)) => Ok(text.clone()),
        None | Some(Value::Null) => Ok(Cow::Borrowed("")),
        Some(other) => Err(Invalid::new(format!(
            "header `{name}` is {}; RFC 7515 section 4.1 wants a text",
            other.kind()
        ))),
    }
}

/// A header that makes an extension a must is refused: none is understood (RFC 7515 section
/// 4.1.11), among them the unencoded payload of RFC 7797.
fn refuse_extensions(members: &Object<'_>) -> Result<(), Invalid> {
    match members.get("b64") {
        None | Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => {
            return Err(Invalid::new(
                "header `b64` is false: an unencoded payload (RFC 7797) is not a JWT",
            ));
        }
        Some(other) => {
            return Err(Invalid::new(format!(
                "header `b64` is {}; RFC 7797 section 3 wants true",
                other.kind()
            )));
        }
    }
    match members.get("crit") {
        None => Ok(()),
        Some(Value::Array(names)) => Err(Invalid::new(format!(
            "header `crit` demands extensions that are not understood here: {} (RFC 7515 section \
             4.1.11); have the issuer leave them out",
            extensions(*names)
        ))),
        Some(other) => Err(Invalid::new(format!(
            "header `crit` is {}; RFC 7515 section 4.1.11 wants an array of names",
            other.kind()
        ))),
    }
}

/// Which extensions `crit` lists, as far as they may be told.
fn extensions(names: Array<'_>) -> String {
    let mut list: Vec<Cow<'static, str>> = Vec::new();
    let mut others = 0_usize;
    for name in names.elements() {
        let registered = match name {
            Ok(Value::Text(name)) => registered(&name),
            _ => None,
        };
        match registered {
            Some(name) if list.iter().any(|listed| listed == name) => {}
            Some(name) => list.push(Cow::Borrowed(name)),
            None => others += 1,
        }
    }
    if others > 0 {
        list.push(Cow::Owned(format!("{others} that are not registered")));
    }
    if list.is_empty() {
        return "an empty list".to_owned();
    }
    list.join(", ")
}

/// The name of an extension if it stands in IANA's registry of JOSE header parameters or in
/// RFC 7515's own example: others come from the token alone and are not repeated.
fn registered(name: &str) -> Option<&'static str> {
    const NAMES: [&str; 10] = [
        "aud",
        "b64",
        "exp",
        "iss",
        "nonce",
        "ppt",
        "sub",
        "svt",
        "trust_chain",
        "url",
    ];
    NAMES.into_iter().find(|registered| *registered == name)
}
