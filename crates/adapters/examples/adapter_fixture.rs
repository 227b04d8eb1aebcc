//! Writes a small adapter folder with the logits it gives: what the tests keep
//! of every format version and load for ever.
//!
//! `cargo run --release -p adapters --example adapter_fixture -- DIR METHOD`
//!
//! METHOD is JSON, for example
//! `'{"method": "soft-moa", "mixture": {"experts": 2, "bottleneck": {"width": 2}}}'`.
//! The backbone and the input are those of the golden tests.

use std::path::Path;

use adapters::{
    AdaptOptions, AdaptedModel, AdapterDescription, Compat, FORMAT_VERSION, Head, MethodConfig,
    save,
};
use ast_model::{Checkpoint, Pooling, Positions, Precision, Step, init, tensor_file};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, method] = arguments.as_slice() else {
        return Err("two arguments: the new folder and the method as JSON".into());
    };
    let folder = Path::new(folder);
    let method = serde_json::from_str::<MethodConfig>(method)?.with_compat(Compat::Fixed);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden");
    let (backbone, _) = Checkpoint::load(&golden)?;
    let model = AdaptedModel::new(&backbone, &method, &AdaptOptions::new(3))?;
    tch::no_grad(|| {
        for (name, tensor) in model.trained() {
            let noise = init::normal(17, name, &tensor.size(), 0.1);
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
        head: Head::Linear,
        first_block: 0,
        mask_padding: false,
        labels: ["low", "middle", "high"].map(str::to_owned).to_vec(),
        features: serde_json::json!({ "mel_bins": 128 }),
    };
    save(folder, &model, &description)?;
    let golden = tensor_file::read(&golden.join("reference/linear.safetensors"))?;
    let logits = model.forward(&golden["input"], &Step::evaluation())?;
    tensor_file::write(&folder.join("expected.safetensors"), [("logits", &logits)])?;
    Ok(())
}
