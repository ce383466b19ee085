//! From a case's words to messages.

use std::collections::BTreeMap;

use crate::proto::v1::{self, target::Kind};

use super::{
    case::{KindName, Members, Restore, Revoke, RevokeUser, RuleName, Rules, Target, TokenTarget},
    mint::{self, Token},
    text::{Frame, seconds_text, timestamp},
};

type Made<T> = Result<T, String>;

/// The cut-off that the server chooses: its own "now".
const SERVER_NOW: &str = "server_now";

/// The tokens of a case, by name.
pub(super) type Tokens = BTreeMap<String, Token>;

/// What requests are made from.
#[derive(Debug)]
pub(super) struct Maker<'a> {
    pub(super) frame: &'a Frame,
    pub(super) tokens: &'a Tokens,
}

impl Maker<'_> {
    pub(super) fn token(&self, name: &str) -> Made<&Token> {
        self.tokens
            .get(name)
            .ok_or_else(|| format!("no token {name:?} was made"))
    }

    pub(super) fn iss(&self, iss: Option<&str>) -> Made<String> {
        iss.map_or_else(|| Ok(self.frame.iss.clone()), |iss| self.frame.expand(iss))
    }

    pub(super) fn target(&self, target: &Target) -> Made<v1::Target> {
        let text = |text: &str| self.frame.expand(text);
        let kind = match target {
            Target::Nothing(_) => None,
            Target::Token(token) => Some(Kind::Token(self.token_target(token)?)),
            Target::User(user) => Some(Kind::User(v1::UserTarget {
                iss: self.iss(user.iss.as_deref())?,
                sub: text(&user.sub)?,
            })),
            Target::Session(session) => Some(Kind::Session(v1::SessionTarget {
                iss: self.iss(session.iss.as_deref())?,
                sid: text(&session.sid)?,
            })),
            Target::Client(client) => Some(Kind::Client(v1::ClientTarget {
                iss: self.iss(client.iss.as_deref())?,
                client_id: text(&client.client_id)?,
            })),
            Target::Key(key) => Some(Kind::Key(v1::KeyTarget {
                iss: self.iss(key.iss.as_deref())?,
                kid: text(&key.kid)?,
            })),
            Target::Claim(claim) => Some(Kind::Claim(v1::ClaimTarget {
                iss: self.iss(claim.iss.as_deref())?,
                name: text(&claim.name)?,
                value: text(&claim.value)?,
            })),
            Target::Issuer(issuer) => Some(Kind::Issuer(v1::IssuerTarget {
                iss: self.iss(issuer.iss.as_deref())?,
            })),
        };
        Ok(v1::Target { kind })
    }

    fn token_target(&self, token: &TokenTarget) -> Made<v1::TokenTarget> {
        let jwt = match (&token.jwt, &token.jwt_text) {
            (Some(name), None) => self.token(name)?.text.clone(),
            (None, Some(text)) => self.frame.expand(text)?,
            (None, None) => String::new(),
            (Some(_), Some(_)) => return Err("jwt or jwt_text, not both".to_owned()),
        };
        // The issuer is optional beside a jwt.
        let iss = if jwt.is_empty() || token.iss.is_some() {
            self.iss(token.iss.as_deref())?
        } else {
            String::new()
        };
        Ok(v1::TokenTarget {
            iss,
            jti: self
                .frame
                .expand(token.jti.as_deref().unwrap_or_default())?,
            exp: token
                .exp
                .as_deref()
                .map(|exp| self.double(exp))
                .transpose()?,
            jwt,
            signing_input_sha256: match &token.signing_input_sha256 {
                None => Vec::new(),
                Some(text) => self.digest(text)?,
            },
        })
    }

    /// `bytes*N`, or the digest of a token of this case.
    pub(super) fn digest(&self, text: &str) -> Made<Vec<u8>> {
        if let Some(count) = text.strip_prefix("bytes*") {
            let count = count
                .parse()
                .map_err(|_| format!("{text:?} has no count"))?;
            return Ok(vec![7; count]);
        }
        self.token(text).map(Token::digest)
    }

    /// A NumericDate: a time of the case, or a number as protobuf writes it in JSON.
    fn double(&self, text: &str) -> Made<f64> {
        let number = self
            .frame
            .time(text)
            .map_or_else(|| text.to_owned(), seconds_text);
        number
            .parse()
            .map_err(|_| format!("{text:?} is neither a time nor a number"))
    }

    pub(super) fn rules(&self, rules: &Rules) -> Made<v1::Rules> {
        // "server now" is not ours to work out.
        let is_now = |text: &Option<String>| text.as_deref() == Some(SERVER_NOW);
        let time = |text: &Option<String>| {
            text.as_deref()
                .filter(|text| *text != SERVER_NOW)
                .map(|text| timestamp(self.frame.must_time(text)?))
                .transpose()
        };
        let texts = |texts: &[String]| -> Made<Vec<String>> {
            texts.iter().map(|text| self.frame.expand(text)).collect()
        };
        Ok(v1::Rules {
            all: rules.all,
            issued_before: time(&rules.issued_before)?,
            version_below: rules.version_below,
            authenticated_before: time(&rules.authenticated_before)?,
            except_sid: texts(&rules.except_sid)?,
            except_jti: texts(&rules.except_jti)?,
            issued_before_now: is_now(&rules.issued_before),
            authenticated_before_now: is_now(&rules.authenticated_before),
        })
    }

    pub(super) fn revoke(&self, asked: &Revoke) -> Made<v1::RevokeRequest> {
        let mut targets = Vec::new();
        for target in &asked.targets {
            for n in 1..=asked.spread.unwrap_or(1) {
                // What is repeated counts, unless what is spread does.
                let n = asked.spread.map_or(self.frame.n, |_| n);
                let frame = Frame {
                    n,
                    ..self.frame.clone()
                };
                let tokens = self.tokens;
                let frame = &frame;
                targets.push(Maker { frame, tokens }.target(target)?);
            }
        }
        Ok(v1::RevokeRequest {
            wait_for: None,
            targets,
            rules: asked
                .rules
                .as_ref()
                .map(|rules| self.rules(rules))
                .transpose()?,
            expires_at: self.end(asked.expires_at.as_deref())?,
            reason: reason(asked.reason.as_deref())?,
            comment: self.frame.expand(&asked.comment)?,
            request_id: self.frame.expand(&asked.request_id)?,
            validate_only: asked.validate_only,
        })
    }

    pub(super) fn revoke_user(&self, asked: &RevokeUser) -> Made<v1::RevokeUserRequest> {
        Ok(v1::RevokeUserRequest {
            wait_for: None,
            iss: self.iss(asked.iss.as_deref())?,
            sub: self.frame.expand(&asked.sub)?,
            rules: asked
                .rules
                .as_ref()
                .map(|rules| self.rules(rules))
                .transpose()?,
            expires_at: self.end(asked.expires_at.as_deref())?,
            reason: reason(asked.reason.as_deref())?,
            comment: self.frame.expand(&asked.comment)?,
            request_id: self.frame.expand(&asked.request_id)?,
            validate_only: asked.validate_only,
        })
    }

    pub(super) fn restore(&self, asked: &Restore) -> Made<v1::RestoreRequest> {
        Ok(v1::RestoreRequest {
            wait_for: None,
            targets: asked
                .targets
                .iter()
                .map(|target| self.target(target))
                .collect::<Made<_>>()?,
            rules: asked
                .rules
                .iter()
                .map(|rule| rule_kind(*rule).into())
                .collect(),
            comment: self.frame.expand(&asked.comment)?,
            request_id: self.frame.expand(&asked.request_id)?,
            validate_only: asked.validate_only,
        })
    }

    fn end(&self, text: Option<&str>) -> Made<Option<prost_types::Timestamp>> {
        text.map(|text| timestamp(self.frame.must_time(text)?))
            .transpose()
    }

    /// The claims of a check, over those that every token has.
    pub(super) fn claims(&self, members: &Members) -> Made<v1::Claims> {
        let mut texts = mint::base_claims("claims", self.frame);
        mint::overlay(&mut texts, members, self.frame)?;
        let mut claims = v1::Claims::default();
        for (name, text) in &texts {
            self.set_claim(&mut claims, name, text)
                .map_err(|problem| format!("claim {name:?}: {problem}"))?;
        }
        Ok(claims)
    }

    fn set_claim(&self, claims: &mut v1::Claims, name: &str, text: &str) -> Made<()> {
        let id = || serde_json::from_str(text).map_err(|_| "is no text".to_owned());
        let double = || {
            // Times were worked out before; what is still quoted is NaN or inf.
            let quoted = serde_json::from_str::<String>(text);
            let text = quoted.as_deref().unwrap_or(text);
            text.parse().map_err(|_| format!("{text:?} is no number"))
        };
        match name {
            "iss" => claims.iss = id()?,
            "jti" => claims.jti = id()?,
            "sub" => claims.sub = id()?,
            "sid" => claims.sid = id()?,
            "client_id" => claims.client_id = id()?,
            "kid" => claims.kid = id()?,
            "iat" => claims.iat = Some(double()?),
            "exp" => claims.exp = Some(double()?),
            "nbf" => claims.nbf = Some(double()?),
            "auth_time" => claims.auth_time = Some(double()?),
            "version" => {
                let version = text.parse().map_err(|_| "is no version".to_owned())?;
                claims.version = Some(version);
            }
            "signing_input_sha256" => claims.signing_input_sha256 = self.digest(&id()?)?,
            "other" => claims.other = self.other(text)?,
            _ => return Err("is none of the API's; put it into `other`".to_owned()),
        }
        Ok(())
    }

    fn other(&self, text: &str) -> Made<std::collections::HashMap<String, v1::Values>> {
        let other: BTreeMap<String, Vec<String>> =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        let expand = |values: Vec<String>| {
            let values = values.iter().map(|value| self.frame.expand(value));
            values.collect::<Made<Vec<_>>>()
        };
        other
            .into_iter()
            .map(|(name, values)| {
                let values = expand(values)?;
                Ok((self.frame.expand(&name)?, v1::Values { values }))
            })
            .collect()
    }
}

