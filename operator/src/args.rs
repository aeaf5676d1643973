//! What the program is told on its command line and by its pod's environment.
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Trains models over several clusters: the hub decides, each site carries its part out.
#[derive(Clone, Debug, Parser)]
#[command(name = "coalition-operator", version)]
pub struct Args {
    /// Which roles this process has.
    #[arg(long, value_delimiter = ',', required = true, env = "COALITION_ROLES")]
    pub roles: Vec<Role>,

    /// The operator's own namespace: its leases are there, and the hub's key.
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: String,

    /// Who this process is among its replicas. Default: POD_NAME and POD_IP, joined by an underscore.
    #[arg(long)]
    identity: Option<String>,

    #[arg(long, env = "POD_NAME", hide = true)]
    pod_name: Option<String>,
    #[arg(long, env = "POD_IP", hide = true)]
    pod_ip: Option<String>,

    /// Where probes and metrics are served.
    #[arg(long, default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// Settings of the site's owner.
    #[arg(long, default_value = "/etc/coalition/site.yaml")]
    pub site_settings: PathBuf,

    /// The site's way to its hub. Default: hub and site are one cluster, and the site asks it for tokens of its own.
    #[arg(long)]
    pub hub_kubeconfig: Option<PathBuf>,

    /// Where the gateway listens, in every replica on the same port. Default: port 8470 of every address.
    #[arg(long)]
    pub gateway_listen: Option<SocketAddr>,

    /// Where the exchange listens. Default: port 8471 of every address.
    #[arg(long)]
    pub exchange_listen: Option<SocketAddr>,

    /// How log lines look.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// A role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Decides: one a coalition.
    Hub,
    /// Carries out a site's part: one a member.
    Site,
    /// Moves contributions and checkpoints between sites; in the same process as the site's.
    Courier,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl Args {
    /// Who this process is. No other process of its roles may be the same at the same time.
    pub fn identity(&self) -> String {
        if let Some(identity) = &self.identity {
            return identity.clone();
        }
        match (&self.pod_name, &self.pod_ip) {
            (Some(name), Some(ip)) => format!("{name}_{ip}"),
            (Some(name), None) => name.clone(),
            _ => format!("process-{}", std::process::id()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn roles_are_a_list_and_the_pod_names_the_process() {
        let args = ["coalition-operator", "--roles", "site,courier", "--namespace", "coalition-system"];
        let pod = ["--pod-name", "site-0", "--pod-ip", "10.0.0.7"];
        let parsed = Args::try_parse_from(args.into_iter().chain(pod)).unwrap();
        assert_eq!(parsed.roles, [Role::Site, Role::Courier]);
        assert_eq!(parsed.identity(), "site-0_10.0.0.7");
        let unknown = Args::try_parse_from(["x", "--roles", "node", "--namespace", "n"]).unwrap_err().to_string();
        assert!(unknown.contains("node") && unknown.contains("hub"), "{unknown}");
    }
}
