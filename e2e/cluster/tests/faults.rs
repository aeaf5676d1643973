//! Faults do what they say, and their ends undo it.

use anyhow::{Context, Result, bail};
use coalition_cluster::{Cluster, Fault, Link, Place, Spec, Target, World, wait};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::PostParams;
use std::fs;
use std::time::Duration;

/// How long an API server that cannot answer is asked: several times what one that can needs.
const ANSWER: Duration = Duration::from_secs(3);

/// How long a mended cable may take: some of the kernel's looks for a neighbour, a second each.
const MENDED: Duration = Duration::from_secs(20);

/// Whether the API answers, asked with a client of its own on the current runtime.
async fn answers(cluster: &Cluster) -> bool {
    let ask = async { anyhow::Ok(cluster.client().await?.apiserver_version().await?) };
    matches!(tokio::time::timeout(ANSWER, ask).await, Ok(Ok(_)))
}

async fn write(cluster: &Cluster, name: &str) -> Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client().await?, "default");
    let mut map = ConfigMap::default();
    map.metadata.name = Some(name.to_owned());
    match tokio::time::timeout(ANSWER, maps.create(&PostParams::default(), &map)).await {
        Ok(made) => made.map(drop).context("refused"),
        Err(_) => bail!("no answer"),
    }
}

async fn has(cluster: &Cluster, name: &str) -> Result<bool> {
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client().await?, "default");
    Ok(maps.get_opt(name).await?.is_some())
}

#[test]
fn a_killed_etcd_comes_back_with_its_data() -> Result<()> {
    let Some(world) = World::start_or_skip()? else { return Ok(()) };
    let hub = world.cluster(Spec::api("hub"))?;
    world.run(write(&hub, "before"))?;
    hub.apply(&Fault::EtcdDown)?;
    assert!(world.run(write(&hub, "meanwhile")).is_err(), "written without a database");
    hub.apply(&Fault::EtcdUp)?;
    world.run(async {
        assert!(has(&hub, "before").await?, "what was written before the kill is gone");
        write(&hub, "after").await
    })?;
    hub.apply(&Fault::ApiServerDown)?;
    assert!(!world.run(async { Ok(answers(&hub).await) })?);
    hub.apply(&Fault::ApiServerUp)?;
    assert!(world.run(has(&hub, "after"))?);
    Ok(())
}

#[test]
fn a_cut_site_is_unreachable_and_goes_on() -> Result<()> {
    let Some(world) = World::start_or_skip()? else { return Ok(()) };
    let north = world.cluster(Spec::api("north"))?;
    let ask = || world.run(async { Ok(answers(&north).await) });
    assert!(ask()?);
    for link in [Link::Site, Link::Machine(Place::Control)] {
        let cut = Fault::Partition(link);
        north.apply(&cut)?;
        assert!(!ask()?, "the API answers through a cut cable ({cut})");
        let name = format!("inside-{}", if link == Link::Site { "site" } else { "machine" });
        north.run(write(&north, &name)).context("the site does not go on by itself")?;
        north.apply(&cut.end().context("a cut has an end")?)?;
        // A neighbour that did not answer stays unreachable to the kernel for a second or three.
        let again = || async { Ok(answers(&north).await.then_some(())) };
        world.run(wait::until_async("the API through the mended cable", MENDED, again))?;
        assert!(world.run(has(&north, &name))?);
    }
    Ok(())
}

#[test]
fn a_halted_program_answers_nothing_until_it_goes_on() -> Result<()> {
    let Some(world) = World::start_or_skip()? else { return Ok(()) };
    let hub = world.cluster(Spec::api("hub"))?;
    let stop = Fault::Stop(Target::new(Place::Control, "kube-apiserver"));
    hub.apply(&stop)?;
    assert!(!world.run(async { Ok(answers(&hub).await) })?);
    hub.apply(&stop.end().context("a stop has an end")?)?;
    assert!(world.run(async { Ok(answers(&hub).await) })?);

    hub.apply(&Fault::Kill(Target::new(Place::Control, "kube-apiserver")))?;
    assert!(!world.run(async { Ok(answers(&hub).await) })?);
    let nobody = hub.apply(&Fault::Kill(Target::new(Place::Control, "kube-apiserver")));
    let why = format!("{:#}", nobody.err().context("a fault that hits nothing is no fault")?);
    assert!(why.contains("no process `kube-apiserver` on the control plane runs"), "{why}");
    hub.apply(&Fault::ApiServerUp)
}

#[test]
fn a_full_disk_takes_no_byte_until_there_is_room() -> Result<()> {
    let Some(world) = World::start_or_skip()? else { return Ok(()) };
    let hub = world.cluster(Spec::api("hub").with_store(1 << 20))?;
    let file = hub.store().join("object");
    fs::write(&file, [1; 4096])?;
    hub.apply(&Fault::FullDisk)?;
    let full = fs::write(hub.store().join("another"), vec![1; 65536]).err().context("a full disk took 64 KiB")?;
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(fs::read(&file)?, [1; 4096], "what was written before is still there");
    hub.apply(&Fault::RoomOnDisk)?;
    fs::write(hub.store().join("another"), vec![1; 65536])?;
    Ok(())
}
