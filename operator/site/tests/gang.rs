//! A request of the hub becomes pods, and what happens to them: one run from its beginning to its suspension.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
mod support;

use anyhow::Result;
use coalition_cluster::{World, wait};
use coalition_crds::names::OWNER_STOP_ANNOTATION;
use coalition_crds::site_report::SITE;
use coalition_protocol::messages::{Desired, SiteReport as Message};
use coalition_site::{Access, names};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::Api;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use support::{Api1, LONG, samples};

const AT: &str = "127.0.0.1:8470";

fn join(worker: u32, process: &str, ip: &str) -> Value {
    json!({"worker": worker, "process": process, "listen": format!("{ip}:4000"), "class": "a".repeat(64)})
}

async fn both_join(t: &Api1, tokens: &[String; 2], processes: [&str; 2], ips: [&str; 2]) -> Result<Value> {
    let (a, b) = (join(0, processes[0], ips[0]), join(1, processes[1], ips[1]));
    let (a, b) = tokio::join!(t.post(AT, &tokens[0], "/v1/join", &a), t.post(AT, &tokens[1], "/v1/join", &b));
    let (a, b) = (a?, b?);
    assert_eq!((a.0, b.0), (200, 200), "{a:?} {b:?}");
    assert_eq!(a.1, b.1, "both are told the same gang");
    Ok(a.1)
}

async fn report(t: &Api1, what: &str, look: impl Fn(&Message) -> bool) -> Result<()> {
    wait::until_async(what, LONG, || async {
        let found = t.reports().get_opt(samples::RUN).await?.and_then(|r| r.spec.run);
        Ok(found.filter(|r| look(r)).map(drop))
    })
    .await
}

#[test]
fn a_gang_from_its_request_to_its_suspension() -> Result<()> {
    let Some(world) = World::start_or_skip()? else { return Ok(()) };
    let cluster = support::cluster(&world)?;
    let store = world.folder().join("store");
    cluster.run(async {
        let mut t = Api1::new(&cluster).await?;
        t.node("node-1", true).await?;
        support::history::write(&t.client).await?;
        let _stop = t.site(&store, AT, Access::OneCluster).await?;
        t.ask(|_| ()).await?;
        begins(&t).await?;
        let pods = t.current("the first pods", [1, 1]).await?;
        let tokens = forms(&t, &pods).await?;
        let pods = is_replaced(&t, &pods, tokens).await?;
        is_suspended(&t, &pods).await
    })
}

/// The hub hears of the site, and its request becomes what the pods need.
async fn begins(t: &Api1) -> Result<()> {
    t.current("the first pods", [1, 1]).await?;
    let maps: Api<ConfigMap> = Api::namespaced(t.client.clone(), "training");
    let configs: Vec<String> = t.names(&maps).await?.into_iter().filter(|n| n.contains("worker")).collect();
    assert_eq!(configs.len(), 1, "{configs:?}");
    report(t, "the opening entry to be reported", |r| r.opened.is_some_and(|o| o.0 == 1)).await?;
    wait::until_async("what the site has", LONG, || async { Ok(t.reports().get_opt(SITE).await?) }).await?;
    t.ask_unlisted("other-0123456789").await?;
    wait::until_async("a refusal", LONG, || async {
        let told = t.reports().get_opt("other-0123456789").await?.and_then(|r| r.spec.run);
        Ok(told.filter(|r| r.refusals.keys().eq(["NamespaceNotListed"])).map(drop))
    })
    .await?;
    assert_eq!(t.names(&t.gangs()).await?, [samples::RUN], "nothing is made of what is refused");
    let leases: Api<Lease> = Api::namespaced(t.client.clone(), "site-north");
    wait::until_async("a sign of life", LONG, || async { Ok(leases.get_opt("site").await?) }).await?;
    Ok(())
}

/// Workers meet, each by the token of its own pod and by no other.
async fn forms(t: &Api1, pods: &[Pod]) -> Result<[String; 2]> {
    let tokens = [t.token(&pods[0], names::AUDIENCE).await?, t.token(&pods[1], names::AUDIENCE).await?];
    t.start(&pods[0], "10.1.0.1").await?;
    t.start(&pods[1], "10.1.0.2").await?;
    let reply = both_join(t, &tokens, ["a", "b"], ["10.1.0.1", "10.1.0.2"]).await?;
    assert_eq!(reply["attempt"], 1);
    let secret = t.gang("the first attempt", |g| {
        let s = g.status.as_ref()?;
        (s.attempt == 1 && s.workers_ready == 2).then(|| s.token_secret_name.clone())?
    });
    let secret = secret.await?;
    let secrets: Api<Secret> = Api::namespaced(t.client.clone(), "training");
    let held = secrets.get(&secret).await?.data.unwrap()["token"].0.clone();
    assert_eq!(String::from_utf8(held)?, reply["token"].as_str().unwrap());
    let gang = serde_json::to_string(&t.gangs().get(samples::RUN).await?)?;
    assert!(!gang.contains(reply["token"].as_str().unwrap()), "the token stands in the Gang");

    let other = t.post(AT, &tokens[0], "/v1/permit", &json!({"worker": 1, "process": "b"})).await?;
    assert_eq!((other.0, other.1["reason"].as_str()), (401, Some("Unauthorized")), "another's name: {other:?}");
    let elsewhere = t.token(&pods[0], "somebody-else").await?;
    for token in [elsewhere.as_str(), "nonsense", ""] {
        assert_eq!(t.view(AT, token).await?.0, 401, "{token:.20}");
    }
    let (code, view) = t.view(AT, &tokens[0]).await?;
    assert_eq!((code, view["attempt"].as_u64(), view["records"].as_array().map(Vec::len)), (200, Some(1), Some(1)));

    // The owner's stop looks to the workers as a suspension does, and goes with its annotation.
    t.orders(AT, &tokens[0], 0, "restart").await?;
    t.annotate(OWNER_STOP_ANNOTATION, Some("maintenance")).await?;
    t.orders(AT, &tokens[0], 0, "leave").await?;
    assert_eq!(t.view(AT, &tokens[0]).await?.1["siteRun"]["desired"], "suspend");
    t.annotate(OWNER_STOP_ANNOTATION, None).await?;
    t.orders(AT, &tokens[0], 0, "restart").await?;
    Ok(tokens)
}

