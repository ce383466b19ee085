//! A small file system, which can be filled.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A file system of its own at a directory, for those who see the mounts of the process that holds it.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    at: PathBuf,
    holder: Child,
}

impl SmallDisk {
    pub(crate) fn at(at: &Path, kib: u32) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let mount = "mount -t tmpfs -o mode=0700,size=$1k none \"$0\" && echo mounted && exec cat";
        let mut holder = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", mount])
            .arg(at)
            .arg(kib.to_string())
            // It ends with this process.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare; install it: apt-get install util-linux");
        let mut says = String::new();
        let stdout = holder.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut says).unwrap();
        assert_eq!(says, "mounted\n", "user namespaces must be allowed");
        Self {
            at: at.to_owned(),
            holder,
        }
    }

    /// Whose mounts show it.
    pub(crate) fn holder(&self) -> u32 {
        self.holder.id()
    }

    /// Makes room.
    pub(crate) fn grow(&self, kib: u32) {
        let grown = with_mounts_of(self.holder())
            .args(["mount", "-o", &format!("remount,size={kib}k")])
            .arg(&self.at)
            .status();
        assert!(grown.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}

/// To run what is added to it.
pub(crate) fn with_mounts_of(pid: u32) -> Command {
    let mut command = Command::new("nsenter");
    command
        .args(["--preserve-credentials", "--user", "--mount", "--target"])
        .arg(pid.to_string());
    command
}
