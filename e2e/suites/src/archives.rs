//! Where the images' archives lie, and under which names their pods ask for them. Must not know how they are built: that is
//! `cargo xtask images`.

use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// Names the folder of the archives; without it they are looked for in `target/images` of the checkout.
pub const VARIABLE: &str = "COALITION_IMAGES";
/// The checkout.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The image of the operator, as its chart names it.
pub const OPERATOR: &str = "operator";
/// The image of the trainer.
pub const TRAINER: &str = "trainer";

/// The checkout's root.
pub fn root() -> PathBuf {
    std::fs::canonicalize(ROOT).unwrap_or_else(|_| PathBuf::from(ROOT))
}

fn folder() -> PathBuf {
    std::env::var_os(VARIABLE).map_or_else(|| root().join("target/images"), PathBuf::from)
}

/// The archive of the image called `name`.
pub fn path(name: &str) -> Result<PathBuf> {
    in_folder(&folder(), name)
}

fn in_folder(folder: &Path, name: &str) -> Result<PathBuf> {
    let path = folder.join(format!("{name}.tar"));
    if !path.is_file() {
        bail!(
            "there is no {}: `cargo xtask images --dev` builds the images, and {VARIABLE} names another folder of them",
            path.display()
        );
    }
    Ok(path)
}

/// The registry and tag that `cargo xtask images` gives: the version is the workspace's.
pub fn reference(name: &str) -> String {
    format!("coalition.local/{name}:{}", env!("CARGO_PKG_VERSION"))
}

/// Why nothing can be installed, if so: the reason of a skipped test.
pub fn missing() -> Option<String> {
    [OPERATOR, TRAINER].iter().find_map(|name| path(name).err()).map(|error| format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_archive_is_named_with_the_way_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let error = in_folder(folder.path(), "operator").unwrap_err().to_string();
        assert!(error.contains("operator.tar") && error.contains("cargo xtask images --dev"), "{error}");
        std::fs::write(folder.path().join("operator.tar"), b"").unwrap();
        assert!(in_folder(folder.path(), "operator").is_ok());
        assert!(root().join("charts").is_dir() || root().join("crds").is_dir(), "{}", root().display());
    }
}
