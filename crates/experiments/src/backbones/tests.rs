use adapters::{Compat, FORMAT_VERSION, Head, MethodConfig};
use ast_model::{AstConfig, Pooling, Positions, Precision};
use tempfile::TempDir;

use super::*;

fn tiny(seed: u64, folder: &Path) {
    let shape = AstConfig {
        hidden_size: 8,
        num_attention_heads: 1,
        intermediate_size: 8,
        num_hidden_layers: 1,
        max_length: 16,
        num_mel_bins: 16,
        ..AstConfig::tiny()
    };
    let checkpoint = Checkpoint::random(&shape, seed).unwrap();
    checkpoint.save(folder).unwrap();
}

fn cache() -> TempDir {
    let cache = TempDir::new().unwrap();
    tiny(1, &cache.path().join("backbones/small"));
    tiny(2, &cache.path().join("hub/owner--name/main"));
    tiny(3, &cache.path().join("hub/owner--name/v2%2Fa"));
    fs::create_dir_all(cache.path().join("hub/owner--cut/main")).unwrap();
    cache
}

#[test]
fn names_folders_and_ids_lead_to_checkpoints() {
    let cache = cache();
    let folder = |name: &str| find(name, cache.path()).unwrap();
    assert_eq!(folder("small"), cache.path().join("backbones/small"));
    let fetched = cache.path().join("hub/owner--name/main");
    assert_eq!(folder("owner/name"), fetched);
    assert_eq!(folder(fetched.to_str().unwrap()), fetched);
    let other = cache.path().join("hub/owner--name/v2%2Fa");
    assert_eq!(folder("owner/name@v2/a"), other);
    let listed: Vec<String> = list(cache.path()).into_iter().map(|n| n.name).collect();
    assert_eq!(listed, ["owner/name", "owner/name@v2/a", "small"]);
    // Every name that is listed is one that is found.
    for named in list(cache.path()) {
        assert_eq!(folder(&named.name), named.folder);
    }
}

#[test]
fn a_name_that_means_nothing_says_what_there_is_and_what_to_do() {
    let cache = cache();
    let refused = |name: &str| find(name, cache.path()).unwrap_err().to_string();
    let absent = refused("owner/cut");
    assert!(absent.contains("`soft-moa fetch owner/cut`"), "{absent}");
    let unknown = refused("tiny");
    assert!(
        unknown.contains("owner/name, owner/name@v2/a, small"),
        "{unknown}"
    );
    assert!(refused("").contains("name a folder"));
}

#[test]
fn the_usual_backbone_is_the_only_one_or_the_well_known_one() {
    let empty = TempDir::new().unwrap();
    let none = usual(empty.path()).unwrap_err().to_string();
    assert!(none.contains("soft-moa fetch MIT/ast"), "{none}");
    tiny(1, &empty.path().join("backbones/one"));
    assert_eq!(usual(empty.path()).unwrap().name, "one");
    tiny(1, &empty.path().join("backbones/two"));
    let several = usual(empty.path()).unwrap_err().to_string();
    assert!(several.contains("--backbone: one, two"), "{several}");
    let known = "hub/MIT--ast-finetuned-audioset-10-10-0.4593/main";
    tiny(1, &empty.path().join(known));
    assert_eq!(usual(empty.path()).unwrap().name, USUAL);
}

/// What an adapter on `tiny(1, ..)` says, with another grid.
fn description(max_length: i64, strides: [i64; 2], positions: Positions) -> AdapterDescription {
    AdapterDescription {
        format_version: FORMAT_VERSION,
        method: MethodConfig::named("linear").unwrap(),
        compat: Compat::Fixed,
        backbone_fingerprint: "0".repeat(64),
        backbone: "small".into(),
        blocks: 1,
        strides,
        precision: Precision::F32,
        max_length,
        positions,
        pooling: Pooling::All,
        head: Head::Linear,
        first_block: 0,
        mask_padding: false,
        labels: vec!["a".into(), "b".into()],
        features: serde_json::Value::Null,
    }
}

#[test]
fn an_adapter_of_an_impossible_length_is_refused_before_it_costs_memory() {
    let cache = cache();
    let folder = Path::new("adapter");
    for positions in [Positions::Zero, Positions::Interpolate, Positions::Crop] {
        for (length, strides) in [(1 << 20, [1, 1]), (i64::MAX, [1, 1]), (40, [0, -1])] {
            let told = description(length, strides, positions);
            let named = for_adapter(folder, &told, Some("small"), cache.path());
            let error = named.unwrap_err().to_string();
            assert!(error.contains("configuration: "), "{error}");
            // Without a name every candidate is simply another backbone.
            let any = for_adapter(folder, &told, None, cache.path());
            let error = any.unwrap_err().to_string();
            assert!(error.contains("Tried: "), "{error}");
        }
    }
    // The cache's models have 16 frames; another length is possible, and then
    // the fingerprint decides.
    let told = description(48, [10, 10], Positions::Crop);
    let error = for_adapter(folder, &told, Some("small"), cache.path());
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("its weights differ")
    );
}
