//! `rescind token inspect`.

use std::{io::Write, path::PathBuf};

use serde::Serialize;

use crate::{
    config::{ServeFlags, load},
    model::{self, Claims, Semantics, UnixNanos, What},
    token::{Inspection, inspect},
};

use super::{
    super::{
        Context,
        failure::{self, Failure},
        output::{self, Format, OutputArgs},
        target::read_token,
        view::{Target, clean, hex},
    },
    steps,
};

/// Tells what a token says, which revocations would catch it, and why it may be INVALID
///
/// Needs no server. Claims are read by the names that the configuration gives them. With --verify it
/// also tells, step by step, whether the configured issuers vouch for the token; without, no
/// signature is looked at. What it prints tells what the token tells, so treat it alike. Exits with
/// 1 when Check would answer INVALID whatever the time is, and with --verify when any step fails.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  rescind token inspect - < token.txt
  rescind token inspect \"$token\" --config /etc/rescind.toml
  rescind token inspect \"$token\" --verify --config /etc/rescind.toml
  rescind token inspect \"$token\" --output json | jq .targets")]
pub(crate) struct InspectArgs {
    /// The token; - reads it from standard input
    #[arg(value_name = "TOKEN|-")]
    token: String,

    /// The configuration file of the node that is to judge it [env: RESCIND_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Also tell why it does or does not verify; keys at a URL are fetched for that
    #[arg(long)]
    verify: bool,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Serialize)]
struct Shown {
    #[serde(skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    typ: Option<String>,
    claims: Vec<Claim>,
    targets: Vec<Target>,
    problems: Vec<String>,
    notes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    verification: Vec<steps::Shown>,
}

/// A claim under the name that Rescind has for it.
#[derive(Debug, Serialize)]
struct Claim {
    name: String,
    value: String,
}

pub(super) fn run(args: InspectArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let flags = ServeFlags {
        config: args.config,
        ..ServeFlags::default()
    };
    let config = load(&flags, context.environment)?.config;
    let semantics = &config.semantics;
    let token = read_token(args.token, context.input)?;
    let mut shown = Shown::new(inspect(&token, semantics), semantics, context.now);
    if args.verify {
        shown.verification = steps::steps(&token, &config, context.now)?;
    }
    match args.output.output {
        Format::Json => output::json(context.out, &shown)?,
        Format::Table => shown.write(context.out)?,
    }
    // What cannot be used is worth an exit code to a script.
    let is_good = shown.problems.is_empty() && shown.verification.iter().all(|step| step.ok);
    Ok(if is_good {
        failure::OK
    } else {
        failure::FAILED
    })
}

impl Shown {
    fn new(inspection: Inspection, semantics: &Semantics, now: UnixNanos) -> Self {
        let mut notes: Vec<String> = Vec::new();
        let mut claims = Vec::new();
        if let Some(read) = &inspection.claims {
            claims = listed(read);
            notes.extend(by_the_clock(read, semantics, now));
        }
        notes.extend(inspection.notes.iter().map(ToString::to_string));
        Self {
            alg: inspection.alg,
            kid: inspection.kid,
            typ: inspection.typ,
            claims,
            targets: inspection.targets.into_iter().map(Target::from).collect(),
            problems: inspection
                .problems
                .iter()
                .map(ToString::to_string)
                .collect(),
            notes,
            verification: Vec::new(),
        }
    }

    fn write(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let header = [("alg", &self.alg), ("kid", &self.kid), ("typ", &self.typ)];
        let header = header.into_iter().filter_map(|(name, value)| {
            let value = value.as_deref()?;
            Some(vec![format!("header {name}"), clean(value)])
        });
        let claims = self
            .claims
            .iter()
            .map(|claim| vec![clean(&claim.name), clean(&claim.value)]);
        output::table(out, &[], header.chain(claims))?;
        let targets: Vec<String> = self.targets.iter().map(Target::to_string).collect();
        for (title, texts) in [
            ("a revocation of any of these catches it:", &targets),
            ("good to know:", &self.notes),
            ("INVALID, whatever is revoked:", &self.problems),
        ] {
            if !texts.is_empty() {
                writeln!(out, "\n{title}")?;
            }
            for text in texts {
                writeln!(out, "  {}", clean(text))?;
            }
        }
        if !self.verification.is_empty() {
            writeln!(out, "\nverification, step by step:")?;
            let rows = self.verification.iter().map(|step| {
                let mark = if step.ok { "ok" } else { "NO" };
                vec![
                    format!("  {mark}"),
                    step.step.to_owned(),
                    clean(&step.found),
                ]
            });
            output::table(out, &[], rows)?;
        }
        Ok(())
    }
}

/// What the token's times mean now.
pub(super) fn by_the_clock(
    claims: &Claims<'_>,
    semantics: &Semantics,
    now: UnixNanos,
) -> Option<String> {
    let leeway = semantics.of(&claims.iss).leeway;
    let ago = |earlier: UnixNanos| {
        let seconds = std::time::Duration::from_secs(now.since(earlier).as_secs());
        humantime::format_duration(seconds).to_string()
    };
    match claims {
        Claims { exp: Some(exp), .. } if exp.plus(leeway) <= now => {
            Some(format!("it expired {} ago", ago(*exp)))
        }
        Claims { iat: Some(iat), .. } if *iat > now.plus(leeway) => Some(format!(
            "it was issued in the future ({iat}), so that it is INVALID until then"
        )),
        Claims { nbf: Some(nbf), .. } if *nbf > now.plus(leeway) => {
            Some(format!("it is not valid before {nbf}"))
        }
        _ => None,
    }
}

fn listed(claims: &Claims<'_>) -> Vec<Claim> {
    let texts = [
        ("iss", &claims.iss),
        ("jti", &claims.jti),
        ("sub", &claims.sub),
        ("sid", &claims.sid),
        ("client_id", &claims.client_id),
    ];
    let texts = texts
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(name, text)| (name.to_owned(), text.to_string()));
    let times = [
        ("iat", claims.iat),
        ("exp", claims.exp),
        ("nbf", claims.nbf),
        ("auth_time", claims.auth_time),
    ];
    let times = times
        .into_iter()
        .filter_map(|(name, time)| Some((name.to_owned(), time?.to_string())));
    let version = claims
        .version
        .map(|version| ("version".to_owned(), version.to_string()));
    let other = claims
        .other
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()));
    let digest = claims
        .digest
        .map(|digest| ("signing_input_sha256".to_owned(), hex(&digest)));
    texts
        .chain(times)
        .chain(version)
        .chain(other)
        .chain(digest)
        .map(|(name, value)| Claim { name, value })
        .collect()
}

impl From<model::Target> for Target {
    fn from(target: model::Target) -> Self {
        let iss = target.iss;
        match target.what {
            What::Jti(jti) => Self::Token {
                iss,
                jti: Some(jti),
                signing_input_sha256: None,
                exp: None,
            },
            What::Digest(digest) => Self::Token {
                iss,
                jti: None,
                signing_input_sha256: Some(hex(&digest)),
                exp: None,
            },
            What::User(sub) => Self::User { iss, sub },
            What::Session(sid) => Self::Session { iss, sid },
            What::Client(client_id) => Self::Client { iss, client_id },
            What::Key(kid) => Self::Key { iss, kid },
            What::Claim { name, value } => Self::Claim { iss, name, value },
            What::Issuer => Self::Issuer { iss },
        }
    }
}
