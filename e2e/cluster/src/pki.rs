//! The certificates of one cluster and the kubeconfigs that carry them: one authority, P-256 throughout. Must not know who
//! uses which.

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use serde_json::json;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// The authority of a cluster, and the folder of all it issued.
pub struct Authority {
    folder: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// Whom a certificate is for.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The common name: the user's name to an API server.
    pub user: &'a str,
    /// The organisation: the user's group.
    pub group: Option<&'a str>,
}

impl Authority {
    /// A fresh authority called `name` with a key pair for ServiceAccount tokens, all in `folder`.
    pub fn new(name: &str, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = distinguished(Subject { user: name, group: None });
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let this = Self { folder: folder.to_owned(), issuer };
        this.write("ca.crt", &this.issuer.pem())?;
        this.write("ca.key", &this.issuer.key().serialize_pem())?;
        let accounts = KeyPair::generate()?;
        this.write("sa.key", &accounts.serialize_pem())?;
        this.write("sa.pub", &accounts.public_key_pem())?;
        Ok(this)
    }

    /// The path of a file it made: `ca.crt`, `NAME.crt`, `NAME.key`, `NAME.kubeconfig`, `sa.key`, `sa.pub`.
    pub fn path(&self, file: &str) -> String {
        self.folder.join(file).display().to_string()
    }

    /// A certificate for client and server alike: `NAME.crt` and `NAME.key`.
    pub fn issue(&self, name: &str, subject: Subject<'_>, hosts: &[&str], addresses: &[Ipv4Addr]) -> Result<()> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = distinguished(subject);
        for host in hosts {
            params.subject_alt_names.push(SanType::DnsName((*host).try_into()?));
        }
        params.subject_alt_names.extend(addresses.iter().map(|address| SanType::IpAddress((*address).into())));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        self.write(&format!("{name}.crt"), &certificate.pem())?;
        self.write(&format!("{name}.key"), &key.serialize_pem())
    }

    /// A certificate of a client and `NAME.kubeconfig` with it for the API server at `server`.
    pub fn client(&self, name: &str, subject: Subject<'_>, server: &str) -> Result<PathBuf> {
        self.issue(name, subject, &[], &[])?;
        self.kubeconfig(name, name, server)
    }

    /// Another kubeconfig, `FILE.kubeconfig`, with the certificate `name`, everything in the one file.
    pub fn kubeconfig(&self, file: &str, name: &str, server: &str) -> Result<PathBuf> {
        // Paths, not contents: a person sees which certificate it is, and base64 needs no crate.
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "it", "cluster": {"server": server, "certificate-authority": self.path("ca.crt")}}],
            "users": [{"name": name, "user": {
                "client-certificate": self.path(&format!("{name}.crt")),
                "client-key": self.path(&format!("{name}.key")),
            }}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": name}}],
            "current-context": "it",
        });
        let file = format!("{file}.kubeconfig");
        self.write(&file, &format!("{config:#}\n"))?;
        Ok(self.folder.join(file))
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.folder.join(file);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

fn distinguished(subject: Subject<'_>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(group) = subject.group {
        name.push(DnType::OrganizationName, group);
    }
    name.push(DnType::CommonName, subject.user);
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Judged by openssl where it is installed: another reader of the same standard.
    fn openssl(args: &[&str]) -> Option<String> {
        let out = Command::new("openssl").args(args).output().ok()?;
        Some(String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
    }

    #[test]
    fn another_reader_takes_what_is_issued() {
        let dir = tempfile::tempdir().unwrap();
        let ca = Authority::new("test", dir.path()).unwrap();
        let node = Subject { user: "system:node:a", group: Some("system:nodes") };
        ca.issue("node", node, &["a"], &[Ipv4Addr::new(10, 77, 1, 2)]).unwrap();
        let Some(text) = openssl(&["verify", "-x509_strict", "-CAfile", &ca.path("ca.crt"), &ca.path("node.crt")])
        else {
            println!("SKIPPED: openssl is not installed");
            return;
        };
        assert!(text.trim_end().ends_with("OK"), "{text}");
        let text = openssl(&["x509", "-noout", "-text", "-in", &ca.path("node.crt")]).unwrap();
        for part in ["O = system:nodes, CN = system:node:a", "IP Address:10.77.1.2", "DNS:a", "TLS Web Client"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        let other = tempfile::tempdir().unwrap();
        let other = Authority::new("test", other.path()).unwrap();
        let text = openssl(&["verify", "-CAfile", &other.path("ca.crt"), &ca.path("node.crt")]).unwrap();
        assert!(text.contains("error"), "a certificate of another authority is refused: {text}");
    }

    #[test]
    fn a_kubeconfig_is_one_to_kube() {
        let dir = tempfile::tempdir().unwrap();
        let ca = Authority::new("test", dir.path()).unwrap();
        let path = ca.client("admin", Subject { user: "admin", group: None }, "https://10.77.1.2:6443").unwrap();
        let config = kube::config::Kubeconfig::read_from(path).unwrap();
        assert_eq!(config.current_context.as_deref(), Some("it"));
        assert_eq!(config.clusters[0].cluster.as_ref().unwrap().server.as_deref(), Some("https://10.77.1.2:6443"));
    }
}
