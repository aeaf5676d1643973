//! A real API server with our kinds and the objects of `tests/objects`, and this program run against it. Must not know what is
//! expected of it.
#![allow(dead_code, reason = "each test uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use coalition_cluster::{Cluster, Spec, World};
use coalition_crds::{Checkpoint, Gang, RunHistory, SiteReport, TrainingRun};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-coalition");
/// Written by a unit test of the records' words, which knows how a hub writes them.
const HISTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/objects/history.yaml");
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// A hub with objects, and the world it is in.
pub struct Hub {
    pub world: World,
    pub cluster: Cluster,
}

/// Starts one; none where there can be no cluster. The calling thread sees its network then, and so does what it starts.
pub fn start(spec: Spec) -> Result<Option<Hub>> {
    let Some(world) = World::start_or_skip()? else { return Ok(None) };
    let cluster = world.cluster(spec)?;
    world.enter()?;
    Ok(Some(Hub { world, cluster }))
}

impl Hub {
    /// Gives it our kinds.
    pub fn install(&self) -> Result<()> {
        let crds = std::fs::canonicalize(ROOT)?.join("crds/yaml").display().to_string();
        self.cluster.kubectl(&["apply", "--server-side", "-f", &crds])?;
        self.cluster.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", "-f", &crds])?;
        Ok(())
    }

    /// Gives it the objects.
    pub fn fill(&self) -> Result<()> {
        for namespace in ["research", "lab", "site-north"] {
            self.cluster.kubectl(&["create", "namespace", namespace])?;
        }
        self.world.run(async {
            let client = self.cluster.client().await?;
            let run: TrainingRun = make(&client, include_str!("../objects/run.yaml"), &[]).await?;
            let owner = run.controller_owner_ref(&()).context("an owner")?;
            make::<Checkpoint>(&client, include_str!("../objects/checkpoint.yaml"), &[]).await?;
            let mut history: RunHistory = serde_saphyr::from_str(&std::fs::read_to_string(HISTORY)?)?;
            history.metadata.namespace = Some("research".to_owned());
            make::<RunHistory>(&client, &serde_json::to_string(&history)?, &[owner]).await?;
            make::<SiteReport>(&client, include_str!("../objects/report.yaml"), &[]).await?;
            make::<Gang>(&client, include_str!("../objects/gang.yaml"), &[]).await?;
            Ok(())
        })
    }

    /// Runs the program as the administrator.
    pub fn ask(&self, args: &[&str]) -> Result<Said> {
        said(Command::new(PROGRAM).args(args).env("KUBECONFIG", self.cluster.kubeconfig()))
    }

    /// A kubeconfig with which somebody else asks, by the token of a ServiceAccount.
    pub fn kubeconfig_of(&self, namespace: &str, account: &str) -> Result<PathBuf> {
        self.cluster.kubectl(&["create", "serviceaccount", account, "-n", namespace])?;
        let token = self.cluster.kubectl(&["create", "token", account, "-n", namespace])?;
        let mut config: Value = serde_saphyr::from_str(&std::fs::read_to_string(self.cluster.kubeconfig())?)?;
        *config.pointer_mut("/users/0/user").context("a user")? = json!({"token": token.trim()});
        let path = self.world.folder().join(format!("{account}.kubeconfig"));
        std::fs::write(&path, config.to_string())?;
        Ok(path)
    }
}

/// What a program wrote, and how it ended.
#[derive(Debug)]
pub struct Said {
    pub out: String,
    pub err: String,
    pub code: i32,
}

/// Runs a program to its end, in a folder where no local run lies.
pub fn said(command: &mut Command) -> Result<Said> {
    let empty = tempfile::tempdir()?;
    let Output { status, stdout, stderr } = command.env("NO_COLOR", "1").current_dir(empty.path()).output()?;
    let (out, err) = (String::from_utf8(stdout)?, String::from_utf8(stderr)?);
    Ok(Said { out, err, code: status.code().unwrap_or(-1) })
}

impl Said {
    /// That it ended well, and what it wrote.
    pub fn well(self) -> Result<String> {
        ensure!(self.code == 0, "ended with {}: {}{}", self.code, self.out, self.err);
        Ok(self.out)
    }

    /// That it ended with this code, and what it complained of.
    pub fn badly(self, code: i32) -> Result<String> {
        ensure!(self.code == code, "ended with {}: {}{}", self.code, self.out, self.err);
        Ok(self.err)
    }
}

/// Creates an object with its status.
pub async fn make<K>(client: &Client, text: &str, owners: &[OwnerReference]) -> Result<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Serialize,
{
    let value: Value = serde_saphyr::from_str(text)?;
    let mut object: K = serde_json::from_value(value)?;
    object.meta_mut().generation = None;
    if !owners.is_empty() {
        object.meta_mut().owner_references = Some(owners.to_vec());
    }
    let (name, namespace) = (object.name_any(), object.namespace().context("a namespace")?);
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    let what = format!("{} {name}", K::kind(&()));
    let created = api.create(&PostParams::default(), &object).await.with_context(|| format!("create {what}"))?;
    let status = serde_json::to_value(&object)?.get("status").cloned();
    let Some(status) = status.filter(|s| !s.is_null()) else { return Ok(created) };
    let patch = Patch::Merge(json!({"status": status}));
    api.patch_status(&name, &PatchParams::default(), &patch).await.with_context(|| format!("status of {what}"))
}

/// Writes a program that others find on their PATH.
pub fn executable(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}
