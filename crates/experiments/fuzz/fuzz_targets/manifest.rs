//! libFuzzer on manifests: the first line of the input that is `---` ends the
//! manifest, every line behind it is the name of a file.

#![no_main]

#[path = "../../tests/fuzz_bodies/manifest.rs"]
mod body;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (manifest, names) = text.split_once("\n---\n").unwrap_or((text, ""));
    let names: Vec<String> = names.lines().take(50).map(str::to_owned).collect();
    body::manifest_any(manifest, &names);
});
