//! Containers run on real nodes, and played nodes take pods by the hundred.

use anyhow::{Context, Result};
use coalition_cluster::{Cluster, FAKE, Fault, Image, Place, Spec, Target, World, image, wait};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// How long a pod may take, on a busy machine: 1 s alone.
const POD: Duration = Duration::from_mins(1);

fn pod(name: &str, spec: Value) -> Result<Pod> {
    serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).context("no pod")
}

fn shell(name: &str, line: &str) -> Value {
    json!({"name": name, "image": image::BUSYBOX, "command": ["/bin/sh", "-c", line]})
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    statuses.iter().map(|status| status.restart_count).sum()
}

async fn until(cluster: &Cluster, name: &str, what: &str, is: impl Fn(&Pod) -> bool) -> Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(cluster.client().await?, "default");
    wait::until_async(&format!("pod {name} to {what}"), POD, || async {
        Ok(pods.get_opt(name).await?.filter(|pod| is(pod)))
    })
    .await
}

#[test]
fn a_pod_runs_on_a_real_node_and_survives_what_its_node_does() -> Result<()> {
    let Some(world) = World::start_or_skip()? else { return Ok(()) };
    let own = Image::new("local.test/own:1", &["/bin/busybox", "sleep", "1000"])
        .with_file("bin/busybox", &world.tools().path("busybox")?);
    let north = world.cluster(Spec::whole("north", 1).with_image(own))?;
    world.run(async {
        let pods: Api<Pod> = Api::namespaced(north.client().await?, "default");
        let containers =
            json!([shell("says", "echo here I am; sleep 1000"), {"name": "own", "image": "local.test/own:1"}]);
        pods.create(&PostParams::default(), &pod("first", json!({"containers": containers}))?).await?;
        let first = until(&north, "first", "run", |pod| phase(pod) == "Running").await?;
        assert_eq!(first.spec.and_then(|spec| spec.node_name).as_deref(), Some("north-1"));
        Ok(())
    })?;
    assert_eq!(north.kubectl(&["logs", "first", "-c", "says"])?, "here I am\n");
    assert_eq!(north.kubectl(&["exec", "first", "-c", "says", "--", "/bin/sh", "-c", "echo $((6*7))"])?, "42\n");

    let other = Target::new(Place::Node(1), "busybox").with_argument("no such");
    assert!(north.apply(&Fault::Kill(other)).is_err(), "a process with another argument was taken");
    // A container's process is killed like any other; the kubelet starts it again.
    north.apply(&Fault::Kill(Target::new(Place::Node(1), "busybox").with_argument("sleep")))?;
    world.run(async { until(&north, "first", "restart", |pod| restarts(pod) >= 1).await.map(drop) })?;

    let down = Fault::KubeletKilled { node: 1 };
    north.apply(&down)?;
    let unready = "--for=jsonpath={.status.conditions[?(@.type==\"Ready\")].status}=Unknown";
    north.kubectl(&["wait", unready, "node/north-1", "--timeout=40s"])?;
    north.apply(&down.end().context("it comes back")?)?;

    let before = world.run(async { until(&north, "first", "run", |pod| phase(pod) == "Running").await })?;
    let down = Fault::NodeKilled { node: 1 };
    north.apply(&down)?;
    assert!(north.exec(Place::Node(1), Path::new("/bin/true"), &[]).is_err(), "something runs on a node without power");
    north.apply(&down.end().context("it comes back")?)?;
    // The API still shows what was before: only another start of the containers is news.
    world.run(async {
        let more = restarts(&before) + 1;
        until(&north, "first", "run again", |pod| phase(pod) == "Running" && restarts(pod) > more).await.map(drop)
    })
}

