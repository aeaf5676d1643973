//! What was asked of an API server and by whom, as its own audit log says it: of every ServiceAccount but those of Kubernetes
//! itself. Must not judge what was asked, nor know who these accounts are.

use crate::cluster::Cluster;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

/// MB of a file before the next is begun. A minute of our suites writes half of one.
const FILE: u32 = 16;
/// Files that are kept beside the newest: a fault that makes somebody ask without end shall not fill the disk.
const KEPT: usize = 8;
/// How a ServiceAccount is called as a user.
const ACCOUNT: &str = "system:serviceaccount:";

/// One thing that was asked, however often.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// `NAMESPACE:NAME` of the ServiceAccount.
    pub account: String,
    /// The verb as RBAC has it.
    pub verb: String,
    /// API group; empty for the first one, and for a path.
    pub group: String,
    /// Resource, with a subresource after a slash; empty if a path was asked for.
    pub resource: String,
    /// Namespace; none for all of them at once, and for what has none.
    pub namespace: Option<String>,
    /// Name of the object; none for many at once.
    pub name: Option<String>,
    /// The path, if it leads to no resource.
    pub path: Option<String>,
    /// What HTTP calls the answer.
    pub code: u16,
}

/// The flags by which an API server keeps the log in `folder`.
pub(crate) fn flags(folder: &Path) -> Result<Vec<String>> {
    let all = "system:serviceaccounts";
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        // What was answered is known later: with a watch, when it begins.
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "userGroups": [format!("{all}:kube-system")]},
            {"level": "Metadata", "userGroups": [all]},
        ],
    });
    let logs = logs(folder);
    fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
    let path = folder.join("audit.json");
    fs::write(&path, format!("{policy:#}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(vec![
        format!("--audit-policy-file={}", path.display()),
        format!("--audit-log-path={}", logs.join("audit.log").display()),
        format!("--audit-log-maxsize={FILE}"),
        format!("--audit-log-maxbackup={KEPT}"),
    ])
}

fn logs(folder: &Path) -> PathBuf {
    folder.join("audit")
}

impl Cluster {
    /// Everything that ServiceAccounts have asked of the API server since it first started; those of Kubernetes itself left
    /// out. Each thing once.
    pub fn asked(&self) -> Result<BTreeSet<Asked>> {
        let folder = logs(self.machines().control.machine.folder());
        let mut out = BTreeSet::new();
        let mut files = 0;
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let path = entry.context("cannot list the audit log")?.path();
            let file = fs::File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
            files += 1;
            for line in BufReader::new(file).split(b'\n') {
                let line = line.with_context(|| format!("cannot read {}", path.display()))?;
                // The newest line may be on its way.
                let Ok(event) = serde_json::from_slice::<Event>(&line) else { continue };
                out.extend(event.asked());
            }
        }
        ensure!(files <= KEPT, "the audit log grew over {KEPT} files of {FILE} MB: what was asked first is lost");
        Ok(out)
    }
}

/// A line of the log, as far as it is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    user: User,
    #[serde(default)]
    object_ref: Option<Object>,
    #[serde(default)]
    response_status: Status,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Object {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
    api_group: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
}

impl Event {
    fn asked(self) -> Option<Asked> {
        let account = self.user.username.strip_prefix(ACCOUNT)?.to_owned();
        let (verb, code) = (self.verb, self.response_status.code);
        let Some(object) = self.object_ref else {
            let path = self.request_uri.split('?').next().map(str::to_owned);
            return Some(Asked { account, verb, path, code, ..Asked::default() });
        };
        let some = |text: String| (!text.is_empty()).then_some(text);
        let resource = match object.subresource.as_str() {
            "" => object.resource,
            part => format!("{}/{part}", object.resource),
        };
        let (namespace, name) = (some(object.namespace), some(object.name));
        Some(Asked { account, verb, group: object.api_group, resource, namespace, name, path: None, code })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<Asked> {
        serde_json::from_str::<Event>(line).ok()?.asked()
    }

    #[test]
    fn a_line_is_read_as_an_api_server_writes_it() {
        let line = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"1","stage":"ResponseComplete",
            "requestURI":"/apis/coalition.training/v1alpha1/namespaces/training/gangs/run-1/status","verb":"update",
            "user":{"username":"system:serviceaccount:system:site","groups":["system:serviceaccounts"]},
            "objectRef":{"resource":"gangs","namespace":"training","name":"run-1","apiGroup":"coalition.training",
            "apiVersion":"v1alpha1","subresource":"status"},"responseStatus":{"metadata":{},"code":409}}"#;
        let found = read(line).unwrap();
        assert_eq!((found.account.as_str(), found.verb.as_str(), found.code), ("system:site", "update", 409));
        assert_eq!((found.group.as_str(), found.resource.as_str()), ("coalition.training", "gangs/status"));
        assert_eq!((found.namespace.as_deref(), found.name.as_deref()), (Some("training"), Some("run-1")));
        let line = r#"{"requestURI":"/version?x=1","verb":"get","user":{"username":"system:serviceaccount:a:b"}}"#;
        let found = read(line).unwrap();
        assert_eq!((found.path.as_deref(), found.code), (Some("/version"), 0));
        assert_eq!(read(&line.replace("serviceaccount", "node")), None);
    }
}
