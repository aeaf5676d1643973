//! The roles, a file each: how a role's crate is joined to the process. Must not know what a role decides.
mod hub;
mod site;

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
            Role::Site => {
                let (args, process) = (args.clone(), process.clone());
                tasks.spawn(async move { ("site", site::run(args, process).await) });
            }
            // Its work is part of the site's: both stand on the same store and the same gangs.
            Role::Courier if args.roles.contains(&Role::Site) => {}
            Role::Courier => bail!("the courier works beside the site: write --roles site,courier"),
        }
    }
    Ok(())
}
