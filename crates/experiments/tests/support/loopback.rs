//! A network with nothing in it but the machine itself: what a test starts in it
//! can be reached from nowhere else.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A network namespace, until it is dropped.
pub struct Loopback {
    holder: Child,
    root: bool,
}

impl Loopback {
    /// A new one.
    ///
    /// # Panics
    /// Where the system does not let it be made; `cargo xtask test` looks first.
    pub fn new() -> Self {
        let mut id = Command::new("id");
        let root = id.arg("-u").output().unwrap().stdout == b"0\n";
        let mut unshare = Command::new("unshare");
        unshare.arg("--net");
        if !root {
            unshare.arg("--map-root-user");
        }
        // `cat` ends with the test, however that ends.
        let script = "ip link set lo up || ifconfig lo up; echo ready; exec cat";
        unshare.args(["sh", "-c", script]);
        unshare.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = unshare.spawn().unwrap();
        let mut ready = String::new();
        let stdout = holder.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n", "no network namespace can be made");
        Loopback { holder, root }
    }

    /// A program in it.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder.id().to_string(), "--net"]);
        if !self.root {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg("--").arg(program).stdin(Stdio::null());
        command
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A program in the background, killed when it is dropped.
pub struct Daemon(pub Child);

impl Daemon {
    /// Starts it; what it says goes to a file.
    pub fn start(command: &mut Command, log: &std::path::Path) -> Self {
        let mut options = std::fs::File::options();
        let file = options.create(true).append(true).open(log).unwrap();
        let child = command.stdout(file.try_clone().unwrap()).stderr(file);
        Daemon(child.spawn().unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
