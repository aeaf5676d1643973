//! Completion: of verbs and options from the command line's own description, of names from the cluster and from `.coalition` here.
//! Must never keep somebody waiting who pressed a key, nor say why there is nothing: then nothing is completed.
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use clap::CommandFactory;
use clap_complete::CompleteEnv;
use clap_complete::engine::{self, CompletionCandidate};
use clap_complete::env::Shells;
use coalition_crds::{Checkpoint, TrainingRun};
use coalition_local::{LocalError, exit_code};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use crate::args::{Cli, CompletionFor, Reach};
use crate::cluster::{ClusterError, block, connect};
use crate::find;
use crate::out;

/// The program's name.
const NAME: &str = "kubectl-coalition";
/// The variable by which scripts that `completion` printed ask this program.
const VARIABLE: &str = "COALITION_COMPLETE";
/// How long a cluster may take: who pressed a key waits no longer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most names that are asked for: nobody reads more.
const NAMES: u32 = 200;
/// What tells kubectl that no file names are to be added (`ShellCompDirectiveNoFileComp` of cobra, which it speaks).
const NO_FILES: &str = ":4";

/// Answers a shell and ends the program, if one asks.
pub fn if_asked() {
    CompleteEnv::with_factory(Cli::command).var(VARIABLE).complete();
}

/// Prints the script of a shell.
pub fn script(shell: CompletionFor) -> Result<u8, LocalError> {
    let bug = |e: String| LocalError::Bug(e);
    if shell == CompletionFor::Kubectl {
        out::bytes(b"#!/bin/sh\nexec kubectl-coalition __complete -- \"$@\"\n");
        return Ok(exit_code::OK);
    }
    let name = match shell {
        CompletionFor::Bash => "bash",
        CompletionFor::Elvish => "elvish",
        CompletionFor::Fish => "fish",
        CompletionFor::Powershell => "powershell",
        CompletionFor::Zsh | CompletionFor::Kubectl => "zsh",
    };
    let shells = Shells::builtins();
    let completer = shells.completer(name).ok_or_else(|| bug(format!("nobody writes scripts for {name}")))?;
    // By its path: the script may be read by a shell that does not find this program.
    let program = std::env::current_exe().map_or_else(|_| NAME.to_owned(), |p| p.to_string_lossy().into_owned());
    let mut script = Vec::new();
    completer.write_registration(VARIABLE, NAME, NAME, &program, &mut script).map_err(|e| bug(e.to_string()))?;
    out::bytes(&script);
    Ok(exit_code::OK)
}

/// Answers kubectl: what the last word may become, a line each, with its description behind a tab.
pub fn for_kubectl(words: &[String]) -> u8 {
    let args: Vec<OsString> =
        std::iter::once(NAME).chain(words.iter().map(String::as_str)).map(OsString::from).collect();
    let last = args.len().saturating_sub(1);
    let found = engine::complete(&mut Cli::command(), args, last, None).unwrap_or_default();
    let mut text = String::new();
    for candidate in found {
        text.push_str(&candidate.get_value().to_string_lossy());
        if let Some(help) = candidate.get_help() {
            text.push('\t');
            text.push_str(help.to_string().lines().next().unwrap_or_default());
        }
        text.push('\n');
    }
    text.push_str(NO_FILES);
    text.push('\n');
    out::bytes(text.as_bytes());
    exit_code::OK
}

/// Runs here and in the cluster.
pub fn runs(begun: &OsStr) -> Vec<CompletionCandidate> {
    let mut names = find::names_here();
    names.extend(in_cluster(Names::Runs));
    candidates(names, begun)
}

/// Runs of the cluster.
pub fn cluster_runs(begun: &OsStr) -> Vec<CompletionCandidate> {
    candidates(in_cluster(Names::Runs), begun)
}

/// Checkpoints.
pub fn checkpoints(begun: &OsStr) -> Vec<CompletionCandidate> {
    candidates(in_cluster(Names::Checkpoints), begun)
}

/// Namespaces.
pub fn namespaces(begun: &OsStr) -> Vec<CompletionCandidate> {
    candidates(in_cluster(Names::Namespaces), begun)
}

/// Contexts of the kubeconfig.
pub fn contexts(begun: &OsStr) -> Vec<CompletionCandidate> {
    let file = connect::kubeconfig(reach(&words()).kubeconfig.as_deref()).ok().flatten();
    candidates(file.iter().flat_map(|f| &f.contexts).map(|c| c.name.clone()).collect(), begun)
}

fn candidates(mut names: Vec<String>, begun: &OsStr) -> Vec<CompletionCandidate> {
    names.sort();
    names.dedup();
    let begun = begun.to_string_lossy();
    names.into_iter().filter(|n| n.starts_with(&*begun)).map(CompletionCandidate::new).collect()
}

/// Of what names are wanted.
#[derive(Clone, Copy)]
enum Names {
    Runs,
    Checkpoints,
    Namespaces,
}

/// Names that the cluster has; none if there is none, or it takes too long.
fn in_cluster(which: Names) -> Vec<String> {
    if !connect::is_configured() {
        return Vec::new();
    }
    let reach = reach(&words());
    let ask = async {
        let hub = connect::hub(&reach).await?;
        let few = ListParams::default().limit(NAMES);
        let here = Some(hub.namespace.as_str());
        Ok::<_, ClusterError>(match which {
            Names::Runs => hub.list::<TrainingRun>(here, &few).await?.iter().map(ResourceExt::name_any).collect(),
            Names::Checkpoints => hub.list::<Checkpoint>(here, &few).await?.iter().map(ResourceExt::name_any).collect(),
            Names::Namespaces => {
                let api: Api<Namespace> = Api::all(hub.client());
                api.list_metadata(&few)
                    .await
                    .map_or_else(|_| Vec::new(), |l| l.items.iter().map(ResourceExt::name_any).collect())
            }
        })
    };
    block(async { Ok(tokio::time::timeout(PATIENCE, ask).await) })
        .ok()
        .and_then(Result::ok)
        .and_then(Result::ok)
        .unwrap_or_default()
}

/// The words so far, as far as this program was told.
fn words() -> Vec<String> {
    let all: Vec<String> = std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect();
    let from = all.iter().position(|a| a == "--").map_or(all.len(), |n| n + 1);
    all.get(from..).unwrap_or_default().to_vec()
}

/// Which cluster the words so far name: clap does not parse what is not whole.
fn reach(words: &[String]) -> Reach {
    let value = |long: &str, short: Option<&str>| {
        let with = format!("{long}=");
        words.iter().enumerate().find_map(|(n, word)| match word.strip_prefix(&with) {
            Some(value) => Some(value.to_owned()),
            None if word == long || short == Some(word) => words.get(n + 1).cloned(),
            None => None,
        })
    };
    Reach {
        namespace: value("--namespace", Some("-n")).filter(|v| !v.is_empty()),
        context: value("--context", None).filter(|v| !v.is_empty()),
        kubeconfig: value("--kubeconfig", None).map(PathBuf::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cluster_that_is_named_so_far_is_asked() {
        let words = ["kubectl-coalition", "status", "-n", "research", "--context=hub", "--kubeconfig", "/k", "my"];
        let found = reach(&words.map(str::to_owned));
        assert_eq!((found.namespace.as_deref(), found.context.as_deref()), (Some("research"), Some("hub")));
        assert_eq!(found.kubeconfig, Some(PathBuf::from("/k")));
        assert!(!reach(&["x", "status", "my"].map(str::to_owned)).is_given());
    }
}
