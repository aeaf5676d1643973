//! Debian packages by version and hash: fetched with apt from the mirror this machine uses, checked, unpacked without being
//! installed. Must not know which image they are for.

use super::definition::Package;
use super::layer::{Entry, hash};
use crate::need::{self, Need};
use crate::proc;
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

const APT: Need = Need {
    program: "apt-get",
    purpose: "fetch the C library of an image",
    remedy: "build the images on Debian or Ubuntu, or in a container of one",
};
const DPKG: Need =
    Need { program: "dpkg-deb", purpose: "unpack the C library of an image", remedy: "apt-get install dpkg" };

/// What `package` puts into an image, unpacked below `folder`, which must stay until the layer is written.
pub fn entries(package: &Package, folder: &Path) -> Result<Vec<Entry>> {
    let at = folder.join(&package.name);
    fs::create_dir_all(&at).with_context(|| format!("cannot make {}", at.display()))?;
    let deb = fetch(package, &at)?;
    check(package, &deb)?;
    let files = at.join("files");
    proc::run(Command::new(need::find(&DPKG)?).arg("-x").arg(&deb).arg(&files), "unpack a package")?;
    package.take.iter().map(|path| entry(package, &files, path)).collect()
}

fn fetch(package: &Package, at: &Path) -> Result<std::path::PathBuf> {
    let mut apt = Command::new(need::find(&APT)?);
    // Not as apt's own user, which may not write here; the hash says whether the file is the right one.
    apt.args(["-q", "-o", "APT::Sandbox::User=root", "download"])
        .arg(format!("{}={}", package.name, package.version))
        .current_dir(at);
    proc::run(&mut apt, &format!("fetch {} {}", package.name, package.version)).with_context(|| {
        format!(
            "the mirror of this machine may not be known yet (apt-get update), or has dropped version {} of {}: then name \
             the newer one and its hash in images/images.toml",
            package.version, package.name
        )
    })?;
    let found = fs::read_dir(at).with_context(|| format!("cannot list {}", at.display()))?;
    let deb = found.flatten().map(|f| f.path()).find(|p| p.extension().is_some_and(|e| e == "deb"));
    deb.with_context(|| format!("apt-get reported success but left no package in {}", at.display()))
}

fn check(package: &Package, deb: &Path) -> Result<()> {
    let file = File::open(deb).with_context(|| format!("cannot read {}", deb.display()))?;
    let (found, _) = hash(file)?;
    if found != package.sha256.to_lowercase() {
        bail!(
            "{} {} has the SHA-256 {found}, images/images.toml wants {}: it is not the file that was pinned",
            package.name,
            package.version,
            package.sha256
        );
    }
    Ok(())
}

fn entry(package: &Package, files: &Path, path: &str) -> Result<Entry> {
    use std::os::unix::fs::PermissionsExt as _;
    let from = files.join(path);
    let about = || format!("{} {} has no file {path}", package.name, package.version);
    let meta = fs::symlink_metadata(&from).with_context(about)?;
    if meta.is_symlink() {
        return Ok(Entry::link(path.to_owned(), fs::read_link(&from).with_context(about)?));
    }
    if !meta.is_file() {
        bail!("{} {}: {path} is no file; name the files of a folder one by one", package.name, package.version);
    }
    Ok(Entry::file(path.to_owned(), &from, meta.permissions().mode() & 0o755))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(sha256: &str) -> Package {
        let sha256 = sha256.to_owned();
        Package { name: "p".to_owned(), version: "1".to_owned(), sha256, take: Vec::new() }
    }

    #[test]
    fn a_file_with_another_hash_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let deb = dir.path().join("p.deb");
        fs::write(&deb, b"").unwrap();
        // SHA-256 of nothing.
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        check(&package(empty), &deb).unwrap();
        fs::write(&deb, b"more").unwrap();
        let text = check(&package(empty), &deb).unwrap_err().to_string();
        assert!(text.contains("not the file that was pinned") && text.contains(empty), "{text}");
    }

    #[test]
    fn a_path_that_a_package_does_not_have_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("lib")).unwrap();
        std::os::unix::fs::symlink("a.so.1", dir.path().join("lib/a.so")).unwrap();
        assert!(entry(&package(""), dir.path(), "lib/a.so").is_ok(), "a link may dangle until the layer is whole");
        let text = format!("{:#}", entry(&package(""), dir.path(), "lib/b.so").err().unwrap());
        assert!(text.contains("p 1 has no file lib/b.so"), "{text}");
        let text = entry(&package(""), dir.path(), "lib").err().unwrap().to_string();
        assert!(text.contains("one by one"), "{text}");
    }
}
