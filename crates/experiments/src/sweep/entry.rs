//! The plan on the disk.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::atomic;
use crate::bench::{self, RunConfig, Single};
use crate::data::toml_error::{nearest, unknown_field};
use crate::report::ReportContext;

/// Name of the plan in the folder of a sweep.
pub const PLAN_FILE: &str = "plan.jsonl";

/// Name of what the report says beside the runs.
const SWEEP_FILE: &str = "sweep.json";

/// Version of the layout of [`Entry`] and of `sweep.json`.
const VERSION: u32 = 1;

/// One run with all that is needed to make it: a line of the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Version of this layout.
    pub version: u32,
    /// Hash of [`config`](Self::config); the name of the run's folder.
    pub id: String,
    /// Training clips over all epochs.
    pub clips: usize,
    /// Memory that the run will take, estimated (see `docs/sweeps.md`).
    pub memory_bytes: u64,
    /// What the profile says about this run.
    pub run: Single,
    /// Everything that decides the result, as it was resolved when the plan was
    /// made. What the profile gives where the run is made has to be the same.
    pub config: RunConfig,
}

impl Entry {
    pub(super) fn new(
        id: String,
        clips: usize,
        memory_bytes: u64,
        run: Single,
        config: RunConfig,
    ) -> Self {
        Entry {
            version: VERSION,
            id,
            clips,
            memory_bytes,
            run,
            config,
        }
    }

    /// Task, method, fold and seed in words.
    pub fn title(&self) -> String {
        self.config.title()
    }

    /// Reads a line of a plan.
    ///
    /// # Errors
    /// What is no such line, one of another version of this program, and one that
    /// was changed after it was written.
    pub fn parse(line: &str) -> Result<Self> {
        let entry: Entry = serde_json::from_str(line).map_err(|error| explained(&error))?;
        ensure!(
            entry.version == VERSION,
            "the plan has version {}, this program reads {VERSION}; make the plan again with it",
            entry.version
        );
        let id = bench::id(&entry.config)?;
        ensure!(
            id == entry.id,
            "run {} was changed after it was planned (its configuration is that of run {id}); make \
             the plan again with `soft-moa sweep plan`",
            entry.id
        );
        Ok(entry)
    }

    /// The line of the plan, without a line break.
    ///
    /// # Errors
    /// None for the values that can be in an entry.
    pub fn line(&self) -> Result<String> {
        Ok(serde_json::to_string(self)?)
    }
}

/// A plan and the folder that its runs and its report lie in.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// The folder.
    pub folder: PathBuf,
    /// The runs, in the order of the plan.
    pub entries: Vec<Entry>,
    /// What the report says beside the runs.
    pub context: ReportContext,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    version: u32,
    context: ReportContext,
}

impl Sweep {
    /// Reads a sweep; `path` is its folder or its plan.
    ///
    /// # Errors
    /// As [`Entry::parse`], with the line, and a file that is not there.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = folder(path);
        let entries = entries(path, 0, usize::MAX)?;
        let file = folder.join(SWEEP_FILE);
        let text = fs::read_to_string(&file).with_context(|| {
            format!(
                "cannot read {}; make the plan again with `soft-moa sweep plan`",
                file.display()
            )
        })?;
        let description: Description = serde_json::from_str(&text)
            .map_err(|error| explained(&error))
            .with_context(|| file.display().to_string())?;
        Ok(Sweep {
            folder,
            entries,
            context: description.context,
        })
    }

    /// Writes plan and description. The same sweep gives the same bytes.
    ///
    /// # Errors
    /// Another plan in the folder, unless it may be replaced: jobs that are queued
    /// count its lines. A file that cannot be written.
    pub fn write(&self, replace: bool) -> Result<()> {
        let mut plan = String::new();
        for entry in &self.entries {
            plan.push_str(&entry.line()?);
            plan.push('\n');
        }
        let path = self.folder.join(PLAN_FILE);
        let there = fs::read_to_string(&path).ok();
        if !replace && there.is_some_and(|old| old != plan) {
            bail!(
                "{} holds another plan, and jobs may be counting its lines; choose another folder \
                 with --out, or replace it with --force",
                path.display()
            );
        }
        let description = Description {
            version: VERSION,
            context: self.context.clone(),
        };
        let mut json = serde_json::to_vec_pretty(&description)?;
        json.push(b'\n');
        fs::create_dir_all(&self.folder)
            .and_then(|()| atomic::replace(&self.folder.join(SWEEP_FILE), &json))
            .and_then(|()| atomic::replace(&path, plan.as_bytes()))
            .with_context(|| {
                format!(
                    "cannot write {}; choose another folder with --out",
                    path.display()
                )
            })
    }
}

/// The folder of a sweep that is named by its folder or its plan.
pub fn folder(path: &Path) -> PathBuf {
    if path.is_dir() {
        return path.to_owned();
    }
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// At most `count` runs of a plan from number `first` on. The others are not read.
///
/// # Errors
/// As [`Entry::parse`], with the line, a plan that is not there, and a number beyond
/// its end.
pub fn entries(path: &Path, first: usize, count: usize) -> Result<Vec<Entry>> {
    let file = if path.is_dir() {
        path.join(PLAN_FILE)
    } else {
        path.to_owned()
    };
    let unreadable = || {
        format!(
            "cannot read the plan {}; make it with `soft-moa sweep plan`",
            file.display()
        )
    };
    let reader = BufReader::new(fs::File::open(&file).with_context(unreadable)?);
    let mut read = Vec::new();
    let mut lines = 0;
    for (number, line) in reader.lines().enumerate() {
        let line = line.with_context(unreadable)?;
        lines = number + 1;
        if number >= first && number - first < count {
            let entry = Entry::parse(&line);
            read.push(entry.with_context(|| format!("{}, line {lines}", file.display()))?);
        }
    }
    ensure!(
        !read.is_empty(),
        "there is no run {first} in {}: it has {lines}, counted from 0",
        file.display()
    );
    Ok(read)
}

/// An error of the JSON reader that names the nearest known key.
fn explained(error: &serde_json::Error) -> anyhow::Error {
    let message = error.to_string();
    match unknown_field(&message) {
        Some((field, known)) => match nearest(&field, &known) {
            Some(nearest) => anyhow!("there is no key `{field}`; did you mean `{nearest}`?"),
            None => anyhow!("there is no key `{field}`; remove it"),
        },
        None => anyhow!("{message}; make the plan again with `soft-moa sweep plan`"),
    }
}
