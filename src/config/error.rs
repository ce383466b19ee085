//! What can be wrong with a configuration, each in one line: what, where and what to do.

use std::{io, path::PathBuf};

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "cannot read the configuration file {}; give an existing TOML file with --config or \
         RESCIND_CONFIG, or leave both out",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{}, line {line}, column {column}: not valid TOML: {problem}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// Where, from 1.
        column: usize,
        /// What the parser says, in one line.
        problem: String,
    },
    /// The file has a key that means nothing, which is most often a misspelt one that matters.
    #[error("{}: unknown key {key:?}; {hint}", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key, with the tables that it stands in.
        key: String,
        /// The nearest known key, or where to find them.
        hint: String,
    },
    /// A setting has a value that it cannot have.
    #[error("{setting} (from {origin}): {problem}; {remedy}")]
    Wrong {
        /// The setting, as it is called in the file.
        setting: String,
        /// Where the value came from: a flag, an environment variable, a file or the default.
        origin: String,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        remedy: String,
    },
}

impl ConfigError {
    /// Whether the mistake stands on the command line, so that the exit code is the one of a
    /// wrong usage.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Wrong { origin, .. } if origin.starts_with("--"))
    }
}
