//! Writes the place of libtorch into the programs built here (rpath), so that
//! they start with no environment variable set.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    // Only the dev-dependencies use libtorch, and those tell a build script
    // nothing; Cargo's configuration does.
    if let Ok(libtorch) = std::env::var("LIBTORCH") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    }
}
