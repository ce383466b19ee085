//! `rescind token mint`.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::{Map, Value, json};

use crate::{
    model::UnixNanos,
    token::{
        algorithm::Algorithm,
        sign::{RsaBits, SignError, SigningKey},
    },
};

use super::super::{
    Context,
    failure::{self, Failure},
    time::When,
    view::hex,
};

/// Makes a token for trying things out, and prints it
///
/// Rescind issues no tokens: these are signed with a key of yours, or with a fresh one that is
/// thrown away, which is enough where signatures are not verified.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  rescind token mint --iss https://issuer.example --sub ada
  rescind token mint --iss $ISS --sub ada --sid s1 --client-id app --ttl 5m
  rescind token mint --iss $ISS --sub ada --claim tenant=acme --claim 'roles=[\"admin\"]'
  rescind token mint --iss $ISS --sub ada --claim iat=null      # a token without iat
  rescind token mint --alg ES256 --write-key key.pem --kid k1 --iss $ISS --sub ada
  rescind token mint --alg ES256 --key-file key.pem --kid k1 --iss $ISS --sub bob")]
pub(crate) struct MintArgs {
    /// How to sign
    #[arg(long, default_value = "HS256", value_parser = algorithms(), ignore_case = true)]
    alg: Algorithm,

    /// Sign with the bytes of this file, exactly as they stand: for HS256, HS384 and HS512, at
    /// least as many as the hash has
    #[arg(long, value_name = "FILE", group = "key")]
    secret_file: Option<PathBuf>,

    /// Sign with the private key in this file (PKCS#8, PEM): for all other algorithms
    #[arg(long, value_name = "FILE", group = "key")]
    key_file: Option<PathBuf>,

    /// Keep the fresh key: write it to this new file (and its public key beside it, with .pub at
    /// the end)
    #[arg(long, value_name = "FILE", group = "key")]
    write_key: Option<PathBuf>,

    /// The issuer
    #[arg(long)]
    iss: Option<String>,

    /// The user
    #[arg(long)]
    sub: Option<String>,

    /// The token's id; without it, a random one
    #[arg(long, conflicts_with = "no_jti")]
    jti: Option<String>,

    /// Make a token without an id
    #[arg(long)]
    no_jti: bool,

    /// The session
    #[arg(long)]
    sid: Option<String>,

    /// The client
    #[arg(long)]
    client_id: Option<String>,

    /// The key's id, in the header
    #[arg(long)]
    kid: Option<String>,

    /// The token's type, in the header; "none" leaves it out
    #[arg(long, default_value = "JWT")]
    typ: String,

    /// How long it is valid from when it was issued
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    ttl: Duration,

    /// When it was issued
    #[arg(
        long,
        value_name = "TIME",
        default_value = "now",
        allow_hyphen_values = true
    )]
    iat: When,

    /// When the user logged in
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    auth_time: Option<When>,

    /// The token's version
    #[arg(long, value_name = "N")]
    version: Option<u64>,

    /// A further claim, or another value for one of the above: JSON, or else taken as a text;
    /// null leaves the claim out; repeatable
    #[arg(long = "claim", value_name = "NAME=JSON", value_parser = claim)]
    claims: Vec<(String, Value)>,
}

pub(super) fn run(args: &MintArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let key = key(args)?;
    let mut header = Map::from_iter([("alg".to_owned(), json!(key.algorithm().name()))]);
    if args.typ != "none" {
        header.insert("typ".to_owned(), json!(args.typ));
    }
    if let Some(kid) = &args.kid {
        header.insert("kid".to_owned(), json!(kid));
    }
    let claims = Value::Object(claims(args, context.now)?);
    let token = key.token(&Value::Object(header), &claims).map_err(local)?;
    writeln!(context.out, "{token}")?;
    Ok(failure::OK)
}

