//! Debian packages that real nodes need: installed with apt when they are missing, and said before. Must not know what for.

use crate::{proc, say};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// Each package and a file it brings.
const PACKAGES: [(&str, &str); 10] = [
    ("containerd", "/usr/bin/containerd"),
    ("runc", "/usr/sbin/runc"),
    ("containernetworking-plugins", "/usr/lib/cni/bridge"),
    ("iptables", "/usr/sbin/iptables"),
    ("nftables", "/usr/sbin/nft"),
    ("iproute2", "/usr/sbin/ip"),
    ("conntrack", "/usr/sbin/conntrack"),
    ("socat", "/usr/bin/socat"),
    ("ethtool", "/usr/sbin/ethtool"),
    ("busybox-static", "/usr/bin/busybox"),
];

/// The packages whose file is nowhere: neither at its place nor where Debian had it before or has it since.
fn missing() -> Vec<&'static str> {
    let there = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        let elsewhere = ["/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];
        Path::new(path).exists() || elsewhere.iter().any(|folder| Path::new(folder).join(name).exists())
    };
    PACKAGES.iter().filter(|(_, file)| !there(file)).map(|(package, _)| *package).collect()
}

/// Installs what is missing. This needs root, which the caller has made sure of.
pub fn install() -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    say::line(&format!(
        "installing with apt-get: {} (real nodes run with them; none starts a service)",
        missing.join(" ")
    ));
    let apt = || {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").arg("--quiet");
        apt
    };
    let way_out = || {
        format!("real clusters need these packages, by whatever name your distribution has them: {}", missing.join(" "))
    };
    let install = || {
        let mut install = apt();
        install.args(["install", "--yes", "--no-install-recommends"]).args(&missing);
        proc::capture(&mut install, "install Debian packages")
    };
    if install().is_err() {
        // Its lists may be old or not there at all.
        proc::capture(apt().arg("update"), "read the lists of packages").with_context(way_out)?;
        install().with_context(way_out)?;
    }
    Ok(())
}
