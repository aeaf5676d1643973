//! The flags and configuration files of every Kubernetes component. Each that is not obvious says why. Must not know when
//! they are started.

use crate::audit;
use crate::dns::ZONE;
use crate::machine::Machine;
use crate::pki::Authority;
use crate::tools::CNI;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// Cluster addresses of Services, the same in every cluster.
pub const SERVICES: &str = "10.96.0.0/16";
/// Addresses of all pods of a world: machine N has 10.244.N.0/24.
const PODS: &str = "10.244.0.0/16";
/// kwok's own port, which it has no default for.
pub const KWOK: u16 = 10247;

fn owned<const N: usize>(args: [&str; N]) -> Vec<String> {
    args.map(str::to_owned).to_vec()
}

/// etcd with its data in `folder`.
pub fn etcd(folder: &Path) -> Vec<String> {
    vec![
        format!("--data-dir={}", folder.join("etcd").display()),
        // A killed process loses nothing by it: the kernel has the bytes. Only a real power cut would.
        "--unsafe-no-fsync".to_owned(),
        "--listen-client-urls=http://127.0.0.1:2379".to_owned(),
        "--advertise-client-urls=http://127.0.0.1:2379".to_owned(),
        "--listen-peer-urls=http://127.0.0.1:2380".to_owned(),
    ]
}

/// kube-apiserver that others reach at `address`; its files lie in `folder`.
pub fn api(ca: &Authority, address: Ipv4Addr, folder: &Path) -> Result<Vec<String>> {
    let mut args = vec![
        format!("--advertise-address={address}"),
        format!("--tls-cert-file={}", ca.path("apiserver.crt")),
        format!("--tls-private-key-file={}", ca.path("apiserver.key")),
        format!("--client-ca-file={}", ca.path("ca.crt")),
        format!("--service-account-key-file={}", ca.path("sa.pub")),
        format!("--service-account-signing-key-file={}", ca.path("sa.key")),
        format!("--service-cluster-ip-range={SERVICES}"),
        format!("--kubelet-client-certificate={}", ca.path("apiserver-kubelet.crt")),
        format!("--kubelet-client-key={}", ca.path("apiserver-kubelet.key")),
        format!("--kubelet-certificate-authority={}", ca.path("ca.crt")),
    ];
    args.extend(owned([
        "--etcd-servers=http://127.0.0.1:2379",
        "--bind-address=0.0.0.0",
        "--secure-port=6443",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--authorization-mode=Node,RBAC",
        // The second asks whoever makes an object that holds its owner for the right to do so, as some distributions do.
        "--enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement",
        // Names of nodes resolve nowhere.
        "--kubelet-preferred-address-types=InternalIP",
        "--allow-privileged=true",
        // Five seconds instead of five minutes: a test of a lost node shall not wait longer than its point.
        "--default-not-ready-toleration-seconds=5",
        "--default-unreachable-toleration-seconds=5",
    ]));
    args.extend(audit::flags(folder)?);
    Ok(args)
}

/// kube-controller-manager with the kubeconfig `config`.
pub fn controller_manager(ca: &Authority, config: &str) -> Vec<String> {
    let mut args = vec![
        format!("--kubeconfig={config}"),
        format!("--authentication-kubeconfig={config}"),
        format!("--authorization-kubeconfig={config}"),
        format!("--root-ca-file={}", ca.path("ca.crt")),
        format!("--service-account-private-key-file={}", ca.path("sa.key")),
        format!("--cluster-signing-cert-file={}", ca.path("ca.crt")),
        format!("--cluster-signing-key-file={}", ca.path("ca.key")),
    ];
    args.extend(owned([
        "--bind-address=127.0.0.1",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        // With the default 20 the first ServiceAccount takes 5 s longer and large sets of pods crawl.
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        // A silent node counts as lost after 8 s (40 by default): it fits the leases of 8 s that nodes renew every 2.
        "--node-monitor-period=1s",
        "--node-monitor-grace-period=8s",
    ]));
    args
}

/// kube-scheduler with the kubeconfig `config`; its configuration goes to `folder`.
pub fn scheduler(folder: &Path, config: &str) -> Result<Vec<String>> {
    let file = write(
        folder.join("scheduler.json"),
        &json!({
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "clientConnection": {"kubeconfig": config, "qps": 500, "burst": 1000},
            "leaderElection": {"leaderElect": false},
        }),
    )?;
    Ok(vec![
        format!("--config={file}"),
        format!("--authentication-kubeconfig={config}"),
        format!("--authorization-kubeconfig={config}"),
        "--bind-address=127.0.0.1".to_owned(),
    ])
}

