//! One object that cannot be read is named, and delays nobody: neither a hub that has just begun nor one that leads.
use anyhow::{Context as _, Result};
use coalition_cluster::wait;
use coalition_crds::names::site_namespace;
use coalition_crds::{Site, SiteReport};
use kube::api::{ApiResource, DeleteParams, DynamicObject, PostParams};
use kube::{Api, Client};
use serde_json::json;

use crate::support::hubs::{Dies, Running};
use crate::support::played::Sites;
use crate::support::{BOUND, create, create_policy, manifest, server, until_true};

/// SiteReports as whatever they are.
fn reports(client: &Client, site: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), &site_namespace(site), &ApiResource::erase::<SiteReport>(&()))
}

/// A report whose one open field, the text of a record, holds nonsense: the API server takes it.
async fn write_nonsense(client: &Client, site: &str, name: &str) -> Result<()> {
    let report = json!({
        "apiVersion": "coalition.training/v1alpha1", "kind": "SiteReport", "metadata": {"name": name},
        "spec": {"run": {
            "run": name, "site": site, "epoch": 1, "incarnation": 1, "counter": 1, "nonce": "",
            "gang": {"workers": 1, "workersReady": 0, "attempt": 0, "processRestarts": 0},
            "progress": {"innerStep": 0, "innerSteps": 0, "round": 0, "step": 0},
            "records": [{"record": {"nonsense": true}, "signature": "0".repeat(128)}],
        }}
    });
    reports(client, site).create(&PostParams::default(), &serde_json::from_value(report)?).await?;
    Ok(())
}

async fn ready(client: &Client, site: &str) -> Result<Option<(String, String, String)>> {
    let site = Api::<Site>::all(client.clone()).get(site).await?;
    let conditions = site.status.map(|s| s.conditions).unwrap_or_default();
    Ok(conditions.into_iter().find(|c| c.type_ == "Ready").map(|c| (c.status, c.reason, c.message)))
}

async fn until_reason(client: &Client, site: &str, reason: &str) -> Result<String> {
    wait::until_async(&format!("Site {site} to be {reason}"), BOUND, || async {
        Ok(ready(client, site).await?.filter(|r| r.1 == reason).map(|r| r.2))
    })
    .await
}

#[test]
fn one_report_of_nonsense_delays_no_other_and_is_named() -> Result<()> {
    let Some((_world, cluster)) = server(&["north", "south"])? else { return Ok(()) };
    cluster.run(async {
        let client = cluster.client().await?;
        create_policy(&client).await?;
        // It is there before a hub begins: the list that a watch begins with has it.
        write_nonsense(&client, "north", "nonsense-1").await?;
        let hub = Running::start(&client, Dies::Never);
        let _sites = Sites::play(&client, &["north", "south"]);
        create(&client, manifest("beside", 2, 6)).await?;
        let said = until_reason(&client, "north", "UnreadableReport").await?;
        assert!(said.contains("SiteReport nonsense-1 in namespace site-north"), "{said}");
        until_reason(&client, "south", "Heard").await?;
        // And another comes while it leads.
        write_nonsense(&client, "south", "nonsense-2").await?;
        until_reason(&client, "south", "UnreadableReport").await?;
        let run = until_true(&client, "beside", "Complete").await?;
        assert!(run.status.context("no status")?.checkpoint.is_some_and(|c| c.copies.len() == 2));
        let text = hub.metrics.text();
        assert!(text.contains(r#"coalition_objects_unreadable{kind="SiteReport"} 2"#), "{text}");
        // Once they are gone nothing is said of them.
        for (site, name) in [("north", "nonsense-1"), ("south", "nonsense-2")] {
            reports(&client, site).delete(name, &DeleteParams::default()).await?;
            until_reason(&client, site, "Heard").await?;
        }
        let text = hub.metrics.text();
        assert!(text.contains(r#"coalition_objects_unreadable{kind="SiteReport"} 0"#), "{text}");
        Ok(())
    })
}
