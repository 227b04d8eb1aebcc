//! How much memory loading takes. A test of its own program, so that nothing
//! else allocates beside it.
#![cfg(target_os = "linux")]

use std::fs;

use ast_model::{AstConfig, Checkpoint, tensor_file};
use tch::{Device, Kind, Tensor};

/// A line of `/proc/self/status`, in bytes.
fn status(key: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(key)).unwrap();
    let kibibytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes << 10
}

#[test]
fn weights_are_never_held_twice_and_not_even_once_in_memory_of_their_own() {
    // Two wide matrices make a file of 200 MB from few random numbers.
    let config = AstConfig {
        num_hidden_layers: 1,
        intermediate_size: 1,
        max_length: 16,
        ..AstConfig::tiny()
    };
    let folder = tempfile::tempdir().unwrap();
    let wide: i64 = 130_000;
    let small = Checkpoint::random(&config, 1).unwrap();
    small.save(folder.path()).unwrap();
    let path = folder.path().join("config.json");
    let text = fs::read_to_string(&path).unwrap();
    let narrow = "\"intermediate_size\": 1,";
    assert!(text.contains(narrow));
    fs::write(
        &path,
        text.replace(narrow, "\"intermediate_size\": 130000,"),
    )
    .unwrap();
    let weights = folder.path().join("model.safetensors");
    {
        let ones = |size: &[i64]| Tensor::ones(size, (Kind::Float, Device::Cpu));
        let wider = small.tensors().iter().map(|(name, tensor)| {
            let tensor = match name.as_str() {
                "encoder.layer.0.intermediate.dense.weight" => ones(&[wide, 192]),
                "encoder.layer.0.intermediate.dense.bias" => ones(&[wide]),
                "encoder.layer.0.output.dense.weight" => ones(&[192, wide]),
                _ => tensor.shallow_clone(),
            };
            (name.as_str(), tensor)
        });
        let wider: Vec<_> = wider.collect();
        tensor_file::write(&weights, wider.iter().map(|(name, tensor)| (*name, tensor))).unwrap();
    }
    let file = fs::metadata(&weights).unwrap().len();
    assert!(file > 190 << 20);
    // The peak so far is that of writing; loading starts a new count.
    if let Err(error) = fs::write("/proc/self/clear_refs", "5") {
        eprintln!("skipped: the peak cannot be counted anew here ({error})");
        return;
    }
    let (own, all) = (status("RssAnon"), status("VmRSS"));

    let (checkpoint, report) = Checkpoint::load(folder.path()).unwrap();
    let sum: f64 = checkpoint
        .tensors()
        .values()
        .map(|tensor| tensor.sum(Kind::Float).double_value(&[]))
        .sum();
    assert!(sum > (2 * wide * 192) as f64, "every value has been read");
    assert_eq!(report.used.len(), checkpoint.names().count());
    let grown_own = status("RssAnon").saturating_sub(own);
    let peak = status("VmHWM").saturating_sub(all);
    println!(
        "file {} MB, memory of its own {} MB, peak with file pages {} MB",
        file >> 20,
        grown_own >> 20,
        peak >> 20
    );
    assert!(grown_own < file / 10, "{grown_own} of {file} bytes");
    assert!(
        peak < file + file / 5,
        "{peak} bytes at the peak for {file}"
    );
}
