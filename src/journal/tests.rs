use std::{collections::BTreeMap, fs, path::Path};

use super::*;
use crate::model::{Dot, KeptBy, Note, Request, Rule, RuleKind, Target, UnixNanos, What};

fn record(sub: &str, until_s: u64) -> Record {
    let target = Target {
        iss: "i".to_owned(),
        what: What::User(sub.to_owned()),
    };
    let request = Request {
        cut_off: 5,
        until: UnixNanos::from_secs(until_s),
        kept_by: KeptBy::Itself,
        kept_from: UnixNanos::ZERO,
        except: vec![],
    };
    let dot = Dot {
        boot: Boot(1),
        counter: 1,
    };
    let rule = Rule::default().revoke(dot, &request, &Note::default());
    Record {
        target,
        rules: BTreeMap::from([(RuleKind::IssuedBefore, rule)]),
        origin: None,
    }
}

fn put(journal: &Journal, seq: u64, record: &Record, superseded: Option<u64>) {
    let live = Live {
        kind: KeyKind::User,
        seq,
        slot: [0; 16],
    };
    let put = |tables: &mut Tables<'_>| {
        tables.put(&record.target.key(), record, live, superseded)?;
        Ok(ControlFlow::Continue(()))
    };
    journal.write(put).unwrap();
}

fn all(journal: &Journal, after: u64) -> Vec<(u64, Record)> {
    let mut found = Vec::new();
    let each = |seq, record| {
        found.push((seq, record));
        ControlFlow::Continue(())
    };
    journal.each_record(after, u64::MAX, each).unwrap();
    found
}

/// Something that happens to a file or directory.
type OfPath = fn(&Path);

fn in_directory(path: &Path) -> Result<Journal, JournalError> {
    Journal::open(&Storage::Directory(path.to_owned()))
}

#[test]
fn the_log_is_the_state_and_nothing_superseded_stays() {
    let journal = Journal::open(&Storage::Memory).unwrap();
    put(&journal, 1, &record("a", 100), None);
    put(&journal, 2, &record("b", 100), None);
    put(&journal, 3, &record("a", 200), Some(1));
    assert_eq!(
        all(&journal, 0),
        [(2, record("b", 100)), (3, record("a", 200))]
    );
    assert_eq!(all(&journal, 2).len(), 1);
    assert_eq!(journal.record(1).unwrap(), None);
    let mut live = Vec::new();
    journal
        .each_live(|key, at| {
            live.push((key, at.seq));
            Ok(())
        })
        .unwrap();
    live.sort_unstable();
    let mut expected = [
        (record("a", 0).target.key(), 3),
        (record("b", 0).target.key(), 2),
    ];
    expected.sort_unstable();
    assert_eq!(live, expected);
}

#[test]
fn what_expires_is_found_by_its_bucket_and_not_before() {
    let journal = Journal::open(&Storage::Memory).unwrap();
    put(&journal, 1, &record("a", 101), None);
    put(&journal, 2, &record("b", 205), None);
    put(&journal, 3, &record("b", 305), Some(2));
    let expired = |now_s| {
        let look = |tables: &mut Tables<'_>| {
            Ok(ControlFlow::Break(
                tables.expired(UnixNanos::from_secs(now_s), 10)?,
            ))
        };
        journal.write(look).unwrap()
    };
    assert!(expired(109).is_empty());
    assert_eq!(expired(110), [1]);
    assert_eq!(
        expired(300),
        [1],
        "the superseded record left no row behind"
    );
    assert_eq!(expired(310), [1, 3]);
}

#[test]
fn a_second_process_on_the_data_directory_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let _first = in_directory(directory.path()).unwrap();
    let error = in_directory(directory.path()).unwrap_err();
    assert!(matches!(error, JournalError::InUse { .. }), "{error:?}");
}

#[test]
fn a_newer_format_is_refused_and_names_both_versions() {
    let directory = tempfile::tempdir().unwrap();
    let journal = in_directory(directory.path()).unwrap();
    let newer = |tables: &mut Tables<'_>| {
        tables.set_meta("format", &(FORMAT + 1).to_be_bytes())?;
        Ok(ControlFlow::Continue(()))
    };
    journal.write(newer).unwrap();
    drop(journal);
    let error = in_directory(directory.path()).unwrap_err();
    assert!(error.to_string().contains("format 2"), "{error}");
}

