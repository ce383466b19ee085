//! The layers that settings come from, and how they are laid over each other.

use std::{ffi::OsStr, path::Path};

use config::{FileFormat, Format as _, Map, Source, Value};

use super::{ConfigError, Environment, env, schema};

/// The settings of one origin. What is absent shows the layer below.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer {
    values: Map<String, Value>,
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.values.clone())
    }
}

impl Layer {
    /// One value as text, from a flag or the environment. Claim names are taken apart here, so
    /// that they join those of the layers below name by name.
    pub(super) fn set_text(&mut self, key: &str, origin: &str, text: &str) {
        let origin = origin.to_owned();
        let value = match pairs(key, text) {
            Some(pairs) => {
                let table: Map<String, Value> = pairs
                    .map(|(name, value)| (name.to_owned(), Value::new(Some(&origin), value)))
                    .collect();
                Value::new(Some(&origin), table)
            }
            None => Value::new(Some(&origin), text),
        };
        self.values.insert(key.to_owned(), value);
    }

    /// A list of texts.
    pub(super) fn set_list<'a>(
        &mut self,
        key: &str,
        origin: &str,
        texts: impl Iterator<Item = &'a str>,
    ) {
        let origin = origin.to_owned();
        let list: Vec<Value> = texts
            .map(|text| Value::new(Some(&origin), text.trim()))
            .collect();
        self.values
            .insert(key.to_owned(), Value::new(Some(&origin), list));
    }

    /// The settings in the environment, and a warning for each variable that only looks like one.
    pub(super) fn of_environment(
        environment: &Environment,
    ) -> Result<(Self, Vec<String>), ConfigError> {
        let mut layer = Self::default();
        let mut warnings = Vec::new();
        let mut links = Vec::new();
        for (name, key, value) in environment.settings() {
            if schema::SETTINGS.contains(&key.as_str()) && key != "issuers" {
                let text = utf8(name, &key, value)?;
                if schema::LISTS.contains(&key.as_str()) {
                    layer.set_list(&key, name, text.split(','));
                } else {
                    layer.set_text(&key, name, text);
                }
            } else if env::is_service_link(name) {
                links.push(name);
            } else if !schema::CLIENT_VARIABLES.contains(&name) {
                warnings.push(unknown_variable(name, &key));
            }
        }
        if !links.is_empty() {
            warnings.push(format!(
                "{} in the environment: set by Kubernetes beside a Service of that name, not \
                 settings of Rescind; ignored",
                links.join(", ")
            ));
        }
        Ok((layer, warnings))
    }

    /// The settings in a file.
    pub(super) fn of_file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        // Read once only for the place of a mistake, which the layering library does not tell.
        if let Err(error) = toml::from_str::<toml::Table>(&text) {
            let before = error
                .span()
                .and_then(|span| text.get(..span.start))
                .unwrap_or_default();
            return Err(ConfigError::Syntax {
                path: path.to_owned(),
                line: before.matches('\n').count() + 1,
                column: before.chars().rev().take_while(|c| *c != '\n').count() + 1,
                problem: error.message().replace('\n', ", "),
            });
        }
        let origin = path.display().to_string();
        let values = FileFormat::Toml
            .parse(Some(&origin), &text)
            .map_err(|error| ConfigError::Wrong {
                setting: "the configuration".to_owned(),
                origin,
                problem: error.to_string().replace('\n', ", "),
                remedy: "mend the file".to_owned(),
            })?;
        schema::refuse_unknown_keys(path, &values)?;
        Ok(Self { values })
    }

    /// Lays `layers` over each other, the strongest last.
    pub(super) fn merge<const N: usize>(
        layers: [Self; N],
    ) -> Result<Map<String, Value>, ConfigError> {
        let mut builder = config::Config::builder();
        for layer in layers {
            builder = builder.add_source(layer);
        }
        builder
            .build()
            .and_then(|merged| merged.cache.into_table())
            .map_err(|error| ConfigError::Wrong {
                setting: "the configuration".to_owned(),
                origin: "all layers together".to_owned(),
                problem: error.to_string(),
                remedy: "please report this as a bug".to_owned(),
            })
    }
}

/// `sub=userId,version=ver` as pairs, of the one setting that is a table.
fn pairs<'a>(key: &str, text: &'a str) -> Option<impl Iterator<Item = (&'a str, &'a str)>> {
    (key == "claims").then(|| {
        text.split(',').map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.trim(), value.trim())
        })
    })
}

fn utf8<'a>(name: &str, key: &str, value: &'a OsStr) -> Result<&'a str, ConfigError> {
    value.to_str().ok_or_else(|| ConfigError::Wrong {
        setting: key.to_owned(),
        origin: name.to_owned(),
        problem: "the value is not UTF-8".to_owned(),
        remedy: "set it to UTF-8 text".to_owned(),
    })
}

fn unknown_variable(name: &str, key: &str) -> String {
    if key == "issuers" {
        return format!(
            "{name} in the environment is ignored: issuers can only be set in the file"
        );
    }
    let hint = schema::nearest(key, schema::SETTINGS)
        .map(|near| format!("; did you mean RESCIND_{}?", near.to_ascii_uppercase()))
        .unwrap_or_default();
    format!("{name} in the environment is not a setting of Rescind and is ignored{hint}")
}
