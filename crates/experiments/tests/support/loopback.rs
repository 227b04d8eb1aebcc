//! A network with nothing in it but the machine itself: what a test starts in it
//! can be reached from nowhere else.

use std::ffi::OsStr;
use std::fs;
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
        // An address for documentation, on this loopback alone: with none but 127.0.0.1
        // some programs can resolve no name.
        let script = "(ip link set lo up && ip addr add 192.0.2.1/32 dev lo) || ifconfig lo up; \
                      echo ready; exec cat";
        unshare.args(["sh", "-c", script]);
        unshare.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = unshare.spawn().unwrap();
        let mut ready = String::new();
        let stdout = holder.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n", "no network namespace can be made");
        Loopback { holder, root }
    }

    /// Everything that runs in it: what was started there, and what that has started,
    /// whoever its parent is now.
    pub fn processes(&self) -> Vec<u32> {
        let network = |process: u32| fs::read_link(format!("/proc/{process}/ns/net")).ok();
        let own = network(self.holder.id());
        assert!(own.is_some(), "the network namespace is gone");
        let all = fs::read_dir("/proc").unwrap().flatten();
        let all = all.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok());
        all.filter(|&process| process != self.holder.id() && network(process) == own)
            .collect()
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
        kill(&self.processes());
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// SIGKILL for processes that a test has started; some may be gone.
pub fn kill(processes: &[u32]) {
    for process in processes {
        let mut kill = Command::new("kill");
        let _ = kill.args(["-KILL", &process.to_string()]).output();
    }
}

/// A program in the background, killed when it is dropped.
pub struct Daemon(pub Child);

impl Daemon {
    /// Starts it; what it says goes to a file.
    pub fn start(command: &mut Command, log: &std::path::Path) -> Self {
        let mut options = fs::File::options();
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
