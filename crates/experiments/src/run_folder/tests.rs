use std::collections::BTreeSet;

use tch::{Kind, Tensor};

use super::*;

fn identity() -> Identity {
    Identity {
        run: "run".to_owned(),
        threads: 2,
    }
}

fn save(store: &Checkpoints, step: usize, best: usize) {
    let values = Tensor::from(step as f32);
    let kept = Tensor::from(best as f32);
    let best = BestWeights {
        step: best,
        tensors: vec![("kept".to_owned(), &kept)],
    };
    let tensors = [("values".to_owned(), &values)];
    let state = format!("state {step}");
    store
        .save(&identity(), step, &state, &tensors, Some(&best))
        .unwrap();
}

fn latest(store: &Checkpoints) -> Option<Found<String>> {
    store.latest(&identity()).unwrap()
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn the_last_checkpoint_comes_back_and_older_ones_go() {
    let folder = tempfile::tempdir().unwrap();
    let store = Checkpoints::open(folder.path(), 2).unwrap();
    assert!(latest(&store).is_none());
    for (step, best) in [(10, 5), (20, 20), (30, 20), (40, 20)] {
        save(&store, step, best);
        let found = latest(&store).unwrap();
        assert_eq!(found.state, format!("state {step}"));
        assert_eq!(found.tensors["values"].double_value(&[]), step as f64);
        let (at, tensors) = found.best.unwrap();
        assert_eq!((at, tensors["kept"].double_value(&[])), (best, best as f64));
    }
    let kept = [
        "best-0000000020.safetensors",
        "step-0000000030.json",
        "step-0000000030.safetensors",
        "step-0000000040.json",
        "step-0000000040.safetensors",
    ];
    assert_eq!(names(folder.path()), kept.map(str::to_owned).into());
}

#[test]
fn what_a_kill_leaves_half_written_is_removed_and_the_previous_state_read() {
    let folder = tempfile::tempdir().unwrap();
    save(&Checkpoints::open(folder.path(), 1).unwrap(), 10, 10);
    let before = names(folder.path());
    // Killed before the manifest, in the middle of a file, or between two.
    for name in [
        "step-0000000011.safetensors",
        "best-0000000011.safetensors",
        "step-0000000011.partial-77",
        ".partial-abc",
    ] {
        fs::write(folder.path().join(name), "half").unwrap();
    }
    let store = Checkpoints::open(folder.path(), 1).unwrap();
    assert_eq!(names(folder.path()), before);
    assert_eq!(latest(&store).unwrap().state, "state 10");
}

#[test]
fn a_damaged_checkpoint_is_passed_over_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let store = Checkpoints::open(folder.path(), 2).unwrap();
    save(&store, 10, 10);
    save(&store, 20, 10);
    let path = folder.path().join("step-0000000020.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let found = latest(&store).unwrap();
    assert_eq!((found.state.as_str(), found.skipped.len()), ("state 10", 1));
    assert!(found.skipped[0].contains("step-0000000020.safetensors was changed"));
    fs::write(folder.path().join("step-0000000010.json"), "{").unwrap();
    let error = store.latest::<String>(&identity()).unwrap_err().to_string();
    assert!(error.contains("remove it to start again"), "{error}");
}

#[test]
fn other_threads_are_told_and_another_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Checkpoints::open(folder.path(), 1).unwrap();
    save(&store, 10, 10);
    let threads = Identity {
        threads: 3,
        ..identity()
    };
    assert!(
        store
            .latest::<String>(&threads)
            .unwrap()
            .unwrap()
            .other_threads
    );
    assert!(!latest(&store).unwrap().other_threads);
    let run = Identity {
        run: "other".to_owned(),
        ..identity()
    };
    let error = store.latest::<String>(&run).unwrap_err().to_string();
    assert!(error.contains("run instead of other"), "{error}");
}

#[test]
fn any_tensor_comes_back_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let store = Checkpoints::open(folder.path(), 1).unwrap();
    let odd = [f32::MIN_POSITIVE / 3.0, -0.0, f32::MAX, 1.0 / 3.0];
    let values = Tensor::from_slice(&odd);
    let state = [1.0 / 3.0, f64::MIN_POSITIVE, 1e300];
    let tensors = [("values".to_owned(), &values)];
    store.save(&identity(), 1, &state, &tensors, None).unwrap();
    let found = store.latest::<[f64; 3]>(&identity()).unwrap().unwrap();
    assert_eq!(found.state.map(f64::to_bits), state.map(f64::to_bits));
    let values: Vec<f32> = Vec::try_from(found.tensors["values"].to_kind(Kind::Float)).unwrap();
    let bits = |values: &[f32]| -> Vec<u32> { values.iter().map(|v| v.to_bits()).collect() };
    assert_eq!(bits(&values), bits(&odd));
}

#[test]
fn a_folder_belongs_to_one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = RunFolder::open(folder.path()).unwrap();
    let error = RunFolder::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("in use by another process"), "{error}");
    drop(first);
    RunFolder::open(folder.path()).unwrap();
}

#[test]
fn lines_are_whole_values() {
    let folder = tempfile::tempdir().unwrap();
    let folder = RunFolder::open(folder.path()).unwrap();
    folder.write_lines("a.jsonl", &[[1, 2], [3, 4]]).unwrap();
    let text = fs::read_to_string(folder.path().join("a.jsonl")).unwrap();
    assert_eq!(text, "[1,2]\n[3,4]\n");
}
