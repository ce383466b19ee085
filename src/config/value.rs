//! One setting's value, wherever it came from, read as what it should be.

use std::{fmt::Write as _, path::PathBuf, time::Duration};

use config::{Map, Value, ValueKind};

use crate::{limits, model::Lifetime};

use super::ConfigError;

/// A table of merged settings, and what to call the settings in it.
#[derive(Clone, Debug)]
pub(super) struct Table<'a> {
    values: &'a Map<String, Value>,
    within: String,
}

impl<'a> Table<'a> {
    /// `within` stands before each name in messages: empty, or ends with a dot.
    pub(super) fn new(values: &'a Map<String, Value>, within: String) -> Self {
        Self { values, within }
    }

    /// The setting of this name, if any layer gives it.
    pub(super) fn get(&self, key: &str) -> Option<Setting<'a>> {
        Some(Setting {
            name: format!("{}{key}", self.within),
            value: self.values.get(key)?,
        })
    }

    /// Every setting here, in the order of their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a str, Setting<'a>)> {
        let mut keys: Vec<&'a String> = self.values.keys().collect();
        keys.sort();
        keys.into_iter()
            .filter_map(|key| Some((key.as_str(), self.get(key)?)))
    }
}

/// A value under its name.
#[derive(Clone, Debug)]
pub(super) struct Setting<'a> {
    pub(super) name: String,
    value: &'a Value,
}

impl<'a> Setting<'a> {
    /// The flag, variable or file it came from.
    pub(super) fn origin(&self) -> &'a str {
        self.value.origin().unwrap_or("default")
    }

    /// The error that says that this value is wrong.
    pub(super) fn wrong(
        &self,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> ConfigError {
        ConfigError::Wrong {
            setting: self.name.clone(),
            origin: self.origin().to_owned(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    fn wrong_type(&self, wanted: &str) -> ConfigError {
        let found = match &self.value.kind {
            ValueKind::Boolean(_) => "true or false",
            ValueKind::String(_) => "a text",
            ValueKind::Table(_) => "a table",
            ValueKind::Array(_) => "a list",
            ValueKind::Nil => "nothing",
            _ => "a number",
        };
        self.wrong(format!("it is {found}"), format!("give {wanted}"))
    }

    /// A text that is not empty.
    pub(super) fn text(&self, example: &str) -> Result<&'a str, ConfigError> {
        match &self.value.kind {
            ValueKind::String(text) if text.is_empty() => Err(self.wrong(
                "it is empty",
                format!("give {example}, or leave the setting out"),
            )),
            ValueKind::String(text) => Ok(text),
            _ => Err(self.wrong_type(&format!("{example}, in quotes"))),
        }
    }

    /// An identifier such as an issuer or a claim's name.
    pub(super) fn identifier(&self, example: &str) -> Result<String, ConfigError> {
        let text = self.text(example)?;
        if text.len() > limits::IDENTIFIER_BYTES_MAX {
            return Err(self.wrong(
                format!("it has {} bytes", text.len()),
                format!("give at most {} bytes", limits::IDENTIFIER_BYTES_MAX),
            ));
        }
        Ok(text.to_owned())
    }

    /// True or false.
    pub(super) fn boolean(&self) -> Result<bool, ConfigError> {
        let ValueKind::String(text) = &self.value.kind else {
            return match self.value.kind {
                ValueKind::Boolean(value) => Ok(value),
                _ => Err(self.wrong_type("true or false")),
            };
        };
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err(self.wrong(format!("{text:?} is neither"), "give true or false")),
        }
    }

    /// A whole number within bounds.
    pub(super) fn count(&self, least: u64, most: u64) -> Result<u64, ConfigError> {
        let count = match &self.value.kind {
            ValueKind::I64(number) => u64::try_from(*number).ok(),
            ValueKind::U64(number) => Some(*number),
            ValueKind::String(text) => text.replace('_', "").parse().ok(),
            _ => return Err(self.wrong_type("a whole number")),
        };
        count
            .filter(|count| (least..=most).contains(count))
            .ok_or_else(|| {
                self.wrong(
                    format!("\"{}\" is out of bounds or not a whole number", self.value),
                    format!("give a whole number from {least} to {most}"),
                )
            })
    }

    /// A duration within bounds, such as 60s, 30d or 1h30m.
    pub(super) fn duration(
        &self,
        least: Duration,
        most: Duration,
    ) -> Result<Duration, ConfigError> {
        let ValueKind::String(text) = &self.value.kind else {
            return Err(self.wrong_type("a duration with its unit in quotes, such as \"60s\""));
        };
        let duration = humantime::parse_duration(text).map_err(|error| {
            self.wrong(
                format!("{text:?} is not a duration ({error})"),
                "give one with its unit, such as 60s, 1h30m or 30d",
            )
        })?;
        if !(least..=most).contains(&duration) {
            return Err(self.wrong(
                format!("{text:?} is out of bounds"),
                format!(
                    "give a duration from {} to {}",
                    duration_text(least),
                    duration_text(most)
                ),
            ));
        }
        Ok(duration)
    }

    /// A duration, or "unlimited".
    pub(super) fn lifetime(&self) -> Result<Lifetime, ConfigError> {
        if let ValueKind::String(text) = &self.value.kind
            && text == "unlimited"
        {
            return Ok(Lifetime::Unlimited);
        }
        self.duration(Duration::from_secs(1), limits::LIFETIME_MAX)
            .map(Lifetime::AtMost)
            .map_err(|error| match error {
                ConfigError::Wrong {
                    setting,
                    origin,
                    problem,
                    remedy,
                } => ConfigError::Wrong {
                    setting,
                    origin,
                    problem,
                    remedy: format!("{remedy}, or \"unlimited\""),
                },
                other => other,
            })
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, ConfigError> {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let known = format!("one of {}", known.join(", "));
        let text = self.text(&known)?;
        words
            .iter()
            .find_map(|(word, value)| (*word == text).then_some(*value))
            .ok_or_else(|| self.wrong(format!("{text:?} is unknown"), format!("give {known}")))
    }

    /// A path.
    pub(super) fn path(&self) -> Result<PathBuf, ConfigError> {
        self.text("a path").map(PathBuf::from)
    }

    /// The elements of a list; one text alone is a list of one.
    pub(super) fn list(&self) -> Result<Vec<Setting<'a>>, ConfigError> {
        match &self.value.kind {
            ValueKind::Array(values) => Ok(values
                .iter()
                .zip(1..)
                .map(|(value, place)| Setting {
                    name: format!("{}[{place}]", self.name),
                    value,
                })
                .collect()),
            ValueKind::String(_) => Ok(vec![self.clone()]),
            _ => Err(self.wrong_type("a list, such as [\"a\", \"b\"]")),
        }
    }

    /// What stands in a table.
    pub(super) fn values(&self, wanted: &str) -> Result<&'a Map<String, Value>, ConfigError> {
        match &self.value.kind {
            ValueKind::Table(values) => Ok(values),
            _ => Err(self.wrong_type(wanted)),
        }
    }
}

/// A duration as [`Setting::duration`] reads it, in units that always last the same: a month or a
/// year would be a guess.
pub(super) fn duration_text(duration: Duration) -> String {
    let mut rest = duration.as_nanos();
    let mut text = String::new();
    for (unit, nanos) in [
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ] {
        let count = rest / nanos;
        rest %= nanos;
        if count > 0 {
            // Writing to a String cannot fail.
            let _infallible = write!(text, "{count}{unit}");
        }
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}