#[test]
fn a_damaged_journal_is_refused_wherever_the_damage_is() {
    let directory = tempfile::tempdir().unwrap();
    let journal = in_directory(directory.path()).unwrap();
    for seq in 1..500 {
        put(&journal, seq, &record(&seq.to_string(), 100), None);
    }
    drop(journal);
    let path = directory.path().join("journal.redb");
    let whole = fs::read(&path).unwrap();
    let used = 64 * 1024.min(whole.len());
    for offset in (0..used).step_by(used / 40) {
        let mut damaged = whole.clone();
        damaged[offset..(offset + 64).min(whole.len())].fill(0xa5);
        fs::write(&path, &damaged).unwrap();
        // Pages that are not in use may be damaged without harm; everything else is told.
        match in_directory(directory.path()) {
            Ok(journal) => assert_eq!(all(&journal, 0).len(), 499, "at {offset}"),
            Err(error) => assert!(
                matches!(error, JournalError::Damaged(_)),
                "at {offset}: {error:?}"
            ),
        }
    }
    fs::write(&path, b"not a journal at all").unwrap();
    let error = in_directory(directory.path()).unwrap_err();
    assert!(matches!(error, JournalError::Damaged(_)), "{error:?}");
}

#[test]
fn a_directory_that_cannot_be_used_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = in_directory(&file.join("data")).unwrap_err();
    assert!(error.to_string().contains("file/data"), "{error}");
}

/// A process that was killed in its very first start left a file without redb's magic number,
/// which redb writes last, and every later start refused it as damaged.
#[test]
fn what_a_first_start_left_half_made_is_not_taken_for_a_journal() {
    let directory = tempfile::tempdir().unwrap();
    let half = directory.path().join("journal.redb.new-0000000000000001");
    fs::write(&half, vec![0; 1 << 20]).unwrap();
    let journal = in_directory(directory.path()).unwrap();
    put(&journal, 1, &record("a", 100), None);
    let files: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(files.len(), 2, "the journal and its mark: {files:?}");
}

/// 5,000 revocations were forgotten in silence by `: > journal.redb`, or when the file was gone.
#[test]
fn a_journal_that_is_gone_or_empty_is_no_first_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.redb");
    let make = || drop(in_directory(directory.path()).unwrap());
    let lose: [(&str, OfPath); 2] = [
        ("is gone", |path| fs::remove_file(path).unwrap()),
        ("has 0 bytes", |path| fs::write(path, b"").unwrap()),
    ];
    for (how, lose) in lose {
        make();
        lose(&path);
        for _ in 0..2 {
            let error = in_directory(directory.path()).unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, JournalError::Lost { .. }), "{error:?}");
            assert!(
                text.contains(how) && text.contains("--accept-empty-journal"),
                "{text}"
            );
        }
        Journal::accept_empty(directory.path()).unwrap();
        make();
    }
    // Without a mark, as an older program left it, an empty file is none all the same.
    fs::remove_file(directory.path().join("journal.mark")).unwrap();
    fs::write(&path, b"").unwrap();
    assert!(in_directory(directory.path()).is_err());
}

#[test]
fn accepting_an_empty_journal_leaves_one_that_holds_anything_alone() {
    let directory = tempfile::tempdir().unwrap();
    let journal = in_directory(directory.path()).unwrap();
    put(&journal, 1, &record("a", 100), None);
    drop(journal);
    Journal::accept_empty(directory.path()).unwrap();
    let journal = in_directory(directory.path()).unwrap();
    assert_eq!(all(&journal, 0).len(), 1);
}

/// A directory that was deleted under a running node took writes that the restart did not have.
#[test]
fn a_journal_that_is_moved_away_under_a_running_node_takes_no_writes() {
    let change: [OfPath; 3] = [
        |directory| fs::remove_dir_all(directory).unwrap(),
        |directory| fs::rename(directory, directory.with_extension("away")).unwrap(),
        |directory| {
            let path = directory.join("journal.redb");
            let copy = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            fs::write(&path, copy).unwrap();
        },
    ];
    for change in change {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("data");
        let journal = in_directory(&directory).unwrap();
        put(&journal, 1, &record("a", 100), None);
        change(&directory);
        let nothing = |_: &mut Tables<'_>| Ok(ControlFlow::Continue(()));
        let error = journal.write(nothing).unwrap_err();
        assert!(matches!(error, JournalError::Moved { .. }), "{error:?}");
        // What it holds is still enforced, and what others send is taken in, in memory.
        journal.go_on_in_memory().unwrap();
        put(&journal, 2, &record("b", 100), None);
        assert_eq!(all(&journal, 0).len(), 2);
    }
}

#[test]
fn first_starts_at_the_same_time_end_with_one_journal() {
    let directory = tempfile::tempdir().unwrap();
    let start = std::sync::Barrier::new(4);
    let open = || {
        start.wait();
        in_directory(directory.path())
    };
    let opened: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let opened = opened.into_iter().map(|opened| match opened {
        Ok(journal) => Some(journal),
        Err(JournalError::InUse { .. }) => None,
        Err(other) => panic!("{other:?}"),
    });
    assert_eq!(opened.flatten().count(), 1);
}
