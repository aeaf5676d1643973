//! The archive of an image: configuration, manifest and index in the OCI image layout (image-spec 1.1), as containerd and
//! Docker load it. Must not know how layers are made.

use super::definition::{Definition, Image};
use super::layer::{Layer, hash};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use tar::{Builder, EntryType, Header};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// What stands in an image's configuration.
pub struct Config<'a> {
    /// For the user.
    pub definition: &'a Definition,
    /// The image.
    pub image: &'a Image,
    /// Folder of libtorch's libraries in it, from the root, if it has them.
    pub libtorch: Option<&'a str>,
}

impl Config<'_> {
    /// The environment of its programs: where to look for programs and for libtorch.
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut all = vec![("PATH".to_owned(), "/usr/bin".to_owned())];
        all.extend(self.libtorch.map(|folder| ("LD_LIBRARY_PATH".to_owned(), format!("/{folder}"))));
        all
    }

    /// What the image says of itself.
    pub fn labels(&self) -> Value {
        json!({
            "org.opencontainers.image.title": format!("coalition-{}", self.image.name),
            "org.opencontainers.image.description": self.image.description,
            "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
            "org.opencontainers.image.licenses": "Apache-2.0",
        })
    }

    fn json(&self, layers: &[&Layer]) -> Value {
        let environment: Vec<String> = self.environment().into_iter().map(|(k, v)| format!("{k}={v}")).collect();
        json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "User": format!("{0}:{0}", self.definition.user),
                "Env": environment,
                "Entrypoint": self.image.command,
                "WorkingDir": "/",
                "Labels": self.labels(),
            },
            "rootfs": {
                "type": "layers",
                "diff_ids": layers.iter().map(|l| format!("sha256:{}", l.diff_id)).collect::<Vec<_>>(),
            },
            "history": layers.iter().map(|_| json!({"created_by": "cargo xtask images"})).collect::<Vec<_>>(),
        })
    }
}

/// Writes the archive and returns the digest of its manifest. `reference` is the name it is loaded under.
pub fn archive(config: &Config<'_>, layers: &[&Layer], reference: &str, to: &Path) -> Result<String> {
    let file = File::create(to).with_context(|| format!("cannot make {}", to.display()))?;
    let mut tar = Builder::new(BufWriter::new(file));
    let blob = |value: &Value| -> Result<(Vec<u8>, String)> {
        let bytes = serde_json::to_vec(value).context("JSON")?;
        let (digest, _) = hash(bytes.as_slice())?;
        Ok((bytes, digest))
    };
    let (configuration, config_digest) = blob(&config.json(layers))?;
    let described: Vec<Value> = layers.iter().map(|l| descriptor(LAYER, &l.digest, l.size)).collect();
    let (manifest, digest) = blob(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, &config_digest, configuration.len() as u64),
        "layers": described,
        "annotations": config.labels(),
    }))?;
    let mut listed = descriptor(MANIFEST, &digest, manifest.len() as u64);
    // The first is containerd's, the second the specification's: both name what is in the archive.
    listed["annotations"] = json!({
        "io.containerd.image.name": reference,
        "org.opencontainers.image.ref.name": reference.rsplit(':').next(),
    });
    let index = serde_json::to_vec(&json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [listed]}))?;
    let write = |tar: &mut Builder<BufWriter<File>>, path: &str, bytes: &[u8]| -> Result<()> {
        let mut header = header(bytes.len() as u64);
        tar.append_data(&mut header, path, bytes).with_context(|| format!("cannot write {path} into {}", to.display()))
    };
    write(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    write(&mut tar, "index.json", &index)?;
    write(&mut tar, &format!("blobs/sha256/{config_digest}"), &configuration)?;
    write(&mut tar, &format!("blobs/sha256/{digest}"), &manifest)?;
    for layer in layers {
        let from = File::open(&layer.path).with_context(|| format!("cannot read {}", layer.path.display()))?;
        let mut header = header(layer.size);
        tar.append_data(&mut header, format!("blobs/sha256/{}", layer.digest), from)
            .with_context(|| format!("cannot write a layer into {}", to.display()))?;
    }
    let mut file = tar.into_inner().with_context(|| format!("cannot end {}", to.display()))?;
    std::io::Write::flush(&mut file).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(format!("sha256:{digest}"))
}

fn descriptor(kind: &str, digest: &str, size: u64) -> Value {
    json!({"mediaType": kind, "digest": format!("sha256:{digest}"), "size": size})
}

fn header(size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

#[cfg(test)]
mod tests {
    use super::super::layer::Entry;
    use super::*;
    use crate::build::root;
    use std::collections::BTreeMap;
    use std::io::Read as _;

    #[test]
    fn every_blob_is_named_by_its_hash_and_every_name_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let definition = Definition::read(&root().join("images/images.toml")).unwrap();
        let image = definition.image.iter().find(|i| i.libtorch).unwrap();
        let text = |name: &str| vec![Entry::text(name.to_owned(), name.to_owned())];
        let layers = ["a", "b"].map(|n| Layer::write(&text(n), &dir.path().join(n)).unwrap());
        let config = Config { definition: &definition, image, libtorch: Some("opt/libtorch/lib") };
        let to = dir.path().join("image.tar");
        let digest = archive(&config, &layers.each_ref(), "coalition.local/trainer:1.2.3", &to).unwrap();
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(File::open(&to).unwrap()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            if let Some(named) = name.strip_prefix("blobs/sha256/") {
                assert_eq!(hash(bytes.as_slice()).unwrap().0, named);
            }
            files.insert(name, bytes);
        }
        let read = |descriptor: &Value| {
            let bytes = &files[&format!("blobs/{}", descriptor["digest"].as_str().unwrap().replace(':', "/"))];
            assert_eq!(descriptor["size"], bytes.len());
            bytes.clone()
        };
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        assert_eq!(index["manifests"][0]["digest"], digest);
        assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], "coalition.local/trainer:1.2.3");
        let manifest: Value = serde_json::from_slice(&read(&index["manifests"][0])).unwrap();
        let configuration: Value = serde_json::from_slice(&read(&manifest["config"])).unwrap();
        for (n, layer) in manifest["layers"].as_array().unwrap().iter().enumerate() {
            let unpacked = hash(flate2::read::GzDecoder::new(read(layer).as_slice())).unwrap().0;
            assert_eq!(configuration["rootfs"]["diff_ids"][n], format!("sha256:{unpacked}"));
        }
        assert_eq!(configuration["config"]["User"], "65532:65532");
        assert_eq!(configuration["config"]["Env"][1], "LD_LIBRARY_PATH=/opt/libtorch/lib");
    }
}