/// kwok, which plays the nodes that carry its annotation by the rules in `stages`.
pub fn kwok(admin: &Path, stages: &Path) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", admin.display()),
        format!("--config={}", stages.display()),
        "--manage-all-nodes=false".to_owned(),
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake".to_owned(),
        // Renewed every 4 s: with 40 they flap under the grace of 8 s above.
        "--node-lease-duration-seconds=16".to_owned(),
        "--node-ip=127.0.0.1".to_owned(),
        format!("--server-address=127.0.0.1:{KWOK}"),
    ]
}

/// containerd on `machine`, version 1.6 as Debian 12 has it.
pub fn containerd(machine: &Machine) -> Result<Vec<String>> {
    let path = machine.folder().join("containerd.toml");
    // restrict_oom_score_adj: root of some virtual machines may not lower it, and then no sandbox would start.
    let text = format!(
        "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\n  sandbox_image = \"{}\"\n  disable_apparmor = true\n  \
         restrict_oom_score_adj = true\n  [plugins.\"io.containerd.grpc.v1.cri\".cni]\n    bin_dir = \"{CNI}\"\n",
        crate::image::PAUSE
    );
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    // Each node's pods hang on a bridge of its own; the machine's routes lead to those of the others.
    let network = json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipMasq": false,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": machine.pods()}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    });
    let folder = machine.folder().join("root/etc/cni/net.d");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    write(folder.join("10-pods.conflist"), &network)?;
    Ok(vec!["-c".to_owned(), path.display().to_string()])
}

/// kubelet on `machine` with the kubeconfig `config`; certificates are `NAME-serving.*` of the machine's name.
pub fn kubelet(machine: &Machine, ca: &Authority, config: &Path) -> Result<Vec<String>> {
    let name = machine.name();
    let file = write(
        machine.folder().join("kubelet.json"),
        &json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": "0.0.0.0",
            "authentication": {
                "anonymous": {"enabled": false},
                "webhook": {"enabled": true},
                "x509": {"clientCAFile": ca.path("ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": ca.path(&format!("{name}-serving.crt")),
            "tlsPrivateKeyFile": ca.path(&format!("{name}-serving.key")),
            "cgroupDriver": "cgroupfs",
            // Its own: every kubelet removes what it does not know below its root, also another kubelet's pods.
            "cgroupRoot": format!("/{}", machine.cgroup()),
            "failCgroupV1": false,
            "failSwapOn": false,
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            // Renewed every 2 s, for the grace of 8 s at the controller manager.
            "nodeLeaseDurationSeconds": 8,
            "nodeStatusUpdateFrequency": "2s",
            // Images cannot be fetched again: never collect them.
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "makeIPTablesUtilChains": false,
            "clusterDNS": [machine.address().to_string()],
            "clusterDomain": ZONE,
            // What the machine itself asks leads nowhere.
            "resolvConf": "",
            "volumePluginDir": "/var/lib/kubelet/volumeplugins",
        }),
    )?;
    Ok(vec![
        format!("--config={file}"),
        format!("--kubeconfig={}", config.display()),
        format!("--hostname-override={name}"),
        format!("--node-ip={}", machine.address()),
    ])
}

/// kube-proxy on `machine` with the kubeconfig `config`.
pub fn proxy(machine: &Machine, config: &Path) -> Result<Vec<String>> {
    let file = write(
        machine.folder().join("kube-proxy.json"),
        &json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clientConnection": {"kubeconfig": config.display().to_string()},
            "hostnameOverride": machine.name(),
            "clusterCIDR": PODS,
            "bindAddress": "0.0.0.0",
            "healthzBindAddress": "127.0.0.1:10256",
            "metricsBindAddress": "127.0.0.1:10249",
            // It ends where these settings of the kernel cannot be written, as in a namespace: ask for none.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        }),
    )?;
    Ok(vec![format!("--config={file}")])
}

/// JSON is YAML too, and needs no template.
fn write(path: PathBuf, value: &Value) -> Result<String> {
    fs::write(&path, format!("{value:#}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path.display().to_string())
}
