//! An API server of its own for a test: quick to have, real, and ours are at home in it.

use anyhow::{Context, Result};
use coalition_cluster::{Place, Spec, World};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::PostParams;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

#[test]
fn an_api_server_is_up_within_fifteen_seconds_and_keeps_what_it_is_given() -> Result<()> {
    let start = Instant::now();
    let Some(world) = World::start_or_skip()? else { return Ok(()) };
    let hub = world.cluster(Spec::api("hub"))?;
    let up = start.elapsed();
    world.run(async {
        let maps: Api<ConfigMap> = Api::namespaced(hub.client().await?, "default");
        let data = Some([("key".to_owned(), "value".to_owned())].into());
        let mut map = ConfigMap { data, ..ConfigMap::default() };
        map.metadata.name = Some("kept".to_owned());
        maps.create(&PostParams::default(), &map).await?;
        assert_eq!(maps.get("kept").await?.data, map.data);
        Ok(())
    })?;
    println!("up in {:.1} s", up.as_secs_f64());
    assert!(up < Duration::from_secs(15), "an API server took {up:?}");
    Ok(())
}

#[test]
fn our_kinds_are_served_and_judge_by_themselves() -> Result<()> {
    let Some(world) = World::start_or_skip()? else { return Ok(()) };
    let hub = world.cluster(Spec::api("hub"))?;
    let root = fs::canonicalize(ROOT)?;
    // On the server's side: the schemas are too long for the note that the other kind of apply leaves.
    let crds = root.join("crds/yaml");
    hub.kubectl(&["apply", "--server-side", "-f", path(&crds)?])?;
    hub.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", "-f", path(&crds)?])?;
    let mut examples = 0;
    for entry in fs::read_dir(root.join("crds/examples"))? {
        let example = entry?.path();
        hub.kubectl(&["apply", "--server-side", "-f", path(&example)?])
            .with_context(|| format!("{} is refused", example.display()))?;
        examples += 1;
    }
    assert!(examples > 0, "there are no examples");

    let good = fs::read_to_string(root.join("crds/examples/quickstart.yaml"))?;
    let bad = good.replace("name: quickstart", "name: bad").replace("min: 1 ", "min: 3 ");
    assert!(bad.contains("min: 3"), "the example has another form now: {good}");
    let file = world.folder().join("bad.yaml");
    fs::write(&file, bad)?;
    let refused = hub.kubectl(&["apply", "--server-side", "-f", path(&file)?]);
    let why = format!("{:#}", refused.err().context("more sites at least than at most were accepted")?);
    assert!(why.contains("must be at most max") && why.contains("lower min or raise max"), "{why}");
    Ok(())
}

#[test]
fn two_clusters_reach_each_other_and_nothing_else() -> Result<()> {
    let Some(world) = World::start_or_skip()? else { return Ok(()) };
    let hub = world.cluster(Spec::api("hub"))?;
    let north = world.cluster(Spec::api("north"))?;
    // From the one cluster's machine to the other's API server, with the other's certificates.
    hub.run(async {
        north.client().await?.apiserver_version().await?;
        Ok(())
    })?;
    let other = world.cluster(Spec::api("hub")).err().context("two clusters of one name")?;
    assert!(format!("{other:#}").contains("has a cluster hub already"), "{other:#}");
    let routes = hub.exec(Place::Control, Path::new("/sbin/ip"), &["route", "show", "default"])?;
    assert_eq!(routes, "", "a way out of the world");
    // What nobody here listens to: an address outside of every range of ours is refused at once.
    let out = world
        .run(async { Ok(tokio::net::TcpStream::connect("192.0.2.1:443").await.err().map(|error| error.kind())) })?;
    assert_eq!(out, Some(std::io::ErrorKind::NetworkUnreachable));
    Ok(())
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}
