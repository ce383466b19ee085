//! `rescind check`.

use std::io::Write;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::proto::v1::{self, check_request::Credential};

use super::{
    Context,
    connect::ConnectArgs,
    failure::{self, Failure},
    output::{self, Format, OutputArgs},
    target::{read_input, read_token},
    time::{rfc3339, to_proto},
    view::{Target, clean},
    words::{REASONS, RULES, VERDICTS, word},
};

/// Exit code: the token is revoked.
const REVOKED: u8 = 3;
/// Exit code: the token may not be used for another reason.
const NOT_ACTIVE: u8 = 4;

/// Asks whether a token may still be used
///
/// Exits with 0 when it may, 3 when it is revoked, 4 when it is expired, not yet valid or invalid,
/// and 1 when there is no answer.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  rescind check \"$token\"
  rescind check - < token.txt              # keeps it out of `ps` and of the shell's history
  rescind check --claims '{\"iss\":\"https://issuer.example\",\"jti\":\"a1\",\"sub\":\"ada\",
                           \"iat\":1700000000,\"exp\":1700003600}'
  rescind check - --output json < token.txt | jq -r .verdict")]
pub(super) struct CheckArgs {
    /// The token; - reads it from standard input
    #[arg(
        required_unless_present = "claims",
        conflicts_with = "claims",
        value_name = "TOKEN|-"
    )]
    token: Option<String>,

    /// The claims of a token that you have verified yourself, as a JSON object with the names of
    /// the standards (and kid); - reads it from standard input
    #[arg(long, value_name = "JSON|-")]
    claims: Option<String>,

    /// Answer only from knowledge that is at most this old
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    max_staleness: Option<std::time::Duration>,

    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Debug, Serialize)]
pub(super) struct Answer {
    active: bool,
    verdict: &'static str,
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    matched: Option<Match>,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    staleness_ms: u32,
    signature_verified: bool,
}

#[derive(Debug, Serialize)]
struct Match {
    target: Target,
    rule: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    comment: String,
}

pub(super) async fn run(args: CheckArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let credential = match (args.token, args.claims) {
        (Some(token), _) => Credential::Token(read_token(token, context.input)?),
        (None, claims) => {
            let text = match claims.unwrap_or_default() {
                text if text == "-" => read_input(context.input)?,
                text => text,
            };
            Credential::Claims(claims_of(&text).map_err(Failure::Usage)?)
        }
    };
    let request = v1::CheckRequest {
        credential: Some(credential),
        max_staleness: args.max_staleness.map(to_proto),
    };
    let mut client = args.connect.client(context.environment).await?;
    let response = client.server.answer(client.rpc.check(request)).await?;
    let answer = Answer::from(response);
    match args.output.output {
        Format::Json => output::json(context.out, &answer)?,
        Format::Table => answer.write(context.out)?,
    }
    Ok(answer.exit_code())
}

impl From<v1::CheckResponse> for Answer {
    fn from(response: v1::CheckResponse) -> Self {
        Self {
            active: response.active,
            verdict: word(&VERDICTS, response.verdict),
            matched: response.r#match.map(|matched| Match {
                target: matched.target.into(),
                rule: word(&RULES, matched.rule),
                reason: word(&REASONS, matched.reason),
                revoked_at: matched.revoked_at.as_ref().map(rfc3339),
                comment: matched.comment,
            }),
            detail: response.detail,
            staleness_ms: response.staleness_ms,
            signature_verified: response.signature_verified,
        }
    }
}

impl Answer {
    fn exit_code(&self) -> u8 {
        match self.verdict {
            // The flag decides, since only it is safe to rely on.
            _ if self.active => failure::OK,
            "revoked" => REVOKED,
            _ => NOT_ACTIVE,
        }
    }

    fn write(&self, out: &mut dyn Write) -> Result<(), Failure> {
        writeln!(out, "{}", self.verdict.to_uppercase())?;
        let mut rows = Vec::new();
        let mut row = |name: &str, value: &str| {
            if !value.is_empty() {
                rows.push(vec![format!("  {name}"), clean(value)]);
            }
        };
        if let Some(matched) = &self.matched {
            row("target", &matched.target.to_string());
            row("rule", matched.rule);
            row("reason", matched.reason);
            row(
                "revoked at",
                matched.revoked_at.as_deref().unwrap_or_default(),
            );
            row("comment", &matched.comment);
        }
        row("detail", &self.detail);
        if self.staleness_ms > 0 {
            row("staleness", &format!("{} ms", self.staleness_ms));
        }
        if self.active && !self.signature_verified {
            row(
                "note",
                "the signature was not verified here: that is the caller's part",
            );
        }
        Ok(output::table(out, &[], rows)?)
    }
}

