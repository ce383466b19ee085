//! The semantics as data, played against a node in this process.

use std::collections::BTreeMap;

use rescind::conformance::{Class, Outcome, Runner, cases};

#[tokio::test]
async fn every_case_goes_as_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let runner = Runner::here(directory.path().to_owned()).unwrap();
    let only = "";
    let mut failures = Vec::new();
    let cases = cases().unwrap_or_else(|error| panic!("{error}"));
    for (number, case) in cases.iter().enumerate() {
        if !case.name.contains(only) {
            continue;
        }
        match runner.play(case, number).await {
            Outcome::Passed => {}
            other => failures.push(format!("{}: {}: {other:?}", case.file, case.name)),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_class_has_cases_and_there_are_enough() {
    let cases = cases().unwrap_or_else(|error| panic!("{error}"));
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
