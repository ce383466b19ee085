//! Reads the source and the docs, and holds the house rules that no compiler knows.
//!
//! Each test gathers everything that is wrong and says it at once: where, and what to do.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what fails here fails the test, and its message says why"
)]

mod docs;
mod limits;
mod source;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A file of the repository, by its path from the top.
struct File {
    path: String,
    text: String,
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files below a directory whose names end so, in the order of their paths.
fn files_below(directory: &str, ending: &str) -> Vec<File> {
    let mut files = Vec::new();
    let mut directories = vec![top().join(directory)];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.to_str().unwrap().ends_with(ending) {
                let path = name(&path);
                let text = read(&path);
                files.push(File { path, text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!files.is_empty(), "there is no {ending} below {directory}");
    files
}

fn name(path: &Path) -> String {
    let inside: PathBuf = path.strip_prefix(top()).unwrap().to_owned();
    inside.to_str().unwrap().to_owned()
}

/// Fails with every problem, a line each.
fn assert_none(rule: &str, problems: &[String]) {
    assert!(problems.is_empty(), "{rule}\n  {}", problems.join("\n  "));
}
