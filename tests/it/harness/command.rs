//! Commands of the program that end by themselves.

use std::{
    io::{Read, Write as _},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::PATIENCE;

/// The program, with nothing of this process's environment.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rescind"));
    command.env_clear();
    command
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command that ends by itself.
pub(crate) fn output_of(command: &mut Command) -> Output {
    output_with(command.stdin(Stdio::null()), "")
}

/// Runs a command that reads this, to its end.
pub(crate) fn output_with(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = read(child.stdout.take().unwrap());
    let stderr = read(child.stderr.take().unwrap());
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends without reading it has its reasons.
        drop(stdin.write_all(input.as_bytes()));
    }
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if began.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
    let Some(code) = status.map(|status| status.code().unwrap_or(-1)) else {
        panic!("it did not end by itself: {command:?}\n{stdout}\n{stderr}");
    };
    Output {
        code,
        stdout,
        stderr,
    }
}

fn read(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        pipe.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    })
}
