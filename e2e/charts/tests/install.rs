//! Both charts on a real API server: every object is one that it takes, pods pass its restricted level, and each identity may do
//! what it needs and nothing near it. Nothing runs here: the suites do that.

use anyhow::{Context, Result};
use coalition_charts::{Helm, NAMESPACE, all_values, chart, values};
use coalition_cluster::{Cluster, Place, Spec, World};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Runs Helm as an administrator of `cluster`.
fn helm(cluster: &Cluster, helm: &Helm, args: &[&str]) -> Result<String> {
    let mut words: Vec<String> = helm.environment().iter().map(|(k, v)| format!("{k}={}", v.display())).collect();
    words.push(helm.program().display().to_string());
    words.extend(args.iter().map(|a| (*a).to_owned()));
    words.push(format!("--kubeconfig={}", cluster.kubeconfig().display()));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    cluster.exec(Place::Control, Path::new("/usr/bin/env"), &words)
}

/// Writes an object where kubectl can read it, and returns the file's name.
fn file(world: &World, name: &str, object: &Value) -> Result<String> {
    let path = world.folder().join(name);
    fs::write(&path, object.to_string())?;
    Ok(path.display().to_string())
}

/// (who, verb, group, resource, namespace, name, whether it may)
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str, bool);

const HUB: &str = "coalition-system:coalition-hub";
const SITE: &str = "coalition-system:coalition-site";
const AT_HUB: &str = "site-local:site";
const WORKER: &str = "research:coalition-worker";
const OURS: &str = "coalition.training";
const RBAC: &str = "rbac.authorization.k8s.io";
const LEASES: &str = "coordination.k8s.io";

#[rustfmt::skip]
const RIGHTS: &[Row] = &[
    // The hub: runs anywhere, its own key and lease, and no workload.
    (HUB, "patch", OURS, "trainingruns", "research", "", true),
    (HUB, "patch", OURS, "trainingruns/status", "research", "", true),
    (HUB, "update", OURS, "runhistories", "research", "", true),
    (HUB, "patch", OURS, "runhistories", "research", "", false),
    (HUB, "delete", OURS, "runhistories", "research", "", false),
    (HUB, "create", OURS, "trainingruns", "research", "", false),
    (HUB, "patch", OURS, "sites", "", "local", false),
    (HUB, "patch", OURS, "sites/status", "", "local", true),
    (HUB, "update", OURS, "sitereports", "site-local", "", false),
    (HUB, "watch", LEASES, "leases", "site-local", "", true),
    (HUB, "update", LEASES, "leases", NAMESPACE, "coalition-hub", true),
    (HUB, "update", LEASES, "leases", NAMESPACE, "coalition-site", false),
    (HUB, "update", LEASES, "leases", "site-local", "site", false),
    (HUB, "get", "", "secrets", NAMESPACE, "coalition-hub-key", true),
    (HUB, "get", "", "secrets", NAMESPACE, "coalition-store", false),
    (HUB, "list", "", "secrets", NAMESPACE, "", false),
    (HUB, "get", "", "secrets", "research", "", false),
    (HUB, "patch", "", "configmaps", NAMESPACE, "coalition-run-a", true),
    (HUB, "delete", "", "configmaps", NAMESPACE, "coalition-run-a", true),
    (HUB, "watch", "", "configmaps", NAMESPACE, "", true),
    (HUB, "get", "", "configmaps", "research", "", false),
    (HUB, "create", "", "configmaps", "research", "", false),
    (HUB, "patch", "", "configmaps", "site-local", "", false),
    (HUB, "list", "", "pods", "research", "", false),
    (HUB, "create", "", "pods", "research", "", false),
    (HUB, "escalate", RBAC, "roles", "research", "", false),
    // The site in its own cluster: pods where its settings say so.
    (SITE, "create", "", "pods", "research", "", true),
    (SITE, "create", "", "pods", "default", "", false),
    (SITE, "create", "", "pods", NAMESPACE, "", false),
    (SITE, "list", "", "pods", "default", "", true),
    (SITE, "create", "", "pods/exec", "research", "", false),
    (SITE, "update", OURS, "gangs/status", "research", "", true),
    (SITE, "list", OURS, "gangs", "default", "", false),
    (SITE, "list", "", "secrets", "research", "", false),
    (SITE, "get", "", "secrets", NAMESPACE, "coalition-hub-key", false),
    (SITE, "list", "", "nodes", "", "", true),
    (SITE, "patch", "", "nodes", "", "", false),
    (SITE, "update", LEASES, "leases", NAMESPACE, "coalition-site", true),
    (SITE, "update", LEASES, "leases", NAMESPACE, "coalition-hub", false),
    // With its own identity it can do nothing at the hub but take the other one.
    (SITE, "create", "", "serviceaccounts/token", "site-local", "site", true),
    (SITE, "create", "", "serviceaccounts/token", "site-local", "default", false),
    (SITE, "create", "", "serviceaccounts/token", NAMESPACE, "coalition-hub", false),
    (SITE, "list", OURS, "siteruns", "site-local", "", false),
    (SITE, "list", OURS, "trainingruns", "research", "", false),
    (AT_HUB, "watch", OURS, "siteruns", "site-local", "", true),
    (AT_HUB, "update", OURS, "siteruns", "site-local", "", false),
    (AT_HUB, "update", OURS, "sitereports", "site-local", "", true),
    (AT_HUB, "delete", OURS, "sitereports", "site-local", "", false),
    (AT_HUB, "get", OURS, "sitereports", "site-other", "", false),
    (AT_HUB, "get", OURS, "runhistories", "research", "", false),
    (AT_HUB, "get", OURS, "trainingruns", "research", "", false),
    (AT_HUB, "update", LEASES, "leases", "site-local", "site", true),
    (AT_HUB, "get", "", "secrets", "site-local", "", false),
    // A worker has nothing to say to the API server.
    (WORKER, "get", "", "pods", "research", "", false),
    (WORKER, "get", OURS, "gangs", "research", "", false),
    (WORKER, "get", "", "secrets", "research", "", false),
];

