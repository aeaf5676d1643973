//! Tools of the tests that cargo builds, by version. Go programs are next door, in `go`.

use crate::cache::Cache;
use crate::{proc, say};
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A cargo plugin.
pub struct CargoTool {
    /// Package and program name.
    pub package: &'static str,
    /// Pinned version.
    pub version: &'static str,
    /// Extra arguments of `cargo install`.
    options: &'static [&'static str],
    /// Measured build time on two cores, to announce.
    minutes: &'static str,
}

/// The test runner: a process per test, time limits, the slowest tests.
pub const NEXTEST: CargoTool = CargoTool {
    package: "cargo-nextest",
    version: "0.9.151",
    // Without self-update: this copy is pinned.
    options: &["--no-default-features", "--features", "default-no-update"],
    minutes: "2 minutes",
};
/// Licences, bans and sources of dependencies.
pub const DENY: CargoTool = CargoTool { package: "cargo-deny", version: "0.20.2", options: &[], minutes: "1 minute" };
/// All of them.
pub const CARGO_TOOLS: [&CargoTool; 2] = [&NEXTEST, &DENY];

/// Builds `tool` if the cache lacks it and returns its program.
pub fn cargo_tool(cache: &Cache, tool: &CargoTool) -> Result<PathBuf> {
    let name = format!("{}-{}", tool.package, tool.version);
    let entry = cache.install(&name, &name, |at| {
        say::line(&format!("building {} {} (about {} on two cores, once)", tool.package, tool.version, tool.minutes));
        let target = at.join("target");
        let mut cargo = Command::new(crate::build::cargo_program());
        // Not optimised and without debug information: it only starts programs, and builds in a third of the time.
        cargo
            .args(["install", "--locked", "--debug", "--version", tool.version, tool.package])
            .args(tool.options)
            .arg("--root")
            .arg(at)
            .arg("--target-dir")
            .arg(&target)
            .current_dir(at)
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_INCREMENTAL", "0")
            .env_remove("CARGO_BUILD_BUILD_DIR");
        if !say::colour() {
            // Without somebody watching, hundreds of lines of crate names say nothing.
            cargo.arg("--quiet");
        }
        proc::run(&mut cargo, &format!("build {}", tool.package)).with_context(|| {
            format!(
                "{} {} could not be built; with a network running the same command again usually helps",
                tool.package, tool.version
            )
        })?;
        fs::remove_dir_all(&target).context("cannot remove the build folder of a tool")
    })?;
    Ok(entry.join("bin").join(tool.package))
}
