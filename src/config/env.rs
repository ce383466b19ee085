//! The one place that reads the environment.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::PathBuf,
};

/// What every variable that Rescind reads as a setting begins with.
const PREFIX: &str = "RESCIND_";

/// A snapshot of the environment, or one made up for a test.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, OsString>,
}

impl Environment {
    /// The environment of this process, as it is now.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the environment is read"
    )]
    pub fn snapshot() -> Self {
        // Names that are not UTF-8 cannot be settings.
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect();
        Self { variables }
    }

    /// A made-up one.
    pub fn of<const N: usize>(variables: [(&str, &str); N]) -> Self {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        Self { variables }
    }

    /// Adds to a made-up one.
    #[cfg(test)]
    pub(super) fn extend(&mut self, variables: &[(&str, &str)]) {
        for (name, value) in variables {
            self.variables.insert((*name).to_owned(), value.into());
        }
    }

    /// A variable's value. An empty one counts as absent, since `X=${Y}` in a compose file or a
    /// unit leaves it empty when Y is not set.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables
            .get(name)
            .map(OsString::as_os_str)
            .filter(|value| !value.is_empty())
    }

    /// The variables that look like settings: with and without the prefix, and their values.
    pub(super) fn settings(&self) -> impl Iterator<Item = (&str, String, &OsStr)> {
        self.variables
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .filter_map(|(name, value)| {
                let key = name.strip_prefix(PREFIX)?.to_ascii_lowercase();
                Some((name.as_str(), key, value.as_os_str()))
            })
    }

    /// Where state goes when nobody says: what systemd prepared for the unit, else the user's
    /// state directory (XDG Base Directory Specification), else the system's.
    pub(super) fn default_data_dir(&self) -> (PathBuf, &'static str) {
        let absolute = |name: &str| {
            let path = PathBuf::from(self.get(name)?);
            // The XDG specification says to ignore relative paths; relative to what, anyway?
            path.is_absolute().then_some(path)
        };
        // With several StateDirectory= entries systemd joins them by colons.
        let prepared = self
            .get("STATE_DIRECTORY")
            .and_then(OsStr::to_str)
            .and_then(|paths| paths.split(':').next())
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        if let Some(path) = prepared {
            return (path, "default: $STATE_DIRECTORY");
        }
        if let Some(path) = absolute("XDG_STATE_HOME") {
            return (path.join("rescind"), "default: below $XDG_STATE_HOME");
        }
        if let Some(path) = absolute("HOME") {
            return (path.join(".local/state/rescind"), "default: below $HOME");
        }
        (PathBuf::from("/var/lib/rescind"), "default")
    }
}

/// Whether Kubernetes sets a variable of this name beside a Service called rescind….
pub(super) fn is_service_link(name: &str) -> bool {
    name.ends_with("_PORT")
        || name.contains("_PORT_")
        || name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
}
