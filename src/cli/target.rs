//! What to revoke or restore, on the command line.

use std::io::Read;

use clap::{ArgGroup, Args};

use crate::{
    limits,
    model::UnixNanos,
    proto::v1::{self, target::Kind},
};

use super::{failure::Failure, time::When};

/// One target. Its issuer is part of it.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Target", group(ArgGroup::new("what").required(true)))]
pub(super) struct TargetArgs {
    /// The issuer, exactly as in the tokens' `iss`
    #[arg(long, required_unless_present = "jwt")]
    iss: Option<String>,

    /// A token, itself; - reads it from standard input, where other users' `ps` does not see it
    #[arg(long, group = "what", value_name = "TOKEN|-")]
    jwt: Option<String>,

    /// A token, by its `jti`
    #[arg(long, group = "what")]
    jti: Option<String>,

    /// A token without `jti`, by SHA-256 of its signing input (64 hexadecimal digits)
    #[arg(long, group = "what", value_name = "HEX", value_parser = sha256)]
    signing_input_sha256: Option<Sha256>,

    /// When the token of --jti or --signing-input-sha256 expires: its revocation is kept until
    /// then; without it, for the issuer's max_token_lifetime
    #[arg(
        long,
        value_name = "TIME",
        allow_hyphen_values = true,
        conflicts_with = "jwt"
    )]
    exp: Option<When>,

    /// All tokens of a user
    #[arg(long, group = "what")]
    sub: Option<String>,

    /// All tokens of a session
    #[arg(long, group = "what")]
    sid: Option<String>,

    /// All tokens of a client
    #[arg(long, group = "what")]
    client_id: Option<String>,

    /// All tokens signed with a key
    #[arg(long, group = "what")]
    kid: Option<String>,

    /// All tokens that carry a claim with this value
    #[arg(long, group = "what", value_name = "NAME=VALUE", value_parser = claim)]
    claim: Option<(String, String)>,

    /// All tokens of the issuer
    #[arg(long, group = "what")]
    issuer: bool,
}

/// The digest of a signing input.
#[derive(Clone, Debug)]
struct Sha256(Vec<u8>);

impl TargetArgs {
    /// The target as the API takes it.
    pub(super) fn target(
        self,
        input: &mut dyn Read,
        now: UnixNanos,
    ) -> Result<v1::Target, Failure> {
        let iss = self.iss.unwrap_or_default();
        let exp = self.exp.map(|exp| exp.numeric_date(now));
        let kind = if let Some(jwt) = self.jwt {
            Kind::Token(v1::TokenTarget {
                iss,
                exp,
                jwt: read_token(jwt, input)?,
                ..v1::TokenTarget::default()
            })
        } else if let Some(jti) = self.jti {
            Kind::Token(v1::TokenTarget {
                iss,
                jti,
                exp,
                ..v1::TokenTarget::default()
            })
        } else if let Some(Sha256(signing_input_sha256)) = self.signing_input_sha256 {
            Kind::Token(v1::TokenTarget {
                iss,
                exp,
                signing_input_sha256,
                ..v1::TokenTarget::default()
            })
        } else if let Some(sub) = self.sub {
            Kind::User(v1::UserTarget { iss, sub })
        } else if let Some(sid) = self.sid {
            Kind::Session(v1::SessionTarget { iss, sid })
        } else if let Some(client_id) = self.client_id {
            Kind::Client(v1::ClientTarget { iss, client_id })
        } else if let Some(kid) = self.kid {
            Kind::Key(v1::KeyTarget { iss, kid })
        } else if let Some((name, value)) = self.claim {
            Kind::Claim(v1::ClaimTarget { iss, name, value })
        } else {
            Kind::Issuer(v1::IssuerTarget { iss })
        };
        if exp.is_some() && !matches!(kind, Kind::Token(_)) {
            return Err(Failure::Usage(
                "--exp is about one token: give it with --jti or --signing-input-sha256; to keep \
                 another revocation longer there is --expires-at"
                    .to_owned(),
            ));
        }
        Ok(v1::Target { kind: Some(kind) })
    }
}

/// A token from the command line, or from standard input for `-`.
pub(super) fn read_token(given: String, input: &mut dyn Read) -> Result<String, Failure> {
    let text = if given == "-" {
        read_input(input)?
    } else {
        given
    };
    let token = text.trim();
    if token.is_empty() {
        return Err(Failure::Usage(
            "the token is empty; give a compact JWS, or - and the token on standard input"
                .to_owned(),
        ));
    }
    Ok(token.to_owned())
}

/// All of standard input, as text, within reason.
pub(super) fn read_input(input: &mut dyn Read) -> Result<String, Failure> {
    // Twice the bound, so that a token that is too long is refused by the server, in its words.
    let most = u64::try_from(2 * limits::TOKEN_BYTES_MAX).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    input
        .take(most)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::Local(format!("cannot read standard input: {error}")))?;
    String::from_utf8(bytes)
        .map_err(|_error| Failure::Usage("standard input is not UTF-8 text".to_owned()))
}

fn claim(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(name, value)| !name.is_empty() && !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "give NAME=VALUE, such as tenant=acme".to_owned())
}

fn sha256(text: &str) -> Result<Sha256, String> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| {
            digit
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        })
        .collect();
    match digits {
        Some(digits) if digits.len() == 64 => {
            let bytes = digits
                .chunks_exact(2)
                .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit));
            Ok(Sha256(bytes.collect()))
        }
        _ => Err("give 64 hexadecimal digits".to_owned()),
    }
}