/// Claims as in a token's payload, and the header's kid.
fn claims_of(text: &str) -> Result<v1::Claims, String> {
    let object: Map<String, Value> = serde_json::from_str(text)
        .map_err(|error| format!("--claims is not a JSON object: {error}"))?;
    let mut claims = v1::Claims::default();
    let mut azp = String::new();
    for (name, value) in object {
        let seconds = || {
            value
                .as_f64()
                .map(Some)
                .ok_or_else(|| format!("--claims: {name} is not a number of seconds since 1970"))
        };
        match name.as_str() {
            "iss" => claims.iss = one(&name, &value)?,
            "jti" => claims.jti = one(&name, &value)?,
            "sub" => claims.sub = one(&name, &value)?,
            "sid" => claims.sid = one(&name, &value)?,
            "client_id" => claims.client_id = one(&name, &value)?,
            "azp" => azp = one(&name, &value)?,
            "kid" => claims.kid = one(&name, &value)?,
            "iat" => claims.iat = seconds()?,
            "exp" => claims.exp = seconds()?,
            "nbf" => claims.nbf = seconds()?,
            "auth_time" => claims.auth_time = seconds()?,
            "version" => {
                let version = value.as_u64();
                claims.version = Some(version.ok_or("--claims: version is not a whole number")?);
            }
            _ => {
                let values = match &value {
                    Value::Array(elements) => elements
                        .iter()
                        .map(|element| one(&name, element))
                        .collect::<Result<_, _>>()?,
                    value => vec![one(&name, value)?],
                };
                claims.other.insert(name, v1::Values { values });
            }
        }
    }
    if claims.client_id.is_empty() {
        claims.client_id = azp;
    }
    Ok(claims)
}

/// A text, or a whole number by its decimal text, as Rescind knows it.
fn one(name: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Ok(number.to_string()),
        _ => Err(format!(
            "--claims: {name} is neither a text nor a whole number, so nothing can be revoked by \
             it; leave it out"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_read_as_they_stand_in_a_token() {
        let claims = claims_of(
            r#"{"iss":"i","sub":42,"azp":"app","iat":1.5,"version":3,"tenant":["a","b"],"kid":"k"}"#,
        )
        .unwrap();
        assert_eq!(
            (&*claims.iss, &*claims.sub, &*claims.client_id),
            ("i", "42", "app")
        );
        assert_eq!((claims.iat, claims.version), (Some(1.5), Some(3)));
        assert_eq!(claims.other["tenant"].values, ["a", "b"]);
        for text in [
            "[]",
            "{",
            r#"{"exp":"soon"}"#,
            r#"{"x":{}}"#,
            r#"{"version":1.5}"#,
        ] {
            assert!(
                claims_of(text).unwrap_err().starts_with("--claims"),
                "{text}"
            );
        }
    }

    #[test]
    fn an_answer_says_the_same_to_people_machines_and_scripts() {
        let answer = Answer::from(v1::CheckResponse {
            verdict: v1::Verdict::Revoked.into(),
            r#match: Some(v1::Match {
                target: Some(v1::Target {
                    kind: Some(v1::target::Kind::User(v1::UserTarget {
                        iss: "https://issuer.example".to_owned(),
                        sub: "ada\u{1b}[31m".to_owned(),
                    })),
                }),
                rule: v1::RuleKind::IssuedBefore.into(),
                reason: v1::Reason::Logout.into(),
                revoked_at: Some(prost_types::Timestamp {
                    seconds: 1_700_000_000,
                    nanos: 0,
                }),
                comment: String::new(),
            }),
            ..v1::CheckResponse::default()
        });
        assert_eq!(
            serde_json::to_string(&answer).unwrap(),
            "{\"active\":false,\"verdict\":\"revoked\",\"match\":{\"target\":{\"kind\":\"user\",\
             \"iss\":\"https://issuer.example\",\"sub\":\"ada\\u001b[31m\"},\
             \"rule\":\"issued_before\",\"reason\":\"logout\",\
             \"revoked_at\":\"2023-11-14T22:13:20Z\"},\"staleness_ms\":0,\
             \"signature_verified\":false}"
        );
        let mut text = Vec::new();
        answer.write(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with("REVOKED\n"), "{text}");
        assert!(
            text.contains("user ada\\u{1b}[31m of https://issuer.example"),
            "{text}"
        );
        assert_eq!(answer.exit_code(), REVOKED);
        let expired = v1::CheckResponse {
            verdict: v1::Verdict::Expired.into(),
            ..v1::CheckResponse::default()
        };
        assert_eq!(Answer::from(expired).exit_code(), NOT_ACTIVE);
        assert_eq!(
            Answer::from(v1::CheckResponse::default()).exit_code(),
            NOT_ACTIVE
        );
    }
}
