//! `manifest.json` of a golden folder: which file holds which method.

use std::fs;
use std::path::Path;

use ast_model::Pooling;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{AdapterError, Compat, MethodConfig};

/// One file of a golden folder.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct GoldenEntry {
    /// Name of the file beside the manifest.
    pub file: String,
    /// Number of trained values, head and final LayerNorm included.
    pub trainable_parameters: u64,
    /// What it is, in the authors' words; free where `config` is given.
    pub method: String,
    /// Everything else that the manifest says of the file.
    #[serde(flatten)]
    settings: Map<String, Value>,
}

/// The entries of a `manifest.json`.
///
/// # Errors
/// When the file cannot be read or is no list of entries.
pub fn read_manifest(path: &Path) -> Result<Vec<GoldenEntry>, AdapterError> {
    let text = fs::read_to_string(path).map_err(AdapterError::io(path))?;
    serde_json::from_str(&text).map_err(|error| AdapterError::Description {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

impl GoldenEntry {
    /// The method this entry describes, and how its tokens are pooled.
    ///
    /// Either `config` is a [`MethodConfig`] as JSON and `pooling`, if given,
    /// one of [`Pooling`]; or the entry has the settings of the authors'
    /// program (`configuration`, `location`, `reduction_rate` and so on).
    ///
    /// # Errors
    /// An unknown method, and any setting that is missing, unknown or out of
    /// range: a setting passed over would compare something else.
    pub fn method(&self, compat: Compat) -> Result<(MethodConfig, Pooling), String> {
        let mut settings = Settings(self.settings.clone());
        let pooling = settings.optional("pooling")?.unwrap_or_default();
        let config = match settings.0.remove("config") {
            Some(config) => config,
            None => translate(&self.method, &mut settings, compat)?,
        };
        if let Some(name) = settings.0.keys().next() {
            return Err(format!(
                "setting {name:?} of {:?} is not known; remove it, or give the method as `config`",
                self.method
            ));
        }
        let config: MethodConfig =
            serde_json::from_value(config).map_err(|error| format!("{}: {error}", self.method))?;
        Ok((config.with_compat(compat), pooling))
    }
}

/// The configuration that the authors' settings mean.
fn translate(method: &str, settings: &mut Settings, compat: Compat) -> Result<Value, String> {
    match method {
        "full fine-tuning" => Ok(json!({ "method": "full" })),
        "linear probe, final LayerNorm trainable" => Ok(json!({ "method": "linear" })),
        "BitFit" => Ok(json!({ "method": "bitfit" })),
        "LoRA on query" => lora("q", settings),
        "LoRA on query and key" => lora("qk", settings),
        "LoRA on query and value" => lora("qv", settings),
        "prefix tuning" => {
            let tokens: i64 = settings.required("tokens")?;
            Ok(json!({ "method": "prefix", "tokens": tokens }))
        }
        "prompt tuning" => {
            let deep: bool = settings.required("deep")?;
            let prompts: i64 = settings.required("tokens")?;
            Ok(json!({ "method": "prompt", "deep": deep, "prompts": prompts }))
        }
        "Dense-MoA" => Ok(json!({ "method": "dense-moa", "mixture": mixture(settings)? })),
        "Soft-MoA" => {
            let norm = match (settings.required("normalize")?, compat) {
                (false, _) => "off",
                (true, Compat::Paper) => "coded",
                (true, Compat::Fixed) => "soft_moe",
            };
            let slots: i64 = settings.required("slots")?;
            let mixture = mixture(settings)?;
            Ok(json!({
                "method": "soft-moa", "slots": slots, "router_norm": norm, "mixture": mixture,
            }))
        }
        "adapter" => adapter(settings),
        other => Err(format!(
            "the method {other:?} is not known; describe it with `config`, a method of this \
             program as JSON"
        )),
    }
}

fn mixture(settings: &mut Settings) -> Result<Value, String> {
    let expert: String = settings.required("expert")?;
    let kind = match expert.as_str() {
        "bottleneck" => json!("bottleneck"),
        "convpass" => json!({ "convpass": {} }),
        other => return Err(format!("there is no expert {other:?}")),
    };
    let experts: i64 = settings.required("experts")?;
    let configuration: String = settings.required("configuration")?;
    let location: String = settings.required("location")?;
    let placement = match (configuration.as_str(), location.as_str()) {
        ("Pfeiffer", "MHSA") => "pfeiffer-mhsa",
        ("Pfeiffer", "FFN") => "pfeiffer-ffn",
        ("Houlsby", "both") => "houlsby",
        _ => return Err(format!("there is no place {configuration:?}, {location:?}")),
    };
    Ok(
        json!({ "experts": experts, "expert": kind, "placement": placement, "bottleneck": width(settings)? }),
    )
}

fn adapter(settings: &mut Settings) -> Result<Value, String> {
    let configuration: String = settings.required("configuration")?;
    let insertion: String = settings.required("insertion")?;
    let residual: bool = settings.required("adapter_residual")?;
    let placement = match configuration.as_str() {
        "Pfeiffer" => "pfeiffer-ffn",
        "Houlsby" => "houlsby",
        other => return Err(format!("there is no configuration {other:?}")),
    };
    let block: String = settings.required("block")?;
    // The manifest names a kernel for bottlenecks too, which have none.
    let kernel: Option<i64> = settings.optional("kernel_size")?;
    let kind = match (block.as_str(), kernel) {
        ("bottleneck", _) => json!("bottleneck"),
        ("conformer", Some(kernel)) => json!({ "conformer": { "kernel": kernel } }),
        _ => {
            return Err(format!(
                "there is no block {block:?} with kernel {kernel:?}"
            ));
        }
    };
    Ok(json!({
        "method": "adapter", "kind": kind, "placement": placement, "insertion": insertion,
        "residual": residual, "bottleneck": width(settings)?,
    }))
}

fn lora(targets: &str, settings: &mut Settings) -> Result<Value, String> {
    let alpha: f64 = settings.required("alpha")?;
    Ok(json!({
        "method": "lora", "targets": targets, "rank": width(settings)?, "alpha": alpha,
        "scaling": "alpha_over_rate",
    }))
}

fn width(settings: &mut Settings) -> Result<Value, String> {
    let rate: f64 = settings.required("reduction_rate")?;
    Ok(json!({ "reduction_rate": rate }))
}

/// Settings not yet used.
struct Settings(Map<String, Value>);

impl Settings {
    fn optional<T: serde::de::DeserializeOwned>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, String> {
        let Some(value) = self.0.remove(name) else {
            return Ok(None);
        };
        let read = serde_json::from_value(value.clone());
        read.map_err(|error| format!("setting {name} = {value}: {error}"))
    }

    fn required<T: serde::de::DeserializeOwned>(&mut self, name: &str) -> Result<T, String> {
        self.optional(name)?
            .ok_or_else(|| format!("the setting {name:?} is missing"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Result<(MethodConfig, Pooling), String> {
        let entry: GoldenEntry = serde_json::from_str(text).unwrap();
        entry.method(Compat::Paper)
    }

    #[test]
    fn unknown_methods_and_settings_are_errors() {
        let start = r#"{"file": "a", "trainable_parameters": 1, "method": "#;
        let wrong = [
            (r#""Soft-MoE"}"#, "Soft-MoE"),
            (r#""full fine-tuning", "odd": 1}"#, "odd"),
            (r#""Soft-MoA", "normalize": "no"}"#, "normalize"),
            (r#""Soft-MoA", "normalize": false}"#, "slots"),
            (r#""x", "config": {"method": "hard-moa"}}"#, "hard-moa"),
            (r#""x", "pooling": "most", "config": {}}"#, "pooling"),
        ];
        for (rest, word) in wrong {
            let error = entry(&format!("{start}{rest}")).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_method_of_this_program_needs_no_translation() {
        let text = r#"{"file": "a", "trainable_parameters": 1, "method": "mine",
            "pooling": "cls", "config": {"method": "sparse-moa"}}"#;
        let (method, pooling) = entry(text).unwrap();
        assert_eq!(
            (method.name(), pooling),
            ("sparse-moa", ast_model::Pooling::Cls)
        );
    }
}