/// A pod that is gone or fails is followed by another, and what is left of it can write nothing.
async fn is_replaced(t: &Api1, pods: &[Pod], tokens: [String; 2]) -> Result<Vec<Pod>> {
    // Somebody writes the object meanwhile: the next write of ours finds another version and goes on.
    t.annotate("example.org/note", Some("looked at")).await?;
    t.remove(&pods[1]).await?;
    let pods = t.current("a pod after the one that was removed", [1, 2]).await?;
    let stale = t.post(AT, &tokens[1], "/v1/permit", &json!({"worker": 1, "process": "b"})).await?;
    assert_eq!(stale.0, 401, "a pod that was replaced: {stale:?}");
    let token = t.token(&pods[1], names::AUDIENCE).await?;
    t.start(&pods[1], "10.1.0.3").await?;
    let tokens = [tokens[0].clone(), token];
    let reply = both_join(t, &tokens, ["a2", "c"], ["10.1.0.1", "10.1.0.3"]).await?;
    assert_eq!(reply["attempt"], 2);

    t.end_for_memory(&pods[0], "10.1.0.1").await?;
    let pods = t.current("a pod after the one that failed", [2, 2]).await?;
    t.gang("the failure", |g| {
        let s = g.status.as_ref()?;
        (s.failed == 1 && s.failures[0].exit_code == 137 && s.failures[0].worker == 0).then_some(())
    })
    .await?;
    // What it could not say itself is the last line of what is told of it.
    report(t, "the failure to be reported", |r| {
        r.gang.last_failure.as_ref().is_some_and(|f| {
            f.exit_code == 137 && f.log.lines().next_back().is_some_and(|l| l.starts_with("out of memory: "))
        })
    })
    .await?;

    // A node that does not answer: its pod's worker gets another at once, and the old one is to go.
    t.start(&pods[0], "10.1.0.4").await?;
    let tokens = [t.token(&pods[0], names::AUDIENCE).await?, tokens[1].clone()];
    both_join(t, &tokens, ["d", "c2"], ["10.1.0.4", "10.1.0.3"]).await?;
    t.node("node-1", false).await?;
    let pods = t.current("pods after their node fell silent", [3, 3]).await?;
    assert_eq!(t.view(AT, &tokens[0]).await?.0, 401, "a pod on a silent node");
    t.gang("that a silent node is nobody's failure", |g| (g.status.as_ref()?.failed == 1).then_some(())).await?;
    t.node("node-1", true).await?;
    Ok(pods)
}

/// Workers leave by themselves, and the hub hears that all did.
async fn is_suspended(t: &Api1, pods: &[Pod]) -> Result<()> {
    let tokens = [t.token(&pods[0], names::AUDIENCE).await?, t.token(&pods[1], names::AUDIENCE).await?];
    t.start(&pods[0], "10.1.0.5").await?;
    t.start(&pods[1], "10.1.0.6").await?;
    both_join(t, &tokens, ["e", "f"], ["10.1.0.5", "10.1.0.6"]).await?;
    t.ask(|a| a["desired"] = json!("suspend")).await?;
    for (worker, process) in [(0, "e"), (1, "f")] {
        let token = &tokens[worker];
        t.orders(AT, token, worker as u32, "leave").await?;
        let exit = json!({"worker": worker, "process": process, "exitCode": 143, "log": ""});
        assert_eq!(t.post(AT, token, "/v1/exit", &exit).await?.0, 200);
        t.end(&pods[worker], "10.1.0.5", 143).await?;
    }
    report(t, "that all left", |r| r.gang.stopped).await?;
    let births: Vec<i64> = t.gangs().get(samples::RUN).await?.status.unwrap().pods.iter().map(|p| p.birth).collect();
    assert_eq!(births, [3, 3], "nothing starts while it is suspended");
    t.ask(|_| ()).await?;
    t.current("pods after it was resumed", [4, 4]).await?;
    // What the hub asks no more, having asked to stop, goes.
    t.ask(|a| a["desired"] = json!("stop")).await?;
    // A hub waits for it too: a request that goes before its stop was seen leaves the gang to whoever asks next.
    t.gang("the stop to be mirrored", |g| (g.spec.site_run.message.desired == Desired::Stop).then_some(())).await?;
    t.asked().delete(samples::RUN, &DeleteParams::default()).await?;
    wait::until_async("the gang to go", LONG, || async {
        Ok(t.gangs().get_opt(samples::RUN).await?.is_none().then_some(()))
    })
    .await
}
