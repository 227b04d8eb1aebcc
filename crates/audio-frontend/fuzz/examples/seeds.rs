//! Writes one small valid file of each format where the fuzzer looks for them.

#[path = "../../tests/common/handmade.rs"]
mod handmade;

use std::path::Path;

fn main() -> std::io::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = here.join("corpus/decode");
    std::fs::create_dir_all(&corpus)?;
    for (name, bytes) in handmade::all() {
        std::fs::write(corpus.join(name), bytes)?;
    }
    for name in [
        "stereo_16k_16bit.flac",
        "stereo_48k_24bit.flac",
        "stereo_44k.ogg",
    ] {
        std::fs::copy(here.join("../tests/fixtures").join(name), corpus.join(name))?;
    }
    Ok(())
}
