use std::io::Write;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

fn job() -> Job {
    Job {
        name: "tiny".to_owned(),
        program: "/opt/soft-moa/soft-moa".into(),
        sweep: "/scratch/my sweeps/tiny".into(),
        cache: "/scratch/cache".into(),
        datasets: "/opt/soft-moa/datasets".into(),
        checkpoint_seconds: 60.0,
        pack: 3,
        threads: 2,
        memory_mib: 900,
        gpu: false,
        tasks: vec![0, 1, 2, 3, 7],
    }
}

fn slurm_options() -> SlurmOptions {
    SlurmOptions {
        time: "04:00:00".to_owned(),
        at_once: Some(8),
        more: vec!["--partition=short".to_owned()],
    }
}

#[test]
fn the_slurm_script_is_the_frozen_one() {
    let script = slurm(&job(), &slurm_options());
    assert_eq!(script, include_str!("golden/slurm.sh"));
}

#[test]
fn the_hyperqueue_script_is_the_frozen_one() {
    let gpu = Job {
        gpu: true,
        pack: 1,
        ..job()
    };
    assert_eq!(hyperqueue(&gpu), include_str!("golden/hyperqueue.sh"));
}

#[test]
fn the_scripts_are_good_bash() {
    for script in [slurm(&job(), &slurm_options()), hyperqueue(&job())] {
        let mut bash = Command::new("bash");
        let mut bash = bash.arg("-n").stdin(Stdio::piped()).spawn().unwrap();
        let mut input = bash.stdin.take().unwrap();
        input.write_all(script.as_bytes()).unwrap();
        drop(input);
        assert!(bash.wait().unwrap().success(), "{script}");
    }
}

proptest! {
    #[test]
    fn a_quoted_word_is_itself_to_the_shell(word in "[ -~äß]{0,20}") {
        let mut sh = Command::new("sh");
        let said = sh.arg("-c").arg(format!("printf %s {}", quoted(&word))).output().unwrap();
        prop_assert_eq!(String::from_utf8_lossy(&said.stdout), word);
    }
}
