//! The images of `cargo xtask images` in a real containerd: the kubelet starts their programs as nobody, on a root file system that
//! nobody can write.

use anyhow::{Context, Result};
use coalition_charts::root;
use coalition_cluster::{Spec, World, wait};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

/// Names the folder of the archives, if it is not `target/images`.
const VARIABLE: &str = "COALITION_IMAGES";

/// How long a pod may take on a busy machine: the trainer reads 400 MB of libraries.
const POD: Duration = Duration::from_mins(2);

/// (image, arguments, what its program says)
const PROGRAMS: &[(&str, &[&str], &str)] =
    &[("operator", &["--help"], "Usage: coalition-operator"), ("trainer", &["--version"], "coalition-trainer ")];

#[test]
fn programs_of_the_images_run_as_nobody_on_a_root_file_system_that_is_read_only() -> Result<()> {
    let folder = std::env::var_os(VARIABLE).map_or_else(|| root().join("target/images"), PathBuf::from);
    let mut there = Vec::new();
    for (image, args, says) in PROGRAMS {
        let archive = folder.join(format!("{image}.tar"));
        if archive.is_file() {
            there.push((*image, *args, *says, archive));
        } else {
            println!("SKIPPED: there is no {}: `cargo xtask images {image} --dev` makes it", archive.display());
        }
    }
    if there.is_empty() {
        return Ok(());
    }
    let Some(world) = World::start_or_skip()? else { return Ok(()) };
    let spec = there.iter().fold(Spec::whole("north", 1), |spec, (.., archive)| spec.with_image_file(archive));
    let north = world.cluster(spec)?;
    // What the chart asks of its own pods, and the site of workers'.
    north.kubectl(&["label", "namespace", "default", "pod-security.kubernetes.io/enforce=restricted"])?;
    for (image, args, says, _) in there {
        world
            .run(async {
                let pods: Api<Pod> = Api::namespaced(north.client().await?, "default");
                let pod: Pod = serde_json::from_value(json!({
                    "metadata": {"name": image},
                    "spec": {
                        "restartPolicy": "Never",
                        "automountServiceAccountToken": false,
                        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                        "containers": [{
                            "name": image,
                            "image": format!("coalition.local/{image}:{}", env!("CARGO_PKG_VERSION")),
                            "imagePullPolicy": "Never",
                            "args": args,
                            "securityContext": {
                                "allowPrivilegeEscalation": false,
                                "readOnlyRootFilesystem": true,
                                "capabilities": {"drop": ["ALL"]},
                            },
                        }],
                    },
                }))?;
                pods.create(&PostParams::default(), &pod).await?;
                wait::until_async(&format!("pod {image} to end"), POD, || async {
                    let status = pods.get_opt(image).await?.and_then(|pod| pod.status);
                    let phase = status.and_then(|s| s.phase).unwrap_or_default();
                    Ok((phase == "Succeeded" || phase == "Failed").then_some(()))
                })
                .await
            })
            .with_context(|| north.kubectl(&["describe", "pod", image]).unwrap_or_default())?;
        let said = north.kubectl(&["logs", image])?;
        assert!(said.contains(says), "{image} {args:?} said: {said}");
        let phase = north.kubectl(&["get", "pod", image, "-o", "jsonpath={.status.phase}"])?;
        assert_eq!(phase, "Succeeded", "{image}");
    }
    Ok(())
}
