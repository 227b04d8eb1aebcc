//! A sweep in a real Slurm of one node: a job is told to stop in mid-run and goes
//! back into the queue by itself, then the node dies with everything on it; every bit
//! is that of an undisturbed sweep. `cargo xtask test` sets `SOFT_MOA_SLURM` where
//! Slurm is installed and may be started.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::loopback::{Daemon, Loopback, kill};
use support::{Setup, run};

const CONFIGURATION: &str = r"
ClusterName=sweeps
SlurmctldHost=localhost(127.0.0.1)
NodeName=localhost NodeAddr=127.0.0.1 CPUs=1 RealMemory=4000 State=UNKNOWN
PartitionName=all Nodes=localhost Default=YES MaxTime=INFINITE State=UP
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=FOLDER/munge.socket
StateSaveLocation=FOLDER/state
SlurmdSpoolDir=FOLDER/spool
SlurmctldPidFile=FOLDER/slurmctld.pid
SlurmdPidFile=FOLDER/slurmd.pid
SlurmdParameters=config_overrides
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=300
KillWait=10
BatchStartTimeout=1
MessageTimeout=2
SchedulerParameters=batch_sched_delay=0,sched_interval=1
";

/// Slurm with its network and its files.
struct Cluster {
    slurmd: Daemon,
    slurmctld: Daemon,
    munged: Daemon,
    network: Loopback,
    folder: PathBuf,
}

/// Starts a daemon of Slurm; it stays in the foreground.
fn daemon(network: &Loopback, folder: &Path, words: &[&str]) -> Daemon {
    let mut command = network.command(words[0]);
    command.args(&words[1..]);
    command.env("SLURM_CONF", folder.join("slurm.conf"));
    Daemon::start(&mut command, &folder.join(format!("{}.log", words[0])))
}

const SLURMD: [&str; 4] = ["slurmd", "-D", "-N", "localhost"];