fn claims(args: &MintArgs, now: UnixNanos) -> Result<Map<String, Value>, Failure> {
    let mut claims = Map::new();
    let jti = match &args.jti {
        _ if args.no_jti => None,
        Some(jti) => Some(jti.clone()),
        None => {
            let mut random = [0; 16];
            getrandom::fill(&mut random)
                .map_err(|error| Failure::Local(format!("no randomness for a jti: {error}")))?;
            Some(hex(&random))
        }
    };
    for (name, text) in [
        ("iss", &args.iss),
        ("sub", &args.sub),
        ("jti", &jti),
        ("sid", &args.sid),
        ("client_id", &args.client_id),
    ] {
        if let Some(text) = text {
            claims.insert(name.to_owned(), json!(text));
        }
    }
    // What happens now is said to the second, as issuers do; a time that is given, as it is given.
    let time = |when: When| match when {
        When::At(instant) => numeric_date(instant),
        _ => json!(when.instant(now).secs_floor()),
    };
    let exp = When::At(UnixNanos::from_nanos(match args.iat {
        When::At(instant) => instant.plus(args.ttl).nanos(),
        when => UnixNanos::from_secs(when.instant(now).secs_floor())
            .plus(args.ttl)
            .nanos(),
    }));
    claims.insert("iat".to_owned(), time(args.iat));
    claims.insert("exp".to_owned(), time(exp));
    if let Some(auth_time) = args.auth_time {
        claims.insert("auth_time".to_owned(), time(auth_time));
    }
    if let Some(version) = args.version {
        claims.insert("version".to_owned(), json!(version));
    }
    for (name, value) in &args.claims {
        if value.is_null() {
            claims.remove(name);
        } else {
            claims.insert(name.clone(), value.clone());
        }
    }
    Ok(claims)
}

fn numeric_date(instant: UnixNanos) -> Value {
    if instant.subsec_nanos() == 0 {
        json!(instant.secs_floor())
    } else {
        json!(Duration::from_nanos(instant.nanos()).as_secs_f64())
    }
}

fn key(args: &MintArgs) -> Result<SigningKey, Failure> {
    let alg = args.alg;
    let is_secret = alg.secret_bytes_min().is_some();
    match (&args.secret_file, &args.key_file) {
        (Some(path), _) if is_secret => {
            SigningKey::from_secret(alg, read(path)?).map_err(|error| of_file(path, &error))
        }
        (Some(_), _) => Err(Failure::Usage(format!(
            "--secret-file is for HS256, HS384 and HS512: give --key-file for {alg}"
        ))),
        (None, Some(_)) if is_secret => Err(Failure::Usage(
            "--key-file is for algorithms with a public key: add --alg ES256 or such, or give \
             --secret-file"
                .to_owned(),
        )),
        (None, Some(path)) => {
            let pem = String::from_utf8(read(path)?)
                .map_err(|_error| Failure::Usage(format!("{} is not PEM", path.display())))?;
            SigningKey::from_pem(alg, &pem).map_err(|error| of_file(path, &error))
        }
        (None, None) => {
            let key = SigningKey::generate(alg, RsaBits::default()).map_err(local)?;
            if let Some(path) = &args.write_key {
                write_pair(path, &key)?;
            }
            Ok(key)
        }
    }
}

fn of_file(path: &Path, error: &SignError) -> Failure {
    Failure::Local(format!("{}: {error}", path.display()))
}

/// Writes a private key or secret, and the public key, if there is one, beside it.
pub(super) fn write_pair(path: &Path, key: &SigningKey) -> Result<(), Failure> {
    // A secret is written without a line break at the end, since every byte counts.
    write_new(path, &key.private().map_err(local)?, 0o600)?;
    if let Some(public) = key.public_pem().map_err(local)? {
        let mut beside = path.to_owned().into_os_string();
        beside.push(".pub");
        write_new(Path::new(&beside), public.as_bytes(), 0o644)?;
    }
    Ok(())
}

/// Reads the name of an algorithm, and lists them all in the help.
pub(super) fn algorithms() -> impl TypedValueParser<Value = Algorithm> {
    let names = Algorithm::ALL.map(|(_, name)| name);
    PossibleValuesParser::new(names).try_map(|given| {
        let mut all = Algorithm::ALL.into_iter();
        let found = all.find(|(_, name)| name.eq_ignore_ascii_case(&given));
        found.map(|(algorithm, _)| algorithm).ok_or("not known")
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path)
        .map_err(|error| Failure::Local(format!("cannot read {}: {error}", path.display())))
}

/// Writes a file that was not there: a key in use is never overwritten.
fn write_new(path: &Path, contents: &[u8], mode: u32) -> Result<(), Failure> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| {
            file.write_all(contents)?;
            file.sync_all()
        })
        .map_err(|error| Failure::Local(format!("cannot write {}: {error}", path.display())))
}

fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or("give NAME=JSON, such as tenant=acme, n=42 or 'roles=[\"admin\"]'")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_text| json!(value));
    Ok((name.to_owned(), value))
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands on")]
pub(super) fn local(error: SignError) -> Failure {
    Failure::Local(error.to_string())
}
