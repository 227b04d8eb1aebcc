//! Made-up records for the tests of the report.

use serde_json::json;

use super::{ReportContext, TaskNote};
use crate::record::{
    ClipLayerUse, ClipUse, Environment, EpochRecord, ExpertUse, ExtraTest, LayerUse, MultiplyAdds,
    PartCounts, RECORD_VERSION, RunRecord,
};

/// One run with three epochs.
pub fn run(task: &str, method: &str, fold: usize, seed: u64, accuracy: f64) -> RunRecord {
    let epoch = |epoch: usize| EpochRecord {
        epoch,
        train_loss: 1.0 / (epoch + 1) as f64,
        validation_loss: 1.1 / (epoch + 1) as f64,
        validation_accuracy: accuracy * (epoch + 1) as f64 / 3.0,
        seconds: 2.0,
    };
    RunRecord {
        version: RECORD_VERSION,
        id: format!("{task}-{method}-{fold}-{seed}"),
        profile: "smoke".to_owned(),
        task: task.to_owned(),
        method: method.to_owned(),
        fold,
        seed,
        config: json!({"method": method, "fold": fold, "train": {"seed": seed, "epochs": 3}}),
        compat: "fixed".to_owned(),
        precision: "f32".to_owned(),
        backbone: "tiny".to_owned(),
        data_source: "synthesised".to_owned(),
        classes: 4,
        class_names: ["one", "two", "three", "four"].map(str::to_owned).to_vec(),
        majority_share: 0.3,
        clips: PartCounts {
            train: 40,
            validation: 8,
            test: 16,
        },
        trainable_parameters: 1_000 * method.len() as u64,
        trainable_parameters_paper: 900 * method.len() as u64,
        adapter_bytes: 4_000 * method.len() as u64,
        selected_epoch: 2,
        test_accuracy: accuracy,
        test_macro_f1: 0.9 * accuracy,
        test_calibration_error: 0.1,
        confusion: vec![
            vec![3, 1, 0, 0],
            vec![0, 4, 0, 0],
            vec![1, 0, 3, 0],
            vec![0, 0, 2, 2],
        ],
        extra_tests: Vec::new(),
        epochs: (0..3).map(epoch).collect(),
        train_clips_per_second: 20.0 + fold as f64,
        seconds_per_epoch: 2.0,
        seconds_per_step: 0.4,
        multiply_adds: MultiplyAdds {
            backbone: 500_000_000,
            method: 1_000_000 * method.len() as u64,
            method_stacked: None,
        },
        expert_use: None,
        seconds: 7.0,
        peak_memory_bytes: 0,
        started_unix: 1_700_000_000 + seed,
        environment: Environment::default(),
    }
}

/// Three methods over two folds and two seeds on one task, one run on another.
pub fn some_runs() -> Vec<RunRecord> {
    let mut runs = Vec::new();
    for (method, base) in [("soft-moa", 0.70), ("linear", 0.40), ("adapter", 0.65)] {
        for fold in 0..2 {
            for seed in 0..2 {
                let accuracy = base + 0.02 * fold as f64 + 0.013 * seed as f64 * base;
                runs.push(run("tones", method, fold, seed, accuracy));
            }
        }
    }
    let mut other = run("languages", "linear", 0, 0, 0.5);
    other.extra_tests.push(ExtraTest {
        name: "unheard".to_owned(),
        clips: 9,
        accuracy: 0.25,
    });
    runs.push(other);
    runs
}

/// A context with one known task.
pub fn context() -> ReportContext {
    ReportContext {
        profile: "smoke".to_owned(),
        command: "cargo xtask bench-all --profile smoke".to_owned(),
        title: "A comparison".to_owned(),
        notes: vec!["Made up.".to_owned()],
        tasks: vec![TaskNote {
            name: "tones".to_owned(),
            title: "Tones of syllables".to_owned(),
            licence: "GPL".to_owned(),
            source: "a package".to_owned(),
            caveat: "two voices".to_owned(),
        }],
        missing: vec!["esc50: no archive".to_owned()],
        studies: Vec::new(),
        published: Vec::new(),
    }
}

/// Expert use of two mixtures with these shares, and maps of one clip.
pub fn expert_use(usage: &[f64]) -> ExpertUse {
    let n = usage.len() as f64;
    let entropy: f64 = usage.iter().map(|share| -share * share.ln()).sum();
    let spread: f64 = usage.iter().map(|share| (share - 1.0 / n).powi(2)).sum();
    let names = ["encoder.layer.0.moa_mhsa", "encoder.layer.1.moa_ffn"];
    let layer = |(block, name): (usize, &str)| LayerUse {
        name: name.to_owned(),
        block,
        usage: usage.to_vec(),
        entropy: entropy / n.ln(),
        max_over_mean: usage.iter().copied().fold(0.0, f64::max) * n,
        variation: (spread / n).sqrt() * n,
        by_class: vec![usage.to_vec(); 4],
        dropped: None,
    };
    let map = |share: &f64| {
        (0..6)
            .map(|i| (share + 0.01 * f64::from(i)) as f32)
            .collect()
    };
    ExpertUse {
        layers: names.into_iter().enumerate().map(layer).collect(),
        clips: vec![ClipUse {
            clip: "one.wav".to_owned(),
            class: 0,
            frequency_patches: 2,
            time_patches: 3,
            layers: names
                .into_iter()
                .map(|name| ClipLayerUse {
                    name: name.to_owned(),
                    experts: usage.iter().map(map).collect(),
                })
                .collect(),
        }],
    }
}
