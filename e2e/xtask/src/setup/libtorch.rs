//! libtorch from three hash-pinned wheels: five libraries and the headers, 498 MB unpacked. No virtual environment, no
//! Python torch. The pins stand in `e2e/tools/libtorch/requirements.txt`.

use crate::build::root;
use crate::cache::{Cache, key};
use crate::{need, proc, say};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version tch 0.24 binds.
pub const VERSION: &str = "2.11.0";

/// Download sizes as the package index states them, to announce them before they start.
const SIZES: [(&str, u64); 3] =
    [("torch", 531_000_000), ("nvidia-cuda-runtime", 2_300_000), ("nvidia-cuda-cupti", 10_900_000)];

/// A wheel and the hash it must have.
struct Pin {
    name: String,
    requirement: String,
    sha256: String,
}

fn pins(text: &str) -> Result<Vec<Pin>> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (package, sha256) = line
                .split_once(" --hash=sha256:")
                .with_context(|| format!("requirements.txt: this line has no sha256 hash: {line}"))?;
            let name = package.split("==").next().unwrap_or(package).to_owned();
            Ok(Pin { name, requirement: line.to_owned(), sha256: sha256.trim().to_owned() })
        })
        .collect()
}

/// Installs libtorch if the cache lacks it and returns its folder.
pub fn install(cache: &Cache) -> Result<PathBuf> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!(
            "no libtorch is pinned for this machine: only x86-64 Linux is set up by itself.\n  Get libtorch {VERSION} for \
             your machine, make the link .libtorch to it in the clone, and use cargo directly."
        );
    }
    let folder = root().join("e2e/tools/libtorch");
    let requirements =
        fs::read_to_string(folder.join("requirements.txt")).context("cannot read the pins of libtorch")?;
    let script = fs::read(folder.join("unpack.py")).context("cannot read unpack.py of libtorch")?;
    let name = format!("libtorch-{VERSION}-{}", key([requirements.as_bytes(), &script]));
    cache.install(&name, &requirements, |at| {
        let wheels = cache.path("downloads");
        fetch(&pins(&requirements)?, &wheels)?;
        say::line("unpacking libtorch (498 MB)");
        let mut unpack = Command::new(need::find(&need::PYTHON)?);
        unpack.arg(folder.join("unpack.py")).arg(&wheels).arg(at).arg(VERSION);
        proc::run(&mut unpack, "unpack libtorch")?;
        // The wheels have served; what they held stands unpacked.
        fs::remove_dir_all(&wheels).with_context(|| format!("cannot remove {}", wheels.display()))
    })
}

/// Fetches the wheels that are not there yet, one by one, so that a rerun goes on with the one that failed.
fn fetch(pins: &[Pin], wheels: &Path) -> Result<()> {
    fs::create_dir_all(wheels).with_context(|| format!("cannot make {}", wheels.display()))?;
    let python = need::pip()?;
    for pin in pins {
        if whole(pin, wheels)? {
            say::line(&format!("{} is already downloaded", pin.name));
            continue;
        }
        let size = SIZES.iter().find(|(name, _)| *name == pin.name).map_or(0, |(_, size)| *size);
        say::line(&format!("downloading {} (about {}) with pip", pin.name, say::bytes(size)));
        let list = wheels.join(format!("{}.txt", pin.name));
        fs::write(&list, &pin.requirement).with_context(|| format!("cannot write {}", list.display()))?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "download", "--no-cache-dir", "--no-deps", "--require-hashes", "--only-binary=:all:"])
            .args(["--implementation", "cp", "--python-version", "3.11", "--abi", "cp311"])
            .args(["--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_25_x86_64"])
            .args(["--platform", "manylinux2014_x86_64", "--disable-pip-version-check"])
            .arg("-r")
            .arg(&list)
            .arg("-d")
            .arg(wheels);
        proc::run(&mut pip, &format!("download {}", pin.name)).with_context(|| {
            format!(
                "the download of {} failed. Check the network (pip reads HTTPS_PROXY and PIP_INDEX_URL) and run the same \
                 command again: it goes on with this file",
                pin.name
            )
        })?;
        if !whole(pin, wheels)? {
            bail!("pip reported success but no wheel in {} has the sha256 {}", wheels.display(), pin.sha256);
        }
    }
    Ok(())
}

/// Whether a wheel with the pinned hash lies in `wheels`. A file of that package with another hash is removed.
fn whole(pin: &Pin, wheels: &Path) -> Result<bool> {
    let prefix = format!("{}-", pin.name.replace('-', "_"));
    for file in fs::read_dir(wheels).with_context(|| format!("cannot list {}", wheels.display()))? {
        let path = file?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if !name.starts_with(&prefix) || path.extension().is_none_or(|e| e != "whl") {
            continue;
        }
        let mut hash = Sha256::new();
        std::io::copy(&mut File::open(&path)?, &mut hash).with_context(|| format!("cannot read {}", path.display()))?;
        if hex::encode(hash.finalize()) == pin.sha256 {
            return Ok(true);
        }
        fs::remove_file(&path).with_context(|| format!("cannot remove the damaged {}", path.display()))?;
    }
    Ok(false)
}

/// Makes `.libtorch` in the clone point to `torch`. The path that the build sees stays the same, so nothing is rebuilt.
pub fn link(torch: &Path) -> Result<()> {
    let link = root().join(".libtorch");
    if fs::read_link(&link).is_ok_and(|to| to == torch) {
        return Ok(());
    }
    // Somebody's own libtorch of the right version stays.
    let version = fs::read_to_string(link.join("build-version")).unwrap_or_default();
    if version.trim() == VERSION && link.join("lib/libtorch_cpu.so").is_file() {
        return Ok(());
    }
    if link.exists() && !link.is_symlink() {
        bail!("{} is not a link but something else: move it away and run again", link.display());
    }
    let fresh = root().join(format!(".libtorch-{}", std::process::id()));
    std::os::unix::fs::symlink(torch, &fresh).with_context(|| format!("cannot make the link {}", fresh.display()))?;
    fs::rename(&fresh, &link).with_context(|| format!("cannot make the link {}", link.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pin_has_a_hash_and_an_announced_size() {
        let text = fs::read_to_string(root().join("e2e/tools/libtorch/requirements.txt")).unwrap();
        let pins = pins(&text).unwrap();
        assert_eq!(pins.len(), 3);
        for pin in &pins {
            assert_eq!(pin.sha256.len(), 64, "{}", pin.requirement);
            assert!(SIZES.iter().any(|(name, _)| *name == pin.name), "no size is announced for {}", pin.name);
        }
        assert!(text.contains(&format!("torch=={VERSION} ")));
        assert!(super::pins("torch==1.0").is_err(), "a pin without a hash is refused");
    }

    #[test]
    fn a_damaged_wheel_is_not_taken_for_a_whole_one() {
        let dir = tempfile::tempdir().unwrap();
        let sha256 = hex::encode(Sha256::digest(b"the wheel"));
        let pin = Pin { name: "nvidia-thing".into(), requirement: String::new(), sha256 };
        let wheel = dir.path().join("nvidia_thing-1.0-py3.whl");
        fs::write(&wheel, b"the wheel").unwrap();
        assert!(whole(&pin, dir.path()).unwrap());
        fs::write(&wheel, b"the wh").unwrap();
        assert!(!whole(&pin, dir.path()).unwrap() && !wheel.exists());
    }
}
