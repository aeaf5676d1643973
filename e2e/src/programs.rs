//! Where the two programs under test lie.
use std::path::PathBuf;

use anyhow::{Result, bail};

/// The folder that holds `coalition-trainer` and `kubectl-coalition`: `COALITION_BIN_DIR`, else beside this program.
pub fn folder() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("COALITION_BIN_DIR") {
        return Ok(PathBuf::from(dir));
    }
    let me = std::env::current_exe()?;
    // Tests lie in `deps` below the folder of the programs.
    for dir in me.ancestors().skip(1).take(2) {
        if dir.join("kubectl-coalition").is_file() {
            return Ok(dir.to_owned());
        }
    }
    bail!(
        "the programs are not built: run `cargo build -p coalition-cli -p coalition-trainer`, or set COALITION_BIN_DIR to their folder"
    )
}

/// The command-line tool.
pub fn cli() -> Result<PathBuf> {
    Ok(folder()?.join("kubectl-coalition"))
}

/// The trainer.
pub fn trainer() -> Result<PathBuf> {
    Ok(folder()?.join("coalition-trainer"))
}
