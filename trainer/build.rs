//! Puts libtorch's folder into the run path of this package's programs and tests (torch-sys's own link arguments do not
//! reach dependents), and names the build: a digest over the sources that decide bits, part of the class (D1).
use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let mut libtorch = "unknown".to_owned();
    if let Ok(dir) = std::env::var("LIBTORCH") {
        let lib = Path::new(&dir).join("lib");
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
        if let Ok(version) = std::fs::read_to_string(Path::new(&dir).join("build-version")) {
            version.trim().clone_into(&mut libtorch);
        }
    }
    println!("cargo:rustc-env=COALITION_LIBTORCH={libtorch}");
    println!("cargo:rustc-env=COALITION_BUILD={:016x}", build());
}

/// A hash over every source of the trainer's crates, the dependency versions and how they are compiled. Two builds with
/// equal names were made of the same sources; it is no proof against malice, and need not be.
fn build() -> u64 {
    // SipHash with fixed keys: the same in every build script of one toolchain, and the toolchain is pinned.
    let mut hash = DefaultHasher::new();
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default());
    let mut files = vec![root.join("../Cargo.lock")];
    for name in ["", "protocol", "spec", "comm", "kernels", "model", "engine", "outer", "data", "store"] {
        let folder = root.join(name).join("src");
        println!("cargo:rerun-if-changed={}", folder.display());
        sources(&folder, &mut files);
    }
    println!("cargo:rerun-if-changed={}", root.join("../Cargo.lock").display());
    files.sort();
    for file in files {
        hash.write(file.strip_prefix(&root).unwrap_or(&file).to_string_lossy().as_bytes());
        hash.write(&std::fs::read(&file).unwrap_or_default());
    }
    for key in ["TARGET", "PROFILE", "OPT_LEVEL", "RUSTC", "CARGO_ENCODED_RUSTFLAGS"] {
        hash.write(std::env::var(key).unwrap_or_default().as_bytes());
    }
    hash.finish()
}

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|e| e.path()) {
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}
