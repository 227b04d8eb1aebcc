//! `soft-moa fetch`.

use std::io::{self, IsTerminal};

use anyhow::{Context, Result};
use ast_model::hub::{self, HubOptions, Progress};
use experiments::backbones;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::output::{Output, bytes};
use super::places::CacheArgument;

#[derive(clap::Args)]
pub struct Fetch {
    /// OWNER/NAME on the hub, such as MIT/ast-finetuned-audioset-10-10-0.4593.
    model: String,
    /// A branch, tag or commit.
    #[arg(long, default_value = "main")]
    revision: String,
    /// Address of the hub or of a mirror [default: $HF_ENDPOINT, or https://huggingface.co].
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    #[command(flatten)]
    cache: CacheArgument,
}

/// Fetches a model unless it is in the cache, and prints its folder. A token
/// for models that are not open to everyone is taken from `HF_TOKEN`.
pub fn run(arguments: &Fetch, output: &Output) -> Result<()> {
    let cache = arguments.cache.folder()?;
    let mut options = HubOptions::new(backbones::hub_cache(&cache));
    if let Some(endpoint) = arguments
        .endpoint
        .clone()
        .or_else(|| setting("HF_ENDPOINT"))
    {
        options.endpoint = endpoint;
    }
    options.token = setting("HF_TOKEN");
    let mut shown = Shown::default();
    let (id, revision) = (&arguments.model, &arguments.revision);
    let folder = hub::fetch_with_progress(id, revision, &options, &mut |now| shown.update(now))?;
    shown.bar.finish_and_clear();
    let (checkpoint, _) = ast_model::Checkpoint::load(&folder)
        .context("the files were fetched but are no checkpoint of an AST")?;
    let config = &checkpoint.config;
    eprintln!(
        "{id}: {} blocks of width {}, {} frames; use it with --backbone {id}",
        config.num_hidden_layers, config.hidden_size, config.max_length
    );
    let value = json!({ "model": id, "revision": revision, "folder": folder });
    output.result(&value, || folder.display().to_string())
}

/// A variable of the environment that is set to something.
fn setting(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .map(|value| value.trim().to_owned())
        .filter(|value| !value.is_empty())
}

/// A bar for the file that is being received; plain lines on no terminal.
struct Shown {
    bar: ProgressBar,
    file: String,
}

impl Default for Shown {
    fn default() -> Self {
        Shown {
            bar: ProgressBar::hidden(),
            file: String::new(),
        }
    }
}

impl Shown {
    fn update(&mut self, now: Progress) {
        if self.file != now.file {
            self.file = now.file.to_owned();
            self.bar.finish_and_clear();
            let size = now.total.map_or("unknown size".to_owned(), bytes);
            if io::stderr().is_terminal() {
                let template = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} left {eta}";
                self.bar = ProgressBar::new(now.total.unwrap_or(0)).with_message(self.file.clone());
                let style = ProgressStyle::with_template(template);
                self.bar
                    .set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            } else {
                eprintln!("{} ({size})", self.file);
            }
        }
        self.bar.set_position(now.received);
    }
}
