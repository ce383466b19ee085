//! The README's quickstart, and the examples in docs/, run as they stand there.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

/// What stands before each block.
const MARK_END: &str = ": run by tests/it/process/readme.rs -->";
/// What stands before a part of the output, in a comment of the shell.
const SHOWN: &str = "# → ";
/// The quickstart takes seconds, and CI machines are slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// The block of a text that is marked so.
fn block<'a>(text: &'a str, name: &str) -> &'a str {
    let mark = format!("<!-- {name}{MARK_END}");
    let (_, after) = text.split_once(&mark).expect("the mark of the block");
    let block = after.trim_start().strip_prefix("```sh\n");
    let block = block.expect("a block of sh right after the mark");
    block.split_once("\n```").expect("the block's end").0
}

/// Runs a script in a directory, with the program on PATH; what it printed. Whatever it left
/// running is gone afterwards.
fn run(script: &str, directory: &Path) -> String {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_rescind"));
    let program = program.parent().unwrap().display();
    // A file, since what runs on in the background would hold a pipe open.
    let printed = directory.join(".printed");
    let mut bash = Command::new("bash")
        .args(["-e", "-o", "pipefail", "-c", script])
        .current_dir(directory)
        .env_clear()
        .env("PATH", format!("{program}:/usr/local/bin:/usr/bin:/bin"))
        .env("HOME", directory)
        .stdin(Stdio::null())
        .stdout(File::create(&printed).unwrap())
        .stderr(Stdio::inherit())
        .process_group(0)
        .spawn()
        .unwrap();
    let group = Pid::from_child(&bash);
    let began = Instant::now();
    let status = loop {
        let status = bash.try_wait().unwrap();
        if status.is_some() || began.elapsed() > PATIENCE {
            break status;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    // Nobody may be left, which is as good.
    let _gone = kill_process_group(group, Signal::KILL);
    drop(bash.wait());
    let printed = fs::read_to_string(&printed).unwrap();
    let status = status.unwrap_or_else(|| panic!("it did not end:\n{printed}"));
    assert!(status.success(), "{status}:\n{printed}");
    printed
}

/// The first part of the output that is not there, in order.
fn missing<'a>(block: &'a str, printed: &str) -> Option<&'a str> {
    let mut rest = printed;
    let mut shown = block.lines().filter_map(|line| line.strip_prefix(SHOWN));
    shown.find(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            false
        }
        None => true,
    })
}

#[test]
fn the_quickstart_of_the_readme_does_what_it_shows() {
    does_what_it_shows("quickstart");
}

#[test]
fn the_mesh_of_the_readme_does_what_it_shows() {
    does_what_it_shows("mesh");
}

#[test]
fn the_hubs_and_leaf_of_the_readme_do_what_they_show() {
    does_what_it_shows("hub");
}

fn does_what_it_shows(name: &str) {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let block = block(&readme, name);
    assert!(block.contains(SHOWN), "{name} shows no output");
    let directory = tempfile::tempdir().unwrap();
    let printed = run(block, directory.path());
    let missing = missing(block, &printed);
    assert_eq!(missing, None, "is not, in its place, in:\n{printed}");
}

/// All blocks of a page, as somebody pastes them into a shell one after the other: a command that
/// exits with something else than zero, as Check does, ends nothing.
fn pasted(page: &str) -> String {
    let blocks = page.split("```sh\n").skip(1);
    let blocks: Vec<&str> = blocks
        .map(|block| block.split_once("```").expect("the block's end").0)
        .collect();
    format!("set +e\n{}", blocks.concat())
}

#[test]
fn the_examples_of_the_docs_do_what_they_show() {
    for page in ["docs/semantics.md", "docs/recipes.md"] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
        let script = pasted(&text);
        let directory = tempfile::tempdir().unwrap();
        let printed = run(&script, directory.path());
        let missing = missing(&script, &printed);
        assert_eq!(
            missing, None,
            "{page}: is not, in its place, in:\n{printed}"
        );
    }
}

#[test]
fn output_that_is_missing_or_in_another_order_is_found() {
    let block = "a\n# → one\nb\n# → two\n# no output";
    assert_eq!(missing(block, "1 one\n2 two\n"), None);
    assert_eq!(missing(block, "2 two\n1 one\n"), Some("two"));
    assert_eq!(missing(block, "2 two\n"), Some("one"));
}
