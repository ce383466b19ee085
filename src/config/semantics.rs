//! The settings that give tokens and revocations their meaning, for all issuers and for each.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use crate::{
    limits,
    model::{ClaimNames, IssuerSettings, JtiUse, MissingKid, Semantics},
};

use super::{
    ConfigError, schema,
    value::{Setting, Table, duration_text},
};

/// Claims that are read under their own name only: their meaning is not the operator's to choose,
/// and each is covered by a target or a rule of its own.
const FIXED_CLAIMS: [&str; 4] = ["iss", "exp", "nbf", "iat"];

/// Everything of `top` that is about meaning.
pub(super) fn read(top: &Table<'_>) -> Result<Semantics, ConfigError> {
    let default_issuer = top
        .get("default_issuer")
        .map(|setting| setting.identifier("an issuer exactly as in `iss`"))
        .transpose()?;
    let defaults = issuer_settings(top, &IssuerSettings::default())?;
    let issuers = match top.get("issuers") {
        Some(setting) => issuers(&setting, &defaults)?,
        None => HashMap::new(),
    };
    Ok(Semantics {
        default_issuer,
        defaults,
        issuers,
        verifies: false,
        token_bytes_max: token_bytes_max(top)?,
    })
}

fn token_bytes_max(top: &Table<'_>) -> Result<usize, ConfigError> {
    let bounds = [limits::TOKEN_BYTES_MIN, limits::TOKEN_BYTES_MAX];
    let [least, most] = bounds.map(|bytes| bytes as u64);
    let Some(setting) = top.get("max_token_bytes") else {
        return Ok(limits::TOKEN_BYTES_DEFAULT);
    };
    let bytes = setting.count(least, most)?;
    Ok(usize::try_from(bytes).unwrap_or(limits::TOKEN_BYTES_MAX))
}

fn issuers(
    setting: &Setting<'_>,
    defaults: &IssuerSettings,
) -> Result<HashMap<String, IssuerSettings>, ConfigError> {
    let entries = setting.list()?;
    if entries.len() > limits::ISSUERS_CONFIGURED_MAX {
        return Err(setting.wrong(
            format!("there are {} of them", entries.len()),
            format!("configure at most {}", limits::ISSUERS_CONFIGURED_MAX),
        ));
    }
    let mut issuers = HashMap::new();
    for (place, entry) in entries.iter().enumerate() {
        let values = entry.values("tables, each under [[issuers]]")?;
        let table = Table::new(values, format!("{}.", schema::issuer_name(place, values)));
        let iss = table
            .get("iss")
            .ok_or_else(|| {
                entry.wrong(
                    "it has no iss",
                    "say which issuer this is about, exactly as in its tokens",
                )
            })?
            .identifier("the issuer exactly as in `iss`")?;
        is_no_template(entry, &iss)?;
        let settings = issuer_settings(&table, defaults)?;
        if issuers.insert(iss.clone(), settings).is_some() {
            return Err(entry.wrong(
                format!("{iss:?} stands there twice"),
                "say everything about an issuer in one [[issuers]] entry",
            ));
        }
    }
    Ok(issuers)
}

/// Entra ID's discovery document writes `{tenantid}` where the tokens have the tenant's own: that name is
/// compared byte for byte, so no token would ever be this issuer's.
fn is_no_template(entry: &Setting<'_>, iss: &str) -> Result<(), ConfigError> {
    if !iss.contains(['{', '}']) {
        return Ok(());
    }
    Err(entry.wrong(
        format!("iss {iss:?} is a template, and an issuer is compared byte for byte"),
        "give the `iss` of a real token (rescind token inspect), one [[issuers]] entry for each tenant",
    ))
}

/// The settings in `table`, and where it is silent those of `base`.
fn issuer_settings(
    table: &Table<'_>,
    base: &IssuerSettings,
) -> Result<IssuerSettings, ConfigError> {
    let mut settings = base.clone();
    if let Some(setting) = table.get("leeway") {
        settings.leeway = setting.duration(Duration::ZERO, limits::LEEWAY_MAX)?;
    }
    if let Some(setting) = table.get("max_token_lifetime") {
        settings.max_token_lifetime = setting.lifetime()?;
    }
    if let Some(setting) = table.get("max_session_lifetime") {
        settings.max_session_lifetime = setting.lifetime()?;
    }
    if let Some(setting) = table.get("forget_grace") {
        settings.forget_grace = setting.duration(Duration::ZERO, limits::LIFETIME_MAX)?;
    }
    if let Some(setting) = table.get("clock_skew") {
        settings.clock_skew = Some(setting.duration(Duration::ZERO, limits::LEEWAY_MAX)?);
    }
    if let Some(setting) = table.get("missing_kid") {
        settings.missing_kid =
            setting.word(&[("deny", MissingKid::Deny), ("pass", MissingKid::Pass)])?;
    }
    if let Some(setting) = table.get("jti") {
        settings.jti = setting.word(&[("unique", JtiUse::Unique), ("shared", JtiUse::Shared)])?;
    }
    if let Some(setting) = table.get("claims") {
        claim_names(&setting, &mut settings.claims)?;
    }
    if let Some(setting) = table.get("revocable_claims") {
        settings.revocable_claims = revocable_claims(&setting)?;
    }
    agree(table, &settings)?;
    Ok(settings)
}

