//! What must be on the machine before anything else can work, and which package brings it.

use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// A program this project calls but does not install.
pub struct Need {
    /// Name on the search path.
    pub program: &'static str,
    /// What it is wanted for, as the end of "needed to …".
    pub purpose: &'static str,
    /// How to get it on Debian or Ubuntu.
    pub remedy: &'static str,
}

/// Python 3, for `pip download` and unpacking wheels. No Python package is installed.
pub const PYTHON: Need = Need {
    program: "python3",
    purpose: "fetch libtorch with pip",
    remedy: "apt-get install python3 python3-pip (3.8 or newer)",
};
/// A C++ compiler, for the bindings to libtorch.
pub const CXX: Need = Need {
    program: "c++",
    purpose: "compile the bindings to libtorch",
    remedy: "apt-get install build-essential (g++ 9 or newer)",
};
/// A C compiler and linker, for Rust itself and for small C parts of dependencies.
pub const CC: Need = Need { program: "cc", purpose: "link Rust programs", remedy: "apt-get install build-essential" };
/// Go, for the pinned S3 server of the tests and for Kubernetes.
pub const GO: Need = Need {
    program: "go",
    purpose: "build the S3 server and the Kubernetes that the tests run against",
    remedy: "Go 1.26 from https://go.dev/dl (the distribution's golang-go package may be too old; see `go version`)",
};

/// Where `need.program` is, or an error that says how to get it.
pub fn find(need: &Need) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").context("PATH is not set, so no program can be found: set it and run again")?;
    for dir in std::env::split_paths(&path) {
        let file = dir.join(need.program);
        if file.is_file() {
            return Ok(file);
        }
    }
    bail!("`{}` is not on the PATH; it is needed to {}.\n  Get it: {}", need.program, need.purpose, need.remedy)
}

/// Checks that pip can be called, which some distributions package apart from Python.
pub fn pip() -> Result<PathBuf> {
    let python = find(&PYTHON)?;
    let ok = Command::new(&python).args(["-m", "pip", "--version"]).output().is_ok_and(|out| out.status.success());
    if !ok {
        bail!(
            "{} has no pip; it is needed to {}.\n  Get it: apt-get install python3-pip",
            python.display(),
            PYTHON.purpose
        );
    }
    Ok(python)
}

/// Checks every one of `needs` and reports all that are missing at once.
pub fn all(needs: &[&Need]) -> Result<()> {
    let missing: Vec<String> = needs.iter().filter_map(|n| find(n).err()).map(|e| e.to_string()).collect();
    if missing.is_empty() { Ok(()) } else { bail!("{}", missing.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_itself_its_purpose_and_the_way_out() {
        let need = Need { program: "no-such-program-7f", purpose: "test this", remedy: "apt-get install nothing" };
        let text = find(&need).unwrap_err().to_string();
        for word in ["no-such-program-7f", "test this", "apt-get install nothing"] {
            assert!(text.contains(word), "{word} is missing in: {text}");
        }
        let text = all(&[&need, &CC, &need]).unwrap_err().to_string();
        assert_eq!(text.matches("no-such-program-7f").count(), 2, "all missing ones are reported at once: {text}");
    }
}
