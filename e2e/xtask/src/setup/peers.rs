//! The Python side of the benchmarks: PyTorch and transformers in a virtual environment of their own. Several gigabytes, so
//! only `bench` and `setup --peers` ask for it; never the gate, a campaign or the quick start.

use crate::build::root;
use crate::cache::{Cache, key};
use crate::{need, proc, say};
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Pinned requirements, kept beside the peers' scripts.
const REQUIREMENTS: &str = "e2e/bench/peers/requirements.txt";

/// Installs the environment if the cache lacks it and returns its Python.
pub fn install(cache: &Cache) -> Result<PathBuf> {
    let requirements = fs::read_to_string(root().join(REQUIREMENTS))
        .with_context(|| format!("cannot read {REQUIREMENTS}, which names the peers' packages"))?;
    // A virtual environment holds absolute paths, but its interpreter finds its packages relative to itself: it may be
    // filled in one place and renamed, as long as nobody calls the scripts in bin/.
    let name = format!("peers-{}", key([requirements.as_bytes()]));
    let entry = cache.install(&name, &requirements, |at| {
        say::line("installing the Python peers (PyTorch with CUDA libraries: about 5 GB to fetch; minutes)");
        let venv = at.join("venv");
        proc::run(
            Command::new(need::find(&need::PYTHON)?).args(["-m", "venv"]).arg(&venv),
            "make a virtual environment",
        )
        .context("on Debian the module venv comes with `apt-get install python3-venv`")?;
        let mut pip = Command::new(venv.join("bin/python"));
        pip.args(["-m", "pip", "install", "--disable-pip-version-check", "-r"]).arg(root().join(REQUIREMENTS));
        proc::run(&mut pip, "install the Python peers")
            .context("check the network and the free space (10 GB) and run the same command again")
    })?;
    Ok(entry.join("venv/bin/python"))
}
