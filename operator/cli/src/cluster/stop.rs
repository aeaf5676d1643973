//! `stop` and `resume` of a cluster's run: the annotation that its hub obeys. Must not touch the spec: that belongs to whoever
//! applies the manifest.
use coalition_crds::TrainingRun;
use coalition_crds::conditions::Phase;
use coalition_crds::names::STOP_ANNOTATION;
use coalition_local::exit_code;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::{ClusterError, block, connect, render};
use crate::args::{How, Reach};
use crate::out::note;
use crate::style;

/// Stops a run.
pub fn stop(name: Option<&str>, why: Option<&str>, reach: &Reach) -> Result<u8, ClusterError> {
    let name = named("stop", name)?;
    let Some(why) = why.map(str::trim).filter(|w| !w.is_empty()) else {
        let what = "say why, for whoever finds the run stopped: `--why 'the loss looks wrong'`";
        return Err(ClusterError::Argument { argument: format!("stop {name}"), what: what.to_owned() });
    };
    block(async {
        let hub = connect::hub(reach).await?;
        let before: TrainingRun = hub.get(name).await?;
        if let Some(over) = over(&before) {
            note!("{over}: there is nothing to stop");
            return Ok(exit_code::OK);
        }
        let run: TrainingRun = hub.merge(name, &annotation(why.into())).await?;
        if let Some(old) = before.annotations().get(STOP_ANNOTATION) {
            note!("{}", style::warning(&format!("it was stopped already, because: {old}")));
        }
        note!(
            "{} is told to save and stop. `{}` shows when it has, `{}` goes on exactly from there.",
            render::title(&run),
            render::command("status", &run),
            render::command("resume", &run)
        );
        Ok(exit_code::OK)
    })
}

/// Lets a run go on.
pub fn resume(name: Option<&str>, how: &How, reach: &Reach) -> Result<u8, ClusterError> {
    let name = named("resume", name)?;
    if let Some(option) = how.given() {
        let what = format!("is for local runs, and {name} is a TrainingRun of a cluster: leave it out");
        return Err(ClusterError::Argument { argument: option.to_owned(), what });
    }
    block(async {
        let hub = connect::hub(reach).await?;
        let before: TrainingRun = hub.get(name).await?;
        let was_stopped = before.annotations().contains_key(STOP_ANNOTATION);
        let run = if was_stopped { hub.merge(name, &annotation(Value::Null)).await? } else { before };
        for line in resumed(&run, was_stopped) {
            note!("{line}");
        }
        Ok(exit_code::OK)
    })
}

/// What is to be said after the annotation is gone: above all what still keeps the run from going on.
fn resumed(run: &TrainingRun, was_stopped: bool) -> Vec<String> {
    let title = render::title(run);
    let mut out = vec![if was_stopped {
        format!("{title} is no longer stopped.")
    } else {
        format!("{title} was not stopped by annotation {STOP_ANNOTATION}: nothing was changed.")
    }];
    if let Some(over) = over(run) {
        out.push(format!("{over}: it does not go on."));
    } else if run.spec.suspend {
        let text = "spec.suspend is still true, and this command leaves the spec alone: set it to false in the manifest and apply \
                    that";
        let patch = format!(
            "kubectl patch trainingrun {} -n {} --type=merge -p '{{\"spec\":{{\"suspend\":false}}}}'",
            run.name_any(),
            run.namespace().unwrap_or_default()
        );
        out.push(style::warning(&format!("{text}, or, if no tool applies it: `{patch}`")));
    } else if was_stopped {
        out.push(format!("It goes on exactly from where it saved; `{}` shows it.", render::command("status", run)));
    }
    out
}

/// That a run is over, if it is.
fn over(run: &TrainingRun) -> Option<String> {
    let how = match render::told(run)?.phase {
        Phase::Complete => "is complete",
        Phase::Failed => "has failed",
        _ => return None,
    };
    Some(format!("{} {how}", render::title(run)))
}

fn annotation(value: Value) -> Value {
    json!({"metadata": {"annotations": {STOP_ANNOTATION: value}}})
}

/// The run's name: what changes something never guesses which run is meant.
fn named<'a>(verb: &str, name: Option<&'a str>) -> Result<&'a str, ClusterError> {
    name.ok_or_else(|| ClusterError::Argument {
        argument: verb.to_owned(),
        what: format!("name the run: `kubectl coalition {verb} RUN`; `kubectl coalition status` lists them"),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// Flux gives itself what managers whose names begin so wrote, and takes it away with its next apply.
    #[test]
    fn a_stop_is_not_written_under_a_name_that_flux_undoes() {
        assert!(!crate::cluster::MANAGER.starts_with("kubectl"));
    }

    #[test]
    fn what_still_stops_it_is_told() {
        let mut run: TrainingRun = crate::cluster::object(include_str!("../../tests/objects/run.yaml"));
        assert_eq!(resumed(&run, true).len(), 2);
        assert!(resumed(&run, false).concat().contains("nothing was changed"));
        run.spec.suspend = true;
        let told = resumed(&run, true);
        assert!(
            told.get(1).unwrap().contains("spec.suspend is still true") && told.concat().contains("\"suspend\":false")
        );
        let complete = run.status.as_mut().unwrap().conditions.iter_mut().find(|c| c.type_ == "Complete").unwrap();
        complete.status = "True".to_owned();
        assert!(resumed(&run, true).concat().contains("is complete: it does not go on"));
    }
}
