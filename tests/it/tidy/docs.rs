//! The docs name what there is, and nothing in them leads nowhere.

use std::{collections::BTreeSet, process::Command};

use super::{File, assert_none, files_below, read, top};

/// Lines that a newcomer is asked to read.
const README_LINES_MAX: usize = 250;

fn pages() -> Vec<File> {
    let mut pages = files_below("docs", ".md");
    for path in [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "fuzz/README.md",
        "tests/clients/README.md",
        "tests/issuers/README.md",
    ] {
        pages.push(File {
            path: path.to_owned(),
            text: read(path),
        });
    }
    pages
}

/// What of `names` the README does not have as code.
fn missing_in_readme<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let readme = read("README.md");
    let names: Vec<&str> = names.collect();
    assert!(!names.is_empty(), "nothing was found to look for");
    names
        .into_iter()
        .filter(|name| !readme.contains(&format!("`{name}`")))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_readme_is_short() {
    let lines = read("README.md").lines().count();
    assert!(
        lines <= README_LINES_MAX,
        "README.md has {lines} lines, and at most {README_LINES_MAX} are read: move some to docs/"
    );
}

#[test]
fn every_flag_of_serve_is_in_the_readme() {
    let help = Command::new(env!("CARGO_BIN_EXE_rescind"))
        .args(["help", "serve"])
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, options) = help.split_once("\nOptions:\n").unwrap();
    let flags = options
        .lines()
        .map(str::trim_start)
        .filter(|line| line.starts_with("--"))
        .filter_map(|line| line.split([' ', '=', '[']).next());
    assert_none("document these", &missing_in_readme(flags));
}

#[test]
fn every_reason_of_an_error_is_in_the_readme() {
    let status = read("src/server/status.rs");
    let shouted = |text: &&str| {
        let letters = |c: char| c.is_ascii_uppercase() || c == '_';
        text.len() > 3 && text.chars().all(letters)
    };
    let reasons = status.split('"').skip(1).step_by(2).filter(shouted);
    assert_none("say what to do about these", &missing_in_readme(reasons));
}

#[test]
fn every_rpc_is_in_the_readme() {
    let proto = read("proto/rescind/v1/revocation.proto");
    let rpcs = proto
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("rpc ")?.split('(').next());
    assert_none("say what these are for", &missing_in_readme(rpcs));
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            title
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    let mut followed = 0;
    for page in pages() {
        let directory = top().join(&page.path).parent().unwrap().to_owned();
        for link in page.text.split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.contains("://") {
                continue;
            }
            followed += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() {
                top().join(&page.path)
            } else {
                directory.join(path)
            };
            let leads = target.exists()
                && (anchor.is_empty()
                    || anchors(&std::fs::read_to_string(&target).unwrap()).contains(anchor));
            if !leads {
                broken.push(format!("{} links to {link}", page.path));
            }
        }
    }
    assert!(followed > 10, "only {followed} links were found");
    assert_none("mend these", &broken);
}
