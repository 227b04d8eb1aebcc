//! Compiles the C++ part against the headers of the same libtorch that the
//! bindings use, and writes the place of libtorch into the programs built here
//! (rpath), so that they start with no environment variable set.

use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/mix.cpp");
    println!("cargo:rerun-if-env-changed=LIBTORCH_INCLUDE");
    println!("cargo:rerun-if-env-changed=LIBTORCH_CXX11_ABI");
    // The variable is missing only where the bindings were built for
    // documentation, without libtorch.
    let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") else {
        return;
    };
    println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
    let root = match std::env::var("LIBTORCH_INCLUDE") {
        Ok(root) => PathBuf::from(root),
        Err(_) => PathBuf::from(&lib).join(".."),
    };
    let include = root.join("include");
    let abi = std::env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
    cc::Build::new()
        .cpp(true)
        .pic(true)
        .warnings(false)
        .std("c++17")
        .opt_level(2)
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .flag(format!("-D_GLIBCXX_USE_CXX11_ABI={abi}"))
        .file("src/mix.cpp")
        .compile("soft_mix");
}