#[test]
fn services_lead_from_pod_to_pod_across_nodes_and_to_the_api_server() -> Result<()> {
    let Some(world) = World::start_or_skip()? else { return Ok(()) };
    let north = world.cluster(Spec::whole("north", 2))?;
    world.run(async {
        let pods: Api<Pod> = Api::namespaced(north.client().await?, "default");
        let serve = shell("web", "echo hello > /hello; exec /bin/httpd -f -p 8080 -h /");
        let mut web = pod("web", json!({"nodeName": north.node_name(1), "containers": [serve]}))?;
        web.metadata.labels = Some([("app".to_owned(), "web".to_owned())].into());
        pods.create(&PostParams::default(), &web).await?;
        until(&north, "web", "run", |pod| phase(pod) == "Running").await?;
        Ok(())
    })?;
    north.kubectl(&["expose", "pod", "web", "--port=80", "--target-port=8080", "--cluster-ip=10.96.7.7"])?;
    // Rules follow a Service within about a second: the client tries until they have.
    let ask = "until printf 'GET /hello HTTP/1.0\\r\\n\\r\\n' | nc -w 2 10.96.7.7 80 | busybox grep hello; do sleep 0.2; done; \
               until nc -w 2 10.96.0.1 443 < /dev/null; do sleep 0.2; done";
    world.run(async {
        let pods: Api<Pod> = Api::namespaced(north.client().await?, "default");
        let spec = json!({"nodeName": north.node_name(2), "restartPolicy": "Never", "containers": [shell("ask", ask)]});
        pods.create(&PostParams::default(), &pod("ask", spec)?).await?;
        until(&north, "ask", "succeed", |pod| phase(pod) == "Succeeded").await.map(drop)
    })?;
    assert_eq!(north.kubectl(&["logs", "ask"])?, "hello\n");
    Ok(())
}

#[test]
fn pods_find_services_by_name_and_the_store_by_its_address_also_without_an_api_server() -> Result<()> {
    let Some(world) = World::start_or_skip()? else { return Ok(()) };
    let north = world.cluster(Spec::whole("north", 1).with_s3())?;
    world.run(async {
        let pods: Api<Pod> = Api::namespaced(north.client().await?, "default");
        pods.create(&PostParams::default(), &pod("asks", json!({"containers": [shell("asks", "sleep 1000")]}))?)
            .await?;
        until(&north, "asks", "run", |pod| phase(pod) == "Running").await.map(drop)
    })?;
    north.kubectl(&["create", "service", "clusterip", "web", "--tcp=80", "--clusterip=10.96.7.7"])?;
    let ask = |line: &str| north.kubectl(&["exec", "asks", "--", "/bin/sh", "-c", line]);
    let known = ask("until nslookup web.default.svc.cluster.local; do sleep 0.1; done")?;
    assert!(known.contains("10.96.7.7"), "{known}");
    let resolver = ask("cat /etc/resolv.conf")?;
    assert!(resolver.contains("search default.svc.cluster.local svc.cluster.local cluster.local"), "{resolver}");
    assert!(ask("nslookup nobody.default.svc.cluster.local").is_err(), "a name that nobody has was answered");
    let s3 = north.s3()?;
    let address = s3.endpoint.trim_start_matches("http://").replace(':', " ");
    let health = ask(&format!("printf 'GET /health HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {address}"))?;
    assert!(health.starts_with("HTTP/1.1 200") || health.starts_with("HTTP/1.0 200"), "{health}");

    // What is known stays known while the API server is away; asked on the node, since kubectl goes by the API server.
    north.apply(&Fault::ApiServerDown)?;
    let node = north.node_address(1)?.to_string();
    let busybox = world.tools().path("busybox")?;
    let still = north.exec(Place::Node(1), &busybox, &["nslookup", "web.default.svc.cluster.local", &node])?;
    assert!(still.contains("10.96.7.7"), "{still}");
    north.apply(&Fault::ApiServerUp)
}

#[test]
fn played_nodes_take_pods_by_their_gpus() -> Result<()> {
    let Some(world) = World::start_or_skip()? else { return Ok(()) };
    let hub = world.cluster(Spec::api("hub").with_fake_nodes(4))?;
    world.run(async {
        let pods: Api<Pod> = Api::namespaced(hub.client().await?, "default");
        // Four nodes of 8 GPUs: five pods of 8 are one too many.
        for index in 0..5 {
            let spec = json!({
                "tolerations": [{"key": FAKE, "operator": "Exists"}],
                "containers": [{"name": "work", "image": "none", "resources": {"limits": {"nvidia.com/gpu": "8"}}}],
            });
            pods.create(&PostParams::default(), &pod(&format!("gang-{index}"), spec)?).await?;
        }
        let count = |phase_: &'static str| {
            let pods = pods.clone();
            async move {
                let all = pods.list(&ListParams::default()).await?;
                anyhow::Ok(all.items.iter().filter(|pod| phase(pod) == phase_).count())
            }
        };
        wait::until_async("four pods to run", POD, || async { Ok((count("Running").await? == 4).then_some(())) })
            .await?;
        assert_eq!(count("Pending").await?, 1);
        Ok(())
    })
}