/// Bounds between settings. The error stands at the one that this table gives: the others may be
/// inherited and fine where they stand.
fn agree(table: &Table<'_>, settings: &IssuerSettings) -> Result<(), ConfigError> {
    let given = |keys: [&str; 2]| keys.into_iter().find_map(|key| table.get(key));
    let text = duration_text;
    if settings.forget_grace < 2 * settings.leeway
        && let Some(setting) = given(["forget_grace", "leeway"])
    {
        return Err(setting.wrong(
            format!(
                "forget_grace ({}) is less than twice the leeway ({}), so that a revocation could \
                 be forgotten while its token still passes",
                text(settings.forget_grace),
                text(settings.leeway)
            ),
            format!("give forget_grace at least {}", text(2 * settings.leeway)),
        ));
    }
    if let Some(skew) = settings.clock_skew
        && skew > settings.leeway
        && let Some(setting) = given(["clock_skew", "leeway"])
    {
        return Err(setting.wrong(
            format!(
                "clock_skew ({}) is greater than the leeway ({}), and tokens from further in the \
                 future are INVALID anyway",
                text(skew),
                text(settings.leeway)
            ),
            "lower clock_skew or raise leeway",
        ));
    }
    for name in &settings.revocable_claims {
        if let Some((claim, _)) = named(&settings.claims).find(|(_, used)| used == name)
            && let Some(setting) = given(["revocable_claims", "claims"])
        {
            return Err(setting.wrong(
                format!("{name:?} is already read as {claim}"),
                format!("take {name:?} out of revocable_claims: {claim} has a target of its own"),
            ));
        }
    }
    Ok(())
}

fn claim_names(setting: &Setting<'_>, names: &mut ClaimNames) -> Result<(), ConfigError> {
    let table = Table::new(
        setting.values("names of claims, such as { sub = \"userId\" }")?,
        format!("{}.", setting.name),
    );
    for (claim, name) in table.iter() {
        let slot = match claim {
            "jti" => &mut names.jti,
            "sub" => &mut names.sub,
            "sid" => &mut names.sid,
            "client_id" => &mut names.client_id,
            "auth_time" => &mut names.auth_time,
            "version" => &mut names.version,
            _ => {
                return Err(name.wrong(
                    format!("{claim:?} is not a claim that can be renamed"),
                    format!("rename one of {}", schema::CLAIMS.join(", ")),
                ));
            }
        };
        let text = name.identifier("the claim's name in the tokens")?;
        pointer(&name, &text)?;
        if FIXED_CLAIMS.contains(&text.trim_start_matches('/')) {
            return Err(name.wrong(
                format!("{text:?} already has a meaning in every token (RFC 7519)"),
                "give the name of another claim",
            ));
        }
        *slot = text;
    }
    Ok(())
}

fn revocable_claims(setting: &Setting<'_>) -> Result<Vec<String>, ConfigError> {
    let mut seen = HashSet::new();
    let mut names = Vec::new();
    for element in setting.list()? {
        let name = element.identifier("a claim's name")?;
        pointer(&element, &name)?;
        if FIXED_CLAIMS.contains(&name.trim_start_matches('/')) {
            return Err(element.wrong(
                format!("{name:?} cannot be revoked by as a claim"),
                "take it out: issuers have a target, and times have rules",
            ));
        }
        if seen.insert(name.clone()) {
            names.push(name);
        }
    }
    if names.len() > limits::OTHER_CLAIMS_MAX {
        return Err(setting.wrong(
            format!("there are {} names", names.len()),
            format!("give at most {}", limits::OTHER_CLAIMS_MAX),
        ));
    }
    Ok(names)
}

/// A name with dots is one claim of that very name, as `https://shop.example/roles` is. Where it looks like
/// a path, that path never matches anything, so it is told how paths are written.
pub(super) fn dotted_names(semantics: &Semantics) -> Vec<String> {
    let issuers = semantics.issuers.values();
    let names: BTreeSet<&str> = issuers
        .chain([&semantics.defaults])
        .flat_map(|settings| {
            let revocable = settings.revocable_claims.iter().map(String::as_str);
            named(&settings.claims)
                .map(|(_, name)| name)
                .chain(revocable)
        })
        .filter(|name| looks_like_a_path(name))
        .collect();
    names
        .into_iter()
        .map(|name| {
            format!(
                "{name:?} is the name of one claim, dots and all; for a claim inside an object give a \
                 JSON Pointer (RFC 6901): \"/{}\"",
                name.replace('.', "/")
            )
        })
        .collect()
}

fn looks_like_a_path(name: &str) -> bool {
    let is_word = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_alphanumeric() || c == '_' || c == '-')
    };
    name.contains('.') && name.split('.').all(is_word)
}

/// A name that begins with `/` is a JSON Pointer, whose `~` stands for itself or a `/` by `~0` and `~1`.
fn pointer(setting: &Setting<'_>, name: &str) -> Result<(), ConfigError> {
    let mut parts = name.split('~').skip(1);
    if !name.starts_with('/') || parts.all(|part| part.starts_with(['0', '1'])) {
        return Ok(());
    }
    Err(setting.wrong(
        format!("{name:?} is not a JSON Pointer (RFC 6901)"),
        "write ~ in a claim's name as ~0 and / as ~1",
    ))
}

/// Each claim that can be renamed, and its name.
pub(super) fn named(names: &ClaimNames) -> impl Iterator<Item = (&'static str, &str)> {
    [
        ("jti", names.jti.as_str()),
        ("sub", &names.sub),
        ("sid", &names.sid),
        ("client_id", &names.client_id),
        ("auth_time", &names.auth_time),
        ("version", &names.version),
    ]
    .into_iter()
}
