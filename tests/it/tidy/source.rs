//! The rules about the source.

use std::collections::BTreeSet;

use super::{File, assert_none, files_below, read};

/// The modules, left to right: each names only those before it.
const ORDER: [&str; 20] = [
    "limits",
    "atomic_file",
    "proto",
    "model",
    "clock",
    "wire",
    "token",
    "verification",
    "index",
    "journal",
    "decision",
    "ledger",
    "fleet",
    "server",
    "sync",
    "ops",
    "conformance",
    "config",
    "cli",
    "app",
];

/// Lines that a file may have; most have far fewer.
const LINES_MAX: usize = 600;

/// A file's code: without comments, without what stands in texts, without its tests.
struct Code {
    path: String,
    module: String,
    text: String,
}

/// The code of the crate, its tests left out.
fn code() -> Vec<Code> {
    let files = files_below("src", ".rs");
    let tests = test_files(&files);
    files
        .into_iter()
        .filter(|file| !tests.contains(&file.path))
        .map(|file| {
            let text = stripped(&file.text);
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let inside = file.path.strip_prefix("src/").unwrap();
            let module = inside.split(['/', '.']).next().unwrap();
            Code {
                module: module.to_owned(),
                text: text.to_owned(),
                path: file.path,
            }
        })
        .collect()
}

/// The files of modules that are compiled for tests only.
fn test_files(files: &[File]) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for file in files {
        let directory = match file.path.strip_suffix("mod.rs") {
            Some(directory) => directory.to_owned(),
            None => file.path.replace(".rs", "/"),
        };
        for declared in file.text.split("#[cfg(test)]\nmod ").skip(1) {
            let Some((name, _)) = declared.split_once(';') else {
                continue;
            };
            if name.contains(char::is_whitespace) {
                continue;
            }
            let within = format!("{directory}{name}");
            let below = files.iter().map(|file| &file.path).filter(|path| {
                path.strip_prefix(&within)
                    .is_some_and(|rest| rest.starts_with(['/', '.']))
            });
            tests.extend(below.cloned());
        }
    }
    tests
}

/// Rust without comments and without what stands in texts; lines stay where they are.
fn stripped(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(opened) = rest.strip_prefix('"') {
            code.push('"');
            1 + end_of_text(opened)
        } else if let Some(raw) = raw_text(rest) {
            raw
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\\"'") {
            rest[1..].find('\'').unwrap() + 2
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.extend(rest[..skipped].chars().filter(|c| *c == '\n'));
        rest = &rest[skipped..];
    }
    code
}

/// How long the text is whose opening quote stands before `text`, its closing quote included.
fn end_of_text(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// How long the raw text is that begins here, if one does.
fn raw_text(text: &str) -> Option<usize> {
    let after = text.strip_prefix('r')?;
    let fence = after.len() - after.trim_start_matches('#').len();
    after[fence..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(fence));
    let body = 1 + fence + 1;
    Some(body + text[body..].find(&end)? + end.len())
}

/// Whether a word stands in code, not as a part of another.
fn has_word(code: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let starts = word.starts_with(part_of_word);
        let ends = word.ends_with(part_of_word);
        let before = code[..at].chars().next_back().is_some_and(part_of_word);
        let after = code[at + word.len()..].chars().next();
        let is_part = starts && before || ends && after.is_some_and(part_of_word);
        !is_part
    })
}

/// The modules of this crate that code names: `crate::a::…` and `crate::{a, b::{…}}`.
fn modules_named(code: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for (at, prefix) in code.match_indices("crate::") {
        let rest = &code[at + prefix.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            named.insert(first_word(rest));
            continue;
        };
        let mut depth = 0;
        let mut entry = String::new();
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' | ',' if depth == 0 => {
                    named.insert(first_word(entry.trim()));
                    entry.clear();
                }
                '}' => depth -= 1,
                _ if depth == 0 => entry.push(c),
                _ => {}
            }
            if c == '}' && depth == 0 && entry.is_empty() {
                break;
            }
        }
    }
    named.remove("");
    named
}

fn first_word(text: &str) -> String {
    let part_of_word = |c: &char| c.is_alphanumeric() || *c == '_';
    text.chars().take_while(part_of_word).collect()
}

/// The files, but for those in `allowed`, that have one of these words.
fn outside(allowed: &[&str], words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for code in code() {
        if allowed.iter().any(|start| code.path.starts_with(start)) {
            continue;
        }
        for word in words.iter().filter(|word| has_word(&code.text, word)) {
            found.push(format!("{} has {word}", code.path));
        }
    }
    found
}

