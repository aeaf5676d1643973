//! What holds for whatever the charts render: pods without rights, roles without wildcards, secrets by name, policies for all
//! that listens. The API server's own judgement stands in `install.rs`; these rules need no cluster.

use anyhow::{Context, Result};
use coalition_charts::{Helm, NAMESPACE, all_values, objects, title};
use serde_json::Value;
use std::collections::BTreeSet;

/// Everything that any file of values renders, and the chart of kinds.
fn everything(helm: &Helm) -> Result<Vec<Value>> {
    let mut all = objects(&helm.template("coalition-crds", NAMESPACE, &[])?.out)?;
    for name in all_values()? {
        all.extend(helm.objects(&name)?);
    }
    assert!(all.len() > 50, "only {} objects: are the charts still where they were?", all.len());
    Ok(all)
}

fn words<'a>(value: &'a Value, at: &str) -> BTreeSet<&'a str> {
    value[at].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn rules(object: &Value) -> impl Iterator<Item = &Value> {
    object["rules"].as_array().into_iter().flatten()
}

fn is_role(object: &Value) -> bool {
    object["kind"] == "Role" || object["kind"] == "ClusterRole"
}

#[test]
fn pods_of_the_operator_have_no_rights_on_their_node() -> Result<()> {
    let Some(helm) = Helm::find_or_skip() else { return Ok(()) };
    let mut seen = 0;
    for deployment in everything(&helm)?.iter().filter(|o| o["kind"] == "Deployment") {
        let (name, pod) = (title(deployment), &deployment["spec"]["template"]["spec"]);
        let all = &pod["securityContext"];
        assert_eq!((&all["runAsNonRoot"], &all["runAsUser"]), (&true.into(), &65532.into()), "{name}");
        assert_eq!(all["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        for field in ["hostNetwork", "hostPID", "hostIPC", "initContainers"] {
            assert!(pod[field].is_null(), "{name}: {field}");
        }
        for volume in pod["volumes"].as_array().into_iter().flatten() {
            assert!(volume["secret"].is_object() || volume["configMap"].is_object(), "{name}: {volume}");
        }
        for container in pod["containers"].as_array().context("no container")? {
            let own = &container["securityContext"];
            assert_eq!(own["allowPrivilegeEscalation"], false, "{name}");
            assert_eq!(own["readOnlyRootFilesystem"], true, "{name}");
            assert_eq!(own["capabilities"]["drop"][0], "ALL", "{name}");
            assert!(own["privileged"].is_null() && own["capabilities"]["add"].is_null(), "{name}");
            assert!(container["resources"]["limits"]["memory"].is_string(), "{name} has no bound on its memory");
            for probe in ["readinessProbe", "livenessProbe"] {
                assert!(container[probe]["httpGet"].is_object(), "{name}: {probe}");
            }
            seen += 1;
        }
    }
    assert!(seen >= 6, "{seen} containers seen");
    Ok(())
}

#[test]
fn no_role_has_a_wildcard_or_looks_through_secrets() -> Result<()> {
    let Some(helm) = Helm::find_or_skip() else { return Ok(()) };
    let mut seen = 0;
    for role in everything(&helm)?.iter().filter(|o| is_role(o)) {
        let name = title(role);
        for rule in rules(role) {
            seen += 1;
            for field in ["apiGroups", "resources", "verbs", "nonResourceURLs"] {
                let wild = words(rule, field).into_iter().any(|word| word.contains('*'));
                assert!(!wild, "{name}: {field} has a wildcard: {rule}");
            }
            let verbs = words(rule, "verbs");
            for forbidden in ["escalate", "bind", "impersonate"] {
                assert!(!verbs.contains(forbidden), "{name}: {rule}");
            }
            if words(rule, "resources").contains("secrets") {
                assert_eq!(role["kind"], "Role", "{name} reaches secrets of all namespaces");
                assert!(verbs.is_disjoint(&["list", "watch", "deletecollection"].into()), "{name}: {rule}");
            }
            if words(rule, "resources").contains("serviceaccounts/token") {
                assert_eq!(words(rule, "resourceNames"), ["site"].into(), "{name}: {rule}");
            }
            let workloads: BTreeSet<&str> = ["pods", "pods/exec", "deployments", "jobs", "daemonsets"].into();
            if role["kind"] == "ClusterRole" && !words(rule, "resources").is_disjoint(&workloads) {
                let reading: BTreeSet<&str> = ["get", "list", "watch"].into();
                assert!(verbs.is_subset(&reading), "{name} acts on pods of all namespaces: {rule}");
            }
        }
    }
    assert!(seen > 30, "{seen} rules seen");
    Ok(())
}

#[test]
fn every_binding_leads_to_a_role_beside_it_and_an_account_of_ours() -> Result<()> {
    let Some(helm) = Helm::find_or_skip() else { return Ok(()) };
    for file in all_values()? {
        let all = helm.objects(&file)?;
        let titles: BTreeSet<String> = all.iter().map(title).collect();
        for binding in all.iter().filter(|o| o["kind"] == "RoleBinding" || o["kind"] == "ClusterRoleBinding") {
            let mut role = binding["roleRef"].clone();
            role["metadata"] = binding["metadata"].clone();
            role["metadata"]["name"] = binding["roleRef"]["name"].clone();
            assert!(titles.contains(&title(&role)), "{file}: {} leads to no role", title(binding));
            for subject in binding["subjects"].as_array().context("no subjects")? {
                let account = serde_json::json!({"kind": "ServiceAccount", "metadata": subject});
                assert!(titles.contains(&title(&account)), "{file}: {} is for {subject}", title(binding));
            }
        }
    }
    Ok(())
}

#[test]
fn workers_have_an_identity_and_no_right() -> Result<()> {
    let Some(helm) = Helm::find_or_skip() else { return Ok(()) };
    let all = helm.objects("everything")?;
    let is_worker = |o: &&Value| {
        o["kind"] == "ServiceAccount" && o["metadata"]["labels"]["app.kubernetes.io/component"] == "worker"
    };
    let workers: Vec<&Value> = all.iter().filter(is_worker).collect();
    let names: BTreeSet<String> = workers.iter().map(|w| title(w)).collect();
    let wanted = ["coalition-school/coalition-worker", "coalition-work/product", "coalition-work/research"];
    assert_eq!(names, wanted.iter().map(|name| format!("ServiceAccount {name}")).collect());
    for worker in workers {
        assert_eq!(worker["automountServiceAccountToken"], false, "{}", title(worker));
        let bound = all.iter().filter(|o| o["subjects"].is_array()).any(|binding| {
            let subjects = binding["subjects"].as_array().into_iter().flatten();
            subjects
                .into_iter()
                .any(|s| s["name"] == worker["metadata"]["name"] && s["namespace"] == worker["metadata"]["namespace"])
        });
        assert!(!bound, "{} has a right", title(worker));
    }
    Ok(())
}

/// The policy called `name` of what this file of values renders.
fn policy(all: &[Value], namespace: &str, name: &str) -> Result<Value> {
    let wanted = format!("NetworkPolicy {namespace}/{name}");
    all.iter().find(|o| title(o) == wanted).cloned().with_context(|| format!("there is no {wanted}"))
}

#[test]
fn policies_let_in_workers_and_named_sites_and_nobody_else() -> Result<()> {
    let Some(helm) = Helm::find_or_skip() else { return Ok(()) };
    let all = helm.objects("default")?;
    let site = policy(&all, NAMESPACE, "coalition-site")?;
    let ports = |policy: &Value| -> Vec<String> {
        let rules = policy["spec"]["ingress"].as_array().into_iter().flatten();
        rules.map(|rule| rule["ports"][0]["port"].as_str().unwrap_or("any").to_owned()).collect()
    };
    // No site is named: nobody may fetch; nobody scrapes.
    assert_eq!(ports(&site), ["gateway"]);
    let from = site["spec"]["ingress"][0]["from"].as_array().context("from")?;
    assert_eq!(from.len(), 2, "the other replica and one namespace of workers: {from:?}");
    let worker = &from[1];
    assert_eq!(worker["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"], "research");
    assert_eq!(worker["podSelector"]["matchExpressions"][0]["key"], "coalition.training/run");
    assert_eq!(policy(&all, NAMESPACE, "coalition-hub")?["spec"]["ingress"], serde_json::json!([]));

    let workers = policy(&all, "research", "coalition-workers")?;
    assert_eq!(workers["spec"]["policyTypes"], serde_json::json!(["Ingress", "Egress"]));
    let egress = workers["spec"]["egress"].as_array().context("egress")?;
    assert_eq!(egress.len(), 4, "each other, the gateway, the store, names: {egress:?}");
    // Of AWS, as no endpoint is given.
    assert_eq!(egress[2]["ports"], serde_json::json!([{"protocol": "TCP", "port": 443}]));

    let all = helm.objects("everything")?;
    assert_eq!(ports(&policy(&all, NAMESPACE, "coalition-site")?), ["http", "gateway", "exchange"]);
    let egress = policy(&all, "coalition-work", "coalition-workers")?["spec"]["egress"][2].clone();
    assert_eq!(egress["to"][0]["ipBlock"]["cidr"], "198.51.100.0/24");
    assert_eq!(egress["ports"][1]["port"], 9443);
    Ok(())
}

#[test]
fn a_store_s_port_is_that_of_its_endpoint() -> Result<()> {
    let Some(helm) = Helm::find_or_skip() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("values.json");
    for (endpoint, port) in
        [("", 443), ("https://s3.example.org", 443), ("http://store", 80), ("http://store:9000", 9000)]
    {
        let store = serde_json::json!({"endpoint": endpoint, "plainHttp": true});
        std::fs::write(&file, serde_json::json!({"site": {"settings": {"store": store}}}).to_string())?;
        let said = helm.template("coalition", NAMESPACE, &[&coalition_charts::values("default"), &file])?;
        assert!(said.good, "{}", said.err);
        let workers = policy(&objects(&said.out)?, "research", "coalition-workers")?;
        assert_eq!(workers["spec"]["egress"][2]["ports"][0]["port"], port, "{endpoint:?}");
    }
    Ok(())
}
