//! Arguments about places and devices that many commands share.

use std::path::{Path, PathBuf};

use adapters::{AdaptOptions, AdapterDescription};
use anyhow::{Context, Result};
use ast_model::{Precision, PrecisionChoice};
use clap::{Args, ValueEnum};
use experiments::{backbones, device};
use tch::Device;

use super::output::say;

/// The user's cache.
#[derive(Args)]
pub struct CacheArgument {
    /// Folder with data/, backbones/ and hub/ [default: $SOFT_MOA_CACHE, or soft-moa in the user's
    /// cache].
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
}

impl CacheArgument {
    pub fn folder(&self) -> Result<PathBuf> {
        if let Some(cache) = &self.cache {
            return Ok(cache.clone());
        }
        if let Some(cache) = std::env::var_os("SOFT_MOA_CACHE").filter(|cache| !cache.is_empty()) {
            return Ok(cache.into());
        }
        let cache =
            dirs::cache_dir().context("the user has no cache folder; name one with --cache")?;
        Ok(cache.join("soft-moa"))
    }
}

/// Where and in which number format to compute.
#[derive(Args)]
pub struct DeviceArguments {
    /// cpu, cuda or cuda:INDEX.
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// Number format of the frozen weights.
    #[arg(long, value_enum, default_value_t = Format::F32)]
    pub precision: Format,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Format {
    F32,
    Bf16,
    /// bf16 where it is measured to be clearly faster.
    Auto,
}

impl DeviceArguments {
    pub fn resolve(&self) -> Result<(Device, Precision)> {
        let device = device::choose(&self.device)?;
        let choice = match self.precision {
            Format::F32 => PrecisionChoice::F32,
            Format::Bf16 => PrecisionChoice::Bf16,
            Format::Auto => PrecisionChoice::Auto,
        };
        let (precision, rates) = choice.resolve(device)?;
        if let Some(rates) = rates {
            say(format_args!("precision auto: {}", rates.in_words()));
        }
        Ok((device, precision))
    }

    /// Options to load an adapter with.
    pub fn adapt(&self) -> Result<AdaptOptions> {
        let (device, precision) = self.resolve()?;
        Ok(AdaptOptions {
            device,
            precision,
            ..AdaptOptions::new(1)
        })
    }
}

/// The backbone of an adapter.
#[derive(Args)]
pub struct BackboneArgument {
    /// A folder, a name below backbones/ of the cache, or the id of a fetched model [default: the
    /// one in the cache that the adapter was trained on].
    #[arg(long, value_name = "NAME")]
    pub backbone: Option<String>,
    #[command(flatten)]
    pub cache: CacheArgument,
}

impl BackboneArgument {
    /// The adapter folder that `path` means, what it says, and its backbone.
    pub fn adapter(
        &self,
        path: &Path,
    ) -> Result<(PathBuf, AdapterDescription, backbones::Fitting)> {
        let folder = backbones::adapter_folder(path);
        let description = adapters::describe(&folder)?;
        let named = self.backbone.as_deref();
        let fitting = backbones::for_adapter(&folder, &description, named, &self.cache.folder()?)?;
        Ok((folder, description, fitting))
    }
}
