//! `rescind journal accept-clock`.

use std::path::PathBuf;

use crate::{
    atomic_file,
    config::{ACCEPT_CLOCK_FILE, ServeFlags, Storage, load},
};

use super::{
    Context,
    failure::{self, Failure},
};

/// Accepts the machine's clock after a jump, so that the sweeper forgets again
///
/// After a jump of the wall clock, or a start long after the last one, Rescind denies as before
/// but forgets nothing, until the clock is back or somebody says that it is right: look at it
/// (date -u), then run this on the node's machine.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  date -u && rescind journal accept-clock --data-dir /var/lib/rescind")]
pub(super) struct AcceptClockArgs {
    /// The node's data directory; without it, as `serve` would choose
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,

    /// The node's configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(args: &AcceptClockArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let flags = ServeFlags {
        config: args.config.clone(),
        data_dir: args.data_dir.clone(),
        ..ServeFlags::default()
    };
    let Storage::Directory(directory) = load(&flags, context.environment)?.config.storage else {
        return Err(Failure::Usage(
            "this configuration is ephemeral: there is no journal whose clock could be accepted"
                .to_owned(),
        ));
    };
    if !directory.is_dir() {
        return Err(Failure::Local(format!(
            "{} is not a directory; give the node's data directory with --data-dir",
            directory.display()
        )));
    }
    let path = directory.join(ACCEPT_CLOCK_FILE);
    let time = context.now.to_string();
    atomic_file::write(&path, format!("{time}\n").as_bytes()).map_err(|error| {
        Failure::Local(format!(
            "cannot write {}: {error}; run this as the user that the sidecar runs as",
            path.display()
        ))
    })?;
    writeln!(
        context.out,
        "accepted {time} as the right time in {}",
        path.display()
    )?;
    writeln!(
        context.out,
        "the running sidecar, or the next one started on this directory, acts on it; `rescind \
         status` tells"
    )?;
    Ok(failure::OK)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::{config::Environment, model::UnixNanos};

    use super::*;

    #[test]
    fn the_time_is_left_for_the_sidecar_to_find() {
        let directory = tempfile::tempdir().unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut context = Context {
            environment: &Environment::default(),
            now: UnixNanos::from_secs(1_700_000_000),
            input: &mut std::io::empty(),
            out: &mut out,
            err: &mut err,
        };
        let mut args = AcceptClockArgs {
            data_dir: Some(directory.path().to_str().unwrap().to_owned()),
            config: None,
        };
        run(&args, &mut context).unwrap();
        let left = fs::read_to_string(directory.path().join(ACCEPT_CLOCK_FILE)).unwrap();
        assert_eq!(left, "2023-11-14T22:13:20Z\n");
        args.data_dir = Some("/no/such/directory".to_owned());
        let failure = run(&args, &mut context).unwrap_err().to_string();
        assert!(
            failure.contains("give the node's data directory"),
            "{failure}"
        );
    }
}
