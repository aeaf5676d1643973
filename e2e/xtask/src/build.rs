//! The clone's root and how its programs are built: which libtorch, which build folder.
//!
//! Intermediate files of builds started here go to the cache folder, so that a second clone reuses the compiled
//! dependencies; the programs themselves appear in the clone's own `target/`.

use crate::cache::Cache;
use crate::setup::libtorch;
use crate::{build_folder, need, proc, say};
use anyhow::Result;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The clone this program was built from.
pub fn root() -> &'static Path {
    // e2e/xtask lies two folders below the root.
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("."))
}

/// The cargo that runs us, else the one on the path.
pub fn cargo_program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Everything a build needs, found or installed.
pub struct Builder {
    torch: Option<PathBuf>,
    build_dir: Option<PathBuf>,
    /// Keeps other clones out of the build folder while this program runs.
    _held: Option<File>,
}

impl Builder {
    /// Installs libtorch if needed and chooses the build folder.
    pub fn prepare(cache: &Cache) -> Result<Self> {
        need::all(&[&need::CC, &need::CXX, &need::PYTHON])?;
        let torch = libtorch::install(cache)?;
        libtorch::link(&torch)?;
        Self::with(cache, Some(torch))
    }

    /// The same for packages that need no libtorch: none is installed.
    pub fn plain(cache: &Cache) -> Result<Self> {
        need::all(&[&need::CC])?;
        Self::with(cache, None)
    }

    fn with(cache: &Cache, torch: Option<PathBuf>) -> Result<Self> {
        // Whoever sets one of these has decided; otherwise one folder for each compiler.
        let decided = ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR", "CARGO_BUILD_BUILD_DIR"];
        let build_dir = if decided.iter().any(|v| std::env::var_os(v).is_some()) {
            None
        } else {
            Some(cache.path(&format!("build-{}", rustc_version()?)))
        };
        let held = build_dir.as_deref().map(|dir| build_folder::take(dir, root())).transpose()?;
        Ok(Self { torch, build_dir, _held: held })
    }

    /// A cargo command in the clone's root.
    pub fn cargo(&self) -> Command {
        let mut cargo = Command::new(cargo_program());
        self.environment(&mut cargo);
        cargo
    }

    /// Gives `command` the environment of a build and the clone's root as its folder.
    pub fn environment(&self, command: &mut Command) {
        command.current_dir(root());
        // What cargo told *us* about this package is nothing for the next cargo.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "CARGO_PRIMARY_PACKAGE"
            {
                command.env_remove(&name);
            }
        }
        // The entry itself, not the clone's link: torch-sys is compiled again whenever this text changes.
        if let Some(torch) = &self.torch {
            command.env("LIBTORCH", torch);
        }
        if let Some(dir) = &self.build_dir {
            command.env("CARGO_BUILD_BUILD_DIR", dir).env("CARGO_INCREMENTAL", "0");
        }
    }

    /// Builds the programs people use, and the harnesses that judge them, and returns the folder they lie in. The choice is that of
    /// the tests, examples and all: each other one has other features of shared libraries, and would compile everything again.
    pub fn programs(&self) -> Result<PathBuf> {
        say::line("building the programs: kubectl-coalition, coalition-trainer, coalition-operator");
        let mut cargo = self.cargo();
        cargo.args(["build", "--locked", "--workspace", "--bins", "--examples"]);
        proc::run(&mut cargo, "build the programs")?;
        Ok(target_dir().join("debug"))
    }
}

/// Where finished programs appear.
pub fn target_dir() -> PathBuf {
    ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"]
        .iter()
        .find_map(std::env::var_os)
        .map_or_else(|| root().join("target"), |dir| root().join(dir))
}

fn rustc_version() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let text = proc::capture(Command::new(rustc).arg("--version").current_dir(root()), "ask rustc for its version")?;
    Ok(text.split_whitespace().nth(1).unwrap_or("unknown").to_owned())
}
