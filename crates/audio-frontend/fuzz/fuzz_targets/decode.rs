//! The body of the property tests, driven by libFuzzer.
#![no_main]

#[path = "../../tests/fuzz_bodies/decode.rs"]
mod body;

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    // libFuzzer's own hook would end the process at a panic that the crate
    // catches; the body sets another.
    init: std::panic::set_hook(Box::new(|info| eprintln!("{info}"))),
    |bytes: &[u8]| body::decode_any(bytes)
);
