//! The roles, a file each: how a role's crate is joined to the process. Must not know what a role decides.
mod hub;

use anyhow::{Result, bail};
use coalition_kit::role::Process;
use tokio::task::JoinSet;

use crate::args::{Args, Role};

/// Starts every role that was asked for. A role's task ends only when the process shall, or with an error.
pub fn start(args: &Args, process: &Process, tasks: &mut JoinSet<(&'static str, Result<()>)>) -> Result<()> {
    for role in &args.roles {
        match role {
            Role::Hub => {
                let process = process.clone();
                tasks.spawn(async move { ("hub", hub::run(process).await) });
            }
            Role::Site | Role::Courier => bail!("the roles site and courier are not in this build"),
        }
    }
    Ok(())
}