impl Cluster {
    fn start(folder: PathBuf) -> Self {
        for name in ["state", "spool"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        let text = CONFIGURATION.replace("FOLDER", folder.to_str().unwrap());
        fs::write(folder.join("slurm.conf"), text).unwrap();
        let at = |name: &str, file: &str| format!("--{name}={}", folder.join(file).display());
        let mut key = Command::new("mungekey");
        let key = key.arg("--create").arg(at("keyfile", "munge.key"));
        assert!(key.status().unwrap().success());
        let network = Loopback::new();
        let munged = [
            "munged",
            "--foreground",
            "--force",
            &at("key-file", "munge.key"),
            &at("socket", "munge.socket"),
            &at("pid-file", "munge.pid"),
            &at("log-file", "munge.log"),
            &at("seed-file", "munge.seed"),
        ];
        let munged = daemon(&network, &folder, &munged);
        let socket = folder.join("munge.socket");
        wait("munged", || socket.exists());
        let slurmctld = daemon(&network, &folder, &["slurmctld", "-D"]);
        let slurmd = daemon(&network, &folder, &SLURMD);
        let cluster = Cluster {
            slurmd,
            slurmctld,
            munged,
            network,
            folder,
        };
        cluster.wait_for_node();
        cluster
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.network.command(program);
        command.env("SLURM_CONF", self.folder.join("slurm.conf"));
        command
    }

    fn wait_for_node(&self) {
        wait("idle or busy node", || {
            let mut sinfo = self.command("sinfo");
            let said = sinfo.args(["--noheader", "--format=%T"]).output().unwrap();
            let state = String::from_utf8_lossy(&said.stdout).trim().to_owned();
            ["idle", "mixed", "allocated"].contains(&state.as_str())
        });
    }

    /// The node dies with every process on it, and comes back.
    fn lose_node(&mut self) {
        let stays = |&process: &u32| {
            let name = fs::read_to_string(format!("/proc/{process}/comm"));
            let head = [self.slurmctld.0.id(), self.munged.0.id()].contains(&process);
            head || name.is_ok_and(|name| name.trim() == "slurmscriptd")
        };
        let mut dying = self.network.processes();
        dying.retain(|process| !stays(process));
        kill(&dying);
        let _ = self.slurmd.0.wait();
        // A batch job that began just before would be taken for one still to come.
        std::thread::sleep(Duration::from_secs(4));
        self.slurmd = daemon(&self.network, &self.folder, &SLURMD);
        self.wait_for_node();
    }
}

fn wait(what: &str, mut is: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "no {what} within a minute"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Whether some run is well on its way; its index.
fn in_the_middle(status: &Value) -> Option<u64> {
    let runs = status["runs"].as_array().unwrap();
    let run = runs
        .iter()
        .find(|run| run["state"] == "running" && run["epoch"].as_u64() > Some(5))?;
    run["index"].as_u64()
}

/// What Slurm knows of a task.
fn show(cluster: &Cluster, task: &str) -> String {
    run(cluster.command("scontrol").args(["show", "job", task])).stdout
}

/// Slurm keeps a task that goes back into the queue for two minutes; the test does
/// not wait for that.
fn hurry(cluster: &Cluster, job: &str) {
    for task in 0..2 {
        let mut scontrol = cluster.command("scontrol");
        scontrol.args(["update", &format!("JobId={job}_{task}"), "StartTime=now"]);
        // A task that is done or running cannot be hurried.
        let _ = scontrol.output();
    }
}

#[test]
fn a_sweep_that_is_stopped_and_loses_its_node_ends_with_the_bits_of_an_undisturbed_one() {
    if std::env::var_os("SOFT_MOA_SLURM").is_none() {
        eprintln!("skipped: SOFT_MOA_SLURM is not set");
        return;
    }
    let setup = Setup::new();
    let words = [
        "--method",
        "linear,soft-moa",
        "--seeds",
        "1,2",
        "--set",
        "task.epochs=200",
    ];
    assert_eq!(setup.plan("calm", &words), 4);
    setup.plan("lost", &words);
    setup.run_all("calm");

    let mut cluster = Cluster::start(setup.path("slurm"));
    let mut launch = cluster.command(env!("CARGO_BIN_EXE_soft-moa"));
    launch.args([
        "sweep",
        "launch",
        "slurm",
        "--submit",
        "--threads",
        "1",
        "--pack",
        "2",
    ]);
    launch.args(["--checkpoint-every", "0.1", "--memory", "500", "--plan"]);
    launch
        .arg(setup.path("lost"))
        .arg("--cache")
        .arg(setup.path("cache"));
    launch.arg("--datasets").arg(setup.path("datasets"));
    let said = run(&mut launch).succeeded().stdout;
    let job = said.split_whitespace().last().unwrap().to_owned();

    // What Slurm sends before the time limit.
    let status = setup.wait("lost", 60, "in the middle", &|s| in_the_middle(s).is_some());
    let index = in_the_middle(&status).unwrap();
    let task = format!("{job}_{}", index / 2);
    run(cluster
        .command("scancel")
        .args(["--batch", "--signal=TERM", &task]))
    .succeeded();
    wait("requeued task", || {
        show(&cluster, &task).contains("Restarts=1")
    });
    let stopped = setup.status("lost");
    let state = &stopped["runs"][index as usize]["state"];
    assert!(state == "partial" || state == "done", "{stopped}");

    // And in the middle of what runs then, the node is lost.
    let status = setup.wait("lost", 60, "in the middle", &|status| {
        hurry(&cluster, &job);
        in_the_middle(status).is_some()
    });
    assert!(
        status["done"].as_u64() < Some(4),
        "everything was done too early: {status}"
    );
    cluster.lose_node();
    setup.wait("lost", 120, "done", &|status| {
        hurry(&cluster, &job);
        status["done"] == 4
    });
    assert_eq!(setup.results("lost"), setup.results("calm"));
}