async fn may(reviews: &Api<SubjectAccessReview>, row: &Row) -> Result<bool> {
    let (who, verb, group, resource, namespace, name, _) = *row;
    let (resource, sub) = resource.split_once('/').map_or((resource, None), |(a, b)| (a, Some(b.to_owned())));
    let some = |s: &str| (!s.is_empty()).then(|| s.to_owned());
    let (home, _) = who.split_once(':').context("an account without a namespace")?;
    let spec = SubjectAccessReviewSpec {
        user: Some(format!("system:serviceaccount:{who}")),
        groups: Some(vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{home}"),
            "system:authenticated".to_owned(),
        ]),
        resource_attributes: Some(ResourceAttributes {
            verb: some(verb),
            group: some(group),
            resource: some(resource),
            subresource: sub,
            namespace: some(namespace),
            name: some(name),
            ..ResourceAttributes::default()
        }),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let said = reviews.create(&PostParams::default(), &review).await?;
    Ok(said.status.context("an answer without a status")?.allowed)
}

#[test]
fn charts_install_upgrade_and_leave_what_is_the_users() -> Result<()> {
    let Some(world) = World::start_or_skip()? else { return Ok(()) };
    let Some(tool) = Helm::find_or_skip() else { return Ok(()) };
    let hub = world.cluster(Spec::api("hub"))?;
    let run = |args: &[&str]| helm(&hub, &tool, args);
    let (kinds, operator) = (chart("coalition-crds").display().to_string(), chart("coalition").display().to_string());
    let default = values("default").display().to_string();
    run(&["install", "coalition-crds", &kinds])?;
    hub.kubectl(&[
        "wait",
        "--for=condition=Established",
        "--timeout=30s",
        "crd",
        "-l",
        "app.kubernetes.io/part-of=coalition",
    ])?;
    hub.kubectl(&["create", "namespace", "research"])?;
    let said = run(&["install", "coalition", &operator, "-n", NAMESPACE, "--create-namespace", "-f", &default])?;
    assert!(said.contains("kubectl -n research create secret generic coalition-store"), "{said}");

    // What each identity may do, judged by the API server.
    let wrong: Vec<String> = world.run(async {
        let reviews: Api<SubjectAccessReview> = Api::all(hub.client().await?);
        let mut wrong = Vec::new();
        for row in RIGHTS {
            if may(&reviews, row).await? != row.6 {
                wrong.push(format!("{row:?}"));
            }
        }
        Ok(wrong)
    })?;
    assert!(wrong.is_empty(), "otherwise than the table says:\n{}", wrong.join("\n"));
    the_hub_is_held_to_its_runs(&world, &hub)?;

    // An upgrade admits another site; nothing else changes.
    let more = json!({"hub": {"sites": [{"name": "local"}, {"name": "north", "tier": "founding"}]}});
    let more = file(&world, "more.json", &more)?;
    run(&["upgrade", "coalition", &operator, "-n", NAMESPACE, "-f", &default, "-f", &more])?;
    assert_eq!(hub.kubectl(&["get", "sites", "-o", "name"])?.lines().count(), 2);
    run(&["upgrade", "coalition", &operator, "-n", NAMESPACE, "-f", &default])?;
    let said = hub.kubectl(&["get", "sites,serviceaccounts,namespaces", "-A", "-o", "name"])?;
    assert!(!said.contains("sites.coalition.training/north") && !said.contains("site/north"), "{said}");
    assert!(said.contains("namespace/site-north"), "what a site said is kept when it is taken off the list: {said}");
    assert!(
        hub.kubectl(&["get", "serviceaccount", "site", "-n", "site-north"]).is_err(),
        "a site that was taken off the list has an identity still"
    );

    run(&["uninstall", "coalition", "-n", NAMESPACE])?;
    run(&["uninstall", "coalition-crds"])?;
    let kinds_left = "deployments,clusterroles,validatingadmissionpolicies,namespaces,crds";
    let left = hub.kubectl(&["get", kinds_left, "-A", "-o", "name"])?;
    assert!(left.contains("/trainingruns.coalition.training"), "the kinds are gone: {left}");
    assert!(left.contains("namespace/site-local"), "{left}");
    let ours = |name: &str| name.contains("/coalition-") && name != "namespace/coalition-system";
    assert!(!left.lines().any(ours), "{left}");
    // And back again: what stayed is taken over.
    run(&["install", "coalition-crds", &kinds])?;
    run(&["install", "coalition", &operator, "-n", NAMESPACE, "-f", &default])?;
    Ok(())
}

