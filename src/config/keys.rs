//! How the tokens of an issuer are verified: its keys, algorithms, audiences and types.

use crate::{
    token::{Demands, KeySource, algorithm::Algorithm, without_secrets},
    verification::IssuerKeys,
};

use super::{
    ConfigError, schema,
    value::{Setting, Table},
};

/// The settings that say where keys come from; at most one of them.
pub(super) const SOURCES: [&str; 4] = ["jwks_url", "jwks_file", "public_key_file", "secret_file"];

/// What makes sense only beside one of them.
const BESIDE_A_SOURCE: [&str; 7] = [
    "algorithms",
    "audiences",
    "types",
    "jwks_ca_file",
    "jwks_authorization_file",
    "kid",
    "require_keys",
];

/// The types of token that are accepted when none are configured: what access tokens carry (RFC
/// 9068 section 2.1, RFC 7519 section 5.1), and no type at all.
const TYPES_DEFAULT: [&str; 3] = ["JWT", "at+jwt", ""];

/// The issuers of `top` that have a source of keys.
pub(super) fn read(top: &Table<'_>) -> Result<Vec<IssuerKeys>, ConfigError> {
    let Some(issuers) = top.get("issuers") else {
        return Ok(Vec::new());
    };
    let mut with_keys = Vec::new();
    for (place, entry) in issuers.list()?.iter().enumerate() {
        let values = entry.values("tables, each under [[issuers]]")?;
        let table = Table::new(values, format!("{}.", schema::issuer_name(place, values)));
        let Some(iss) = table.get("iss") else {
            continue;
        };
        let iss = iss.identifier("the issuer exactly as in `iss`")?;
        with_keys.extend(issuer(iss, &table)?);
    }
    Ok(with_keys)
}

fn issuer(iss: String, table: &Table<'_>) -> Result<Option<IssuerKeys>, ConfigError> {
    let mut given = SOURCES
        .into_iter()
        .filter_map(|key| Some((key, table.get(key)?)));
    let Some((key, setting)) = given.next() else {
        return match BESIDE_A_SOURCE.into_iter().find_map(|key| table.get(key)) {
            None => Ok(None),
            Some(setting) => Err(setting.wrong(
                "this issuer has no keys, so nothing would be verified",
                format!("give one of {}", SOURCES.join(", ")),
            )),
        };
    };
    if let Some((_, second)) = given.next() {
        return Err(second.wrong(
            format!("{} is given too", setting.name),
            "keys come from one place: take one out",
        ));
    }
    let source = source(key, &setting, table)?;
    let demands = Demands {
        algorithms: algorithms(&setting, table, &source)?,
        audiences: texts(table, "audiences", "an audience exactly as in `aud`")?
            .unwrap_or_default(),
        types: types(table)?,
    };
    let require_keys = table.get("require_keys");
    let require_keys = require_keys.map(|setting| setting.boolean()).transpose()?;
    let require_keys = require_keys.unwrap_or(false);
    Ok(Some(IssuerKeys {
        iss,
        demands,
        source,
        require_keys,
    }))
}

fn source(key: &str, setting: &Setting<'_>, table: &Table<'_>) -> Result<KeySource, ConfigError> {
    let ca_file = table.get("jwks_ca_file");
    let authorization_file = table.get("jwks_authorization_file");
    let kid = table.get("kid");
    if let (Some(setting), "jwks_url" | "jwks_file") = (&kid, key) {
        return Err(setting.wrong(
            "the keys of a key set carry their own `kid`",
            "take it out: it is for public_key_file and secret_file",
        ));
    }
    if key == "jwks_url" {
        return Ok(KeySource::JwksUrl {
            url: url(setting)?,
            ca_file: ca_file.map(|setting| setting.path()).transpose()?,
            authorization_file: authorization_file
                .map(|setting| setting.path())
                .transpose()?,
        });
    }
    if let Some(setting) = ca_file.or(authorization_file) {
        return Err(setting.wrong("it is for jwks_url only", "take it out"));
    }
    let path = setting.path()?;
    let kid = kid
        .map(|setting| setting.identifier("the key's name exactly as in `kid`"))
        .transpose()?;
    Ok(match key {
        "jwks_file" => KeySource::JwksFile(path),
        "public_key_file" => KeySource::PublicKeyFile { path, kid },
        _ => KeySource::SecretFile { path, kid },
    })
}

