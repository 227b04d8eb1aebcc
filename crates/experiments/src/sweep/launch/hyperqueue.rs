//! A script for HyperQueue.

use super::{Job, quoted};
use crate::sweep::ranges;

/// Seconds that a task waits for a run that a lost worker's process still makes.
const WAIT: u32 = 600;

/// The script for `hq submit`. A task whose worker is lost starts again on another
/// one by itself, as often as it takes.
pub fn script(job: &Job) -> String {
    let logs = job.sweep.join("logs").display().to_string();
    let log = |kind: &str| quoted(&format!("{logs}/hyperqueue-%{{TASK_ID}}.{kind}"));
    let mut lines = vec![
        format!("--name={}", quoted(&job.name)),
        format!("--array={}", ranges(&job.tasks)),
        format!("--cpus={}", job.threads),
        format!("--resource mem={}", job.memory_mib),
        "--crash-limit=1000".to_owned(),
        format!("--stdout={}", log("out")),
        format!("--stderr={}", log("log")),
    ];
    if job.gpu {
        lines.push("--resource gpus/nvidia=1".to_owned());
    }
    let lines: Vec<String> = lines.iter().map(|line| format!("#HQ {line}")).collect();
    format!(
        "#!/bin/bash\n{directives}\n\n# Made by `soft-moa sweep launch hyperqueue`. {words}\n\
         {environment}\nexec {command}\n",
        directives = lines.join("\n"),
        words = job.in_words(),
        environment = job.environment(),
        command = job.command("HQ_TASK_ID", &format!(" --wait {WAIT}")),
    )
}