/// The rights that RBAC gives the hub over Roles everywhere, and over ConfigMaps beside it, are narrowed by the chart's admission
/// policy: the settings of a site that shares its namespace are not its to change.
fn the_hub_is_held_to_its_runs(world: &World, hub: &Cluster) -> Result<()> {
    let as_hub = format!("--as=system:serviceaccount:{HUB}");
    let create = |name: &str, object: &Value| -> Result<String> {
        let path = file(world, name, object)?;
        hub.kubectl(&["create", "-f", &path, &as_hub, "--dry-run=server"])
    };
    let metadata = json!({"name": "x", "namespace": "research", "labels": {"coalition.training/run": "run-1"}});
    let mut map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
    map["metadata"]["namespace"] = json!(NAMESPACE);
    let mut other = map.clone();
    other["metadata"]["labels"] = json!({});
    let forbidden =
        coalition_cluster::wait::until("the admission policy to be in force", Duration::from_secs(20), || {
            Ok(create("other.json", &other).err())
        })?;
    assert!(format!("{forbidden:#}").contains("has the label coalition.training/run"), "{forbidden:#}");
    create("map.json", &map)?;
    let settings = ["-n", NAMESPACE, "patch", "configmap", "coalition-site", "--dry-run=server", &as_hub];
    let taken = hub.kubectl(&[&settings[..], &["-p", r#"{"data": {"site.yaml": ""}}"#]].concat());
    let refused = taken.err().context("the hub writes a site's settings")?;
    assert!(format!("{refused:#}").contains("has the label coalition.training/run"), "{refused:#}");
    let rule = |resource: &str, name: &str, verb: &str| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": [
            {"apiGroups": ["coalition.training"], "resources": [resource], "resourceNames": [name], "verbs": [verb]}]})
    };
    create("role.json", &rule("runhistories", "run-1", "watch"))?;
    for (resource, verb) in [("trainingruns", "get"), ("runhistories", "update")] {
        let refused =
            create("wide.json", &rule(resource, "run-1", verb)).err().context("the hub lends what it likes")?;
        assert!(format!("{refused:#}").contains("lends no right"), "{refused:#}");
    }
    Ok(())
}

#[test]
fn an_api_server_takes_every_object_to_the_letter_and_every_pod_as_restricted() -> Result<()> {
    let Some(world) = World::start_or_skip()? else { return Ok(()) };
    let Some(tool) = Helm::find_or_skip() else { return Ok(()) };
    let hub = world.cluster(Spec::api("hub"))?;
    helm(&hub, &tool, &["install", "coalition-crds", &chart("coalition-crds").display().to_string()])?;
    hub.kubectl(&[
        "wait",
        "--for=condition=Established",
        "--timeout=30s",
        "crd",
        "-l",
        "app.kubernetes.io/part-of=coalition",
    ])?;
    hub.kubectl(&["create", "namespace", NAMESPACE])?;
    hub.kubectl(&["label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted"])?;
    let list = |file_name: &str, items: Vec<Value>| {
        file(&world, file_name, &json!({"apiVersion": "v1", "kind": "List", "items": items}))
    };
    for name in all_values()? {
        let mut all = tool.objects(&name)?;
        // A kind of somebody else's.
        all.retain(|o| o["kind"] != "ServiceMonitor");
        let about = || format!("what ci/{name}-values.yaml renders");
        let namespaces: BTreeSet<&str> = all.iter().filter_map(|o| o["metadata"]["namespace"].as_str()).collect();
        let namespaces = namespaces
            .into_iter()
            .map(|n| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}}))
            .collect();
        hub.kubectl(&["apply", "--server-side", "-f", &list("namespaces.json", namespaces)?])?;
        // Of a Deployment the API server only warns: the pod itself is what it judges.
        let pods: Vec<Value> = all.iter().filter(|o| o["kind"] == "Deployment").map(pod).collect();
        assert!(!pods.is_empty(), "{name} deploys nothing");
        let apply = ["apply", "--server-side", "--force-conflicts", "--validate=strict", "-f"];
        hub.kubectl(&[&apply[..], &[&list("all.json", all)?]].concat()).with_context(about)?;
        let create = ["create", "--dry-run=server", "--validate=strict", "-f"];
        hub.kubectl(&[&create[..], &[&list("pods.json", pods)?]].concat()).with_context(about)?;
    }
    Ok(())
}

/// The pod of a Deployment, in the namespace that is held to the restricted level.
fn pod(deployment: &Value) -> Value {
    let mut pod = deployment["spec"]["template"].clone();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"]["name"] = deployment["metadata"]["name"].clone();
    pod["metadata"]["namespace"] = NAMESPACE.into();
    pod
}
