//! Compiles the protos with protox, so that no protoc is needed on the machine.
//!
//! The descriptors of the public API are written too, for gRPC reflection to serve: it needs the
//! same bytes that the code was generated from.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

#[expect(
    clippy::disallowed_methods,
    reason = "a build script is told where to write by its environment"
)]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=src/journal/proto");
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);

    let public = protox::compile(["rescind/v1/revocation.proto"], ["proto"])?;
    fs::write(
        out_dir.join("rescind_descriptor.bin"),
        public.encode_to_vec(),
    )?;
    tonic_prost_build::configure()
        .extern_path(".rescind.v1.Records", "crate::proto::Records")
        .compile_fds(public)?;

    let journal = protox::compile(["rescind/journal/v1/journal.proto"], ["src/journal/proto"])?;
    tonic_prost_build::configure().compile_fds(journal)?;

    let root = env::var("CARGO_MANIFEST_DIR")?;
    fs::write(
        out_dir.join("conformance_files.rs"),
        conformance_files(&root)?,
    )?;
    Ok(())
}

/// The conformance cases as a Rust expression, in the order of their files' names.
fn conformance_files(root: &str) -> Result<String, Box<dyn Error>> {
    const DIRECTORY: &str = "tests/conformance";
    println!("cargo::rerun-if-changed={DIRECTORY}");
    let mut names = Vec::new();
    for entry in fs::read_dir(DIRECTORY)? {
        let path = entry?.path();
        let is_json = path
            .extension()
            .is_some_and(|extension| extension == "json");
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name
            .ok_or("a file of cases has a name that is not UTF-8")?
            .to_owned();
        if is_json {
            println!("cargo::rerun-if-changed={DIRECTORY}/{name}");
            names.push(name);
        }
    }
    names.sort_unstable();
    let files: Vec<String> = names
        .iter()
        .map(|name| {
            let path = format!("{root}/{DIRECTORY}/{name}");
            format!("({name:?}, include_str!({path:?}))")
        })
        .collect();
    Ok(format!("&[{}]", files.join(", ")))
}