pub(super) fn reason(name: Option<&str>) -> Made<i32> {
    let Some(name) = name else {
        return Ok(0);
    };
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    v1::Reason::from_str_name(&format!("REASON_{}", name.to_uppercase()))
        .map(i32::from)
        .ok_or_else(|| format!("{name:?} is no reason"))
}

pub(super) fn rule_kind(rule: RuleName) -> v1::RuleKind {
    match rule {
        RuleName::Unspecified => v1::RuleKind::Unspecified,
        RuleName::All => v1::RuleKind::All,
        RuleName::IssuedBefore => v1::RuleKind::IssuedBefore,
        RuleName::VersionBelow => v1::RuleKind::VersionBelow,
        RuleName::AuthenticatedBefore => v1::RuleKind::AuthenticatedBefore,
    }
}

pub(super) fn target_kind(kind: KindName) -> v1::TargetKind {
    match kind {
        KindName::Token => v1::TargetKind::Token,
        KindName::User => v1::TargetKind::User,
        KindName::Session => v1::TargetKind::Session,
        KindName::Client => v1::TargetKind::Client,
        KindName::Key => v1::TargetKind::Key,
        KindName::Claim => v1::TargetKind::Claim,
        KindName::Issuer => v1::TargetKind::Issuer,
    }
}

pub(super) fn kind_of(target: &v1::Target) -> Option<v1::TargetKind> {
    Some(match target.kind.as_ref()? {
        Kind::Token(_) => v1::TargetKind::Token,
        Kind::User(_) => v1::TargetKind::User,
        Kind::Session(_) => v1::TargetKind::Session,
        Kind::Client(_) => v1::TargetKind::Client,
        Kind::Key(_) => v1::TargetKind::Key,
        Kind::Claim(_) => v1::TargetKind::Claim,
        Kind::Issuer(_) => v1::TargetKind::Issuer,
    })
}
