//! `rescind token keygen`.

use std::path::PathBuf;

use serde_json::json;

use crate::token::{
    algorithm::Algorithm,
    sign::{RsaBits, SigningKey},
};

use super::{
    super::{
        Context,
        failure::{self, Failure},
    },
    mint::{algorithms, local, write_pair},
};

/// Makes a key for signing tokens, and shows what those who verify need
///
/// HS256, HS384 and HS512 get a secret with as many random bytes as their hash, written as text; all
/// others a private key as PKCS#8 PEM, its public key as PEM and as a key set.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  rescind token keygen --alg ES256 --kid 2026-01 --write-key key.pem > public.txt
  rescind token keygen --alg HS256 --write-key secret    # then: secret_file = \"secret\"
  rescind token keygen --alg RS256 --rsa-bits 3072 --write-key key.pem
  rescind token mint --alg ES256 --key-file key.pem --kid 2026-01 --iss $ISS --sub ada")]
pub(crate) struct KeygenArgs {
    /// What it is to sign with
    #[arg(long, value_parser = algorithms(), ignore_case = true)]
    alg: Algorithm,

    /// Write the private key or secret to this new file, for its owner only; the public key beside
    /// it, with .pub at the end
    #[arg(long, value_name = "FILE")]
    write_key: Option<PathBuf>,

    /// The key's name, as its tokens carry it
    #[arg(long)]
    kid: Option<String>,

    /// The size of an RSA key: 2048, 3072 or 4096
    #[arg(long, value_name = "BITS", default_value = "2048", value_parser = rsa_bits)]
    rsa_bits: RsaBits,
}

pub(super) fn run(args: &KeygenArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let key = SigningKey::generate(args.alg, args.rsa_bits).map_err(local)?;
    let public = key.public_pem().map_err(local)?;
    if let Some(path) = &args.write_key {
        write_pair(path, &key)?;
    } else {
        context.out.write_all(&key.private().map_err(local)?)?;
        if public.is_none() {
            writeln!(context.out)?;
            writeln!(
                context.err,
                "note: in a secret_file every byte counts, a line break too; --write-key FILE \
                 writes it without"
            )?;
        }
    }
    // The key set of a secret would be the secret.
    if let Some(public) = public {
        context.out.write_all(public.as_bytes())?;
        let jwks = json!({"keys": [key.jwk(args.kid.as_deref())]});
        writeln!(context.out, "{jwks}")?;
    }
    Ok(failure::OK)
}

fn rsa_bits(text: &str) -> Result<RsaBits, String> {
    match text {
        "2048" => Ok(RsaBits::B2048),
        "3072" => Ok(RsaBits::B3072),
        "4096" => Ok(RsaBits::B4096),
        _ => Err("give 2048, 3072 or 4096".to_owned()),
    }
}
