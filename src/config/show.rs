//! The effective settings, for people (TOML that can be loaded again) and for machines (JSON).

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use serde_json::{Value as Json, json};

use crate::{
    model::{IssuerSettings, JtiUse, Lifetime, MissingKid},
    sync::Address,
    token::KeySource,
    verification::IssuerKeys,
};

use super::{
    Config, JOIN_POLICIES, LOG_FORMATS, Loaded, Storage, schema, semantics,
    value::{Table, duration_text},
};

/// Notes where every setting came from, claims and issuers with the names that messages use.
pub(super) fn note_sources(top: &Table<'_>, sources: &mut BTreeMap<String, String>) {
    for (key, setting) in top.iter() {
        match key {
            "claims" => note_claims(&setting, sources),
            "issuers" => {
                for (place, entry) in setting.list().into_iter().flatten().enumerate() {
                    let Ok(values) = entry.values("") else {
                        continue;
                    };
                    let within = format!("{}.", schema::issuer_name(place, values));
                    for (key, setting) in Table::new(values, within).iter() {
                        if key == "claims" {
                            note_claims(&setting, sources);
                        } else {
                            sources.insert(setting.name.clone(), setting.origin().to_owned());
                        }
                    }
                }
            }
            _ => {
                sources.insert(setting.name.clone(), setting.origin().to_owned());
            }
        }
    }
}

fn note_claims(setting: &super::value::Setting<'_>, sources: &mut BTreeMap<String, String>) {
    let Ok(values) = setting.values("") else {
        return;
    };
    for (_, claim) in Table::new(values, format!("{}.", setting.name)).iter() {
        sources.insert(claim.name.clone(), claim.origin().to_owned());
    }
}

/// One line of what is shown. A value that is null is not set.
struct Line {
    key: &'static str,
    value: Json,
    source: String,
}

