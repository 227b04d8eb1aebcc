//! Settings of runs on the command line: a file, flags, and `--set`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use experiments::finetune::RunConfig;
use toml::{Table, Value};

/// Settings without a flag of their own.
#[derive(clap::Args)]
pub struct SettingArguments {
    /// A TOML file with settings; flags win over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Any other setting, as in the file: --set training.clip_norm=1.0
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl SettingArguments {
    /// What lies `below`, then the file, the `flags` and `--set`.
    pub fn on_top(&self, below: Option<Table>, flags: Table) -> Result<RunConfig> {
        let file = self.config.as_deref().map(RunConfig::layer).transpose()?;
        let set = settings(&self.set)?;
        let layers = [below, file, Some(flags), Some(set)];
        RunConfig::layered(layers.into_iter().flatten())
    }
}

/// `a.b=1` is a line of TOML; what is no TOML value is a text.
fn settings(set: &[String]) -> Result<Table> {
    let mut text = String::new();
    for setting in set {
        let Some((key, value)) = setting.split_once('=') else {
            bail!("--set {setting}: write KEY=VALUE");
        };
        let line = format!("{key} = {value}\n");
        if toml::from_str::<Table>(&line).is_ok() {
            text += &line;
        } else {
            text += &format!("{key} = {}\n", Value::String(value.to_owned()));
        }
    }
    RunConfig::parse(&text).context("--set")?;
    toml::from_str(&text).context("--set")
}

/// Flags as a layer of settings.
#[derive(Default)]
pub struct Flags(Table);

impl Flags {
    /// Sets `key`, where the flag is given.
    pub fn put(&mut self, key: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.0.insert(key.to_owned(), value.into());
        }
    }

    /// As [`put`](Self::put), for a number that TOML may not hold.
    pub fn count(&mut self, key: &str, value: Option<u64>) -> Result<()> {
        let number = value.map(i64::try_from).transpose();
        let number = number.with_context(|| {
            let value = value.unwrap_or_default();
            format!("{key} = {value} is too large; give at most {}", i64::MAX)
        })?;
        self.put(key, number);
        Ok(())
    }

    /// As [`put`](Self::put), for a path.
    pub fn path(&mut self, key: &str, value: Option<&Path>) -> Result<()> {
        let Some(path) = value else { return Ok(()) };
        let Some(text) = path.to_str() else {
            bail!(
                "{key} = {}: settings are UTF-8, and this path is not; rename it",
                path.display()
            );
        };
        self.put(key, Some(text));
        Ok(())
    }

    /// Settings below the key `name`.
    pub fn below(&mut self, name: &str, flags: Flags) {
        if !flags.0.is_empty() {
            self.put(name, Some(flags.0));
        }
    }

    /// The layer.
    pub fn table(self) -> Table {
        self.0
    }
}
