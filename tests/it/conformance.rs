//! The semantics as data, played against nodes in this process.

use std::{collections::BTreeMap, fs, path::Path};

use rescind::conformance::{Case, Class, Outcome, Runner, cases, parse};

/// The cases as they stand in the repository, so that a person who changes one need not build.
fn on_disk() -> Vec<Case> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut files: Vec<(String, String)> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort_unstable();
    let files = files.iter().map(|(name, text)| (&**name, &**text));
    parse(files).unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn every_case_goes_as_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let runner = Runner::here(directory.path().to_owned()).unwrap();
    let mut failures = Vec::new();
    for (number, case) in on_disk().iter().enumerate() {
        match runner.play(case, number).await {
            Outcome::Passed => {}
            Outcome::Failed { step, problem } => failures.push(format!(
                "{}: {}, step {step}: {problem}",
                case.file, case.name
            )),
            Outcome::Skipped { why } => {
                failures.push(format!("{}: {}: skipped: {why}", case.file, case.name));
            }
        }
    }
    let count = failures.len();
    assert!(
        failures.is_empty(),
        "{count} failed:\n{}",
        failures.join("\n")
    );
}

#[test]
fn the_program_holds_every_case() {
    let names = |cases: Vec<Case>| cases.into_iter().map(|case| case.name).collect::<Vec<_>>();
    assert_eq!(names(cases().unwrap()), names(on_disk()));
}

#[test]
fn every_class_has_cases_and_there_are_enough() {
    let cases = on_disk();
    let mut counts: BTreeMap<Class, usize> = BTreeMap::new();
    for class in cases.iter().flat_map(|case| &case.covers) {
        *counts.entry(*class).or_default() += 1;
    }
    let missing: Vec<_> = Class::ALL
        .iter()
        .filter(|class| !counts.contains_key(class))
        .collect();
    assert!(missing.is_empty(), "no case covers {missing:?}");
    assert!(cases.len() >= 120, "{} cases", cases.len());
}

#[test]
fn what_is_not_known_in_a_case_names_file_and_case() {
    let with = |steps: &str| {
        let text = format!(
            r#"{{"about": "", "cases": [{{"name": "a story", "source": "", "covers": [], "steps": [{steps}]}}]}}"#
        );
        parse([("a.json", &*text)]).map(|cases| cases.len())
    };
    assert_eq!(with(""), Ok(1));
    for (steps, problem) in [
        (r#"{"dance": {}}"#, "dance"),
        (r#"{"check": {"token": "t", "verdict": "fine"}}"#, "fine"),
        (
            r#"{"check": {"tokens": "t", "verdict": "active"}}"#,
            "tokens",
        ),
        (r#"{"mint": {"as": "t"}, "check": {}}"#, "expected"),
        (
            r#"{"revoke": {"targets": [{"user": {"name": "a"}}]}}"#,
            "name",
        ),
        (r#"{"advance": 5}"#, "string"),
    ] {
        let error = with(steps).unwrap_err();
        assert_eq!((&*error.file, &*error.case), ("a.json", "a story"));
        assert!(error.problem.contains(problem), "{steps}: {error}");
    }
}

/// The sections of docs/semantics.md that promise something, each with the cases that it names.
fn sections(text: &str) -> Vec<(String, Vec<String>)> {
    let mut sections: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            sections.push((title.to_owned(), Vec::new()));
        }
        let case = line
            .trim()
            .strip_prefix("<!-- case: ")
            .and_then(|rest| rest.strip_suffix(" -->"));
        if let Some(case) = case {
            sections.last_mut().unwrap().1.push(case.to_owned());
        }
    }
    sections
}

#[test]
fn what_the_semantics_promise_is_tied_to_cases() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/semantics.md")).unwrap();
    let names: Vec<String> = on_disk().into_iter().map(|case| case.name).collect();
    let sections = sections(&text);
    assert!(sections.len() >= 14, "{} sections", sections.len());
    for (title, cases) in &sections {
        assert!(!cases.is_empty(), "{title:?} names no case");
        for case in cases {
            assert!(
                names.contains(case),
                "{title:?} names {case:?}: no case has this name"
            );
        }
    }
    let mut promise = None;
    for line in text.lines() {
        if line.starts_with("**") || line.starts_with("## ") {
            assert_eq!(promise, None, "this promise names no case");
            promise = line.starts_with("**").then_some(line);
        } else if line.trim().starts_with("<!-- case: ") {
            promise = None;
        } else if let Some(rest) = line.strip_prefix("<!-- tests: ") {
            // What no single server can show is held by tests.
            let file = rest.strip_suffix(" -->").unwrap();
            assert!(root.join(file).exists(), "{file} is not there");
            promise = None;
        }
    }
    let mentioned = text.matches("<!-- case:").count();
    let read: usize = sections.iter().map(|(_, cases)| cases.len()).sum();
    assert_eq!(mentioned, read, "a marker has a line of its own");
}
