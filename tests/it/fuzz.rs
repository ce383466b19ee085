//! What was fuzzed stays right: the seeds in `fuzz/seeds`, and all that fuzzing ever found, go
//! through the same functions as there.

#[path = "../../fuzz/src/lib.rs"]
#[expect(
    unreachable_pub,
    clippy::cast_precision_loss,
    reason = "it is a crate of its own too; a millisecond at the edge of a bound does not matter"
)]
mod targets;

use std::{fs, path::Path};

/// The smallest corpus that is worth replaying.
const SEEDS_MIN: usize = 30;

fn replay(target: &str, run: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let mut count = 0;
    for entry in fs::read_dir(directory.join(target)).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        // Cut and changed a little too, so that each seed stands for its neighbours.
        run(&bytes);
        for at in (0..bytes.len()).step_by(bytes.len() / 16 + 1) {
            run(&bytes[..at]);
            let mut turned = bytes.clone();
            turned[at] ^= 1;
            run(&turned);
        }
        count += 1;
    }
    assert!(count >= SEEDS_MIN, "{count} seeds of {target}");
}

#[test]
fn what_was_fuzzed_of_reading_tokens_holds() {
    replay("token", targets::token::run);
}

#[test]
fn what_was_fuzzed_of_checking_holds() {
    replay("check", targets::check::run);
}

#[test]
fn what_was_fuzzed_of_reading_keys_holds() {
    replay("jwks", targets::jwks::run);
}
