//! Pinned Go programs of the tests: each family is a module of its own in `e2e/tools`, so that their versions do not meet,
//! and one entry of the cache, named by the hash of its go.mod and go.sum. Must not know what they are used for.

use crate::build::root;
use crate::cache::{Cache, key};
use crate::{need, proc, say};
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Programs that are built from one module.
pub struct Family {
    /// Its folder in `e2e/tools`.
    pub module: &'static str,
    /// Each program's name and package.
    pub programs: &'static [(&'static str, &'static str)],
    /// What they are, for the announcement.
    what: &'static str,
    /// Measured cold build time on two cores, to announce.
    minutes: &'static str,
    /// Whether the version must be stamped in, as Kubernetes wants it: else it calls itself v0.0.0.
    stamped: bool,
}

/// The S3 server of the store tests.
pub const S3: Family = Family {
    module: "s3",
    programs: &[("versitygw", "github.com/versity/versitygw/cmd/versitygw")],
    what: "versitygw, a small S3 server for the tests (fetches about 70 Go modules)",
    minutes: "2 minutes",
    stamped: false,
};
/// Kubernetes itself.
pub const KUBERNETES: Family = Family {
    module: "k8s",
    programs: &[
        ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
        ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
        ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
        ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
        ("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
        ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    ],
    what: "Kubernetes: API server, controllers, scheduler, kubelet, proxy, kubectl (fetches about 110 Go modules; 2 GB of memory)",
    minutes: "5 minutes",
    stamped: true,
};
/// Where an API server keeps everything.
pub const ETCD: Family = Family {
    module: "etcd",
    programs: &[("etcd", "go.etcd.io/etcd/server/v3")],
    what: "etcd",
    minutes: "40 seconds",
    stamped: false,
};
/// Nodes and pods that are none.
pub const KWOK: Family = Family {
    module: "kwok",
    programs: &[("kwok", "sigs.k8s.io/kwok/cmd/kwok")],
    what: "kwok, which plays nodes",
    minutes: "2 minutes",
    stamped: false,
};
/// What people install charts with.
pub const HELM: Family = Family {
    module: "helm",
    programs: &[("helm", "helm.sh/helm/v3/cmd/helm")],
    what: "helm",
    minutes: "2 minutes",
    stamped: false,
};

/// Builds the programs of `family` if the cache lacks them and returns their folder.
pub fn install(cache: &Cache, family: &Family) -> Result<PathBuf> {
    let module = root().join("e2e/tools").join(family.module);
    let read = |file: &str| {
        fs::read_to_string(module.join(file)).with_context(|| format!("cannot read e2e/tools/{}/{file}", family.module))
    };
    let (pins, sums) = (read("go.mod")?, read("go.sum")?);
    let name = format!("go-{}-{}", family.module, key([pins.as_bytes(), sums.as_bytes()]));
    let flags = if family.stamped { format!("-s -w {}", stamps(&pins)?) } else { "-s -w".to_owned() };
    cache.install(&name, &name, |at| {
        say::line(&format!("building {}: {} on two cores, once", family.what, family.minutes));
        for (program, package) in family.programs {
            let mut go = Command::new(need::find(&need::GO)?);
            go.args(["build", "-p", "2", "-trimpath", "-ldflags", &flags, "-o"])
                .arg(at.join(program))
                .arg(package)
                .current_dir(&module)
                .env("CGO_ENABLED", "0")
                .env("GOFLAGS", "-mod=readonly");
            proc::run(&mut go, &format!("build {program}")).with_context(|| {
                format!(
                    "{program} could not be built. Check `go version` (1.26 is wanted) and the network (go reads GOPROXY), \
                     and run the same command again"
                )
            })?;
        }
        Ok(())
    })
}

/// What tells the Kubernetes programs their version, as the module's go.mod pins it.
fn stamps(pins: &str) -> Result<String> {
    let version = pins
        .lines()
        .find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes v"))
        .and_then(|rest| rest.split_whitespace().next())
        .context("e2e/tools/k8s/go.mod pins no k8s.io/kubernetes")?;
    let mut parts = version.split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let at = "k8s.io/component-base/version";
    Ok(format!(
        "-X {at}.gitVersion=v{version} -X {at}.gitMajor={major} -X {at}.gitMinor={minor} -X {at}.gitTreeState=clean"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_is_a_tool_of_its_module() {
        for family in [&S3, &KUBERNETES, &ETCD, &KWOK, &HELM] {
            let pins = fs::read_to_string(root().join("e2e/tools").join(family.module).join("go.mod")).unwrap();
            let module = format!("module coalition.training/e2e/tools/{}\n", family.module);
            assert!(pins.starts_with(&module), "{}", family.module);
            for (program, package) in family.programs {
                assert!(
                    pins.lines().any(|line| line.trim().trim_start_matches("tool ") == *package),
                    "{program}: e2e/tools/{}/go.mod has no line `tool {package}`",
                    family.module
                );
            }
        }
    }

    #[test]
    fn kubernetes_is_told_its_version() {
        let stamps = stamps("require (\n\tk8s.io/kubernetes v1.36.2 // indirect\n)\n").unwrap();
        assert!(stamps.contains("gitVersion=v1.36.2 ") && stamps.contains("gitMinor=36 "), "{stamps}");
        assert!(super::stamps("module x\n").is_err());
    }
}
