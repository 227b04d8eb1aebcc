//! Writes a small adapter folder with the logits it gives: what the tests keep
//! of every format version and load for ever.
//!
//! `cargo run --release -p adapters --example adapter_fixture -- DIR METHOD [MORE]`
//!
//! METHOD is JSON, for example
//! `'{"method": "soft-moa", "mixture": {"experts": 2, "bottleneck": {"width": 2}}}'`,
//! MORE too: `'{"head": "norm_linear", "mask_padding": true, "first_block": 1}'`.
//! The backbone and the input are those of the golden tests, the second half of
//! the input padding where that is masked.

use std::path::Path;

use adapters::{
    AdaptOptions, AdaptedModel, AdapterDescription, Compat, FORMAT_VERSION, Head, MethodConfig,
    save,
};
use ast_model::{Checkpoint, Pooling, Positions, Precision, Step, init, tensor_file};
use serde::Deserialize;

/// What the description says beside the method.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct More {
    head: Head,
    mask_padding: bool,
    first_block: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (folder, method, more) = match arguments.as_slice() {
        [folder, method] => (folder, method, More::default()),
        [folder, method, more] => (folder, method, serde_json::from_str(more)?),
        _ => return Err("arguments: the new folder, the method as JSON, and more".into()),
    };
    let folder = Path::new(folder);
    let method = serde_json::from_str::<MethodConfig>(method)?.with_compat(Compat::Fixed);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden");
    let (backbone, _) = Checkpoint::load(&golden)?;
    let options = AdaptOptions {
        head: more.head,
        mask_padding: more.mask_padding,
        first_block: more.first_block,
        ..AdaptOptions::new(3)
    };
    let model = AdaptedModel::new(&backbone, &method, &options)?;
    tch::no_grad(|| {
        for (name, tensor) in model.trained() {
            let noise = init::normal(17, name, &tensor.size(), 0.1);
            let _ = tensor.shallow_clone().g_add_(&noise);
        }
        for (name, tensor) in model.buffers() {
            // Variances stay positive.
            let noise = init::uniform(17, name, &tensor.size(), 0.2);
            let _ = tensor.shallow_clone().g_add_(&noise);
        }
    });
    let description = AdapterDescription {
        format_version: FORMAT_VERSION,
        method,
        compat: Compat::Fixed,
        backbone_fingerprint: backbone.fingerprint(),
        backbone: "random, width 32, 2 blocks".into(),
        blocks: 2,
        strides: [10, 10],
        precision: Precision::F32,
        max_length: 64,
        positions: Positions::Crop,
        pooling: Pooling::All,
        head: more.head,
        first_block: more.first_block,
        mask_padding: more.mask_padding,
        labels: ["low", "middle", "high"].map(str::to_owned).to_vec(),
        features: serde_json::json!({ "mel_bins": 128 }),
    };
    save(folder, &model, &description)?;
    let golden = tensor_file::read(&golden.join("reference/linear.safetensors"))?;
    let input = golden["input"].copy();
    if more.mask_padding {
        let _ = input.narrow(1, 32, 32).fill_(-0.5);
    }
    let logits = model.forward(&input, &Step::evaluation())?;
    tensor_file::write(&folder.join("expected.safetensors"), [("logits", &logits)])?;
    Ok(())
}