impl Loaded {
    /// TOML that gives this configuration again, each line with where its value came from.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        write_lines(&mut text, &self.node_lines());
        write_lines(&mut text, &self.meaning_lines("", None));
        text.push_str("\n[claims]\n");
        write_lines(&mut text, &self.claim_lines("", None));
        for (iss_text, settings) in self.issuers() {
            let within = format!("issuers[{iss_text}].");
            text.push_str("\n[[issuers]]\n");
            let iss = Line {
                key: "iss",
                value: json!(iss_text),
                source: self.source(&within, "iss", None),
            };
            write_lines(&mut text, &[iss]);
            write_lines(&mut text, &self.meaning_lines(&within, Some(settings)));
            write_lines(&mut text, &self.key_lines(&within, iss_text));
            text.push_str("[issuers.claims]\n");
            write_lines(&mut text, &self.claim_lines(&within, Some(settings)));
        }
        text
    }

    /// The same as an object: each setting with `value` and `source`.
    pub fn to_json(&self) -> Json {
        let mut top = object(self.node_lines());
        top.extend(object(self.meaning_lines("", None)));
        top.insert(
            "claims".to_owned(),
            Json::Object(object(self.claim_lines("", None))),
        );
        let issuers: Vec<Json> = self
            .issuers()
            .map(|(iss, settings)| {
                let within = format!("issuers[{iss}].");
                let mut issuer = object(self.meaning_lines(&within, Some(settings)));
                issuer.extend(object(self.key_lines(&within, iss)));
                let claims = object(self.claim_lines(&within, Some(settings)));
                issuer.insert("iss".to_owned(), json!(iss));
                issuer.insert("claims".to_owned(), Json::Object(claims));
                Json::Object(issuer)
            })
            .collect();
        top.insert("issuers".to_owned(), Json::Array(issuers));
        top.insert("warnings".to_owned(), json!(self.warnings));
        Json::Object(top)
    }

    /// The configured issuers in the order of their names, so that the output is stable.
    fn issuers(&self) -> impl Iterator<Item = (&str, &IssuerSettings)> {
        let sorted: BTreeMap<&str, &IssuerSettings> = self
            .config
            .semantics
            .issuers
            .iter()
            .map(|(iss, settings)| (iss.as_str(), settings))
            .collect();
        sorted.into_iter()
    }

    /// Where a setting came from; one that an issuer's table does not give is inherited.
    fn source(&self, within: &str, key: &str, inherited: Option<&str>) -> String {
        self.sources
            .get(&format!("{within}{key}"))
            .map_or(inherited.unwrap_or("default"), String::as_str)
            .to_owned()
    }

    fn node_lines(&self) -> Vec<Line> {
        let Config {
            listen,
            ops_listen,
            storage,
            address_file,
            insecure,
            follow,
            join,
            join_timeout,
            max_staleness,
            sweep_interval,
            sweep_settle,
            max_live,
            accept_changed_meaning: _, // a flag for one start, not a setting
            accept_empty_journal: _,   // likewise
            log_format,
            log_filter,
            semantics,
            issuer_keys: _, // shown with their issuers
        } = &self.config;
        let listen: Vec<String> = listen.iter().map(ToString::to_string).collect();
        let data_dir = match storage {
            Storage::Ephemeral => None,
            Storage::Directory(path) => Some(path.display().to_string()),
        };
        let addresses = |addresses: &[Address]| {
            let addresses = addresses.iter().map(ToString::to_string);
            json!(addresses.collect::<Vec<_>>())
        };
        let join = JOIN_POLICIES.iter().find(|(_, policy)| policy == join);
        let log_format = LOG_FORMATS.iter().find(|(_, format)| format == log_format);
        let values = [
            ("listen", json!(listen)),
            (
                "ops_listen",
                json!(ops_listen.as_ref().map(ToString::to_string)),
            ),
            ("data_dir", json!(data_dir)),
            ("ephemeral", json!(*storage == Storage::Ephemeral)),
            (
                "address_file",
                json!(address_file.as_ref().map(|path| path.display().to_string())),
            ),
            ("insecure", json!(insecure)),
            ("peer", addresses(&follow.peers)),
            ("hub", addresses(&follow.hubs)),
            ("expected_peers", json!(follow.expected_peers)),
            ("join", json!(join.map(|(word, _)| word))),
            ("join_timeout", duration(*join_timeout)),
            ("max_staleness", max_staleness.map_or(Json::Null, duration)),
            ("sweep_interval", duration(*sweep_interval)),
            ("sweep_settle", duration(*sweep_settle)),
            ("max_live", json!(max_live)),
            ("log_format", json!(log_format.map(|(word, _)| word))),
            ("log_filter", json!(log_filter)),
            ("default_issuer", json!(semantics.default_issuer)),
            ("max_token_bytes", json!(semantics.token_bytes_max)),
        ];
        self.lines("", None, values)
    }

    fn meaning_lines(&self, within: &str, issuer: Option<&IssuerSettings>) -> Vec<Line> {
        let settings = issuer.unwrap_or(&self.config.semantics.defaults);
        let missing_kid = match settings.missing_kid {
            MissingKid::Deny => "deny",
            MissingKid::Pass => "pass",
        };
        let jti = match settings.jti {
            JtiUse::Unique => "unique",
            JtiUse::Shared => "shared",
        };
        let values = [
            ("leeway", duration(settings.leeway)),
            ("max_token_lifetime", lifetime(settings.max_token_lifetime)),
            (
                "max_session_lifetime",
                lifetime(settings.max_session_lifetime),
            ),
            ("forget_grace", duration(settings.forget_grace)),
            (
                "clock_skew",
                settings.clock_skew.map_or(Json::Null, duration),
            ),
            ("missing_kid", json!(missing_kid)),
            ("jti", json!(jti)),
            ("revocable_claims", json!(settings.revocable_claims)),
        ];
        self.lines(within, issuer.map(|_| "inherited"), values)
    }

    /// Only what is set: an issuer without keys has nothing to show here.
    fn key_lines(&self, within: &str, iss: &str) -> Vec<Line> {
        let keys = self.config.issuer_keys.iter().find(|keys| keys.iss == iss);
        let Some(IssuerKeys {
            demands,
            source,
            require_keys,
            ..
        }) = keys
        else {
            return Vec::new();
        };
        let algorithms: Vec<&str> = demands.algorithms.iter().map(|of| of.name()).collect();
        let types: Vec<&str> = demands
            .types
            .iter()
            .map(|typ| if typ.is_empty() { "none" } else { typ })
            .collect();
        let mut values = vec![("algorithms", json!(algorithms)), ("types", json!(types))];
        if !demands.audiences.is_empty() {
            values.push(("audiences", json!(demands.audiences)));
        }
        values.push((source.name(), json!(source.place())));
        if let KeySource::JwksUrl {
            authorization_file: Some(file),
            ..
        } = source
        {
            let file = file.display().to_string();
            values.push(("jwks_authorization_file", json!(file)));
        }
        if let KeySource::JwksUrl {
            ca_file: Some(ca_file),
            ..
        } = source
        {
            values.push(("jwks_ca_file", json!(ca_file.display().to_string())));
        }
        if *require_keys {
            values.push(("require_keys", json!(true)));
        }
        if let KeySource::PublicKeyFile { kid: Some(kid), .. }
        | KeySource::SecretFile { kid: Some(kid), .. } = source
        {
            values.push(("kid", json!(kid)));
        }
        self.lines(within, None, values)
    }

    fn claim_lines(&self, within: &str, issuer: Option<&IssuerSettings>) -> Vec<Line> {
        let settings = issuer.unwrap_or(&self.config.semantics.defaults);
        let values = semantics::named(&settings.claims).map(|(key, name)| (key, json!(name)));
        let within = format!("{within}claims.");
        self.lines(&within, issuer.map(|_| "inherited"), values)
    }

    fn lines(
        &self,
        within: &str,
        inherited: Option<&str>,
        values: impl IntoIterator<Item = (&'static str, Json)>,
    ) -> Vec<Line> {
        values
            .into_iter()
            .map(|(key, value)| Line {
                key,
                value,
                source: self.source(within, key, inherited),
            })
            .collect()
    }
}

fn object(lines: Vec<Line>) -> serde_json::Map<String, Json> {
    lines
        .into_iter()
        .map(|line| {
            let entry = json!({ "value": line.value, "source": line.source });
            (line.key.to_owned(), entry)
        })
        .collect()
}

fn write_lines(text: &mut String, lines: &[Line]) {
    for Line { key, value, source } in lines {
        let setting = match toml::Value::try_from(value) {
            Ok(value) => format!("{key} = {value}"),
            // TOML has no null.
            Err(_) => format!("# {key} is not set"),
        };
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "{setting:<58} # {source}");
    }
}

fn duration(duration: Duration) -> Json {
    json!(duration_text(duration))
}

fn lifetime(bound: Lifetime) -> Json {
    match bound {
        Lifetime::AtMost(bound) => duration(bound),
        Lifetime::Unlimited => json!("unlimited"),
    }
}