/// Whoever can change the keys on their way can make tokens: https, or not beyond this machine.
fn url(setting: &Setting<'_>) -> Result<String, ConfigError> {
    let text = setting.identifier("a URL such as https://issuer.example/jwks")?;
    let url = reqwest::Url::parse(&text).map_err(|error| {
        setting.wrong(
            format!("it is not a URL ({error})"),
            "give one such as https://issuer.example/jwks",
        )
    })?;
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse();
    let is_here =
        host == "localhost" || address.is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    match url.scheme() {
        "https" => Ok(text),
        "http" if is_here => Ok(text),
        _ => Err(setting.wrong(
            format!(
                "{:?} is not https, so the keys could be changed on their way",
                without_secrets(&text)
            ),
            "give an https URL; http is for this machine only",
        )),
    }
}

/// The algorithm comes from here and never from the token (RFC 8725 section 3.1).
fn algorithms(
    source_setting: &Setting<'_>,
    table: &Table<'_>,
    source: &KeySource,
) -> Result<Vec<Algorithm>, ConfigError> {
    let known: Vec<&str> = Algorithm::ALL.iter().map(|(_, name)| *name).collect();
    let Some(setting) = table.get("algorithms") else {
        return Err(source_setting.wrong(
            "the issuer's algorithms are not given",
            format!(
                "add algorithms = [...] with those that this issuer signs with, of {}",
                known.join(", ")
            ),
        ));
    };
    let mut algorithms = Vec::new();
    for element in setting.list()? {
        let name = element.text("an algorithm such as \"ES256\"")?;
        let algorithm: Algorithm = name.parse().map_err(|()| {
            element.wrong(
                format!("{name:?} is not an algorithm that is verified here"),
                format!("give some of {}", known.join(", ")),
            )
        })?;
        let is_secret = algorithm.secret_bytes_min().is_some();
        let fits = match source {
            KeySource::SecretFile { .. } => is_secret,
            KeySource::JwksUrl { .. } | KeySource::PublicKeyFile { .. } => !is_secret,
            KeySource::JwksFile(_) => true,
        };
        if !fits {
            return Err(element.wrong(
                format!("{name} does not go with {}", source.name()),
                "HS algorithms need secret_file, all others a public key",
            ));
        }
        if !algorithms.contains(&algorithm) {
            algorithms.push(algorithm);
        }
    }
    if algorithms.is_empty() {
        return Err(setting.wrong("the list is empty", "give at least one algorithm"));
    }
    Ok(algorithms)
}

fn types(table: &Table<'_>) -> Result<Vec<String>, ConfigError> {
    let Some(setting) = table.get("types") else {
        return Ok(TYPES_DEFAULT.map(str::to_owned).to_vec());
    };
    let mut types = Vec::new();
    for element in setting.list()? {
        let text = element.text("a type such as \"at+jwt\"")?;
        // "none" stands for tokens without typ, since an empty text is most often a mistake.
        let typ = if text == "none" { "" } else { text };
        types.push(typ.strip_prefix("application/").unwrap_or(typ).to_owned());
    }
    if types.is_empty() {
        return Err(setting.wrong(
            "the list is empty",
            "give the types of this issuer's access tokens, \"none\" for those without typ",
        ));
    }
    Ok(types)
}

fn texts(table: &Table<'_>, key: &str, example: &str) -> Result<Option<Vec<String>>, ConfigError> {
    let Some(setting) = table.get(key) else {
        return Ok(None);
    };
    let texts: Vec<String> = setting
        .list()?
        .iter()
        .map(|element| element.identifier(example))
        .collect::<Result<_, _>>()?;
    if texts.is_empty() {
        return Err(setting.wrong(
            "the list is empty",
            format!("give {example}, or leave it out"),
        ));
    }
    Ok(Some(texts))
}
