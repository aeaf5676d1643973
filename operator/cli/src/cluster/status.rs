//! `status` of runs in a cluster: one whole, or a row each. Must not know how they are drawn: that is `render`.
use coalition_crds::TrainingRun;
use coalition_local::exit_code;
use kube::api::ListParams;

use super::{ClusterError, block, connect, error, print, render};
use crate::args::{Output, Status};
use crate::out::{note, say};

/// Shows one run, or all of a namespace.
pub fn status(name: Option<&str>, s: &Status) -> Result<u8, ClusterError> {
    block(async {
        let hub = connect::hub(&s.reach).await?;
        let wide = s.output == Output::Wide;
        if let Some(name) = name {
            let run: TrainingRun = hub.get(name).await?;
            match print::whole(&run, s.output)? {
                Some(text) => say!("{text}"),
                None => say!("{}", render::one(&run, wide)),
            }
            return Ok(exit_code::OK);
        }
        let namespace = (!s.all_namespaces).then_some(hub.namespace.as_str());
        let runs: Vec<TrainingRun> = hub.list(namespace, &ListParams::default()).await?;
        match print::whole(&print::List::of(&runs), s.output)? {
            Some(text) => say!("{text}"),
            None if runs.is_empty() => {
                let way_out = if s.all_namespaces { "" } else { "; -A shows those of all namespaces" };
                note!("there is no TrainingRun in {}{way_out}", error::place(&hub.called, namespace));
            }
            None => say!("{}", render::many(&runs, wide, s.all_namespaces)),
        }
        Ok(exit_code::OK)
    })
}