#[test]
fn a_module_names_only_modules_to_its_left() {
    let place = |module: &str| ORDER.iter().position(|known| *known == module);
    let mut problems = Vec::new();
    for code in code() {
        if matches!(code.module.as_str(), "lib" | "main") {
            continue;
        }
        let Some(own) = place(&code.module) else {
            problems.push(format!("{} has no place in ORDER", code.path));
            continue;
        };
        for named in modules_named(&code.text) {
            if place(&named).is_none_or(|named| named > own) {
                problems.push(format!("{} names {named}", code.path));
            }
        }
    }
    assert_none(&format!("left to right: {}", ORDER.join(" ")), &problems);
}

#[test]
fn the_map_shows_the_modules_in_their_order() {
    let map = read("src/lib.rs");
    let (_, map) = map.split_once("left to right").unwrap();
    let (map, declared) = map.split_once("pub mod").unwrap();
    let places: Vec<Option<usize>> = ORDER
        .iter()
        .map(|module| map.find(&format!("`{module}`")))
        .collect();
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "src/lib.rs lists {ORDER:?} in this order; found at {places:?}"
    );
    assert_eq!(
        declared.matches("mod ").count() + 1,
        ORDER.len(),
        "each module of src/lib.rs has its place in ORDER"
    );
}

#[test]
fn only_the_index_names_dashmap() {
    let found = outside(&["src/index/"], &["DashMap", "dashmap"]);
    assert_none("a shard's guard must not leave its module", &found);
}

#[test]
fn only_the_ledger_writes_the_index_and_the_journal() {
    let allowed = ["src/index/", "src/journal/", "src/ledger/"];
    let words = [
        "put_token",
        "put_rules",
        "index.remove(",
        "journal.write(",
        "Tables",
        "TokenSlot",
    ];
    assert_none("ask the ledger", &outside(&allowed, &words));
}

#[test]
fn only_status_makes_grpc_codes() {
    let found = outside(
        // As clients, the others read them.
        &[
            "src/sync/connection.rs",
            "src/server/status.rs",
            "src/conformance/expect.rs",
            "src/cli/",
        ],
        &["Status::", "Code::"],
    );
    assert_none("add a function to src/server/status.rs", &found);
}

#[test]
fn only_the_clock_reads_wall_time() {
    let words = ["SystemTime", "Timestamp::now", "Zoned::now", "Instant::now"];
    let mut found = outside(&["src/clock.rs"], &words);
    // Tokio's, for heartbeats, waits and the pace of fetches: it is what tests pause and simulate.
    let paced = [
        "src/server/watch.rs",
        "src/verification/fetch.rs",
        "src/fleet/followers.rs",
        "src/sync/acks.rs",
        "src/sync/discovery.rs",
        "src/sync/outbox.rs",
    ];
    found.retain(|problem| {
        !paced
            .iter()
            .any(|path| *problem == format!("{path} has Instant::now"))
    });
    assert_none("take a Clock", &found);
}

#[test]
fn files_are_short() {
    let long = code().into_iter().map(|code| {
        let lines = read(&code.path).lines().count();
        (code.path, lines)
    });
    let long: Vec<String> = long
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| format!("{path} has {lines} lines"))
        .collect();
    assert_none("split by what a reader looks for", &long);
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<String> = code()
        .into_iter()
        .filter(|code| !read(&code.path).starts_with("//! "))
        .map(|code| format!("{} does not begin with //!", code.path))
        .collect();
    assert_none("one line will do", &silent);
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not have them.
    let words = [
        concat!("TO", "DO"),
        concat!("to", "do!"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("HA", "CK"),
        concat!("#[ig", "nore"),
    ];
    let mut found = Vec::new();
    for (directory, ending) in [
        ("src", ".rs"),
        ("tests/it", ".rs"),
        ("tests/sim", ".rs"),
        ("benches", ".rs"),
        ("proto", ".proto"),
        ("src", ".proto"),
    ] {
        for file in files_below(directory, ending) {
            for word in words.iter().filter(|word| has_word(&file.text, word)) {
                found.push(format!("{} has {word}", file.path));
            }
        }
    }
    assert_none("do it, or open an issue", &found);
}

#[test]
fn stripping_leaves_the_code() {
    let rust =
        "a(\"// \\\" x\"); // c\nb('\"', r#\"t \" u\"#, 'c'); /* no */\n/// d\nfn e<'a>() {}";
    assert_eq!(
        stripped(rust),
        "a(\"); \nb(, , 'c'); /* no */\n\nfn e<'a>() {}"
    );
    let code = "use crate::{a, b::{c, d}, e};\ncrate::f::g(); x::{y}";
    let named: Vec<String> = modules_named(code).into_iter().collect();
    assert_eq!(named, ["a", "b", "e", "f"]);
}
